"""Teams: fewer people than fill a request, who alone share a wish and take along whatever else they have in common.

A wish of so few people mostly costs a request. All that its people have in common beside it then comes for nothing: the
items of a small department, and with them those that everybody gets.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from batch.plan.pairs import spans

if TYPE_CHECKING:
    from batch.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs


def team_up(pairs: Pairs, free: Flags, limits: Limits) -> Numbers:
    """Places free pairs into requests of all people that are left of a rare wish; the largest products come first.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        limits: What one request may hold.

    Returns:
        For each pair the number of its request, from 0; -1 where it has none.
    """
    request = np.full(len(pairs.who), -1)
    unplaced = free.copy()
    count = pairs.count_by_wish(free)
    made = 0
    teams = [
        (-_product(pairs, unplaced, wish, limits).size, wish)
        for wish in np.flatnonzero((count > 1) & (count < limits.recipients)).tolist()
    ]
    heapify(teams)
    while teams:
        expected, wish = heappop(teams)
        placed = _product(pairs, unplaced, wish, limits)
        if placed.shape[0] < 2 or placed.shape[1] < 2:  # noqa: PLR2004 - less is no product
            continue
        if -placed.size > expected:
            heappush(teams, (-placed.size, wish))
            continue
        request[placed] = made
        unplaced[placed] = False
        made += 1
    return request


def _product(pairs: Pairs, unplaced: Flags, wish: int, limits: Limits) -> Numbers:
    """Positions of the unplaced pairs of a wish's people and all that they have in common, a line for each wish."""
    holders = pairs.holders(wish)
    people = pairs.who[holders[unplaced[holders]]]
    starts = pairs.of_who[people]
    position = spans(starts, pairs.of_who[people + 1] - starts)
    position = position[unplaced[position]]
    what = pairs.what[position]
    order = np.argsort(what, kind="stable")
    position, what = position[order], what[order]
    begins = np.flatnonzero(np.diff(what, prepend=-1))
    shared = begins[np.diff(begins, append=len(what)) == len(people)]
    # The wish itself has to be among those that are taken.
    shared = shared[np.argsort(what[shared] != wish, kind="stable")][: limits.items]
    places: Numbers = shared[:, None] + np.arange(len(people))
    return position[places]
