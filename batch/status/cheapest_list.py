"""How to find out what is in progress and what is held with the fewest calls.

There are three ways to learn what is in progress for `p` people; a list has `r` rows:

| list | calls |
|---|---|
| each person's | p |
| everybody's, of what is in progress | 1, which shows r; if r > 250, then every page: ceil(r / 250) |
| the administration list, if the API version has one | the same; it may be allowed if the other is not |

The last two have the same length. Several pages are read from the last to the first, and the first is read again (see
tenant.paging.open_pages). If nothing shows that the token's user sees everybody's
requests, one more call finds that out. Held access takes ceil(p / 250) searches: a query may name more ids, but a page
of answers has no more.

And there are these ways to learn what waits for an approver; the tenant has `a` pending approvals:

| list of pending approvals | calls |
|---|---|
| of some access requests, if the API version has that filter | ceil(requests / 50), as many as fit a filter |
| of some people | ceil(p / 50) |
| all | 1, which shows a; if a > 250, then every page: ceil(a / 250) |

A portion that has more than a page of approvals takes more; that is not known before.

Example: 20,000 people, 30,000 rows in progress and as many pending approvals take 1 + 120 pages, the same again, and 80
searches: 322 calls.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch.api.dialects import PAGE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from batch.api.dialects import Limits


class ListChoice(StrEnum):
    """Which list shows what is in progress; if several take as many calls, the first is chosen."""

    EACH = "each person's list"
    EVERYBODY = "everybody's list"
    ADMINISTRATION = "the administration list"


def calls_left(choice: ListChoice, people: int, pages: float | None, *, seen: bool) -> float:
    """How many more calls a choice takes.

    Args:
        choice: The list.
        people: How many people to ask about.
        pages: Pages of a list of everybody; None if no such list was read yet.
        seen: Whether the first page of this choice's own list was read.
    """
    return people if choice is ListChoice.EACH else _of_whole(pages, seen=seen)


def _of_whole(pages: float | None, *, seen: bool) -> float:
    """How many more calls a whole list takes, if a list of unknown length has one page."""
    if pages is None:
        return 1
    if pages == 1:
        return 0 if seen else 1
    return pages + (0 if seen else 1)


def cheapest(
    people: int, pages: float | None, *, seen: Collection[ListChoice], allowed: Collection[ListChoice]
) -> ListChoice:
    """The choice that takes the fewest calls from here on, if a list of unknown length has one page.

    Args:
        people: How many people to ask about.
        pages: Pages of a list of everybody; None if no such list was read yet.
        seen: Choices whose first page was read.
        allowed: Choices that the tenant has not refused, at least one.
    """
    return min(
        (choice for choice in ListChoice if choice in allowed),
        key=lambda choice: calls_left(choice, people, pages, seen=choice in seen),
    )


class ApprovalChoice(StrEnum):
    """Which pending approvals are asked for; if several take as many calls, the first is chosen."""

    OF_REQUESTS = "those of some access requests"
    OF_PEOPLE = "those for some people"
    ALL = "all"


def approval_calls_left(
    choice: ApprovalChoice, portions: Mapping[ApprovalChoice, int], pages: float | None, *, seen: bool
) -> float:
    """How many more calls a choice takes.

    Args:
        choice: What is asked for.
        portions: In how many portions access requests and people are asked for.
        pages: Pages of the whole list; None if it was not read yet.
        seen: Whether the first page of this choice was read.
    """
    return _of_whole(pages, seen=seen) if choice is ApprovalChoice.ALL else portions[choice] - seen


def cheapest_approvals(
    portions: Mapping[ApprovalChoice, int],
    pages: float | None,
    *,
    seen: Collection[ApprovalChoice],
    allowed: Collection[ApprovalChoice],
) -> ApprovalChoice:
    """The choice that takes the fewest calls from here on, if a list of unknown length has one page.

    Args:
        portions: In how many portions access requests and people are asked for, if they can be.
        pages: Pages of the whole list; None if its first page was not read yet.
        seen: Choices whose first page was read.
        allowed: Choices that the tenant has not refused, at least one.
    """
    return min(
        (choice for choice in ApprovalChoice if choice in allowed),
        key=lambda choice: approval_calls_left(choice, portions, pages, seen=choice in seen),
    )


def pages_of(total: int | None, on_first: int, *, more: bool) -> float:
    """Pages of a list, by its first page; infinite if the tenant does not say how many rows it has.

    Args:
        total: Rows of all pages; None if the tenant does not say.
        on_first: Rows on the first page.
        more: Whether there may be another page.
    """
    if not more:
        return 1
    return math.inf if total is None else max(2, math.ceil(total / max(1, on_first)))


def searches(people: int) -> int:
    """How many searches find out what so many people hold."""
    return math.ceil(people / PAGE_LIMIT)


def is_expensive(calls: float, people: int, limits: Limits) -> bool:
    """Whether so many calls are out of proportion to a run for so many people, so that the user is warned.

    The run itself takes at least one request for every `limits.recipients` people.
    """
    return calls > _FREE + _FOR_EACH_REQUEST * math.ceil(people / limits.recipients)


_FREE: Final = 400
_FOR_EACH_REQUEST: Final = 2
