"""The lifecycle of accepted changes, and its rows in the status list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ItemType, Operation
from batch.api.tenant_outcome import TENANT_OUTCOMES, TenantOutcome
from batch.sandbox.directory import APPROVER
from batch.sandbox.lifecycle import REJECTION_COMMENT, Handling
from batch.sandbox.tenant import OTHER_USER, REQUESTER, REQUESTER_ID, SimulatedTenant
from batch.tenant.status_row import status_row
from tests.sandbox.calls import NOW, grant, later, revoke, shown

ROLE = (ItemType.ROLE, "r1")


def row_after(handling: Handling, *seconds: float) -> list[dict[str, Any]]:
    """The row of one change after each number of seconds."""
    tenant = SimulatedTenant(handling=handling)
    tenant.submit(grant(), NOW)
    return [shown(tenant, later(after))[0] for after in seconds]


def test_by_default_a_change_waits_forever_for_its_approver() -> None:
    (row,) = row_after(Handling(), 10**9)
    (approval,) = row["approvalDetails"]
    assert (row["state"], row["cancelable"], approval["status"]) == ("EXECUTING", True, "PENDING")


def test_a_change_is_approved_then_provisioned_each_after_its_delay() -> None:
    rows = row_after(Handling(approval_seconds=60, provisioning_seconds=30), 0, 59.9, 60, 89.9, 90)
    assert [row["state"] for row in rows] == ["EXECUTING"] * 4 + ["REQUEST_COMPLETED"]
    assert [row["approvalDetails"][0]["status"] for row in rows] == ["PENDING", "PENDING", *["APPROVED"] * 3]
    assert [row["cancelable"] for row in rows] == [True, True, False, False, False]
    assert [row["modified"][11:19] for row in rows] == ["12:00:00", "12:00:00", "12:01:00", "12:01:00", "12:01:30"]
    assert rows[-1]["approvalDetails"][0] == {
        "forwarded": False,
        "originalOwner": APPROVER.as_json(),
        "currentOwner": APPROVER.as_json(),
        "modified": "2026-03-01T12:01:00.000Z",
        "status": "APPROVED",
        "scheme": "ROLE_OWNER",
        "comment": "Approved.",
    }


def test_a_delay_of_zero_provisions_at_once() -> None:
    (row,) = row_after(Handling(approval_seconds=0, provisioning_seconds=0), 0)
    assert row["state"] == "REQUEST_COMPLETED"


def test_a_rejection_has_a_comment() -> None:
    before, after = row_after(Handling(approval_seconds=60, provisioning_seconds=30, rejected=1), 59, 60)
    (approval,) = after["approvalDetails"]
    assert (before["state"], after["state"], approval["status"]) == ("EXECUTING", "REJECTED", "REJECTED")
    assert (approval["currentOwner"]["name"], bool(approval["comment"])) == ("Alex Approver", True)


@pytest.mark.parametrize("owners_listed", [False, True])
def test_who_decides_and_why_is_read_from_the_approvals_of_old_tenants_and_of_todays(*, owners_listed: bool) -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=60, rejected=1), owners_listed=owners_listed)
    tenant.submit(grant(), NOW)
    found = [status_row(shown(tenant, later(seconds))[0]) for seconds in (59, 60)]
    assert [(row.who, row.said) for row in found if row] == [
        ("Alex Approver", ""),
        ("Alex Approver", REJECTION_COMMENT),
    ]
    (approval,) = shown(tenant, later(60))[0]["approvalDetails"]
    assert (approval["currentOwner"] is None, "reviewedBy" in approval) == (owners_listed, owners_listed)


def test_a_failed_provisioning_has_an_error_message() -> None:
    (row,) = row_after(Handling(approval_seconds=60, provisioning_seconds=30, failed=1), 90)
    assert (row["state"], row["approvalDetails"][0]["status"]) == ("PROVISIONING_FAILED", "APPROVED")
    ((message,),) = row["errorMessages"]
    assert set(message) == {"locale", "localeOrigin", "text"}
    assert "locked" in message["text"]


def test_the_set_shares_of_changes_are_rejected_and_fail_and_always_the_same_ones() -> None:
    def states(seed: int) -> list[str]:
        handling = Handling(approval_seconds=0, provisioning_seconds=0, rejected=0.25, failed=0.25, seed=seed)
        tenant = SimulatedTenant(handling=handling)
        for person in range(40):
            tenant.submit(grant(f"i{person}", items=tuple(f"r{n}" for n in range(25))), NOW)
        return [row["state"] for row in shown(tenant, NOW)]

    first = states(1)
    assert first == states(1) != states(2)
    assert 200 < first.count("REJECTED") < 300
    assert 140 < first.count("PROVISIONING_FAILED") < 235


@given(
    approval=st.none() | st.floats(0, 100),
    provisioning=st.none() | st.floats(0, 100),
    rejected=st.sampled_from([0.0, 0.5, 1.0]),
    failed=st.sampled_from([0.0, 0.5, 1.0]),
    delays=st.lists(st.floats(0, 250), min_size=2),
)
def test_a_final_state_never_changes_and_the_cheap_state_agrees_with_the_full_one(
    approval: float | None, provisioning: float | None, rejected: float, failed: float, delays: list[float]
) -> None:
    tenant = SimulatedTenant(
        handling=Handling(
            approval_seconds=approval, provisioning_seconds=provisioning, rejected=rejected, failed=failed
        )
    )
    tenant.submit(grant(), NOW)
    (row,) = tenant.visible_rows(NOW)
    states = [row.state(later(delay)) for delay in sorted(delays)]
    final = [state for state in states if TENANT_OUTCOMES[state] is not TenantOutcome.OPEN]
    assert states[len(states) - len(final) :] == final
    assert len(set(final)) <= 1
    assert states == [row.stage(later(delay)).state for delay in sorted(delays)]


def test_a_test_can_conclude_a_change_at_a_time_with_a_name_and_a_comment() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=1, provisioning_seconds=1))
    tenant.submit(grant(), NOW)
    tenant.conclude("REJECTED", now=later(50), by="Rita Rector", comment="Ask me again in May.")
    (row,) = shown(tenant, later(60))
    (approval,) = row["approvalDetails"]
    assert (row["state"], row["modified"]) == ("REJECTED", "2026-03-01T12:00:50.000Z")
    assert (approval["currentOwner"]["name"], approval["comment"]) == ("Rita Rector", "Ask me again in May.")
    assert approval["originalOwner"]["name"] == "Alex Approver"


def test_a_completed_grant_is_held_and_a_completed_revoke_takes_it_away() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=10, provisioning_seconds=10))
    tenant.submit(grant(), NOW)
    tenant.submit(revoke(), later(100))
    held = [ROLE in tenant.held("i1", later(seconds)) for seconds in (0, 19.9, 20, 119.9, 120)]
    assert held == [False, False, True, True, False]


def test_a_rejected_or_failed_grant_is_not_held() -> None:
    for rejected, failed in ((1, 0), (0, 1)):
        handling = Handling(approval_seconds=0, provisioning_seconds=0, rejected=rejected, failed=failed)
        tenant = SimulatedTenant(handling=handling)
        tenant.submit(grant(), NOW)
        assert tenant.held("i1", later(1)) == {}


def test_access_with_dates_is_held_between_them() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=0, provisioning_seconds=0))
    tenant.submit(grant(removeDate="2026-03-01T13:00:00Z"), NOW)
    assert [ROLE in tenant.held("i1", later(seconds)) for seconds in (0, 3599, 3600)] == [True, True, False]


def test_the_search_shows_access_only_after_its_lag() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=0, provisioning_seconds=0), search_lag=60)
    tenant.submit(grant(), NOW)
    assert [bool(tenant.held_as_searched("i1", later(seconds))) for seconds in (59, 60)] == [False, True]


def test_a_grant_of_held_access_is_accepted_and_listed_as_a_cancelled_duplicate() -> None:
    tenant = SimulatedTenant()
    tenant.hold("i1", ItemType.ROLE, "r1")
    assert tenant.submit(grant(items=("r1", "r2")), NOW).status == 202
    duplicate, other = shown(tenant, NOW)
    assert (duplicate["state"], other["state"]) == ("CANCELLED", "EXECUTING")
    assert "duplicate" in duplicate["cancelledRequestDetails"]["comment"]
    assert duplicate["cancelledRequestDetails"]["modified"] == duplicate["created"]
    assert (duplicate["cancelable"], duplicate["approvalDetails"]) == (False, [])
    assert tenant.audit.change_counts().total() == 2


def test_a_repeated_change_in_progress_is_a_cancelled_duplicate_but_its_opposite_is_not() -> None:
    tenant = SimulatedTenant()
    for body in (grant(), grant(), revoke(), revoke()):
        tenant.submit(body, NOW)
    assert [row["state"] for row in shown(tenant, NOW)] == ["EXECUTING", "CANCELLED", "EXECUTING", "CANCELLED"]


def test_a_finished_change_makes_no_duplicates() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    tenant.conclude("REJECTED", now=NOW)
    tenant.submit(grant(), later(1))
    assert [row["state"] for row in shown(tenant, later(1))] == ["REJECTED", "EXECUTING"]


def test_a_grant_with_other_dates_is_not_a_duplicate_of_held_access() -> None:
    tenant = SimulatedTenant()
    tenant.hold("i1", ItemType.ROLE, "r1")
    tenant.hold("i2", ItemType.ROLE, "r1", until=later(10**7))
    tenant.submit(grant("i1", removeDate="2027-01-01T00:00:00Z"), NOW)
    tenant.submit(grant("i2"), NOW)
    assert [row["state"] for row in shown(tenant, NOW)] == ["EXECUTING", "EXECUTING"]


def test_a_tenant_can_be_set_to_let_duplicates_through() -> None:
    tenant = SimulatedTenant(cancels_duplicates=False)
    tenant.hold("i1", ItemType.ROLE, "r1")
    for _ in range(2):
        tenant.submit(grant(), NOW)
    assert [row["state"] for row in shown(tenant, NOW)] == ["EXECUTING", "EXECUTING"]


def test_a_tracking_response_lists_changes_in_progress_under_their_older_request() -> None:
    tenant = SimulatedTenant(tracking_response=True)
    older = tenant.request_by_other(NOW, identity="i1", item_type=ItemType.ROLE, item_id="r1")
    body: Any = tenant.submit(grant("i1", "i2", items=("r1", "r2")), NOW).body
    (existing,) = body["existingRequests"]
    assert existing["requestedFor"] == "i1"
    assert existing["requestedItemsDetails"] == [{"type": "ROLE", "id": "r1"}]
    assert existing["accessRequestIds"] == [older.access_request_id]
    new = [
        (entry["requestedFor"], [one["id"] for one in entry["requestedItemsDetails"]]) for entry in body["newRequests"]
    ]
    assert new == [("i1", ["r2"]), ("i2", ["r1", "r2"])]


def test_another_users_requests_are_listed_with_their_name_and_are_not_in_the_audit_log() -> None:
    tenant = SimulatedTenant()
    tenant.request_by_other(
        NOW,
        identity="i1",
        item_type=ItemType.ROLE,
        item_id="r1",
        operation=Operation.REVOKE,
        comment="leaver",
        clientMetadata={"tool": "other"},
    )
    (row,) = shown(tenant, NOW)
    assert row["requester"] == OTHER_USER.as_json()
    assert (row["requestType"], row["clientMetadata"]) == ("REVOKE_ACCESS", {"tool": "other"})
    assert row["requesterComment"]["author"] == OTHER_USER.as_json()
    assert tenant.audit.accepted == []


@pytest.mark.parametrize(
    "id_of",
    [lambda row: row.account_activity_item_id, lambda row: row.access_request_id],
    ids=["by its own id", "by the access request's"],
)
def test_a_request_can_be_cancelled_while_it_waits_for_its_approver(id_of: Any) -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    (row,) = tenant.visible_rows(NOW)
    answer = tenant.cancel({"accountActivityId": id_of(row), "comment": "By mistake."}, later(5))
    assert (answer.status, answer.body) == (202, {})
    (cancelled,) = shown(tenant, later(5))
    assert cancelled["state"] == "CANCELLED"
    assert cancelled["cancelledRequestDetails"] == {
        "comment": "By mistake.",
        "owner": REQUESTER.as_json(),
        "modified": "2026-03-01T12:00:05.000Z",
    }
    assert cancelled["approvalDetails"][0]["status"] == "CANCELLED"
    assert cancelled["requester"]["id"] == REQUESTER_ID
