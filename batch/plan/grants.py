"""Grants: wanted pairs into full products of people and wishes, as few as can be found.

A request that may hold ten people and 25 wishes, and no pair that nobody wants, is a biclique; to need the fewest is
NP-hard. So: first those people get their own request who need one anyway, then bundles, then what is left. People who
come out dearer than with a request of their own get one in the next round, and the best round counts. All of it is
deterministic: effort is counted in rounds, never in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from batch.model import Effort
from batch.plan.alone import who_stands_alone
from batch.plan.bundles import BundleTerms, bundle
from batch.plan.pairs import alike, distinct, make_pairs, max_overlap_of
from batch.plan.star_groups import choose_star_groups, star_groups_of
from batch.plan.teams import Turn, team_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs
    from batch.plan.star_groups import StarGroups


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What an effort means.

    Attributes:
        dear: For each round after the first the multiples that are tried: of what a request of their own would cost
            people, from which on they get one.
        sweeps: Sweeps over what is left, in each round.
        last_sweeps: Likewise for the round that counts.
    """

    dear: tuple[tuple[float, ...], ...]
    sweeps: int
    last_sweeps: int


_WORK: Final[Mapping[Effort, _Work]] = MappingProxyType(
    {
        Effort.FAST: _Work(dear=(), sweeps=8, last_sweeps=8),
        Effort.NORMAL: _Work(dear=((1.15,),), sweeps=8, last_sweeps=24),
        Effort.THOROUGH: _Work(dear=((1.15, 1.3, 1.05), (1.15,)), sweeps=8, last_sweeps=200),
    }
)


_CROWD: Final = 20
"""Requests' worth of people among whom bundles of fewer than fill a request are looked for."""

_MOST_TEAM_WORK: Final = 40
"""Wishes that may be compared for teams, for each pair: people who want hundreds of rare things are not teamed up."""

_WORTH: Final = 20
"""Bundles that hold less than one in so many pairs make nobody dear."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """Pairs in bundles, and who is to have requests of their own beside.

    Attributes:
        request: The number of each pair's request; -1 where it is in no bundle.
        own: Of each person, whether all the pairs get a request of their own.
        teams: Which teams came first, where any were made before bundles.
    """

    request: Numbers
    own: Flags
    teams: Turn | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finished:
    """A draft, and the number of each pair's request once all that it leaves is placed too."""

    draft: _Draft
    request: Numbers


def pack_grants(pairs: Pairs, limits: Limits, effort: Effort = Effort.NORMAL) -> Numbers:
    """Places all pairs into requests.

    Args:
        pairs: What is wanted, at least one.
        limits: What one request may hold.
        effort: How hard to look.

    Returns:
        The number of each pair's request, from 0 without gaps.
    """
    work = _WORK[effort]
    max_overlap = max_overlap_of(pairs)
    finished = [_finish(pairs, draft, limits, work.sweeps) for draft in _first_drafts(pairs, max_overlap, limits)]
    best = _fewest(finished)
    for multiples in work.dear:
        if np.count_nonzero(best.draft.request >= 0) * _WORTH < len(pairs.who):
            break
        drafts = [_without_dear(pairs, best, max_overlap, limits, multiple) for multiple in multiples]
        best = _fewest([best, *(_finish(pairs, draft, limits, work.sweeps) for draft in drafts)])
    if work.last_sweeps > work.sweeps:
        best = _fewest([best, _finish(pairs, best.draft, limits, work.last_sweeps)])
    return join_alike(pairs, best.request, limits)


def _first_drafts(pairs: Pairs, max_overlap: Numbers, limits: Limits) -> Iterator[_Draft]:
    """Everybody with who wants exactly the same; bundles; and bundles after teams, where there can be any."""
    yield _Draft(request=np.full(len(pairs.who), -1), own=np.ones(pairs.people, bool))
    alone = who_stands_alone(pairs, limits)
    yield _bundle(pairs, alone, max_overlap, limits, None)
    if 0 < _team_work(pairs, limits) <= _MOST_TEAM_WORK * len(pairs.who):
        yield from (_bundle(pairs, alone, max_overlap, limits, turn) for turn in Turn)


def _team_work(pairs: Pairs, limits: Limits) -> int:
    """How many wishes are compared to find all teams: those of everybody who has a rare one, for each of these."""
    rare = (np.diff(pairs.of_what) < limits.recipients)[pairs.what]
    return int(np.diff(pairs.of_who)[pairs.who[rare]].sum())


def _without_dear(pairs: Pairs, finished: _Finished, max_overlap: Numbers, limits: Limits, multiple: float) -> _Draft:
    """Bundles again, with those people apart who cost more than that multiple of a request of their own."""
    own = _cost_of_person(pairs, finished.request) > multiple * _own_cost(pairs, limits)
    return _bundle(pairs, finished.draft.own | own, max_overlap, limits, finished.draft.teams)


