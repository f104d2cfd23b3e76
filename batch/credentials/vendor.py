"""What the vendor's tools have stored: the CLI (`sail`) for each of its environments, and the Python SDK.

CLI (github.com/sailpoint-oss/sailpoint-cli, `internal/config/config.go` and `pat.go`): `~/.sailpoint/config.yaml` holds
`activeenvironment` (in lower case; `default` if absent; `SAIL_ACTIVEENVIRONMENT` overrules it) and
`environments.NAME.{tenanturl,baseurl}`. A dot in NAME nests. Since May 2023 client id and secret are in the system
keyring, services `environments.pat.clientid` and `environments.pat.clientsecret`, user NAME. Before that they were in
the file, as `environments.NAME.pat.{clientid,clientsecret}`: today's CLI ignores them, and we use them only if the
keyring has nothing.

The CLI writes the keyring with zalando/go-keyring, which differs from Python's keyring in two ways: on macOS it puts
`go-keyring-base64:` (formerly `go-keyring-encoded:` and hex) before the encoded secret, and on Windows the entry is
called `SERVICE:USER` and holds UTF-8, where Python's keyring expects UTF-16. On Linux both use the attributes `service`
and `username`.

SDK (github.com/sailpoint-oss/python-sdk, `sailpoint/configuration.py`): `config.json` in the current folder holds
`BaseURL`, `ClientId` and `ClientSecret`, all three. `sail sdk init config` writes it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import SecretStr

from batch.credentials.logins import Login
from batch.errors import SettingsError
from batch.files import read_small

if TYPE_CHECKING:
    from batch.credentials.system_keyring import SystemKeyring

SERVICES: Final = ("environments.pat.clientid", "environments.pat.clientsecret")
"""The keyring's services for client id and secret."""

SDK_SOURCE: Final = "./config.json"

_BASE64: Final = "go-keyring-base64:"
_HEX: Final = "go-keyring-encoded:"

_MEND_CLI: Final = "Correct it with the vendor's CLI, or set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET."
_MEND_SDK: Final = "Correct it, or set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET: then it is not read."


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorConfig:
    """An environment of the CLI, or the SDK's file.

    Attributes:
        source: In words.
        base_url: The API's address; empty if none is set.
        login: Client and secret in the file; None for nothing.
        notices: What the user should know of the file if that login is used.
        name: The environment's name, in lower case; empty for the SDK.
    """

    source: str
    base_url: str
    login: Login | None
    notices: tuple[str, ...]
    name: str = ""


def cli_environment(name: str = "") -> VendorConfig | None:
    """An environment of the vendor's CLI, or its active one; None if there is no such environment.

    Raises:
        SettingsError: The CLI's file can't be read, or has another form.
    """
    try:
        path = Path.home() / ".sailpoint" / "config.yaml"
    except RuntimeError:
        return None
    read = read_small(path, next_step=_MEND_CLI)
    if read is None:
        return None
    document = _parse(read.text, path)
    name = (
        name or os.environ.get("SAIL_ACTIVEENVIRONMENT") or _text(document, "activeenvironment") or "default"
    ).lower()
    found = _lower(document.get("environments"))
    for part in name.split("."):
        found = _lower(found.get(part))
    if not found:
        return None
    old = _lower(found.get("pat"))
    client_id, secret = _text(old, "clientid"), _text(old, "clientsecret")
    return VendorConfig(
        name=name,
        source=f"environment {name!r} of the vendor's CLI ({path})",
        base_url=_text(found, "baseurl"),
        login=Login(client_id, SecretStr(secret)) if client_id and secret else None,
        notices=read.notices,
    )


def cli_login(keyring: SystemKeyring, name: str, *, windows: bool = sys.platform == "win32") -> Login | None:
    """The CLI's client and secret in the keyring for an environment; None if there is none.

    Raises:
        KeyringUnusableError: The keyring can't be used.
    """
    parts = []
    for service in SERVICES:
        written = keyring.get(f"{service}:{name}" if windows else service, name)
        if not written:
            return None
        parts.append(read_go_text(written))
    client_id, secret = parts
    return Login(client_id, SecretStr(secret)) if client_id and secret else None


def read_go_text(written: str) -> str:
    """Decodes what go-keyring wrote; empty if that is not possible.

    Args:
        written: As Python's keyring reads it.
    """
    try:
        if written.startswith(_BASE64):
            return base64.b64decode(written.removeprefix(_BASE64), validate=True).decode().strip()
        if written.startswith(_HEX):
            return bytes.fromhex(written.removeprefix(_HEX)).decode().strip()
        if not written.isascii():
            # UTF-8 read as UTF-16: two letters in each character. Ids and secrets are ASCII.
            return written.encode("utf-16-le").decode("ascii").strip()
    except (binascii.Error, ValueError):
        return ""
    return written.strip()


def sdk_config() -> VendorConfig | None:
    """The SDK's file in the current folder; None if there is none, or only another program's of that name.

    Raises:
        SettingsError: It can't be read, or lacks something.
    """
    read = read_small(Path(SDK_SOURCE), next_step=_MEND_SDK)
    if read is None:
        return None
    try:
        document = json.loads(read.text)
    except (ValueError, RecursionError):
        raise SettingsError(f"{SDK_SOURCE} is not JSON.", next_step=_MEND_SDK) from None
    if not isinstance(document, dict):
        return None
    base_url, client_id, secret = (document.get(name, "") for name in ("BaseURL", "ClientId", "ClientSecret"))
    if not all(isinstance(value, str) and value for value in (base_url, client_id, secret)):
        if base_url or client_id or secret:
            raise SettingsError(
                f"{SDK_SOURCE} needs BaseURL, ClientId and ClientSecret, each as text.", next_step=_MEND_SDK
            )
        return None
    return VendorConfig(
        source=SDK_SOURCE, base_url=base_url, login=Login(client_id, SecretStr(secret)), notices=read.notices
    )


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        # BaseLoader reads everything as text, so that an environment may be called `no`, `on` or `2026`; tags and
        # merges have no effect.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the loader that makes no objects at all
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser's own message quotes the file.
        document = ""
    if document is not None and not isinstance(document, dict):
        raise SettingsError(f"{path} does not have the form that the vendor's CLI writes.", next_step=_MEND_CLI)
    return _lower(document)


def _lower(value: Any) -> dict[str, Any]:
    """A mapping with its names in lower case, as the CLI reads them; empty for anything else."""
    return {str(name).lower(): entry for name, entry in value.items()} if isinstance(value, dict) else {}


def _text(mapping: dict[str, Any], name: str) -> str:
    value = mapping.get(name, "")
    return value.strip() if isinstance(value, str) else ""
