"""CSV bytes → rows with line numbers: polars for what is plain, the strict scanner for every other line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from batch.errors import BrokenPromiseError, InputFileError
from batch.read.csv_header import find_head
from batch.read.encoding import to_utf8
from batch.read.header import read_header
from batch.read.identityiq import telling_names
from batch.read.part import REJECTED_SCHEMA, Part
from batch.read.records import PhysicalLines, blank_pattern, blocks, records_at, row_pattern
from batch.text import restored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.read.csv_header import Head
    from batch.read.header import Header
    from batch.read.interpretation import Interpretation
    from batch.read.records import Record

# A regular expression for wider rows takes seconds to compile; such files are short.
_WIDEST_PATTERN = 500

# So much is judged at a time, since the lines take as much memory again as the text.
_BLOCK_BYTES = 64 << 20


class _Taken(NamedTuple):
    """The body taken apart: cells under the names `0`, `1` …, and what needs saying."""

    rows: pl.DataFrame
    rejected: pl.DataFrame
    notices: tuple[str, ...]


def read_csv(data: bytes, name: str, wanted: Interpretation) -> Part:
    """Read one CSV file.

    Args:
        data: The whole file, in any of the encodings of `to_utf8`.
        name: How messages call the file.
        wanted: Which columns are to be read as ours.

    Raises:
        InputFileError: The file as a whole can't be used: empty, no rows, unreadable encoding, unusable header.
    """
    text, notices = to_utf8(data, name)
    head = find_head(text, name, telling_names(wanted))
    header = read_header(head.headers, name, wanted)
    taken = _take_apart(text, head, name)
    if not taken.rows.height and not taken.rejected.height:
        raise InputFileError(
            f"{name} has a header but no rows.", next_step="Give a file with at least one row below the header."
        )
    return Part(
        rows=_named(taken.rows, header, has_quotes=b'"' in text),
        rejected=taken.rejected,
        columns=header.kept,
        notices=(*notices, *header.notices, *taken.notices),
    )


def _named(rows: pl.DataFrame, header: Header, *, has_quotes: bool) -> pl.DataFrame:
    def cell(position: int) -> pl.Expr:
        column = pl.col(str(position))
        if has_quotes:
            # polars tells a quoted empty cell from an empty one; to the user both are empty.
            column = pl.when(column != "").then(column)
        return restored(column) if header.is_own_file else column

    kept = [
        cell(position).alias(column.name)
        for position, column in enumerate(header.columns)
        if column.name not in header.dropped
    ]
    return rows.select("_line", *kept)


def _take_apart(text: bytes, head: Head, name: str) -> _Taken:
    plain, blank = _judge(text, head)
    if plain.all() and not blank.any():
        numbers = pl.int_range(1, plain.len() + 1, dtype=pl.Int64, eager=True) + head.lines
        return _Taken(_parse(text, numbers, head, skip_lines=head.lines), pl.DataFrame(schema=REJECTED_SCHEMA), ())
    return _take_apart_abnormal(PhysicalLines(text), plain, blank, head=head, name=name)


def _judge(text: bytes, head: Head) -> tuple[pl.Series, pl.Series]:
    """Of each line after the header, whether it is a good record on its own, and whether it is blank."""
    width = len(head.headers)
    plain, blank = [], []
    for block in blocks(text, _BLOCK_BYTES):
        lines = pl.read_lines(block)["line"]
        blank.append(lines.str.contains(blank_pattern(head.delimiter)))
        if width <= _WIDEST_PATTERN:
            plain.append(lines.str.contains(row_pattern(head.delimiter, width)))
        else:
            plain.append(pl.repeat(False, lines.len(), dtype=pl.Boolean, eager=True))
    return pl.concat(plain).slice(head.lines), pl.concat(blank).slice(head.lines)


def _take_apart_abnormal(lines: PhysicalLines, plain: pl.Series, blank: pl.Series, *, head: Head, name: str) -> _Taken:
    """Take a body apart in which some lines are not a record on their own.

    Args:
        lines: All lines of the file; indexes are counted in these.
        plain: Of each line after the header, whether it is a good record, unless an open quote covers it.
        blank: Of each line after the header, whether it is blank, unless an open quote covers it.
        head: The file's head.
        name: How messages call the file.
    """
    if len(lines) != head.lines + plain.len():
        raise BrokenPromiseError(f"{name} has {len(lines)} lines, but polars counts {head.lines + plain.len()}.")
    starts = (~(plain | blank)).arg_true() + head.lines
    records = list(records_at(lines, starts, delimiter=head.delimiter, width=len(head.headers)))
    covered = pl.Series([index for record in records for index in range(record.first, record.last + 1)], dtype=pl.Int64)
    free = pl.repeat(True, plain.len(), dtype=pl.Boolean, eager=True).scatter(covered - head.lines, False)
    kept = (plain & ~blank & free).arg_true().cast(pl.Int64) + head.lines
    skipped = (blank & free).arg_true() + head.lines
    if head.lines + kept.len() + skipped.len() + covered.len() != len(lines):
        raise BrokenPromiseError(f"The lines of {name} don't add up: some line is in no record, or in two.")
    # No cell that spans lines gets into this text, so that polars can't cut one in two.
    plain_text = b"".join(lines.block(first, end) for first, end in _runs(kept))
    good = [record for record in records if not record.rule]
    return _Taken(
        pl.concat([_parse(plain_text, kept + 1, head), _frame(good, head)]).sort("_line"),
        _rejected([record for record in records if record.rule], lines),
        _notices(lines, skipped, good, name),
    )


def _runs(indexes: pl.Series) -> Iterator[tuple[int, int]]:
    """Ascending indexes as half-open ranges."""
    begins = indexes.filter((indexes.diff() > 1).fill_null(True))
    ends = indexes.filter((indexes.diff(-1) < -1).fill_null(True)) + 1
    return zip(begins, ends, strict=True)


def _parse(text: bytes, numbers: pl.Series, head: Head, *, skip_lines: int = 0) -> pl.DataFrame:
    """Parse lines that are a good record each; `numbers` are their line numbers."""
    schema = {str(position): pl.String() for position in range(len(head.headers))}
    rows = pl.read_csv(text, has_header=False, schema=schema, separator=head.delimiter, skip_lines=skip_lines)
    if rows.height != numbers.len():
        raise BrokenPromiseError(f"{numbers.len()} records were parsed into {rows.height} rows.")
    return rows.insert_column(0, numbers.alias("_line"))


def _frame(records: Sequence[Record], head: Head) -> pl.DataFrame:
    columns = zip(*(record.cells for record in records), strict=True) if records else [()] * len(head.headers)
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


def _notices(lines: PhysicalLines, skipped: pl.Series, good: Sequence[Record], name: str) -> tuple[str, ...]:
    notices = []
    only_delimiters = [index + 1 for index in skipped if lines[index].strip(" \r")]
    if only_delimiters:
        notices.append(
            f"{name}: {len(only_delimiters)} line{'s' * (len(only_delimiters) > 1)} without any content "
            f"skipped (first: line {only_delimiters[0]})."
        )
    swallowing = [record.first + 1 for record in good if record.swallows_row]
    if swallowing:
        notices.append(
            f"{name}: a quoted cell of line {swallowing[0]} runs over lines that look like rows of their own"
            f"{f' (so do {len(swallowing) - 1} more)' if len(swallowing) > 1 else ''}; check that no quote is missing."
        )
    return tuple(notices)
