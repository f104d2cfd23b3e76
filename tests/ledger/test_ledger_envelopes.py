"""Requests that travel in one body: how the ledger claims, counts and separates them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from batch.answers.outcome import Then, decide
from batch.answers.shared_bodies import for_each
from batch.ledger.answered import Answered
from batch.model import Part
from batch.plan.body import body_of, encode, fingerprint
from batch.states import State
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    REFUSED,
    THROTTLED,
    Place,
    alter,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.ledger.store import Ledger
    from batch.model import Answer, Request, Run


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """Eight requests of one change: the first alone, then three and two together, then two alone."""
    run = write(ledger, *singles(8), together=[(1, 2, 3), (4, 5)])
    ledger.runs.hold(run, ME, NOW)
    return run


def claim(ledger: Ledger, run: Run, most: int = 1) -> list[tuple[Request, ...]]:
    return [body.requests for body in ledger.requests.claim(run, NOW, ME, most=most)]


def numbers(bodies: Sequence[Sequence[Request]]) -> list[list[int]]:
    return [[request.number for request in body] for body in bodies]


def record(ledger: Ledger, body: Sequence[Request], answer: Answer) -> None:
    decisions = for_each(body, decide(answer), answer.text)
    ledger.requests.record(
        *(
            Answered(request=request, answer=answer, decision=decision, at=NOW, alone=decision.then is Then.SEND_ALONE)
            for request, decision in zip(body, decisions, strict=True)
        ),
        process=ME,
    )


def counts(ledger: Ledger, run: Run) -> dict[str, int]:
    return dict(ledger.runs.tally(run).requests)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 100])
def test_a_claim_takes_whole_bodies_and_at_most_the_wanted_number(ledger: Ledger, run: Run, most: int) -> None:
    wanted = [[1], [2, 3, 4], [5, 6], [7], [8]]
    claimed = []
    while bodies := claim(ledger, run, most):
        assert len(bodies) <= most
        claimed += numbers(bodies)
    assert claimed == wanted


def test_the_ledger_counts_bodies_and_not_the_requests_in_them(ledger: Ledger, run: Run) -> None:
    assert (ledger.requests.left(run), counts(ledger, run)) == (5, {State.PLANNED: 5})
    assert ledger.runs.tally(run).changes == {State.PLANNED: 8}
    claim(ledger, run, 2)
    assert (ledger.requests.left(run), counts(ledger, run)) == (3, {State.PLANNED: 3, State.SENDING: 2})


def test_an_attempt_with_several_requests_counts_as_one_post(ledger: Ledger, run: Run) -> None:
    record(ledger, claim(ledger, run)[0], ACCEPTED)
    record(ledger, claim(ledger, run)[0], THROTTLED)
    record(ledger, claim(ledger, run)[0], ACCEPTED)
    tally = ledger.runs.tally(run)
    assert (tally.posts, tally.throttled, tally.retried) == (3, 1, 1)
    assert counts(ledger, run) == {State.ACCEPTED: 2, State.PLANNED: 3}


def test_each_event_has_the_fingerprint_of_the_body_that_was_sent(ledger: Ledger, run: Run, path: Place) -> None:
    alone, together = claim(ledger, run, 2)
    sent = rows(path, "SELECT request, detail FROM event WHERE event = 'claimed' ORDER BY request")
    details = [json.loads(detail) for _, detail in sent]
    assert details[0]["attempt_id"] != details[1]["attempt_id"] == details[2]["attempt_id"] == details[3]["attempt_id"]
    for body, detail in zip((alone, together, together, together), details, strict=True):
        assert detail["body_sha256"] == fingerprint(encode(body_of(*body, attempt=detail["attempt_id"])))
    assert set(body_of(*together)) == {"requestType", "requestedForWithRequestedItems"}
    record(ledger, together, THROTTLED)
    record(ledger, alone, ACCEPTED)
    claim(ledger, run, 5)
    assert ledger.verify() == ()


def test_requests_refused_together_are_planned_again_and_travel_alone(ledger: Ledger, run: Run) -> None:
    _, together = claim(ledger, run, 2)
    record(ledger, together, REFUSED)
    assert counts(ledger, run) == {State.SENDING: 1, State.PLANNED: 6}
    assert numbers(claim(ledger, run, 4)) == [[2], [3], [4], [5, 6]]
    assert ledger.verify() == ()


def test_only_the_request_that_a_refusal_names_travels_alone(ledger: Ledger, run: Run) -> None:
    _, together = claim(ledger, run, 2)
    record(ledger, together, replace(REFUSED, text="Identity i001 was not found."))
    assert ledger.requests.left(run) == 5
    assert numbers(claim(ledger, run, 2)) == [[2], [3, 4]]
    assert ledger.verify() == ()


def test_the_other_members_of_a_body_stay_together_if_a_member_leaves(ledger: Ledger, run: Run) -> None:
    _, together = claim(ledger, run, 2)
    record(ledger, together, replace(REFUSED, text="Identity i002 was not found."))
    assert numbers(claim(ledger, run, 2)) == [[2, 4], [3]]
    assert ledger.verify() == ()


def test_members_in_different_states_are_never_sent_together(ledger: Ledger, run: Run) -> None:
    _, together = claim(ledger, run, 2)
    record(ledger, together, FAILED)
    doubts = ledger.requests.doubts(run)
    assert [(doubt.request.number, doubt.request.within) for doubt in doubts] == [(2, None), (3, 2), (4, 2)]
    assert counts(ledger, run)[State.UNCONFIRMED] == 1
    ledger.requests.settle(doubts[0].request, arrived=True, now=NOW, process=ME)
    ledger.requests.settle(doubts[2].request, arrived=False, now=NOW, process=ME)
    assert numbers(claim(ledger, run, 1)) == [[4]]
    assert body_of(*claim(ledger, run, 1)[0])["requestedForWithRequestedItems"][0]["identityId"] == "i004"
    assert [(doubt.request.number, doubt.request.within) for doubt in ledger.requests.doubts(run)] == [(3, None)]
    assert ledger.verify() == ()


def test_members_that_did_not_arrive_travel_together_again(ledger: Ledger, run: Run) -> None:
    _, together = claim(ledger, run, 2)
    record(ledger, together, FAILED)
    for request in together[1:]:
        ledger.requests.settle(ledger.requests.doubt(request).request, arrived=False, now=NOW, process=ME)
    assert numbers(claim(ledger, run, 1)) == [[3, 4]]


def test_a_dead_process_leaves_each_member_unconfirmed_and_the_ledger_counts_their_bodies(
    ledger: Ledger, run: Run
) -> None:
    claim(ledger, run, 3)
    assert ledger.runs.hold(run, ME, NOW) == 3
    assert len(ledger.requests.doubts(run)) == 6
    assert ledger.runs.settle_by_hand(run, arrived=False, now=NOW) == 3
    assert ledger.runs.discard(run, NOW) == 5


def test_a_claim_takes_a_large_body_whole(ledger: Ledger) -> None:
    wanted = [[change("person", f"r{number:02}", comment=str(number))] for number in range(50)]
    run = write(ledger, *wanted, together=[range(25), range(25, 50)])
    ledger.runs.hold(run, ME, NOW)
    assert [len(body) for body in claim(ledger, run, 2)] == [25, 25]


def test_a_member_that_arrived_in_part_is_divided_and_its_unlisted_part_stays_in_doubt(ledger: Ledger) -> None:
    run = write(ledger, product(["a", "b"], ["r1"]), product(["c"], ["r2"]), together=[(0, 1)])
    ledger.runs.hold(run, ME, NOW)
    (body,) = claim(ledger, run)
    record(ledger, body, FAILED)
    first, second = ledger.requests.doubts(run)
    parts = (Part(recipients=(0,), items=(0,), arrived=True), Part(recipients=(1,), items=(0,)))
    ledger.requests.settle(first.request, arrived=False, now=NOW, process=ME, parts=parts)
    ledger.requests.settle(second.request, arrived=False, now=NOW, process=ME)
    assert numbers(claim(ledger, run, 5)) == [[2]]
    (rest,) = ledger.requests.doubts(run)
    assert (rest.request.recipients, rest.sent_id, rest.arrived) == (("b",), first.request.id, True)
    assert rest.claimed == first.claimed != 0
    assert ledger.verify() == ()
    ledger.requests.settle(rest.request, arrived=True, now=NOW, process=ME)
    assert ledger.requests.doubts(run) == ()
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE request SET operation = 'REVOKE' WHERE number = 3", "envelope 2"),
        ("UPDATE recipient SET identity = 3 WHERE request = 2", "envelope 2"),
        ("UPDATE event SET detail = replace(detail, ', \"within\": 2', '') WHERE event = 'claimed'", "something else"),
        ("UPDATE event SET detail = replace(detail, '\"within\": 2', '\"within\": 1')", "something else"),
    ],
)
def test_damage_to_an_envelope_is_found(ledger: Ledger, run: Run, path: Place, damage: str, finding: str) -> None:
    claim(ledger, run, 5)
    alter(path, damage)
    assert finding in " ".join(ledger.verify())
