"""The sending loop: wait for the pace, claim (durably), POST, record.

Every request is SENDING in the ledger before its first byte leaves, and leaves that state only by what came back.
Workers take the next request each for itself; one that comes back PLANNED is the next again.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from batch.errors import (
    AccessBatchError,
    CredentialsRefusedError,
    TenantLostError,
    TooManyRefusalsError,
)
from batch.ledger.process import SILENT_FOR
from batch.model import Answer, Failure
from batch.outcome import Then, decide
from batch.split import halve
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.model import Request, Run
    from batch.outcome import Decision
    from batch.settle import Settler

HEARTBEAT: Final = 10.0
"""Seconds between two signs of life in the ledger."""

ALL_REFUSED_AFTER: Final = 20
"""If the first so many requests are all refused, the configuration is wrong and not the rows."""

HALF_REFUSED_AFTER: Final = 100
"""From so many requests on, half of them refused is too many."""

UNDECIDED_IN_A_ROW: Final = 20
"""So many attempts in a row without an answer that decides are an outage, and not bad luck."""

STALE_AFTER: Final = SILENT_FOR / 2
"""A claim that is older is not sent any more: after as long again, another process may take this one for dead."""

HELD_UP: Final = Answer(failure=Failure.NEVER_CONNECTED, text="this machine was held up before it could send")
"""Stands for the answer to an attempt that was not made."""


_REFUSES_ITS_OWN: Final = "It gives out new tokens and refuses them: have its administrators look into that."


class Sender(Protocol):
    """What can make attempts: a tenant over HTTP, or a fake."""

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now."""

    async def submit(self, request: Request, token: str) -> Answer:
        """Makes one attempt."""

    def explain_forbidden(self) -> str:
        """Which right is missing where an attempt was answered 403, as a sentence."""


class Turnstile(Protocol):
    """What lets attempts go one by one."""

    async def wait(self) -> None:
        """Returns when the next attempt may go."""

    def pause(self, seconds: float) -> None:
        """Lets nothing go for so long."""


class Watcher(Protocol):
    """Who is told what happens, to show it."""

    def answered(self, request: Request, decision: Decision) -> None:
        """An attempt of a request was answered."""

    def paused(self, seconds: float, reason: str) -> None:
        """Sending pauses."""


