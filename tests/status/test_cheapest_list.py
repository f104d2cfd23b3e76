"""Finding out what is in progress and held never takes more calls than another way would."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import FILTER_VALUES, Limits
from batch.status.cheapest_list import (
    ApprovalChoice,
    ListChoice,
    approval_calls_left,
    calls_left,
    cheapest,
    cheapest_approvals,
    is_expensive,
    pages_of,
    searches,
)

PEOPLE = st.integers(1, 50_000)
PAGES = st.none() | st.integers(1, 5_000)
CHOICES = st.sets(st.sampled_from(ListChoice), min_size=1)
LISTS = st.sets(st.sampled_from([ListChoice.EVERYBODY, ListChoice.ADMINISTRATION]))


@given(PEOPLE, PAGES, LISTS, CHOICES)
def test_no_other_allowed_choice_takes_fewer_calls(
    people: int, pages: int | None, seen: set[ListChoice], allowed: set[ListChoice]
) -> None:
    chosen = cheapest(people, pages, seen=seen, allowed=allowed)
    assert chosen in allowed
    taken = calls_left(chosen, people, pages, seen=chosen in seen)
    assert all(taken <= calls_left(choice, people, pages, seen=choice in seen) for choice in allowed)


@pytest.mark.parametrize(
    ("people", "total", "calls"),
    [
        # The list of a single person.
        (1, 30_000, 1),
        # One page of everybody's list.
        (2, 250, 1),
        (20_000, 0, 1),
        # The first page shows that there are too many rows; then each person's list.
        (2, 30_000, 3),
        (119, 30_000, 120),
        # Or every page, if that takes fewer calls.
        (20_000, 251, 3),
        (20_000, 30_000, 121),
        (100_000, 1_000_000, 4_001),
    ],
)
def test_the_number_of_calls_to_find_changes_in_progress(people: int, total: int, calls: int) -> None:
    assert spent(people, total) == calls


@given(PEOPLE, st.integers(0, 1_000_000))
def test_at_most_one_call_is_spent_on_finding_the_cheapest_list(people: int, total: int) -> None:
    whole = 1 if total <= 250 else math.ceil(total / 250) + 1
    assert spent(people, total) <= min(people + 1, whole)


def spent(people: int, total: int) -> float:
    """The calls of somebody who always makes the cheapest choice."""
    first = cheapest(people, None, seen=(), allowed=tuple(ListChoice))
    if first is ListChoice.EACH:
        return people
    pages = pages_of(total, min(total, 250), more=total > 250)
    then = cheapest(people, pages, seen={first}, allowed=tuple(ListChoice))
    return 1 + calls_left(then, people, pages, seen=then is first)


def test_20000_people_among_30000_rows_in_progress_take_at_most_400_calls_with_what_they_hold() -> None:
    assert spent(20_000, 30_000) + searches(20_000) == 201


def test_a_list_of_unknown_length_is_not_read() -> None:
    pages = pages_of(None, 250, more=True)
    assert cheapest(20_000, pages, seen={ListChoice.EVERYBODY}, allowed=tuple(ListChoice)) is ListChoice.EACH


def test_calls_out_of_proportion_to_the_run_are_expensive() -> None:
    assert not is_expensive(400, 1, Limits())
    assert is_expensive(403, 1, Limits())
    assert not is_expensive(4_400, 20_000, Limits())
    assert is_expensive(4_401, 20_000, Limits())


# Pending approvals.

WAYS = st.sets(st.sampled_from(ApprovalChoice), min_size=1)
PORTIONS = st.fixed_dictionaries(
    {ApprovalChoice.OF_REQUESTS: st.integers(1, 1_000), ApprovalChoice.OF_PEOPLE: st.integers(1, 1_000)}
)


@given(PORTIONS, PAGES, WAYS)
def test_no_other_allowed_way_to_the_pending_approvals_takes_fewer_calls(
    portions: dict[ApprovalChoice, int], pages: int | None, allowed: set[ApprovalChoice]
) -> None:
    seen = {ApprovalChoice.ALL} if pages is not None else set()
    chosen = cheapest_approvals(portions, pages, seen=seen, allowed=allowed)
    assert chosen in allowed
    calls = [approval_calls_left(choice, portions, pages, seen=choice in seen) for choice in allowed]
    assert approval_calls_left(chosen, portions, pages, seen=chosen in seen) == min(calls)


def spent_on_approvals(people: int, total: int) -> float:
    """The calls of somebody who always makes the cheapest choice, for people of whom each has few approvals."""
    portions = {ApprovalChoice.OF_PEOPLE: math.ceil(people / FILTER_VALUES)}
    allowed = {ApprovalChoice.OF_PEOPLE, ApprovalChoice.ALL}
    if cheapest_approvals(portions, None, seen=(), allowed=allowed) is ApprovalChoice.OF_PEOPLE:
        return portions[ApprovalChoice.OF_PEOPLE]
    pages = pages_of(total, min(total, 250), more=total > 250)
    seen = {ApprovalChoice.ALL}
    then = cheapest_approvals(portions, pages, seen=seen, allowed=allowed)
    return 1 + approval_calls_left(then, portions, pages, seen=then in seen)


@pytest.mark.parametrize(
    ("people", "total", "calls"),
    [
        # One portion of people.
        (1, 30_000, 1),
        (50, 30_000, 1),
        # One page of all of them.
        (20_000, 0, 1),
        (20_000, 249, 1),
        # The first page shows that there are too many; then portions of people.
        (100, 30_000, 3),
        # Or every page, if that takes fewer calls.
        (20_000, 30_000, 121),
        (20_000, 1_000_000, 401),
    ],
)
def test_the_number_of_calls_to_find_what_waits_for_an_approver(people: int, total: int, calls: int) -> None:
    assert spent_on_approvals(people, total) == calls


def test_20000_people_among_30000_open_rows_and_approvals_take_at_most_400_calls_in_all() -> None:
    assert spent(20_000, 30_000) + spent_on_approvals(20_000, 30_000) + searches(20_000) == 322
