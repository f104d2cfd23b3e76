"""One HTTP exchange: limited in time and size, without redirects, with an Answer whatever happens."""

from __future__ import annotations

import asyncio
import base64
import math
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

import httpx

from batch import __version__
from batch.tenant.answers import LOCATION, MOST_BYTES, Exchange, from_failure, from_response
from batch.tenant.secrets import Secrets
from batch.tenant.sockets import abort_connections
from batch.tenant.trust import proxy_for, trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

USER_AGENT: Final = f"access-batch/{__version__}"
"""Our own, because some tenants stand behind an edge that rejects the default ones of libraries."""

CONNECT_TIMEOUT: Final = 10.0
"""Most seconds to connect."""

KEEP_ALIVE: Final = 4.0
"""Seconds to keep an idle connection: fewer than servers do, so that none closes during a request."""

_PROXY_PORTS: Final = {"http": 80, "https": 443}

_SENT: Final[WeakKeyDictionary[httpx.AsyncClient, Secrets]] = WeakKeyDictionary()
"""The secrets that each client has sent, to hide them in its answers."""

_PROXIES: Final[WeakKeyDictionary[httpx.AsyncClient, str]] = WeakKeyDictionary()
"""The proxy that a client takes, without its password."""


def http_client(base_url: str, *, timeout: float, concurrency: int, ca_file: Path | None = None) -> httpx.AsyncClient:
    """A client for one tenant.

    Args:
        base_url: The tenant's origin.
        timeout: Seconds for one exchange.
        concurrency: Most exchanges at the same time.
        ca_file: See `trusted`.

    Raises:
        SettingsError: The file of certificates, or the proxy that the environment names, can't be used.
    """
    trust = trusted(ca_file) if base_url.startswith("https") else None
    proxy = proxy_for(base_url, trust)
    http = httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
        # Cookies would be one more secret, and grow without end.
        cookies=CookieJar(DefaultCookiePolicy(netscape=False, rfc2965=False)),
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT), pool=None),
        limits=httpx.Limits(max_connections=concurrency + 1, keepalive_expiry=KEEP_ALIVE),
        follow_redirects=False,
        verify=trust or False,
        proxy=proxy,
        # Read nothing else from the environment; `proxy_for` has read the proxies.
        trust_env=False,
        event_hooks={"response": [_set_location_aside]},
    )
    abort_connections(http)
    if proxy is not None:
        _PROXIES[http] = f"{proxy.url.host}:{proxy.url.port or _PROXY_PORTS[proxy.url.scheme]}"
    if proxy is not None and proxy.auth is not None:
        name, password = proxy.auth
        _secrets_of(http).learn(password)
        # As it stands in the header, where a short password is no word of its own.
        _secrets_of(http).learn(base64.b64encode(f"{name}:{password}".encode()).decode())
    return http


def check_wires(base_url: str, ca_file: Path | None) -> None:
    """Checks that a client can be made, before any work begins.

    Raises:
        SettingsError: The file of certificates, or the proxy that the environment names, can't be used.
    """
    is_needed = ca_file is not None or base_url.startswith("https")
    proxy_for(base_url, trusted(ca_file) if is_needed else None)


def cleaning(http: httpx.AsyncClient) -> Callable[[Any], Any]:
    """A function that hides, in a JSON document from the tenant, the secrets that this client has sent."""
    return _secrets_of(http).clean


async def fetch(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    most_bytes: int = MOST_BYTES,
    now: Callable[[], datetime],
    on_sent: Callable[[], None] | None = None,
    longest: float = math.inf,
    **arguments: Any,
) -> Exchange:
    """Makes one exchange; a failure is an answer too, never an exception.

    Args:
        http: A client.
        method: HTTP method.
        path: Below the client's base URL.
        now: The wall clock, for a `Retry-After` that is a date.
        most_bytes: Most bytes of the body to read.
        on_sent: Called once the last byte of the request has left.
        longest: Most seconds of the exchange, if the client allows no fewer.
        **arguments: For httpx.
    """
    content = bytearray()
    seen: httpx.Response | None = None
    progress = _Progress(on_sent)
    secrets = _secrets_of(http)
    limit = min(longest, math.inf if http.timeout.read is None else http.timeout.read + (http.timeout.connect or 0.0))
    try:
        request = http.build_request(method, path, extensions={"trace": progress}, **arguments)
        _learn(secrets, request)
        async with asyncio.timeout(None if limit == math.inf else limit):
            seen = await http.send(request, stream=True)
            try:
                async for chunk in seen.aiter_raw():
                    content += chunk
                    if len(content) > most_bytes:
                        break
            finally:
                await seen.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        if seen is None:
            proxy = _PROXIES.get(http, "")
            answer = from_failure(error, host=http.base_url.host, proxy=proxy, sent=progress.sent, secrets=secrets)
            return Exchange(answer=answer)
        # The status has arrived and decides; the lost rest of the body is only commentary.
    return from_response(
        seen.status_code, seen.headers, bytes(content), now=now(), secrets=secrets, most_bytes=most_bytes
    )


class _Progress:
    """The progress of an exchange, as httpx reports it to its `trace` extension.

    Args:
        on_sent: Called once the last byte of the request has left.

    Attributes:
        sent: Whether bytes of the request may have left for the tenant; the CONNECT to a proxy does not count.
    """

    def __init__(self, on_sent: Callable[[], None] | None) -> None:
        self._on_sent = on_sent
        self.sent = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent = True
        if self._on_sent is not None and self.sent and event.endswith("send_request_body.complete"):
            self._on_sent()


def _secrets_of(http: httpx.AsyncClient) -> Secrets:
    return _SENT.setdefault(http, Secrets())


def _learn(secrets: Secrets, request: httpx.Request) -> None:
    """Remembers the secrets in a request before it is sent."""
    secrets.learn_token(request.headers.get("authorization", "").partition(" ")[2])
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        for value in parse_qs(request.content.decode("ascii")).get("client_secret", ()):
            secrets.learn(value)


async def _set_location_aside(response: httpx.Response) -> None:
    """Hides a redirect from httpx, which would prepare the next request, and fail if it can't."""
    if "location" in response.headers:
        response.headers[LOCATION] = response.headers.pop("location")
