"""Where the simulation takes the place of the machine: the only module that replaces anything of the product."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import signal
import uuid
from collections import OrderedDict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from unittest import mock

import httpx
import psutil
import sqlalchemy as sa

import batch.commands.input_run
import batch.commands.loading
import batch.commands.submit
import batch.ledger.events
import batch.ledger.plans
import batch.ledger.process
import batch.ledger.seals
import batch.ledger.store
import batch.ledger.upgrade
import batch.ledger.verify_seals
import batch.pipeline
import batch.tenant.client
from batch.ledger import engine as real_engine
from batch.ledger.address import ledger_file
from batch.ledger.heard import Voice
from batch.ledger.postgresql import SERVER, Server
from batch.ledger.sessions import BEGUN, Begun
from batch.ledger.shared_clock import Reading
from batch.tenant.status import StatusList
from tests.postgresql import instead_of
from tests.simulation.network import SimulatedTransport
from tests.simulation.process import BEGIN, KilledError
from tests.simulation.statements import ShortWay, let_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.sessions import Lock
    from tests.simulation.network import Network
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.world import World

_READING: Final = "access_batch_reading"
_PROCESS: Final = "simulated_process"
_SHARED: Final[dict[str, tuple[Any, Any]]] = {}
"""For each database one SQL dialect with its compiled statements: compiling takes longer than everything else."""


@contextlib.contextmanager
def simulated(world: World, network: Network, protection: str) -> Iterator[None]:
    """While the block lasts, the product runs in a world, perhaps with one protection switched off."""
    with contextlib.ExitStack() as stack:

        def replace(place: object, name: str, value: object) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        chance = world.chance("operating system")
        replace(asyncio, "run", world.run)
        replace(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4))
        replace(secrets, "token_hex", lambda size=32: chance.randbytes(size).hex())
        replace(secrets, "token_bytes", lambda size=32: chance.randbytes(size))
        replace(os, "urandom", chance.randbytes)
        replace(batch.ledger.process, "_machine", lambda: _current(world).machine.name)
        replace(batch.ledger.process, "_started", lambda pid: _started(world, pid))
        replace(batch.ledger.process, "psutil", _PROCESSES)
        replace(batch.tenant.client, "http_client", lambda base_url, **of: _client(world, network, base_url, **of))
        replace(os, "fsync", lambda _file: None)
        replace(signal, "signal", lambda number, handler: _signal(world, number, handler))
        for (place, name), key in _PURE.items():
            replace(place, name, _once(getattr(place, name), key, (name, protection)))
        # Nobody reads what a process of the simulation shows or writes for people.
        replace(batch.commands.input_run, "describe_input", lambda *_: ())
        replace(batch.commands.submit, "write_result_files", lambda *_, **_of: {})
        for place in (batch.ledger.store, batch.ledger.upgrade):
            replace(place, "connect", lambda url, **of: _connect(world, url, **of))
        # A small page, so that a few rows are several pages.
        limit = {"limit": world.options.page}
        stack.enter_context(mock.patch.dict(cast("Any", StatusList.page).__kwdefaults__, limit))
        stack.enter_context(mock.patch.dict(os.environ, {"SAIL_CLIENT_SECRET": "a secret of the simulation"}))
        try:
            yield
        finally:
            world.close()


_PURE: Final[Mapping[tuple[Any, str], Callable[..., object]]] = {
    (batch.commands.input_run, "read_loaded"): lambda loaded: (loaded.digest, *(one.name for one in loaded.contents)),
    # No input has dates, so that the time does not matter.
    (batch.commands.input_run, "validate"): lambda rows, *, dialect, **_: (id(rows), dialect.name),
    (batch.commands.loading, "input_digest"): lambda table, identity_by: (id(table), identity_by),
    (batch.pipeline, "_located"): lambda table, validated: (id(table), id(validated)),
    (batch.pipeline, "classify"): lambda changes, known, *, run, resubmit, busy, **_: (
        id(changes),
        run,
        *resubmit,
        *busy.items(),
        *known.rows(),
    ),
    (batch.pipeline, "plan"): lambda changes, *of, nested: (nested, *of, *changes.rows()),
    **dict.fromkeys(
        ((place, "has_signed") for place in (batch.ledger.events, batch.ledger.seals, batch.ledger.verify_seals)),
        lambda *of: of,
    ),
    (batch.ledger.plans, "_entries"): lambda changes, columns: (
        *columns,
        *(tuple(changes.get_column(name).to_list()) for name in columns),
    ),
    **dict.fromkeys(
        ((httpx._urlparse, "urlparse"), (httpx._urls, "urlparse")),
        lambda url="", **parts: (url, *sorted(parts.items())),
    ),
}
"""Functions that depend on nothing but their input, with what tells inputs apart.

