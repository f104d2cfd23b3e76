"""What no bundle takes: each pair goes into a request of its person's own, or into one that is its wish's own.

A person's own request costs one, however many of the person's pairs it takes; a wish's requests cost one for each ten
of its pairs that are left. Which persons get their own is searched by sweeps over all of them, as long as it pays.
A pair less in a wish only counts once ten of them are gone; the sweeps begin by counting each for a tenth, and count
ever more strictly, so that remainders vanish together instead of here and there.
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
"""Differences below are those of rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StarGroups:
    """People in crews that want the same among the pairs in question, no more of them than fit into a request.

    Attributes:
        people: All of them, crew by crew.
        size: How many people each crew has.
        cost: Requests that each crew needs if it gets its own.
        item_specs: What the crews want, crew by crew.
        wanted: How many wishes each crew has.
    """

    people: Numbers
    size: Numbers
    cost: Numbers
    item_specs: Numbers
    wanted: Numbers


def star_groups_of(pairs: Pairs, free: Flags, limits: Limits) -> StarGroups:
    """All people that have free pairs, in crews; those with most wishes first."""
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
    """Chooses which crews get requests of their own, so that few requests are needed for them and all the rest.

    Args:
        pairs: All pairs.
        groups: Of all who have something left.
        limits: What one request may hold.
        sweeps: How often to go over all crews.

    Returns:
        Of each crew whether it gets its own; what the others want is to be placed wish by wish.
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
    """What a wish costs less, or more, if a crew of some size leaves it or comes to it.

    Attributes:
        less: By size of the crew and by the wish's remainder: what leaving saves.
        more: Likewise: what coming costs.
    """

    def __init__(self, full: int, softness: float) -> None:
        begun = [0.0, *(math.pow(part / full, softness) for part in range(1, full)), 1.0]

        def cost(remainder: int) -> float:
            return begun[remainder] if remainder >= 0 else begun[full + remainder] - 1

        sizes = range(full + 1)
        self.less = np.array([[cost(r) - cost(r - size) for r in range(full)] for size in sizes])
        self.more = np.array([[self.less[size][(r + size) % full] for r in range(full)] for size in sizes])


class _Search:
    """Which crews have their own, and what is left in each wish."""

    def __init__(self, groups: StarGroups, item_specs: int, full: int) -> None:
        self.own = np.zeros(len(groups.size), bool)
        self._groups = groups
        self._full = full
        self._starts = np.cumsum(groups.wanted) - groups.wanted
        self._crew = np.repeat(np.arange(len(groups.size)), groups.wanted)
        size = groups.size[self._crew]
        self._row = size * full
        self._left = np.bincount(groups.item_specs, weights=size, minlength=item_specs).astype(np.int64)

    def cost(self) -> int:
        """Requests that are needed as things stand."""
        return int(self._groups.cost[self.own].sum() + (-(-self._left // self._full)).sum())

    def sweep(self, prices: _Prices) -> None:
        """Lets each crew, one after the other, have what costs less, all others as they are by then.

        Only crews for which that would change something at the sweep's beginning are looked at.
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
        """What each crew would save by changing over."""
        if not len(self.own):
            return np.zeros(0)
        cell = self._row + (self._left % self._full)[self._groups.item_specs]
        change = prices.less.ravel()[cell]
        own = np.flatnonzero(self.own[self._crew])
        change[own] = -prices.more.ravel()[cell[own]]
        cost = np.where(self.own, self._groups.cost, -self._groups.cost)
        return np.add.reduceat(change, self._starts) + cost
