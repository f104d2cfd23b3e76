"""Moves a ledger to another database: copies it, proves the copy sound and equal, and only then leaves its place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.errors import LedgerLostError, LedgerRefusedError, RunHeldError, UsageError
from batch.ledger import tables as t
from batch.ledger.address import ledger_file, place
from batch.ledger.bulk import insert_frame, know_sizes, select_frame
from batch.ledger.engine import connect, ledger_exists, reading, writing
from batch.ledger.holders import busy_runs
from batch.ledger.schema import HAS_VERSION, VIEW
from batch.ledger.sessions import Lock
from batch.ledger.upgrade import bring_up_to_date, make_tables, version_of
from batch.ledger.verify import verify
from batch.ledger.whereabouts import arrive, leave, require_here, whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import LedgerMemory, MachineKey
    from batch.ledger.process import Process

_AT_ONCE: Final = 100_000
"""Rows of numbers that pass at once."""

_TEXTS_AT_ONCE: Final = 5_000
"""Rows with texts that pass at once: each may have many kilobytes."""

_MOST_KEY_BYTES: Final = 2_000
"""Of a key of the tenant's cached answers: a longer one is not worth a failure, since they can be asked for again."""

_UNCOMPARED: Final = (t.about, t.holder, t.cached, t.pace, t.call, t.monthly_calls)
"""Tables that change while nothing is sent, or that differ on purpose."""

_STAYS: Final = "The ledger stays where it is, and nothing was sent."


@dataclass(frozen=True, kw_only=True, slots=True)
class Mover:
    """Who moves a ledger.

    Attributes:
        now: The wall clock.
        key: Returns this machine's key.
        process: This process.
        move: A random id, new for each move.
        memory: What this machine knows of ledgers.
        say: Told before each step.
    """

    now: Callable[[], datetime]
    key: Callable[[], MachineKey]
    process: Process
    move: str
    memory: LedgerMemory | None
    say: Callable[[str], object]


def relocate(source: sa.URL, target: sa.URL, mover: Mover) -> int:
    """Moves a ledger; a move that was interrupted goes on.

    Args:
        source: Where it is.
        target: An empty database, or a file that does not exist.
        mover: Who moves it.

    Returns:
        How many rows were copied; 0 if that was done by an earlier attempt.

    Raises:
        UsageError: There is no ledger, or both places are one.
        LedgerRefusedError: It can't be moved as it is, or there.
        RunHeldError: A process works on one of its runs.
    """
    if address(source) == address(target):
        raise UsageError("The ledger is there already.", next_step="Name another place, such as a new database.")
    if not ledger_exists(source) or (sandbox := _kind(source)) is None:
        raise UsageError(f"There is no ledger at {place(source)}.", next_step="Name it as `--ledger` would.")
    for notice in bring_up_to_date(
        source, sandbox=sandbox, now=mover.now(), key=mover.key, memory=mover.memory, only_read=True
    ):
        mover.say(notice)
    rows = 0 if _was_handed_over(source, target) else _moved(source, target, mover)
    mover.say(f"Starting to use it at {place(target)} …")
    arrive(target, key=mover.key, now=mover.now())
    # It is opened like any ledger: this machine learns where it is now.
    bring_up_to_date(target, sandbox=sandbox, now=mover.now(), key=mover.key, memory=mover.memory)
    return rows


def _moved(source: sa.URL, target: sa.URL, mover: Mover) -> int:
    """Does everything until the ledger has left its old place; returns the number of rows."""
    old = connect(source, key=mover.key)
    try:
        require_here(old, mover.memory, key=mover.key, now=mover.now(), only_read=False)
        with reading(old) as connection:
            _refuse_busy(connection, mover)
        if findings := verify(old):
            raise LedgerRefusedError(
                f"The ledger {place(source)} is not sound: {findings[0]}.",
                next_step=f"{_STAYS} `access-batch ledger verify` lists everything that is wrong with it.",
            )
        new = connect(target, key=mover.key)
        try:
            rows = _copied(old, new, mover)
            mover.say("Proving the copy sound …")
            _prove(new, target)
            _hand_over(old, new, mover)
        finally:
            new.dispose()
    finally:
        old.dispose()
    return rows


def address(url: sa.URL) -> str:
    """The address under which the other place names this one, without secrets."""
    file = ledger_file(url)
    return str(file.absolute()) if file is not None else place(url)


def _kind(url: sa.URL) -> bool | None:
    """Whether a ledger is the sandbox's; None if there is none."""
    engine = connect(url, only_look=True)
    try:
        if version_of(engine) is None:
            return None
        with reading(engine) as connection:
            return bool(connection.execute(sa.select(t.about.c.sandbox)).scalar())
    finally:
        engine.dispose()


def _was_handed_over(source: sa.URL, target: sa.URL) -> bool:
    """Whether the ledger has left for the target already."""
    found = []
    for url in (source, target):
        if not ledger_exists(url):
            return False
        engine = connect(url, only_look=True)
        try:
            if version_of(engine) != t.LEDGER_VERSION:
                return False
            with reading(engine) as connection:
                found.append(whereabouts(connection))
        finally:
            engine.dispose()
    old, new = found
    return bool(old.moved_to) and (old.ledger, old.move) == (new.ledger, new.move)


def _refuse_busy(connection: Connection, mover: Mover) -> None:
    if busy := busy_runs(connection, mover.process, mover.now()):
        run, why = next(iter(busy.items()))
        raise RunHeldError(
            f"The ledger can't be moved while run {run} goes on: {why}.",
            next_step=f"{_STAYS} Wait until it has ended, or stop it; then run the same command again.",
        )


