"""All endpoints over loopback HTTP in every API version: paths, scopes, the shared rate limit, the gateway."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, EXPERIMENTAL_HEADER, Dialect, ItemType, Paths, Rate
from batch.sandbox.server import RunningSandbox, running_sandbox, utc_now
from batch.sandbox.settings import SandboxSettings, TokenKind
from tests.sandbox.calls import client_of, grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

BODIES: dict[str, Any] = {
    "submit": grant(),
    "cancel": {"accountActivityId": "ghost", "comment": "no"},
    "bulk_cancel": {"accessRequestIds": ["ghost"], "comment": "no"},
    "accounts_selection": grant(),
    "search": {"indices": ["identities"], "query": {"query": "*"}},
}
ANSWERS = {"submit": 202, "cancel": 400, "bulk_cancel": 202}
ENDPOINTS = [field.name for field in fields(Paths)]
FAST = Rate(requests=5000, seconds=1)


@contextmanager
def sandbox_and_client(**options: Any) -> Iterator[tuple[RunningSandbox, httpx.Client]]:
    settings: dict[str, Any] = {"rate": FAST, "visibility_delay": 0.0} | options
    with (
        running_sandbox(SandboxSettings(**settings)) as sandbox,
        client_of(sandbox) as client,
    ):
        yield sandbox, client


def call(client: httpx.Client, dialect: Dialect, name: str) -> httpx.Response:
    path = getattr(dialect.paths, name)
    return client.post(path, json=BODIES[name]) if name in BODIES else client.get(path)


def present(dialect: Dialect) -> list[str]:
    return [name for name in ENDPOINTS if getattr(dialect.paths, name)]


def test_every_endpoint_of_every_api_version_answers_and_is_counted() -> None:
    with sandbox_and_client(people=20, strict_ids=False) as (sandbox, client):
        for dialect in DIALECTS.values():
            for name in present(dialect):
                assert call(client, dialect, name).status_code == ANSWERS.get(name, 200), (dialect.name, name)
        assert sandbox.tenant.audit.calls["people"] == len(DIALECTS)


def test_every_endpoint_needs_one_of_its_scopes() -> None:
    dialect = DIALECTS["v2025"]
    with sandbox_and_client(scopes=("idn:nothing:read",)) as (_, client):
        assert {call(client, dialect, name).status_code for name in ENDPOINTS} == {403}
    for name in ENDPOINTS:
        with sandbox_and_client(scopes=getattr(dialect, f"{name}_scopes")[:1]) as (_, client):
            assert call(client, dialect, name).status_code == ANSWERS.get(name, 200), name


def test_an_endpoint_missing_from_an_api_version_is_answered_404() -> None:
    with sandbox_and_client() as (_, client):
        for path in ("/beta/access-requests/bulk-cancel", "/beta/search", "/v3/access-request-administration"):
            assert client.get(path).status_code == 404


def test_a_shared_path_counts_toward_the_rate_limit_of_its_own_version() -> None:
    with sandbox_and_client(rate=Rate(requests=2, seconds=600)) as (_, client):
        assert [call(client, DIALECTS["beta"], "search").status_code for _ in range(3)] == [200, 200, 429]
        assert call(client, DIALECTS["v3"], "status").status_code == 429
        assert [call(client, DIALECTS["v3"], "entitlements").status_code for _ in range(3)] == [200, 200, 429]
        assert call(client, DIALECTS["beta"], "status").status_code == 429


def test_the_administration_list_needs_the_experimental_header() -> None:
    path = DIALECTS["v2025"].paths.administration
    with sandbox_and_client() as (_, client):
        assert client.get(path).status_code == 200
        for value in ("false", ""):
            assert client.get(path, headers={EXPERIMENTAL_HEADER: value}).status_code == 400


def test_the_gateway_answers_an_address_beyond_8_kb_with_414() -> None:
    path = DIALECTS["v2025"].paths.people
    with sandbox_and_client() as (_, client):
        answer = client.get(path, params={"filters": "x" * 8200})
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (414, "text/html")
        assert client.get(path, params={"filters": f'id eq "{"x" * 4000}"'}).status_code == 400
        assert client.get(path, params={"filters": f'id eq "{"x" * 3900}"'}).status_code == 200


def test_the_status_list_shows_a_user_without_admin_rights_only_their_own_rows() -> None:
    paths = DIALECTS["v2025"].paths
    with sandbox_and_client(lists_others=False) as (sandbox, client):
        client.post(paths.submit, json=BODIES["submit"])
        sandbox.tenant.request_by_other(utc_now(), identity="i2", item_type=ItemType.ROLE, item_id="r2")
        assert [row["id"] for row in client.get(paths.status).json()] == ["r1"]
        assert client.get(paths.status, params={"requested-for": "i2"}).status_code == 403
        assert [row["id"] for row in client.get(paths.administration).json()] == ["r1", "r2"]


def test_a_request_cancelled_over_http_is_listed_as_cancelled() -> None:
    paths = DIALECTS["v1"].paths
    with sandbox_and_client() as (_, client):
        client.post(paths.submit, json=BODIES["submit"])
        client.post(paths.submit, json=grant("i2"))
        first, second = client.get(paths.status).json()
        one = {"accountActivityId": first["accountActivityItemId"], "comment": "no"}
        assert client.post(paths.cancel, json=one).status_code == 202
        many = {"accessRequestIds": [second["accessRequestId"]], "comment": "no"}
        assert client.post(paths.bulk_cancel, json=many).status_code == 202
        assert [row["state"] for row in client.get(paths.status).json()] == ["CANCELLED", "CANCELLED"]
        assert client.post(paths.cancel, content=b"{").status_code == 400


def test_cancelling_needs_a_users_token() -> None:
    with sandbox_and_client(token_kind=TokenKind.API_CLIENT) as (_, client):
        assert call(client, DIALECTS["v1"], "cancel").status_code == 403
        assert call(client, DIALECTS["v1"], "people").status_code == 200


def test_a_tenant_with_a_directory_refuses_unknown_ids_unless_every_id_exists() -> None:
    submit = DIALECTS["v1"].paths.submit
    with sandbox_and_client(people=20) as (sandbox, client):
        person, role = sandbox.tenant.known.directory.people[1], sandbox.tenant.known.directory.items[0]
        good = grant(person.id, items=(role.id,))
        assert client.post(submit, json=good).status_code == 202
        assert client.post(submit, json=good | {"requestedFor": ["f" * 32]}).status_code == 400
        assert client.post(submit, json=BODIES["submit"]).status_code == 400
        (row,) = client.get(DIALECTS["v1"].paths.status).json()
        assert (row["requestedFor"]["name"], row["name"]) == (person.display_name, role.name)
        assert row["approvalDetails"][0]["originalOwner"]["id"] == role.owner.id
    with sandbox_and_client(people=20, strict_ids=False) as (_, client):
        assert client.post(submit, json=good | {"requestedFor": ["f" * 32]}).status_code == 202


@pytest.mark.parametrize("dialect", ["v3", "v2025"])
def test_people_are_public_identities_in_versions_without_identities(dialect: str) -> None:
    with sandbox_and_client(people=20) as (_, client):
        person = call(client, DIALECTS[dialect], "people").json()[0]
        assert ("email" in person, "emailAddress" in person) == (dialect == "v3", dialect != "v3")
