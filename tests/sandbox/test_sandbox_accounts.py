"""Accounts: what the search shows of them, which of them a request may choose from, and the assignments of roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, EXPERIMENTAL_HEADER, ItemType
from batch.sandbox.directory import Known, Source, made_up_account
from batch.sandbox.lifecycle import Handling
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.search import IdentitySearch
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.sandbox.tenant import SimulatedTenant
from tests.sandbox.calls import NOW, client_of, entries_of, grant, later, text_of

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer

DIRECTORY = make_directory(30)
ROLE = DIRECTORY.of_type(ItemType.ROLE)[0]
PROFILE = DIRECTORY.of_type(ItemType.ACCESS_PROFILE)[0]
ENTITLEMENT = DIRECTORY.of_type(ItemType.ENTITLEMENT)[0]
ANNA, BEN = DIRECTORY.people[:2]
SOURCE = DIRECTORY.sources[0]
V1 = DIALECTS["v1"]


def tenant_with_a_second_account() -> SimulatedTenant:
    tenant = SimulatedTenant(known=Known(directory=DIRECTORY, identities=(), items=()))
    accounts = (*tenant.known.accounts(ANNA), made_up_account(ANNA, SOURCE, 2))
    tenant.known.change_person(ANNA.id, accounts=accounts)
    return tenant


def found(tenant: SimulatedTenant, *, nested: bool = True, includes: list[str] | None = None) -> dict[str, Any]:
    body = {
        "indices": ["identities"],
        "query": {"query": f"id:{ANNA.id}"},
        "includeNested": nested,
        "queryResultFilter": {"includes": includes or []},
    }
    search = IdentitySearch(tenant, body_limit=100_000)
    (document,) = entries_of(search.answer(json.dumps(body).encode(), {}, NOW))
    return document


def asked(*people: str, items: list[tuple[ItemType, str]]) -> dict[str, Any]:
    return {"requestedFor": list(people), "requestedItems": [{"type": kind, "id": item} for kind, item in items]}


def selections(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    body: Any = answer.body
    return list(body["identities"])


def test_the_search_shows_a_persons_accounts_with_their_sources() -> None:
    tenant = tenant_with_a_second_account()
    document = found(tenant)
    on_source = [account for account in document["accounts"] if account["source"]["id"] == SOURCE.id]
    assert [account["name"] for account in on_source] == [ANNA.alias, f"{ANNA.alias}2"]
    assert on_source[0]["accountId"] != on_source[1]["accountId"]
    assert document["accountCount"] == len(document["accounts"]) == len(DIRECTORY.sources) + 1
    assert "accounts" not in found(tenant, nested=False)
    assert set(found(tenant, includes=["accounts.source.id"])["accounts"][0]) == {"source"}


def test_the_search_shows_a_persons_state_and_manager() -> None:
    tenant = tenant_with_a_second_account()
    tenant.known.change_person(
        ANNA.id, inactive=True, protected=True, status="DEACTIVATED", lifecycle_state="terminated", manager=BEN.id
    )
    document = found(tenant)
    assert (document["inactive"], document["protected"], document["status"]) == (True, True, "DEACTIVATED")
    assert document["attributes"]["cloudLifecycleState"] == "terminated"
    assert document["manager"] == {"id": BEN.id, "name": BEN.alias, "displayName": BEN.display_name}
    assert document["isManager"]
    assert document["identityProfile"]["name"]


def test_the_search_says_what_a_request_can_revoke() -> None:
    tenant = SimulatedTenant(handling=Handling())
    for kind in ItemType:
        tenant.hold(ANNA.id, kind, f"own {kind}")
        tenant.hold(ANNA.id, kind, f"given {kind}", revocable=False)
    access = {entry["id"]: entry for entry in found(tenant)["access"]}
    for kind, name in (
        (ItemType.ROLE, "revocable"),
        (ItemType.ACCESS_PROFILE, "revocable"),
        (ItemType.ENTITLEMENT, "standalone"),
    ):
        assert (access[f"own {kind}"][name], access[f"given {kind}"][name]) == (True, False)


def test_a_choice_is_needed_where_somebody_has_several_accounts() -> None:
    tenant = tenant_with_a_second_account()
    tenant.known.change_item(ENTITLEMENT.id, source=SOURCE)
    body = asked(ANNA.id, BEN.id, items=[(ItemType.ENTITLEMENT, ENTITLEMENT.id)])
    anna, ben = selections(tenant.select_accounts(body, NOW, V1))
    assert (anna["id"], anna["accountsSelectionRequired"], ben["accountsSelectionRequired"]) == (ANNA.id, True, False)
    (item,) = anna["requestedItems"]
    (source,) = item["sources"]
    assert (item["id"], item["accountsSelectionBlocked"], source["id"]) == (ENTITLEMENT.id, False, SOURCE.id)
    assert [account["name"] for account in source["accounts"]] == [ANNA.alias, f"{ANNA.alias}2"]
    assert len({account["nativeIdentity"] for account in source["accounts"]}) == 2


def test_a_role_offers_the_accounts_of_all_its_sources() -> None:
    tenant = tenant_with_a_second_account()
    tenant.known.change_item(ROLE.id, gives=DIRECTORY.sources[:2])
    (anna,) = selections(tenant.select_accounts(asked(ANNA.id, items=[(ItemType.ROLE, ROLE.id)]), NOW, V1))
    assert [len(source["accounts"]) for source in anna["requestedItems"][0]["sources"]] == [2, 1]


def test_no_choice_is_needed_or_allowed_for_an_access_profile_that_is_held() -> None:
    tenant = tenant_with_a_second_account()
    tenant.known.change_item(PROFILE.id, source=SOURCE)
    tenant.hold(ANNA.id, ItemType.ACCESS_PROFILE, PROFILE.id)
    (anna,) = selections(tenant.select_accounts(asked(ANNA.id, items=[(ItemType.ACCESS_PROFILE, PROFILE.id)]), NOW, V1))
    assert not anna["accountsSelectionRequired"]
    assert anna["requestedItems"][0]["accountsSelectionBlocked"]
    assert "ALREADY_ASSIGNED" in anna["requestedItems"][0]["accountsSelectionBlockedReason"]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ([], "must be a JSON object"),
        (asked(ANNA.id, items=[(ItemType.ROLE, f"r{number}") for number in range(26)]), "1 to 25 items"),
        (asked("ghost", items=[(ItemType.ROLE, ROLE.id)]), "identity ghost was not found"),
        (asked(ANNA.id, items=[(ItemType.ROLE, "ghost")]), "access item ghost was not found"),
    ],
)
def test_a_selection_is_refused_like_a_request(body: object, cause: str) -> None:
    tenant = tenant_with_a_second_account()
    assert cause in text_of(tenant.select_accounts(body, NOW, V1))
    assert tenant.audit.refused == 0


def test_the_selection_is_experimental_and_missing_in_the_older_versions() -> None:
    with running_sandbox() as sandbox, client_of(sandbox) as client:
        path = V1.paths.accounts_selection
        assert client.post(path, json=grant()).status_code == 200
        assert client.post(path, json=grant(), headers={EXPERIMENTAL_HEADER: "false"}).status_code == 400
        assert {api for api, dialect in DIALECTS.items() if not dialect.paths.accounts_selection} == {"beta", "v3"}


def test_the_assignments_of_a_role_have_an_id_each_and_name_the_account_if_the_role_is_asked_for() -> None:
    settings = SandboxSettings(people=30, strict_ids=False)
    with running_sandbox(settings) as sandbox, client_of(sandbox) as client:
        tenant = sandbox.tenant
        first, second = (made_up_account(BEN, SOURCE, number) for number in (0, 2))
        tenant.known.change_person(BEN.id, accounts=(first, second))
        tenant.known.change_item(ROLE.id, gives=(SOURCE,))
        for account in (first, second):
            tenant.hold(BEN.id, ItemType.ROLE, ROLE.id, account=account.native_identity)
        path = V1.paths.role_assignments.replace("{identity}", BEN.id)
        in_full = client.get(path, params={"roleId": ROLE.id}).json()
        targets = [assignment["accountTargets"][0]["accountInfo"]["nativeIdentity"] for assignment in in_full]
        assert targets == [first.native_identity, second.native_identity]
        assert {ROLE.id} < {assignment["role"]["id"] for assignment in client.get(path).json()}
        body = grant(BEN.id, items=(ROLE.id,), comment="x", assignmentId=in_full[0]["id"])
        assert client.post(V1.paths.submit, json=body | {"requestType": "REVOKE_ACCESS"}).status_code == 202
        (row,) = tenant.visible_rows(later(10**9))
        assert row.change.account == first.native_identity
        tenant.conclude("REQUEST_COMPLETED")
        assert [one["id"] for one in client.get(path, params={"roleId": ROLE.id}).json()] == [in_full[1]["id"]]


def test_an_account_of_another_source_is_not_offered() -> None:
    tenant = tenant_with_a_second_account()
    tenant.known.change_item(ENTITLEMENT.id, source=Source(id="elsewhere", name="Elsewhere"))
    body = asked(ANNA.id, items=[(ItemType.ENTITLEMENT, ENTITLEMENT.id)])
    (anna,) = selections(tenant.select_accounts(body, NOW, V1))
    assert anna["requestedItems"][0]["sources"][0]["accounts"] == []
    assert not anna["accountsSelectionRequired"]
