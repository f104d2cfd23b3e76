"""The one way in which files are made and written.

Nobody else decides where our files end up, or puts others in their place: they are private, and are opened relative to
the descriptor of their folder, which must not be a link, somebody else's, or open to everybody. A new file has a random
name until it is whole, which neither a file nor a link that stands there already can take.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shlex
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from batch.errors import UnsafePlaceError
from batch.folders import HAS_MODES, open_folder, user_called

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_STREAMS: Final = re.compile(r"/dev(/fd)?|/proc/\d+/(task/\d+/)?fd")
"""Folders whose links lead to what this process was started with."""


@contextlib.contextmanager
def unfinished_file(path: Path, *, new: bool = False, option: str = "") -> Iterator[tuple[int, Path]]:
    """A private file to be written whole or not at all: its descriptor, and its path until the block ends.

    Args:
        path: Its place once the block ends. Its folder is made if missing.
        new: Whether an existing file stays as it is.
        option: See `open_folder`.

    Raises:
        FileExistsError: There is such a file, and it should be new.
        UnsafePlaceError: See `open_folder`.
        OSError: It can't be written.
    """
    with open_folder(path.parent, option=option) as folder:
        name = f".access-batch-{secrets.token_hex(8)}.unfinished"
        handle = folder.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        try:
            try:
                yield handle, folder.path / name
                os.fsync(handle)
            finally:
                os.close(handle)
            folder.name(name, path.name, new=new)
        except BaseException:
            folder.remove(name)
            raise


@contextlib.contextmanager
def whole_file(path: Path, *, new: bool = False, keeps_mode: bool = False, option: str = "") -> Iterator[BinaryIO]:
    """Opens a private file to be written whole or not at all; as `unfinished_file`.

    Args:
        path: The file.
        new: Whether an existing file stays as it is.
        keeps_mode: Whether those who may read an existing file still may.
        option: See `open_folder`.
    """
    with unfinished_file(path, new=new, option=option) as (handle, _):
        if keeps_mode and HAS_MODES and path.is_file():
            os.fchmod(handle, path.stat().st_mode & 0o775)
        with os.fdopen(handle, "wb", closefd=False) as file:
            yield file


def open_private(path: Path, flags: int, *, option: str = "", make: bool = True, top: Path | None = None) -> int:
    """Opens a private file that is changed in place, and returns its descriptor.

    Args:
        path: The file.
        flags: For `os.open`.
        option: See `open_folder`.
        make: Whether to make its folder.
        top: See `open_folder`.

    Raises:
        UnsafePlaceError: It is a link, and see `open_folder`.
        OSError: It can't be opened, or is no file.
    """
    with open_folder(path.parent, option=option, make=make, top=top) as folder:
        return folder.open(path.name, flags)


def write_small(path: Path, content: bytes, *, append: bool = False, top: Path | None = None) -> None:
    """Writes a small private file in place, at once but not durably: it survives this process, not the machine.

    Args:
        path: The file.
        content: Always of the same length, unless it is added.
        append: Whether to add it to what is there.
        top: See `open_folder`.

    Raises:
        UnsafePlaceError: See `open_private`.
        OSError: It can't be written.
    """
    handle = open_private(path, os.O_CREAT | os.O_WRONLY | (os.O_APPEND if append else 0), top=top)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)


def open_log(path: Path, *, option: str) -> tuple[int, tuple[str, ...]]:
    """Opens a file for appending, or whatever else is there, such as a pipe or a terminal.

    Returns:
        Its descriptor, and a notice if everybody could write to it.

    Raises:
        UnsafePlaceError: It is a link to a file, everybody can write to it, and see `open_folder`.
        OSError: It can't be opened.
    """
    is_file = not path.exists() or path.is_file()
    if is_file and not _STREAMS.fullmatch(os.path.realpath(path.parent)):
        handle = open_private(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, option=option, make=False)
        try:
            notices = close_to_others("The log file", path, [handle])
        except UnsafePlaceError:
            os.close(handle)
            raise
        return handle, notices
    handle = os.open(path, (os.O_RDWR if is_file else os.O_WRONLY) | os.O_APPEND)
    if not is_file and stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileExistsError(errno.EEXIST, "something else was put there meanwhile")
    return handle, ()


def close_to_others(what: str, path: Path, places: Iterable[int | Path]) -> tuple[str, ...]:
    """Takes files to which everybody can write away from all others, if they are ours.

    Args:
        what: What they are, as the subject of a sentence.
        path: Its name for the user.
        places: Paths or descriptors. Nothing may be there; a link is left alone.

    Returns:
        A notice, if there was such a file.

    Raises:
        UnsafePlaceError: One of them is somebody else's, or stays as it is.
    """
    closed = False
    for place in places if HAS_MODES else ():
        # SQLite may remove its files at any time.
        with contextlib.suppress(FileNotFoundError):
            closed = _close(place, path if isinstance(place, int) else place) or closed
    return (f"Everybody could write to {path}. {what} is yours alone now (mode 600).",) if closed else ()


def _close(place: int | Path, shown: Path) -> bool:
    status = os.fstat(place) if isinstance(place, int) else os.lstat(place)
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IWOTH:
        return False
    if status.st_uid != os.geteuid():
        raise UnsafePlaceError(
            f"Everybody can write to {shown}, which belongs to {user_called(status.st_uid)}.",
            next_step=f"Nothing was sent. Have its owner run: chmod o-w {shlex.quote(str(shown))}",
        )
    os.chmod(place, stat.S_IRUSR | stat.S_IWUSR)
    if os.stat(place).st_mode & stat.S_IWOTH:
        raise UnsafePlaceError(
            f"Everybody can write to {shown}, and its disk keeps no other rights.",
            next_step="Nothing was sent. Move it to a disk that does: with WSL to a disk of Linux, such as your home "
            "folder.",
        )
    return True
