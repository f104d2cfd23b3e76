"""Takes only the rows that the user asks for: `column=value`, `column!=value`, or `column~part`. Pure.

There is no expression language: whatever evaluates one could read files or never end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.errors import InputFileError
from batch.read.columns import bare_name
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.read.file_rows import FileRows
    from batch.read.header import Column
    from batch.read.interpretation import Condition

_MOST_SHOWN: Final = 80
_MOST_VALUES: Final = 10


def taken(file_rows: FileRows, file: str, conditions: Sequence[Condition]) -> FileRows:
    """The rows of a file that meet all conditions; records that can't be parsed stay.

    Args:
        file_rows: The file's rows, as written and as meant.
        file: The file's name for messages.
        conditions: What the rows must have.

    Raises:
        InputFileError: The file lacks a column.
    """
    if not conditions:
        return file_rows
    names = [_column(condition, file_rows.columns, file) for condition in conditions]
    meets = file_rows.rows.select(
        pl.all_horizontal(_meets(pl.col(name), one) for name, one in zip(names, conditions, strict=True)).alias("meets")
    ).to_series()
    rows = file_rows.rows.filter(meets)
    return replace(
        file_rows,
        rows=rows,
        translated=None if file_rows.translated is None else file_rows.translated.filter(meets),
        left_out=file_rows.rows.height - rows.height,
    )


def _column(condition: Condition, columns: Sequence[Column], file: str) -> str:
    wanted = condition.column.lower()
    for column in columns:
        if wanted in {bare_name(column.header).lower(), column.name.lower()}:
            return column.name
    shown = ", ".join(f"`{on_one_line(column.header, most=_MOST_SHOWN)}`" for column in columns)
    raise InputFileError(
        f"{file} has no column `{condition.column}`, which --where names. Its columns are {shown}.",
        next_step="Nothing was sent. Name one of them.",
    )


def _written(cell: pl.Expr) -> pl.Expr:
    return cell.fill_null("").str.strip_chars()


def _meets(cell: pl.Expr, condition: Condition) -> pl.Expr:
    written = _written(cell)
    if condition.operator == "~":
        return written.str.contains(condition.value, literal=True)
    return written == condition.value if condition.operator == "=" else written != condition.value


def none_taken(files: Sequence[FileRows], conditions: Sequence[Condition]) -> InputFileError:
    """The error if no row of any file meets the conditions; it shows values of the first one's column.

    Args:
        files: As read, with all their rows.
        conditions: What the rows must have.
    """
    values: list[str] = []
    for file_rows in files:
        name = _column(conditions[0], file_rows.columns, "")
        values += file_rows.rows.select(_written(pl.col(name)).unique(maintain_order=True)).to_series().to_list()
    filled = [value for value in dict.fromkeys(values) if value]
    shown = ", ".join(f"'{on_one_line(value, most=_MOST_SHOWN)}'" for value in filled[:_MOST_VALUES])
    more = f" and {len(filled) - _MOST_VALUES:,} more" if len(filled) > _MOST_VALUES else ""
    asked = " and ".join(on_one_line(condition.text, most=_MOST_SHOWN) for condition in conditions)
    return InputFileError(
        f"No row has {asked}, so --where takes none.",
        next_step="Nothing was sent. Correct it; upper and lower case differ. "
        f"Values of `{conditions[0].column}` are {shown}{more}.",
    )
