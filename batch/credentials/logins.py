"""What `access-batch login` stores: client and secret in the system keyring, and the tenant in a file.

The keyring's entry has the service `access-batch`; its account is the tenant's origin, and the profile's name if there
is one. `logins.json` in our configuration folder holds each profile's tenant, and no secret: a keyring can't be
searched, and a command that needs only the tenant's name must not open it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import platformdirs
from pydantic import SecretStr

from batch.errors import SettingsError, UnsafePlaceError
from batch.files import read_small, whole_file
from batch.folders import open_folder
from batch.settings import APPLICATION

if TYPE_CHECKING:
    from pathlib import Path

    from batch.credentials.system_keyring import SystemKeyring

MOST_CHARACTERS: Final = 1000
"""Of a client id and its secret together: the smallest keyring (Windows') takes a little more."""


class Login(NamedTuple):
    """A client and its secret."""

    client_id: str
    client_secret: SecretStr


def account(origin: str, profile: str) -> str:
    """The account of a login in the keyring."""
    return f"{origin} {profile}" if profile else origin


def entry(origin: str, profile: str) -> str:
    """A login's place in the keyring, in words."""
    return f"the keyring, entry {APPLICATION} / {account(origin, profile)}"


def stored_login(keyring: SystemKeyring, origin: str, profile: str) -> Login | None:
    """The login of a tenant and a profile; None if there is none.

    Raises:
        SettingsError: The keyring can't be used, or the entry is not one of ours.
    """
    text = keyring.get(APPLICATION, account(origin, profile))
    if text is None:
        return None
    document = _object(text)
    client_id, secret = document.get("client_id"), document.get("client_secret")
    if not isinstance(client_id, str) or not isinstance(secret, str) or not client_id or not secret:
        raise SettingsError(
            f"The content of {entry(origin, profile)} was not stored by `access-batch login`.",
            next_step="Run `access-batch login` again.",
        )
    return Login(client_id, SecretStr(secret))


def store_login(keyring: SystemKeyring, origin: str, profile: str, login: Login) -> None:
    """Stores a login, and remembers its tenant for the profile.

    Raises:
        SettingsError: It can't be stored.
    """
    secret = login.client_secret.get_secret_value()
    if len(login.client_id) + len(secret) > MOST_CHARACTERS:
        raise SettingsError("That is too long for a client id and its secret.", next_step="Nothing was stored.")
    keyring.put(
        APPLICATION, account(origin, profile), json.dumps({"client_id": login.client_id, "client_secret": secret})
    )
    _remember({**_tenants(), profile: origin})


def forget_login(keyring: SystemKeyring, origin: str, profile: str) -> bool:
    """Forgets a login; returns whether there was one.

    Raises:
        SettingsError: The keyring can't be used, or the file of tenants can't be written.
    """
    removed = keyring.remove(APPLICATION, account(origin, profile))
    tenants = _tenants()
    if tenants.get(profile) == origin:
        del tenants[profile]
        _remember(tenants)
    return removed


def remembered_tenant(profile: str) -> str:
    """The tenant of the last login with a profile (or without one, if empty); empty if there was none.

    Raises:
        SettingsError: The file of tenants can't be read.
    """
    return _tenants().get(profile, "")


def logins_file() -> Path:
    """The file of tenants."""
    return platformdirs.user_config_path(APPLICATION) / "logins.json"


def _tenants() -> dict[str, str]:
    path = logins_file()
    read = read_small(path, ours=True)
    if read is None:
        return {}
    document = _object(read.text)
    if not document or not all(isinstance(tenant, str) for tenant in document.values()):
        raise SettingsError(
            f"{path} was not written by `access-batch login`.", next_step="Remove it, and run that again."
        )
    return document


def _remember(tenants: dict[str, str]) -> None:
    path = logins_file()
    try:
        if tenants:
            with whole_file(path) as file:
                file.write((json.dumps(tenants, indent=1, sort_keys=True) + "\n").encode())
        else:
            with open_folder(path.parent) as folder:
                folder.remove(path.name)
    except UnsafePlaceError as error:
        raise SettingsError(error.message, next_step=f"{error.next_step}\n{_HALF_DONE}") from None
    except OSError as error:
        raise SettingsError(f"{path} can't be written: {error.strerror}.", next_step=_HALF_DONE) from None


_HALF_DONE: Final = "The keyring has changed already; name the tenant with --base-url."


def _object(text: str) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
