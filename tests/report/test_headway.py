"""How far a run has come: the counts after each event, and the words on the screen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.events import PaceChanged, Waiting
from batch.answers.outcome import Decision, Then
from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.api.dialects import Rate
from batch.model import EMPTY_TALLY, Request
from batch.report import headway
from batch.report.headway import (
    Amount,
    Headway,
    countdown,
    describe,
    describe_pace,
    describe_sending,
    describe_wait,
    per_second,
)
from batch.states import Event
from batch.status.evidence import Settlement
from tests.builders import request

LIMIT = Rate(requests=100, seconds=10)
BEGAN = 5000.0


def begun(requests: int, changes: int, **counts: int) -> Headway:
    """A run of so many planned requests and changes; further counts are of requests of one change each, by state."""
    tally = replace(EMPTY_TALLY, requests={"PLANNED": requests, **counts}, changes={"PLANNED": changes, **counts})
    return headway.begin(tally, LIMIT, BEGAN)


def decision(event: Event) -> Decision:
    return Decision(event=event, then=Then.GO_ON, reason="said so")


def sent_evenly(at: Headway, count: int, *, per_second: float) -> tuple[Headway, float]:
    """After so many requests were accepted one after the other; and the time then."""
    now = BEGAN
    for number in range(count):
        now = BEGAN + number / per_second
        at = headway.after_sending(at, request(number), now)
        at = headway.after_answer(at, request(number), decision(Event.ACCEPTED), 0)
    return at, now


def test_a_continued_run_begins_with_the_counts_of_the_ledger() -> None:
    at = begun(5, 50, ACCEPTED=3, REFUSED=2, UNCONFIRMED=1, SENDING=1, SPLIT=9, DISCARDED=9)
    assert at.planned == Amount(requests=12, changes=57)
    assert at.done == Amount(requests=5, changes=5)
    assert at.unconfirmed == Amount(requests=2, changes=2)
    assert at.unsent == 5


class World:
    """Requests with their true state, beside the headway that knows only the events."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.unsent = [request(number, people, items) for number, (people, items) in enumerate(sizes)]
        self.doubtful: list[Request] = []
        self.accepted = self.refused = 0
        self.total = sum(each.changes for each in self.unsent)
        self.number = len(sizes)
        self.at = begun(len(sizes), self.total)

    def send(self, event: Event) -> None:
        each = self.unsent.pop(0)
        self.at = headway.after_sending(self.at, each, BEGAN)
        parts = divide(each, "", RefusalHistory()) if event is Event.REFUSED else ()
        self.at = headway.after_answer(self.at, each, decision(event), len(parts))
        for part in parts:
            self._add(len(part.recipients), len(part.items), each.number)
        match event:
            case Event.ACCEPTED:
                self.accepted += each.changes
            case Event.REFUSED if not parts:
                self.refused += each.changes
            case Event.UNDECIDED:
                self.doubtful.append(each)
            case Event.NOT_PROCESSED:
                self.unsent.append(replace(each, attempts=each.attempts + 1))

    def settle(self, verdict: Settlement) -> None:
        each = self.doubtful.pop(0)
        if verdict is Settlement.PARTLY and each.changes == 1:
            verdict = Settlement.FOUND
        self.at = headway.after_settling(self.at, each, verdict)
        match verdict:
            case Settlement.FOUND:
                self.accepted += each.changes
            case Settlement.NOT_FOUND:
                self.unsent.append(replace(each, attempts=each.attempts + 1))
            case Settlement.PARTLY:
                self.accepted += each.changes - 1
                self._add(1, 1, each.number)

    def _add(self, people: int, items: int, parent: int) -> None:
        self.unsent.append(request(self.number, people, items, parent=parent))
        self.number += 1


