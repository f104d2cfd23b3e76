"""The result files: `results.csv` shows the outcome of every row, and others give rows back to be submitted again.

Those rows are in the input's own form: `rejected.csv` broke rules, `refused.csv` was refused by the tenant,
`unsent.csv` was not sent, and `failed.csv` was accepted and then rejected, cancelled or failed. A workbook has a sheet
for each class, and one for each of these files.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.tenant_outcome import RESUBMITTABLE, outcome_column
from batch.errors import SettingsError, UnsafePlaceError
from batch.files import whole_file
from batch.folders import open_folder
from batch.model import RowClass
from batch.read.some_items import with_only
from batch.report.corrections import keep_corrections, mark_as_written
from batch.report.workbook import Sheet, misfit, write_workbook
from batch.states import State
from batch.status.findings import rule_and_message
from batch.text import defused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from batch.folders import Folder
    from batch.read import Form, Table
    from batch.settings import OutFormat

    Complain = Callable[[str], object]

WORKBOOK: Final = "results.xlsx"
REJECTED_WORKBOOK: Final = "rejected.xlsx"
RESULTS: Final = "results.csv"
REJECTED: Final = "rejected.csv"
OPTION: Final = "--out"
WAYS_BACK: Final = ("refused", "unsent", "failed")
"""Files of rows besides the rejected ones that can be submitted again, and their sheets."""

NAMES: Final = (RESULTS, REJECTED, *(f"{name}.csv" for name in WAYS_BACK), WORKBOOK, REJECTED_WORKBOOK)
"""The files that may be written for an input."""


def make_folder(folder: Path, inputs: Sequence[str], *, names: Sequence[str] = NAMES) -> None:
    """Before anything is sent, make sure that result files can be written to `folder` without overwriting an input.

    Args:
        folder: Created if it is missing.
        inputs: The inputs as given.
        names: The files that may be written there.

    Raises:
        SettingsError: They can't be written, or would overwrite an input.
        UnsafePlaceError: Others could replace them there, or lead them elsewhere.
    """
    for name in names:
        target = folder / name
        if any(target.exists() and Path(given).exists() and target.samefile(given) for given in inputs):
            raise SettingsError(
                f"The result file {name} would overwrite the input {target}.",
                next_step="Nothing was sent. Choose another folder with --out.",
            )
    try:
        with open_folder(folder, option=OPTION) as opened:
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(13, "Permission denied")
            for name in names:
                _require_replaceable(opened, name)
    except OSError as error:
        raise SettingsError(
            f"Result files can't be written to {folder}: {error.strerror}.",
            next_step="Nothing was sent. Choose another folder with --out.",
        ) from error


def _require_replaceable(folder: Folder, name: str) -> None:
    """Refuses a place that a file of ours can't take, before anything is sent."""
    there, around = folder.status(name), folder.status(".")
    if there is None or around is None or os.name != "posix":
        return
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, f"{name} is a folder there")
    if around.st_mode & stat.S_ISVTX and os.geteuid() not in {0, there.st_uid, around.st_uid}:
        raise PermissionError(errno.EPERM, f"{name} is somebody else's file there")


def write_result_files(
    folder: Path,
    table: Table,
    rejected: pl.DataFrame,
    changes: pl.DataFrame | None,
    *,
    out_format: OutFormat = "csv",
    waits: bool = False,
    complain: Complain,
) -> dict[str, str | None]:
    """Write the rejected rows and the results, in the form of the first input's file or as one workbook.

    Args:
        folder: Where to write.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.
        changes: From pipeline.with_outcomes: `row`, `identity_id`, `item_id`, `class`, `reason`, `request_id`, `state`,
            `tenant_state`, `tenant_said` and `elsewhere`. None to write the rejected rows only.
        out_format: Of the files.
        waits: Whether what is planned waits for the same command: nobody else may send it, so it does not come back.
        complain: Takes a sentence if they can't be written.

    Returns:
        The paths of `rejected` and, with changes, `results` and WAYS_BACK; None for one that is not written. An older
        file whose rows are gone is removed.
    """
    backs = {RowClass.REJECTED.value: _rejected_rows(table, rejected, changes)}
    if changes is not None:
        backs |= _ways_back(table, changes, waits=waits)
    results = None if changes is None else _results(table, rejected, changes)
    if out_format == "xlsx":
        sheets = backs if results is None else _by_class(results) | backs
        filled = {name: _safe(sheet) for name, sheet in sheets.items() if not sheet.rows.is_empty()}
        path = folder / (REJECTED_WORKBOOK if results is None else WORKBOOK)
        if not (why := misfit(filled)):
            write = partial(write_workbook, sheets=filled)
            written = write_whole(path, write, complain, comes_back=True) if filled else None
            in_book = {name: written if name in filled else None for name in backs}
            return in_book if results is None else {**in_book, "results": written}
        complain(f"{path} can't be written as a workbook: {why}. CSV files are written instead.")
    files = {name: write_back(folder / f"{name}.csv", sheet, table.form, complain) for name, sheet in backs.items()}
    if results is not None:
        files["results"] = write_csv(folder / RESULTS, results, table.form, complain)
    return files


