"""Grants: wanted pairs into as few full products of people and item specs as can be found.

A request of up to ten people and 25 item specs that holds only wanted pairs is a biclique, and covering the pairs with
the fewest is NP-hard. So people who need a request of their own anyway get one; then come teams, bundles, and star
groups for the rest. People who cost more than a request of their own get one in the next round, and the best round
wins. All of it is deterministic: effort is counted in rounds, never in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from batch.model import Effort
from batch.plan.bundles import BundleRule, bundle
from batch.plan.cohesion import cohesion_of
from batch.plan.pairs import alike, alike_item_specs, distinct, make_pairs, max_overlap_of
from batch.plan.star_groups import choose_star_groups, star_groups_of
from batch.plan.teams import TeamOrder, place_teams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs
    from batch.plan.star_groups import StarGroups


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """The work of an effort.

    Attributes:
        multiples: For each round after the first the multiples to try: people who cost more than that multiple of a
            request of their own get one.
        cohesive: Drafts of bundles that begin at the item specs whose people have most in common.
        sweeps: Sweeps over the star groups in each round.
        last_sweeps: Sweeps over the star groups of the best round.
    """

    multiples: tuple[tuple[float, ...], ...]
    cohesive: int
    sweeps: int
    last_sweeps: int


_WORK: Final[Mapping[Effort, _Work]] = MappingProxyType(
    # From least to most.
    {
        Effort.FAST: _Work(multiples=(), cohesive=0, sweeps=8, last_sweeps=8),
        Effort.NORMAL: _Work(multiples=((1.15,),), cohesive=1, sweeps=8, last_sweeps=24),
        Effort.THOROUGH: _Work(multiples=((1.15, 1.3, 1.05), (1.15,)), cohesive=2, sweeps=8, last_sweeps=200),
    }
)


_MOST_HOLDERS: Final = 20
"""Most people of an item spec, in full requests, to search for bundles of fewer people than fill a request."""

_MOST_TEAM_WORK: Final = 40
"""Most item specs to compare for teams, for each pair: people who want hundreds of rare things get no teams."""

_COHESIVE: Final = 2
"""Other item specs that most people of an item spec want, so that bundles may begin with it."""

_WORTH: Final = 20
"""If bundles hold less than one in so many pairs, further rounds are not worth it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """Pairs in teams and bundles, and the people who get requests of their own.

    Attributes:
        request: The number of each pair's request; -1 if it is in no team or bundle.
        own: For each person, whether all pairs get requests of their own.
        teams: Which teams came first; None if there are none.
        cohesion: For bundles that began at the item specs whose people have most in common; None for the rarest.
    """

    request: Numbers
    own: Flags
    teams: TeamOrder | None = None
    cohesion: Numbers | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finished:
    """A draft, and the number of each pair's request once the rest is placed too."""

    draft: _Draft
    request: Numbers


def pack_grants(pairs: Pairs, limits: Limits, effort: Effort = Effort.NORMAL) -> Numbers:
    """Places all pairs into requests.

    Args:
        pairs: The wanted pairs, at least one.
        limits: Limits of one request.
        effort: How hard to look.

    Returns:
        The number of each pair's request, from 0 without gaps.
    """
    max_overlap = max_overlap_of(pairs)
    first = _fewest(_first_drafts(pairs, max_overlap, limits))
    orders = list(dict.fromkeys((None, first.draft.teams)))[: _WORK[effort].cohesive]
    cohesive = _cohesive_drafts(pairs, max_overlap, limits, orders)
    # All that are ahead are improved besides the first, because who is ahead now is not always ahead in the end.
    begun = [first, *(one for one in cohesive if one.request.max() < first.request.max())]
    efforts = list(_WORK)
    works = [_WORK[one] for one in reversed(efforts[: efforts.index(effort) + 1])]
    ended = [_improved(pairs, one, max_overlap, limits, work) for work in works for one in begun]
    # More work at one step can lead to more requests in the end: less work is tried besides.
    return min((join_alike(pairs, one.request, limits) for one in ended), key=lambda request: int(request.max()))


def _improved(pairs: Pairs, best: _Finished, max_overlap: Numbers, limits: Limits, work: _Work) -> _Finished:
    """The best that the rounds of an effort find."""
    for multiples in work.multiples:
        if np.count_nonzero(best.draft.request >= 0) * _WORTH < len(pairs.who):
            break
        drafts = [_without_costly(pairs, best, max_overlap, limits, multiple) for multiple in multiples]
        best = _fewest([best, *(_finish(pairs, draft, limits, work.sweeps) for draft in drafts)])
    if work.last_sweeps > work.sweeps:
        best = _fewest([best, _finish(pairs, best.draft, limits, work.last_sweeps)])
    return best


