"""A stored secret goes only to the tenant that it was stored for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from batch.credentials.choose import Candidate, FoundTenant, TenantOffer, choose, choose_tenant, mismatch
from batch.errors import SettingsError
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
    from pathlib import Path

    from tests.credentials.memory_keyring import MemoryKeyring


def test_a_secret_stored_for_another_tenant_is_not_used(memory: MemoryKeyring, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    write_config(f"base_url = '{B}'\nclient_id = 'file'\nclient_secret_file = '{tmp_path / 'secret'}'\n")
    write_cli({"default": B})
    store_in_cli("default", "cli", SECRET)
    store_login(B, "login", SECRET)
    write_sdk(B, "sdk", SECRET)
    memory.asked.clear()
    with pytest.raises(SettingsError, match="There are no credentials") as caught:
        found(base_url=A)
    assert caught.value.message.count("is for another tenant") == 3
    assert memory.asked == [("access-batch", A)], "the keyring is not asked for another tenant's secrets"


@pytest.mark.usefixtures("memory")
def test_two_spellings_of_an_address_are_the_same_tenant() -> None:
    write_cli({"default": "HTTPS://A.api.identitynow.com:443/"})
    store_in_cli("default", "cli", SECRET)
    assert found(base_url=A) == ("cli", SECRET)


def test_a_profiles_tenant_does_not_get_the_top_levels_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    write_config(
        f"base_url = '{A}'\nclient_id = 'a'\nclient_secret_file = '{tmp_path / 'secret'}'\n"
        f"[profile.b]\nbase_url = '{B}'\n[profile.slow]\nconcurrency = 1\n"
    )
    assert found() == found(profile="slow") == ("a", SECRET)
    with pytest.raises(SettingsError, match="is for another tenant"):
        found(profile="b")


def test_a_profile_without_a_tenant_uses_its_secret_for_the_top_levels_tenant(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    write_config(f"base_url = '{A}'\n[profile.mine]\nclient_id = 'me'\nclient_secret_file = '{tmp_path / 'secret'}'\n")
    assert found(profile="mine") == ("me", SECRET)
    with pytest.raises(SettingsError, match="is for another tenant"):
        found(profile="mine", base_url=B)


def test_the_config_files_client_id_is_not_used_for_another_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(f"base_url = '{A}'\nclient_id = 'a'\n")
    monkeypatch.setenv("SAIL_CLIENT_SECRET", SECRET)
    assert found() == ("a", SECRET)
    with pytest.raises(SettingsError, match="no client id"):
        found(base_url=B)


def test_a_secret_in_the_config_file_needs_its_tenant_beside_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    write_config(f"client_id = 'a'\nclient_secret_file = '{tmp_path / 'secret'}'\n")
    with pytest.raises(SettingsError, match="without its tenant"):
        found(base_url=A)


def test_flags_and_environment_may_be_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIL_CLIENT_ID", "sail")
    monkeypatch.setenv("SAIL_CLIENT_SECRET", SECRET)
    assert found(base_url=A, client_id="flag") == ("flag", SECRET)


@pytest.mark.parametrize("variables", ["SAIL", "ACCESS_BATCH"])
def test_a_secret_beside_another_tenant_in_the_environment_goes_only_there(
    variables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BASE_URL", B), ("CLIENT_ID", "sail"), ("CLIENT_SECRET", SECRET)):
        monkeypatch.setenv(f"{variables}_{name}", value)
    with pytest.raises(SettingsError, match="for another tenant") as caught:
        found(base_url=A)
    assert SECRET not in str(caught.value)
    assert found(base_url=B) == ("sail", SECRET)


def test_a_secret_named_by_a_flag_goes_to_the_flags_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIL_BASE_URL", B)
    monkeypatch.setenv("MINE", SECRET)
    assert found(base_url=A, client_id="flag", client_secret_env="MINE") == ("flag", SECRET)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("place", ["config.json", "the CLI's active environment", "an earlier login"])
def test_a_secret_from_the_environment_is_not_sent_to_an_ambient_tenant(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "config.json":
        write_sdk(A, "sdk", "sdk-secret")
    elif place == "an earlier login":
        remember_login_for(A)
    else:
        write_cli({"default": A})
    monkeypatch.setenv("SAIL_CLIENT_ID", "sail")
    monkeypatch.setenv("SAIL_CLIENT_SECRET", SECRET)
    with pytest.raises(SettingsError, match="without its tenant") as caught:
        found()
    assert "SAIL_BASE_URL" in caught.value.next_step
    assert found(base_url=A) == ("sail", SECRET)


def remember_login_for(tenant: str) -> None:
    from batch.credentials.logins import Login, store_login  # noqa: PLC0415 - the helper in `places` has the same name
    from batch.credentials.system_keyring import SystemKeyring  # noqa: PLC0415 - as above

    store_login(SystemKeyring(), tenant, "", Login("login", SecretStr("login-secret")))


def test_a_secret_from_the_environment_may_go_to_a_named_profiles_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    write_cli({"prod": A}, active="dev")
    monkeypatch.setenv("SAIL_CLIENT_ID", "sail")
    monkeypatch.setenv("SAIL_CLIENT_SECRET", SECRET)
    assert found(profile="prod") == ("sail", SECRET)


@pytest.mark.parametrize("stored", [{"client_secret_file": "x", "client_secret_env": "Y"}])
def test_a_secret_given_twice_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="--client-secret-file and --client-secret-env"):
        find(base_url=A, client_id="x", **stored)
    write_config("base_url = 'https://a'\nclient_secret_file = 'x'\nclient_secret_env = 'Y'\n")
    with pytest.raises(SettingsError, match="client_secret_file in the config file"):
        find()


TENANTS = st.sampled_from(["", A, B, f"{A}/", "https://A.API.identitynow.com:443", "ftp://a", "nonsense"])
HERE = FoundTenant(origin=A, source="--base-url")


@given(base_url=TENANTS, client_id=st.sampled_from(["", "x", "y"]), wanted=st.sampled_from(["", "x", "y"]))
def test_stored_credentials_fit_only_their_own_tenant_and_client(base_url: str, client_id: str, wanted: str) -> None:
    is_here = base_url.lower().startswith(A)
    is_wanted = not wanted or not client_id or client_id == wanted
    assert (mismatch(HERE, wanted, base_url=base_url, client_id=client_id) == "") == (is_here and is_wanted)


@given(st.lists(st.sampled_from(["", "is for another tenant"])))
def test_the_first_candidate_without_a_problem_is_chosen_and_no_later_one_is_read(problems: list[str]) -> None:
    drawn = iter(Candidate(source=str(number), problem=problem) for number, problem in enumerate(problems))
    choice = choose(drawn)
    first = problems.index("") if "" in problems else None
    assert (int(choice.chosen.source) if choice.chosen else None) == first
    assert len(choice.skipped) == (len(problems) if first is None else first)
    assert len(list(drawn)) == (0 if first is None else len(problems) - first - 1)


@given(st.lists(st.sampled_from(["", A, B])))
def test_the_first_offer_that_names_a_tenant_wins_and_no_later_one_is_read(base_urls: list[str]) -> None:
    offers = iter(TenantOffer(base_url=base_url, source="here", ambient=True) for base_url in base_urls)
    tenant = choose_tenant(offers)
    named = [base_url for base_url in base_urls if base_url]
    assert (tenant.origin if tenant else None) == (named[0] if named else None)
    assert len(list(offers)) == (len(base_urls) - base_urls.index(named[0]) - 1 if named else 0)
