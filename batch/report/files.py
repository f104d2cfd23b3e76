"""The result files: `results.csv` says what became of every row, `rejected.csv` is to be corrected and resubmitted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.api.tenant_outcome import outcome_column
from batch.errors import SettingsError
from batch.model import RowClass
from batch.text import defused, phrase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.read import Table
    from batch.status.matching import AcceptedChange

RESULTS: Final = "results.csv"
REJECTED: Final = "rejected.csv"
TRACKED: Final = "tracked.csv"


def make_folder(folder: Path, inputs: Sequence[str], *, names: Sequence[str] = (RESULTS, REJECTED)) -> None:
    """Makes sure that result files can be written to `folder`, and over no input, before anything is sent.

    Args:
        folder: Where to; made where it is missing.
        inputs: What was given as input.
        names: The files that may be written there.

    Raises:
        SettingsError: They can't.
    """
    for name in names:
        target = folder / name
        if any(target.exists() and Path(given).exists() and target.samefile(given) for given in inputs):
            raise SettingsError(
                f"The input {target} would be overwritten by the result file of that name.",
                next_step="Nothing was sent. Choose another folder with --out.",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise SettingsError(
            f"Result files can't be written to {folder}: {error.strerror}.",
            next_step="Nothing was sent. Choose another folder with --out.",
        ) from error


def write_rejected(folder: Path, table: Table, rejected: pl.DataFrame) -> str | None:
    """Writes the rejected rows, all original columns in their original form, with `_line`, `_rule` and `_message`.

    Rows that could not be taken apart have empty columns and their text in `_raw`, so that nothing stands in a column
    where it does not belong.

    Args:
        folder: Where to.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.

    Returns:
        The file's path; None when there is nothing to write (a file of an earlier time is removed).
    """
    about = rejected.select(
        pl.col("row").alias("_row"), pl.col("rule").alias("_rule"), pl.col("message").alias("_message")
    )
    everything = pl.concat([_with_originals(table, about), table.rejected], how="diagonal")
    path = folder / REJECTED
    if everything.is_empty():
        path.unlink(missing_ok=True)
        return None
    ours = [*_file_column(table), "_line", "_rule", "_message", *(["_raw"] if table.rejected.height else [])]
    _write(path, everything, table, ours)
    return str(path)


def write_results(folder: Path, table: Table, rejected: pl.DataFrame, changes: pl.DataFrame) -> str:
    """Writes every row with its class, reason, request and state; a row with several items has a line for each.

    Where the input has names, the ids that they became stand in columns of ours.

    Args:
        folder: Where to.
        table: As read.
        rejected: `row`, `rule` and `message` from validation.
        changes: Classified changes: `row`, `identity_id`, `item_id`, `class`, `reason`, `request_id`, `state`,
            `tenant_state` and `tenant_said`; these two have columns only where the tenant has said anything.

    Returns:
        The file's path.
    """
    named = table.rows.columns
    several = changes.height > changes.get_column("row").n_unique()
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
    is_tracked = classified.get_column("_tenant_state").count() > 0
    broken = rejected.select(
        pl.col("row").alias("_row"),
        pl.lit(RowClass.REJECTED.value).alias("_class"),
        pl.col("message").alias("_reason"),
    )
    unread = table.rejected.select(
        "_file", "_line", pl.lit(RowClass.REJECTED.value).alias("_class"), pl.col("_message").alias("_reason")
    )
    everything = pl.concat([_with_originals(table, classified), _with_originals(table, broken), unread], how="diagonal")
    ours = [
        *_file_column(table),
        "_line",
        *(["_identity_id"] if "identity" in named else []),
        *(["_item_id"] if several or "item" in named else []),
        "_class",
        "_reason",
        "_request",
        "_state",
        *(["_tenant_state", "_tenant_said"] if is_tracked else []),
    ]
    path = folder / RESULTS
    _write(path, everything, table, ours)
    return str(path)


def write_tracked(folder: Path, run: str, changes: pl.DataFrame) -> str:
    """Writes every accepted change of a run with what the tenant last said of it.

    Args:
        folder: Where to.
        run: The run's id.
        changes: By ledger.tracks.FOLLOWED_SCHEMA.

    Returns:
        The file's path.
    """
    written = changes.select(
        phrase("{}-{}", pl.lit(run), pl.col("request")).alias("request"),
        pl.exclude("request", "state", "who", "said", "since", "access_request"),
        outcome_column(pl.col("state"), pl.col("said")).fill_null("not visible").alias("standing"),
        pl.col("state", "who", "said", "since", "access_request"),
    )
    path = folder / TRACKED
    _write_whole(path, written.with_columns(defused(pl.col(pl.String))))
    return str(path)


def _with_originals(table: Table, about: pl.DataFrame) -> pl.DataFrame:
    """`about` beside the rows that its `_row` points at, their columns numbered: their names are the user's own."""
    numbered = [table.originals.get_column(column.name).alias(str(n)) for n, column in enumerate(table.columns)]
    originals = table.originals.select("_file", "_line").with_columns(numbered).with_row_index("_row")
    return about.join(originals, on="_row", how="left", maintain_order="left")


def _file_column(table: Table) -> list[str]:
    files = pl.concat([table.rows.get_column("_file"), table.rejected.get_column("_file")])
    return ["_file"] if files.n_unique() > 1 else []


def _write(path: Path, rows: pl.DataFrame, table: Table, ours: Sequence[str]) -> None:
    """Writes a file whole or not at all: the originals under their own headers, then our columns."""
    headers = pl.DataFrame({"header": [column.header for column in table.columns]}, schema={"header": pl.String})
    safe_headers = headers.select(defused(pl.col("header"))).get_column("header").to_list()
    wanted = [*(str(n) for n in range(len(table.columns))), *ours]
    missing = [pl.lit(None, dtype=pl.String).alias(name) for name in wanted if name not in rows.columns]
    written = rows.with_columns(missing).sort("_file", "_line", maintain_order=True).select(wanted)
    written = written.with_columns(defused(pl.col(pl.String)))
    written.columns = [*safe_headers, *ours]
    _write_whole(path, written)


def _write_whole(path: Path, rows: pl.DataFrame) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    rows.write_csv(unfinished)
    unfinished.replace(path)


UNDO: Final = "undo.csv"


def write_undo(folder: Path, changes: Sequence[AcceptedChange], comment: str) -> str | None:
    """Writes one revoke for each change.

    Args:
        folder: Where to.
        changes: From `status.cancel.to_revoke`.
        comment: Of each revoke; the tenant wants one.

    Returns:
        The file's path; None when there is nothing to write.
    """
    if not changes:
        return None
    rows = pl.DataFrame(
        [(Operation.REVOKE.value, one.identity, one.item_type, one.item, comment) for one in changes],
        schema=dict.fromkeys(("operation", "identity_id", "item_type", "item_id", "comment"), pl.String),
        orient="row",
    )
    path = folder / UNDO
    unfinished = path.with_name(f".{path.name}.unfinished")
    rows.with_columns(defused(pl.col(pl.String))).write_csv(unfinished)
    unfinished.replace(path)
    return str(path)
