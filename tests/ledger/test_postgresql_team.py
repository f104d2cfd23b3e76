"""Machines that share a ledger in PostgreSQL: whatever their clocks show, and whoever stands between it and them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from batch.api.dialects import Rate
from batch.commands.runtime import Wall
from batch.ledger.calls import RateKey
from batch.ledger.process import boot_time
from batch.model import Clock
from batch.sandbox.server import running_sandbox
from batch.settings import load
from tests.clocks import runtime
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import TENANT, a_process, open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from batch.api.rate_window import Permits
    from batch.ledger.calls import Calls
    from batch.ledger.store import Ledger
    from tests.end_to_end.program import Program

pytestmark = [pytest.mark.postgresql, pytest.mark.also_postgresql]

RATE = Rate(requests=100, seconds=10)
APART = (-7200.0, -120.0, 1.0, 7200.0)
"""Seconds by which the clocks of the machines are wrong."""


def clock(shift: float) -> Clock:
    """The clocks of a machine: its wall clock is wrong, and its boot was at another moment."""
    return Clock(
        now=lambda: datetime.now(UTC) + timedelta(seconds=shift),
        monotonic=lambda: boot_time() + 3 * shift,
        boot=f"boot {shift}",
    )


def calls_of(ledger: Ledger, number: int) -> Calls:
    key = RateKey(tenant=TENANT, client="c", dialect="beta")
    return ledger.calls(key, rate=RATE, process=a_process(number), clock=clock(APART[number]))


def test_machines_whose_clocks_are_apart_share_one_limit(postgresql: str) -> None:
    ledgers = [open_ledger(postgresql) for _ in APART]
    machines = [calls_of(ledger, number) for number, ledger in enumerate(ledgers)]
    given, made = 0, [dict[int, float | None]() for _ in machines]
    turn = ask(machines, made)
    while any(permits.numbers for permits in turn):
        given += sum(len(permits.numbers) for permits in turn)
        turn = ask(machines, made)
    assert given == RATE.requests
    # All of them wait for the same call to leave the window, by the database's clock.
    assert all(0 < permits.wait <= RATE.seconds + 1 for permits in turn)
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize("shift", APART)
def test_a_permit_given_ahead_lets_its_call_leave_by_the_clock_of_its_machine(postgresql: str, shift: float) -> None:
    with open_ledger(postgresql) as here, open_ledger(postgresql) as there:
        key = RateKey(tenant=TENANT, client="c", dialect="beta")
        first = here.calls(key, rate=RATE, process=a_process(1), clock=clock(1.0))
        numbers = first.permit(wanted=RATE.requests, counted={}).numbers
        counted_at = boot_time()
        first.permit(wanted=0, counted=dict.fromkeys(numbers, clock(1.0).monotonic()))
        second = there.calls(key, rate=RATE, process=a_process(2), clock=clock(shift))
        assert second.permit(wanted=2, counted={}).numbers == ()
        leave_at = second.permit(wanted=2, counted={}, ahead=RATE.seconds + 1).leave_at
        assert len(leave_at) == 2
        by_our_clock = [moment - clock(shift).monotonic() + boot_time() for moment in leave_at]
        assert all(moment >= counted_at + RATE.seconds for moment in by_our_clock)


def test_a_machine_near_its_database_gets_permits_beside_one_that_takes_them_ahead(postgresql: str) -> None:
    with open_ledger(postgresql) as here, open_ledger(postgresql) as there:
        key = RateKey(tenant=TENANT, client="c", dialect="beta")
        far = here.calls(key, rate=RATE, process=a_process(1), clock=clock(0.0))
        near = there.calls(key, rate=RATE, process=a_process(2), clock=clock(1.0))
        numbers = far.permit(wanted=RATE.requests, counted={}).numbers
        # They stop counting one second from now.
        far.permit(wanted=0, counted=dict.fromkeys(numbers, boot_time() - RATE.seconds + 1))
        assert len(far.permit(wanted=50, counted={}, ahead=2.0).numbers) == 50
        assert len(near.permit(wanted=5, counted={}).numbers) == 5


def ask(machines: list[Calls], made: list[dict[int, float | None]]) -> list[Permits]:
    """Each machine in turn asks for a few permits, and reports the calls of its last ones by its own clock."""
    turn = []
    for number, machine in enumerate(machines):
        turn.append(permits := machine.permit(wanted=5, counted=made[number]))
        made[number] = dict.fromkeys(permits.numbers, clock(APART[number]).monotonic())
    return turn


@pytest.mark.parametrize("shift", APART)
def test_a_command_goes_by_the_databases_clock_whatever_its_own_shows(
    postgresql: str, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_BATCH_LEDGER", postgresql)
    wall = Wall(clock(shift).now)
    machine = dataclasses.replace(runtime(), clock=Clock(now=wall.now, monotonic=boot_time, boot="one"), wall=wall)
    before = datetime.now(UTC)
    with machine.open_ledger(load({}), lambda *_lines: None):
        # The database is on this machine.
        assert before - timedelta(minutes=1) < machine.now() < datetime.now(UTC) + timedelta(minutes=1)


def test_a_run_needs_nothing_of_a_session_after_its_transaction(
    program: Program, postgresql: str, tmp_path: Path
) -> None:
    """As behind a pooler in transaction mode, which gives every transaction another session."""
    kept: list[object] = []

    def forget(raw: psycopg.Connection[Any], _record: object) -> None:
        kept.extend(raw.execute("SELECT name FROM pg_prepared_statements").fetchall())
        raw.execute("DISCARD ALL")

    wanted = [grant(number, number % 3) for number in range(30)]
    path = write_rows(tmp_path / "in.csv", wanted)
    sa.event.listen(sa.Pool, "checkin", forget)
    try:
        with running_sandbox() as tenant:
            words = ("submit", path, "--yes", "--ledger", postgresql, "--settle-after", "0")
            tenant.faults.add(None, None)
            first = program(*words, env=environment(tenant))
            again = program(*words, env=environment(tenant))
            assert accepted(tenant) == once(map(pair_of, wanted)), first.err
    finally:
        sa.event.remove(sa.Pool, "checkin", forget)
    assert (first.code, again.code, kept) == (0, 0, [])


def test_a_plan_that_a_failover_has_lost_right_after_its_commit_ends_the_command(
    program: Program, postgresql: str, tmp_path: Path
) -> None:
    """As behind a pooler, where no connection breaks when another server takes over."""
    wanted = [grant(number, number) for number in range(5)]
    path = write_rows(tmp_path / "in.csv", wanted)
    lost: list[object] = []

    def lose(_raw: object, _record: object) -> None:
        with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as other:
            planned = [] if lost else other.execute("SELECT id FROM run").fetchall()
            if planned:
                lost.extend(planned)
                other.execute("TRUNCATE run, event, signer CASCADE")

    sa.event.listen(sa.Pool, "checkin", lose)
    try:
        with running_sandbox() as tenant:
            words = ("submit", path, "--yes", "--ledger", postgresql)
            ended = program(*words, env=environment(tenant))
            assert accepted(tenant) == {}
            assert (ended.code, bool(lost)) == (4, True), ended.err
            assert "The ledger has lost the plan that was just written to it." in ended.err
            again = program(*words, env=environment(tenant))
            assert accepted(tenant) == once(map(pair_of, wanted)), again.err
    finally:
        sa.event.remove(sa.Pool, "checkin", lose)
    assert again.code == 0
