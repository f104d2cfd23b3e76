"""Fills the sources of credentials, as their own programs do."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring

from batch.credentials.find import find_credentials, require_tenant
from batch.settings import load

if TYPE_CHECKING:
    from batch.credentials.find import FoundCredentials

A, B = "https://a.api.identitynow.com", "https://b.api.identitynow.com"
SECRET = "hunter2-hunter2"


def write_config(text: str) -> Path:
    """Our config file, in the user's configuration folder."""
    import platformdirs  # noqa: PLC0415 - the folder is the test's own

    path = platformdirs.user_config_path("access-batch") / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def write_cli(environments: dict[str, str], *, active: str = "default", old: str = "") -> Path:
    """The vendor's CLI's file, in viper's layout; `old` is what the CLI added before May 2023."""
    path = Path.home() / ".sailpoint" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    lines = [f"activeenvironment: {active}", "authtype: pat", "debug: false", "environments:"]
    for name, base_url in environments.items():
        lines += [f"    {name}:", f"        baseurl: {base_url}", "        tenanturl: https://x.identitynow.com", old]
    path.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")
    return path


def store_in_cli(name: str, client_id: str, secret: str) -> None:
    """As `sail set pat` does on Linux."""
    keyring.set_password("environments.pat.clientid", name, client_id)
    keyring.set_password("environments.pat.clientsecret", name, secret)


def store_login(account: str, client_id: str, secret: str) -> None:
    """As `access-batch login` does."""
    keyring.set_password("access-batch", account, json.dumps({"client_id": client_id, "client_secret": secret}))


def write_sdk(base_url: str, client_id: str, secret: str) -> Path:
    """As `sail sdk init config` does, but readable by its owner only."""
    path = Path("config.json")
    path.write_text(json.dumps({"ClientId": client_id, "ClientSecret": secret, "BaseURL": base_url}))
    path.chmod(0o600)
    return path


def find(profile: str = "", **flags: Any) -> FoundCredentials:
    """What a command finds with these flags."""
    settings = load(flags, profile=profile)
    return find_credentials(settings, require_tenant(settings))


def found(profile: str = "", **flags: Any) -> tuple[str, str]:
    """Client id and secret that a command finds."""
    credentials = find(profile, **flags).credentials
    return credentials.client_id, credentials.client_secret.get_secret_value()
