"""The files of a run that are written without its input at hand: tracked.csv and failed.csv of `track`, undo.csv.

The rows of the input that they show come from the results that `submit` has written: the ledger has no lines.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.accounts import named_account
from batch.api.dialects import Operation
from batch.api.end_dates import EXTEND, NO_END
from batch.api.tenant_outcome import RESUBMITTABLE, outcome_column
from batch.files import read_whole
from batch.model import RowClass
from batch.names.known import NO_KNOWN_NAMES, KnownNames, extension_name
from batch.read import PLAIN
from batch.read.columns import METADATA_PREFIX, RESERVED_COLUMNS, canonical_name, has_effect
from batch.report.files import RESULTS, write_back, write_csv
from batch.report.track import NO_REPORT, NOT_LISTED
from batch.report.workbook import Sheet
from batch.text import id_key, key_of, phrase, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.report.files import Complain
    from batch.status.matching import AcceptedChange

TRACKED: Final = "tracked.csv"
FAILED: Final = "failed.csv"
UNDO: Final = "undo.csv"

_KEY: Final = ("_person", "_thing")
_NO_ROWS: Final = pl.DataFrame(schema=dict.fromkeys((*_KEY, "_line"), pl.String))
_DELIMITER: Final = re.compile(rb'([,;|\t])"?_line\b')
_HEADER_BYTES: Final = 1 << 20
_THEIRS: Final = "_input_"
"""Precedes the headers of the user's own columns: such a column has no effect if the file is submitted."""


def results_of(inputs: Sequence[str]) -> list[Path]:
    """The usual folder for the result files of inputs, if there are any: as their names are given here."""
    if not inputs:
        return []
    first = inputs[0]
    if first == "-":
        return [Path("stdin.results")]
    path = Path(first)
    name = Path(path.stem if path.suffix.lower() == ".gz" else path.name).stem + ".results"
    return [Path(name) if "://" in first else path.with_name(name)]


def rows_in_results(folders: Sequence[Path], run: str) -> pl.DataFrame:
    """The input's rows that a run has submitted, from the first results.csv that has any of them. Only to be shown.

    Returns:
        The keys of a change's ids, `_file` if there are several, `_line`, and the user's own columns; empty if there
        is none, or the user has changed the file so that it can't be read.
    """
    for folder in folders:
        try:
            data = read_whole(folder / RESULTS, most=sys.maxsize)[0]
        except OSError:
            continue
        found = _submitted(data, run)
        if not found.is_empty():
            return found
    return _NO_ROWS


def read_results(data: bytes) -> tuple[pl.DataFrame, list[str]] | None:
    """The rows of a results.csv, all as text, and the columns with the ids of person and item.

    None if the user has changed the file so that it can't be read.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    delimiter = _DELIMITER.search(data, 0, _HEADER_BYTES)
    if delimiter is None:
        return None
    try:
        frame = pl.read_csv(
            data, separator=delimiter[1].decode(), infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True
        )
    except pl.exceptions.PolarsError:
        return None
    names = frame.columns
    ids = [next((name for name in (f"_{one}", one) if name in names), "") for one in ("identity_id", "item_id")]
    if not all(ids) or not {"_line", "_class", "_request"} <= set(names):
        return None
    return frame, ids


def _submitted(data: bytes, run: str) -> pl.DataFrame:
    if (read := read_results(data)) is None:
        return _NO_ROWS
    frame, ids = read
    names = frame.columns
    theirs = [name for name in names if name not in RESERVED_COLUMNS and not has_effect(canonical_name(name, 1))]
    is_ours = (pl.col("_class") == RowClass.SUBMITTED.value) & pl.col("_request").str.starts_with(f"{run}-")
    return (
        frame.filter(is_ours)
        .select(
            *(id_key(pl.col(name)).alias(key) for name, key in zip(ids, _KEY, strict=True)),
            *(name for name in ("_file", "_line") if name in names),
            *(restored(pl.col(name)).alias(f"{_THEIRS}{name}") for name in theirs),
        )
        .unique(_KEY, keep="none", maintain_order=True)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the changes of a run come from, for files that are written without the input at hand.

    Attributes:
        run: The run's id.
        inputs: Its inputs.
        names: The names that they had in place of ids.
        rows: From `rows_in_results`.
    """

    run: str
    inputs: Sequence[str] = ()
    names: KnownNames = NO_KNOWN_NAMES
    rows: pl.DataFrame = field(default_factory=lambda: _NO_ROWS)

    def lines(self) -> Callable[[str, str], str]:
        """Gives the line of a change in the input, by its ids; empty if it is not known."""
        several = "_file" in self.rows.columns
        place = phrase("{} of {}", pl.col("_line"), pl.col("_file")) if several else pl.col("_line")
        lines = {(person, thing): line for person, thing, line in self.rows.select(*_KEY, place).rows()}
        return lambda identity, item: lines.get((key_of(identity), key_of(item))) or ""

    def columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The names, inputs, lines and the user's columns of changes, by their ids: only to be shown."""
        people = [self.names.identity(one) for one in rows.get_column("identity_id")]
        items = [self.names.item(*one) for one in rows.select("item_type", "item_id").rows()]
        shown = pl.DataFrame(
            {"_identity_name": people, "_item_name": items, "_input": [", ".join(self.inputs)] * rows.height},
            schema_overrides=dict.fromkeys(("_identity_name", "_item_name", "_input"), pl.String),
        )
        ids = zip(("identity_id", "item_id"), _KEY, strict=True)
        keys = rows.select(id_key(pl.col(name)).alias(key) for name, key in ids)
        return shown.hstack(keys.join(self.rows, on=_KEY, how="left", maintain_order="left").drop(_KEY))


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
    changes = changes.with_columns(operation=input_operations(origin.names, changes))
    names = origin.columns(changes)
    last = ("state", "who", "said", "since", "access_request")
    rows = changes.select(
        phrase("{}-{}", pl.lit(origin.run), pl.col("request")).alias("request"),
        pl.exclude("request", "account", "selection", *last),
        *_account(changes),
        outcome_column(pl.col("state"), pl.col("said"))
        .fill_null(NOT_LISTED if looked else NO_REPORT)
        .alias("standing"),
        pl.col(*last),
    ).hstack(names)
    failed = _failed(changes.hstack(names), origin.run, names.columns)
    return {
        "tracked": write_csv(folder / TRACKED, Sheet(tuple(rows.columns), rows), PLAIN, complain),
        "failed": write_back(folder / failed_name(folder, origin.run), failed, PLAIN, complain),
    }


