"""`doctor` reports problems early and how to solve them, and changes nothing at the tenant."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from batch.api.dialects import Rate
from batch.credentials.logins import Login, store_login
from batch.credentials.system_keyring import SystemKeyring
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings, TokenKind
from tests.end_to_end.program import environment, grant, write_rows
from tests.ledger.ledger_helpers import alter, rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.credentials.memory_keyring import MemoryKeyring
    from tests.end_to_end.program import Ended, Program

CHECKS = (
    "ledger",
    "runs",
    "tenant",
    "credentials",
    "month",
    "token",
    "user",
    "authorities",
    "scope",
    "status list",
    "clock",
    "rate limit",
    "config",
    "triggers",
    "API version",
)


def verdicts(ended: Ended) -> dict[str, str]:
    """The verdict of each check."""
    return {check["check"]: check["verdict"] for check in ended.json["checks"]}


def finding(ended: Ended, check: str) -> dict[str, Any]:
    return next(found for found in ended.json["checks"] if found["check"] == check)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The default path of the ledger."""
    return tmp_path / "data" / "access-batch" / "ledger.db"


def test_doctor_reports_every_check_of_a_sound_setup_as_ok_and_submits_nothing(program: Program, path: Path) -> None:
    with running_sandbox() as sandbox:
        env = {**environment(sandbox), "ACCESS_BATCH_RATE": "100/10"}
        ended = program("doctor", "--json", env=env)
        assert sandbox.tenant.audit.posts == 0
        people = program("doctor", env=env)
    assert ended.code == people.code == 0
    assert verdicts(ended) == dict.fromkeys(CHECKS, "ok")
    assert (ended.json["ok"], ended.json["warn"], ended.json["fail"]) == (15, 0, 0)
    assert people.out.endswith("Ready to submit, 0 warnings.\n")
    assert len(people.out.splitlines()) == 16
    assert sandbox.client_secret not in ended.out + ended.err + people.out + people.err
    assert rows(path, "SELECT calls FROM pace") == [(8,)]
    assert rows(path, "SELECT calls FROM monthly_calls") == [(8,)]


def test_doctor_names_the_source_of_the_secret_without_showing_the_secret(
    program: Program, tmp_path: Path, memory: MemoryKeyring
) -> None:
    with running_sandbox() as sandbox:
        env = {name: value for name, value in environment(sandbox).items() if name != "SAIL_CLIENT_SECRET"}
        (tmp_path / "secret").write_text(sandbox.client_secret)
        (tmp_path / "secret").chmod(0o600)
        from_file = program("doctor", "--json", "--client-secret-file", tmp_path / "secret", env=env)
        (tmp_path / "secret").chmod(0o644)
        shared = program("doctor", "--json", "--client-secret-file", tmp_path / "secret", env=env)
        store_login(SystemKeyring(), sandbox.base_url, "", Login("sandbox", SecretStr(sandbox.client_secret)))
        from_keyring = program("doctor", "--json", env=env)
        nowhere = program("doctor", "--json", env={**env, "SAIL_CLIENT_ID": "another"})
    assert "from --client-secret-file" in finding(from_file, "credentials")["said"]
    assert finding(from_file, "credentials")["verdict"] == "ok"
    assert finding(shared, "credentials")["verdict"] == "warn"
    assert "the keyring" in finding(from_keyring, "credentials")["said"]
    assert from_file.code == shared.code == from_keyring.code == 0
    assert nowhere.code == 3
    assert "Looked at:" in finding(nowhere, "credentials")["said"]
    assert memory.entries
    for ended in (from_file, shared, from_keyring, nowhere):
        assert sandbox.client_secret not in ended.out + ended.err


def test_doctor_can_examine_the_sandbox(program: Program, path: Path) -> None:
    ended = program("doctor", "--sandbox", "--json")
    assert ended.code == 0
    assert set(verdicts(ended).values()) == {"ok"}
    assert not path.exists()


@pytest.mark.parametrize(
    ("settings", "check", "verdict", "text"),
    [
        (SandboxSettings(token_kind=TokenKind.API_CLIENT), "user", "fail", "authority API"),
        (SandboxSettings(token_kind=TokenKind.OPAQUE), "token", "warn", "content can't be read"),
        (SandboxSettings(scopes=("idn:x:read",)), "scope", "fail", "only idn:x:read"),
        (SandboxSettings(scopes=("idn:access-request:create",)), "status list", "fail", "answered 403"),
        (SandboxSettings(authorities=("HELPDESK",)), "authorities", "warn", "HELPDESK, not ORG_ADMIN"),
        (SandboxSettings(tokens=0), "token", "fail", "401"),
        (SandboxSettings(extra_headers={"Sunset": "soon"}), "API version", "warn", "Sunset: soon"),
        (SandboxSettings(extra_headers={"X-RateLimit-Limit": "100"}), "rate limit", "ok", "X-RateLimit-Limit: 100"),
    ],
    ids=["api client", "opaque", "no scope", "half a scope", "no admin", "refused", "ends", "limits"],
)
def test_doctor_reports_each_problem_with_the_tenant(
    program: Program, settings: SandboxSettings, check: str, verdict: str, text: str
) -> None:
    with running_sandbox(settings) as sandbox:
        env = {**environment(sandbox), "ACCESS_BATCH_RATE": "100/10"}
        ended = program("doctor", "--json", env=env)
        assert sandbox.tenant.audit.posts == 0
    found = finding(ended, check)
    assert found["verdict"] == verdict
    assert text.lower() in found["said"].lower()
    assert bool(found["to_do"]) == (verdict != "ok")
    assert ended.code == (3 if verdict == "fail" else 0)
    assert sandbox.client_secret not in ended.out + ended.err


