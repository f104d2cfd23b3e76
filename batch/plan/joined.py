"""Requests that fit into one: same people and different wishes, or same wishes and different people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from batch.plan.pairs import alike, distinct, make_pairs

if TYPE_CHECKING:
    from batch.dialects import Limits
    from batch.plan.pairs import Numbers, Pairs


def join_alike(pairs: Pairs, request: Numbers, limits: Limits) -> Numbers:
    """Joins requests where a product remains.

    Args:
        pairs: All pairs.
        request: The number of each pair's request.
        limits: What one request may hold.

    Returns:
        The same with fewer requests, numbered from 0 without gaps in the old order.
    """
    joined = _join(request, pairs.who, limits.items)
    joined = _join(joined, pairs.what, limits.recipients)
    kept = np.bincount(joined) > 0
    return (np.cumsum(kept) - 1)[joined]


def _join(request: Numbers, same: Numbers, most: int) -> Numbers:
    """Joins requests that have the same on one side, as long as the other side holds at most `most`."""
    requests, others = int(request.max()) + 1, int(same.max()) + 1
    cells = distinct(request * others + same)
    sides = make_pairs(cells // others, cells % others, people=requests, wishes=others)
    first = alike(sides, np.ones(len(cells), bool))
    first[np.bincount(request, minlength=requests) == 0] = -1
    size = np.bincount(request, minlength=requests) // np.maximum(np.diff(sides.of_who), 1)
    into = np.arange(requests)
    order = np.lexsort((into, -size, first))
    order = order[first[order] >= 0]
    with_company = np.bincount(first[order], minlength=requests)[first[order]] > 1
    room: dict[int, list[list[int]]] = {}
    for number in order[with_company].tolist():
        filled = room.setdefault(int(first[number]), [])
        for target in filled:
            if target[1] + size[number] <= most:
                into[number] = target[0]
                target[1] += int(size[number])
                break
        else:
            filled.append([number, int(size[number])])
    return into[request]
