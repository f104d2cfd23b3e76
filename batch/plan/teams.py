"""Teams: all people of a rare item spec, fewer than fill a request, with everything else that they have in common.

An item spec that so few people want mostly costs a request anyway. Everything else that these people have in common
then comes for free: the items of a small department, and with them those that everybody gets.
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


class TeamOrder(StrEnum):
    """Which teams to place first."""

    LARGEST = "largest"
    """Teams that place the most pairs."""
    RAREST = "rarest"
    """Teams of the item specs that the fewest people share."""


def place_teams(pairs: Pairs, free: Flags, max_overlap: Numbers, limits: Limits, order: TeamOrder) -> Numbers:
    """Places free pairs into requests of teams.

    Args:
        pairs: All pairs.
        free: Which of them may be placed.
        max_overlap: For each item spec the most people who share another one with it.
        limits: Limits of one request.
        order: Which teams to place first.

    Returns:
        For each pair the number of its request, from 0; -1 if it has none.
    """
    count = pairs.count_by_item_spec(free)
    rare = (count > 1) & (count < limits.recipients) & (max_overlap > 1)
    teams = _Teams(pairs, free, rare, limits.items)

    def priority(item_spec: int) -> tuple[int, int, int]:
        return int(count[item_spec]) if order is TeamOrder.RAREST else 0, -teams.size(item_spec), item_spec

    # One item spec represents all others of exactly the same people.
    first = alike_item_specs(pairs, free & rare[pairs.what]) == np.arange(pairs.item_specs)
    queue = [priority(item_spec) for item_spec in np.flatnonzero(rare & first).tolist()]
    heapify(queue)
    while queue:
        expected = heappop(queue)
        now = priority(expected[-1])
        if now[1] == 0:
            continue
        # If other teams placed some of its pairs meanwhile, it goes back into the queue.
        if now > expected:
            heappush(queue, now)
        else:
            for item_spec in teams.place(expected[-1]):
                heappush(queue, priority(item_spec))
    return teams.requests()


class _Teams:
    """Who still wants what, and the requests made so far."""

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
        in_a_team = np.zeros(pairs.people, bool)
        in_a_team[pairs.who[edge]] = True
        wanted = free & in_a_team[pairs.who]
        for person, item_spec in zip(pairs.who[wanted].tolist(), pairs.what[wanted].tolist(), strict=True):
            self._wanted.setdefault(person, set()).add(item_spec)

    def size(self, item_spec: int) -> int:
        """How many pairs an item spec's team would place; 0 if that is no product of several people and item specs."""
        people, common = self._team(item_spec)
        item_specs = min(len(common), self._most)
        return len(people) * item_specs if len(people) > 1 and item_specs > 1 else 0

    def place(self, item_spec: int) -> list[int]:
        """Makes the request of an item spec's team; returns a rare item spec that did not fit, if there is any."""
        people, common = self._team(item_spec)
        item_specs = [item_spec, *sorted(common - {item_spec})][: self._most]
        for person in people:
            self._wanted[person].difference_update(item_specs)
            self._who += [person] * len(item_specs)
            self._what += item_specs
        self._lengths.append(len(people) * len(item_specs))
        return sorted(self._holders.keys() & common - set(item_specs))[:1]

    def requests(self) -> Numbers:
        """For each pair the number of its request; -1 if it has none."""
        request = np.full(len(self._pairs.who), -1)
        if self._lengths:
            placed = np.array(self._who) * self._pairs.item_specs + np.array(self._what)
            request[np.searchsorted(self._pairs.keys(), placed)] = np.repeat(
                np.arange(len(self._lengths)), self._lengths
            )
        return request

    def _team(self, item_spec: int) -> tuple[list[int], set[int]]:
        """Who still wants an item spec, and what they all want."""
        people = [person for person in self._holders[item_spec] if item_spec in self._wanted[person]]
        return people, set.intersection(*(self._wanted[person] for person in people)) if people else set()
