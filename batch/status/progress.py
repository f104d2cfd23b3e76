"""TrackedRun accepted changes: which row of the status list is which change, what is new, what to ask next and when.

A row is a change's by the request's id in its clientMetadata. Where the list returns no clientMetadata at all,
identity, item, operation and time stand in for it; and a row of an access request that the tenant itself has named for
a change is that change's, whoever has requested it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT, REQUEST_ID_KEY, REQUEST_TYPES, Operation
from batch.api.tenant_outcome import EXISTING_SAID, TenantOutcome, is_existing
from batch.api.tenant_outcome import tenant_outcome as outcome_of
from batch.model import ChangeStatus
from batch.status.matching import item_of
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl

    from batch.model import StatusRow

SKEW: Final = timedelta(seconds=5)
"""By how much earlier than its run a row may seem to be made, once the clocks are compared: a `Date` is in seconds."""

MOST_IDENTITIES: Final = 500
"""Identities of whom all is asked, before what never showed counts as not visible."""

UNNAMED: Final = "UNKNOWN"
"""Stands for the state of a row that gives none."""


class TenantStatus(NamedTuple):
    """What the tenant says of a change; the fields are those of model.ChangeStatus."""

    state: str
    who: str
    said: str
    since: str
    access_request: str

    @property
    def tenant_outcome(self) -> TenantOutcome:
        """What it amounts to."""
        return outcome_of(self.state, self.said)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackQuery:
    """One list to ask for: what the token's user has requested, unless an identity or everybody is named.

    Attributes:
        since: Only rows made then or later, by the tenant's clock; None for all.
        identity: This identity's rows, whoever requested them.
        access_requests: Only rows of these access requests.
        everybody: Whoever requested them.
    """

    since: datetime | None = None
    identity: str = ""
    access_requests: tuple[str, ...] = ()
    everybody: bool = False


class _Change(NamedTuple):
    request: int
    operation: str
    identity: str
    item_type: str
    item: str
    accepted_at: datetime


class _Match(IntEnum):
    """By what a row is taken for a change's, the surest last: its type only, the item, or the request's id."""

    GUESSED = 0
    ALIKE = 1
    OWN = 2


class TrackedRun:
    """The accepted changes of one run on their way to their ends.

    Args:
        run: The run's id.
        changes: By ledger.tracks.FOLLOWED_SCHEMA, in the order of their requests.
        since: When the run began, by our clock.

    Attributes:
        moved: How often a state, or who is behind it, has changed so far.
    """

    def __init__(self, run: str, changes: pl.DataFrame, *, since: datetime) -> None:
        self._since = since
        named = changes.select("request", "operation", "identity_id", "item_type", "item_id", "accepted_at")
        self._changes = [
            _Change(request, operation, identity, item_type, item, datetime.fromisoformat(at))
            for request, operation, identity, item_type, item, at in named.iter_rows()
        ]
        known = changes.select("state", "who", "said", "since", "access_request").iter_rows()
        self._said: list[TenantStatus | None] = [
            TenantStatus(*cells) if cells[0] is not None else None for cells in known
        ]
        self._prefix = f"{run}-"
        self._of_request: dict[tuple[str, str, str], list[int]] = {}
        for n, one in enumerate(self._changes):
            self._of_request.setdefault((str(one.request), one.identity, one.item), []).append(n)
        # Of a change that was submitted again, only the newest request still matters.
        latest = {(one.identity, one.item_type, one.item): n for n, one in enumerate(self._changes)}
        self._open = {n for n in latest.values() if _is_open(self._said[n])}
        self._awaited = frozenset(self._open)
        self._of_access_request: dict[tuple[str, str], list[int]] = {}
        self._rows_of: Counter[str] = Counter()
        for n, said in enumerate(self._said):
            if said is not None and said.access_request:
                self._named(n, said.access_request)
        self._of_pair: dict[tuple[str, str], list[int]] = {}
        for n, one in enumerate(self._changes):
            self._of_pair.setdefault((one.identity, one.item), []).append(n)
        self._created: dict[int, datetime] = {}
        self._seen: set[int] = set()
        self._own: set[int] = set()
        self._others: set[int] = set()
        self._asked: set[str] = set()
        self._best: dict[int, tuple[_Match, StatusRow]] = {}
        self._bare: dict[tuple[str, str], dict[str, StatusRow]] = {}
        self.moved = 0

    @property
    def open(self) -> int:
        """How many changes may still come to any end, and are waited for."""
        return len(self._open)

    def set_clock(self, offset: timedelta) -> None:
        """Says how far the tenant's clock is ahead of ours; rows can be the run's from its beginning on."""
        self._since += offset - SKEW

    # What came.

    def begin_look(self) -> None:
        """A new look begins: what the tenant says from now on is newer than all before."""
        self._best.clear()
        self._bare.clear()

    def take(self, rows: Iterable[StatusRow]) -> list[ChangeStatus]:
        """What rows say that was not known: in whichever order the rows of one look come, and however often."""
        touched: dict[int, None] = {}
        for row in rows:
            metadata = row.metadata or {}
            item = item_of(row)
            own = self._of_our_request(metadata.get(REQUEST_ID_KEY, ""), row, item)
            if own is not None:
                self._own.add(own)
                self._others.discard(own)
                self._offer(own, row, touched, _Match.OWN)
            elif not self._take_named(row, item, touched) and not metadata:
                self._keep_bare(row)
        return self._learned(touched)

    def end_look(self) -> list[ChangeStatus]:
        """What rows without clientMetadata say, once all are there: nothing where the list returns any of ours."""
        touched: dict[int, None] = {}
        for key, rows in self._bare.items() if not self._own else ():
            # What says which kind it is goes before what does not, in whichever order they came.
            for kind in sorted({_kind(row) for row in rows.values()}, reverse=True):
                same = [row for row in rows.values() if _kind(row) == kind]
                waiting = [
                    n for n in self._of_pair[key] if self._is_unnamed(n) and _is_alike(self._changes[n], same[0])
                ]
                # Of one change submitted twice, the older row is the older request's.
                for n, row in zip(waiting, sorted(same, key=_rank), strict=False):
                    self._offer(n, row, touched, _Match.ALIKE)
        self._bare.clear()
        return self._learned(touched)

    def _is_unnamed(self, n: int) -> bool:
        said = self._said[n]
        return n not in self._best and not (said and said.access_request)

    def _of_our_request(self, request: str, row: StatusRow, item: str) -> int | None:
        if not request.startswith(self._prefix):
            return None
        number = request.removeprefix(self._prefix)
        found = self._of_request.get((number, row.identity, item), ())
        if not found and number.isdecimal():
            # A request that arrived in part was divided: the first after it that has the change has taken it over.
            later = [n for n in self._of_pair.get((row.identity, item), ()) if self._changes[n].request > int(number)]
            found = [n for n in later if self._changes[n].request == self._changes[later[0]].request]
        same_type = [n for n in found if self._changes[n].item_type == row.item_type] if len(found) > 1 else found
        return same_type[0] if same_type else None

    def _take_named(self, row: StatusRow, item: str, touched: dict[int, None]) -> bool:
        """Takes a row of an access request that the tenant has named for a change."""
        candidates = self._of_access_request.get((row.access_request, row.identity), ()) if row.access_request else ()
        # In later API versions the row's id is the request's: then the type tells, where it tells one from all others.
        same_type = [n for n in candidates if n not in self._own and row.item_type in {"", self._changes[n].item_type}]
        same_item = [n for n in same_type if self._changes[n].item == item]
        is_another = (row.identity, item) in self._of_pair
        found = same_item or (same_type if len(same_type) == 1 and not is_another else [])
        for n in found:
            self._offer(n, row, touched, _Match.ALIKE if same_item else _Match.GUESSED)
        return bool(found)

    def _keep_bare(self, row: StatusRow) -> None:
        key = (row.identity, row.item)
        if self._own or key not in self._of_pair or row.created is None or row.created < self._since:
            return
        rows = self._bare.setdefault(key, {})
        mark = row.activity or row.access_request or row.created.isoformat()
        if mark not in rows or _rank(row) > _rank(rows[mark]):
            rows[mark] = row

    def _offer(self, n: int, row: StatusRow, touched: dict[int, None], claim: _Match) -> None:
        best = self._best.get(n)
        if best is None or (claim, _rank(row)) > (best[0], _rank(best[1])):
            self._best[n] = claim, row
            touched[n] = None

    def _learned(self, touched: Iterable[int]) -> list[ChangeStatus]:
        learned = []
        for n in touched:
            change, (claim, row), before = self._changes[n], self._best[n], self._said[n]
            self._seen.add(n)
            if row.created is not None:
                self._created[n] = row.created
            # That it is another's request that ends so must not be forgotten: nothing of it is ours to take back.
            is_anothers = claim is not _Match.OWN and before is not None and is_existing(before.state, before.said)
            said = "; ".join(filter(None, (EXISTING_SAID, row.said))) if is_anothers else row.said
            now = TenantStatus(row.state or UNNAMED, row.who, said, instant(row.since), row.access_request)
            if now == before:
                continue
            if before is None or now[:2] != before[:2]:
                self.moved += 1
            self._said[n] = now
            if now.access_request and (before is None or before.access_request != now.access_request):
                self._named(n, now.access_request)
            if not _is_open(now):
                self._open.discard(n)
            elif n in self._awaited:
                self._open.add(n)
            learned.append(
                ChangeStatus(
                    request=change.request,
                    identity=change.identity,
                    item_type=change.item_type,
                    item=change.item,
                    **now._asdict(),
                )
            )
        return learned

    def _named(self, n: int, access_request: str) -> None:
        self._of_access_request.setdefault((access_request, self._changes[n].identity), []).append(n)
        self._rows_of[access_request] += 1

    # What to ask.

    def sweep(self) -> TrackQuery:
        """The list of everything that the token's user has requested since the oldest open change."""
        created = [self._created.get(n) for n in self._open - self._others]
        known = [moment for moment in created if moment is not None]
        complete = bool(known) and len(known) == len(created)
        return TrackQuery(since=min(known) - SKEW if complete else self._since)

    def questions(
        self, *, listed: int | None, at_once: int = FILTER_VALUES, identities: bool = True
    ) -> tuple[TrackQuery, ...]:
        """The cheapest lists that have every open change of our own.

        Args:
            listed: Rows of the sweep; None where that is not known.
            at_once: Access requests that one question may name; 0 where it may name none.
            identities: Whether an identity's list may be asked for.
        """
        sweep = (self.sweep(),)
        if listed is None:
            return sweep
        named = {n: said.access_request for n, said in self._with_access_request()} if at_once else {}
        ids = sorted({access_request for n, access_request in named.items() if n not in self._others})
        by_id = _in_parts(ids, at_once, everybody=False)
        people = sorted({self._changes[n].identity for n in self._open.difference(named)})
        if people and not identities:
            return sweep
        by_identity = tuple(TrackQuery(identity=identity, since=self._since) for identity in people)
        rows = (sum(self._rows_of[one] for one in part.access_requests) for part in by_id)
        calls = sum(map(_pages, rows)) + len(by_identity)
        return (*by_id, *by_identity) if calls < _pages(listed) else sweep

    def _with_access_request(self) -> Iterator[tuple[int, TenantStatus]]:
        for n in self._open:
            said = self._said[n]
            if said is not None and said.access_request:
                yield n, said

    def unheard(self, *, at_once: int = FILTER_VALUES) -> tuple[TrackQuery, ...]:
        """The lists of access requests that the tenant has named, and that are not among our own: others made them."""
        missing = {n: said.access_request for n, said in self._with_access_request() if n not in self._best}
        self._others.update(missing)
        return _in_parts(sorted(set(missing.values())), at_once, everybody=True)

    # When to end, and when to look again.

    def overdue(self, now: datetime, settle_after: timedelta) -> tuple[TrackQuery, ...]:
        """The lists of those identities of whom something must be visible by now and was never seen, each asked once.

        Args:
            now: By our clock.
            settle_after: How long something accepted may take to show.
        """
        late = {self._changes[n].identity for n in self._late(now, settle_after)} - self._asked
        asked = sorted(late)[: max(0, MOST_IDENTITIES - len(self._asked))]
        self._asked.update(asked)
        return tuple(TrackQuery(identity=identity, since=self._since) for identity in asked)

    def give_up(self, now: datetime, settle_after: timedelta) -> None:
        """Waits no longer for what must be visible by now and was never seen."""
        self._open.difference_update(self._late(now, settle_after))

    def next_late(self, settle_after: timedelta) -> datetime | None:
        """When the next change that was never seen is given up; None where there is none."""
        unseen = [self._changes[n].accepted_at for n in self._open.difference(self._seen)]
        return min(unseen) + settle_after if unseen else None

    def _late(self, now: datetime, settle_after: timedelta) -> list[int]:
        unseen = self._open.difference(self._seen)
        return [n for n in unseen if now - self._changes[n].accepted_at >= settle_after]


