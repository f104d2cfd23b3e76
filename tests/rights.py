"""Files and folders with the rights, owners and links of an attack."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

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


_OVERRIDES = 0b110
"""Linux's capabilities CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


@contextlib.contextmanager
def held_back_by_rights() -> Iterator[None]:
    """While the block lasts, rights hold back root's thread too."""
    if os.geteuid():
        yield
        return
    if sys.platform != "linux":
        pytest.skip("this system's root can write anywhere")
    libc, header = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Effective, permitted and inheritable ones; then the same of those above 31.
    before = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~_OVERRIDES
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


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
