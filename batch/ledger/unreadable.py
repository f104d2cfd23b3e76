"""Rows with values that this program can't have written: texts in place of numbers, odd JSON, times that are none.

Whoever changes a ledger can write anything into any column, and reading it then fails anywhere. So nothing guards each
place where a row is read: when a command fails, and when a ledger is verified, the rows are looked at here. The small
tables on which every command rests are looked at whenever a ledger is opened.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import ItemType, Operation
from batch.errors import LedgerChangedError, LedgerLostError
from batch.ledger import tables as t
from batch.ledger.engine import reading
from batch.ledger.events import ARRIVED, BORN, IN_DOUBT, JOINED, SEALED, SERVER_TIME, TOKEN_EXPIRES, WITHIN
from batch.names.meaning import NameOutcome
from batch.states import Event, State
from batch.text import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy.engine import Connection, Engine

MOST: Final = (1 << 31) - 1
"""No number in a ledger is greater."""

DEEPEST: Final = 20
"""No JSON in a ledger nests deeper."""

FIRST: Final = (t.about, t.tenant, t.address, t.requester, t.run, t.holder, t.wave, t.monthly_calls)
"""Small tables on which every command rests."""

_REPAIRED: Final = (t.pace, t.call)
"""Tables whose odd values are put right whenever they are read."""


def refuse_unreadable(engine: Engine, tables: Iterable[sa.Table] = FIRST) -> None:
    """Refuses a ledger of whose tables a row can't be read.

    Raises:
        LedgerChangedError: There is one.
    """
    with reading(engine) as connection:
        found = next(unreadable(connection, tables), None)
    if found is not None:
        raise LedgerChangedError(
            f"Somebody has changed the ledger: {found}.",
            next_step="Nothing more was sent. `access-batch ledger verify` lists what can't be read. Put the newest "
            "sound backup in the ledger's place: requests sent since then are looked up at the tenant first.",
        )


def explain(engine: Engine, error: BaseException) -> None:
    """Refuses the ledger if an error, which is no refusal by itself, may come from a row that can't be read.

    Raises:
        LedgerChangedError: There is such a row. Otherwise the error is a bug.
    """
    try:
        refuse_unreadable(engine, _ALL)
    except LedgerLostError:
        return
    except LedgerChangedError as changed:
        raise changed from error


def unreadable(connection: Connection, tables: Iterable[sa.Table] = ()) -> Iterator[str]:
    """The rows that can't be read, as sentences that name table, row and column.

    Args:
        connection: In a transaction.
        tables: Those to look at; all if left out.
    """
    for table in tables or _ALL:
        checks, keys, query = _looking_at(table)
        try:
            for row in connection.execute(query).mappings():
                for name, check in checks:
                    if not check(row[name]):
                        yield _sentence(table, {key: row[key] for key in keys}, f"its {name} can't be read")
                        break
                else:
                    if table is t.request and row["parent"] is not None and not row["parent"] < row["number"]:
                        yield _sentence(table, {"number": row["number"]}, "it can't be a part of its parent")
                    elif table is t.event and not _fits(row["event"], json.loads(row["detail"])):
                        yield _sentence(table, {key: row[key] for key in keys}, "its detail can't be read")
        except sa.exc.OperationalError as error:
            if "decode to UTF-8" not in str(error):
                raise
            yield f"table {table.name}: a text can't be read"


def _sentence(table: sa.Table, key: Mapping[str, Any], what: str) -> str:
    named = ", ".join(f"{name} {str(value)[:80]!r}" for name, value in key.items())
    return f"table {table.name}, row {named}: {what}"


@cache
def _looking_at(
    table: sa.Table,
) -> tuple[list[tuple[str, Callable[[object], bool]]], list[str], sa.Select[*tuple[Any, ...]]]:
    """The check of each column of a table, its key, and the query of its rows."""
    checks = [(column.name, _check_of(column)) for column in table.columns]
    keys = [column.name for column in table.primary_key]
    # Without their types: those would fail by themselves.
    query = sa.select(*(sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.columns))
    return checks, keys, query


def _check_of(column: sa.Column[Any]) -> Callable[[Any], bool]:
    """Whether a value fits into a column."""
    special = _SPECIAL.get((column.table.name, column.name))
    if special is None and isinstance(column.type, sa.Integer | sa.Boolean):
        special = _is_number
    elif special is None and isinstance(column.type, sa.Float):
        special = _is_finite
    check = special or _is_text
    if column.nullable:
        return lambda value: value is None or check(value)
    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_instant(value: Any) -> bool:
    return isinstance(value, str) and moment(value) is not None


def _is_one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: value in values


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_recipients(value: Any) -> bool:
    return isinstance(value, str) and all(len(one) <= len(str(MOST)) and one.isdecimal() for one in value.split())


def _json(text: Any) -> Any:
    """A value in JSON; None if it can't be read, or nests too deeply to be read everywhere."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    inner = [value]
    for _ in range(DEEPEST):
        if not inner:
            return value
        nested = [one.values() if isinstance(one, dict) else one for one in inner if isinstance(one, dict | list)]
        inner = [one for several in nested for one in several]
    return None


def _is_event_detail(value: Any) -> bool:
    return isinstance(_json(value), dict)


def _fits(event: str, detail: Mapping[str, Any]) -> bool:
    """Whether that on which something rests is readable in the detail of an event of this kind."""
    checks = {**_IN_ANY, **_IN_DETAIL.get(event, {})}
    return all(check(detail[name]) for name, check in checks.items() if name in detail)


def _is_metadata(value: Any) -> bool:
    return value == "" or isinstance(_json(value), dict)


def _is_list_of_texts(value: Any) -> bool:
    found = _json(value)
    return isinstance(found, list) and all(map(_is_text, found))


_IN_ANY: Final = {WITHIN: _is_number, SERVER_TIME: _is_instant, TOKEN_EXPIRES: _is_instant}
_ADDED: Final = {"first": _is_number, "requests": _is_number}
_DIVIDED: Final = {"by": _are_numbers, ARRIVED: _are_numbers, IN_DOUBT: _are_numbers}
_IN_DETAIL: Final[Mapping[str, Mapping[str, Callable[[Any], bool]]]] = {
    **dict.fromkeys(BORN, _ADDED),
    **dict.fromkeys((SEALED, Event.TAKEN_OVER.value), _DIVIDED),
    JOINED: {"order": _is_object},
}

_SPECIAL: Final[Mapping[tuple[str, str], Callable[[Any], bool]]] = {
    ("about", "created_at"): _is_instant,
    ("tenant", "listing_delay_at"): _is_instant,
    ("run", "inputs"): _is_list_of_texts,
    ("run", "started_at"): _is_instant,
    ("run", "metadata"): _is_metadata,
    ("holder", "since"): _is_instant,
    ("holder", "beat"): _is_instant,
    ("item", "type"): _is_one_of(*ItemType),
    ("detail", "metadata"): _is_metadata,
    ("request", "operation"): _is_one_of(*Operation),
    ("request", "state"): _is_one_of(*State),
    ("request", "recipients"): _are_recipients,
    ("wave", "canary"): _are_recipients,
    ("doubt", "tenant_time"): _is_instant,
    ("doubt", "fence"): _is_instant,
    ("event", "at"): _is_instant,
    ("event", "detail"): _is_event_detail,
    ("name_meaning", "outcome"): _is_one_of(*NameOutcome),
    ("set_aside", "item_type"): _is_one_of(*ItemType),
}
_ALL: Final = tuple(table for table in t.metadata.sorted_tables if table not in _REPAIRED)
