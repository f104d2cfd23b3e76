"""`cancel` withdraws the open changes of a run, lists its granted changes in undo.csv, and changes nothing else."""

from __future__ import annotations

import re
import signal
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Rate
from batch.sandbox.cancelling import CancelId
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import (
    accepted,
    environment,
    fork,
    grant,
    identity,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)
from tests.ledger.ledger_helpers import alter, rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.end_to_end.program import Ended, Pair, Program

PEOPLE = range(6)
ROWS = [grant(person, thing) for person in PEOPLE for thing in (1, 2)]
BULK = ("--api", "v2025")
"""An API version that cancels in bulk; beta does not."""


@contextmanager
def running_tenant(**choices: object) -> Iterator[RunningSandbox]:
    defaults = {"rate": Rate(requests=5000, seconds=1), "visibility_delay": 0.0}
    with running_sandbox(SandboxSettings(**{**defaults, **choices})) as sandbox:  # type: ignore[arg-type]
        yield sandbox


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


class Work:
    """The program with one tenant and one ledger."""

    def __init__(self, program: Program, tenant: RunningSandbox, folder: Path, *options: str) -> None:
        self._program = program
        self._tenant = tenant
        self.folder = folder
        self.ledger = folder / "ledger.db"
        self._options = options

    def submit(self, wanted: Iterable[dict[str, str]] = ROWS, name: str = "wanted.csv") -> str:
        path = write_rows(self.folder / name, wanted)
        ended = self._program(
            "submit", path, "--ledger", self.ledger, "--yes", "--json", *self._options, env=environment(self._tenant)
        )
        assert ended.code == 0, ended.err
        return str(ended.json["run"])

    def cancel(self, run: str, *more: str) -> Ended:
        return self._program(*self.command(run), "--settle-after", "2", *more, env=environment(self._tenant))

    def command(self, run: str) -> tuple[str, ...]:
        return ("cancel", run, "--ledger", str(self.ledger), "--json", "--yes", *self._options)

    def states(self) -> dict[Pair, str]:
        now = datetime.now(UTC)
        listed = self._tenant.tenant.visible_rows(now)
        return {
            (str(row.change.operation), row.change.identity, row.change.item_type, row.change.item_id): row.state(now)
            for row in listed
        }

    def is_sound(self) -> bool:
        return self._program("ledger", "verify", "--ledger", self.ledger).out == "The ledger is sound.\n"


def all_in(state: str, wanted: Iterable[dict[str, str]] = ROWS) -> dict[Pair, str]:
    return dict.fromkeys(map(pair_of, wanted), state)


@pytest.mark.parametrize("options", [(), BULK])
def test_cancel_withdraws_open_changes_lists_granted_changes_for_undo_and_spares_other_runs(
    program: Program, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path, *options)
        run = work.submit()
        another = work.submit([grant(0, 7)], "another.csv")
        now = datetime.now(UTC)
        tenant.tenant.request_by_other(now, identity=identity(0), item_type=ItemType.ROLE, item_id=item(8))
        tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(1))
        tenant.tenant.conclude("NOT_ALL_ITEMS_PROVISIONED", identity=identity(2), item_id=item(1))
        tenant.tenant.conclude("REJECTED", identity=identity(3))
        ended = work.cancel(run)
        expected = {
            **all_in("CANCELLED"),
            **all_in("REQUEST_COMPLETED", [grant(1, 1), grant(1, 2)]),
            **all_in("NOT_ALL_ITEMS_PROVISIONED", [grant(2, 1)]),
            **all_in("REJECTED", [grant(3, 1), grant(3, 2)]),
            **all_in("EXECUTING", [grant(0, 7), grant(0, 8)]),
        }
        assert work.states() == expected
        undo = tmp_path / "wanted.results" / "undo.csv"
        assert (ended.code, ended.json["files"]["undo"]) == (3, str(undo))
        revoked = [(row["operation"], row["identity_id"], row["item_type"], row["item_id"]) for row in read_rows(undo)]
        assert revoked == [("REVOKE", identity(p), "ROLE", item(i)) for p, i in ((1, 1), (1, 2), (2, 1))]
        assert all(run in row["comment"] for row in read_rows(undo))
        assert ended.json["changes"] == {
            **dict.fromkeys(ended.json["changes"], 0),
            "accepted": 12,
            "cancelled": 7,
            "granted": 3,
            "rejected": 2,
        }
        assert program("validate", undo, "--out", tmp_path / "judged").code == 0
        tracked = dict(rows(work.ledger, "SELECT tenant_state, count(*) FROM changes WHERE run = ? GROUP BY 1", run))
        assert tracked == {"CANCELLED": 7, "REQUEST_COMPLETED": 2, "NOT_ALL_ITEMS_PROVISIONED": 1, "REJECTED": 2}
        assert rows(
            work.ledger, "SELECT run.id FROM event JOIN run ON run.number = event.run WHERE event = 'cancelling'"
        ) == [(run,)]
        assert rows(work.ledger, "SELECT DISTINCT tenant_state FROM changes WHERE run = ?", another) == [(None,)]
        assert work.is_sound()


