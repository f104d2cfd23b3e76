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
    size = np.bincount(request, minlength=requests) // np.maximum(np.diff(sides.of_who), 1)
    into = np.arange(requests)
    open_ones = np.flatnonzero((size > 0) & (size < most))
    company = np.bincount(first[open_ones], minlength=requests)
    open_ones = open_ones[company[first[open_ones]] > 1]
    room: dict[int, list[tuple[int, int]]] = {}
    for number in open_ones[np.argsort(-size[open_ones], kind="stable")].tolist():
        targets = room.setdefault(int(first[number]), [])
        needed = int(size[number])
        fitting = next((place for place, (_, left) in enumerate(targets) if left >= needed), None)
        target, left = targets.pop(fitting) if fitting is not None else (number, most)
        into[number] = target
        if left > needed:
            targets.append((target, left - needed))
    return into[request]
