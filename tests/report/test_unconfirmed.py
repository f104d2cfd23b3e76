"""The reasons why requests stay unconfirmed, and the advice that fits them."""

from __future__ import annotations

from collections import Counter

import pytest

from batch.report.messages import describe_unconfirmed
from batch.status.evidence import NEEDS_CONTROL, Why

BY_HAND = "`access-batch settle r1 --arrived` or `--not-arrived`"


@pytest.mark.parametrize("why", sorted(NEEDS_CONTROL))
def test_if_only_another_accepted_request_helps_the_advice_begins_with_that(why: Why) -> None:
    message, next_step = describe_unconfirmed(Counter({why: 2}), {"r1": {why}})
    assert message == f"2 requests stay unconfirmed, and are not sent again: {why}."
    assert next_step == (
        "Waiting may not help. Submit any other change; once the tenant has accepted it, run the same command again. "
        f"Or look for them in the tenant, and record the result: {BY_HAND}."
    )


def test_if_time_helps_the_advice_is_to_wait() -> None:
    message, next_step = describe_unconfirmed(Counter({Why.TIME: 1}), {"r1": {Why.TIME}})
    assert message == f"1 request stays unconfirmed, and is not sent again: {Why.TIME}."
    assert next_step == (
        f"Run the same command again later. Or look for it in the tenant, and record the result: {BY_HAND}."
    )


def test_a_request_that_arrived_in_part_is_not_offered_to_be_recorded_as_not_arrived() -> None:
    message, next_step = describe_unconfirmed(Counter({Why.INCOMPLETE: 1}), {"r1": {Why.INCOMPLETE}})
    assert message.endswith("it has arrived, but the tenant does not list all of it.")
    assert next_step == (
        "The tenant may list the rest later: run the same command again then. Or look for it in the tenant, and record "
        "the result: `access-batch settle r1 --arrived`."
    )


def test_several_reasons_and_runs_are_named() -> None:
    reasons, runs = Counter({Why.NO_CONTROL: 1, Why.INCOMPLETE: 2}), {"r1": {Why.NO_CONTROL}, "r2": {Why.INCOMPLETE}}
    message, next_step = describe_unconfirmed(reasons, runs)
    assert message == (
        f"3 requests stay unconfirmed, and are not sent again (2 requests: {Why.INCOMPLETE}; "
        f"1 request: {Why.NO_CONTROL})."
    )
    assert next_step.startswith("Run the same command again later.")
    assert next_step.endswith(f"{BY_HAND} and `access-batch settle r2 --arrived`.")