def _by_class(results: Sheet) -> dict[str, Sheet]:
    """The results by class, those of rejected rows left out."""
    classes = [each.value for each in RowClass if each is not RowClass.REJECTED]
    return {name: Sheet(results.headers, results.rows.filter(pl.col("_class") == name)) for name in classes}


def _rejected_rows(table: Table, rejected: pl.DataFrame, changes: pl.DataFrame | None) -> Sheet:
    """The rejected rows: the original columns in their original form, with `_line`, `_rule` and `_message`.

    Rows that can't be parsed have empty columns and their text in `_raw`. A row of which the tenant's rules reject some
    items comes back with those.
    """
    reasons = rejected.select(
        pl.col("row").alias("_row"), pl.col("rule").alias("_rule"), pl.col("message").alias("_message")
    )
    if changes is not None:
        by_tenant = _with_positions(changes).filter(pl.col("class") == RowClass.REJECTED.value)
        table, theirs = _concerned(table, by_tenant, *rule_and_message(pl.col("reason")))
        reasons = pl.concat([reasons, theirs])
    rows = pl.concat([_with_originals(table, reasons), table.rejected], how="diagonal")
    ours = [*_file_column(table), "_line", "_rule", "_message", *(["_raw"] if table.rejected.height else [])]
    return _under_headers(rows, table, ours)


def _ways_back(table: Table, changes: pl.DataFrame, *, waits: bool) -> dict[str, Sheet]:
    """The rows of WAYS_BACK in their original form, with `_line`, `_rule` (the file's name) and `_message`.

    A row with several items comes back with those that are concerned: one that was accepted may have been taken back
    since, and would be requested again.
    """
    outcome = outcome_column(pl.col("tenant_state"), pl.col("tenant_said"))
    set_aside = pl.col("class").is_in([RowClass.HELD_BACK.value, RowClass.CONFLICT_IN_INPUT.value])
    said = pl.concat_str("tenant_state", "tenant_said", separator=": ", ignore_nulls=True)
    why = pl.when(pl.col("reason") == "").then(pl.lit("not sent")).otherwise("reason")
    planned = pl.lit(value=False) if waits else pl.col("state") == State.PLANNED.value
    which = {
        "refused": (pl.col("state") == State.REFUSED.value, pl.col("reason")),
        "unsent": (set_aside | planned, why),
        "failed": (outcome.is_in([one.value for one in RESUBMITTABLE]) & ~pl.col("elsewhere"), said),
    }
    changes = _with_positions(changes)
    return {name: _back(table, changes.filter(wanted), name, reason) for name, (wanted, reason) in which.items()}