def _first_drafts(pairs: Pairs, max_overlap: Numbers, limits: Limits) -> Iterator[_Finished]:
    """Groups of people who want exactly the same; bundles; and bundles after teams, if there can be teams."""
    sweeps = _WORK[Effort.FAST].sweeps
    yield _finish(pairs, _Draft(request=np.full(len(pairs.who), -1), own=np.ones(pairs.people, bool)), limits, sweeps)
    own = needs_own_request(pairs, limits)
    has_teams = 0 < _team_work(pairs, limits) <= _MOST_TEAM_WORK * len(pairs.who)
    for teams in (None, *TeamOrder) if has_teams else (None,):
        yield _finish(pairs, _bundle(pairs, own, max_overlap, limits, teams), limits, sweeps)


def _cohesive_drafts(
    pairs: Pairs, max_overlap: Numbers, limits: Limits, orders: Sequence[TeamOrder | None]
) -> Iterator[_Finished]:
    """Bundles that begin at the item specs whose people have most in common, if most pairs are of such item specs."""
    if not orders:
        return
    cohesion = cohesion_of(pairs, limits.recipients)
    if np.count_nonzero(cohesion[pairs.what] >= _COHESIVE) * 2 < len(pairs.who):
        return
    own = needs_own_request(pairs, limits)
    for teams in orders:
        draft = _bundle(pairs, own, max_overlap, limits, teams, cohesion)
        yield _finish(pairs, draft, limits, _WORK[Effort.FAST].sweeps)


def needs_own_request(pairs: Pairs, limits: Limits) -> Flags:
    """Who gets a request for everything they want before anything else: people of item specs that few others want.

    An item spec that fewer people want than fill a request costs a request, either its own or those of its people.
    Serving all of these with the fewest requests is a minimum vertex cover, which in a bipartite graph follows from a
    maximum matching (Kőnig's theorem). Of all minimum covers take the one with the most people, because everything else
    that they want then comes for free.
    """
    rare = pairs.count_by_item_spec(np.ones(len(pairs.who), bool)) < limits.recipients
    wanted = np.diff(pairs.of_who)
    # If a person wants more than a request holds, that person's item specs are served one by one.
    heavy = np.zeros(pairs.item_specs, bool)
    heavy[pairs.what[(wanted > limits.items)[pairs.who]]] = True
    edge = (rare & ~heavy)[pairs.what]
    # Item specs of exactly the same people fit into one request.
    edge &= (alike_item_specs(pairs, edge) == np.arange(pairs.item_specs))[pairs.what]
    return _people_of_least_cover(pairs.who[edge], pairs.what[edge], pairs)


def _people_of_least_cover(who: Numbers, what: Numbers, pairs: Pairs) -> Flags:
    edges = csr_array((np.ones(len(who), np.int8), (who, what)), shape=(pairs.people, pairs.item_specs))
    match_of_person = maximum_bipartite_matching(edges, perm_type="column").astype(np.int64)
    matched = match_of_person >= 0
    match_of_item_spec = np.full(pairs.item_specs, -1)
    match_of_item_spec[match_of_person[matched]] = np.flatnonzero(matched)
    wanting = np.zeros(pairs.people, bool)
    wanting[who] = True
    # An alternating path from an unmatched person (any edge, back by a matched one) leads to people who are not needed.
    spared = wanting & ~matched
    newly = spared.copy()
    while newly.any():
        back = match_of_item_spec[what[newly[who]]]
        reached = np.zeros(pairs.people, bool)
        reached[back[back >= 0]] = True
        newly = reached & ~spared
        spared |= newly
    return matched & ~spared


def _team_work(pairs: Pairs, limits: Limits) -> int:
    """How many item specs must be compared to find all teams: for each rare pair all that its person wants."""
    rare = (np.diff(pairs.of_what) < limits.recipients)[pairs.what]
    return int(np.diff(pairs.of_who)[pairs.who[rare]].sum())


def _without_costly(pairs: Pairs, finished: _Finished, max_overlap: Numbers, limits: Limits, multiple: float) -> _Draft:
    """Bundles again, without the people who cost more than that multiple of a request of their own."""
    own = _cost_of_person(pairs, finished.request) > multiple * _own_cost(pairs, limits)
    draft = finished.draft
    return _bundle(pairs, draft.own | own, max_overlap, limits, draft.teams, draft.cohesion)


def _fewest(finished: Iterable[_Finished]) -> _Finished:
    """The one with the fewest requests; the first if several have."""
    return min(finished, key=lambda one: int(one.request.max()))


