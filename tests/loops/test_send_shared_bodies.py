"""Requests that share a body: accepted together, in doubt together, refused each for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.model import Answer, Form, Request
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, REFUSED, THROTTLED, Place, singles, write
from tests.loops.send_stage import FIVE, NEVER_CONNECTED, UNAUTHORIZED, ScriptedTenant, Stage, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.ledger.store import Ledger
    from batch.plan.body import Body


@pytest.mark.parametrize("answer", [THROTTLED, UNAUTHORIZED, NEVER_CONNECTED])
async def test_a_shared_body_that_was_not_processed_is_sent_again_unchanged(answer: Answer, joined: Stage) -> None:
    tenant = in_turn(answer)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1, 2, 3), (4,), (5,)]
    assert tenant.accepted == FIVE
    assert joined.states() == {"ACCEPTED": 3}


async def test_every_request_in_a_body_that_may_have_arrived_is_in_doubt(joined: Stage) -> None:
    tenant = in_turn(FAILED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (4,), (5,)]
    assert [doubt.request.number for doubt in joined.ledger.requests.doubts(joined.run)] == [1, 2, 3]
    assert joined.states() == {"UNCONFIRMED": 1, "ACCEPTED": 2}


async def test_requests_refused_together_are_sent_one_by_one_and_refused_only_if_refused_alone(
    joined: Stage,
) -> None:
    tenant = in_turn(REFUSED, ACCEPTED, REFUSED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1,), (2,), (3,), (4,), (5,)]
    assert joined.states() == {"ACCEPTED": 4, "REFUSED": 1}
    assert [number for number, event in joined.witness.decisions if event == "refused"] == [2]
    assert (joined.pace.holds, joined.pace.pauses) == ([], [])


async def test_the_request_of_an_identity_named_in_a_refusal_leaves_the_shared_body(joined: Stage) -> None:
    tenant = in_turn(Answer(status=400, text="Identity i001 was not found.", form=Form.API), ACCEPTED, REFUSED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1, 3), (2,), (4,), (5,)]
    assert joined.states() == {"ACCEPTED": 3, "REFUSED": 1}


@pytest.mark.thorough
async def test_refused_shared_bodies_do_not_count_as_refused_requests(ledger: Ledger, path: Place) -> None:
    envelopes = [range(first, first + 3) for first in range(0, 90, 3)]
    stage = Stage(ledger, path, write(ledger, *singles(90), together=envelopes))
    tenant = FlatTenant(_accepting)
    await stage.submitter(tenant).submit(1)
    assert stage.states() == {"ACCEPTED": 90}
    assert sum(len(body) > 1 for body in tenant.bodies) == 30


async def _accepting(_request: Request, _token: str) -> Answer:
    return ACCEPTED


class FlatTenant(ScriptedTenant):
    """Refuses every body of several requests."""

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        if len(body.requests) == 1:
            return await super().submit(body, token, on_sent=on_sent)
        self.bodies.append(tuple(request.number for request in body.requests))
        on_sent()
        return REFUSED
