"""Connections to the ledger: how transactions begin, how durable they are, and what database errors mean to a user."""

from __future__ import annotations

import errno
import logging
import os
import platform
import sqlite3
import stat
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from batch.errors import LedgerLostError, LedgerRefusedError
from batch.files import close_to_others, open_private
from batch.folders import check_way
from batch.ledger.address import URL_HELP, check_connection, ledger_file, place, without_secrets
from batch.ledger.machine_key import KEY
from batch.ledger.messages import watch_messages
from batch.ledger.postgresql import SERVER, Server, server_of
from batch.ledger.refusals import why_refused
from batch.ledger.sessions import Lock, connect_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import MachineKey

_READING: Final = "access_batch_reading"
_LOST: Final = "access_batch_lost"
_FILE: Final = "access_batch_file"

SEEN: Final = "access_batch_seen"
"""The name under which an engine's execution options have the hash of each run's newest event that it has written."""

_STATEMENTS: Final = 512
"""A connection keeps so many statements prepared: more than a command has."""

_SILENT: Final = logging.NullHandler()
"""Keeps the driver from writing to the screen if a connection breaks; the error reaches us anyway."""

BUSY_TIMEOUT: Final = 30.0
"""Seconds to wait for another process's transaction."""

_PAUSE: Final = 0.01
"""Seconds after which a new ledger's mode is set again."""


def connect(
    url: sa.URL,
    *,
    key: Callable[[], MachineKey] | None = None,
    foreign_keys: bool = True,
    only_look: bool = False,
    server: Server | None = None,
) -> Engine:
    """An engine whose transactions cover everything.

    The SQLite driver's own handling leaves schema changes outside of transactions, so it is switched off. We issue
    BEGIN, and BEGIN IMMEDIATE for writing, so that two writers queue instead of failing midway.

    Args:
        url: From `ledger_url`. A missing SQLite file is created, readable by its owner only.
        key: This machine's key; None if nothing is written that must be signed.
        foreign_keys: Off only during migrations, which rebuild tables.
        only_look: Whether to change nothing, since the database may not be a ledger.
        server: What is known of the database server; None for a first look, or for SQLite.

    Raises:
        LedgerRefusedError: The file can't be opened or created, or the database's driver is missing.
    """
    path = ledger_file(url)
    original = _make_private_file(path) if path is not None else None
    options: dict[str, Any] = {
        "connect_args": {"isolation_level": None, "timeout": BUSY_TIMEOUT, "cached_statements": _STATEMENTS}
    }
    if path is None:
        logging.getLogger("psycopg").addHandler(_SILENT)
        server = server or Server(name="", patience=0.0, say=lambda _line: None)
        # We issue BEGIN ourselves.
        options = {
            "connect_args": connect_arguments(platform.node(), os.getpid(), server.name),
            "isolation_level": "AUTOCOMMIT",
            "use_native_hstore": False,
        }
    try:
        engine = sa.create_engine(url, **options)
    except ArgumentError as error:
        raise LedgerRefusedError(f"The address {place(url)} can't be used.", next_step=URL_HELP) from error
    except (NoSuchModuleError, ImportError) as error:
        missing = "Nothing was sent. Install it: pip install 'access-batch[postgresql]'" if path is None else URL_HELP
        raise LedgerRefusedError(f"There is no driver here for {url.drivername}.", next_step=missing) from error
    engine.update_execution_options(**{KEY: key, SEEN: {}})
    if path is None and server is not None:
        engine.update_execution_options(**{SERVER: server})
        sa.event.listen(engine, "connect", lambda raw, _record: check_connection(raw, url))
        sa.event.listen(engine, "connect", server.on_connect)
        watch_messages(engine)
        return engine
    _watch_connections(engine)
    if path is not None and original is not None:
        _tune_sqlite(engine, foreign_keys=foreign_keys, only_look=only_look)
        engine.update_execution_options(**{_FILE: (path, original)})
    return engine


