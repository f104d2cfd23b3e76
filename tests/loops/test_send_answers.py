"""What the sender does after each kind of answer: send again, wait, leave the request unconfirmed, or stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batch.answers.outcome import DEFAULT_PAUSE, backoff
from batch.answers.poison import FEW
from batch.errors import (
    AccessBatchError,
    CredentialsRefusedError,
    TenantLostError,
)
from batch.model import Answer, Failure, Form, Request
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, Place, singles, write
from tests.loops.send_stage import (
    BROKEN,
    FIVE,
    FORBIDDEN,
    NEVER_CONNECTED,
    FakePermit,
    OpenTurnstile,
    ScriptedTenant,
    Stage,
    always,
    in_turn,
)
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from batch.ledger.store import Ledger


@pytest.mark.parametrize(
    "answer",
    [
        FAILED,
        BROKEN,
        *(Answer(status=status) for status in (307, 404, 405, 408, 409, 413, 422, 502, 503, 504)),
        Answer(status=503, retry_after=1.0),
        Answer(status=429, retry_after=1.0),
        *(Answer(status=status, form=Form.PAGE) for status in (400, 401, 403, 429)),
    ],
)
async def test_a_request_that_may_have_arrived_stays_unconfirmed_and_is_not_sent_again(
    answer: Answer, five: Stage
) -> None:
    tenant = in_turn(answer)
    await five.submitter(tenant).submit(1)
    assert five.states() == {"UNCONFIRMED": 1, "ACCEPTED": 4}
    assert [number for number, _ in tenant.posts] == [1, 2, 3, 4, 5]


async def test_a_refused_change_does_not_stop_the_others(five: Stage) -> None:
    await five.submitter(in_turn(Answer(status=400, text="No.", form=Form.API))).submit(1)
    assert five.states() == {"REFUSED": 1, "ACCEPTED": 4}
    assert five.ledger.requests.last_reasons(five.run)[1] == "the tenant answered 400: No."


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(status=429, retry_after=7.0, form=Form.API), 7.0),
        (Answer(status=429, form=Form.API), DEFAULT_PAUSE),
    ],
)
async def test_a_throttled_request_is_sent_again_after_the_pause_that_the_tenant_asks_for(
    answer: Answer, pause: float, five: Stage
) -> None:
    tenant = in_turn(ACCEPTED, answer)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert five.pace.pauses == [(pause, five.pace.permits[1].given_at, True)]
    assert [seconds for seconds, reason in five.pace.reported if reason and seconds] == [pause]
    assert [number for number, _ in tenant.posts] == [1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("answer", "pause", "violated"),
    [
        (Answer(status=503, retry_after=3.0), 3.0, False),
        (Answer(status=429, retry_after=7.0, form=Form.PAGE), 7.0, True),
    ],
)
async def test_a_wait_that_a_gateway_asks_for_is_kept_though_the_request_may_have_arrived(
    answer: Answer,
    pause: float,
    violated: bool,  # noqa: FBT001 - a table
    five: Stage,
) -> None:
    tenant = in_turn(ACCEPTED, answer)
    await five.submitter(tenant).submit(1)
    assert five.pace.pauses == [(pause, five.pace.permits[1].given_at, violated)]
    assert five.states() == {"UNCONFIRMED": 1, "ACCEPTED": 4}


@pytest.mark.parametrize("answer", [NEVER_CONNECTED, FAILED, BROKEN, Answer(status=503), Answer(status=200)])
async def test_after_a_failure_the_sender_backs_off(answer: Answer, five: Stage) -> None:
    await five.submitter(in_turn(answer, answer, answer)).submit(1)
    assert five.pace.holds == [backoff(failures, 1.0) for failures in range(3)]
    assert five.pace.pauses == []


@pytest.mark.parametrize(
    ("answer", "error", "posts"),
    [
        (FORBIDDEN, CredentialsRefusedError, FEW),
        (Answer(failure=Failure.UNTRUSTED, text="the certificate has expired"), TenantLostError, 1),
    ],
)
async def test_an_answer_that_concerns_every_request_stops_the_run_and_leaves_them_planned(
    answer: Answer, error: type[AccessBatchError], posts: int, five: Stage
) -> None:
    tenant = always(answer)
    with pytest.raises(error, match=answer.text) as caught:
        await five.submitter(tenant).submit(1)
    assert caught.value.exit_code == 4
    assert caught.value.next_step
    assert len(tenant.posts) == posts
    assert five.states() == {"PLANNED": 5}


async def test_the_run_gives_up_a_tenant_that_fails_for_too_long(five: Stage) -> None:
    tenant = always(NEVER_CONNECTED)
    with pytest.raises(TenantLostError, match="refused") as caught:
        await five.submitter(tenant, give_up_after=0).submit(1)
    assert caught.value.exit_code == 4
    assert len(tenant.posts) == 1
    assert five.states() == {"PLANNED": 5}


async def test_a_success_ends_a_series_of_failures(five: Stage) -> None:
    tenant = in_turn(NEVER_CONNECTED, NEVER_CONNECTED, ACCEPTED, NEVER_CONNECTED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert five.pace.holds == [backoff(0, 1.0), backoff(1, 1.0), backoff(0, 1.0)]


async def test_simultaneous_failures_count_once_and_then_one_attempt_probes(ledger: Ledger, path: Place) -> None:
    at_once = 12
    # The first goes alone, and the last is held back while others are in flight.
    stage = Stage(ledger, path, write(ledger, *singles(at_once + 2)))

    flying, alone = 0, list[int]()
    together = asyncio.Barrier(at_once)

    async def reply(request: Request, _token: str) -> Answer:
        nonlocal flying
        if request.number == 1:
            return ACCEPTED
        flying += 1
        if request.attempts == 1 and len(tenant.posts) <= 1 + at_once:
            await together.wait()
            flying -= 1
            return NEVER_CONNECTED
        alone.append(flying)
        flying -= 1
        return NEVER_CONNECTED if len(alone) < 4 else ACCEPTED

    tenant = ScriptedTenant(reply)
    await stage.submitter(tenant).submit(at_once)
    assert stage.states() == {"ACCEPTED": at_once + 2}
    assert stage.pace.holds == [backoff(0, 1.0)] * at_once + [backoff(n, 1.0) for n in (1, 2, 3)]
    assert alone[:4] == [1, 1, 1, 1]


def test_a_failure_after_a_long_idle_time_begins_a_new_series(five: Stage) -> None:
    class Slow(OpenTurnstile):
        async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> list[FakePermit]:
            await asyncio.sleep(1000)
            return await super().wait(most=most, to_come=to_come, ahead=ahead)

    async def program() -> None:
        await five.submitter(in_turn(ACCEPTED, NEVER_CONNECTED), pace=Slow(), give_up_after=600).submit(1)

    run_in_virtual_time(program())
    assert five.states() == {"ACCEPTED": 5}
