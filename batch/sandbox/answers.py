"""The answers of the simulated tenant, before they become HTTP: error forms, and pages of collections.

Source of the paging: the vendor's page on standard collection parameters. Reports from live tenants add that an offset
at the end of a list is an error instead of an empty page.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from batch.api.dialects import PAGE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Entry = TypeVar("_Entry")

JSON: Final = "application/json"
HTML: Final = "text/html"

_DETAIL_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "400.1 Bad Request Content",
    HTTPStatus.FORBIDDEN: "403 Forbidden",
    HTTPStatus.NOT_FOUND: "404 Not found",
    HTTPStatus.INTERNAL_SERVER_ERROR: "500.0 Internal Fault",
    HTTPStatus.SERVICE_UNAVAILABLE: "503.0 Service Unavailable",
}


class BadQueryError(ValueError):
    """A query breaks a rule. Becomes a 400 with this text before it leaves the sandbox."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: HTTP status code.
        body: The JSON value; for any other media type, the text.
        headers: Headers besides content type, content length and date.
        media_type: Media type of the body.
    """

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON

    def content(self) -> bytes:
        """The body as bytes."""
        text = json.dumps(self.body) if self.media_type == JSON else str(self.body)
        return text.encode()


def problem(status: HTTPStatus, text: str, *, tracking_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error in the API's own form (`ErrorResponseDto` of the vendor's documents).

    Args:
        status: 400, 403, 500 or 503, the statuses that have this form.
        text: The cause, in the tenant's wording.
        tracking_id: The id that the vendor's support asks for.
        headers: Headers of the answer.
    """
    body = {
        "detailCode": _DETAIL_CODES[status],
        "trackingId": tracking_id,
        "messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": text}],
        "causes": [],
    }
    return Answer(status=status, body=body, headers=headers or {})


def unauthorized(cause: str) -> Answer:
    """The API's 401, which has a form of its own."""
    return Answer(status=HTTPStatus.UNAUTHORIZED, body={"error": f"JWT validation failed: {cause}"})


def too_many_requests(retry_after: int) -> Answer:
    """The API's 429, including the blanks in its message. `retry_after` is in seconds."""
    return Answer(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        body={"message": " Rate Limit Exceeded "},
        headers={"Retry-After": str(retry_after)},
    )


def gateway_page(status: HTTPStatus) -> Answer:
    """The HTML page of a gateway in front of the tenant, which does not know the API."""
    page = f"<html><head><title>{status.value} {status.phrase}</title></head><body>{status.phrase}</body></html>"
    return Answer(status=status, body=page, media_type=HTML)


def block_page(status: HTTPStatus, block_id: str) -> Answer:
    """The HTML page of a firewall that has blocked a call, with the id that its administrators ask for."""
    page = (
        "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. "
        f"Please consult with your administrator.<br><br>Your support ID is: {block_id}</body></html>"
    )
    return Answer(status=status, body=page, media_type=HTML)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The requested part of a collection: at most `limit` entries from `offset` on, with the total if `counted`."""

    limit: int
    offset: int
    counted: bool

    def cut(self, entries: Sequence[_Entry], as_json: Callable[[_Entry], object]) -> Answer:
        """The page as an answer.

        Args:
            entries: Everything found, in order.
            as_json: Writes an entry.

        Raises:
            BadQueryError: The offset is at or beyond the end of a non-empty collection.
        """
        if entries and self.offset >= len(entries):
            raise BadQueryError(f"offset {self.offset} is beyond the {len(entries)} results.")
        return Answer(
            status=HTTPStatus.OK,
            body=[as_json(entry) for entry in entries[self.offset : self.offset + self.limit]],
            headers={"X-Total-Count": str(len(entries))} if self.counted else {},
        )


def page_of(query: Mapping[str, str], *, limit: int = PAGE_LIMIT) -> Page:
    """The page that a query asks for.

    Args:
        query: The query parameters: `limit`, `offset`, `count`.
        limit: Largest page of this collection, and its default.

    Raises:
        BadQueryError: A parameter has the wrong type or exceeds the limit.
    """
    counted = query.get("count", "false").lower()
    if counted not in {"true", "false"}:
        raise BadQueryError("count must be true or false.")
    asked = _whole_number(query, "limit", limit)
    if asked > limit:
        raise BadQueryError(f"limit must be at most {limit}.")
    return Page(limit=asked, offset=_whole_number(query, "offset", 0), counted=counted == "true")


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise BadQueryError(f"{name} must be a whole number of 0 or more.")
    return int(text)
