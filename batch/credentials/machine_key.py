"""Where this machine's key is kept: in the system's keyring, or in a private file beside the user's settings."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from batch.credentials.files import read_small
from batch.credentials.system_keyring import KeyringUnusableError, SystemKeyring
from batch.errors import SettingsError
from batch.files import whole_file
from batch.ledger.machine_key import SECRET_LENGTH, MachineKey

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE: Final = "access-batch machine key"
_PATIENCE: Final = 15.0
"""Seconds to wait for the keyring; without an answer, the key is kept in a file."""


def machine_key(path: Path, keyring: SystemKeyring | None = None) -> MachineKey:
    """This machine's key; it is made on first use.

    Args:
        path: The file in which it is kept if there is no safe keyring. If there is a file, it counts.
        keyring: The system's keyring.

    Raises:
        SettingsError: The file can't be read or written, or holds no key.
    """
    if (found := read_small(path, next_step=_NEXT_STEP)) is not None:
        return _read(found.text, str(path))
    keyring = keyring or SystemKeyring(_PATIENCE)
    new = base64.b64encode(secrets.token_bytes(SECRET_LENGTH)).decode()
    try:
        kept = keyring.get(_SERVICE, str(path))
        if kept is None:
            keyring.put(_SERVICE, str(path), new)
            # Another process may have been faster.
            kept = keyring.get(_SERVICE, str(path)) or new
        return _read(kept, f"the system keyring, in the entry {_SERVICE!r}")
    except KeyringUnusableError:
        pass
    try:
        with whole_file(path, new=True) as file:
            file.write(new.encode())
    except FileExistsError:
        # Another process was faster, unless a link leads to nothing.
        if (found := read_small(path, next_step=_NEXT_STEP)) is not None:
            return _read(found.text, str(path))
        raise SettingsError(f"{path} is a link that leads to nothing.", next_step=_NEXT_STEP) from None
    except OSError as error:
        raise SettingsError(
            f"The key of this machine can't be kept in {path}: {error.strerror}.", next_step=_NEXT_STEP
        ) from None
    return _read(new, str(path))


_NEXT_STEP: Final = "Nothing was sent. Make it readable and writable for you alone, or remove it: a new key is made."


def _read(text: str, place: str) -> MachineKey:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
        if len(secret) == SECRET_LENGTH:
            return MachineKey(secret)
    except ValueError:
        pass
    raise SettingsError(f"There is no key of this machine in {place}, but something else.", next_step=_NEXT_STEP)
