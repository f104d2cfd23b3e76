"""Bodies and answers of the simulated tenant, as its tests write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer
    from batch.sandbox.tenant import SimulatedTenant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def grant(*identities: str, items: tuple[str, ...] = ("r1",), **fields: str) -> dict[str, Any]:
    """A grant of roles; `fields` go into each item."""
    wanted = [{"type": "ROLE", "id": item, **fields} for item in items]
    return {"requestedFor": list(identities or ("i1",)), "requestedItems": wanted}


def revoke(identity: str = "i1", item: str = "r1", **fields: str) -> dict[str, Any]:
    """A revoke of one role."""
    return grant(identity, items=(item,), comment="leaver", **fields) | {"requestType": "REVOKE_ACCESS"}


def text_of(answer: Answer) -> str:
    """The cause of a 400 or a 403."""
    body: Any = answer.body
    return str(body["messages"][0]["text"])


def shown(tenant: SimulatedTenant, at: datetime) -> list[dict[str, Any]]:
    """The rows of the status list, oldest first."""
    return [row.as_json(at) for row in tenant.visible_rows(at)]
