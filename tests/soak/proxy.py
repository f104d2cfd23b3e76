"""A TCP proxy between a machine and the database: it adds a delay, and can do to a connection what networks do.

It knows by the server's first answers which of its sessions a connection has, so that a test can ask the server about
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from types import TracebackType
    from typing import Any

_CHUNK: Final = 1 << 16

_KEY_DATA: Final = re.compile(rb"K\x00\x00\x00.(....)", re.DOTALL)
"""BackendKeyData of the protocol: the process id of the session. It comes once, before the first query."""

_GREETING: Final = 1 << 12
"""Bytes of the server's first answers in which it stands."""


class _Pipe:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.session = 0
        self.round_trips = 0
        self.client_speaks = False
        self.greeting = b""

    def greet(self, chunk: bytes) -> None:
        """Look for the session's process id in the server's first answers."""
        if self.session or len(self.greeting) > _GREETING:
            return
        self.greeting += chunk
        if found := _KEY_DATA.search(self.greeting):
            self.session = struct.unpack("!i", found[1])[0]

    def abort(self) -> None:
        for side in (self.near, self.far):
            side.transport.abort()


class Proxy:
    """A way to the database, in a thread of its own. All of its properties may change while connections last.

    Args:
        socket: The server's Unix socket.
        delay: Seconds that a round trip takes at least: half of it in each direction.

    Attributes:
        port: On 127.0.0.1.
    """

    def __init__(self, socket: Path, *, delay: float = 0.0) -> None:
        self._socket = socket
        self.delay = delay
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moves = asyncio.Event()
        self._swallows = False
        self._closed_round_trips = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def sessions(self) -> list[int]:
        """The server's process ids of the connections that are open now."""
        return [pipe.session for pipe in tuple(self._pipes) if pipe.session]

    @property
    def round_trips(self) -> int:
        """How often a client has spoken after the server, over all connections until now."""
        return self._closed_round_trips + sum(pipe.round_trips for pipe in tuple(self._pipes))

    def stand_still(self) -> None:
        """Let no byte through in either direction; connections stay open, and new ones wait."""
        self._call(self._moves.clear)

    def swallow(self) -> None:
        """Let what clients say through, and drop what the server answers."""
        self._swallows = True

    def drop(self) -> None:
        """Break all connections, at both ends."""
        self._call(self._drop)

    def heal(self) -> None:
        """Let everything through again. Connections that have lost something are broken."""
        if self._swallows:
            self._swallows = False
            self.drop()
        self._call(self._moves.set)

    def _drop(self) -> None:
        for pipe in tuple(self._pipes):
            pipe.abort()

    def _call(self, function: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        self._moves.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._drop()
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, from_near: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._moves.wait()
            from_far, far = await asyncio.open_unix_connection(str(self._socket))
        except (OSError, asyncio.CancelledError):
            near.transport.abort()
            self._tasks.discard(task)
            return
        pipe = _Pipe(near, far)
        self._pipes.add(pipe)
        ways = [
            asyncio.create_task(self._carry(from_near, far, pipe, answers=False)),
            asyncio.create_task(self._carry(from_far, near, pipe, answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            pipe.abort()
            self._pipes.discard(pipe)
            self._closed_round_trips += pipe.round_trips
            self._tasks.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pipe: _Pipe, *, answers: bool
    ) -> None:
        """Carry bytes in one direction until it ends."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.create_task(self._send(on_the_way, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(_CHUNK):
                    pipe.round_trips += not answers and not pipe.client_speaks
                    pipe.client_speaks = not answers
                    if answers:
                        pipe.greet(chunk)
                        if self._swallows:
                            continue
                    on_the_way.put_nowait((self._loop.time() + self.delay / 2, chunk))
            on_the_way.put_nowait((self._loop.time() + self.delay / 2, b""))
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Write each chunk once its time has come; an empty one is the end."""
        with contextlib.suppress(ConnectionError):
            while True:
                due, chunk = await on_the_way.get()
                if (wait := due - self._loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self._moves.wait()
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()
