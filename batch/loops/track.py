"""Tracking: read the status list, record new states, wait, until every accepted change of a run has ended.

New states are written to the ledger as they arrive. Tracking can end at any moment, and the next process continues
from what is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.answers.events import StatusesChanged, StatusesRead
from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT
from batch.errors import TenantLostError
from batch.loops.approvals import PendingApprovals
from batch.status.compare import sent_since
from batch.status.progress import TrackedRun
from batch.tenant.status import ListingForbiddenError, Query, all_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.status_row import ChangeStatus, StatusRow
    from batch.ledger.store import Ledger
    from batch.model import Clock, Run
    from batch.status.progress import TrackQuery
    from batch.tenant.approvals import ApprovalQuery, Approvals
    from batch.tenant.status import Listing, Page

AT_ONCE: Final = 8 * PAGE_LIMIT
"""Rows after which their states are written, at the latest."""

MOST_FOR_APPROVERS: Final = 20
"""Calls of one reading that find out whom changes wait for; if it takes more, the status list's word must do."""


class Tracker:
    """Tracks the accepted changes of a run.

    Args:
        run: The run.
        ledger: Records the states.
        listing: The tenant's status list.
        approvals: Its list of pending approvals.
        by_request: Whether that can be asked for access requests.
        settle_after: Seconds within which the list shows accepted changes.
        clock: This machine's clock.
        tell: Takes the events.
        track_for: Seconds after which to end; 0 to read the list once, None to wait for every change.

    Attributes:
        submitted_twice: How many changes the list has shown with the ids of several attempts.
        looked_at: When the list was last searched for all open changes; None before.
        closed_approvals: Why the tenant does not show its pending approvals; empty if it does, or was not asked.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        listing: Listing,
        approvals: Approvals,
        by_request: bool,
        settle_after: float,
        clock: Clock,
        tell: Tell,
        track_for: float | None = None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._listing = listing
        self._approvals = approvals
        self._by_request = by_request
        self._one_at_a_time = asyncio.Lock()
        self._too_many: float = math.inf
        self._settle_after = timedelta(seconds=settle_after)
        self._clock = clock
        self._tell = tell
        self._track_for = track_for
        self._work: asyncio.Task[None] | None = None
        self._stopped = False
        self._unwritten: list[ChangeStatus] = []
        self._listed: int | None = None
        self._at_once = FILTER_VALUES
        self._others_listed = True
        self.submitted_twice = 0
        self.looked_at: datetime | None = None
        self.closed_approvals = ""

    async def track(self) -> None:
        """Return when no change is open, when the time is up, or after `stop`.

        Raises:
            StoppedError: The list can't be read, or the ledger can't be written.
        """
        self._work = asyncio.create_task(self._track())
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._stopped:
                raise

    def stop(self) -> None:
        """End at once. The states found so far are recorded."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    async def _track(self) -> None:
        changes = await asyncio.to_thread(self._ledger.tracks.of_run, self._run)
        if changes.is_empty():
            return
        restored = await asyncio.to_thread(self._ledger.lost.restored)
        tracked = TrackedRun(self._run.id, changes, since=sent_since(self._run), restored=restored)
        del changes
        if tracked.open:
            tracked.set_clock(await self._listing.clock_offset())
        began, wait = self._clock.monotonic(), 0.0
        while tracked.open and not self._stopped:
            looked, moved = self._clock.monotonic(), tracked.moved
            await self._look(tracked)
            self.submitted_twice = tracked.submitted_twice
            now = self._clock.monotonic()
            wait = next_wait(wait, moved=tracked.moved > moved, took=now - looked)
            left = None if self._track_for is None else self._track_for - (now - began)
            pause = self._pause(tracked, wait, left)
            self._tell(StatusesRead(open_changes=tracked.open, wait=pause if tracked.open else 0.0))
            if not tracked.open or (left is not None and left <= 0):
                return
            await asyncio.sleep(pause)

    def _pause(self, tracked: TrackedRun, wait: float, left: float | None) -> float:
        """Seconds to the next reading: at most until the time is up, or until a change counts as not visible."""
        late = tracked.next_overdue(self._settle_after)
        until_late = wait if late is None else max(0.0, (late - self._clock.now()).total_seconds())
        return min(wait, until_late, wait if left is None else max(0.0, left))

    async def _look(self, tracked: TrackedRun) -> None:
        """Read the cheapest lists first, then others that may show the changes that are still missing."""
        tracked.begin_look()
        try:
            await self._ask_approvals(tracked)
            await self._ask_own(tracked)
            await self._ask_all(tracked, tracked.queries_for_others(at_once=self._at_once))
            await self._keep(tracked.end_look())
            await self._ask_all(tracked, tracked.queries_for_overdue(self._clock.now(), self._settle_after))
            await self._keep(tracked.end_look())
            # Now for the changes on which the tenant had not reported before.
            await self._ask_approvals(tracked)
        except ListingForbiddenError as error:
            raise TenantLostError(
                f"The tenant does not let this client list its requests: {error}.",
                next_step="The ledger is unchanged. `access-batch doctor` shows which right is missing.",
            ) from error
        finally:
            await self._write()
        self.looked_at = self._clock.now()
        tracked.give_up(self.looked_at, self._settle_after)

    async def _ask_own(self, tracked: TrackedRun) -> None:
        queries = self._own_queries(tracked)
        if queries == (own_list := tracked.own_list(),):
            first = await self._first_page(own_list)
            # The first page tells the length of the list: other lists may be cheaper, unless this page was all.
            if not first.more or (queries := self._own_queries(tracked)) == (own_list,):
                await self._take(tracked, own_list, first)
                return
        for query in queries:
            try:
                await self._take(tracked, query)
            except ListingForbiddenError:
                # The vendor's documents disagree on the filter: several access requests, one, or none at all.
                if query.access_requests:
                    self._at_once = 1 if self._at_once > 1 else 0
                else:
                    self._others_listed = False
                await self._ask_own(tracked)
                return

    def _own_queries(self, tracked: TrackedRun) -> tuple[TrackQuery, ...]:
        return tracked.cheapest_queries(listed=self._listed, at_once=self._at_once, identities=self._others_listed)

    async def _first_page(self, own_list: TrackQuery) -> Page:
        page = await self._listing.page(_query_of(own_list), 0)
        self._listed = page.read if page.total is None else page.total
        return page

    async def _ask_all(self, tracked: TrackedRun, queries: Iterable[TrackQuery]) -> None:
        """Read the requests of others, if the tenant allows it."""
        for query in queries:
            with contextlib.suppress(ListingForbiddenError):
                await self._take(tracked, query)

    async def _ask_approvals(self, tracked: TrackedRun) -> None:
        """Find out whom the open changes wait for, if that takes few calls."""
        people, access_requests = tracked.ask_approvals()
        # Too many approvals once are too many again, until far fewer changes wait for them.
        if self.closed_approvals or not people or 2 * len(people) > self._too_many:
            return
        pending = PendingApprovals(
            self._approvals_page, people=people, access_requests=access_requests if self._by_request else ()
        )
        approvals = None
        if 1 + await pending.begin() > MOST_FOR_APPROVERS:
            self._too_many = len(people)
        else:
            approvals = await pending.read()
        # If only this list is broken, the others still tell what tracking is about.
        self.closed_approvals = pending.closed
        await self._keep(tracked.take_approvals(approvals or ()))

    async def _approvals_page(self, query: ApprovalQuery, offset: int) -> Page:
        async with self._one_at_a_time:
            return await self._approvals.page(query, offset)

    async def _take(self, tracked: TrackedRun, query: TrackQuery, first: Page | None = None) -> None:
        rows: list[StatusRow] = []
        try:
            async for row in all_rows(self._listing, _query_of(query), first):
                rows.append(row)
                if len(rows) >= AT_ONCE:
                    await self._keep(tracked.take(rows))
                    rows.clear()
        finally:
            self._unwritten += tracked.take(rows)
        if len(self._unwritten) >= AT_ONCE:
            await self._write()

    async def _keep(self, findings: list[ChangeStatus]) -> None:
        self._unwritten += findings
        await self._write()

    async def _write(self) -> None:
        """Write the new states. A stop meanwhile does not interrupt the write."""
        findings, self._unwritten = self._unwritten, []
        if not findings:
            return
        now = self._clock.now()
        writing = asyncio.ensure_future(asyncio.to_thread(self._ledger.tracks.write, self._run, findings, now))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        self._tell(StatusesChanged(changes=findings))


def _query_of(query: TrackQuery) -> Query:
    return Query(
        since=query.since,
        requested_for=query.identity,
        everybody=query.everybody,
        access_requests=query.access_requests,
    )


FIRST_WAIT: Final = 2.0
"""Seconds from the first reading to the second."""

LONGEST_WAIT: Final = 300.0
"""Seconds between two readings, at most."""


def next_wait(wait: float, *, moved: bool, took: float) -> float:
    """Seconds until the next reading: longer each time, shorter again after a change of state.

    Args:
        wait: Seconds before the reading that has just ended; 0 before the first.
        moved: Whether it found a new state.
        took: Seconds that it took: at most half of the time is spent reading.
    """
    longer = FIRST_WAIT if wait <= 0 else wait / 2 if moved else wait * 2
    return min(LONGEST_WAIT, max(FIRST_WAIT, longer, took))
