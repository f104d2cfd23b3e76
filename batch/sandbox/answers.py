"""What the simulated tenant answers, before it is put into HTTP, and the moments that stand in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json"
HTML: Final = "text/html"

_DETAIL_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "400.1 Bad Request Content",
    HTTPStatus.FORBIDDEN: "403 Forbidden",
    HTTPStatus.INTERNAL_SERVER_ERROR: "500.0 Internal Fault",
    HTTPStatus.SERVICE_UNAVAILABLE: "503.0 Service Unavailable",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: The HTTP status code.
        body: The JSON value; or, for any other media type, the text itself.
        headers: Headers of this answer, apart from the content's type and length and the date.
        media_type: What the body is.
    """

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON

    def content(self) -> bytes:
        """The body as it goes over the wire."""
        text = json.dumps(self.body) if self.media_type == JSON else str(self.body)
        return text.encode()


def problem(status: HTTPStatus, text: str, *, tracking_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in the API's own error form (`ErrorResponseDto` of the vendor's documents).

    Args:
        status: 400, 403, 500 or 503: those which carry this form.
        text: The cause, as the tenant words it.
        tracking_id: What the vendor's support would ask for.
        headers: Headers of the answer.
    """
    body = {
        "detailCode": _DETAIL_CODES[status],
        "trackingId": tracking_id,
        "messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": text}],
        "causes": [],
    }
    return Answer(status=status, body=body, headers=headers or {})


def gateway_page(status: HTTPStatus) -> Answer:
    """The page of a gateway in front of the tenant, which knows nothing of the API and answers in HTML."""
    page = f"<html><head><title>{status.value} {status.phrase}</title></head><body>{status.phrase}</body></html>"
    return Answer(status=status, body=page, media_type=HTML)


def iso_moment(moment: datetime) -> str:
    """A moment as the API writes it: RFC 3339, UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
