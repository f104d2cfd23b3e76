"""The reasons why requests stay unconfirmed, and the advice that fits them."""

from __future__ import annotations

from collections import Counter

import pytest

from batch.report.messages import describe_unconfirmed
from batch.status.evidence import NEEDS_CONTROL, Why

ARRIVED = "If all those of run r1 have arrived: `access-batch settle r1 --arrived`."
BY_HAND = f"{ARRIVED} If none of them has: `access-batch settle r1 --not-arrived`."


@pytest.mark.parametrize("why", sorted(NEEDS_CONTROL))
def test_if_only_another_accepted_request_helps_the_advice_begins_with_that(why: Why) -> None:
    message, next_step = describe_unconfirmed(Counter({why: 2}), {"r1": {why}})
    assert message == f"2 requests stay unconfirmed, and are not sent again: {why}."
    assert next_step == (
        "Waiting may not help. Submit any other change; once the tenant has accepted it, run the same command again. "
        f"Or look for them in the tenant. {BY_HAND}"
    )


def test_while_it_may_arrive_the_advice_is_to_wait_and_nobody_is_asked_to_judge() -> None:
    reasons = Counter({Why.TIME: 1, Why.NO_CONTROL: 1})
    message, next_step = describe_unconfirmed(reasons, {"r1": {Why.TIME, Why.NO_CONTROL}})
    assert message.startswith("2 requests stay unconfirmed, and are not sent again (")
    assert next_step == "Run the same command again later."


def test_whoever_judges_what_a_silent_process_may_still_send_has_to_end_that_first() -> None:
    _, next_step = describe_unconfirmed(Counter({Why.FENCED: 1}), {"r1": {Why.FENCED}})
    assert next_step == (
        "Run the same command again later. Or make sure that the silent process has ended, and look for it in the "
        f"tenant. {BY_HAND}"
    )


def test_a_request_that_arrived_in_part_is_not_offered_to_be_recorded_as_not_arrived() -> None:
    message, next_step = describe_unconfirmed(Counter({Why.INCOMPLETE: 1}), {"r1": {Why.INCOMPLETE}})
    assert message.endswith("it has arrived, but the tenant does not list all of it.")
    assert next_step == (
        f"The tenant may list the rest later: run the same command again then. Or look for it in the tenant. {ARRIVED}"
    )


def test_several_reasons_and_runs_are_named() -> None:
    reasons, runs = Counter({Why.NO_CONTROL: 1, Why.INCOMPLETE: 2}), {"r1": {Why.NO_CONTROL}, "r2": {Why.INCOMPLETE}}
    message, next_step = describe_unconfirmed(reasons, runs)
    assert message == (
        f"3 requests stay unconfirmed, and are not sent again (2 requests: {Why.INCOMPLETE}; "
        f"1 request: {Why.NO_CONTROL})."
    )
    assert next_step.startswith("Run the same command again later.")
    assert next_step.endswith(f"{BY_HAND} {ARRIVED.replace('r1', 'r2')}")


def test_what_arrived_in_part_keeps_the_whole_run_from_being_recorded_as_not_arrived() -> None:
    reasons = Counter({Why.NO_CONTROL: 1, Why.INCOMPLETE: 1})
    _, next_step = describe_unconfirmed(reasons, {"r1": {Why.NO_CONTROL, Why.INCOMPLETE}})
    assert next_step.endswith(f"Or look for them in the tenant. {ARRIVED}")
