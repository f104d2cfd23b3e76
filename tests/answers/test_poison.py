"""Requests that never get through: when they are divided, and into what."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.poison import FEW, MANY, MOST, RARE, SMALL, Failed, Failures, Verdict, blocks, is_failure, judge
from batch.api.dialects import ItemType, Operation
from batch.model import Request, RequestItem

if TYPE_CHECKING:
    from collections.abc import Iterator

SEND_NEXT, HOLD_BACK, TAKE_APART, STOP = Verdict.SEND_NEXT, Verdict.HOLD_BACK, Verdict.TAKE_APART, Verdict.STOP


def request(number: int = 1, *, people: int = 1, items: int = 1, parent: int | None = None) -> Request:
    return Request(
        number=number,
        run="run",
        operation=Operation.GRANT,
        recipients=tuple(f"i{n}" for n in range(people)),
        items=tuple(RequestItem(type=ItemType.ROLE, id=f"r{n}") for n in range(items)),
        parent=parent,
    )


ONCE = Failed(
    request=request(),
    alone=1,
    shared=0,
    company=None,
    is_part=False,
    since=10,
    last=10,
    forbidden=False,
    blocked=False,
    reason="the tenant answered 500",
)
TWICE = replace(ONCE, alone=2, last=20)
PART = replace(ONCE, request=request(7, parent=1), is_part=True, since=20, last=30)
FORBIDDEN = replace(ONCE, forbidden=True, reason="the tenant answered 403: Forbidden")


@pytest.mark.parametrize(
    ("failed", "accepted", "others_left", "verdict"),
    [
        # One failure may be the tenant's: it is sent again, before others, which then show whether the tenant is well.
        (ONCE, 15, True, SEND_NEXT),
        (ONCE, 5, False, SEND_NEXT),
        # Two, and others got through since: it is the request's.
        (TWICE, 25, True, TAKE_APART),
        # Nothing got through since the second: others first.
        (TWICE, 15, True, HOLD_BACK),
        (TWICE, 0, True, HOLD_BACK),
        # It is the last: the tenant answers questions, and that must do.
        (TWICE, 15, False, TAKE_APART),
        (TWICE, 0, False, TAKE_APART),
        # A part needs one failure.
        (PART, 35, True, TAKE_APART),
        (PART, 25, True, HOLD_BACK),
        (PART, 25, False, TAKE_APART),
        # So does a request that the API forbids, which proves that it did not arrive.
        (FORBIDDEN, 15, True, TAKE_APART),
        (FORBIDDEN, 5, True, HOLD_BACK),
        (FORBIDDEN, 5, False, TAKE_APART),
        # Nothing was ever accepted, and nothing else is left to try: a right is missing.
        (FORBIDDEN, 0, True, HOLD_BACK),
        (FORBIDDEN, 0, False, STOP),
        # In company, it takes two failures to send each by itself, and one more to divide it.
        (replace(ONCE, alone=0, shared=1, company=1), 15, True, SEND_NEXT),
        (replace(TWICE, alone=0, shared=2, company=1), 25, True, TAKE_APART),
        (replace(TWICE, alone=0, shared=2), 25, True, SEND_NEXT),
        (replace(TWICE, alone=1, shared=2), 25, True, TAKE_APART),
    ],
)
def test_a_request_that_fails_is_taken_apart_only_while_the_tenant_is_well(
    failed: Failed,
    accepted: int,
    others_left: bool,  # noqa: FBT001 - a table
    verdict: Verdict,
) -> None:
    assert judge([failed], accepted=accepted, accepted_now=False, others_left=others_left) == {
        failed.request.number: verdict
    }


def several(failed: Failed, count: int) -> list[Failed]:
    return [replace(failed, request=request(number)) for number in range(1, count + 1)]


@pytest.mark.parametrize(("accepted_now", "limit"), [(False, FEW), (True, MANY)])
def test_a_tenant_that_forbids_everything_stops_the_run_and_nothing_is_divided(
    accepted_now: bool,  # noqa: FBT001 - a table
    limit: int,
) -> None:
    for count in range(1, limit + 3):
        for others_left in (True, False):
            verdicts = judge(several(FORBIDDEN, count), accepted=5, accepted_now=accepted_now, others_left=others_left)
            expected = STOP if count >= limit else HOLD_BACK if others_left else TAKE_APART
            assert set(verdicts.values()) == {expected}


def test_a_tenant_that_answers_500_to_everything_gets_the_same_requests_again() -> None:
    for failed in (TWICE, PART):
        assert set(judge(several(failed, 4), accepted=0, accepted_now=False, others_left=False).values()) == {SEND_NEXT}


def test_the_last_few_suspects_are_divided_if_others_got_through_between_their_failures() -> None:
    for count in (1, 2, FEW, FEW + 1):
        verdicts = judge(several(TWICE, count), accepted=15, accepted_now=True, others_left=False)
        assert set(verdicts.values()) == {TAKE_APART if count <= FEW else SEND_NEXT}


def test_the_requests_of_one_body_are_one_case() -> None:
    together = [replace(TWICE, request=request(number), alone=0, shared=2, company=7) for number in range(1, 6)]
    verdicts = judge(together, accepted=0, accepted_now=False, others_left=False)
    assert set(verdicts.values()) == {TAKE_APART}
    other_body = [replace(one, company=8) for one in several(together[0], 2)]
    verdicts = judge([*together, *other_body], accepted=0, accepted_now=False, others_left=False)
    assert set(verdicts.values()) == {SEND_NEXT}


def test_more_failures_are_needed_the_more_often_others_fail_and_get_through() -> None:
    def needed(by_chance: int, got_through: int) -> int:
        return Failures(failed=(TWICE,), accepted=0, got_through=got_through, by_chance=by_chance).needed

    assert needed(0, 200) == 1, "nothing fails by chance"
    assert needed(1, 200) == 2
    assert [needed(count, 200) for count in (10, 40, 85)] == [4, 6, 9]
    assert needed(10_000, 1) == MOST
    assert not TWICE.is_suspect(needed=3)
    assert not PART.is_suspect(needed=2)
    assert FORBIDDEN.is_suspect(needed=9)
    assert judge([TWICE], accepted=25, accepted_now=True, others_left=True, needed=3) == {1: SEND_NEXT}
    assert judge([TWICE], accepted=15, accepted_now=True, others_left=False, needed=3) == {1: SEND_NEXT}


POISON = 77


def send_rounds(chances: Iterator[bool], *, requests: int = 200) -> tuple[set[int], int]:
    """Sends requests until none is left; which of them were taken apart, and how often the poison was sent."""
    failed_so_far = dict.fromkeys(range(1, requests + 1), 0)
    got_through, by_chance, apart, sent = 0, 0, set[int](), 0
    while failed_so_far:
        for number in list(failed_so_far):
            sent += number == POISON
            if number == POISON or next(chances):
                failed_so_far[number] += 1
            else:
                got_through, by_chance = got_through + 1, by_chance + failed_so_far.pop(number)
        open_cases = tuple(
            replace(ONCE, request=request(number), alone=alone) for number, alone in failed_so_far.items()
        )
        known = Failures(failed=open_cases, accepted=100, got_through=got_through, by_chance=by_chance)
        others_left = len(open_cases) > 1
        verdicts = judge(
            open_cases, accepted=known.accepted, accepted_now=True, others_left=others_left, needed=known.needed
        )
        for number in [number for number, verdict in verdicts.items() if verdict is TAKE_APART]:
            apart.add(number)
            del failed_so_far[number]
    return apart, sent


def chances(share: float, seed: int) -> Iterator[bool]:
    random = Random(seed)  # noqa: S311 - no secret
    while True:
        yield random.random() < share


def test_chance_takes_no_sound_request_apart_and_poison_is_still_found() -> None:
    wrong, most = 0, 0
    for seed in range(100):
        apart, sent = send_rounds(chances(0.3, seed))
        assert POISON in apart
        wrong, most = wrong + len(apart) - 1, max(most, sent)
    # At most RARE in a run is expected.
    assert wrong <= 100 * RARE * 3
    assert most <= MOST


def test_without_chance_two_failures_are_enough() -> None:
    assert send_rounds(itertools.repeat(False)) == ({POISON}, 2)


def test_the_parts_of_one_request_are_one_case() -> None:
    parts = [replace(PART, request=request(number, parent=1)) for number in range(10, 20)]
    verdicts = judge(parts, accepted=25, accepted_now=True, others_left=False)
    assert set(verdicts.values()) == {TAKE_APART}


@given(people=st.integers(1, 10), items=st.integers(1, 25))
def test_the_blocks_of_a_request_are_the_whole_of_it(people: int, items: int) -> None:
    whole = request(people=people, items=items)
    parts = blocks(whole)
    pairs = [(person, thing) for part in parts for person in part.recipients for thing in part.items]
    if whole.changes == 1:
        assert parts == ()
    else:
        assert sorted(pairs) == [(person, thing) for person in range(people) for thing in range(items)]
        assert len(parts) > 1
        assert all(len(part.recipients) * len(part.items) <= SMALL for part in parts)


@given(people=st.integers(1, 10), items=st.integers(1, 25))
def test_two_divisions_lead_to_the_bad_change_and_cost_few_requests(people: int, items: int) -> None:
    first = blocks(request(people=people, items=items))
    second = [blocks(request(people=len(part.recipients), items=len(part.items))) for part in first]
    assert all(len(part.recipients) * len(part.items) == 1 for parts in second for part in parts)
    assert len(first) + max(map(len, second), default=0) <= 40


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (None, False),
        (200, False),
        (202, False),
        (303, True),
        (403, True),
        (404, True),
        (408, False),
        (429, False),
        (500, True),
        (503, True),
    ],
)
def test_only_an_answer_that_the_request_may_have_caused_is_a_failure(
    status: int | None,
    counts: bool,  # noqa: FBT001 - a table
) -> None:
    assert is_failure(status) == counts


def test_a_request_that_is_refused_in_the_end_keeps_the_words_of_the_last_answer() -> None:
    assert TWICE.words == "the tenant answered 500"
    assert replace(TWICE, blocked=True, reason="the tenant answered 403: No (tracking id 7)").words == (
        "blocked by a firewall: the tenant answered 403: No (tracking id 7)"
    )
