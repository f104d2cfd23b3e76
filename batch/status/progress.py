"""Tracks accepted changes: which row of the status list is which change, what is new, and what to list next and when.

A row belongs to a change by the request's id in its clientMetadata. If the list returns no clientMetadata at all,
identity, item, operation and time stand in for it. A row of an access request that the tenant itself named for a change
belongs to that change, whoever requested it.

Whom a change waits for, the pending approvals tell better than the status list: also who forwarded it, and since when.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT
from batch.api.tenant_outcome import EXISTING, EXISTING_SAID, TenantOutcome, is_existing, tenant_outcome
from batch.status.matching import Confidence, RunChanges, accepted_changes, attempt_id, is_bare, was_created_since
from batch.status.pending import waiting_for
from batch.text import instant, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from batch.api.status_row import ChangeStatus, StatusRow
    from batch.text import RequestId

SKEW: Final = timedelta(seconds=5)
"""How much earlier than its run a row may be created, once the clocks are compared: a `Date` header is in seconds."""

MOST_IDENTITIES: Final = 500
"""Identities whose lists are read before a change that never showed counts as not visible."""

UNNAMED: Final = "UNKNOWN"
"""The state of a row that gives none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackQuery:
    """One list to read: what the token's user requested, unless an identity or everybody is named.

    Attributes:
        since: Only rows created then or later, by the tenant's clock; None for all.
        identity: This identity's rows, whoever requested them.
        access_requests: Only rows of these access requests.
        everybody: Whoever requested them.
    """

    since: datetime | None = None
    identity: str = ""
    access_requests: tuple[str, ...] = ()
    everybody: bool = False


