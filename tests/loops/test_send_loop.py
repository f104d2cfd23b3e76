"""Sending: every request is recorded before it leaves, keeps to the pace, and is accepted exactly once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import DIALECTS
from batch.errors import (
    BrokenPromiseError,
    RunHeldError,
)
from batch.ledger.calls import RateKey
from batch.ledger.process import Process, boot_time
from batch.model import Clock
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.settings import Credentials
from batch.states import State
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace
from tests.builders import NOW
from tests.clocks import MACHINE, wall
from tests.fakes import FakeClock
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    THROTTLED,
    Place,
    a_process,
    attempts,
    content_of,
    rows,
    singles,
    write,
)
from tests.loops.send_stage import FIVE, UNAUTHORIZED, ScriptedTenant, Stage, always, in_turn

if TYPE_CHECKING:
    from datetime import datetime

    from batch.ledger.store import Ledger
    from batch.model import Answer, Request


@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_everything_is_accepted_exactly_once(concurrency: int, five: Stage) -> None:
    tenant = always(ACCEPTED)
    await five.submitter(tenant).submit(concurrency)
    assert tenant.accepted == FIVE
    assert len(tenant.posts) == 5
    assert five.states() == {"ACCEPTED": 5}
    assert sorted(five.witness.decisions) == [(number, "accepted") for number in range(1, 6)]


async def test_a_run_with_nothing_left_to_send_makes_no_attempt(five: Stage) -> None:
    five.ledger.runs.discard(five.run, FakeClock()())
    tenant = always(ACCEPTED)
    await five.submitter(tenant).submit(3)
    assert tenant.posts == []


async def test_a_request_is_sending_in_the_ledger_before_it_leaves(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        seen.append(rows(five.path, "SELECT state, attempts FROM request WHERE number = ?", request.number))
        return ACCEPTED

    seen: list[object] = []
    await five.submitter(ScriptedTenant(reply)).submit(1)
    assert seen == [[("SENDING", 1)]] * 5


async def test_every_attempt_goes_through_the_turnstile(five: Stage) -> None:
    tenant = in_turn(THROTTLED, UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 7
    assert [permit.ends[:1] for permit in five.pace.permits].count(["gone"]) == 7
    assert all(permit.ends for permit in five.pace.permits)


async def test_the_turnstile_knows_how_many_attempts_are_to_come(five: Stage) -> None:
    await five.submitter(in_turn(ACCEPTED, THROTTLED)).submit(1)
    assert five.pace.to_come == [5, 4, 4, 3, 2, 1]


async def test_no_more_permits_are_asked_for_than_bodies_are_left(five: Stage) -> None:
    await five.submitter(always(ACCEPTED)).submit(20)
    assert [permit.ends[0] for permit in five.pace.permits] == ["gone"] * 5


async def test_the_last_body_is_held_back_until_nothing_else_is_in_flight(five: Stage) -> None:
    in_flight = 0

    async def reply(request: Request, _token: str) -> Answer:
        nonlocal in_flight
        in_flight += 1
        assert request.number != 5 or in_flight == 1
        await asyncio.sleep(0.01)
        in_flight -= 1
        return ACCEPTED

    await five.submitter(ScriptedTenant(reply)).submit(20)
    assert five.states() == {"ACCEPTED": 5}


async def test_a_process_that_lost_its_run_to_another_claims_nothing_more(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 2:
            five.ledger.runs.release(five.run, Process.current(), NOW)
            five.ledger.runs.hold(five.run, a_process(), NOW)
        return ACCEPTED

    tenant = ScriptedTenant(reply)
    with pytest.raises((RunHeldError, BrokenPromiseError)):
        await five.submitter(tenant).submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2]


async def test_a_claim_that_has_grown_old_is_claimed_again_before_it_is_sent(five: Stage) -> None:
    """A laptop that slept between the claim and the attempt may have been taken for dead meanwhile."""

    class Sleepy(FakeClock):
        slept = 0.0

        def __call__(self) -> datetime:
            # The claim is dated.
            self.slept = 300.0
            return self.now

    sleepy = Sleepy()
    clock = Clock(now=sleepy, monotonic=lambda: boot_time() + sleepy.slept)

    async def reply(_request: Request, _token: str) -> Answer:
        return ACCEPTED

    tenant = ScriptedTenant(reply)
    submitter = five.submitter(tenant, clock=clock)
    await submitter.submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2, 3, 4, 5]
    assert [(request, number) for request, number, _ in attempts(five.path)][:3] == [(1, 1), (1, 2), (2, 1)]


async def test_a_faulty_sandbox_and_the_ledger_agree_and_the_ledger_holds_no_secret(
    ledger: Ledger, path: Place
) -> None:
    stage = Stage(ledger, path, write(ledger, *singles(12)))
    with running_sandbox() as sandbox:
        sandbox.faults.add(
            Fault.UNAUTHORIZED_401, Fault.THROTTLED_429, Fault.ERROR_500_AFTER, Fault.ERROR_500_BEFORE, Fault.DROP_AFTER
        )
        credentials = Credentials.model_validate(
            {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
        )
        calls = ledger.calls(
            RateKey(tenant="t", client="c", dialect="beta"),
            rate=DIALECTS["beta"].rate,
            process=Process.current(),
            clock=MACHINE,
        )
        pace = Pace(DIALECTS["beta"].rate, calls, tell=stage.witness.tell, clock=MACHINE)
        async with Tenant(
            base_url=sandbox.base_url,
            dialect=DIALECTS["beta"],
            credentials=credentials,
            timeout=600,
            concurrency=1,
            pace=pace,
            clock=wall(FakeClock()),
            jitter=lambda: 0.0,
            give_up_after=60,
            tell=stage.witness.tell,
        ) as tenant:
            await stage.submitter(tenant).submit(1)
            token = await tenant.token()
        counts = sandbox.tenant.audit.change_counts()
    assert stage.states() == {"ACCEPTED": 9, "UNCONFIRMED": 3}
    assert set(counts.values()) == {1}
    accepted = {request.recipients[0] for request in ledger.requests.in_state(stage.run, State.ACCEPTED)}
    assert accepted <= {change.identity for change in counts}
    assert len(counts) == 11
    kept = content_of(path)
    assert sandbox.client_secret.encode() not in kept
    assert token.encode() not in kept
