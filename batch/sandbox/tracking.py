"""What an acceptance says of what was accepted, in tenants that say anything (December 2024 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.sandbox.rows import StatusRow


def tracking_body(rows: Sequence[StatusRow], in_progress: Mapping[str, StatusRow]) -> dict[str, object]:
    """The body of the 202.

    Args:
        rows: What was accepted.
        in_progress: The older row of each row that was under way already, by the newer row's id of its own.
    """
    new = [row for row in rows if row.account_activity_item_id not in in_progress]
    existing = [row for row in rows if row.account_activity_item_id in in_progress]
    return {
        "newRequests": _entries([(row.access_request_id, row) for row in new]),
        "existingRequests": _entries(
            [(in_progress[row.account_activity_item_id].access_request_id, row) for row in existing]
        ),
    }


def _entries(rows: Sequence[tuple[str, StatusRow]]) -> list[dict[str, object]]:
    """Rows of one access request together."""
    by_request: dict[str, list[StatusRow]] = {}
    for access_request_id, row in rows:
        by_request.setdefault(access_request_id, []).append(row)
    return [
        {
            "requestedFor": members[0].change.identity,
            "requestedItemsDetails": [{"type": row.change.item_type, "id": row.change.item_id} for row in members],
            "attributesHash": crc32(repr([row.item for row in members]).encode()),
            "accessRequestIds": [access_request_id],
        }
        for access_request_id, members in by_request.items()
    ]
