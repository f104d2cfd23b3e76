"""How many of a wish's people share another wish at most: where that is too few, nobody needs to look closer.

Files with a comment for each ticket have hundreds of thousands of wishes of a dozen people each. To look at them one by
one costs far more than to look at all of them together, which is what this does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.pairs import spans

if TYPE_CHECKING:
    from batch.plan.pairs import Numbers, Pairs

_SMALL: Final = 1_000
"""All wishes of all people of one wish, up to which it is looked at here: beyond, one by one is as fast."""

_SLICE: Final = 2_000_000
"""Wishes of people that are looked at together."""


def most_company(pairs: Pairs) -> Numbers:
    """For each wish the most people who share another one; for wishes of many the number of their people."""
    most = np.diff(pairs.of_what)
    seen = np.bincount(pairs.what, weights=np.diff(pairs.of_who)[pairs.who], minlength=pairs.wishes).astype(np.int64)
    small = np.flatnonzero((seen <= _SMALL) & (most > 0))
    upto = np.cumsum(seen[small])
    start = 0
    while start < len(small):
        before = upto[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(upto, before + _SLICE, side="right")))
        most[small[start:end]] = _most_of(pairs, small[start:end])
        start = end
    return most


def _most_of(pairs: Pairs, wishes: Numbers) -> Numbers:
    """The same for some wishes."""
    holders = np.diff(pairs.of_what)[wishes]
    people = pairs.who[pairs.by_what[spans(pairs.of_what[wishes], holders)]]
    wanted = np.diff(pairs.of_who)[people]
    other = pairs.what[spans(pairs.of_who[people], wanted)]
    line = np.repeat(np.repeat(np.arange(len(wishes)), holders), wanted)
    meeting = np.sort((line * pairs.wishes + other)[other != wishes[line]])
    begins = np.flatnonzero(np.diff(meeting, prepend=-1))
    most = np.zeros(len(wishes), np.int64)
    np.maximum.at(most, meeting[begins] // pairs.wishes, np.diff(begins, append=len(meeting)))
    return most
