"""Teams: fewer people than fill a request, who alone share a wish and take along whatever else they have in common.

A wish of so few people mostly costs a request. All that its people have in common beside it then comes for nothing: the
items of a small department, and with them those that everybody gets.
"""

from __future__ import annotations

from enum import StrEnum
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from batch.plan.pairs import alike_item_specs

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs


class Turn(StrEnum):
    """Which teams come first."""

    LARGEST = "largest"
    """Those that place the most pairs."""
    RAREST = "rarest"
    """Those of the wishes that the fewest people share."""


def team_up(pairs: Pairs, free: Flags, max_overlap: Numbers, limits: Limits, turn: Turn) -> Numbers:
    """Places free pairs into requests of all people that are left of a rare wish.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        max_overlap: For each wish how many of its people share another one at most.
        limits: What one request may hold.
        turn: Which teams come first.

    Returns:
        For each pair the number of its request, from 0; -1 where it has none.
    """
    count = pairs.count_by_wish(free)
    rare = (count > 1) & (count < limits.recipients) & (max_overlap > 1)
    teams = _Teams(pairs, free, rare, limits.items)

    def turn_of(item_spec: int) -> tuple[int, int, int]:
        return int(count[item_spec]) if turn is Turn.RAREST else 0, -teams.size(item_spec), item_spec

    # Of wishes that exactly the same people share one stands for all.
    first = alike_item_specs(pairs, free & rare[pairs.what]) == np.arange(pairs.item_specs)
    queue = [turn_of(item_spec) for item_spec in np.flatnonzero(rare & first).tolist()]
    heapify(queue)
    while queue:
        expected = heappop(queue)
        now = turn_of(expected[-1])
        if now[1] == 0:
            continue
        # Others may have taken some of it meanwhile; then it has to queue again.
        if now > expected:
            heappush(queue, now)
        else:
            for item_spec in teams.place(expected[-1]):
                heappush(queue, turn_of(item_spec))
    return teams.requests()


class _Teams:
    """Who still wants what, and what has been placed."""

    def __init__(self, pairs: Pairs, free: Flags, rare: Flags, most: int) -> None:
        self._pairs = pairs
        self._most = most
        self._holders: dict[int, list[int]] = {}
        self._wanted: dict[int, set[int]] = {}
        self._who: list[int] = []
        self._what: list[int] = []
        self._lengths: list[int] = []
        edge = free & rare[pairs.what]
        for person, item_spec in zip(pairs.who[edge].tolist(), pairs.what[edge].tolist(), strict=True):
            self._holders.setdefault(item_spec, []).append(person)
        concerned = np.zeros(pairs.people, bool)
        concerned[pairs.who[edge]] = True
        wanted = free & concerned[pairs.who]
        for person, item_spec in zip(pairs.who[wanted].tolist(), pairs.what[wanted].tolist(), strict=True):
            self._wanted.setdefault(person, set()).add(item_spec)

    def size(self, item_spec: int) -> int:
        """How many pairs the team of a wish could place; 0 where that is no product of several people and wishes."""
        people, common = self._team(item_spec)
        item_specs = min(len(common), self._most)
        return len(people) * item_specs if len(people) > 1 and item_specs > 1 else 0

    def place(self, item_spec: int) -> list[int]:
        """Gives the team of a wish its request; returns a wish that did not fit in, if there is any."""
        people, common = self._team(item_spec)
        item_specs = [item_spec, *sorted(common - {item_spec})][: self._most]
        for person in people:
            self._wanted[person].difference_update(item_specs)
            self._who += [person] * len(item_specs)
            self._what += item_specs
        self._lengths.append(len(people) * len(item_specs))
        return sorted(self._holders.keys() & common - set(item_specs))[:1]

    def requests(self) -> Numbers:
        """The number of each pair's request; -1 where it has none."""
        request = np.full(len(self._pairs.who), -1)
        if self._lengths:
            placed = np.array(self._who) * self._pairs.item_specs + np.array(self._what)
            request[np.searchsorted(self._pairs.keys(), placed)] = np.repeat(
                np.arange(len(self._lengths)), self._lengths
            )
        return request

    def _team(self, item_spec: int) -> tuple[list[int], set[int]]:
        """Who still wants a wish, and what they all want."""
        people = [person for person in self._holders[item_spec] if item_spec in self._wanted[person]]
        return people, set.intersection(*(self._wanted[person] for person in people)) if people else set()
