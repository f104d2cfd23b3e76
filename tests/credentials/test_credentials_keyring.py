"""The system keyring: refused if it is not safe, given up if it fails, and asked no more than needed."""

from __future__ import annotations

import traceback

import keyring
import pytest
from keyring.backends.chainer import ChainerBackend
from keyring.backends.null import Keyring as NullKeyring
from keyring.errors import InitError, KeyringError, KeyringLocked, NoKeyringError, PasswordSetError
from pydantic import SecretStr

from batch.credentials.logins import Login, forget_login, store_login, stored_login
from batch.credentials.system_keyring import KeyringUnusableError, SystemKeyring
from batch.errors import SettingsError
from tests.credentials.memory_keyring import (
    BoastfulPlaintextKeyring,
    FailingKeyring,
    HungKeyring,
    MemoryKeyring,
    PlaintextKeyring,
)
from tests.credentials.places import SECRET, A, find, found, write_cli, write_sdk
from tests.credentials.places import store_login as put_login

LOGIN = Login("me", SecretStr(SECRET))


@pytest.mark.parametrize("unsafe", [PlaintextKeyring, BoastfulPlaintextKeyring, NullKeyring])
def test_a_keyring_that_forgets_or_stores_in_the_clear_gets_no_secret(unsafe: type[MemoryKeyring]) -> None:
    backend = unsafe()
    keyring.set_keyring(backend)
    with pytest.raises(KeyringUnusableError, match="no keyring that keeps secrets safe") as caught:
        store_login(SystemKeyring(), A, "", LOGIN)
    assert "SAIL_CLIENT_SECRET" in caught.value.next_step
    assert not getattr(backend, "entries", {})


def test_only_a_safe_keyring_of_a_chain_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    unsafe, safe = PlaintextKeyring(), MemoryKeyring()
    monkeypatch.setattr(ChainerBackend, "backends", [unsafe, safe])
    keyring.set_keyring(ChainerBackend())  # type: ignore[no-untyped-call] # the library's
    store_login(SystemKeyring(), A, "", LOGIN)
    assert (len(unsafe.entries), len(safe.entries)) == (0, 1)


ERRORS = [
    KeyringError(SECRET),
    KeyringLocked(SECRET),
    InitError(SECRET),
    NoKeyringError(SECRET),
    PasswordSetError(SECRET),
    RuntimeError(SECRET),
    OSError(SECRET),
    KeyError(SECRET),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_keyrings_error_is_reported_without_its_message(error: Exception) -> None:
    keyring.set_keyring(FailingKeyring(error))
    with pytest.raises(KeyringUnusableError, match=type(error).__name__) as caught:
        store_login(SystemKeyring(), A, "", LOGIN)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_keyring_that_never_answers_is_given_up_and_not_asked_again() -> None:
    backend = HungKeyring()
    keyring.set_keyring(backend)
    hung = SystemKeyring(patience=0.01)
    for account in ("one", "two"):
        with pytest.raises(KeyringUnusableError, match="did not answer within"):
            hung.get("access-batch", account)
    assert backend.asked == [("access-batch", "one")]


def test_a_locked_keyring_is_reported_and_weaker_sources_are_used() -> None:
    backend = FailingKeyring(KeyringLocked("locked"))
    keyring.set_keyring(backend)
    write_cli({"default": A})
    write_sdk(A, "sdk", SECRET)
    result = find()
    assert result.credentials.source == "./config.json"
    assert "The system keyring can't be used (KeyringLocked)." in result.notices
    assert len(backend.asked) == 1


@pytest.mark.parametrize("entry", [SECRET, f'["{SECRET}"]', f'{{"client_id": "x", "secret": "{SECRET}"}}', "{}"])
def test_an_entry_that_is_not_ours_is_refused_and_not_quoted(memory: MemoryKeyring, entry: str) -> None:
    memory.entries["access-batch", A] = entry
    with pytest.raises(SettingsError, match="was not stored by `access-batch login`") as caught:
        found(base_url=A)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_login_is_found_again_until_it_is_forgotten(memory: MemoryKeyring) -> None:
    system = SystemKeyring()
    store_login(system, A, "", LOGIN)
    assert stored_login(system, A, "") == LOGIN
    assert found() == ("me", SECRET)
    assert forget_login(system, A, "")
    assert not forget_login(system, A, "")
    assert stored_login(system, A, "") is None
    assert memory.entries == {}


def test_forgetting_a_profiles_login_keeps_the_tenants(memory: MemoryKeyring) -> None:
    put_login(A, "me", SECRET)
    put_login(f"{A} prod", "other", SECRET)
    assert forget_login(SystemKeyring(), A, "prod")
    assert list(memory.entries) == [("access-batch", A)]


def test_a_login_too_long_for_the_smallest_keyring_is_not_stored(memory: MemoryKeyring) -> None:
    with pytest.raises(SettingsError, match="too long"):
        store_login(SystemKeyring(), A, "", Login("me", SecretStr(SECRET * 100)))
    assert memory.entries == {}