class Submitter:
    """Sends a run's requests until none is left, or until something stops it.

    Args:
        run: Held by `process`.
        ledger: Where its requests are.
        tenant: Makes the attempts.
        settler: Settles what stays undecided, meanwhile.
        pace: Lets them go.
        watcher: Is told.
        process: Holds the run.
        clock: Tells the time, for the ledger.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        tenant: Sender,
        settler: Settler,
        pace: Turnstile,
        watcher: Watcher,
        process: Process,
        clock: Callable[[], datetime],
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._tenant = tenant
        self._settler = settler
        self._pace = pace
        self._watcher = watcher
        self._process = process
        self._clock = clock
        self._error: AccessBatchError | None = None
        self._stopping = False
        self._refused_tokens: set[str] = set()
        self._failures = 0
        self._answered = 0
        self._refused = 0
        self._undecided = 0
        self._workers: list[asyncio.Task[None]] = []
        self._in_flight: set[asyncio.Task[None] | None] = set()

    async def submit(self, concurrency: int) -> None:
        """Sends everything that is PLANNED, at most `concurrency` requests at a time, and settles what is UNCONFIRMED.

        Raises:
            StoppedError: Sending was stopped by the tenant or the ledger; everything that happened is recorded.
            BrokenPromiseError: A bug.
        """
        self._workers = [asyncio.create_task(self._work()) for _ in range(concurrency)]
        companions = [asyncio.create_task(self._beat()), asyncio.create_task(self._settler.run())]
        ends = await asyncio.gather(*self._workers, return_exceptions=True)
        for companion in companions:
            companion.cancel()
        ends += await asyncio.gather(*companions, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end
        if (error := self._error or self._settler.error) is not None:
            raise error

    def stop(self) -> None:
        """Lets what is in flight finish, and sends nothing more."""
        self._stopping = True
        for worker in self._workers:
            if worker not in self._in_flight and worker is not _current_task():
                worker.cancel()

    def abandon(self) -> None:
        """Ends at once; what is in flight stays SENDING in the ledger, and is unconfirmed from the next start on."""
        self._stopping = True
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        try:
            while not self._stopping:
                settled_before = self._settler.settled
                if await self._send_next() or self._settler.settled > settled_before:
                    continue
                if not self._settler.open:
                    return
                # What is being settled may have to be sent again.
                await self._settler.news()
        except AccessBatchError as error:
            self._fail(error)
        except BaseException:
            self.stop()
            raise

    def _fail(self, error: AccessBatchError) -> None:
        """Remembers the first error, and sends nothing more."""
        self._error = self._error or error
        self.stop()

    async def _send_next(self) -> bool:
        """Sends one request; False when there is none left or sending stops."""
        await self._tenant.token()
        await self._pace.wait()
        # Asked again: the pace may have held us back for longer than the token lives.
        token = await self._tenant.token()
        if self._stopping:
            return False
        worker = asyncio.current_task()
        self._in_flight.add(worker)
        try:
            claimed_at = self._clock()
            request = await asyncio.to_thread(self._ledger.requests.claim, self._run, claimed_at, self._process)
            if request is None:
                return False
            failures_before = self._failures
            held_up = self._clock() - claimed_at > STALE_AFTER
            answer = HELD_UP if held_up else await self._tenant.submit(request, token)
            decision = self._decide(answer, token, failures_before)
            parts = halve(request) if decision.event is Event.REFUSED else ()
            await asyncio.to_thread(self._ledger.requests.record, request, answer, decision, self._clock(), parts=parts)
        finally:
            self._in_flight.discard(worker)
        self._watcher.answered(request, decision)
        if decision.event is Event.UNDECIDED:
            self._settler.add([await asyncio.to_thread(self._ledger.requests.doubt, request)])
        await self._follow(request, decision, token, forbidden=answer.status == HTTPStatus.FORBIDDEN)
        return True

    def _decide(self, answer: Answer, token: str, failures_before: int) -> Decision:
        decision = decide(answer, new_token=bool(self._refused_tokens - {token}), failures_in_a_row=failures_before)
        if answer.failure is Failure.NEVER_CONNECTED:
            # Attempts that failed side by side are one failure: those that began before the last one add nothing.
            self._failures = max(self._failures, failures_before + 1)
        elif answer.status is not None:
            self._failures = 0
        if decision.then is Then.RENEW_TOKEN:
            self._refused_tokens.add(token)
        elif decision.event in {Event.ACCEPTED, Event.REFUSED}:
            self._refused_tokens.clear()
        return decision

    async def _follow(self, request: Request, decision: Decision, token: str, *, forbidden: bool) -> None:
        """Does what the decision says besides the request's own state."""
        match decision.then:
            case Then.PAUSE:
                self._pace.pause(decision.pause)
                self._watcher.paused(decision.pause, decision.reason)
            case Then.RENEW_TOKEN:
                if not self._stopping and await self._tenant.token(other_than=token) == token:
                    raise CredentialsRefusedError(
                        "The tenant gives out a token that it then refuses.",
                        next_step="Everything sent is recorded. Run the same command again later.",
                    )
            case Then.STOP_CREDENTIALS:
                raise CredentialsRefusedError(
                    f"The tenant does not let this client submit: {decision.reason}.",
                    next_step=f"{self._tenant.explain_forbidden() if forbidden else _REFUSES_ITS_OWN} "
                    "Then run the same command again.",
                )
            case Then.STOP_TENANT:
                raise TenantLostError(
                    f"The tenant can't be used: {decision.reason}.",
                    next_step="Check the base URL, --api and the network; then run the same command again.",
                )
            case Then.GO_ON:
                self._watch_undecided(decision)
                self._watch_refusals(request, decision)

    def _watch_undecided(self, decision: Decision) -> None:
        self._undecided = self._undecided + 1 if decision.event is Event.UNDECIDED else 0
        if self._undecided >= UNDECIDED_IN_A_ROW:
            raise TenantLostError(
                f"{self._undecided} requests in a row may or may not have arrived; the last: {decision.reason}.",
                next_step="The tenant is in trouble. Run the same command again later: it looks for them first.",
            )

    def _watch_refusals(self, request: Request, decision: Decision) -> None:
        if request.parent is not None:
            return
        self._answered += 1
        self._refused += decision.event is Event.REFUSED
        all_refused = self._answered >= ALL_REFUSED_AFTER and self._refused == self._answered
        half_refused = self._answered >= HALF_REFUSED_AFTER and self._refused * 2 >= self._answered
        if all_refused or half_refused:
            raise TooManyRefusalsError(
                f"{self._refused} of {self._answered} requests were refused; the last: {decision.reason}.",
                next_step="So many refusals point to the configuration: check --api, the tenant and what the user may "
                "request. Then run the same command again, or give up the rest with `access-batch discard "
                f"{self._run.id}`.",
            )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                await asyncio.to_thread(self._ledger.runs.beat, self._run, self._process, self._clock())
            except AccessBatchError as error:
                self._fail(error)
                return
            except BaseException:
                self.stop()
                raise


def _current_task() -> asyncio.Task[object] | None:
    """The task that runs now; None where a signal handler does."""
    return asyncio.current_task()
