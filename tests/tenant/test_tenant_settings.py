"""A tenant's configuration of access requests, and the triggers that wait for an answer, in every version's shape."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.api.tenant_settings import AccessRequestConfig, Subscription
from batch.errors import TenantLostError
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.tenant_settings import SettingsClient, read_config, read_subscription
from tests.tenant.open_calls import Reply, with_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

    from tests.tenant.virtual_time import Result

PRE, DYNAMIC = "idn:access-request-pre-approval", "idn:access-request-dynamic-approver"
ERROR = {"detailCode": "403", "trackingId": "t", "messages": [{"text": "Not yours."}], "causes": []}
OLD_SHAPE = {
    "approvalsMustBeExternal": False,
    "autoApprovalEnabled": True,
    "reauthorizationEnabled": False,
    "requestOnBehalfOfConfig": {
        "allowRequestOnBehalfOfAnyoneByAnyone": False,
        "allowRequestOnBehalfOfEmployeeByManager": True,
    },
    "entitlementRequestConfig": {"allowEntitlementRequest": False, "grantRequestApprovalSchemes": "sourceOwner"},
}
NEW_SHAPE = {
    "approvalsMustBeExternal": True,
    "reauthorizationEnabled": True,
    "requestOnBehalfOfConfig": {"allowRequestOnBehalfOfAnyoneByAnyone": True, "somethingNew": 7},
    "entitlementRequestConfig": {"accessRequestConfig": {"approvalSchemes": []}},
    "machineIdentityAccessRequestEnabled": True,
}


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.sampled_from([*OLD_SHAPE, "triggerId", "name", "enabled", "filter"]), parts)
    ),
    max_leaves=10,
)


def asked(
    answer: Callable[[httpx.Request], Reply],
    use: Callable[[SettingsClient], Coroutine[Any, Any, Result]],
    api: str = "beta",
) -> tuple[Result, list[httpx.Request]]:
    """The result of using a client of a tenant that answers so, and the requests that the tenant got."""
    requests: list[httpx.Request] = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return answer(request)

    return with_reader(endpoint, lambda reader: use(SettingsClient(reader, DIALECTS[api]))), requests


def always(status: int, document: Any) -> Callable[[httpx.Request], Reply]:
    return lambda _request: (status, document, {})


@pytest.mark.parametrize(
    ("document", "config"),
    [
        (
            OLD_SHAPE,
            AccessRequestConfig(
                for_anyone=False,
                for_reports=True,
                external_approvals=False,
                auto_approval=True,
                reauthorization=False,
                entitlements=False,
            ),
        ),
        (NEW_SHAPE, AccessRequestConfig(for_anyone=True, external_approvals=True, reauthorization=True)),
        ({}, AccessRequestConfig()),
        ({"approvalsMustBeExternal": "true", "requestOnBehalfOfConfig": [1]}, AccessRequestConfig()),
    ],
    ids=["old", "new", "empty", "strange"],
)
def test_a_configuration_says_only_what_it_says(document: dict[str, Any], config: AccessRequestConfig) -> None:
    found, (request,) = asked(always(200, document), SettingsClient.config)
    assert found == config
    assert request.headers["x-sailpoint-experimental"] == "true"


@pytest.mark.parametrize(
    ("api", "path"), [("beta", "/beta/access-request-config"), ("v1", "/access-request-config/v2")]
)
def test_each_version_has_its_path(api: str, path: str) -> None:
    _, (request,) = asked(always(200, {}), SettingsClient.config, api)
    assert request.url.path == path


@pytest.mark.parametrize("use", [SettingsClient.config, SettingsClient.subscriptions])
@pytest.mark.parametrize(
    ("status", "document", "error"),
    [
        (403, ERROR, ForbiddenError),
        (404, {"error": "no such path"}, RefusedError),
        (400, ERROR, RefusedError),
        (500, ERROR, RefusedError),
        (503, b"<html>busy</html>", RefusedError),
        (403, b"<html>Access denied</html>", TenantLostError),
        (200, b"{", TenantLostError),
        (200, "text", TenantLostError),
    ],
)
def test_what_the_tenant_does_not_show_is_told_from_what_it_lacks(
    use: Callable[[SettingsClient], Coroutine[Any, Any, object]], status: int, document: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        asked(always(status, document), use)


def test_a_configuration_that_is_no_object_is_told_as_a_part_of_a_sentence() -> None:
    with pytest.raises(TenantLostError) as caught:
        asked(always(200, ["text"]), SettingsClient.config)
    assert caught.value.reason == "its answer is no JSON object"


def subscriptions(*rows: object) -> Callable[[httpx.Request], Reply]:
    """A tenant with these subscriptions, which knows the documented filter."""

    def answer(request: httpx.Request) -> Reply:
        wanted = request.url.params["filters"].removeprefix('triggerId eq "').removesuffix('"')
        found = [row for row in rows if not isinstance(row, dict) or row.get("triggerId") in (wanted, None)]
        return 200, found, {}

    return answer


def test_only_enabled_subscribers_of_triggers_that_wait_are_found_in_two_calls() -> None:
    rows = (
        {"triggerId": PRE, "name": "Gate", "enabled": True, "type": "HTTP"},
        {"triggerId": DYNAMIC, "name": "Router", "enabled": True, "filter": "$[?(@.x)]"},
        *({"triggerId": PRE, "name": "Off", "enabled": off} for off in (False, None, "false", 0)),
        {"triggerId": PRE, "name": "Does not say"},
        {"triggerId": "idn:access-request-post-approval", "name": "Told", "enabled": True},
        {"name": "No trigger", "enabled": True},
        "no row",
    )
    found, requests = asked(subscriptions(*rows), SettingsClient.subscriptions)
    assert found == (
        Subscription(trigger=PRE, name="Gate"),
        Subscription(trigger=DYNAMIC, name="Router", filtered=True),
    )
    assert [request.url.params["filters"] for request in requests] == [
        f'triggerId eq "{PRE}"',
        f'triggerId eq "{DYNAMIC}"',
    ]


def test_a_tenant_that_ignores_the_filter_is_not_misunderstood() -> None:
    rows = [{"triggerId": PRE, "name": "Gate", "enabled": True}]
    found, _ = asked(always(200, rows), SettingsClient.subscriptions)
    assert found == (Subscription(trigger=PRE, name="Gate"),)


def test_a_full_page_is_never_the_last_one() -> None:
    other = {"triggerId": "idn:other", "enabled": True}
    pages = {"0": [other] * 250, "250": [{"triggerId": PRE, "name": "Gate", "enabled": True}]}

    def answer(request: httpx.Request) -> Reply:
        return 200, pages[request.url.params.get("offset", "0")], {"x-total-count": "250"}

    found, requests = asked(answer, SettingsClient.subscriptions)
    assert [one.name for one in found] == ["Gate"]
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([{"id": "A-1", "name": "Ada"}], "Ada"),
        ([{"id": "b", "name": "Bob"}], ""),
        ([{"id": "a1", "name": None}], ""),
        (["x"], ""),
        ([], ""),
    ],
)
def test_the_requesters_name_is_that_of_the_same_id(rows: list[Any], name: str) -> None:
    found, (request,) = asked(always(200, rows), lambda client: client.name_of("a1"))
    assert found == name
    assert request.url.path == "/beta/identities"
    assert request.url.params["filters"] == 'id eq "a1"'


@given(DOCUMENTS)
def test_no_document_is_too_strange_to_read(document: Any) -> None:
    read_subscription(document)
    if isinstance(document, dict):
        assert all(value in (True, False, None) for value in asdict(read_config(document)).values())


@given(st.text())
def test_names_are_shown_on_one_line(name: str) -> None:
    found = read_subscription({"triggerId": PRE, "name": name, "enabled": True})
    assert found is not None
    assert found.name.isprintable()
