"""Cancelling: which rows can be cancelled, by which id, alone and in bulk."""

from __future__ import annotations

from typing import Any

import pytest

from batch.api.dialects import CANCEL_LIMIT, ItemType
from batch.sandbox.cancelling import CancelId
from batch.sandbox.lifecycle import Handling
from batch.sandbox.tenant import SimulatedTenant
from tests.sandbox.calls import NOW, grant, later, shown, text_of


def one_request(**options: Any) -> SimulatedTenant:
    """A tenant with two rows of one access request."""
    tenant = SimulatedTenant(**options)
    tenant.submit(grant(items=("r1", "r2")), NOW)
    return tenant


def ids(tenant: SimulatedTenant) -> tuple[str, str]:
    """The ids of the access request and of its first row."""
    row = tenant.visible_rows(NOW)[0]
    return row.access_request_id, row.account_activity_item_id


def states(tenant: SimulatedTenant, seconds: float = 0) -> list[str]:
    return [row["state"] for row in shown(tenant, later(seconds))]


def test_a_rows_id_cancels_one_row_and_a_requests_id_cancels_all_its_rows() -> None:
    by_row, by_request = one_request(), one_request()
    assert by_row.cancel({"accountActivityId": ids(by_row)[1], "comment": "no"}, NOW).status == 202
    assert by_request.cancel({"accountActivityId": ids(by_request)[0], "comment": "no"}, NOW).status == 202
    assert (states(by_row), states(by_request)) == (["CANCELLED", "EXECUTING"], ["CANCELLED", "CANCELLED"])


@pytest.mark.parametrize(("takes", "taken"), [(CancelId.REQUEST, 0), (CancelId.ROW, 1)])
def test_a_tenant_can_be_set_to_take_only_one_of_the_two_ids(takes: CancelId, taken: int) -> None:
    tenant = one_request(cancel_id=takes)
    answers = [tenant.cancel({"accountActivityId": name, "comment": "no"}, NOW).status for name in ids(tenant)]
    assert answers == [202 if index == taken else 400 for index in (0, 1)]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"accountActivityId": "ghost", "comment": "no"}, "not found"),
        ({"accountActivityId": "ghost"}, "comment is required"),
        ({"accountActivityId": "ghost", "comment": " "}, "comment is required"),
        ({"accountActivityId": "", "comment": "no"}, "accountActivityId"),
        ({"comment": "no"}, "accountActivityId"),
        ([], "comment"),
    ],
)
def test_a_cancel_call_that_breaks_a_rule_is_refused(body: object, cause: str) -> None:
    tenant = one_request()
    assert cause in text_of(tenant.cancel(body, NOW))
    assert states(tenant) == ["EXECUTING", "EXECUTING"]


@pytest.mark.parametrize("seconds", [10, 20])
def test_an_approved_or_finished_request_can_no_longer_be_cancelled(seconds: float) -> None:
    tenant = one_request(handling=Handling(approval_seconds=10, provisioning_seconds=10))
    answer = tenant.cancel({"accountActivityId": ids(tenant)[0], "comment": "no"}, later(seconds))
    assert "any more" in text_of(answer)
    assert "CANCELLED" not in states(tenant, seconds)


def test_a_bulk_call_cancels_what_it_can_and_ignores_the_rest() -> None:
    tenant = one_request()
    tenant.submit(grant("i2", "i3"), NOW)
    rows = tenant.visible_rows(NOW)
    tenant.conclude("REQUEST_COMPLETED", identity="i3", now=NOW)
    request_ids = ["ghost", *{row.access_request_id: None for row in rows if row.change.identity != "i2"}]
    assert tenant.cancel_in_bulk({"accessRequestIds": request_ids, "comment": "no"}, later(1)).status == 202
    assert states(tenant, 1) == ["CANCELLED", "CANCELLED", "EXECUTING", "REQUEST_COMPLETED"]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"accessRequestIds": [f"r{n}" for n in range(CANCEL_LIMIT + 1)], "comment": "no"}, "1 to 50 ids, not 51"),
        ({"accessRequestIds": [], "comment": "no"}, "1 to 50"),
        ({"accessRequestIds": "r1", "comment": "no"}, "array"),
        ({"accessRequestIds": [1], "comment": "no"}, "strings"),
        ({"accessRequestIds": ["r1"]}, "comment is required"),
    ],
)
def test_a_bulk_call_that_breaks_a_rule_is_refused(body: object, cause: str) -> None:
    assert cause in text_of(one_request().cancel_in_bulk(body, NOW))


def test_a_tenant_can_be_set_to_answer_a_bulk_call_and_do_nothing() -> None:
    tenant = one_request(ignores_bulk_cancel=True)
    assert tenant.cancel_in_bulk({"accessRequestIds": [ids(tenant)[0]], "comment": "no"}, NOW).status == 202
    assert states(tenant) == ["EXECUTING", "EXECUTING"]


def test_only_an_administrator_cancels_another_users_request() -> None:
    tenant = SimulatedTenant()
    tenant.request_by_other(NOW, identity="i1", item_type=ItemType.ROLE, item_id="r1")
    body = {"accountActivityId": ids(tenant)[0], "comment": "no"}
    assert tenant.cancel(body, NOW, any_requester=False).status == 403
    assert states(tenant) == ["EXECUTING"]
    assert tenant.cancel(body, NOW).status == 202
