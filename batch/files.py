"""The one way in which files are made and written, and in which small ones are read.

Nobody else decides where our files end up, or puts others in their place: they are private, and are opened relative to
the descriptor of their folder, which must not be a link, somebody else's, or open to everybody. A new file has a random
name until it is whole, which neither a file nor a link that stands there already can take. Nothing waits for
a pipe that nobody writes to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shlex
import stat
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from batch.errors import SettingsError, UnsafePlaceError
from batch.folders import HAS_MODES, open_folder, user_called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MOST_BYTES: Final = 256 * 1024
"""Limit of a small file's size. Those that we read have a few kilobytes."""

_CHUNK_BYTES: Final = 1 << 20
_WRITER_SECONDS: Final = 60
_STEP_SECONDS: Final = 0.1
_OPENING: Final = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))

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
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
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
    try:
        handle = os.open(path, (os.O_RDWR if is_file else os.O_WRONLY | _OPENING) | os.O_APPEND)
    except OSError as error:
        raise OSError(
            error.errno, "nobody reads from this pipe" if error.errno == errno.ENXIO else error.strerror
        ) from None
    if HAS_MODES:
        os.set_blocking(handle, True)
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
            f"Everybody can write to {shown}, and its disk stores no file permissions.",
            next_step="Nothing was sent. Move it to a disk that does: with WSL, to a Linux disk, such as your home "
            "folder.",
        )
    return True


class SmallFile(NamedTuple):
    """A small file.

    Attributes:
        text: What it holds.
        status: Its owner and rights.
        notices: A warning if it holds a secret that other users of this machine may read.
    """

    text: str
    status: os.stat_result
    notices: tuple[str, ...]


def read_small(
    path: Path,
    *,
    next_step: str = "Correct or remove it.",
    pipe: bool = False,
    ours: bool = False,
    wait: Callable[[float], object] = time.sleep,
) -> SmallFile | None:
    """Reads a file; None if there is none.

    Args:
        path: A file.
        next_step: What the user can do if it can't be read.
        pipe: Whether it may be a pipe, such as a shell's `<(…)`, or a terminal.
        ours: Whether it is one of our own files: none is made where a link leads to nothing.
        wait: See `written_to_pipe`.

    Raises:
        SettingsError: It can't be read, is too large, or is not UTF-8 text.
    """
    try:
        content, status = read_whole(path, pipe=pipe, wait=wait)
    except (FileNotFoundError, NotADirectoryError):
        if ours and path.is_symlink():
            raise SettingsError(f"{path} is a link that leads to nothing.", next_step=next_step) from None
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        raise SettingsError(f"{path} can't be read: {why}.", next_step=next_step) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.", next_step=next_step) from None
    shared = HAS_MODES and stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRGRP | stat.S_IROTH)
    warning = f"Other users of this machine may read the secret in {path}: `chmod 600` it."
    return SmallFile(text, status, (warning,) if shared else ())


def read_whole(
    path: Path, *, most: int = MOST_BYTES, pipe: bool = False, wait: Callable[[float], object] = time.sleep
) -> tuple[bytes, os.stat_result]:
    """Reads a file at once; returns its content and status.

    Args:
        path: A file.
        most: Most bytes that it may have.
        pipe: See `read_small`.
        wait: See `written_to_pipe`.

    Raises:
        OSError: It can't be read, is larger, or is no file.
    """
    # Without these, opening a pipe waits for its writer, and opening a terminal may make it that of this process.
    handle = os.open(path, os.O_RDONLY | _OPENING)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) and not pipe:
            raise OSError(errno.EINVAL, "it is not a file")
        if stat.S_ISFIFO(status.st_mode):
            chunks = written_to_pipe(handle, wait)
        else:
            if HAS_MODES:
                os.set_blocking(handle, True)
            chunks = rest_of(handle)
        content = bytearray()
        for chunk in chunks:
            content += chunk
            if len(content) > most:
                raise OSError(errno.EFBIG, f"it is larger than {most // 1024} KiB")
        return bytes(content), status
    finally:
        os.close(handle)


def rest_of(handle: int) -> Iterator[bytes]:
    """What can still be read from a descriptor."""
    return iter(partial(os.read, handle, _CHUNK_BYTES), b"")


def written_to_pipe(handle: int, wait: Callable[[float], object]) -> Iterator[bytes]:
    """What is written to a pipe, once somebody has opened it for writing: from then on it may take any time.

    Args:
        handle: Opened so that reading does not wait.
        wait: Waits so many seconds for somebody to open it.

    Raises:
        TimeoutError: Nobody has.
    """
    for _ in range(round(_WRITER_SECONDS / _STEP_SECONDS)):
        try:
            chunk = os.read(handle, _CHUNK_BYTES)
        except BlockingIOError:
            break
        if chunk:
            yield chunk
            break
        wait(_STEP_SECONDS)
    else:
        raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe, and nobody has written to it for {_WRITER_SECONDS} seconds")
    os.set_blocking(handle, True)
    yield from rest_of(handle)


def first_bytes(path: Path, most: int) -> bytes:
    """The first bytes of a file; none if it is not a file, or can't be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError):
        return b""


@contextlib.contextmanager
def private_copies(texts: Mapping[str, str]) -> Iterator[Path]:
    """A folder with these texts in files, by their names, that nobody else can change; it is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text)
        yield Path(folder)
