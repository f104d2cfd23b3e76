"""Other programs' files: read as their owners mean them, or refused by name, and never quoted."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch.credentials.find import LONGEST_CLIENT_ID, require_sendable
from batch.credentials.given import one_line
from batch.credentials.logins import logins_file
from batch.credentials.system_keyring import SystemKeyring
from batch.credentials.vendor import cli_environment, cli_login, read_go_text, sdk_config
from batch.errors import SettingsError
from batch.files import MOST_BYTES
from tests.credentials.places import SECRET, A, B, find, found, store_in_cli, write_cli, write_config, write_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.credentials.vendor import VendorConfig
    from tests.credentials.memory_keyring import MemoryKeyring

ONLY_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such bits")


def cli_file() -> Path:
    return write_cli({})


def environment_called(name: str = "") -> VendorConfig:
    found = cli_environment(name)
    assert found is not None
    return found


def refusal(path: Path, content: bytes) -> str:
    """The error message about a file; checks that no traceback would show its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        find()
    error = caught.value
    assert path.name in error.message
    assert error.next_step
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.next_step
    assert SECRET not in shown
    return error.message


NO_YAML = [
    f"- {SECRET}\n",
    SECRET,
    f"a: b: {SECRET}",
    f"a: {{{SECRET}",
    f"[{SECRET}]: x",
    f"\tx: {SECRET}",
    f"x: \x00{SECRET}",
]


@pytest.mark.parametrize("content", NO_YAML)
def test_a_cli_file_of_another_form_is_refused(content: str) -> None:
    assert "does not have the form that the vendor's CLI writes" in refusal(cli_file(), content.encode())


@pytest.mark.parametrize("content", [f'{{"BaseURL": "{SECRET}', SECRET, "[" * 100_000, ""])
def test_an_sdk_file_that_is_not_json_is_refused(content: str) -> None:
    assert "is not JSON" in refusal(Path("config.json"), content.encode())


@pytest.mark.parametrize(
    "document", [{"BaseURL": A, "ClientSecret": SECRET}, {"BaseURL": A, "ClientId": 3, "ClientSecret": [SECRET]}]
)
def test_an_incomplete_sdk_file_is_refused(document: object) -> None:
    assert "needs BaseURL" in refusal(Path("config.json"), json.dumps(document).encode())


@pytest.mark.parametrize("document", [{"compilerOptions": {}}, {}, [], "x", None])
def test_another_programs_config_json_is_left_alone(document: object) -> None:
    Path("config.json").write_text(json.dumps(document))
    assert sdk_config() is None


@pytest.mark.parametrize("content", [f"[{SECRET}", json.dumps([SECRET]), json.dumps({"": {"x": SECRET}})])
def test_a_file_of_logins_that_is_not_ours_is_refused(content: str) -> None:
    assert "was not written by `access-batch login`" in refusal(logins_file(), content.encode())


