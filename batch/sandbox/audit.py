"""What the simulated tenant has seen and accepted: the truth against which tests and rehearsals are held."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.sandbox.answers import iso_moment

if TYPE_CHECKING:
    from datetime import datetime

    from batch.api.dialects import ItemType, Operation


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedChange:
    """One change that the tenant has taken on, named as the API names it."""

    operation: Operation
    identity: str
    item_type: ItemType
    item_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedRequest:
    """One request that the tenant has taken on.

    Attributes:
        at: When it was accepted, by the tenant's clock.
        dialect: Name of the API version it came through.
        body: The body, as received.
        changes: Every pair of an identity and an item of it, identities outermost.
    """

    at: datetime
    dialect: str
    body: dict[str, object]
    changes: tuple[AcceptedChange, ...]


@dataclass(kw_only=True, slots=True)
class AuditLog:
    """Everything that happened at the submit endpoint, and how often the others were called.

    Only ever grows, so another thread may read it at any time.

    Attributes:
        posts: Attempts that arrived, whatever became of them.
        refused: Attempts whose request broke a rule (400).
        throttled: Attempts turned away for the rate limit (429), by the limit itself or by a fault.
        accepted: Accepted requests, oldest first; one that was answered by a broken connection stands here too. What
            the tenant then cancels as a duplicate was accepted all the same.
        calls: API calls that arrived, whatever became of them, by what they asked for: the name of the path in
            `batch.api.dialects.Paths`.
    """

    posts: int = 0
    refused: int = 0
    throttled: int = 0
    accepted: list[AcceptedRequest] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def change_counts(self) -> Counter[AcceptedChange]:
        """How many times each change was accepted: "exactly once" means that every value is 1."""
        return Counter(change for request in self.accepted.copy() for change in request.changes)

    def as_json(self) -> dict[str, object]:
        """The books as `GET /sandbox/books` shows them."""
        return {
            "posts": self.posts,
            "refused": self.refused,
            "throttled": self.throttled,
            "calls": dict(self.calls),
            "accepted": [
                {"at": iso_moment(request.at), "api": request.dialect, "body": request.body}
                for request in self.accepted.copy()
            ],
            "changes": [
                {
                    "operation": change.operation,
                    "identity": change.identity,
                    "item_type": change.item_type,
                    "item_id": change.item_id,
                    "accepted": times,
                }
                for change, times in self.change_counts().items()
            ],
        }
