"""The vendor's own SDK works against the sandbox, which so is held against somebody else's idea of the API.

The SDK of today speaks only the per-service API (`--api v1`): it has no beta any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

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
    with running_sandbox(SandboxSettings(visibility_delay=0, tracking_response=True)) as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The SDK's API of access requests, with a token that the SDK has fetched itself."""
    # The SDK reads the environment and ./config.json, whatever it is given.
    for name in ("SAIL_BASE_URL", "SAIL_CLIENT_ID", "SAIL_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    params = sailpoint.ConfigurationParams()
    params.base_url = sandbox.base_url
    params.client_id = sandbox.client_id
    params.client_secret = sandbox.client_secret
    configuration = sailpoint.Configuration(params)
    configuration.retries = False
    client = sailpoint.ApiClient(configuration)
    yield sailpoint.AccessRequestsApi(client)
    client.rest_client.pool_manager.clear()


def submit(api: Any, body: dict[str, Any]) -> Any:
    from sailpoint.access_requests.models.access_request import AccessRequest  # noqa: PLC0415 - where there is an SDK

    # Not AccessRequest.from_dict: that adds a null `requestedForWithRequestedItems`, which the sandbox does not know.
    return api.create_access_request_v1_with_http_info(AccessRequest(**body))


def test_a_request_submitted_through_the_sdk_shows_in_the_sdks_status_list(sandbox: RunningSandbox, api: Any) -> None:
    answer = submit(api, BODY)
    assert answer.status_code == 202
    assert [tracked.requested_for for tracked in answer.data.new_requests] == ["i1", "i2"]
    assert sandbox.tenant.books.change_counts().total() == 4

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
    assert sandbox.tenant.books.refused == 1


def test_the_sdk_gets_no_token_for_a_wrong_secret(sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    params = sailpoint.ConfigurationParams()
    params.base_url, params.client_id, params.client_secret = sandbox.base_url, sandbox.client_id, "guess"
    assert sailpoint.Configuration(params).access_token is None
    assert "Unauthorized" in capsys.readouterr().out
