"""What of a run can still be withdrawn at the tenant, and what must be revoked instead.

A row of the status list belongs to a run only if its clientMetadata carries the id of a request of that run: what
others have requested is never touched, whoever it is for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import IN_PROGRESS, REQUEST_ID_KEY, Operation
from batch.api.tenant_outcome import PARTLY_PROVISIONED, TenantOutcome, is_existing, tenant_outcome
from batch.model import ChangeStatus
from batch.status.matching import item_of
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.model import StatusRow


class CancelOutcome(StrEnum):
    """What a change of a run has come to; the names are those of the JSON output."""

    CANCELABLE = "cancelable"
    """It waits for an approver, and can be withdrawn."""
    CANCELLED = "cancelled"
    GRANTED = "granted"
    """Only a revoke undoes it. So does one where only a part may have been granted: it does no harm."""
    REVOKED = "revoked"
    """Access was taken away; nothing here gives it back."""
    UNDER_WAY = "under_way"
    """Approved, and not provisioned yet: it can't be withdrawn any more, and not be revoked yet."""
    DUPLICATE = "duplicate"
    NOT_CREATED = "not_created"
    """The tenant answered that somebody had requested it already: whatever came of that is not this run's."""
    REJECTED = "rejected"
    FAILED = "failed"
    NOT_VISIBLE = "not_visible"
    """The tenant says nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An accepted change of a run.

    Attributes:
        request: Number of its request.
        operation: Grant or revoke.
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        known: What the tenant last said of it, as the ledger has it; None where nothing.
    """

    request: int
    operation: str
    identity: str
    item_type: str
    item: str
    known: ChangeStatus | None = None


class RunChanges:
    """The accepted changes of a run, to be found by what a row of the status list says.

    Args:
        run: The run's id.
        changes: Its accepted changes, in the order of their requests.
    """

    def __init__(self, run: str, changes: Sequence[Change]) -> None:
        self.changes = tuple(changes)
        self._prefix = f"{run}-"
        self._places: dict[tuple[str, str], list[int]] = {}
        for place, change in enumerate(self.changes):
            self._places.setdefault((change.identity, change.item), []).append(place)

    def place_of(self, row: StatusRow) -> int | None:
        """The position of the change that a row is about; None where the run did not create the row."""
        metadata = row.metadata or {}
        named = metadata.get(REQUEST_ID_KEY, "")
        if not named.startswith(self._prefix):
            return None
        places = [
            place
            for place in self._places.get((row.identity, item_of(row)), ())
            if row.item_type in {"", self.changes[place].item_type}
        ]
        exact = [place for place in places if named == f"{self._prefix}{self.changes[place].request}"]
        # A request that was divided has handed its changes over to the next; rows still carry its own id.
        number = named.removeprefix(self._prefix)
        divided = int(number) if number.isdecimal() else 0
        return next(iter(exact or [place for place in places if self.changes[place].request > divided]), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRows:
    """The status list, sifted for a run.

    Attributes:
        rows: Rows that the run created, by the position of their change.
        shared: The tenant's ids of access requests that have a row which the run did not create.
    """

    rows: Mapping[int, Sequence[StatusRow]] = field(default_factory=lambda: MappingProxyType({}))
    shared: frozenset[str] = frozenset()


def rows_of_run(rows: Iterable[StatusRow], own: RunChanges) -> RunRows:
    """Parts rows that a run created from those of others."""
    mine: dict[int, list[StatusRow]] = {}
    shared = set()
    for row in rows:
        place = own.place_of(row)
        if place is None:
            shared.add(row.access_request)
        else:
            mine.setdefault(place, []).append(row)
    return RunRows(rows=mine, shared=frozenset(shared))


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelScope:
    """What is to be withdrawn.

    Attributes:
        whole: The tenant's ids of access requests of which every row that is listed is the run's own, each with its
            rows that can be withdrawn.
        single: Rows that can be withdrawn, of access requests that have other rows too.
    """

    whole: Mapping[str, Sequence[StatusRow]]
    single: Sequence[StatusRow]

    @property
    def changes(self) -> int:
        """How many rows it has."""
        return sum(map(len, self.whole.values())) + len(self.single)


def is_cancelable(row: StatusRow) -> bool:
    """Whether a row still waits for somebody's approval."""
    return row.state == IN_PROGRESS and row.cancelable


def cancel_scope(run_rows: RunRows) -> CancelScope:
    """What of a run is to be withdrawn, and how: as whole access requests, unless others have a part in them."""
    whole: dict[str, list[StatusRow]] = {}
    single = []
    for rows in run_rows.rows.values():
        for row in filter(is_cancelable, rows):
            if row.access_request and row.access_request not in run_rows.shared:
                whole.setdefault(row.access_request, []).append(row)
            else:
                single.append(row)
    return CancelScope(whole=whole, single=tuple(single))


_TELLING: Final = (
    TenantOutcome.PROVISIONED,
    TenantOutcome.OPEN,
    TenantOutcome.FAILED,
    TenantOutcome.REJECTED,
    TenantOutcome.CANCELLED,
    TenantOutcome.DUPLICATE,
)
"""Where one change has several rows, as it arrived twice, the first of these tells what became of it."""


def decisive_row(rows: Sequence[StatusRow]) -> StatusRow:
    """The row that says what became of a change."""
    return min(rows, key=lambda row: _TELLING.index(tenant_outcome(row.state, row.said)))


def findings(own: RunChanges, run_rows: RunRows) -> tuple[ChangeStatus, ...]:
    """What the list says of a run's changes, as far as that is news."""
    found = ((own.changes[place], decisive_row(rows)) for place, rows in run_rows.rows.items())
    said = ((change, _finding(change, row)) for change, row in found)
    return tuple(finding for change, finding in said if finding != change.known)


def _finding(change: Change, row: StatusRow) -> ChangeStatus:
    return ChangeStatus(
        request=change.request,
        identity=change.identity,
        item_type=change.item_type,
        item=change.item,
        state=row.state,
        who=row.who,
        said=row.said,
        since=instant(row.since),
        access_request=row.access_request,
    )


def cancel_outcomes(own: RunChanges, run_rows: RunRows) -> tuple[CancelOutcome, ...]:
    """What each change of a run has come to, by the list or else by what the ledger knows."""
    return tuple(_outcome(change, run_rows.rows.get(place, ())) for place, change in enumerate(own.changes))


def _outcome(change: Change, rows: Sequence[StatusRow]) -> CancelOutcome:
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


def to_revoke(own: RunChanges, came_to: Sequence[CancelOutcome]) -> tuple[Change, ...]:
    """The changes that a revoke file has to take back, in the order of identity and item, each once."""
    granted = [change for change, outcome in zip(own.changes, came_to, strict=True) if outcome is CancelOutcome.GRANTED]
    by_key = {(change.identity, change.item_type, change.item): change for change in granted}
    return tuple(by_key[key] for key in sorted(by_key))


def count_outcomes(came_to: Sequence[CancelOutcome]) -> Mapping[CancelOutcome, int]:
    """How many changes have come to what."""
    return Counter(came_to)
