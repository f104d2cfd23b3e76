"""Moves of whole requests: they save requests, never cost any, and leave a legal plan of exactly the wanted pairs."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Effort
from batch.plan import kits, moves, plan
from batch.plan.envelopes import share_bodies
from batch.plan.grants import pack_grants
from batch.plan.kits import kits_of, offers_of
from batch.plan.moves import improve_by_moves
from tests.builders import change
from tests.plan.changes import changes_frame
from tests.plan.test_plan_parts import FULL, LIMITS, WANTED, pairs_of, products

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from batch.api.dialects import Limits
    from batch.plan.pairs import Numbers, Pairs

EFFORTS: Final = st.sampled_from(Effort)


def plan_of(requests: Iterable[tuple[Iterable[int], Iterable[int]]]) -> tuple[Pairs, Numbers]:
    """The pairs of requests with these people and item specs, and the request of each pair."""
    number_of = {pair: number for number, sides in enumerate(requests) for pair in product(*sides)}
    people, item_specs = (max(pair[side] for pair in number_of) + 1 for side in (0, 1))
    pairs = pairs_of(number_of, people=people, item_specs=item_specs)
    return pairs, np.array([number_of[pair] for pair in zip(pairs.who.tolist(), pairs.what.tolist(), strict=True)])


def roles_with_exceptions(people: int) -> set[tuple[int, int]]:
    """Everybody has a role, and some have a few more of 120 items."""
    source = np.random.default_rng(4)
    roles = [source.choice(120, int(source.integers(4, 12)), replace=False).tolist() for _ in range(6)]
    return {
        (person, item_spec)
        for person in range(people)
        for own in [source.integers(0, 120, int(source.integers(0, 5))).tolist()]
        for item_spec in (*roles[int(source.integers(6))], *own)
    }


def changes_of(wanted: Iterable[tuple[int, int]]) -> pl.DataFrame:
    return changes_frame(change(f"p{person:04}", f"i{item:03}") for person, item in wanted)


@pytest.fixture(scope="module")
def roles() -> set[tuple[int, int]]:
    return roles_with_exceptions(people=300)


def test_a_person_joins_requests_with_room_so_that_their_own_one_is_not_needed() -> None:
    pairs, request = plan_of([(range(9), [0, 1]), (range(10, 14), [2]), ([9], [0, 1, 2])])
    assert products(pairs, improve_by_moves(pairs, request, FULL)) == [(5, 1), (10, 2)]


def test_a_request_is_closed_if_all_its_people_can_do_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "_SWEEPS", ())
    # One alone who leaves the first request saves nothing: all three have to, and join the two with room.
    pairs, request = plan_of([(range(3), [0, 1]), (range(3, 10), [0]), (range(10, 17), [1])])
    assert products(pairs, improve_by_moves(pairs, request, FULL)) == [(10, 1), (10, 1)]


def test_a_plan_that_cannot_be_improved_stays_as_it_is() -> None:
    pairs, request = plan_of([([4, 5], [3]), (range(3), [0, 1])])
    assert improve_by_moves(pairs, request, FULL) is request


def test_requests_of_one_person_or_one_item_spec_each_leave_nothing_to_move() -> None:
    pairs, request = plan_of([([0], [0, 1]), ([1, 2], [0])])
    assert improve_by_moves(pairs, request, FULL) is request


@given(pairs=WANTED, limits=LIMITS, effort=EFFORTS)
def test_moves_place_every_pair_into_one_legal_product_and_never_cost_a_request(
    pairs: Pairs, limits: Limits, effort: Effort
) -> None:
    request = pack_grants(pairs, limits, effort)
    improved = improve_by_moves(pairs, request, limits)
    sizes = products(pairs, improved)
    assert sum(people * item_specs for people, item_specs in sizes) == len(pairs.who)
    assert all(people <= limits.recipients and item_specs <= limits.items for people, item_specs in sizes)
    assert len(sizes) < int(request.max()) + 1 or improved is request


def test_a_thorough_plan_needs_fewer_requests_by_moves(roles: set[tuple[int, int]]) -> None:
    pairs = pairs_of(roles, people=300, item_specs=120)
    without = int(pack_grants(pairs, FULL, Effort.THOROUGH).max()) + 1
    thorough, normal = (plan(changes_of(roles), FULL, effort) for effort in (Effort.THOROUGH, Effort.NORMAL))
    assert thorough.requests < 0.98 * without <= 0.98 * normal.requests


def test_moves_do_not_depend_on_the_order_of_the_rows(roles: set[tuple[int, int]]) -> None:
    rows = sorted(roles)
    made = plan(changes_of(rows), FULL, Effort.THOROUGH)
    Random(5).shuffle(rows)  # noqa: S311 - no secret
    again = plan(changes_of(rows), FULL, Effort.THOROUGH)
    assert {*again.changes.iter_rows()} == {*made.changes.iter_rows()}


@given(pairs=WANTED, limits=LIMITS)
def test_bodies_that_list_items_for_each_person_never_get_more_by_moves(pairs: Pairs, limits: Limits) -> None:
    wanted = zip(pairs.who.tolist(), pairs.what.tolist(), strict=True)
    request, first = share_bodies(pairs, pack_grants(pairs, limits, Effort.THOROUGH), limits)
    bodies = len({number if first[number] < 0 else first[number] for number in request.tolist()})
    assert plan(changes_of(wanted), limits, Effort.THOROUGH, nested=True).bodies <= bodies


@pytest.mark.parametrize("most", [0, 1, 25])
def test_people_are_offered_what_they_have_and_the_largest_of_the_rest(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kits, "_MOST_OFFERS", most)
    pairs, request = plan_of([([0, 1], [0, 1]), ([2, 3], [0, 1, 2]), ([4, 5], [1, 2]), ([6], [0, 1, 2])])
    found = kits_of(pairs, request)
    sets = [frozenset(found.item_specs[found.starts[n] : found.starts[n + 1]].tolist()) for n in range(len(found))]
    taken = sorted(
        {int(who * len(found) + found.of_request[n]) for who, n in zip(pairs.who, request, strict=True) if n < 3}
    )
    offers = offers_of(pairs, found, np.array(taken))
    offered = {(int(who), sets[kit]) for who, kit in zip(offers.who, offers.kit, strict=True)}
    assert offered >= {(0, frozenset({0, 1})), (2, frozenset({0, 1, 2})), (4, frozenset({1, 2}))}
    of_last = {kit for who, kit in offered if who == 6}
    assert of_last == set(sorted(sets, key=lambda one: (-len(one), sets.index(one)))[:most])
