"""All endpoints over loopback HTTP, in every API version: paths, scopes, the shared rate limit, the gateway."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from batch.api.dialects import DIALECTS, EXPERIMENTAL_HEADER, TOKEN_PATH, Dialect, ItemType, Paths, Rate
from batch.sandbox.server import RunningSandbox, running_sandbox, utc_now
from batch.sandbox.settings import SandboxSettings, TokenKind

if TYPE_CHECKING:
    from collections.abc import Iterator

SEARCH = {"indices": ["identities"], "query": {"query": "*"}}
BODIES: dict[str, Any] = {
    "submit": {"requestedFor": ["i1"], "requestedItems": [{"type": "ROLE", "id": "r1"}]},
    "cancel": {"accountActivityId": "ghost", "comment": "no"},
    "bulk_cancel": {"accessRequestIds": ["ghost"], "comment": "no"},
    "search": SEARCH,
}
ANSWERS = {"submit": 202, "cancel": 400, "bulk_cancel": 202}
ENDPOINTS = [field.name for field in fields(Paths)]
FAST = Rate(requests=5000, seconds=1)


@contextmanager
def client_of(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }
    token = httpx.post(sandbox.base_url + TOKEN_PATH, data=form, trust_env=False).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", EXPERIMENTAL_HEADER: "true"}
    with httpx.Client(base_url=sandbox.base_url, headers=headers, trust_env=False) as client:
        yield client


@contextmanager
def asked(**chosen: Any) -> Iterator[tuple[RunningSandbox, httpx.Client]]:
    settings: dict[str, Any] = {"rate": FAST, "visibility_delay": 0.0} | chosen
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
    with asked(people=20, strict_ids=False) as (sandbox, client):
        for dialect in DIALECTS.values():
            for name in present(dialect):
                assert call(client, dialect, name).status_code == ANSWERS.get(name, 200), (dialect.name, name)
        assert sandbox.tenant.audit.calls["people"] == len(DIALECTS)


def test_every_endpoint_refuses_a_token_that_lacks_its_scope_and_takes_one_that_has_it() -> None:
    dialect = DIALECTS["v2025"]
    with asked(scopes=("idn:nothing:read",)) as (_, client):
        assert {call(client, dialect, name).status_code for name in ENDPOINTS} == {403}
    for name in ENDPOINTS:
        with asked(scopes=getattr(dialect, f"{name}_scopes")[:1]) as (_, client):
            assert call(client, dialect, name).status_code == ANSWERS.get(name, 200), name


def test_an_api_versions_missing_endpoints_are_not_there() -> None:
    with asked() as (_, client):
        for path in ("/beta/access-requests/bulk-cancel", "/beta/search", "/v3/access-request-administration"):
            assert client.get(path).status_code == 404


def test_a_shared_path_counts_for_the_version_that_it_belongs_to() -> None:
    with asked(rate=Rate(requests=2, seconds=600)) as (_, client):
        assert [call(client, DIALECTS["beta"], "search").status_code for _ in range(3)] == [200, 200, 429]
        assert call(client, DIALECTS["v3"], "status").status_code == 429
        assert [call(client, DIALECTS["v3"], "entitlements").status_code for _ in range(3)] == [200, 200, 429]
        assert call(client, DIALECTS["beta"], "status").status_code == 429


def test_the_administration_list_wants_the_experimental_header() -> None:
    path = DIALECTS["v2025"].paths.administration
    with asked() as (_, client):
        assert client.get(path).status_code == 200
        for value in ("false", ""):
            assert client.get(path, headers={EXPERIMENTAL_HEADER: value}).status_code == 400


def test_an_address_of_more_than_8_kb_is_answered_414_by_the_gateway() -> None:
    path = DIALECTS["v2025"].paths.people
    with asked() as (_, client):
        answer = client.get(path, params={"filters": "x" * 8200})
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (414, "text/html")
        assert client.get(path, params={"filters": f'id eq "{"x" * 4000}"'}).status_code == 400
        assert client.get(path, params={"filters": f'id eq "{"x" * 3900}"'}).status_code == 200


def test_who_is_no_administrator_sees_their_own_in_the_status_list_and_everything_in_the_other() -> None:
    paths = DIALECTS["v2025"].paths
    with asked(lists_others=False) as (sandbox, client):
        client.post(paths.submit, json=BODIES["submit"])
        sandbox.tenant.request_by_other(utc_now(), identity="i2", item_type=ItemType.ROLE, item_id="r2")
        assert [row["id"] for row in client.get(paths.status).json()] == ["r1"]
        assert client.get(paths.status, params={"requested-for": "i2"}).status_code == 403
        assert [row["id"] for row in client.get(paths.administration).json()] == ["r1", "r2"]


def test_what_is_cancelled_over_http_reads_back_as_cancelled() -> None:
    paths = DIALECTS["v1"].paths
    with asked() as (_, client):
        client.post(paths.submit, json=BODIES["submit"])
        client.post(paths.submit, json=BODIES["submit"] | {"requestedFor": ["i2"]})
        first, second = client.get(paths.status).json()
        one = {"accountActivityId": first["accountActivityItemId"], "comment": "no"}
        assert client.post(paths.cancel, json=one).status_code == 202
        many = {"accessRequestIds": [second["accessRequestId"]], "comment": "no"}
        assert client.post(paths.bulk_cancel, json=many).status_code == 202
        assert [row["state"] for row in client.get(paths.status).json()] == ["CANCELLED", "CANCELLED"]
        assert client.post(paths.cancel, content=b"{").status_code == 400


def test_only_tokens_with_a_user_may_cancel() -> None:
    with asked(token_kind=TokenKind.API_CLIENT) as (_, client):
        assert call(client, DIALECTS["v1"], "cancel").status_code == 403
        assert call(client, DIALECTS["v1"], "people").status_code == 200


def test_unknown_ids_are_refused_where_there_is_a_directory_unless_any_id_may_be_used() -> None:
    submit = DIALECTS["v1"].paths.submit
    with asked(people=20) as (sandbox, client):
        person, role = sandbox.tenant.known.directory.people[1], sandbox.tenant.known.directory.items[0]
        good = {"requestedFor": [person.id], "requestedItems": [{"type": "ROLE", "id": role.id}]}
        assert client.post(submit, json=good).status_code == 202
        assert client.post(submit, json=good | {"requestedFor": ["f" * 32]}).status_code == 400
        assert client.post(submit, json=BODIES["submit"]).status_code == 400
        (row,) = client.get(DIALECTS["v1"].paths.status).json()
        assert (row["requestedFor"]["name"], row["name"]) == (person.display_name, role.name)
        assert row["approvalDetails"][0]["originalOwner"]["id"] == role.owner.id
    with asked(people=20, strict_ids=False) as (_, client):
        assert client.post(submit, json=good | {"requestedFor": ["f" * 32]}).status_code == 202


@pytest.mark.parametrize("dialect", ["v3", "v2025"])
def test_people_are_public_identities_where_a_version_has_no_others(dialect: str) -> None:
    with asked(people=20) as (_, client):
        person = call(client, DIALECTS[dialect], "people").json()[0]
        assert ("email" in person, "emailAddress" in person) == (dialect == "v3", dialect != "v3")
