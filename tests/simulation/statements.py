"""The short way of a statement to SQLite: SQLAlchemy's own takes longer than everything else in a history.

A statement goes SQLAlchemy's way until its compiled form is known. From then on the same text goes to the driver with
the same parameters, and what comes back is read with the same types.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine.result import IteratorResult
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMPILE: Final = ClauseElement._compile_w_cache


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How a statement is executed with parameters of these names.

    Attributes:
        text: For the driver.
        places: Of each parameter its name among the given ones, or none and its value, and what converts it.
        metadata: Of its rows; None if it has none.
        listed: The name of the parameter that is a list; empty for none.
    """

    text: str
    places: tuple[tuple[str | None, Any, Callable[[Any], Any] | None], ...]
    metadata: Any
    listed: str = ""

    def with_list(self, given: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """The text and the values of a statement that has a list among its parameters."""
        values: list[Any] = []
        for name, constant, convert in self.places:
            value = constant if name is None else given[name]
            each = value if name == self.listed else [value]
            values += each if convert is None else map(convert, each)
        return self.text.replace(_LIST.format(self.listed), ", ".join("?" * len(given[self.listed]))), tuple(values)

    def values(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters, in order."""
        return tuple(
            value if convert is None else convert(value)
            for name, constant, convert in self.places
            for value in (constant if name is None else given[name],)
        )


_WAYS: Final[WeakKeyDictionary[ClauseElement, dict[tuple[object, ...], _Way | None]]] = WeakKeyDictionary()
_WAITING: Final = "simulated_waiting"
_LIST: Final = "__[POSTCOMPILE_{}]"
_SEEN: Final = ("seen",)
_NONE: Final[Mapping[str, Any]] = {}


class _Rows(IteratorResult[Any]):
    """What a statement returns."""

    def __init__(self, metadata: Any, cursor: sqlite3.Cursor) -> None:
        super().__init__(metadata, cursor)
        self.cursor = cursor
        self.rowcount = cursor.rowcount

    def _soft_close(self, hard: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - as declared there
        super()._soft_close(hard, **more)
        self.cursor.close()


@dataclass(frozen=True, slots=True)
class _Done:
    """What a statement returns that has no rows."""

    rowcount: int


class ShortWay(sa.Connection):
    """A connection whose statements go the short way."""

    def close(self) -> None:
        waiting = self.engine.__dict__.get(_WAITING)
        if waiting is None or self.closed or self.invalidated or self._is_busy():
            super().close()
        else:
            self._execution_options = self.engine._execution_options
            waiting.append(self)

    def _is_busy(self) -> bool:
        """Whether it is in a transaction: also that of a process that was killed as it was about to commit."""
        raw: Any = self.connection.driver_connection
        return self.in_transaction() or raw.in_transaction

    def execute(self, statement: Any, parameters: Any = None, **more: Any) -> Any:
        each = parameters if isinstance(parameters, list | tuple) else [parameters]
        given: Mapping[str, Any] = (each[0] if each else None) or _NONE
        several = len(each) > 1
        key = (self.dialect, several, *given)
        ways = _WAYS.setdefault(statement, {})
        way = ways.get(key)
        if way is None or (way.listed and not given[way.listed]):
            result = super().execute(statement, parameters, **more)
            if _SEEN not in ways:
                # Many statements are made for one execution.
                ways[_SEEN] = None
            elif key not in ways:
                ways[key] = self._way(statement, [*given], several=several)
            return result
        raw: Any = self.connection.driver_connection
        cursor = raw.cursor()
        text, values = way.text, ()
        try:
            if several:
                cursor.executemany(text, [way.values(one) for one in each])
            else:
                text, values = way.with_list(given) if way.listed else (text, way.values(given))
                cursor.execute(text, values)
        except sqlite3.Error as error:
            self._handle_dbapi_exception(error, text, values, cursor, None)
        return _Done(cursor.rowcount) if way.metadata is None else _Rows(way.metadata, cursor)

    def _way(self, statement: Any, names: list[str], *, several: bool) -> _Way | None:
        """The short way of a statement; None if it has none."""
        if self.dialect.name != "sqlite" or not isinstance(statement, sa.SelectBase | sa.sql.dml.UpdateBase):
            return None
        compiled, extracted, own, _ = COMPILE(
            statement,
            self.dialect,
            compiled_cache=self.engine._compiled_cache,
            column_keys=sorted(names),
            for_executemany=several,
            linting=self.dialect.compiler_linting,
        )
        if not isinstance(compiled, SQLCompiler) or own or compiled.positiontup is None:
            return None
        changes = compiled.isinsert or compiled.isupdate or compiled.isdelete
        metadata = None if changes else compiled._cached_metadata
        lists = [*compiled.post_compile_params]
        listed = lists[0].key if len(lists) == 1 and lists[0].expanding and lists[0].key in names else ""
        special = (
            compiled.string.count(_LIST.format(listed)) != 1 if listed else lists,
            compiled.literal_execute_params,
            compiled.insert_prefetch,
            compiled.update_prefetch,
            compiled.effective_returning,
            any(bound.callable for bound in compiled.bind_names),
            not changes and metadata is None,
        )
        if any(special):
            return None
        # Values that stand in the statement itself: those of the compiled one may be another's.
        constant = compiled.construct_params({}, extracted_parameters=extracted, escape_names=False, _check=False)
        by_name = {name: bound for bound, name in compiled.bind_names.items()}
        places: list[Any] = []
        for name in compiled.positiontup:
            given = next((one for one in (by_name[name].key, name) if one in names), None)
            if given is None and by_name[name].required:
                return None
            places.append((given, constant[name], compiled._bind_processors.get(name)))
        return _Way(text=compiled.string, places=tuple(places), metadata=metadata, listed=listed)


def let_wait(engine: sa.Engine) -> None:
    """Let an engine's connections wait for the next transaction, until it is disposed of."""
    waiting: list[ShortWay] = []
    connect, dispose = engine.connect, engine.dispose

    def close_all(*of: Any, **more: Any) -> None:
        while waiting:
            sa.Connection.close(waiting.pop())
        dispose(*of, **more)

    engine.__dict__.update(
        {
            _WAITING: waiting,
            "connect": lambda: waiting.pop() if waiting else connect(),
            "dispose": close_all,
        }
    )
