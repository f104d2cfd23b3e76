"""Where a CSV file's header is, and which delimiter the file uses. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import InputFileError
from batch.read.columns import KNOWN_COLUMNS, RESERVED_COLUMNS, canonical_name
from batch.read.limits import LIMITS, Limits
from batch.read.records import Scanner, line_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_DELIMITERS = (",", ";", "\t")
_MOST_BLANK_LINES = 1000
_EXCEL_HINT = re.compile(r'"?sep=([,;\t])"?\s*')
_BLANK_HEADER = re.compile(r'[\s,;\ufeff"]*')


class CsvLayout(NamedTuple):
    """The header record and the delimiter.

    headers: The header's cells, as written.
    delimiter: One of `,` `;` tab.
    lines: Physical lines up to the end of the header, including blank lines above it.
    """

    headers: tuple[str, ...]
    delimiter: str
    lines: int


def find_layout(data: bytes, name: str, extra_names: Collection[str] = (), limits: Limits = LIMITS) -> CsvLayout:
    """Find the header, which is the first record that isn't blank, and choose the delimiter that fits it best.

    Args:
        data: The file's text as UTF-8.
        name: The file's name for messages.
        extra_names: Lower-case column names that identify a header as well as our own do.
        limits: How many rows and columns there may be.

    Raises:
        InputFileError: The file has only blank lines, the header's quotes are malformed, or a limit is exceeded.
    """
    rows = data.count(b"\n")
    limits.check(name, rows=rows)
    delimiters: tuple[str, ...] = _DELIMITERS
    start, number = 0, 0
    for line, end in _lines(data, 0):
        hint = _EXCEL_HINT.fullmatch(line)
        if hint:
            delimiters = (hint.group(1),)
        elif not _BLANK_HEADER.fullmatch(line):
            break
        start, number = end, number + 1
        if number > _MOST_BLANK_LINES:
            raise InputFileError(
                f"{name} has more than {_MOST_BLANK_LINES:,} blank lines above its header.", next_step="Remove them."
            )
    else:
        raise InputFileError(
            f"{name} is empty.", next_step="Give a file with a header line and at least one row below it."
        )
    layouts = [
        layout for delimiter in delimiters if (layout := _scan_header(data, name, start, number, delimiter, limits))
    ]
    if not layouts:
        raise InputFileError(
            f"The header of {name} ({line_range(number + 1, number + 1)}) has a stray or unclosed quote.",
            next_step="Write the column names without quotes, or close every quote.",
        )
    # `max` keeps the first of equals, so a header with a single column counts as delimited by commas.
    best = max(layouts, key=lambda layout: (_count_known(layout.headers, extra_names), len(layout.headers)))
    limits.check(name, rows=rows, columns=len(best.headers))
    return best


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
