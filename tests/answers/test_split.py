"""Dividing a refused request into smaller ones."""

from __future__ import annotations

from collections import Counter
from math import log2
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.model import Part
from tests.answers.fussy_tenant import FussyTenant, Pair, a_request, pairs, part_of, send

NOT_NAMED = "Bad request."
PEOPLE = [f"{person:032x}" for person in range(10)]
ITEMS = [f"{item + 0xABC000:032x}" for item in range(25)]
IDS = st.sampled_from(PEOPLE + ITEMS)


@st.composite
def any_history(draw: st.DrawFn) -> RefusalHistory:
    history = RefusalHistory()
    for _ in range(draw(st.integers(0, 6))):
        person, item = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(ITEMS))
        if draw(st.booleans()):
            history.accepted(a_request([person], [item]))
        else:
            history.refused(a_request([person], [item]), draw(st.sampled_from([NOT_NAMED, person, item])))
    return history


def after(*, taken: tuple[list[str], list[str]], refused: list[Pair]) -> RefusalHistory:
    """The history of one accepted request and of refused single changes."""
    history = RefusalHistory()
    history.accepted(a_request(*taken))
    for person, item in refused:
        history.refused(a_request([person], [item]), NOT_NAMED)
    return history


def products(people: list[str], items: list[str], message: str, history: RefusalHistory) -> list[tuple[str, str]]:
    """The parts of a refused request with ids of one letter each, as pairs of words."""
    whole = a_request(people, items)
    history.refused(whole, message)
    parts = [part_of(whole, part) for part in divide(whole, message, history)]
    return [("".join(part.recipients), "".join(item.id for item in part.items)) for part in parts]


@given(
    size=st.tuples(st.integers(1, 10), st.integers(1, 25)),
    number=st.integers(1, 1_000_000),
    message=st.lists(IDS, max_size=12).map(" ".join),
    history=any_history(),
)
def test_the_parts_are_smaller_and_ask_for_exactly_what_the_whole_asked_for(
    size: tuple[int, int], number: int, message: str, history: RefusalHistory
) -> None:
    whole = a_request(PEOPLE[: size[0]], ITEMS[: size[1]], number)
    parts = [part_of(whole, part) for part in divide(whole, message, history)]
    assert all(0 < part.changes < whole.changes for part in parts)
    if parts:
        assert sum((pairs(part) for part in parts), Counter[Pair]()) == pairs(whole)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 10), st.integers(1, 25)), min_size=1, max_size=4),
    bad_people=st.frozensets(st.sampled_from(PEOPLE), max_size=3),
    bad_items=st.frozensets(st.sampled_from(ITEMS), max_size=3),
    names=st.booleans(),
    random=st.randoms(use_true_random=False),
    at_once=st.integers(1, 20),
    process_ends_after=st.sampled_from([1, 2, 5, 20, 1_000_000]),
)
def test_dividing_ends_with_every_good_change_accepted_once_and_only_the_bad_refused(
    sizes: list[tuple[int, int]],
    bad_people: frozenset[str],
    bad_items: frozenset[str],
    names: bool,  # noqa: FBT001 - hypothesis gives it by name
    random: Random,
    at_once: int,
    process_ends_after: int,
) -> None:
    planned = [
        a_request(random.sample(PEOPLE, people), random.sample(ITEMS, items), number)
        for number, (people, items) in enumerate(sizes, start=1)
    ]
    wanted = sum((pairs(request) for request in planned), Counter[Pair]())
    tenant = FussyTenant(people=bad_people, items=bad_items, names=names)
    sent = send(planned, tenant, random, at_once=at_once, process_ends_after=process_ends_after)
    assert sent.accepted == Counter({pair: times for pair, times in wanted.items() if not tenant.minds(pair)})
    assert sent.accepted + sent.refused == wanted


@given(bad=st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ITEMS)), names=st.booleans(), seed=st.integers(0, 1000))
def test_a_bad_pair_of_good_ids_ends_up_alone(bad: Pair, names: bool, seed: int) -> None:  # noqa: FBT001 - as above
    tenant = FussyTenant(pairs=frozenset({bad}), names=names)
    sent = send([a_request(PEOPLE, ITEMS)], tenant, Random(seed), at_once=4)  # noqa: S311 - no secret
    assert sent.refused == Counter([bad])
    assert sent.posts <= 1 + 4 * log2(250)


@given(history=any_history(), message=IDS)
def test_a_single_change_has_no_parts(history: RefusalHistory, message: str) -> None:
    assert divide(a_request(PEOPLE[:1], ITEMS[:1]), message, history) == ()


@pytest.mark.parametrize(
    ("people", "items", "message", "expected"),
    [
        ("pqr", "ij", "The identity q was not found.", [("pr", "ij"), ("q", "ij")]),
        ("pqr", "ij", "The identity 'Q' was not found.", [("pr", "ij"), ("q", "ij")]),
        ("pqr", "ij", "Neither (p) nor [r] exist", [("q", "ij"), ("pr", "ij")]),
        ("pqr", "ijk", "unknown: i, k", [("pqr", "j"), ("pqr", "ik")]),
        ("pqr", "ijk", "q may not have j.", [("pr", "ijk"), ("q", "ik"), ("q", "j")]),
        ("q", "ijk", "q may not have j.", [("q", "ik"), ("q", "j")]),
        ("qr", "j", "q may not have j.", [("r", "j"), ("q", "j")]),
    ],
)
def test_ids_that_the_message_names_are_split_off_at_once(
    people: str, items: str, message: str, expected: list[tuple[str, str]]
) -> None:
    assert products(list(people), list(items), message, RefusalHistory()) == expected


