"""From input rows to a checked plan, and from its requests back to the rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome, outcome_column
from batch.dedupe.classify import (
    INTENTION,
    KNOWN_SCHEMA,
    apply_tenant_view,
    can_be_taken,
    classify,
    in_one_spelling,
    is_doubt,
)
from batch.dedupe.overlap import ACCESS, KEY, not_overlapping, overlapping
from batch.dedupe.reasons import with_only_accounts
from batch.dedupe.row_class import count_rows
from batch.model import Effort, RowClass
from batch.plan import plan
from batch.plan.check import check_plan
from batch.states import FREE, State
from batch.text import id_key
from batch.validate.rows import CHANGE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from batch.api.dialects import Dialect
    from batch.ledger.plans import Plans
    from batch.model import Tally
    from batch.plan import Plan
    from batch.read import Table
    from batch.validate.rows import Validated


_RESUBMITTABLE: Final = [outcome.value for outcome in RESUBMITTABLE]


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """The class of every change and row of an input.

    Attributes:
        table: As read.
        rejected: Rows that break rules: `row`, `rule`, `message`.
        changes: Every change with its class, see dedupe.classify.
        known: The ledger's knowledge of their keys, by KNOWN_SCHEMA.
        rows: Number of rows by class; they add up to the rows read.
        upto: Id of the newest request in the ledger when it was read; empty if there was none.
        spelled: How many ids the input spells in several ways.
        respelled: How many ids the ledger spells otherwise than the input.
        run: Id of the run that this input has, or would get.
        busy: Other runs from which nothing may be taken over, and why.
    """

    table: Table
    rejected: pl.DataFrame
    changes: pl.DataFrame
    known: pl.DataFrame
    rows: Mapping[RowClass, int]
    upto: str
    spelled: int = 0
    respelled: int = 0
    run: str = ""
    busy: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def classify_input(
    table: Table,
    validated: Validated,
    *,
    plans: Plans | None,
    tenant: str,
    run: str,
    resubmit: Collection[TenantOutcome] = (),
    busy: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
) -> Classified:
    """Give every change and every row of an input its class.

    Args:
        table: As read.
        validated: Its rows, validated.
        plans: The ledger's plans; None to classify without a ledger.
        tenant: The tenant's name in the ledger.
        run: Id of the run that this input has, or would get.
        resubmit: Outcomes of earlier changes that are submitted again.
        busy: Other runs from which nothing may be taken over, and why.
        now: See classify.
    """
    changes, spelled = _located(table, validated)
    known, upto, respelled = pl.DataFrame(schema=KNOWN_SCHEMA), "", 0
    if plans is not None:
        knowledge = plans.known(tenant, changes.select(ACCESS))
        known, upto, respelled = knowledge.changes, knowledge.upto, knowledge.respelled
    classified = classify(changes, known, run=run, resubmit=resubmit, busy=busy, now=now)
    classified = with_only_accounts(classified, table.rows, known)
    rows = _count(table, validated.rejected, classified)
    return Classified(
        table=table,
        rejected=validated.rejected,
        changes=classified,
        known=known,
        rows=rows,
        upto=upto,
        spelled=spelled,
        respelled=respelled,
        run=run,
        busy=busy,
    )


def _located(table: Table, validated: Validated) -> tuple[pl.DataFrame, int]:
    """The validated changes with the `file` and `line` of their rows; and how many ids were spelled in several ways."""
    changes, spelled = in_one_spelling(validated.changes)
    row = changes.get_column("row")
    return changes.with_columns(
        table.rows.get_column("_file").gather(row).alias("file"),
        table.rows.get_column("_line").gather(row).alias("line"),
    ), spelled


def places(validated: Validated) -> pl.DataFrame:
    """The row of each change, by a hash of its ids: small enough to keep while the run is sent."""
    return validated.changes.select("row", hash=_place(pl.col("identity_id"), pl.col("item_id")))


def row_at(places: pl.DataFrame, identity: str, item: str) -> int | None:
    """The position of the first row with these ids; None without one."""
    wanted = pl.select(_place(pl.lit(identity), pl.lit(item))).item()
    found = places.filter(pl.col("hash") == wanted).get_column("row")
    return None if found.is_empty() else int(found[0])


def _place(identity: pl.Expr, item: pl.Expr) -> pl.Expr:
    return pl.concat_str(id_key(identity), pl.lit(" "), id_key(item)).hash()


def classes_and_reasons(classified: Classified) -> pl.DataFrame:
    """`class` and `reason` of every change, in order: small enough to keep while the run is sent."""
    return classified.changes.select(
        pl.col("class").cast(pl.Enum([row_class.value for row_class in RowClass])), "reason"
    )


def to_take_over(classified: Classified, wanted: pl.DataFrame) -> Mapping[int, str]:
    """The requests of other runs, planned and not sent, that have some of the wanted changes: number and run."""
    free = classified.known.filter(can_be_taken(classified.run, classified.busy))
    if free.is_empty():
        return {}
    taken = overlapping(free, wanted).select("request", "run").unique().sort("request")
    return dict(taken.rows())


def sent_before(classified: Classified) -> Mapping[str, Mapping[int, Collection[object]]]:
    """The earlier requests for the fresh changes, from whose states it follows that these can be sent (again).

    Returns:
        By run and by number of the request, its changes among the fresh ones, by their keys.
    """
    free = [state.value for state in FREE]
    fresh = classified.changes.filter("fresh")
    found: dict[str, dict[int, list[object]]] = {}
    earlier = overlapping(classified.known.filter(pl.col("state").is_in(free)), fresh)
    for run, request, *key in earlier.select("run", "request", *KEY).rows():
        found.setdefault(run, {}).setdefault(request, []).append(tuple(key))
    return found


def doubts_elsewhere(classified: Classified) -> tuple[tuple[str, ...], int]:
    """The other runs whose doubts hold changes back, and how many changes that are."""
    doubts = classified.known.filter(is_doubt(classified.run, classified.busy))
    if doubts.is_empty():
        return (), 0
    held_back = overlapping(classified.changes.filter(pl.col("class") == RowClass.HELD_BACK.value), doubts)
    runs = overlapping(doubts, held_back).get_column("run").unique().sort()
    return tuple(runs.to_list()), held_back.height


def not_wanted(planned: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """The planned changes, by dedupe's KEY and INTENTION, that are not among the changes of an input."""
    by_key = [id_key(pl.col("identity_id")), id_key(pl.col("item_id"))]

    def keyed(lines: pl.DataFrame) -> pl.DataFrame:
        # The intention stands in one column, beside which the key is compared.
        wanted = pl.concat_str(pl.col("item_type"), *INTENTION, separator=" ").alias("item_type")
        return lines.select(*KEY, *INTENTION).with_columns(*by_key, wanted)

    missing = not_overlapping(keyed(planned).with_row_index("place"), keyed(changes))
    return planned[missing.get_column("place")]


