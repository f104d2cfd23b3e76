"""What the sender does after each kind of answer: send again, wait, leave the request unconfirmed, or stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batch.answers.outcome import DEFAULT_PAUSE, backoff
from batch.errors import (
    AccessBatchError,
    CredentialsRefusedError,
    TenantLostError,
)
from batch.model import Answer, Request
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, singles, write
from tests.loops.send_stage import (
    BROKEN,
    FIVE,
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
    from pathlib import Path

    from batch.ledger.store import Ledger


@pytest.mark.parametrize(
    "answer", [FAILED, BROKEN, Answer(status=502), Answer(status=504), Answer(status=503), Answer(status=408)]
)
async def test_a_request_that_may_have_arrived_stays_unconfirmed_and_is_not_sent_again(
    answer: Answer, five: Stage
) -> None:
    tenant = in_turn(answer)
    await five.submitter(tenant).submit(1)
    assert five.states() == {"UNCONFIRMED": 1, "ACCEPTED": 4}
    assert [number for number, _ in tenant.posts] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a_refused_change_does_not_stop_the_others(status: int, five: Stage) -> None:
    await five.submitter(in_turn(Answer(status=status, text="No."))).submit(1)
    assert five.states() == {"REFUSED": 1, "ACCEPTED": 4}
    assert five.ledger.requests.last_reasons(five.run)[1] == f"the tenant answered {status}: No."


@pytest.mark.parametrize(
    ("answer", "pause", "violated"),
    [
        (Answer(status=429, retry_after=7.0), 7.0, True),
        (Answer(status=429), DEFAULT_PAUSE, True),
        (Answer(status=503, retry_after=3.0), 3.0, False),
    ],
)
async def test_a_throttled_request_is_sent_again_after_the_pause_that_the_tenant_asks_for(
    answer: Answer,
    pause: float,
    violated: bool,  # noqa: FBT001 - a table
    five: Stage,
) -> None:
    tenant = in_turn(ACCEPTED, answer)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert five.pace.pauses == [(pause, five.pace.permits[1].given_at, violated)]
    assert [seconds for seconds, reason in five.pace.reported if reason and seconds] == [pause]
    assert [number for number, _ in tenant.posts] == [1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize("answer", [NEVER_CONNECTED, FAILED, BROKEN, Answer(status=503), Answer(status=200)])
async def test_after_a_failure_the_sender_backs_off(answer: Answer, five: Stage) -> None:
    await five.submitter(in_turn(answer, answer, answer)).submit(1)
    assert five.pace.holds == [backoff(failures, 1.0) for failures in range(3)]
    assert five.pace.pauses == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=403, text="Forbidden."), CredentialsRefusedError),
        (Answer(status=404, text="Not here."), TenantLostError),
        (Answer(status=307), TenantLostError),
        (Answer(status=405), TenantLostError),
    ],
)
async def test_an_answer_that_concerns_every_request_stops_the_run_and_leaves_them_planned(
    answer: Answer, error: type[AccessBatchError], five: Stage
) -> None:
    tenant = always(answer)
    with pytest.raises(error, match=str(answer.status)) as caught:
        await five.submitter(tenant).submit(1)
    assert caught.value.exit_code == 4
    assert caught.value.next_step
    assert len(tenant.posts) == 1
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


async def test_simultaneous_failures_count_once_and_then_one_attempt_probes(ledger: Ledger, path: Path) -> None:
    at_once = 12
    # The last one is held back while others are in flight.
    stage = Stage(ledger, path, write(ledger, *singles(at_once + 1)))

    flying, alone = 0, list[int]()
    together = asyncio.Barrier(at_once)

    async def reply(request: Request, _token: str) -> Answer:
        nonlocal flying
        flying += 1
        if request.attempts == 1 and len(tenant.posts) <= at_once:
            await together.wait()
            flying -= 1
            return NEVER_CONNECTED
        alone.append(flying)
        flying -= 1
        return NEVER_CONNECTED if len(alone) < 4 else ACCEPTED

    tenant = ScriptedTenant(reply)
    await stage.submitter(tenant).submit(at_once)
    assert stage.states() == {"ACCEPTED": at_once + 1}
    assert stage.pace.holds == [backoff(0, 1.0)] * at_once + [backoff(n, 1.0) for n in (1, 2, 3)]
    assert alone[:4] == [1, 1, 1, 1]


def test_a_failure_after_a_long_idle_time_begins_a_new_series(five: Stage) -> None:
    class Slow(OpenTurnstile):
        async def wait(self, *, most: int = 1, to_come: int = 1) -> list[FakePermit]:
            await asyncio.sleep(1000)
            return await super().wait(most=most, to_come=to_come)

    async def program() -> None:
        await five.submitter(in_turn(ACCEPTED, NEVER_CONNECTED), pace=Slow(), give_up_after=600).submit(1)

    run_in_virtual_time(program())
    assert five.states() == {"ACCEPTED": 5}
