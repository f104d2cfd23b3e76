"""Physical lines → records by a strict CSV grammar, for the lines that a regular expression can't decide. Pure.

A field is either wholly unquoted, without any quote in it, or wholly quoted, with inner quotes doubled. Whatever breaks
this is reported with the lines that it covers, and the next line is a fresh start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RAGGED_LINE = "ragged_line"
MALFORMED_QUOTES = "malformed_quotes"


class Record(NamedTuple):
    """One record, or one that can't be taken apart.

    first, last: Indexes of its physical lines.
    cells: What it holds; empty when it is malformed.
    rule, message: Why it is rejected; empty when it is good.
    swallows_row: A line inside a quoted cell looks like a row of its own: maybe a forgotten quote.
    """

    first: int
    last: int
    cells: tuple[str, ...]
    rule: str = ""
    message: str = ""
    swallows_row: bool = False


class Scanner:
    """Takes one record apart, line by line, until `is_open` is false."""

    def __init__(self, delimiter: str) -> None:
        self.cells: list[str] = []
        self.is_malformed = False
        self.is_open = False
        self._delimiter = delimiter
        self._open_cell: list[str] = []

    def feed(self, line: str) -> None:
        """Read the record's next physical line.

        Args:
            line: Without its line feed; a carriage return at its end belongs to the line end, unless a cell is open.
        """
        if self.is_open and '"' not in line:
            self._open_cell += (line, "\n")
            return
        body = line.removesuffix("\r")
        position = self._quoted(body, 0) if self.is_open else self._field(body, 0)
        while not self.is_open and position < len(body):
            # Here stands a delimiter; another field follows, perhaps an empty one at the very end.
            position = self._field(body, position + 1)
        if self.is_open:
            self._open_cell += (line[len(body) :], "\n")

    def _field(self, body: str, start: int) -> int:
        """Read the field at `start` and return where it ends: at a delimiter or at the end of the line."""
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
        """Read a quoted cell on from `start`, which lies inside the quotes."""
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


def records_at(lines: PhysicalLines, starts: Iterable[int], *, delimiter: str, width: int) -> Iterator[Record]:
    """The records that begin on the given lines; a start inside an earlier of these records is passed over.

    Args:
        lines: All physical lines of the file.
        starts: Ascending indexes of lines on which a record begins, unless an earlier one reaches that far.
        delimiter: One character.
        width: How many fields the header has.
    """
    free = 0
    for start in starts:
        if start < free:
            continue
        record = _record(lines, start, delimiter=delimiter, width=width)
        free = record.last + 1
        yield record


def _record(lines: PhysicalLines, first: int, *, delimiter: str, width: int) -> Record:
    scanner = Scanner(delimiter)
    last = first
    scanner.feed(lines[first])
    swallows_row = False
    while scanner.is_open and last + 1 < len(lines):
        last += 1
        swallows_row = swallows_row or lines[last].count(delimiter) >= width - 1
        scanner.feed(lines[last])
    where = line_range(first + 1, last + 1)
    if scanner.is_open:
        message = f"A quote that opens a cell is never closed: {where} were not read."
        if last == first:
            message = f"A quote that opens a cell is never closed: {where} was not read."
        return Record(first, last, (), MALFORMED_QUOTES, message)
    if scanner.is_malformed:
        message = (
            f"A quote stands inside a cell on {where}: a cell with quotes in it must be quoted itself, "
            "with each inner quote doubled."
        )
        return Record(first, last, (), MALFORMED_QUOTES, message)
    found = len(scanner.cells)
    if found != width:
        # Named only when it is not plain from the row's own line number.
        covered = f" ({where})" if last > first else ""
        message = f"The row has {found} field{'s' * (found != 1)}, but the header has {width}{covered}."
        return Record(first, last, (), RAGGED_LINE, message)
    return Record(first, last, tuple(scanner.cells), swallows_row=swallows_row)


def line_range(first: int, last: int) -> str:
    """`line 3`, or `lines 3-7`."""
    return f"line {first}" if first == last else f"lines {first}-{last}"


def row_pattern(delimiter: str, width: int) -> str:
    """A regular expression for a line, without its line end, that is a whole record of `width` fields on its own.

    It leaves out some that are: polars drops unquoted carriage returns and byte-order marks, `Scanner` keeps them.
    """
    field = f'(?:[^"{delimiter}\r\ufeff]*|"(?:[^"]|"")*")'
    return f"^{field}(?:{delimiter}{field}){{{width - 1}}}$"


def blank_pattern(delimiter: str) -> str:
    """A regular expression for a line whose every cell is empty or white space."""
    cell = r'(?:\s*|"\s*")'
    return f"^{cell}(?:{delimiter}{cell})*$"


class PhysicalLines:
    r"""The lines of a UTF-8 text; a last line without a line feed counts, an empty remainder does not.

    Only `\n` ends a line: a `\r` before it stays, since it may belong to a quoted cell.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        # The offset at which each line begins, and that of the line after the last.
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

    def block(self, first: int, end: int) -> bytes:
        """The lines from `first` up to and without `end`, with their line feeds, also after the last line."""
        block = self._text[self._starts[first] : self._starts[end]]
        return block if not block or block.endswith(b"\n") else block + b"\n"


def blocks(text: bytes, size: int) -> Iterator[bytes]:
    """The text in pieces of whole lines, each of about `size` bytes; a short text as it is."""
    start = 0
    while start < len(text):
        newline = text.find(b"\n", start + size)
        end = len(text) if newline < 0 else newline + 1
        yield text if (start, end) == (0, len(text)) else text[start:end]
        start = end
