"""Nobody else consents: not a config file, not a variable, not a folder; and a production tenant is named by hand."""

from __future__ import annotations

import io
import re
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch.api.token_claims import TokenClaims
from batch.commands.session import why_guarded
from batch.credentials.logins import Login, store_login
from batch.credentials.system_keyring import SystemKeyring
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.tenant.address import tenant_names
from tests.credentials.places import write_config, write_sdk
from tests.end_to_end.program import FAST, Terminal, accepted, environment, grant, write_rows
from tests.ledger.ledger_helpers import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.credentials.memory_keyring import MemoryKeyring
    from tests.end_to_end.program import Program

QUICK = {"ACCESS_BATCH_RATE": FAST, "ACCESS_BATCH_CHECK_TENANT": "never"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", [grant(1, 1)])


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))


@pytest.mark.parametrize(("command", "place"), [("submit", ""), ("submit", "[profile.p]\n"), ("cancel", "")])
def test_a_config_file_does_not_consent(
    command: str, place: str, program: Program, tenant: RunningSandbox, path: Path
) -> None:
    write_config(f"{place}yes = true\n")
    profile = ("--profile", "p") if place else ()
    ended = program(command, path, *profile, env=environment(tenant))
    assert ended.code == 2
    assert "holds yes: only the flag --yes" in ended.err
    assert "Remove it" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.parametrize("variable", ["ACCESS_BATCH_YES", "access_batch_yes", "ACCESS_BATCH_CONFIRM"])
def test_a_variable_does_not_consent_and_is_not_ignored_silently(
    variable: str, program: Program, tenant: RunningSandbox, path: Path
) -> None:
    env = {**environment(tenant), **QUICK, variable: tenant.base_url if "CONFIRM" in variable else "true"}
    ended = program("submit", path, env=env)
    assert ended.code == 2
    assert f"{variable.upper()} has no effect" in ended.err
    assert "no terminal to ask for confirmation" in ended.err
    assert accepted(tenant) == {}


