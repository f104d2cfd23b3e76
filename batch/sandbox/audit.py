"""The audit log of the simulated tenant: the truth that tests and rehearsals compare with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.text import instant

if TYPE_CHECKING:
    from datetime import datetime

    from batch.api.dialects import ItemType, Operation


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedChange:
    """One accepted change, in the API's terms; `account` is the native identity of the chosen account, if one was."""

    operation: Operation
    identity: str
    item_type: ItemType
    item_id: str
    account: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedRequest:
    """One accepted request.

    Attributes:
        at: Time of acceptance, by the tenant's clock.
        dialect: Name of the API version that received it.
        body: The body as received.
        changes: Its pairs of identity and item, identities outermost.
    """

    at: datetime
    dialect: str
    body: dict[str, object]
    changes: tuple[AcceptedChange, ...]


@dataclass(kw_only=True, slots=True)
class AuditLog:
    """Everything that happened at the submit endpoint, and the number of calls to the others.

    It only grows, so another thread may read it at any time.

    Attributes:
        posts: Attempts that arrived, whatever the answer.
        refused: Attempts refused because the request broke a rule (400).
        throttled: Attempts answered 429, by the rate limit or by a fault.
        accepted: Accepted requests, oldest first. Includes requests whose connection broke before the answer, and
            requests that the tenant then cancelled as duplicates.
        calls: API calls that arrived, whatever the answer, by the endpoint's name in `batch.api.dialects.Paths`.
        counted: When calls were counted toward the rate limit, by the tenant's clock, oldest first.
    """

    posts: int = 0
    refused: int = 0
    throttled: int = 0
    accepted: list[AcceptedRequest] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    counted: list[datetime] = field(default_factory=list)

    def change_counts(self) -> Counter[AcceptedChange]:
        """How many times each change was accepted. "Exactly once" means that every value is 1."""
        return Counter(change for request in self.accepted.copy() for change in request.changes)

    def as_json(self) -> dict[str, object]:
        """The log as `GET /sandbox/audit` shows it."""
        return {
            "posts": self.posts,
            "refused": self.refused,
            "throttled": self.throttled,
            "calls": dict(self.calls),
            "counted": [instant(at) for at in self.counted.copy()],
            "accepted": [
                {"at": instant(request.at), "api": request.dialect, "body": request.body}
                for request in self.accepted.copy()
            ],
            "changes": [
                {
                    "operation": change.operation,
                    "identity": change.identity,
                    "item_type": change.item_type,
                    "item_id": change.item_id,
                    **({"account": change.account} if change.account else {}),
                    "accepted": times,
                }
                for change, times in self.change_counts().items()
            ],
        }