def test_doctor_reports_a_wrong_clock(program: Program) -> None:
    with running_sandbox(clock=lambda: datetime.now(UTC) + timedelta(hours=1)) as sandbox:
        ended = program("doctor", "--json", env=environment(sandbox))
    assert "s behind the tenant's" in finding(ended, "clock")["said"]


def test_doctor_neither_waits_for_nor_calls_a_tenant_that_requests_a_long_pause(program: Program) -> None:
    with running_sandbox(SandboxSettings(rate=Rate(requests=1, seconds=3600))) as sandbox:
        env = {**environment(sandbox), "ACCESS_BATCH_RATE": "100/10"}
        throttled, silent = program("doctor", "--json", env=env), program("doctor", "--json", env=env)
    assert verdicts(throttled)["status list"] == "ok"
    assert "429" in finding(throttled, "config")["said"]
    for ended, check in ((throttled, "config"), (silent, "status list")):
        assert ended.code == 0
        assert finding(ended, check)["verdict"] == "warn"
        assert "No answer yet" in finding(ended, check)["said"]
    assert "asked us to wait" in finding(silent, "status list")["said"]
    assert "config" not in verdicts(silent)


def test_doctor_reports_an_unreachable_tenant_at_once(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    env = {"SAIL_BASE_URL": f"http://127.0.0.1:{port}", "SAIL_CLIENT_ID": "c", "SAIL_CLIENT_SECRET": "hunter2-hunter2"}
    ended = program("doctor", "--json", env=env)
    assert ended.code == 3
    assert finding(ended, "token")["verdict"] == "fail"
    assert "network" in finding(ended, "token")["to_do"]


@pytest.mark.parametrize(
    ("env", "flags", "check"),
    [
        ({}, [], "tenant"),
        ({"SAIL_BASE_URL": "http://acme.example"}, [], "tenant"),
        ({"SAIL_BASE_URL": "https://acme.example"}, [], "credentials"),
        (
            {"SAIL_BASE_URL": "https://acme.example", "SAIL_CLIENT_ID": "c", "SAIL_CLIENT_SECRET": "hunter2-hunter2"},
            ["--ca-file", "missing.pem"],
            "credentials",
        ),
    ],
)
def test_doctor_reports_settings_that_are_missing_or_unusable(
    program: Program, env: dict[str, str], flags: list[str], check: str
) -> None:
    ended = program("doctor", "--json", *flags, env=env)
    assert ended.code == 3
    assert list(verdicts(ended))[-1] == check
    assert finding(ended, check)["verdict"] == "fail"
    assert finding(ended, check)["to_do"]


def test_doctor_reports_a_newer_ledger_and_requests_only_a_token(program: Program, path: Path) -> None:
    with running_sandbox() as sandbox:
        program("doctor", env=environment(sandbox))
        alter(path, "UPDATE alembic_version SET version_num = '9999'")
        ended = program("doctor", "--json", env=environment(sandbox))
    assert ended.code == 3
    assert "Update access-batch" in finding(ended, "ledger")["to_do"]
    assert verdicts(ended)["scope"] == "ok"
    assert "Not asked" in finding(ended, "status list")["said"]


def test_doctor_reports_a_damaged_ledger_and_does_not_write_to_it(program: Program, path: Path) -> None:
    with running_sandbox() as sandbox:
        program("doctor", env=environment(sandbox))
        content = bytearray(path.read_bytes())
        content[20 * 4096 : 20 * 4096 + 2000] = b"\xff" * 2000
        path.write_bytes(content)
        ended = program("doctor", "--json", env=environment(sandbox))
    assert ended.code == 3
    assert "damaged" in finding(ended, "ledger")["said"]
    assert "Not asked" in finding(ended, "status list")["said"]
    assert path.read_bytes() == content


def test_doctor_reports_a_file_that_is_not_a_ledger(program: Program, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"not a database " * 1000)
    ended = program("doctor", "--sandbox", "--json", "--ledger", tmp_path / "no.db")
    assert ended.code == 3
    assert finding(ended, "ledger")["verdict"] == "fail"


def test_doctor_reports_a_stopped_run(program: Program, tmp_path: Path) -> None:
    inputs = write_rows(tmp_path / "a.csv", [grant(1, 1), grant(2, 2)])
    with running_sandbox(SandboxSettings(scopes=("idn:x:read",))) as sandbox:
        assert program("submit", inputs, "--yes", env=environment(sandbox)).code == 4
        ended = program("doctor", "--json", env=environment(sandbox))
    (run,) = program("runs", "--json").json["runs"]
    assert run["run"] in finding(ended, "runs")["said"]
    assert "same submit command" in finding(ended, "runs")["to_do"]
