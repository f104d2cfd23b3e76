"""Sockets that abort: whatever of a request has not arrived when its connection is closed never arrives.

A kernel keeps retransmitting the bytes of a closed connection, even after the death of the process, for up to 100
seconds. A request could then reach the tenant long after it counts as lost, and after it was sent again. So a close
resets the connection: Linux, macOS and the BSDs drop what is unsent or unacknowledged (`SO_LINGER` on, 0 seconds), on
`close` and on `kill -9` alike. What the tenant's machine or a proxy has taken can't be recalled.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import httpcore

from batch.errors import BrokenPromiseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx
    from httpcore import SOCKET_OPTION

UNACKNOWLEDGED_FOR: Final = 20_000
"""Milliseconds after which Linux drops a connection whose bytes nobody acknowledges (`TCP_USER_TIMEOUT`)."""

_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)


class _AbortingBackend(httpcore.AsyncNetworkBackend):
    """Makes connections that abort when they are closed, on every route: direct, and to a proxy."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(
            host, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
        abort_on_close(stream.get_extra_info("socket"))
        return stream

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def abort_on_close(connection: Any) -> None:
    """Makes a TCP socket drop what has not arrived when it is closed, or when its process dies."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
    if _USER_TIMEOUT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, UNACKNOWLEDGED_FOR)


def abort_connections(http: httpx.AsyncClient) -> None:
    """Makes every connection of a client one that aborts when it is closed.

    httpx has an option for this, and silently leaves it out behind a proxy. So the backend of each pool is exchanged,
    which takes httpx's private names; a test looks at the sockets of every route.

    Raises:
        BrokenPromiseError: This version of httpx has other names.
    """
    transports = [http._transport, *(mount for mount in http._mounts.values() if mount is not None)]  # noqa: SLF001
    for transport in transports:
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if not isinstance(backend, httpcore.AsyncNetworkBackend):
            raise BrokenPromiseError(
                "This version of httpx does not let connections abort when they are closed.",
                next_step="Nothing was sent. Install the version of httpx that access-batch was tested with.",
            )
        setattr(pool, "_network_backend", _AbortingBackend(backend))  # noqa: B010 - httpx declares no such attribute
