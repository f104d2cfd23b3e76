"""Text as whole numbers: the planner only ever compares, so numbers in the order of the text do as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from batch.plan.pairs import distinct

if TYPE_CHECKING:
    from batch.plan.pairs import Numbers

WISH: Final = ("operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata")
"""What a request says of one item: changes share a request's item only where all of these agree."""

_MOST: Final = 2**62


def number_people(changes: pl.DataFrame) -> Numbers:
    """For each change the number of its identity."""
    return _number(changes.get_column("identity_id"))[0]


def number_wishes(changes: pl.DataFrame) -> Numbers:
    """For each change the number of its wish; there are no gaps."""
    combined, different = np.zeros(changes.height, np.int64), 1
    for name in WISH:
        numbers, count = _number(changes.get_column(name))
        if different * count > _MOST:
            combined, different = _without_gaps(combined)
        combined, different = combined * count + numbers, different * count
    return _without_gaps(combined)[0]


def _number(texts: pl.Series) -> tuple[Numbers, int]:
    """Each text's place among all different ones, and how many those are."""
    ascending = texts.unique().sort()
    places = texts.cast(pl.Enum(ascending)).to_physical().to_numpy().astype(np.int64)
    return places, len(ascending)


def _without_gaps(numbers: Numbers) -> tuple[Numbers, int]:
    """The same order without gaps, and how many there are."""
    ascending = distinct(numbers)
    return np.searchsorted(ascending, numbers), len(ascending)
