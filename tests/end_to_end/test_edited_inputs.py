"""An input is edited between two commands: the same command simply works, and nothing is submitted twice or missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.ledger.process import SILENT_FOR
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.builders import NOW, change
from tests.end_to_end.program import accepted, environment, fork, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import FAILED, ME, a_process, claim, open_ledger, record, rows, write
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batch.ledger.store import Ledger
    from batch.model import Run
    from tests.end_to_end.program import Ended, Program

ROWS = [grant(person, person) for person in range(24)]
"""Twenty-four requests, because no two identities want the same item."""


@pytest.fixture
def slow_tenant() -> Iterator[RunningSandbox]:
    """A tenant that answers slowly enough for a kill to find requests in flight, and lists each at once."""
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.1, 0.3), visibility_delay=0.0)
    with running_sandbox(settings) as sandbox:
        yield sandbox


def kill_in_flight(tenant: RunningSandbox, path: Path, posts: int = 8) -> None:
    """Begins to submit an input, and kills the process with requests in doubt."""
    options = ("--yes", "--check-tenant", "never", "--concurrency", "4")
    process = fork("submit", path, *options, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= posts, process)
    process.kill()
    process.communicate()


def submit(program: Program, tenant: RunningSandbox, path: Path, *more: str) -> Ended:
    options = ("--yes", "--json", "--check-tenant", "never", "--settle-after", "1")
    return program("submit", path, *options, *more, env=environment(tenant))


def assert_sound(program: Program) -> None:
    assert program("ledger", "verify").out == "The ledger is sound.\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "edited",
    [
        pytest.param([*ROWS, grant(99, 99)], id="a row added"),
        pytest.param([grant(99, 99), *ROWS[::-1]], id="a row added and the others reordered"),
        pytest.param(ROWS[:18], id="rows removed"),
        pytest.param([*ROWS[:20], grant(20, 88), *ROWS[21:]], id="a row corrected"),
    ],
)
def test_rows_in_doubt_of_a_killed_run_are_settled_and_the_edited_input_is_submitted_once(
    program: Program, slow_tenant: RunningSandbox, tmp_path: Path, edited: list[Mapping[str, str]]
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS)
    kill_in_flight(slow_tenant, path)
    sent_before = set(accepted(slow_tenant))
    write_rows(path, edited)
    ended = submit(program, slow_tenant, path)
    assert ended.code == 0, ended.err
    assert sum(ended.json["rows"].values()) == 2 * len(edited), "the classes add up to the rows read"
    assert set(accepted(slow_tenant).values()) == {1}
    assert set(accepted(slow_tenant)) == {*map(pair_of, edited), *sent_before}
    assert_sound(program)


def test_an_input_written_otherwise_continues_its_run(program: Program, tenant: RunningSandbox, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS[:5])
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    first = program("submit", path, "--yes", "--json", "--check-tenant", "never", env=wrong).json["run"]
    other = tmp_path / "b.csv"
    header, *lines = path.read_text().splitlines()
    other.write_text("\r\n".join([header, "", *reversed(lines), ""]), encoding="utf-16")
    ended = submit(program, tenant, other)
    assert (ended.code, ended.json["run"], ended.json["changes"]["accepted"]) == (0, first, 5)
    assert f"Continuing run {first}" in ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--strict",), "--strict counts only when changes are planned."),
        (("--strict", "--ignore", "item_disabled"), "--strict and --ignore count only when changes are planned."),
    ],
)
def test_options_that_choose_what_is_planned_are_said_to_come_too_late_for_a_run_that_continues(
    program: Program, tenant: RunningSandbox, tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS[:5])
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    program("submit", path, "--yes", "--check-tenant", "never", env=wrong)
    ended = program("submit", path, "--yes", *given, env=environment(tenant))
    assert ended.err.count(f"This run is sent as it was planned: {said}") == 1
    assert ended.code == 0


def test_a_run_of_an_older_version_is_continued_by_its_inputs_bytes(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS[:5])
    old = tmp_path / "old.db"
    with open_ledger(old) as ledger:
        planned = [[change(row["identity_id"], row["item_id"])] for row in ROWS[:5]]
        run = write(ledger, *planned, digest=hashlib.sha256(path.read_bytes()).hexdigest(), tenant=tenant.base_url)
    ended = submit(program, tenant, path, "--ledger", str(old))
    assert (ended.code, ended.json["run"], ended.json["changes"]["accepted"]) == (0, run.id, 5)


def test_changes_that_are_not_wanted_any_more_stay_with_their_run(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(person, thing) for person in range(4) for thing in range(3)])
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    first = program("submit", path, "--yes", "--json", "--check-tenant", "never", env=wrong).json["run"]
    wanted = [grant(0, 0), grant(1, 0), grant(1, 1), grant(2, 2), grant(9, 9)]
    ended = submit(program, tenant, write_rows(tmp_path / "b.csv", wanted))
    assert ended.code == 0
    assert (
        f"8 changes that this input does not want stay there: `access-batch discard {first}` drops them." in ended.err
    )
    assert accepted(tenant) == once(map(pair_of, wanted))
    assert_sound(program)
    assert submit(program, tenant, path).code == 0
    everything = [grant(person, thing) for person in range(4) for thing in range(3)]
    assert accepted(tenant) == once(map(pair_of, [*everything, grant(9, 9)]))
    assert_sound(program)


@pytest.mark.thorough
def test_rows_of_a_run_on_which_a_process_works_are_held_back_with_its_name(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS[:3])
    # The process looks whether another ledger has submitted here, compares, sends two requests, and waits an hour.
    first = fork("submit", path, "--yes", "--check-tenant", "never", "--rate", "4/3600", env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 2, first)
    (ledger,) = (tmp_path / "data").rglob("ledger.db")
    wait_until(lambda: rows(ledger, "SELECT count(*) FROM request WHERE state = 'ACCEPTED'") == [(2,)], first)
    try:
        ended = submit(program, tenant, write_rows(tmp_path / "b.csv", [*ROWS[:3], grant(9, 9)]))
    finally:
        first.kill()
        first.communicate()
    assert (ended.json["rows"]["held_back"], ended.json["rows"]["submitted"]) == (1, 1)
    assert f"process {first.pid} on" in ended.err
    assert ended.code == 3
    ended = submit(program, tenant, tmp_path / "b.csv")
    assert ended.code == 0
    assert accepted(tenant) == once(map(pair_of, [*ROWS[:3], grant(9, 9)]))


def test_a_doubt_of_an_earlier_run_settles_and_the_command_can_be_repeated(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    tenant.faults.add(Fault.DROP_AFTER)
    path = write_rows(tmp_path / "a.csv", ROWS[:1])
    process = fork("submit", path, "--yes", "--check-tenant", "never", "--settle-after", "600", env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 1, process)
    process.kill()
    process.communicate()
    assert sum(accepted(tenant).values()) == 1
    ended = submit(program, tenant, write_rows(tmp_path / "b.csv", ROWS[:2]))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS[:2]))


def left_by_a_silent_process(ledger: Ledger, run: Run) -> None:
    """Puts a run's request in doubt. Nobody knows whether the process that sent it is dead: it may still send it."""
    silent = a_process()
    ledger.runs.hold(run, silent, NOW)
    ledger.requests.claim(run, NOW, silent)
    ledger.runs.hold(run, ME, NOW + SILENT_FOR)
    ledger.runs.release(run, ME, NOW)