def input_operations(names: KnownNames, changes: pl.DataFrame) -> pl.Series:
    """The operations that the rows of the input had: to the ledger, an EXTEND is a grant."""
    keys = changes.select("identity_id", "item_type", "item_id", "account").rows()
    extends = pl.Series([extension_name(key) in names.extended for key in keys], dtype=pl.Boolean)
    is_grant = pl.col("operation") == Operation.GRANT.value
    # Only an EXTEND can remove an end date.
    is_extend = (is_grant & extends) | (pl.col("remove_date") == NO_END)
    return changes.select(pl.when(is_extend).then(pl.lit(EXTEND)).otherwise("operation")).to_series()


def failed_name(folder: Path, run: str) -> str:
    """The name of the file for a run's failed changes: another one if `submit` or another run has written failed.csv.

    That file has the rows in their own form, or other rows: it would be lost.
    """
    try:
        with (folder / FAILED).open("rb") as file:
            is_own = run.encode() in file.read(_HEADER_BYTES) and not (folder / FAILED).is_symlink()
    except FileNotFoundError:
        is_own = True
    except OSError:
        is_own = False
    return FAILED if is_own else failed_beside(run)


def failed_beside(run: str) -> str:
    """The other name of that file."""
    return f"failed-{run}.csv"


def _failed(changes: pl.DataFrame, run: str, shown: Sequence[str]) -> Sheet:
    """The rejected, cancelled and failed changes as an input, unless the run has submitted them again."""
    wrong = outcome_column(pl.col("state"), pl.col("said")).is_in([one.value for one in RESUBMITTABLE])
    key = [id_key(pl.col("identity_id")), pl.col("item_type"), id_key(pl.col("item_id")), pl.col("account")]
    newest = changes.sort("request").filter(pl.struct(key).is_last_distinct()).filter(wrong.fill_null(value=False))
    metadata = [json.loads(text or "{}") for text in newest.get_column("metadata")]
    keys = sorted({key for one in metadata for key in one})
    rows = newest.select(
        *("operation", "identity_id", "item_type", "item_id", "comment", "start_date", "remove_date"),
        *_account(newest),
        *(pl.Series(f"{METADATA_PREFIX}{key}", [one.get(key) for one in metadata], pl.String) for key in keys),
        *shown,
        pl.lit(run).alias("_run"),
        pl.col("state").alias("_tenant_state"),
        pl.col("said").alias("_tenant_said"),
    )
    return Sheet(tuple(rows.columns), rows)


def _account(changes: pl.DataFrame) -> list[pl.Series]:
    """The column of accounts, if any change names one: a row that is submitted again names the same one."""
    accounts = [named_account(*one) for one in changes.select("account", "selection").iter_rows()]
    return [pl.Series("account", accounts, pl.String)] if any(accounts) else []


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
            (
                Operation.REVOKE.value,
                change.identity,
                change.item_type,
                change.item,
                named_account(change.account, change.selection),
                comment,
                origin.run,
            )
            for change in changes
        ],
        schema=dict.fromkeys(
            ("operation", "identity_id", "item_type", "item_id", "account", "comment", "_run"), pl.String
        ),
        orient="row",
    )
    rows = rows if (rows.get_column("account") != "").any() else rows.drop("account")
    rows = rows.hstack(origin.columns(rows))
    return write_csv(folder / UNDO, Sheet(tuple(rows.columns), rows), PLAIN, complain, comes_back=True)
