"""The one class of every row, from the classes of its changes; the classes must add up to the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.dedupe.reasons import KEEP_ALIKE, KEEP_ONE
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """The changes that are wanted, but submitted neither now nor before.

    Attributes:
        held_back: How many are held back.
        contradictory: How many contradict another change of the input.
        contradictions: How and in which lines they do, each group of lines once.
    """

    held_back: int = 0
    contradictory: int = 0
    contradictions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.held_back or self.contradictory)


def changes_set_aside(changes: pl.DataFrame) -> SetAside:
    """The changes that are contradictory or held back, from all with `class` and `reason`."""
    contradictory = changes.filter(pl.col("class") == RowClass.CONFLICT_IN_INPUT.value).get_column("reason")
    return SetAside(
        held_back=int((changes.get_column("class") == RowClass.HELD_BACK.value).sum()),
        contradictory=contradictory.len(),
        contradictions=tuple(
            contradictory.unique(maintain_order=True).str.strip_suffix(KEEP_ONE).str.strip_suffix(KEEP_ALIKE)
        ),
    )
