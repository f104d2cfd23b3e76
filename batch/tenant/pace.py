"""The pace: calls leave evenly, and no window holds more than the tenant permits.

A leaky bucket (aiolimiter) spreads the calls, unless all that are to come fit into the window. Permits make the limit
exact: one counter serves all processes and survives restarts, and a call counts until a window after the tenant has
surely counted it; `batch.api.rate_window` says when.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiolimiter import AsyncLimiter

from batch.answers.events import PaceChanged, Waiting
from batch.api.rate_window import SPREAD, USED_WITHIN, counted_by
from batch.errors import LedgerLostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.answers.events import Tell
    from batch.api.dialects import Rate
    from batch.api.rate_window import Permits
    from batch.model import Answer, Clock

AT_ONCE: Final = 0.5
"""Take the permits of so many seconds together: five at the documented limit.

Taking, claiming and sending each alone costs about twice the processor time."""

AT_MOST: Final = 2.0
"""Never take those of more seconds together."""

UNHURRIED: Final = 10.0
"""Take the permits of so many times as long as asking for them takes, and report calls no more often: a database far
away is busy for each transaction of each machine, and claiming and recording take several times as long."""

SLACK: Final = 2.0
"""How many late turns the bucket makes up for."""

REPORT_AFTER: Final = 0.25
"""Seconds after which to report calls, if nobody takes another permit."""

LONG: Final = 2.0
"""Report waits longer than so many seconds."""

_GATEWAY: Final = 500


class Counter(Protocol):
    """Counts the calls of all processes: the ledger, or a fake."""

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        """Gives permits; see the ledger's Calls.permit."""

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        """Permits no call for so long; see the ledger's Calls.silence."""


class Permit:
    """Permits one call, and counts until a window after the tenant has counted the call.

    Attributes:
        given_at: When, in seconds of the counter's clock.
    """

    def __init__(self, pace: Pace, number: int, *, given_at: float, asked_at: float, leaves_at: float) -> None:
        self._pace = pace
        self._number = number
        self._open = True
        self._asked_at = asked_at
        self._leaves_at = leaves_at
        self.given_at = given_at

    @property
    def is_old(self) -> bool:
        """Whether it must not be used any more."""
        return self._pace.monotonic() - self._asked_at > USED_WITHIN

    async def due(self) -> bool:
        """Returns when the call may leave by the limit; whether it had to wait, so that a silence may have begun."""
        waits = (left := self._leaves_at - self._pace.monotonic()) > 0
        while left > 0:
            await asyncio.sleep(left)
            left = self._leaves_at - self._pace.monotonic()
        return waits

    def on_sent(self) -> None:
        """The call's last byte has left, or it has failed; only the first time counts."""
        if self._open:
            self._open = False
            self._pace.sent(self._number)

    def on_answer(self, answer: Answer) -> None:
        """The call has ended. The tenant has counted a call that it answers, but a gateway may have answered a 5xx."""
        self.on_sent()
        if answer.status is not None and answer.status < _GATEWAY:
            self._pace.answered(self._number)

    def unused(self) -> None:
        """The call won't be made."""
        if self._open:
            self._open = False
            self._pace.unused(self._number)