def _bundle(
    pairs: Pairs,
    own: Flags,
    max_overlap: Numbers,
    limits: Limits,
    teams: TeamOrder | None,
    cohesion: Numbers | None = None,
) -> _Draft:
    """Teams if wanted, then bundles that fill requests, then bundles of fewer people that still save requests."""
    free = ~own[pairs.who]
    full, half = limits.recipients, max(2, limits.recipients // 2)
    request = place_teams(pairs, free, max_overlap, limits, teams) if teams else np.full(len(pairs.who), -1)
    small = BundleRule(people=half, pairs=full + half // 2, most_holders=_MOST_HOLDERS * full)
    for rule in (BundleRule(people=full, pairs=2 * full), small):
        more = bundle(pairs, free & (request < 0), max_overlap, limits, rule, cohesion=cohesion)
        request = np.where(more >= 0, more + request.max() + 1, request)
    return _Draft(request=request, own=own, teams=teams, cohesion=cohesion)


def _finish(pairs: Pairs, draft: _Draft, limits: Limits, sweeps: int) -> _Finished:
    """Places the pairs that are in no team or bundle."""
    own = draft.own[pairs.who]
    request = draft.request.copy()
    groups = star_groups_of(pairs, own, limits)
    _place_groups(pairs, request, own, groups, np.ones(len(groups.size), bool), limits)
    left = request < 0
    groups = star_groups_of(pairs, left, limits)
    _place_groups(pairs, request, left, groups, choose_star_groups(pairs, groups, limits, sweeps), limits)
    _place_by_item_spec(pairs, request, limits)
    return _Finished(draft=draft, request=request)


def _place_groups(
    pairs: Pairs, request: Numbers, free: Flags, groups: StarGroups, chosen: Flags, limits: Limits
) -> None:
    """Makes requests for the free pairs of the chosen groups."""
    cost = np.where(chosen, groups.cost, 0)
    first = np.where(chosen, int(request.max()) + 1 + np.cumsum(cost) - cost, -1)
    number_of = np.full(pairs.people, -1)
    number_of[groups.people] = np.repeat(first, groups.size)
    placed = np.flatnonzero(free & (number_of[pairs.who] >= 0))
    who = pairs.who[placed]
    position = np.arange(len(placed)) - np.searchsorted(who, who)
    request[placed] = number_of[who] + position // limits.items


def _place_by_item_spec(pairs: Pairs, request: Numbers, limits: Limits) -> None:
    """Makes requests of one item spec each for all remaining pairs."""
    left = pairs.by_what[request[pairs.by_what] < 0]
    what = pairs.what[left]
    position = np.arange(len(left)) - np.searchsorted(what, what)
    begins = position % limits.recipients == 0
    request[left] = int(request.max()) + np.cumsum(begins)


def _cost_of_person(pairs: Pairs, request: Numbers) -> Numbers:
    """The cost of each person's requests; the people of a request share its cost."""
    requests = int(request.max()) + 1
    cells = distinct(pairs.who * requests + request)
    who, number = cells // requests, cells % requests
    return np.bincount(who, weights=1 / np.bincount(number)[number], minlength=pairs.people)


def _own_cost(pairs: Pairs, limits: Limits) -> Numbers:
    return -(-np.diff(pairs.of_who) // limits.items)


def join_alike(pairs: Pairs, request: Numbers, limits: Limits) -> Numbers:
    """Joins requests if the result is a product.

    Args:
        pairs: All pairs.
        request: The number of each pair's request.
        limits: Limits of one request.

    Returns:
        The number of each pair's request, from 0 without gaps in the old order.
    """
    joined = _join(request, pairs.who, limits.items)
    joined = _join(joined, pairs.what, limits.recipients)
    kept = np.bincount(joined) > 0
    return (np.cumsum(kept) - 1)[joined]


def _join(request: Numbers, same: Numbers, most: int) -> Numbers:
    """Joins requests that are equal on one side, while the other side holds at most `most`."""
    requests, others = int(request.max()) + 1, int(same.max()) + 1
    cells = distinct(request * others + same)
    sides = make_pairs(cells // others, cells % others, people=requests, item_specs=others)
    first = alike(sides, np.ones(len(cells), bool))
    size = np.bincount(request, minlength=requests) // np.maximum(np.diff(sides.of_who), 1)
    into = np.arange(requests)
    open_ones = np.flatnonzero((size > 0) & (size < most))
    alike_requests = np.bincount(first[open_ones], minlength=requests)
    open_ones = open_ones[alike_requests[first[open_ones]] > 1]
    room: dict[int, list[tuple[int, int]]] = {}
    for number in open_ones[np.argsort(-size[open_ones], kind="stable")].tolist():
        targets = room.setdefault(int(first[number]), [])
        needed = int(size[number])
        fitting = next((position for position, (_, left) in enumerate(targets) if left >= needed), None)
        target, left = targets.pop(fitting) if fitting is not None else (number, most)
        into[number] = target
        if left > needed:
            targets.append((target, left - needed))
    return into[request]