def test_cancelling_twice_does_no_harm(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path, *BULK)
        run = work.submit()
        assert (work.cancel(run).code, work.states()) == (0, all_in("CANCELLED"))
        again = work.cancel(run)
        assert (again.code, again.json["calls"]) == (0, {"bulk": 0, "single": 0, "refused": 0})
        assert not (tmp_path / "wanted.results" / "undo.csv").exists()
        assert work.is_sound()


@pytest.mark.parametrize("cancel_id", list(CancelId))
def test_cancel_works_with_every_kind_of_id_that_a_tenant_may_accept(
    program: Program, tmp_path: Path, cancel_id: CancelId
) -> None:
    with running_tenant(cancel_id=cancel_id) as tenant:
        work = Work(program, tenant, tmp_path)
        assert (work.cancel(work.submit()).code, work.states()) == (0, all_in("CANCELLED"))


def test_cancel_falls_back_to_single_calls_if_the_tenant_refuses_bulk_calls(program: Program, tmp_path: Path) -> None:
    scopes = ("idn:access-request:manage", "idn:access-request-status:read")
    with running_tenant(scopes=scopes) as tenant:
        work = Work(program, tenant, tmp_path, *BULK)
        ended = work.cancel(work.submit())
        assert (ended.code, work.states()) == (0, all_in("CANCELLED"))
        assert ended.json["calls"] == {"bulk": 1, "single": 6, "refused": 1}
        assert "does not cancel in bulk (403" in ended.err


def test_cancel_falls_back_to_single_calls_if_bulk_calls_have_no_effect(program: Program, tmp_path: Path) -> None:
    with running_tenant(ignores_bulk_cancel=True) as tenant:
        work = Work(program, tenant, tmp_path, *BULK)
        ended = work.cancel(work.submit())
        assert (ended.code, work.states()) == (0, all_in("CANCELLED"))
        assert ended.json["calls"] == {"bulk": 1, "single": 6, "refused": 0}
        assert "and did not cancel them" in ended.err


def test_a_dry_run_lists_every_change_and_changes_nothing(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path, *BULK)
        run = work.submit()
        tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(1))
        before = work.states()
        records = rows(work.ledger, "SELECT * FROM event"), rows(work.ledger, "SELECT * FROM track")
        ended = work.cancel(run, "--dry-run")
        assert (ended.code, work.states()) == (3, before)
        assert (rows(work.ledger, "SELECT * FROM event"), rows(work.ledger, "SELECT * FROM track")) == records
        assert (len(ended.json["would_cancel"]), len(ended.json["would_revoke"])) == (10, 2)
        assert ended.json["files"] == {"undo": None}
        assert sorted(path.name for path in (tmp_path / "wanted.results").iterdir()) == ["results.csv"]


