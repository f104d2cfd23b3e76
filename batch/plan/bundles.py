"""Bundles: full requests of people who share several item specs, found from the rarest item spec upwards.

A rare item spec needs its requests anyway. So its people are divided into full requests that include whatever else they
have in common, rare item specs first, because those have the fewest other chances. Common item specs find requests
later. A set of people is the bits of one integer, so that an intersection costs next to nothing.
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
"""People of one item spec to bundle together; neighbours want similar things, so little is lost between blocks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleRule:
    """When a bundle is worth a request.

    Attributes:
        people: Fewest people in it.
        pairs: Fewest pairs in it.
        most_holders: Most people who may still want its rarest item spec, because a search among more for a few who
            have something in common does not pay. None for any number.
    """

    people: int
    pairs: int
    most_holders: int | None = None


def bundle(
    pairs: Pairs,
    free: Flags,
    max_overlap: Numbers,
    limits: Limits,
    rule: BundleRule,
    *,
    cohesion: Numbers | None = None,
) -> Numbers:
    """Places free pairs into bundles of at least two item specs.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        max_overlap: For each item spec the most people who share another one with it.
        limits: Limits of one request.
        rule: Which bundles to make.
        cohesion: From `cohesion_of`, to begin at the item specs whose people have most in common; None to begin at the
            rarest.

    Returns:
        For each pair the number of its request, from 0; -1 if it has none.
    """
    bundler = _Bundler(pairs, free, limits, rule)
    wanted = np.flatnonzero(np.minimum(bundler.rarity, max_overlap) >= rule.people)
    rarity = bundler.rarity[wanted]
    order = np.argsort(rarity, kind="stable") if cohesion is None else np.lexsort((rarity, -cohesion[wanted]))
    for item_spec in wanted[order].tolist():
        bundler.bundle_around(item_spec)
    return bundler.request


class _Bundler:
    """The bundles made so far, and the search for more.

    Attributes:
        request: For each pair the number of its request; -1 if it has none.
        rarity: How many free pairs each item spec had at the beginning.
    """

    def __init__(self, pairs: Pairs, free: Flags, limits: Limits, rule: BundleRule) -> None:
        self.request = np.full(len(pairs.who), -1)
        self.rarity = pairs.count_by_item_spec(free)
        self._pairs, self._limits, self._rule = pairs, limits, rule
        self._unplaced = free.copy()
        self._keys = pairs.keys()
        self._made = 0
        self._index_of = np.full(pairs.item_specs, -1)

    def bundle_around(self, item_spec: int) -> None:
        """Bundles the people of an item spec by the others that they share."""
        holders = self._pairs.holders(item_spec)
        people = self._pairs.who[holders[self._unplaced[holders]]]
        if self._rule.most_holders is not None and len(people) > self._rule.most_holders:
            return
        for start in range(0, len(people), BLOCK):
            block = people[start : start + BLOCK]
            if len(block) >= self._rule.people:
                self._bundle_block(item_spec, block)

    def _bundle_block(self, item_spec: int, people: Numbers) -> None:
        others, wanting = self._shared_by(people, item_spec)
        unbundled = (1 << len(people)) - 1
        while wanting and unbundled.bit_count() >= self._rule.people:
            together, chosen = _gather(unbundled, wanting, self._limits, self._rule)
            count = together.bit_count()
            size = min(count, self._limits.recipients)
            if not chosen or size * (len(chosen) + 1) < self._rule.pairs:
                return
            members = _members(together, len(people))[: count // size * size]
            self._place(people[members], np.append(others[chosen], item_spec), size)
            unbundled ^= together & ((2 << int(members[-1])) - 1)
            for index in chosen:
                wanting[index] &= unbundled

    def _place(self, people: Numbers, item_specs: Numbers, size: int) -> None:
        """Makes a request for the item specs for each `size` of the people."""
        placed = np.searchsorted(self._keys, people * self._pairs.item_specs + item_specs[:, None])
        self.request[placed] = self._made + np.arange(len(people)) // size
        self._unplaced[placed] = False
        self._made += len(people) // size

    def _shared_by(self, people: Numbers, item_spec: int) -> tuple[Numbers, list[int]]:
        """The other unplaced item specs that enough of the people share, rarest first.

        Returns:
            Their numbers, and for each of them the people who want it, as bits.
        """
        starts = self._pairs.of_who[people]
        lengths = self._pairs.of_who[people + 1] - starts
        position = spans(starts, lengths)
        person = np.repeat(np.arange(len(people)), lengths)
        kept = self._unplaced[position] & (self._pairs.what[position] != item_spec)
        what, person = self._pairs.what[position[kept]], person[kept]
        shared = _frequent(what, self._pairs.item_specs, self._rule.people)
        if not len(shared):
            return shared, []
        shared = shared[np.argsort(self.rarity[shared], kind="stable")]
        self._index_of[shared] = np.arange(len(shared))
        index = self._index_of[what]
        self._index_of[shared] = -1
        wanting = np.zeros((len(shared), len(people)), bool)
        wanting[index[index >= 0], person[index >= 0]] = True
        packed = np.packbits(wanting, axis=1, bitorder="little")
        return shared, [int.from_bytes(bits.tobytes(), "little") for bits in packed]


def _gather(unbundled: int, wanting: list[int], limits: Limits, rule: BundleRule) -> tuple[int, list[int]]:
    """Which of the unbundled people to bundle with which item specs, rarest first while enough people share them.

    Fewer people than fill a request are only chosen if the product grows by it.
    """
    full, most, least = limits.recipients, limits.items - 1, rule.people
    together, size, chosen = unbundled, min(unbundled.bit_count(), full), list[int]()
    for index, people in enumerate(wanting):
        shared = together & people
        count = shared.bit_count()
        if count >= full or (count >= least and count * (len(chosen) + 2) > size * (len(chosen) + 1)):
            together, size = shared, min(count, full)
            chosen.append(index)
            if len(chosen) == most:
                break
    return together, chosen


def _frequent(what: Numbers, item_specs: int, least: int) -> Numbers:
    """The numbers that occur at least `least` times in `what`, ascending; all are below `item_specs`."""
    if item_specs < _DENSE * len(what):
        return np.flatnonzero(np.bincount(what, minlength=item_specs) >= least)
    ascending: Numbers = np.sort(what)
    # A number that stands `least` - 1 places behind itself occurs often enough.
    last = ascending[least - 1 :]
    often: Numbers = last[last == ascending[: len(last)]]
    new: Flags = np.diff(often, prepend=-1) != 0
    return often[new]


_DENSE: Final = 16
"""Counting every item spec is faster than sorting if there are fewer item specs than this many for each number."""


def _members(bits: int, length: int) -> Numbers:
    """The positions of the bits that are set, of `length` bits, ascending."""
    content = np.frombuffer(bits.to_bytes(-(-length // 8), "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(content, bitorder="little"))
