"""The vendor's own SDK works against the sandbox: an independent check of the simulation.

Today's SDK supports only the per-service API (`--api v1`), no longer beta.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.sandbox.documents import public_identity
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

sailpoint = pytest.importorskip("sailpoint")

BODY: dict[str, Any] = {
    "requestedFor": ["i1", "i2"],
    "requestType": "GRANT_ACCESS",
    "requestedItems": [
        {"type": "ROLE", "id": "r1", "comment": "joiner", "clientMetadata": {"ticket": "T-1"}},
        {"type": "ACCESS_PROFILE", "id": "p1"},
    ],
}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    settings = SandboxSettings(visibility_delay=0, tracking_response=True, people=300, strict_ids=False)
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The SDK's client, with a token that the SDK fetched itself."""
    # The SDK always reads the environment and ./config.json.
    for name in ("SAIL_BASE_URL", "SAIL_CLIENT_ID", "SAIL_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    params = sailpoint.ConfigurationParams()
    params.base_url = sandbox.base_url
    params.client_id = sandbox.client_id
    params.client_secret = sandbox.client_secret
    configuration = sailpoint.Configuration(params)
    configuration.retries = False
    configuration.experimental = True
    client = sailpoint.ApiClient(configuration)
    yield client
    client.rest_client.pool_manager.clear()


@pytest.fixture
def api(client: Any) -> Any:
    """The SDK's API of access requests."""
    return sailpoint.AccessRequestsApi(client)


def submit(api: Any, body: dict[str, Any]) -> Any:
    from sailpoint.access_requests.models.access_request import AccessRequest  # noqa: PLC0415 - only if the SDK is installed

    # Not AccessRequest.from_dict: it adds a null `requestedForWithRequestedItems`.
    return api.create_access_request_v1_with_http_info(AccessRequest(**body))


def test_the_sdk_submits_a_request_and_lists_it(sandbox: RunningSandbox, api: Any) -> None:
    answer = submit(api, BODY)
    assert answer.status_code == 202
    assert [tracked.requested_for for tracked in answer.data.new_requests] == ["i1", "i2"]
    assert sandbox.tenant.audit.change_counts().total() == 4

    rows = api.list_access_request_status_v1(requested_for="i1", request_state="EXECUTING")
    assert [(row.id, row.type, row.state, row.requested_for.id) for row in rows] == [
        ("r1", "ROLE", "EXECUTING", "i1"),
        ("p1", "ACCESS_PROFILE", "EXECUTING", "i1"),
    ]
    assert rows[0].client_metadata == {"ticket": "T-1"}
    assert rows[0].requester_comment.comment == "joiner"
    assert {row.access_request_id for row in rows} == set(answer.data.new_requests[0].access_request_ids)


def test_the_sdks_filters_pages_and_counts_work(api: Any) -> None:
    submit(api, BODY)
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    page = api.list_access_request_status_v1_with_http_info(
        filters=f'created ge "{since}"', count=True, limit=3, offset=3, sorters="-created"
    )
    assert len(page.data) == 1
    assert page.headers["x-total-count"] == "4"


def test_the_sdk_understands_a_refusal(sandbox: RunningSandbox, api: Any) -> None:
    with pytest.raises(sailpoint.exceptions.ApiException) as caught:
        submit(api, BODY | {"requestType": "REVOKE_ACCESS"})
    assert caught.value.status == 400
    assert "exactly one identity" in caught.value.data.messages[0].text
    assert sandbox.tenant.audit.refused == 1


def test_the_sdk_reads_every_state_with_its_author_and_comment(sandbox: RunningSandbox, api: Any) -> None:
    submit(api, BODY)
    submit(api, BODY)
    sandbox.tenant.conclude("REJECTED", identity="i1", item_id="r1", by="Rita Rector", comment="Not now.")
    sandbox.tenant.conclude("PROVISIONING_FAILED", identity="i2", item_id="r1", comment="The account is locked.")
    rows = api.list_access_request_status_v1()
    by_change = {(row.requested_for.id, row.id): row for row in rows[:4]}
    (approval,) = by_change["i1", "r1"].approval_details
    assert (approval.status, approval.comment, approval.current_owner.name) == ("REJECTED", "Not now.", "Rita Rector")
    assert by_change["i2", "r1"].error_messages[0][0].text == "The account is locked."
    assert (rows[-1].state, "duplicate" in rows[-1].cancelled_request_details.comment) == ("CANCELLED", True)


def test_the_sdk_cancels_one_and_many_and_reads_them_in_the_administrators_list(api: Any) -> None:
    from sailpoint.access_requests.models.bulk_cancel_access_request import (  # noqa: PLC0415 - only if the SDK is installed
        BulkCancelAccessRequest,
    )
    from sailpoint.access_requests.models.cancel_access_request import (  # noqa: PLC0415 - only if the SDK is installed
        CancelAccessRequest,
    )

    submit(api, BODY)
    rows = api.list_access_request_status_v1()
    api.cancel_access_request_v1(
        CancelAccessRequest(account_activity_id=rows[0].account_activity_item_id, comment="By mistake.")
    )
    api.cancel_access_request_in_bulk_v1(
        BulkCancelAccessRequest(access_request_ids=[rows[-1].access_request_id], comment="By mistake.")
    )
    found = api.list_administrators_access_request_status_v1(
        x_sail_point_experimental="true", filters='status in ("CANCELLED")'
    )
    assert [row.cancelled_request_details.comment for row in found] == ["By mistake."] * 3


@pytest.mark.thorough
def test_the_sdk_reads_people_and_items(sandbox: RunningSandbox, client: Any) -> None:
    from sailpoint.public_identities.models.public_identity import (  # noqa: PLC0415 - only if the SDK is installed
        PublicIdentity,
    )

    directory = sandbox.tenant.known.directory
    person = directory.people[5]
    (identity,) = sailpoint.IdentitiesApi(client).list_identities_v1(filters=f'alias eq "{person.alias}"')
    assert (identity.id, identity.email_address) == (person.id, person.email)
    public = PublicIdentity.from_dict(public_identity(person, sandbox.tenant.known))
    assert (public.name, public.email) == (person.display_name, person.email)
    roles = sailpoint.RolesApi(client).list_roles_v1(limit=50)
    profiles = sailpoint.AccessProfilesApi(client).list_access_profiles_v1()
    entitlements = sailpoint.EntitlementsApi(client).list_entitlements_v1(limit=250)
    assert [item.id for item in (*roles, *profiles, *entitlements)] == [item.id for item in directory.items]
    assert all(item.owner.id and item.name for item in (*roles, *profiles, *entitlements))


def test_the_sdk_searches_peoples_access(sandbox: RunningSandbox, client: Any) -> None:
    from sailpoint.search.models.query import Query  # noqa: PLC0415 - only if the SDK is installed
    from sailpoint.search.models.search import Search  # noqa: PLC0415 - only if the SDK is installed

    people = sandbox.tenant.known.directory.people[:3]
    query = Query(query="id:(" + " OR ".join(person.id for person in people) + ")")
    search = Search(indices=["identities"], query=query, sort=["id"])
    answer = sailpoint.SearchApi(client).search_post_v1_without_preload_content(search)
    documents = json.loads(answer.data)
    assert {document["id"]: document["accessCount"] for document in documents} == {person.id: 3 for person in people}


def test_the_sdk_gets_no_token_for_a_wrong_secret(sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    params = sailpoint.ConfigurationParams()
    params.base_url, params.client_id, params.client_secret = sandbox.base_url, sandbox.client_id, "guess"
    assert sailpoint.Configuration(params).access_token is None
    assert "Unauthorized" in capsys.readouterr().out
