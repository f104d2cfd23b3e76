"""The rows of one file: as written, and as meant."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.errors import InputFileError
from batch.read.columns import ITEM_TYPES, METADATA_PREFIX, OPERATIONS, SAYS_NOTHING, as_word
from batch.read.comment import with_comments
from batch.read.date_forms import ISO, date_form, in_zone
from batch.read.header import check_columns
from batch.read.identityiq import DATE_COLUMNS, is_identityiq, translate
from batch.read.item_names import with_bars
from batch.text import count, on_one_line, phrase, restored

if TYPE_CHECKING:
    from batch.read.header import Column
    from batch.read.interpretation import Interpretation

REJECTED_SCHEMA = {"_line": pl.Int64(), "_rule": pl.String(), "_message": pl.String(), "_raw": pl.String()}

RAW: Final = "_raw"
"""The column of a rejected.csv with the text of a row that could not be split."""

OUR_DATES = ("start_date", "remove_date")
"""Our columns that hold dates."""

ALL_DATES = frozenset({*OUR_DATES, *DATE_COLUMNS})
"""Columns of dates, ours and IdentityIQ's."""

NOT_FILLED_IN: Final = "not_filled_in"
_FILL_IN: Final = (
    f"The row was not split into columns, and they are still empty: fill them in from its text in `{RAW}`."
)
_MOST_SHOWN = 80

_AS_WRITTEN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$"
"""The form in which we write dates."""

_TWO_MEANINGS: Final = (
    "{} '{}' has two meanings: ISO 8601 as access-batch wrote it, and {}; leave out --date-format, or write the date "
    "otherwise"
)


class Form(NamedTuple):
    """How result files are written, so that whoever wrote the input can open them.

    delimiter: As in the input.
    is_for_spreadsheets: Whether they begin with a byte-order mark, without which spreadsheets take them for another
        encoding than UTF-8.
    """

    delimiter: str = ","
    is_for_spreadsheets: bool = False


PLAIN = Form()
"""For programs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRows:
    """The rows of one file.

    Attributes:
        rows: `_line` (Int64) and the user's columns (String), as written.
        rejected: Records that can't be parsed: `_line`, `_rule`, `_message`, `_raw`.
        columns: The user's columns in the file's order.
        notices: Sentences for the user.
        typed: Columns whose type is a date; their text is ISO 8601.
        problems: For each row a sentence why it can't be read, or null; None if all can.
        form: Of result files.
        is_own: Whether access-batch wrote the file, to be submitted again.
        left_out: How many more rows the file has, which --where leaves out.
        translated: The rows as meant; None if that is the same.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    columns: tuple[Column, ...]
    notices: tuple[str, ...]
    typed: frozenset[str] = frozenset()
    problems: pl.Series | None = None
    form: Form = PLAIN
    is_own: bool = False
    left_out: int = 0
    translated: pl.DataFrame | None = None

    @property
    def meant(self) -> pl.DataFrame:
        """The rows as meant."""
        return self.rows if self.translated is None else self.translated


def with_unsplit(file_rows: FileRows) -> FileRows:
    """The rows of a rejected.csv without those that still wait in `_raw`: they are rejected again, with their text.

    Args:
        file_rows: As written; its rows may have `_raw`.
    """
    if RAW not in file_rows.rows.columns:
        return file_rows
    names = [column.name for column in file_rows.columns]
    cells = [file_rows.rows.get_column(name).fill_null("").str.strip_chars() for name in (RAW, *names)]
    waits = cells[0] != ""
    for cell in cells[1:]:
        waits &= cell == ""
    waiting = file_rows.rows.filter(waits).select(
        "_line", pl.lit(NOT_FILLED_IN).alias("_rule"), pl.lit(_FILL_IN).alias("_message"), RAW
    )
    return replace(
        file_rows,
        rows=file_rows.rows.filter(~waits).drop(RAW),
        rejected=pl.concat([file_rows.rejected, waiting]).sort("_line"),
        problems=None if file_rows.problems is None else file_rows.problems.filter(~waits),
    )


