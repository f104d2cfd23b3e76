"""Cancelling requests before their approval, one at a time or in bulk.

Source: the operations `cancelAccessRequest` and `cancelAccessRequestInBulk` of the vendor's documents. Reports from
live tenants add that a bulk call answers 202 for any ids. The documents call the id of the first operation
`accountActivityId` and disagree on which id of a status row it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from batch.api.dialects import CANCEL_LIMIT
from batch.sandbox.answers import BadQueryError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from batch.sandbox.rows import Rows, StatusRow


class CancelId(StrEnum):
    """The id of a status row that a cancel call takes as `accountActivityId`."""

    EITHER = "either"
    ROW = "row"
    """`accountActivityItemId`: cancels one row."""
    REQUEST = "request"
    """`accessRequestId`: cancels all its rows that still can be."""


def rows_to_cancel(body: object, rows: Rows, now: datetime, takes: CancelId) -> tuple[list[StatusRow], str]:
    """The rows that a single cancel call means, and its comment.

    Args:
        body: The parsed body.
        rows: All rows.
        now: The tenant's time.
        takes: The id that the call takes.

    Raises:
        BadQueryError: The body breaks a rule, the id does not exist, or its rows are approved or finished.
    """
    fields = body if isinstance(body, dict) else {}
    named, comment = fields.get("accountActivityId"), _comment(fields)
    if not isinstance(named, str) or not named:
        raise BadQueryError("accountActivityId must be a non-empty string.")
    row = None if takes is CancelId.REQUEST else rows.of_activity(named)
    of_request = () if takes is CancelId.ROW else rows.of_request(named)
    found = of_request if row is None else [row]
    if not found:
        raise BadQueryError(f"The access request {named} was not found.")
    chosen = _cancelable(found, now)
    if not chosen:
        raise BadQueryError(f"The access request {named} can't be cancelled any more.")
    return chosen, comment


def rows_to_cancel_in_bulk(body: object, rows: Rows, now: datetime) -> tuple[list[StatusRow], str]:
    """The rows that a bulk cancel call means, and its comment. Unknown ids are ignored.

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


def _cancelable(rows: Iterable[StatusRow], now: datetime) -> list[StatusRow]:
    return [row for row in rows if row.stage(now).cancelable]


def _comment(fields: dict[str, object]) -> str:
    comment = fields.get("comment")
    if not isinstance(comment, str) or not comment.strip():
        raise BadQueryError("comment is required.")
    return comment
