"""The values that tests are about, each with plain defaults: a test names only what matters to it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY, ItemType, Operation
from batch.api.status_row import StatusRow
from batch.model import Request, RequestItem

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(identity: str = "anna", item: str = "r1", *, operation: str = "GRANT", **columns: str) -> dict[str, str]:
    """A change of a role as validation yields it, one value for each of CHANGE_COLUMNS; a revoke has a comment."""
    return {
        "operation": operation,
        "identity_id": identity,
        "item_type": "ROLE",
        "item_id": item,
        "comment": "leaver" if operation == "REVOKE" else "",
        "start_date": "",
        "remove_date": "",
        "metadata": "",
        "account": "",
        "selection": "",
        **columns,
    }


def product(identities: Iterable[str], items: Iterable[str], **columns: str) -> list[dict[str, str]]:
    """The changes of one request: every identity with every item."""
    return [change(identity, item, **columns) for identity, item in itertools.product(identities, items)]


def request(
    number: int = 1,
    recipients: int | Iterable[str] = 1,
    items: int | Iterable[str] = 1,
    *,
    run: str = "run",
    attempts: int = 1,
    parent: int | None = None,
) -> Request:
    """A grant of roles to some people, given by their ids or by how many they are."""
    people = [f"person {number}.{n}" for n in range(recipients)] if isinstance(recipients, int) else recipients
    roles = [f"item {n}" for n in range(items)] if isinstance(items, int) else items
    return Request(
        number=number,
        run=run,
        operation=Operation.GRANT,
        recipients=tuple(people),
        items=tuple(RequestItem(type=ItemType.ROLE, id=role) for role in roles),
        attempts=attempts,
        parent=parent,
    )


class _EveryId:
    def __contains__(self, _id: object) -> bool:
        return True


EVERY_ID: Final = _EveryId()
"""The ids of a ledger that knows each one."""


def status_row(identity: str = "i1", item: str = "r1", **fields: Any) -> StatusRow:
    """A row of the status list: a grant of a role in progress, of which nothing shows who requested it."""
    row = StatusRow(
        identity=identity,
        item=item,
        request_type="GRANT_ACCESS",
        created=NOW,
        metadata=None,
        access_request="a1",
        item_type="ROLE",
        state="EXECUTING",
        activity="x1",
    )
    return replace(row, **fields)


def our_row(request_id: str, identity: str = "i1", item: str = "r1", **fields: Any) -> StatusRow:
    """A row of a request of ours, as its metadata shows."""
    metadata = {REQUEST_ID_KEY: request_id, ITEM_ID_KEY: item}
    return status_row(identity, item, **{"metadata": metadata} | fields)
