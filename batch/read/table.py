"""All inputs together: one table of rows, one of what can't be taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from batch.errors import InputFileError
from batch.read.csv_table import read_csv
from batch.read.file_rows import interpret
from batch.read.inputs import Content, LoadedInputs, load_inputs
from batch.read.parquet_table import read_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.read.file_rows import FileRows
    from batch.read.header import Column
    from batch.read.interpretation import Interpretation

_FOREIGN_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What was read.

    Attributes:
        rows: `_file` (String, the name as given), `_line` (Int64, the physical line from 1 where the row begins; for
            Parquet the row's number), then the input's columns (String, empty cells null) by their canonical names,
            as they are meant: what another kind of file says in its own columns stands in ours. Where needed also
            `_dates` (the form of the row's dates, see `date_form`; null for ISO 8601) and `_row_problem` (why a row of
            an IdentityIQ file can't be read, one of `identityiq.PROBLEMS`).
        originals: The same rows as written: `_file`, `_line` and the input's `columns`.
        rejected: `_file`, `_line`, `_rule`, `_message`, `_raw` (the original text): records that can't be taken apart.
        columns: The input's columns in order of first appearance.
        notices: Sentences for the user.
        digest: Identifies the input's bytes, see `LoadedInputs`.
    """

    rows: pl.DataFrame
    originals: pl.DataFrame
    rejected: pl.DataFrame
    columns: tuple[Column, ...]
    notices: tuple[str, ...]
    digest: str


def read_inputs(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Table:
    """Read CSV and Parquet files.

    Args:
        inputs: Paths, globs, `-` for standard input, or cloud URLs of Parquet files.
        stdin: What `-` reads.

    Raises:
        InputFileError: An input as a whole can't be used. Single bad rows never raise: they are in `rejected`.
    """
    return read_loaded(load_inputs(inputs, stdin=stdin))


def read_loaded(loaded: LoadedInputs) -> Table:
    """Parse inputs that are loaded already.

    Args:
        loaded: From `load_inputs`.

    Raises:
        InputFileError: An input as a whole can't be used; with several, all that is wrong with any of them.
    """
    parts: list[tuple[str, FileRows]] = []
    errors: list[InputFileError] = []
    for content in loaded.contents:
        try:
            parts.append((content.name, _read_one(content, loaded.interpretation)))
        except InputFileError as error:
            errors.append(error)
    if errors:
        raise _joined(errors)
    columns: dict[str, Column] = {}
    for _, part in parts:
        for column in part.columns:
            columns.setdefault(column.name, column)
    originals = _stacked([(name, part.rows) for name, part in parts])
    is_plain = all(part.translated is None for _, part in parts)
    meant = [(name, part.rows if part.translated is None else part.translated) for name, part in parts]
    return Table(
        rows=originals if is_plain else _stacked(meant),
        originals=originals,
        rejected=_stacked([(name, part.rejected) for name, part in parts]),
        columns=tuple(columns.values()),
        notices=tuple(notice for _, part in parts for notice in part.notices),
        digest=loaded.digest,
    )


def _read_one(content: Content, wanted: Interpretation) -> FileRows:
    data, name = content.data, content.title
    if not data:
        raise InputFileError(
            f"{name} is empty.", next_step="Give a file with a header line and at least one row below it."
        )
    if content.is_parquet:
        return interpret(read_parquet(data, name, wanted), name, wanted)
    for magic, kind in _FOREIGN_MAGIC.items():
        if data.startswith(magic):
            raise InputFileError(f"{name} is {kind}, not a CSV file.", next_step="Save or unpack it as CSV (UTF-8).")
    return interpret(read_csv(data, name, wanted), name, wanted)


def _joined(errors: Sequence[InputFileError]) -> InputFileError:
    if len(errors) == 1:
        return errors[0]
    steps = dict.fromkeys(error.next_step for error in errors)
    return InputFileError("\n".join(error.message for error in errors), next_step="\n".join(steps))


def _stacked(frames: Sequence[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat(
        [frame.select(pl.lit(name, pl.String).alias("_file"), pl.all()) for name, frame in frames], how="diagonal"
    )