@pytest.mark.parametrize("message", ["pq and x-r", "The requester pqr_ may not.", "p, q and r, all of them"])
def test_parts_of_words_and_a_side_named_in_full_tell_nothing(message: str) -> None:
    assert products(list("pqr"), list("i"), message, RefusalHistory()) == products(
        list("pqr"), list("i"), NOT_NAMED, RefusalHistory()
    )


def test_each_likely_cause_is_split_off_by_itself() -> None:
    history = after(taken=(["g"], ["h"]), refused=[("p", "h"), ("q", "h"), ("g", "i")])
    assert products(list("pqgr"), list("hij"), NOT_NAMED, history) == [
        ("gr", "hj"),
        ("p", "hij"),
        ("q", "hij"),
        ("gr", "i"),
    ]
    assert products(list("pq"), list("hj"), NOT_NAMED, history) == [("p", "hj"), ("q", "hj")]


def test_changes_that_share_a_certain_cause_stay_together() -> None:
    history = after(taken=(list("fg"), list("hn")), refused=[("p", "h"), ("p", "n"), ("f", "i"), ("g", "i")])
    assert products(["p"], list("jklm"), NOT_NAMED, history) == []
    assert products(list("qrs"), ["i"], NOT_NAMED, history) == []


def test_changes_that_share_a_likely_cause_are_divided() -> None:
    history = after(taken=(["g"], ["h"]), refused=[("p", "h"), ("g", "i")])
    assert products(["p"], list("jklm"), NOT_NAMED, history) == [("p", "j"), ("p", "klm")]
    assert products(list("qrs"), ["i"], NOT_NAMED, history) == [("q", "i"), ("rs", "i")]


@pytest.mark.parametrize("seed", range(30))
def test_a_good_change_beside_two_bad_pairs_is_not_refused(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - no secret
    not_for = frozenset((person, "restricted") for person in random.sample(PEOPLE, 2))
    planned = [a_request(PEOPLE, ["base"], 1), a_request(PEOPLE, ["restricted"], 2)]
    assert set(send(planned, FussyTenant(pairs=not_for), random, at_once=5).refused) == not_for


def test_a_certain_cause_is_cleared_once_it_is_accepted() -> None:
    history = after(taken=(["g"], list("hn")), refused=[("p", "h"), ("p", "n")])
    assert products(["p"], list("ij"), NOT_NAMED, history) == []
    history.accepted(a_request(["p"], ["k"]))
    assert len(products(["p"], list("ij"), NOT_NAMED, history)) == 2


def test_a_lone_suspect_identity_is_tried_with_a_good_item() -> None:
    history = after(taken=(["g"], ["k"]), refused=[])
    assert products(["p"], list("ijkl"), NOT_NAMED, history) == [("p", "k"), ("p", "ijl")]


def test_a_lone_suspect_item_is_tried_with_a_good_identity() -> None:
    history = after(taken=(["r"], ["h"]), refused=[])
    assert products(list("pqr"), ["i"], NOT_NAMED, history) == [("r", "i"), ("pq", "i")]


def test_an_unknown_identity_costs_four_requests_instead_of_one_per_item() -> None:
    tenant = FussyTenant(people=frozenset({"ghost"}))
    planned = [a_request(["known"], ITEMS, 1), a_request(["ghost"], ITEMS, 2)]
    assert send(planned, tenant, Random(0), at_once=1).posts == 2 + 4  # noqa: S311 - no secret


def test_the_only_id_that_is_not_cleared_is_split_off_directly() -> None:
    history = after(taken=(list("pqr"), list("hjk")), refused=[])
    assert products(list("pqr"), list("hijk"), NOT_NAMED, history) == [("pqr", "i"), ("pqr", "hjk")]


def test_suspects_are_halved_and_cleared_ids_are_not() -> None:
    history = after(taken=(list("pqrs"), list("hi")), refused=[])
    halves = products(list("pqrs"), list("hijk"), NOT_NAMED, history)
    assert [people for people, _ in halves] == ["pqrs", "pqrs"]
    assert all(len({"j", "k"} & set(items)) == 1 for _, items in halves)


def test_ids_refused_in_several_requests_are_tried_before_ids_refused_in_one() -> None:
    history = RefusalHistory()
    history.refused(a_request("xyz", "ij"), NOT_NAMED)
    halves = products(list("pqrs"), list("ij"), NOT_NAMED, history)
    assert sorted(items for _, items in halves) == ["i", "j"]


def test_two_requests_of_the_same_ids_have_different_halves() -> None:
    history = RefusalHistory()
    ways = {divide(a_request(PEOPLE[:1], ITEMS, number), NOT_NAMED, history) for number in range(1, 9)}
    assert all(Part(recipients=(0,), items=(0,)) == way[0] for way in ways)  # a probe, before any refusal counts
    history.accepted(a_request(PEOPLE[:1], ITEMS[:1]))
    ways = {divide(a_request(PEOPLE[:1], ITEMS, number), NOT_NAMED, history) for number in range(1, 9)}
    assert len(ways) > 5