class TrackedRun:
    """The accepted changes of one run on their way to their ends; a change is known by its position.

    Args:
        run: The run's id.
        changes: By ledger.track.TRACK_SCHEMA, in the order of their requests.
        since: When the run began, by our clock.
        restored: See RunChanges.

    Attributes:
        moved: How often a state, or who is behind it, has changed so far.
    """

    def __init__(
        self,
        run: str,
        changes: pl.DataFrame,
        *,
        since: datetime,
        restored: Mapping[RequestId, RequestId] = MappingProxyType({}),
    ) -> None:
        self._since = since
        self._own = RunChanges(run, accepted_changes(changes), restored)
        self._changes = self._own.changes
        self._statuses = [change.known for change in self._changes]
        # If a change was submitted again, only its newest request still matters.
        latest = {
            (key_of(change.identity), change.item_type, key_of(change.item)): n
            for n, change in enumerate(self._changes)
        }
        self._open = {n for n in latest.values() if _is_open(self._statuses[n])}
        self._awaited = frozenset(self._open)
        self._of_access_request: dict[tuple[str, str], list[int]] = {}
        self._rows_of: Counter[str] = Counter()
        for n, status in enumerate(self._statuses):
            if status is not None and status.access_request:
                self._add_access_request(n, status.access_request)
        self._created: dict[int, datetime] = {}
        self._seen: set[int] = set()
        self._confirmed: set[int] = set()
        self._others: set[int] = set()
        self._listed_identities: set[str] = set()
        self._best: dict[int, tuple[Confidence, StatusRow]] = {}
        self._bare: dict[tuple[str, str], dict[str, StatusRow]] = {}
        self._attempts: defaultdict[int, set[str]] = defaultdict(set)
        # Each approval, with the approver that the status list named beside it; None before it is read again.
        self._approvals: dict[int, tuple[StatusRow, str | None]] = {}
        self._asked_approvals: set[int] = set()
        self._told_approvals: set[int] = set()
        self.moved = 0

    @property
    def submitted_twice(self) -> int:
        """How many changes the list has shown with the ids of several attempts."""
        return sum(len(attempts) > 1 for attempts in self._attempts.values())

    @property
    def open(self) -> int:
        """How many changes have not ended yet and are waited for."""
        return len(self._open)

    def set_clock(self, offset: timedelta) -> None:
        """Applies how far the tenant's clock is ahead of ours; rows can be the run's from its beginning on."""
        self._since += offset - SKEW

    # What came.

    def begin_look(self) -> None:
        """Begins a new look: reports from now on are newer than all before."""
        self._best.clear()
        self._bare.clear()
        self._told_approvals.clear()

    def take(self, rows: Iterable[StatusRow]) -> list[ChangeStatus]:
        """The new statuses that rows give, in whichever order the rows of one look come, and however often."""
        touched: dict[int, None] = {}
        for row in rows:
            n = self._own.tracked_by(row)
            if n is not None:
                self._confirmed.add(n)
                self._others.discard(n)
                if attempt := attempt_id(row):
                    self._attempts[n].add(attempt)
                self._offer(n, row, touched, Confidence.SURE)
            elif not self._take_by_access_request(row, touched) and is_bare(row):
                self._keep_bare(row)
        return self._new_statuses(touched)

    def take_approvals(self, approvals: Iterable[StatusRow]) -> list[ChangeStatus]:
        """Takes the pending approvals of the changes of `ask_approvals`, for the rows of this look and later ones.

        Returns:
            The new statuses of changes whose rows have come already.
        """
        found: defaultdict[int, list[StatusRow]] = defaultdict(list)
        for row in approvals:
            for n in self._waiting_for(row):
                found[n].append(row)
        for n in self._asked_approvals:
            self._approvals.pop(n, None)
        self._approvals |= {n: (row, None) for n, rows in found.items() if (row := waiting_for(rows)).who}
        return self._new_statuses([n for n in self._asked_approvals if n in self._best])

    def _waiting_for(self, approval: StatusRow) -> Iterable[int]:
        """The changes that a pending approval is about, by our request's id or the access request, and the item."""
        n = self._own.tracked_by(approval)
        named = self._of_access_request.get((approval.access_request, key_of(approval.identity)), ())
        matched_by, positions = self._own.of_access_request(approval, named)
        sure = positions if matched_by is Confidence.LIKELY else ()
        return {one for one in ((n,) if n is not None else sure) if one in self._asked_approvals}

    def end_look(self) -> list[ChangeStatus]:
        """The new statuses from rows without clientMetadata, once all are there.

        There are none if the list returned clientMetadata of ours.
        """
        touched: dict[int, None] = {}
        for rows in self._bare.values() if not self._confirmed else ():
            # Rows that give their type go before those that don't, in whichever order they came.
            for kind in sorted({_kind(row) for row in rows.values()}, reverse=True):
                same = [row for row in rows.values() if _kind(row) == kind]
                waiting = [n for n in self._own.of_bare(same[0]) if self._has_no_access_request(n)]
                # If one change was submitted twice, the older row is the older request's.
                for n, row in zip(waiting, sorted(same, key=_age), strict=False):
                    self._offer(n, row, touched, Confidence.LIKELY)
        self._bare.clear()
        return self._new_statuses(touched)

    def _has_no_access_request(self, n: int) -> bool:
        status = self._statuses[n]
        return n not in self._best and not (status and status.access_request)

    def _take_by_access_request(self, row: StatusRow, touched: dict[int, None]) -> bool:
        """Takes a row of an access request that the tenant named for a change."""
        whose = row.access_request, key_of(row.identity)
        named = self._of_access_request.get(whose, ()) if row.access_request else ()
        matched_by, found = self._own.of_access_request(row, [n for n in named if n not in self._confirmed])
        for n in found:
            self._offer(n, row, touched, matched_by)
        return bool(found)

    def _keep_bare(self, row: StatusRow) -> None:
        pair = key_of(row.identity), key_of(row.item)
        if self._confirmed or not self._own.has_pair(pair) or not was_created_since(row, self._since):
            return
        rows = self._bare.setdefault(pair, {})
        mark = row.activity or row.access_request or str(row.created)
        if mark not in rows or _age(row) > _age(rows[mark]):
            rows[mark] = row

    def _offer(self, n: int, row: StatusRow, touched: dict[int, None], matched_by: Confidence) -> None:
        """Keeps the row for the change if it is the surest and newest so far."""
        best = self._best.get(n)
        if best is None or (matched_by, _age(row)) > (best[0], _age(best[1])):
            self._best[n] = matched_by, row
            touched[n] = None

    def _new_statuses(self, touched: Iterable[int]) -> list[ChangeStatus]:
        new = []
        for n in touched:
            (matched_by, row), before = self._best[n], self._statuses[n]
            self._seen.add(n)
            if row.created is not None:
                self._created[n] = row.created
            # Keep on record that another's request ended so: nothing of it is ours to revoke.
            is_foreign = matched_by is not Confidence.SURE and before and is_existing(before.state, before.said)
            said = "; ".join(filter(None, (EXISTING_SAID, row.said))) if is_foreign else row.said
            now = self._with_approver(n, row, self._changes[n].status(row, state=row.state or UNNAMED, said=said))
            if now == before:
                continue
            if before is None or (now.state, now.who) != (before.state, before.who):
                self.moved += 1
            self._statuses[n] = now
            if now.access_request and (before is None or before.access_request != now.access_request):
                self._add_access_request(n, now.access_request)
            if not _is_open(now):
                self._open.discard(n)
            elif n in self._awaited:
                self._open.add(n)
            new.append(now)
        return new

    def _with_approver(self, n: int, row: StatusRow, status: ChangeStatus) -> ChangeStatus:
        """A change's status with the approver that the pending approvals name, as long as the status list agrees."""
        approval, listed = self._approvals.get(n, (None, None))
        if approval is None or not _is_open(status) or listed not in {None, row.who}:
            self._approvals.pop(n, None)
            return status
        self._approvals[n] = approval, row.who
        return replace(status, who=approval.who, since=instant(approval.since) or status.since)

    def _add_access_request(self, n: int, access_request: str) -> None:
        self._of_access_request.setdefault((access_request, key_of(self._changes[n].identity)), []).append(n)
        self._rows_of[access_request] += 1

    # What to list.

    def own_list(self) -> TrackQuery:
        """The list of everything that the token's user requested since the oldest open change."""
        created = [self._created.get(n) for n in self._open - self._others]
        known = [moment for moment in created if moment is not None]
        complete = bool(known) and len(known) == len(created)
        return TrackQuery(since=min(known) - SKEW if complete else self._since)

    def cheapest_queries(
        self, *, listed: int | None, at_once: int = FILTER_VALUES, identities: bool = True
    ) -> tuple[TrackQuery, ...]:
        """The cheapest lists that show every open change of our own.

        Args:
            listed: Rows of `own_list`; None if that is not known.
            at_once: Access requests that one query may name; 0 if it may name none.
            identities: Whether an identity's list may be read.
        """
        own_list = (self.own_list(),)
        if listed is None:
            return own_list
        named = dict(self._open_access_requests()) if at_once else {}
        ids = sorted({access_request for n, access_request in named.items() if n not in self._others})
        by_id = _in_parts(ids, at_once, everybody=False)
        people = sorted({self._changes[n].identity for n in self._open.difference(named)})
        if people and not identities:
            return own_list
        by_identity = tuple(TrackQuery(identity=identity, since=self._since) for identity in people)
        rows = (sum(self._rows_of[name] for name in part.access_requests) for part in by_id)
        calls = sum(map(_pages, rows)) + len(by_identity)
        return (*by_id, *by_identity) if calls < _pages(listed) else own_list

    def queries_for_others(self, *, at_once: int = FILTER_VALUES) -> tuple[TrackQuery, ...]:
        """The lists of access requests that the tenant named and our own lists did not show: others created them."""
        missing = {n: access_request for n, access_request in self._open_access_requests() if n not in self._best}
        self._others.update(missing)
        return _in_parts(sorted(set(missing.values())), at_once, everybody=True)

    def _open_access_requests(self) -> Iterator[tuple[int, str]]:
        for n in self._open:
            status = self._statuses[n]
            if status is not None and status.access_request:
                yield n, status.access_request

    def ask_approvals(self) -> tuple[list[str], list[str]]:
        """The people whose pending approvals to ask for, and their access requests; none of these if one is not known.

        Each open change counts once in a look, as soon as the tenant has reported on it.
        """
        self._asked_approvals = {
            n
            for n in self._open - self._told_approvals
            if (status := self._statuses[n]) is not None and status.state != EXISTING
        }
        self._told_approvals |= self._asked_approvals
        named = {n: name for n, name in self._open_access_requests() if n in self._asked_approvals}
        people = sorted({self._changes[n].identity for n in self._asked_approvals})
        return people, sorted(set(named.values())) if len(named) == len(self._asked_approvals) else []

    # When to end, and when to look again.

    def queries_for_overdue(self, now: datetime, settle_after: timedelta) -> tuple[TrackQuery, ...]:
        """The lists of identities with a change that must be visible by now and was never seen, each list once.

        Args:
            now: By our clock.
            settle_after: How long an accepted change may take to show.
        """
        overdue = {self._changes[n].identity for n in self._overdue(now, settle_after)} - self._listed_identities
        chosen = sorted(overdue)[: max(0, MOST_IDENTITIES - len(self._listed_identities))]
        self._listed_identities.update(chosen)
        return tuple(TrackQuery(identity=identity, since=self._since) for identity in chosen)

    def give_up(self, now: datetime, settle_after: timedelta) -> None:
        """Stops waiting for changes that must be visible by now and were never seen."""
        self._open.difference_update(self._overdue(now, settle_after))

    def next_overdue(self, settle_after: timedelta) -> datetime | None:
        """When the next change that was never seen is given up; None if there is none."""
        unseen = [self._changes[n].accepted_at for n in self._open.difference(self._seen)]
        return min(unseen) + settle_after if unseen else None

    def _overdue(self, now: datetime, settle_after: timedelta) -> list[int]:
        unseen = self._open.difference(self._seen)
        return [n for n in unseen if now - self._changes[n].accepted_at >= settle_after]


def _is_open(status: ChangeStatus | None) -> bool:
    return status is None or tenant_outcome(status.state, status.said) is TenantOutcome.OPEN


def _in_parts(ids: Sequence[str], at_once: int, *, everybody: bool) -> tuple[TrackQuery, ...]:
    if not at_once:
        return ()
    parts = (tuple(ids[start : start + at_once]) for start in range(0, len(ids), at_once))
    return tuple(TrackQuery(access_requests=part, everybody=everybody) for part in parts)


def _pages(rows: int) -> int:
    return max(1, -(-rows // PAGE_LIMIT))


def _kind(row: StatusRow) -> tuple[str, str]:
    return row.request_type, row.item_type


def _age(row: StatusRow) -> tuple[object, ...]:
    """Greater for a newer row; rows of equal age always sort the same way."""
    is_final = tenant_outcome(row.state, row.said) is not TenantOutcome.OPEN
    return (
        row.created or _NEVER,
        row.activity,
        row.since or _NEVER,
        is_final,
        row.state,
        row.who,
        row.said,
        row.access_request,
        _kind(row),
    )


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
