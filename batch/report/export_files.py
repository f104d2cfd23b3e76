"""The files of `ledger export`: one for each table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from batch.read import PLAIN
from batch.report.files import write_csv, write_whole
from batch.report.workbook import Sheet
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    import polars as pl

    from batch.report.files import Complain

ExportFormat: TypeAlias = Literal["csv", "parquet"]


def write_table(folder: Path, name: str, rows: pl.DataFrame, *, form: ExportFormat, complain: Complain) -> str | None:
    """Write one table. No cell of a CSV file is a formula; Parquet has every text as it is.

    Args:
        folder: Where to write.
        name: Of the table, and of its file.
        rows: Of the table.
        form: Of the file.
        complain: Takes a sentence if it can't be written.

    Returns:
        The file's path; None if it can't be written.
    """
    path = folder / f"{name}.{form}"
    if form == "parquet":
        return write_whole(path, rows.write_parquet, complain)
    return write_csv(path, Sheet(tuple(rows.columns), rows), PLAIN, complain)


def describe_export(files: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """The files with their numbers of rows."""
    yield "The ledger was exported:"
    for path, rows in files.values():
        yield f"  {path}: {count(rows, 'row')}"
    yield "`access-batch help export` explains the columns."


def export_as_json(files: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """The same for `--json`."""
    return {"files": {name: {"path": path, "rows": rows} for name, (path, rows) in files.items()}}
