"""Who is told what happens while a run is sent: the screen, the log file, or a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from batch.model import Answer, Request
    from batch.outcome import Decision


class Watcher(Protocol):
    """Is told what happens; every method returns at once."""

    def sending(self, request: Request) -> None:
        """An attempt begins: it is claimed, and about to leave."""

    def answered(self, request: Request, answer: Answer, decision: Decision, seconds: float, parts: int) -> None:
        """An attempt has ended, and what came of it is recorded.

        Args:
            request: As it was sent.
            answer: What came back.
            decision: What that means.
            seconds: How long the attempt took.
            parts: How many requests take over from a refused one.
        """

    def waiting(self, seconds: float, reason: str) -> None:
        """Nothing goes for so many seconds from now."""

    def paced(self, allowed: int) -> None:
        """A window may hold so many calls from now on: fewer than the limit after a 429, until it has climbed back."""

    def settled(self, request: Request, verdict: str) -> None:
        """Settling has found out what became of an unconfirmed request."""

    def noticed(self, text: str) -> None:
        """Something is worth telling once."""
