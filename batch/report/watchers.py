"""Several watchers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.model import Answer, Request
    from batch.outcome import Decision
    from batch.watch import Watcher


class Watchers:
    """Tells each of several watchers in turn, and nobody where there are none."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def sending(self, request: Request) -> None:
        """An attempt begins."""
        for watcher in self._watchers:
            watcher.sending(request)

    def answered(self, request: Request, answer: Answer, decision: Decision, seconds: float, parts: int) -> None:
        """An attempt has ended."""
        for watcher in self._watchers:
            watcher.answered(request, answer, decision, seconds, parts)

    def waiting(self, seconds: float, reason: str) -> None:
        """Nothing goes for a while."""
        for watcher in self._watchers:
            watcher.waiting(seconds, reason)

    def paced(self, allowed: int) -> None:
        """The pace has changed."""
        for watcher in self._watchers:
            watcher.paced(allowed)

    def settled(self, request: Request, verdict: str) -> None:
        """Settling has found something out."""
        for watcher in self._watchers:
            watcher.settled(request, verdict)

    def noticed(self, text: str) -> None:
        """Something is worth telling once."""
        for watcher in self._watchers:
            watcher.noticed(text)
