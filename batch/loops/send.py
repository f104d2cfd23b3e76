"""The sending loop: wait for a permit, claim (durably), POST, record.

Every request is SENDING in the ledger before its first byte leaves. Only its answer changes that state. A request
that becomes PLANNED again is sent again. Until the tenant has accepted one, and while it fails, one attempt at a time
probes it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from batch.answers.events import AttemptEnded, AttemptStarted
from batch.answers.health import TenantHealth
from batch.answers.outcome import HELD_UP, NOT_LEFT, Decision, Then
from batch.answers.poison import is_failure
from batch.answers.shared_bodies import bodies_back, for_each
from batch.answers.split import divide
from batch.answers.stop_rule import Refusals
from batch.answers.suspects import RefusalHistory
from batch.errors import AccessBatchError, CredentialsRefusedError
from batch.ledger.answered import Answered
from batch.ledger.process import SILENT_FOR
from batch.loops.group_commit import GroupCommit
from batch.loops.isolate import Isolator
from batch.loops.stops import stopped_by, too_many_refusals
from batch.plan.waves import Moment
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.loops.ports import Permit, Sender, Turnstile
    from batch.loops.settle import Settler
    from batch.loops.waves import Waves
    from batch.model import Answer, Clock, Part, Request, Run
    from batch.plan.body import Body

HEARTBEAT: Final = 10.0
"""Seconds between two heartbeats in the ledger."""

STALE_AFTER: Final = SILENT_FOR.total_seconds() / 2
"""Seconds after which a claim is not sent: after twice this time, another process may count this process as dead."""


class Submitter:
    """Sends a run's requests until none is left or something stops it.

    Args:
        run: Held by `process`.
        ledger: Holds its requests.
        tenant: Makes the attempts.
        settler: Settles unconfirmed requests meanwhile.
        pace: Gives out permits.
        tell: Takes the events.
        process: Holds the run.
        clock: The wall clock dates what is recorded; durations use the monotonic one.
        jitter: A random number from 0 to 1, new each time.
        give_up_after: Seconds without success after which sending stops.
        waves: Say which requests may be sent; None for all of them.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        tenant: Sender,
        settler: Settler,
        pace: Turnstile,
        tell: Tell,
        process: Process,
        clock: Clock,
        jitter: Callable[[], float],
        give_up_after: float,
        waves: Waves | None = None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._tenant = tenant
        self._settler = settler
        self._pace = pace
        self._tell = tell
        self._process = process
        self._clock = clock
        self._jitter = jitter
        self._give_up_after = give_up_after
        self._waves = waves
        self._recorder = GroupCommit(ledger, process)
        self._history = RefusalHistory()
        self._isolator = Isolator(
            run,
            ledger=ledger,
            tenant=tenant,
            history=self._history,
            tell=tell,
            process=process,
            clock=clock,
            waves=waves,
        )
        self._error: BaseException | None = None
        self._stopping = False
        self._abandoned = False
        self._health = TenantHealth(give_up_after)
        self._isolated_after = 0
        self._refusals = Refusals()
        self._to_send = 0
        self._feeder: asyncio.Task[None] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()

    async def submit(self, concurrency: int) -> None:
        """Send everything that is PLANNED, at most `concurrency` bodies at a time, and settle what is UNCONFIRMED.

        Raises:
            StoppedError: The tenant or the ledger stopped the run; everything that happened is recorded.
            BrokenPromiseError: A bug.
        """
        self._health.works(self._clock.monotonic(), self._pace.silenced)
        companions = [asyncio.create_task(work) for work in (self._beat(), self._settler.run(), self._recorder.run())]
        self._feeder = asyncio.create_task(self._guarded(self._feed(concurrency)))
        await asyncio.gather(self._feeder, return_exceptions=True)
        while self._in_flight:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
        for companion in companions:
            companion.cancel()
        for end in await asyncio.gather(*companions, return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                self._fail(end)
        if (error := self._error or self._settler.error) is not None:
            raise error

    def stop(self) -> None:
        """Send nothing more, and let attempts in flight finish."""
        self._stopping = True
        if self._feeder is not None and self._feeder is not asyncio.current_task():
            self._feeder.cancel()

    def abandon(self) -> None:
        """End at once. Requests in flight stay SENDING in the ledger; the next start makes them unconfirmed."""
        self._abandoned = True
        self.stop()
        for attempt in self._in_flight:
            attempt.cancel()

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """Do some work; the first error stops everything."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - `submit` raises it again, even a Rust panic
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        # A bug is more important than an earlier error of the tenant.
        if self._error is None or not isinstance(error, AccessBatchError):
            self._error = error
        self.stop()

    async def _feed(self, concurrency: int) -> None:
        """Claim requests and start attempts."""
        while not self._stopping:
            self._landed.clear()
            # Taken before anything is looked at, so that no news is missed.
            news = self._settler.news()
            settled_before, busy = self._settler.settled, bool(self._in_flight)
            await self._isolate_if_due(settled_before)
            # Until one is accepted, or while the tenant fails, one at a time leaves at most one in doubt.
            unsure = not self._health.any_accepted or self._health.failures or self._isolator.held
            at_once = 1 if unsure else concurrency
            room = at_once - len(self._in_flight)
            if self._in_flight and room <= 0:
                await self._landing(news)
                continue
            if self._to_send <= 0:
                self._to_send = await self._left()
            most = self._isolator.may_send(self._to_send, in_flight=bool(self._in_flight), settler=self._settler)
            if most > 0:
                await self._send_some(min(room, most))
            elif self._to_send > 0:
                # Count again afterwards: a request that is settled or refused may have to be sent again.
                self._to_send = 0
                await self._landing(news)
            elif self._settler.settled != settled_before or (busy and not self._in_flight):
                # A request settled or ended during that query may be PLANNED again.
                continue
            elif self._in_flight:
                await self._landing(news)
            elif self._settler.open and not self._settler.stuck:
                # A request that is being settled may have to be sent again.
                await news.wait()
            elif not await self._goes_on():
                return

    async def _left(self) -> int:
        """How many bodies are to be sent now, without those that are held back."""
        only = self._waves.open if self._waves else None
        left = await asyncio.to_thread(partial(self._ledger.requests.left, self._run, only=only))
        return left - len(self._isolator.held)

    async def _goes_on(self) -> bool:
        """Whether something may be sent after all: what was held back, or the next wave, which is waited for."""
        if self._isolator.held:
            await self._isolate(others_left=False)
            return True
        self._to_send, self._isolator.due = 0, True
        return self._waves is not None and await self._waves.more()

    async def _isolate_if_due(self, settled: int) -> None:
        if self._isolator.due or settled != self._isolated_after:
            self._isolated_after = settled
            await self._isolate(others_left=True)

    async def _isolate(self, *, others_left: bool) -> None:
        """Send again, divide or refuse requests that have failed before."""
        for one in await self._isolator.look(accepted_now=self._health.any_accepted, others_left=others_left):
            self._watch_refusals(one.request, Decision(event=Event.REFUSED, then=Then.GO_ON, reason=one.words))
        self._to_send = 0

    async def _landing(self, news: asyncio.Event) -> None:
        """Return when an attempt has ended since the feeder last checked, or a request was settled."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (news, self._landed)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _send_some(self, most: int) -> None:
        await self._tenant.token()
        permits = await self._pace.wait(most=most, to_come=self._to_send, ahead=True)
        bodies: tuple[Body, ...] = ()
        try:
            # Ask again: the wait for permits may have outlived the token.
            token = await self._tenant.token()
            if self._pace.quiet:
                return
            claimed_at = self._clock.monotonic(), self._clock.now()
            bodies = await self._claim(claimed_at[1], len(permits), token)
        finally:
            for permit in permits if self._abandoned else permits[len(bodies) :]:
                permit.unused()
        self._to_send = self._to_send - len(bodies) if bodies else 0
        if self._waves and not bodies:
            self._waves.close()
        self._isolator.claimed(request for body in bodies for request in body.requests)
        if self._abandoned:
            return
        failures = self._health.failures  # if all of them are held up, that is one more
        for body, permit in zip(bodies, permits, strict=False):
            attempt = asyncio.create_task(self._guarded(self._attempt(body, permit, token, claimed_at, failures)))
            self._in_flight.add(attempt)
            attempt.add_done_callback(self._land)

    async def _claim(self, now: datetime, most: int, token: str) -> tuple[Body, ...]:
        """Claim at most `most` bodies. A claim that has begun is completed: claimed bodies must be sent."""
        if self._stopping:
            return ()
        expires = self._tenant.token_expires(token)
        first, held = self._isolator.first, self._isolator.held
        claim = partial(self._ledger.requests.claim, most=most, token_expires=expires, first=first, but=held)
        if (waves := self._waves) is not None:
            claim = partial(claim, only=waves.open, wave=(waves.limit, Moment.now(self._clock)))
        claiming = asyncio.ensure_future(asyncio.to_thread(claim, self._run, now, self._process))
        while True:
            try:
                return await asyncio.shield(claiming)
            except asyncio.CancelledError:
                if claiming.cancelled():
                    raise

    def _land(self, attempt: asyncio.Task[None]) -> None:
        self._in_flight.discard(attempt)
        self._landed.set()

    async def _attempt(
        self, sent: Body, permit: Permit, token: str, claimed_at: tuple[float, datetime], failures_before: int
    ) -> None:
        body = sent.requests
        began = self._clock.monotonic()
        for request in body:
            self._tell(AttemptStarted(request=request))
        try:
            if await permit.due() and (self._stopping or self._pace.quiet):
                await self._put_back(body, permit)
                return
            if held_up := permit.is_old or self._is_stale(*claimed_at):
                permit.unused()
            answer = HELD_UP if held_up else await self._tenant.submit(sent, token, on_sent=permit.on_sent)
        finally:
            permit.on_sent()
        permit.on_answer(answer)
        seconds = self._clock.monotonic() - began
        expected = all(map(self._isolator.expects_failure, body))
        decision = self._decide(answer, token, failures_before, expected=expected)
        decisions = for_each(body, decision, answer.text)
        parts = self._divide(body, answer, decision)
        if decision.then in {Then.SLOW_DOWN, Then.WAIT}:
            # Do this first: the silence also binds other attempts and later processes.
            violated = decision.then is Then.SLOW_DOWN
            await self._pace.pause(decision.pause, permitted_at=permit.given_at, violated=violated)
        elif decision.then is Then.BACK_OFF:
            self._pace.hold(decision.pause)
        at = self._clock.now()
        await self._recorder.record(
            *(
                Answered(
                    request=request, answer=answer, decision=one, at=at, parts=parts, alone=one.then is Then.SEND_ALONE
                )
                for request, one in zip(body, decisions, strict=True)
            ),
            in_flight=len(self._in_flight),
        )
        self._to_send += len(parts) + bodies_back(decisions)
        for request, one in zip(body, decisions, strict=True):
            self._tell(AttemptEnded(request=request, answer=answer, decision=one, seconds=seconds, parts=len(parts)))
        self._pace.report_wait(decision.pause, decision.reason)
        if decision.event is Event.ACCEPTED:
            self._settler.accepted()
        if decision.event is Event.UNDECIDED:
            self._settler.add([await asyncio.to_thread(self._ledger.requests.doubt, request) for request in body])
        await self._act(body, decision, token)

    async def _put_back(self, body: tuple[Request, ...], permit: Permit) -> None:
        """Give up attempts that have not left: they are planned again, and say nothing about the tenant."""
        permit.unused()
        decision = Decision(event=Event.NOT_PROCESSED, then=Then.GO_ON, reason=NOT_LEFT.text)
        now = self._clock.now()
        answered = (Answered(request=request, answer=NOT_LEFT, decision=decision, at=now) for request in body)
        await self._recorder.record(*answered, in_flight=len(self._in_flight))
        self._to_send += 1
        for one in body:
            self._tell(AttemptEnded(request=one, answer=NOT_LEFT, decision=decision, seconds=0.0, parts=0))

    def _is_stale(self, claimed_monotonic: float, claimed_at: datetime) -> bool:
        """Whether a claim is too old to be sent, by either clock: one may have been set, or have stood still."""
        by_wall_clock = (self._clock.now() - claimed_at).total_seconds()
        return max(by_wall_clock, self._clock.monotonic() - claimed_monotonic) > STALE_AFTER

    def _divide(self, body: tuple[Request, ...], answer: Answer, decision: Decision) -> tuple[Part, ...]:
        """Learn from an answer which ids are good, and divide a refused request by the knowledge of its ids."""
        if decision.event is Event.ACCEPTED:
            for request in body:
                self._history.accepted(request)
        if decision.event is not Event.REFUSED or len(body) > 1:
            return ()
        (request,) = body
        self._history.refused(request, answer.text)
        return divide(request, answer.text, self._history)

    def _decide(self, answer: Answer, token: str, failures_before: int, *, expected: bool) -> Decision:
        now, silenced = self._clock.monotonic(), self._pace.silenced
        decision = self._health.decide(
            answer, token, failures_before, now=now, silenced=silenced, jitter=self._jitter(), expected=expected
        )
        if decision.event in {Event.ACCEPTED, Event.REFUSED} and self._isolator.held:
            self._isolator.due = True
        if decision.then is Then.TAKE_APART:
            self._isolator.due = True
        if decision.event is Event.UNDECIDED and is_failure(answer.status):
            self._isolator.wary = True
        return decision

    async def _act(self, body: tuple[Request, ...], decision: Decision, token: str) -> None:
        """Do what the decision asks for beyond the state of the requests."""
        if (stopped := stopped_by(decision, self._give_up_after)) is not None:
            raise stopped
        match decision.then:
            case Then.RENEW_TOKEN:
                if not self._stopping and await self._tenant.token(other_than=token) == token:
                    raise CredentialsRefusedError(
                        "The tenant issues a token and then refuses it.",
                        next_step="Everything sent is recorded. Run the same command again later.",
                    )
            case Then.GO_ON:
                # Requests refused in one body are sent alone next; only those answers count.
                if decision.event is Event.ACCEPTED or (decision.event is Event.REFUSED and len(body) == 1):
                    self._watch_refusals(body[0], decision)

    def _watch_refusals(self, request: Request, decision: Decision) -> None:
        self._refusals = self._refusals.after(request, refused=decision.event is Event.REFUSED)
        if verdict := self._refusals.verdict:
            raise too_many_refusals(self._run, verdict, decision.reason)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                await asyncio.to_thread(self._ledger.runs.beat, self._run, self._process, self._clock.now())
            except AccessBatchError as error:
                self._fail(error)
                return
