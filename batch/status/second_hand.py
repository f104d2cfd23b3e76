"""What only another machine has recorded of the tenant's reports, compared with rows of the tenant's own list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.dialects import REQUEST_TYPES, Operation
from batch.api.tenant_outcome import RESUBMITTABLE, WITHOUT_EFFECT, TenantOutcome, tenant_outcome
from batch.dedupe.classify import INTENTION, age, classify
from batch.dedupe.overlap import ACCESS, may_be_one
from batch.states import VOID
from batch.status.matching import has_type, is_bare, request_id, was_created_since
from batch.status.progress import SKEW
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from batch.api.status_row import StatusRow
    from batch.status.matching import RunChanges

LATEST_ANSWER: Final = timedelta(minutes=5)
"""How much earlier than its acceptance a request's row may be created, at most: the answer may take its time."""


@dataclass(frozen=True, slots=True)
class Undone:
    """An accepted change that a later one is said to have undone.

    Attributes:
        run: Id of its run.
        operation: Grant or revoke.
        accepted_at: When, by our clock.
    """

    run: str
    operation: Operation
    accepted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The end of an accepted change, as only another machine has recorded it.

    Attributes:
        run: Id of its run.
        request: Number of its request.
        operation: Grant or revoke.
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        accepted_at: When the tenant accepted its request, by our clock.
        outcome: How it is said to have ended.
        account: Of the change that is wanted again; the ended change's may be empty.
        undone: The change that is wanted again because this one undid it; None if this one itself is wanted again.
    """

    run: str
    request: int
    operation: Operation
    identity: str
    item_type: str
    item: str
    accepted_at: datetime
    outcome: TenantOutcome
    account: str = ""
    undone: Undone | None = None


def second_hand(
    changes: pl.DataFrame,
    known: pl.DataFrame,
    requests: Collection[int],
    *,
    run: str,
    resubmit: Collection[TenantOutcome] = (),
    busy: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Report, ...]:
    """The ends of earlier changes that must be true, or else fresh changes would not be fresh.

    Args:
        changes: From `classify`.
        known: As given to it, like the rest.
        requests: Numbers of requests of which only another machine has recorded what the tenant reports.
        run: The run being classified for.
        resubmit: Outcomes that are submitted again.
        busy: Other runs from which nothing may be taken over.
    """
    fresh = changes.filter("fresh").drop("class", "reason", "own_request", "fresh")
    wanted = fresh.select(*ACCESS, *(pl.col(name).alias(f"wanted_{name}") for name in ("account", *INTENTION)))
    same = pl.all_horizontal(pl.col(name) == pl.col(f"wanted_{name}") for name in INTENTION)
    is_void = pl.col("state").is_in([state.value for state in VOID])
    second_hand = pl.col("request").is_in(list(requests)) & (pl.col("tenant_state") != "")
    is_same_key = may_be_one(pl.col("account"), pl.col("wanted_account"))
    lines = known.join(wanted, on=ACCESS, how="inner").filter(is_same_key & ~is_void)
    lines = lines.with_columns(same=same, second_hand=second_hand).sort(*age(*ACCESS, "wanted_account"))
    if not lines.get_column("second_hand").any():
        return ()
    # Without what was undone, and as if what failed was never reported.
    untold = lines.filter(~pl.col("second_hand") | pl.col("same")).with_columns(
        tenant_state=pl.when("second_hand").then(pl.lit("")).otherwise("tenant_state")
    )
    classes = classify(fresh, untold.select(known.columns).unique(), run=run, resubmit=resubmit, busy=busy)
    depending = classes.filter(~pl.col("fresh")).select(*ACCESS, wanted_account="account")
    depends = lines.join(depending, on=[*ACCESS, "wanted_account"], how="semi", maintain_order="left")
    of_key: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in depends.to_dicts():
        of_key.setdefault(tuple(line[name] for name in (*ACCESS, "wanted_account")), []).append(line)
    return tuple(report for some in of_key.values() for report in _needed(some))


def _needed(lines: Sequence[Mapping[str, Any]]) -> Iterator[Report]:
    """The second-hand reports on one key without which a change would not be fresh, given its lines by age.

    Only the newest change that undid others decides, and whatever was requested since.
    """
    undoing = max((n for n, line in enumerate(lines) if line["second_hand"] and not line["same"]), default=-1)
    before = [line for line in lines[: max(undoing, 0)] if line["same"]]
    if before:
        yield _report(lines[undoing], before[-1])
    for line in lines[undoing + 1 :]:
        if line["second_hand"] and line["same"] and (report := _report(line)).outcome in RESUBMITTABLE:
            yield report


def _report(line: Mapping[str, Any], undone: Mapping[str, Any] | None = None) -> Report:
    operation, accepted_at = _accepted(line)
    return Report(
        run=line["run"],
        request=line["request"],
        operation=operation,
        identity=line["identity_id"],
        item_type=line["item_type"],
        item=line["item_id"],
        accepted_at=accepted_at,
        outcome=tenant_outcome(line["tenant_state"], line["tenant_comment"]),
        account=line["wanted_account"],
        undone=Undone(undone["run"], *_accepted(undone)) if undone else None,
    )


def _accepted(line: Mapping[str, Any]) -> tuple[Operation, datetime]:
    return Operation(line["operation"]), datetime.fromisoformat(line["at"])


def is_shown(report: Report, rows: Sequence[StatusRow], run: RunChanges, offset: timedelta) -> bool:
    """Whether the tenant's list shows that a change has ended as reported, and after the change that it undid.

    Args:
        report: The report.
        rows: Rows of its identity and item. They may lack some: then less is shown.
        run: The accepted changes of its run.
        offset: How far the tenant's clock is ahead of ours.
    """
    same = [row for row in rows if has_type(row, report.item_type)]
    about = [row for row in same if _is_about(row, report, run, offset)]
    dated = [(row.created, row) for row in about if row.created is not None]
    if not dated or len(dated) < len(about):
        return False
    created, newest = max(dated, key=lambda one: one[0])
    if tenant_outcome(newest.state, newest.said) is not report.outcome:
        return False
    others = [row for row in same if row not in about]
    return report.undone is None or _is_after(created, report.undone, others, offset)


def _is_about(row: StatusRow, report: Report, run: RunChanges, offset: timedelta) -> bool:
    if row.request_type != REQUEST_TYPES[report.operation]:
        return False
    if is_bare(row):
        is_other = report.undone is None or report.undone.operation is not report.operation
        return is_other and was_created_since(row, report.accepted_at + offset - SKEW)
    if (position := run.tracked_by(row)) is not None:
        return run.changes[position].request == report.request
    # Imported, with another ledger's id: the time decides whether it undid anything.
    named = {one.known.access_request for one in run.changes if one.known and one.request == report.request}
    return report.undone is not None and bool(row.access_request) and row.access_request in named


def _is_after(created: datetime, undone: Undone, others: Sequence[StatusRow], offset: timedelta) -> bool:
    """Whether a row was created after the change that it undid, and nothing of the same has begun since."""
    if any(tenant_outcome(row.state, row.said) is TenantOutcome.OPEN for row in others):
        return False
    wanted = [
        row
        for row in others
        if row.request_type in {"", REQUEST_TYPES[undone.operation]}
        and tenant_outcome(row.state, row.said) not in WITHOUT_EFFECT
    ]
    if any(row.created is None or row.created >= created for row in wanted):
        return False
    accepted_at = undone.accepted_at + offset
    return created >= accepted_at + SKEW or any(
        was_created_since(row, accepted_at - LATEST_ANSWER) and _is_of(row, undone.run) for row in wanted
    )


def _is_of(row: StatusRow, run: str) -> bool:
    name = RequestId.read(request_id(row))
    return name is not None and name.run == run.lower()
