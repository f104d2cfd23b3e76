"""Several requests in one body: every change exactly once, within the limits, and never more bodies than otherwise."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.errors import BrokenPromiseError
from batch.plan import plan
from batch.plan.body import body_of
from batch.plan.check import check_plan
from batch.plan.filling import FillOrder, Size, fill
from batch.plan.plan import ENVELOPE_SCHEMA
from tests.builders import change
from tests.plan.changes import changes_frame, pairs_of, requests_of, wanted_changes, wanted_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from batch.plan import Plan

FULL = Limits()
SMALL, TINY = Limits(recipients=3, items=4, revoke_items=4), Limits(recipients=2, items=2, revoke_items=2)
ANY_LIMITS = st.sampled_from([FULL, SMALL, TINY])


def nested_plan(changes: Iterable[dict[str, str]], limits: Limits = FULL) -> Plan:
    return plan(changes_frame(changes), limits, nested=True)


def bodies_of(made: Plan) -> list[dict[str, Any]]:
    """The bodies that are sent."""
    number = dict(made.envelopes.rows())
    together: dict[int, list[Any]] = {}
    for request in requests_of(made.changes):
        position = request.number - 1
        together.setdefault(number.get(position, position), []).append(request)
    return [body_of(*requests) for requests in together.values()]


def entries_of(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each identity of a body with its items, in either form."""
    if "requestedFor" in body:
        return [(identity, body["requestedItems"]) for identity in body["requestedFor"]]
    return [(entry["identityId"], entry["requestedItems"]) for entry in body["requestedForWithRequestedItems"]]


