"""Physical lines → records by a strict CSV grammar, for the lines that a regular expression can't decide. Pure.

A field is either wholly unquoted and contains no quote, or wholly quoted with inner quotes doubled. A record that
breaks this is rejected with the lines that it covers; the next line starts a new record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from batch.read.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RAGGED_LINE = "ragged_line"
MALFORMED_QUOTES = "malformed_quotes"

_DATE = re.compile(r"\s*[0-9]{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ][0-9]{1,4}\b|\s*[0-9]{5,8}(?:\.[0-9]+)?\s*\Z")
"""What may be a date in any form; also one of a spreadsheet."""


class Record(NamedTuple):
    """One record, good or rejected.

    first, last: Indexes of its physical lines.
    cells: Empty if the record is rejected.
    rule, message: Why it is rejected; empty if it is good.
    swallows_row: A line inside a quoted cell looks like a row of its own: perhaps a quote is missing.
    surplus: How many empty cells it has beyond the header's; negative if so many were missing and count as empty.
    """

    first: int
    last: int
    cells: tuple[str, ...]
    rule: str = ""
    message: str = ""
    swallows_row: bool = False
    surplus: int = 0


class Shape(NamedTuple):
    """How many cells a record may have.

    width: The number of fields in the header.
    fewest: So many cells a record must have; the columns after these may be left out at its end.
    dates: Indexes of the columns of dates.
    """

    width: int
    fewest: int
    dates: frozenset[int] = frozenset()

    def fitted(self, cells: Sequence[str]) -> tuple[str, ...] | None:
        """As many cells as the header has: without empty ones at the end, or with empty ones there; None for neither.

        If a date is empty then, no text may look like one on the side where the date would stand if a cell were
        missing, or one too many.
        """
        if any(cell.strip() for cell in cells[self.width :]) or len(cells) < self.fewest:
            return None
        fitted = (*cells[: self.width], *[""] * (self.width - len(cells)))
        texts = [at for at, cell in enumerate(fitted) if at not in self.dates and _DATE.match(cell)]
        is_short = len(cells) < self.width
        empty = [at for at in self.dates if not fitted[at].strip()]
        if any(self.fewest <= text < date if is_short else text > date for date in empty for text in texts):
            return None
        return fitted


class Scanner:
    """Splits one record into cells, line by line, until `is_open` is false.

    `length` counts its characters, and `covered` the delimiters in a cell on one line below the line where it begins.
    """

    def __init__(self, delimiter: str) -> None:
        self.cells: list[str] = []
        self.length = 0
        self.covered = 0
        self.is_malformed = False
        self.is_open = False
        self._delimiter = delimiter
        self._open_cell: list[str] = []

    def feed(self, line: str) -> None:
        """Read the record's next physical line.

        Args:
            line: Without its line feed. A carriage return at its end belongs to the line end, unless a cell is open.
        """
        self.length += len(line) + 1
        if self.is_open and '"' not in line:
            self.covered = max(self.covered, line.count(self._delimiter))
            self._open_cell += (line, "\n")
            return
        body = line.removesuffix("\r")
        if self.is_open:
            position = self._quoted(body, 0)
            self.covered = max(self.covered, body.count(self._delimiter, 0, position))
        else:
            position = self._field(body, 0)
        while not self.is_open and position < len(body):
            # A delimiter is at `position`; another field follows, perhaps an empty one at the end of the line.
            position = self._field(body, position + 1)
        if self.is_open:
            self._open_cell += (line[len(body) :], "\n")

    def _field(self, body: str, start: int) -> int:
        """Read the field at `start`; return its end, which is a delimiter or the end of the line."""
        if body.startswith('"', start):
            self._open_cell = []
            return self._quoted(body, start + 1)
        end = self._end_of_field(body, start)
        cell = body[start:end]
        if '"' in cell:
            self.is_malformed = True
        self.cells.append(cell)
        return end

    def _quoted(self, body: str, start: int) -> int:
        """Continue a quoted cell at `start`, which is inside the quotes."""
        while (quote := body.find('"', start)) >= 0:
            if body.startswith('""', quote):
                self._open_cell.append(body[start : quote + 1])
                start = quote + 2
                continue
            self._open_cell.append(body[start:quote])
            self.cells.append("".join(self._open_cell))
            self.is_open = False
            end = self._end_of_field(body, quote + 1)
            if end != quote + 1:
                self.is_malformed = True
            return end
        self._open_cell.append(body[start:])
        self.is_open = True
        return len(body)

    def _end_of_field(self, body: str, start: int) -> int:
        end = body.find(self._delimiter, start)
        return len(body) if end < 0 else end


def records_at(
    lines: PhysicalLines, starts: Iterable[int], *, delimiter: str, shape: Shape, limits: Limits = LIMITS
) -> Iterator[Record]:
    """The records that begin on the given lines; a start inside an earlier of these records is skipped.

    Args:
        lines: All physical lines of the file.
        starts: Ascending indexes of lines on which a record begins, unless an earlier record covers them.
        delimiter: One character.
        shape: How many cells a record may have.
        limits: How long a record may be.

    Raises:
        InputFileError: A record is too long.
    """
    free = 0
    for start in starts:
        if start < free:
            continue
        record = _record(lines, start, delimiter=delimiter, shape=shape, limits=limits)
        free = record.last + 1
        yield record


def _record(lines: PhysicalLines, first: int, *, delimiter: str, shape: Shape, limits: Limits) -> Record:
    width = shape.width
    scanner = Scanner(delimiter)
    last = first
    scanner.feed(lines[first])
    while scanner.is_open and last + 1 < len(lines):
        last += 1
        scanner.feed(lines[last])
        if scanner.length > limits.row:
            raise limits.row_exceeded(
                f"The quote that opens on line {first + 1} of {lines.name} is not closed: its cell is"
            )
    span = line_range(first + 1, last + 1)
    if scanner.is_open:
        verb = "was" if last == first else "were"
        message = f"A quote that opens a cell is never closed: {span} {verb} not read."
        return Record(first, last, (), MALFORMED_QUOTES, message)
    if scanner.is_malformed:
        message = f"A cell on {span} contains a quote: put the whole cell in quotes and double each inner quote."
        return Record(first, last, (), MALFORMED_QUOTES, message)
    found = len(scanner.cells)
    # A last line without a line end may be cut off.
    is_whole = found >= width or lines.is_ended(last)
    fitted = scanner.cells if found == width else shape.fitted(scanner.cells) if is_whole else None
    if fitted is None:
        # The row's own line number is enough for a record of one line.
        covered = f" ({span})" if last > first else ""
        message = f"The row has {found} field{'s' * (found != 1)}, but the header has {width}{covered}."
        return Record(first, last, (), RAGGED_LINE, message)
    return Record(first, last, tuple(fitted), swallows_row=scanner.covered >= width - 1, surplus=found - width)


def line_range(first: int, last: int) -> str:
    """`line 3`, or `lines 3-7`."""
    return f"line {first}" if first == last else f"lines {first}-{last}"


def row_pattern(delimiter: str, width: int) -> str:
    """A regular expression for a line, without its line end, that is a whole record of `width` fields on its own.

    It excludes lines with carriage returns and byte-order marks, which polars drops from unquoted cells: `Scanner`
    keeps them.
    """
    bare = re.escape(delimiter)
    field = f'(?:[^"{bare}\r\ufeff]*|"(?:[^"]|"")*")'
    return f"^{field}(?:{bare}{field}){{{width - 1}}}$"


def blank_pattern(delimiter: str) -> str:
    """A regular expression for a line whose every cell is empty or white space."""
    cell = r'(?:\s*|"\s*")'
    return f"^{cell}(?:{re.escape(delimiter)}{cell})*$"


class PhysicalLines:
    r"""The lines of a UTF-8 text, including a last line without a line feed unless it is empty.

    Only `\n` ends a line: a `\r` before it stays, because it may belong to a quoted cell.

    Attributes:
        name: The file's name for messages.
    """

    def __init__(self, text: bytes, name: str) -> None:
        self.name = name
        self._text = text
        # The offset of each line, and of the line after the last.
        self._starts = [0]
        newline = text.find(b"\n")
        while newline >= 0:
            self._starts.append(newline + 1)
            newline = text.find(b"\n", newline + 1)
        if text and not text.endswith(b"\n"):
            self._starts.append(len(text) + 1)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> str:
        """One line without its line feed."""
        return self._text[self._starts[index] : self._starts[index + 1] - 1].decode()

    def is_ended(self, index: int) -> bool:
        """Whether a line ends with a line feed."""
        return self._starts[index + 1] <= len(self._text)

    def block(self, first: int, end: int) -> bytes:
        """The lines from `first` up to but not including `end`; each ends with a line feed, also the file's last."""
        block = self._text[self._starts[first] : self._starts[end]]
        return block if not block or block.endswith(b"\n") else block + b"\n"


def blocks(text: bytes, size: int) -> Iterator[bytes]:
    """The text in blocks of whole lines, each of about `size` bytes."""
    start = 0
    while start < len(text):
        newline = text.find(b"\n", start + size)
        end = len(text) if newline < 0 else newline + 1
        yield text if (start, end) == (0, len(text)) else text[start:end]
        start = end
