"""The planner's steps, each on its own: what they place are full products, and none of them places a pair twice."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.model import Effort
from batch.plan.alone import who_stands_alone
from batch.plan.bound import grant_bound
from batch.plan.bundles import BundleTerms, bundle
from batch.plan.grants import join_alike, pack_grants
from batch.plan.pairs import Flags, Numbers, Pairs, alike, make_pairs, max_overlap_of, number_item_specs, number_people
from batch.plan.star_groups import choose_star_groups, star_groups_of
from batch.plan.teams import Turn, team_up
from tests.plan.changes import change, changes_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL: Final = Limits()
SMALL: Final = Limits(recipients=3, items=4)

PEOPLE: Final = 9
WISHES: Final = 8


def pairs_of(wanted: Iterable[tuple[int, int]], people: int = PEOPLE, item_specs: int = WISHES) -> Pairs:
    ordered = sorted(set(wanted))
    who, what = (np.array([pair[side] for pair in ordered], np.int64) for side in (0, 1))
    return make_pairs(who, what, people=people, item_specs=item_specs)


ALL_PAIRS: Final = list(product(range(PEOPLE), range(WISHES)))
WANTED: Final = st.sets(st.sampled_from(ALL_PAIRS), min_size=1).map(pairs_of)
LIMITS: Final = st.sampled_from([FULL, SMALL, Limits(recipients=2, items=2), Limits(recipients=1, items=3)])


def products(pairs: Pairs, request: Numbers) -> list[tuple[int, int]]:
    """People and wishes of each request, in their order, which must all be full products."""
    sizes = []
    for number in range(int(request.max(initial=-1)) + 1):
        cells = list(zip(pairs.who[request == number], pairs.what[request == number], strict=True))
        people, item_specs = {who for who, _ in cells}, {what for _, what in cells}
        assert len(cells) == len(people) * len(item_specs) > 0
        sizes.append((len(people), len(item_specs)))
    return sizes


def every(pairs: Pairs) -> Flags:
    return np.ones(len(pairs.who), bool)


@given(pairs=WANTED, among=st.randoms(use_true_random=False))
def test_people_are_alike_who_want_the_same_among_what_counts(pairs: Pairs, among: object) -> None:
    counted = np.array([among.random() < 0.7 for _ in pairs.who])  # type: ignore[attr-defined]
    wanted = [frozenset(pairs.what[counted & (pairs.who == person)].tolist()) for person in range(pairs.people)]
    assert alike(pairs, counted).tolist() == [wanted.index(one) for one in wanted]


@given(pairs=WANTED)
def test_the_most_company_of_a_wish_is_the_most_people_who_share_another(pairs: Pairs) -> None:
    wanted = {item_spec: set(pairs.who[pairs.what == item_spec].tolist()) for item_spec in range(pairs.item_specs)}
    assert max_overlap_of(pairs).tolist() == [
        max(len(wanted[item_spec] & wanted[other]) for other in wanted if other != item_spec) for item_spec in wanted
    ]


def test_a_wish_of_very_many_has_as_much_company_as_it_has_people() -> None:
    pairs = pairs_of([(who, 0) for who in range(1_200)] + [(0, 1)], people=1_200, item_specs=2)
    assert max_overlap_of(pairs).tolist() == [1_200, 1]


def test_what_does_not_fit_beside_a_team_gets_a_request_of_its_own() -> None:
    pairs = pairs_of(product(range(2), range(7)))
    assert products(pairs, team_up(pairs, every(pairs), max_overlap_of(pairs), SMALL, Turn.LARGEST)) == [(2, 4), (2, 3)]


@given(pairs=WANTED, limits=LIMITS, least=st.integers(2, 4))
def test_bundles_are_products_on_the_terms_that_are_asked_for(pairs: Pairs, limits: Limits, least: int) -> None:
    terms = BundleTerms(people=least, pairs=2 * least + 1)
    for people, item_specs in products(pairs, bundle(pairs, every(pairs), max_overlap_of(pairs), limits, terms)):
        assert min(least, limits.recipients) <= people <= limits.recipients
        assert 2 <= item_specs <= limits.items
        assert people * item_specs >= terms.pairs


def test_a_rare_wish_chooses_its_company_first() -> None:
    # Everybody wants 0; ten people want 1 beside it, and ten others 2: two bundles, and nothing of 0 is left over.
    pairs = pairs_of([(who, 0) for who in range(20)] + [(who, 1 + who // 10) for who in range(20)], people=20)
    assert products(
        pairs, bundle(pairs, every(pairs), max_overlap_of(pairs), FULL, BundleTerms(people=10, pairs=20))
    ) == [
        (10, 2),
        (10, 2),
    ]


def test_what_may_not_be_placed_is_left_alone() -> None:
    pairs = pairs_of(product(range(9), range(3)))
    free = pairs.who != 4
    company = max_overlap_of(pairs)
    bundled = bundle(pairs, free, company, SMALL, BundleTerms(people=3, pairs=6))
    for placed in (bundled, team_up(pairs, free, company, FULL, Turn.LARGEST)):
        assert (placed[~free] == -1).all()
        assert (placed[free] >= 0).any()


@given(pairs=WANTED, limits=LIMITS, turn=st.sampled_from(Turn))
def test_teams_are_products_of_several_people_and_wishes(pairs: Pairs, limits: Limits, turn: Turn) -> None:
    for people, item_specs in products(pairs, team_up(pairs, every(pairs), max_overlap_of(pairs), limits, turn)):
        assert 2 <= people < limits.recipients
        assert 2 <= item_specs <= limits.items


def test_a_small_department_takes_along_what_everybody_gets() -> None:
    everybody = product(range(9), range(2))
    department = product(range(4), (2, 3))
    pairs = pairs_of([*everybody, *department])
    assert products(pairs, team_up(pairs, every(pairs), max_overlap_of(pairs), FULL, Turn.RAREST)) == [(4, 4), (5, 2)]
    assert products(pairs, team_up(pairs, every(pairs), max_overlap_of(pairs), FULL, Turn.LARGEST)) == [(9, 2), (4, 2)]


def fewest_stars(pairs: Pairs) -> int:
    """The fewest people and wishes of which each pair has one, wishes of the same people counting as one; by trying."""
    columns: dict[frozenset[int], set[int]] = {}
    for item_spec in range(pairs.item_specs):
        people = frozenset(pairs.who[pairs.what == item_spec].tolist())
        if people:
            columns.setdefault(people, set()).add(item_spec)
    everybody = sorted(set(pairs.who.tolist()))
    return min(
        len(chosen) + sum(not people <= set(chosen) for people in columns)
        for count in range(len(everybody) + 1)
        for chosen in combinations(everybody, count)
    )


@given(pairs=WANTED)
def test_who_stands_alone_is_part_of_a_least_cover_of_what_is_rare(pairs: Pairs) -> None:
    alone = who_stands_alone(pairs, FULL)
    left = pairs_of([pair for pair in zip(pairs.who.tolist(), pairs.what.tolist(), strict=True) if not alone[pair[0]]])
    rest = {frozenset(left.who[left.what == item_spec].tolist()) for item_spec in range(WISHES)} - {frozenset()}
    # What the people leave of two wishes may be the same: then the cover is even smaller than it had to be.
    assert int(alone.sum()) + len(rest) <= fewest_stars(pairs)


def test_nobody_stands_alone_who_wants_more_than_a_request_takes() -> None:
    pairs = pairs_of([(0, item_spec) for item_spec in range(5)] + [(1, 5)])
    assert who_stands_alone(pairs, SMALL).tolist()[:2] == [False, True]


@given(pairs=WANTED, limits=LIMITS)
def test_crews_want_the_same_and_are_no_larger_than_a_request(pairs: Pairs, limits: Limits) -> None:
    crews = star_groups_of(pairs, every(pairs), limits)
    assert sorted(crews.people.tolist()) == sorted(set(pairs.who.tolist()))
    assert crews.size.max() <= limits.recipients
    item_specs = np.split(crews.item_specs, np.cumsum(crews.wanted)[:-1])
    for people, wanted in zip(np.split(crews.people, np.cumsum(crews.size)[:-1]), item_specs, strict=True):
        for person in people:
            assert pairs.what[pairs.who == person].tolist() == wanted.tolist()


@given(pairs=WANTED, limits=LIMITS)
def test_choosing_crews_never_needs_more_than_choosing_none(pairs: Pairs, limits: Limits) -> None:
    crews = star_groups_of(pairs, every(pairs), limits)
    chosen = choose_star_groups(pairs, crews, limits, 8)
    own = np.isin(pairs.who, crews.people[np.repeat(chosen, crews.size)])
    by_wish, without_crews = (
        int((-(-pairs.count_by_wish(part) // limits.recipients)).sum()) for part in (~own, every(pairs))
    )
    assert int(crews.cost[chosen].sum()) + by_wish <= without_crews


def test_remainders_vanish_together() -> None:
    # Eleven people each for wishes 0 to 3; one of them wants all four: alone with them, the others are full requests.
    others = [(who, item_spec) for item_spec in range(4) for who in range(1 + 10 * item_spec, 11 + 10 * item_spec)]
    pairs = pairs_of([*((0, item_spec) for item_spec in range(4)), *others], people=41)
    crews = star_groups_of(pairs, every(pairs), FULL)
    assert crews.people[np.repeat(choose_star_groups(pairs, crews, FULL, 8), crews.size)].tolist() == [0]


@given(pairs=WANTED, limits=LIMITS)
def test_requests_are_joined_into_products_within_the_limits(pairs: Pairs, limits: Limits) -> None:
    alone = np.arange(len(pairs.who))
    joined = join_alike(pairs, alone, limits)
    sizes = products(pairs, joined)
    assert len(sizes) <= len(alone)
    assert all(people <= limits.recipients and item_specs <= limits.items for people, item_specs in sizes)


@given(pairs=WANTED, limits=LIMITS, effort=st.sampled_from(Effort))
def test_any_effort_places_every_pair_into_one_legal_product(pairs: Pairs, limits: Limits, effort: Effort) -> None:
    request = pack_grants(pairs, limits, effort)
    sizes = products(pairs, request)
    assert sum(people * item_specs for people, item_specs in sizes) == len(pairs.who)
    assert all(people <= limits.recipients and item_specs <= limits.items for people, item_specs in sizes)
    assert grant_bound(pairs, limits) <= len(sizes)


@pytest.fixture(scope="module")
def crowd() -> Pairs:
    """2,000 people who want a few of 300 things each, some of which are far more popular than others."""
    source = np.random.default_rng(7)
    who = np.repeat(np.arange(2_000), source.integers(1, 15, 2_000))
    what = np.minimum(source.zipf(1.3, len(who)) - 1, 299)
    return pairs_of(zip(who.tolist(), what.tolist(), strict=True), people=2_000, item_specs=300)


def test_more_effort_never_needs_more_requests_here(crowd: Pairs) -> None:
    fast, normal, thorough = (int(pack_grants(crowd, FULL, effort).max()) + 1 for effort in Effort)
    assert thorough <= normal <= fast < len(crowd.who) / 5


def test_the_bound_of_a_crowd_is_more_than_counting_gives(crowd: Pairs) -> None:
    counted = -(-len(set(crowd.who.tolist())) // 10)
    assert grant_bound(crowd, FULL) > 1.5 * counted


def test_the_bound_of_nothing_is_nothing() -> None:
    assert grant_bound(pairs_of([]), FULL) == 0


def test_wishes_are_numbered_in_the_order_of_their_text_and_differ_where_any_of_it_does() -> None:
    frame = changes_frame([change("a", "r2"), change("b", "r1", comment="x"), change("c", "r1"), change("d", "r2")])
    assert number_item_specs(frame).tolist() == [2, 1, 0, 2]
    assert number_people(frame).tolist() == [0, 1, 2, 3]


def test_wishes_that_differ_in_every_way_are_numbered_without_gaps() -> None:
    texts = pl.Series([f"{number:05}" for number in range(2_000)])
    names = ("operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata")
    frame = pl.DataFrame(dict.fromkeys(names, texts))
    assert number_item_specs(frame).tolist() == list(range(2_000))
