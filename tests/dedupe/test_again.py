"""What is planned again, as it has not arrived, is left to another request that asks for the same."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from batch.api.account_key import ID, account_key
from batch.dedupe.again import doubted_again, left_to_others
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA
from batch.dedupe.overlap import KEY

IMPORTS = ("imported",)


def known(request: int, **others: Any) -> dict[str, Any]:
    """A line of the ledger's knowledge about one access: an accepted grant without dates, if nothing else is said."""
    line = dict.fromkeys(KNOWN_SCHEMA, "") | {"identity_id": "anna", "item_type": "ROLE", "item_id": "r1"}
    return line | {"operation": "GRANT", "state": "ACCEPTED", "run": "other", "request": request, **others}


def going(*others: dict[str, Any], account: str = "") -> list[str]:
    """The runs to which request 5 leaves its grant."""
    own = known(5, run="own", state="PLANNED", account=account)
    again = pl.DataFrame([own]).select("request", *KEY, *INTENTION)
    found = left_to_others(again, pl.DataFrame([own, *others], schema=KNOWN_SCHEMA), IMPORTS)
    return found.get_column("by").to_list()


@pytest.mark.parametrize("state", ["PLANNED", "SENDING", "UNCONFIRMED", "ACCEPTED"])
@pytest.mark.parametrize("number", [4, 6])
def test_another_request_for_the_same_has_it(number: int, state: str) -> None:
    assert going(known(number, state=state)) == ["other"]


@pytest.mark.parametrize("state", ["SPLIT", "REFUSED", "DISCARDED"])
@pytest.mark.parametrize("number", [4, 6])
def test_a_request_that_is_not_sent_any_more_has_nothing(number: int, state: str) -> None:
    assert going(known(number, state=state)) == []


def test_a_grant_after_a_revoke_is_sent_again() -> None:
    assert going(known(3), known(4, operation="REVOKE")) == []


def test_a_later_revoke_is_not_undone() -> None:
    assert going(known(6, operation="REVOKE")) == ["other"]


def test_an_earlier_grant_with_other_dates_does_not_count() -> None:
    assert going(known(4, remove_date="2027-01-01T00:00:00.000Z")) == []


def test_what_was_rejected_was_to_be_submitted_again() -> None:
    assert going(known(4, tenant_state="REJECTED")) == []


def test_a_cancelled_revoke_leaves_the_grant_before_it_in_force() -> None:
    assert going(known(3), known(4, operation="REVOKE", tenant_state="CANCELLED")) == ["other"]


def test_an_imported_request_is_older_than_its_number_tells() -> None:
    assert going(known(9, run="imported", operation="REVOKE")) == []
    assert going(known(9, run="imported")) == ["imported"]
    assert going(known(9, run="imported"), known(4, operation="REVOKE")) == []


def test_a_revoke_that_was_imported_before_the_grant_was_planned_undid_an_earlier_grant() -> None:
    assert going(known(3), known(4, run="imported", operation="REVOKE")) == []
    assert going(known(3, operation="REVOKE"), known(4, run="imported")) == ["imported"]
    assert going(known(3, run="imported", operation="REVOKE"), known(4)) == ["other"]


def test_another_account_is_another_change() -> None:
    first, second = account_key({ID: "1"}), account_key({ID: "2"})
    assert going(known(4, account=second), account=first) == []
    assert going(known(4), account=first) == ["other"]


def test_what_is_left_of_a_divided_request_and_its_part_are_doubted_together() -> None:
    changes, parts = {12: ["a", "b"], 22: ["b"]}, {12: [22]}
    assert doubted_again([12, 22], changes, parts) == [12], "b would be in doubt twice, and could be sent twice"


def test_a_part_that_is_in_a_part_is_doubted_with_the_whole() -> None:
    assert doubted_again([12, 30], {12: ["a", "b", "c"], 30: ["c"]}, {12: [22], 22: [30]}) == [12]


def test_parts_that_have_all_changes_of_their_request_stand_for_it() -> None:
    assert doubted_again([12, 22, 23], {12: ["a", "b"], 22: ["a"], 23: ["b"]}, {12: [22, 23]}) == [22, 23]


def test_a_request_whose_changes_are_not_about_to_be_sent_is_left_alone() -> None:
    assert doubted_again([12, 13], {13: ["a"]}, {}) == [13]
