"""The list of pending approvals: its rows, filters, pages, and what each API version and user sees of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.sandbox.directory import Known
from batch.sandbox.item_rules import Approver, ApproverType, Duration, RequestRules
from batch.sandbox.lifecycle import Handling, Reference
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.pending_approvals import list_pending_approvals
from batch.sandbox.tenant import REQUESTER, REQUESTER_ID, SimulatedTenant
from tests.sandbox.calls import NOW, entries_of, grant, later, revoke, shown, text_of

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer

DIRECTORY = make_directory(30)
ROLE = DIRECTORY.of_type(ItemType.ROLE)[3]
ANNA, BEN, CARLA = DIRECTORY.people[:3]
DEPUTY = Reference(id="d" * 32, name="Dana Deputy")


def answer(
    tenant: SimulatedTenant,
    at: Any = NOW,
    *,
    api: str = "v1",
    needs_owner: bool = False,
    own_only: bool = False,
    **query: str,
) -> Answer:
    asked = {name.replace("_", "-"): value for name, value in query.items()}
    return list_pending_approvals(
        tenant.visible(at),
        asked,
        dialect=DIALECTS[api],
        known=tenant.known,
        tracking_id="t",
        needs_owner=needs_owner,
        own_only=own_only,
    )


def pending(tenant: SimulatedTenant, at: Any = NOW, **query: Any) -> list[dict[str, Any]]:
    return entries_of(answer(tenant, at, **query))


def people_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["requestedFor"]["id"] for row in rows]


def test_a_row_shows_who_asked_for_what_and_who_has_to_decide() -> None:
    tenant = SimulatedTenant(known=Known(directory=DIRECTORY))
    metadata = {"k": "v"}
    tenant.submit(grant(BEN.id, items=(ROLE.id,), comment="why", clientMetadata=metadata), NOW)
    (row,), (status,) = pending(tenant), shown(tenant, NOW)
    assert row["owner"] == {"type": "IDENTITY", "id": ROLE.owner.id, "name": ROLE.owner.display_name}
    assert row["requester"] == REQUESTER.as_json()
    assert row["requestedFor"] == {"type": "IDENTITY", "id": BEN.id, "name": BEN.display_name}
    assert row["requestedObject"] == {"id": ROLE.id, "name": ROLE.name, "type": "ROLE"}
    assert (row["requesterComment"]["comment"], row["requestType"]) == ("why", "GRANT_ACCESS")
    assert (row["clientMetadata"], row["forwardHistory"]) == (metadata, [])
    assert row["accessRequestId"] == status["accessRequestId"]
    assert row["created"] == row["requestCreated"] == row["modified"] == status["created"]
    assert row["id"] not in {status["id"], status["accessRequestId"], status["accountActivityItemId"]}


def test_only_what_waits_for_an_approver_is_listed_and_as_late_as_in_the_status_list() -> None:
    handling = Handling(approval_seconds=10, provisioning_seconds=10)
    tenant = SimulatedTenant(visibility_delay=5, handling=handling)
    tenant.submit(grant("i1", "i2"), NOW)
    assert pending(tenant, later(4)) == []
    assert people_of(pending(tenant, later(5))) == ["i1", "i2"]
    tenant.conclude("CANCELLED", identity="i1", now=later(6))
    assert people_of(pending(tenant, later(7))) == ["i2"]
    assert pending(tenant, later(10)) == []


def test_both_lists_name_the_accounts_that_were_chosen() -> None:
    chosen = [{"sourceId": "s1", "accounts": [{"nativeIdentity": "CN=Anna", "accountUuid": "u1"}]}]
    for accounts, named in (
        ({"accountSelection": chosen}, [{"type": "ACCOUNT", "accountUuid": "u1", "accountId": "CN=Anna"}]),
        ({"nativeIdentity": "anna"}, [{"type": "ACCOUNT", "accountUuid": None, "accountId": "anna"}]),
        ({}, None),
    ):
        tenant = SimulatedTenant()
        tenant.request_by_other(NOW, identity="i1", item_type=ItemType.ENTITLEMENT, item_id="e1", **accounts)
        (approval,), (row,) = pending(tenant), shown(tenant, NOW)
        assert approval["requestedAccounts"] == row.get("requestedAccounts") == named


def test_an_item_without_approvers_waits_for_nobody() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=60, provisioning_seconds=1))
    tenant.known.change_item("r1", request=RequestRules(approvers=()))
    tenant.submit(grant(), NOW)
    assert pending(tenant) == []
    (row,) = shown(tenant, later(1))
    assert (row["state"], row["approvalDetails"]) == ("REQUEST_COMPLETED", [])


def test_a_manager_approves_if_the_item_says_so() -> None:
    tenant = SimulatedTenant(known=Known(directory=DIRECTORY))
    tenant.known.change_item(ROLE.id, request=RequestRules(approvers=(Approver(type=ApproverType.MANAGER),)))
    tenant.submit(grant(BEN.id, items=(ROLE.id,)), NOW)
    assert pending(tenant)[0]["owner"]["id"] == BEN.manager == ANNA.id


def test_a_forwarded_approval_names_its_new_owner_and_how_it_came_there() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2"), NOW)
    assert tenant.forward(DEPUTY, now=later(60), identity="i1", comment="On leave") == 1
    row, other = pending(tenant, later(61))
    assert (row["owner"]["id"], row["modified"]) == (DEPUTY.id, "2026-03-01T12:01:00.000Z")
    (step,) = row["forwardHistory"]
    assert (step["oldApproverName"], step["newApproverName"]) == (other["owner"]["name"], DEPUTY.name)
    assert (step["comment"], step["modified"]) == ("On leave", "2026-03-01T12:01:00.000Z")
    assert people_of(pending(tenant, later(61), owner_id=DEPUTY.id)) == ["i1"]
    details = shown(tenant, later(61))[0]["approvalDetails"][0]
    assert (details["forwarded"], details["currentOwner"]["id"]) == (True, DEPUTY.id)


def test_a_setting_forwards_a_share_of_the_approvals() -> None:
    tenant = SimulatedTenant(handling=Handling(forwarded=1.0))
    tenant.submit(grant(), NOW)
    assert [step["newApproverName"] for step in pending(tenant)[0]["forwardHistory"]] == ["Olivia Other"]


@pytest.mark.parametrize(
    ("held_until", "asked", "changes", "current"),
    [
        (None, {}, False, None),
        (None, {"removeDate": "2026-05-01T00:00:00.000Z"}, True, None),
        ("2026-06-01T00:00:00.000Z", {}, True, "2026-06-01T00:00:00.000Z"),
        ("2026-06-01T00:00:00.000Z", {"removeDate": "2026-06-01T00:00:00.000Z"}, False, "2026-06-01T00:00:00.000Z"),
    ],
)
def test_a_row_shows_the_end_of_the_access_at_the_time_of_the_request(
    *, held_until: str | None, asked: dict[str, str], changes: bool, current: str | None
) -> None:
    fields: dict[str, Any] = dict(asked)
    until = None if held_until is None else datetime.fromisoformat(held_until)
    tenant = SimulatedTenant(cancels_duplicates=False)
    tenant.hold("i1", ItemType.ROLE, "r1", until=until)
    tenant.submit(grant(**fields), NOW)
    (row,) = pending(tenant)
    assert (row["removeDateUpdateRequested"], row.get("currentRemoveDate")) == (changes, current)
    assert row.get("removeDate") == asked.get("removeDate")


def test_a_row_shows_how_long_the_item_may_be_held() -> None:
    tenant = SimulatedTenant()
    tenant.known.change_item("r1", request=RequestRules(longest=Duration(value=9), denial_comments_required=True))
    tenant.submit(grant(removeDate="2026-03-05T00:00:00Z"), NOW)
    tenant.submit(revoke(), NOW)
    granted, revoked = pending(tenant)
    assert granted["maxPermittedAccessDuration"] == {"value": 9, "timeUnit": "DAYS"}
    assert (granted["commentRequiredWhenRejected"], revoked["maxPermittedAccessDuration"]) == (True, None)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('requestedFor.id eq "i2"', ["i2"]),
        ('requestedFor.id in ("i3","i1","ghost")', ["i1", "i3"]),
        ('requestedFor.id in ("i3","i1") and requestedFor.id eq "i3"', ["i3"]),
        ("modified ge 2026-03-01T12:00:10Z", ["i3"]),
        ("modified lt 2026-03-01T12:00:10Z", ["i1", "i2"]),
        ("modified eq 2026-03-01T12:00:10Z", ["i3"]),
        ("created in (2026-03-01T12:00:10Z, 2027-03-01T12:00:10Z)", ["i3"]),
        ("created gt 2026-03-01T12:00:10Z", []),
    ],
)
def test_the_documented_filters_find_rows(filters: str, found: list[str]) -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2"), NOW)
    tenant.submit(grant("i3"), later(10))
    assert people_of(pending(tenant, later(20), filters=filters)) == found


def test_a_row_is_found_by_its_own_id_and_by_its_request() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2"), NOW)
    first, second = pending(tenant)
    assert pending(tenant, filters=f'id in ("{first["id"]}")') == [first]
    assert pending(tenant, filters=f'id eq "{second["id"]}"') == [second]
    assert pending(tenant, filters=f'accessRequestId in ("{second["accessRequestId"]}")') == [second]


def test_beta_knows_nothing_of_access_requests_and_of_creation() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    assert "accessRequestId" not in pending(tenant, api="beta")[0]
    for filters in ('accessRequestId in ("a")', "created ge 2026-03-01T12:00:00Z"):
        assert "does not know" in text_of(answer(tenant, api="beta", filters=filters))
        assert answer(tenant, api="v3", filters=filters).status == 200


@pytest.mark.parametrize(
    "query",
    [
        {"filters": 'owner.id eq "x"'},
        {"filters": 'requestedFor.id eq "a" or requestedFor.id eq "b"'},
        {"filters": 'requestedFor.id sw "a"'},
        {"filters": "modified sw 2026-03-01T12:00:10Z"},
        {"filters": "modified ge yesterday"},
        {"filters": "created ge 2026-03-01T12:00:10"},
        {"sorters": "name"},
        {"limit": "251"},
        {"offset": "2"},
        {"count": "yes"},
    ],
)
def test_anything_else_is_refused(query: dict[str, Any]) -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    assert answer(tenant, **query).status == 400


def test_pages_are_cut_from_the_sorted_list_and_counted() -> None:
    tenant = SimulatedTenant()
    for number in range(5):
        tenant.submit(grant(f"i{number}"), later(number))
    page = answer(tenant, later(9), sorters="-created", limit="2", offset="1", count="true")
    assert people_of(entries_of(page)) == ["i3", "i2"]
    assert page.headers["X-Total-Count"] == "5"


def test_an_older_tenant_wants_to_know_whose_approvals() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    assert text_of(answer(tenant, needs_owner=True)) == "owner-id is required."
    owner = pending(tenant)[0]["owner"]["id"]
    assert len(pending(tenant, needs_owner=True, owner_id=owner)) == 1


def test_a_user_without_admin_rights_sees_only_what_waits_for_that_user() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2"), NOW)
    tenant.forward(REQUESTER, now=NOW, identity="i2")
    for owner in ("me", REQUESTER_ID):
        assert people_of(pending(tenant, own_only=True, owner_id=owner)) == ["i2"]
    assert answer(tenant, own_only=True).status == 403
    assert answer(tenant, own_only=True, owner_id="x").status == 403
