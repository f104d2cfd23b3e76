"""Where this machine's key is kept: in the system's keyring, or in a private file beside the user's settings."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import stat
from typing import TYPE_CHECKING, Final

from batch.credentials.system_keyring import KeyringUnusableError, SystemKeyring
from batch.errors import SettingsError, UnsafePlaceError
from batch.files import read_small, whole_file
from batch.folders import HAS_MODES, open_folder, user_called
from batch.ledger.machine_key import SECRET_LENGTH, MachineKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SERVICE: Final = "access-batch machine key"
_PATIENCE: Final = 15.0
"""Seconds to wait for the keyring; without an answer, the key is kept in a file."""


def machine_key(
    path: Path, keyring: SystemKeyring | None = None, *, say: Callable[[str], object] = lambda _: None
) -> MachineKey:
    """This machine's key; it is made on first use.

    Args:
        path: The file in which it is kept if there is no safe keyring. If there is a file, it counts.
        keyring: The system's keyring.
        say: Tells the user that others could read the file until now.

    Raises:
        SettingsError: The file can't be read or written, or holds no key.
        UnsafePlaceError: Somebody else could have put another key there.
    """
    if (in_file := _kept(path, say)) is not None:
        return in_file
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
        # Another process was faster.
        return machine_key(path, keyring, say=say)
    except OSError as error:
        raise SettingsError(
            f"The key of this machine can't be stored in {path}: {error.strerror}.", next_step=_NEXT_STEP
        ) from None
    return _read(new, str(path))


def _kept(path: Path, say: Callable[[str], object]) -> MachineKey | None:
    """The key in the file; None without a file."""
    found = read_small(path, next_step=_NEXT_STEP, ours=True)
    if found is None:
        return None
    with open_folder(path.parent, make=False):
        pass
    if not HAS_MODES:
        return _read(found.text, str(path))
    owner, mode, quoted = found.status.st_uid, found.status.st_mode, shlex.quote(str(path))
    new_key = (
        f"Nothing was sent. Run: rm {quoted}\nThe next command makes a new key, and plans the unsent requests again."
    )
    if owner not in {os.geteuid(), 0}:
        raise UnsafePlaceError(
            f"The key of this machine in {path} belongs to {user_called(owner)}, who could use and replace it.",
            next_step=new_key,
        )
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafePlaceError(
            f"Other users can write to {path}, and could replace this machine's key with their own.",
            next_step=f"{new_key}\nOr, if you are sure that nobody has done so: chmod 600 {quoted}",
        )
    # A group may read what root has put there for it.
    if mode & (stat.S_IRWXO | (stat.S_IRWXG if owner == os.geteuid() else 0)):
        try:
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        except OSError as error:
            raise UnsafePlaceError(
                f"Other users can read this machine's key in {path}, and its mode can't be changed: {error.strerror}.",
                next_step=f"Nothing was sent. Have its owner run: chmod o= {quoted}",
            ) from None
        say(
            f"Other users could read this machine's key in {path}, and sign with it. Now only you can (mode 600). "
            "If somebody may have read it, remove it: the next command makes a new key."
        )
    return _read(found.text, str(path))


_NEXT_STEP: Final = (
    "Nothing was sent. Make it readable and writable for you alone, or remove it: the next command makes a new key."
)


def _read(text: str, place: str) -> MachineKey:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
        if len(secret) == SECRET_LENGTH:
            return MachineKey(secret)
    except ValueError:
        pass
    raise SettingsError(f"{place} does not hold a key of this machine, but something else.", next_step=_NEXT_STEP)
