"""How large inputs may be: checked before they are parsed, since what is parsed takes many times its bytes. Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final, Self

from batch.errors import InputFileError

_MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of all inputs of a command; `--max-input` raises all of them in proportion.

    The largest job that we know of, a migration of 100,000 people with tens of items each, takes half of them.

    Attributes:
        size: Bytes of all inputs together, as they are and unpacked.
        rows: Rows of one input; several items in a row count one by one.
        cells: Rows times columns of one input.
        columns: Columns of one input.
        row: Bytes of one row, so also of a cell; also of a Parquet file's footer.
    """

    size: int = 512 * _MEGABYTE
    rows: int = 10_000_000
    cells: int = 100_000_000
    columns: int = 2_000
    row: int = 4 * _MEGABYTE

    @classmethod
    def of_size(cls, size: int) -> Self:
        """The limits for so many bytes: the others in proportion, and never lower than usual."""
        usual = cls()
        return cls(size, *(max(one, one * size // usual.size) for one in astuple(usual)[1:]))

    def check(self, name: str, *, rows: int = 0, columns: int = 0, unpacked: int = 0) -> None:
        """Checks the figures of one input.

        Raises:
            InputFileError: One is too large.
        """
        if columns > self.columns:
            raise self.exceeded(f"{name} has more than {self.columns:,} columns")
        if rows > self.rows:
            raise self.exceeded(f"{name} has more than {self.rows:,} rows")
        if rows * columns > self.cells:
            raise self.exceeded(f"{name} has more than {self.cells:,} cells")
        if unpacked > self.size:
            raise self.exceeded(f"{name} takes more than {self.megabytes} once it is unpacked")

    def check_lines(self, data: bytes, name: str, newline: bytes = b"\n") -> None:
        """Checks how long the lines are.

        Raises:
            InputFileError: One is too long.
        """
        start = 0
        while len(data) - start > self.row:
            end = data.rfind(newline, start, start + self.row + 1)
            if end < 0:
                raise self.row_exceeded(f"Line {data.count(newline, 0, start) + 1} of {name} is")
            start = end + 1

    @property
    def megabytes(self) -> str:
        """The limit of the size, in words."""
        return f"{self.size / _MEGABYTE:,.0f} MB" if self.size >= _MEGABYTE else f"{self.size:,} bytes"

    def row_exceeded(self, subject: str) -> InputFileError:
        """The error for a row: `subject` is its place and the verb."""
        return self.exceeded(f"{subject} longer than {self.row:,} bytes")

    def exceeded(self, message: str, limit: str = "the limit") -> InputFileError:
        """The error for an input over a limit."""
        return InputFileError(
            f"{message}, {limit}.",
            next_step="Nothing was sent. Divide the input. Or, if this machine has the memory, raise all limits in "
            f"proportion: --max-input SIZE (now {self.megabytes}).",
        )


LIMITS: Final = Limits()
"""The usual limits."""
