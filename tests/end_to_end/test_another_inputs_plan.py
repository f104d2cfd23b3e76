"""A run has the digest of this input, and has planned what no row of it asks for. Nothing of that is sent."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from batch.commands.screen import Screen
from batch.commands.submit import submit
from batch.ledger.machine_key import MachineKey
from batch.settings import load
from tests.builders import NOW, change
from tests.clocks import runtime
from tests.end_to_end.program import accepted, environment, grant, write_rows
from tests.ledger.ledger_helpers import FAILED, ME, a_process, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

THIEF = MachineKey(b"another machine's key...........")


@pytest.mark.parametrize("beside", ["nothing", "another machine's plan", "a doubt"])
def test_changes_that_nobody_wants_are_not_sent(
    program: Program, tenant: RunningSandbox, tmp_path: Path, beside: str
) -> None:
    path, ledger = write_rows(tmp_path / "new.csv", [grant(1, 1), grant(2, 2)]), tmp_path / "ledger.db"
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    program("submit", path, "--yes", "--check-tenant", "never", "--ledger", tmp_path / "copy.db", env=wrong)
    ((digest,),) = rows(tmp_path / "copy.db", "SELECT input_digest FROM run")
    to = {"digest": digest, "tenant": tenant.base_url}
    with open_ledger(ledger) as here:
        run = write(here, [change(grant(7, 7)["identity_id"], grant(7, 7)["item_id"])], **to)
        if beside == "a doubt":
            record(here, claim(here, run), FAILED)
            here.runs.release(run, ME, NOW)
    if beside == "another machine's plan":
        with open_ledger(ledger, key=lambda: THIEF) as elsewhere:
            write(elsewhere, [change(grant(1, 1)["identity_id"], grant(1, 1)["item_id"])], **to)
    ended = program("submit", path, "--yes", "--check-tenant", "never", "--ledger", ledger, env=environment(tenant))
    assert ended.code == 2, ended.err
    assert "has planned 1 change that no row of this input asks for" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, 4)])
def test_a_plan_that_another_machine_drops_is_made_anew_once(
    tenant: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, code: int
) -> None:
    """Another machine acts whenever this one looks at its clock."""
    path, place = write_rows(tmp_path / "new.csv", [grant(1, 1), grant(2, 2)]), tmp_path / "ledger.db"
    dropped: list[int] = []

    def look() -> datetime:
        if len(dropped) < times and place.exists() and (planned := rows(place, PLANNED_AND_FREE)):
            with open_ledger(place, key=lambda: THIEF) as elsewhere:
                run = elsewhere.runs.all()[0]
                numbers = [number for (number,) in planned]
                elsewhere.plans.drop(run, numbers, a_process(), NOW)
                dropped.append(len(numbers))
        return datetime.now(UTC)

    mine = runtime()
    meddled = replace(mine, clock=replace(mine.clock, now=look))
    for name, value in environment(tenant).items():
        monkeypatch.setenv(name, value)
    settings = load({"yes": True, "check_tenant": "never", "ledger": str(place), "out": tmp_path / "out"})
    screen = Screen(console=Console(file=io.StringIO()))
    ended = submit([str(path)], settings, screen, meddled, stdin=io.BytesIO())
    assert (len(dropped), ended.stopped.exit_code if ended.stopped else 0) == (times, code)
    if ended.stopped:
        assert "Another machine has dropped requests" in ended.stopped.message
    assert submit([str(path)], settings, screen, runtime(), stdin=io.BytesIO()).stopped is None
    assert sorted(accepted(tenant).values()) == [1, 1]


@pytest.mark.thorough
@pytest.mark.parametrize("look", range(4, 7))
def test_another_machine_plans_the_same_input_anew_at_the_same_moment(
    program: Program, tenant: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """Both have read that a third machine's plan is not theirs, and each drops it: at any look at the clock."""
    wanted = [grant(1, 1), grant(2, 2)]
    path, place = write_rows(tmp_path / "new.csv", wanted), tmp_path / "ledger.db"
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    program("submit", path, "--yes", "--check-tenant", "never", "--ledger", tmp_path / "copy.db", env=wrong)
    ((digest,),) = rows(tmp_path / "copy.db", "SELECT input_digest FROM run")
    with open_ledger(place, key=lambda: THIEF) as elsewhere:
        planned = [[change(row["identity_id"], row["item_id"])] for row in wanted]
        run = write(elsewhere, *planned, digest=digest, tenant=tenant.base_url)
    looks = 0

    def now() -> datetime:
        nonlocal looks
        looks += 1
        if looks == look and (left := rows(place, "SELECT number FROM request WHERE state = 'PLANNED'")):
            with open_ledger(place, key=lambda: MachineKey(b"the key of a third machine......")) as third:
                third.plans.drop(run, [number for (number,) in left], a_process(), NOW)
        return datetime.now(UTC)

    mine = runtime()
    for name, value in environment(tenant).items():
        monkeypatch.setenv(name, value)
    settings = load({"yes": True, "check_tenant": "never", "ledger": str(place), "out": tmp_path / "out"})
    screen = Screen(console=Console(file=io.StringIO()))
    meddled = replace(mine, clock=replace(mine.clock, now=now))
    ended = submit([str(path)], settings, screen, meddled, stdin=io.BytesIO())
    assert ended.stopped is None
    assert sorted(accepted(tenant).values()) == [1, 1]


PLANNED_AND_FREE = """
    SELECT number FROM request WHERE state = 'PLANNED' AND run NOT IN (SELECT run FROM holder)
    AND EXISTS (SELECT 1 FROM event WHERE event.run = request.run AND event.event = 'planned')
"""