def _fewest(finished: Iterable[_Finished]) -> _Finished:
    """The one with the fewest requests; the first of equals."""
    return min(finished, key=lambda one: int(one.request.max()))


def _bundle(pairs: Pairs, own: Flags, max_overlap: Numbers, limits: Limits, teams: Turn | None) -> _Draft:
    """Teams where wanted, bundles that fill requests, then bundles of fewer people that still save some."""
    free = ~own[pairs.who]
    full, half = limits.recipients, max(2, limits.recipients // 2)
    request = team_up(pairs, free, max_overlap, limits, teams) if teams else np.full(len(pairs.who), -1)
    small = BundleTerms(people=half, pairs=full + half // 2, crowd=_CROWD * full)
    for terms in (BundleTerms(people=full, pairs=2 * full), small):
        more = bundle(pairs, free & (request < 0), max_overlap, limits, terms)
        request = np.where(more >= 0, more + request.max() + 1, request)
    return _Draft(request=request, own=own, teams=teams)


def _finish(pairs: Pairs, draft: _Draft, limits: Limits, sweeps: int) -> _Finished:
    """Places what is in no bundle."""
    own = draft.own[pairs.who]
    request = draft.request.copy()
    alone = star_groups_of(pairs, own, limits)
    _place_groups(pairs, request, own, alone, np.ones(len(alone.size), bool), limits)
    left = request < 0
    groups = star_groups_of(pairs, left, limits)
    _place_groups(pairs, request, left, groups, choose_star_groups(pairs, groups, limits, sweeps), limits)
    _place_by_wish(pairs, request, limits)
    return _Finished(draft=draft, request=request)


def _place_groups(
    pairs: Pairs, request: Numbers, free: Flags, groups: StarGroups, chosen: Flags, limits: Limits
) -> None:
    """Gives the chosen crews their own requests for their free pairs."""
    cost = np.where(chosen, groups.cost, 0)
    first = np.where(chosen, int(request.max()) + 1 + np.cumsum(cost) - cost, -1)
    number_of = np.full(pairs.people, -1)
    number_of[groups.people] = np.repeat(first, groups.size)
    placed = np.flatnonzero(free & (number_of[pairs.who] >= 0))
    who = pairs.who[placed]
    position = np.arange(len(placed)) - np.searchsorted(who, who)
    request[placed] = number_of[who] + position // limits.items


def _place_by_wish(pairs: Pairs, request: Numbers, limits: Limits) -> None:
    """Places all that is left wish by wish."""
    left = pairs.by_what[request[pairs.by_what] < 0]
    what = pairs.what[left]
    position = np.arange(len(left)) - np.searchsorted(what, what)
    begins = position % limits.recipients == 0
    request[left] = int(request.max()) + np.cumsum(begins)


def _cost_of_person(pairs: Pairs, request: Numbers) -> Numbers:
    """What each person's requests cost, if the people of a request share its cost."""
    requests = int(request.max()) + 1
    cells = distinct(pairs.who * requests + request)
    who, number = cells // requests, cells % requests
    return np.bincount(who, weights=1 / np.bincount(number)[number], minlength=pairs.people)


def _own_cost(pairs: Pairs, limits: Limits) -> Numbers:
    return -(-np.diff(pairs.of_who) // limits.items)


def join_alike(pairs: Pairs, request: Numbers, limits: Limits) -> Numbers:
    """Joins requests where a product remains.

    Args:
        pairs: All pairs.
        request: The number of each pair's request.
        limits: What one request may hold.

    Returns:
        The same with fewer requests, numbered from 0 without gaps in the old order.
    """
    joined = _join(request, pairs.who, limits.items)
    joined = _join(joined, pairs.what, limits.recipients)
    kept = np.bincount(joined) > 0
    return (np.cumsum(kept) - 1)[joined]


def _join(request: Numbers, same: Numbers, most: int) -> Numbers:
    """Joins requests that have the same on one side, as long as the other side holds at most `most`."""
    requests, others = int(request.max()) + 1, int(same.max()) + 1
    cells = distinct(request * others + same)
    sides = make_pairs(cells // others, cells % others, people=requests, item_specs=others)
    first = alike(sides, np.ones(len(cells), bool))
    size = np.bincount(request, minlength=requests) // np.maximum(np.diff(sides.of_who), 1)
    into = np.arange(requests)
    open_ones = np.flatnonzero((size > 0) & (size < most))
    max_overlap = np.bincount(first[open_ones], minlength=requests)
    open_ones = open_ones[max_overlap[first[open_ones]] > 1]
    room: dict[int, list[tuple[int, int]]] = {}
    for number in open_ones[np.argsort(-size[open_ones], kind="stable")].tolist():
        targets = room.setdefault(int(first[number]), [])
        needed = int(size[number])
        fitting = next((place for place, (_, left) in enumerate(targets) if left >= needed), None)
        target, left = targets.pop(fitting) if fitting is not None else (number, most)
        into[number] = target
        if left > needed:
            targets.append((target, left - needed))
    return into[request]
