"""From input files to a checked plan: gathers what is needed, then lets the pure modules decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.dedupe.classify import KEY, KNOWN_SCHEMA, apply_tenant_view, classify
from batch.dedupe.row_class import count_rows
from batch.model import Effort, RowClass
from batch.plan import plan
from batch.plan.check import check_plan
from batch.states import State
from batch.text import phrase
from batch.validate.rows import CHANGE_COLUMNS, Validated, validate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from batch.api.dialects import Dialect
    from batch.api.tenant_outcome import TenantOutcome
    from batch.ledger.plans import Plans
    from batch.model import Tally
    from batch.plan import Plan
    from batch.read import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """An input, decided upon.

    Attributes:
        table: As read.
        rejected: Rows that break rules: `row`, `rule`, `message`.
        changes: Every change with its class, see dedupe.classify.
        known: What the ledger knew of them.
        rows: Rows by class; they add up to the rows read.
        upto: Number of the newest request in the ledger that this rests on.
    """

    table: Table
    rejected: pl.DataFrame
    changes: pl.DataFrame
    known: pl.DataFrame
    rows: Mapping[RowClass, int]
    upto: int


def check_rows(table: Table, *, dialect: Dialect, now: datetime, rows: pl.DataFrame | None = None) -> Validated:
    """Validates what was read.

    Args:
        table: As read.
        dialect: The API version.
        now: The moment that dates must come after.
        rows: Its rows with ids in the place of names, from `resolve`; None where they have none.
    """
    return validate(table.rows if rows is None else rows, dialect=dialect, now=now)


def classify_input(
    table: Table,
    validated: Validated,
    *,
    plans: Plans | None,
    tenant: str,
    run: str,
    resubmit: Collection[TenantOutcome] = (),
) -> Classified:
    """Gives every change and every row of an input its class.

    Args:
        table: As read.
        validated: Its rows, validated.
        plans: The ledger's; None where no ledger is to be asked.
        tenant: The tenant's name in the ledger.
        run: Id of the run that this input has, or would get.
        resubmit: What earlier changes must have come to, to be submitted again.
    """
    row = validated.changes.get_column("row")
    changes = validated.changes.with_columns(
        table.rows.get_column("_file").gather(row).alias("file"),
        table.rows.get_column("_line").gather(row).alias("line"),
    )
    known, upto = pl.DataFrame(schema=KNOWN_SCHEMA), 0
    if plans is not None:
        asked = plans.known(tenant, changes.select(KEY))
        known, upto = asked.changes, asked.upto
    classified = classify(changes, known, run=run, resubmit=resubmit)
    rows = _count(table, validated.rejected, classified)
    return Classified(table=table, rejected=validated.rejected, changes=classified, known=known, rows=rows, upto=upto)


def with_tenant_verdicts(classified: Classified, told: pl.DataFrame) -> Classified:
    """The same, with what is set aside by the tenant's word: by dedupe's TOLD_SCHEMA."""
    if told.is_empty():
        return classified
    changes = apply_tenant_view(classified.changes, told)
    return replace(classified, changes=changes, rows=_count(classified.table, classified.rejected, changes))


def without_unplanned(classified: Classified, *, run: str) -> Classified:
    """The same after sending, with what the run has no request for held back, and not among what was submitted.

    A run that goes on sends what was planned, while what stood in the way of others may be gone meanwhile.
    """
    unplanned = pl.col("fresh") & pl.col("_own").is_null()
    own = _own(classified.known, run).select(KEY).unique().with_columns(_own=pl.lit(value=True))
    joined = classified.changes.join(own, on=KEY, how="left", maintain_order="left")
    if not joined.select(unplanned.any()).item():
        return classified
    changes = joined.with_columns(
        pl.when(unplanned).then(pl.lit(RowClass.HELD_BACK.value)).otherwise("class").alias("class"),
        pl.when(unplanned).then(pl.lit(_UNPLANNED)).otherwise("reason").alias("reason"),
        (pl.col("fresh") & ~unplanned).alias("fresh"),
    ).select(classified.changes.columns)
    return replace(classified, changes=changes, rows=_count(classified.table, classified.rejected, changes))


def _own(known: pl.DataFrame, run: str) -> pl.DataFrame:
    """What the ledger knows of the changes of a run that no other request has taken over, oldest first."""
    gone = [State.SPLIT.value, State.DISCARDED.value]
    return known.filter((pl.col("run") == run) & ~pl.col("state").is_in(gone)).sort("request")


_UNPLANNED: Final = "nothing is in its way any more, but the run was planned before: submit the same input again"


def _count(table: Table, rejected: pl.DataFrame, changes: pl.DataFrame) -> Mapping[RowClass, int]:
    """Rows by class, those included that could not be read."""
    unread = table.rejected.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row") + table.rows.height)
    every = pl.concat([rejected.select("row"), unread.cast({"row": pl.UInt32})])
    return count_rows(table.rows.height + table.rejected.height, every, changes)


def plan_fresh(classified: Classified, dialect: Dialect, effort: Effort = Effort.NORMAL) -> Plan:
    """Plans the changes that still need a request, and checks the plan.

    Raises:
        BrokenPromiseError: The plan failed its check.
    """
    wanted = classified.changes.filter("fresh").select(CHANGE_COLUMNS)
    planned = plan(wanted, dialect.limits, effort, nested=dialect.nested)
    check_plan(planned.changes, wanted, dialect.limits, planned.envelopes, nested=dialect.nested)
    return planned


def as_if_planned(tally: Tally, plan: Plan) -> Tally:
    """The tally of a run as it would be with a plan written to it, which takes over from what was refused."""
    grants = int((plan.changes.get_column("operation") == Operation.GRANT.value).sum())
    changes, requests = dict(tally.changes), dict(tally.requests)
    if plan.requests:
        changes.pop(State.REFUSED, None)
        requests.pop(State.REFUSED, None)
    changes[State.PLANNED] = changes.get(State.PLANNED, 0) + plan.changes.height
    requests[State.PLANNED] = requests.get(State.PLANNED, 0) + plan.bodies
    return replace(
        tally,
        changes=changes,
        requests=requests,
        grants=tally.grants + grants,
        revokes=tally.revokes + plan.changes.height - grants,
    )


def with_outcomes(classified: Classified, *, run: str, reasons: Mapping[int, str]) -> pl.DataFrame:
    """The classified changes with what became of those that are part of the run's plan.

    Args:
        classified: From `classify_input`.
        run: The run's id.
        reasons: Reason of the latest answer by request number.

    Returns:
        The changes with `request_id` and `state` (null where they have no request), the tenant's reason where it gave
        one, and where it was asked what became of them, `tenant_state` and `tenant_said` (null where not).
    """
    own = _own(classified.known, run)
    heard = pl.concat_str(
        *(pl.when(pl.col(name) != "").then(name) for name in ("who", "said")), separator=": ", ignore_nulls=True
    )
    latest = own.unique(KEY, keep="last").select(
        *KEY,
        "state",
        pl.col("request").alias("number"),
        pl.when(pl.col("tracked") != "").then("tracked").alias("tenant_state"),
        pl.when(pl.col("tracked") != "").then(heard).alias("tenant_said"),
    )
    said = pl.DataFrame({"number": list(reasons), "said": list(reasons.values())}, schema=_SAID)
    is_submitted = pl.col("class") == RowClass.SUBMITTED.value
    joined = classified.changes.join(latest, on=KEY, how="left", maintain_order="left").join(
        said, on="number", how="left", maintain_order="left"
    )
    return joined.with_columns(
        pl.when(is_submitted).then(phrase("{}-{}", pl.lit(run), pl.col("number"))).alias("request_id"),
        pl.when(is_submitted).then(pl.col("state", "tenant_state", "tenant_said")),
        pl.when(is_submitted & (pl.col("state") == State.ACCEPTED.value))
        .then(pl.lit(""))
        .when(is_submitted)
        .then(pl.col("said"))
        .otherwise(pl.col("reason"))
        .fill_null("")
        .alias("reason"),
    )


_SAID: Final = {"number": pl.Int64, "said": pl.String}
