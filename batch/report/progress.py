"""What is shown while requests are sent: a bar on a terminal, a line every ten seconds elsewhere. All on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from batch.states import Event

if TYPE_CHECKING:
    from rich.console import Console

    from batch.model import Answer, Request
    from batch.outcome import Decision

LINE_EVERY: Final = 10.0
"""Seconds between two lines where there is no terminal."""


class ProgressWatcher:
    """Shows how sending goes; a context manager.

    Args:
        console: On stderr.
        requests: How many requests are to be sent.
    """

    def __init__(self, console: Console, requests: int) -> None:
        self._console = console
        self._total = requests
        self._counts = dict.fromkeys(Event, 0)
        self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("sending", total=requests, detail="")

    def sending(self, request: Request) -> None:
        """An attempt begins."""

    def paced(self, allowed: int) -> None:
        """The pace has changed."""

    def settled(self, request: Request, verdict: str) -> None:
        """Something was settled."""

    def noticed(self, text: str) -> None:
        """Worth telling."""

    def answered(self, request: Request, answer: Answer, decision: Decision, seconds: float, parts: int) -> None:  # noqa: ARG002
        """An attempt was answered."""
        self._counts[decision.event] += 1
        if decision.event is Event.REFUSED:
            self._console.print(
                f"Request {request.id} was refused: {decision.reason}", markup=False, highlight=False, soft_wrap=True
            )
            if request.changes > 1:
                self._total += 2
        done = sum(self._counts[event] for event in (Event.ACCEPTED, Event.REFUSED, Event.UNDECIDED))
        # What is sent again after settling comes on top.
        self._total = max(self._total, done)
        detail = self._detail()
        self._bar.update(self._task, completed=done, total=self._total, detail=detail)
        if not self._console.is_terminal and time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            self._console.print(
                f"{done} of {self._total} requests: {detail}", markup=False, highlight=False, soft_wrap=True
            )

    def waiting(self, seconds: float, reason: str) -> None:
        """Sending pauses."""
        self._console.print(f"Waiting {seconds:g} s: {reason}", markup=False, highlight=False, soft_wrap=True)

    def _detail(self) -> str:
        shown = {"accepted": Event.ACCEPTED, "refused": Event.REFUSED, "unconfirmed": Event.UNDECIDED}
        return ", ".join(f"{self._counts[event]} {name}" for name, event in shown.items() if self._counts[event])

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
