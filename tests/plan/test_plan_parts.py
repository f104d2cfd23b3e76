"""The planner's steps, each on its own: they make full products, and no step places a pair twice."""

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
from batch.plan.bound import grant_bound
from batch.plan.bundles import BundleRule, bundle
from batch.plan.cohesion import cohesion_of
from batch.plan.grants import join_alike, needs_own_request, pack_grants
from batch.plan.pairs import Flags, Numbers, Pairs, alike, make_pairs, max_overlap_of, number_item_specs, number_people
from batch.plan.star_groups import choose_star_groups, star_groups_of
from batch.plan.teams import TeamOrder, place_teams
from tests.builders import change
from tests.plan.changes import changes_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL: Final = Limits()
SMALL: Final = Limits(recipients=3, items=4)

PEOPLE: Final = 9
ITEM_SPECS: Final = 8


def pairs_of(wanted: Iterable[tuple[int, int]], people: int = PEOPLE, item_specs: int = ITEM_SPECS) -> Pairs:
    ordered = sorted(set(wanted))
    who, what = (np.array([pair[side] for pair in ordered], np.int64) for side in (0, 1))
    return make_pairs(who, what, people=people, item_specs=item_specs)


ALL_PAIRS: Final = list(product(range(PEOPLE), range(ITEM_SPECS)))
WANTED: Final = st.sets(st.sampled_from(ALL_PAIRS), min_size=1).map(pairs_of)
LIMITS: Final = st.sampled_from([FULL, SMALL, Limits(recipients=2, items=2), Limits(recipients=1, items=3)])


def products(pairs: Pairs, request: Numbers) -> list[tuple[int, int]]:
    """People and item specs of each request, in their order; all must be full products."""
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
def test_people_are_alike_if_they_want_the_same_among_the_given_pairs(pairs: Pairs, among: object) -> None:
    counted = np.array([among.random() < 0.7 for _ in pairs.who])  # type: ignore[attr-defined]
    wanted = [frozenset(pairs.what[counted & (pairs.who == person)].tolist()) for person in range(pairs.people)]
    assert alike(pairs, counted).tolist() == [wanted.index(one) for one in wanted]


@given(pairs=WANTED)
def test_the_overlap_of_an_item_spec_is_the_most_people_who_share_another_one_with_it(pairs: Pairs) -> None:
    wanted = {item_spec: set(pairs.who[pairs.what == item_spec].tolist()) for item_spec in range(pairs.item_specs)}
    assert max_overlap_of(pairs).tolist() == [
        max(len(wanted[item_spec] & wanted[other]) for other in wanted if other != item_spec) for item_spec in wanted
    ]


def test_the_overlap_of_an_item_spec_of_very_many_people_is_their_number() -> None:
    pairs = pairs_of([(who, 0) for who in range(1_200)] + [(0, 1)], people=1_200, item_specs=2)
    assert max_overlap_of(pairs).tolist() == [1_200, 1]


def test_item_specs_that_do_not_fit_into_a_teams_request_get_their_own() -> None:
    pairs = pairs_of(product(range(2), range(7)))
    assert products(pairs, place_teams(pairs, every(pairs), max_overlap_of(pairs), SMALL, TeamOrder.LARGEST)) == [
        (2, 4),
        (2, 3),
    ]


@given(pairs=WANTED, limits=LIMITS, least=st.integers(2, 4))
def test_bundles_are_products_that_obey_the_rule(pairs: Pairs, limits: Limits, least: int) -> None:
    rule = BundleRule(people=least, pairs=2 * least + 1)
    for people, item_specs in products(pairs, bundle(pairs, every(pairs), max_overlap_of(pairs), limits, rule)):
        assert min(least, limits.recipients) <= people <= limits.recipients
        assert 2 <= item_specs <= limits.items
        assert people * item_specs >= rule.pairs


