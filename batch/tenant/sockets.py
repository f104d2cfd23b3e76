"""Connections that can be trusted: a closed one delivers nothing more, and a used one has nothing left to read.

A kernel keeps retransmitting the bytes of a closed connection, even after the death of the process, for up to 100
seconds. A request could then reach the tenant long after it counts as lost, and after it was sent again. So a close
resets the connection: Linux, macOS and the BSDs drop unsent and unacknowledged bytes (`SO_LINGER` on, 0 seconds), on
`close` and on `kill -9` alike. Bytes that the tenant's machine or a proxy has taken can't be recalled.

A server or a gateway that sends more bytes than its answer has would have them read as the answer to the next request.
So a connection with such bytes is not used again.
"""

from __future__ import annotations

import re
import select
import socket
import struct
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import httpcore

from batch.errors import BrokenPromiseError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    import httpx
    from httpcore import SOCKET_OPTION

UNACKNOWLEDGED_FOR: Final = 20_000
"""Milliseconds after which Linux drops a connection whose bytes nobody acknowledges (`TCP_USER_TIMEOUT`)."""

_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_END_OF_HEAD: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_INFORMATIONAL: Final = re.compile(rb"HTTP/\d\.\d 1\d\d")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?=\r\n|\Z)")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding:[^\r]*chunked")
_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)
_POLL: Final = getattr(select, "poll", None)


class _AbortingBackend(httpcore.AsyncNetworkBackend):
    """Makes connections that abort when they are closed, on every route: direct, and to a proxy."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, opened: set[_OneAnswerStream]) -> None:
        self._backend = backend
        self._opened = opened

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
        return _OneAnswerStream(stream, self._opened)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _OneAnswerStream(httpcore.AsyncNetworkStream):
    """Counts what a server sends after each request, and appears closed if that is more than one answer.

    httpcore does not use an idle connection again that is readable, as a closed one is. It asks each idle connection
    twice per request, so the socket is looked up only once.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, opened: set[_OneAnswerStream]) -> None:
        self._opened = opened
        opened.add(self)
        self._stream = stream
        self._answer = _Answer()
        self._tls = stream.get_extra_info("ssl_object")
        self._socket = stream.get_extra_info("socket")
        self._poll = None
        if _POLL is not None and self._socket is not None and self._socket.fileno() >= 0:
            self._poll = _POLL()
            self._poll.register(self._socket.fileno(), select.POLLIN)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's own
        data = await self._stream.read(max_bytes, timeout)
        self._answer.add(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's own
        self._answer = _Answer()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._opened.discard(self)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
    ) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except Exception:
            # httpcore has closed it.
            self._opened.discard(self)
            raise
        self._opened.discard(self)
        return _OneAnswerStream(stream, self._opened)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return (
                self._answer.is_exceeded or bool(self._tls is not None and self._tls.pending()) or self._is_readable()
            )
        return self._stream.get_extra_info(info)

    def _is_readable(self) -> bool:
        """Whether the socket has something to read, or is closed."""
        if self._poll is None:
            return bool(self._stream.get_extra_info("is_readable"))
        # The number of a closed socket may be another one's by now.
        return self._socket.fileno() < 0 or bool(self._poll.poll(0))


class _Answer:
    """The bytes of one answer (RFC 9112), as far as it takes to see whether more follow.

    In doubt they count as too many: then the next request merely takes a new connection.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._length: int | None = None
        self._chunked = False
        self._body = 0
        self._last_bytes = b""
        self._ends = 0

    def add(self, data: bytes) -> None:
        """Counts more bytes."""
        while not self._has_head:
            head, found, rest = (bytes(self._head) + data).partition(_END_OF_HEAD)
            if not found:
                self._head = bytearray(head)
                return
            data = rest
            self._head = bytearray()
            if not _INFORMATIONAL.match(head):
                self._head += head + found
                length = _LENGTH.search(head)
                self._length = int(length[1]) if length else None
                self._chunked = _CHUNKED.search(head) is not None
        self._count(data)

    @property
    def _has_head(self) -> bool:
        return self._head.endswith(_END_OF_HEAD)

    def _count(self, data: bytes) -> None:
        self._body += len(data)
        together = self._last_bytes + data
        self._ends += together.count(_LAST_CHUNK)
        self._last_bytes = together[1 - len(_LAST_CHUNK) :]

    @property
    def is_exceeded(self) -> bool:
        """Whether more came than one answer."""
        if self._chunked:
            return self._ends != 1 or not self._last_bytes.endswith(_LAST_CHUNK[1:])
        return self._has_head and self._body > (self._length or 0)


def abort_on_close(connection: Any) -> None:
    """Makes a TCP socket drop undelivered bytes when it is closed, or when its process dies."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
    if _USER_TIMEOUT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, UNACKNOWLEDGED_FOR)


_OPENED: WeakKeyDictionary[httpx.AsyncClient, set[_OneAnswerStream]] = WeakKeyDictionary()
"""Each client's connections that are open."""


async def close(http: httpx.AsyncClient) -> None:
    """Closes a client with all its connections.

    A call first closes the idle connections that the server has closed, after httpcore has taken them out of its pool.
    If it is cancelled meanwhile, nobody else closes the rest of them.
    """
    await http.aclose()
    for stream in tuple(_OPENED.get(http, ())):
        await stream.aclose()


def abort_connections(http: httpx.AsyncClient) -> None:
    """Makes every connection of a client one that aborts when it is closed.

    httpx has an option for this, and silently leaves it out behind a proxy. So the backend of each pool is exchanged,
    which takes httpx's private names; a test looks at the sockets of every route.

    Raises:
        BrokenPromiseError: This version of httpx has other names.
    """
    opened = _OPENED.setdefault(http, set())
    transports = [http._transport, *(mount for mount in http._mounts.values() if mount is not None)]  # noqa: SLF001
    for transport in transports:
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if not isinstance(backend, httpcore.AsyncNetworkBackend):
            raise BrokenPromiseError(
                "This version of httpx does not let connections abort when they are closed.",
                next_step="Nothing was sent. Install the version of httpx that access-batch was tested with.",
            )
        setattr(pool, "_network_backend", _AbortingBackend(backend, opened))  # noqa: B010 - httpx declares no such attribute
