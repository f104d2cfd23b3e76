"""The fewest grant requests for small numbers of changes, to compare plans with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.api.dialects import Limits

Pair = tuple[str, str]
"""An identity and an item."""


def fewest_requests(pairs: frozenset[Pair], limits: Limits) -> int:
    """The fewest products of identities and items, within the limits, that hold each pair exactly once.

    An integer program: every group of identities that have an item in common may send some of their common items
    together. Each pair is sent in one group; a group needs a request for every `limits.items` items that it sends.
    The same holds with identities and items swapped, so solve whichever has fewer groups.
    """
    turned = frozenset((item, identity) for identity, item in pairs)
    groups, most = min(
        (list(_groups(pairs, limits.recipients)), limits.items),
        (list(_groups(turned, limits.items)), limits.recipients),
        key=lambda way: len(way[0]),
    )
    program = _Program()
    for group, common in groups:
        program.add_group(group, sorted(common), most)
    return program.solve()


def fewest_requests_by_trying(pairs: frozenset[Pair], limits: Limits) -> int:
    """The same by trying everything, for a few pairs: it tests the integer program."""

    @cache
    def fewest(left: frozenset[Pair]) -> int:
        if not left:
            return 0
        first = min(left)
        return 1 + min(fewest(left - product) for product in _products(left, limits) if first in product)

    return fewest(pairs)


def _products(pairs: frozenset[Pair], limits: Limits) -> Iterator[frozenset[Pair]]:
    for group, common in _groups(pairs, limits.recipients):
        for count in range(1, min(len(common), limits.items) + 1):
            for items in combinations(sorted(common), count):
                yield frozenset((identity, item) for identity in group for item in items)


def _groups(pairs: frozenset[Pair], most: int) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Every group of at most `most` identities that have items in common, with these items."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for identity, item in pairs:
        wanted[identity].add(item)
    names = sorted(wanted)

    def grow(
        group: tuple[str, ...], common: frozenset[str], start: int
    ) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
        yield group, common
        if len(group) == most:
            return
        for position in range(start, len(names)):
            shared = common & wanted[names[position]]
            if shared:
                yield from grow((*group, names[position]), shared, position + 1)

    for position, name in enumerate(names):
        yield from grow((name,), frozenset(wanted[name]), position + 1)


@dataclass(kw_only=True, slots=True)
class _Program:
    """The integer program, row by row, all variables whole and at least 0."""

    costs: list[int] = field(default_factory=list)
    senders: defaultdict[Pair, list[int]] = field(default_factory=lambda: defaultdict(list))
    rows: list[dict[int, int]] = field(default_factory=list)

    def add_group(self, group: tuple[str, ...], common: list[str], most: int) -> None:
        requests = self._variable(cost=1)
        sent = [self._variable(cost=0) for _ in common]
        # One row for each item, although one for their sum is enough: these rule out far more fractions.
        self.rows += [{requests: 1, one: -1} for one in sent]
        if len(sent) > most:
            self.rows.append({requests: most, **dict.fromkeys(sent, -1)})
        for item, one in zip(common, sent, strict=True):
            for identity in group:
                self.senders[identity, item].append(one)

    def solve(self) -> int:
        if not self.costs:
            return 0
        once = [dict.fromkeys(senders, 1) for senders in self.senders.values()]
        found = milp(
            np.array(self.costs),
            integrality=np.ones(len(self.costs), dtype=np.int64),
            bounds=Bounds(0, np.inf),
            constraints=[
                LinearConstraint(self._matrix(once), 1, 1),
                LinearConstraint(self._matrix(self.rows), 0, np.inf),
            ],
        )
        assert found.status == 0, found.message
        return round(found.fun)

    def _variable(self, *, cost: int) -> int:
        self.costs.append(cost)
        return len(self.costs) - 1

    def _matrix(self, rows: list[dict[int, int]]) -> coo_array:
        entries = [(number, column, factor) for number, row in enumerate(rows) for column, factor in row.items()]
        numbers, columns, factors = zip(*entries, strict=True)
        return coo_array((factors, (numbers, columns)), shape=(len(rows), len(self.costs)))