def test_rare_item_specs_are_bundled_first() -> None:
    # Everybody wants 0; ten people want 1 beside it, and ten others 2: two bundles, and no pair of 0 is left.
    pairs = pairs_of([(who, 0) for who in range(20)] + [(who, 1 + who // 10) for who in range(20)], people=20)
    assert products(
        pairs, bundle(pairs, every(pairs), max_overlap_of(pairs), FULL, BundleRule(people=10, pairs=20))
    ) == [
        (10, 2),
        (10, 2),
    ]


def test_bundles_can_begin_where_people_have_most_in_common() -> None:
    pairs = pairs_of(set(product(range(10), (0, 1))) | set(product(range(10, 30), (2, 3))), people=30)
    rule = BundleRule(people=10, pairs=20)
    by_rarity, by_cohesion = (
        bundle(pairs, every(pairs), max_overlap_of(pairs), FULL, rule, cohesion=cohesion)
        for cohesion in (None, np.array([0, 0, 1, 1, *[0] * (ITEM_SPECS - 4)]))
    )
    assert set(pairs.what[by_rarity == 0].tolist()) == {0, 1}
    assert set(pairs.what[by_cohesion == 0].tolist()) == {2, 3}


def test_cohesion_counts_what_most_people_of_an_item_spec_want_and_not_everybody_wants() -> None:
    wanted = {(person, 0) for person in range(40)}
    wanted |= set(product(range(10), (1, 2))) | set(product(range(8), (3,))) | set(product(range(30, 39), (4, 5)))
    assert cohesion_of(pairs_of(wanted, people=40), 8)[:6].tolist() == [0, 2, 2, 2, 1, 1]
    assert cohesion_of(pairs_of(wanted, people=40), 10)[:6].tolist() == [0, 2, 2, 0, 0, 0]


def test_pairs_that_are_not_free_are_not_placed() -> None:
    pairs = pairs_of(product(range(9), range(3)))
    free = pairs.who != 4
    overlap = max_overlap_of(pairs)
    bundled = bundle(pairs, free, overlap, SMALL, BundleRule(people=3, pairs=6))
    for placed in (bundled, place_teams(pairs, free, overlap, FULL, TeamOrder.LARGEST)):
        assert (placed[~free] == -1).all()
        assert (placed[free] >= 0).any()


@given(pairs=WANTED, limits=LIMITS, order=st.sampled_from(TeamOrder))
def test_teams_are_products_of_several_people_and_item_specs(pairs: Pairs, limits: Limits, order: TeamOrder) -> None:
    for people, item_specs in products(pairs, place_teams(pairs, every(pairs), max_overlap_of(pairs), limits, order)):
        assert 2 <= people < limits.recipients
        assert 2 <= item_specs <= limits.items


def test_a_small_departments_request_includes_what_everybody_gets() -> None:
    everybody = product(range(9), range(2))
    department = product(range(4), (2, 3))
    pairs = pairs_of([*everybody, *department])
    assert products(pairs, place_teams(pairs, every(pairs), max_overlap_of(pairs), FULL, TeamOrder.RAREST)) == [
        (4, 4),
        (5, 2),
    ]
    assert products(pairs, place_teams(pairs, every(pairs), max_overlap_of(pairs), FULL, TeamOrder.LARGEST)) == [
        (9, 2),
        (4, 2),
    ]


def fewest_stars(pairs: Pairs) -> int:
    """The fewest people and item specs that cover every pair, by trying; item specs of the same people count as one."""
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
def test_people_with_own_requests_are_part_of_a_least_cover_of_the_rare_item_specs(pairs: Pairs) -> None:
    alone = needs_own_request(pairs, FULL)
    left = pairs_of([pair for pair in zip(pairs.who.tolist(), pairs.what.tolist(), strict=True) if not alone[pair[0]]])
    rest = {frozenset(left.who[left.what == item_spec].tolist()) for item_spec in range(ITEM_SPECS)} - {frozenset()}
    # Without these people two item specs may have the same people left, which makes the cover even smaller.
    assert int(alone.sum()) + len(rest) <= fewest_stars(pairs)


def test_a_person_who_wants_more_than_a_request_holds_gets_none_of_their_own() -> None:
    pairs = pairs_of([(0, item_spec) for item_spec in range(5)] + [(1, 5)])
    assert needs_own_request(pairs, SMALL).tolist()[:2] == [False, True]


@given(pairs=WANTED, limits=LIMITS)
def test_star_groups_want_the_same_and_fit_into_a_request(pairs: Pairs, limits: Limits) -> None:
    groups = star_groups_of(pairs, every(pairs), limits)
    assert sorted(groups.people.tolist()) == sorted(set(pairs.who.tolist()))
    assert groups.size.max() <= limits.recipients
    item_specs = np.split(groups.item_specs, np.cumsum(groups.wanted)[:-1])
    for people, wanted in zip(np.split(groups.people, np.cumsum(groups.size)[:-1]), item_specs, strict=True):
        for person in people:
            assert pairs.what[pairs.who == person].tolist() == wanted.tolist()


@given(pairs=WANTED, limits=LIMITS)
def test_choosing_star_groups_never_needs_more_requests_than_choosing_none(pairs: Pairs, limits: Limits) -> None:
    groups = star_groups_of(pairs, every(pairs), limits)
    chosen = choose_star_groups(pairs, groups, limits, 8)
    own = np.isin(pairs.who, groups.people[np.repeat(chosen, groups.size)])
    by_item_spec, without_groups = (
        int((-(-pairs.count_by_item_spec(part) // limits.recipients)).sum()) for part in (~own, every(pairs))
    )
    assert int(groups.cost[chosen].sum()) + by_item_spec <= without_groups


def test_remainders_of_item_specs_disappear_together() -> None:
    # Eleven people each want item specs 0 to 3, one of them all four. An own request leaves full ones.
    others = [(who, item_spec) for item_spec in range(4) for who in range(1 + 10 * item_spec, 11 + 10 * item_spec)]
    pairs = pairs_of([*((0, item_spec) for item_spec in range(4)), *others], people=41)
    groups = star_groups_of(pairs, every(pairs), FULL)
    assert groups.people[np.repeat(choose_star_groups(pairs, groups, FULL, 8), groups.size)].tolist() == [0]


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
    """2,000 people who each want a few of 300 items, some far more popular than others."""
    source = np.random.default_rng(7)
    who = np.repeat(np.arange(2_000), source.integers(1, 15, 2_000))
    what = np.minimum(source.zipf(1.3, len(who)) - 1, 299)
    return pairs_of(zip(who.tolist(), what.tolist(), strict=True), people=2_000, item_specs=300)


def test_more_effort_never_needs_more_requests_here(crowd: Pairs) -> None:
    fast, normal, thorough = (int(pack_grants(crowd, FULL, effort).max()) + 1 for effort in Effort)
    assert thorough <= normal <= fast < len(crowd.who) / 5


def test_people_with_roles_need_fewer_requests_if_bundles_begin_at_the_roles() -> None:
    source = np.random.default_rng(4)
    roles = [source.choice(120, int(source.integers(4, 12)), replace=False).tolist() for _ in range(6)]
    wanted = {
        (person, item_spec)
        for person in range(1_200)
        for own in [source.integers(0, 120, int(source.integers(0, 5))).tolist()]
        for item_spec in (*roles[int(source.integers(6))], *own)
    }
    pairs = pairs_of(wanted, people=1_200, item_specs=120)
    fast, normal = (int(pack_grants(pairs, FULL, effort).max()) + 1 for effort in (Effort.FAST, Effort.NORMAL))
    # Nothing else that this effort tries saves as much here.
    assert normal < 0.99 * fast


def test_the_bound_of_a_crowd_is_higher_than_counting_people_gives(crowd: Pairs) -> None:
    counted = -(-len(set(crowd.who.tolist())) // 10)
    assert grant_bound(crowd, FULL) > 1.5 * counted


def test_the_bound_of_no_pairs_is_zero() -> None:
    assert grant_bound(pairs_of([]), FULL) == 0


def test_item_specs_are_numbered_by_their_text_and_differ_if_any_column_does() -> None:
    frame = changes_frame([change("a", "r2"), change("b", "r1", comment="x"), change("c", "r1"), change("d", "r2")])
    assert number_item_specs(frame).tolist() == [2, 1, 0, 2]
    assert number_people(frame).tolist() == [0, 1, 2, 3]


def test_item_specs_that_differ_in_every_column_are_numbered_without_gaps() -> None:
    texts = pl.Series([f"{number:05}" for number in range(2_000)])
    names = ("operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata", "account")
    frame = pl.DataFrame(dict.fromkeys((*names, "selection", "identity_id"), texts))
    assert number_item_specs(frame).tolist() == list(range(2_000))