def test_a_doubt_that_stays_open_holds_back_only_its_own_rows(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.db"
    with open_ledger(ledger) as opened:
        first, run = (
            write(
                opened,
                [change(row["identity_id"], row["item_id"], item_type=row["item_type"])],
                digest=row["identity_id"],
                tenant=tenant.base_url,
            )
            for row in ROWS[:2]
        )
        record(opened, claim(opened, first), FAILED)
        opened.runs.release(first, ME, NOW)
        left_by_a_silent_process(opened, run)
    options = ("--ledger", str(ledger), "--settle-after", "0.5")
    ended = submit(program, tenant, write_rows(tmp_path / "b.csv", ROWS[:5]), *options)
    assert accepted(tenant) == once(pair_of(row) for row in ROWS[:5] if row is not ROWS[1])
    assert ended.code == 4, ended.err
    assert ended.json["rows"] == {**ended.json["rows"], "submitted": 4, "held_back": 1}
    assert f"`access-batch settle {run.id} --arrived " in ended.err


@pytest.mark.thorough
def test_settle_without_flags_asks_the_tenants_list_and_needs_no_input(
    program: Program, slow_tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS)
    kill_in_flight(slow_tenant, path)
    moved = path.rename(tmp_path / "elsewhere.csv")
    (run,) = [one["run"] for one in program("runs", "--json").json["runs"]]
    ended = program("settle", run, "--settle-after", "1", env=environment(slow_tenant))
    # A request that was cut off before it arrived has no control: nothing was requested later.
    unconfirmed = program("status", run, "--json").json["changes"]["unconfirmed"]
    assert ended.code == (4 if unconfirmed else 0), ended.err
    assert f"{unconfirmed} still unconfirmed" in ended.out
    assert "had arrived" in ended.out
    assert submit(program, slow_tenant, moved).code == 0
    assert accepted(slow_tenant) == once(map(pair_of, ROWS))
    assert_sound(program)


def test_a_refused_change_is_not_sent_again_while_a_doubt_of_another_run_stays_open(tmp_path: Path) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, unrequestable=frozenset({ROWS[2]["item_id"]})
    )
    ledger = tmp_path / "ledger.db"
    with running_sandbox(settings) as tenant:
        with open_ledger(ledger) as opened:
            wanted = change(ROWS[0]["identity_id"], ROWS[0]["item_id"], item_type=ROWS[0]["item_type"])
            run = write(opened, [wanted], digest="other", tenant=tenant.base_url)
            left_by_a_silent_process(opened, run)
        path = write_rows(tmp_path / "b.csv", ROWS[:3])
        options = ("--yes", "--check-tenant", "never", "--settle-after", "0.5", "--ledger", str(ledger))
        process = fork("submit", path, *options, env=environment(tenant))
        wait_until(lambda: process.poll() is not None or tenant.tenant.audit.posts > 4)
        process.kill()
        process.communicate()
        assert process.returncode == 4
        assert tenant.tenant.audit.posts == 2
        assert accepted(tenant) == once([pair_of(ROWS[1])])
