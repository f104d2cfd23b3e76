"""What `access-batch login` stores: client and secret in the system keyring, and beside it which tenant was meant.

The keyring's entry has the service `access-batch` and the tenant's origin as its account, followed by the profile's
name if there is one. The tenants stand in `logins.json` in our configuration folder, without any secret, because the
keyring can't be asked for what it holds, and must not be asked where only the tenant's name is needed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import platformdirs
from pydantic import SecretStr

from batch.credentials.given import read_small
from batch.errors import SettingsError
from batch.settings import APPLICATION

if TYPE_CHECKING:
    from pathlib import Path

    from batch.credentials.system_keyring import SystemKeyring

MOST_CHARACTERS: Final = 1000
"""Of a client id and its secret together: what the smallest of the keyrings (Windows') takes, with room to spare."""


class Login(NamedTuple):
    """A client and its secret, as the keyring holds them."""

    client_id: str
    client_secret: SecretStr


def account(origin: str, profile: str) -> str:
    """The account under which the keyring knows a login."""
    return f"{origin} {profile}" if profile else origin


def entry(origin: str, profile: str) -> str:
    """A login's place in the keyring, in words."""
    return f"the keyring, entry {APPLICATION} / {account(origin, profile)}"


def stored_login(keyring: SystemKeyring, origin: str, profile: str) -> Login | None:
    """What the keyring holds for a tenant and a profile; None for nothing.

    Raises:
        SettingsError: The keyring can't be asked, or the entry is not one of ours.
    """
    text = keyring.get(APPLICATION, account(origin, profile))
    if text is None:
        return None
    document = _object(text)
    client_id, secret = document.get("client_id"), document.get("client_secret")
    if not isinstance(client_id, str) or not isinstance(secret, str) or not client_id or not secret:
        raise SettingsError(
            f"What {entry(origin, profile)} holds is not what `access-batch login` has stored.",
            next_step="Run `access-batch login` again.",
        )
    return Login(client_id, SecretStr(secret))


def store_login(keyring: SystemKeyring, origin: str, profile: str, login: Login) -> None:
    """Stores a login in the keyring, and remembers its tenant for the profile.

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
    """Forgets a login; whether there was one.

    Raises:
        SettingsError: The keyring can't be asked, or the tenants can't be written.
    """
    removed = keyring.remove(APPLICATION, account(origin, profile))
    tenants = _tenants()
    if tenants.get(profile) == origin:
        del tenants[profile]
        _remember(tenants)
    return removed


def remembered_tenant(profile: str) -> str:
    """The tenant of the last login for a profile (empty: for none); empty where there was none.

    Raises:
        SettingsError: The file of tenants can't be read.
    """
    return _tenants().get(profile, "")


def logins_file() -> Path:
    """Where the tenants stand."""
    return platformdirs.user_config_path(APPLICATION) / "logins.json"


def _tenants() -> dict[str, str]:
    path = logins_file()
    read = read_small(path)
    if read is None:
        return {}
    document = _object(read[0])
    if not document or not all(isinstance(tenant, str) for tenant in document.values()):
        raise SettingsError(
            f"{path} is not what `access-batch login` has written.", next_step="Remove it, and run that again."
        )
    return document


def _remember(tenants: dict[str, str]) -> None:
    path = logins_file()
    draft = path.with_suffix(".draft")
    try:
        if not tenants:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(tenants, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path} can't be written: {error.strerror}.",
            next_step="The keyring is done; name the tenant by --base-url.",
        ) from None


def _object(text: str) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
