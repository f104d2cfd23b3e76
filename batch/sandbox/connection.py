"""Connections that can end without an answer, which ASGI has no word for.

uvicorn hands every connection's protocol object a state that turns up in the scope of its requests. There the protocol
puts itself, so that the app can reach the TCP connection under a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from starlette.requests import Request
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_STATE_KEY: Final = "sandbox_connection"


class SandboxConnection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which can also be dropped, or left hanging until someone gives up."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state | {_STATE_KEY: self}, _loop)
        self._hanging = False
        self._stopping = False

    def drop(self) -> None:
        """Close the TCP connection at once; nothing more is read or written."""
        self.transport.abort()

    def hang(self) -> None:
        """Never answer: from now on the connection ends with the client's patience or with the server."""
        self._hanging = True
        if self._stopping:
            self.drop()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: it would wait for ever for a request that is never answered."""
        self._stopping = True
        if self._hanging:
            self.drop()
        else:
            super().shutdown()


def connection_of(request: Request) -> SandboxConnection:
    """The TCP connection under a request."""
    connection = request.scope["state"][_STATE_KEY]
    assert isinstance(connection, SandboxConnection)  # noqa: S101 - only the sandbox's own server runs its app
    return connection


async def until_closed(request: Request) -> None:
    """Wait until the TCP connection under a request, whose body has been read, is closed."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
