"""What an answer to a body means for each of its requests."""

from __future__ import annotations

from dataclasses import replace

from batch.answers.outcome import Then, decide
from batch.answers.shared_bodies import bodies_back, for_each
from batch.api.dialects import ItemType, Operation
from batch.model import Answer, Form, Request, RequestItem
from batch.states import Event

ONE = Request(
    number=1,
    run="run",
    operation=Operation.GRANT,
    recipients=("anna",),
    items=(RequestItem(type=ItemType.ROLE, id="r1"),),
)
THREE = (
    ONE,
    replace(ONE, number=2, recipients=("bert",), within=1),
    replace(ONE, number=3, recipients=("c",), within=1),
)
REFUSED = decide(Answer(status=400, text="No.", form=Form.API))


def test_any_answer_except_a_refusal_means_the_same_for_all_requests_of_a_body() -> None:
    assert for_each([ONE], REFUSED, "anna") == (REFUSED,)
    for status in (202, 401, 429, 500):
        decision = decide(Answer(status=status, form=Form.API))
        assert for_each(THREE, decision, "anna") == (decision,) * 3
        assert bodies_back(for_each(THREE, decision, "")) == (decision.event is Event.NOT_PROCESSED)


def test_requests_refused_in_one_body_are_sent_again_each_by_itself() -> None:
    decisions = for_each(THREE, REFUSED, "No.")
    assert {(one.event, one.then) for one in decisions} == {(Event.NOT_PROCESSED, Then.SEND_ALONE)}
    assert all("the tenant answered 400: No." in one.reason and "by itself" in one.reason for one in decisions)
    assert bodies_back(decisions) == 3


def test_a_request_that_the_message_names_is_sent_alone() -> None:
    decisions = for_each(THREE, REFUSED, "Identity BERT was not found.")
    assert [one.then for one in decisions] == [Then.GO_ON, Then.SEND_ALONE, Then.GO_ON]
    assert bodies_back(decisions) == 2
    assert [one.then for one in for_each(THREE, REFUSED, "r1 can't be requested.")] == [Then.SEND_ALONE] * 3
