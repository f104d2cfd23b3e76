"""The result files: `results.csv` shows the outcome of every row; `rejected.csv` can be corrected and resubmitted."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.api.tenant_outcome import outcome_column
from batch.errors import SettingsError, UnsafePlaceError
from batch.files import whole_file
from batch.folders import open_folder
from batch.model import RowClass
from batch.text import defused, phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.folders import Folder
    from batch.read import Table
    from batch.status.matching import AcceptedChange

    Complain = Callable[[str], object]

RESULTS: Final = "results.csv"
REJECTED: Final = "rejected.csv"
OPTION: Final = "--out"
TRACKED: Final = "tracked.csv"
UNDO: Final = "undo.csv"


def make_folder(folder: Path, inputs: Sequence[str], *, names: Sequence[str] = (RESULTS, REJECTED)) -> None:
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


def write_rejected(folder: Path, table: Table, rejected: pl.DataFrame, *, complain: Complain) -> str | None:
    """Write the rejected rows: the original columns in their original form, with `_line`, `_rule` and `_message`.

    Rows that can't be parsed have empty columns and their text in `_raw`.

    Args:
        folder: Where to write.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.
        complain: Takes a sentence if it can't be written.

    Returns:
        The file's path; None if it can't be written, or if no row is rejected (then an older file is removed).
    """
    reasons = rejected.select(
        pl.col("row").alias("_row"), pl.col("rule").alias("_rule"), pl.col("message").alias("_message")
    )
    rows = pl.concat([_with_originals(table, reasons), table.rejected], how="diagonal")
    path = folder / REJECTED
    if rows.is_empty():
        try:
            with open_folder(folder, option=OPTION) as opened:
                opened.remove(REJECTED)
        except (OSError, UnsafePlaceError) as error:
            complain(_not_written(path, error))
        return None
    ours = [*_file_column(table), "_line", "_rule", "_message", *(["_raw"] if table.rejected.height else [])]
    return _write_with_originals(path, rows, table, ours, complain)


def write_results(
    folder: Path, table: Table, rejected: pl.DataFrame, changes: pl.DataFrame, *, complain: Complain
) -> str | None:
    """Write every row with its class, reason, request and state; a row with several items has a line for each.

    Resolved ids are added if the input has names, and the tenant's columns if the tenant has listed any change.

    Args:
        folder: Where to write.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.
        changes: From pipeline.with_outcomes: `row`, `identity_id`, `item_id`, `class`, `reason`, `request_id`, `state`,
            `tenant_state` and `tenant_said`.
        complain: As above.

    Returns:
        The file's path; None if it can't be written.
    """
    input_columns = table.rows.columns
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
        *(["_identity_id"] if "identity" in input_columns else []),
        *(["_item_id"] if has_several or "item" in input_columns else []),
        "_class",
        "_reason",
        "_request",
        "_state",
        *(["_tenant_state", "_tenant_said"] if is_listed else []),
    ]
    return _write_with_originals(folder / RESULTS, rows, table, ours, complain)


def write_tracked(folder: Path, run: str, changes: pl.DataFrame, *, complain: Complain) -> str | None:
    """Write every accepted change of a run with its latest state at the tenant; return the file's path, or None.

    Args:
        folder: Where to write.
        run: The run's id.
        changes: By ledger.track's TRACK_SCHEMA.
        complain: As above.
    """
    rows = changes.select(
        phrase("{}-{}", pl.lit(run), pl.col("request")).alias("request"),
        pl.exclude("request", "state", "who", "said", "since", "access_request"),
        outcome_column(pl.col("state"), pl.col("said")).fill_null("not visible").alias("standing"),
        pl.col("state", "who", "said", "since", "access_request"),
    )
    return _write(folder / TRACKED, rows, complain)


def write_undo(
    folder: Path, run: str, changes: Sequence[AcceptedChange], comment: str, *, complain: Complain
) -> str | None:
    """Write one revoke for each change.

    Args:
        folder: Where to write.
        run: The id of the run that granted. Its column shows that the file is one of ours.
        changes: From status.cancel.to_revoke.
        comment: The comment of each revoke, which the tenant requires.
        complain: As above.

    Returns:
        The file's path; None without changes, or if it can't be written.
    """
    if not changes:
        return None
    rows = pl.DataFrame(
        [(Operation.REVOKE.value, change.identity, change.item_type, change.item, comment, run) for change in changes],
        schema=dict.fromkeys(("operation", "identity_id", "item_type", "item_id", "comment", "_run"), pl.String),
        orient="row",
    )
    return _write(folder / UNDO, rows, complain)


def _with_originals(table: Table, lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` beside the original row of each `_row`, whose columns are numbered: their names are the user's own."""
    numbered = [table.originals.get_column(column.name).alias(str(n)) for n, column in enumerate(table.columns)]
    originals = table.originals.select("_file", "_line").with_columns(numbered).with_row_index("_row")
    return lines.join(originals, on="_row", how="left", maintain_order="left")


def _file_column(table: Table) -> list[str]:
    files = pl.concat([table.rows.get_column("_file"), table.rejected.get_column("_file")])
    return ["_file"] if files.n_unique() > 1 else []


def _write_with_originals(
    path: Path, rows: pl.DataFrame, table: Table, ours: Sequence[str], complain: Complain
) -> str | None:
    """Write the originals under their own headers, then our columns."""
    headers = pl.DataFrame({"header": [column.header for column in table.columns]}, schema={"header": pl.String})
    safe_headers = headers.select(defused(pl.col("header"))).get_column("header").to_list()
    columns = [*(str(n) for n in range(len(table.columns))), *ours]
    missing = [pl.lit(None, dtype=pl.String).alias(name) for name in columns if name not in rows.columns]
    written = rows.with_columns(missing).sort("_file", "_line", maintain_order=True).select(columns)
    return _write(path, written, complain, headers=[*safe_headers, *ours])


def _write(path: Path, rows: pl.DataFrame, complain: Complain, headers: Sequence[str] = ()) -> str | None:
    """Write a file completely or not at all, with every cell safe in a spreadsheet; return its path if it was."""
    safe = rows.with_columns(defused(pl.col(pl.String)))
    if headers:
        safe.columns = list(headers)
    try:
        with whole_file(path, option=OPTION) as file:
            safe.write_csv(file, quote_style="always")
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
    older = " The one that is there is older." if os.path.lexists(path) else ""
    return f"{path} could not be written: {why}{older} The same command writes it again; {OPTION} names another folder."
