"""Cells that a spreadsheet would execute as formulas: defused in what we write, restored when we read it back.

`defused` and `restored` are exact inverses, so that a result file can be corrected and submitted again as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# Apostrophes that already stand before such a character get one more: otherwise the way back is ambiguous.
_DANGEROUS = r"^('*[=+\-@\t\r])"
_DEFUSED = r"^'('*[=+\-@\t\r])"


def defused(cell: pl.Expr) -> pl.Expr:
    """Text as it is safe in a spreadsheet: an apostrophe before anything that could start a formula.

    Args:
        cell: A String expression; null stays null.
    """
    return cell.str.replace(_DANGEROUS, "'${1}")


def restored(cell: pl.Expr) -> pl.Expr:
    """The inverse of `defused`: one apostrophe less before anything that could start a formula.

    Args:
        cell: A String expression; null stays null.
    """
    return cell.str.replace(_DEFUSED, "${1}")
