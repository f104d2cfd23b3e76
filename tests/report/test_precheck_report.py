"""The messages about a precheck."""

from __future__ import annotations

from typing import Any

from batch.answers.events import PrecheckResult
from batch.api.dialects import DIALECTS, Rate
from batch.report.precheck import (
    describe_account_calls,
    describe_calls,
    describe_cost,
    describe_left_to_tenant,
    describe_no_accounts,
    describe_precheck,
    describe_unknown,
)

RATE = Rate(requests=100, seconds=10.0)


def described(**facts: Any) -> str:
    usual: dict[str, Any] = {"calls": 3, "in_progress": 2, "held": 1, "age": 0.1, "unclear": 0}
    return " ".join(describe_precheck(PrecheckResult(**{**usual, **facts})))


def test_the_age_of_an_answer_is_shown_once_it_matters() -> None:
    assert described() == (
        "Asked the tenant in 3 calls: 2 changes are already in progress and 1 change is already held."
    )
    assert "Asked the tenant in 3 calls (some of it up to 3 min ago):" in described(age=124.2)
    assert described(calls=0, age=124.2).startswith(
        "The tenant answered up to 3 min ago: 2 changes are already in progress"
    )
    assert described(calls=0).startswith("The tenant answered a moment ago: ")


def test_a_precheck_without_findings_says_so() -> None:
    assert described(in_progress=0, held=0).endswith("no requested change is already in progress or held.")
    assert described(in_progress=None, held=0).endswith("no requested change is already held.")


def test_unknown_is_not_reported_as_none() -> None:
    assert "held" not in described(held=None)
    assert "in progress" not in described(in_progress=None)
    assert described(held=None, in_progress=None) == ""
    assert list(describe_precheck(None)) == []


def test_revokes_of_access_that_is_not_held_are_counted_and_late_grants_explained() -> None:
    assert "and 1 change is already held and the access of 2 changes is not held." in described(not_held=2)
    assert described(in_progress=None, held=None, not_held=2).endswith("3 calls: the access of 2 changes is not held.")
    assert described(in_progress=0, held=None, not_held=0).endswith("no requested change is already in progress.")
    assert described(unsure=1).endswith(
        "The search index does not show the access of 1 revoke. It is sent all the same, since the access may have "
        "been granted in the last 24 hours."
    )


def test_revokes_that_were_not_checked_further_are_told_with_their_lines() -> None:
    told = described(unsure=9, unchecked={"in.csv": (2, 3, 5, 7, 11, 13)})
    assert told.endswith(
        "6 revokes of these (lines 2, 3, 5, 7, 11 …) were not checked against the identity's own list, as that takes "
        "a call each. --check-tenant always checks all of them."
    )


def test_rows_without_a_known_item_are_reported() -> None:
    assert "4 pending requests do not name the item or the person" in described(unclear=4)


def test_how_far_a_long_precheck_has_come_is_told_once_its_length_is_known() -> None:
    assert list(describe_calls(7, 0)) == []
    assert list(describe_calls(1_007, 1_200.0)) == ["Asking the tenant: 1,007 of about 1,200 calls are made."]
    assert list(describe_calls(8, 7)) == ["Asking the tenant: 8 of about 8 calls are made."]


def test_a_long_precheck_is_announced_and_a_dear_one_can_be_skipped() -> None:
    assert list(describe_cost(19, RATE, dear=False)) == []
    (line,) = describe_cost(1_200, RATE, dear=False)
    assert "at most 1,200 calls, which take 2 min at this rate." in line
    (line,) = describe_cost(5_000, RATE, dear=True)
    assert "--check-tenant never skips it" in line


def test_only_lists_of_the_api_version_are_named() -> None:
    (line,) = describe_unknown(DIALECTS["v3"], closed_list="no", closed_approvals="", closed_index="")
    assert "idn:access-request-status:read" in line
    assert "administration" not in line


def test_closed_pending_approvals_name_the_scope_and_the_other_cause() -> None:
    (line,) = describe_unknown(DIALECTS["v3"], closed_list="", closed_approvals="owner-id is required", closed_index="")
    assert "waits" not in line
    assert "(owner-id is required)" in line
    assert "takes a user with ORG_ADMIN, the scope idn:access-request-approvals:read, and a tenant that lists" in line


def test_many_questions_for_accounts_and_those_that_are_left_out_are_told_before() -> None:
    rate = Rate(requests=10, seconds=1)
    assert list(describe_account_calls(19, rate, 0)) == []
    assert list(describe_account_calls(150, rate, 0)) == [
        "Asking the tenant which accounts people have: 150 calls, at least 15 s."
    ]
    (line,) = describe_account_calls(1, rate, 50)
    assert "50 pairs of a person and an item are left out: rows that name an account there are rejected" in line


def test_that_nobody_knows_the_accounts_is_said_with_what_becomes_of_rows_that_name_none() -> None:
    assert describe_no_accounts("") == []
    (line,) = describe_no_accounts("it lacks a right")
    assert line == (
        "The tenant does not tell which accounts people have (it lacks a right). It chooses one itself for people with "
        "several, where the row names none."
    )


def test_it_is_said_how_many_changes_leave_the_account_to_the_tenant() -> None:
    assert list(describe_left_to_tenant(0)) == []
    (line,) = describe_left_to_tenant(1)
    assert line.startswith("1 change is for people with several accounts and names none: the tenant chooses")