class Pace:
    """Permits calls.

    Args:
        rate: The limit to keep.
        counter: Counts them.
        tell: Takes waits and changes of the pace.
        clock: Its monotonic clock dates the calls.

    Attributes:
        silenced: Seconds spent in silence that the tenant asked for.
    """

    def __init__(self, rate: Rate, counter: Counter, *, tell: Tell, clock: Clock) -> None:
        self._rate = rate
        self._counter = counter
        self._tell = tell
        self._clock = clock
        self._allowed = rate.requests
        self._asking_takes = 0.0
        self._bucket = _bucket(rate, rate.requests, AT_ONCE)
        self._free = 0
        self._sent: dict[int, float] = {}
        self._counted: dict[int, float | None] = {}
        self._held_until = 0.0
        self._silent_until = 0.0
        self._reported_until = 0.0
        self._turn = asyncio.Lock()
        self._call: asyncio.Future[Permits] | None = None
        self._call_count = 0
        self._reporting: asyncio.Task[None] | None = None
        self.silenced = 0.0

    async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> Sequence[Permit]:
        """Waits for one permit or more, to be used at once; callers take turns in the order of their calls.

        Args:
            most: Most permits that the caller can use.
            to_come: All calls to come, these included; if they fit into the window, they are not spread.
            ahead: Whether to return permits before they are due, as the caller has to prepare the calls.
        """
        while True:
            given, used = await self._take(most, to_come), False
            try:
                used = ahead or not (await given[-1].due() and (self.quiet or given[0].is_old))
            finally:
                # Also if the caller is cancelled: nobody else would report them, and they would count without end.
                for permit in () if used else given:
                    permit.unused()
            if used:
                return given

    def monotonic(self) -> float:
        """This process's clock, in seconds."""
        return self._clock.monotonic()

    async def _take(self, most: int, to_come: int) -> Sequence[Permit]:
        async with self._turn:
            fits = to_come <= self._free and self._allowed == self._rate.requests
            wanted = min(most, self._free if fits else self._at_once())
            if not fits:
                await self._bucket.acquire(wanted)
            while True:
                await self._keep_silent()
                asked_at = self._clock.monotonic()
                permits = await self._ask(wanted, self._ahead())
                if permits.numbers:
                    given = [
                        Permit(self, number, given_at=permits.at, asked_at=asked_at, leaves_at=leave_at)
                        for number, leave_at in zip(permits.numbers, permits.leave_at, strict=True)
                    ]
                    if not self.quiet:
                        return given
                    # The tenant asked for silence while the ledger gave the permits.
                    for permit in given:
                        permit.unused()
                    continue
                if permits.silence:
                    self.report_wait(permits.silence, permits.why or "the tenant has asked us to wait")
                else:
                    self.report_wait(permits.wait, f"the limit of the last {self._rate.seconds:g} s is used up")
                    await asyncio.sleep(permits.wait)

    @property
    def quiet(self) -> bool:
        """Whether no call may leave at present, even with a permit."""
        return max(self._held_until, self._silent_until) > asyncio.get_running_loop().time()

    async def pause(self, seconds: float, *, permitted_at: float = 0.0, violated: bool = False) -> None:
        """Lets no call leave for so many seconds from now, in any process, across restarts.

        Args:
            seconds: How long the tenant wants silence.
            permitted_at: When the call that it turned away was permitted.
            violated: Whether the call violated the rate limit, which slows later calls down.
        """
        self._silent_until = max(self._silent_until, asyncio.get_running_loop().time() + seconds)
        await asyncio.to_thread(self._counter.silence, seconds=seconds, permitted_at=permitted_at, violated=violated)

    def hold(self, seconds: float) -> None:
        """Lets no call of this process leave for so many seconds from now."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)

    def report_wait(self, seconds: float, reason: str) -> None:
        """Reports why nothing goes for so long, unless the wait is short or was reported."""
        until = asyncio.get_running_loop().time() + seconds
        if seconds > LONG and until > self._reported_until + 1:
            self._reported_until = until
            self._tell(Waiting(seconds=seconds, reason=reason))

    def sent(self, number: int) -> None:
        """Notes that a call has left; the counter learns it with the next permits, or soon."""
        self._sent[number] = self._clock.monotonic()
        self._report_soon()

    @property
    def present(self) -> Rate:
        """The rate that is kept now: less than the limit after the tenant has asked for less."""
        return replace(self._rate, requests=max(1, self._allowed))

    def answered(self, number: int) -> None:
        """Notes that a call was answered."""
        # A call that was reported meanwhile was counted before.
        if (left_at := self._sent.pop(number, None)) is not None:
            self._counted[number] = counted_by(left_at, self._clock.monotonic())
            self._report_soon()

    def unused(self, number: int) -> None:
        """Notes that a permit is given back."""
        self._counted[number] = None
        self._report_soon()

    async def aclose(self) -> None:
        """Reports the last calls, after all calls have ended."""
        if self._reporting is not None:
            self._reporting.cancel()
        at_work: list[asyncio.Future[Any]] = [work for work in (self._reporting, self._call) if work is not None]
        await asyncio.gather(*at_work, return_exceptions=True)
        self._close_sent(math.inf)
        if self._counted:
            # A lost ledger will count these calls as made when it notices that this process has ended.
            with contextlib.suppress(LedgerLostError):
                await self._ask(0)

    def _at_once(self) -> int:
        """How many permits to take together; the bucket can give so many then."""
        seconds = max(AT_ONCE, self._unhurried())
        wanted = _permits(self._rate, self._allowed, seconds)
        if wanted > self._bucket.max_rate:
            self._bucket = _bucket(self._rate, self._allowed, seconds)
        return wanted

    def _unhurried(self) -> float:
        """Seconds between two questions that leave a ledger far away to the others for most of the time."""
        return min(AT_MOST, UNHURRIED * self._asking_takes)

    def _ahead(self) -> float:
        """Seconds before their calls are due to take permits: if the ledger is far away, a claim takes that long."""
        return seconds if (seconds := self._unhurried()) > AT_ONCE else 0.0

    def _close_sent(self, now: float) -> None:
        """No later answer changes when a call was counted that left so long ago."""
        for number, left_at in [*self._sent.items()]:
            if left_at + SPREAD > now:
                # The others left later.
                break
            self._counted[number] = counted_by(left_at, math.inf)
            del self._sent[number]

    async def _ask(self, wanted: int, ahead: float = 0.0) -> Permits:
        asked_at = self._clock.monotonic()
        self._close_sent(asked_at)
        counted, self._counted = self._counted, {}
        self._call_count += 1
        asking = asyncio.to_thread(self._counter.permit, wanted=wanted, counted=counted, ahead=ahead)
        call = asyncio.ensure_future(asking)
        self._call = call
        try:
            permits = await asyncio.shield(call)
        except asyncio.CancelledError:
            call.add_done_callback(self._give_back)
            raise
        except BaseException:
            # The ledger did not get these reports; send them again once it is back.
            self._counted = counted | self._counted
            raise
        if wanted:
            self._free = permits.free
            self._asking_takes = (self._asking_takes + self._clock.monotonic() - asked_at) / 2
        if permits.silence:
            # Also if only calls were reported: permits given ahead may wait to be used. The tenant may have asked for a
            # longer silence since this was read.
            until = asyncio.get_running_loop().time() + permits.silence
            self._silent_until = max(self._silent_until, until)
        if permits.allowed != self._allowed:
            self._allowed = permits.allowed
            self._bucket = _bucket(self._rate, permits.allowed, AT_ONCE)
            self._tell(PaceChanged(allowed=permits.allowed))
        return permits

    def _give_back(self, asked: asyncio.Future[Permits]) -> None:
        """Gives the permits of a cancelled caller back."""
        if not asked.cancelled() and asked.exception() is None:
            self._counted |= dict.fromkeys(asked.result().numbers)

    async def _keep_silent(self) -> None:
        loop = asyncio.get_running_loop()
        while (until := max(self._held_until, self._silent_until)) > (now := loop.time()):
            await asyncio.sleep(until - now)
            self.silenced += max(0.0, min(self._silent_until, loop.time()) - now)

    def _report_soon(self) -> None:
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.get_running_loop().create_task(self._report_later())

    async def _report_later(self) -> None:
        while self._sent or self._counted:
            count = self._call_count
            await asyncio.sleep(max(REPORT_AFTER, self._unhurried()))
            self._close_sent(self._clock.monotonic())
            if self._counted and count == self._call_count:
                # The next caller for a permit will notice a lost ledger.
                with contextlib.suppress(LedgerLostError):
                    await self._ask(0)


def _bucket(rate: Rate, allowed: int, seconds: float) -> AsyncLimiter:
    """A bucket that spreads calls evenly; the next turn makes up for a late one."""
    capacity = SLACK * _permits(rate, allowed, seconds)
    return AsyncLimiter(capacity, capacity * rate.seconds / allowed)


def _permits(rate: Rate, allowed: int, seconds: float) -> int:
    """The permits of so many seconds."""
    return max(1, int(seconds * allowed / rate.seconds))
