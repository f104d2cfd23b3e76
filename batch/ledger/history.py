"""What became of pairs of an identity and an item, among millions of changes that are kept as products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame, select_among, select_frame

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def earlier(connection: Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """Every change of the given pairs, with what its request and its detail say.

    Args:
        connection: In a transaction.
        pairs: Distinct numbers of `identity` and `item`, in order.

    Returns:
        `identity`, `item`, `request`, `detail`, and dedupe's KNOWN_SCHEMA without its key.
    """
    changes = _changes_of(connection, pairs)
    q, d = t.request.c, t.detail.c
    # One text for all: an object for each would take four times as long.
    said = q.operation + " " + q.state + " " + t.run.c.id + " " + q.state_at
    requests = select_among(
        connection,
        sa.select(q.id, said).join(t.run, t.run.c.number == q.run),
        q.id,
        changes.get_column("request").unique().sort(),
        {"request": pl.Int64, "said": pl.String},
    ).select("request", pl.col("said").str.split_exact(" ", len(_SAID) - 1).struct.rename_fields(_SAID).struct.unnest())
    details = select_among(
        connection,
        sa.select(d.id, d.start_date, d.remove_date),
        d.id,
        changes.get_column("detail").unique().sort(),
        {"detail": pl.Int64, "start_date": pl.String, "remove_date": pl.String},
    )
    return changes.join(requests, on="request", how="inner").join(details, on="detail", how="inner")


_SAID: Final = ["operation", "state", "run", "at"]


def _changes_of(connection: Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """`identity`, `item`, `request` and `detail` of every change of the given pairs, which are in order."""
    identities = pairs.get_column("identity").unique().sort()
    r, i = t.recipient.c, t.request_item.c
    if pairs.height >= identities.len() * _MANY_ITEMS:
        # Many items of each: all changes of the identities are taken, two objects for each.
        sought = sa.select(_packed(r.identity, i.item), _packed(r.request, i.detail)).join_from(
            t.recipient, t.request_item, i.request == r.request
        )
        schema = {"pair": pl.Int64, "place": pl.Int64}
        found = select_among(connection, sought, r.identity, identities, schema)
        wanted = pairs.select((pl.col("identity") * _SPAN + pl.col("item")).alias("pair"))
        return found.join(wanted, on="pair", how="semi").select(
            (pl.col("pair") // _SPAN).alias("identity"),
            (pl.col("pair") % _SPAN).alias("item"),
            (pl.col("place") // _SPAN).alias("request"),
            (pl.col("place") % _SPAN).alias("detail"),
        )
    # Few items of each: its requests are looked through for these.
    w = _wanted.c
    _wanted.create(connection)
    try:
        insert_frame(connection, _wanted, pairs)
        query = (
            sa.select(w.identity, w.item, r.request, i.detail)
            .select_from(_wanted)
            .join(t.recipient, r.identity == w.identity)
            .join(t.request_item, (i.request == r.request) & (i.item == w.item))
        )
        return select_frame(connection, query, dict.fromkeys(("identity", "item", "request", "detail"), pl.Int64))
    finally:
        _wanted.drop(connection)


_MANY_ITEMS: Final = 4
"""Wanted items of an identity from which on it is cheaper to take all its changes."""

_SPAN: Final = 1 << 31
"""Two numbers of the ledger's, each less than this, fit into one."""


def _packed(first: sa.ColumnElement[int], second: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.cast(first, sa.BigInteger) * sa.literal_column(str(_SPAN)) + second


_wanted: Final = sa.Table(
    "wanted",
    sa.MetaData(),
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
