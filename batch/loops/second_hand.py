"""Ask the tenant about the ends of changes that only another machine has recorded."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from batch.api.dialects import PAGE_LIMIT
from batch.status.matching import pair_of
from batch.status.second_hand import LATEST_ANSWER, is_shown
from batch.tenant.status import ListingForbiddenError, Query, all_rows
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.status_row import StatusRow
    from batch.status.matching import Pair, RunChanges
    from batch.status.second_hand import Report
    from batch.tenant.status import Listing


async def not_shown(
    listing: Listing, reports: Sequence[Report], runs: Mapping[str, RunChanges], *, width: int
) -> list[Report]:
    """The reports that the tenant's lists do not show.

    The list of what the token's user has requested is read if that takes fewer calls than the lists of the people;
    then the lists of those people about whom it does not show enough.

    Args:
        listing: The tenant's status list.
        reports: What another machine has recorded.
        runs: The accepted changes of their runs.
        width: Most calls at a time.

    Raises:
        TenantLostError: The list can't be read.
    """
    offset = await listing.clock_offset()
    pairs = {_pair(report) for report in reports}
    slots = asyncio.Semaphore(width)

    def left(rows: Iterable[StatusRow], some: Sequence[Report]) -> list[Report]:
        found: defaultdict[Pair, list[StatusRow]] = defaultdict(list)
        for row in rows:
            if (pair := pair_of(row)) in pairs:
                found[pair].append(row)
        return [one for one in some if not is_shown(one, found[_pair(one)], runs[one.run], offset)]

    async def of_person(person: str) -> list[StatusRow]:
        async with slots:
            try:
                return [row async for row in all_rows(listing, Query(requested_for=person))]
            except ListingForbiddenError:
                return []

    since = min(one.undone.accepted_at if one.undone else one.accepted_at for one in reports)
    unproven = left(await _own_rows(listing, Query(since=since + offset - LATEST_ANSWER), _people_of(reports)), reports)
    lists = await asyncio.gather(*map(of_person, _people_of(unproven)))
    return left((row for rows in lists for row in rows), unproven)


async def _own_rows(listing: Listing, query: Query, people: Sequence[str]) -> list[StatusRow]:
    """The rows of the token's user's own list; none if the lists of the people take fewer calls."""
    try:
        first = await listing.page(query, 0)
        if first.more and (first.total is None or first.total > PAGE_LIMIT * len(people)):
            return []
        return [row async for row in all_rows(listing, query, first)]
    except ListingForbiddenError:
        return []


def _people_of(reports: Iterable[Report]) -> list[str]:
    """The identities, once each."""
    return sorted({report.identity for report in reports})


def _pair(report: Report) -> Pair:
    return key_of(report.identity), key_of(report.item)
