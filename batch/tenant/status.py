"""The tenant's status list: one row for each identity and item of every request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from batch.api.dialects import IN_PROGRESS, PAGE_LIMIT
from batch.api.status_row import StatusRow
from batch.tenant import paging
from batch.tenant.reading import EXPERIMENTAL, ForbiddenError, RefusedError, quoted
from batch.tenant.status_row import status_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from batch.api.dialects import Dialect
    from batch.model import Answer
    from batch.tenant.reading import Reader, Reply

MYSELF: Final = "me"
"""Names the token's user in a query."""


class ListingForbiddenError(ForbiddenError):
    """The token's user may not list this; the message is the tenant's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Which rows to list: those that the token's user requested, unless a field names another list.

    Attributes:
        since: Only rows created then or later, by the tenant's clock; None for all.
        requested_for: All rows for this identity, no matter who requested them.
        everybody: The rows of all users.
        administration: The same, from the administration list.
        executing: Only unfinished rows.
        access_requests: Only rows of these access requests, at most dialects.FILTER_VALUES.
        requested_by: All rows that this identity requested.
        newest_first: Whether the list begins with its newest row; new rows then shift the pages.
    """

    since: datetime | None = None
    requested_for: str = ""
    everybody: bool = False
    administration: bool = False
    executing: bool = False
    access_requests: tuple[str, ...] = ()
    requested_by: str = ""
    newest_first: bool = False


Page: TypeAlias = paging.Page[StatusRow]
"""A page of the status list."""


class Listing(Protocol):
    """Lists statuses: a tenant over HTTP, or a fake."""

    async def page(self, query: Query, offset: int) -> Page:
        """The page that begins at row `offset`, from 0."""

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of our wall clock, as last measured; zero if it tells no time."""


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
        """The answer and its headers to a query for one of our own rows.

        Raises:
            TenantLostError: The list can't be read.
        """
        reply = await self._ask({"requested-by": MYSELF, "limit": "1"})
        return reply.answer, reply.headers

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours, by its newest `Date` header; calls the tenant if it has none."""
        if self._offset is None:
            await self.probe()
        return self._offset or timedelta()

    async def page(self, query: Query, offset: int, *, limit: int = PAGE_LIMIT) -> Page:
        """The page that begins at row `offset`, oldest row first, so that new rows don't shift the pages.

        Raises:
            ListingForbiddenError: The token's user may not list this, or the tenant has no such list, or we do not
                understand a row of an identity's complete list, which must prove absence.
            TenantLostError: The list can't be read.
        """
        parameters = {
            **_parameters(query),
            "sorters": "-created" if query.newest_first else "created",
            "limit": str(limit),
            "offset": str(offset),
            "count": "true",
        }
        reply = await self._ask(parameters, administration=query.administration)
        paging.require_the_apis(reply.answer, "status list")
        try:
            page = paging.page_of(reply, offset=offset, limit=limit)
        except RefusedError as error:
            raise ListingForbiddenError(str(error)) from None
        rows = tuple(row for raw in page.rows if (row := status_row(raw)) is not None)
        if query.requested_for and not query.executing and len(rows) < page.read:
            raise ListingForbiddenError(f"rows in the list of {query.requested_for} can't be understood")
        return replace(page, rows=rows)

    async def _ask(self, parameters: dict[str, str], *, administration: bool = False) -> Reply:
        paths = self._dialect.paths
        reply = await self._reader.ask(
            "GET",
            paths.administration if administration else paths.status,
            subject="status list",
            params=parameters,
            headers=EXPERIMENTAL if administration else {},
            # The vendor may remove an experimental endpoint.
            settling=frozenset({404} if administration else ()),
        )
        # Measured anew each time: our clock may be set at any moment.
        if (server_time := reply.answer.server_time) is not None:
            self._offset = server_time - self._clock()
        return reply


def _parameters(query: Query) -> dict[str, str]:
    whom = (
        {"requested-for": query.requested_for}
        if query.requested_for
        else {"requested-by": query.requested_by or MYSELF}
    )
    filters = []
    if query.since is not None:
        filters.append(f'created ge "{query.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"')
    if len(query.access_requests) == 1:
        # The vendor's documents disagree on whether `in` is allowed; a single value does not need it.
        filters.append(f"accessRequestId eq {quoted(query.access_requests[0])}")
    elif query.access_requests:
        filters.append(f"accessRequestId in ({', '.join(map(quoted, query.access_requests))})")
    return {
        **({} if query.everybody or query.administration else whom),
        **({"request-state": IN_PROGRESS} if query.executing else {}),
        **({"filters": " and ".join(filters)} if filters else {}),
    }


def pages(listing: Listing, query: Query, first: Page | None = None) -> AsyncIterator[Page]:
    """Every page of a list; `first` if it was read already. Raises as `paging.pages`."""
    return paging.pages(partial(listing.page, query), subject="status list", first=first)


async def all_rows(listing: Listing, query: Query, first: Page | None = None) -> AsyncIterator[StatusRow]:
    """Every row of a list; as `pages`."""
    async for page in pages(listing, query, first):
        for row in page.rows:
            yield row
