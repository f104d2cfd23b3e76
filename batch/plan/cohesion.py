"""Cohesion: how much else the people of an item spec have in common.

The people of a role's item spec want the role's other item specs too, so bundles around them are large. Item specs that
most people want anyway do not count: they say nothing about these people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array

from batch.plan.pairs import spans

if TYPE_CHECKING:
    from batch.plan.pairs import Numbers, Pairs

_SAMPLE: Final = 60
"""People of an item spec to look at."""

_MOST: Final = 0.7
"""Share of them who must want another item spec too."""

_SLICE: Final = 2_000_000
"""Pairs of these people to count at once."""


def cohesion_of(pairs: Pairs, least: int) -> Numbers:
    """For each item spec how many others most of its people want too; 0 if it has fewer people than `least`."""
    holders = np.diff(pairs.of_what)
    cohesion = np.zeros(pairs.item_specs, np.int64)
    tells = (holders < _MOST * pairs.people)[pairs.what]
    who, what = pairs.who[tells], pairs.what[tells]
    wants = csr_array((np.ones(len(who), np.int32), (who, what)), shape=(pairs.people, pairs.item_specs))
    counted = np.flatnonzero(holders >= least)
    taken = np.minimum(holders[counted], _SAMPLE)
    people = _sample(pairs, counted, taken)
    ends = np.cumsum(taken)
    work = np.cumsum(np.diff(pairs.of_who)[people])[ends - 1]
    start = 0
    while start < len(counted):
        before = work[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(work, before + _SLICE, side="right")))
        some, sizes = people[ends[start] - taken[start] : ends[end - 1]], taken[start:end]
        sampled = csr_array(
            (np.ones(len(some), np.int32), some, np.append(0, np.cumsum(sizes))), shape=(end - start, pairs.people)
        )
        cohesion[counted[start:end]] = _count(csr_array(sampled @ wants), sizes)
        start = end
    return np.maximum(cohesion - (holders < _MOST * pairs.people), 0)


def _sample(pairs: Pairs, item_specs: Numbers, taken: Numbers) -> Numbers:
    """So many people of each item spec, evenly spread."""
    within = spans(np.zeros_like(taken), taken)
    holders = np.diff(pairs.of_what)[item_specs]
    spread = within * np.repeat(holders, taken) // np.repeat(taken, taken)
    positions: Numbers = pairs.by_what[np.repeat(pairs.of_what[item_specs], taken) + spread]
    return pairs.who[positions]


def _count(shared: csr_array, sizes: Numbers) -> Numbers:
    """For each row how many values are at least most of the row's size."""
    row = np.repeat(np.arange(len(sizes)), np.diff(shared.indptr))
    counts: Numbers = np.bincount(row[shared.data >= _MOST * sizes[row]], minlength=len(sizes))
    return counts
