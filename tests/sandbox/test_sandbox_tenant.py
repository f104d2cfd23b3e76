"""The simulated tenant: what it answers, what stands in its books, and when rows show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from batch.api.dialects import DIALECTS, ItemType, Operation
from batch.sandbox.audit import AcceptedChange
from batch.sandbox.directory import APPROVER
from batch.sandbox.tenant import REQUESTER_ID, SimulatedTenant

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def body(*identities: str, items: tuple[str, ...] = ("r1",), **fields: object) -> dict[str, Any]:
    return {
        "requestedFor": list(identities or ("i1",)),
        "requestedItems": [{"type": "ROLE", "id": item_id} for item_id in items],
        **fields,
    }


def change(identity: str, item_id: str, operation: Operation = Operation.GRANT) -> AcceptedChange:
    return AcceptedChange(operation=operation, identity=identity, item_type=ItemType.ROLE, item_id=item_id)


def text_of(answer_body: Any) -> str:
    return str(answer_body["messages"][0]["text"])


def test_an_accepted_request_answers_202_with_an_empty_object_and_stands_in_the_books() -> None:
    tenant = SimulatedTenant()
    answer = tenant.submit(body("i1", "i2", items=("r1", "r2")), NOW)
    assert (answer.status, answer.body, answer.content()) == (202, {}, b"{}")
    assert tenant.audit.change_counts() == {change(i, r): 1 for i in ("i1", "i2") for r in ("r1", "r2")}
    (accepted,) = tenant.audit.accepted
    assert (accepted.at, accepted.dialect, accepted.body) == (NOW, "beta", body("i1", "i2", items=("r1", "r2")))


def test_a_refused_request_answers_400_in_the_apis_form_and_leaves_only_a_count() -> None:
    tenant = SimulatedTenant()
    answer = tenant.submit(body(items=()), NOW)
    assert answer.status == 400
    assert isinstance(answer.body, dict)
    assert set(answer.body) == {"detailCode", "trackingId", "messages", "causes"}
    assert set(answer.body["messages"][0]) == {"locale", "localeOrigin", "text"}
    assert "requestedItems" in text_of(answer.body)
    assert (tenant.audit.refused, tenant.audit.accepted, tenant.visible_rows(NOW)) == (1, [], [])


def test_the_same_change_again_is_accepted_without_a_word_and_counted_twice() -> None:
    tenant = SimulatedTenant()
    assert [tenant.submit(body(), NOW).status for _ in range(2)] == [202, 202]
    assert tenant.audit.change_counts() == {change("i1", "r1"): 2}


def test_a_grant_and_a_revoke_of_one_item_are_two_changes() -> None:
    tenant = SimulatedTenant()
    leaver = body(requestType="REVOKE_ACCESS")
    leaver["requestedItems"][0]["comment"] = "leaver"
    assert [tenant.submit(asked, NOW).status for asked in (body(), leaver)] == [202, 202]
    assert tenant.audit.change_counts() == {change("i1", "r1"): 1, change("i1", "r1", Operation.REVOKE): 1}


def test_the_dialect_decides_which_fields_there_are() -> None:
    dated = body()
    dated["requestedItems"][0]["startDate"] = "2027-01-01T00:00:00Z"
    tenant = SimulatedTenant()
    assert [tenant.submit(dated, NOW, DIALECTS[name]).status for name in ("beta", "v3", "v1")] == [400, 202, 202]
    assert [request.dialect for request in tenant.audit.accepted] == ["v3", "v1"]


def test_an_unknown_identity_or_item_refuses_the_whole_request_and_is_named() -> None:
    tenant = SimulatedTenant(identities={"i1"}, items={"r1"})
    assert tenant.submit(body(), NOW).status == 202
    for asked, culprit in ((body("i1", "ghost"), "ghost"), (body(items=("r1", "gone")), "gone")):
        answer = tenant.submit(asked, NOW)
        assert answer.status == 400
        assert culprit in text_of(answer.body)
    assert tenant.audit.change_counts().total() == 1


def test_an_unknown_id_need_not_be_named() -> None:
    answer = SimulatedTenant(identities={"i1"}, names_bad_id=False).submit(body("ghost"), NOW)
    assert text_of(answer.body) == "The identity was not found."


def test_an_item_that_cant_be_requested_refuses_the_whole_request_with_a_message_of_its_own() -> None:
    tenant = SimulatedTenant(items={"r1", "r2"}, unrequestable={"r2"})
    answer = tenant.submit(body(items=("r1", "r2")), NOW)
    assert answer.status == 400
    assert text_of(answer.body) == "The access item r2 can't be requested."
    assert tenant.submit(body(items=("r1",)), NOW).status == 202
    silent = SimulatedTenant(unrequestable={"r2"}, names_bad_id=False)
    assert text_of(silent.submit(body(items=("r2",)), NOW).body) == "The access item can't be requested."


def test_a_tracking_response_lists_each_identitys_items() -> None:
    tenant = SimulatedTenant(tracking_response=True)
    answer = tenant.submit(body("i1", "i2", items=("r1", "r2")), NOW)
    assert isinstance(answer.body, dict)
    assert answer.body["existingRequests"] == []
    new = answer.body["newRequests"]
    assert [entry["requestedFor"] for entry in new] == ["i1", "i2"]
    assert new[0]["requestedItemsDetails"] == [{"type": "ROLE", "id": "r1"}, {"type": "ROLE", "id": "r2"}]
    shown = {(row.change.identity, row.access_request_id) for row in tenant.visible_rows(NOW)}
    assert shown == {(entry["requestedFor"], entry["accessRequestIds"][0]) for entry in new}


def test_rows_show_only_after_the_visibility_delay() -> None:
    tenant = SimulatedTenant(visibility_delay=30)
    tenant.submit(body("i1"), NOW)
    tenant.submit(body("i2"), NOW + timedelta(seconds=10))
    seen = [len(tenant.visible_rows(NOW + timedelta(seconds=later))) for later in (0, 29.9, 30, 39.9, 40)]
    assert seen == [0, 0, 1, 1, 2]


def test_rows_stay_in_order_where_the_clock_steps_back() -> None:
    tenant = SimulatedTenant()
    tenant.submit(body("i1"), NOW)
    tenant.submit(body("i2"), NOW - timedelta(hours=1))
    assert [row.change.identity for row in tenant.visible_rows(NOW)] == ["i1", "i2"]


def test_a_row_carries_what_the_status_list_of_a_real_tenant_carries() -> None:
    tenant = SimulatedTenant()
    asked = body("i1")
    asked["requestedItems"][0] |= {
        "comment": "joiner",
        "clientMetadata": {"k": "v"},
        "removeDate": "2027-01-01T00:00:00Z",
    }
    tenant.submit(asked | {"clientMetadata": {"request": "level"}}, NOW)
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


def test_rows_of_one_identity_share_an_access_request_id_and_nothing_else() -> None:
    tenant = SimulatedTenant()
    tenant.submit(body("i1", "i2", items=("r1", "r2")), NOW)
    rows = tenant.visible_rows(NOW)
    assert len({row.access_request_id for row in rows}) == 2
    assert len({row.account_activity_item_id for row in rows}) == 4
    assert len({(row.change.identity, row.access_request_id) for row in rows}) == 2


def test_rows_can_be_concluded_by_identity_by_item_or_all_at_once() -> None:
    tenant = SimulatedTenant()
    tenant.submit(body("i1", "i2", items=("r1", "r2")), NOW)
    assert tenant.conclude("REJECTED", identity="i1", item_id="r2") == 1
    assert [row.state(NOW) for row in tenant.visible_rows(NOW)] == ["EXECUTING", "REJECTED", "EXECUTING", "EXECUTING"]
    assert tenant.conclude("REQUEST_COMPLETED") == 4
    assert tenant.visible_rows(NOW)[0].as_json(NOW)["cancelable"] is False


def test_the_books_show_as_json() -> None:
    tenant = SimulatedTenant()
    tenant.submit(body(), NOW)
    tenant.submit(body(), NOW)
    entry = {"at": "2026-03-01T12:00:00.123Z", "api": "beta", "body": body()}
    assert tenant.audit.as_json() == {
        "posts": 0,
        "refused": 0,
        "throttled": 0,
        "calls": {},
        "accepted": [entry, entry],
        "changes": [{"operation": "GRANT", "identity": "i1", "item_type": "ROLE", "item_id": "r1", "accepted": 2}],
    }


def test_what_comes_in_the_nested_form_stands_in_the_books_and_in_the_list_like_anything_else() -> None:
    tenant = SimulatedTenant(identities=["i1", "i2"])
    items = [{"type": "ROLE", "id": "r1", "comment": "one"}, {"type": "ROLE", "id": "r2"}]
    entries = [{"identityId": "i1", "requestedItems": items}, {"identityId": "i2", "requestedItems": items[1:]}]
    nested = {"requestedForWithRequestedItems": entries}
    assert tenant.submit(nested, NOW, DIALECTS["v1"]).status == 202
    assert tenant.audit.change_counts() == {change("i1", "r1"): 1, change("i1", "r2"): 1, change("i2", "r2"): 1}
    rows = tenant.visible_rows(NOW)
    assert [row.item.get("comment") for row in rows] == ["one", None, None]
    assert len({row.access_request_id for row in rows}) == 2
    entries[1]["identityId"] = "nobody"
    answer = tenant.submit(nested, NOW, DIALECTS["v1"])
    assert (answer.status, "nobody" in text_of(answer.body)) == (400, True)