def with_classes(
    table: Table,
    validated: Validated,
    classes: pl.DataFrame,
    *,
    plans: Plans,
    tenant: str,
    run: str,
    busy: Mapping[str, str],
) -> Classified:
    """An input as it was classified before sending, with the ledger's knowledge of today.

    Args:
        table: As read.
        validated: Its rows, validated exactly as before.
        classes: From `classes_and_reasons`.
        plans: The ledger's plans.
        tenant: The tenant's name in the ledger.
        run: Id of the input's run.
        busy: Other runs that are at work.
    """
    located, spelled = _located(table, validated)
    changes = located.hstack(classes.with_columns(pl.col("class").cast(pl.String)))
    known = plans.known(tenant, changes.select(ACCESS))
    rows = _count(table, validated.rejected, changes)
    return Classified(
        table=table,
        rejected=validated.rejected,
        changes=changes,
        known=known.changes,
        rows=rows,
        upto=known.upto,
        spelled=spelled,
        respelled=known.respelled,
        run=run,
        busy=busy,
    )


def with_tenant_verdicts(classified: Classified, verdicts: pl.DataFrame) -> Classified:
    """Set changes aside because of the tenant's answers, by dedupe's TENANT_VERDICTS."""
    if verdicts.is_empty():
        return classified
    changes = apply_tenant_view(classified.changes, verdicts)
    return replace(classified, changes=changes, rows=_count(classified.table, classified.rejected, changes))


def without_unplanned(classified: Classified, *, run: str) -> Classified:
    """After sending, hold back the fresh changes that the run has no request for.

    A continued run sends its plan; other changes may have become free since.
    """
    if not classified.changes.get_column("fresh").any():
        return classified
    unplanned = pl.col("fresh") & pl.col("has_request").is_null()
    own = _own_changes(classified.known, run).select(KEY).unique().with_columns(has_request=pl.lit(value=True))
    joined = classified.changes.join(own, on=KEY, how="left", maintain_order="left")
    if not joined.select(unplanned.any()).item():
        return classified
    changes = joined.with_columns(
        pl.when(unplanned).then(pl.lit(RowClass.HELD_BACK.value)).otherwise("class").alias("class"),
        pl.when(unplanned).then(pl.lit(_UNPLANNED)).otherwise("reason").alias("reason"),
        (pl.col("fresh") & ~unplanned).alias("fresh"),
    ).select(classified.changes.columns)
    return replace(classified, changes=changes, rows=_count(classified.table, classified.rejected, changes))


def _own_changes(known: pl.DataFrame, run: str) -> pl.DataFrame:
    """The run's own changes in `known`, oldest first, without split and discarded requests."""
    replaced = [State.SPLIT.value, State.DISCARDED.value]
    return known.filter((pl.col("run") == run) & ~pl.col("state").is_in(replaced)).sort("request")


_UNPLANNED: Final = "no longer blocked, but not part of this run's plan; run the same command again"


