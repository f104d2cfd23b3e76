"""From what httpx saw to an Answer: bounded in size, and readable whatever the server sent."""

from __future__ import annotations

import json
import math
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from batch.model import Answer, Failure
from batch.tenant.existing import existing_requests
from batch.tenant.secrets import Secrets
from batch.text import on_one_line

MOST_BYTES: Final = 1 << 20
"""Bytes read of one answer: submit answers of the largest request are a few kilobytes."""

MOST_TEXT: Final = 300
"""Characters kept of a message."""

MOST_LOOKED_AT: Final = 1 << 16
"""Characters of a message that are looked at."""

LOCATION: Final = "x-redirects-to"
"""The header under which a redirect's target is kept, out of httpx's sight."""

MOST_PATIENCE: Final = 86_400.0
"""Seconds of a `Retry-After` that are obeyed: a day."""

MOST_MESSAGES: Final = 10
"""Messages of one answer that are read."""

_ACCEPTED: Final = 202
_PLAUSIBLE_YEARS: Final = range(2000, 2200)
_BEFORE_CONNECTING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NO_MATTER_OF_CA: Final = frozenset({9, 10, 62, 64})
"""OpenSSL's codes of certificates that are not yet valid, expired, or another host's or address's."""
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""OpenSSL's reasons where what answers does not speak TLS."""


def from_response(
    status: int, headers: httpx.Headers, content: bytes, *, now: datetime, secrets: Secrets | None = None
) -> Answer:
    """The answer that a response is.

    Args:
        status: HTTP status.
        headers: Response headers.
        content: The body, or the first part of it.
        now: This moment, for a `Retry-After` that is a date.
        secrets: What the server may know and no text of an answer may repeat.
    """
    hide = secrets or Secrets()
    document = _json_object(content)
    return Answer(
        status=status,
        retry_after=_retry_after(headers.get("retry-after", ""), now),
        detail_code=_short(document.get("detailCode"), hide) if document else "",
        tracking_id=_short(document.get("trackingId"), hide) if document else "",
        text=_message(document, headers, content, hide),
        server_time=_date(headers.get("date", "")),
        readable=document is not None or not content.strip(),
        existing=existing_requests(document) if document and status == _ACCEPTED else (),
    )


def from_failure(
    error: httpx.HTTPError | httpx.InvalidURL | OSError | UnicodeError,
    *,
    host: str = "the tenant",
    sent: bool = True,
    secrets: Secrets | None = None,
) -> Answer:
    """The answer that a transport error is: it decides whether bytes may have left.

    Args:
        error: What httpx, or the layers below it, raised.
        host: Whom we wanted to reach.
        sent: Whether bytes of the request may have left for the tenant.
        secrets: What no text of an answer may repeat.
    """
    hide = secrets or Secrets()
    if (distrust := _distrust(error)) and not sent:
        return Answer(failure=Failure.UNTRUSTED, text=_short(f"{host} can't be trusted: {distrust}", hide))
    never = isinstance(error, _BEFORE_CONNECTING) or not sent
    name = type(error).__name__
    # What is wrong with our own side of the protocol may quote a header, and with it the token.
    ours = isinstance(error, httpx.LocalProtocolError | UnicodeError)
    said = "" if ours else _short(str(error), hide)
    if isinstance(error, httpx.ProxyError):
        said = f"the proxy of the environment does not let us through to {host}: {said}"
    return Answer(
        failure=Failure.NEVER_CONNECTED if never else Failure.BROKEN, text=f"{name}: {said}" if said else name
    )


def _distrust(error: BaseException | None) -> str:
    """Why the other side could not prove who it is; empty where the error is another."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        said = str(error.verify_message or error.reason or error).rstrip(".")
        if error.verify_code in _NO_MATTER_OF_CA:
            return said
        return f"{said}; a certificate authority of your company's own is named with --ca-file"
    return "it does not speak https there" if error is not None and error.reason in _NOT_TLS else ""


def _json_object(content: bytes) -> dict[str, Any] | None:
    if len(content) > MOST_BYTES:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _message(document: dict[str, Any] | None, headers: httpx.Headers, content: bytes, hide: Secrets) -> str:
    """The most telling text: the API's messages, else its error or message, else the beginning of the body."""
    if document:
        messages = document.get("messages")
        if isinstance(messages, list):
            first = [message for message in messages[:MOST_MESSAGES] if isinstance(message, dict)]
            texts = [_short(message.get("text"), hide) for message in first]
            if found := "; ".join(dict.fromkeys(text for text in texts if text)):
                return found[:MOST_TEXT]
        said = (_short(document.get(name), hide) for name in ("error_description", "error", "message"))
        return next(filter(None, said), "")
    if location := headers.get(LOCATION):
        return _short(f"it redirects to {location}", hide)
    if (encoding := headers.get("content-encoding", "identity").strip().lower()) != "identity":
        return _short(f"its body is encoded, which was not asked for: {encoding}", hide)
    return _short(content[: 4 * MOST_LOOKED_AT].decode("utf-8", "replace"), hide)


def _short(value: object, hide: Secrets) -> str:
    """One line of printable text without secrets; they are hidden first, so that none is cut in two."""
    if not isinstance(value, str):
        return ""
    # Only the beginning is kept, and the more text that is looked through, the longer a hostile answer holds us up.
    beginning = hide.hide(value[:MOST_LOOKED_AT])
    return " ".join(hide.hide(on_one_line(beginning, most=MOST_LOOKED_AT)).split())[:MOST_TEXT]


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
