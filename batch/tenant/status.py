"""The tenant's status list: what it says of requests, page by page, under the same pace as everything else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from batch.api.dialects import IN_PROGRESS, PAGE_LIMIT
from batch.errors import TenantLostError
from batch.tenant.reading import EXPERIMENTAL, ForbiddenError, quoted
from batch.tenant.status_row import status_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from batch.api.dialects import Dialect
    from batch.model import Answer, StatusRow
    from batch.tenant.reading import Reader, Reply

MOST_ROWS: Final = 1_000_000
"""Rows of one list that are read: a list that goes on after them never ends."""


MYSELF: Final = "me"
"""How the list names the user behind the token."""


class ListingForbiddenError(ForbiddenError):
    """The token's user may not list this; the message is the tenant's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What to list: what the token's user has requested, unless one of the other three lists is meant.

    Attributes:
        since: Only rows made then or later, by the tenant's clock; None for all.
        requested_for: This identity's rows, whoever requested them.
        everybody: Everybody's rows.
        administration: Everybody's rows, by the administration list.
        executing: Only rows that are not finished.
        access_requests: Only rows of these access requests, at most dialects.FILTER_VALUES.
    """

    since: datetime | None = None
    requested_for: str = ""
    everybody: bool = False
    administration: bool = False
    executing: bool = False
    access_requests: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of the list.

    Attributes:
        rows: Its rows.
        read: How many rows it has: the next page begins so much later.
        total: Rows of all pages; None where the tenant does not say.
        more: Whether there may be another page.
    """

    rows: tuple[StatusRow, ...]
    read: int
    total: int | None
    more: bool


class Listing(Protocol):
    """What can list statuses: a tenant over HTTP, or a fake."""

    async def page(self, query: Query, offset: int) -> Page:
        """The page that begins at row `offset` (from 0) of a list."""

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours."""


class StatusList:
    """The status list of one tenant in one dialect.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
        clock: Our clock.
    """

    def __init__(self, reader: Reader, dialect: Dialect, *, clock: Callable[[], datetime]) -> None:
        self._reader = reader
        self._dialect = dialect
        self._clock = clock
        self._offset: timedelta | None = None

    async def probe(self) -> tuple[Answer, Mapping[str, str]]:
        """What the tenant answers, with which headers, when it is asked for one row of our own.

        Raises:
            TenantLostError: The list can't be had.
        """
        reply = await self._ask({"requested-by": MYSELF, "limit": "1"})
        return reply.answer, {name: self._reader.hide(value) for name, value in reply.headers.items()}

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours, by its `Date` header; asked once."""
        if self._offset is None:
            server_time = (await self.probe())[0].server_time
            self._offset = server_time - self._clock() if server_time else timedelta()
        return self._offset

    async def page(self, query: Query, offset: int, *, limit: int = PAGE_LIMIT) -> Page:
        """The page that begins at row `offset` of a list, oldest first, so that new rows don't shift the pages.

        Raises:
            ListingForbiddenError: The token's user may not list this, the tenant has no such list, or an identity's
                whole list, which proves what is absent, can't be understood.
            TenantLostError: The list can't be had.
        """
        parameters = {
            **_parameters(query),
            "sorters": "created",
            "limit": str(limit),
            "offset": str(offset),
            "count": "true",
        }
        reply = await self._ask(parameters, administration=query.administration)
        answer, raw = reply.answer, reply.rows
        if answer.status == 400 and offset:  # noqa: PLR2004 - HTTP
            # An offset at the end of the list may be an error rather than an empty page.
            return Page(rows=(), read=0, total=None, more=False)
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise ListingForbiddenError(answer.text or f"the tenant answered {answer.status}")
        rows = tuple(row for one in raw if (row := status_row(one, self._reader.hide)) is not None)
        if query.requested_for and not query.executing and len(rows) < len(raw):
            raise ListingForbiddenError(f"the list of {query.requested_for} has rows that can't be understood")
        total = reply.total
        more = bool(raw) and (len(raw) == limit if total is None else offset + len(raw) < total)
        return Page(rows=rows, read=len(raw), total=total, more=more)

    async def _ask(self, parameters: dict[str, str], *, administration: bool = False) -> Reply:
        paths = self._dialect.paths
        return await self._reader.ask(
            "GET",
            paths.administration if administration else paths.status,
            subject="status list",
            params=parameters,
            headers=EXPERIMENTAL if administration else {},
            # An experimental endpoint may be gone.
            settling=frozenset({404} if administration else ()),
        )


def _parameters(query: Query) -> dict[str, str]:
    whom = {"requested-for": query.requested_for} if query.requested_for else {"requested-by": MYSELF}
    filters = []
    if query.since is not None:
        filters.append(f'created ge "{query.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"')
    if len(query.access_requests) == 1:
        # Documents disagree on whether `in` is known; for a single one nobody needs it.
        filters.append(f"accessRequestId eq {quoted(query.access_requests[0])}")
    elif query.access_requests:
        filters.append(f"accessRequestId in ({', '.join(map(quoted, query.access_requests))})")
    return {
        **({} if query.everybody or query.administration else whom),
        **({"request-state": IN_PROGRESS} if query.executing else {}),
        **({"filters": " and ".join(filters)} if filters else {}),
    }


async def pages(listing: Listing, query: Query, first: Page | None = None) -> AsyncIterator[Page]:
    """Every page of a list.

    Args:
        listing: What lists.
        query: What to list.
        first: Its first page, where that was read already.

    Raises:
        TenantLostError: The list ended before it was complete, or does not end.
    """
    page = first or await listing.page(query, 0)
    total, read = page.total, page.read
    yield page
    while page.more:
        rows, page = page.rows, await listing.page(query, read)
        read += page.read
        if read > MOST_ROWS or (rows and rows == page.rows):
            raise TenantLostError(
                f"The tenant's status list does not end: after {read} rows it still goes on.",
                next_step="What the ledger says stays as it is. Run the same command again later.",
            )
        yield page
    if total is not None and read < total:
        raise TenantLostError(
            f"The tenant's status list ended after {read} of {total} rows.",
            next_step="What the ledger says stays as it is. Run the same command again later.",
        )


async def all_pages(listing: Listing, query: Query, first: Page | None = None) -> AsyncIterator[StatusRow]:
    """Every row of a list; as `pages`."""
    async for page in pages(listing, query, first):
        for row in page.rows:
            yield row