def _is_open(said: TenantStatus | None) -> bool:
    return said is None or said.tenant_outcome is TenantOutcome.OPEN


def _in_parts(ids: Sequence[str], at_once: int, *, everybody: bool) -> tuple[TrackQuery, ...]:
    if not at_once:
        return ()
    parts = (tuple(ids[start : start + at_once]) for start in range(0, len(ids), at_once))
    return tuple(TrackQuery(access_requests=part, everybody=everybody) for part in parts)


def _pages(rows: int) -> int:
    return max(1, -(-rows // PAGE_LIMIT))


def _is_alike(change: _Change, row: StatusRow) -> bool:
    same_kind = row.request_type in {"", REQUEST_TYPES[Operation(change.operation)]}
    return same_kind and row.item_type in {"", change.item_type}


def _kind(row: StatusRow) -> tuple[str, str]:
    return row.request_type, row.item_type


def _rank(row: StatusRow) -> tuple[object, ...]:
    """Which of several rows is the newest; of those that are equally old, always the same one."""
    final = outcome_of(row.state, row.said) is not TenantOutcome.OPEN
    return (
        row.created or _NEVER,
        row.activity,
        row.since or _NEVER,
        final,
        row.state,
        row.who,
        row.said,
        row.access_request,
        _kind(row),
    )


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
