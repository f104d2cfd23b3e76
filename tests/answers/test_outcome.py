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
from batch.model import Answer, Failure, Form
from batch.states import Event, State, advance

PROVEN: dict[int, tuple[Event, Then]] = {
    400: (Event.REFUSED, Then.GO_ON),
    401: (Event.NOT_PROCESSED, Then.RENEW_TOKEN),
    403: (Event.NOT_PROCESSED, Then.TAKE_APART),
    429: (Event.NOT_PROCESSED, Then.SLOW_DOWN),
}
"""What the API itself can say, besides 202."""


def expected(answer: Answer) -> tuple[Event, Then]:
    """The documented table, before a new token was tried."""
    assert answer.status is not None
    if answer.status == 202:
        return Event.ACCEPTED, Then.GO_ON
    if answer.form is Form.API and answer.status in PROVEN:
        return PROVEN[answer.status]
    if answer.status == 429:
        return Event.UNDECIDED, Then.SLOW_DOWN
    if answer.status == 503 and answer.retry_after is not None:
        return Event.UNDECIDED, Then.WAIT
    return Event.UNDECIDED, Then.BACK_OFF


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("retry_after", [None, 0.0, 7.0])
def test_every_status_in_every_form_means_what_the_table_says(retry_after: float | None, form: Form) -> None:
    for status in range(100, 1000):
        answer = Answer(status=status, retry_after=retry_after, form=form)
        decision = decide(answer)
        assert (status, decision.event, decision.then) == (status, *expected(answer))


@pytest.mark.parametrize(
    ("status", "new_token", "form", "case"),
    [
        (202, False, Form.PAGE, "202"),
        (200, False, Form.API, "any other answer"),
        (400, False, Form.API, "400"),
        (400, False, Form.PAGE, "any other answer"),
        (401, False, Form.API, "401"),
        (401, True, Form.API, "401 with a new token"),
        (401, True, Form.OTHER, "any other answer"),
        (403, True, Form.API, "403"),
        (403, False, Form.PAGE, "any other answer"),
        (429, False, Form.API, "429"),
        (429, False, Form.PAGE, "429 in another form"),
        (404, False, Form.API, "any other answer"),
        (409, False, Form.API, "any other answer"),
        (302, False, Form.OTHER, "any other answer"),
        (500, False, Form.API, "any other answer"),
        (503, False, Form.API, "any other answer"),
        (101, False, Form.OTHER, "any other answer"),
        (999, False, Form.OTHER, "any other answer"),
    ],
)
def test_a_status_falls_under_one_case(status: int, new_token: bool, form: Form, case: str) -> None:  # noqa: FBT001 - a table
    assert case_of(Answer(status=status, form=form), new_token=new_token) == case


def test_every_case_of_the_table_occurs() -> None:
    every = product(range(100, 600), (None, 1.0), Form)
    answers = [Answer(status=status, retry_after=after, form=form) for status, after, form in every]
    answers += [Answer(failure=failure) for failure in Failure]
    cases = {case_of(answer, new_token=new_token) for answer, new_token in product(answers, (False, True))}
    assert cases == set(OUTCOMES)


def test_a_401_with_a_new_token_stops_instead_of_renewing_for_ever() -> None:
    decision = decide(Answer(status=401, form=Form.API), Situation(new_token=True))
    assert (decision.event, decision.then) == (Event.NOT_PROCESSED, Then.STOP_CREDENTIALS)


@given(
    status=st.none() | st.integers(0, 999),
    failure=st.none() | st.sampled_from(Failure),
    retry_after=st.none() | st.floats(0, 1e5),
    form=st.sampled_from(Form),
    new_token=st.booleans(),
    failures=st.integers(0, 99),
    without_success=st.floats(0, 1e6),
)
def test_only_the_api_itself_or_a_call_that_never_left_proves_that_nothing_was_processed(
    status: int | None,
    failure: Failure | None,
    retry_after: float | None,
    form: Form,
    new_token: bool,  # noqa: FBT001 - drawn
    failures: int,
    without_success: float,
) -> None:
    answer = Answer(status=status, failure=failure, retry_after=retry_after, form=form)
    situation = Situation(
        new_token=new_token, failures_in_a_row=failures, without_success=without_success, give_up_after=600.0
    )
    event = decide(answer, situation).event
    never_left = failure in {Failure.NEVER_CONNECTED, Failure.UNTRUSTED}
    by_the_api = failure is None and form is Form.API and status in {400, 401, 403, 429}
    assert (event in {Event.NOT_PROCESSED, Event.REFUSED}) == (never_left or by_the_api)
    assert (event is Event.ACCEPTED) == (failure is None and status == 202)
    assert (advance(State.SENDING, event) is State.UNCONFIRMED) == (event is Event.UNDECIDED)


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
    answer = Answer(status=status, form=Form.API)
    assert decide(answer, Situation(without_success=1e9, give_up_after=1.0)) == decide(answer)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(status=429, retry_after=42.0), 42.0),
        (Answer(status=429, retry_after=0.0), LEAST_PAUSE),
        (Answer(status=429), DEFAULT_PAUSE),
        (Answer(status=503, retry_after=60.0), 60.0),
        (Answer(status=202, retry_after=9.0), 0.0),
        (Answer(status=400, retry_after=9.0, form=Form.API), 0.0),
        (Answer(status=500, retry_after=9.0), 9.0),
        (Answer(status=401, retry_after=9.0, form=Form.API), 0.0),
        (Answer(status=403, retry_after=9.0, form=Form.PAGE), 9.0),
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


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    ("status", "then"),
    [
        (200, Then.BACK_OFF),
        (303, Then.STOP_TENANT),
        (400, Then.STOP_TENANT),
        (401, Then.RENEW_TOKEN),
        (403, Then.STOP_CREDENTIALS),
        (404, Then.STOP_TENANT),
        (408, Then.BACK_OFF),
        (429, Then.SLOW_DOWN),
        (502, Then.BACK_OFF),
    ],
)
def test_a_question_may_be_asked_again_so_the_form_of_its_answer_does_not_matter(
    status: int, then: Then, form: Form
) -> None:
    retries = Retries(give_up_after=600.0, now=0.0)
    assert retries.decide(Answer(status=status, form=form), now=1.0, jitter=1.0).then is then


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
