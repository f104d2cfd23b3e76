"""Star groups: pairs in no bundle go into a request of their person or into a request of their item spec.

A person's own request costs one, however many of the person's pairs it holds; an item spec's requests cost one for each
ten of its remaining pairs. Sweeps over all people find out who gets an own request. Removing a pair from an item spec
only saves a request once ten are removed. So the sweeps begin by counting each pair as a tenth of a request, and count
more strictly each time, so that remainders disappear together instead of here and there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.pairs import alike, spans

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

_EXACT: Final = 1e-9
"""Smaller differences are rounding errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StarGroups:
    """Groups of people who want the same among some pairs; a group fits into a request.

    Attributes:
        people: All people, group by group.
        size: How many people each group has.
        cost: Requests that each group needs if it gets its own.
        item_specs: What the groups want, group by group.
        wanted: How many item specs each group wants.
    """

    people: Numbers
    size: Numbers
    cost: Numbers
    item_specs: Numbers
    wanted: Numbers


def star_groups_of(pairs: Pairs, free: Flags, limits: Limits) -> StarGroups:
    """Groups of all people who have free pairs; those who want the most come first."""
    count = pairs.count_by_person(free)
    first = alike(pairs, free)
    people = np.flatnonzero(count)
    people = people[np.lexsort((people, first[people], -count[people]))]
    starts_group = np.flatnonzero(np.diff(first[people], prepend=-1))
    within = np.arange(len(people)) - np.repeat(starts_group, np.diff(starts_group, append=len(people)))
    starts = np.flatnonzero(within % limits.recipients == 0)
    leaders = people[starts]
    wanted = count[leaders]
    what = pairs.what[free]
    return StarGroups(
        people=people,
        size=np.diff(starts, append=len(people)),
        cost=-(-wanted // limits.items),
        item_specs=what[spans(np.cumsum(count)[leaders] - wanted, wanted)],
        wanted=wanted,
    )


def choose_star_groups(pairs: Pairs, groups: StarGroups, limits: Limits, sweeps: int) -> Flags:
    """Chooses which groups get requests of their own, so that they and the rest need few requests.

    Args:
        pairs: All pairs.
        groups: The groups of everybody who has pairs left.
        limits: Limits of one request.
        sweeps: How often to go over all groups.

    Returns:
        For each group whether it gets its own requests; the other groups' pairs are placed by item spec.
    """
    search = _Search(groups, pairs.item_specs, limits.recipients)
    best, chosen = search.cost(), search.own.copy()
    for strictness in np.linspace(0, 1, sweeps):
        search.sweep(_Prices(limits.recipients, 1 - float(strictness)))
        cost = search.cost()
        if cost < best:
            best, chosen = cost, search.own.copy()
    return chosen


class _Prices:
    """What an item spec costs less or more if a group leaves or joins it.

    Attributes:
        less: By the group's size and the item spec's remainder, what leaving saves.
        more: By the same, what joining costs.
    """

    def __init__(self, full: int, softness: float) -> None:
        begun = [0.0, *(math.pow(part / full, softness) for part in range(1, full)), 1.0]

        def cost(remainder: int) -> float:
            return begun[remainder] if remainder >= 0 else begun[full + remainder] - 1

        sizes = range(full + 1)
        self.less = np.array([[cost(r) - cost(r - size) for r in range(full)] for size in sizes])
        self.more = np.array([[self.less[size][(r + size) % full] for r in range(full)] for size in sizes])


class _Search:
    """Which groups have their own requests, and how many pairs each item spec has left."""

    def __init__(self, groups: StarGroups, item_specs: int, full: int) -> None:
        self.own = np.zeros(len(groups.size), bool)
        self._groups = groups
        self._full = full
        self._starts = np.cumsum(groups.wanted) - groups.wanted
        self._group = np.repeat(np.arange(len(groups.size)), groups.wanted)
        size = groups.size[self._group]
        self._row = size * full
        self._left = np.bincount(groups.item_specs, weights=size, minlength=item_specs).astype(np.int64)

    def cost(self) -> int:
        """Requests needed by this choice."""
        return int(self._groups.cost[self.own].sum() + (-(-self._left // self._full)).sum())

    def sweep(self, prices: _Prices) -> None:
        """Lets each group in turn switch to what costs less, given the others' choices by then.

        Visits only the groups that would gain at the beginning of the sweep.
        """
        for group in np.flatnonzero(self._gain(prices) > _EXACT).tolist():
            start = self._starts[group]
            item_specs = self._groups.item_specs[start : start + self._groups.wanted[group]]
            size, cost = self._groups.size[group], self._groups.cost[group]
            remainders = self._left[item_specs] % self._full
            if self.own[group]:
                if cost - prices.more[size][remainders].sum() > _EXACT:
                    self.own[group] = False
                    self._left[item_specs] += size
            elif prices.less[size][remainders].sum() - cost > _EXACT:
                self.own[group] = True
                self._left[item_specs] -= size

    def _gain(self, prices: _Prices) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """What each group would save by switching."""
        if not len(self.own):
            return np.zeros(0)
        cell = self._row + (self._left % self._full)[self._groups.item_specs]
        change = prices.less.ravel()[cell]
        own = np.flatnonzero(self.own[self._group])
        change[own] = -prices.more.ravel()[cell[own]]
        cost = np.where(self.own, self._groups.cost, -self._groups.cost)
        return np.add.reduceat(change, self._starts) + cost
