"""The JSON bodies of requests. Empty fields are left out, because the API refuses them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.api.accounts import needs_nesting, selected_fields
from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, REQUEST_TYPES, Limits, Operation
from batch.api.end_dates import sent_end
from batch.errors import LedgerChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batch.model import Request, RequestItem


def body_of(*requests: Request, attempt: str = "") -> dict[str, Any]:
    """The body of `POST …/access-requests`; each item's clientMetadata has the ids of request and attempt.

    The clientMetadata of the request itself is the user's own.

    Args:
        requests: One request; or several grants that share a body, in the nested form
            (`requestedForWithRequestedItems`), which lists items per identity. A grant that names an account is in that
            form too. Identities are people unless a body says otherwise.
        attempt: Id of the attempt; empty for an attempt made before they had any.
    """
    first = requests[0]
    of_request = {"clientMetadata": {**first.metadata}} if first.metadata else {}
    if len(requests) == 1 and not any(needs_nesting(item.selection) for item in first.items):
        return {
            "requestType": REQUEST_TYPES[first.operation],
            "requestedFor": list(first.recipients),
            "requestedItems": [_item(item, first.id, attempt) for item in first.items],
            **of_request,
        }
    wanted: dict[str, list[dict[str, Any]]] = {}
    for request in requests:
        for recipient in request.recipients:
            wanted.setdefault(recipient, []).extend(_item(item, request.id, attempt) for item in request.items)
    return {
        "requestType": REQUEST_TYPES[first.operation],
        "requestedForWithRequestedItems": [
            {"identityId": identity, "requestedItems": items} for identity, items in wanted.items()
        ],
        **of_request,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """One API body, built once per attempt: the ledger keeps its fingerprint, and the tenant gets its bytes.

    Attributes:
        requests: The request that it is named after, then those that travel within it.
        content: The bytes that are sent.
        attempt: Id of the attempt.
    """

    requests: tuple[Request, ...]
    content: bytes
    attempt: str


def make_bodies(requests: Iterable[Request], new_id: Callable[[], str]) -> tuple[Body, ...]:
    """The bodies of requests, in the order of the first request of each, for one attempt each with an id of its own.

    Raises:
        LedgerChangedError: Some of the requests can't share a body. Their seals do not say which of them do.
    """
    grouped: dict[int, list[Request]] = {}
    for request in requests:
        grouped.setdefault(request.number if request.within is None else request.within, []).append(request)
    for body in grouped.values():
        if len(body) > 1 and (why := why_not_together(body)):
            raise LedgerChangedError(
                f"Somebody has changed the ledger: in run {body[0].run}, request {body[-1].number} was put into a body "
                f"with others, but {why}.",
                next_step="Nothing of it was sent. `access-batch ledger verify` lists all differences. Put the newest "
                "sound backup in the ledger's place: requests sent since then are looked up at the tenant first.",
            )
    return tuple(
        Body(requests=tuple(body), content=encode(body_of(*body, attempt=attempt)), attempt=attempt)
        for body, attempt in ((body, new_id()) for body in grouped.values())
    )


def why_not_together(requests: Sequence[Request], limits: Limits = Limits()) -> str:  # noqa: B008 - it is frozen
    """Why several requests can't share a body; empty if they can."""
    pairs = [(one, item.type, item.id) for request in requests for one in request.recipients for item in request.items]
    if any(request.operation is not Operation.GRANT for request in requests):
        return "only grants can share one"
    if len({request.run for request in requests}) > 1:
        return "they are of several runs"
    if len(set(pairs)) < len(pairs):
        return "they want the same"
    if len(pairs) > limits.items or len({pair[0] for pair in pairs}) > limits.recipients:
        return "they are too large for one"
    return ""


def encode(body: dict[str, Any]) -> bytes:
    """The bytes to send: compact UTF-8 JSON, always the same for the same body."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def fingerprint(content: bytes) -> str:
    """SHA-256 in hex of a body's bytes; the ledger keeps it with each attempt."""
    return hashlib.sha256(content).hexdigest()


def _item(item: RequestItem, request_id: str, attempt: str) -> dict[str, Any]:
    ours = {REQUEST_ID_KEY: request_id, ITEM_ID_KEY: item.id, **({ATTEMPT_ID_KEY: attempt} if attempt else {})}
    optional = {"comment": item.comment, "startDate": item.start_date, "removeDate": sent_end(item.remove_date)}
    return {
        "type": item.type.value,
        "id": item.id,
        **{name: value for name, value in optional.items() if value},
        **selected_fields(item.selection),
        "clientMetadata": {**item.metadata, **ours},
    }
