"""How to find out what is in progress and what is held with the fewest calls.

What is in progress can be learned in three ways; `p` people are asked about, and a list has `r` rows:

| way | calls |
|---|---|
| each person's own list | p |
| everybody's list of what is in progress | 1, which tells r; where r > 250 then every page: ceil(r / 250) |
| the administration list, where the API version has one | the same; it may be allowed where the other is not |

The last two are equally long, so that what one has told holds for the other. Where there are several pages they are
read from the last to the first, the one that was read before included (see tenant.open_rows). Where nothing says that
the token's user sees everybody's requests, one call more finds that out. What is held takes
ceil(p / 250) searches: a query may ask for more ids, but a page of answers has no more.

20,000 people and 30,000 rows in progress: 1 + 120 pages and 80 searches, 201 calls.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch.api.dialects import PAGE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.api.dialects import Limits


class ListChoice(StrEnum):
    """A way to learn what is in progress; of those that take as many calls, the first is taken."""

    EACH = "each person's list"
    EVERYBODY = "everybody's list"
    ADMINISTRATION = "the administration list"


def calls_left(way: ListChoice, people: int, pages: float | None, *, seen: bool) -> float:
    """How many more calls a way takes.

    Args:
        way: The way.
        people: How many people are asked about.
        pages: Pages of a list of everybody; None where no such list has told yet.
        seen: Whether the first page of this way's own list was read.
    """
    if way is ListChoice.EACH:
        return people
    if pages is None:
        return 1
    if pages == 1:
        return 0 if seen else 1
    return pages + (0 if seen else 1)


def cheapest(
    people: int, pages: float | None, *, seen: Collection[ListChoice], open_ways: Collection[ListChoice]
) -> ListChoice:
    """The way that takes the fewest calls from here on; what is not known yet is hoped to be one page.

    Args:
        people: How many people are asked about.
        pages: Pages of a list of everybody; None where no such list has told yet.
        seen: Ways whose list has shown its first page.
        open_ways: Ways that the tenant has not refused, at least one.
    """
    return min(
        (way for way in ListChoice if way in open_ways),
        key=lambda way: calls_left(way, people, pages, seen=way in seen),
    )


def pages_of(total: int | None, on_first: int, *, more: bool) -> float:
    """Pages of a list, by its first page; without end where the tenant does not say how many rows it has.

    Args:
        total: Rows of all pages; None where it is not said.
        on_first: Rows on the first page.
        more: Whether there may be another page.
    """
    if not more:
        return 1
    return math.inf if total is None else max(2, math.ceil(total / max(1, on_first)))


def searches(people: int) -> int:
    """How many searches tell what so many people hold."""
    return math.ceil(people / PAGE_LIMIT)


def is_dear(calls: float, people: int, limits: Limits) -> bool:
    """Whether so many calls are out of proportion to a run for so many people, so that the user is told beforehand.

    The run itself takes at least one request for every few people (`limits.recipients`).
    """
    return calls > _FREE + _FOR_EACH_REQUEST * math.ceil(people / limits.recipients)


_FREE: Final = 400
_FOR_EACH_REQUEST: Final = 2
