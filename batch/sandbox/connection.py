"""Connections that end without an answer, which ASGI can't express.

uvicorn copies the state of a connection's protocol object into the scope of its requests. The protocol puts itself into
that state, so the app can reach the TCP connection of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from batch.sandbox.faults import Silence

if TYPE_CHECKING:
    import asyncio

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_STATE_KEY: Final = "sandbox_connection"


class SandboxConnection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which can also be dropped, or left hanging until one side gives up."""

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
        """Close the TCP connection at once, without reading or writing anything more."""
        self.transport.abort()

    def hang(self) -> None:
        """Never answer. The connection ends when the client gives up or the server stops."""
        self._hanging = True
        if self._stopping:
            self.drop()

    def shutdown(self) -> None:
        """Close the connection when the server stops. uvicorn would wait forever for a request without an answer."""
        self._stopping = True
        if self._hanging:
            self.drop()
        else:
            super().shutdown()


class _NoResponse(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing: the connection is already closed."""


async def end_silently(request: Request, silence: Silence) -> Response:
    """End the connection of a request, whose body has been read, without an answer."""
    connection = request.scope["state"][_STATE_KEY]
    assert isinstance(connection, SandboxConnection)  # noqa: S101 - only the sandbox's own server runs its app
    if silence is Silence.DROP:
        connection.drop()
    else:
        connection.hang()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return _NoResponse()