def ledger_exists(url: sa.URL) -> bool:
    """Whether there is such a file; True for any other database.

    Raises:
        LedgerRefusedError: It can't be looked at.
    """
    path = ledger_file(url)
    if path is None:
        return True
    with _opening(path):
        return path.exists()


def can_be_written(path: Path) -> bool:
    """Whether a ledger's file can be written, and its folder too, where SQLite keeps its other files."""
    file = Path(os.path.realpath(path))
    effective = os.access in os.supports_effective_ids
    return not file.exists() or all(os.access(one, os.W_OK, effective_ids=effective) for one in (file, file.parent))


def for_reading(url: sa.URL, path: Path) -> sa.URL:
    """The URL by which a ledger that can't be written can be read.

    SQLite reads it as usual if the files beside it allow that. Else it must be told that nobody writes to it, and then
    it looks at the file alone.

    Raises:
        LedgerRefusedError: It can't be read, or its newest entries are not in the file itself.
    """
    file = Path(os.path.realpath(path))
    usual, unchanging = (f"{file.as_uri()}?{how}" for how in ("mode=ro", "mode=ro&immutable=1"))
    beside = [file.with_name(f"{file.name}-{end}") for end in ("wal", "journal")]
    why = _why_unreadable(usual)
    if not why:
        return _uri(url, usual)
    with _opening(path):
        newest = next((one for one in beside if one.exists() and one.stat().st_size), None)
    if newest is not None:
        raise LedgerRefusedError(
            f"The newest entries of the ledger {path} are in {newest}, which can't be read without write permission.",
            next_step=f"Copy {file.name} and {newest.name} into a folder of your own, and name it with --ledger.",
        )
    if why := _why_unreadable(unchanging):
        raise LedgerRefusedError(
            f"The ledger {path} can't be read: {why}.", next_step="Give yourself the right to read it."
        )
    return _uri(url, unchanging)


def _uri(url: sa.URL, address: str) -> sa.URL:
    database, _, query = address.partition("?")
    options = dict(one.split("=") for one in query.split("&"))
    return url.set(database=database, query={**options, "uri": "true"})


def _why_unreadable(address: str) -> str:
    """Why SQLite can't read a database; empty if it can."""
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return ""


def close_ledger_to_others(url: sa.URL) -> tuple[str, ...]:
    """Takes an SQLite ledger to which everybody can write away from all others; returns a notice if that was so.

    It may lie in somebody else's folder, as a team may share it: its content is sealed.

    Raises:
        UnsafePlaceError: It is somebody else's and everybody can write to it, or everybody can replace it.
    """
    given = ledger_file(url)
    if given is None:
        return ()
    with _opening(given):
        if not given.is_file():
            return ()
        # SQLite follows links to the file, and keeps its other files beside it.
        path = Path(os.path.realpath(given))
        for way in dict.fromkeys((given.parent, path.parent)):
            check_way(way, "--ledger")
        if given.is_symlink() and path.stat().st_mode & stat.S_IWOTH and not _is_database(path):
            # It is refused later, and its rights are not ours to change.
            return ()
        beside = [path.with_name(f"{path.name}-{end}") for end in ("wal", "shm")]
        return close_to_others("The ledger", path, [path, *beside])


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


_MAGIC: Final = b"SQLite format 3\0"


def _watch_connections(engine: Engine) -> None:
    lost: list[str] = []

    # SQLAlchemy calls these before it replaces the connection, so no transaction on a new one misses it.
    def on_error(context: sa.ExceptionContext) -> None:
        if context.is_disconnect:
            lost.append(str(context.original_exception))

    def on_invalidate(_connection: object, _record: object, error: BaseException | None) -> None:
        if error is not None:
            lost.append(str(error))

    sa.event.listen(engine, "handle_error", on_error)
    sa.event.listen(engine, "invalidate", on_invalidate)
    engine.update_execution_options(**{_LOST: lost})


