"""Files: small ones read with care, and the one way in which files are written."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from batch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES: Final = 256 * 1024
"""Limit of a file's size. The files that we read have a few kilobytes."""


_BINARY: Final = getattr(os, "O_BINARY", 0)


class SmallFile(NamedTuple):
    """A file's text, and a warning if it holds a secret that other users of this machine may read."""

    text: str
    notices: tuple[str, ...]


def read_small(path: Path, *, next_step: str = "Correct or remove it.") -> SmallFile | None:
    """Reads a file; None if there is none.

    Args:
        path: A file, or a pipe such as a shell's `<(…)`.
        next_step: What the user can do if it can't be read.

    Raises:
        SettingsError: It can't be read, is too large, or is not UTF-8 text.
    """
    try:
        with path.open("rb") as file:
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
    # Windows has no such bits; those that Python shows there mean nothing.
    shared = os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRGRP | stat.S_IROTH)
    warning = f"Other users of this machine may read the secret in {path}: `chmod 600` it."
    return SmallFile(text, (warning,) if shared else ())


def overwrite_small(path: Path, content: bytes) -> None:
    """Writes a small private file in place, at once but not durably, and follows no link.

    For a file that is written many times a second and must survive the end of this process, but not that of the
    machine. The content must always have the same length.

    Raises:
        OSError: It can't be written.
    """
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole_file(path: Path, *, private: bool = True, new: bool = False) -> Iterator[BinaryIO]:
    """Opens a file to be written whole or not at all: it is in its place once the block ends, and follows no link.

    Args:
        path: The file; its folder is made if missing. An existing file keeps its mode.
        private: Whether only its owner may read a new file.
        new: Whether an existing file stays as it is.

    Raises:
        FileExistsError: There is such a file, and it should be new.
        OSError: It can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL opens neither a file nor a link that somebody else put there.
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if new:
            path.hardlink_to(unfinished)
            unfinished.unlink()
            return
        with contextlib.suppress(FileNotFoundError):
            unfinished.chmod(path.stat().st_mode & 0o7777)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
