"""A saved plan as rows of an input, and whether these rows say the same as its changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.accounts import chosen_account, is_selection
from batch.api.dialects import Operation
from batch.errors import BrokenPromiseError, PlanRefusedError
from batch.names.accounts import Wanted
from batch.plan.check import check_plan
from batch.read import METADATA_PREFIX, Column, Table
from batch.report.plan_rows import operation_said
from batch.settings.values import read_request_metadata
from batch.validate.prepare import ACCOUNT_COLUMNS
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS, validate

if TYPE_CHECKING:
    from datetime import datetime

    from batch.api.dialects import Dialect
    from batch.plan.saved import SavedPlan

_COLUMNS: Final = ("operation", "identity_id", "item_type", "item_id", "comment", "start_date", "remove_date")
_OF_ACCOUNTS: Final = ("account", "selection")


def require_sound(saved: SavedPlan, name: str, dialect: Dialect, now: datetime) -> None:
    """Check that a saved plan says what an input could have said, and asks for that in legal requests.

    Its rows are validated as those of any input. Only dates that have passed since may make a difference.

    Args:
        saved: The plan.
        name: Its file, for messages.
        dialect: The API version that it was made for.
        now: Dates must be later than this.

    Raises:
        PlanRefusedError: It does not, so access-batch has not made it.
    """
    try:
        is_sound = _is_sound(saved, dialect, now)
    except (BrokenPromiseError, ValueError, TypeError, AttributeError, RecursionError, pl.exceptions.PolarsError):
        is_sound = False
    if not is_sound:
        raise PlanRefusedError(
            f"{name} was not made by access-batch: its changes are not what an input can ask for.",
            next_step="Nothing was sent. Plan the input again: access-batch plan INPUT --save FILE",
        )


def _is_sound(saved: SavedPlan, dialect: Dialect, now: datetime) -> bool:
    validated = validate(table_of(saved).rows, dialect=dialect, now=now)
    columns = [name for name in (*CHANGE_COLUMNS, EXTENDS) if name not in _OF_ACCOUNTS]
    kept = saved.changes.with_row_index("row").join(
        validated.rejected.select("row"), on="row", how="anti", maintain_order="left"
    )
    meant, said = (frame.select(columns).rows(named=True) for frame in (validated.changes, kept))
    if [_with_members(one) for one in meant] != [_with_members(one) for one in said]:
        return False
    chosen = saved.changes.filter(pl.any_horizontal(pl.col(*_OF_ACCOUNTS) != "")).select("operation", "selection")
    for operation, selection in chosen.unique().rows():
        if not is_selection(selection, grants=operation == Operation.GRANT):
            return False
    if not all(
        isinstance(word, str) for one in saved.circumstances.options.get("accounts", ()) for word in Wanted(*one)
    ):
        return False
    if read_request_metadata(saved.metadata) != tuple("=".join(one) for one in sorted(saved.metadata.items())):
        return False
    plan = saved.plan
    requests = plan.changes.get_column("request")
    if requests.min() != 0 or requests.max() != plan.requests - 1:
        return False
    wanted = saved.changes.select(CHANGE_COLUMNS)
    check_plan(plan.changes, wanted, dialect.limits, plan.envelopes, nested=dialect.nested)
    return True


def _with_members(change: dict[str, object]) -> dict[str, object]:
    """A change with its metadata as an object: its members may stand in another order."""
    written = change["metadata"]
    return {**change, "metadata": json.loads(written) if isinstance(written, str) and written else {}}


def table_of(saved: SavedPlan) -> Table:
    """The changes as rows of an input: with their own metadata, dates and comments, and ids only."""
    changes = saved.changes.with_columns(operation_said())
    rows = changes.select(
        pl.col("file").alias("_file"),
        pl.col("line").alias("_line"),
        *(pl.when(pl.col(name) != "").then(name).alias(name) for name in _COLUMNS),
    ).hstack(_metadata(changes))
    if (changes.get_column("selection") != "").any():
        # Whoever submits a row of a result file again means the same account.
        chosen = [chosen_account(one, account) for one, account in changes.select("selection", "account").rows()]
        rows = rows.hstack(pl.DataFrame(chosen, schema=dict.fromkeys(ACCOUNT_COLUMNS, pl.String), orient="row"))
    columns = tuple(Column(name=name, header=name) for name in rows.columns[2:])
    return Table(
        rows=rows,
        originals=rows,
        rejected=pl.DataFrame(schema=dict.fromkeys(_REJECTED, pl.String) | {"_line": pl.Int64}),
        columns=columns,
        notices=(),
        digest="",
    )


_REJECTED: Final = ("_file", "_line", "_rule", "_message", "_raw")


def _metadata(changes: pl.DataFrame) -> pl.DataFrame:
    """The members of the changes' metadata, each in a column of its own."""
    read = [json.loads(one) if one else {} for one in changes.get_column("metadata")]
    if not all(isinstance(members, dict) and all(isinstance(one, str) for one in members.values()) for members in read):
        raise ValueError("metadata must be texts by name")
    keys = dict.fromkeys(key for members in read for key in members)
    return pl.DataFrame(
        {f"{METADATA_PREFIX}{key}": [members.get(key) for members in read] for key in keys},
        schema={f"{METADATA_PREFIX}{key}": pl.String for key in keys},
    )
