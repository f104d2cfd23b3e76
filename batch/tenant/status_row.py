"""Reads a row of the tenant's status list or of its pending approvals; fields that make no sense are left empty.

Sources: `RequestedItemStatus` and `PendingApproval` of the vendor's OpenAPI documents, the operations
`listAccessRequestStatus` and `listPendingApprovals`. They lack `currentOwners`, `reviewedBy` and `approverComments` of
an approval, which today's tenants fill instead of `currentOwner` and `comment`. Nobody documents their shapes: so a
text, an object or a list of either is read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from batch.api.accounts import row_accounts
from batch.api.dialects import IN_PROGRESS, RESERVED_KEYS
from batch.api.status_row import StatusRow
from batch.text import HIDDEN, moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_TEXT: Final = 300
"""Most characters kept of a comment or of error messages."""

_OUR_KEYS: Final[dict[str, str]] = {key.lower(): key for key in RESERVED_KEYS}
_LONGEST_ID: Final = 256
_DIGITS_OF_AN_EPOCH: Final = 9
_LONGEST_EPOCH: Final = 18
_FIRST_IN_MILLISECONDS: Final = 1e11
"""A greater number is an instant in milliseconds since 1970: in seconds it would be after the year 5100."""

_MOST_PARTS: Final = 10
_PENDING: Final = "PENDING"
_DECIDED: Final = "REJECTED"
_GROUP: Final = "GOVERNANCE_GROUP"
_WAITS_NO_MORE: Final = ("APPROVED", "REJECTED")
"""Values of `actionInProcess`: the approver has decided, and the tenant is about to act on it."""


def status_row(raw: Any) -> StatusRow | None:
    """The row in a JSON value; None if it names no identity."""
    if not isinstance(raw, dict) or not isinstance(raw.get("requestedFor"), dict):
        return None
    if not (identity := _id(raw["requestedFor"].get("id"))):
        return None
    approvals = _objects(raw.get("approvalDetails"))
    pending = [one for one in approvals if one.get("status") == _PENDING]
    decided = [one for one in approvals if one.get("status") == _DECIDED]
    cancelled = raw.get("cancelledRequestDetails")
    cancelled = cancelled if isinstance(cancelled, dict) else {}
    telling = decided or pending
    find = _who_decided if decided else _asked
    who = [name for one in telling for name in find(one)] if telling else _names(cancelled.get("owner"))
    comments = [text for one in decided for text in _comments(one)]
    said = [*comments, cancelled.get("comment"), *_errors(raw.get("errorMessages"))]
    since = [cancelled.get("modified"), *(one.get("modified") for one in telling), raw.get("modified")]
    return StatusRow(
        identity=identity,
        item=_id(raw.get("id")),
        request_type=_id(raw.get("requestType")),
        created=_instant(raw.get("created")),
        metadata=_metadata(raw.get("clientMetadata")),
        access_request=_id(raw.get("accessRequestId")),
        item_type=_id(raw.get("type")),
        item_name=_text(raw.get("name")),
        state=_id(raw.get("state")),
        requester=_joined(map(_text, _names(raw.get("requester"))), ", "),
        who=_joined(map(_text, who), ", "),
        said=_joined([_text(one) for one in said], "; "),
        since=next(filter(None, map(_instant, since)), None),
        start_date=_id(raw.get("startDate")),
        remove_date=_id(raw.get("removeDate")),
        cancelable=raw.get("cancelable") is True,
        activity=_id(raw.get("accountActivityItemId")),
        accounts=row_accounts(raw.get("requestedAccounts")),
    )


def approval_row(raw: Any) -> StatusRow | None:
    """A pending approval as a row of the status list; None if it names no identity.

    `item` is always the item's id here, `who` is the approver with the last forwarding, and `since` is when the
    approver was asked. Nobody is named if the approver has decided already.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("requestedFor"), dict):
        return None
    if not (identity := _id(raw["requestedFor"].get("id"))):
        return None
    item = raw.get("requestedObject")
    item = item if isinstance(item, dict) else {}
    forwarded = _last_forwarding(raw.get("forwardHistory"))
    waits = raw.get("actionInProcess") not in _WAITS_NO_MORE
    since = [_instant(forwarded.get("modified")), _instant(raw.get("created")), _instant(raw.get("modified"))]
    return StatusRow(
        identity=identity,
        item=_id(item.get("id")),
        request_type=_id(raw.get("requestType")),
        created=_instant(raw.get("requestCreated")),
        metadata=_metadata(raw.get("clientMetadata")),
        access_request=_id(raw.get("accessRequestId")),
        item_type=_id(item.get("type")),
        item_name=_text(item.get("name")),
        state=IN_PROGRESS,
        requester=_joined(map(_text, _names(raw.get("requester"))), ", "),
        who=_joined([f"{_joined(map(_text, _names(raw.get('owner'))), ', ')}{_by(forwarded)}"], "") if waits else "",
        since=next(filter(None, since), None),
        start_date=_id(raw.get("startDate")),
        remove_date=_id(raw.get("removeDate")),
        accounts=row_accounts(raw.get("requestedAccounts")),
    )


