"""Files and folders with the rights, owners and links of an attack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

COLLEAGUE = 4242
"""The number of another user."""

ONLY_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
ONLY_ROOT = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files to others")


def mode(path: Path) -> int:
    """The rights of a file or folder."""
    return stat.S_IMODE(path.lstat().st_mode)


def give_away(path: Path) -> None:
    """Makes it somebody else's."""
    os.chown(path, COLLEAGUE, COLLEAGUE)


def folder_with(path: Path, rights: int) -> Path:
    """A new folder with rights, whatever the umask."""
    path.mkdir(parents=True)
    path.chmod(rights)
    return path


def profile() -> Path:
    """A file of the user's that an attack is after."""
    path = Path.home() / ".bash_profile"
    path.write_text("mine\n")
    return path


def require_untouched(path: Path) -> None:
    """Requires that the file is as it was, and that no link has made another one beside it."""
    assert path.read_text() == "mine\n"
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".bash")] == [path.name]
