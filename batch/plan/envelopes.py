"""Envelopes: small requests that share a body, if the API version lists items per identity.

Such a body holds as many identities as any, but an item counts once for each identity: 25 in all, while a full product
has up to 250 pairs. So it suits people whose changes pack badly, with comments or dates of their own. Requests with
more than 25 pairs stay as they are. Smaller ones are either kept whole or divided by person, which fits anywhere.
Several sizes up to which to divide requests, and several orders of filling bodies, are tried; the fewest bodies win.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.filling import BodyPattern, FillOrder, Size, count_bodies, fill
from batch.plan.pairs import distinct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

ALONE: Final = -1
"""The envelope of a request that has a body of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kinds:
    """Requests of three kinds.

    Attributes:
        large: Requests that have a body of their own.
        whole: Requests that go into shared bodies whole.
        divided: Requests that are divided by person.
    """

    large: Flags
    whole: Flags
    divided: Flags


def share_bodies(pairs: Pairs, request: Numbers, limits: Limits) -> tuple[Numbers, Numbers]:
    """Puts small requests into envelopes if that needs fewer bodies.

    Args:
        pairs: All pairs.
        request: The number of each pair's request, from 0 without gaps.
        limits: Limits of one body.

    Returns:
        The number of each pair's request, from 0 without gaps, consecutive within an envelope; and for each request the
        number of the first request of its envelope, ALONE if it has none. Without envelopes the requests are unchanged.
    """
    requests = int(request.max()) + 1
    size = np.bincount(request, minlength=requests)
    cells = distinct(request * pairs.people + pairs.who)
    people = np.bincount(cells // pairs.people, minlength=requests)
    small = size <= limits.items
    several = small & (people > 1)
    best: tuple[BodyPattern, ...] = ()
    fewest, kinds = requests, None
    for most in (0, *distinct(size[several]).tolist()):
        divided = small & ((people == 1) | (size <= most))
        whole = small & ~divided
        loads = _loads_of_people(pairs, divided[request], limits)
        loads.update(Size(*one) for one in zip(size[whole].tolist(), people[whole].tolist(), strict=True))
        for order in FillOrder:
            patterns = fill(loads, limits, order)
            bodies = count_bodies(patterns) + int((~small).sum())
            if bodies < fewest:
                best, fewest, kinds = patterns, bodies, _Kinds(large=~small, whole=whole, divided=divided)
    if kinds is None:
        return request, np.full(requests, ALONE)
    return _Packing(pairs, request, kinds, limits).pack(best, size, people)


def _loads_of_people(pairs: Pairs, divided: Flags, limits: Limits) -> Counter[Size]:
    """The sizes of what people want in divided requests: for each person loads that fill a body, and the rest."""
    count = pairs.count_by_person(divided)
    rest = np.bincount(count % limits.items, minlength=limits.items)
    loads = Counter({Size(items, 1): number for items, number in enumerate(rest.tolist()) if items and number})
    if full := int((count // limits.items).sum()):
        loads[Size(limits.items, 1)] = full
    return loads


class _Packing:
    """Puts loads into bodies by the patterns."""

    def __init__(self, pairs: Pairs, request: Numbers, kinds: _Kinds, limits: Limits) -> None:
        self._pairs, self._old, self._kinds, self._limits = pairs, request, kinds, limits
        self._request = np.full(len(request), ALONE)
        self._envelope: list[int] = []

    def pack(self, patterns: tuple[BodyPattern, ...], size: Numbers, people: Numbers) -> tuple[Numbers, Numbers]:
        """The new request of each pair, and the envelope of each new request."""
        large = np.flatnonzero(self._kinds.large)
        stays = self._kinds.large[self._old]
        self._request[stays] = np.searchsorted(large, self._old[stays])
        self._envelope = [ALONE] * len(large)
        waiting = self._waiting(size, people)
        for pattern in patterns:
            for _ in range(pattern.bodies):
                members = [waiting[load].popleft() for load, count in pattern.whole.items() for _ in range(count)]
                if pattern.cut:
                    whole = waiting[Size(pattern.cut, 1)].popleft()
                    members.append(whole[: pattern.piece])
                    waiting[Size(pattern.cut - pattern.piece, 1)].append(whole[pattern.piece :])
                self._close(members)
        return self._request, np.array(self._envelope)

    def _waiting(self, size: Numbers, people: Numbers) -> defaultdict[Size, deque[Numbers]]:
        """Positions of each load's pairs, by its size: requests in order, then people in order."""
        waiting: defaultdict[Size, deque[Numbers]] = defaultdict(deque)
        whole = self._kinds.whole
        for number, positions in _groups(self._old, whole[self._old]):
            waiting[Size(int(size[number]), int(people[number]))].append(positions)
        for _, positions in _groups(self._pairs.who, self._kinds.divided[self._old]):
            for start in range(0, len(positions), self._limits.items):
                part = positions[start : start + self._limits.items]
                waiting[Size(len(part), 1)].append(part)
        return waiting

    def _close(self, loads: list[Numbers]) -> None:
        """Makes the requests of one body: one for all people who want exactly the same in it."""
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for position in np.concatenate(loads).tolist():
            wanted[int(self._pairs.who[position])].append(position)
        alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for _, positions in sorted(wanted.items()):
            positions.sort()
            alike[tuple(self._pairs.what[positions].tolist())] += positions
        first = len(self._envelope)
        for number, positions in enumerate(alike.values(), start=first):
            self._request[positions] = number
        self._envelope += [first if len(alike) > 1 else ALONE] * len(alike)


def _groups(numbers: Numbers, among: Flags) -> Iterator[tuple[int, Numbers]]:
    """For each number at the flagged positions, ascending, its positions in order."""
    positions = np.flatnonzero(among)
    positions = positions[np.argsort(numbers[positions], kind="stable")]
    of_position = numbers[positions]
    starts = np.flatnonzero(np.diff(of_position, prepend=-1) != 0)
    for start, end in pairwise([*starts.tolist(), len(positions)]):
        yield int(of_position[start]), positions[start:end]
