"""Reads a row of the tenant's status list; fields that make no sense are left empty.

Source: `RequestedItemStatus` of the vendor's OpenAPI documents, the operation `listAccessRequestStatus`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, REQUEST_TYPES, ItemType
from batch.api.status_row import StatusRow
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.text import moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_TEXT: Final = 300
"""Most characters kept of a comment or of error messages."""

_USUAL: Final = frozenset({"", *TENANT_OUTCOMES, *REQUEST_TYPES.values(), *ItemType})
_PLAIN: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12}-\d{1,9}")
"""The tenant's ids and our requests' ids. The secrets of clients are longer."""

_OUR_KEYS: Final[dict[str, str]] = {key.lower(): key for key in (REQUEST_ID_KEY, ITEM_ID_KEY, ATTEMPT_ID_KEY)}
_LONGEST_ID: Final = 256
_DIGITS_OF_AN_EPOCH: Final = 9
_LONGEST_EPOCH: Final = 18
_FIRST_IN_MILLISECONDS: Final = 1e11
"""A greater number is an instant in milliseconds since 1970: in seconds it would be after the year 5100."""

_MOST_PARTS: Final = 10
_PENDING: Final = "PENDING"
_DECIDED: Final = "REJECTED"


def status_row(raw: Any, hide: Callable[[str], str]) -> StatusRow | None:
    """The row in a JSON value; None if it names no identity.

    Args:
        raw: One element of the list.
        hide: Takes secrets out of a text.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("requestedFor"), dict):
        return None

    def known(value: object) -> str:
        text = _id(value)
        # Hiding is slow, and there are thousands of rows: skip the texts that can't be a secret.
        return text if text in _USUAL or _PLAIN.fullmatch(text) else hide(text)

    if not (identity := known(raw["requestedFor"].get("id"))):
        return None

    def text(value: object) -> str:
        beginning = value[: 4 * MOST_TEXT] if isinstance(value, str) else ""
        return " ".join(hide(on_one_line(hide(beginning), most=4 * MOST_TEXT)).split())[:MOST_TEXT]

    metadata = raw.get("clientMetadata")
    state = known(raw.get("state"))
    approvals = _objects(raw.get("approvalDetails"))
    pending = [one for one in approvals if one.get("status") == _PENDING]
    decided = [one for one in approvals if one.get("status") == _DECIDED]
    cancelled = raw.get("cancelledRequestDetails")
    cancelled = cancelled if isinstance(cancelled, dict) else {}
    telling = decided or pending
    who = [text(_name(one)) for one in telling] or [text(_name({"currentOwner": cancelled.get("owner")}))]
    said = [*(one.get("comment") for one in decided), cancelled.get("comment"), *_errors(raw.get("errorMessages"))]
    since = [cancelled.get("modified"), *(one.get("modified") for one in telling), raw.get("modified")]
    return StatusRow(
        identity=identity,
        item=known(raw.get("id")),
        request_type=known(raw.get("requestType")),
        created=_instant(raw.get("created")),
        # Some tenants return keys in another case than they were sent.
        metadata={_OUR_KEYS.get(k.lower()) or k: known(v) for k, v in metadata.items()}
        if isinstance(metadata, dict)
        else None,
        access_request=known(raw.get("accessRequestId")),
        item_type=known(raw.get("type")),
        item_name=text(raw.get("name")),
        state=state,
        requester=text(_name({"currentOwner": raw.get("requester")})),
        who=_joined(who, ", "),
        said=_joined([text(one) for one in said], "; "),
        since=next(filter(None, map(_instant, since)), None),
        start_date=known(raw.get("startDate")),
        remove_date=known(raw.get("removeDate")),
        cancelable=raw.get("cancelable") is True,
        activity=known(raw.get("accountActivityItemId")),
    )


def _id(value: object) -> str:
    """An id that the ledger can keep; else empty."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_ID else ""


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


def _name(approval: dict[str, Any]) -> object:
    """The name of the present owner of an approval, or else of the first."""
    for owner in (approval.get("currentOwner"), approval.get("originalOwner")):
        if isinstance(owner, dict) and (name := owner.get("name") or owner.get("id")):
            return name
    return ""


def _errors(value: object) -> Iterator[object]:
    """The texts of the error messages, which are a list of lists by the documents."""
    for one in value[:_MOST_PARTS] if isinstance(value, list) else []:
        for message in _objects(one if isinstance(one, list) else [one]):
            yield message.get("text")
