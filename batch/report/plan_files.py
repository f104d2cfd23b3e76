"""The files of a plan: `plan.csv` with every change of the input, and `plan.html` for people who decide about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.read import PLAIN
from batch.report.files import write_csv, write_whole
from batch.report.plan_page import plan_page
from batch.report.workbook import Sheet
from batch.text import visible

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from batch.read import Form
    from batch.report.files import Complain
    from batch.report.plan_view import PlanView

CSV: Final = "plan.csv"
PAGE: Final = "plan.html"
NAMES: Final = (CSV, PAGE)
"""The files that may be written for a plan."""

_OURS: Final = {
    "file": "_file",
    "line": "_line",
    "class": "_class",
    "rule": "_rule",
    "reason": "_reason",
    "request": "_request",
    "person": "_identity_name",
    "item": "_item_name",
    "owner": "_owner",
}
"""The headers of our own columns: they have no effect if the file is submitted."""

_COLUMNS: Final = (
    *("file", "line", "class", "rule", "reason", "request", "operation", "person", "identity_id", "item_type", "item"),
    *("item_id", "owner", "account", "start_date", "remove_date", "comment"),
)


_UNPRINTABLE: Final = r"[\p{C}\p{Zl}\p{Zp}]"


def shown_safely(column: pl.Series) -> pl.Series:
    """A column of texts in which no character hides or reorders others: people read it, no program takes it back."""
    odd = column.filter(column.str.contains(_UNPRINTABLE)).unique()
    return column.replace(odd, [*map(visible, odd)]) if odd.len() else column


def write_plan_files(folder: Path, view: PlanView, *, form: Form = PLAIN, complain: Complain) -> dict[str, str | None]:
    """Write both files.

    Args:
        folder: Where to write.
        view: Of the plan.
        form: Of the CSV file.
        complain: Takes a sentence if they can't be written.

    Returns:
        The paths of `plan` and `page`; None for one that could not be written.
    """
    by = view.about.by
    rows = view.lines.select(
        *(pl.col(name).cast(pl.String).replace("", None).alias(_OURS.get(name, name)) for name in _COLUMNS),
        *([pl.col("group").replace("", None).alias("_group")] if by else []),
    )
    rows = rows.select(shown_safely(column) for column in rows.iter_columns())
    headers = (*rows.columns[:-1], f"_input_{by}") if by else tuple(rows.columns)

    def write_page(file: BinaryIO) -> None:
        file.writelines(part.encode("utf-8", "replace") for part in plan_page(view))

    return {
        "plan": write_csv(folder / CSV, Sheet(headers, rows), form, complain),
        "page": write_whole(folder / PAGE, write_page, complain),
    }
