"""Plans: legal, exact, few, and the same each time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.plan import NO_PLAN, plan
from batch.plan.check import check_plan
from tests.builders import change
from tests.plan.changes import (
    bodies_of,
    changes_frame,
    illegalities,
    in_odd_chunks,
    pairs_of,
    wanted_changes,
    wanted_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMITS = Limits()


def sizes(changes: Iterable[dict[str, str]], limits: Limits = LIMITS) -> list[tuple[str, int, int]]:
    """Operation, identities and items of each request of the plan, in the order of sending."""
    made = plan(changes_frame(changes), limits)
    bodies = bodies_of(made.changes)
    assert len(bodies) == made.requests
    return [(body["requestType"], len(body["requestedFor"]), len(body["requestedItems"])) for body in bodies]


def test_without_changes_there_are_no_requests() -> None:
    made = plan(changes_frame([]), LIMITS)
    assert (made.requests, made.lower_bound, made.changes.height) == (0, 0, 0)
    assert (NO_PLAN.requests, NO_PLAN.lower_bound, NO_PLAN.changes.height) == (0, 0, 0)
    check_plan(made.changes, changes_frame([]), LIMITS)


def test_people_who_want_the_same_share_a_request() -> None:
    assert sizes(change(person, item) for person in "abc" for item in ("r1", "r2")) == [("GRANT_ACCESS", 3, 2)]


def test_people_who_want_different_things_do_not_share_a_request() -> None:
    assert sizes([change("a", "r1"), change("a", "r2"), change("b", "r1")]) == [
        ("GRANT_ACCESS", 1, 2),
        ("GRANT_ACCESS", 1, 1),
    ]


@pytest.mark.parametrize("name", ["comment", "start_date", "remove_date", "metadata"])
def test_identities_share_a_request_only_if_all_it_says_about_the_item_is_the_same(name: str) -> None:
    value = '{"k":"v"}' if name == "metadata" else "2027-01-31T00:00:00Z"
    assert sizes([change("a"), change("b", **{name: value})]) == [("GRANT_ACCESS", 1, 1)] * 2


def test_items_of_one_identity_share_a_request_although_their_comments_differ() -> None:
    assert sizes([change("a", "r1", comment="x"), change("a", "r2", comment="y")]) == [("GRANT_ACCESS", 1, 2)]


@pytest.mark.parametrize(
    ("people", "items", "expected"),
    [
        (10, 25, [(10, 25)]),
        (11, 25, [(10, 25), (1, 25)]),
        (10, 26, [(10, 25), (10, 1)]),
        (21, 1, [(10, 1), (10, 1), (1, 1)]),
    ],
)
def test_a_grant_has_at_most_ten_identities_and_twenty_five_items(
    people: int, items: int, expected: list[tuple[int, int]]
) -> None:
    changes = [change(f"p{person:02}", f"r{item:02}") for person in range(people) for item in range(items)]
    assert sizes(changes) == [("GRANT_ACCESS", *size) for size in expected]


def test_a_revoke_has_one_identity_and_each_entitlement_has_a_request_of_its_own() -> None:
    changes = [
        change(person, f"{kind}{number}", operation="REVOKE", item_type=kind)
        for person in "ab"
        for kind in ("ROLE", "ACCESS_PROFILE", "ENTITLEMENT")
        for number in range(2)
    ]
    assert sizes(changes) == [("REVOKE_ACCESS", 1, 4)] * 2 + [("REVOKE_ACCESS", 1, 1)] * 4


def test_a_revoke_has_at_most_twenty_five_items() -> None:
    assert sizes(change("a", f"r{item:02}", operation="REVOKE") for item in range(26)) == [
        ("REVOKE_ACCESS", 1, 25), ("REVOKE_ACCESS", 1, 1),
    ]  # fmt: skip


def test_grants_are_sent_before_revokes() -> None:
    assert [size[0] for size in sizes([change("a", "r1", operation="REVOKE"), change("z", "r2")])] == [
        "GRANT_ACCESS", "REVOKE_ACCESS",
    ]  # fmt: skip


def test_the_plan_keeps_to_the_given_limits() -> None:
    grants = [change(person, item) for person in "abc" for item in ("r1", "r2", "r3")]
    revokes = [change("z", f"e{n}", operation="REVOKE", item_type="ENTITLEMENT") for n in range(4)]
    revokes += [change("z", f"r{n}", operation="REVOKE") for n in range(4)]
    limits = Limits(recipients=2, items=2, revoke_items=3, revoke_entitlements=4)
    assert [size[1:] for size in sizes(grants, limits)] == [(2, 2), (2, 1), (1, 2), (1, 1)]
    assert [size[1:] for size in sizes(revokes, limits)] == [(1, 3), (1, 1), (1, 4)]


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ([change("a", f"r{n}") for n in range(26)], 2),
        ([change(f"p{n}", "r1") for n in range(11)], 2),
        ([change(f"p{n}", f"r{n}") for n in range(3)], 3),
        ([change(f"p{n}", f"r{m}") for n in range(3) for m in range(3) if n != m], 3),
        ([change("a", f"e{n}", item_type="ENTITLEMENT", operation="REVOKE") for n in range(3)], 3),
        ([change("a", "e1", operation="REVOKE"), change("a", "r1")], 2),
    ],
)
def test_the_lower_bound_counts_requests_that_no_plan_can_avoid(changes: list[dict[str, str]], bound: int) -> None:
    assert plan(changes_frame(changes), LIMITS).lower_bound == bound


@settings(max_examples=60)
@given(wanted=wanted_changes())
def test_every_request_is_legal_and_they_ask_for_exactly_the_wanted_changes(
    wanted: list[dict[str, str]],
) -> None:
    frame = changes_frame(wanted)
    made = plan(frame, LIMITS)
    bodies = bodies_of(made.changes)
    assert [illegalities(body) for body in bodies] == [[]] * made.requests
    assert pairs_of(bodies) == wanted_pairs(wanted)
    assert made.lower_bound <= made.requests <= len(wanted)
    assert (made.lower_bound > 0) == bool(wanted)
    check_plan(made.changes, frame, LIMITS)


@settings(max_examples=30)
@given(wanted=wanted_changes(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(wanted: list[dict[str, str]], order: Any) -> None:
    shuffled = list(wanted)
    order.shuffle(shuffled)
    made, again = plan(changes_frame(wanted), LIMITS), plan(changes_frame(shuffled), LIMITS)
    assert made.changes.sort(made.changes.columns).equals(again.changes.sort(again.changes.columns))
    assert (made.requests, made.lower_bound) == (again.requests, again.lower_bound)
    assert made.changes["request"].unique().sort().to_list() == list(range(made.requests))


@pytest.mark.thorough
@settings(max_examples=30)
@given(wanted=wanted_changes())
def test_people_who_want_the_same_need_no_more_grants_than_their_own_product(wanted: list[dict[str, str]]) -> None:
    sets: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for one in wanted:
        if one["operation"] == "GRANT":
            sets[one["identity_id"]].add(tuple(text for name, text in one.items() if name != "identity_id"))
    people: dict[frozenset[tuple[str, ...]], int] = defaultdict(int)
    for items in sets.values():
        people[frozenset(items)] += 1
    most = sum(-(-count // 10) * -(-len(items) // 25) for items, count in people.items())
    grants = [one for one in wanted if one["operation"] == "GRANT"]
    assert plan(changes_frame(grants), LIMITS).requests <= most


def test_other_columns_are_kept() -> None:
    frame = changes_frame([change("a"), change("b")]).with_row_index("row")
    made = plan(frame, LIMITS).changes
    assert made.select("row", "identity_id").sort("row").rows() == [(0, "a"), (1, "b")]


def test_a_frame_in_chunks_gives_the_same_plan_although_the_first_is_empty() -> None:
    frame = changes_frame(
        [
            *(change(person, item) for person in "abc" for item in ("r1", "r2")),
            change("a", "r3", operation="REVOKE"),
            *(change("b", item, operation="REVOKE", item_type="ENTITLEMENT") for item in ("e1", "e2")),
        ]
    )
    made = plan(in_odd_chunks(frame), LIMITS)
    assert made.changes.equals(plan(frame, LIMITS).changes)
    assert made.requests == 4
    check_plan(in_odd_chunks(made.changes), in_odd_chunks(frame), LIMITS)
