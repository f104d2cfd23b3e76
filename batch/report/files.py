"""The result files: `results.csv` shows the outcome of every row, and others give rows back to be submitted again.

Those rows are in the input's own form: `rejected.csv` broke rules, `refused.csv` was refused by the tenant,
`unsent.csv` was not sent, and `failed.csv` was accepted and then rejected, cancelled or failed. A workbook has a sheet
for each class, and one for each of these files.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.api.tenant_outcome import RESUBMITTABLE, outcome_column
from batch.errors import SettingsError, UnsafePlaceError
from batch.files import whole_file
from batch.folders import open_folder
from batch.model import RowClass
from batch.names.known import NO_KNOWN_NAMES, KnownNames
from batch.read import PLAIN
from batch.read.columns import METADATA_PREFIX
from batch.report.track import NO_REPORT, NOT_LISTED
from batch.report.workbook import Sheet, misfit, write_workbook
from batch.states import State
from batch.text import defused, id_key, phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from batch.folders import Folder
    from batch.read import Form, Table
    from batch.settings import OutFormat
    from batch.status.matching import AcceptedChange

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

TRACKED: Final = "tracked.csv"
FAILED: Final = "failed.csv"
UNDO: Final = "undo.csv"


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
    complain: Complain,
) -> dict[str, str | None]:
    """Write the rejected rows and the results, in the form of the first input's file or as one workbook.

    Args:
        folder: Where to write.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.
        changes: From pipeline.with_outcomes: `row`, `identity_id`, `item_id`, `class`, `reason`, `request_id`, `state`,
            `tenant_state` and `tenant_said`. None to write the rejected rows only.
        out_format: Of the files.
        complain: Takes a sentence if they can't be written.

    Returns:
        The paths of `rejected` and, with changes, `results` and WAYS_BACK; None for one that is not written. An older
        file whose rows are gone is removed.
    """
    backs = {RowClass.REJECTED.value: _rejected_rows(table, rejected)}
    if changes is not None:
        backs |= _ways_back(table, changes)
    results = None if changes is None else _results(table, rejected, changes)
    if out_format == "xlsx":
        sheets = backs if results is None else _by_class(results) | backs
        filled = {name: _safe(sheet) for name, sheet in sheets.items() if not sheet.rows.is_empty()}
        path = folder / (REJECTED_WORKBOOK if results is None else WORKBOOK)
        if not (why := misfit(filled)):
            written = _write(path, lambda file: write_workbook(file, filled), complain) if filled else None
            in_book = {name: written if name in filled else None for name in backs}
            return in_book if results is None else {**in_book, "results": written}
        complain(f"{path} can't be written as a workbook: {why}. CSV files are written instead.")
    files = {name: _write_back(folder / f"{name}.csv", sheet, table.form, complain) for name, sheet in backs.items()}
    if results is not None:
        files["results"] = _write_csv(folder / RESULTS, results, table.form, complain)
    return files


def _by_class(results: Sheet) -> dict[str, Sheet]:
    """The results by class, those of rejected rows left out."""
    classes = [each.value for each in RowClass if each is not RowClass.REJECTED]
    return {name: Sheet(results.headers, results.rows.filter(pl.col("_class") == name)) for name in classes}


def _rejected_rows(table: Table, rejected: pl.DataFrame) -> Sheet:
    """The rejected rows: the original columns in their original form, with `_line`, `_rule` and `_message`.

    Rows that can't be parsed have empty columns and their text in `_raw`.
    """
    reasons = rejected.select(
        pl.col("row").alias("_row"), pl.col("rule").alias("_rule"), pl.col("message").alias("_message")
    )
    rows = pl.concat([_with_originals(table, reasons), table.rejected], how="diagonal")
    ours = [*_file_column(table), "_line", "_rule", "_message", *(["_raw"] if table.rejected.height else [])]
    return _under_headers(rows, table, ours)


def _ways_back(table: Table, changes: pl.DataFrame) -> dict[str, Sheet]:
    """The rows of WAYS_BACK in their original form, with `_line`, `_rule` (the file's name) and `_message`.

    A row with several items comes back whole: the items that were accepted are known when it is submitted again.
    """
    outcome = outcome_column(pl.col("tenant_state"), pl.col("tenant_said"))
    set_aside = pl.col("class").is_in([RowClass.HELD_BACK.value, RowClass.CONFLICT_IN_INPUT.value])
    said = pl.concat_str("tenant_state", "tenant_said", separator=": ", ignore_nulls=True)
    why = pl.when(pl.col("reason") == "").then(pl.lit("not sent")).otherwise("reason")
    which = {
        "refused": (pl.col("state") == State.REFUSED.value, pl.col("reason")),
        "unsent": (set_aside | (pl.col("state") == State.PLANNED.value), why),
        "failed": (outcome.is_in([one.value for one in RESUBMITTABLE]), said),
    }
    return {name: _back(table, changes.filter(wanted), name, reason) for name, (wanted, reason) in which.items()}


def _back(table: Table, changes: pl.DataFrame, name: str, reason: pl.Expr) -> Sheet:
    reasons = (
        changes.select(pl.col("row").alias("_row"), reason.alias("_message"))
        .group_by("_row", maintain_order=True)
        .agg(pl.lit(name).alias("_rule"), pl.col("_message").unique(maintain_order=True).str.join("; "))
    )
    return _under_headers(_with_originals(table, reasons), table, [*_file_column(table), "_line", "_rule", "_message"])


def _write_back(path: Path, sheet: Sheet, form: Form, complain: Complain) -> str | None:
    if not sheet.rows.is_empty():
        return _write_csv(path, sheet, form, complain)
    try:
        with open_folder(path.parent, option=OPTION) as opened:
            opened.remove(path.name)
    except (OSError, UnsafePlaceError) as error:
        complain(_not_written(path, error))
    return None


def _results(table: Table, rejected: pl.DataFrame, changes: pl.DataFrame) -> Sheet:
    """Every row with its class, reason, request and state; a row with several items has a line for each.

    Resolved ids are added if the input has names, and the tenant's columns if the tenant has listed any change.
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
    return _under_headers(rows, table, ours)


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the changes of a run come from, for files that are written without the input at hand.

    Attributes:
        run: The run's id.
        inputs: Its inputs.
        names: The names that they had in place of ids.
    """

    run: str
    inputs: Sequence[str] = ()
    names: KnownNames = NO_KNOWN_NAMES

    def columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The names, and the inputs, of rows with an `identity_id`, `item_type` and `item_id`: only to be shown."""
        people = [self.names.identity(one) for one in rows.get_column("identity_id")]
        items = [self.names.item(*one) for one in rows.select("item_type", "item_id").rows()]
        return pl.DataFrame(
            {"_identity_name": people, "_item_name": items, "_input": [", ".join(self.inputs)] * rows.height},
            schema_overrides=dict.fromkeys(("_identity_name", "_item_name", "_input"), pl.String),
        )


def write_tracked(
    folder: Path, origin: Origin, changes: pl.DataFrame, *, looked: bool = False, complain: Complain
) -> dict[str, str | None]:
    """Write every accepted change of a run with its latest state at the tenant, and those to submit again.

    Args:
        folder: Where to write.
        origin: Of the run.
        changes: By ledger.track's TRACK_SCHEMA.
        looked: Whether the tenant's list was searched for them.
        complain: As above.

    Returns:
        The paths of `tracked` and `failed`; None for one that is not written.
    """
    names = origin.columns(changes)
    last = ("state", "who", "said", "since", "access_request")
    rows = changes.select(
        phrase("{}-{}", pl.lit(origin.run), pl.col("request")).alias("request"),
        pl.exclude("request", *last),
        outcome_column(pl.col("state"), pl.col("said"))
        .fill_null(NOT_LISTED if looked else NO_REPORT)
        .alias("standing"),
        pl.col(*last),
    ).hstack(names)
    failed = _failed(changes.hstack(names), origin.run)
    return {
        "tracked": _write_csv(folder / TRACKED, Sheet(tuple(rows.columns), rows), PLAIN, complain),
        "failed": _write_back(folder / FAILED, failed, PLAIN, complain),
    }


def _failed(changes: pl.DataFrame, run: str) -> Sheet:
    """The rejected, cancelled and failed changes as an input, unless the run has submitted them again."""
    wrong = outcome_column(pl.col("state"), pl.col("said")).is_in([one.value for one in RESUBMITTABLE])
    key = [id_key(pl.col("identity_id")), pl.col("item_type"), id_key(pl.col("item_id"))]
    newest = changes.sort("request").filter(pl.struct(key).is_last_distinct()).filter(wrong.fill_null(value=False))
    metadata = [json.loads(text or "{}") for text in newest.get_column("metadata")]
    keys = sorted({key for one in metadata for key in one})
    rows = newest.select(
        *("operation", "identity_id", "item_type", "item_id", "comment", "start_date", "remove_date"),
        *(pl.Series(f"{METADATA_PREFIX}{key}", [one.get(key) for one in metadata], pl.String) for key in keys),
        *("_identity_name", "_item_name", "_input", pl.lit(run).alias("_run")),
        pl.col("state").alias("_tenant_state"),
        pl.col("said").alias("_tenant_said"),
    )
    return Sheet(tuple(rows.columns), rows)


def write_undo(
    folder: Path, origin: Origin, changes: Sequence[AcceptedChange], comment: str, *, complain: Complain
) -> str | None:
    """Write one revoke for each change.

    Args:
        folder: Where to write.
        origin: Of the run that granted. The column `_run` shows that the file is one of ours.
        changes: From status.cancel.to_revoke.
        comment: The comment of each revoke, which the tenant requires.
        complain: As above.

    Returns:
        The file's path; None without changes, or if it can't be written.
    """
    if not changes:
        return None
    rows = pl.DataFrame(
        [
            (Operation.REVOKE.value, change.identity, change.item_type, change.item, comment, origin.run)
            for change in changes
        ],
        schema=dict.fromkeys(("operation", "identity_id", "item_type", "item_id", "comment", "_run"), pl.String),
        orient="row",
    )
    rows = rows.hstack(origin.columns(rows))
    return _write_csv(folder / UNDO, Sheet(tuple(rows.columns), rows), PLAIN, complain)


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


def _write_csv(path: Path, sheet: Sheet, form: Form, complain: Complain) -> str | None:
    safe = _safe(sheet)
    safe.rows.columns = list(safe.headers)
    return _write(
        path,
        lambda file: safe.rows.write_csv(
            file, quote_style="always", separator=form.delimiter, include_bom=form.is_for_spreadsheets
        ),
        complain,
    )


def _write(path: Path, write: Callable[[BinaryIO], object], complain: Complain) -> str | None:
    """Write a file completely or not at all; return its path if it was."""
    try:
        with whole_file(path, option=OPTION) as file:
            write(file)
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
