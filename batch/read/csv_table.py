"""CSV bytes → rows with line numbers: polars parses the regular lines, the strict scanner every other line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from batch.errors import BrokenPromiseError
from batch.read.columns import KNOWN_COLUMNS, RESERVED_COLUMNS
from batch.read.csv_layout import find_layout
from batch.read.encoding import to_utf8
from batch.read.file_rows import ALL_DATES, RAW, REJECTED_SCHEMA, FileRows, Form, with_unsplit
from batch.read.header import read_header
from batch.read.identityiq import is_theirs, recognised_names
from batch.read.records import PhysicalLines, Shape, blank_pattern, blocks, records_at, row_pattern
from batch.text import count, restored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.read.csv_layout import CsvLayout
    from batch.read.header import Header
    from batch.read.interpretation import Interpretation
    from batch.read.limits import Limits
    from batch.read.records import Record

# A regular expression for wider rows takes seconds to compile; such files are short.
_WIDEST_PATTERN = 500

# Lines are classified in blocks of this size, because they take as much memory again as the text.
_BLOCK_BYTES = 64 << 20


class _Body(NamedTuple):
    """The parsed lines below the header: cells in columns `0`, `1` …, and sentences for the user."""

    rows: pl.DataFrame
    rejected: pl.DataFrame
    notices: tuple[str, ...]


def read_csv(data: bytes, name: str, interpretation: Interpretation) -> FileRows:
    """Read one CSV file.

    Args:
        data: The whole file, in any of the encodings of `to_utf8`.
        name: The file's name for messages.
        interpretation: The user's reading options.

    Raises:
        InputFileError: The file as a whole can't be used: too large, empty, unreadable encoding, unusable header.
    """
    limits = interpretation.limits
    text, notices, is_plain = to_utf8(data, name, limits)
    layout = find_layout(text, name, recognised_names(interpretation), limits)
    header = read_header(layout.headers, name, interpretation)
    body = _parse_body(text, layout, _shape(header), name, limits)
    file_rows = FileRows(
        rows=_user_columns(body.rows, header, has_quotes=b'"' in text),
        rejected=body.rejected,
        columns=header.kept,
        notices=(*notices, *layout.notices, *header.notices, *body.notices),
        form=Form(layout.delimiter, not is_plain or layout.delimiter == ";" or text[:6].lower().startswith(b"sep=")),
        is_own=header.is_own_file,
    )
    return with_unsplit(file_rows)


def _shape(header: Header) -> Shape:
    """How many cells a record may have. A spreadsheet leaves out empty ones at the end of a row."""
    names = [column.name for column in header.columns]
    needed = [at for at, name in enumerate(names) if not _may_be_left_out(name)]
    dates = frozenset(at for at, name in enumerate(names) if name.lower() in ALL_DATES)
    return Shape(len(names), max(needed, default=0) + 1, dates)


def _may_be_left_out(name: str) -> bool:
    """Whether a row needs no cell in this column; the operation decides too much to be left out by mistake."""
    if name.lower() in ALL_DATES or name.lower() in {"comment", "comments", "ticket"}:
        return True
    return name not in KNOWN_COLUMNS and name not in RESERVED_COLUMNS and not is_theirs(name)


def _user_columns(rows: pl.DataFrame, header: Header, *, has_quotes: bool) -> pl.DataFrame:
    def cell(position: int) -> pl.Expr:
        column = pl.col(str(position))
        if has_quotes:
            # polars distinguishes a quoted empty cell from an empty one; for the user both are empty.
            column = pl.when(column != "").then(column)
        return restored(column) if header.is_own_file else column

    kept = [
        cell(position).alias(column.name)
        for position, column in enumerate(header.columns)
        if column.name not in header.dropped or column.name == RAW
    ]
    return rows.select("_line", *kept)


def _parse_body(text: bytes, layout: CsvLayout, shape: Shape, name: str, limits: Limits) -> _Body:
    regular, blank = _classify_lines(text, layout)
    if regular.all() and not blank.any():
        numbers = pl.int_range(1, regular.len() + 1, dtype=pl.Int64, eager=True) + layout.lines
        rows = _parse_regular(text, numbers, layout, skip_lines=layout.lines)
        return _Body(rows, pl.DataFrame(schema=REJECTED_SCHEMA), ())
    return _parse_irregular(PhysicalLines(text, name), regular, blank, layout=layout, shape=shape, limits=limits)


def _classify_lines(text: bytes, layout: CsvLayout) -> tuple[pl.Series, pl.Series]:
    """For each line after the header: whether it is a good record on its own, and whether it is blank."""
    width = len(layout.headers)
    regular, blank = [], []
    for block in blocks(text, _BLOCK_BYTES):
        lines = pl.read_lines(block)["line"]
        blank.append(lines.str.contains(blank_pattern(layout.delimiter)))
        if width <= _WIDEST_PATTERN:
            regular.append(lines.str.contains(row_pattern(layout.delimiter, width)))
        else:
            regular.append(pl.repeat(False, lines.len(), dtype=pl.Boolean, eager=True))
    return pl.concat(regular).slice(layout.lines), pl.concat(blank).slice(layout.lines)


def _parse_irregular(
    lines: PhysicalLines, regular: pl.Series, blank: pl.Series, *, layout: CsvLayout, shape: Shape, limits: Limits
) -> _Body:
    """Parse a body in which some lines are not a record on their own.

    Args:
        lines: All lines of the file; indexes count these.
        regular: For each line after the header: whether it is a good record, unless an open quote covers it.
        blank: For each line after the header: whether it is blank, unless an open quote covers it.
        layout: The file's layout.
        shape: How many cells a record may have.
        limits: How long a record may be.

    Raises:
        InputFileError: A record is too long.
    """
    name = lines.name
    if len(lines) != layout.lines + regular.len():
        raise BrokenPromiseError(f"{name} has {len(lines)} lines, but polars counts {layout.lines + regular.len()}.")
    starts = (~(regular | blank)).arg_true() + layout.lines
    records = list(records_at(lines, starts, delimiter=layout.delimiter, shape=shape, limits=limits))
    covered = pl.Series([index for record in records for index in range(record.first, record.last + 1)], dtype=pl.Int64)
    free = pl.repeat(True, regular.len(), dtype=pl.Boolean, eager=True).scatter(covered - layout.lines, False)
    kept = (regular & ~blank & free).arg_true().cast(pl.Int64) + layout.lines
    skipped = (blank & free).arg_true() + layout.lines
    if layout.lines + kept.len() + skipped.len() + covered.len() != len(lines):
        raise BrokenPromiseError(f"The lines of {name} don't add up: some line is in no record, or in two.")
    # This text holds no cell that spans lines, so polars can't split a cell.
    regular_text = b"".join(lines.block(first, end) for first, end in _ranges(kept))
    good = [record for record in records if not record.rule]
    return _Body(
        pl.concat([_parse_regular(regular_text, kept + 1, layout), _scanned_rows(good, layout)]).sort("_line"),
        _rejected([record for record in records if record.rule], lines),
        _notices(lines, skipped, good),
    )


def _ranges(indexes: pl.Series) -> Iterator[tuple[int, int]]:
    """Ascending indexes as half-open ranges."""
    begins = indexes.filter((indexes.diff() > 1).fill_null(True))
    ends = indexes.filter((indexes.diff(-1) < -1).fill_null(True)) + 1
    return zip(begins, ends, strict=True)


def _parse_regular(text: bytes, numbers: pl.Series, layout: CsvLayout, *, skip_lines: int = 0) -> pl.DataFrame:
    """Parse lines that are a good record each; `numbers` are their line numbers."""
    schema = {str(position): pl.String() for position in range(len(layout.headers))}
    rows = pl.read_csv(text, has_header=False, schema=schema, separator=layout.delimiter, skip_lines=skip_lines)
    if rows.height != numbers.len():
        raise BrokenPromiseError(f"{numbers.len()} records were parsed into {rows.height} rows.")
    return rows.insert_column(0, numbers.alias("_line"))


def _scanned_rows(records: Sequence[Record], layout: CsvLayout) -> pl.DataFrame:
    columns = zip(*(record.cells for record in records), strict=True) if records else [()] * len(layout.headers)
    cells = [
        pl.Series(str(position), [cell or None for cell in column], pl.String)
        for position, column in enumerate(columns)
    ]
    return pl.DataFrame([pl.Series("_line", [record.first + 1 for record in records], pl.Int64), *cells])


def _rejected(records: Sequence[Record], lines: PhysicalLines) -> pl.DataFrame:
    rejected = [
        (
            record.first + 1,
            record.rule,
            record.message,
            lines.block(record.first, record.last + 1).decode().removesuffix("\n").removesuffix("\r"),
        )
        for record in records
    ]
    return pl.DataFrame(rejected, schema=REJECTED_SCHEMA, orient="row")


def _notices(lines: PhysicalLines, skipped: pl.Series, good: Sequence[Record]) -> tuple[str, ...]:
    notices = []
    name = lines.name
    only_delimiters = [index + 1 for index in skipped if lines[index].strip(" \r")]
    if only_delimiters:
        notices.append(f"{name}: skipped {count(len(only_delimiters), 'empty line')}, first line {only_delimiters[0]}.")
    if longer := [record.first + 1 for record in good if record.surplus > 0]:
        notices.append(
            f"{name}: left out empty cells after the header's last column in {count(len(longer), 'row')}, first line "
            f"{longer[0]}."
        )
    if shorter := [record.first + 1 for record in good if record.surplus < 0]:
        notices.append(
            f"{name}: {count(len(shorter), 'row')} with fewer cells than the header, first line {shorter[0]}: "
            "those missing at the end count as empty."
        )
    swallowing = [record.first + 1 for record in good if record.swallows_row]
    if swallowing:
        more = f" ({count(len(swallowing) - 1, 'more such cell')})" if len(swallowing) > 1 else ""
        notices.append(
            f"{name}: a quoted cell on line {swallowing[0]} covers lines that look like rows of their own{more}. "
            "Check that no quote is missing."
        )
    return tuple(notices)
