"""All inputs together: one table of rows, and one of records that can't be parsed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from batch.errors import InputFileError
from batch.read.csv_table import read_csv
from batch.read.file_rows import PLAIN, Form, interpret
from batch.read.inputs import Content, LoadedInputs, load_inputs
from batch.read.item_names import PART_SEPARATOR
from batch.read.parquet_table import first_line, read_parquet
from batch.read.where import none_taken, taken
from batch.read.workbook_table import read_workbook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.read.file_rows import FileRows
    from batch.read.header import Column
    from batch.read.interpretation import Interpretation
    from batch.read.limits import Limits

# The name of one entitlement has up to three.
_BARS = {"item_id": 1, "item": 3}
_FOREIGN_MAGIC = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, or one with a password",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The rows of all inputs.

    Attributes:
        rows: `_file` (String, the name as given), `_line` (Int64, the physical line from 1 where the row begins; for
            Parquet and Excel the row's number), then the input's columns (String, empty cells null) by their canonical
            names, as meant: IdentityIQ's columns are translated into ours. If needed also `_dates` (the form of the
            row's dates, see `date_form`; null for ISO 8601) and `_row_problem` (why a row can't be read: one of
            `identityiq.PROBLEMS`, or a sentence about a cell of a workbook).
        originals: The same rows as written: `_file`, `_line` and the input's `columns`.
        rejected: Records that can't be parsed: `_file`, `_line`, `_rule`, `_message`, `_raw` (the original text).
        columns: The input's columns in order of first appearance.
        notices: Sentences for the user.
        form: Of result files: that of the first file.
        left_out: How many more rows the files have, which --where leaves out: they are no part of the input.
        digest: Identifies the inputs' bytes, see `LoadedInputs`.
    """

    rows: pl.DataFrame
    originals: pl.DataFrame
    rejected: pl.DataFrame
    columns: tuple[Column, ...]
    notices: tuple[str, ...]
    digest: str
    form: Form = PLAIN
    left_out: int = 0


def read_inputs(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Table:
    """Read CSV, Excel and Parquet files.

    Args:
        inputs: Paths, globs, `-` for standard input, or cloud URLs of Parquet files.
        stdin: The stream for `-`.

    Raises:
        InputFileError: An input as a whole can't be used. Single bad rows never raise: they are in `rejected`.
    """
    return read_loaded(load_inputs(inputs, stdin=stdin))


def read_loaded(loaded: LoadedInputs) -> Table:
    """Parse loaded inputs.

    Args:
        loaded: From `load_inputs`.

    Raises:
        InputFileError: An input as a whole can't be used; the message covers all such inputs.
    """
    files: list[tuple[str, FileRows]] = []
    errors: list[InputFileError] = []
    where = loaded.interpretation.where
    for content in loaded.contents:
        try:
            with _explained(content.title):
                files.append((content.name, _read_file(content, loaded.interpretation)))
        except InputFileError as error:
            errors.append(error)
    if errors:
        steps = dict.fromkeys(error.next_step for error in errors)
        raise InputFileError("\n".join(error.message for error in errors), next_step="\n".join(steps))
    chosen = [(name, taken(file_rows, name, where)) for name, file_rows in files]
    if where and not any(file_rows.rows.height for _, file_rows in chosen):
        raise none_taken([file_rows for _, file_rows in files], where)
    files = chosen
    columns: dict[str, Column] = {}
    for _, file_rows in files:
        for column in file_rows.columns:
            columns.setdefault(column.name, column)
    originals = _stacked([(name, file_rows.rows) for name, file_rows in files])
    is_as_written = all(file_rows.translated is None for _, file_rows in files)
    return Table(
        rows=originals if is_as_written else _stacked([(name, file_rows.meant) for name, file_rows in files]),
        originals=originals,
        rejected=_stacked([(name, file_rows.rejected) for name, file_rows in files]),
        columns=tuple(columns.values()),
        notices=tuple(notice for _, file_rows in files for notice in file_rows.notices),
        digest=loaded.digest,
        form=files[0][1].form,
        left_out=sum(file_rows.left_out for _, file_rows in files),
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what a file can make our libraries raise into an input error; our own bugs stay bugs."""
    try:
        yield
    except (MemoryError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputFileError(
            f"{name} can't be read within the memory of this machine, or by polars {pl.__version__}: "
            f"{first_line(error)}.",
            next_step="Nothing was sent. Divide the file, or if you gave a higher --max-input, lower it.",
        ) from error


def _read_file(content: Content, interpretation: Interpretation) -> FileRows:
    data, name = content.data, content.title
    if not data:
        raise InputFileError(
            f"{name} is empty.", next_step="Give a file with a header line and at least one row below it."
        )
    if content.is_parquet:
        file_rows = read_parquet(data, name, interpretation)
    elif content.is_workbook:
        file_rows = read_workbook(data, name, interpretation)
    else:
        for magic, kind in _FOREIGN_MAGIC.items():
            if data.startswith(magic):
                raise InputFileError(
                    f"{name} is {kind}, not a CSV file.",
                    next_step="Save or unpack it as CSV (UTF-8), or as .xlsx without a password.",
                )
        file_rows = read_csv(data, name, interpretation)
    if file_rows.rows.is_empty() and file_rows.rejected.is_empty():
        raise InputFileError(
            f"{name} has a header but no rows.", next_step="Give a file with at least one row below the header."
        )
    file_rows = interpret(file_rows, taken(file_rows, name, interpretation.where).rows, name, interpretation)
    _check_items(file_rows.meant, name, interpretation.limits)
    return file_rows


def _check_items(rows: pl.DataFrame, name: str, limits: Limits) -> None:
    """Check the number of items: each of them becomes a row of its own.

    Raises:
        InputFileError: They are too many.
    """
    items = rows.height
    for column in set(_BARS) & set(rows.columns):
        cells = rows.get_column(column)
        # Counting takes longer than this, and few inputs have so many bytes.
        if rows.height + cells.str.len_bytes().sum() > limits.rows:
            items += int(cells.str.count_matches(PART_SEPARATOR, literal=True).sum()) // _BARS[column]
    if items > limits.rows:
        raise limits.exceeded(f"{name} has more than {limits.rows:,} items")


def _stacked(frames: Sequence[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat(
        [frame.select(pl.lit(name, pl.String).alias("_file"), pl.all()) for name, frame in frames], how="diagonal"
    )