Many histories have the same input, and each process reads it. An object is kept with its result, so that its id stays
its own.
"""

_MOST_RESULTS: Final = 5000
_RESULTS: Final[OrderedDict[object, tuple[object, object]]] = OrderedDict()


def _once(real: Callable[..., Any], key: Callable[..., object], of_what: object) -> Callable[..., Any]:
    """A pure function that computes each result once, as long as it is not among the oldest."""

    def remembered(*of: Any, **more: Any) -> Any:
        this = of_what, key(*of, **more)
        if this in _RESULTS:
            _RESULTS.move_to_end(this)
        else:
            _RESULTS[this] = real(*of, **more), of
            if len(_RESULTS) > _MOST_RESULTS:
                _RESULTS.popitem(last=False)
        return _RESULTS[this][0]

    return remembered


_PROCESSES: Final = SimpleNamespace(
    NoSuchProcess=psutil.NoSuchProcess,
    AccessDenied=psutil.AccessDenied,
    STATUS_ZOMBIE=psutil.STATUS_ZOMBIE,
    Process=lambda _pid: SimpleNamespace(status=lambda: psutil.STATUS_RUNNING),
)


def _current(world: World) -> Any:
    if world.current is None:
        raise AssertionError("No process runs.")
    return world.current


def _signal(world: World, number: int, handler: object) -> object:
    signals = _current(world).signals
    before = signals.get(number, signal.SIG_DFL)
    signals[number] = handler
    return before


def _started(world: World, pid: int) -> float:
    if pid not in _current(world).machine.processes:
        raise psutil.NoSuchProcess(pid)
    return float(pid)


def _client(world: World, network: Network, base_url: str, *, timeout: float, concurrency: int, **_: Any) -> Any:
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": "simulated", "Accept": "application/json"},
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0), pool=None),
        limits=httpx.Limits(max_connections=concurrency + 1),
        transport=SimulatedTransport(network, _current(world)),
        trust_env=False,
    )


class SharedDisk(Server):
    """Takes the place of a database server that a team shares: the simulated disk, with one clock for all.

    Args:
        world: Tells the database's time.
        process: Uses it.
    """

    def __init__(self, world: World, process: SimulatedProcess) -> None:
        super().__init__(name=process.name, patience=0.0, say=lambda _line: None)
        self._world = world
        self.process = process
        self._voice = _Silent(every=0.0)

    def now(self) -> datetime:
        return self._world.database_time()

    def wait(self, seconds: float, why: str) -> None:
        """What a process does outside of its event loop takes no time."""

    @contextlib.contextmanager
    def transaction(self, engine: Engine, *locks: Lock) -> Iterator[Connection]:
        with real_engine.sqlite_transaction(engine, reads=not locks) as connection:
            own = self.process.machine.shown_monotonic()
            connection.info[BEGUN] = Begun(
                number="",
                reading=Reading(before=own, clock=self.now().timestamp(), after=own),
                started=self._world.database_started.timestamp(),
            )
            yield connection


def clock_of_database(name: str) -> Iterator[str]:
    """The statements that put the simulation's clock in the place of a database's."""
    for function, setting in (("clock_timestamp", "now"), ("pg_postmaster_start_time", "started")):
        shown = f"current_setting('simulation.{setting}')::timestamptz"
        yield from instead_of(f"{function}()", "timestamptz", shown)
        # For those who look at it once the history is over.
        yield f"ALTER DATABASE {name} SET simulation.{setting} = '{BEGIN.isoformat()}'"


class SharedDatabase(Server):
    """A real database server, but for its clock.

    Args:
        world: Tells the database's time.
        process: Uses it.
    """

    def __init__(self, world: World, process: SimulatedProcess) -> None:
        super().__init__(name=process.name, patience=0.0, say=lambda _line: None)
        self._world = world
        self.process = process
        self._voice = _Silent(every=0.0)

    def now(self) -> datetime:
        return self._world.database_time()

    def wait(self, seconds: float, why: str) -> None:
        """What a process does outside of its event loop takes no time."""

    def _begin(self, connection: Connection, keys: Any) -> None:
        raw: Any = connection.connection.driver_connection
        for name, moment in (("now", self.now()), ("started", self._world.database_started)):
            raw.execute(f"SET simulation.{name} = '{moment.isoformat()}'")
        super()._begin(connection, keys)
        own = self.process.machine.shown_monotonic()
        reading = Reading(before=own, clock=self.now().timestamp(), after=own)
        connection.info[BEGUN] = dataclasses.replace(connection.info[BEGUN], reading=reading)


class _Silent(Voice):
    """Says nothing: in a simulated process, a transaction takes no time."""

    @contextlib.contextmanager
    def heard(self, _raw: object) -> Iterator[None]:
        yield


def _connect(world: World, url: sa.URL, **of: Any) -> Engine:
    """An engine that needs no disk, on whose transactions a process may die."""
    process, is_file = world.current, ledger_file(url) is not None
    if process is not None and not is_file:
        of["server"] = SharedDatabase(world, process)
    engine = real_engine.connect(url, **of)
    shared = _SHARED.setdefault(engine.dialect.name, (engine.dialect, engine._compiled_cache))
    engine.dialect, engine._compiled_cache = shared
    if process is not None and is_file and world.options.team:
        engine.update_execution_options(**{SERVER: SharedDisk(world, process)})

    def on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    engine._connection_cls = ShortWay if process is None else _Mortal
    if is_file:
        sa.event.listen(engine, "connect", on_connect)
        let_wait(engine)
    if process is None:
        return engine

    engine.update_execution_options(**{_PROCESS: process})
    process.engines.append(engine)
    return engine


class _Mortal(ShortWay):
    """A connection on whose transactions a process may die. A listener would make each statement look for listeners."""

    def _begin_impl(self, transaction: Any) -> None:
        _begins(self.get_execution_options()[_PROCESS])
        super()._begin_impl(transaction)

    def _commit_impl(self) -> None:
        _commits(self.get_execution_options()[_PROCESS], self)
        super()._commit_impl()


def _begins(process: SimulatedProcess) -> None:
    if process.dies_at_commit == (process.commits, "after"):
        process.kill("after it has written a transaction")
    if act := process.acts_at_commit.pop(process.commits, None):
        act()
    if process.dead:
        raise KilledError
    if process.loop is None and process.interrupted_at_commit == process.commits:
        process.interrupted_at_commit = -1
        process.interrupt()


def _commits(process: SimulatedProcess, connection: Connection) -> None:
    if process.dead:
        raise KilledError
    is_file = connection.dialect.name == "sqlite"
    if not connection.get_execution_options().get(_READING, False) if is_file else connection.info[BEGUN].number:
        process.commits += 1
        if process.dies_at_commit == (process.commits, "before"):
            process.kill("before it has written a transaction")
            raise KilledError
