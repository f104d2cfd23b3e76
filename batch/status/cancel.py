"""Which changes of a run the tenant can still cancel, and which must be revoked instead.

A row of the status list belongs to a run only if its clientMetadata carries the id of a request of that run: what
others requested is never touched, whoever it is for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import IN_PROGRESS, Operation
from batch.api.end_dates import NO_END
from batch.api.tenant_outcome import PARTLY_PROVISIONED, TenantOutcome, is_existing, tenant_outcome
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from batch.api.status_row import ChangeStatus, StatusRow
    from batch.status.matching import AcceptedChange, RunChanges


class CancelOutcome(StrEnum):
    """What became of a change of a run; the names are those of the JSON output."""

    CANCELABLE = "cancelable"
    """It waits for an approver and can be cancelled."""
    CANCELLED = "cancelled"
    GRANTED = "granted"
    """Only a revoke undoes it. A change that may have been granted in part counts too: revoking it does no harm."""
    REVOKED = "revoked"
    """Access was taken away; nothing here gives it back."""
    UNDER_WAY = "under_way"
    """Approved, and not provisioned yet: it can no longer be cancelled and can't yet be revoked."""
    DUPLICATE = "duplicate"
    NOT_CREATED = "not_created"
    """The tenant answered that somebody had requested it already: whatever became of that is not this run's."""
    REJECTED = "rejected"
    FAILED = "failed"
    NOT_VISIBLE = "not_visible"
    """The tenant shows nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRows:
    """What the status list has of a run.

    Attributes:
        rows: Rows that the run created, by the position of their change.
        shared: The tenant's ids of access requests with a row that the run did not create.
    """

    rows: Mapping[int, Sequence[StatusRow]] = field(default_factory=lambda: MappingProxyType({}))
    shared: frozenset[str] = frozenset()


def rows_of_run(rows: Iterable[StatusRow], own: RunChanges) -> RunRows:
    """Separates the rows that a run created from those of others."""
    created: dict[int, list[StatusRow]] = {}
    shared = set()
    for row in rows:
        position = own.created_for(row)
        if position is None:
            shared.add(row.access_request)
        else:
            created.setdefault(position, []).append(row)
    return RunRows(rows=created, shared=frozenset(shared))


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelScope:
    """What to cancel.

    Attributes:
        whole: The tenant's ids of access requests whose listed rows are all the run's, each with its rows that can be
            cancelled.
        single: Rows that can be cancelled, of access requests that have other rows too.
    """

    whole: Mapping[str, Sequence[StatusRow]]
    single: Sequence[StatusRow]

    @property
    def changes(self) -> int:
        """How many rows it has."""
        return sum(map(len, self.whole.values())) + len(self.single)


def is_cancelable(row: StatusRow) -> bool:
    """Whether a row still waits for an approval."""
    return row.state == IN_PROGRESS and row.cancelable


def cancel_scope(run_rows: RunRows) -> CancelScope:
    """What to cancel of a run: whole access requests, unless others have a part in them."""
    whole: dict[str, list[StatusRow]] = {}
    single = []
    for rows in run_rows.rows.values():
        for row in filter(is_cancelable, rows):
            if row.access_request and row.access_request not in run_rows.shared:
                whole.setdefault(row.access_request, []).append(row)
            else:
                single.append(row)
    return CancelScope(whole=whole, single=tuple(single))


_MOST_TELLING_FIRST: Final = (
    TenantOutcome.PROVISIONED,
    TenantOutcome.OPEN,
    TenantOutcome.FAILED,
    TenantOutcome.REJECTED,
    TenantOutcome.CANCELLED,
    TenantOutcome.DUPLICATE,
)


def decisive_row(rows: Sequence[StatusRow]) -> StatusRow:
    """The row that shows what became of a change: a change that arrived twice has several."""
    return min(rows, key=lambda row: _MOST_TELLING_FIRST.index(tenant_outcome(row.state, row.said)))


def new_statuses(own: RunChanges, run_rows: RunRows) -> tuple[ChangeStatus, ...]:
    """The statuses of a run's changes in the list that the ledger does not have."""
    decisive = ((own.changes[position], decisive_row(rows)) for position, rows in run_rows.rows.items())
    statuses = ((change, change.status(row, state=row.state, said=row.said)) for change, row in decisive)
    return tuple(status for change, status in statuses if status != change.known)


def cancel_outcomes(own: RunChanges, run_rows: RunRows) -> tuple[CancelOutcome, ...]:
    """What became of each change of a run, by the list or else by what the ledger knows."""
    return tuple(_outcome(change, run_rows.rows.get(position, ())) for position, change in enumerate(own.changes))


def _outcome(change: AcceptedChange, rows: Sequence[StatusRow]) -> CancelOutcome:
    if any(map(is_cancelable, rows)):
        return CancelOutcome.CANCELABLE
    if rows:
        row = decisive_row(rows)
        state, said = row.state, row.said
    elif change.known is not None:
        state, said = change.known.state, change.known.said
        if is_existing(state, said):
            return CancelOutcome.NOT_CREATED
    else:
        return CancelOutcome.NOT_VISIBLE
    if state == PARTLY_PROVISIONED or tenant_outcome(state, said) is TenantOutcome.PROVISIONED:
        return CancelOutcome.GRANTED if change.operation == Operation.GRANT else CancelOutcome.REVOKED
    return _OUTCOMES[tenant_outcome(state, said)]


_OUTCOMES: Final[Mapping[TenantOutcome, CancelOutcome]] = MappingProxyType(
    {
        TenantOutcome.OPEN: CancelOutcome.UNDER_WAY,
        TenantOutcome.FAILED: CancelOutcome.FAILED,
        TenantOutcome.REJECTED: CancelOutcome.REJECTED,
        TenantOutcome.CANCELLED: CancelOutcome.CANCELLED,
        TenantOutcome.DUPLICATE: CancelOutcome.DUPLICATE,
    }
)


def to_revoke(
    own: RunChanges, outcomes: Sequence[CancelOutcome], extends: Callable[[AcceptedChange], bool]
) -> tuple[AcceptedChange, ...]:
    """The granted changes, which `undo.csv` revokes, by identity and item, each once.

    Args:
        own: The run's changes.
        outcomes: What became of each.
        extends: Whether a change only set another end date. That gave no access: the person had it before.
    """
    by_key = {
        (key_of(change.identity), change.item_type, key_of(change.item)): change
        for change, outcome in zip(own.changes, outcomes, strict=True)
        if outcome is CancelOutcome.GRANTED and change.remove_date != NO_END and not extends(change)
    }
    return tuple(by_key[key] for key in sorted(by_key))


def count_outcomes(outcomes: Sequence[CancelOutcome]) -> Mapping[CancelOutcome, int]:
    """How many changes had which outcome."""
    return Counter(outcomes)
