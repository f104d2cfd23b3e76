"""Makes an Answer of a response or a transport error: limited in size, and readable whatever the server sends.

Here, and nowhere else, bytes from a server become texts, and no text that holds a secret of ours gets further.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import httpx

from batch.api.rate_window import LONGEST_SILENCE
from batch.model import Answer, Failure, Form
from batch.tenant.existing import existing_requests
from batch.tenant.secrets import Secrets
from batch.text import HIDDEN, on_one_line, without_entities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_BYTES: Final = 1 << 20
"""Most bytes of one answer; the answer to the largest submit has a few kilobytes."""

MOST_TEXT: Final = 300
"""Most characters kept of a message."""

MOST_READ: Final = 1 << 16
"""Most characters of a message that we read."""

MOST_TOKEN: Final = 1 << 14
"""Most characters of an access token: no server takes a longer header."""

LOCATION: Final = "x-redirects-to"
"""The header that keeps a redirect's target, so that httpx does not see it."""

MOST_MESSAGES: Final = 10
"""Most messages of one answer that we read."""

_OK: Final = 200
_ACCEPTED: Final = 202
_UNAUTHORIZED: Final = 401
_THROTTLED: Final = 429
_INVISIBLE: Final = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>?")
_BLOCK_ID: Final = re.compile(
    r"(?:support|incident|request|reference|event|error|transaction|session|ray|block|tracking)\s*"
    r"(?:id|number|no\.?|code|#)\s*(?:is)?\s*[:=#]*\s*(?=[\w.-]{0,79}\d)(\w[\w.-]{5,79})",
    re.IGNORECASE,
)
"""The id that a firewall's page asks its reader to report, in the words of the usual products."""
_PLAUSIBLE_YEARS: Final = range(2000, 2200)
_BEFORE_CONNECTING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NO_MATTER_OF_CA: Final = frozenset({9, 10, 62, 64})
"""OpenSSL's codes of certificates that are not yet valid, expired, or for another host or address."""
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""OpenSSL's reasons if the other side does not speak TLS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What came back from one exchange, without the secrets that we sent.

    Attributes:
        answer: What it means for a request.
        document: The body, if it is JSON and arrived as a whole; else None.
        headers: The headers.
        token: The access token in the body, which is hidden everywhere else; empty if it holds none.
    """

    answer: Answer
    document: Any = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    token: str = field(repr=False, default="")


def from_response(
    status: int,
    headers: httpx.Headers,
    content: bytes,
    *,
    now: datetime,
    secrets: Secrets | None = None,
    most_bytes: int = MOST_BYTES,
) -> Exchange:
    """What came back in a response.

    Args:
        status: HTTP status.
        headers: Response headers.
        content: The body, or the first part of it.
        now: This moment, for a `Retry-After` that is a date.
        secrets: Hidden from every text, and learns the token that the answer may hold.
        most_bytes: A longer body is not read.
    """
    hide = secrets or Secrets()
    raw = _json(content) if len(content) <= most_bytes else None
    token = _token(raw)
    hide.learn_token(token)
    pairs = headers.multi_items()
    document, values = hide.clean([raw, [value for _, value in pairs]])
    clean = [(name, value) for (name, _), value in zip(pairs, values, strict=True)]
    if clean != pairs:
        headers = httpx.Headers(clean)
    fields = document if isinstance(document, dict) else {}
    page = _page(content, hide) if document is None else ""
    rest = "" if fields or page or (status == _OK and document is not None) else _other(content, document, hide)
    found = _BLOCK_ID.search(page)
    answer = Answer(
        status=status,
        retry_after=_retry_after(headers.get_list("retry-after"), now),
        detail_code=_short(fields.get("detailCode")),
        tracking_id=_short(fields.get("trackingId") if fields else found and found[1]),
        text=_message(fields, headers, page or rest),
        server_time=_date(headers.get("date", "")),
        form=Form.API if fields and _is_documented(status, fields) else Form.PAGE if page else Form.OTHER,
        existing=existing_requests(fields) if status == _ACCEPTED else (),
    )
    return Exchange(answer=answer, document=document, headers=headers, token=token)


def from_failure(
    error: httpx.HTTPError | httpx.InvalidURL | OSError | UnicodeError,
    *,
    host: str = "the tenant",
    proxy: str = "",
    sent: bool = True,
    secrets: Secrets | None = None,
) -> Answer:
    """The answer in a transport error; it tells whether bytes may have left.

    Args:
        error: Raised by httpx or a layer below it.
        host: The tenant's host, for messages.
        proxy: Host and port of the proxy that must be connected to instead; empty without one.
        sent: Whether bytes of the request may have left for the tenant.
        secrets: Hidden from every text of the answer.
    """
    hide = secrets or Secrets()
    if (distrust := _distrust(error)) and not sent:
        return Answer(failure=Failure.UNTRUSTED, text=_short(hide.hide(f"{host} can't be trusted: {distrust}")))
    never = isinstance(error, _BEFORE_CONNECTING) or not sent
    name = type(error).__name__
    # An error on our side of the protocol may quote a header, and with it the token.
    ours = isinstance(error, httpx.LocalProtocolError | UnicodeError)
    text = "" if ours else _short(hide.hide(str(error)[:MOST_READ]))
    if never and isinstance(error, _BEFORE_CONNECTING) and (plain := _why_not_connected(error, host, proxy)):
        return Answer(failure=Failure.NEVER_CONNECTED, text=_short(hide.hide(plain)))
    if isinstance(error, httpx.ProxyError):
        text = f"the proxy of the environment does not let us through to {host}: {text}"
    return Answer(
        failure=Failure.NEVER_CONNECTED if never else Failure.BROKEN, text=f"{name}: {text}" if text else name
    )


def _distrust(error: BaseException | None) -> str:
    """Why the other side could not prove its identity; empty for any other error."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = str(error.verify_message or error.reason or error).rstrip(".")
        if error.verify_code in _NO_MATTER_OF_CA:
            return problem
        return f"{problem}; if your company has a certificate authority of its own, give it with --ca-file"
    return "it does not speak https there" if error is not None and error.reason in _NOT_TLS else ""