def interpret(file_rows: FileRows, chosen: pl.DataFrame, file: str, interpretation: Interpretation) -> FileRows:
    """Fill `translated`: translate IdentityIQ's columns, note the form of the dates, complete the comments.

    Args:
        file_rows: One file, as written.
        chosen: Those of its rows that --where takes.
        file: The file's name for messages.
        interpretation: The user's reading options.

    Raises:
        InputFileError: A required column is missing, an unread one may hold revokes, or one date column is typed and
            another is text.
    """
    names = [column.name for column in file_rows.columns]
    rows = file_rows.rows
    if is_foreign := is_identityiq(rows):
        rows, notices = translate(rows, names, file, interpretation)
    else:
        notices = check_columns(chosen, names, file, is_own=file_rows.is_own)
    rows, of_items = _with_bars(rows, file)
    rows = _with_date_forms(rows, file_rows, file, interpretation, is_foreign=is_foreign)
    rows = with_comments(rows, interpretation.comment, interpretation.ticket_pattern, is_own=file_rows.is_own)
    if file_rows.problems is not None:
        others = pl.col("_row_problem") if "_row_problem" in rows.columns else pl.lit(None, pl.String)
        rows = rows.with_columns(pl.coalesce(pl.lit(file_rows.problems), others).alias("_row_problem"))
    defused = () if file_rows.is_own else _defused(file_rows.rows, file)
    notices = (*file_rows.notices, *notices, *of_items, *_idle_comments(rows, file), *defused)
    return replace(file_rows, notices=notices, translated=None if rows is file_rows.rows else rows)


