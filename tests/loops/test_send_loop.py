"""The sending loop: a real ledger, a scripted tenant; whatever comes back, every change is accepted exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch.answers.events import AttemptEnded, AttemptStarted, Waiting
from batch.answers.outcome import DEFAULT_PAUSE, backoff
from batch.answers.stop_rule import ALL_REFUSED_AFTER, HALF_REFUSED_AFTER
from batch.api.dialects import DIALECTS
from batch.commands.interrupt import on_interrupt
from batch.errors import (
    AccessBatchError,
    BrokenPromiseError,
    CredentialsRefusedError,
    LedgerLostError,
    RunHeldError,
    TenantLostError,
    TooManyRefusalsError,
)
from batch.ledger.calls import RateKey
from batch.ledger.process import Process
from batch.loops.send import Submitter
from batch.loops.settle import Settler
from batch.model import Answer, Failure, Request, Run
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.settings import Credentials
from batch.states import State
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace
from batch.tenant.status import ListingForbiddenError
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    NOW,
    REFUSED,
    THROTTLED,
    FakeClock,
    a_process,
    alter,
    attempts,
    change,
    open_ledger,
    product,
    rows,
    singles,
    write,
)
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from batch.answers.events import RunEvent
    from batch.ledger.store import Ledger
    from batch.loops.ports import Turnstile
    from batch.tenant.status import Page, Query

UNAUTHORIZED = Answer(status=401, text="JWT is expired")
NEVER_CONNECTED = Answer(failure=Failure.NEVER_CONNECTED, text="ConnectError: refused")
BROKEN = Answer(failure=Failure.BROKEN, text="ReadTimeout: ReadTimeout")


class FakeTenant:
    """Answers as it is told, and keeps books of what it has accepted."""

    def __init__(self, answer: Callable[[Request, str], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._tokens = 1
        self.posts: list[tuple[int, str]] = []
        self.bodies: list[tuple[int, ...]] = []
        self.accepted: Counter[tuple[str, str]] = Counter()

    async def token(self, *, other_than: str = "") -> str:
        if other_than == self._token():
            self._tokens += 1
        return self._token()

    def explain_forbidden(self) -> str:
        return "What is missing: everything."

    async def submit(self, body: Sequence[Request], token: str, *, on_sent: Callable[[], None]) -> Answer:
        self.posts.append((body[0].number, token))
        self.bodies.append(tuple(request.number for request in body))
        on_sent()
        answer = await self._answer(body[0], token)
        if answer.status == 202:
            self.accepted.update((who, item.id) for one in body for who in one.recipients for item in one.items)
        return answer

    def _token(self) -> str:
        return f"token-{self._tokens}"


class FakePermit:
    """Remembers what became of it."""

    def __init__(self, number: int) -> None:
        self.given_at = float(number)
        self.ends: list[str] = []

    def on_sent(self) -> None:
        self.ends.append("gone")

    def unused(self) -> None:
        self.ends.append("unused")


class OpenTurnstile:
    """Lets everything go at once, and remembers what it was asked."""

    def __init__(self) -> None:
        self.quiet = False
        self.silenced = 0.0
        self.permits: list[FakePermit] = []
        self.to_come: list[int] = []
        self.pauses: list[tuple[float, float, bool]] = []
        self.holds: list[float] = []
        self.told: list[tuple[float, str]] = []

    async def wait(self, *, most: int = 1, to_come: int = 1) -> list[FakePermit]:
        await asyncio.sleep(0)
        self.to_come.append(to_come)
        new = [FakePermit(len(self.permits) + number) for number in range(most)]
        self.permits += new
        return new

    async def pause(self, seconds: float, *, permitted_at: float = 0.0, violated: bool = False) -> None:
        self.pauses.append((seconds, permitted_at, violated))

    def hold(self, seconds: float) -> None:
        self.holds.append(seconds)

    def report_wait(self, seconds: float, reason: str) -> None:
        self.told.append((seconds, reason))


class Witness:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.decisions: list[tuple[int, str]] = []
        self.parts: list[int] = []
        self.waits: list[tuple[float, str]] = []

    def tell(self, event: RunEvent) -> None:
        match event:
            case AttemptStarted(request=request):
                self.begun.append(request.number)
            case AttemptEnded(request=request, answer=answer, decision=decision):
                assert answer.status is not None or decision.reason
                assert event.seconds >= 0
                self.decisions.append((request.number, decision.event.value))
                self.parts.append(event.parts)
            case Waiting(seconds=seconds, reason=reason):
                self.waits.append((seconds, reason))
            case _:
                raise AssertionError(event)


class ClosedListing:
    """A status list that the tenant does not show, so that what is unconfirmed stays so."""

    async def clock_offset(self) -> timedelta:
        return timedelta()

    async def page(self, query: Query, number: int) -> Page:
        raise ListingForbiddenError(f"nobody may see page {number} of {query}")


class Stage:
    """A run in a real ledger, and everything that a Submitter needs."""

    def __init__(self, ledger: Ledger, path: Path, run: Run) -> None:
        self.ledger, self.path, self.run = ledger, path, run
        self.pace = OpenTurnstile()
        self.witness = Witness()

    def submitter(
        self,
        tenant: FakeTenant | Tenant,
        *,
        pace: Turnstile | None = None,
        clock: FakeClock | None = None,
        give_up_after: float = 600.0,
    ) -> Submitter:
        self.ledger.runs.hold(self.run, Process.current(), NOW)
        return Submitter(
            self.run,
            ledger=self.ledger,
            tenant=tenant,
            settler=Settler(
                ledger=self.ledger, listing=ClosedListing(), settle_after=0, clock=FakeClock(), tell=self.witness.tell
            ),
            pace=pace or self.pace,
            tell=self.witness.tell,
            process=Process.current(),
            clock=clock or FakeClock(),
            jitter=lambda: 1.0,
            give_up_after=give_up_after,
        )

    def states(self) -> dict[str, int]:
        return dict(self.ledger.runs.tally(self.run).requests)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with open_ledger(path) as opened:
        yield opened


@pytest.fixture
def five(ledger: Ledger, path: Path) -> Stage:
    """A run of five requests of one change each."""
    return Stage(ledger, path, write(ledger, *singles(5)))


FIVE = {(f"i{number:03}", "r1"): 1 for number in range(5)}


def always(answer: Answer) -> FakeTenant:
    async def reply(_request: Request, _token: str) -> Answer:
        return answer

    return FakeTenant(reply)


def in_turn(*answers: Answer) -> FakeTenant:
    """Gives these answers, then accepts."""
    left = list(answers)

    async def reply(_request: Request, _token: str) -> Answer:
        return left.pop(0) if left else ACCEPTED

    return FakeTenant(reply)


@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_everything_is_accepted_exactly_once(concurrency: int, five: Stage) -> None:
    tenant = always(ACCEPTED)
    await five.submitter(tenant).submit(concurrency)
    assert tenant.accepted == FIVE
    assert len(tenant.posts) == 5
    assert five.states() == {"ACCEPTED": 5}
    assert sorted(five.witness.decisions) == [(number, "accepted") for number in range(1, 6)]


async def test_a_run_without_anything_left_to_send_makes_no_attempt(five: Stage) -> None:
    five.ledger.runs.discard(five.run, FakeClock()())
    tenant = always(ACCEPTED)
    await five.submitter(tenant).submit(3)
    assert tenant.posts == []


async def test_a_request_is_sending_in_the_ledger_before_its_attempt_is_made(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        seen.append(rows(five.path, "SELECT state, attempts FROM request WHERE id = ?", request.number))
        return ACCEPTED

    seen: list[object] = []
    await five.submitter(FakeTenant(reply)).submit(1)
    assert seen == [[("SENDING", 1)]] * 5


async def test_every_attempt_goes_through_the_turnstile(five: Stage) -> None:
    tenant = in_turn(THROTTLED, UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 7
    assert [permit.ends[:1] for permit in five.pace.permits].count(["gone"]) == 7
    assert all(permit.ends for permit in five.pace.permits)


async def test_the_turnstile_is_told_how_much_is_to_come(five: Stage) -> None:
    await five.submitter(in_turn(ACCEPTED, THROTTLED)).submit(1)
    assert five.pace.to_come == [5, 4, 4, 3, 2, 1]


async def test_permits_for_which_nothing_is_left_are_given_back(five: Stage) -> None:
    await five.submitter(always(ACCEPTED)).submit(20)
    assert sorted(permit.ends[0] for permit in five.pace.permits) == ["gone"] * 5 + ["unused"] * 15


@pytest.mark.parametrize(
    "answer", [FAILED, BROKEN, Answer(status=502), Answer(status=504), Answer(status=503), Answer(status=408)]
)
async def test_what_may_have_arrived_stays_unconfirmed_and_is_not_sent_again(answer: Answer, five: Stage) -> None:
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
async def test_what_was_turned_away_is_sent_again_after_the_silence_that_the_tenant_asks_for(
    answer: Answer,
    pause: float,
    violated: bool,  # noqa: FBT001 - a table
    five: Stage,
) -> None:
    tenant = in_turn(ACCEPTED, answer)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert five.pace.pauses == [(pause, five.pace.permits[1].given_at, violated)]
    assert [seconds for seconds, reason in five.pace.told if reason and seconds] == [pause]
    assert [number for number, _ in tenant.posts] == [1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize("answer", [NEVER_CONNECTED, FAILED, BROKEN, Answer(status=503), Answer(status=200)])
async def test_after_a_failure_the_sender_backs_off(answer: Answer, five: Stage) -> None:
    await five.submitter(in_turn(answer, answer, answer)).submit(1)
    assert five.pace.holds == [backoff(failures, 1.0) for failures in range(3)]
    assert five.pace.pauses == []


async def test_a_401_gets_a_new_token_and_is_sent_again(five: Stage) -> None:
    tenant = in_turn(UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert tenant.posts[:2] == [(1, "token-1"), (1, "token-2")]


async def test_a_401_with_a_new_token_stops_and_leaves_the_request_planned(five: Stage) -> None:
    with pytest.raises(CredentialsRefusedError, match="401: JWT is expired") as caught:
        await five.submitter(always(UNAUTHORIZED)).submit(1)
    assert "run the same command again" in caught.value.next_step
    assert five.states() == {"PLANNED": 5}


async def test_a_token_may_expire_as_often_as_it_worked_in_between(five: Stage) -> None:
    tenant = in_turn(UNAUTHORIZED, ACCEPTED, UNAUTHORIZED, ACCEPTED, UNAUTHORIZED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert tenant.posts[-1][1] == "token-4"


async def test_a_token_that_expires_under_many_attempts_at_once_is_renewed_once(five: Stage) -> None:
    async def reply(_request: Request, token: str) -> Answer:
        if token != "token-1":
            return ACCEPTED
        await together.wait()
        return UNAUTHORIZED

    together = asyncio.Barrier(5)
    tenant = FakeTenant(reply)
    await five.submitter(tenant).submit(5)
    assert tenant.accepted == FIVE
    assert {token for _, token in tenant.posts} == {"token-1", "token-2"}


async def test_a_token_that_expires_while_the_pace_holds_attempts_back_is_renewed_before_they_go(five: Stage) -> None:
    class SlowTurnstile(OpenTurnstile):
        """Every wait outlasts the token that was good before it."""

        async def wait(self, *, most: int = 1, to_come: int = 1) -> list[FakePermit]:
            await tenant.token(other_than=await tenant.token())
            return await super().wait(most=most, to_come=to_come)

    async def reply(_request: Request, token: str) -> Answer:
        return ACCEPTED if token == await tenant.token() else UNAUTHORIZED

    tenant = FakeTenant(reply)
    await five.submitter(tenant, pace=SlowTurnstile()).submit(1)
    assert tenant.accepted == FIVE
    assert len(tenant.posts) == 5


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=403, text="Forbidden."), CredentialsRefusedError),
        (Answer(status=404, text="Not here."), TenantLostError),
        (Answer(status=307), TenantLostError),
        (Answer(status=405), TenantLostError),
    ],
)
async def test_an_answer_that_concerns_every_request_stops_and_leaves_them_planned(
    answer: Answer, error: type[AccessBatchError], five: Stage
) -> None:
    tenant = always(answer)
    with pytest.raises(error, match=str(answer.status)) as caught:
        await five.submitter(tenant).submit(1)
    assert caught.value.exit_code == 4
    assert caught.value.next_step
    assert len(tenant.posts) == 1
    assert five.states() == {"PLANNED": 5}


async def test_a_tenant_without_any_success_for_too_long_is_given_up(five: Stage) -> None:
    tenant = always(NEVER_CONNECTED)
    with pytest.raises(TenantLostError, match="refused") as caught:
        await five.submitter(tenant, give_up_after=0).submit(1)
    assert caught.value.exit_code == 4
    assert len(tenant.posts) == 1
    assert five.states() == {"PLANNED": 5}


async def test_an_answer_in_between_ends_a_row_of_failures(five: Stage) -> None:
    tenant = in_turn(NEVER_CONNECTED, NEVER_CONNECTED, ACCEPTED, NEVER_CONNECTED)
    await five.submitter(tenant).submit(1)
    assert tenant.accepted == FIVE
    assert five.pace.holds == [backoff(0, 1.0), backoff(1, 1.0), backoff(0, 1.0)]


async def test_failures_side_by_side_count_once_and_then_one_attempt_probes(ledger: Ledger, path: Path) -> None:
    at_once = 12
    stage = Stage(ledger, path, write(ledger, *singles(at_once)))

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

    tenant = FakeTenant(reply)
    await stage.submitter(tenant).submit(at_once)
    assert stage.states() == {"ACCEPTED": at_once}
    assert stage.pace.holds == [backoff(0, 1.0)] * at_once + [backoff(n, 1.0) for n in (1, 2, 3)]
    assert alone[:4] == [1, 1, 1, 1]


async def test_a_refused_request_is_divided_until_the_bad_change_stands_alone(ledger: Ledger, path: Path) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        bad = "i3" in request.recipients and "r2" in {item.id for item in request.items}
        return REFUSED if bad else ACCEPTED

    wanted = product([f"i{n}" for n in range(7)], [f"r{n}" for n in range(5)])
    stage = Stage(ledger, path, write(ledger, wanted, [change("j1", "r1")]))
    tenant = FakeTenant(reply)
    await stage.submitter(tenant).submit(3)
    expected = {(line["identity_id"], line["item_id"]): 1 for line in wanted} | {("j1", "r1"): 1}
    del expected["i3", "r2"]
    assert tenant.accepted == expected
    (refused,) = ledger.requests.in_state(stage.run, State.REFUSED)
    assert (refused.recipients, [item.id for item in refused.items]) == (("i3",), ["r2"])
    assert ledger.runs.tally(stage.run).changes["ACCEPTED"] == 35
    assert ledger.requests.in_state(stage.run, State.PLANNED) == ()


async def test_when_the_first_requests_are_all_refused_sending_stops(ledger: Ledger, path: Path) -> None:
    stage = Stage(ledger, path, write(ledger, *singles(ALL_REFUSED_AFTER + 5)))
    tenant = always(REFUSED)
    with pytest.raises(TooManyRefusalsError, match=r"20 of 20 .* Bad item") as caught:
        await stage.submitter(tenant).submit(1)
    assert f"discard {stage.run.id}" in caught.value.next_step
    assert len(tenant.posts) == ALL_REFUSED_AFTER
    assert stage.states() == {"REFUSED": ALL_REFUSED_AFTER, "PLANNED": 5}


async def test_what_was_not_sent_for_too_many_refusals_is_sent_once_the_tenant_is_set_right(
    ledger: Ledger, path: Path
) -> None:
    requests = [product([f"{n}-1", f"{n}-2"], ["r1"]) for n in range(ALL_REFUSED_AFTER + 5)]
    stage = Stage(ledger, path, write(ledger, *requests))
    with pytest.raises(TooManyRefusalsError):
        await stage.submitter(always(REFUSED)).submit(1)
    tenant = always(ACCEPTED)
    await stage.submitter(tenant).submit(1)
    assert tenant.accepted == {(line["identity_id"], line["item_id"]): 1 for wanted in requests for line in wanted}
    assert ledger.requests.in_state(stage.run, State.REFUSED) == ()


@pytest.mark.parametrize(("refused", "stops"), [(HALF_REFUSED_AFTER // 2, True), (HALF_REFUSED_AFTER // 2 - 1, False)])
async def test_when_half_of_many_are_refused_sending_stops(
    refused: int,
    stops: bool,  # noqa: FBT001
    ledger: Ledger,
    path: Path,
) -> None:
    stage = Stage(ledger, path, write(ledger, *singles(HALF_REFUSED_AFTER + 5)))
    tenant = in_turn(ACCEPTED, *[REFUSED] * refused)
    if stops:
        with pytest.raises(TooManyRefusalsError, match="50 of 100"):
            await stage.submitter(tenant).submit(1)
        assert len(tenant.posts) == HALF_REFUSED_AFTER
    else:
        await stage.submitter(tenant).submit(1)
        assert stage.states() == {"REFUSED": refused, "ACCEPTED": HALF_REFUSED_AFTER + 5 - refused}


async def test_the_parts_of_refused_requests_do_not_count_towards_too_many_refusals(ledger: Ledger, path: Path) -> None:
    requests = [product([f"{n}-{m}" for m in range(5)], ["r1", "r2"]) for n in range(ALL_REFUSED_AFTER // 5)]
    stage = Stage(ledger, path, write(ledger, *requests))
    tenant = always(REFUSED)
    await stage.submitter(tenant).submit(1)
    assert len(tenant.posts) > ALL_REFUSED_AFTER
    assert stage.states()["REFUSED"] == 10 * len(requests)


def test_a_failure_after_a_long_time_without_any_attempt_is_the_first_and_not_the_last(five: Stage) -> None:
    class Slow(OpenTurnstile):
        async def wait(self, *, most: int = 1, to_come: int = 1) -> list[FakePermit]:
            await asyncio.sleep(1000)
            return await super().wait(most=most, to_come=to_come)

    async def program() -> None:
        await five.submitter(in_turn(ACCEPTED, NEVER_CONNECTED), pace=Slow(), give_up_after=600).submit(1)

    run_in_virtual_time(program())
    assert five.states() == {"ACCEPTED": 5}


async def test_few_requests_of_which_no_part_is_accepted_stop_once_enough_people_and_items_were_tried(
    ledger: Ledger, path: Path
) -> None:
    requests = [product([f"{n}-{m}" for m in range(5)], [f"r{n}-{m}" for m in range(5)]) for n in range(8)]
    stage = Stage(ledger, path, write(ledger, *requests))
    tenant = always(REFUSED)
    with pytest.raises(TooManyRefusalsError, match=r"Nothing was accepted, and .* 2\d identities"):
        await stage.submitter(tenant).submit(1)
    assert len(tenant.posts) < 250
    assert ledger.requests.in_state(stage.run, State.PLANNED)


async def test_one_bad_identity_alone_stops_nothing(ledger: Ledger, path: Path) -> None:
    requests = [product(["bad"], [f"r{n}-{m}" for m in range(25)]) for n in range(3)]
    stage = Stage(ledger, path, write(ledger, *requests))
    await stage.submitter(always(REFUSED)).submit(1)
    assert ledger.runs.tally(stage.run).changes["REFUSED"] == 75


async def test_stopping_lets_what_is_in_flight_finish_and_claims_nothing_more(five: Stage) -> None:
    async def reply(_request: Request, _token: str) -> Answer:
        if len(tenant.posts) == 2:
            submitter.stop()
            go_on.set()
        await go_on.wait()
        return ACCEPTED

    go_on = asyncio.Event()
    tenant = FakeTenant(reply)
    submitter = five.submitter(tenant)
    await submitter.submit(2)
    assert five.states() == {"ACCEPTED": 2, "PLANNED": 3}
    assert len(five.witness.decisions) == 2


async def test_stopping_does_not_wait_for_the_pace(five: Stage) -> None:
    class ShutTurnstile(OpenTurnstile):
        async def wait(self, *, most: int = 1, to_come: int = 1) -> list[FakePermit]:
            asyncio.get_running_loop().call_soon(submitter.stop)
            await asyncio.Event().wait()
            return await super().wait(most=most, to_come=to_come)

    tenant = always(ACCEPTED)
    submitter = five.submitter(tenant, pace=ShutTurnstile())
    await submitter.submit(3)
    assert tenant.posts == []
    assert five.states() == {"PLANNED": 5}


async def test_stopping_before_the_beginning_sends_nothing(five: Stage) -> None:
    tenant = always(ACCEPTED)
    submitter = five.submitter(tenant)
    submitter.stop()
    await submitter.submit(2)
    assert tenant.posts == []


async def test_abandoning_ends_at_once_and_leaves_what_is_in_flight_as_sending(five: Stage) -> None:
    async def reply(_request: Request, _token: str) -> Answer:
        if len(tenant.posts) == 2:
            asyncio.get_running_loop().call_soon(submitter.abandon)
        await asyncio.Event().wait()
        return ACCEPTED

    tenant = FakeTenant(reply)
    submitter = five.submitter(tenant)
    await submitter.submit(2)
    assert five.states() == {"SENDING": 2, "PLANNED": 3}
    assert five.ledger.runs.hold(five.run, Process.current(), FakeClock()()) == 2
    assert five.states() == {"UNCONFIRMED": 2, "PLANNED": 3}


async def test_a_ledger_that_cannot_record_stops_everything(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 2:
            alter(five.path, FULL)
        return ACCEPTED

    tenant = FakeTenant(reply)
    with pytest.raises(LedgerLostError, match="disk full"):
        await five.submitter(tenant).submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2]
    assert rows(five.path, "SELECT state FROM request WHERE id = 2") == [("SENDING",)]


async def test_a_ledger_that_cannot_record_the_attempt_keeps_it_from_being_made(five: Stage) -> None:
    alter(five.path, FULL)
    tenant = always(ACCEPTED)
    with pytest.raises(LedgerLostError):
        await five.submitter(tenant).submit(3)
    assert tenant.posts == []
    assert rows(five.path, "SELECT DISTINCT state FROM request") == [("PLANNED",)]


FULL = "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk full'); END"
"""From now on nothing can be added to the books."""


class Panic(BaseException):
    """As a library in another language raises when it gives up."""


@pytest.mark.parametrize("error", [RuntimeError("bug"), Panic("bug")], ids=["exception", "panic"])
async def test_a_bug_in_the_sender_comes_out_and_stops_the_others(error: BaseException, five: Stage) -> None:
    async def reply(_request: Request, _token: str) -> Answer:
        raise error

    tenant = FakeTenant(reply)
    with pytest.raises(type(error), match="bug"):
        await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 1
    assert five.states() == {"SENDING": 1, "PLANNED": 4}


async def test_a_process_that_was_taken_for_dead_claims_nothing_more(five: Stage) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        if request.number == 2:
            five.ledger.runs.release(five.run, Process.current())
            five.ledger.runs.hold(five.run, a_process(), NOW)
        return ACCEPTED

    tenant = FakeTenant(reply)
    with pytest.raises((RunHeldError, BrokenPromiseError)):
        await five.submitter(tenant).submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2]


async def test_a_claim_that_was_held_up_for_long_is_not_sent_but_claimed_again(five: Stage) -> None:
    """A laptop that slept between the claim and the attempt may have been taken for dead meanwhile."""

    class Sleepy(FakeClock):
        calls = 0

        def __call__(self) -> datetime:
            self.calls += 1
            return NOW + (timedelta(minutes=5) if self.calls == 2 else timedelta())

    async def reply(_request: Request, _token: str) -> Answer:
        return ACCEPTED

    tenant = FakeTenant(reply)
    submitter = five.submitter(tenant, clock=Sleepy())
    await submitter.submit(1)
    assert [number for number, _ in tenant.posts] == [1, 2, 3, 4, 5]
    assert [(request, number) for request, number, _ in attempts(five.path)][:3] == [(1, 1), (1, 2), (2, 1)]


async def test_a_token_endpoint_that_gives_out_the_refused_token_again_ends_the_run(five: Stage) -> None:
    class Cached(FakeTenant):
        async def token(self, *, other_than: str = "") -> str:
            assert other_than in {"", "cached"}
            return "cached"

    async def reply(_request: Request, _token: str) -> Answer:
        return Answer(status=401)

    tenant = Cached(reply)
    with pytest.raises(CredentialsRefusedError):
        await five.submitter(tenant).submit(1)
    assert len(tenant.posts) == 1


async def test_a_sandbox_with_faults_accepts_what_the_ledger_says_and_the_ledger_keeps_no_secret(
    ledger: Ledger, path: Path
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
            RateKey(tenant="t", client="c", dialect="beta"), rate=DIALECTS["beta"].rate, process=Process.current()
        )
        pace = Pace(DIALECTS["beta"].rate, calls, tell=stage.witness.tell)
        async with Tenant(
            base_url=sandbox.base_url,
            dialect=DIALECTS["beta"],
            credentials=credentials,
            timeout=5,
            concurrency=1,
            pace=pace,
            clock=FakeClock(),
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
    kept = b"".join(file.read_bytes() for file in path.parent.glob("ledger.db*"))
    assert sandbox.client_secret.encode() not in kept
    assert token.encode() not in kept


async def test_ctrl_c_stops_in_good_order_at_first_and_at_once_after_that() -> None:
    asked: list[str] = []
    with on_interrupt(first=lambda: asked.append("first"), second=lambda: asked.append("second")) as interruption:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.001)
    assert asked == ["first", "second", "second"]
    assert interruption.asked == 3


async def test_after_the_block_ctrl_c_is_pythons_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with on_interrupt(first=lambda: None, second=lambda: None) as interruption:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interruption.asked == 0


@pytest.fixture
def joined(ledger: Ledger, path: Path) -> Stage:
    """A run of five requests of one change each, of which the first three travel in one body."""
    return Stage(ledger, path, write(ledger, *singles(5), together=[(0, 1, 2)]))


@pytest.mark.parametrize("answer", [THROTTLED, UNAUTHORIZED, NEVER_CONNECTED, Answer(status=503, retry_after=1.0)])
async def test_a_body_of_several_that_was_not_processed_is_sent_again_as_it_was(answer: Answer, joined: Stage) -> None:
    tenant = in_turn(answer)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1, 2, 3), (4,), (5,)]
    assert tenant.accepted == FIVE
    assert joined.states() == {"ACCEPTED": 3}


async def test_each_member_of_a_body_that_may_have_arrived_is_in_doubt(joined: Stage) -> None:
    tenant = in_turn(FAILED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (4,), (5,)]
    assert [doubt.request.number for doubt in joined.ledger.requests.doubts(joined.run)] == [1, 2, 3]
    assert joined.states() == {"UNCONFIRMED": 1, "ACCEPTED": 2}


async def test_what_is_refused_together_is_sent_one_by_one_and_only_what_is_refused_alone_is_refused(
    joined: Stage,
) -> None:
    tenant = in_turn(REFUSED, ACCEPTED, REFUSED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1,), (2,), (3,), (4,), (5,)]
    assert joined.states() == {"ACCEPTED": 4, "REFUSED": 1}
    assert [number for number, event in joined.witness.decisions if event == "refused"] == [2]
    assert (joined.pace.holds, joined.pace.pauses) == ([], [])


async def test_who_is_named_in_a_refusal_is_parted_from_the_others(joined: Stage) -> None:
    tenant = in_turn(Answer(status=400, text="Identity i001 was not found."), ACCEPTED, REFUSED)
    await joined.submitter(tenant).submit(1)
    assert tenant.bodies == [(1, 2, 3), (1, 3), (2,), (4,), (5,)]
    assert joined.states() == {"ACCEPTED": 3, "REFUSED": 1}


async def test_bodies_of_several_that_are_refused_do_not_make_too_many_refusals(ledger: Ledger, path: Path) -> None:
    envelopes = [range(first, first + 10) for first in range(0, 300, 10)]
    stage = Stage(ledger, path, write(ledger, *singles(300), together=envelopes))
    tenant = FlatTenant(_accepting)
    await stage.submitter(tenant).submit(1)
    assert stage.states() == {"ACCEPTED": 300}
    assert sum(len(body) > 1 for body in tenant.bodies) <= 30


async def _accepting(_request: Request, _token: str) -> Answer:
    return ACCEPTED


class FlatTenant(FakeTenant):
    """Refuses every body of several requests."""

    async def submit(self, body: Sequence[Request], token: str, *, on_sent: Callable[[], None]) -> Answer:
        if len(body) == 1:
            return await super().submit(body, token, on_sent=on_sent)
        self.bodies.append(tuple(request.number for request in body))
        on_sent()
        return REFUSED
