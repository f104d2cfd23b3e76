"""What of the tenant's status list goes into a ledger that does not know it, and which change each row is about.

Nothing is guessed: a row that does not say what it is about is counted, and left out. A key of which a run of this
ledger has something stays as that run left it, so that whatever is imported, nothing counts as fresh that did not
before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_ID_KEY, REQUEST_TYPES, ItemType, Operation
from batch.model import ChangeStatus
from batch.states import VOID, State
from batch.status.matching import change_with_requests, listed_item, named_item
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.model import StatusRow

Key = tuple[str, str, str]
"""Identity id, item type and item id."""


class NotAdoptable(StrEnum):
    """Why a row can't be understood, in words."""

    NO_IDENTITY = "they don't say whom they are for"
    NO_REQUEST = "they don't say to which access request they belong"
    NO_ITEM = "they have no id of their item"
    ODD_TYPE = "they are of a kind of item that is not known here"
    ODD_OPERATION = "they neither grant nor revoke"
    ODD_DATE = "their dates can't be read"


class Adoption(StrEnum):
    """What becomes of a row that is understood; the names are those of the JSON output."""

    IMPORTED = "imported"
    UPDATED = "updated"
    """The ledger has it, and the tenant says something new of it."""
    UNCHANGED = "unchanged"
    KNOWN = "known"
    """A run of this ledger has the same key, and its word counts."""
    UNSETTLED = "unsettled"
    """It is of a request of this ledger that is not known to have arrived: settling says so, and not this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedChange:
    """A change as a row of the status list has it.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        operation: Grant or revoke.
        start_date: As a request has it; empty for none.
        remove_date: Likewise.
        access_request: The tenant's id of the access request.
        created: When it was requested, in ISO 8601; empty where the tenant does not say.
        named: Id of the request that submitted it, of this ledger or another; empty where no ledger did.
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
        """What makes it the same change as another, but for operation and dates."""
        return self.identity, self.item_type, self.item

    def finding(self, request: int) -> ChangeStatus:
        """What the row says of the change in the ledger's request of that number."""
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
class LedgerChange:
    """A change that the ledger has.

    Attributes:
        run: Id of its run.
        request: Number of its request.
        state: The request's.
        finding: What the tenant last said of it; None where nothing.
    """

    run: str
    request: int
    state: str
    finding: ChangeStatus | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionPlan:
    """What is to be done about rows.

    Attributes:
        new: Those to be imported, in order.
        findings: What is newly said of changes that the ledger has.
        fates: How many rows came to what.
    """

    new: tuple[ListedChange, ...]
    findings: tuple[ChangeStatus, ...]
    outcomes: Mapping[Adoption, int]


_TYPES: Final = frozenset(one.value for one in ItemType)
_OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({said: name for name, said in REQUEST_TYPES.items()})


def read_listed(rows: Iterable[StatusRow]) -> tuple[list[ListedChange], Counter[NotAdoptable]]:
    """The changes that rows are about; and why so many others can't be understood."""
    listed: list[ListedChange] = []
    not_adoptable: Counter[NotAdoptable] = Counter()
    all_rows = list(rows)
    trusted = not change_with_requests(all_rows)
    for row in all_rows:
        change = _listed_change(row, trusted=trusted)
        if isinstance(change, NotAdoptable):
            not_adoptable[change] += 1
        else:
            listed.append(change)
    return listed, not_adoptable


def _listed_change(row: StatusRow, *, trusted: bool) -> ListedChange | NotAdoptable:
    if not row.access_request:
        return NotAdoptable.NO_REQUEST
    if row.item_type not in _TYPES:
        return NotAdoptable.ODD_TYPE
    if row.request_type not in _OPERATIONS:
        return NotAdoptable.ODD_OPERATION
    metadata = row.metadata or {}
    item = named_item(row) or (listed_item(row) if trusted else "")
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
        created=instant(row.created),
        named=metadata.get(REQUEST_ID_KEY, ""),
        state=row.state,
        who=row.who,
        said=row.said,
        since=instant(row.since),
    )


def _date(text: str) -> str | None:
    """A date of the list as a request has it: with milliseconds where there are any; None where it is none."""
    if not text:
        return ""
    try:
        found = instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
    return found.replace(".000Z", "Z")


def plan_adoption(
    listed: Sequence[ListedChange], lines: Mapping[Key, Sequence[LedgerChange]], *, imported: str
) -> AdoptionPlan:
    """Decides about rows.

    Args:
        listed: Rows, in the list's order; of two about one change in one access request the later one counts.
        lines: What the ledger has of their keys.
        imported: Id of the run of what was imported.
    """
    latest = {(seed.access_request, seed.key): seed for seed in listed}
    outcomes: Counter[Adoption] = Counter()
    new, findings = [], []
    for seed in latest.values():
        outcome, line = _fate(seed, lines.get(seed.key, ()), imported)
        outcomes[outcome] += 1
        if outcome is Adoption.IMPORTED:
            new.append(seed)
        elif outcome is Adoption.UPDATED and line is not None:
            findings.append(seed.finding(line.request))
    outcomes[Adoption.UNCHANGED] += len(listed) - len(latest)
    return AdoptionPlan(new=tuple(new), findings=tuple(findings), outcomes=outcomes)


def _fate(seed: ListedChange, lines: Sequence[LedgerChange], imported: str) -> tuple[Adoption, LedgerChange | None]:
    line = _submitted(seed, lines, imported) or next(
        (
            one
            for one in lines
            if one.run == imported and one.finding and one.finding.access_request == seed.access_request
        ),
        None,
    )
    if line is not None:
        if line.state != State.ACCEPTED:
            return Adoption.UNSETTLED, None
        return (Adoption.UNCHANGED if line.finding == seed.finding(line.request) else Adoption.UPDATED), line
    if any(one.run != imported and one.state not in VOID for one in lines):
        return Adoption.KNOWN, None
    return Adoption.IMPORTED, None


def _submitted(seed: ListedChange, lines: Sequence[LedgerChange], imported: str) -> LedgerChange | None:
    """The change of this ledger that the row is; where its request was divided, the one that took over from it."""
    run = seed.named.rpartition("-")[0]
    same_run = [one for one in lines if run and one.run == run != imported]
    exact = [one for one in same_run if f"{one.run}-{one.request}" == seed.named]
    if exact and exact[0].state not in VOID:
        return exact[0]
    later = (one for one in same_run if exact and one.request > exact[0].request and one.state == State.ACCEPTED)
    return next(later, None)