ANSWERS = st.sampled_from([Event.ACCEPTED, Event.REFUSED, Event.NOT_PROCESSED, Event.UNDECIDED])
VERDICTS = st.sampled_from([Settlement.FOUND, Settlement.NOT_FOUND, Settlement.PARTLY])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6),
    st.lists(st.tuples(ANSWERS, VERDICTS), max_size=40),
)
def test_after_any_events_the_final_counts_are_those_of_the_ledger(
    sizes: list[tuple[int, int]], events: list[tuple[Event, Settlement]]
) -> None:
    world = World(sizes)
    for event, verdict in events:
        if world.unsent:
            world.send(event)
        assert world.at.unconfirmed.requests == len(world.doubtful)
        assert world.at.done.changes + world.at.unconfirmed.changes <= world.total == world.at.planned.changes
        if world.doubtful and event is not Event.UNDECIDED:
            world.settle(verdict)
    while world.unsent or world.doubtful:
        if world.doubtful:
            world.settle(Settlement.FOUND)
        else:
            world.send(Event.ACCEPTED)
    assert world.at.done == world.at.planned
    assert (world.at.accepted.changes, world.at.refused.changes) == (world.accepted, world.refused)
    assert (world.at.unsent, world.at.in_flight) == (0, 0)
    assert world.at.done.changes == world.total


def test_the_missing_part_of_a_partly_found_request_counts_as_accepted_until_it_is_sent() -> None:
    at = begun(0, 0, UNCONFIRMED=0)
    whole = request(7, 3)
    at = replace(at, planned=Amount(requests=1, changes=3), unconfirmed=Amount(requests=1, changes=3))
    at = headway.after_settling(at, whole, Settlement.PARTLY)
    assert at.accepted.changes == 3
    at = headway.after_sending(at, request(8, parent=7), BEGAN)
    assert (at.accepted.changes, at.planned) == (2, Amount(requests=2, changes=3))
    again = replace(request(8, parent=7), attempts=2)
    assert headway.after_sending(at, again, BEGAN).accepted.changes == 2


def test_the_pace_is_measured_over_the_last_window() -> None:
    at, now = sent_evenly(begun(1000, 1000), 300, per_second=9.9)
    assert headway.pace(at, now) == pytest.approx(9.9, abs=0.2)
    assert headway.pace(at, now + 5) == pytest.approx(5, abs=0.5)
    assert headway.pace(at, now + 30) == 0


def test_a_burst_that_the_window_permits_does_not_look_like_more_than_the_limit() -> None:
    at = begun(1000, 1000)
    for number in range(100):
        at = headway.after_sending(at, request(number), BEGAN + 0.001 * number)
    assert headway.pace(at, BEGAN + 0.1) == pytest.approx(10, rel=0.05)
    assert headway.pace(at, BEGAN + 9.9) <= 10


def test_at_first_the_pace_is_measured_over_the_time_so_far() -> None:
    at, now = sent_evenly(begun(1000, 1000), 12, per_second=4)
    assert headway.pace(at, now + 0.25) == pytest.approx(4)


def test_the_time_left_follows_from_what_is_left_and_the_pace_allowed() -> None:
    at = begun(1000, 1000)
    assert headway.time_left(at, BEGAN) == 100
    assert headway.time_left(headway.after(at, PaceChanged(allowed=50), BEGAN), BEGAN) == 200


def test_silence_adds_to_the_time_left() -> None:
    at = headway.after_wait(begun(1000, 1000), 600, "silence", BEGAN)
    assert headway.time_left(at, BEGAN) == 700
    assert headway.time_left(at, BEGAN + 590) == 110


def test_a_slow_tenant_makes_the_time_left_longer_than_the_limit_would() -> None:
    at, now = sent_evenly(begun(1000, 1000), 100, per_second=2)
    assert headway.time_left(at, now) == pytest.approx(450, rel=0.1)


def test_the_time_left_is_unknown_if_nothing_is_sent_for_a_window() -> None:
    at, now = sent_evenly(begun(1000, 1000), 100, per_second=10)
    assert headway.time_left(at, now + 20) is None
    assert describe_sending(at, now + 20) == "0/s of 10/s, time left unknown"


def test_of_two_waits_the_later_end_counts_with_its_reason() -> None:
    at = headway.after_wait(begun(1, 1), 600, "the long one", BEGAN)
    at = headway.after_wait(at, 10, "the short one", BEGAN + 1)
    assert describe_wait(at, BEGAN + 20) == "waiting 9 min 40 s: the long one"
    assert (
        describe_wait(headway.after_wait(at, 900, "a longer one", BEGAN), BEGAN) == "waiting 15 min 0 s: a longer one"
    )
    assert describe_wait(at, BEGAN + 600) == ""


def test_a_lowered_pace_is_shown_beside_the_limit() -> None:
    at, now = sent_evenly(begun(1000, 1000), 20, per_second=4)
    assert describe_pace(at, now + 0.25) == "4/s of 10/s"
    assert describe_pace(headway.after(at, PaceChanged(allowed=50), BEGAN), now + 0.25) == "4/s of 5/s (limit 10/s)"


