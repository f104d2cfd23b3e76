"""Tokens that expire or are refused while requests are sent."""

from __future__ import annotations

import asyncio

import pytest

from batch.errors import (
    CredentialsRefusedError,
)
from batch.model import Answer, Form, Request
from tests.ledger.ledger_helpers import ACCEPTED
from tests.loops.send_stage import FIVE, UNAUTHORIZED, FakePermit, OpenTurnstile, ScriptedTenant, Stage, always, in_turn


async def test_a_request_answered_401_is_sent_again_with_a_new_token(five: Stage) -> None:
    tenant = in_turn(UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert tenant.posts[:2] == [(1, "token-1"), (1, "token-2")]


async def test_a_401_with_a_new_token_stops_and_leaves_the_request_planned(five: Stage) -> None:
    with pytest.raises(CredentialsRefusedError, match="401: JWT is expired") as caught:
        await five.submitter(always(UNAUTHORIZED)).submit(1)
    assert "run the same command again" in caught.value.next_step
    assert five.states() == {"PLANNED": 5}


async def test_a_token_may_expire_any_number_of_times_if_each_worked(five: Stage) -> None:
    tenant = in_turn(UNAUTHORIZED, ACCEPTED, UNAUTHORIZED, ACCEPTED, UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert tenant.posts[-1][1] == "token-4"


async def test_a_token_that_expires_during_many_attempts_is_renewed_once(five: Stage) -> None:
    async def reply(request: Request, token: str) -> Answer:
        if request.number == 1 or token != "token-1":
            return ACCEPTED
        await together.wait()
        return UNAUTHORIZED

    together = asyncio.Barrier(3)  # the first goes alone, and the last is held back
    tenant = ScriptedTenant(reply)
    await five.submitter(tenant).submit(5)
    assert tenant.accepted == FIVE
    assert {token for _, token in tenant.posts} == {"token-1", "token-2"}


async def test_a_token_that_expires_while_attempts_wait_for_the_pace_is_renewed_before_they_leave(five: Stage) -> None:
    class SlowTurnstile(OpenTurnstile):
        """Every wait outlasts the token that was good before it."""

        async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> list[FakePermit]:
            await tenant.token(other_than=await tenant.token())
            return await super().wait(most=most, to_come=to_come, ahead=ahead)

    async def reply(_request: Request, token: str) -> Answer:
        return ACCEPTED if token == await tenant.token() else UNAUTHORIZED

    tenant = ScriptedTenant(reply)
    await five.submitter(tenant, pace=SlowTurnstile()).submit(1)
    assert tenant.accepted == FIVE
    assert len(tenant.posts) == 5


async def test_a_token_endpoint_that_repeats_the_refused_token_ends_the_run(five: Stage) -> None:
    class Cached(ScriptedTenant):
        async def token(self, *, other_than: str = "") -> str:
            assert other_than in {"", "cached"}
            return "cached"

    async def reply(_request: Request, _token: str) -> Answer:
        return Answer(status=401, form=Form.API)

    tenant = Cached(reply)
    with pytest.raises(CredentialsRefusedError):
        await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 1
