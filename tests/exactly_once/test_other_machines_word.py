"""Another machine says that a change did not arrive. This one asks the tenant itself, and sends nothing twice."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.api.status_row import ChangeStatus
from batch.ledger.machine_key import MachineKey
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.builders import NOW, change
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    a_process,
    alter,
    claim,
    open_ledger,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

ROWS = [grant(person, person) for person in range(4)]
FORGER = MachineKey(b"somebody with a key of their own")


@pytest.mark.thorough
def test_what_another_machine_records_as_not_arrived_is_looked_for_in_the_tenant(
    program: Program, tmp_path: Path
) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    options = ("--yes", "--ledger", ledger, "--check-tenant", "never", "--concurrency", "1")
    with running_sandbox(settings) as tenant:
        here = environment(tenant)
        elsewhere = {**here, "XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}
        tenant.faults.add(Fault.DROP_AFTER, Fault.UNAUTHORIZED_401, Fault.UNAUTHORIZED_401)
        stopped = program("submit", path, *options, "--settle-after", "600", env=here)
        assert stopped.code == 4, stopped.err
        ((run,),) = rows(ledger, "SELECT id FROM run")
        assert rows(ledger, "SELECT count(*) FROM doubt") == [(1,)]
        recorded = program("settle", run, "--not-arrived", "--ledger", ledger, env=elsewhere)
        assert "recorded as not arrived" in recorded.out
        ended = program("submit", path, *options, "--settle-after", "0.2", env=here)
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, ROWS))
    assert "This machine does not trust that key, and asks the tenant itself." in ended.err
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"


def test_a_head_from_a_summary_proves_that_nothing_was_cut_off_since(program: Program, tmp_path: Path) -> None:
    path, ledger, colleagues = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db", tmp_path / "keys.txt"
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
    with running_sandbox(settings) as tenant:
        ended = program("submit", path, "--yes", "--ledger", ledger, "--json", env=environment(tenant))
    head = ended.json["head"]
    verify = ("ledger", "verify", "--ledger", ledger)
    there = program(*verify, "--head", head)
    assert (there.code, there.out) == (0, "The ledger is sound.\n")
    (public,) = {line.strip() for line in there.err.splitlines() if line.startswith("  ")}
    assert "trusted: this machine's key" in there.err
    other = {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}
    assert "not trusted" in program(*verify, env=other).err
    colleagues.write_text(f"# of the team\n{public} Anna's laptop\n")
    assert f"trusted: {colleagues} names it" in program(*verify, "--trust", colleagues, env=other).err
    colleagues.write_text("Anna\n")
    assert program(*verify, "--trust", colleagues).code == 2
    assert program(*verify, "--head", "12").code == 2
    alter(ledger, "DELETE FROM event WHERE number = (SELECT max(number) FROM event)")
    cut = program(*verify, "--head", head)
    assert cut.code == 3
    assert f"no run has the head {head}" in cut.out


@pytest.mark.thorough
def test_another_machine_sends_what_it_finds_not_arrived_in_the_same_command(program: Program, tmp_path: Path) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    options = ("--yes", "--ledger", ledger, "--check-tenant", "never", "--concurrency", "1")
    with running_sandbox(settings) as tenant:
        here = environment(tenant)
        elsewhere = {**here, "XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}
        tenant.faults.add(Fault.DROP_BEFORE, Fault.UNAUTHORIZED_401, Fault.UNAUTHORIZED_401)
        stopped = program("submit", path, *options, "--settle-after", "600", env=here)
        assert stopped.code == 4, stopped.err
        assert rows(ledger, "SELECT count(*) FROM doubt") == [(1,)]
        ended = program("submit", path, *options, "--settle-after", "0.2", env=elsewhere)
        assert (ended.code, accepted(tenant)) == (0, once(map(pair_of, ROWS))), ended.err
        again = program("submit", path, *options, "--settle-after", "0.2", env=here)
        assert (again.code, accepted(tenant)) == (0, once(map(pair_of, ROWS))), again.err


@pytest.mark.thorough
def test_what_another_machine_dropped_before_it_died_is_planned_anew_though_a_doubt_is_open(
    program: Program, tmp_path: Path
) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    options = ("--yes", "--ledger", ledger, "--check-tenant", "never", "--concurrency", "1")
    with running_sandbox(settings) as tenant:
        tenant.faults.add(Fault.DROP_BEFORE, Fault.UNAUTHORIZED_401, Fault.UNAUTHORIZED_401)
        stopped = program("submit", path, *options, "--settle-after", "600", env=environment(tenant))
        assert stopped.code == 4, stopped.err
        with open_ledger(ledger, key=lambda: MachineKey(b"the key of another machine......")) as elsewhere:
            ((run,),) = rows(ledger, "SELECT id FROM run")
            planned = rows(ledger, "SELECT number FROM request WHERE state = 'PLANNED'")
            elsewhere.plans.drop(elsewhere.runs.named(run), [number for (number,) in planned], a_process(2), NOW)
        ended = program("submit", path, *options, "--settle-after", "0.2", env=environment(tenant))
        assert (ended.code, accepted(tenant)) == (0, once(map(pair_of, ROWS))), ended.err


def a_tenant() -> SandboxSettings:
    return SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        search_lag=3600.0,
        approval_seconds=0.0,
        provisioning_seconds=0.0,
    )


def undone(rows_of: list[dict[str, str]]) -> list[dict[str, str]]:
    other = {"GRANT": "REVOKE", "REVOKE": "GRANT"}
    return [{**row, "operation": other[row["operation"]], "comment": "as before"} for row in rows_of]


def machines(tenant: RunningSandbox, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environments of one machine after another."""
    for number in itertools.count():
        yield {**environment(tenant), "XDG_CONFIG_HOME": str(tmp_path / f"machine{number}")}


