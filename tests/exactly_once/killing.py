"""Processes that kill themselves at a chosen point.

A server that has already imported the program forks them, so that a test can run dozens. The points are before and
after each writing commit of the ledger, and before and after each HTTP exchange.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

KILLED = -signal.SIGKILL

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.end_to_end.preloaded"])


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a process is to do.

    Attributes:
        arguments: Of the command line.
        environment: Added to its environment.
        output: File for what it prints.
        die_at: At which point it dies, counted from 1; 0 for never.
        file_limit: Largest file that it may write, in bytes; 0 for any: a full disk.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    output: Path
    die_at: int = 0
    file_limit: int = 0


def begin(orders: Orders) -> BaseProcess:
    """Starts a process."""
    process = _context.Process(target=_child, args=(orders,))
    process.start()
    return process


def run_to_its_end(orders: Orders) -> int:
    """Runs a process and returns its exit code, KILLED if it died."""
    process = begin(orders)
    process.join(LIMIT)
    code = process.exitcode
    process.close()
    assert code is not None
    return code


def _child(orders: Orders) -> None:
    os.environ.update(orders.environment)
    output = os.open(orders.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8", buffering=1)  # noqa: SIM115 - for good
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8", buffering=1)  # noqa: SIM115 - for good
    sys.argv = ["access-batch", *orders.arguments]
    if orders.file_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (orders.file_limit, orders.file_limit))
    if orders.die_at:
        _arm(orders.die_at)
    from batch.cli import app  # noqa: PLC0415 - likewise
    from batch.cli.boundary import run  # noqa: PLC0415 - the environment is set first

    code = run(lambda: app(list(orders.arguments)))
    sys.stdout.flush()
    os._exit(code)


def _arm(die_at: int) -> None:
    """Makes the process die at its n-th point."""
    import httpx  # noqa: PLC0415 - only where needed
    import sqlalchemy as sa  # noqa: PLC0415 - likewise

    points = 0

    def point() -> None:
        nonlocal points
        points += 1
        if points == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def writes(connection: sa.Connection) -> bool:
        return not connection.get_execution_options().get("access_batch_reading", False)

    written = False

    def before_commit(connection: sa.Connection) -> None:
        nonlocal written
        written = writes(connection)
        if written:
            point()

    def after_transaction(*_: Any) -> None:
        nonlocal written
        if written:
            written = False
            point()

    sa.event.listen(sa.Engine, "commit", before_commit)
    sa.event.listen(sa.Pool, "checkin", after_transaction)
    exchange = httpx.AsyncHTTPTransport.handle_async_request

    async def deadly(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        point()
        response = await exchange(self, request)
        point()
        return response

    httpx.AsyncHTTPTransport.handle_async_request = deadly  # type: ignore[method-assign]
