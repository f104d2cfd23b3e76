"""From a request to the JSON body that the API takes. Absent fields are left out: the API refuses empty ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from batch.dialects import ITEM_ID_KEY, REQUEST_ID_KEY, REQUEST_TYPES

if TYPE_CHECKING:
    from batch.model import Request, RequestItem


def body_of(request: Request) -> dict[str, Any]:
    """The body of `POST …/access-requests`; every item carries the request's id in its clientMetadata."""
    return {
        "requestType": REQUEST_TYPES[request.operation],
        "requestedFor": list(request.recipients),
        "requestedItems": [_item(item, request.id) for item in request.items],
    }


def encode(body: dict[str, Any]) -> bytes:
    """The bytes that are sent: compact UTF-8 JSON, the same for the same body."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def fingerprint(content: bytes) -> str:
    """SHA-256 in hex of the bytes of a body, kept with each attempt."""
    return hashlib.sha256(content).hexdigest()


def _item(item: RequestItem, request_id: str) -> dict[str, Any]:
    optional = {"comment": item.comment, "startDate": item.start_date, "removeDate": item.remove_date}
    return {
        "type": item.type.value,
        "id": item.id,
        **{name: value for name, value in optional.items() if value},
        "clientMetadata": {**item.metadata, REQUEST_ID_KEY: request_id, ITEM_ID_KEY: item.id},
    }
