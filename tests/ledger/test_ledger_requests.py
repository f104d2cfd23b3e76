"""Requests are claimed once, recorded once and divided without loss."""

from __future__ import annotations

import hashlib
import json
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.answers.outcome import decide
from batch.answers.poison import ENOUGH
from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.api.dialects import ItemType, Operation
from batch.errors import BrokenPromiseError, LedgerChangedError, LedgerLostError, RunHeldError
from batch.ledger.answered import Answered
from batch.ledger.process import SILENT_FOR
from batch.model import Answer, Failure, Form, Part
from batch.plan.body import body_of, encode
from batch.states import State
from batch.status.evidence import parts_by_arrival
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    REFUSED,
    THROTTLED,
    Place,
    a_process,
    alter,
    answers,
    attempts,
    claim,
    claim_if_any,
    open_ledger,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.ledger.standing import Standing
    from batch.ledger.store import Ledger
    from batch.model import Head
from batch.model import Request

LATER = NOW + timedelta(seconds=5)
NEVER_CONNECTED = Answer(failure=Failure.NEVER_CONNECTED, text="ConnectError: refused")
BROKEN = Answer(failure=Failure.BROKEN, text="ReadTimeout: ReadTimeout")


def states(path: Place) -> list[str]:
    return [state for (state,) in rows(path, "SELECT state FROM request ORDER BY number")]


def pairs(request: Request) -> set[tuple[str, str]]:
    return {(identity, item.id) for identity in request.recipients for item in request.items}


