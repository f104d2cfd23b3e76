"""Runs a sandbox on the loopback interface: in a thread for tests and rehearsals, or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final

import uvicorn

from batch.errors import SettingsError
from batch.sandbox.app import SandboxApp
from batch.sandbox.connection import SandboxConnection
from batch.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.tenant import SimulatedTenant

_LOOPBACK: Final = "127.0.0.1"
_STOP_SECONDS: Final = 5
"""Time for running answers to finish when the server stops."""


def utc_now() -> datetime:
    """The computer's time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningSandbox:
    """A sandbox that is ready for calls.

    Attributes:
        base_url: Such as `http://127.0.0.1:40123`, without a trailing slash.
        client_id: The client that can get tokens.
        client_secret: Its secret, kept out of the repr.
        operator_token: Opens its audit log and its faults to other processes; new with every start.
        tenant: The tenant behind it, with its audit log.
        faults: The faults of coming attempts; can be added at any time.
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    operator_token: str = field(repr=False)
    tenant: SimulatedTenant
    faults: FaultPlan


@contextlib.contextmanager
def running_sandbox(
    settings: SandboxSettings | None = None, *, clock: Callable[[], datetime] = utc_now, port: int = 0
) -> Iterator[RunningSandbox]:
    """Run a sandbox in a thread of this process until the block ends.

    Args:
        settings: None for the defaults.
        clock: The tenant's time, with a zone; called in the sandbox's thread.
        port: TCP port on 127.0.0.1; 0 for any free one.

    Raises:
        SettingsError: The port is taken.
    """
    settings = settings or SandboxSettings()
    with _listening_socket(port) as listener:
        sandbox, app = _assemble(settings, listener, clock)
        ready = threading.Event()
        server = _Server(app, announce=ready.set)
        # The end of the thread sets `ready` too, so that a server that fails to start is not waited for.
        thread = threading.Thread(target=_run, args=(server, listener, ready), name="sandbox", daemon=True)
        thread.start()
        try:
            ready.wait()
            if not server.started:
                raise RuntimeError("The sandbox's server has failed to start.")
            yield sandbox
        finally:
            server.stop()
            thread.join()


def serve_forever(
    settings: SandboxSettings,
    port: int,
    announce: Callable[[RunningSandbox], None],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Run a sandbox in the foreground until Ctrl-C.

    Args:
        settings: The sandbox's settings.
        port: TCP port on 127.0.0.1; 0 for any free one.
        announce: Called once, as soon as it is ready.
        clock: The tenant's time, with a zone.

    Raises:
        SettingsError: The port is taken.
    """
    with _listening_socket(port) as listener:
        sandbox, app = _assemble(settings, listener, clock)
        server = _Server(app, announce=lambda: announce(sandbox))
        # On Ctrl-C uvicorn stops in order, then raises the signal again for its caller.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, silenced, with connections that can be dropped and a callback when it is ready."""

    def __init__(self, app: SandboxApp, *, announce: Callable[[], object]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=SandboxConnection,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        self._announce = announce
        self._stops: Callable[[], object] = lambda: None

    def stop(self) -> None:
        """Stop in order, and at once: uvicorn itself looks ten times a second whether it should. From any thread."""
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._stops()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def main_loop(self) -> None:
        stopping = asyncio.Event()
        self._stops = partial(asyncio.get_running_loop().call_soon_threadsafe, stopping.set)
        if not await self.on_tick(0):
            await stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as uvicorn does, without the tenth of a second that it always waits."""
        for one in (*self.servers, *(sockets or ())):
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                # uvicorn tells nobody when they have ended.
                while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)


def _run(server: _Server, listener: socket.socket, ready: threading.Event) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        ready.set()


def _listening_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows the option lets two programs share one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"The sandbox can't listen on port {port}: {error.strerror}.",
            next_step="Choose another port, or 0 for any free one.",
        ) from error
    return listener


def _assemble(
    settings: SandboxSettings, listener: socket.socket, clock: Callable[[], datetime]
) -> tuple[RunningSandbox, SandboxApp]:
    port = listener.getsockname()[1]
    settings = replace(settings, tenant_id=settings.tenant_id or f"sandbox-on-port-{port}")
    sandbox = RunningSandbox(
        base_url=f"http://{_LOOPBACK}:{port}",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        operator_token=token_urlsafe(),
        tenant=settings.new_tenant(),
        faults=settings.new_fault_plan(),
    )
    app = SandboxApp(
        settings,
        tenant=sandbox.tenant,
        faults=sandbox.faults,
        clock=clock,
        port=port,
        operator_token=sandbox.operator_token,
    )
    return sandbox, app
