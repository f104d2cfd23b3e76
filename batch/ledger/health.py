"""A quick check of a ledger; `verify` is the thorough one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import LedgerLostError
from batch.ledger import tables as t
from batch.ledger.address import ledger_file, place, tls_of
from batch.ledger.engine import reading
from batch.states import IN_DOUBT, UNSENT

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_MOST_FAULTS: Final = 20
_OPEN: Final = [state.value for state in (*UNSENT, *IN_DOUBT)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The result of a quick check.

    Attributes:
        where: Its file, or its URL without a password.
        version: Of its tables.
        size: Bytes on disk; None if the database is no file.
        server: The database server and how the connection to it is protected, in words; empty for a file.
        faults: What the database reports as damaged. If there is anything, the rest is not known.
        runs: Number of runs.
        unfinished: Ids of runs that still have something to send or settle, oldest first.
        in_doubt: Requests that may or may not have reached the tenant.
    """

    where: str
    version: str
    size: int | None
    server: str = ""
    faults: tuple[str, ...] = ()
    runs: int = 0
    unfinished: tuple[str, ...] = ()
    in_doubt: int = 0


def health(engine: Engine) -> Health:
    """Checks a ledger quickly. Reads only.

    Raises:
        LedgerLostError: It can't be read, for another reason than damage.
    """
    try:
        with reading(engine) as connection:
            return _health(connection)
    except LedgerLostError as error:
        cause = getattr(error.__cause__, "orig", error.__cause__)
        # Its subclasses report locks and failing disks, not the ledger's content.
        if type(cause) is not sqlite3.DatabaseError:
            raise
        return Health(where=place(engine.url), version=t.LEDGER_VERSION, size=_size(engine), faults=(str(cause),))


def _health(connection: Connection) -> Health:
    where, size = place(connection.engine.url), _size(connection.engine)
    if faults := _faults(connection):
        return Health(where=where, version=t.LEDGER_VERSION, size=size, faults=faults)
    unfinished = connection.execute(
        sa.select(t.run.c.id)
        .where(sa.exists().where(t.request.c.run == t.run.c.number, t.request.c.state.in_(_OPEN)))
        .order_by(t.run.c.started_at, t.run.c.id)
    ).scalars()
    return Health(
        where=where,
        version=t.LEDGER_VERSION,
        size=size,
        server=_server(connection),
        runs=_count(connection, t.run),
        unfinished=tuple(unfinished),
        in_doubt=_count(connection, t.request, t.request.c.state.in_([state.value for state in IN_DOUBT])),
    )


def _count(connection: Connection, table: sa.Table, *only: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*only)).scalar_one())


def _faults(connection: Connection) -> tuple[str, ...]:
    if connection.dialect.name != "sqlite":
        return ()
    found = connection.exec_driver_sql(f"PRAGMA quick_check({_MOST_FAULTS})").scalars()
    return tuple(str(fault) for fault in found if fault != "ok")


def _server(connection: Connection) -> str:
    if connection.dialect.name != "postgresql":
        return ""
    raw: Any = connection.connection.driver_connection
    return f"PostgreSQL {raw.info.parameter_status('server_version')}, {tls_of(raw)}"


def _size(engine: Engine) -> int | None:
    """Bytes of the file and of the write-ahead log beside it."""
    file = ledger_file(engine.url)
    if file is None:
        return None
    beside = file.with_name(f"{file.name}-wal")
    return sum(one.stat().st_size for one in (file, beside) if one.exists())
