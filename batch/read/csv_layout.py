"""The layout of a CSV file: where the header is, and which delimiter it speaks. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import InputFileError
from batch.read.columns import count_known
from batch.read.records import Scanner, line_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DELIMITERS = (",", ";", "\t")
_EXCEL_HINT = re.compile(r'"?sep=([,;\t])"?\s*')
_BLANK_HEADER = re.compile(r'[\s,;\ufeff"]*')


class CsvLayout(NamedTuple):
    """The header record and what follows from it.

    headers: Its cells, as written.
    delimiter: One of `,` `;` tab.
    lines: How many physical lines the header ends after, blank lines above it included.
    """

    headers: tuple[str, ...]
    delimiter: str
    lines: int


def find_layout(data: bytes, name: str, others: Collection[str] = ()) -> CsvLayout:
    """Find the header, which is the first record that isn't blank, and choose the delimiter that fits it best.

    Args:
        data: The file's text as UTF-8.
        name: How messages call the file.
        others: Names of columns, in small letters, that are as telling as ours.

    Raises:
        InputFileError: There is nothing but blank lines, or the header's quotes are malformed.
    """
    forced: tuple[str, ...] = _DELIMITERS
    start, number = 0, 0
    for line, end in _lines(data, 0):
        hint = _EXCEL_HINT.fullmatch(line)
        if hint:
            forced = (hint.group(1),)
        elif not _BLANK_HEADER.fullmatch(line):
            break
        start, number = end, number + 1
    else:
        raise InputFileError(
            f"{name} is empty.", next_step="Give a file with a header line and at least one row below it."
        )
    layouts = [layout for layout in (_layout(data, start, number, delimiter) for delimiter in forced) if layout]
    if not layouts:
        raise InputFileError(
            f"The header of {name} ({line_range(number + 1, number + 1)}) has a stray or unclosed quote.",
            next_step="Write the column names without quotes, or close every quote.",
        )
    # `max` keeps the first of equals, so a single column counts as delimited by commas.
    return max(layouts, key=lambda layout: (count_known(layout.headers, others), len(layout.headers)))


def _layout(data: bytes, start: int, number: int, delimiter: str) -> CsvLayout | None:
    scanner = Scanner(delimiter)
    for line, _ in _lines(data, start):
        scanner.feed(line)
        number += 1
        if scanner.is_malformed:
            return None
        if not scanner.is_open:
            return CsvLayout(tuple(scanner.cells), delimiter, number)
    return None


def _lines(data: bytes, start: int) -> Iterator[tuple[str, int]]:
    """Physical lines from `start` on, each without its line feed and with the offset of the next."""
    while start < len(data):
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline
        yield data[start:end].decode(), end + 1
        start = end + 1
