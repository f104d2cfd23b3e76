"""The vendor's command line (`sail`): its environments, and the personal access token that it keeps for each.

Facts from its source (github.com/sailpoint-oss/sailpoint-cli, `internal/config/config.go` and `pat.go`):
`~/.sailpoint/config.yaml` holds `activeenvironment` (in lower case; `default` where absent; overruled by
`SAIL_ACTIVEENVIRONMENT`) and `environments.NAME.{tenanturl,baseurl}`. A dot in NAME nests. Since May 2023 client id and
secret lie in the system keyring, services `environments.pat.clientid` and `environments.pat.clientsecret`, user NAME;
before that they stood in the file, as `environments.NAME.pat.{clientid,clientsecret}`, where the CLI of today does not
look any more, and we only where the keyring has nothing.

The CLI writes the keyring with zalando/go-keyring, which differs from Python's keyring in two ways: on macOS it puts
`go-keyring-base64:` (formerly `go-keyring-encoded:` and hex) before the encoded secret, and on Windows the entry is
called `SERVICE:USER` and holds UTF-8, where Python's keyring expects UTF-16. On Linux both look by `service` and
`username`.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import SecretStr

from batch.credentials.given import read_small, warn_of_readers
from batch.credentials.logins import Login
from batch.errors import SettingsError

if TYPE_CHECKING:
    from batch.credentials.system_keyring import SystemKeyring

SERVICES: Final = ("environments.pat.clientid", "environments.pat.clientsecret")
"""The keyring's services for client id and secret."""

_BASE64: Final = "go-keyring-base64:"
_HEX: Final = "go-keyring-encoded:"


@dataclass(frozen=True, kw_only=True, slots=True)
class CliEnvironment:
    """One environment of the vendor's CLI.

    Attributes:
        name: In lower case, as the CLI has it.
        source: Where it stands, in words.
        base_url: Its API's address; empty where none is set.
        in_file: What an old CLI has left in the file; None for nothing.
        notices: What the user should know of the file where that is used.
    """

    name: str
    source: str
    base_url: str
    in_file: Login | None = None
    notices: tuple[str, ...] = ()


def cli_environment(name: str = "") -> CliEnvironment | None:
    """An environment of the vendor's CLI, or its active one; None where there is no such environment.

    Raises:
        SettingsError: The CLI's file can't be read, or is not what the CLI writes.
    """
    try:
        path = Path.home() / ".sailpoint" / "config.yaml"
    except RuntimeError:
        return None
    read = read_small(
        path, next_step="Mend it with the vendor's CLI, or set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET."
    )
    if read is None:
        return None
    text, shared = read
    document = _parse(text, path)
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
    return CliEnvironment(
        name=name,
        source=f"environment {name!r} of the vendor's CLI ({path})",
        base_url=_text(found, "baseurl"),
        in_file=Login(client_id, SecretStr(secret)) if client_id and secret else None,
        notices=(warn_of_readers(path),) if shared else (),
    )


def cli_login(keyring: SystemKeyring, name: str, *, windows: bool = sys.platform == "win32") -> Login | None:
    """The client and secret that the CLI has put into the keyring for an environment; None where there is none.

    Raises:
        KeyringUnusableError: The keyring can't be asked.
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
    """What go-keyring has written, as it was meant; empty where that can't be made out.

    Args:
        written: As Python's keyring reads it.
    """
    try:
        if written.startswith(_BASE64):
            return base64.b64decode(written.removeprefix(_BASE64), validate=True).decode().strip()
        if written.startswith(_HEX):
            return bytes.fromhex(written.removeprefix(_HEX)).decode().strip()
        if not written.isascii():
            # UTF-8 that was read as UTF-16: two letters in each character. Ids and secrets are ASCII.
            return written.encode("utf-16-le").decode("ascii").strip()
    except (binascii.Error, ValueError):
        return ""
    return written.strip()


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        # Less than safe_load: everything stays text, so that an environment may be called `no`, `on` or `2026`, and no
        # tag or merge does anything.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the loader that makes no objects at all
    except (yaml.YAMLError, ValueError, RecursionError):
        # What the parser says quotes the file.
        document = ""
    if document is not None and not isinstance(document, dict):
        raise SettingsError(
            f"{path} is not what the vendor's CLI writes.",
            next_step="Mend it with the vendor's CLI, or set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET.",
        )
    return _lower(document)


def _lower(value: Any) -> dict[str, Any]:
    """A mapping by names in lower case, as the CLI reads them; empty for anything else."""
    return {str(name).lower(): entry for name, entry in value.items()} if isinstance(value, dict) else {}


def _text(mapping: dict[str, Any], name: str) -> str:
    value = mapping.get(name, "")
    return value.strip() if isinstance(value, str) else ""
