"""Where a CSV file's header is, and which delimiter the file uses. Pure."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import InputFileError
from batch.read.columns import FEWEST_COLUMNS, KNOWN_COLUMNS, RESERVED_COLUMNS, canonical_name
from batch.read.limits import LIMITS, Limits
from batch.read.records import Scanner, line_range
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_DELIMITERS = (",", ";", "\t", "|")
_MOST_BLANK_LINES = 1000
_EXCEL_HINT = re.compile(r'"?sep=([,;\t|])"?\s*')
_BLANK_HEADER = re.compile(r'[\s,;|\ufeff"]*')
_MOST_LINES_OF_TITLES = 10
_FEWEST_NAMES = 2
"""Names of columns in a line by which it looks like a header: a single one may be a word of a sentence."""


class CsvLayout(NamedTuple):
    """The header record and the delimiter.

    headers: The header's cells, as written.
    delimiter: One of `,` `;` tab `|`.
    lines: Physical lines up to the end of the header, including those above it.
    notices: Sentences for the user.
    """

    headers: tuple[str, ...]
    delimiter: str
    lines: int
    notices: tuple[str, ...] = ()


def find_layout(data: bytes, name: str, extra_names: Collection[str] = (), limits: Limits = LIMITS) -> CsvLayout:
    """Find the header, which is the first record that isn't blank, and choose the delimiter that fits it best.

    Lines above it that begin with `#` are comments, unless they hold names of columns themselves.

    Args:
        data: The file's text as UTF-8.
        name: The file's name for messages.
        extra_names: Lower-case column names that identify a header as well as our own do.
        limits: How many rows and columns there may be.

    Raises:
        InputFileError: The file has only blank lines, the header's quotes are malformed, another line looks like the
            header, or a limit is exceeded.
    """
    rows = data.count(b"\n")
    limits.check(name, rows=rows)
    delimiters: tuple[str, ...] = _DELIMITERS
    start, number = 0, 0
    comments: list[int] = []
    for line, end in _lines(data, 0):
        hint = _EXCEL_HINT.fullmatch(line)
        if hint:
            delimiters = (hint.group(1),)
        elif line.lstrip('\ufeff" ').startswith("#") and _names_in(line, extra_names) < _FEWEST_NAMES:
            comments.append(number + 1)
        elif not _BLANK_HEADER.fullmatch(line):
            break
        start, number = end, number + 1
        if number > _MOST_BLANK_LINES:
            raise InputFileError(
                f"{name} has more than {_MOST_BLANK_LINES:,} blank lines and comments above its header.",
                next_step="Remove them.",
            )
    else:
        raise InputFileError(
            f"{name} is empty.", next_step="Give a file with a header line and at least one row below it."
        )
    layouts = [
        layout for delimiter in delimiters if (layout := _scan_header(data, name, start, number, delimiter, limits))
    ]
    best_names = max((_count_known(layout.headers, extra_names) for layout in layouts), default=0)
    _check_titles(data, name, extra_names, start=start, number=number, best_names=best_names)
    if not layouts:
        raise InputFileError(
            f"The header of {name} ({line_range(number + 1, number + 1)}) has a stray or unclosed quote.",
            next_step="Write the column names without quotes, or close every quote.",
        )
    # `max` keeps the first of equals, so a header with a single column counts as delimited by commas.
    best = max(layouts, key=lambda layout: (_count_known(layout.headers, extra_names), len(layout.headers)))
    limits.check(name, rows=rows, columns=len(best.headers))
    if comments:
        skipped = f"{name}: skipped {count(len(comments), 'comment line')} above the header, first line {comments[0]}."
        return best._replace(notices=(skipped,))
    return best


def _check_titles(
    data: bytes, name: str, extra_names: Collection[str], *, start: int, number: int, best_names: int
) -> None:
    """Check that no line soon after the supposed header, which is at `start`, looks more like one.

    Raises:
        InputFileError: One holds more names of columns, or has the cells of a header if the supposed one has too few.
    """
    if best_names >= _FEWEST_NAMES:
        return
    lines = [line for line, _ in islice(_lines(data, start), _MOST_LINES_OF_TITLES)]
    at = next((at for at, line in enumerate(lines) if at and _names_in(line, extra_names) >= _FEWEST_NAMES), 0)
    if not at and lines[0].count('"') % 2 == 0 and _cells_in(lines[0]) < FEWEST_COLUMNS:
        at = next((at for at, line in enumerate(lines) if _cells_in(line) >= FEWEST_COLUMNS), 0)
    if at:
        above = line_range(number + 1, number + at)
        raise InputFileError(
            f"{name} has no column names in {above}: line {number + at + 1} looks like the header.",
            next_step=f"Nothing was sent. Delete {above}.",
        )


def _names_in(line: str, extra_names: Collection[str]) -> int:
    """How many names of columns a line holds, by the delimiter that gives most."""
    return max(_count_known(line.split(delimiter), extra_names) for delimiter in _DELIMITERS)


def _cells_in(line: str) -> int:
    """How many cells of a line have text, by the delimiter that gives most."""
    return max(sum(bool(cell.strip(' "\r')) for cell in line.split(delimiter)) for delimiter in _DELIMITERS)


def _count_known(headers: Sequence[str], extra_names: Collection[str]) -> int:
    names = {canonical_name(header, position) for position, header in enumerate(headers, 1)}
    return sum(name in KNOWN_COLUMNS or name in RESERVED_COLUMNS or name.lower() in extra_names for name in names)


def _scan_header(data: bytes, name: str, start: int, number: int, delimiter: str, limits: Limits) -> CsvLayout | None:
    scanner = Scanner(delimiter)
    for line, _ in _lines(data, start):
        limits.check(name, columns=line.count(delimiter) + 1)
        scanner.feed(line)
        number += 1
        if scanner.is_malformed or scanner.length > limits.row:
            return None
        if not scanner.is_open:
            return CsvLayout(tuple(scanner.cells), delimiter, number)
    return None


def _lines(data: bytes, start: int) -> Iterator[tuple[str, int]]:
    """Physical lines from `start` on: each without its line feed, and with the offset of the next line."""
    while start < len(data):
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline
        yield data[start:end].decode(), end + 1
        start = end + 1
