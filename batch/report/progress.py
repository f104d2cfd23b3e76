"""Progress while requests are sent: a live display on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batch.answers.events import AttemptEnded, Notice, PaceChanged, Settled, TakenApart, Waiting
from batch.names.known import NO_KNOWN_NAMES
from batch.report import headway, messages
from batch.report.headway import describe, describe_results, describe_sending, describe_wait
from batch.report.terminal import shown
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from batch.answers.events import RunEvent
    from batch.api.dialects import Rate
    from batch.model import Clock, Request, Tally
    from batch.names.known import KnownNames
    from batch.report.headway import Amount, Headway

LINE_EVERY: Final = 10.0
"""Seconds between two lines without a terminal."""

BAR_WIDTH: Final = 30
"""Columns; at a width of 80 this leaves room for two numbers of millions."""


class Progress:
    """Shows the progress of sending while it is entered (`async with`).

    Args:
        console: On stderr.
        tally: How far the run had come before.
        limit: The rate limit to keep.
        names: The names that the run's input had in place of ids.
        quiet: Whether nothing is shown.
        verbose: Whether every answer is shown.
        clock: This machine's clock.
    """

    def __init__(
        self,
        console: Console,
        tally: Tally,
        limit: Rate,
        *,
        clock: Clock,
        names: KnownNames = NO_KNOWN_NAMES,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self._console = console
        self._names = names
        self._quiet = quiet
        self._verbose = verbose
        self._limit = limit
        self._clock = clock
        self._headway = headway.begin(tally, limit, clock.monotonic())
        self._refusals = 0
        self._ticker: asyncio.Task[None] | None = None
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal and not quiet:
            # Standard output belongs to the command's answer, so the display must not redirect it.
            self._live = Live(console=console, get_renderable=self._drawn, transient=True, redirect_stdout=False)

    @property
    def headway(self) -> Headway:
        """How far the run has come."""
        return self._headway

    def tell(self, event: RunEvent) -> None:
        """Take one event into the display, and print what deserves a line of its own."""
        self._headway = headway.after(self._headway, event, self._clock.monotonic())
        match event:
            case AttemptEnded() if self._verbose:
                self._say(messages.answered(event, self._names))
            case AttemptEnded() if event.decision.event is Event.REFUSED:
                self._say_refused(event.request, event.decision.reason)
            case TakenApart(request=request, reason=reason, parts=0):
                self._say_refused(request, reason)
            case TakenApart():
                self._say(messages.taken_apart(event.request, event.reason, event.parts))
            case Waiting() if self._live is None or self._verbose:
                # Otherwise the live display counts down.
                self._say(messages.waiting(event.seconds, event.reason))
            case PaceChanged() if self._verbose:
                self._say(messages.paced(event.allowed, self._limit))
            case Settled():
                self._say(messages.settled(event.request, event.verdict))
            case Notice():
                self._say(event.text)
            case _:
                pass

    async def __aenter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        elif not self._quiet:
            self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY)
            self._say(describe(self._headway, self._clock.monotonic()))

    def _say_refused(self, request: Request, reason: str) -> None:
        self._refusals += 1
        if self._refusals <= messages.REFUSALS_SHOWN or self._verbose:
            self._say(messages.refused(request, reason, self._names))
        elif self._refusals == messages.REFUSALS_SHOWN + 1:
            self._say(messages.ENOUGH_REFUSALS)

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(shown(line, self._console.file), markup=False, highlight=False, soft_wrap=True)

    def _drawn(self) -> RenderableType:
        return draw(self._headway, self._clock.monotonic())


def draw(now_at: Headway, now: float) -> RenderableType:
    """The live display: two bars, the results so far, the wait if there is one, and the pace."""
    bars = Table.grid(padding=(0, 1))
    bars.add_row(*_bar("requests", now_at.done, now_at.planned, lambda amount: amount.requests))
    bars.add_row(*_bar("changes", now_at.done, now_at.planned, lambda amount: amount.changes))
    lines = (describe_results(now_at), describe_wait(now_at, now), describe_sending(now_at, now))
    return Group(bars, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines if line))


def _bar(
    name: str, done: Amount, planned: Amount, count: Callable[[Amount], int]
) -> tuple[RenderableType, RenderableType, RenderableType]:
    bar = ProgressBar(total=max(1, count(planned)), completed=count(done), width=BAR_WIDTH)
    return Text(name), bar, Text(f"{count(done):,} of {count(planned):,}", no_wrap=True)
