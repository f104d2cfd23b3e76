"""The following loop: look, keep what is new, wait, until every accepted change of a run has come to its end.

What the tenant says is written to the ledger as it comes, so that nothing is lost by an end at any moment: whoever
follows the run next begins with what was known.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.answers.events import StatusesChanged, StatusesRead
from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT
from batch.errors import TenantLostError
from batch.status.progress import TrackedRun
from batch.tenant.status import ListingForbiddenError, Query, all_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.answers.events import Tell
    from batch.ledger.store import Ledger
    from batch.model import ChangeStatus, Clock, Run, StatusRow
    from batch.status.progress import TrackQuery
    from batch.tenant.status import Listing, Page

AT_ONCE: Final = 8 * PAGE_LIMIT
"""Rows after which what they say is written, at the latest."""


class Tracker:
    """Follows the accepted changes of a run.

    Args:
        run: The run.
        ledger: Where what is found goes.
        listing: The tenant's status list.
        settle_after: Seconds that something accepted may take to show in the list.
        clock: This machine's clock.
        tell: Takes what is found.
        track_for: Seconds after which to end, with what is then known; 0 to look once, None for as long as it takes.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        listing: Listing,
        settle_after: float,
        clock: Clock,
        tell: Tell,
        track_for: float | None = None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._listing = listing
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

    async def track(self) -> None:
        """Returns when nothing is open any more, when the time is up, or when it was stopped.

        Raises:
            StoppedError: The list can't be had, or the ledger can't be written.
        """
        self._work = asyncio.create_task(self._follow())
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._stopped:
                raise

    def stop(self) -> None:
        """Ends at once; what was found so far is recorded."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    async def _follow(self) -> None:
        changes = await asyncio.to_thread(self._ledger.tracks.of_run, self._run)
        if changes.is_empty():
            return
        following = TrackedRun(self._run.id, changes, since=self._run.started_at)
        del changes
        if following.open:
            following.set_clock(await self._listing.clock_offset())
        began, wait = self._clock.monotonic(), 0.0
        while following.open:
            looked, moved = self._clock.monotonic(), following.moved
            await self._look(following)
            now = self._clock.monotonic()
            wait = next_wait(wait, moved=following.moved > moved, took=now - looked)
            left = None if self._track_for is None else self._track_for - (now - began)
            pause = self._pause(following, wait, left)
            self._tell(StatusesRead(open_changes=following.open, wait=pause if following.open else 0.0))
            if not following.open or (left is not None and left <= 0):
                return
            await asyncio.sleep(pause)

    def _pause(self, following: TrackedRun, wait: float, left: float | None) -> float:
        """Seconds to the next look: no longer than to the end, nor than until something counts as not visible."""
        late = following.next_overdue(self._settle_after)
        until_late = wait if late is None else max(0.0, (late - self._clock.now()).total_seconds())
        return min(wait, until_late, wait if left is None else max(0.0, left))

    async def _look(self, following: TrackedRun) -> None:
        """Asks what is cheapest, then what else may have something of the changes that did not show."""
        following.begin_look()
        try:
            await self._ask_own(following)
            await self._ask_all(following, following.queries_for_others(at_once=self._at_once))
            await self._keep(following.end_look())
            await self._ask_all(following, following.queries_for_overdue(self._clock.now(), self._settle_after))
            await self._keep(following.end_look())
        except ListingForbiddenError as error:
            raise TenantLostError(
                f"The tenant does not let this client list its requests: {error}.",
                next_step="What the ledger says stays as it is. `access-batch doctor` says which right is missing.",
            ) from error
        finally:
            await self._write()
        following.give_up(self._clock.now(), self._settle_after)

    async def _ask_own(self, following: TrackedRun) -> None:
        questions = self._questions(following)
        if questions == (sweep := following.own_list(),):
            first = await self._first_page(sweep)
            # The first page says how long the list is: another way may be cheaper, unless this was all of it.
            if not first.more or (questions := self._questions(following)) == (sweep,):
                await self._take(following, sweep, first)
                return
        for question in questions:
            try:
                await self._take(following, question)
            except ListingForbiddenError:
                # Documents disagree on how a filter may name access requests: many, one at a time, or not at all.
                if question.access_requests:
                    self._at_once = 1 if self._at_once > 1 else 0
                else:
                    self._others_listed = False
                await self._ask_own(following)
                return

    def _questions(self, following: TrackedRun) -> tuple[TrackQuery, ...]:
        return following.cheapest_queries(listed=self._listed, at_once=self._at_once, identities=self._others_listed)

    async def _first_page(self, sweep: TrackQuery) -> Page:
        page = await self._listing.page(_query(sweep), 0)
        self._listed = page.read if page.total is None else page.total
        return page

    async def _ask_all(self, following: TrackedRun, questions: Iterable[TrackQuery]) -> None:
        """Asks for what others have requested, as far as that may be known."""
        for question in questions:
            with contextlib.suppress(ListingForbiddenError):
                await self._take(following, question)

    async def _take(self, following: TrackedRun, question: TrackQuery, first: Page | None = None) -> None:
        rows: list[StatusRow] = []
        try:
            async for row in all_rows(self._listing, _query(question), first):
                rows.append(row)
                if len(rows) >= AT_ONCE:
                    await self._keep(following.take(rows))
                    rows.clear()
        finally:
            self._unwritten += following.take(rows)
        if len(self._unwritten) >= AT_ONCE:
            await self._write()

    async def _keep(self, findings: list[ChangeStatus]) -> None:
        self._unwritten += findings
        await self._write()

    async def _write(self) -> None:
        """Writes what is new; where we are stopped meanwhile, that is still carried through."""
        findings, self._unwritten = self._unwritten, []
        if not findings:
            return
        writing = asyncio.ensure_future(asyncio.to_thread(self._ledger.tracks.write, self._run, findings))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        self._tell(StatusesChanged(changes=findings))


def _query(question: TrackQuery) -> Query:
    return Query(
        since=question.since,
        requested_for=question.identity,
        everybody=question.everybody,
        access_requests=question.access_requests,
    )


FIRST_WAIT: Final = 2.0
"""Seconds from the first look to the second."""

LONGEST_WAIT: Final = 300.0
"""Seconds between two looks at most."""


def next_wait(wait: float, *, moved: bool, took: float) -> float:
    """Seconds until the next look: longer each time, shorter again where something moved.

    Args:
        wait: Seconds before the look that has just ended; 0 before the first.
        moved: Whether it has found anything new.
        took: Seconds that it took: at most half of the time is spent looking.
    """
    longer = FIRST_WAIT if wait <= 0 else wait / 2 if moved else wait * 2
    return min(LONGEST_WAIT, max(FIRST_WAIT, longer, took))
