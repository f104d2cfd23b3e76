"""Looking many values up in a list: in portions that fit the limits, each read in full or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from batch.tenant.paging import lost, page_of, pages, require_the_apis
from batch.tenant.reading import ForbiddenError, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from batch.tenant.paging import Page
    from batch.tenant.reading import Reply

TOO_LONG: Final = 414
"""The HTTP status for an address that is too long."""

MOST_KEPT: Final = 1 << 25
"""Most characters of the rows for one question that we keep."""

_Row = TypeVar("_Row")
_Read_co = TypeVar("_Read_co", covariant=True)

_FRUITLESS: Final = 5
"""If so many single values are refused and none is answered, the question itself is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered(Generic[_Row]):
    """The tenant's answer for a portion of the values.

    Attributes:
        values: The portion.
        rows: All rows, from all pages.
        refused: Why the tenant gives no answer; empty if it does.
    """

    values: tuple[str, ...]
    rows: tuple[_Row, ...] = ()
    refused: str = ""


class CollectionQuery(Protocol[_Read_co]):
    """A question to a list.

    Attributes:
        subject: The list's name in messages: `list of roles`.
        page_limit: Most rows of a page.
        most_rows: Most rows that paging can read; a longer list is refused as `too many`.
    """

    subject: str
    page_limit: int
    most_rows: int

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """The page that begins at row `offset` of the rows that match any of the values."""

    def read(self, raw: Any) -> _Read_co | None:
        """What we need of a row; None if we do not understand it."""


def portions(
    values: Iterable[str], weights: Callable[[str], tuple[int, ...]], most: tuple[int, ...]
) -> Iterator[tuple[str, ...]]:
    """Divides values into portions, none over any of several limits; a value that exceeds one stands alone.

    Args:
        values: In order.
        weights: How much a value adds towards each limit.
        most: The limits.
    """
    portion: list[str] = []
    loads = [0] * len(most)
    for value in values:
        added = [load + weight for load, weight in zip(loads, weights(value), strict=True)]
        if portion and any(load > limit for load, limit in zip(added, most, strict=True)):
            yield tuple(portion)
            portion, added = [], list(weights(value))
        portion.append(value)
        loads = added
    if portion:
        yield tuple(portion)


async def answers(question: CollectionQuery[_Row], asked: Iterable[tuple[str, ...]]) -> AsyncIterator[Answered[_Row]]:
    """The tenant's answers, portion by portion; a refused portion is halved until the bad value stands alone.

    Raises:
        ForbiddenError: The token may not ask this.
        TenantLostError: A list can't be read in full, or the tenant refuses every value.
    """
    waiting = list(reversed(list(asked)))
    answered, refused = False, 0
    while waiting:
        values = waiting.pop()
        answer = await all_rows(question, values)
        if not answer.refused:
            answered = True
        elif len(values) > 1:
            middle = len(values) // 2
            waiting += [values[middle:], values[:middle]]
            continue
        else:
            refused += 1
            if not answered and refused >= _FRUITLESS:
                raise lost(question.subject, f"is refused: {answer.refused}")
        yield answer


async def all_rows(
    question: CollectionQuery[_Row], values: tuple[str, ...], *, trust_count: bool = True
) -> Answered[_Row]:
    """The tenant's answer for values that fit into one question.

    Args:
        question: To the list.
        values: What to look up.
        trust_count: See paging.page_of. Names are asked in portions that are sized to fill a page: a call more for each
            would double them.

    Raises:
        ForbiddenError: The token may not ask this.
        TenantLostError: The list can't be read in full.
    """

    async def read_page(offset: int) -> Page[Any]:
        reply = await question.ask(values, offset)
        if reply.answer.status == 403:  # noqa: PLR2004 - HTTP
            # A 400 may be of one value, and is looked for.
            require_the_apis(reply.answer, question.subject)
        return page_of(reply, offset=offset, limit=question.page_limit, trust_count=trust_count)

    rows: list[_Row] = []
    read = kept = 0
    try:
        async for page in pages(read_page, subject=question.subject):
            # Each page at once: a row may have tens of kilobytes, of which we need a few names.
            found = [row for raw in page.rows if (row := question.read(raw)) is not None]
            rows += found
            read += page.read
            kept += sum(len(repr(row)) for row in found)
            if max(read, page.total or 0) > question.most_rows or kept > MOST_KEPT:
                return Answered(values=values, refused="too many have it in one of their names")
    except ForbiddenError:
        raise
    except RefusedError as error:
        return Answered(values=values, refused=str(error))
    return Answered(values=values, rows=tuple(rows))
