"""One HTTP exchange: bounded in time and size, never following redirects, ending in an Answer whatever happens."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import truststore

from batch import __version__
from batch.tenant.answers import MOST_BYTES, from_failure, from_response

if TYPE_CHECKING:
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
    trusted = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if base_url.startswith("https") else False
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT), pool=None),
        limits=httpx.Limits(max_connections=concurrency + 1, keepalive_expiry=KEEP_ALIVE),
        follow_redirects=False,
        verify=trusted,
    )


async def fetch(http: httpx.AsyncClient, method: str, path: str, **arguments: Any) -> tuple[Answer, bytes]:
    """Makes one exchange.

    Returns:
        The answer, and the body as far as it was read; a failure is an answer too, never an exception.
    """
    content = bytearray()
    seen: httpx.Response | None = None
    limit = http.timeout.read
    try:
        async with (
            asyncio.timeout(limit and limit + CONNECT_TIMEOUT),
            http.stream(method, path, **arguments) as response,
        ):
            seen = response
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    break
    except (httpx.RequestError, TimeoutError) as error:
        if seen is None:
            return from_failure(error), b""
        # The status has arrived and says what became of the request; what was lost is commentary.
    return from_response(seen.status_code, seen.headers, bytes(content), now=datetime.now(UTC)), bytes(content)
