"""A proxy on the loopback interface that connects everything to one server, or refuses."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class ConnectProxy:
    """Its address and the requests that it got."""

    port: int
    asked: list[bytes] = field(default_factory=list)


@contextlib.asynccontextmanager
async def connect_proxy(to_port: int = 0, *, refusal: bytes = b"") -> AsyncIterator[ConnectProxy]:
    """Answers every CONNECT with `refusal`, or connects it to a port of this machine, whatever host it names."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        await _closed(writer)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        handlers.add(handler)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            seen.asked.append(await reader.readuntil(b"\r\n\r\n"))
            if not refusal:
                there, back = await asyncio.open_connection("127.0.0.1", to_port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(pour(reader, back), pour(there, writer))
            else:
                writer.write(refusal)
                await writer.drain()
        await _closed(writer)

    handlers: set[asyncio.Task[None]] = set()
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        seen = ConnectProxy(port=server.sockets[0].getsockname()[1])
        yield seen
        await asyncio.gather(*handlers)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
