"""The sandbox over loopback HTTP: paths, tokens, rate limit, audit log, start and stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import urlsafe_b64decode
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from batch.api.dialects import DIALECTS, TOKEN_PATH, Dialect, Rate
from batch.errors import SettingsError
from batch.sandbox.server import running_sandbox, serve_forever
from batch.sandbox.settings import SandboxSettings
from tests.fakes import FakeClock
from tests.sandbox.calls import client_of, credentials, grant, operator_of
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[2]
BETA = DIALECTS["beta"]
BODY = grant()


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_every_dialect_accepts_a_request_and_lists_it(dialect: Dialect) -> None:
    with running_sandbox(SandboxSettings(visibility_delay=0)) as sandbox, client_of(sandbox) as client:
        answer = client.post(dialect.paths.submit, json=BODY)
        assert (answer.status_code, answer.json()) == (202, {})
        rows = client.get(dialect.paths.status, params={"requested-for": "i1", "count": "true"})
        assert (rows.status_code, rows.headers["X-Total-Count"], len(rows.json())) == (200, "1", 1)
        assert sandbox.tenant.audit.accepted[0].dialect == dialect.name


def test_the_status_list_shows_a_request_after_the_visibility_delay() -> None:
    clock = FakeClock()
    with running_sandbox(SandboxSettings(visibility_delay=60), clock=clock) as sandbox, client_of(sandbox) as client:
        client.post(BETA.paths.submit, json=BODY)
        assert client.get(BETA.paths.status).json() == []
        clock.advance(60)
        assert len(client.get(BETA.paths.status).json()) == 1


def test_a_token_names_its_user_and_its_lifetime() -> None:
    clock = FakeClock()
    with running_sandbox(SandboxSettings(expires_in=300), clock=clock) as sandbox:
        answer = httpx.post(
            sandbox.base_url + TOKEN_PATH, data=credentials(sandbox), timeout=LIMIT, trust_env=False
        ).json()
    assert {"access_token", "token_type", "expires_in", "identity_id", "user_id"} <= set(answer)
    assert answer["expires_in"] == 300
    payload = answer["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["authorities"] == ["ORG_ADMIN"]
    assert claims["scope"] == ["sp:scopes:all"]
    assert claims["client_id"] == "sandbox"
    assert claims["identity_id"] == answer["identity_id"]
    assert claims["user_name"]
    assert claims["exp"] == (clock.now + timedelta(seconds=300)).timestamp()


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_get_no_token(wrong: dict[str, str], status: int, error: str) -> None:
    with running_sandbox() as sandbox:
        answer = httpx.post(
            sandbox.base_url + TOKEN_PATH, data=credentials(sandbox, **wrong), timeout=LIMIT, trust_env=False
        )
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("authorization", [None, "Bearer", "Basic c2FuZGJveA==", "Bearer a.b.c"])
def test_a_call_without_a_token_of_this_tenant_is_answered_401(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with (
        running_sandbox() as sandbox,
        httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=LIMIT, trust_env=False) as client,
    ):
        for answer in (client.get(BETA.paths.status), client.post(BETA.paths.submit, json=BODY)):
            assert answer.status_code == 401
            assert answer.json()["error"].startswith("JWT validation failed")
        assert (sandbox.tenant.audit.posts, sandbox.tenant.audit.accepted) == (1, [])


def test_a_token_expires_by_the_tenants_clock() -> None:
    clock = FakeClock()
    with running_sandbox(SandboxSettings(expires_in=300), clock=clock) as sandbox, client_of(sandbox) as client:
        clock.advance(299)
        assert client.post(BETA.paths.submit, json=BODY).status_code == 202
        clock.advance(1)
        answer = client.post(BETA.paths.submit, json=BODY)
        assert (answer.status_code, answer.json()) == (401, {"error": "JWT validation failed: JWT is expired"})
        with client_of(sandbox) as renewed:
            assert renewed.post(BETA.paths.submit, json=BODY).status_code == 202


def test_the_rate_limit_counts_submit_and_list_calls_of_one_dialect_but_not_token_calls() -> None:
    clock = FakeClock()
    settings = SandboxSettings(rate=Rate(requests=2, seconds=10))
    with running_sandbox(settings, clock=clock) as sandbox, client_of(sandbox) as client:
        client_of(sandbox).close()  # a second token
        assert client.post(BETA.paths.submit, json=BODY).status_code == 202
        assert client.get(BETA.paths.status).status_code == 200
        throttled = client.post(BETA.paths.submit, json=BODY)
        assert (throttled.status_code, throttled.json()) == (429, {"message": " Rate Limit Exceeded "})
        assert throttled.headers["Retry-After"] == "10"
        assert client.get(BETA.paths.status).status_code == 429
        assert client.post(DIALECTS["v3"].paths.submit, json=BODY).status_code == 202
        clock.advance(10)
        assert client.post(BETA.paths.submit, json=BODY).status_code == 202
        assert (sandbox.tenant.audit.posts, sandbox.tenant.audit.throttled) == (4, 1)


def test_answers_have_the_date_of_the_tenants_clock() -> None:
    with running_sandbox(clock=FakeClock()) as sandbox, client_of(sandbox) as client:
        for path in (BETA.paths.status, "/no/such/path"):
            assert client.get(path).headers.get_list("Date") == ["Sun, 01 Mar 2026 12:00:00 GMT"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused_in_the_apis_error_form(raw: bytes) -> None:
    with running_sandbox() as sandbox, client_of(sandbox) as client:
        answer = client.post(BETA.paths.submit, content=raw)
        assert (answer.status_code, answer.json()["messages"][0]["text"]) == (400, "The body is not JSON.")
        assert sandbox.tenant.audit.refused == 1


def test_a_setting_turns_tracking_responses_on() -> None:
    with running_sandbox(SandboxSettings(tracking_response=True)) as sandbox, client_of(sandbox) as client:
        assert client.post(BETA.paths.submit, json=BODY).json()["newRequests"][0]["requestedFor"] == "i1"


@pytest.mark.parametrize("path", ["/sandbox/audit", "/sandbox/books"])
def test_another_process_can_read_the_audit_log(path: str) -> None:
    with running_sandbox() as sandbox, client_of(sandbox) as client, operator_of(sandbox) as operator:
        client.post(BETA.paths.submit, json=BODY)
        client.post(BETA.paths.submit, json={})
        audit = operator.get(path).json()
    assert (audit["posts"], audit["refused"], audit["throttled"]) == (2, 1, 0)
    assert audit["accepted"][0]["body"] == BODY
    assert audit["changes"] == [
        {"operation": "GRANT", "identity": "i1", "item_type": "ROLE", "item_id": "r1", "accepted": 1}
    ]


def test_a_bug_in_the_sandbox_is_logged_and_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenOnce(FakeClock):
        broken = False

        def __call__(self) -> datetime:
            if self.broken:
                self.broken = False
                raise RuntimeError("no time")
            return super().__call__()

    clock = BrokenOnce()
    with running_sandbox(clock=clock) as sandbox, client_of(sandbox) as client:
        clock.broken = True
        assert client.post(BETA.paths.submit, json=BODY).status_code == 500
    assert "The sandbox itself has failed." in caplog.text


def test_latency_delays_answers() -> None:
    with running_sandbox(SandboxSettings(latency=(0.02, 0.03))) as sandbox, client_of(sandbox) as client:
        assert client.get(BETA.paths.status).elapsed >= timedelta(seconds=0.02)


def test_leaving_the_block_stops_the_server_and_its_thread() -> None:
    with running_sandbox() as sandbox:
        port = int(sandbox.base_url.rpartition(":")[2])
    assert not [thread for thread in threading.enumerate() if thread.name == "sandbox"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.base_url, timeout=LIMIT, trust_env=False)
    with running_sandbox(port=port) as again:
        assert again.base_url == sandbox.base_url


def test_an_error_in_the_block_also_stops_the_server() -> None:
    with pytest.raises(ZeroDivisionError), running_sandbox():
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if thread.name == "sandbox"]


def test_a_taken_port_is_a_settings_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}"), running_sandbox(port=port):
            pass
        with pytest.raises(SettingsError, match=f"port {port}"):
            serve_forever(SandboxSettings(), port, print)


def test_secrets_stay_out_of_reprs() -> None:
    settings = SandboxSettings(client_secret="hush-hush")
    with running_sandbox(settings) as sandbox:
        assert "hush-hush" not in repr(settings) + repr(sandbox)


@pytest.mark.skipif(os.name != "posix", reason="sends Ctrl-C the POSIX way")
def test_in_the_foreground_the_sandbox_announces_itself_serves_and_ends_on_ctrl_c() -> None:
    program = (
        "from batch.sandbox.server import serve_forever\n"
        "from batch.sandbox.settings import SandboxSettings\n"
        "def announce(it): print(it.base_url, it.client_id, it.client_secret, it.operator_token, flush=True)\n"
        "serve_forever(SandboxSettings(), 0, announce)\n"
        "print('ended')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url, client_id, client_secret, token = process.stdout.readline().split()
        headers = {"Authorization": f"Bearer {token}"}
        audit = httpx.get(f"{base_url}/sandbox/audit", headers=headers, timeout=LIMIT, trust_env=False)
        assert audit.json()["posts"] == 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert (client_id, client_secret) == ("sandbox", "sandbox-secret")
    assert (process.returncode, out, err) == (0, "ended\n", "")
