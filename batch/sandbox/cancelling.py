"""Cancelling requests, one at a time or in bulk, before somebody has approved them.

Source: the operations `cancelAccessRequest` and `cancelAccessRequestInBulk` of the vendor's documents; that a bulk call
answers 202 whatever the ids are is a report from live tenants. The documents call the id of the first one
`accountActivityId`, and don't agree on which id of a status row that is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from batch.api.dialects import CANCEL_LIMIT
from batch.sandbox.lifecycle import CANCELLED, Ending
from batch.sandbox.pages import BadQueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from batch.sandbox.lifecycle import Reference
    from batch.sandbox.rows import Rows, StatusRow


class CancelId(StrEnum):
    """Which id of a status row is the `accountActivityId` of a cancellation."""

    EITHER = "either"
    ROW = "row"
    """`accountActivityItemId`, which cancels one row."""
    REQUEST = "request"
    """`accessRequestId`, which cancels all rows of it that still can be."""


def rows_to_cancel(body: object, rows: Rows, now: datetime, takes: CancelId) -> tuple[list[StatusRow], str]:
    """The rows that a cancellation of one means, and its comment.

    Args:
        body: The body as read from JSON.
        rows: All rows.
        now: The tenant's time.
        takes: Which id it takes.

    Raises:
        BadQueryError: The body breaks a rule, there is no such id, or what it names is approved or finished.
    """
    fields = body if isinstance(body, dict) else {}
    named, comment = fields.get("accountActivityId"), _comment(fields)
    if not isinstance(named, str) or not named:
        raise BadQueryError("accountActivityId must be a non-empty string.")
    row = rows.of_activity(named) if takes is not CancelId.REQUEST else None
    found = [row] if row is not None else _of_request(named, rows, takes)
    if not found:
        raise BadQueryError(f"The access request {named} was not found.")
    chosen = _cancelable(found, now)
    if not chosen:
        raise BadQueryError(f"The access request {named} can't be cancelled any more.")
    return chosen, comment


def rows_to_cancel_in_bulk(body: object, rows: Rows, now: datetime) -> tuple[list[StatusRow], str]:
    """The rows that a cancellation in bulk means, and its comment. Ids that mean nothing are passed over.

    Args:
        body: The body as read from JSON.
        rows: All rows.
        now: The tenant's time.

    Raises:
        BadQueryError: The body breaks a rule.
    """
    fields = body if isinstance(body, dict) else {}
    named, comment = fields.get("accessRequestIds"), _comment(fields)
    if not isinstance(named, list) or not all(isinstance(name, str) and name for name in named):
        raise BadQueryError("accessRequestIds must be an array of non-empty strings.")
    if not 1 <= len(named) <= CANCEL_LIMIT:
        raise BadQueryError(f"accessRequestIds must hold 1 to {CANCEL_LIMIT} ids, not {len(named)}.")
    return _cancelable((row for name in named for row in rows.of_request(name)), now), comment


def cancel(rows: Iterable[StatusRow], *, now: datetime, who: Reference, said: str) -> None:
    """Withdraw rows."""
    for row in rows:
        row.ending = Ending(state=CANCELLED, at=now, who=who, said=said)


def _of_request(named: str, rows: Rows, takes: CancelId) -> Sequence[StatusRow]:
    return () if takes is CancelId.ROW else rows.of_request(named)


def _cancelable(rows: Iterable[StatusRow], now: datetime) -> list[StatusRow]:
    return [row for row in rows if row.stage(now).cancelable]


def _comment(fields: dict[str, object]) -> str:
    comment = fields.get("comment")
    if not isinstance(comment, str) or not comment.strip():
        raise BadQueryError("comment is required.")
    return comment
