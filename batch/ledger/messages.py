"""Several statements in one message, because every message to a database far away takes a round trip.

A write waits for the next statement of its transaction, or for the commit, and goes with it. So does a query whose
answer is needed only later. Many rows go to PostgreSQL as one JSON text with one statement, which it plans only once.
On SQLite, every statement is executed at once, for each row.
"""

from __future__ import annotations

import json
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.sql.selectable import TypedReturnsRows

_Write: TypeAlias = "sa.Insert | sa.Update | sa.Delete"
_Query: TypeAlias = "TypedReturnsRows[*tuple[Any, ...]]"

_DIALECT: Final = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]


class _Waiting:
    """A statement that goes with the next one."""

    def __init__(self, statement: str, parameters: Mapping[str, Any]) -> None:
        self._statement = statement
        self._parameters = parameters
        self.cursor: Any = None

    def send(self, raw: Any) -> None:
        self.cursor = raw.execute(self._statement, self._parameters)


_WAITING: Final[WeakKeyDictionary[Connection, list[_Waiting]]] = WeakKeyDictionary()


def write(connection: Connection, statement: _Write, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the next statement of the transaction or with its commit, which raises the errors.

    Args:
        connection: In a transaction.
        statement: A constant: what to do for each row. All of its parameters have a type.
        rows: Its parameters, at least one row.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(statement, rows)
    else:
        _wait(connection, _Waiting(_for_all(statement, tuple(rows[0])), _as_text(rows)))


def count_written(connection: Connection, statement: _Write, rows: Sequence[Mapping[str, Any]]) -> int:
    """Writes rows now, see `write`; returns how many rows of the table there were."""
    if connection.dialect.name == "sqlite":
        return connection.execute(statement, rows).rowcount
    return connection.exec_driver_sql(_for_all(statement, tuple(rows[0])), _as_text(rows)).rowcount


def ask(connection: Connection, query: _Query, given: Mapping[str, Any]) -> Callable[[], Any]:
    """Asks for rows with the next statement of the transaction; call the result to get them.

    Args:
        connection: In a transaction.
        query: A constant; also one that writes rows and returns them.
        given: Its parameters.
    """
    if connection.dialect.name == "sqlite":
        rows = connection.execute(query, given).all()
        return lambda: rows
    waiting = _Waiting(_asking(query), given)
    _wait(connection, waiting)

    def answer() -> Any:
        if waiting.cursor is None:
            send_waiting(connection)
        names = [column.name for column in waiting.cursor.description]
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in waiting.cursor]

    return answer


PROOF: Final = "access_batch_proof"
"""The name under which a connection keeps a query that finds a row only if its transaction was committed."""


def prove_by(connection: Connection, query: sa.Select[*tuple[Any, ...]], given: Mapping[str, Any]) -> None:
    """Keeps a query that finds a row only if this transaction was committed, because nobody else writes that row.

    The transaction's number proves nothing after a crash: PostgreSQL may give it to another transaction.
    """
    connection.info[PROOF] = (query, given)


def watch_messages(engine: Engine) -> None:
    """Makes the statements of an engine for PostgreSQL take the waiting ones along."""

    def on_execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        waiting = _WAITING.pop(context.root_connection, ())
        if waiting:
            with cursor.connection.pipeline():
                _send(cursor.connection, waiting)
                cursor.execute(statement, parameters)
        return bool(waiting)

    def on_executemany(_cursor: Any, _statement: str, _parameters: Any, context: Any) -> None:
        send_waiting(context.root_connection)

    sa.event.listen(engine, "do_execute", on_execute)
    sa.event.listen(engine, "do_execute_no_params", lambda cursor, text, given: on_execute(cursor, text, None, given))
    sa.event.listen(engine, "do_executemany", on_executemany)


def send_waiting(connection: Connection) -> None:
    """Sends the waiting statements, before something that can't take them along."""
    if waiting := _WAITING.pop(connection, ()):
        raw: Any = connection.connection.driver_connection
        with raw.pipeline():
            _send(raw, waiting)


def commit_with_waiting(connection: Connection) -> None:
    """Commits a transaction together with the waiting statements."""
    if waiting := _WAITING.pop(connection, ()):
        raw: Any = connection.connection.driver_connection
        # If a statement fails, the server skips what follows it in the same message.
        with raw.pipeline():
            _send(raw, waiting)
            # The driver's own method sends one more message.
            raw.execute("COMMIT")
    connection.commit()


def forget_waiting(connection: Connection) -> None:
    """Drops the waiting statements of a transaction that is undone."""
    _WAITING.pop(connection, None)


def _wait(connection: Connection, waiting: _Waiting) -> None:
    _WAITING.setdefault(connection, []).append(waiting)


def _send(raw: Any, waiting: Sequence[_Waiting]) -> None:
    for one in waiting:
        one.send(raw)


def _as_text(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"rows": json.dumps(rows, ensure_ascii=False), "count": len(rows)}


@lru_cache(maxsize=64)
def _asking(query: _Query) -> str:
    return str(query.compile(dialect=_DIALECT))


@lru_cache(maxsize=64)
def _for_all(statement: _Write, names: tuple[str, ...]) -> str:
    """The driver's statement for all rows of a text at once, each with the columns `names`."""
    table = statement.table
    if isinstance(statement, sa.Insert):
        given = _given({name: table.c[name].type for name in names})
        every: Any = statement.from_select(list(names), sa.select(*(given.c[name] for name in names)))
    else:
        parameters = [one for one in visitors.iterate(statement) if isinstance(one, BindParameter)]
        given = _given({one.key: one.type for one in parameters})

        def replaced(element: Any, **_options: Any) -> Any:
            return given.c[element.key] if isinstance(element, BindParameter) else None

        every = visitors.replacement_traverse(statement, {}, replaced)
    return str(every.compile(dialect=_DIALECT))


def _given(types: Mapping[str, Any]) -> sa.Subquery:
    columns = (sa.column(name, kind) for name, kind in types.items())
    text = sa.cast(sa.bindparam("rows", type_=sa.Text()), sa.JSON())
    rows = sa.func.json_to_recordset(text).table_valued(*columns).render_derived(name="given", with_types=True)
    # Else the server plans for a hundred rows, and for few of them reads a whole table.
    return sa.select(*rows.c).limit(sa.bindparam("count")).subquery("given")
