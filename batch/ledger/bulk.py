"""Bulk writing and lookup: many rows in few calls."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from batch.ledger.events import changed
from batch.ledger.messages import send_waiting
from batch.text import id_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy.engine import Connection, Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

_SLICE: Final = 250_000
"""Rows that pass to or from the driver at once; this bounds the memory of Python objects."""

_PARAMETERS: Final = 900
"""Parameters of one statement, below every database's limit."""

_AMONG: Final = 900
"""Values of one IN list in SQLite: the statement has few other parameters."""

_AMONG_ARRAY: Final = 10_000
"""Values of one array in PostgreSQL."""

_SPARSE: Final = 4
"""Rows are looked up if fewer than one in so many is wanted; otherwise reading the whole table is cheaper."""


def insert_frame(connection: Connection, table: sa.Table, frame: pl.DataFrame) -> None:
    """Inserts the rows of `frame`, whose columns have the table's names, in order.

    In SQLite, one statement takes many rows, and the driver's executemany takes many statements. This is several times
    faster than a statement per row. PostgreSQL copies the rows from one text.
    """
    names = [column.name for column in table.columns if column.name in frame.columns]
    if connection.dialect.name == "sqlite":
        several = _PARAMETERS // len(names)
        whole = frame.height - frame.height % several
        for part, rows in ((frame.head(whole), several), (frame.slice(whole), 1)):
            statement = _insert_of(connection.dialect, table, tuple(names), rows) if part.height else ""
            for piece in part.select(names).iter_slices(_SLICE // several * several):
                connection.exec_driver_sql(statement, list(_flat(piece, rows)))
    elif frame.height:
        quoted = connection.dialect.identifier_preparer.quote
        columns = ", ".join(map(quoted, names))
        send_waiting(connection)
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy(f"COPY {quoted(table.name)} ({columns}) FROM STDIN") as copy:
            for piece in frame.select(names).iter_slices(_SLICE):
                copy.write(_as_copied(piece))


def _as_copied(frame: pl.DataFrame) -> str:
    r"""Rows in the text format of PostgreSQL's COPY: tabs between cells, and backslashes before what would divide them.

    The other format, CSV, was read wrongly by servers before version 18 if a line within a cell was just `\.`.
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    odd = [name for name in texts if frame.get_column(name).str.contains(r"[\\\t\r\n]").any()]
    escaped = frame.with_columns(pl.col(odd).str.replace_many(_ESCAPES))
    return escaped.write_csv(include_header=False, separator="\t", quote_style="never", null_value=r"\N")


_ESCAPES: Final = {"\\": r"\\", "\t": r"\t", "\r": r"\r", "\n": r"\n"}


def know_sizes(connection: Connection, tables: Iterable[sa.Table]) -> None:
    """Lets PostgreSQL look at tables that have grown much: until then, it searches them as if they were small."""
    if connection.dialect.name == "postgresql":
        quoted = connection.dialect.identifier_preparer.quote
        connection.exec_driver_sql(f"ANALYZE {', '.join(quoted(table.name) for table in tables)}")


@lru_cache(maxsize=64)
def _insert_of(dialect: Dialect, table: sa.Table, names: tuple[str, ...], rows: int) -> str:
    """The driver's statement for so many rows: the statement for one row with its placeholders repeated."""
    one = sa.insert(table).compile(dialect=dialect, column_keys=names)
    head, values, marks = str(one).partition(" VALUES ")
    return head + values + ", ".join([marks] * rows)


def _flat(frame: pl.DataFrame, rows: int) -> Iterator[tuple[Any, ...]]:
    """The cells of so many rows at a time, row by row."""
    cells: list[Any] = [None] * (frame.height * frame.width)
    for position, column in enumerate(frame.iter_columns()):
        cells[position :: frame.width] = column.to_list()
    step = rows * frame.width
    return (tuple(cells[start : start + step]) for start in range(0, len(cells), step))


def select_frame(
    connection: Connection,
    query: sa.Select[*tuple[Any, ...]],
    schema: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """The rows of a query as a frame of the given schema, whose types the driver must return unconverted."""
    return _joined(_fetched(connection.execute(query, given), schema), schema)


def _joined(parts: Iterable[pl.DataFrame], schema: Mapping[str, Any]) -> pl.DataFrame:
    frames = list(parts)
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _fetched(result: sa.CursorResult[Any], schema: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    """The rows of a result, in parts. They come from the driver, since row objects would double the time."""
    with result:
        while rows := result.cursor.fetchmany(_SLICE):
            yield pl.DataFrame(rows, schema=schema, orient="row")


def select_among(
    connection: Connection,
    query: sa.Select[*tuple[Any, ...]],
    column: sa.ColumnElement[Any],
    values: pl.Series,
    schema: Mapping[str, Any],
) -> pl.DataFrame:
    """Like `select_frame`, for rows whose indexed `column` is among `values`, which are distinct and sorted."""
    return _among(connection, _where_among(query, column), values, schema, {})


@lru_cache(maxsize=64)
def _where_among(query: sa.Select[*tuple[Any, ...]], column: sa.ColumnElement[Any]) -> sa.Select[*tuple[Any, ...]]:
    """A query that is often a constant: then this is one too."""
    return query.where(Among(column, "among"))


class Among(FunctionElement[Any]):
    """Whether a column's value is among those of a parameter: an IN list in SQLite, an array in PostgreSQL.

    Args:
        column: A column with an index.
        name: Of the parameter, a list of at most `at_once` values.
    """

    inherit_cache = True
    # With the type of a truth value, SQLite would be asked whether it equals 1, and would not use the index.
    type = sa.types.NullType()

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        super().__init__(column, sa.bindparam(name, expanding=True, type_=column.type))


@compiles(Among)
def _compiled_among(element: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    if compiler.dialect.name == "sqlite":
        return compiler.process(column.in_(values), **options)
    array = sa.bindparam(values.key, type_=postgresql.ARRAY(column.type))
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(array, **options)})"


def at_once(connection: Connection) -> int:
    """How many values an `Among` takes at once."""
    return _AMONG if connection.dialect.name == "sqlite" else _AMONG_ARRAY


def _among(
    connection: Connection,
    query: sa.Select[*tuple[Any, ...]],
    values: pl.Series,
    schema: Mapping[str, Any],
    given: Mapping[str, Any],
) -> pl.DataFrame:
    most = at_once(connection)
    slices = (values.slice(start, most).to_list() for start in range(0, values.len(), most))
    return _joined(
        (part for these in slices for part in _fetched(connection.execute(query, {**given, "among": these}), schema)),
        schema,
    )


def greatest(connection: Connection, column: sa.Column[int]) -> int:
    """The greatest number in a column; 0 if its table is empty."""
    number: int = connection.execute(_greatest(column)).scalar_one()
    return number


@cache
def _greatest(column: sa.Column[int]) -> sa.Select[int]:
    return sa.select(sa.func.coalesce(sa.func.max(column), 0))


@lru_cache(maxsize=64)
def _entries(
    table: sa.Table, names: tuple[str, ...], fixed: tuple[str, ...]
) -> tuple[sa.Select[*tuple[Any, ...]], sa.Select[*tuple[Any, ...]]]:
    """Queries for all entries of a dictionary, and for those whose first column is among some values."""
    every = sa.select(*(table.c[name] for name in names)).where(
        *(table.c[name] == sa.bindparam(name, type_=table.c[name].type) for name in fixed)
    )
    return every, every.where(Among(table.c[names[0]], "among"))


def look_up(
    connection: Connection, table: sa.Table, texts: pl.DataFrame, fixed: Mapping[str, int], *, also: str = ""
) -> pl.DataFrame:
    """The numbers of dictionary entries.

    Args:
        connection: In a transaction.
        table: A dictionary of `id` and text columns, with an index on the columns of `fixed`, then those of `texts`.
        texts: Distinct sorted entries, in columns with the names of the table's text columns.
        fixed: Columns with one value for all entries.
        also: Another text column to return.

    Returns:
        The entries that exist, with their `id`, in no particular order.

    Raises:
        LedgerChangedError: Somebody has changed a digest.
    """
    schema = {**dict.fromkeys([*texts.columns, *filter(None, [also])], pl.String), "id": pl.Int64}
    every, among = _entries(table, tuple(schema), tuple(fixed))
    first = texts.columns[0]
    wanted = texts.get_column(first)
    if texts.width > 1:
        wanted = wanted.unique().sort()
    if wanted.len() * _SPARSE > greatest(connection, table.c.id):
        present = select_frame(connection, every, schema, fixed)
    else:
        present = _among(connection, among, wanted, schema, fixed)
    found = texts.join(present, on=texts.columns, how="inner")
    if first == "digest" and texts.join(present, on=first, how="semi").height > found.height:
        # Somebody could let a digest find another text than the one that it stands for.
        raise changed("", [f"a digest in table {table.name} was changed"])
    return found


def spellings(connection: Connection, table: sa.Table, asked: pl.DataFrame, tenant: int) -> pl.DataFrame:
    """The numbers of ids, however the ledger spells them.

    Args:
        connection: In a transaction.
        table: `identity` or `item`.
        asked: Distinct `external_id`, for items also `type`.
        tenant: The tenant's number.

    Returns:
        For each spelling in the ledger the columns of `asked` as they are there, `id`, and `spelled`: that spelling.
    """
    keyed = asked.with_columns(id_key(pl.col("external_id")).alias("key"))
    columns = ["key", *(name for name in asked.columns if name != "external_id")]
    entries = keyed.select(columns).unique().sort(columns)
    present = look_up(connection, table, entries, {"tenant": tenant}, also="external_id")
    return keyed.join(present.rename({"external_id": "spelled"}), on=columns, how="inner").drop("key")


def intern(connection: Connection, table: sa.Table, texts: pl.DataFrame, fixed: Mapping[str, int]) -> pl.DataFrame:
    """Like `look_up`, but first adds missing entries, numbered in the given order; returns all entries.

    An entry with an `external_id` also gets the key by which it is compared. Entries of any length are unique by their
    digest, and numbered in its order.
    """
    if "digest" in table.c:
        texts = with_digest(texts).sort("digest")
    present = look_up(connection, table, texts, fixed)
    missing = texts.join(present, on=texts.columns, how="anti", maintain_order="left")
    last = greatest(connection, table.c.id)
    ids = pl.int_range(last + 1, last + 1 + missing.height, dtype=pl.Int64, eager=True)
    added = missing.with_columns(ids.alias("id"))
    keys = [id_key(pl.col("external_id")).alias("key")] if "external_id" in texts.columns else []
    insert_frame(connection, table, added.with_columns(*(pl.lit(v).alias(name) for name, v in fixed.items()), *keys))
    return pl.concat([present, added]).drop("digest", strict=False)


def with_digest(texts: pl.DataFrame) -> pl.DataFrame:
    """Rows of texts after the hash of each, in `digest`: each text follows its length, so that no two rows are alike.

    Databases limit the length of what must be unique. The columns of ADDED count only if one has a text, so that
    digests of older versions stay right.
    """
    added = [name for name in texts.columns if name in ADDED]
    encoded = pl.concat_str(_with_length(name) for name in texts.columns if name not in ADDED)
    if added:
        is_filled = pl.any_horizontal(pl.col(name) != "" for name in added)
        rest = pl.when(is_filled).then(pl.concat_str(_with_length(name) for name in added)).otherwise(pl.lit(""))
        encoded = pl.concat_str(encoded, rest)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts.select(encoded).to_series()]
    return texts.select(pl.Series("digest", digests, dtype=pl.String), pl.all())


ADDED: Final = ("account", "selection")
"""Columns that a dictionary did not have from its beginning; they stand after the others."""


def _with_length(name: str) -> pl.Expr:
    return pl.concat_str(pl.col(name).str.len_bytes(), pl.lit(":"), name)
