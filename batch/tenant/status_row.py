"""A row of the tenant's status list, as far as it can be understood.

Source: `RequestedItemStatus` of the vendor's OpenAPI documents, the operation `listAccessRequestStatus`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import REQUEST_TYPES, ItemType
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.model import StatusRow
from batch.text import moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_SAID: Final = 300
"""Characters kept of a comment or of error messages."""

_USUAL: Final = frozenset({"", *TENANT_OUTCOMES, *REQUEST_TYPES.values(), *ItemType})
_PLAIN: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12}-\d{1,9}")
"""Ids of the tenant, and of our requests: the secrets of clients are longer."""

_LONGEST_ID: Final = 256
_MOST_PARTS: Final = 10
_PENDING: Final = "PENDING"
_DECIDED: Final = "REJECTED"


def status_row(raw: Any, hide: Callable[[str], str]) -> StatusRow | None:
    """The row that a JSON object is; None where it does not say whom it is for.

    Args:
        raw: One element of the list.
        hide: Takes secrets out of a text.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("requestedFor"), dict):
        return None

    def known(value: object) -> str:
        said = _id(value)
        # Looking for secrets takes its time, which thousands of rows have only for what can be one.
        return said if said in _USUAL or _PLAIN.fullmatch(said) else hide(said)

    if not (identity := known(raw["requestedFor"].get("id"))):
        return None

    def text(value: object) -> str:
        said = value if isinstance(value, str) else ""
        return " ".join(hide(on_one_line(hide(said[: 4 * MOST_SAID]), most=4 * MOST_SAID)).split())[:MOST_SAID]

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
        created=moment(raw.get("created")),
        metadata={k: known(v) for k, v in metadata.items()} if isinstance(metadata, dict) else None,
        access_request=known(raw.get("accessRequestId")),
        item_type=known(raw.get("type")),
        item_name=text(raw.get("name")),
        state=state,
        requester=text(_name({"currentOwner": raw.get("requester")})),
        who=_joined(who, ", "),
        said=_joined([text(one) for one in said], "; "),
        since=next(filter(None, map(moment, since)), None),
        start_date=known(raw.get("startDate")),
        remove_date=known(raw.get("removeDate")),
        cancelable=raw.get("cancelable") is True,
        activity=known(raw.get("accountActivityItemId")),
    )


def _id(value: object) -> str:
    """An id as text that the ledger can keep; empty where it is none."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_ID else ""


def _joined(texts: Iterable[str], separator: str) -> str:
    return separator.join(dict.fromkeys(filter(None, texts)))[:MOST_SAID]


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value[:_MOST_PARTS] if isinstance(one, dict)] if isinstance(value, list) else []


def _name(approval: dict[str, Any]) -> object:
    """The name of who has an approval now."""
    for owner in (approval.get("currentOwner"), approval.get("originalOwner")):
        if isinstance(owner, dict) and (name := owner.get("name") or owner.get("id")):
            return name
    return ""


def _errors(value: object) -> Iterator[object]:
    """The texts of error messages, which the documents have as a list of lists."""
    for one in value[:_MOST_PARTS] if isinstance(value, list) else []:
        for message in _objects(one if isinstance(one, list) else [one]):
            yield message.get("text")
