"""The bound by prices: never above the optimum of small inputs, and higher than the other bound for some large ones."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.model import Effort
from batch.plan import plan, price_bound
from batch.plan.bound import grant_bound
from batch.plan.pairs import Pairs, make_pairs
from tests.builders import change
from tests.plan.changes import changes_frame
from tests.plan.optimum import fewest_requests, fewest_requests_by_trying

FULL = Limits()
LIMITS = st.sampled_from(
    [FULL, Limits(recipients=2, items=2), Limits(recipients=3, items=4), Limits(recipients=3, items=1)]
)
FEW = st.frozensets(st.sampled_from(sorted(product(range(5), range(4)))), min_size=1, max_size=11)


def pairs_of(wanted: frozenset[tuple[int, int]]) -> Pairs:
    who, what = np.array(sorted(wanted)).T
    return make_pairs(who, what, people=int(who.max()) + 1, item_specs=int(what.max()) + 1)


def names_of(wanted: frozenset[tuple[int, int]]) -> frozenset[tuple[str, str]]:
    return frozenset((f"p{person:04}", f"i{item:04}") for person, item in wanted)


@settings(max_examples=300, deadline=None)
@given(wanted=FEW, limits=LIMITS, most_holders=st.integers(0, 6))
def test_the_bound_is_never_above_the_optimum(
    wanted: frozenset[tuple[int, int]], limits: Limits, most_holders: int
) -> None:
    bound = price_bound.price_bound(pairs_of(wanted), limits, most_holders=most_holders)
    assert bound <= fewest_requests_by_trying(names_of(wanted), limits)


@pytest.mark.parametrize("most_holders", [0, 10, None])
@pytest.mark.parametrize("limits", [FULL, Limits(recipients=3, items=4), Limits(recipients=2, items=3)])
def test_the_bound_is_never_above_the_optimum_of_roles_with_exceptions(
    limits: Limits, most_holders: int | None
) -> None:
    for seed in range(8):
        source = Random(seed)  # noqa: S311 - files, not secrets
        roles = [source.sample(range(9), source.randint(2, 4)) for _ in range(3)]
        wanted = {(person, item) for person in range(10) for item in source.choice(roles)}
        wanted ^= set(source.sample(sorted(product(range(10), range(9))), 6))
        bound = price_bound.price_bound(pairs_of(frozenset(wanted)), limits, most_holders=most_holders)
        assert bound <= fewest_requests(names_of(frozenset(wanted)), limits), seed


@pytest.fixture(scope="module")
def strangers() -> frozenset[tuple[int, int]]:
    """1,500 people of three roles, with items of their own that few others want."""
    source = np.random.default_rng(5)
    wanted = {(person, source.integers(20, 1_520).item()) for person in range(1_500) for _ in range(3)}
    return frozenset(wanted | {(person, 5 * (person % 3) + item) for person in range(1_500) for item in range(5)})


def test_the_bound_is_higher_for_people_of_roles_with_items_of_their_own(
    strangers: frozenset[tuple[int, int]],
) -> None:
    assert price_bound.price_bound(pairs_of(strangers), FULL) > 1.2 * grant_bound(pairs_of(strangers), FULL)


def test_a_thorough_plan_has_the_higher_bound_and_a_normal_one_the_quick_one(
    strangers: frozenset[tuple[int, int]],
) -> None:
    pairs, changes = pairs_of(strangers), changes_frame(change(*pair) for pair in sorted(names_of(strangers)))
    thorough, normal = (plan(changes, FULL, effort) for effort in (Effort.THOROUGH, Effort.NORMAL))
    assert normal.lower_bound == grant_bound(pairs, FULL)
    assert normal.lower_bound < thorough.lower_bound == price_bound.price_bound(pairs, FULL) <= thorough.requests


def test_the_quick_bound_stays_where_it_is_higher() -> None:
    wanted = frozenset(product(range(40), range(60)))
    assert price_bound.price_bound(pairs_of(wanted), FULL) < grant_bound(pairs_of(wanted), FULL)
    changes = changes_frame(change(*pair) for pair in sorted(names_of(wanted)))
    assert plan(changes, FULL, Effort.THOROUGH).lower_bound == grant_bound(pairs_of(wanted), FULL)


def test_bodies_that_list_items_for_each_person_keep_the_quick_bound(strangers: frozenset[tuple[int, int]]) -> None:
    changes = changes_frame(change(*pair) for pair in sorted(names_of(strangers)))
    thorough = plan(changes, FULL, Effort.THOROUGH, nested=True)
    assert thorough.lower_bound == grant_bound(pairs_of(strangers), FULL, nested=True) <= thorough.bodies


def test_too_many_anchors_give_no_bound(strangers: frozenset[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_bound, "_MOST_ANCHORS", 10)
    assert price_bound.price_bound(pairs_of(strangers), FULL) == 0


def test_the_bound_does_not_depend_on_the_numbers_of_people_and_items(strangers: frozenset[tuple[int, int]]) -> None:
    turned = frozenset((1_499 - person, 1_519 - item) for person, item in strangers)
    assert price_bound.price_bound(pairs_of(turned), FULL) > 1.2 * grant_bound(pairs_of(turned), FULL)
