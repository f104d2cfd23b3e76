"""What each answer means, row by row, for every status that HTTP has and for both failures."""

from __future__ import annotations

from itertools import product

import pytest

from batch.model import Answer, Failure
from batch.outcome import BACKOFF, DEFAULT_PAUSE, LEAST_PAUSE, OUTCOMES, Then, case_of, decide
from batch.states import Event, State, advance

LAST_TRY = len(BACKOFF)


_NOT_PROCESSED = Event.NOT_PROCESSED
_PAUSED = {(429, False), (429, True), (503, True)}
_SINGLE: dict[int, tuple[Event, Then]] = {
    **dict.fromkeys(range(200, 300), (Event.ACCEPTED, Then.GO_ON)),
    **dict.fromkeys(range(300, 500), (_NOT_PROCESSED, Then.STOP_TENANT)),
    **dict.fromkeys((400, 409, 413, 422), (Event.REFUSED, Then.GO_ON)),
    401: (_NOT_PROCESSED, Then.RENEW_TOKEN),
    403: (_NOT_PROCESSED, Then.STOP_CREDENTIALS),
    408: (Event.UNDECIDED, Then.GO_ON),
}


def expected(status: int, *, retry_after: bool) -> tuple[Event, Then]:
    """The documented table; the new token is not yet tried."""
    if (status, retry_after) in _PAUSED:
        return _NOT_PROCESSED, Then.PAUSE
    return _SINGLE.get(status, (Event.UNDECIDED, Then.GO_ON))


@pytest.mark.parametrize("retry_after", [None, 0.0, 7.0])
def test_every_status_means_what_the_table_says(retry_after: float | None) -> None:
    for status in range(100, 600):
        decision = decide(Answer(status=status, retry_after=retry_after), new_token=False, failures_in_a_row=0)
        event, then = expected(status, retry_after=retry_after is not None)
        assert (status, decision.event, decision.then) == (status, event, then)


@pytest.mark.parametrize(
    ("status", "new_token", "case"),
    [
        (202, False, "2xx"),
        (400, False, "400"),
        (401, False, "401"),
        (401, True, "401 with a new token"),
        (403, True, "403"),
        (404, False, "other 4xx"),
        (302, False, "3xx"),
        (500, False, "other"),
        (503, False, "other"),
        (101, False, "other"),
        (999, False, "other"),
    ],
)
def test_a_status_falls_under_one_case(status: int, new_token: bool, case: str) -> None:  # noqa: FBT001 - a table
    assert case_of(Answer(status=status), new_token=new_token, failures_in_a_row=0) == case


def test_every_case_of_the_table_occurs() -> None:
    answers = [Answer(status=status, retry_after=after) for status in range(100, 600) for after in (None, 1.0)]
    answers += [Answer(failure=failure) for failure in Failure]
    cases = {
        case_of(answer, new_token=new_token, failures_in_a_row=failures)
        for answer, new_token, failures in product(answers, (False, True), (0, LAST_TRY))
    }
    assert cases == set(OUTCOMES)


def test_a_second_401_with_a_token_just_got_stops_instead_of_asking_for_tokens_for_ever() -> None:
    decision = decide(Answer(status=401), new_token=True, failures_in_a_row=0)
    assert (decision.event, decision.then) == (Event.NOT_PROCESSED, Then.STOP_CREDENTIALS)


PROVABLY_NOT_PROCESSED = {*range(300, 500)} - {400, 408, 409, 413, 422}


@pytest.mark.parametrize(
    ("retry_after", "new_token", "failures"), list(product([None, 3.0], [False, True], [0, LAST_TRY]))
)
def test_nothing_that_may_have_been_processed_goes_back_to_planned(
    retry_after: float | None,
    new_token: bool,  # noqa: FBT001 - a table
    failures: int,
) -> None:
    for status in range(100, 1000):
        answer = Answer(status=status, retry_after=retry_after)
        decision = decide(answer, new_token=new_token, failures_in_a_row=failures)
        is_proven = status in PROVABLY_NOT_PROCESSED or (status == 503 and retry_after is not None)
        assert (advance(State.SENDING, decision.event) is State.PLANNED) == is_proven, status


@pytest.mark.parametrize(
    "answer", [Answer(failure=Failure.BROKEN), Answer(failure=Failure.BROKEN, status=200), Answer()]
)
def test_a_broken_connection_leaves_it_open_whether_the_request_arrived(answer: Answer) -> None:
    decision = decide(answer, new_token=False, failures_in_a_row=LAST_TRY)
    assert (decision.event, decision.then, decision.pause) == (Event.UNDECIDED, Then.GO_ON, 0.0)


def test_a_connection_never_made_is_tried_again_after_longer_and_longer_pauses() -> None:
    answer = Answer(failure=Failure.NEVER_CONNECTED)
    decisions = [decide(answer, new_token=False, failures_in_a_row=failures) for failures in range(LAST_TRY)]
    assert {(decision.event, decision.then) for decision in decisions} == {(Event.NOT_PROCESSED, Then.PAUSE)}
    pauses = [decision.pause for decision in decisions]
    assert pauses == list(BACKOFF)
    assert pauses == sorted(set(pauses))


@pytest.mark.parametrize("failures", [LAST_TRY, LAST_TRY + 1, 100])
def test_in_the_end_a_tenant_that_can_not_be_reached_stops_the_run(failures: int) -> None:
    decision = decide(Answer(failure=Failure.NEVER_CONNECTED), new_token=False, failures_in_a_row=failures)
    assert (decision.event, decision.then, decision.pause) == (Event.NOT_PROCESSED, Then.STOP_TENANT, 0.0)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(status=429, retry_after=42.0), 42.0),
        (Answer(status=429, retry_after=0.0), LEAST_PAUSE),
        (Answer(status=429), DEFAULT_PAUSE),
        (Answer(status=503, retry_after=60.0), 60.0),
        (Answer(status=503), 0.0),
        (Answer(status=202, retry_after=9.0), 0.0),
        (Answer(status=400, retry_after=9.0), 0.0),
        (Answer(status=500, retry_after=9.0), 0.0),
        (Answer(status=401, retry_after=9.0), 0.0),
    ],
)
def test_the_sender_pauses_as_long_as_the_tenant_asks_and_only_where_the_table_says(
    answer: Answer, pause: float
) -> None:
    assert decide(answer, new_token=False, failures_in_a_row=3).pause == pause


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=202, text="ignored", tracking_id="t"), ""),
        (Answer(status=400), "the tenant answered 400"),
        (Answer(status=400, text="Not found."), "the tenant answered 400: Not found."),
        (Answer(status=400, detail_code="400.1"), "the tenant answered 400: 400.1"),
        (Answer(status=400, detail_code="400.1", text="Not found."), "the tenant answered 400: Not found."),
        (
            Answer(status=500, text="Oops", tracking_id="b2c1"),
            "the tenant answered 500: Oops (tracking id b2c1)",
        ),
        (Answer(status=502, tracking_id="b2c1"), "the tenant answered 502 (tracking id b2c1)"),
        (Answer(failure=Failure.BROKEN), "no answer came"),
        (Answer(failure=Failure.BROKEN, text="timed out"), "timed out"),
        (Answer(failure=Failure.NEVER_CONNECTED, text="refused"), "refused"),
    ],
)
def test_the_reason_says_what_support_will_ask_for(answer: Answer, reason: str) -> None:
    assert decide(answer, new_token=False, failures_in_a_row=0).reason == reason
