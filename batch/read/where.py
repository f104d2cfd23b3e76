"""Takes only the rows that the user asks for: `column=value`, `column!=value`, or `column~part`. Pure.

There is no expression language: whatever evaluates one could read files or never end.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.errors import InputFileError
from batch.read.columns import bare_name
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from batch.read.file_rows import FileRows
    from batch.read.header import Column
    from batch.read.interpretation import Condition

_OPERATOR: Final = re.compile(r"(?=(!=|=|~))")
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
    meets = file_rows.rows.get_column("_line").is_not_null()
    for condition in conditions:
        column, operator, value = _split(condition, file_rows.columns, file)
        meets &= _meets(_written(file_rows.rows.get_column(column)), operator, value)
    rows = file_rows.rows.filter(meets)
    return replace(
        file_rows,
        rows=rows,
        translated=None if file_rows.translated is None else file_rows.translated.filter(meets),
        left_out=file_rows.rows.height - rows.height,
    )


def _split(condition: Condition, columns: Sequence[Column], file: str) -> tuple[str, str, str]:
    """A condition's column by its canonical name, its operator, and its value.

    A header may itself contain an operator: a condition is split at the first one that a column of the file precedes.
    """
    text = condition.text
    for at in _OPERATOR.finditer(text):
        wanted = bare_name(text[: at.start()]).lower()
        for column in columns:
            if wanted and wanted in {bare_name(column.header).lower(), column.name.lower()}:
                return column.name, at[1], text[at.start() + len(at[1]) :].strip()
    shown = ", ".join(f"`{on_one_line(column.header, most=_MOST_SHOWN)}`" for column in columns)
    raise InputFileError(
        f"{file} has no column `{condition.column}`, which --where names. Its columns are {shown}.",
        next_step="Nothing was sent. Name one of them.",
    )


def _written(cells: pl.Series) -> pl.Series:
    return cells.fill_null("").str.strip_chars()


def _meets(written: pl.Series, operator: str, value: str) -> pl.Series:
    if operator == "~":
        return written.str.contains(value, literal=True)
    return written == value if operator == "=" else written != value


def none_taken(files: Sequence[FileRows], conditions: Sequence[Condition]) -> InputFileError:
    """The error if no row of any file meets the conditions; it shows values of the first one's column.

    Args:
        files: As read, with all their rows.
        conditions: What the rows must have.
    """
    name, values = "", list[str]()
    for file_rows in files:
        name, _, _ = _split(conditions[0], file_rows.columns, "")
        values += _written(file_rows.rows.get_column(name)).unique(maintain_order=True).to_list()
    filled = [value for value in dict.fromkeys(values) if value]
    shown = ", ".join(f"'{on_one_line(value, most=_MOST_SHOWN)}'" for value in filled[:_MOST_VALUES])
    more = f" and {len(filled) - _MOST_VALUES:,} more" if len(filled) > _MOST_VALUES else ""
    asked = " and ".join(on_one_line(condition.text, most=_MOST_SHOWN) for condition in conditions)
    return InputFileError(
        f"No row has {asked}, so --where takes none.",
        next_step=f"Nothing was sent. Correct it; upper and lower case differ. Values of `{name}` are {shown}{more}.",
    )
