"""The calls that find out what is in progress and held: never more than another way would take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.status.cheapest_list import ListChoice, calls_left, cheapest, is_dear, pages_of, searches

PEOPLE = st.integers(1, 50_000)
PAGES = st.none() | st.integers(1, 5_000)
WAYS = st.sets(st.sampled_from(ListChoice), min_size=1)
LISTS = st.sets(st.sampled_from([ListChoice.EVERYBODY, ListChoice.ADMINISTRATION]))


@given(PEOPLE, PAGES, LISTS, WAYS)
def test_no_other_way_that_is_open_takes_fewer_calls(
    people: int, pages: int | None, seen: set[ListChoice], open_ways: set[ListChoice]
) -> None:
    chosen = cheapest(people, pages, seen=seen, open_ways=open_ways)
    assert chosen in open_ways
    taken = calls_left(chosen, people, pages, seen=chosen in seen)
    assert all(taken <= calls_left(way, people, pages, seen=way in seen) for way in open_ways)


@pytest.mark.parametrize(
    ("people", "total", "calls"),
    [
        # One person's own list, whatever else there is.
        (1, 30_000, 1),
        # One page of everybody's list has it all.
        (2, 250, 1),
        (20_000, 0, 1),
        # The first page told that there are too many; then each person's list.
        (2, 30_000, 3),
        (119, 30_000, 120),
        # Or every page, where that is less.
        (20_000, 251, 3),
        (20_000, 30_000, 121),
        (100_000, 1_000_000, 4_001),
    ],
)
def test_the_calls_for_what_is_in_progress(people: int, total: int, calls: int) -> None:
    assert spent(people, total) == calls


@given(PEOPLE, st.integers(0, 1_000_000))
def test_at_most_one_call_is_spent_on_finding_out_what_is_cheapest(people: int, total: int) -> None:
    whole = 1 if total <= 250 else math.ceil(total / 250) + 1
    assert spent(people, total) <= min(people + 1, whole)


def spent(people: int, total: int) -> float:
    """The calls of somebody who follows the plan."""
    first = cheapest(people, None, seen=(), open_ways=tuple(ListChoice))
    if first is ListChoice.EACH:
        return people
    pages = pages_of(total, min(total, 250), more=total > 250)
    then = cheapest(people, pages, seen={first}, open_ways=tuple(ListChoice))
    return 1 + calls_left(then, people, pages, seen=then is first)


def test_20000_people_among_30000_rows_in_progress_take_at_most_400_calls_with_what_they_hold() -> None:
    assert spent(20_000, 30_000) + searches(20_000) == 201


def test_a_list_that_does_not_say_how_long_it_is_is_not_begun() -> None:
    pages = pages_of(None, 250, more=True)
    assert cheapest(20_000, pages, seen={ListChoice.EVERYBODY}, open_ways=tuple(ListChoice)) is ListChoice.EACH


def test_what_is_out_of_proportion_is_dear() -> None:
    assert not is_dear(400, 1, Limits())
    assert is_dear(403, 1, Limits())
    assert not is_dear(4_400, 20_000, Limits())
    assert is_dear(4_401, 20_000, Limits())
