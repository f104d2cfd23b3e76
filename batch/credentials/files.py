"""Small files, such as those with credentials, read with care."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 256 * 1024
"""Limit of a file's size. The files that we read have a few kilobytes."""

_HAS_MODES: Final = os.name == "posix"


class SmallFile(NamedTuple):
    """A file's text, and a warning if it holds a secret that other users of this machine may read."""

    text: str
    notices: tuple[str, ...]


def read_small(path: Path, *, next_step: str = "Correct or remove it.", pipe: bool = False) -> SmallFile | None:
    """Reads a file; None if there is none.

    Args:
        path: A file.
        next_step: What the user can do if it can't be read.
        pipe: Whether it may be a pipe, such as a shell's `<(…)`, for which somebody must be waited.

    Raises:
        SettingsError: It can't be read, is too large, or is not UTF-8 text.
    """
    try:
        with open(path, "rb", opener=None if pipe else _without_waiting) as file:
            status = os.fstat(file.fileno())
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        raise SettingsError(f"{path} can't be read: {why}.", next_step=next_step) from None
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{path} is larger than {MOST_BYTES // 1024} KiB.", next_step=next_step)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.", next_step=next_step) from None
    shared = _HAS_MODES and stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRGRP | stat.S_IROTH)
    warning = f"Other users of this machine may read the secret in {path}: `chmod 600` it."
    return SmallFile(text, (warning,) if shared else ())


def _without_waiting(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "it is no file")
