"""Requests as the ledger keeps them: recipients and items, whose product is the changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from batch.errors import BrokenPromiseError
from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame
from batch.states import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def insert_requests(connection: Connection, run_id: str, numbers: pl.DataFrame, at: str, tag: str) -> None:
    """Writes new requests of a run with their recipients and items.

    Args:
        connection: In a transaction.
        run_id: The run's id.
        numbers: The changes, with `operation`, `account`, and the numbers of `request`, `identity`, `item` and
            `detail`.
        at: When, in ISO 8601.
        tag: The random part of their ids, new for each call.

    Raises:
        BrokenPromiseError: The changes of a request are no product, so it would send more than is wanted.
    """
    recipients = distinct(numbers, "request", "identity")
    items = distinct(numbers, "request", "item", "detail")
    lists = recipients.group_by("request").agg(
        pl.len().cast(pl.Int64).alias("recipient_count"),
        pl.col("identity").cast(pl.String).str.join(" ").alias("recipients"),
    )
    requests = (
        numbers.group_by("request")
        .agg(pl.col("operation").first(), pl.len().alias("changes"))
        .join(lists, on="request")
        .join(items.group_by("request").agg(pl.len().cast(pl.Int64).alias("item_count")), on="request")
        .sort("request")
    )
    is_product = pl.col("changes") == pl.col("recipient_count") * pl.col("item_count")
    pairs = numbers.select("account", pair=_packed(numbers, "identity", "item"))
    several = pairs.height - pairs.n_unique() + items.height - _packed(items, "request", "item").n_unique()
    if several or not requests.select(is_product.all()).item():
        raise BrokenPromiseError(
            "A planned request is not the product of its recipients and items.",
            next_step="Nothing was written or sent. Please report this as a bug, with the input if you can.",
        )
    run: int = connection.execute(sa.select(t.number_of_run(run_id))).scalar_one()
    insert_frame(
        connection,
        t.request,
        requests.select(
            pl.col("request").alias("number"),
            pl.lit(run).alias("run"),
            "operation",
            pl.lit(State.PLANNED.value).alias("state"),
            pl.lit(at).alias("state_at"),
            "recipient_count",
            "item_count",
            pl.lit(0).alias("attempts"),
            "recipients",
            pl.lit(tag).alias("tag"),
        ),
    )
    insert_frame(connection, t.recipient, distinct(recipients, "identity", "request"))
    insert_frame(connection, t.request_item, items)


def distinct(numbers: pl.DataFrame, first: str, second: str, *others: str) -> pl.DataFrame:
    """The distinct rows of these columns, sorted by the first two.

    Sorting one column of packed pairs is several times faster than sorting two columns.
    """
    pair = _packed(numbers, first, second)
    if not others:
        return pl.DataFrame(_unpacked(pair.unique().sort(), numbers, first, second))
    rows = numbers.select(pair.alias("pair"), *others).sort("pair")
    is_new = pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in rows.columns)
    distinct = rows.filter(is_new.fill_null(value=True))
    return pl.DataFrame([*_unpacked(distinct.get_column("pair"), numbers, first, second), *distinct.select(others)])


def _packed(numbers: pl.DataFrame, first: str, second: str) -> pl.Series:
    """Pairs of numbers as one number each, in the same order."""
    return numbers.get_column(first) * _span(numbers, second) + numbers.get_column(second)


def _unpacked(pairs: pl.Series, numbers: pl.DataFrame, first: str, second: str) -> list[pl.Series]:
    span = _span(numbers, second)
    return [(pairs // span).alias(first), (pairs % span).alias(second)]


def _span(numbers: pl.DataFrame, name: str) -> int:
    greatest = numbers.get_column(name).max()
    return greatest + 1 if isinstance(greatest, int) else 1
