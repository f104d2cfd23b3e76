"""A sheet's elements → how large it is, and which of its cells are formulas, errors or doubtful numbers. Pure."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.read.limits import Limits

COLUMN_BITS: Final = 14
"""A cell's position is its row, shifted by so many bits, and its column; both count from 0."""

QUARTER: Final = "a quarter of the limit"
"""A workbook may take so much of the size once it is unpacked."""

_MOST_ROWS: Final = 1 << 20
_MOST_COLUMNS: Final = 1 << COLUMN_BITS
_DIGITS: Final = "0123456789"


class DamagedError(ValueError):
    """The bytes are no workbook."""


def local_name(name: str) -> str:
    """An element's name without its prefix."""
    return name.rpartition(":")[2] if ":" in name else name


class SheetScan:
    """Measures a sheet's cells, and finds the special ones; the arrays are those of `workbook_parts.Sheet`.

    Args:
        name: The file's name for messages.
        limits: What the sheet may hold.
        plain: For each style of a cell, whether it shows a whole number as it is.
        lengths: The length of each text that cells share.
    """

    def __init__(self, name: str, limits: Limits, plain: Sequence[bool], lengths: Sequence[int]) -> None:
        self.formulas: array[int] = array("Q")
        self.unsaved: array[int] = array("Q")
        self.errors: array[int] = array("Q")
        self.formatted: array[int] = array("Q")
        self.dates: array[int] = array("Q")
        self.hidden_rows = 0
        self._name = name
        self._limits = limits
        self._plain = plain
        self._lengths = lengths
        self._columns: dict[str, int] = {}
        self._row, self._next_row, self._next_column = 0, 0, 0
        self._at_row, self._at_column = 0, 0
        self._kind, self._style, self._inside = "", 0, ""
        self._has_formula = self._has_value = self._is_hidden = False
        self._text_left = limits.size // 4
        self._top, self._bottom, self._left, self._right = _MOST_ROWS, -1, _MOST_COLUMNS, -1

    # These two are called for each element and text, so a millionth of a second more is a second for a large sheet.

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Takes the beginning of an element."""
        if ":" in name:
            name = local_name(name)
        self._inside = name
        if name == "c":
            if self._has_value or self._has_formula:
                self.finish()
            reference = attributes.get("r")
            if reference is None:
                self._at_row, self._at_column = self._row, self._next_column
            else:
                letters = reference.rstrip(_DIGITS)
                self._at_row = int(reference[len(letters) :]) - 1
                self._at_column = self._columns[letters] if letters in self._columns else self._new_column(letters)
            self._next_column = self._at_column + 1
            self._kind = attributes.get("t", "n")
            self._style = int(attributes.get("s", 0))
        elif name == "f":
            self._has_formula = True
        elif name == "row":
            self.finish()
            number = attributes.get("r")
            self._row = int(number) - 1 if number else self._next_row
            self._next_row, self._next_column = self._row + 1, 0
            self._is_hidden = attributes.get("hidden") in {"1", "true"}

    def text(self, piece: str) -> None:
        """Takes the text of an element."""
        if self._inside == "v":
            if self._kind == "s":
                # Blanks may stand behind the value. The library would take anything else for the first text.
                if self._has_value and piece.isspace():
                    return
                if not (piece.isascii() and piece.isdecimal()):
                    raise DamagedError("a cell names none of the texts")
                self._text_left -= self._lengths[int(piece)]
            elif self._kind == "str" or not piece.isspace():
                self._text_left -= len(piece)
            else:
                return
        elif self._inside == "t" and (self._has_value or not piece.isspace()):
            self._text_left -= len(piece)
        else:
            return
        self._has_value = True
        if self._text_left < 0:
            quarter = self._limits.size // 4
            raise self._limits.exceeded(f"{self._name} holds more than {quarter:,} characters", QUARTER)

    def finish(self) -> None:
        """Takes note of the cell that has ended."""
        row, column = self._at_row, self._at_column
        if self._has_value or self._has_formula:
            if not (self._top <= row <= self._bottom and self._left <= column <= self._right):
                self._extend(row, column)
            self.hidden_rows += self._is_hidden
            self._is_hidden = False
            at = row << COLUMN_BITS | column
            if self._kind == "e":
                self.errors.append(at)
            elif self._kind == "d":
                self.dates.append(at)
            elif self._style and self._kind == "n" and self._style < len(self._plain) and not self._plain[self._style]:
                self.formatted.append(at)
            if self._has_formula:
                self.formulas.append(at)
                if not self._has_value and self._kind != "str":
                    self.unsaved.append(at)
        self._has_formula = self._has_value = False

    def _extend(self, row: int, column: int) -> None:
        """Checks the size of the smallest rectangle around all cells, which the library reserves."""
        if not (0 <= row < _MOST_ROWS and 0 <= column < _MOST_COLUMNS):
            raise DamagedError("a cell is beyond the edges of a sheet")
        self._top, self._bottom = min(self._top, row), max(self._bottom, row)
        self._left, self._right = min(self._left, column), max(self._right, column)
        limits = self._limits
        height, width = self._bottom - self._top + 1, self._right - self._left + 1
        limits.check(self._name, rows=height, columns=width)
        if height * width > limits.cells // 10:
            raise limits.exceeded(f"{self._name} spans more than {limits.cells // 10:,} cells")

    def _new_column(self, letters: str) -> int:
        column = self._columns[letters] = _column_number(letters)
        return column


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z":
            raise DamagedError("a cell has no valid name")
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def cell_name(at: int) -> str:
    """A cell's name as spreadsheets show it, such as `B2`."""
    return f"{column_name(at & (_MOST_COLUMNS - 1))}{(at >> COLUMN_BITS) + 1}"


def column_name(column: int) -> str:
    """A column's name as spreadsheets show it; the argument counts from 0."""
    name = ""
    while column >= 0:
        column, letter = divmod(column, 26)
        name = chr(ord("A") + letter) + name
        column -= 1
    return name
