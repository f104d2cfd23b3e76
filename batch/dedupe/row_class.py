"""The one class of every row, from the classes of its changes; the classes must add up to the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.errors import BrokenPromiseError
from batch.model import RowClass

if TYPE_CHECKING:
    from collections.abc import Mapping

STRONGEST_FIRST: Final = (
    RowClass.REJECTED,
    RowClass.SUBMITTED,
    RowClass.HELD_BACK,
    RowClass.CONFLICT_IN_INPUT,
    RowClass.ALREADY_SUBMITTED,
    RowClass.ALREADY_HELD,
    RowClass.NOT_HELD,
    RowClass.DUPLICATE_IN_INPUT,
)
"""The class of a row with several items is the first of these among its changes."""


def strongest_class() -> pl.Expr:
    """The class of a row, from the `class` of its changes."""
    order = pl.Enum([row_class.value for row_class in STRONGEST_FIRST])
    return pl.col("class").cast(order).min().cast(pl.String)


def count_rows(read: int, rejected: pl.DataFrame, changes: pl.DataFrame) -> Mapping[RowClass, int]:
    """Count the rows of each class.

    Args:
        read: Number of rows read.
        rejected: One line per rejected row, with `row`.
        changes: Classified changes, with `row` and `class`.

    Raises:
        BrokenPromiseError: A row has no class or two, so the classes don't add up.
    """
    has_one_item_each = changes.get_column("row").n_unique() == changes.height
    strongest = changes if has_one_item_each else changes.group_by("row").agg(strongest_class())
    found = {str(name): int(count) for name, count in strongest.get_column("class").value_counts().rows()}
    counts = {row_class: found.get(row_class.value, 0) for row_class in RowClass}
    counts[RowClass.REJECTED] += rejected.height
    classified = pl.concat([changes.select("row").unique(), rejected.select("row")])
    if classified.height != read or classified.get_column("row").n_unique() != read or sum(counts.values()) != read:
        raise BrokenPromiseError(
            f"{read} rows were read, but {classified.height} rows are classified.",
            next_step="Nothing was sent. Please report this as a bug, with the input if you can.",
        )
    return counts


def count_set_aside(changes: pl.DataFrame) -> int:
    """Count the changes that are contradictory or held back: wanted, but submitted neither now nor before."""
    classes = [RowClass.CONFLICT_IN_INPUT.value, RowClass.HELD_BACK.value]
    return int(changes.get_column("class").is_in(classes).sum())
