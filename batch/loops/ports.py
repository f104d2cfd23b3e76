"""What the loops need: a sender that makes attempts, a turnstile that paces them, and a cache of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.ledger.cache import Cached
    from batch.model import Answer
    from batch.plan.body import Body


class Sender(Protocol):
    """Makes attempts: a tenant over HTTP, or a fake."""

    async def token(self, *, other_than: str = "") -> str:
        """A token that is valid now."""

    def token_expires(self, token: str, /) -> datetime | None:
        """When a token expires, by the tenant's clock; None if that is not known."""

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        """Make one attempt with a body; call `on_sent` once its last byte has left."""

    async def prove(self) -> None:
        """Ask the API a question; raise TenantLostError if something else answers, or nothing."""

    def explain_forbidden(self) -> str:
        """A sentence that names the right which is missing after a 403."""


class Permit(Protocol):
    """Permission to make one call."""

    given_at: float
    """When it was given, by the clock of the permits."""

    @property
    def is_old(self) -> bool:
        """Whether it must not be used any more."""

    async def due(self) -> bool:
        """Return when the call may leave; whether it had to wait."""

    def on_sent(self) -> None:
        """The call has left, or has failed."""

    def on_answer(self, answer: Answer) -> None:
        """The call has ended with an answer, which may prove that the tenant has counted it."""

    def unused(self) -> None:
        """The call will not be made."""


class Turnstile(Protocol):
    """Gives out the permits for attempts.

    Attributes:
        silenced: Seconds spent in silence that the tenant asked for.
    """

    silenced: float

    @property
    def quiet(self) -> bool:
        """Whether no attempt may start now, with or without a permit."""

    async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> Sequence[Permit]:
        """Return permits for the next attempts, at most `most` of the `to_come` that are left, or `ahead` of time."""

    async def pause(self, seconds: float, *, permitted_at: float = 0.0, violated: bool = False) -> None:
        """Stop all processes for so many seconds."""

    def hold(self, seconds: float) -> None:
        """Stop this process for so many seconds."""

    def report_wait(self, seconds: float, reason: str) -> None:
        """Report a wait and its reason."""


class AnswerCache(Protocol):
    """Caches a tenant's answers: the ledger's cache, or a fake; see ledger.cache."""

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        """The answers for the keys that were given at `since` or later."""

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        """Cache answers."""