def flattened(bodies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same changes, one identity to a body."""
    return [
        {"requestType": body["requestType"], "requestedFor": [identity], "requestedItems": items}
        for body in bodies
        for identity, items in entries_of(body)
    ]


@settings(max_examples=30)
@given(wanted=wanted_changes(), limits=ANY_LIMITS)
def test_every_wanted_change_is_in_exactly_one_body_and_every_body_is_legal(
    wanted: list[dict[str, str]], limits: Limits
) -> None:
    made = nested_plan(wanted, limits)
    check_plan(made.changes, changes_frame(wanted), limits, made.envelopes, nested=True)
    bodies = bodies_of(made)
    assert pairs_of(flattened(bodies)) == wanted_pairs(wanted)
    assert len(bodies) == made.bodies
    for body in bodies:
        entries = entries_of(body)
        identities = [identity for identity, _ in entries]
        assert len(set(identities)) == len(identities) <= limits.recipients
        if "requestedForWithRequestedItems" in body:
            assert set(body) == {"requestType", "requestedForWithRequestedItems"}
            assert body["requestType"] == "GRANT_ACCESS"
            assert sum(len(items) for _, items in entries) <= limits.items
            for _, items in entries:
                assert len({(item["type"], item["id"]) for item in items}) == len(items) > 0


@pytest.mark.thorough
@settings(max_examples=30)
@given(wanted=wanted_changes(), limits=ANY_LIMITS, shuffle=st.randoms(use_true_random=False))
def test_envelopes_never_need_more_bodies_and_the_order_of_the_rows_does_not_matter(
    wanted: list[dict[str, str]], limits: Limits, shuffle: Random
) -> None:
    made, flat = nested_plan(wanted, limits), plan(changes_frame(wanted), limits)
    assert made.lower_bound <= made.bodies <= flat.bodies == flat.requests
    shuffled = [*wanted]
    shuffle.shuffle(shuffled)
    again = nested_plan(shuffled, limits)
    assert again.envelopes.equals(made.envelopes)
    assert {tuple(row) for row in again.changes.iter_rows()} == {tuple(row) for row in made.changes.iter_rows()}


def fewest_bodies(pairs: tuple[tuple[int, int], ...], limits: Limits) -> int:
    """The fewest bodies, of either form, by trying all."""

    def legal(chosen: list[tuple[int, int]]) -> bool:
        people, items = {who for who, _ in chosen}, {what for _, what in chosen}
        product = len(people) * len(items) == len(chosen) and len(items) <= limits.items
        return len(people) <= limits.recipients and (product or len(chosen) <= limits.items)

    def within(mask: int) -> list[tuple[int, int]]:
        return [pair for position, pair in enumerate(pairs) if mask >> position & 1]

    @cache
    def fewest(mask: int) -> int:
        if not mask:
            return 0
        lowest, best, part = mask & -mask, len(pairs), mask
        while part:
            if part & lowest and legal(within(part)):
                best = min(best, 1 + fewest(mask ^ part))
            part = (part - 1) & mask
        return best

    return fewest((1 << len(pairs)) - 1)


@settings(max_examples=60)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9),
    limits=st.sampled_from([TINY, Limits(recipients=2, items=3), Limits(recipients=3, items=2)]),
)
def test_the_bound_is_below_the_true_optimum(pairs: set[tuple[int, int]], limits: Limits) -> None:
    made = nested_plan([change(f"p{who}", f"i{what}") for who, what in sorted(pairs)], limits)
    optimum = fewest_bodies(tuple(sorted(pairs)), limits)
    assert made.lower_bound <= optimum <= made.bodies


@settings(max_examples=50)
@given(
    loads=st.dictionaries(
        st.builds(Size, st.integers(1, 25), st.integers(1, 10)), st.integers(1, 40), min_size=1, max_size=8
    ),
    order=st.sampled_from(list(FillOrder)),
)
def test_every_load_is_in_bodies_once_whole_or_in_pieces(loads: dict[Size, int], order: FillOrder) -> None:
    left = Counter(loads)
    for pattern in fill(loads, FULL, order):
        held = Counter(pattern.whole) + Counter({Size(pattern.cut, 1): 1} if pattern.cut else {})
        items = sum(size.items * count for size, count in pattern.whole.items()) + pattern.piece
        people = sum(size.people * count for size, count in held.items())
        assert pattern.bodies >= 1
        assert 0 < items <= FULL.items
        assert 0 < people <= FULL.recipients
        for size, count in held.items():
            left[size] -= count * pattern.bodies
            assert left[size] >= 0, "a load is used before it exists"
        if pattern.cut:
            assert 0 < pattern.piece < pattern.cut
            assert order is not FillOrder.WHOLE
            left[Size(pattern.cut - pattern.piece, 1)] += pattern.bodies
    assert not +left


def test_people_with_comments_of_their_own_share_bodies_up_to_both_limits() -> None:
    one_each = [change(f"p{n:03}", "r1", comment=f"ticket {n}") for n in range(100)]
    assert (plan(changes_frame(one_each), FULL).bodies, nested_plan(one_each).bodies) == (100, 10)
    five_each = [change(f"p{n:03}", f"r{m}", comment=f"ticket {n}") for n in range(100) for m in range(5)]
    assert (plan(changes_frame(five_each), FULL).bodies, nested_plan(five_each).bodies) == (100, 20)


def test_people_who_want_more_than_fits_into_the_rest_of_a_body_are_spread_over_several() -> None:
    wanted = [change(f"p{n:03}", f"r{m}", comment=f"ticket {n}") for n in range(100) for m in range(13)]
    assert 52 <= nested_plan(wanted).bodies <= 54


def test_large_full_products_keep_bodies_of_their_own() -> None:
    together = [change(f"p{n}", f"r{m}") for n in range(20) for m in range(20)]
    alone = [change(f"q{n}", "r1", comment=f"ticket {n}") for n in range(4)]
    made = nested_plan([*together, *alone])
    assert [sorted(body) for body in bodies_of(made)] == [
        ["requestType", "requestedFor", "requestedItems"],
        ["requestType", "requestedFor", "requestedItems"],
        ["requestType", "requestedForWithRequestedItems"],
    ]


def test_revokes_and_api_versions_without_the_nested_form_have_no_envelopes() -> None:
    revokes = [change(f"p{n}", "r1", operation="REVOKE") for n in range(5)]
    assert nested_plan(revokes).envelopes.is_empty()
    assert plan(changes_frame(change(f"p{n}", f"r{n}") for n in range(5)), FULL).envelopes.is_empty()


def test_people_who_want_exactly_the_same_in_a_body_share_a_request() -> None:
    wanted = [change(f"p{n}", item, comment="a") for n in range(3) for item in ("r1", "r2")]
    made = nested_plan([*wanted, change("q", "r1", comment="b")])
    assert (made.bodies, made.requests) == (1, 2)


SIX = changes_frame(change(f"p{n}", "r1", comment=f"c{n}") for n in range(6))


@pytest.mark.parametrize(
    ("envelopes", "message"),
    [
        ([(0, 0), (1, 0), (1, 1), (2, 1)], "in two bodies"),
        ([(0, 0), (9, 0)], "does not exist"),
        ([(0, 0), (2, 0)], "are not consecutive"),
        ([(0, 1), (1, 1)], "are not consecutive"),
        ([(0, 0)], "are not consecutive"),
        ([(0, 0), (1, 0), (2, 0), (3, 0)], "too large"),
        ([(4, 4), (5, 4), (6, 4)], "revokes"),
    ],
)
def test_a_corrupted_envelope_is_stopped(envelopes: list[tuple[int, int]], message: str) -> None:
    wanted = pl.concat([SIX, changes_frame([change("p6", "r9", operation="REVOKE")])])
    planned = wanted.with_columns(pl.int_range(7, dtype=pl.Int64).alias("request"))
    frame = pl.DataFrame(envelopes, schema=ENVELOPE_SCHEMA, orient="row")
    good = pl.DataFrame([(0, 0), (1, 0), (2, 0), (3, 3), (4, 3)], schema=ENVELOPE_SCHEMA, orient="row")
    check_plan(planned, wanted, SMALL, good, nested=True)
    with pytest.raises(BrokenPromiseError, match=message):
        check_plan(planned, wanted, SMALL, frame, nested=True)
    with pytest.raises(BrokenPromiseError, match="does not know"):
        check_plan(planned, wanted, SMALL, good)