def _with_bars(rows: pl.DataFrame, file: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows with the entitlements of the vendor's editor extension in our form, and a notice if there are any."""
    if not {"item", "item_type"} <= set(rows.columns):
        return rows, ()
    is_entitlement = as_word(pl.col("item_type"), ITEM_TYPES) == ItemType.ENTITLEMENT.value
    is_several = pl.col("item").str.contains(r"\|.*;.*\|")
    cells = rows.filter(is_entitlement & is_several).get_column("item").unique().to_list()
    meant = {cell: ours for cell in cells if (ours := with_bars(cell)) is not None}
    if not meant:
        return rows, ()
    is_theirs = is_entitlement & pl.col("item").is_in(list(meant))
    found = rows.filter(is_theirs).get_column("_line")
    rows = rows.with_columns(pl.when(is_theirs).then(pl.col("item").replace(meant)).otherwise("item").alias("item"))
    return rows, (f"{file}: `;` separates the entitlements of {count(found.len(), 'row')}, first line {found[0]}.",)


def _idle_comments(rows: pl.DataFrame, file: str) -> tuple[str, ...]:
    """A notice about grants whose comments say nothing; a rule rejects such revokes."""
    if "comment" not in rows.columns:
        return ()
    operation = pl.col("operation") if "operation" in rows.columns else pl.lit(None, pl.String)
    is_revoke = as_word(operation, OPERATIONS).eq_missing(pl.lit(Operation.REVOKE.value))
    found = rows.filter(pl.col("comment").str.contains(SAYS_NOTHING) & (pl.col("comment").str.strip_chars() != ""))
    found = found.filter(~is_revoke)
    if found.is_empty():
        return ()
    line, comment = found.select("_line", pl.col("comment").str.strip_chars()).row(0)
    of = "1 grant has a comment that says" if found.height == 1 else f"{found.height:,} grants have comments that say"
    where = f"'{on_one_line(comment, most=_MOST_SHOWN)}' on line {line}"
    return (f"{file}: {of} nothing: {where}. Such comments are sent as they are.",)


def _defused(rows: pl.DataFrame, file: str) -> tuple[str, ...]:
    """A notice about texts that look as if they came from a result file that has lost our columns."""
    found, first = 0, ""
    for name in rows.columns:
        if name == "comment" or name.startswith(METADATA_PREFIX):
            # Nearly all cells have no apostrophe, and this is much faster.
            some = rows.select("_line", name).filter(pl.col(name).str.contains("'", literal=True))
            some = some.filter(restored(pl.col(name)) != pl.col(name))
            if not some.is_empty() and not found:
                line, cell = some.row(0)
                first = f"`{on_one_line(cell, most=_MOST_SHOWN)}` in column `{name}` on line {line}"
            found += some.height
    if not found:
        return ()
    of = "1 cell has" if found == 1 else f"{found:,} cells have"
    notice = (
        f"{file}: {of} an apostrophe before a formula's sign ({first}). Result files have such apostrophes; they are "
        "removed if the file still has its columns `_line`, `_rule` and `_message`. Here they are sent as they are."
    )
    return (notice,)


def _with_date_forms(
    rows: pl.DataFrame, file_rows: FileRows, file: str, interpretation: Interpretation, *, is_foreign: bool
) -> pl.DataFrame:
    """Add `_dates`, the form of each row's dates, unless every date is ISO 8601."""
    usual, date_format = interpretation.dates(ISO), interpretation.date_format
    if (not date_format or date_form(date_format).layout == ISO) and "_dates" not in rows.columns:
        return rows.with_columns(pl.lit(usual).alias("_dates")) if interpretation.time_zone else rows
    if date_format:
        rows = rows.with_columns(pl.lit(usual).alias("_dates"))
    elif interpretation.time_zone:
        rows = rows.with_columns(pl.col("_dates").fill_null(usual))
    date_columns = {*OUR_DATES, *(DATE_COLUMNS if is_foreign else ())}
    written = file_rows.rows
    filled = [column.name for column in file_rows.columns if written[column.name].null_count() < written.height]
    columns = [name for name in filled if name.lower() in date_columns]
    typed = [name for name in columns if name in file_rows.typed]
    if typed and len(typed) < len(columns):
        text = next(name for name in columns if name not in file_rows.typed)
        raise InputFileError(
            f"In {file}, column `{typed[0]}` holds dates but column `{text}` holds text in another date format.",
            next_step="Write both as dates, or both as text.",
        )
    if typed:
        return rows.with_columns(pl.lit(in_zone(ISO, interpretation.time_zone)).alias("_dates"))
    return _with_our_dates(rows, interpretation) if date_format and file_rows.is_own else rows


def _with_our_dates(rows: pl.DataFrame, interpretation: Interpretation) -> pl.DataFrame:
    """The rows of a file of ours, with ISO 8601 as the form of dates that we wrote there.

    The ledger's dates are always written so, whatever the form of the user's dates. A text that has another meaning in
    that form is never guessed.
    """
    date_format, ours = interpretation.date_format, in_zone(ISO, interpretation.time_zone)
    pattern = date_form(interpretation.dates(ISO)).pattern
    dates = [name for name in OUR_DATES if name in rows.columns]
    cells = {name: pl.col(name).str.strip_chars() for name in dates}
    others = [(cell != "") & ~cell.str.contains(_AS_WRITTEN) for cell in cells.values()]
    problem = pl.coalesce(
        pl.lit(None, pl.String),
        *(["_row_problem"] if "_row_problem" in rows.columns else []),
        *(
            pl.when(cell.str.contains(_AS_WRITTEN) & _is_otherwise(cell, pattern)).then(
                phrase(_TWO_MEANINGS, pl.lit(name), cell, pl.lit(date_format))
            )
            for name, cell in cells.items()
        ),
    )
    is_ours = ~pl.any_horizontal(pl.lit(value=False), *(one.fill_null(value=False) for one in others))
    return rows.with_columns(
        problem.alias("_row_problem"), pl.when(is_ours).then(pl.lit(ours)).otherwise("_dates").alias("_dates")
    )


def _is_otherwise(cell: pl.Expr, pattern: str) -> pl.Expr:
    """Whether a date as we write it has another month or day by a pattern of the user's."""
    parts = [(name, at) for name, at in (("month", 5), ("day", 8)) if name in re.compile(pattern).groupindex]
    found = cell.str.extract_groups(pattern).struct
    others = (found.field(name).str.zfill(2) != cell.str.slice(at, 2) for name, at in parts)
    return pl.any_horizontal(pl.lit(value=False), *(other.fill_null(value=False) for other in others))