@pytest.mark.parametrize("content", [b"\xff" + SECRET.encode(), SECRET.encode() * (MOST_BYTES // len(SECRET) + 1)])
@pytest.mark.parametrize("place", ["cli", "sdk", "logins"])
def test_a_file_that_is_not_utf8_or_too_large_is_refused(place: str, content: bytes) -> None:
    path = {"cli": cli_file, "sdk": lambda: Path("config.json"), "logins": logins_file}[place]()
    assert ("is not UTF-8 text" if content.startswith(b"\xff") else "it is larger than") in refusal(path, content)


def test_a_folder_instead_of_a_file_is_refused_by_name() -> None:
    Path("config.json").mkdir()
    with pytest.raises(SettingsError, match=r"config\.json can't be read"):
        find()


@pytest.mark.parametrize("content", ["", "# nothing\n", "environments: {}\n", "environments: [x]\n"])
def test_a_cli_file_without_environments_has_none(content: str) -> None:
    cli_file().write_text(content)
    assert cli_environment() is None


def test_the_clis_active_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    write_cli({"default": A, "other": B}, active="other")
    assert (environment_called().name, environment_called("Default").name) == ("other", "default")
    assert cli_environment("none") is None
    monkeypatch.setenv("SAIL_ACTIVEENVIRONMENT", "Default")
    assert (environment_called().name, environment_called().base_url) == ("default", A)


@pytest.mark.parametrize("name", ["no", "on", "2026", "2026-11-25", "1e3", "null", "~"])
def test_an_environments_name_may_look_like_another_yaml_type(name: str) -> None:
    write_cli({name: A}, active=name)
    assert (environment_called().name, environment_called().base_url) == (name, A)


def test_a_dot_in_an_environments_name_nests_as_in_the_cli() -> None:
    cli_file().write_text(f"activeenvironment: a.b\nenvironments:\n  a:\n    b:\n      BaseURL: {A}\n")
    assert environment_called().base_url == A


def test_a_tag_in_the_clis_file_makes_no_object() -> None:
    cli_file().write_text(
        f"environments:\n  default:\n    baseurl: {A}\n    pat: !!python/object/apply:os.system ['touch touched']\n"
    )
    assert environment_called().base_url == A
    assert not Path("touched").exists()


@pytest.mark.usefixtures("memory")
def test_an_old_clis_secret_in_its_file_is_used_if_the_keyring_has_none() -> None:
    write_cli({"default": A}, old=f"        pat:\n            clientid: old\n            clientsecret: {SECRET}")
    assert found() == ("old", SECRET)
    store_in_cli("default", "new", "new-secret")
    assert found() == ("new", "new-secret")


@pytest.mark.parametrize(
    ("written", "decoded"),
    [
        ("secret", "secret"),
        ("go-keyring-base64:c2VjcmV0", "secret"),
        ("go-keyring-encoded:736563726574", "secret"),
        (b"secret".decode("utf-16-le"), "secret"),
        ("go-keyring-base64:!", ""),
        ("go-keyring-encoded:xyz", ""),
        ("\u4e2d\u6587", ""),
        ("\ud800", ""),
    ],
)
def test_go_keyrings_encodings_are_decoded(written: str, decoded: str) -> None:
    assert read_go_text(written) == decoded


def test_on_windows_the_clis_entries_are_named_with_the_user(memory: MemoryKeyring) -> None:
    for service, value in (("environments.pat.clientid", "me"), ("environments.pat.clientsecret", SECRET)):
        memory.entries[f"{service}:default", "default"] = value
    assert cli_login(SystemKeyring(), "default", windows=False) is None
    login = cli_login(SystemKeyring(), "default", windows=True)
    assert login is not None
    assert (login.client_id, login.client_secret.get_secret_value()) == ("me", SECRET)


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f"\ufeff{SECRET}\r\n"])
def test_a_secrets_file_holds_one_line(content: str) -> None:
    Path("secret").write_text(content, encoding="utf-8", newline="")
    assert found(base_url=A, client_id="me", client_secret_file=Path("secret")) == ("me", SECRET)


@pytest.mark.parametrize("content", ["", "\n", f"{SECRET}\n{SECRET}\n"])
def test_a_secrets_file_without_exactly_one_line_is_refused(content: str) -> None:
    Path("secret").write_text(content)
    with pytest.raises(SettingsError, match="must hold the client secret on one line") as caught:
        find(base_url=A, client_id="me", client_secret_file=Path("secret"))
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "There is no file"), ("-", "standard input"), (".", "can't be")]
)
def test_a_secrets_file_that_cannot_be_read_is_refused(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        find(base_url=A, client_id="me", client_secret_file=Path(name))


def test_a_secrets_file_in_the_home_folder_may_be_named_with_a_tilde() -> None:
    (Path.home() / "secret").write_text(SECRET)
    write_config(f"base_url = '{A}'\nclient_id = 'me'\nclient_secret_file = '~/secret'\n")
    assert found() == ("me", SECRET)


@pytest.mark.parametrize("name", ["UNSET", SECRET, f"X={SECRET}"])
def test_a_variable_that_is_not_set_is_refused_and_not_quoted(name: str) -> None:
    with pytest.raises(SettingsError, match="--client-secret-env names is not set") as caught:
        find(base_url=A, client_id="me", client_secret_env=name)
    assert SECRET not in caught.value.message + caught.value.next_step


@ONLY_POSIX
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_may_read_is_reported(mode: int, warned: bool) -> None:  # noqa: FBT001 - a column
    Path("secret").write_text(SECRET)
    Path("secret").chmod(mode)
    write_sdk(B, "sdk", SECRET).chmod(mode)
    for result in (find(base_url=A, client_id="me", client_secret_file=Path("secret")), find()):
        assert ("chmod" in " ".join(result.notices)) == warned


@ONLY_POSIX
@pytest.mark.usefixtures("memory")
def test_a_readable_cli_file_is_reported_only_if_its_secret_is_used() -> None:
    write_cli({"default": A}, old=f"        pat:\n            clientid: old\n            clientsecret: {SECRET}").chmod(
        0o644
    )
    assert "chmod" in " ".join(find().notices)
    store_in_cli("default", "new", "new-secret")
    assert "chmod" not in " ".join(find().notices)


@ONLY_POSIX
@pytest.mark.parametrize("path", [Path("config.json"), logins_file, cli_file])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(path: Path | Callable[[], Path]) -> None:
    place = path if isinstance(path, Path) else path()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    with pytest.raises(SettingsError, match="it is not a file"):
        find()


@ONLY_POSIX
def test_a_secret_may_come_through_a_pipe() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write(f"{SECRET}\n")
    try:
        result = find(base_url=A, client_id="me", client_secret_file=Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    assert result.credentials.client_secret.get_secret_value() == SECRET
    assert result.notices == ()


@pytest.mark.parametrize("entry", ["base_url = 3", "client_id = ['x']", "client_secret_env = true"])
def test_an_entry_of_the_config_file_that_is_not_text_is_refused(entry: str) -> None:
    write_config(f"{entry}\n[profile.p]\nbase_url = '{A}'\nclient_id = 'x'\nclient_secret_env = 'X'\n")
    with pytest.raises(SettingsError, match="is not text"):
        find(profile="p")


@pytest.mark.usefixtures("memory")
def test_no_repr_shows_a_secret() -> None:
    write_cli({"default": A}, old=f"        pat:\n            clientid: old\n            clientsecret: {SECRET}")
    write_sdk(A, "sdk", SECRET)
    for value in (find(), environment_called(), sdk_config()):
        assert value is not None
        assert SECRET not in repr(value) + str(value)


@pytest.mark.parametrize(("client_id", "secret"), [("x\x1b[2J", "s"), ("sand\ud800box", "s"), ("x", "s\udcff")])
def test_an_impossible_id_or_secret_is_neither_sent_nor_shown(client_id: str, secret: str) -> None:
    with pytest.raises(SettingsError, match="not printable ASCII") as caught:
        require_sendable(client_id, SecretStr(secret), "the environment")
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_a_client_id_that_the_ledger_could_not_keep_is_refused() -> None:
    require_sendable("x" * LONGEST_CLIENT_ID, SecretStr("s" * 9_000), "the environment")
    with pytest.raises(SettingsError, match="client id from the environment is longer than 500 characters"):
        require_sendable("x" * (LONGEST_CLIENT_ID + 1), SecretStr("s"), "the environment")


def test_another_systems_line_end_is_not_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIL_CLIENT_ID", "sail\r")
    monkeypatch.setenv("SAIL_CLIENT_SECRET", f"{SECRET}\r")
    assert found(base_url="https://a.api.identitynow.com") == ("sail", SECRET)


def test_a_byte_order_mark_is_not_part_of_a_secret() -> None:
    assert one_line(f"\ufeff{SECRET}\r\n", "Standard input").get_secret_value() == SECRET


def test_the_home_folder_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(SettingsError, match="home folder of an unknown user"):
        found(
            base_url="https://a.api.identitynow.com", client_id="x", client_secret_file=Path("~nobody-of-that-name/x")
        )
