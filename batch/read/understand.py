"""From a file's rows as written to rows as they are meant: its kind, the form of its dates, and the default comment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from batch.errors import InputFileError
from batch.read.date_forms import ISO, date_form
from batch.read.header import check_columns
from batch.read.identityiq import DATE_COLUMNS, is_identityiq, translate

if TYPE_CHECKING:
    from batch.read.interpretation import Interpretation
    from batch.read.part import Part

_OUR_DATES = ("start_date", "remove_date")


def understood(part: Part, file: str, wanted: Interpretation) -> Part:
    """Adds what the rows mean, where that is not what they say.

    Args:
        part: One file, read.
        file: How messages call it.
        wanted: What the user said of it.

    Raises:
        InputFileError: It has not the columns that every row needs, or dates of two kinds.
    """
    names = [column.name for column in part.columns]
    rows = part.rows
    if is_foreign := is_identityiq(rows):
        rows, notices = translate(rows, names, file, wanted)
    else:
        notices = check_columns(names, file)
    rows = _with_dates(rows, part, file, wanted, is_foreign=is_foreign)
    if wanted.comment:
        own = pl.col("comment") if "comment" in rows.columns else pl.lit(None, pl.String)
        is_blank = own.is_null() | (own.str.strip_chars() == "")
        rows = rows.with_columns(pl.when(is_blank).then(pl.lit(wanted.comment)).otherwise(own).alias("comment"))
    return replace(part, notices=(*part.notices, *notices), translated=None if rows is part.rows else rows)


def _with_dates(rows: pl.DataFrame, part: Part, file: str, wanted: Interpretation, *, is_foreign: bool) -> pl.DataFrame:
    """Says of each row in which form its dates are, where any is in another than ISO 8601."""
    given = wanted.date_format
    if (not given or date_form(given).layout == ISO) and "_dates" not in rows.columns:
        return rows
    if given:
        rows = rows.with_columns(pl.lit(given).alias("_dates"))
    wanted_columns = {*_OUR_DATES, *(DATE_COLUMNS if is_foreign else ())}
    filled = [column.name for column in part.columns if part.rows[column.name].null_count() < part.rows.height]
    columns = [name for name in filled if name.lower() in wanted_columns]
    typed = [name for name in columns if name in part.typed]
    if typed and len(typed) < len(columns):
        text = next(name for name in columns if name not in part.typed)
        raise InputFileError(
            f"Column `{typed[0]}` of {file} holds dates and column `{text}` text, which is read in another form.",
            next_step="Write both as dates, or both as text.",
        )
    return rows.with_columns(pl.lit(ISO).alias("_dates")) if typed else rows