def _last_forwarding(value: object) -> dict[str, Any]:
    """The newest entry of a forward history, or the last one if one has no time; empty without any."""
    history = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    times = [_instant(one.get("modified")) for one in history]
    known = [time for time in times if time is not None]
    if not history:
        return {}
    return history[times.index(max(known))] if len(known) == len(history) else history[-1]


def _by(forwarded: dict[str, Any]) -> str:
    """Who handed an approval on, to stand after its approver's name."""
    for field, how in (("forwarderName", "by"), ("oldApproverName", "from")):
        if name := _text(forwarded.get(field)):
            return f" (forwarded {how} {name})"
    return ""


def _id(value: object) -> str:
    """An id that the ledger can keep; else empty."""
    text = str(value) if isinstance(value, str | int) else ""
    # U+FFFD stands for what no ledger keeps.
    is_whole = text.isprintable() and "\ufffd" not in text
    return text if is_whole and len(text) <= _LONGEST_ID and text != HIDDEN else ""


def _metadata(value: object) -> dict[str, str] | None:
    """Our own keys, however the tenant spells them, and an empty one if there are others: their values say nothing."""
    if not isinstance(value, dict):
        return None
    ours = {_OUR_KEYS.get(key.lower(), ""): one for key, one in value.items()}
    return {key: _id(one) if key else "" for key, one in ours.items()}


def _text(value: object) -> str:
    return on_one_line(value[: 4 * MOST_TEXT], most=MOST_TEXT) if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    """An instant in RFC 3339, or as a number of seconds or milliseconds since 1970; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) >= _DIGITS_OF_AN_EPOCH:
        value = int(value[:_LONGEST_EPOCH])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return moment(value)
    try:
        seconds = value / 1000 if value >= _FIRST_IN_MILLISECONDS else value
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (OverflowError, OSError, ValueError):
        return None


def _joined(texts: Iterable[str], separator: str) -> str:
    return separator.join(dict.fromkeys(filter(None, texts)))[:MOST_TEXT]


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value[:_MOST_PARTS] if isinstance(one, dict)] if isinstance(value, list) else []


def _asked(approval: dict[str, Any]) -> list[object]:
    """The names of everybody who may decide an approval: its present owners, or else the first."""
    fields = ("currentOwners", "currentOwner", "originalOwner")
    return next(filter(None, (_names(approval.get(field)) for field in fields)), [])


def _who_decided(approval: dict[str, Any]) -> list[object]:
    """The names of those who decided an approval. If it has several owners, only a reviewer tells which of them did."""
    if reviewers := _names(approval.get("reviewedBy")):
        return reviewers
    if len(_names(approval.get("currentOwners"))) <= 1:
        return _asked(approval)
    original = approval.get("originalOwner")
    return _names(original) if isinstance(original, dict) and original.get("type") == _GROUP else []


def _comments(approval: dict[str, Any]) -> Iterator[object]:
    yield approval.get("comment")
    for one in _several(approval.get("approverComments")):
        yield (one.get("comment") or one.get("text")) if isinstance(one, dict) else one


def _names(value: object) -> list[object]:
    """The names, or else the ids, of one or several people or groups."""
    named = ((one.get("name") or one.get("id")) if isinstance(one, dict) else one for one in _several(value))
    return [name for name in named if name and isinstance(name, str)]


def _several(value: object) -> list[object]:
    return value[:_MOST_PARTS] if isinstance(value, list) else [value]


def _errors(value: object) -> Iterator[object]:
    """The texts of the error messages, which are a list of lists by the documents."""
    for one in value[:_MOST_PARTS] if isinstance(value, list) else []:
        for message in _objects(one if isinstance(one, list) else [one]):
            yield message.get("text")
