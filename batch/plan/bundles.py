"""Bundles: ten people at a time who share several wishes, found from the rarest wish upwards.

A rare wish needs its requests anyway. So its holders are parted into full requests that take along whatever else they
have in common, and of that first what is rare itself: it has the fewest other chances. What is common finds company
later. Sets of holders are bits of one whole number, so that an intersection costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.pairs import spans

if TYPE_CHECKING:
    from batch.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

BLOCK: Final = 8192
"""Holders of one wish that are looked at together; neighbours want similar things, so little is lost in between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """When a bundle is worth a request.

    Attributes:
        people: Fewest people that it may have.
        pairs: Fewest pairs.
        crowd: Most people that may still want the rarest of its wishes: few of many who have something in common are
            not worth the search. None for any number.
    """

    people: int
    pairs: int
    crowd: int | None = None


def bundle(pairs: Pairs, free: Flags, limits: Limits, terms: Terms) -> Numbers:
    """Places free pairs into bundles of at least two wishes.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        limits: What one request may hold.
        terms: Which bundles are wanted.

    Returns:
        For each pair the number of its request, from 0; -1 where it has none.
    """
    request = np.full(len(pairs.who), -1)
    rarity = pairs.count_by_wish(free)
    unplaced = free.copy()
    keys = pairs.keys()
    made = 0
    for wish in np.argsort(rarity, kind="stable")[np.count_nonzero(rarity < terms.people) :]:
        holders = pairs.holders(int(wish))
        holders = holders[unplaced[holders]]
        if terms.crowd is not None and len(holders) > terms.crowd:
            continue
        for start in range(0, len(holders), BLOCK):
            block = holders[start : start + BLOCK]
            if len(block) < terms.people:
                continue
            for people, wishes, size in _bundles_of(pairs, unplaced, block, rarity, limits, terms):
                placed = np.searchsorted(keys, people * pairs.wishes + np.append(wishes, wish)[:, None])
                request[placed] = made + np.arange(len(people)) // size
                unplaced[placed] = False
                made += len(people) // size
    return request


def _bundles_of(
    pairs: Pairs, unplaced: Flags, holders: Numbers, rarity: Numbers, limits: Limits, terms: Terms
) -> list[tuple[Numbers, Numbers, int]]:
    """Bundles around one wish.

    Args:
        pairs: All pairs.
        unplaced: Which of them may be placed.
        holders: Positions of the wish's pairs in question.
        rarity: How many want each wish.
        limits: What one request may hold.
        terms: Which bundles are wanted.

    Returns:
        For some bundles of the same wishes: their people, the other wishes, and how many people a bundle has.
    """
    names, company = _company(pairs, unplaced, holders, rarity, terms.people)
    found = []
    alive = (1 << len(holders)) - 1
    while company:
        together, wishes = _gather(alive, company, limits, terms)
        count = together.bit_count()
        size = min(count, limits.recipients)
        if not wishes or size * (len(wishes) + 1) < terms.pairs:
            break
        people = _members(together, len(holders))[: count // size * size]
        taken = together & ((2 << int(people[-1])) - 1)
        found.append((pairs.who[holders[people]], names[wishes], size))
        alive ^= taken
        for wish in wishes:
            company[wish] &= alive
        if alive.bit_count() < terms.people:
            break
    return found


def _gather(alive: int, company: list[int], limits: Limits, terms: Terms) -> tuple[int, list[int]]:
    """Who among `alive` go together with which of the other wishes, rarest first as long as enough people share them.

    Fewer people than fill a request are only taken where the product grows by it.
    """
    full, most, least = limits.recipients, limits.items - 1, terms.people
    together, size, wishes = alive, min(alive.bit_count(), full), list[int]()
    for wish, wanting in enumerate(company):
        shared = together & wanting
        count = shared.bit_count()
        if count >= full or (count >= least and count * (len(wishes) + 2) > size * (len(wishes) + 1)):
            together, size = shared, min(count, full)
            wishes.append(wish)
            if len(wishes) == most:
                break
    return together, wishes


def _company(pairs: Pairs, unplaced: Flags, holders: Numbers, rarity: Numbers, least: int) -> tuple[Numbers, list[int]]:
    """The other unplaced wishes of the holders that at least `least` of them share, rarest first.

    Returns:
        Their numbers, and for each of them the holders that want it, as bits.
    """
    people = pairs.who[holders]
    starts = pairs.of_who[people]
    lengths = pairs.of_who[people + 1] - starts
    position = spans(starts, lengths)
    holder = np.repeat(np.arange(len(holders)), lengths)
    kept = unplaced[position] & (pairs.what[position] != pairs.what[holders[0]])
    position, holder = position[kept], holder[kept]
    wishes, line, count = np.unique(pairs.what[position], return_inverse=True, return_counts=True)
    shared = np.flatnonzero(count >= least)
    shared = shared[np.argsort(rarity[wishes[shared]], kind="stable")]
    new_line = np.full(len(wishes), -1)
    new_line[shared] = np.arange(len(shared))
    line = new_line[line]
    wanting = np.zeros((len(shared), len(holders)), bool)
    wanting[line[line >= 0], holder[line >= 0]] = True
    packed = np.packbits(wanting, axis=1, bitorder="little")
    return wishes[shared], [int.from_bytes(bits.tobytes(), "little") for bits in packed]


def _members(bits: int, length: int) -> Numbers:
    """Which of the `length` bits are set, ascending."""
    content = np.frombuffer(bits.to_bytes(-(-length // 8), "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(content, bitorder="little"))