@pytest.mark.also_postgresql
def test_requests_are_claimed_in_plan_order_until_none_is_left(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    assert [claim(ledger, run).recipients for _ in range(3)] == [("i000",), ("i001",), ("i002",)]
    assert claim_if_any(ledger, run) is None


def test_the_requests_of_another_run_are_not_claimed(ledger: Ledger) -> None:
    write(ledger, *singles(1), digest="other")
    run = write(ledger, *singles(1, prefix="j"))
    assert claim(ledger, run).recipients == ("j000",)
    assert claim_if_any(ledger, run) is None


@pytest.mark.parametrize(
    "loss", ["UPDATE request SET recipients = '1'", "DELETE FROM request_item WHERE item = 1"], ids=["people", "items"]
)
def test_an_incomplete_request_is_not_sent(loss: str, path: Place, ledger: Ledger) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1", "r2"]))
    alter(path, loss)
    with pytest.raises(LedgerChangedError, match="request 1 was changed"):
        claim(ledger, run)
    assert states(path) == ["PLANNED"]


@pytest.mark.sqlite_only
def test_the_claim_and_its_attempt_are_committed_before_the_claim_returns(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    ledger.runs.hold(run, ME, LATER)
    (body,) = ledger.requests.claim(run, LATER, ME, token_expires=LATER)
    assert states(path) == ["SENDING", "PLANNED"]
    assert attempts(path) == [(1, 1, "2026-03-01T12:00:05.000Z")]
    (detail,) = rows(path, "SELECT detail FROM event WHERE event = 'claimed'")
    assert json.loads(detail[0]) == {
        "body_sha256": hashlib.sha256(encode(body_of(*body.requests, attempt=body.attempt))).hexdigest(),
        "attempt_id": body.attempt,
        "token_expires": "2026-03-01T12:00:05.000Z",
        "claim": 1,
        "process": ME.id,
    }
    assert rows(path, "SELECT state_at, attempts FROM request WHERE number = 1") == [("2026-03-01T12:00:05.000Z", 1)]


def test_claims_are_counted_over_all_runs_of_the_ledger(path: Place, ledger: Ledger) -> None:
    first = write(ledger, *singles(2))
    second = write(ledger, *singles(2, prefix="p"), digest="second")
    for run in (first, second, first):
        record(ledger, claim(ledger, run), THROTTLED)
    claim(ledger, second)
    assert rows(path, "SELECT number, claimed FROM request ORDER BY number") == [(1, 3), (2, None), (3, 4), (4, None)]
    assert rows(path, "SELECT claims FROM about") == [(4,)]


def test_requests_of_one_plan_and_parts_of_one_request_have_a_tag_of_their_own(path: Place, ledger: Ledger) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1", "r2"]), [change("i3", "r1")])
    whole = claim(ledger, run)
    record(ledger, whole, REFUSED, parts=divide(whole, "", RefusalHistory()))
    tags = [tag for (tag,) in rows(path, "SELECT tag FROM request ORDER BY number")]
    assert tags[0] == tags[1] != tags[2] == tags[-1]
    parts = ledger.requests.in_state(run, State.PLANNED)
    assert {part.id for part in parts} == {f"{run.id}-2-{tags[1]}", *(f"{run.id}-{n}-{tags[2]}" for n in (3, 4))}


@pytest.mark.sqlite_only
def test_simultaneous_claims_never_return_the_same_request(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(60))
    with open_ledger(path) as other, ThreadPoolExecutor(6) as threads:
        claimed = list(threads.map(lambda number: claim(other if number % 2 else ledger, run).number, range(60)))
    assert sorted(claimed) == list(range(1, 61))


def test_what_a_claim_keeps_does_not_change_while_answers_are_recorded(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    first, second = claim(ledger, run), claim(ledger, run)
    record(ledger, second, FAILED)
    settle = partial(ledger.requests.settle, second, arrived=True, now=LATER, process=ME)
    kept: list[list[int]] = []
    with ThreadPoolExecutor(2) as threads:
        begun: list[Future[None]] = []

        def keep(_head: Head, standing: Standing) -> None:
            seen: list[int] = []
            for number in standing.doubtful:
                if not seen:
                    begun.extend((threads.submit(record, ledger, first, ACCEPTED), threads.submit(settle)))
                    # They are in the ledger soon. What is on its way follows once this is kept.
                    wait(begun, timeout=0.3)
                seen.append(number)
            kept.append(seen)

        ledger.requests.on_claimed = keep
        claim(ledger, run)
        for one in begun:
            one.result()
    assert kept == [[1, 2, 3]]
    assert ledger.runs.tally(run).changes == {State.ACCEPTED: 2, State.SENDING: 1}


def test_what_an_answer_keeps_does_not_change_while_requests_are_claimed(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    first, _ = claim(ledger, run), claim(ledger, run)
    kept: list[list[int]] = []
    with ThreadPoolExecutor(1) as threads:
        begun: list[Future[Request]] = []

        def keep(_request: Request, doubtful: Iterable[int]) -> None:
            seen: list[int] = []
            for number in doubtful:
                begun.append(threads.submit(claim, ledger, run))
                wait(begun, timeout=0.3)
                seen.append(number)
            kept.append(seen)

        ledger.requests.on_accepted = keep
        record(ledger, first, ACCEPTED)
        assert [one.result().number for one in begun] == [3]
    assert kept == [[2]]


def test_a_request_that_is_claimed_again_at_once_is_on_its_way(ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    first = claim(ledger, run)
    kept: list[tuple[int, ...]] = []
    ledger.requests.on_claimed = lambda _head, standing: kept.append(tuple(standing.doubtful))
    with ThreadPoolExecutor(1) as threads:
        again: list[Future[Request]] = []

        def claim_again(_connection: object, _record: object) -> None:
            if not again:
                # The answer is in the ledger, and nothing has followed yet.
                again.append(threads.submit(claim, ledger, run))
                wait(again, timeout=0.3)

        sa.event.listen(sa.Pool, "checkin", claim_again)
        try:
            record(ledger, first, THROTTLED)
        finally:
            sa.event.remove(sa.Pool, "checkin", claim_again)
        assert again[0].result().attempts == 2
    claim(ledger, run)
    assert kept == [(1,), (1, 2)]


def test_a_request_that_stands_in_parts_is_kept_under_its_own_number_too(ledger: Ledger) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0"]), [change("i2", "r0")])
    whole, other = claim(ledger, run), claim(ledger, run)
    record(ledger, whole, FAILED)
    parts = parts_by_arrival(whole, {(0, 0)})
    ledger.requests.settle(whole, arrived=True, parts=parts, now=LATER, process=ME)
    kept: list[set[int]] = []
    ledger.requests.on_accepted = lambda _request, doubtful: kept.append(set(doubtful))
    record(ledger, other, ACCEPTED)
    ((number,),) = [[doubt.request.number for doubt in ledger.requests.doubts(run)]]
    assert kept == [{whole.number, number}]


@pytest.mark.parametrize(
    ("answer", "state", "event"),
    [
        (ACCEPTED, State.ACCEPTED, "accepted"),
        (REFUSED, State.REFUSED, "refused"),
        (THROTTLED, State.PLANNED, "not_processed"),
        (NEVER_CONNECTED, State.PLANNED, "not_processed"),
        (FAILED, State.UNCONFIRMED, "undecided"),
        (BROKEN, State.UNCONFIRMED, "undecided"),
    ],
)
@pytest.mark.also_postgresql
def test_an_answer_is_recorded_with_the_new_state_of_its_request(
    answer: Answer, state: State, event: str, path: Place, ledger: Ledger
) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), answer, now=LATER)
    assert states(path) == [state]
    assert answers(path) == [(1, 1, event, answer.status)]
    assert rows(path, "SELECT state_at FROM request") == [("2026-03-01T12:00:05.000Z",)]


def test_the_ledger_keeps_the_details_of_an_answer_that_an_auditor_needs(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    answer = Answer(
        status=400,
        detail_code="400.1",
        tracking_id="t-1",
        text="No.",
        form=Form.API,
        server_time=datetime.fromisoformat("2026-03-01T13:00:01+01:00"),
    )
    record(ledger, claim(ledger, run), answer)
    (detail,) = rows(path, "SELECT detail FROM event WHERE event = 'refused'")
    assert json.loads(detail[0]) == {
        "detail_code": "400.1",
        "tracking_id": "t-1",
        "reason": "the tenant answered 400: No. (tracking id t-1)",
        "server_time": "2026-03-01T12:00:01.000Z",
    }


def test_a_request_sent_again_has_one_attempt_and_one_answer_for_each_post(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    for answer in (THROTTLED, NEVER_CONNECTED, ACCEPTED):
        record(ledger, claim(ledger, run), answer)
    assert [(attempt, status) for _, attempt, _, status in answers(path)] == [(1, 429), (2, None), (3, 202)]
    tally = ledger.runs.tally(run)
    assert (tally.posts, tally.retried, tally.throttled) == (3, 2, 1)


@pytest.mark.parametrize("first", [ACCEPTED, REFUSED, FAILED, THROTTLED])
def test_an_attempt_cannot_be_answered_twice(first: Answer, path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    request = claim(ledger, run)
    record(ledger, request, first)
    before = states(path)
    with pytest.raises(BrokenPromiseError):
        record(ledger, request, ACCEPTED)
    assert states(path) == before
    assert len(answers(path)) == 1


def test_an_answer_to_an_earlier_attempt_does_not_decide_the_attempt_in_flight(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    earlier = claim(ledger, run)
    record(ledger, earlier, THROTTLED)
    assert claim(ledger, run).attempts == 2
    with pytest.raises(BrokenPromiseError):
        record(ledger, earlier, ACCEPTED)
    assert states(path) == ["SENDING"]


def test_an_answer_to_an_unknown_attempt_is_a_broken_promise(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    request = replace(claim(ledger, run), attempts=7)
    with pytest.raises(BrokenPromiseError):
        record(ledger, request, ACCEPTED)
    assert states(path) == ["SENDING"]


def test_an_answer_to_an_unclaimed_request_is_a_broken_promise(ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    request = claim(ledger, run)
    with pytest.raises(BrokenPromiseError, match=r"-2-.* were no longer SENDING"):
        record(ledger, replace(request, number=2), ACCEPTED)


@pytest.mark.sqlite_only
def test_an_answer_that_comes_after_another_process_took_over_the_run_is_left_to_that_process(
    path: Place, ledger: Ledger
) -> None:
    run = write(ledger, *singles(1))
    request = claim(ledger, run, NOW, a_process())
    assert ledger.runs.hold(run, ME, NOW + SILENT_FOR) == 1
    with pytest.raises(RunHeldError, match="taken over"):
        record(ledger, request, ACCEPTED, process=a_process())
    assert states(path) == ["UNCONFIRMED"]


@pytest.mark.sqlite_only
def test_a_verdict_that_comes_after_another_process_took_over_the_run_is_left_to_that_process(
    path: Place, ledger: Ledger
) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run, NOW, a_process()), BROKEN, process=a_process())
    (doubt,) = ledger.requests.doubts(run)
    ledger.runs.hold(run, ME, NOW + SILENT_FOR)
    with pytest.raises(RunHeldError, match="taken over"):
        ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=a_process())
    assert states(path) == ["UNCONFIRMED"]


def test_a_refused_request_passes_all_its_changes_to_its_parts(path: Place, ledger: Ledger) -> None:
    run = write(ledger, product(["i1", "i2", "i3"], ["r1", "r2"], comment="Please."))
    whole = claim(ledger, run)
    record(ledger, whole, REFUSED, parts=divide(whole, "", RefusalHistory()))
    assert states(path) == ["SPLIT", "PLANNED", "PLANNED"]
    parts = [claim(ledger, run), claim(ledger, run)]
    assert [part.parent for part in parts] == [whole.number] * 2
    assert sorted(pair for part in parts for pair in pairs(part)) == sorted(pairs(whole))
    assert all(item.comment == "Please." for part in parts for item in part.items)
    assert rows(path, "SELECT recipient_count, item_count FROM request WHERE parent = 1 ORDER BY number") == [
        (1, 2),
        (2, 2),
    ]


def test_a_revoke_is_divided_between_its_items(ledger: Ledger) -> None:
    run = write(ledger, product(["i1"], ["r1", "r2", "r3"], operation="REVOKE", comment="Left."))
    whole = claim(ledger, run)
    record(ledger, whole, REFUSED, parts=divide(whole, "", RefusalHistory()))
    parts = [claim(ledger, run), claim(ledger, run)]
    assert [part.operation for part in parts] == [Operation.REVOKE] * 2
    assert sorted(item.id for part in parts for item in part.items) == ["r1", "r2", "r3"]


@pytest.mark.parametrize(
    "parts",
    [
        (Part(recipients=(0,), items=(0, 1)),),
        (Part(recipients=(0, 1), items=(0, 1)), Part(recipients=(1,), items=(0,))),
        (Part(recipients=(0, 1), items=(0, 1, 2)),),
        (Part(recipients=(0, 1, 2), items=(0, 1)),),
        (Part(recipients=(0, 1), items=(0,)), Part(recipients=(0, 1), items=(0,))),
    ],
    ids=["too little", "too much", "an item too many", "a recipient too many", "one half twice"],
)
def test_parts_that_differ_from_the_whole_are_a_broken_promise_and_are_not_recorded(
    parts: tuple[Part, ...], path: Place, ledger: Ledger
) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1", "r2"]))
    request = claim(ledger, run)
    with pytest.raises(BrokenPromiseError, match="do not add up to it"):
        record(ledger, request, REFUSED, parts=parts)
    assert states(path) == ["SENDING"]
    assert answers(path) == []


def test_the_requests_in_a_state_are_listed_in_order(ledger: Ledger) -> None:
    run = write(ledger, *singles(4))
    for answer in (FAILED, ACCEPTED, FAILED):
        record(ledger, claim(ledger, run), answer)
    found = ledger.requests.in_state(run, State.UNCONFIRMED)
    assert [(request.number, request.recipients, request.attempts) for request in found] == [
        (1, ("i000",), 1),
        (3, ("i002",), 1),
    ]
    assert [request.attempts for request in ledger.requests.in_state(run, State.PLANNED)] == [0]
    assert ledger.requests.in_state(run, State.REFUSED) == ()


def test_the_ledger_gives_the_last_reason_of_each_request_that_was_not_accepted(ledger: Ledger) -> None:
    run = write(ledger, *singles(4))
    record(ledger, claim(ledger, run), THROTTLED)
    record(ledger, claim(ledger, run), REFUSED)
    record(ledger, claim(ledger, run), ACCEPTED)
    claim(ledger, run)
    assert ledger.requests.last_reasons(run) == {1: "the tenant answered 400: Bad item."}


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
ids = st.text("abcABC019-", min_size=1, max_size=6)
details = st.fixed_dictionaries(
    {
        "comment": text,
        "start_date": st.sampled_from(["", "2026-04-01T00:00:00Z"]),
        "remove_date": st.sampled_from(["", "2027-01-01T00:00:00Z"]),
        "metadata": st.one_of(st.just({}), st.dictionaries(text, text, min_size=1, max_size=3)),
    }
)
items = st.dictionaries(st.tuples(ids, st.sampled_from(ItemType)), details, min_size=1, max_size=6)


@pytest.mark.thorough
@settings(max_examples=25)
@given(recipients=st.sets(ids, min_size=1, max_size=5), wanted=items)
def test_a_request_loads_as_it_was_planned(recipients: set[str], wanted: dict[tuple[str, ItemType], Any]) -> None:
    lines = [
        change(
            identity,
            item_id,
            item_type=item_type.value,
            **{**detail, "metadata": json.dumps(detail["metadata"]) if detail["metadata"] else ""},
        )
        for identity in recipients
        for (item_id, item_type), detail in wanted.items()
    ]
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.db") as ledger:
        run = write(ledger, lines)
        (planned,) = ledger.requests.in_state(run, State.PLANNED)
        request = claim(ledger, run)
    assert request == replace(planned, attempts=1)
    assert (request.run, request.operation, request.parent) == (run.id, Operation.GRANT, None)
    assert sorted(request.recipients) == sorted(recipients)
    loaded = {
        (item.id, item.type): {
            "comment": item.comment,
            "start_date": item.start_date,
            "remove_date": item.remove_date,
            "metadata": dict(item.metadata),
        }
        for item in request.items
    }
    assert loaded == wanted
    assert len(request.items) == len(wanted)


@pytest.mark.sqlite_only
def test_a_request_of_a_dead_process_is_unconfirmed_from_the_time_of_discovery(ledger: Ledger) -> None:
    run = write(ledger, [change("i1", "r1")])
    claim(ledger, run, NOW, a_process())
    later = NOW + SILENT_FOR
    assert ledger.runs.hold(run, ME, later) == 1
    (doubt,) = ledger.requests.doubts(run)
    assert (doubt.first_attempt, doubt.ended) == (NOW, later)


def test_a_ledger_that_loses_a_claim_while_it_is_open_claims_nothing_more(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    claim(ledger, run)
    lose_claims(path)
    with pytest.raises(LedgerLostError, match="has lost this process"):
        claim(ledger, run)
    assert not attempts(path)


def lose_claims(path: Place) -> None:
    """Puts a ledger back to before its first claim."""
    alter(path, "DELETE FROM event WHERE event = 'claimed'", "UPDATE request SET state = 'PLANNED', attempts = 0")


def test_a_ledger_that_loses_a_claim_while_it_is_open_takes_no_answer_to_it(path: Place, ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    request = claim(ledger, run)
    lose_claims(path)
    for answer in (ACCEPTED, REFUSED, THROTTLED, FAILED):
        with pytest.raises(LedgerLostError, match="has lost this process's last claim") as lost:
            record(ledger, request, answer)
    assert (lost.value.exit_code, "it first compares" in lost.value.next_step) == (4, True)
    assert not answers(path)
    assert states(path) == ["PLANNED"] * 3


def test_a_request_that_failed_and_got_through_in_the_end_had_failed_by_chance(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    for answer in (FAILED, FAILED, ACCEPTED):
        record(ledger, claim(ledger, run), answer)
    for request in ledger.requests.in_state(run, State.UNCONFIRMED):
        ledger.requests.settle(request, arrived=False, now=NOW, process=ME)
    before = ledger.requests.failures(run)
    assert (len(before.failed), before.got_through, before.by_chance, before.needed) == (2, 1, 0, 1)
    record(ledger, claim(ledger, run), ACCEPTED)
    after = ledger.requests.failures(run)
    assert (len(after.failed), after.got_through, after.by_chance) == (1, 2, 1)
    assert after.needed > ENOUGH
    assert after.accepted > before.accepted


@pytest.mark.parametrize("answered", [0, 1])
def test_failures_in_a_shared_body_stay_shared_when_a_companion_is_on_its_way_again(
    ledger: Ledger, answered: int
) -> None:
    blocked = Answer(status=403, text="Blocked.", form=Form.PAGE)
    run = write(ledger, *singles(2), together=[(0, 1)])
    ledger.runs.hold(run, ME, NOW)
    for _ in range(ENOUGH):
        (body,) = ledger.requests.claim(run, NOW, ME)
        decision = decide(blocked)
        answers = [Answered(request=one, answer=blocked, decision=decision, at=NOW) for one in body.requests]
        ledger.requests.record(*answers, process=ME)
        for request in body.requests:
            ledger.requests.settle(request, arrived=False, now=NOW, process=ME)
    together = ledger.requests.failures(run).failed
    assert [(one.alone, one.shared, one.in_company) for one in together] == [(0, ENOUGH, True)] * 2
    ledger.requests.take_apart(together[answered], (), NOW, ME)
    (alone,) = ledger.requests.claim(run, NOW, ME, first=[together[answered].request.number])
    assert [one.number for one in alone.requests] == [together[answered].request.number]
    (other,) = ledger.requests.failures(run).failed
    assert (other.alone, other.shared, other.is_suspect()) == (0, ENOUGH, other.in_company)
