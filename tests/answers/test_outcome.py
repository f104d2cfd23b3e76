"""What each answer means, for every HTTP status and every failure."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.outcome import (
    DEFAULT_PAUSE,
    FIRST_BACKOFF,
    LEAST_PAUSE,
    MOST_BACKOFF,
    OUTCOMES,
    Retries,
    Situation,
    Then,
    backoff,
    case_of,
    decide,
)
from batch.model import Answer, Failure
from batch.states import Event, State, advance

_NOT_PROCESSED = Event.NOT_PROCESSED
_SINGLE: dict[int, tuple[Event, Then]] = {
    **dict.fromkeys(range(300, 500), (_NOT_PROCESSED, Then.STOP_TENANT)),
    **dict.fromkeys((400, 409, 413, 422), (Event.REFUSED, Then.GO_ON)),
    202: (Event.ACCEPTED, Then.GO_ON),
    401: (_NOT_PROCESSED, Then.RENEW_TOKEN),
    403: (_NOT_PROCESSED, Then.STOP_CREDENTIALS),
    408: (Event.UNDECIDED, Then.BACK_OFF),
    429: (_NOT_PROCESSED, Then.SLOW_DOWN),
}


def expected(status: int, *, retry_after: bool) -> tuple[Event, Then]:
    """The documented table, before a new token was tried."""
    if status == 503 and retry_after:
        return _NOT_PROCESSED, Then.WAIT
    return _SINGLE.get(status, (Event.UNDECIDED, Then.BACK_OFF))


@pytest.mark.parametrize("retry_after", [None, 0.0, 7.0])
def test_every_status_means_what_the_table_says(retry_after: float | None) -> None:
    for status in range(100, 600):
        decision = decide(Answer(status=status, retry_after=retry_after))
        event, then = expected(status, retry_after=retry_after is not None)
        assert (status, decision.event, decision.then) == (status, event, then)


@pytest.mark.parametrize(
    ("status", "new_token", "case"),
    [
        (202, False, "202"),
        (200, False, "other 2xx"),
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
    assert case_of(Answer(status=status), new_token=new_token) == case


def test_every_case_of_the_table_occurs() -> None:
    answers = [Answer(status=status, retry_after=after) for status in range(100, 600) for after in (None, 1.0)]
    answers += [Answer(failure=failure) for failure in Failure]
    cases = {case_of(answer, new_token=new_token) for answer, new_token in product(answers, (False, True))}
    assert cases == set(OUTCOMES)


def test_a_401_with_a_new_token_stops_instead_of_renewing_for_ever() -> None:
    decision = decide(Answer(status=401), Situation(new_token=True))
    assert (decision.event, decision.then) == (Event.NOT_PROCESSED, Then.STOP_CREDENTIALS)


PROVABLY_NOT_PROCESSED = {*range(300, 500)} - {400, 408, 409, 413, 422}


@pytest.mark.parametrize(
    ("retry_after", "situation"),
    list(
        product(
            [None, 3.0],
            [
                Situation(),
                Situation(new_token=True),
                Situation(failures_in_a_row=9, without_success=9, give_up_after=1),
            ],
        )
    ),
)
def test_a_request_that_may_have_been_processed_never_goes_back_to_planned(
    retry_after: float | None, situation: Situation
) -> None:
    for status in range(100, 1000):
        answer = Answer(status=status, retry_after=retry_after)
        decision = decide(answer, situation)
        is_proven = status in PROVABLY_NOT_PROCESSED or (status == 503 and retry_after is not None)
        assert (advance(State.SENDING, decision.event) is State.PLANNED) == is_proven, status


@pytest.mark.parametrize(
    "answer", [Answer(failure=Failure.BROKEN), Answer(failure=Failure.BROKEN, status=200), Answer()]
)
def test_after_a_broken_connection_the_request_is_undecided(answer: Answer) -> None:
    decision = decide(answer)
    assert (decision.event, decision.then, decision.pause) == (Event.UNDECIDED, Then.BACK_OFF, FIRST_BACKOFF)


def test_each_failure_in_a_row_doubles_the_backoff_up_to_a_limit() -> None:
    pauses = [decide(Answer(status=500), Situation(failures_in_a_row=number)).pause for number in range(200)]
    assert pauses[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert pauses == sorted(pauses)
    assert pauses[-1] == MOST_BACKOFF


@given(failures=st.integers(0, 10_000), jitter=st.floats(0, 1))
def test_jitter_changes_the_backoff_by_at_most_half(failures: int, jitter: float) -> None:
    longest = backoff(failures, 1.0)
    assert longest / 2 <= backoff(failures, jitter) <= longest


FAILURES = [
    Answer(failure=Failure.NEVER_CONNECTED),
    Answer(failure=Failure.BROKEN),
    Answer(status=500),
    Answer(status=200),
    Answer(status=503, retry_after=1.0),
]


@pytest.mark.parametrize("answer", FAILURES)
def test_sending_stops_after_too_long_without_success_and_the_request_keeps_its_outcome(answer: Answer) -> None:
    patient = decide(answer, Situation(without_success=599.0, give_up_after=600.0))
    stopped = decide(answer, Situation(without_success=600.0, give_up_after=600.0))
    assert patient.then in {Then.BACK_OFF, Then.WAIT}
    assert (stopped.then, stopped.pause) == (Then.STOP_TENANT, 0.0)
    assert stopped.event is patient.event


@pytest.mark.parametrize("status", [202, 400, 401, 429])
def test_sending_goes_on_while_the_tenant_does_its_work(status: int) -> None:
    assert decide(Answer(status=status), Situation(without_success=1e9, give_up_after=1.0)) == decide(
        Answer(status=status)
    )


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(status=429, retry_after=42.0), 42.0),
        (Answer(status=429, retry_after=0.0), LEAST_PAUSE),
        (Answer(status=429), DEFAULT_PAUSE),
        (Answer(status=503, retry_after=60.0), 60.0),
        (Answer(status=202, retry_after=9.0), 0.0),
        (Answer(status=400, retry_after=9.0), 0.0),
        (Answer(status=500, retry_after=9.0), 9.0),
        (Answer(status=401, retry_after=9.0), 0.0),
    ],
)
def test_the_pause_is_as_long_as_the_tenant_asks_if_the_table_has_one(answer: Answer, pause: float) -> None:
    assert decide(answer).pause == pause


def test_pauses_between_tries_grow_and_are_never_shorter_than_the_tenant_asks() -> None:
    retries = Retries(give_up_after=600.0, now=0.0)
    answers = [Answer(status=429, retry_after=0.0), Answer(status=503, retry_after=9.0), Answer(status=500)]
    decisions = [retries.decide(answer, now=1.0, jitter=1.0) for answer in answers]
    assert [decision.then for decision in decisions] == [Then.SLOW_DOWN, Then.WAIT, Then.BACK_OFF]
    assert [decision.pause for decision in decisions] == [backoff(0, 1.0), 9.0, backoff(2, 1.0)]
    assert retries.decide(Answer(status=500), now=600.0, jitter=1.0).then is Then.STOP_TENANT


def test_a_token_that_has_expired_is_renewed_without_a_pause() -> None:
    retries = Retries(give_up_after=600.0, now=0.0)
    expired = retries.decide(Answer(status=401), now=1.0, jitter=1.0)
    refused = retries.decide(Answer(status=401), now=1.0, jitter=1.0, new_token=True)
    assert (expired.then, expired.pause, refused.then) == (Then.RENEW_TOKEN, 0.0, Then.STOP_CREDENTIALS)


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
def test_the_reason_holds_what_support_asks_for(answer: Answer, reason: str) -> None:
    assert decide(answer).reason == reason