def test_during_a_wait_the_allowed_pace_after_it_is_shown() -> None:
    at = headway.after(begun(1000, 1000), PaceChanged(allowed=50), BEGAN)
    at = headway.after(at, Waiting(seconds=60, reason="silence"), BEGAN)
    assert describe_sending(at, BEGAN) == "then up to 5/s (limit 10/s), 4 min 20 s left"


def test_a_pace_above_the_limit_is_shown_as_it_is() -> None:
    at, now = sent_evenly(begun(1000, 1000), 300, per_second=20)
    assert headway.pace(at, now) == pytest.approx(20, rel=0.05)


def test_one_line_shows_everything() -> None:
    at, now = sent_evenly(begun(1010, 12000), 10, per_second=10)
    assert describe(at, now) == (
        "10 of 1,010 requests; 10 of 12,000 changes: 10 accepted, 0 refused, 0 unconfirmed; "
        "10/s of 10/s, 1 min 40 s left"
    )
    waiting = headway.after_wait(at, 60, "the tenant answered 429", now)
    assert "; waiting 1 min 0 s: the tenant answered 429; then up to 10/s, 2 min 40 s left" in describe(waiting, now)


def test_once_everything_is_sent_the_line_shows_the_requests_that_are_awaited() -> None:
    at = headway.after_sending(begun(2, 2), request(1), BEGAN)
    at = headway.after_sending(at, request(2), BEGAN)
    assert describe_sending(at, BEGAN) == "waiting for 2 answers"
    at = headway.after_answer(at, request(1), decision(Event.UNDECIDED), 0)
    at = headway.after_answer(at, request(2), decision(Event.ACCEPTED), 0)
    assert describe_sending(at, BEGAN) == "looking for 1 unconfirmed request"
    assert describe_sending(headway.after_settling(at, request(1), Settlement.FOUND), BEGAN) == "done"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.2, "1 s"), (40, "40 s"), (59.5, "1 min 0 s"), (580, "9 min 40 s"), (7500, "2 h 5 min")],
)
def test_a_countdown_is_to_the_second_and_rounded_up(seconds: float, text: str) -> None:
    assert countdown(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0/s"), (1 / 60, "0.017/s"), (9.94, "9.9/s"), (10.0, "10/s"), (5000.4, "5,000/s")]
)
def test_a_rate_is_short(rate: float, text: str) -> None:
    assert per_second(rate) == text


BODY = (request(1), replace(request(2), within=1), replace(request(3), within=1))


def after_body(at: Headway, event: Event, then: Then = Then.GO_ON) -> Headway:
    """After three requests in one body were sent and answered."""
    for one in BODY:
        at = headway.after_sending(at, one, BEGAN)
    assert at.in_flight == 1
    for one in BODY:
        at = headway.after_answer(at, one, Decision(event=event, then=then), 0)
    assert at.in_flight == 0
    return at


def test_requests_in_one_body_count_as_one() -> None:
    at = after_body(begun(2, 4), Event.ACCEPTED)
    assert (at.accepted, at.planned) == (Amount(requests=1, changes=3), Amount(requests=2, changes=4))
    assert sum(attempts for _, attempts in at.recent) == 1
    assert after_body(begun(2, 4), Event.UNDECIDED).unconfirmed == Amount(requests=1, changes=3)


def test_requests_that_were_refused_in_one_body_are_sent_alone() -> None:
    at = after_body(begun(2, 4), Event.NOT_PROCESSED, Then.SEND_ALONE)
    assert (at.planned, at.unsent) == (Amount(requests=4, changes=4), 4)


def test_no_more_is_ever_done_than_planned() -> None:
    at = after_body(begun(1, 3), Event.UNDECIDED)
    for one in BODY:
        at = headway.after_settling(at, one, Settlement.FOUND if one is BODY[0] else Settlement.NOT_FOUND)
    for one in BODY[1:]:
        alone = replace(one, within=None, attempts=2)
        at = headway.after_sending(at, alone, BEGAN)
        at = headway.after_answer(at, alone, decision(Event.ACCEPTED), 0)
    assert (at.done.changes, at.done.requests, at.planned.requests) == (3, 3, 3)