def _why_not_connected(error: BaseException, host: str, proxy: str) -> str:
    """Why no connection came about, in words; empty if that needs the error's own."""
    peer = f"the proxy {proxy} of the environment" if proxy else host
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            name = proxy.rpartition(":")[0] if proxy else host
            of_proxy = " of the environment's proxy" if proxy else ""
            return f"the name {name}{of_proxy} can't be looked up: {cause.strerror}"
        if isinstance(cause, ConnectionRefusedError):
            return f"{peer} refuses connections"
    if isinstance(error, httpx.ConnectTimeout):
        return f"{peer} does not answer"
    return f"{peer} can't be connected to: {error}" if proxy and isinstance(error, httpx.ConnectError) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what has led to it, the attempts of several addresses too."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__


def _is_documented(status: int, document: Mapping[str, Any]) -> bool:
    """Whether a JSON object has the form of the API's errors with this status.

    Sources: the vendor's OpenAPI documents. 400, 401, 403 and 500 are `{detailCode, trackingId, messages, causes}`, of
    which some may be missing; a 401 may be `{error}` instead, and a 429 is `{message}`.
    """
    messages = document.get("messages")
    says = isinstance(messages, list) and any(
        isinstance(message, dict) and isinstance(message.get("text"), str) for message in messages[:MOST_MESSAGES]
    )
    if says or _is_text(document.get("detailCode")):
        return True
    own = {_UNAUTHORIZED: "error", _THROTTLED: "message"}.get(status, "")
    return _is_text(document.get(own))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _page(content: bytes, hide: Secrets) -> str:
    """The words of a web page, without secrets; empty if the content is none."""
    if not content[:MOST_READ].decode("utf-8", "replace").lstrip("\ufeff \t\r\n").startswith("<"):
        return ""
    if (beginning := _beginning(content, hide)) == HIDDEN:
        return HIDDEN
    words = _TAG.sub(" ", _INVISIBLE.sub(" ", beginning))
    return hide.hide(" ".join(without_entities(words).split())) or "an empty web page"


