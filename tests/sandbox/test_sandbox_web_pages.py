"""Attacks by web pages and by other programs on a sandbox that somebody runs on the same machine."""

from __future__ import annotations

import socket
from itertools import product
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import DIALECTS, TOKEN_PATH
from batch.sandbox.app import own_hosts
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.sandbox.calls import client_of, credentials, grant, operator_of
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

BETA = DIALECTS["beta"]
OPERATORS = ("/sandbox/audit", "/sandbox/books", "/sandbox/faults", "/sandbox/anything/later")
FOREIGN_HOSTS = (
    "rebound.example:{port}",
    "localhost.rebound.example:{port}",
    "rebound.localhost:{port}",
    "localhost:1",
    "127.0.0.1",
    "127.0.0.1:0{port}",
    "127.1:{port}",
    "0.0.0.0:{port}",
    "rebound.example",
    "127.0.0.1:{port}@rebound.example",
)
FROM_BROWSERS = (
    ("Origin", "https://page.example"),
    ("Origin", "null"),
    ("Origin", "http://localhost:3000"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Site", "same-site"),
    ("Sec-Fetch-Site", "none"),
)
"""What a browser adds to a call: the first three to forms and scripts' calls, the others to pictures and links, too."""


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(tokens=1)) as sandbox:
        yield sandbox


@pytest.fixture
def operator(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with operator_of(sandbox) as operator:
        yield operator


def port_of(sandbox: RunningSandbox) -> str:
    return sandbox.base_url.rpartition(":")[2]


def assert_nothing_happened(sandbox: RunningSandbox) -> None:
    """Neither books nor faults have changed, and the one token is still to be had."""
    audit = sandbox.tenant.audit
    assert (audit.posts, audit.accepted, dict(audit.calls), sandbox.faults.pending) == (0, [], {}, 0)
    with client_of(sandbox) as client:
        assert client.post(BETA.paths.submit, json=grant()).status_code == 202


def test_a_page_whose_name_now_means_this_machine_is_turned_away(
    sandbox: RunningSandbox, operator: httpx.Client
) -> None:
    for host in FOREIGN_HOSTS:
        headers = {"Host": host.format(port=port_of(sandbox))}
        answers = [
            operator.get("/sandbox/audit", headers=headers),
            operator.post("/sandbox/faults", json=["drop_after"], headers=headers),
            operator.post(TOKEN_PATH, data=credentials(sandbox), headers=headers),
            operator.post(BETA.paths.submit, json=grant(), headers=headers),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4, host
        assert f"localhost:{port_of(sandbox)}" in answers[0].json()["messages"][0]["text"], "it names its addresses"
    assert_nothing_happened(sandbox)


def test_a_call_without_a_host_is_turned_away(sandbox: RunningSandbox) -> None:
    with socket.create_connection(("127.0.0.1", int(port_of(sandbox))), timeout=LIMIT) as connection:
        call = f"GET /sandbox/audit HTTP/1.0\r\nAuthorization: Bearer {sandbox.operator_token}\r\n\r\n"
        connection.sendall(call.encode())
        assert b" 403 " in connection.recv(1000).partition(b"\r\n")[0]


def test_every_name_of_this_machine_is_taken(sandbox: RunningSandbox, operator: httpx.Client) -> None:
    for name in ("localhost", "LocalHost", "127.0.0.1", "[::1]"):
        assert operator.get("/sandbox/audit", headers={"Host": f"{name}:{port_of(sandbox)}"}).status_code == 200, name


def test_the_port_of_plain_http_may_be_left_out() -> None:
    assert {"localhost", "localhost:80", "127.0.0.1", "[::1]:80"} < own_hosts(80)
    assert not own_hosts(8080) & own_hosts(80)


def test_calls_that_a_web_page_sends_without_asking_first_change_nothing(
    sandbox: RunningSandbox, operator: httpx.Client
) -> None:
    form = "&".join(f"{name}={text}" for name, text in credentials(sandbox).items())
    for name, text in FROM_BROWSERS:
        headers = {name: text, "Content-Type": "text/plain"}
        answers = [
            operator.post("/sandbox/faults", content='["drop_after"]', headers=headers),
            operator.post(TOKEN_PATH, content=form, headers=headers),
            operator.post(BETA.paths.submit, content="{}", headers=headers),
            operator.get(BETA.paths.status, headers={name: text}),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4, (name, text)
    assert_nothing_happened(sandbox)


def test_a_web_page_that_asks_first_gets_no_permission(operator: httpx.Client) -> None:
    asked = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    for path in (TOKEN_PATH, BETA.paths.submit, *OPERATORS):
        answer = operator.options(path, headers=asked)
        assert answer.status_code == 403, path
        assert not [name for name in answer.headers if name.startswith("access-control-")], path


def test_books_and_faults_need_the_printed_token(sandbox: RunningSandbox, operator: httpx.Client) -> None:
    token = operator.headers.pop("Authorization").removeprefix("Bearer ")
    for text in (None, "Bearer", "Bearer guess", "Bearer \xfc", f"Basic {token}", token, f"Bearer {token}x"):
        headers = [] if text is None else [(b"Authorization", text.encode("latin-1"))]
        for method, path in product(("GET", "POST"), OPERATORS):
            answer = operator.request(method, path, content=b'["drop_after"]', headers=headers)
            assert answer.status_code == 401, (text, path)
            assert "that the sandbox printed" in answer.json()["error"]
    assert_nothing_happened(sandbox)


def test_a_clients_token_opens_no_books_and_the_operators_token_submits_nothing(
    sandbox: RunningSandbox, operator: httpx.Client
) -> None:
    with client_of(sandbox) as client:
        assert client.get("/sandbox/audit").status_code == 401
    assert operator.post(BETA.paths.submit, json=grant()).status_code == 401
    assert operator.get("/sandbox/audit").json()["accepted"] == []


def test_each_sandbox_has_a_token_of_its_own() -> None:
    with running_sandbox() as one, running_sandbox() as other:
        assert one.operator_token != other.operator_token
        assert one.operator_token not in repr(one)
