"""Sending that ends early: because it is asked to stop, the ledger fails, or the sender has a bug."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batch.errors import (
    LedgerLostError,
)
from batch.ledger.process import Process
from tests.fakes import FakeClock
from tests.ledger.ledger_helpers import ACCEPTED, alter, break_connections, rows
from tests.loops.send_stage import FakePermit, OpenTurnstile, ScriptedTenant, Stage, always

if TYPE_CHECKING:
    from batch.model import Answer, Request


FULL_DISK = "ALTER TABLE event RENAME TO elsewhere"
"""After this statement the ledger can't record anything, as on a full disk."""


async def test_stopping_lets_attempts_in_flight_finish_and_claims_nothing_more(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 1:
            return ACCEPTED
        if len(tenant.posts) == 3:
            submitter.stop()
            go_on.set()
        await go_on.wait()
        return ACCEPTED

    go_on = asyncio.Event()
    tenant = ScriptedTenant(reply)
    submitter = five.submitter(tenant)
    await submitter.submit(2)
    assert five.states() == {"ACCEPTED": 3, "PLANNED": 2}
    assert len(five.witness.decisions) == 3


@pytest.mark.sqlite_only
@pytest.mark.parametrize("noticed_by", ["a beat", "a reader"])
async def test_after_a_lost_connection_nothing_more_is_sent_whoever_noticed_it(five: Stage, noticed_by: str) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 2:
            break_connections(five.ledger)
            with suppress(LedgerLostError):
                if noticed_by == "a beat":
                    five.ledger.runs.beat(five.run, Process.current(), FakeClock()())
                else:
                    five.ledger.doubts.listing_delay(five.run.id, FakeClock()())
        return ACCEPTED

    tenant = ScriptedTenant(reply)
    with pytest.raises(LedgerLostError):
        await five.submitter(tenant).submit(1)
    assert five.states() == {"ACCEPTED": 2, "PLANNED": 3}
    assert len(tenant.posts) == 2


async def test_stopping_does_not_wait_for_the_pace(five: Stage) -> None:
    class ShutTurnstile(OpenTurnstile):
        async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> list[FakePermit]:
            asyncio.get_running_loop().call_soon(submitter.stop)
            await asyncio.Event().wait()
            return await super().wait(most=most, to_come=to_come, ahead=ahead)

    tenant = always(ACCEPTED)
    submitter = five.submitter(tenant, pace=ShutTurnstile())
    await submitter.submit(3)
    assert tenant.posts == []
    assert five.states() == {"PLANNED": 5}


async def test_a_sender_stopped_before_it_begins_sends_nothing(five: Stage) -> None:
    tenant = always(ACCEPTED)
    submitter = five.submitter(tenant)
    submitter.stop()
    await submitter.submit(2)
    assert tenant.posts == []


async def test_abandoning_ends_at_once_and_leaves_attempts_in_flight_as_sending(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 1:
            return ACCEPTED
        if len(tenant.posts) == 3:
            asyncio.get_running_loop().call_soon(submitter.abandon)
        await asyncio.Event().wait()
        return ACCEPTED

    tenant = ScriptedTenant(reply)
    submitter = five.submitter(tenant)
    await submitter.submit(2)
    assert five.states() == {"ACCEPTED": 1, "SENDING": 2, "PLANNED": 2}
    assert five.ledger.runs.hold(five.run, Process.current(), FakeClock()()) == 2
    assert five.states() == {"ACCEPTED": 1, "UNCONFIRMED": 2, "PLANNED": 2}


async def test_a_ledger_that_can_not_record_an_answer_stops_the_run(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 2:
            alter(five.path, FULL_DISK)
        return ACCEPTED

    tenant = ScriptedTenant(reply)
    with pytest.raises(LedgerLostError, match="event"):
        await five.submitter(tenant).submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2]
    assert rows(five.path, "SELECT state FROM request WHERE number = 2") == [("SENDING",)]


async def test_a_ledger_that_can_not_record_an_attempt_prevents_it(five: Stage) -> None:
    alter(five.path, FULL_DISK)
    tenant = always(ACCEPTED)
    with pytest.raises(LedgerLostError):
        await five.submitter(tenant).submit(3)
    assert tenant.posts == []
    assert rows(five.path, "SELECT DISTINCT state FROM request") == [("PLANNED",)]


class Panic(BaseException):
    """As a library in another language raises when it gives up."""


@pytest.mark.parametrize("error", [RuntimeError("bug"), Panic("bug")], ids=["exception", "panic"])
async def test_a_bug_in_the_sender_is_raised_and_stops_the_others(error: BaseException, five: Stage) -> None:
    async def reply(_request: Request, _token: str) -> Answer:
        raise error

    tenant = ScriptedTenant(reply)
    with pytest.raises(type(error), match="bug"):
        await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 1
    assert five.states() == {"SENDING": 1, "PLANNED": 4}
