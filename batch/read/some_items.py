"""A row with some of its items only, in the form in which it was written. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from batch.api.dialects import ItemType
from batch.read.identityiq import items_column
from batch.read.item_names import PART_SEPARATOR, join_items, split_items, with_bars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def with_only(originals: pl.DataFrame, kept: Iterable[tuple[int, str, Sequence[int]]]) -> pl.DataFrame:
    """The rows; some have lost some of their items.

    Args:
        originals: As written, columns by their canonical names.
        kept: Rows to shorten: the position of the row, the type of its items, and the ascending positions of the items
            that stay.

    Returns:
        The rows in their order. If a row has ids and names of its items, the ids stay: each of them need not stand at
        the place of its name.
    """
    names = originals.columns
    found: dict[str, dict[int, str | None]] = {}
    for row, item_type, positions in kept:
        cells = originals.row(row, named=True)
        theirs = items_column(cells.get("operation"), names)
        ids, item = cells.get("item_id"), cells.get("item")
        if ids and ids.strip():
            found.setdefault("item_id", {})[row] = _plain(ids, positions)
            if item:
                found.setdefault("item", {})[row] = None
        elif theirs:
            found.setdefault(theirs, {})[row] = _plain(cells[theirs] or "", positions)
        elif item:
            found.setdefault("item", {})[row] = _named(item_type, item, positions)
    return originals.with_columns(
        originals.get_column(name).clone().scatter(list(cells), pl.Series(list(cells.values()), dtype=pl.String))
        for name, cells in found.items()
    )


def _plain(cell: str, positions: Sequence[int]) -> str:
    """Some parts of a cell of ids, or of IdentityIQ's, in which a backslash is plain text."""
    parts = cell.split(PART_SEPARATOR)
    return PART_SEPARATOR.join(parts[position].strip() for position in positions)


def _named(item_type: str, cell: str, positions: Sequence[int]) -> str:
    ours = with_bars(cell) if item_type == ItemType.ENTITLEMENT else None
    items = split_items(item_type, ours or cell)
    chosen = [items[position] for position in positions]
    joined, theirs = join_items(item_type, chosen), ";".join(chosen)
    return theirs if ours and with_bars(theirs) == joined else joined
