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
from batch.model import Finding
from batch.states import VOID, State
from batch.status.matching import change_with_requests, listed_item, named_item
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.model import StatusRow

Key = tuple[str, str, str]
"""Identity id, item type and item id."""


class Puzzle(StrEnum):
    """Why a row can't be understood, in words."""

    NO_IDENTITY = "they don't say whom they are for"
    NO_REQUEST = "they don't say to which access request they belong"
    NO_ITEM = "they have no id of their item"
    ODD_TYPE = "they are of a kind of item that is not known here"
    ODD_OPERATION = "they neither grant nor revoke"
    ODD_DATE = "their dates can't be read"


class Fate(StrEnum):
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
class Seed:
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
        who: As in Finding.
        said: As in Finding.
        since: As in Finding.
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

    def finding(self, request: int) -> Finding:
        """What the row says of the change in the ledger's request of that number."""
        return Finding(
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
class Line:
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
    finding: Finding | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorted:
    """What is to be done about rows.

    Attributes:
        new: Those to be imported, in order.
        findings: What is newly said of changes that the ledger has.
        fates: How many rows came to what.
    """

    new: tuple[Seed, ...]
    findings: tuple[Finding, ...]
    fates: Mapping[Fate, int]


_TYPES: Final = frozenset(one.value for one in ItemType)
_OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({said: name for name, said in REQUEST_TYPES.items()})


def understood(rows: Iterable[StatusRow]) -> tuple[list[Seed], Counter[Puzzle]]:
    """The changes that rows are about; and why so many others can't be understood."""
    seeds: list[Seed] = []
    puzzles: Counter[Puzzle] = Counter()
    listed = list(rows)
    trusted = not change_with_requests(listed)
    for row in listed:
        seed = _seed(row, trusted=trusted)
        if isinstance(seed, Puzzle):
            puzzles[seed] += 1
        else:
            seeds.append(seed)
    return seeds, puzzles


def _seed(row: StatusRow, *, trusted: bool) -> Seed | Puzzle:
    if not row.access_request:
        return Puzzle.NO_REQUEST
    if row.item_type not in _TYPES:
        return Puzzle.ODD_TYPE
    if row.request_type not in _OPERATIONS:
        return Puzzle.ODD_OPERATION
    metadata = row.metadata or {}
    item = named_item(row) or (listed_item(row) if trusted else "")
    if not item:
        return Puzzle.NO_ITEM
    start_date, remove_date = _date(row.start_date), _date(row.remove_date)
    if start_date is None or remove_date is None:
        return Puzzle.ODD_DATE
    return Seed(
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


def sort_out(seeds: Sequence[Seed], lines: Mapping[Key, Sequence[Line]], *, imported: str) -> Sorted:
    """Decides about rows.

    Args:
        seeds: Rows, in the list's order; of two about one change in one access request the later one counts.
        lines: What the ledger has of their keys.
        imported: Id of the run of what was imported.
    """
    latest = {(seed.access_request, seed.key): seed for seed in seeds}
    fates: Counter[Fate] = Counter()
    new, findings = [], []
    for seed in latest.values():
        fate, line = _fate(seed, lines.get(seed.key, ()), imported)
        fates[fate] += 1
        if fate is Fate.IMPORTED:
            new.append(seed)
        elif fate is Fate.UPDATED and line is not None:
            findings.append(seed.finding(line.request))
    fates[Fate.UNCHANGED] += len(seeds) - len(latest)
    return Sorted(new=tuple(new), findings=tuple(findings), fates=fates)


def _fate(seed: Seed, lines: Sequence[Line], imported: str) -> tuple[Fate, Line | None]:
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
            return Fate.UNSETTLED, None
        return (Fate.UNCHANGED if line.finding == seed.finding(line.request) else Fate.UPDATED), line
    if any(one.run != imported and one.state not in VOID for one in lines):
        return Fate.KNOWN, None
    return Fate.IMPORTED, None


def _submitted(seed: Seed, lines: Sequence[Line], imported: str) -> Line | None:
    """The change of this ledger that the row is; where its request was divided, the one that took over from it."""
    run = seed.named.rpartition("-")[0]
    same_run = [one for one in lines if run and one.run == run != imported]
    exact = [one for one in same_run if f"{one.run}-{one.request}" == seed.named]
    if exact and exact[0].state not in VOID:
        return exact[0]
    later = (one for one in same_run if exact and one.request > exact[0].request and one.state == State.ACCEPTED)
    return next(later, None)
