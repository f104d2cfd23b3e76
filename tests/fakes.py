"""Stand-ins for what is behind a port or passes time, used by tests of several folders."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from batch.api.dialects import PAGE_LIMIT
from batch.errors import TenantLostError
from batch.tenant.status import ListingForbiddenError, Page, Query
from tests.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batch.api.status_row import StatusRow


class FakeClock:
    """A wall clock that only `advance` moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeStatusList:
    """A tenant's status list without HTTP.

    Attributes:
        rows: What it lists, oldest first; None for a row that nobody can understand.
        asked: Every query so far.
        forbids: Why the tenant does not show what a query asks for; "" if it does.
        is_mine: Whether the token's user has requested a row: a query that names nobody lists only those.
        lost_after: The tenant is lost to a query that begins at so many rows or later.
        page_size: Rows of a page.
        clock: The tenant's clock, for the `Date` of each page; None if it tells no time.
    """

    def __init__(
        self,
        rows: Iterable[StatusRow | None] = (),
        *,
        forbids: Callable[[Query], str] = lambda _query: "",
        is_mine: Callable[[StatusRow], bool] = lambda _row: True,
        lost_after: int = 1_000_000,
        page_size: int = PAGE_LIMIT,
        clock: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self.rows = list(rows)
        self.asked: list[Query] = []
        self.forbids = forbids
        self.is_mine = is_mine
        self.lost_after = lost_after
        self.page_size = page_size
        self.clock = clock

    async def page(self, query: Query, offset: int) -> Page:
        self.asked.append(query)
        if reason := self.forbids(query):
            raise ListingForbiddenError(reason)
        if offset >= self.lost_after:
            raise TenantLostError("Gone.")
        chosen = [row for row in self.rows if row is None or self._is_listed(query, row)]
        part = chosen[offset : offset + self.page_size]
        understood = tuple(row for row in part if row is not None)
        return Page(
            rows=understood,
            read=len(part),
            total=len(chosen),
            more=offset + len(part) < len(chosen),
            server_time=self.clock(),
        )

    async def clock_offset(self) -> timedelta:
        return timedelta()

    def _is_listed(self, query: Query, row: StatusRow) -> bool:
        if query.access_requests and row.access_request not in query.access_requests:
            return False
        if query.requested_for:
            return row.identity == query.requested_for
        return query.everybody or query.administration or self.is_mine(row)
