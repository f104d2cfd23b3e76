"""`login` and `logout`, and how other commands use the stored login."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest

from batch.credentials.logins import logins_file
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings, TokenKind
from tests.credentials.memory_keyring import MemoryKeyring, PlaintextKeyring
from tests.end_to_end.program import FAST, grant, write_rows

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", [grant(1, 1), grant(2, 1)])


def log_in(program: Program, monkeypatch: pytest.MonkeyPatch, secret: str, *arguments: str) -> Ended:
    """Logs in with the secret on standard input."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(secret))
        return program("login", *arguments)


def log_in_to(tenant: RunningSandbox, program: Program, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ended:
    flags = ("--base-url", tenant.base_url, "--client-id", tenant.client_id, *arguments)
    return log_in(program, monkeypatch, f"{tenant.client_secret}\n", *flags)


def test_commands_after_a_login_need_no_other_credentials(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = log_in_to(tenant, program, monkeypatch)
    assert ended.code == 0
    entry = f"the keyring, entry access-batch / {tenant.base_url}"
    assert f"Stored client {tenant.client_id} for {tenant.base_url} in {entry}" in ended.out
    assert tenant.client_secret not in ended.out + ended.err + logins_file().read_text()
    memory.asked.clear()
    submitted = program("submit", path, "--yes", "--json", env={"ACCESS_BATCH_RATE": FAST})
    assert submitted.code == 0
    assert submitted.json["changes"]["accepted"] == 2
    assert f"from {entry}" in submitted.err
    assert memory.asked.count(("access-batch", tenant.base_url)) == 1, "the keyring asks its user once"


def test_an_offline_plan_names_the_tenant_and_does_not_read_the_keyring(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in_to(tenant, program, monkeypatch)
    memory.asked.clear()
    assert program("plan", path, "--json", "--check-tenant", "never").json["tenant"] == tenant.base_url
    assert program("validate", path).code == 0
    assert memory.asked == []


def test_the_sandbox_looks_for_no_credentials(program: Program, memory: MemoryKeyring, path: Path) -> None:
    Path("config.json").write_text("{ broken")
    (Path.home() / ".sailpoint").mkdir()
    (Path.home() / ".sailpoint" / "config.yaml").write_text("- broken")
    assert program("submit", path, "--yes", "--sandbox", env={"ACCESS_BATCH_RATE": FAST}).code == 0
    assert program("plan", path, "--sandbox").code == 0
    # This machine's own key is no credential.
    assert {service for service, _ in memory.asked} == {"access-batch machine key"}


def test_credentials_that_the_tenant_refuses_are_not_stored(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--base-url", tenant.base_url, "--client-id", tenant.client_id)
    ended = log_in(program, monkeypatch, "hunter2\n", *flags)
    assert ended.code == 4
    assert "Nothing was stored." in ended.err
    assert "hunter2" not in ended.out + ended.err
    assert memory.entries == {}
    assert not logins_file().exists()


def test_a_client_whose_token_may_not_submit_is_not_stored(
    program: Program, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxSettings(token_kind=TokenKind.API_CLIENT)) as tenant:
        ended = log_in_to(tenant, program, monkeypatch)
    assert ended.code == 2
    assert "no user behind it" in ended.err
    assert "Nothing was stored. Use a personal access token" in ended.err
    assert memory.entries == {}


def test_a_login_can_be_stored_without_asking_the_tenant(
    program: Program, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = log_in(program, monkeypatch, "hunter2", "--base-url", NOWHERE, "--client-id", "me", "--no-check")
    assert ended.code == 0
    assert list(memory.entries) == [("access-batch", NOWHERE)]


def test_a_login_is_checked_with_the_given_certificates(
    program: Program, memory: MemoryKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "missing.pem")
    flags = ("--base-url", "https://acme.example", "--client-id", "me", "--ca-file", missing)
    ended = log_in(program, monkeypatch, "hunter2\n", *flags)
    assert ended.code == 2
    assert f"--ca-file: {missing} can't be read" in ended.err
    assert memory.entries == {}


def test_logout_without_a_keyring_reports_that_nothing_was_forgotten(program: Program) -> None:
    ended = program("logout", "--base-url", NOWHERE)
    assert ended.code == 2
    assert "Nothing was removed" in ended.err
    assert f"entry access-batch / {NOWHERE}" in ended.err


def test_logout_forgets_and_reports_whether_there_was_a_login(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("logout").out == "There is no login to remove.\n"
    log_in_to(tenant, program, monkeypatch)
    forgotten = program("logout")
    assert (forgotten.code, memory.entries) == (0, {})
    assert forgotten.out.startswith(f"Removed the login for {tenant.base_url}")
    assert "There was no login" in program("logout", "--base-url", tenant.base_url).out
    assert program("submit", path, "--yes").code == 2


def test_a_login_creates_its_profile(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = program("submit", path, "--yes", "--profile", "prod")
    assert "There is no profile 'prod'" in refused.err
    log_in_to(tenant, program, monkeypatch, "--profile", "prod")
    assert list(memory.entries) == [("access-batch", f"{tenant.base_url} prod")]
    assert program("submit", path, "--yes", "--profile", "prod", env={"ACCESS_BATCH_RATE": FAST}).code == 0
    assert program("submit", path, "--yes").code == 2, "a profile's login is for that profile only"
    assert "Removed" in program("logout", "--profile", "prod").out
    assert program("plan", path, "--profile", "prod").code == 2


def test_a_login_warns_of_a_stronger_source(
    program: Program, tenant: RunningSandbox, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIL_CLIENT_SECRET", "other")
    ended = log_in_to(tenant, program, monkeypatch)
    assert ended.code == 0
    assert memory.entries
    assert "But the environment (SAIL_CLIENT_SECRET) has precedence" in ended.out


@pytest.mark.parametrize(
    ("flags", "option"), [((), "--base-url"), (("--base-url", NOWHERE), "--client-id")], ids=["tenant", "client"]
)
@pytest.mark.usefixtures("memory")
def test_login_without_a_terminal_needs_the_tenant_and_the_client_as_options(
    flags: tuple[str, ...], option: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = log_in(program, monkeypatch, "hunter2\n", *flags)
    assert ended.code == 2
    assert f"Give it with {option}" in ended.err


@pytest.mark.parametrize("typed", ["", "\n", "one\ntwo\n"])
def test_login_refuses_standard_input_that_is_not_a_single_line(
    typed: str, program: Program, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = log_in(program, monkeypatch, typed, "--base-url", NOWHERE, "--client-id", "me", "--no-check")
    assert ended.code == 2
    assert "must hold the client secret on one line" in ended.err
    assert memory.entries == {}


@pytest.mark.parametrize("unsafe", [True, False])
def test_login_without_a_safe_keyring_is_refused_and_names_the_alternatives(
    unsafe: bool,  # noqa: FBT001 - pytest passes it by name
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if unsafe:
        keyring.set_keyring(PlaintextKeyring())
    ended = log_in(program, monkeypatch, "hunter2\n")
    assert ended.code == 2
    assert "no keyring that keeps secrets safe" in ended.err
    assert "SAIL_CLIENT_SECRET" in ended.err
    assert "--client-secret-file" in ended.err


@pytest.mark.parametrize("flag", ["file", "env"])
def test_submit_reads_the_secret_from_a_file_or_a_variable(
    flag: str, program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(tenant.client_secret)
    (tmp_path / "secret").chmod(0o644)
    monkeypatch.setenv("TENANT_SECRET", tenant.client_secret)
    named = tmp_path / "secret" if flag == "file" else "TENANT_SECRET"
    client = ("--base-url", tenant.base_url, "--client-id", tenant.client_id)
    ended = program("submit", path, "--yes", *client, f"--client-secret-{flag}", named, env={"ACCESS_BATCH_RATE": FAST})
    assert ended.code == 0
    assert ("Other users of this machine may read the secret" in ended.err) == (flag == "file" and os.name == "posix")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_login_at_a_terminal_asks_for_everything_and_hides_the_secret() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "batch", "login", "--no-check"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHON_KEYRING_BACKEND": "tests.credentials.memory_keyring.MemoryKeyring",
        },
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        # Otherwise login asks at the terminal that runs the tests.
        start_new_session=True,
    ) as process:
        os.close(theirs)
        screen = ""
        for question, answer in (
            ("Base URL of the tenant: ", NOWHERE),
            ("Client id: ", "me"),
            ("Client secret (not shown): ", "hunter2"),
        ):
            while question not in screen:
                screen += os.read(ours, 1000).decode()
            os.write(ours, f"{answer}\n".encode())
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait() == 0
    os.close(ours)
    assert output.startswith(f"Stored client me for {NOWHERE}")
    assert "hunter2" not in screen + output
