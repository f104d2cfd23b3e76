"""Finding out which requests wait for an approver, in the fewest calls."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, TypeVar

from batch.errors import TenantLostError
from batch.status.cheapest_list import ApprovalChoice, approval_calls_left, cheapest_approvals, pages_of
from batch.tenant.approvals import ApprovalQuery, in_portions
from batch.tenant.holdings import spellings
from batch.tenant.paging import open_pages
from batch.tenant.reading import ForbiddenError, RefusedError, reason_of
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

    from batch.api.status_row import StatusRow
    from batch.tenant.status import Page


class PendingApprovals:
    """One question to one tenant: which requests of some people wait for an approver.

    Args:
        read_page: Reads a page of its list; see tenant.approvals.Approvals.
        people: Ids of the identities.
        access_requests: Ids of access requests that have everything of interest; empty if that is not known, or if the
            API version can't ask for them.
        most: Most calls, if identities are asked for.
        expect: Takes how many more calls it takes, before most of them are made; again if it turns out to be more.

    Attributes:
        calls: Calls made so far.
        lost: Why the list can't be read, if the tenant does not even refuse it; then it is closed.
        unread: Rows that name no identity.
    """

    def __init__(
        self,
        read_page: Callable[[ApprovalQuery, int], Awaitable[Page]],
        *,
        people: Sequence[str],
        access_requests: Collection[str] = (),
        most: float = math.inf,
        expect: Callable[[float], object] = lambda _calls: None,
    ) -> None:
        self._read_page = read_page
        self._most = most
        self._expect = expect
        self._longest = 1.0
        self._keys = frozenset(map(key_of, people))
        self._queries = {
            ApprovalChoice.OF_REQUESTS: [ApprovalQuery(access_requests=some) for some in in_portions(access_requests)],
            ApprovalChoice.OF_PEOPLE: [ApprovalQuery(people=some) for some in in_portions(spellings(people))],
            ApprovalChoice.ALL: [ApprovalQuery()],
        }
        self._portions = {choice: len(queries) for choice, queries in self._queries.items()}
        self._allowed = {choice for choice, number in self._portions.items() if number}
        self._first: dict[ApprovalChoice, Page] = {}
        self._pages: float | None = None
        self._refusal = ""
        self.lost: TenantLostError | None = None
        self.unread = 0
        self.calls = 0

    @property
    def closed(self) -> str:
        """Why the tenant does not answer; empty as long as it does."""
        return "" if self._allowed else self._refusal

    async def begin(self) -> float:
        """Find the cheapest way that the tenant allows, and read its first page. Returns how many calls are left."""
        while self._allowed:
            choice = self._cheapest()
            left = approval_calls_left(choice, self._portions, self._pages, seen=choice in self._first)
            try:
                if choice is ApprovalChoice.OF_PEOPLE and self.calls + left > self._most:
                    raise _TooManyError(f"asking for these identities takes {left:,.0f} calls")
                if choice in self._first:
                    return left
                self._first[choice] = await self._begin(choice)
            except (RefusedError, TenantLostError) as error:
                self._close(choice, error)
        return 0

    async def read(self) -> list[StatusRow] | None:
        """The pending approvals for the people, as rows of the status list; None if the tenant does not show them."""
        while True:
            self._expect(await self.begin())
            if not self._allowed:
                return None
            choice = self._cheapest()
            first, *others = self._queries[choice]
            try:
                lists = await together(
                    [
                        self._list(choice, first, self._first[choice]),
                        *(self._list(choice, other) for other in others),
                    ]
                )
            except (RefusedError, TenantLostError) as error:
                self._close(choice, error)
            else:
                return [row for rows in lists for row in rows]

    def _cheapest(self) -> ApprovalChoice:
        return cheapest_approvals(self._portions, self._pages, seen=self._first, allowed=self._allowed)

    async def _begin(self, choice: ApprovalChoice) -> Page:
        page = await self._page(self._queries[choice][0], 0)
        if choice is ApprovalChoice.ALL:
            self._pages = pages_of(page.total, page.read, more=page.more)
            if math.isinf(self._pages):
                raise RefusedError("it does not say how long the list is")
        return page

    def _close(self, choice: ApprovalChoice, error: RefusedError | TenantLostError) -> None:
        if isinstance(error, TenantLostError):
            self.lost, self._refusal, self._allowed = error, error.message.rstrip("."), set()
            return
        if isinstance(error, _TooManyError):
            # Another way that is still open takes even more calls.
            self._refusal, self._allowed = "; ".join(filter(None, [self._refusal, str(error)])), set()
            return
        self._refusal = self._refusal or reason_of(error)
        # Who may not see these may not see others either. A query that is not understood says nothing of others.
        self._allowed -= set(ApprovalChoice) if isinstance(error, ForbiddenError) else {choice}

    async def _list(self, choice: ApprovalChoice, query: ApprovalQuery, first: Page | None = None) -> list[StatusRow]:
        async def read_page(offset: int) -> Page:
            if choice is ApprovalChoice.OF_PEOPLE and self.calls >= self._most:
                raise _TooManyError(f"asking for these identities takes more than {self._most:,.0f} calls")
            return await self._page(query, offset)

        rows: list[StatusRow] = []
        begin = first or await read_page(0)
        if choice is not ApprovalChoice.ALL and begin.more:
            self._take_length(choice, 1 + pages_of(begin.total, begin.read, more=True))
        async for page in open_pages(read_page, begin):
            rows += [row for row in page.rows if key_of(row.identity) in self._keys]
            self.unread += page.read - len(page.rows)
        return rows

    def _take_length(self, choice: ApprovalChoice, calls: float) -> None:
        """One portion takes so many calls: the others may take as many."""
        if math.isfinite(calls) and calls > self._longest:
            self._longest = calls
            self._expect(min(self._portions[choice] * calls, max(self._most - self.calls, 0)))

    async def _page(self, query: ApprovalQuery, offset: int) -> Page:
        self.calls += 1
        return await self._read_page(query, offset)


class _TooManyError(RefusedError):
    """It takes more calls than it is worth."""


async def together(calls: Collection[Coroutine[Any, Any, _Answer]]) -> list[_Answer]:
    """The answers of all calls; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_Answer = TypeVar("_Answer")
