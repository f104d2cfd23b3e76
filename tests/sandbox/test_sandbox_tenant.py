"""The simulated tenant: its answers, its audit log, and its status rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batch.api.dialects import DIALECTS, ItemType, Operation
from batch.sandbox.audit import AcceptedChange
from batch.sandbox.directory import APPROVER, Known
from batch.sandbox.tenant import REQUESTER_ID, SimulatedTenant
from tests.sandbox.calls import grant, revoke, text_of

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def change(identity: str, item_id: str, operation: Operation = Operation.GRANT) -> AcceptedChange:
    return AcceptedChange(operation=operation, identity=identity, item_type=ItemType.ROLE, item_id=item_id)


def test_an_accepted_request_is_answered_202_with_an_empty_object_and_logged() -> None:
    tenant = SimulatedTenant()
    answer = tenant.submit(grant("i1", "i2", items=("r1", "r2")), NOW)
    assert (answer.status, answer.body, answer.content()) == (202, {}, b"{}")
    assert tenant.audit.change_counts() == {change(i, r): 1 for i in ("i1", "i2") for r in ("r1", "r2")}
    (accepted,) = tenant.audit.accepted
    assert (accepted.at, accepted.dialect, accepted.body) == (NOW, "beta", grant("i1", "i2", items=("r1", "r2")))


def test_a_refused_request_is_answered_400_in_the_apis_error_form_and_only_counted() -> None:
    tenant = SimulatedTenant()
    answer = tenant.submit(grant(items=()), NOW)
    assert answer.status == 400
    assert isinstance(answer.body, dict)
    assert set(answer.body) == {"detailCode", "trackingId", "messages", "causes"}
    assert set(answer.body["messages"][0]) == {"locale", "localeOrigin", "text"}
    assert "requestedItems" in text_of(answer)
    assert (tenant.audit.refused, tenant.audit.accepted, tenant.visible_rows(NOW)) == (1, [], [])


def test_a_repeated_change_is_accepted_silently_and_counted_twice() -> None:
    tenant = SimulatedTenant()
    assert [tenant.submit(grant(), NOW).status for _ in range(2)] == [202, 202]
    assert tenant.audit.change_counts() == {change("i1", "r1"): 2}


def test_a_grant_and_a_revoke_of_one_item_are_two_changes() -> None:
    tenant = SimulatedTenant()
    assert [tenant.submit(body, NOW).status for body in (grant(), revoke())] == [202, 202]
    assert tenant.audit.change_counts() == {change("i1", "r1"): 1, change("i1", "r1", Operation.REVOKE): 1}


def test_the_dialect_decides_which_fields_exist() -> None:
    dated = grant(startDate="2027-01-01T00:00:00Z")
    tenant = SimulatedTenant()
    assert [tenant.submit(dated, NOW, DIALECTS[name]).status for name in ("beta", "v3", "v1")] == [400, 202, 202]
    assert [request.dialect for request in tenant.audit.accepted] == ["v3", "v1"]


def test_an_unknown_identity_or_item_refuses_the_whole_request_and_is_named() -> None:
    tenant = SimulatedTenant(known=Known(identities={"i1"}, items={"r1"}))
    assert tenant.submit(grant(), NOW).status == 202
    for body, bad_id in ((grant("i1", "ghost"), "ghost"), (grant(items=("r1", "gone")), "gone")):
        assert bad_id in text_of(tenant.submit(body, NOW))
    assert tenant.audit.change_counts().total() == 1


def test_a_tenant_can_be_set_not_to_name_an_unknown_id() -> None:
    known = Known(identities={"i1"}, names_bad_id=False)
    answer = SimulatedTenant(known=known).submit(grant("ghost"), NOW)
    assert text_of(answer) == "The identity was not found."


def test_an_unrequestable_item_refuses_the_whole_request_with_its_own_message() -> None:
    tenant = SimulatedTenant(known=Known(items={"r1", "r2"}, unrequestable={"r2"}))
    answer = tenant.submit(grant(items=("r1", "r2")), NOW)
    assert text_of(answer) == "The access item r2 can't be requested."
    assert tenant.submit(grant(items=("r1",)), NOW).status == 202
    silent = SimulatedTenant(known=Known(unrequestable={"r2"}, names_bad_id=False))
    assert text_of(silent.submit(grant(items=("r2",)), NOW)) == "The access item can't be requested."


def test_a_tracking_response_lists_each_identitys_items() -> None:
    tenant = SimulatedTenant(tracking_response=True)
    answer = tenant.submit(grant("i1", "i2", items=("r1", "r2")), NOW)
    assert isinstance(answer.body, dict)
    assert answer.body["existingRequests"] == []
    new = answer.body["newRequests"]
    assert [entry["requestedFor"] for entry in new] == ["i1", "i2"]
    assert new[0]["requestedItemsDetails"] == [{"type": "ROLE", "id": "r1"}, {"type": "ROLE", "id": "r2"}]
    shown = {(row.change.identity, row.access_request_id) for row in tenant.visible_rows(NOW)}
    assert shown == {(entry["requestedFor"], entry["accessRequestIds"][0]) for entry in new}


def test_rows_are_visible_after_the_visibility_delay() -> None:
    tenant = SimulatedTenant(visibility_delay=30)
    tenant.submit(grant("i1"), NOW)
    tenant.submit(grant("i2"), NOW + timedelta(seconds=10))
    seen = [len(tenant.visible_rows(NOW + timedelta(seconds=later))) for later in (0, 29.9, 30, 39.9, 40)]
    assert seen == [0, 0, 1, 1, 2]


def test_rows_stay_in_order_if_the_clock_steps_back() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1"), NOW)
    tenant.submit(grant("i2"), NOW - timedelta(hours=1))
    assert [row.change.identity for row in tenant.visible_rows(NOW)] == ["i1", "i2"]


def test_a_row_has_the_fields_of_a_real_tenants_status_list() -> None:
    tenant = SimulatedTenant()
    body = grant(comment="joiner", clientMetadata={"k": "v"}, removeDate="2027-01-01T00:00:00Z")
    tenant.submit(body | {"clientMetadata": {"request": "level"}}, NOW)
    (row,) = tenant.visible_rows(NOW)
    assert row.as_json(NOW) == {
        "id": "r1",
        "name": "Role r1",
        "type": "ROLE",
        "state": "EXECUTING",
        "requestType": "GRANT_ACCESS",
        "created": "2026-03-01T12:00:00.123Z",
        "modified": "2026-03-01T12:00:00.123Z",
        "requester": {"type": "IDENTITY", "id": REQUESTER_ID, "name": "sandbox.admin"},
        "requestedFor": {"type": "IDENTITY", "id": "i1", "name": "Identity i1"},
        "accessRequestId": row.access_request_id,
        "accountActivityItemId": row.account_activity_item_id,
        "cancelable": True,
        "approvalDetails": [
            {
                "forwarded": False,
                "originalOwner": APPROVER.as_json(),
                "currentOwner": APPROVER.as_json(),
                "modified": "2026-03-01T12:00:00.123Z",
                "status": "PENDING",
                "scheme": "ROLE_OWNER",
                "comment": None,
            }
        ],
        "errorMessages": [],
        "clientMetadata": {"k": "v"},
        "requesterComment": {
            "comment": "joiner",
            "created": "2026-03-01T12:00:00.123Z",
            "author": {"type": "IDENTITY", "id": REQUESTER_ID, "name": "sandbox.admin"},
        },
        "removeDate": "2027-01-01T00:00:00Z",
    }


def test_rows_of_one_identity_share_only_the_access_request_id() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2", items=("r1", "r2")), NOW)
    rows = tenant.visible_rows(NOW)
    assert len({row.access_request_id for row in rows}) == 2
    assert len({row.account_activity_item_id for row in rows}) == 4
    assert len({(row.change.identity, row.access_request_id) for row in rows}) == 2


def test_rows_can_be_concluded_by_identity_by_item_or_all_at_once() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant("i1", "i2", items=("r1", "r2")), NOW)
    assert tenant.conclude("REJECTED", identity="i1", item_id="r2") == 1
    assert [row.state(NOW) for row in tenant.visible_rows(NOW)] == ["EXECUTING", "REJECTED", "EXECUTING", "EXECUTING"]
    assert tenant.conclude("REQUEST_COMPLETED") == 4
    assert tenant.visible_rows(NOW)[0].as_json(NOW)["cancelable"] is False


def test_the_audit_log_can_be_written_as_json() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW)
    tenant.submit(grant(), NOW)
    entry = {"at": "2026-03-01T12:00:00.123Z", "api": "beta", "body": grant()}
    assert tenant.audit.as_json() == {
        "posts": 0,
        "refused": 0,
        "throttled": 0,
        "calls": {},
        "counted": [],
        "accepted": [entry, entry],
        "changes": [{"operation": "GRANT", "identity": "i1", "item_type": "ROLE", "item_id": "r1", "accepted": 2}],
    }


def test_a_request_in_the_nested_form_is_logged_and_listed_like_any_other() -> None:
    tenant = SimulatedTenant(known=Known(identities=["i1", "i2"]))
    items = [{"type": "ROLE", "id": "r1", "comment": "one"}, {"type": "ROLE", "id": "r2"}]
    entries = [{"identityId": "i1", "requestedItems": items}, {"identityId": "i2", "requestedItems": items[1:]}]
    nested = {"requestedForWithRequestedItems": entries}
    assert tenant.submit(nested, NOW, DIALECTS["v1"]).status == 202
    assert tenant.audit.change_counts() == {change("i1", "r1"): 1, change("i1", "r2"): 1, change("i2", "r2"): 1}
    rows = tenant.visible_rows(NOW)
    assert [row.item.get("comment") for row in rows] == ["one", None, None]
    assert len({row.access_request_id for row in rows}) == 2
    entries[1]["identityId"] = "nobody"
    assert "nobody" in text_of(tenant.submit(nested, NOW, DIALECTS["v1"]))