def _count(table: Table, rejected: pl.DataFrame, changes: pl.DataFrame) -> Mapping[RowClass, int]:
    """Number of rows by class; rows that can't be parsed are rejected."""
    unread = table.rejected.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row") + table.rows.height)
    all_rejected = pl.concat([rejected.select("row"), unread.cast({"row": pl.UInt32})])
    return count_rows(table.rows.height + table.rejected.height, all_rejected, changes)


def plan_fresh(classified: Classified, dialect: Dialect, effort: Effort = Effort.NORMAL) -> Plan:
    """Plan the changes that still need a request, and check the plan.

    Raises:
        BrokenPromiseError: The plan failed its check.
    """
    wanted = classified.changes.filter("fresh").select(CHANGE_COLUMNS)
    planned = plan(wanted, dialect.limits, effort, nested=dialect.nested)
    check_plan(planned.changes, wanted, dialect.limits, planned.envelopes, nested=dialect.nested)
    return planned


def as_if_planned(tally: Tally, plan: Plan) -> Tally:
    """The tally of a run as if the plan were written; the plan replaces the run's refused requests."""
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


def latest_states(classified: Classified, run: str) -> Mapping[str, int]:
    """How many of the input's changes the run's requests have in each state; one submitted again counts once.

    A change that was refused, and that another run has submitted since, does not count: its rows are already submitted.
    """
    submitted = classified.changes.filter(pl.col("class") == RowClass.SUBMITTED.value)
    latest = _own_changes(classified.known, run).unique(KEY, keep="last")
    is_refused = pl.col("state") == State.REFUSED.value
    latest = pl.concat([latest.filter(~is_refused), latest.filter(is_refused).join(submitted, on=KEY, how="semi")])
    return {str(state): int(number) for state, number in latest.get_column("state").value_counts().rows()}


def with_outcomes(
    classified: Classified, *, run: str, reasons: Mapping[int, str], ids: Mapping[int, str]
) -> pl.DataFrame:
    """The classified changes with the state of the run's requests.

    Args:
        classified: From `classify_input`.
        run: The run's id.
        reasons: Reason of the latest answer, by request number.
        ids: Ids of the run's requests, by their numbers.

    Returns:
        The changes with `request_id`, `state`, `tenant_state` and `tenant_said` (who decided, and the comment), all
        null without a request, and `elsewhere` (whether another run has requested it since, with an outcome that is
        not RESUBMITTABLE); the tenant's reason replaces `reason` if a request was not accepted.
    """
    comment = pl.concat_str(
        *(pl.when(pl.col(name) != "").then(name) for name in ("tenant_who", "tenant_comment")),
        separator=": ",
        ignore_nulls=True,
    )
    is_listed = pl.col("tenant_state") != ""
    latest = (
        _own_changes(classified.known, run)
        .unique(KEY, keep="last")
        .select(
            *KEY,
            "state",
            pl.col("request").alias("number"),
            pl.when(is_listed).then("tenant_state").alias("tenant_state"),
            pl.when(is_listed).then(comment).alias("tenant_said"),
        )
    )
    is_wrong = outcome_column(pl.col("tenant_state"), pl.col("tenant_comment")).is_in(_RESUBMITTABLE)
    since = (
        classified.known.filter(
            (pl.col("run") != run)
            & ~pl.col("state").is_in([state.value for state in FREE])
            & ~(is_listed & is_wrong).fill_null(value=False)
        )
        .group_by(KEY)
        .agg(pl.col("request").max().alias("since"))
    )
    answers = pl.DataFrame(
        {"number": list(reasons), "answer": list(reasons.values())}, schema={"number": pl.Int64, "answer": pl.String}
    )
    named = pl.DataFrame(
        {"number": list(ids), "request_id": list(ids.values())}, schema={"number": pl.Int64, "request_id": pl.String}
    )
    is_submitted = pl.col("class") == RowClass.SUBMITTED.value
    joined = classified.changes.join(latest, on=KEY, how="left", maintain_order="left")
    for of_request in (answers, named):
        joined = joined.join(of_request, on="number", how="left", maintain_order="left")
    joined = joined.join(since, on=KEY, how="left", maintain_order="left")
    return joined.with_columns(
        pl.when(is_submitted).then(pl.col("request_id", "state", "tenant_state", "tenant_said")),
        (is_submitted & (pl.col("since") > pl.col("number"))).fill_null(value=False).alias("elsewhere"),
        pl.when(is_submitted & (pl.col("state") == State.ACCEPTED.value))
        .then(pl.lit(""))
        .when(is_submitted)
        .then(pl.col("answer"))
        .otherwise(pl.col("reason"))
        .fill_null("")
        .alias("reason"),
    )


def failed_elsewhere(outcomes: pl.DataFrame) -> int:
    """How many changes, from `with_outcomes`, were rejected, cancelled or failed and requested by another run since."""
    wrong = outcome_column(pl.col("tenant_state"), pl.col("tenant_said")).is_in(_RESUBMITTABLE)
    return outcomes.filter(pl.col("elsewhere") & wrong).select(KEY).n_unique()
