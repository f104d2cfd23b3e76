"""Envelopes: small requests that travel in one body, where an API version gives each identity its own items.

Such a body holds as many identities as any, but its items count once for each identity: 25 in all, where a full product
has up to 250. So it is for what packs badly: people with comments or dates of their own. Requests that hold more stay
as they are. Of the others, some are taken apart into what each person wants, which fits in anywhere; the rest are kept
whole. How small those are that are taken apart, and how bodies are filled, is tried, and the fewest bodies count.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.filling import FillOrder, MakeUp, Size, count_bodies, fill
from batch.plan.pairs import distinct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

ALONE: Final = -1
"""Stands for the envelope of a request that has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parted:
    """Requests in three kinds.

    Attributes:
        large: Those that stay as they are and fill a body.
        whole: Those that are put into bodies whole.
        apart: Those that are taken apart.
    """

    large: Flags
    whole: Flags
    apart: Flags


def put_together(pairs: Pairs, request: Numbers, limits: Limits) -> tuple[Numbers, Numbers]:
    """Puts small requests into envelopes, where that needs fewer bodies.

    Args:
        pairs: All pairs.
        request: The number of each pair's request, from 0 without gaps.
        limits: What one body may hold.

    Returns:
        The number of each pair's request, from 0 without gaps, those of an envelope next to each other; and for each
        request the number of the first one of its envelope, ALONE where it travels alone. Without envelopes the
        requests are those that were given.
    """
    requests = int(request.max()) + 1
    size = np.bincount(request, minlength=requests)
    cells = distinct(request * pairs.people + pairs.who)
    people = np.bincount(cells // pairs.people, minlength=requests)
    small = size <= limits.items
    several = small & (people > 1)
    best: tuple[MakeUp, ...] = ()
    fewest, parted = requests, None
    for most in (0, *distinct(size[several]).tolist()):
        apart = small & ((people == 1) | (size <= most))
        whole = small & ~apart
        loads = _loads_of_people(pairs, apart[request], limits)
        loads.update(Size(*one) for one in zip(size[whole].tolist(), people[whole].tolist(), strict=True))
        for way in FillOrder:
            made = fill(loads, limits, way)
            bodies = count_bodies(made) + int((~small).sum())
            if bodies < fewest:
                best, fewest, parted = made, bodies, _Parted(large=~small, whole=whole, apart=apart)
    if parted is None:
        return request, np.full(requests, ALONE)
    return _Packing(pairs, request, parted, limits).pack(best, size, people)


def _loads_of_people(pairs: Pairs, apart: Flags, limits: Limits) -> Counter[Size]:
    """The sizes of what people want in requests that are taken apart: of each, what fills a body, and the rest."""
    count = pairs.count_by_person(apart)
    rest = np.bincount(count % limits.items, minlength=limits.items)
    loads = Counter({Size(items, 1): number for items, number in enumerate(rest.tolist()) if items and number})
    if full := int((count // limits.items).sum()):
        loads[Size(limits.items, 1)] = full
    return loads


class _Packing:
    """Puts requests and people into bodies as a filling says."""

    def __init__(self, pairs: Pairs, request: Numbers, parted: _Parted, limits: Limits) -> None:
        self._pairs, self._old, self._parted, self._limits = pairs, request, parted, limits
        self._request = np.full(len(request), ALONE)
        self._envelope: list[int] = []

    def pack(self, made: tuple[MakeUp, ...], size: Numbers, people: Numbers) -> tuple[Numbers, Numbers]:
        """The new numbers of all pairs, and the envelope of each new request."""
        large = np.flatnonzero(self._parted.large)
        stays = self._parted.large[self._old]
        self._request[stays] = np.searchsorted(large, self._old[stays])
        self._envelope = [ALONE] * len(large)
        waiting = self._waiting(size, people)
        for one in made:
            for _ in range(one.bodies):
                members = [waiting[load].popleft() for load, count in one.whole.items() for _ in range(count)]
                if one.cut:
                    whole = waiting[Size(one.cut, 1)].popleft()
                    members.append(whole[: one.piece])
                    waiting[Size(one.cut - one.piece, 1)].append(whole[one.piece :])
                self._close(members)
        return self._request, np.array(self._envelope)

    def _waiting(self, size: Numbers, people: Numbers) -> defaultdict[Size, deque[Numbers]]:
        """Positions of the pairs of each load, by its size: requests in order, then people in order."""
        waiting: defaultdict[Size, deque[Numbers]] = defaultdict(deque)
        whole = self._parted.whole
        for number, positions in _groups(self._old, whole[self._old]):
            waiting[Size(int(size[number]), int(people[number]))].append(positions)
        for _, positions in _groups(self._pairs.who, self._parted.apart[self._old]):
            for start in range(0, len(positions), self._limits.items):
                part = positions[start : start + self._limits.items]
                waiting[Size(len(part), 1)].append(part)
        return waiting

    def _close(self, loads: list[Numbers]) -> None:
        """Makes requests of what one body holds: of all who want exactly the same in it, one."""
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
    """For each number among those flagged, ascending, the positions that have it, in order."""
    positions = np.flatnonzero(among)
    positions = positions[np.argsort(numbers[positions], kind="stable")]
    of_position = numbers[positions]
    starts = np.flatnonzero(np.diff(of_position, prepend=-1) != 0)
    for start, end in pairwise([*starts.tolist(), len(positions)]):
        yield int(of_position[start]), positions[start:end]
