"""What the tenant's status list adds to a ledger that does not know it yet.

Nothing is guessed: a row that does not say what it is about is counted and left out. If a run of this ledger has
anything on a key, that key stays as the run left it. So after an import no change counts as new that did not before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_TYPES, ItemType, Operation
from batch.api.status_row import ChangeStatus
from batch.states import VOID, State
from batch.status.matching import change_in_ledger, ids_change_with_requests, listed_item, named_item, request_id
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.status_row import StatusRow
    from batch.status.matching import LedgerChange

Key = tuple[str, str, str]
"""Identity id, item type and item id."""


class NotAdoptable(StrEnum):
    """Why rows can't be understood, in words."""

    NO_IDENTITY = "they don't say whom they are for"
    NO_REQUEST = "they don't say to which access request they belong"
    NO_ITEM = "they have no id of their item"
    ODD_TYPE = "they are of a kind of item that is not known here"
    ODD_OPERATION = "they neither grant nor revoke"
    ODD_DATE = "their dates can't be read"


class AdoptionOutcome(StrEnum):
    """What becomes of a row that is understood; the names are those of the JSON output."""

    IMPORTED = "imported"
    UPDATED = "updated"
    """The ledger has the change, and the row gives it a new status."""
    UNCHANGED = "unchanged"
    KNOWN = "known"
    """A run of this ledger has the same key, and the run's knowledge counts."""
    UNSETTLED = "unsettled"
    """It belongs to a request of this ledger that is not known to have arrived, which only settling decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedChange:
    """A change as a row of the status list shows it.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        operation: Grant or revoke.
        start_date: In the form that requests use; empty for none.
        remove_date: In the same form.
        access_request: The tenant's id of the access request.
        created: When it was requested, else when it entered its state, in ISO 8601; empty if the tenant says neither.
        named: Id of the request that submitted it, of this ledger or another; empty if no ledger did.
        state: The vendor's name of its state.
        who: As in ChangeStatus.
        said: As in ChangeStatus.
        since: As in ChangeStatus.
    """

    identity: str
    item_type: str
    item: str
    operation: Operation
    start_date: str
    remove_date: str
    access_request: str
    created: str
    named: str
    state: str
    who: str
    said: str
    since: str

    @property
    def key(self) -> Key:
        """Makes it the same change as another, apart from operation and dates."""
        return self.identity, self.item_type, self.item

    def status(self, request: int) -> ChangeStatus:
        """The status that the row gives the change in the ledger's request of that number."""
        return ChangeStatus(
            request=request,
            identity=self.identity,
            item_type=self.item_type,
            item=self.item,
            state=self.state,
            who=self.who,
            said=self.said,
            since=self.since,
            access_request=self.access_request,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionPlan:
    """What to do about rows.

    Attributes:
        new: Changes to import, in order.
        statuses: New statuses of changes that the ledger has.
        outcomes: How many rows had which outcome.
    """

    new: tuple[ListedChange, ...]
    statuses: tuple[ChangeStatus, ...]
    outcomes: Mapping[AdoptionOutcome, int]


_TYPES: Final = frozenset(item_type.value for item_type in ItemType)
_OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({api: name for name, api in REQUEST_TYPES.items()})


def read_listed(rows: Iterable[StatusRow]) -> tuple[list[ListedChange], Counter[NotAdoptable]]:
    """The changes that rows are about, and how many rows can't be understood, by reason."""
    listed: list[ListedChange] = []
    not_adoptable: Counter[NotAdoptable] = Counter()
    all_rows = list(rows)
    trust_ids = not ids_change_with_requests(all_rows)
    for row in all_rows:
        change = _listed_change(row, trust_ids=trust_ids)
        if isinstance(change, NotAdoptable):
            not_adoptable[change] += 1
        else:
            listed.append(change)
    return listed, not_adoptable


def _listed_change(row: StatusRow, *, trust_ids: bool) -> ListedChange | NotAdoptable:
    if not row.access_request:
        return NotAdoptable.NO_REQUEST
    if row.item_type not in _TYPES:
        return NotAdoptable.ODD_TYPE
    if row.request_type not in _OPERATIONS:
        return NotAdoptable.ODD_OPERATION
    item = named_item(row) or (listed_item(row) if trust_ids else "")
    if not item:
        return NotAdoptable.NO_ITEM
    start_date, remove_date = _date(row.start_date), _date(row.remove_date)
    if start_date is None or remove_date is None:
        return NotAdoptable.ODD_DATE
    return ListedChange(
        identity=row.identity,
        item_type=row.item_type,
        item=item,
        operation=_OPERATIONS[row.request_type],
        start_date=start_date,
        remove_date=remove_date,
        access_request=row.access_request,
        created=instant(row.created or row.since),
        named=request_id(row),
        state=row.state,
        who=row.who,
        said=row.said,
        since=instant(row.since),
    )


def _date(text: str) -> str | None:
    """A date of the list in the form that requests use: milliseconds only if there are any; None if it is no date."""
    if not text:
        return ""
    try:
        found = instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
    return found.replace(".000Z", "Z")


def plan_adoption(
    listed: Sequence[ListedChange],
    known: Mapping[Key, Sequence[LedgerChange]],
    *,
    imported: str,
    beside_runs: bool = False,
) -> AdoptionPlan:
    """Decides about rows.

    Args:
        listed: Rows, in the list's order; of several about one change in one access request the last one counts.
        known: What the ledger has of their keys, oldest first.
        imported: Id of the run that imported changes belong to.
        beside_runs: Whether to import a change also if a run has another change of the same access.
    """
    latest = {(change.access_request, change.key): change for change in listed}
    outcomes: Counter[AdoptionOutcome] = Counter()
    new, statuses = [], []
    for change in latest.values():
        outcome, in_ledger = _decide(change, known.get(change.key, ()), imported, beside_runs=beside_runs)
        outcomes[outcome] += 1
        if outcome is AdoptionOutcome.IMPORTED:
            new.append(change)
        elif outcome is AdoptionOutcome.UPDATED and in_ledger is not None:
            statuses.append(change.status(in_ledger.request))
    outcomes[AdoptionOutcome.UNCHANGED] += len(listed) - len(latest)
    return AdoptionPlan(new=tuple(new), statuses=tuple(statuses), outcomes=outcomes)


def _decide(
    change: ListedChange, known: Sequence[LedgerChange], imported: str, *, beside_runs: bool
) -> tuple[AdoptionOutcome, LedgerChange | None]:
    found = change_in_ledger(change.named, change.access_request, known, imported=imported)
    if found is not None:
        if found.state != State.ACCEPTED:
            return AdoptionOutcome.UNSETTLED, None
        is_same = found.status == change.status(found.request)
        return (AdoptionOutcome.UNCHANGED if is_same else AdoptionOutcome.UPDATED), found
    if not beside_runs and any(other.run != imported and other.state not in VOID for other in known):
        return AdoptionOutcome.KNOWN, None
    return AdoptionOutcome.IMPORTED, None
