"""What the sending loop needs: a tenant that makes attempts, and a turnstile that lets them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.answers.outcome import Decision
    from batch.model import Answer, Request


class Sender(Protocol):
    """What can make attempts: a tenant over HTTP, or a fake."""

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now."""

    async def submit(self, body: Sequence[Request], token: str, *, on_sent: Callable[[], None]) -> Answer:
        """Makes one attempt with one or more requests in one body; calls `on_sent` once its last byte has left."""

    def explain_forbidden(self) -> str:
        """Which right is missing where an attempt was answered 403, as a sentence."""


class Permit(Protocol):
    """Leave to make one call."""

    given_at: float
    """When, in seconds since the epoch."""

    def on_sent(self) -> None:
        """The call has left, or has failed."""

    def unused(self) -> None:
        """The call is not made."""


class Turnstile(Protocol):
    """What lets attempts go.

    Attributes:
        silenced: Seconds spent in silence that the tenant asked for.
    """

    silenced: float

    @property
    def quiet(self) -> bool:
        """Whether nothing may go at present, permitted or not."""

    async def wait(self, *, most: int = 1, to_come: int = 1) -> Sequence[Permit]:
        """Returns when the next attempts may go, at most so many of those that are to come."""

    async def pause(self, seconds: float, *, permitted_at: float = 0.0, violated: bool = False) -> None:
        """Lets nothing go for so long, in any process."""

    def hold(self, seconds: float) -> None:
        """Lets nothing go for so long, in this process."""

    def tell(self, seconds: float, reason: str) -> None:
        """Tells why nothing goes for so long."""


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
