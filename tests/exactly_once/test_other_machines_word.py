"""Another machine says that a change did not arrive. This one asks the tenant itself, and sends nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.api.dialects import Rate
from batch.ledger.machine_key import MachineKey
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.builders import NOW
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import a_process, alter, open_ledger, rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

ROWS = [grant(person, person) for person in range(4)]


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
