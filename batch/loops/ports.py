"""What the sending loop needs: a tenant that makes attempts, and a turnstile that lets them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.model import Answer
    from batch.plan.body import Body


class Sender(Protocol):
    """What can make attempts: a tenant over HTTP, or a fake."""

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now."""

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        """Makes one attempt with a body; calls `on_sent` once its last byte has left."""

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

    def report_wait(self, seconds: float, reason: str) -> None:
        """Reports why nothing goes for so long."""
