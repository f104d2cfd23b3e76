"""Settling: find out from the tenant's status list what became of unconfirmed requests, while sending goes on.

A request that the list shows has arrived. A request that it does not show counts as not arrived, and is sent again,
only after `settle_after` seconds and after reading the list of each of its recipients. The list of the token's own
user takes fewer calls but does not prove absence: another user may have made an earlier attempt.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.answers.events import Settled
from batch.errors import AccessBatchError
from batch.status.evidence import Settlement, by_request, found_pairs, judge, parts_by_arrival, window_start
from batch.tenant.status import ListingForbiddenError, Query, all_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.ledger.store import Ledger
    from batch.model import Clock, Doubt, StatusRow
    from batch.tenant.status import Listing

FIRST_LOOK: Final = 1.0
"""Seconds from an attempt to the first reading of the list; each further reading waits twice as long."""


class Settler:
    """Settles the unconfirmed requests of a run.

    Args:
        ledger: Records the verdicts.
        listing: The tenant's status list.
        settle_after: Seconds within which the list shows a request that has arrived.
        clock: This machine's clock.
        tell: Takes each verdict.

    Attributes:
        forbidden: Why some requests must be settled by hand; empty if none.
        error: Why settling ended early, if it did.
        settled: Number of requests settled so far.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        listing: Listing,
        settle_after: float,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._ledger = ledger
        self._listing = listing
        self._settle_after = timedelta(seconds=settle_after)
        self._clock = clock
        self._tell = tell
        self._doubts: dict[int, Doubt] = {}
        self._next_look: dict[int, datetime] = {}
        self._left: set[int] = set()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self.forbidden = ""
        self._settling = False
        self._ended = False
        self.settled = 0
        self.error: AccessBatchError | None = None

    @property
    def open(self) -> bool:
        """Whether another verdict may come."""
        return (bool(self._doubts) or self._settling) and not self._ended

    async def news(self) -> None:
        """Return after the next verdict, or after settling has ended."""
        await self._news.wait()

    def add(self, doubts: Iterable[Doubt]) -> None:
        """Take on requests that are UNCONFIRMED in the ledger."""
        for doubt in doubts:
            if doubt.request.number in self._doubts or doubt.request.number in self._left:
                continue
            self._doubts[doubt.request.number] = doubt
            self._next_look[doubt.request.number] = min(
                doubt.ended + timedelta(seconds=FIRST_LOOK), self._deadline(doubt)
            )
        self._work.set()

    async def run(self) -> None:
        """Settle until cancelled, or until the list can't be read; `error` then holds the reason."""
        try:
            while True:
                await self._work.wait()
                while self._doubts:
                    await self._look()
                self._work.clear()
        except AccessBatchError as error:
            self.error = error
        finally:
            # No verdict comes any more, so nothing may wait for one.
            self._ended = True
            self._announce()

    def _deadline(self, doubt: Doubt) -> datetime:
        return doubt.ended + self._settle_after

    async def _look(self) -> None:
        """Wait until a reading is due, read, and judge the requests that are due."""
        now = self._clock.now()
        due = [self._doubts[number] for number, when in self._next_look.items() if when <= now]
        if not due:
            await asyncio.sleep((min(self._next_look.values()) - now).total_seconds())
            return
        offset = await self._listing.clock_offset()
        listed, proves_absence = await self._rows(due)
        rows = by_request(listed)
        for doubt in [doubt for doubt in due if doubt.request.number in self._doubts]:
            waited = now >= self._deadline(doubt)
            found = found_pairs(doubt, rows, offset)
            verdict = judge(doubt, found, waited=waited)
            if verdict in {Settlement.NOT_FOUND, Settlement.PARTLY} and not proves_absence:
                try:
                    found = found_pairs(doubt, by_request(await self._of_identities([doubt])), offset)
                except ListingForbiddenError as error:
                    self._leave(doubt, str(error))
                    continue
                verdict = judge(doubt, found, waited=waited)
            await self._settle(doubt, verdict, found)

    async def _rows(self, due: Sequence[Doubt]) -> tuple[Sequence[StatusRow], bool]:
        """Rows of the requests that are due, from the cheaper of two lists, and whether absence from it is proof."""
        identities = {identity for doubt in due for identity in doubt.request.recipients}
        own = Query(since=min(window_start(doubt) for doubt in due))
        try:
            first = await self._listing.page(own, 0)
            pages = -(-(first.total or 0) // max(1, first.read))
            if not first.more or 0 < pages <= len(identities):
                return [row async for row in all_rows(self._listing, own, first)], False
        except ListingForbiddenError:
            pass
        try:
            return await self._of_identities(due), True
        except ListingForbiddenError as error:
            for doubt in due:
                self._leave(doubt, str(error))
            return [], True

    async def _of_identities(self, due: Sequence[Doubt]) -> list[StatusRow]:
        """All rows of the requests' recipients, from any requester."""
        since = min(window_start(doubt) for doubt in due)
        identities = sorted({identity for doubt in due for identity in doubt.request.recipients})
        return [
            row
            for identity in identities
            async for row in all_rows(self._listing, Query(since=since, requested_for=identity))
        ]

    async def _settle(self, doubt: Doubt, verdict: Settlement, found: Mapping[tuple[str, str], str]) -> None:
        request, now = doubt.request, self._clock.now()
        if verdict is Settlement.OPEN:
            waited = now - doubt.ended
            self._next_look[request.number] = min(
                now + max(waited, timedelta(seconds=FIRST_LOOK)), self._deadline(doubt)
            )
            return
        parts = parts_by_arrival(request, found) if verdict is Settlement.PARTLY else ()
        # Forget it first: once it is PLANNED in the ledger, an attempt may make it unconfirmed again.
        self._forget(doubt)
        self._settling = True
        await asyncio.to_thread(
            self._ledger.requests.settle,
            request,
            arrived=verdict is Settlement.FOUND,
            now=now,
            parts=parts,
            access_requests=sorted(set(found.values()) - {""}),
        )
        self._settling = False
        self.settled += 1
        self._tell(Settled(request=request, verdict=verdict))
        self._announce()

    def _leave(self, doubt: Doubt, why: str) -> None:
        """Leave a request to be settled by hand, because the tenant does not show its status."""
        self.forbidden = why
        self._left.add(doubt.request.number)
        self._forget(doubt)
        self._announce()

    def _forget(self, doubt: Doubt) -> None:
        self._doubts.pop(doubt.request.number, None)
        self._next_look.pop(doubt.request.number, None)

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