def require_never_lost(connection: Connection) -> None:
    """Refuses to go on if a connection to this ledger has broken, whichever task noticed it.

    The next one may lead to a database that lacks the last transactions, such as a replica: it must be compared first.

    Raises:
        LedgerLostError: One has broken.
    """
    if server := server_of(connection):
        server.require_same()
    elif lost := connection.get_execution_options().get(_LOST):
        raise LedgerLostError(
            f"The connection to the ledger was lost: {lost[0]}.",
            next_step="Nothing more is sent. Run the same command again: it first compares the ledger with the tenant.",
        )


def _tune_sqlite(engine: Engine, *, foreign_keys: bool, only_look: bool) -> None:
    def on_connect(connection: Any, _record: object) -> None:
        if not only_look:
            _write_ahead(connection)
        for pragma in (
            "synchronous = FULL",
            f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
            "cache_size = -65536",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", on_connect)


def _write_ahead(connection: Any) -> None:
    """Use a write-ahead log. SQLite does not wait if another process changes a new ledger's mode just now."""
    until = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _make_private_file(path: Path) -> os.stat_result:
    with _opening(path):
        if not path.exists():
            with suppress(FileExistsError):
                handle = open_private(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, option="--ledger")
                made = os.fstat(handle)
                os.close(handle)
                return made
        if not path.is_file():
            raise IsADirectoryError(errno.EISDIR, "it is not a file")
        return path.stat()


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerRefusedError(
            f"The ledger {path} can't be opened or created: {error.strerror}.",
            next_step="Nothing was sent. Make its folder writable, or choose another file with --ledger.",
        ) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads: a consistent view that blocks no writer."""
    with _explained(engine):
        if server := server_of(engine):
            with server.transaction(engine) as connection:
                yield connection
        else:
            with sqlite_transaction(engine, reads=True) as connection:
                yield connection


@contextmanager
def writing(engine: Engine, *locks: Lock) -> Iterator[Connection]:
    """One transaction that writes. It is durable once the block ends and undone if the block raises.

    In SQLite, one writer works at a time. Elsewhere that holds for those who take the same lock.

    Args:
        engine: From `connect`.
        locks: What the transaction needs to itself; by default everything but the permits to call.
    """
    with _explained(engine):
        if server := server_of(engine):
            with server.transaction(engine, *(locks or (Lock.LEDGER,))) as connection:
                yield connection
        else:
            with sqlite_transaction(engine, reads=False) as connection:
                yield connection


@contextmanager
def sqlite_transaction(engine: Engine, *, reads: bool) -> Iterator[Connection]:
    """One transaction in SQLite: a listener that begins it would make each of its statements look for listeners."""
    connected = engine.connect()
    with connected.execution_options(**{_READING: True}) if reads else connected as connection, connection.begin():
        _require_same_file(connection)
        raw: Any = connection.connection.driver_connection
        raw.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
        yield connection


def _require_same_file(connection: Connection) -> None:
    """Refuses transactions once the file was removed or replaced; SQLite would go on writing to the lost file."""
    path, original = connection.get_execution_options()[_FILE]
    try:
        now = path.stat()
    except OSError:
        now = None
    if now is None or (now.st_dev, now.st_ino) != (original.st_dev, original.st_ino):
        raise LedgerLostError(
            f"The ledger {path} was removed or replaced while it was in use.",
            next_step="Nothing more is sent. Before you go on, put the ledger back, or else its newest backup: "
            "requests sent since then are looked up at the tenant first. A new ledger would not know them.",
        )


_RECORDED_FIRST: Final = "Nothing is sent that can't be recorded first."


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    """Turns the driver's errors into ours, with the next step."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError, engine.dialect.loaded_dbapi.Error) as error:
        if engine.dialect.name == "postgresql":
            cause, then = why_refused(error, engine.url)
            raise LedgerLostError(cause, next_step=f"{_RECORDED_FIRST} {then}") from error
        said = without_secrets(str(getattr(error, "orig", error)), engine.url)
        raise LedgerLostError(
            f"The ledger {place(engine.url)} can't be used: {said}.",
            next_step=f"{_RECORDED_FIRST} Free disk space or repair access to the ledger, "
            "then run the same command again.",
        ) from error