def test_at_a_terminal_a_variable_leaves_the_question_and_the_flag_as_they_are(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {**environment(tenant), **QUICK, "ACCESS_BATCH_YES": "true"}
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    ended = program("submit", path, "--quiet", env=env)
    assert (ended.code, accepted(tenant)) == (130, {})
    assert "ACCESS_BATCH_YES has no effect" in ended.err
    assert program("submit", path, "--yes", env=env).code == 0


def command_to_type(err: str) -> list[str]:
    """The command that a message names, as a shell would divide it."""
    found = re.search(r"^.*?: (access-batch .*)$", err, re.MULTILINE)
    assert found, err
    return shlex.split(found.group(1))[1:]


def test_a_tenant_that_the_current_folder_names_gets_nothing_unasked(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    write_sdk(tenant.base_url, tenant.client_id, tenant.client_secret)
    ended = program("submit", path, "--yes", env=QUICK)
    assert ended.code == 2
    assert f"{tenant.base_url} comes from ./config.json" in ended.err
    assert (accepted(tenant), tenant.tenant.audit.posts) == ({}, 0)
    again = command_to_type(ended.err)
    assert again == ["submit", str(path), "--yes", "--base-url", tenant.base_url]
    assert program(*again, env=QUICK).code == 0
    assert len(accepted(tenant)) == 1


@pytest.mark.parametrize("words", [("cancel", "abc", "--yes"), ("submit", "a.csv", "--confirm", "NAME")])
def test_it_is_so_for_every_command_and_flag_that_consents(
    words: tuple[str, ...], program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(1, 1)])
    write_sdk(tenant.base_url, tenant.client_id, tenant.client_secret)
    name = tenant_names(tenant.base_url)[0]
    ended = program(*(word.replace("NAME", name).replace("a.csv", str(path)) for word in words), env=QUICK)
    assert ended.code == 2
    assert command_to_type(ended.err)[-2:] == ["--base-url", tenant.base_url]


def test_a_tenant_that_the_current_folder_names_is_used_after_a_question(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sdk(tenant.base_url, tenant.client_id, tenant.client_secret)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    ended = program("submit", path, env=QUICK)
    assert ended.code == 0
    where, question = f"{tenant.base_url} comes from ./config.json in the current folder.", f"to {tenant.base_url}?"
    assert 0 <= ended.err.find(where) < ended.err.find(question)


@pytest.mark.usefixtures("memory")
def test_a_login_does_not_propose_the_tenant_of_the_current_folder(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sdk("https://evil.example", "me", "a-secret-of-theirs")
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    ended = program("login", "--client-id", "me")
    assert ended.code == 2
    assert "Base URL of the tenant: " in ended.err
    assert "evil" not in ended.err


def test_the_environment_may_name_the_tenant_too(program: Program, tenant: RunningSandbox, path: Path) -> None:
    write_sdk(tenant.base_url, tenant.client_id, tenant.client_secret)
    assert program("submit", path, "--yes", env={**QUICK, "SAIL_BASE_URL": tenant.base_url}).code == 0


def production(tenant: RunningSandbox) -> dict[str, str]:
    """An environment for a production tenant, which the profile `prod` names."""
    write_config(f"[profile.prod]\nbase_url = '{tenant.base_url}'\nproduction = true\n")
    return {**environment(tenant), **QUICK}


@pytest.mark.parametrize(
    ("flags", "typed", "code"), [((), "{name}\n", 0), (("--yes",), " {URL}\n", 0), (("-y",), "y\n", 130), ((), "", 130)]
)
def test_in_production_the_tenants_name_is_typed_even_with_yes(
    flags: tuple[str, ...],
    typed: str,
    code: int,
    program: Program,
    tenant: RunningSandbox,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env, name = production(tenant), tenant_names(tenant.base_url)[0]
    answer = typed.replace("{name}", name).replace("{URL}", tenant.base_url.upper())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = program("submit", path, "--profile", "prod", *flags, env=env)
    assert f"type the tenant's name, {name}:" in ended.err
    assert (ended.code, len(accepted(tenant))) == (code, 0 if code else 1)


def test_in_production_without_a_terminal_the_name_is_given_by_a_flag(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    env, name = production(tenant), tenant_names(tenant.base_url)[0]
    ended = program("submit", path, "--profile", "prod", "--yes", env=env)
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "production" in ended.err
    again = command_to_type(ended.err)
    assert again == ["submit", str(path), "--profile", "prod", "--yes", "--confirm", name]
    assert program(*again, env=env).code == 0
    assert len(accepted(tenant)) == 1
    # Nothing is left to send: nothing has to be typed.
    assert program("submit", path, "--profile", "prod", "--yes", env=env).code == 0
    assert len(accepted(tenant)) == 1


@pytest.mark.parametrize("profile", [(), ("--profile", "other")])
def test_a_production_tenant_stays_one_without_its_profile(
    profile: tuple[str, ...], program: Program, tenant: RunningSandbox, path: Path
) -> None:
    env = production(tenant)
    guard = f"base_url = '{tenant.base_url}'\nproduction = true\n"
    for config in (f"[profile.prod]\n{guard}[profile.other]\n", f"{guard}[profile.other]\nproduction = false\n"):
        write_config(config)
        ended = program("submit", path, "--yes", "--base-url", tenant.base_url, *profile, env=env)
        assert (ended.code, accepted(tenant)) == (2, {})


def at_another_address(tenant: RunningSandbox) -> dict[str, str]:
    return {**production(tenant), "SAIL_BASE_URL": tenant.base_url.replace("127.0.0.1", "localhost")}


@pytest.mark.parametrize("verb", ["is", "may be"])
def test_a_production_tenant_stays_one_at_another_address(
    verb: str, program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    env, name = at_another_address(tenant), tenant_names(tenant.base_url)[0]
    before = 0
    if verb == "is":
        # The ledger sees a token from the address that the profile names.
        first = write_rows(tmp_path / "first.csv", [grant(2, 2)])
        assert program("submit", first, "--profile", "prod", "--confirm", name, env=production(tenant)).code == 0
        before = 1
    ended = program("submit", path, "--yes", env=env)
    assert (ended.code, len(accepted(tenant))) == (2, before), ended.err
    assert f"{env['SAIL_BASE_URL']} {verb} the tenant of {tenant.base_url}, which is for production" in ended.err
    again = command_to_type(ended.err)
    assert again == ["submit", str(path), "--yes", "--confirm", name.replace("127.0.0.1", "localhost")]
    assert program("runs", "--json", env=env).out.count('"run"') == before
    assert program(*again, env=env).code == 0
    assert len(accepted(tenant)) == before + 1


def test_at_a_terminal_another_address_of_a_production_tenant_asks_for_the_name_typed(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = at_another_address(tenant)
    for answer, code in (("y\n", 130), (f"{env['SAIL_BASE_URL']}\n", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert program("submit", path, "--yes", env=env).code == code
        assert len(accepted(tenant)) == (0 if code else 1)


def test_a_production_tenant_is_not_cancelled_at_another_address_unasked(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    env = at_another_address(tenant)
    name = tenant_names(env["SAIL_BASE_URL"])[0]
    run = program("submit", path, "--confirm", name, "--json", env=env).json["run"]
    ended = program("cancel", run, "--yes", env=env)
    assert ended.code == 2
    assert command_to_type(ended.err) == ["cancel", run, "--yes", "--confirm", name]
    preview = program("cancel", run, "--dry-run", "--json", env=env)
    assert (preview.code, len(preview.json["would_cancel"])) == (0, 1)


def test_another_tenant_than_the_production_one_takes_a_yes_once_tokens_have_told_them_apart(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    with running_sandbox(SandboxSettings(tenant_id="another")) as other:
        env = {**production(other), **environment(tenant)}
        assert program("submit", path, "--yes", env=env).code == 2
        assert program("doctor", "--profile", "prod", env={**production(other), **environment(other)}).code == 0
        assert program("submit", path, "--yes", env=env).code == 0
    assert len(accepted(tenant)) == 1


def test_the_short_name_in_a_token_tells_whether_a_tenant_is_the_production_one(tmp_path: Path) -> None:
    found = {}
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for org in ("acme", "ACME", "acme-sb", ""):
            claims = TokenClaims(readable=True, org=org)
            found[org] = why_guarded(ledger, claims, "https://id.acme.example", "https://acme.api.identitynow.com")
    assert " is the tenant of https://acme.api.identitynow.com" in found["acme"]
    assert found["ACME"] == found["acme"]
    assert found["acme-sb"] == ""
    assert " may be the tenant of https://acme.api.identitynow.com" in found[""]


def test_a_profile_of_a_login_may_be_production(
    memory: MemoryKeyring, program: Program, tenant: RunningSandbox, path: Path
) -> None:
    assert memory.entries == {}
    store_login(SystemKeyring(), tenant.base_url, "prod", Login(tenant.client_id, SecretStr(tenant.client_secret)))
    write_config("[profile.prod]\nproduction = true\n")
    for more in (("--profile", "prod"), ("--base-url", tenant.base_url)):
        ended = program("submit", path, "--yes", *more, env={**environment(tenant), **QUICK})
        assert (ended.code, accepted(tenant)) == (2, {})


def test_a_wrong_name_is_refused_before_anything_else(program: Program, tenant: RunningSandbox, path: Path) -> None:
    ended = program("submit", path, "--yes", "--confirm", "acme", env={**environment(tenant), **QUICK})
    assert (ended.code, accepted(tenant)) == (2, {})
    assert f"--confirm names acme, but the tenant is {tenant_names(tenant.base_url)[0]}" in ended.err


@pytest.mark.parametrize("place", ["environment", "file"])
def test_production_is_a_matter_of_the_config_file(
    place: str, program: Program, tenant: RunningSandbox, path: Path
) -> None:
    env = production(tenant)
    if place == "environment":
        env["ACCESS_BATCH_PRODUCTION"] = "false"
        ended = program("submit", path, "--profile", "prod", "--yes", env=env)
        assert (ended.code, accepted(tenant)) == (2, {})
    else:
        write_config("[profile.prod]\nproduction = 'perhaps'\n")
        assert "production" in program("submit", path, "--profile", "prod", "--yes", env=env).err


@pytest.mark.parametrize(
    ("base_url", "names"),
    [
        ("https://acme.api.identitynow.com", ("acme", "acme.api.identitynow.com", "https://acme.api.identitynow.com")),
        ("https://api.acme.example", ("api.acme.example", "https://api.acme.example")),
        ("https://acme.example:8443", ("acme.example:8443", "https://acme.example:8443")),
        ("http://127.0.0.1:1", ("127.0.0.1:1", "http://127.0.0.1:1")),
    ],
)
def test_a_tenants_name_is_its_host_or_the_part_that_is_its_own(base_url: str, names: tuple[str, ...]) -> None:
    assert tenant_names(base_url) == names
