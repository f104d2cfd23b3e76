"""Reading a list page by page: either every row of it, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from batch.answers.outcome import is_an_edges
from batch.errors import ASK_THE_EDGE, TenantLostError
from batch.tenant.reading import ForbiddenError, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from batch.model import Answer
    from batch.tenant.reading import Reply

MOST_ROWS: Final = 1_000_000
"""Most rows of one list: a longer one is taken to be endless."""


class ListCutError(TenantLostError):
    """A list lacks rows that its own count promises, or shows the same page again and again."""


Row = TypeVar("Row", covariant=True)  # noqa: PLC0105 - rows of any type


@dataclass(frozen=True, kw_only=True)  # without slots: `Page[StatusRow](…)` fails with them
class Page(Generic[Row]):
    """A page of a list.

    Attributes:
        rows: The rows that we understand.
        read: How many rows the page has: the next page begins after them.
        total: Rows of the whole list; None if the tenant does not give the count.
        more: Whether there may be another page.
        server_time: The tenant's clock when it answered, by the answer's `Date` header; None without one.
    """

    rows: tuple[Row, ...]
    read: int
    total: int | None
    more: bool
    server_time: datetime | None = None


def page_of(reply: Reply, *, offset: int, limit: int, trust_count: bool = False) -> Page[Any]:
    """The page that a reply holds.

    Args:
        reply: The tenant's.
        offset: Where the page begins.
        limit: Most rows of a page.
        trust_count: Whether a full page may be the last one if the count says so. A count may be wrong.

    Raises:
        ForbiddenError: The token's user may not list this.
        RefusedError: The tenant refuses for another reason.
    """
    if reply.answer.status == 400 and offset:  # noqa: PLR2004 - HTTP
        # An offset at the end of a list may be an error instead of an empty page.
        return Page(rows=(), read=0, total=None, more=False, server_time=reply.answer.server_time)
    if reply.refusal:
        raise (ForbiddenError if reply.answer.status == 403 else RefusedError)(reply.refusal)  # noqa: PLR2004 - HTTP
    read, total = len(reply.rows), reply.total
    is_full = read >= limit and not (trust_count and total is not None)
    more = read > 0 and (is_full or (total is not None and offset + read < total))
    return Page(rows=reply.rows, read=read, total=total, more=more, server_time=reply.answer.server_time)


async def pages(
    read_page: Callable[[int], Awaitable[Page[Row]]], *, subject: str, first: Page[Row] | None = None
) -> AsyncIterator[Page[Row]]:
    """Every page of a list.

    Args:
        read_page: Reads the page that begins at a row, from 0.
        subject: The list's name in messages: `status list`.
        first: The first page, if it was read already.

    Raises:
        ListCutError: The list ended before its count of rows was reached, or it does not end.
    """
    page = first or await read_page(0)
    total, read = page.total, page.read
    yield page
    while page.more:
        rows, page = page.rows, await read_page(read)
        read += page.read
        if read > MOST_ROWS or (rows and rows == page.rows):
            raise lost(subject, f"does not end: it still goes on after {read} rows", ListCutError)
        yield page
    if total is not None and read < total:
        raise lost(subject, f"ended after {read} of {total} rows", ListCutError)


async def open_pages(read_page: Callable[[int], Awaitable[Page[Row]]], first: Page[Row]) -> AsyncIterator[Page[Row]]:
    """Every page of a list whose rows vanish when they are finished; oldest rows first in each page.

    A vanishing row moves all later rows towards the beginning. So the pages are read from the last to the first: a row
    may come twice, but no row is missed that is in the list all the time.

    Args:
        read_page: Reads the page that begins at a row.
        first: The first page; it is the whole answer if there is no other.

    Raises:
        RefusedError: The list can't be read in full.
        TenantLostError: The list can't be read.
    """
    if not first.more:
        if first.read < (first.total or 0):
            raise RefusedError(f"its list ends after {first.read} of {first.total} rows")
        yield first
        return
    if first.total is None or not first.read:
        raise RefusedError("it does not say how long the list is")
    step = first.read
    if first.total <= step:
        if (await read_page(step)).read:
            raise RefusedError(f"it goes on after {first.total} rows, which it says are all")
        yield await read_page(0)
        return
    covered_from, before = first.total, first.rows[:0]
    for offset in range((first.total - 1) // step * step, -1, -step):
        page = await read_page(offset)
        ends = min(covered_from, covered_from if page.total is None else page.total)
        if page.read == 0 and (page.total is None or page.total <= offset):
            # So many rows have vanished that this page is gone. The next one must confirm it.
            continue
        if offset + page.read < ends:
            raise RefusedError(f"its list ends after {offset + page.read} of {ends} rows")
        if page.rows and page.rows == before:
            raise RefusedError("two of its pages have the same rows")
        covered_from, before = offset, page.rows
        yield page


def require_the_apis(answer: Answer, subject: str) -> None:
    """Requires that a refusal is the API's own.

    Raises:
        TenantLostError: It comes from a firewall, a proxy or an edge.
    """
    if is_an_edges(answer):
        raise TenantLostError(
            f"The tenant's {subject} can't be read: something in front of the tenant turns this program away: it "
            f"answered {answer.status} ({answer.text}).",
            next_step=f"The ledger stays as it is. {ASK_THE_EDGE}",
        )


def lost(subject: str, why: str, kind: type[TenantLostError] = TenantLostError) -> TenantLostError:
    """The error for a list that can't be read in full."""
    return kind(
        f"The tenant's {subject} {why}.",
        next_step="The ledger stays as it is. Run the same command again later.",
    )