@pytest.mark.thorough
def test_each_machine_may_undo_what_another_one_did(program: Program, tmp_path: Path) -> None:
    grants, revokes = ROWS, undone(ROWS)
    files = [
        write_rows(tmp_path / f"{number}.csv", [{**row, "comment": f"{number}"} for row in some])
        for number, some in enumerate((grants, revokes, grants, revokes))
    ]
    options = ("--yes", "--ledger", tmp_path / "ledger.db", "--check-tenant", "never", "--wait")
    with running_sandbox(a_tenant()) as tenant:
        for file, env in zip(files, machines(tenant, tmp_path), strict=False):
            ended = program("submit", file, *options, env=env)
            assert ended.code == 0, ended.err
        assert set(accepted(tenant).values()) == {2}
    assert program("ledger", "verify", "--ledger", tmp_path / "ledger.db").out == "The ledger is sound.\n"


@pytest.mark.thorough
@pytest.mark.parametrize("operation", ["GRANT", "REVOKE"])
def test_nothing_is_sent_again_as_another_key_says_that_it_was_undone(
    operation: str, program: Program, tmp_path: Path
) -> None:
    wanted = ROWS if operation == "GRANT" else undone(ROWS)
    path, ledger = write_rows(tmp_path / "a.csv", wanted), tmp_path / "ledger.db"
    again = write_rows(tmp_path / "b.csv", [{**row, "comment": "again"} for row in wanted])
    options = ("--yes", "--ledger", ledger, "--check-tenant", "never")
    with running_sandbox(a_tenant()) as tenant:
        here = environment(tenant)
        assert program("submit", path, *options, "--wait", env=here).code == 0
        claim_that_it_was_undone(ledger, undone(wanted))
        ended = program("submit", again, *options, env=here)
        assert (ended.code, accepted(tenant)) == (3, once(map(pair_of, wanted))), ended.err
        assert "--trust FILE" in ended.err
        keys = tmp_path / "keys.txt"
        keys.write_text(f"{FORGER.public} Anna's laptop\n")
        believed = program("submit", again, *options, "--trust", keys, env=here)
        assert (believed.code, set(accepted(tenant).values())) == (0, {2}), believed.err


def claim_that_it_was_undone(path: Path, changes: list[dict[str, str]]) -> None:
    """Add a run, with a key of the forger's own, that has undone changes and was tracked to its end."""
    ((tenant,),) = rows(path, "SELECT name FROM tenant")
    lines = [change(row["identity_id"], row["item_id"], operation=row["operation"]) for row in changes]
    with open_ledger(path, key=lambda: FORGER) as ledger:
        run = write(ledger, *([line] for line in lines), digest="f" * 64, tenant=tenant)
        requests = [claim(ledger, run) for _ in lines]
        for request in requests:
            record(ledger, request, ACCEPTED)
        ended = [
            ChangeStatus(
                request=one.number,
                identity=one.recipients[0],
                item_type="ROLE",
                item=one.items[0].id,
                state="REQUEST_COMPLETED",
            )
            for one in requests
        ]
        ledger.tracks.write(run, ended, NOW)
