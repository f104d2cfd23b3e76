"""All rows of a question that takes many values at once: in portions that fit, page by page, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.errors import TenantLostError
from batch.tenant.reading import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from batch.tenant.reading import Reply

TOO_LONG: Final = 414
"""HTTP status: the address is too long."""

_OK: Final = 200
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_FRUITLESS: Final = 5
"""Single values that are refused, with none answered, after which it is the question that is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What came of a portion of the values.

    Attributes:
        values: The portion.
        rows: All rows, from all pages.
        refused: Why the tenant does not answer; empty where it does.
    """

    values: tuple[str, ...]
    rows: tuple[Any, ...] = ()
    refused: str = ""


class CollectionQuery(Protocol):
    """What is asked of a collection.

    Attributes:
        subject: Its name in messages: `list of roles`.
        page_limit: Most rows of one page.
        most_rows: Rows that can be read page by page; a list that has more is refused as `too many`.
    """

    subject: str
    page_limit: int
    most_rows: int

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """The page that begins at row `offset` of all rows that fit any of the values."""


def portions(
    values: Iterable[str], weights: Callable[[str], tuple[int, ...]], most: tuple[int, ...]
) -> Iterator[tuple[str, ...]]:
    """Parts values so that no portion weighs more than `most` in any respect; a value that does alone stands alone.

    Args:
        values: To be parted, in order.
        weights: What a value weighs, in as many respects as `most` has.
        most: What a portion may weigh.
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


async def answers(question: CollectionQuery, asked: Iterable[tuple[str, ...]]) -> AsyncIterator[Answered]:
    """What the tenant answers, portion by portion; one that it refuses is halved until the bad value stands alone.

    Raises:
        ForbiddenError: The token may not ask this.
        TenantLostError: A list is not whole, or nothing at all is answered.
    """
    waiting = list(reversed(list(asked)))
    answered, refused = False, 0
    while waiting:
        values = waiting.pop()
        answer = await _all_pages(question, values)
        if not answer.refused:
            answered = True
        elif len(values) > 1:
            middle = len(values) // 2
            waiting += [values[middle:], values[:middle]]
            continue
        else:
            refused += 1
            if not answered and refused >= _FRUITLESS:
                raise _lost(question, f"is refused: {answer.refused}")
        yield answer


async def _all_pages(question: CollectionQuery, values: tuple[str, ...]) -> Answered:
    rows: list[Any] = []
    total: int | None = None
    last: tuple[Any, ...] = ()
    while True:
        reply = await question.ask(values, len(rows))
        status = reply.answer.status
        if status == _FORBIDDEN:
            raise ForbiddenError(reply.answer.text)
        if status != _OK and rows and status == _BAD_REQUEST:
            # An offset at the end of the list may be an error rather than an empty page.
            break
        if status != _OK:
            return Answered(values=values, refused=reply.answer.text or f"the tenant answered {status}")
        total = reply.total if not rows else total
        if reply.rows and reply.rows == last:
            raise _lost(question, f"does not end: after {len(rows)} rows it still goes on")
        last = reply.rows
        rows += reply.rows
        if max(len(rows), total or 0) > question.most_rows:
            return Answered(values=values, refused="too many have it in one of their names")
        if not reply.rows or (len(reply.rows) < question.page_limit if total is None else len(rows) >= total):
            break
    if total is not None and len(rows) < total:
        raise _lost(question, f"ended after {len(rows)} of {total} rows")
    return Answered(values=values, rows=tuple(rows))


def _lost(question: CollectionQuery, why: str) -> TenantLostError:
    return TenantLostError(
        f"The tenant's {question.subject} {why}.",
        next_step="What the ledger says stays as it is. Run the same command again later.",
    )
