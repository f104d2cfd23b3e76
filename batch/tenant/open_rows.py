"""Reading a list whose rows vanish while it is read, because what they tell of is finished meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.tenant.status import ListingForbiddenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from batch.tenant.status import Page


async def open_pages(page_at: Callable[[int], Awaitable[Page]], first: Page) -> AsyncIterator[Page]:
    """All pages of a list, oldest rows first in each.

    A row that vanishes moves all later ones nearer to the beginning, so the pages are read from the last one on, and
    the first again at the end: a row may be read twice, and none is missed that is there all the time.

    Args:
        page_at: Reads the page that begins at a row.
        first: Its first page, which is the answer where there are no others.

    Raises:
        ListingForbiddenError: The list can't be had as a whole.
        TenantLostError: The list can't be had.
    """
    if not first.more:
        yield first
        return
    if first.total is None or not first.read:
        raise ListingForbiddenError("it does not say how long the list is")
    step = first.read
    covered_from = first.total
    for offset in range((first.total - 1) // step * step, -1, -step):
        page = await page_at(offset)
        ends = min(covered_from, covered_from if page.total is None else page.total)
        if page.read == 0 and (page.total is None or page.total <= offset):
            # So much has vanished that this page is none any more, which the next one must bear out.
            continue
        if offset + page.read < ends:
            raise ListingForbiddenError(f"its list ends after {offset + page.read} of {ends} rows")
        covered_from = offset
        yield page