def _with_positions(changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with their `position` among the items of their row, and the number of these `items`."""
    return changes.with_columns(
        pl.int_range(pl.len()).over("row").alias("position"), pl.len().over("row").alias("items")
    )


def _back(table: Table, changes: pl.DataFrame, name: str, reason: pl.Expr) -> Sheet:
    table, reasons = _concerned(table, changes, pl.lit(name), reason)
    return _under_headers(_with_originals(table, reasons), table, [*_file_column(table), "_line", "_rule", "_message"])


def _concerned(table: Table, changes: pl.DataFrame, rule: pl.Expr, message: pl.Expr) -> tuple[Table, pl.DataFrame]:
    """The rows of changes: the table, in which they have only these items; and `_row`, `_rule` and `_message`."""
    rows = (
        changes.select(
            pl.col("row").alias("_row"),
            "item_type",
            "position",
            "items",
            rule.alias("_rule"),
            message.alias("_message"),
        )
        .group_by("_row", maintain_order=True)
        .agg(
            pl.col("_rule", "_message").unique(maintain_order=True).str.join("; "),
            pl.col("item_type", "items").first(),
            "position",
        )
    )
    parts = rows.filter(pl.col("position").list.len() < pl.col("items")).select("_row", "item_type", "position").rows()
    table = replace(table, originals=with_only(table.originals, parts)) if parts else table
    return table, rows.select("_row", "_rule", "_message")


def write_back(path: Path, sheet: Sheet, form: Form, complain: Complain) -> str | None:
    """Write a file of rows to submit again and return its path; without any, remove an older one.

    An older one that somebody has changed is kept under another name.
    """
    if not sheet.rows.is_empty():
        return write_csv(path, sheet, form, complain, comes_back=True)
    try:
        with open_folder(path.parent, option=OPTION) as opened:
            if kept := keep_corrections(opened, path):
                complain(kept)
            opened.remove(path.name)
    except (OSError, UnsafePlaceError) as error:
        complain(_not_written(path, error))
    return None


def _results(table: Table, rejected: pl.DataFrame, changes: pl.DataFrame) -> Sheet:
    """Every row with its class, reason, request and state; a row with several items has a line for each.

    Ids are added unless the input has them under these headers, so that `track` and `cancel` find the rows here. The
    tenant's columns are added if the tenant has listed any change.
    """
    input_columns, headers = table.rows.columns, {column.header for column in table.columns}
    has_several = changes.height > changes.get_column("row").n_unique()
    classified = changes.select(
        pl.col("row").alias("_row"),
        pl.col("identity_id").alias("_identity_id"),
        pl.col("item_id").alias("_item_id"),
        pl.col("class").alias("_class"),
        pl.col("reason").replace("", None).alias("_reason"),
        pl.col("request_id").alias("_request"),
        pl.col("state").alias("_state"),
        pl.col("tenant_state").alias("_tenant_state"),
        pl.col("tenant_said").alias("_tenant_said"),
    )
    is_listed = classified.get_column("_tenant_state").count() > 0
    invalid = rejected.select(
        pl.col("row").alias("_row"),
        pl.lit(RowClass.REJECTED.value).alias("_class"),
        pl.col("message").alias("_reason"),
    )
    unparsed = table.rejected.select(
        "_file", "_line", pl.lit(RowClass.REJECTED.value).alias("_class"), pl.col("_message").alias("_reason")
    )
    rows = pl.concat([_with_originals(table, classified), _with_originals(table, invalid), unparsed], how="diagonal")
    ours = [
        *_file_column(table),
        "_line",
        *(["_identity_id"] if "identity" in input_columns or "identity_id" not in headers else []),
        *(["_item_id"] if has_several or "item" in input_columns or "item_id" not in headers else []),
        "_class",
        "_reason",
        "_request",
        "_state",
        *(["_tenant_state", "_tenant_said"] if is_listed else []),
    ]
    return _under_headers(rows, table, ours)


def _with_originals(table: Table, lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` beside the original row of each `_row`, whose columns are numbered: their names are the user's own."""
    numbered = [table.originals.get_column(column.name).alias(str(n)) for n, column in enumerate(table.columns)]
    originals = table.originals.select("_file", "_line").with_columns(numbered).with_row_index("_row")
    return lines.join(originals, on="_row", how="left", maintain_order="left")


def _file_column(table: Table) -> list[str]:
    files = pl.concat([table.rows.get_column("_file"), table.rejected.get_column("_file")])
    return ["_file"] if files.n_unique() > 1 else []


def _under_headers(rows: pl.DataFrame, table: Table, ours: Sequence[str]) -> Sheet:
    """The originals under their own headers, then our columns."""
    columns = [*(str(n) for n in range(len(table.columns))), *ours]
    missing = [pl.lit(None, dtype=pl.String).alias(name) for name in columns if name not in rows.columns]
    written = rows.with_columns(missing).sort("_file", "_line", maintain_order=True).select(columns)
    return Sheet((*(column.header for column in table.columns), *ours), written)


def _safe(sheet: Sheet) -> Sheet:
    """The same with every cell and header safe in a spreadsheet."""
    headers = pl.select(defused(pl.lit(pl.Series(sheet.headers, dtype=pl.String)))).to_series().to_list()
    return Sheet(tuple(headers), sheet.rows.with_columns(defused(pl.col(pl.String))))


def write_csv(path: Path, sheet: Sheet, form: Form, complain: Complain, *, comes_back: bool = False) -> str | None:
    """Write a file in which no cell is a formula; return its path if it could be written.

    Args:
        path: Where.
        sheet: Its headers and rows.
        form: Of the file.
        complain: Takes a sentence if it can't be written, or if an older one is kept.
        comes_back: Whether people submit the file: an older one that somebody has changed is kept under another name.
    """
    return write_whole(path, lambda file: write_sheet(file, sheet, form), complain, comes_back=comes_back)


def write_sheet(file: BinaryIO, sheet: Sheet, form: Form) -> None:
    """Write rows as CSV in which no cell is a formula."""
    safe = _safe(sheet)
    safe.rows.columns = list(safe.headers)
    safe.rows.write_csv(file, quote_style="always", separator=form.delimiter, include_bom=form.is_for_spreadsheets)


def write_whole(
    path: Path, write: Callable[[BinaryIO], object], complain: Complain, *, comes_back: bool = False
) -> str | None:
    """Write a file completely or not at all; return its path if it was.

    Args:
        path: Where.
        write: Writes its content.
        complain: As in `write_csv`.
        comes_back: As there.
    """
    try:
        with whole_file(path, option=OPTION) as file:
            write(file)
            if comes_back:
                file.flush()
                mark_as_written(file.fileno())
                with open_folder(path.parent, option=OPTION) as opened:
                    if kept := keep_corrections(opened, path):
                        complain(kept)
    except (OSError, UnsafePlaceError) as error:
        complain(_not_written(path, error))
        return None
    return str(path)


def _not_written(path: Path, error: OSError | UnsafePlaceError) -> str:
    """A sentence for a file that is only out of date: the ledger holds everything that happened."""
    if isinstance(error, UnsafePlaceError):
        why = error.message
    else:
        # Polars gives the system's errors a number, but not in `errno`.
        why = f"{str(error.strerror or error).split(' (os error')[0]}."
    older = " The existing file is older." if os.path.lexists(path) else ""
    return f"{path} could not be written: {why}{older} The same command writes it again; {OPTION} names another folder."
