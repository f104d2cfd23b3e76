"""Runs a sandbox on this computer's loopback interface: in a thread for tests and rehearsals, or in the foreground."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import uvicorn

from batch.errors import SettingsError
from batch.sandbox.app import SandboxApp
from batch.sandbox.connection import SandboxConnection
from batch.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.tenant import SimulatedTenant

_LOOPBACK: Final = "127.0.0.1"
_STOP_SECONDS: Final = 5
"""How long a stopping server lets running answers finish."""


def utc_now() -> datetime:
    """The computer's time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningSandbox:
    """A sandbox that answers.

    Attributes:
        base_url: Such as `http://127.0.0.1:40123`, without a slash at its end.
        client_id: The client that may ask for tokens.
        client_secret: Its secret, kept out of the repr.
        tenant: The tenant behind it, with its books.
        faults: What strikes coming attempts; may be filled at any time.
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    tenant: SimulatedTenant
    faults: FaultPlan


@contextlib.contextmanager
def running_sandbox(
    settings: SandboxSettings | None = None, *, clock: Callable[[], datetime] = utc_now, port: int = 0
) -> Iterator[RunningSandbox]:
    """A sandbox in a thread of this process, from the moment it answers until the block is left.

    Args:
        settings: What is chosen about it; None for the defaults.
        clock: The tenant's time, with a zone; is called in the sandbox's thread.
        port: TCP port on 127.0.0.1; 0 lets the system choose a free one.

    Raises:
        SettingsError: The port is taken.
    """
    settings = settings or SandboxSettings()
    with _listening_socket(port) as listener:
        sandbox, app = _assemble(settings, listener, clock)
        ready = threading.Event()
        server = _Server(app, announce=ready.set)
        # `ready` is set by the end of the thread too: a server that fails to start must not be waited for.
        thread = threading.Thread(target=_run, args=(server, listener, ready), name="sandbox", daemon=True)
        thread.start()
        try:
            ready.wait()
            if not server.started:
                raise RuntimeError("The sandbox's server has failed to start.")
            yield sandbox
        finally:
            server.should_exit = True
            thread.join()


def serve_forever(
    settings: SandboxSettings,
    port: int,
    announce: Callable[[str, str, str], None],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Run a sandbox in the foreground until Ctrl-C.

    Args:
        settings: What is chosen about it.
        port: TCP port on 127.0.0.1; 0 lets the system choose a free one.
        announce: Called once, as soon as it answers, with its base URL, client id and client secret.
        clock: The tenant's time, with a zone.

    Raises:
        SettingsError: The port is taken.
    """
    with _listening_socket(port) as listener:
        sandbox, app = _assemble(settings, listener, clock)
        server = _Server(app, announce=lambda: announce(sandbox.base_url, sandbox.client_id, sandbox.client_secret))
        # uvicorn stops in good order on Ctrl-C and then raises the signal once more, for whoever called it.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, silent, with connections that can be dropped, and a word to say when it answers."""

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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _run(server: _Server, listener: socket.socket, ready: threading.Event) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        ready.set()


def _listening_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere the option lets two programs share one port
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
    sandbox = RunningSandbox(
        base_url=f"http://{_LOOPBACK}:{listener.getsockname()[1]}",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        tenant=settings.new_tenant(),
        faults=settings.new_fault_plan(),
    )
    return sandbox, SandboxApp(settings, tenant=sandbox.tenant, faults=sandbox.faults, clock=clock)
