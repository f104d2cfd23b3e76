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
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

BLOCK: Final = 8192
"""Holders of one wish that are looked at together; neighbours want similar things, so little is lost in between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleTerms:
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


def bundle(pairs: Pairs, free: Flags, max_overlap: Numbers, limits: Limits, terms: BundleTerms) -> Numbers:
    """Places free pairs into bundles of at least two wishes.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        max_overlap: For each wish how many of its people share another one at most.
        limits: What one request may hold.
        terms: Which bundles are wanted.

    Returns:
        For each pair the number of its request, from 0; -1 where it has none.
    """
    bundler = _Bundler(pairs, free, limits, terms)
    wanted = np.flatnonzero(np.minimum(bundler.rarity, max_overlap) >= terms.people)
    for item_spec in wanted[np.argsort(bundler.rarity[wanted], kind="stable")].tolist():
        bundler.bundle_around(item_spec)
    return bundler.request


class _Bundler:
    """What has been placed so far, and the search for more.

    Attributes:
        request: For each pair the number of its request; -1 where it has none.
        rarity: How many free pairs each wish had at the beginning.
    """

    def __init__(self, pairs: Pairs, free: Flags, limits: Limits, terms: BundleTerms) -> None:
        self.request = np.full(len(pairs.who), -1)
        self.rarity = pairs.count_by_wish(free)
        self._pairs, self._limits, self._terms = pairs, limits, terms
        self._unplaced = free.copy()
        self._keys = pairs.keys()
        self._made = 0
        self._line_of_wish = np.full(pairs.item_specs, -1)

    def bundle_around(self, item_spec: int) -> None:
        """Places the people of a wish as far as they share others."""
        holders = self._pairs.holders(item_spec)
        people = self._pairs.who[holders[self._unplaced[holders]]]
        if self._terms.crowd is not None and len(people) > self._terms.crowd:
            return
        for start in range(0, len(people), BLOCK):
            block = people[start : start + BLOCK]
            if len(block) >= self._terms.people:
                self._bundle_block(item_spec, block)

    def _bundle_block(self, item_spec: int, people: Numbers) -> None:
        item_specs, max_overlap = self._max_overlap(item_spec, people)
        alive = (1 << len(people)) - 1
        while max_overlap and alive.bit_count() >= self._terms.people:
            together, chosen = _gather(alive, max_overlap, self._limits, self._terms)
            count = together.bit_count()
            size = min(count, self._limits.recipients)
            if not chosen or size * (len(chosen) + 1) < self._terms.pairs:
                return
            members = _members(together, len(people))[: count // size * size]
            self._place(people[members], np.append(item_specs[chosen], item_spec), size)
            alive ^= together & ((2 << int(members[-1])) - 1)
            for line in chosen:
                max_overlap[line] &= alive

    def _place(self, people: Numbers, item_specs: Numbers, size: int) -> None:
        """Gives each `size` of the people a request for the wishes."""
        placed = np.searchsorted(self._keys, people * self._pairs.item_specs + item_specs[:, None])
        self.request[placed] = self._made + np.arange(len(people)) // size
        self._unplaced[placed] = False
        self._made += len(people) // size

    def _max_overlap(self, item_spec: int, people: Numbers) -> tuple[Numbers, list[int]]:
        """The other unplaced wishes that enough of the people share, rarest first.

        Returns:
            Their numbers, and for each of them which of the people want it, as bits.
        """
        starts = self._pairs.of_who[people]
        lengths = self._pairs.of_who[people + 1] - starts
        position = spans(starts, lengths)
        person = np.repeat(np.arange(len(people)), lengths)
        kept = self._unplaced[position] & (self._pairs.what[position] != item_spec)
        what, person = self._pairs.what[position[kept]], person[kept]
        shared = _shared(what, self._pairs.item_specs, self._terms.people)
        if not len(shared):
            return shared, []
        shared = shared[np.argsort(self.rarity[shared], kind="stable")]
        self._line_of_wish[shared] = np.arange(len(shared))
        line = self._line_of_wish[what]
        self._line_of_wish[shared] = -1
        wanting = np.zeros((len(shared), len(people)), bool)
        wanting[line[line >= 0], person[line >= 0]] = True
        packed = np.packbits(wanting, axis=1, bitorder="little")
        return shared, [int.from_bytes(bits.tobytes(), "little") for bits in packed]


def _gather(alive: int, max_overlap: list[int], limits: Limits, terms: BundleTerms) -> tuple[int, list[int]]:
    """Who among `alive` go together with which of the other wishes, rarest first as long as enough people share them.

    Fewer people than fill a request are only taken where the product grows by it.
    """
    full, most, least = limits.recipients, limits.items - 1, terms.people
    together, size, chosen = alive, min(alive.bit_count(), full), list[int]()
    for line, wanting in enumerate(max_overlap):
        shared = together & wanting
        count = shared.bit_count()
        if count >= full or (count >= least and count * (len(chosen) + 2) > size * (len(chosen) + 1)):
            together, size = shared, min(count, full)
            chosen.append(line)
            if len(chosen) == most:
                break
    return together, chosen


def _shared(what: Numbers, item_specs: int, least: int) -> Numbers:
    """The numbers that stand at least `least` times in `what`, ascending; all are below `item_specs`."""
    if item_specs < _DENSE * len(what):
        return np.flatnonzero(np.bincount(what, minlength=item_specs) >= least)
    different, count = np.unique(what, return_counts=True)
    return different[count >= least]


_DENSE: Final = 16
"""A count of all wishes is faster than sorting where there are fewer wishes than so many for each number counted."""


def _members(bits: int, length: int) -> Numbers:
    """Which of the `length` bits are set, ascending."""
    content = np.frombuffer(bits.to_bytes(-(-length // 8), "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(content, bitorder="little"))