def _other(content: bytes, document: Any, hide: Secrets) -> str:
    """The beginning of a body that is no object of the API's."""
    if document is None:
        return _beginning(content, hide)
    # Hidden again: a constant such as Infinity was no text in the document.
    return hide.hide(json.dumps(document, ensure_ascii=False)[:MOST_READ])


def _beginning(content: bytes, hide: Secrets) -> str:
    """The beginning of a body that is no JSON: to read it all takes time, and a hostile one could be long."""
    return hide.hide(content[:MOST_READ].decode("utf-8", "replace"))


def _json(content: bytes) -> Any:
    """The JSON document in a body, in which a sign takes the place of each NUL and each half of a pair.

    No database keeps all of them, and halves are no characters. None if it is none, or broke off.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    may_hold_some = _NO_CHARACTERS_WRITTEN.search(content) or json.detect_encoding(content) != "utf-8"
    return _with_signs(document) if may_hold_some else document


def _with_signs(document: Any) -> Any:
    """The document, changed in place: it may nest too deeply for a function that calls itself."""
    place = [document]
    waiting: list[Any] = [place]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name in [name for name in value if _NO_CHARACTERS.search(name)]:
                value[_NO_CHARACTERS.sub("\ufffd", name)] = value.pop(name)
        for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if isinstance(one, str):
                value[key] = _NO_CHARACTERS.sub("\ufffd", one)
            elif isinstance(one, dict | list):
                waiting.append(one)
    return place[0]


_NO_CHARACTERS: Final = re.compile("[\0\ud800-\udfff]")
_NO_CHARACTERS_WRITTEN: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]")
"""In a body in UTF-8, with whole pairs, which it also finds."""


def _token(document: Any) -> str:
    """The access token in a document; empty if it has none that could be sent."""
    token = document.get("access_token") if isinstance(document, dict) else None
    return token if isinstance(token, str) and len(token) <= MOST_TOKEN else ""


def _message(document: dict[str, Any], headers: httpx.Headers, text: str) -> str:
    """The API's messages, or else its error or message, or else the beginning of the body's text."""
    if document:
        messages = document.get("messages")
        if isinstance(messages, list):
            first = [message for message in messages[:MOST_MESSAGES] if isinstance(message, dict)]
            texts = [_short(message.get("text")) for message in first]
            if found := "; ".join(dict.fromkeys(text for text in texts if text)):
                return found[:MOST_TEXT]
        others = (_short(document.get(name)) for name in ("error_description", "error", "message"))
        return next(filter(None, others), "")
    if location := headers.get(LOCATION):
        return _short(f"it redirects to {location}")
    if (encoding := headers.get("content-encoding", "identity").strip().lower()) != "identity":
        return _short(f"its body is encoded, which was not asked for: {encoding}")
    return _short(text)


def _short(value: object) -> str:
    """One line of printable text."""
    return on_one_line(value[:MOST_READ], most=MOST_TEXT) if isinstance(value, str) else ""


def _retry_after(values: list[str], now: datetime) -> float | None:
    """The longest wait that any of the headers asks for; gateways add headers of their own, or join several in one."""
    parts = [part for value in values for part in (value, *value.split(","))]
    waits = [wait for part in parts if (wait := _wait(part, now)) is not None]
    return max(waits, default=None)


def _wait(text: str, now: datetime) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        date = _date(text)
        seconds = (date - now).total_seconds() if date else math.nan
    return min(max(0.0, seconds), LONGEST_SILENCE) if math.isfinite(seconds) else None


def _date(value: str) -> datetime | None:
    """An HTTP date in UTC; None if it is none, or not of this age."""
    try:
        date = parsedate_to_datetime(value)
        date = date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError):
        return None
    return date if date.year in _PLAUSIBLE_YEARS else None
