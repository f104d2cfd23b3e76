"""Small files that others have written: read whole, but never more than they should be, and never quoted."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from batch.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 256 * 1024
"""More than any of these files needs: theirs are a few kilobytes."""

_MEND: Final = "Mend or remove it."


def read_small(path: Path, *, next_step: str = _MEND) -> tuple[str, bool] | None:
    """A file's text, and whether other users of this machine may read it; None where there is no such file.

    Args:
        path: A file, or a pipe such as a shell's `<(…)`.
        next_step: What the user can do where it can't be read.

    Raises:
        SettingsError: It can't be read, is too large, or is no UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "this is no path"
        raise SettingsError(f"{path} can't be read: {why}.", next_step=next_step) from None
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{path} is larger than {MOST_BYTES // 1024} KiB.", next_step=next_step)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no UTF-8 text.", next_step=next_step) from None
    # Windows has no such bits; what Python shows there says nothing.
    shared = (
        os.name == "posix" and stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))
    )
    return text, shared


def warn_of_readers(path: Path) -> str:
    """The notice for a secret that other users may read."""
    return f"Other users of this machine may read the secret in {path}: `chmod 600` it."
