"""One HTTP exchange: bounded in time and size, never following redirects, ending in an Answer whatever happens."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import truststore

from batch import __version__
from batch.tenant.answers import MOST_BYTES, from_failure, from_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from batch.model import Answer

USER_AGENT: Final = f"access-batch/{__version__}"
"""Our own: some tenants stand behind an edge that turns away libraries' default ones."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to make a connection."""

KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept: less than servers keep it, so that none closes under a request."""


def http_client(base_url: str, *, timeout: float, concurrency: int) -> httpx.AsyncClient:
    """A client for one tenant.

    Args:
        base_url: The tenant's origin.
        timeout: Seconds for one exchange.
        concurrency: Most exchanges at a time.
    """
    secure = base_url.startswith("https")
    trusted = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if secure else False
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT), pool=None),
        limits=httpx.Limits(max_connections=concurrency + 1, keepalive_expiry=KEEP_ALIVE),
        follow_redirects=False,
        verify=trusted,
        # A proxy of the environment must not see what goes to this very machine, in the clear.
        trust_env=secure,
    )


class Exchange(NamedTuple):
    """One HTTP exchange: the answer, and the body and headers as far as they came."""

    answer: Answer
    content: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


async def fetch(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    most_bytes: int = MOST_BYTES,
    gone: Callable[[], None] | None = None,
    **arguments: Any,
) -> Exchange:
    """Makes one exchange; a failure is an answer too, never an exception.

    Args:
        http: A client.
        method: HTTP method.
        path: Below the client's base URL.
        most_bytes: Bytes read of the body; the rest is left.
        gone: Is called once the last byte of the request has left.
        **arguments: For httpx.
    """
    if gone is not None:
        arguments["extensions"] = {"trace": _when_gone(gone)}
    content = bytearray()
    seen: httpx.Response | None = None
    limit = http.timeout.read
    try:
        async with (
            asyncio.timeout(limit and limit + CONNECT_TIMEOUT),
            http.stream(method, path, **arguments) as response,
        ):
            seen = response
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > most_bytes:
                    break
    except (httpx.RequestError, TimeoutError, UnicodeError) as error:
        if seen is None:
            return Exchange(from_failure(error))
        # The status has arrived and says what became of the request; what was lost is commentary.
    answer = from_response(seen.status_code, seen.headers, bytes(content), now=datetime.now(UTC))
    return Exchange(answer, bytes(content), seen.headers)


def _when_gone(gone: Callable[[], None]) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """What httpx tells of an exchange as it goes; source: its documentation of the `trace` extension."""

    async def trace(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith("send_request_body.complete"):
            gone()

    return trace
