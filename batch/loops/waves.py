"""The waves of a run, for the sending loop: which requests may be sent next, once those before have ended well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from batch.answers.events import Notice, Waiting
from batch.errors import WaitingError, WrongEndsError
from batch.loops.track import next_wait
from batch.plan.waves import (
    Begin,
    Divide,
    Done,
    Limit,
    Look,
    Moment,
    Pass,
    Send,
    Stop,
    Wait,
    counted_now,
    decide,
    period_of,
)
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.model import Clock, Run
    from batch.plan.waves import Ends, Patience, Progress, Step

SHORT: Final = 60
"""A wait of at most one in so many parts of a period is not worth the end of the process …"""

SHORTEST: Final = 5.0
"""… nor is one of so many seconds: each process starts a little later than the one before."""

TOLD_FROM: Final = 2.0
"""Seconds of waiting from which on the user is told why."""

MOST_AT_ONCE: Final = 5_000
"""Requests that are opened at a time: their numbers are parameters of each claim."""


async def ask_nothing(_requests: tuple[int, ...]) -> None:
    """Nothing is asked before a wave."""


class Waves:
    """Opens a run's requests, wave by wave.

    Args:
        run: Held by `process`, and known by the ledger to be sent in waves.
        ledger: Records the waves.
        patience: What the user tolerates.
        process: Holds the run.
        clock: Both clocks count.
        tell: Takes notices.
        look: Asks the tenant once how accepted changes have ended, and records it.
        before_wave: Takes the requests that are about to be opened, each once, unless time has passed since. It may
            leave out what has moved since the plan.
        just_planned: Whether this was asked for all of them a moment ago.
        announce: Called when a wave is about to begin.

    Attributes:
        open: Numbers of the requests that may be claimed.
        limit: What each claim is held to.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        patience: Patience,
        process: Process,
        clock: Clock,
        tell: Tell,
        look: Callable[[], Awaitable[None]],
        before_wave: Callable[[tuple[int, ...]], Awaitable[None]] = ask_nothing,
        just_planned: bool = False,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._patience = patience
        self._process = process
        self._clock = clock
        self._tell = tell
        self._look = look
        self._before_wave = before_wave
        self._looked = False
        self._asked: frozenset[int] = frozenset()
        self._just_planned = just_planned
        self._announce = announce
        self._pause = 0.0
        self._follows = False
        self.open: frozenset[int] = frozenset()
        self.limit = Limit(changes=0, seconds=0.0)

    def close(self) -> None:
        """Let nothing more be claimed before `more` says so: the period is full."""
        self.open = frozenset()

    def add(self, parts: tuple[int, ...]) -> None:
        """Open parts of a request that was open."""
        self.open |= set(parts)

    async def more(self) -> bool:
        """Open what may be sent next; wait for it if that is short. False if nothing is left to send.

        Raises:
            WaitingError: The next wave is far off.
            WrongEndsError: Too much of what was sent was rejected or failed.
            StoppedError: The tenant can't be asked, or the ledger can't be written.
        """
        self.close()
        while True:
            progress = await asyncio.to_thread(self._ledger.waves.progress, self._run)
            if progress is None:
                return False
            self.limit, now = progress.limit, Moment.now(self._clock)
            step = decide(progress, self._patience, now, looked=self._looked)
            if isinstance(step, Send):
                if await self._ask(step.requests[:MOST_AT_ONCE]):
                    continue
                self.open = frozenset(step.requests[:MOST_AT_ONCE])
                self._looked, self._pause = False, 0.0
                return True
            if isinstance(step, Done):
                if not progress.doubts:
                    await asyncio.to_thread(self._ledger.waves.end, self._run, self._process, now)
                return False
            await self._take(step, progress, now)

    async def _take(self, step: Step, progress: Progress, now: Moment) -> None:
        """Do what comes before anything is opened."""
        waves = self._ledger.waves
        match step:
            case Begin(requests=requests):
                if await self._ask(requests):
                    return
                await asyncio.to_thread(self._announce)
                await asyncio.to_thread(waves.begin, self._run, self._process, now)
            case Divide(request=request):
                most = progress.limit.changes
                await asyncio.to_thread(waves.divide, self._run, request, most, self._process, now.wall)
            case Pass(ends=ends):
                if await self._ask(tuple(one.number for one in progress.planned)):
                    return
                self._tell(Notice(text=f"The canary has passed: of {_described(ends)}."))
                await asyncio.to_thread(waves.passed, self._run, self._process, now)
            case Look(until=until):
                await self._look_again(until, progress)
            case Wait(until=until):
                await self._wait(until, progress, now)
            case Stop(ends=ends, canary=canary):
                raise self._stopped(ends, canary=canary)
            case _:
                pass

    async def _ask(self, requests: Sequence[int]) -> bool:
        """Ask about requests that are about to be opened; False if that was done."""
        missing = tuple(number for number in requests if number not in self._asked)
        if not missing or self._just_planned:
            return False
        self._asked |= set(missing)
        await self._before_wave(missing)
        return True

    def _forget_answers(self) -> None:
        self._asked, self._just_planned = frozenset(), False

    async def _look_again(self, until: datetime | None, progress: Progress) -> None:
        if until is not None:
            left = (until - self._clock.now()).total_seconds()
            self._pause = min(next_wait(self._pause, moved=False, took=0.0), max(0.0, left))
            await self._sleep(self._pause, "not all of the canary's changes have ended")
        elif progress.canary and not progress.next_canary and not self._follows:
            self._follows = True
            changes = count(progress.canary_ends.changes, "change")
            hours = f"{self._patience.canary_for:g} s"
            self._tell(Notice(text=f"Following the canary's {changes} until each has ended, for {hours} at most."))
        await self._look()
        self._looked = True
        self._forget_answers()

    async def _wait(self, until: datetime, progress: Progress, now: Moment) -> None:
        limit, seconds = progress.limit, (until - now.wall).total_seconds()
        if seconds > max(SHORTEST, limit.seconds / SHORT):
            sent = counted_now(progress.claims, limit, now)
            raise WaitingError(
                f"Run {self._run.id} waits until {until:%Y-%m-%d %H:%M:%S} UTC: it has sent {sent:,} of at most "
                f"{count(limit.changes, 'change')} {period_of(limit)}.",
                next_step="Run the same command again then, or as often as you like, from cron say: it goes on. Until "
                "then, no other input takes over what waits.",
            )
        await self._sleep(max(0.0, seconds), "the next wave is not due yet")
        self._looked = False
        self._forget_answers()

    async def _sleep(self, seconds: float, reason: str) -> None:
        if seconds >= TOLD_FROM:
            self._tell(Waiting(seconds=seconds, reason=reason))
        await asyncio.sleep(seconds)

    def _stopped(self, ends: Ends, *, canary: bool) -> WrongEndsError:
        error = WrongEndsError(
            f"{'The canary' if canary else 'The wave before'} has ended badly: of {_described(ends)}. --tolerate "
            f"{self._patience.tolerate:g} does not permit that, so nothing more was sent.",
            next_step=f"`access-batch track {self._run.id} --out tracked` writes who rejected what, and what failed. "
            f"To go on all the same, run the same command with --tolerate {ends.least_tolerance}; or drop the rest "
            f"with `access-batch discard {self._run.id}`.",
        )
        error.tolerate = ends.least_tolerance
        return error


def _described(ends: Ends) -> str:
    return f"{count(ends.changes, 'change')}, {ends.ended:,} ended, {ends.wrong:,} of these rejected or failed"
