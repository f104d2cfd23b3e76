"""The JSON bodies of requests. Empty fields are left out, because the API refuses them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, REQUEST_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batch.model import Request, RequestItem


def body_of(*requests: Request, attempt: str = "") -> dict[str, Any]:
    """The body of `POST …/access-requests`; each item's clientMetadata has the ids of request and attempt.

    Args:
        requests: One request; or several grants that share a body, in the nested form
            (`requestedForWithRequestedItems`), which lists items per identity. Identities are people unless a body says
            otherwise.
        attempt: Id of the attempt; empty for an attempt made before they had any.
    """
    first = requests[0]
    if len(requests) == 1:
        return {
            "requestType": REQUEST_TYPES[first.operation],
            "requestedFor": list(first.recipients),
            "requestedItems": [_item(item, first.id, attempt) for item in first.items],
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
    """The bodies of requests, in the order of the first request of each, for one attempt each with an id of its own."""
    grouped: dict[int, list[Request]] = {}
    for request in requests:
        grouped.setdefault(request.number if request.within is None else request.within, []).append(request)
    return tuple(
        Body(requests=tuple(body), content=encode(body_of(*body, attempt=attempt)), attempt=attempt)
        for body, attempt in ((body, new_id()) for body in grouped.values())
    )


def encode(body: dict[str, Any]) -> bytes:
    """The bytes to send: compact UTF-8 JSON, always the same for the same body."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def fingerprint(content: bytes) -> str:
    """SHA-256 in hex of a body's bytes; the ledger keeps it with each attempt."""
    return hashlib.sha256(content).hexdigest()


def _item(item: RequestItem, request_id: str, attempt: str) -> dict[str, Any]:
    ours = {REQUEST_ID_KEY: request_id, ITEM_ID_KEY: item.id, **({ATTEMPT_ID_KEY: attempt} if attempt else {})}
    optional = {"comment": item.comment, "startDate": item.start_date, "removeDate": item.remove_date}
    return {
        "type": item.type.value,
        "id": item.id,
        **{name: value for name, value in optional.items() if value},
        "clientMetadata": {**item.metadata, **ours},
    }