def _copied(old: Engine, new: Engine, mover: Mover) -> int:
    """Copies everything as it is at one moment; returns the number of rows."""
    rows = 0
    try:
        with reading(old) as source, writing(new) as target:
            _empty(source, target)
            make_tables(target)
            about = dict(source.execute(sa.select(t.about)).mappings().one())
            moved = {"moves": about["moves"] + 1, "move": mover.move, "moving_from": address(old.url)}
            target.execute(sa.insert(t.about), {**about, **moved})
            for table in t.metadata.sorted_tables:
                if table is not t.about:
                    mover.say(f"Copying {table.name.replace('_', ' ')} …")
                    rows += _copy(source, target, table)
            know_sizes(target, t.metadata.sorted_tables)
            _count_on(target)
    except LedgerLostError as error:
        raise LedgerRefusedError(f"The copy failed: {error.message}", next_step=_STAYS) from error
    return rows


def _empty(source: Connection, target: Connection) -> None:
    """Removes what an earlier attempt has left.

    Raises:
        LedgerRefusedError: Anything else is there.
    """
    names = set(sa.inspect(target).get_table_names())
    if not names:
        return
    if {table.name for table in t.metadata.sorted_tables} | {HAS_VERSION.name} == names:
        there = whereabouts(target)
        if there.moving_from and there.ledger == whereabouts(source).ledger:
            target.exec_driver_sql(f"DROP VIEW IF EXISTS {VIEW}")
            t.metadata.drop_all(target, checkfirst=False)
            HAS_VERSION.drop(target, checkfirst=False)
            return
    raise LedgerRefusedError(
        f"{place(target.engine.url)} is not empty.",
        next_step=f"{_STAYS} Name a new database, or a file that does not exist.",
    )


def _copy(source: Connection, target: Connection, table: sa.Table) -> int:
    rows = 0
    for page in _pages(source, table):
        frame = page
        texts = [name for name, kind in page.schema.items() if kind == pl.String]
        if target.dialect.name != "sqlite":
            has_nul = pl.any_horizontal(pl.lit(value=False), pl.col(texts).str.contains("\0", literal=True))
            if table is t.cached:
                too_long = pl.col("kind").str.len_bytes() + pl.col("key").str.len_bytes() > _MOST_KEY_BYTES
                frame = page.filter(~(has_nul | too_long))
            elif not page.filter(has_nul).is_empty():
                raise LedgerRefusedError(
                    f"A text in the table {table.name} has a NUL character, which PostgreSQL does not keep.",
                    next_step=_STAYS,
                )
        insert_frame(target, table, frame)
        rows += frame.height
    return rows


def _pages(connection: Connection, table: sa.Table) -> Iterator[pl.DataFrame]:
    """The rows of a table by its primary key, some at a time."""
    schema = {column.name: _kind_of(column) for column in table.columns}
    key = list(table.primary_key.columns)
    at_once = _TEXTS_AT_ONCE if pl.String in schema.values() else _AT_ONCE
    query = sa.select(*table.columns).order_by(*key).limit(at_once)
    page = select_frame(connection, query, schema)
    while not page.is_empty():
        yield page
        last = page.select(column.name for column in key).row(-1)
        after = sa.tuple_(*key) > sa.tuple_(
            *(sa.literal(value, column.type) for value, column in zip(last, key, strict=True))
        )
        page = select_frame(connection, query.where(after), schema)


def _kind_of(column: sa.Column[Any]) -> Any:
    kinds = {sa.Integer: pl.Int64, sa.Float: pl.Float64}
    return next((found for kind, found in kinds.items() if isinstance(column.type, kind)), pl.String)


def _count_on(target: Connection) -> None:
    """Lets PostgreSQL's own numbers go on after those that were copied."""
    if target.dialect.name == "sqlite":
        return
    for table in t.metadata.sorted_tables:
        if (column := table.autoincrement_column) is not None:
            last = sa.select(sa.func.coalesce(sa.func.max(column) + 1, 1)).scalar_subquery()
            numbers = sa.func.pg_get_serial_sequence(table.name, column.name)
            target.execute(sa.select(sa.func.setval(numbers, last, sa.false())))


def _prove(new: Engine, target: sa.URL) -> None:
    """Refuses a copy that is not sound: its counts, chains, signatures and seals are checked."""
    if findings := verify(new):
        raise LedgerRefusedError(
            f"The copy at {place(target)} is not sound: {findings[0]}.",
            next_step=f"{_STAYS} Run the same command again: the copy is made anew.",
        )


def _hand_over(old: Engine, new: Engine, mover: Mover) -> None:
    """Leaves the old place if the copy still equals it: from then on, the copy is the ledger."""
    mover.say("Comparing the copy with the original …")
    with writing(old, Lock.LEDGER, Lock.PACE) as source, writing(new) as target:
        _refuse_busy(source, mover)
        if whereabouts(source).moved_to:
            raise LedgerRefusedError("The ledger was moved meanwhile.", next_step="Nothing was sent.")
        for table in t.metadata.sorted_tables:
            if table not in _UNCOMPARED:
                pages = zip_longest(_pages(source, table), _pages(target, table))
                if not all(one is not None and other is not None and one.equals(other) for one, other in pages):
                    raise LedgerRefusedError(
                        f"The ledger has changed while it was copied: its table {table.name} differs.",
                        next_step=f"{_STAYS} Run the same command again, while nothing else uses the ledger.",
                    )
        # Calls were made meanwhile, and no more are from here on.
        for table in (t.call, t.pace, t.monthly_calls):
            target.execute(sa.delete(table))
        for table in (t.pace, t.call, t.monthly_calls):
            _copy(source, target, table)
        mover.say(f"Leaving {place(old.url)} …")
        leave(source, address(new.url), mover.move, mover.now())
