"""The strongest source that has something for the tenant wins, and no weaker one is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.credentials.find import check_profile, find_tenant
from batch.errors import SettingsError
from batch.settings import load
from tests.credentials.places import (
    SECRET,
    A,
    B,
    find,
    found,
    store_in_cli,
    store_login,
    write_cli,
    write_config,
    write_sdk,
)

if TYPE_CHECKING:
    from tests.credentials.memory_keyring import MemoryKeyring


def test_each_source_outranks_those_below_it(
    memory: MemoryKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sdk(A, "sdk", "sdk-secret")
    assert found() == ("sdk", "sdk-secret")
    store_login(A, "login", "login-secret")
    assert found() == ("login", "login-secret")
    write_cli({"default": A})
    store_in_cli("default", "cli", "cli-secret")
    assert found() == ("cli", "cli-secret")
    (tmp_path / "file").write_text("file-secret\n")
    write_config(f"base_url = '{A}'\nclient_id = 'file'\nclient_secret_file = '{tmp_path / 'file'}'\n")
    memory.asked.clear()
    assert found() == ("file", "file-secret")
    for name, value in (("BASE_URL", A), ("CLIENT_ID", "sail"), ("CLIENT_SECRET", "sail-secret")):
        monkeypatch.setenv(f"SAIL_{name}", value)
    assert found() == ("sail", "sail-secret")
    monkeypatch.setenv("ACCESS_BATCH_CLIENT_SECRET", "our-secret")
    assert found() == ("sail", "our-secret")
    monkeypatch.setenv("NAMED", "named-secret")
    assert found(client_id="flag", client_secret_env="NAMED") == ("flag", "named-secret")
    assert memory.asked == []


def test_a_source_that_is_not_needed_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    write_cli({}).write_bytes(b"\xff broken")
    Path("config.json").write_text("{ broken")
    for name, value in (("BASE_URL", A), ("CLIENT_ID", "sail"), ("CLIENT_SECRET", SECRET)):
        monkeypatch.setenv(f"SAIL_{name}", value)
    assert found() == ("sail", SECRET)


def test_the_tenant_alone_is_found_without_asking_the_keyring(memory: MemoryKeyring) -> None:
    write_cli({"default": f"{A}/"})
    store_in_cli("default", "cli", SECRET)
    tenant = find_tenant(load({}))
    assert tenant is not None
    assert tenant.origin == A
    assert memory.asked == []


def test_no_source_names_no_tenant() -> None:
    assert find_tenant(load({})) is None


def test_a_wrong_address_is_reported_with_its_source() -> None:
    write_cli({"default": "ftp://a"})
    with pytest.raises(SettingsError, match="environment 'default' of the vendor's CLI"):
        find_tenant(load({}))


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        ({}, "the environment (SAIL_CLIENT_SECRET)"),
        ({"client_secret_file": Path("secret")}, "--client-secret-file"),
        ({"client_secret_env": "NAMED"}, "--client-secret-env"),
    ],
)
def test_given_credentials_need_no_notice(flags: dict[str, Any], source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(SECRET)
    Path("secret").chmod(0o600)
    monkeypatch.setenv("NAMED", SECRET)
    for name, value in (("BASE_URL", A), ("CLIENT_ID", "sail"), ("CLIENT_SECRET", SECRET)):
        monkeypatch.setenv(f"SAIL_{name}", value)
    result = find(**flags)
    assert result.credentials.source == source
    assert result.notices == ()


@pytest.mark.usefixtures("memory")
def test_stored_credentials_are_used_with_a_notice_of_client_and_source() -> None:
    store_login(A, "me", SECRET)
    result = find(base_url=A)
    assert result.credentials.source == f"the keyring, entry access-batch / {A}"
    assert result.notices == (f"Using the credentials of client me from {result.credentials.source}.",)


@pytest.mark.usefixtures("memory")
def test_a_client_id_without_a_secret_chooses_among_stored_credentials() -> None:
    write_cli({"default": A})
    store_in_cli("default", "first", "first-secret")
    store_login(A, "second", "second-secret")
    write_sdk(A, "third", "third-secret")
    assert found() == ("first", "first-secret")
    assert found(client_id="second") == ("second", "second-secret")
    assert found(client_id="third") == ("third", "third-secret")
    with pytest.raises(SettingsError, match="is for another client"):
        found(client_id="fourth")


@pytest.mark.usefixtures("memory")
def test_a_profile_may_be_an_inactive_environment_of_the_vendors_cli() -> None:
    write_cli({"dev": A, "prod": B}, active="dev")
    store_in_cli("dev", "dev-id", "dev-secret")
    store_in_cli("prod", "prod-id", "prod-secret")
    write_config("base_url = 'https://c.example'\n")
    assert found(profile="Prod") == ("prod-id", "prod-secret")


@pytest.mark.usefixtures("memory")
def test_a_profile_of_the_config_file_outranks_an_environment_of_that_name() -> None:
    write_cli({"prod": B}, active="prod")
    store_in_cli("prod", "prod-id", "prod-secret")
    write_config(f"[profile.prod]\nbase_url = '{A}'\n")
    store_login(f"{A} prod", "mine", "my-secret")
    assert found(profile="prod") == ("mine", "my-secret")


@pytest.mark.usefixtures("memory")
def test_a_profiles_own_login_outranks_the_tenants() -> None:
    write_config(f"base_url = '{A}'\n[profile.slow]\nconcurrency = 1\n[profile.other]\nconcurrency = 2\n")
    store_login(A, "one", "one-secret")
    store_login(f"{A} other", "two", "two-secret")
    assert found() == found(profile="slow") == ("one", "one-secret")
    assert found(profile="other") == ("two", "two-secret")


@pytest.mark.usefixtures("memory")
def test_a_profile_without_a_tenant_uses_no_ambient_one() -> None:
    write_cli({"default": A})
    write_sdk(B, "sdk", SECRET)
    write_config("[profile.slow]\nconcurrency = 1\n")
    assert find_tenant(load({}, profile="slow")) is None


@pytest.mark.parametrize("name", ["prod", "PROD"])
def test_a_profile_may_exist_in_the_vendors_cli_only(name: str) -> None:
    write_cli({"prod": A})
    check_profile(load({}, profile=name))


def test_an_unknown_profile_is_refused() -> None:
    write_cli({"prod": A})
    write_config("[profile.test]\n")
    check_profile(load({}, profile="test"))
    with pytest.raises(SettingsError, match="There is no profile 'typo'") as caught:
        check_profile(load({}, profile="typo"))
    assert "[profile.typo]" in caught.value.next_step


@pytest.mark.usefixtures("memory")
def test_missing_credentials_are_reported_with_every_source() -> None:
    write_cli({"default": B})
    config = write_config("api = 'v3'\n")
    with pytest.raises(SettingsError) as caught:
        found(base_url=A)
    for line in (
        "flags and environment: SAIL_CLIENT_ID and SAIL_CLIENT_SECRET are not set",
        f"the config file {config}: names no secret",
        "environment 'default' of the vendor's CLI",
        f"the keyring, entry access-batch / {A}: nothing is stored",
        "./config.json: there is none",
    ):
        assert f"\n  {line}" in caught.value.message
    assert f"access-batch login --base-url {A}" in caught.value.next_step


def test_without_a_keyring_a_login_is_not_recommended() -> None:
    with pytest.raises(SettingsError, match="no keyring that keeps secrets safe") as caught:
        found(base_url=A)
    assert "access-batch login" not in caught.value.next_step
    assert "--client-secret-file" in caught.value.next_step


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "No tenant is given. Looked at: --base-url and SAIL_BASE_URL"),
        ({"base_url": A}, "SAIL_CLIENT_ID and SAIL_CLIENT_SECRET are not set"),
        ({"base_url": A, "client_id": "x"}, "SAIL_CLIENT_SECRET is not set"),
        ({"base_url": A, "client_secret": SECRET}, "no client id: SAIL_CLIENT_ID is not set"),
    ],
)
def test_a_missing_setting_is_named_by_its_variable(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        found(**flags)
    assert caught.value.next_step
