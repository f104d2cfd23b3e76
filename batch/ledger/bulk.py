"""Bulk writing and lookup: many rows in few calls, on any database that SQLAlchemy speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

_SLICE: Final = 250_000
"""Rows handed to the driver at once: bounds the memory that Python objects take."""

_FEW: Final = 20_000
"""Up to so many texts are looked up one by one; beyond, reading the whole dictionary is cheaper."""

_LOOKUP: Final = 500
"""Texts in one IN list: below every database's limit on parameters."""


def insert_frame(connection: Connection, table: sa.Table, frame: pl.DataFrame) -> None:
    """Inserts the rows of `frame`, whose columns are named as the table's, in order.

    Rows go to the driver's own executemany as tuples: several times faster than as dictionaries.
    """
    statement = sa.insert(table).compile(dialect=connection.dialect, column_keys=frame.columns)
    for part in frame.iter_slices(_SLICE):
        if statement.positional:
            connection.exec_driver_sql(str(statement), part.select(statement.positiontup).rows())
        else:
            connection.execute(sa.insert(table), part.to_dicts())


def select_frame(connection: Connection, query: sa.Select[Any], schema: pl.Schema) -> pl.DataFrame:
    """The rows of a query as a frame of the given schema."""
    return pl.DataFrame([tuple(row) for row in connection.execute(query)], schema=schema, orient="row")


def look_up(connection: Connection, table: sa.Table, texts: pl.DataFrame, fixed: Mapping[str, int]) -> pl.DataFrame:
    """The numbers of dictionary entries.

    Args:
        connection: In a transaction.
        table: A dictionary: `id` and text columns, indexed by the columns of `fixed`, then those of `texts`.
        texts: Distinct entries, columns named as the table's text columns.
        fixed: Columns whose value is the same for all entries.

    Returns:
        The entries that are there, with their `id`, in no particular order.
    """
    schema = pl.Schema({**dict.fromkeys(texts.columns, pl.String()), "id": pl.Int64()})
    query = sa.select(*(table.c[name] for name in schema)).where(*(table.c[name] == fixed[name] for name in fixed))
    first = texts.columns[0]
    wanted = texts.get_column(first).unique().to_list()
    if len(wanted) > _FEW:
        present = select_frame(connection, query, schema)
    else:
        slices = [wanted[start : start + _LOOKUP] for start in range(0, len(wanted), _LOOKUP)]
        parts = [select_frame(connection, query.where(table.c[first].in_(part)), schema) for part in slices]
        present = pl.concat([pl.DataFrame(schema=schema), *parts])
    return texts.join(present, on=texts.columns, how="inner")


def intern(connection: Connection, table: sa.Table, texts: pl.DataFrame, fixed: Mapping[str, int]) -> pl.DataFrame:
    """Like `look_up`, but adds the entries that are missing, numbered in the order given; returns all."""
    present = look_up(connection, table, texts, fixed)
    missing = texts.join(present, on=texts.columns, how="anti", maintain_order="left")
    last: int = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one()
    ids = pl.int_range(last + 1, last + 1 + missing.height, dtype=pl.Int64, eager=True)
    added = missing.with_columns(ids.alias("id"))
    insert_frame(connection, table, added.with_columns(pl.lit(value).alias(name) for name, value in fixed.items()))
    return pl.concat([present, added])
