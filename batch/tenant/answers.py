"""From what httpx saw to an Answer: bounded in size, and readable whatever the server sent."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from batch.model import Answer, Failure

MOST_BYTES: Final = 1 << 20
"""Bytes read of one answer: submit answers of the largest request are a few kilobytes."""

MOST_TEXT: Final = 300
"""Characters kept of a message."""

MOST_PATIENCE: Final = 86_400.0
"""Seconds of a `Retry-After` that are obeyed: a day."""

_PLAUSIBLE_YEARS: Final = range(2000, 2200)
_BEFORE_CONNECTING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def from_response(status: int, headers: httpx.Headers, content: bytes, *, now: datetime) -> Answer:
    """The answer that a response is.

    Args:
        status: HTTP status.
        headers: Response headers.
        content: The body, or the first part of it.
        now: This moment, for a `Retry-After` that is a date.
    """
    document = _json_object(content)
    return Answer(
        status=status,
        retry_after=_retry_after(headers.get("retry-after", ""), now),
        detail_code=_short(document.get("detailCode")),
        tracking_id=_short(document.get("trackingId")),
        text=_message(document, content),
        server_time=_date(headers.get("date", "")),
    )


def from_failure(error: httpx.RequestError | TimeoutError | UnicodeError) -> Answer:
    """The answer that a transport error is: it decides whether bytes may have left."""
    never = isinstance(error, _BEFORE_CONNECTING)
    name = type(error).__name__
    # What is wrong with our own side of the protocol may quote a header, and with it the token.
    said = "" if isinstance(error, httpx.LocalProtocolError | UnicodeError) else _short(str(error))
    return Answer(
        failure=Failure.NEVER_CONNECTED if never else Failure.BROKEN, text=f"{name}: {said}" if said else name
    )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _message(document: dict[str, Any], content: bytes) -> str:
    """The most telling text: the API's messages, else its error or message, else the beginning of the body."""
    messages = document.get("messages")
    if isinstance(messages, list):
        texts = [_short(message.get("text")) for message in messages if isinstance(message, dict)]
        if found := "; ".join(dict.fromkeys(text for text in texts if text)):
            return found[:MOST_TEXT]
    for name in ("error_description", "error", "message"):
        if said := _short(document.get(name)):
            return said
    return "" if document else _short(content[: 4 * MOST_TEXT].decode("utf-8", "replace"))


def _short(value: object) -> str:
    """One line of printable text."""
    if not isinstance(value, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in value)
    return " ".join(printable.split())[:MOST_TEXT]


def _retry_after(value: str, now: datetime) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        date = _date(value)
        seconds = (date - now).total_seconds() if date else math.nan
    return min(max(0.0, seconds), MOST_PATIENCE) if math.isfinite(seconds) else None


def _date(value: str) -> datetime | None:
    """An HTTP date in UTC; None where it is none, or of another age than ours."""
    try:
        date = parsedate_to_datetime(value)
        date = date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError):
        return None
    return date if date.year in _PLAUSIBLE_YEARS else None
