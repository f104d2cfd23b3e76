"""Cancelling: what can be, by which id, and what a bulk call keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest

from batch.api.dialects import CANCEL_LIMIT, ItemType
from batch.sandbox.cancelling import CancelId
from batch.sandbox.lifecycle import Handling
from batch.sandbox.tenant import SimulatedTenant
from tests.sandbox.asking import NOW, grant, later, shown, text_of


def one_request(**chosen: Any) -> SimulatedTenant:
    """Two rows of one access request."""
    tenant = SimulatedTenant(**chosen)
    tenant.submit(grant(items=("r1", "r2")), NOW)
    return tenant


def ids(tenant: SimulatedTenant) -> tuple[str, str]:
    """Of the access request, and of its first row."""
    row = tenant.visible_rows(NOW)[0]
    return row.access_request_id, row.account_activity_item_id


def states(tenant: SimulatedTenant, seconds: float = 0) -> list[str]:
    return [row["state"] for row in shown(tenant, later(seconds))]


def test_by_a_rows_own_id_one_row_is_cancelled_and_by_the_requests_all_of_them() -> None:
    by_row, by_request = one_request(), one_request()
    assert by_row.cancel({"accountActivityId": ids(by_row)[1], "comment": "no"}, NOW).status == 202
    assert by_request.cancel({"accountActivityId": ids(by_request)[0], "comment": "no"}, NOW).status == 202
    assert (states(by_row), states(by_request)) == (["CANCELLED", "EXECUTING"], ["CANCELLED", "CANCELLED"])


@pytest.mark.parametrize(("takes", "taken"), [(CancelId.REQUEST, 0), (CancelId.ROW, 1)])
def test_a_tenant_may_take_only_one_of_the_two_ids(takes: CancelId, taken: int) -> None:
    tenant = one_request(cancel_id=takes)
    answers = [tenant.cancel({"accountActivityId": named, "comment": "no"}, NOW).status for named in ids(tenant)]
    assert answers == [202 if place == taken else 400 for place in (0, 1)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"accountActivityId": "ghost", "comment": "no"}, "not found"),
        ({"accountActivityId": "ghost"}, "comment is required"),
        ({"accountActivityId": "ghost", "comment": " "}, "comment is required"),
        ({"accountActivityId": "", "comment": "no"}, "accountActivityId"),
        ({"comment": "no"}, "accountActivityId"),
        ([], "comment"),
    ],
)
def test_a_cancellation_that_makes_no_sense_is_refused(body: object, told: str) -> None:
    tenant = one_request()
    answer = tenant.cancel(body, NOW)
    assert answer.status == 400
    assert told in text_of(answer)
    assert states(tenant) == ["EXECUTING", "EXECUTING"]


@pytest.mark.parametrize("seconds", [10, 20])
def test_what_is_approved_or_finished_cant_be_cancelled_any_more(seconds: float) -> None:
    tenant = one_request(handling=Handling(approval_seconds=10, provisioning_seconds=10))
    answer = tenant.cancel({"accountActivityId": ids(tenant)[0], "comment": "no"}, later(seconds))
    assert answer.status == 400
    assert "any more" in text_of(answer)
    assert "CANCELLED" not in states(tenant, seconds)


def test_a_bulk_call_cancels_what_it_can_and_says_nothing_of_the_rest() -> None:
    tenant = one_request()
    tenant.submit(grant("i2", "i3"), NOW)
    rows = tenant.visible_rows(NOW)
    tenant.conclude("REQUEST_COMPLETED", identity="i3", now=NOW)
    named = ["ghost", *{row.access_request_id: None for row in rows if row.change.identity != "i2"}]
    assert tenant.cancel_in_bulk({"accessRequestIds": named, "comment": "no"}, later(1)).status == 202
    assert states(tenant, 1) == ["CANCELLED", "CANCELLED", "EXECUTING", "REQUEST_COMPLETED"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"accessRequestIds": [f"r{n}" for n in range(CANCEL_LIMIT + 1)], "comment": "no"}, "1 to 50 ids, not 51"),
        ({"accessRequestIds": [], "comment": "no"}, "1 to 50"),
        ({"accessRequestIds": "r1", "comment": "no"}, "array"),
        ({"accessRequestIds": [1], "comment": "no"}, "strings"),
        ({"accessRequestIds": ["r1"]}, "comment is required"),
    ],
)
def test_a_bulk_call_that_breaks_a_rule_is_refused(body: object, told: str) -> None:
    answer = one_request().cancel_in_bulk(body, NOW)
    assert answer.status == 400
    assert told in text_of(answer)


def test_a_tenant_may_answer_a_bulk_call_and_do_nothing() -> None:
    tenant = one_request(ignores_bulk_cancel=True)
    assert tenant.cancel_in_bulk({"accessRequestIds": [ids(tenant)[0]], "comment": "no"}, NOW).status == 202
    assert states(tenant) == ["EXECUTING", "EXECUTING"]


def test_who_is_no_administrator_cancels_only_their_own() -> None:
    tenant = SimulatedTenant()
    tenant.request_by_other(NOW, identity="i1", item_type=ItemType.ROLE, item_id="r1")
    named = {"accountActivityId": ids(tenant)[0], "comment": "no"}
    assert tenant.cancel(named, NOW, any_requester=False).status == 403
    assert states(tenant) == ["EXECUTING"]
    assert tenant.cancel(named, NOW).status == 202
