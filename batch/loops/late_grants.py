"""Late grants: what people may have got since the search index was brought up to date, by their own lists."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from batch.api.dialects import INDEX_LAG
from batch.loops.approvals import together
from batch.loops.call_plan import Question
from batch.status.cheapest_list import pages_of
from batch.status.in_progress import granted_since
from batch.tenant.paging import ListCutError, pages
from batch.tenant.status import ListingForbiddenError, Query
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from batch.loops.call_plan import CallPlan
    from batch.loops.ports import AnswerCache
    from batch.model import Clock
    from batch.tenant.status import Listing, Page

LATE_GRANTS: Final = "items granted lately"
"""Kind of cached answer: the items that an identity may have got since the index was brought up to date."""


class LateGrants:
    """The late grants of some people: one call for each, as long as the plan of calls has some to spare.

    Args:
        listing: The tenant's status list.
        read_page: Reads a page of it.
        plan: How many calls may be made.
        memory: Caches the answers.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.

    Attributes:
        unchecked: People whose lists were not read because no calls were left.
    """

    def __init__(
        self,
        listing: Listing,
        read_page: Callable[[Query, int], Awaitable[Page]],
        *,
        plan: CallPlan,
        memory: AnswerCache,
        tenant: str,
        since: datetime,
        clock: Clock,
    ) -> None:
        self._listing = listing
        self._read_page = read_page
        self._plan = plan
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self._longest = 1.0
        self.unchecked: set[str] = set()

    def cached(self, people: Sequence[str], indexed: datetime | None) -> dict[str, frozenset[str]]:
        """Recent answers, if they are newer than those of the index, which was asked at `indexed`."""
        if indexed is None:
            return {}
        kept = self._memory.get(self._tenant, LATE_GRANTS, people, since=max(self._since, indexed))
        return {
            person: frozenset(one.value["items"])
            for person, one in kept.items()
            if datetime.fromisoformat(one.value["indexed"]) <= indexed
        }

    async def ask(self, people: Sequence[str], indexed: datetime | None) -> dict[str, frozenset[str]]:
        """The items that people may have got since, by status.in_progress.granted_since.

        Those whose list can't be read in full, or is not read, are left out.
        """
        found = self.cached(people, indexed)
        asked = [person for person in people if person not in found]
        at = self._clock.now()
        answers = await together([self._of(person, indexed or at, len(asked)) for person in asked])
        new = {person: items for person, items in zip(asked, answers, strict=True) if items is not None}
        kept = {person: {"indexed": instant(indexed or at), "items": sorted(items)} for person, items in new.items()}
        self._memory.put(self._tenant, LATE_GRANTS, kept, at=at)
        return found | new

    async def _of(self, person: str, indexed: datetime, people: int) -> frozenset[str] | None:
        query = Query(requested_for=person)

        async def read_page(offset: int) -> Page:
            if not self._plan.spare:
                raise _NoneLeftError
            self._plan.count(Question.LATE_GRANTS)
            page = await self._read_page(query, offset)
            if not offset:
                self._take_length(pages_of(page.total, page.read, more=page.more), people)
            return page

        try:
            read = [page async for page in pages(read_page, subject="status list")]
        except _NoneLeftError:
            self.unchecked.add(person)
            return None
        except (ListingForbiddenError, ListCutError):
            return None
        rows = [row for page in read for row in page.rows]
        if len(rows) < sum(page.read for page in read):
            # A row that we do not understand may be of any item.
            return None
        offset = await self._listing.clock_offset()
        return granted_since(rows, indexed + min(offset, timedelta()) - INDEX_LAG)

    def _take_length(self, calls: float, people: int) -> None:
        """One list takes so many calls: the others may take as many."""
        if math.isfinite(calls) and calls > self._longest:
            self._longest = calls
            self._plan.expect(Question.LATE_GRANTS, people * self._longest)
            self._plan.say()


class _NoneLeftError(Exception):
    """No more calls may be made."""
