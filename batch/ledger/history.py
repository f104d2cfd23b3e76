"""The earlier changes of pairs of an identity and an item, among millions of changes that are kept as products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable, DropTable

from batch.ledger import tables as t
from batch.ledger.bulk import greatest, insert_frame, select_among, select_frame

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_LINES: Final = sa.select(
    sa.func.aggregate_strings(
        sa.cast(t.request.c.number, sa.Text)
        + " "
        + t.request.c.operation
        + " "
        + t.request.c.state
        + " "
        + t.run.c.id
        + " "
        + t.request.c.state_at,
        "\n",
    )
).join(t.run, t.run.c.number == t.request.c.run)
_ANY_TRACK: Final = sa.select(t.track.c.request).limit(1)


def earlier(connection: Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """Every change of the given pairs, with its request and its detail.

    Args:
        connection: In a transaction.
        pairs: Distinct numbers of `identity` and `item`, sorted.

    Returns:
        `identity`, `item`, `request`, `detail`, and dedupe's KNOWN_SCHEMA without its access.
    """
    changes = _changes_of(connection, pairs)
    lines = _texts(connection, _LINES, t.request.c.number, changes.get_column("request").unique().sort())
    requests = pl.DataFrame(
        lines.str.split("\n").explode(empty_as_null=False).str.split_exact(" ", len(_SAID) - 1).alias("said")
    ).select(pl.col("said").struct.rename_fields(_SAID).struct.unnest())
    details = select_among(
        connection,
        sa.select(
            t.detail.c.id, t.detail.c.start_date, t.detail.c.remove_date, t.detail.c.account, t.detail.c.selection
        ),
        t.detail.c.id,
        changes.get_column("detail").unique().sort(),
        {"detail": pl.Int64, **dict.fromkeys(("start_date", "remove_date", "account", "selection"), pl.String)},
    )
    requests = requests.with_columns(pl.col("request").cast(pl.Int64))
    found = changes.join(requests, on="request", how="inner").join(details, on="detail", how="inner")
    return _with_tracks(connection, found)


def _with_tracks(connection: Connection, changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with the `tenant_…` columns of KNOWN_SCHEMA, empty if the tenant has not listed a change."""
    k, f = t.track.c, t.finding.c
    if connection.execute(_ANY_TRACK).first() is None:
        return changes.with_columns(pl.lit("").alias(name) for name in _TRACKED)
    lines = select_among(
        connection,
        sa.select(k.request, k.identity, k.item, k.finding, k.since),
        k.request,
        changes.get_column("request").unique().sort(),
        {**dict.fromkeys(_OF_TRACK, pl.Int64), "tenant_since": pl.String},
    )
    words = select_among(
        connection,
        sa.select(f.id, f.state, f.who, f.said),
        f.id,
        lines.get_column("finding").unique().sort(),
        {"finding": pl.Int64, **dict.fromkeys(_TRACKED[:3], pl.String)},
    )
    said = lines.join(words, on="finding", how="inner").drop("finding")
    joined = changes.join(said, on=["request", "identity", "item"], how="left", maintain_order="left")
    return joined.with_columns(pl.col(_TRACKED).fill_null(""))


_TRACKED: Final = ["tenant_state", "tenant_who", "tenant_comment", "tenant_since"]
_OF_TRACK: Final = ["request", "identity", "item", "finding"]
_SAID: Final = ["request", "operation", "state", "run", "at"]


def _texts(
    connection: Connection, query: sa.Select[str], column: sa.ColumnElement[int], values: pl.Series
) -> pl.Series:
    """The texts of a query that joins many rows into one text, for these values.

    Creating objects takes most of the time: one object per row would double it.
    """
    return select_among(connection, query, column, values, {"text": pl.String}).get_column("text").drop_nulls()


def _changes_of(connection: Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """`identity`, `item`, `request` and `detail` of every change of the given sorted pairs."""
    spans = [greatest(connection, column) + 1 for column in (t.item.c.id, t.request.c.number, t.detail.c.id)]
    people = pairs.get_column("identity").n_unique()
    packed_fit = (greatest(connection, t.identity.c.id) + 1) * math.prod(spans) <= _GREATEST
    if packed_fit and pairs.height >= people * _MANY_ITEMS:
        return _changes_of_identities(connection, pairs, spans)
    return _changes_of_pairs(connection, pairs)


_MANY_ITEMS: Final = 4
"""From so many wanted items of an identity on, reading all its changes is cheaper."""

_GREATEST: Final = (1 << 63) - 1

_CHANGE: Final = ("identity", "item", "request", "detail")


def _changes_of_identities(connection: Connection, pairs: pl.DataFrame, spans: list[int]) -> pl.DataFrame:
    """Reads all changes of the identities, each packed into one number."""
    r, i = t.recipient.c, t.request_item.c
    packed: sa.ColumnElement[int] = sa.cast(r.identity, sa.BigInteger)
    for span, column in zip(spans, (i.item, r.request, i.detail), strict=True):
        packed = packed * sa.literal_column(str(span)) + column
    together = sa.func.aggregate_strings(sa.cast(packed, sa.Text), " ")
    query = sa.select(together).join_from(t.recipient, t.request_item, i.request == r.request)
    identities = pairs.get_column("identity").unique().sort()
    rest = _texts(connection, query, r.identity, identities).str.split(" ").explode(empty_as_null=False).cast(pl.Int64)
    numbers = []
    for span in reversed(spans):
        numbers.append(rest % span)
        rest = rest // span
    changes = pl.DataFrame([rest, *reversed(numbers)], schema=list(_CHANGE))
    return changes.join(pairs, on=["identity", "item"], how="semi")


def _changes_of_pairs(connection: Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """Looks for each item in the requests of its identity."""
    schema = dict.fromkeys(_CHANGE, pl.Int64)
    if connection.dialect.name != "sqlite":
        # Who only reads makes no table there.
        return pl.concat(
            select_frame(connection, _CHANGES_OF_LISTED, schema, part.to_dict(as_series=False))
            for part in pairs.select("identity", "item").iter_slices(_LISTED_AT_ONCE)
        )
    connection.execute(_CREATE_WANTED)
    try:
        insert_frame(connection, _wanted, pairs)
        return select_frame(connection, _CHANGES_OF_WANTED, schema)
    finally:
        connection.execute(_DROP_WANTED)


_LISTED_AT_ONCE: Final = 100_000
"""Pairs in one statement."""

_wanted: Final = sa.Table(
    "wanted",
    sa.MetaData(),
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
_listed: Final = (
    sa.func.unnest(*(sa.cast(sa.bindparam(name), postgresql.ARRAY(sa.Integer)) for name in ("identity", "item")))
    .table_valued("identity", "item", name="wanted")
    .render_derived()
)
_CREATE_WANTED: Final = CreateTable(_wanted)
_DROP_WANTED: Final = DropTable(_wanted)


def _changes_with(wanted: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(wanted.c.identity, wanted.c.item, t.recipient.c.request, t.request_item.c.detail)
        .select_from(wanted)
        .join(t.recipient, t.recipient.c.identity == wanted.c.identity)
        .join(
            t.request_item,
            (t.request_item.c.request == t.recipient.c.request) & (t.request_item.c.item == wanted.c.item),
        )
    )


_CHANGES_OF_WANTED: Final = _changes_with(_wanted)
_CHANGES_OF_LISTED: Final = _changes_with(_listed)