def test_cancel_reports_changes_that_are_already_approved(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        run = work.submit()
        tenant.tenant.conclude("PROVISIONING_VERIFICATION_PENDING", identity=identity(1))
        ended = work.cancel(run)
        assert (ended.code, ended.json["changes"]["under_way"], ended.json["changes"]["cancelled"]) == (3, 2, 10)
        again = program(*work.command(run)[:4], "--yes", env=environment(tenant)).out
        assert f"To look again: access-batch cancel {run} --ledger {work.ledger}\n" in again


def test_the_undo_file_goes_to_a_folder_named_after_the_run_if_the_input_is_gone(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        run = work.submit()
        (tmp_path / "wanted.csv").unlink()
        tenant.tenant.conclude("REQUEST_COMPLETED")
        assert work.cancel(run).json["files"]["undo"] == f"{run}.undo/undo.csv"
        assert len(read_rows(tmp_path / f"{run}.undo" / "undo.csv")) == len(ROWS)
        elsewhere = tmp_path / "elsewhere"
        assert work.cancel(run, "--out", str(elsewhere)).json["files"]["undo"] == str(elsewhere / "undo.csv")


def test_cancel_leaves_unconfirmed_changes_and_exits_with_4(program: Program, tmp_path: Path) -> None:
    with running_tenant(lists_others=False) as tenant:
        tenant.faults.add(Fault.DROP_BEFORE)
        path = write_rows(tmp_path / "a.csv", [grant(person, person) for person in range(3)])
        ledger = tmp_path / "ledger.db"
        command = ("submit", path, "--ledger", ledger, "--yes", "--settle-after", "0.2", "--json")
        run = program(*command, env=environment(tenant)).json["run"]
        work = Work(program, tenant, tmp_path)
        ended = work.cancel(run)
        assert (ended.code, ended.json["changes"]["unconfirmed"], ended.json["changes"]["cancelled"]) == (4, 1, 2)
        assert set(work.states().values()) == {"CANCELLED"}


def test_cancel_exits_with_4_if_the_tenant_does_not_list_the_changes_yet(program: Program, tmp_path: Path) -> None:
    with running_tenant(visibility_delay=3600.0) as tenant:
        work = Work(program, tenant, tmp_path)
        ended = work.cancel(work.submit(), "--settle-after", "600")
        assert (ended.code, ended.json["changes"]["not_visible"]) == (4, len(ROWS))


def test_cancel_refuses_imported_runs_and_runs_of_another_tenant(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant, running_tenant() as other:
        work = Work(program, tenant, tmp_path)
        tenant.tenant.request_by_other(
            datetime.now(UTC), identity=identity(0), item_type=ItemType.ROLE, item_id=item(1)
        )
        taken = program("ledger", "import", "--everybody", "--ledger", work.ledger, "--json", env=environment(tenant))
        assert taken.json["rows"]["imported"] == 1
        assert work.cancel(taken.json["run"]).code == 2
        assert set(work.states().values()) == {"EXECUTING"}
        assert Work(program, other, tmp_path).cancel(work.submit([grant(1, 1)])).code == 2


def test_cancel_prints_the_outcome_and_the_next_command(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        run = work.submit()
        tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(1))
        command = ("cancel", run, "--ledger", work.ledger, "--comment", "the wrong\nfile")
        preview = program(*command, "--dry-run", env=environment(tenant)).out
        assert f"  would be cancelled: grant of ROLE {item(1)} for {identity(0)}, line 2\n" in preview
        assert f"  would be revoked by undo.csv: grant of ROLE {item(2)} for {identity(1)}, line 5\n" in preview
        done = program(*command, "--yes", env=environment(tenant))
        undo = tmp_path / "wanted.results" / "undo.csv"
        (head,) = re.findall(r"head: (\S+)", done.out)
        assert done.out.splitlines() == [
            f"Run {run}: 12 accepted changes at {tenant.base_url}.",
            "  10 cancelled",
            "  2 granted already",
            f"  head: {head}",
            f"To revoke the granted access: access-batch submit {undo} --ledger {work.ledger}",
        ]
        assert program("ledger", "verify", "--head", head, "--ledger", work.ledger).code == 0
        assert [row["_line"] for row in read_rows(undo)] == ["4", "5"]
        assert {row["comment"] for row in read_rows(undo)} == {f"the wrong file (run {run} of access-batch)"}
        comments = rows(work.ledger, "SELECT DISTINCT tenant_said FROM changes WHERE tenant_state = 'CANCELLED'")
        assert comments == [("the wrong file",)]


def test_cancel_does_nothing_without_confirmation(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        run = work.submit()
        ended = program("cancel", run, "--ledger", work.ledger, env=environment(tenant))
        assert (ended.code, work.states()) == (2, all_in("EXECUTING"))
        assert "no terminal" in ended.err
        unknown = program("cancel", "zz", "--ledger", work.ledger, env=environment(tenant))
        assert (unknown.code, "no terminal" in unknown.err, "zz" in unknown.err) == (2, False, True)


@pytest.mark.thorough
def test_ctrl_c_ends_the_wait_and_the_same_command_continues(program: Program, tmp_path: Path) -> None:
    with running_tenant(ignores_bulk_cancel=True) as tenant:
        work = Work(program, tenant, tmp_path, *BULK)
        run = work.submit()
        tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(1))
        process = fork(*work.command(run), "--settle-after", "3600", env=environment(tenant))
        wait_until(lambda: "cancelling" in events(work.ledger), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 130, err
        assert f'"run": "{run}"' in out
        assert len(read_rows(tmp_path / "wanted.results" / "undo.csv")) == 2
        assert work.cancel(run).code == 3
        assert work.states() == {**all_in("CANCELLED"), **all_in("REQUEST_COMPLETED", [grant(1, 1), grant(1, 2)])}
        assert work.is_sound()


def events(ledger: Path) -> set[str]:
    with closing(sqlite3.connect(ledger)) as connection:
        return {name for (name,) in connection.execute("SELECT DISTINCT event FROM event")}


@pytest.mark.thorough
@pytest.mark.parametrize("options", [(), BULK])
def test_submitting_the_undo_file_revokes_exactly_the_granted_changes(
    program: Program, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path, *options)
        run = work.submit()
        granted = [grant(person, thing) for person in (1, 2) for thing in (1, 2)]
        for row in granted:
            tenant.tenant.conclude("REQUEST_COMPLETED", identity=row["identity_id"], item_id=row["item_id"])
        before = set(accepted(tenant))
        undo = work.cancel(run).json["files"]["undo"]
        command = ("submit", undo, "--ledger", work.ledger, "--yes", *options)
        for _ in range(2):
            assert program(*command, env=environment(tenant)).code == 0
        assert {pair: number for pair, number in accepted(tenant).items() if pair not in before} == once(
            ("REVOKE", *pair_of(row)[1:]) for row in granted
        )
        assert work.is_sound()


@pytest.mark.thorough
def test_an_undone_input_reports_its_undo_and_a_changed_input_grants_again(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        wanted = [grant(1, 1), grant(1, 2)]
        run = work.submit(wanted)
        tenant.tenant.conclude("REQUEST_COMPLETED")
        undo = work.cancel(run).json["files"]["undo"]
        ledger = ("--ledger", work.ledger)
        undone = program("submit", undo, *ledger, "--yes", "--json", env=environment(tenant)).json["run"]
        again = ("submit", tmp_path / "wanted.csv", *ledger, "--yes", "--check-tenant", "never")
        same = program(*again, env=environment(tenant))
        assert same.code == 3
        assert (
            f"run {undone} has since requested a revoke of this; to submit the row again, change its comment"
            in same.err
        )
        tenant.tenant.conclude("REQUEST_COMPLETED")
        program("track", undone, *ledger, "--track-for", "0", env=environment(tenant))
        back = tmp_path / "wanted.results" / "unsent.csv"
        assert program("submit", back, "--comment", "once more", *again[2:], env=environment(tenant)).code == 0
        assert accepted(tenant) == {
            **{pair_of(row): 2 for row in wanted},
            **{("REVOKE", *pair_of(row)[1:]): 1 for row in wanted},
        }


def test_nothing_is_cancelled_of_a_run_that_somebody_has_changed(program: Program, tmp_path: Path) -> None:
    with running_tenant() as tenant:
        work = Work(program, tenant, tmp_path)
        run = work.submit()
        alter(work.ledger, "UPDATE event SET detail = '{}' WHERE event = 'accepted'")
        ended = work.cancel(run)
        assert (ended.code, "Somebody has changed the ledger" in ended.err) == (2, True)
        assert set(work.states().values()) == {"EXECUTING"}
