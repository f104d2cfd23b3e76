"""What settling reads: the lists of people, what they show of accepted requests, and how late they are."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.loops.open_doubt import FIRST_LOOK
from batch.status.control import shown
from batch.status.evidence import LOOK_BACK, current_since, is_current, places_held
from batch.tenant.reading import ForbiddenError
from batch.tenant.status import ListingForbiddenError, Query, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from datetime import datetime, timedelta

    from batch.api.status_row import StatusRow
    from batch.ledger.store import Ledger
    from batch.model import Clock, Doubt, Request
    from batch.status.control import Place, Shown, Witness
    from batch.tenant.holdings import Holdings
    from batch.tenant.status import Listing, Page

LATENESS: Final = 3.0
"""The list gets this many times the longest delay that still counts."""


class PeoplesLists:
    """The status lists of a tenant's people, as proof that requests are absent from them.

    Args:
        ledger: Has the accepted requests, and remembers how late the list was.
        listing: The tenant's status list.
        holdings: The tenant's search index; None if it can't be asked.
        clock: Measures and dates delays.

    Attributes:
        server_time: The tenant's newest clock; None if it tells no time.
        server_time_at: When it was read, by our monotonic clock.
    """

    def __init__(self, ledger: Ledger, listing: Listing, holdings: Holdings | None, clock: Clock) -> None:
        self._ledger = ledger
        self._listing = listing
        self._holdings = holdings
        self._clock = clock
        self._delay: float | None = None
        self._seen_delay = 0.0
        self._complete: dict[int, Shown] = {}
        self._lacked: dict[int, dict[Place, tuple[float, float]]] = {}
        self.server_time: datetime | None = None
        self.server_time_at = -math.inf

    async def wait(self, run: str, settle_after: float) -> float:
        """Seconds that a request gets to arrive, and then the list to show it.

        Args:
            run: Any run of the tenant.
            settle_after: What the user gives it: it gets more if the list was later before.
        """
        if self._delay is None:
            self._delay = await asyncio.to_thread(self._ledger.doubts.listing_delay, run, self._clock.now())
        return max(settle_after, LATENESS * self._delay)

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours."""
        return await self._listing.clock_offset()

    async def own(self, doubts: Sequence[Doubt]) -> list[StatusRow] | None:
        """The rows of the token's user since the first of the attempts; None if other lists take fewer calls."""
        since = min(doubt.first_attempt for doubt in doubts) + await self.clock_offset() - LOOK_BACK
        query = Query(since=since)
        people = {identity for doubt in doubts for identity in doubt.request.recipients}
        try:
            first = self._noted(await self._listing.page(query, 0))
        except ListingForbiddenError:
            return None
        calls = -(-(first.total or 0) // max(1, first.read))
        if first.more and not 0 < calls <= len(people):
            return None
        return [row async for row in self._rows(query, first)]

    async def of(self, people: Collection[str]) -> tuple[list[StatusRow], dict[str, str]]:
        """Everything that anybody ever requested for people, and why some of their lists can't be read.

        There is no window of time: rows outside it would look absent.
        """
        rows: list[StatusRow] = []
        refused: dict[str, str] = {}
        for person in sorted(people):
            try:
                rows += [row async for row in self._rows(Query(requested_for=person))]
            except ListingForbiddenError as error:
                if not rows and not refused:
                    # A user who may not list the first person may list nobody.
                    return [], dict.fromkeys(people, str(error))
                refused[person] = str(error)
        return rows, refused

    async def accepted(self, doubts: Sequence[Doubt]) -> tuple[Witness, ...]:
        """The accepted requests that can prove something about doubts."""
        return await asyncio.to_thread(self._ledger.doubts.witnesses, doubts)

    async def shown(self, witnesses: Sequence[Witness], *, without_held: bool) -> tuple[Shown, ...]:
        """What the lists of their recipients show of accepted requests.

        Args:
            witnesses: The accepted requests.
            without_held: Whether access that the tenant shows as held needs no row: it may have created none.
        """
        unknown = [one for one in witnesses if one.request.number not in self._complete]
        began = self._clock.monotonic()
        rows, _ = await self.of({identity for one in unknown for identity in one.request.recipients})
        found = [shown(one, rows) for one in unknown]
        if without_held:
            found = [await self._without_held(one) for one in found]
        for one in found:
            await self._learn(one, began)
        return (*(self._complete[one.request.number] for one in witnesses if one not in unknown), *found)

    async def of_somebody_later(self, doubts: Sequence[Doubt], wait: float) -> Sequence[StatusRow]:
        """The list of a person for whom anybody requested something after the doubtful requests could arrive.

        There is none if the token's user may not see the list of everybody, or if it tells no time.
        """
        times = [moment for doubt in doubts if (moment := current_since(doubt, wait)) is not None]
        if not times:
            return ()
        with suppress(ListingForbiddenError):
            page = self._noted(await self._listing.page(Query(since=min(times), everybody=True), 0))
            late = [row for row in page.rows if any(is_current(row, doubt, wait) for doubt in doubts)]
            return (await self.of({row.identity for row in late[-1:]}))[0]
        return ()

    async def held(self, request: Request) -> frozenset[Place]:
        """The changes of a request that the tenant shows as held; none if it does not show them."""
        if self._holdings is None:
            return frozenset()
        items = {(item.type.value, item.id) for item in request.items}
        try:
            return places_held(request, await self._holdings.of(list(request.recipients), items))
        except ForbiddenError:
            return frozenset()

    async def note_delay(self, request: Request, *, lacked_for: float, shown_after: float) -> None:
        """Remember how late the list has shown a request.

        Args:
            request: The request.
            lacked_for: Seconds after which the list still lacked it.
            shown_after: Seconds after which the list showed it.
        """
        seconds = likely_delay(lacked_for, shown_after)
        if seconds > self._seen_delay:
            self._seen_delay, self._delay = seconds, max(seconds, self._delay or 0.0)
            await asyncio.to_thread(self._ledger.doubts.keep_listing_delay, request.run, seconds, self._clock.now())

    async def _rows(self, query: Query, first: Page | None = None) -> AsyncIterator[StatusRow]:
        async for page in pages(self._listing, query, first):
            for row in self._noted(page).rows:
                yield row

    def _noted(self, page: Page) -> Page:
        if page.server_time is not None:
            self.server_time, self.server_time_at = page.server_time, self._clock.monotonic()
        return page

    async def _without_held(self, found: Shown) -> Shown:
        if not found.missing:
            return found
        held = await self.held(found.witness.request)
        return replace(found, witness=replace(found.witness, held=found.witness.held | held))

    async def _learn(self, found: Shown, began: float) -> None:
        """Learn how late the list is from rows that it lacked when it was read before.

        What turned out to be held was never late: it has no row. What a list lacks was not there when reading `began`.
        """
        witness, now = found.witness, self._clock.monotonic()
        lacked = self._lacked.setdefault(witness.request.number, {})
        for place in found.missing:
            lacked[place] = (lacked.get(place, (began, began))[0], began)
        if found.complete:
            self._complete[witness.request.number] = found
        for place in sorted(lacked.keys() & found.listed):
            first, last = lacked.pop(place)
            seconds = now - first
            if witness.accepted_at and self.server_time:
                seconds = max(seconds, (self.server_time - witness.accepted_at).total_seconds())
            await self.note_delay(witness.request, lacked_for=seconds - (now - last), shown_after=seconds)


def likely_delay(lacked_for: float, shown_after: float) -> float:
    """How late the list is, in seconds, if it lacked a request for some time, and showed it when it was read next.

    While a doubt is new, each reading comes after twice the time at most. If the next reading came later than that,
    the gap says something about us, not about the list.
    """
    return min(shown_after, 2 * lacked_for + FIRST_LOOK)
