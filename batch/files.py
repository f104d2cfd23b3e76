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
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from batch.errors import UnsafePlaceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Windows lacks these, and descriptors of folders: there, its own rights must do.
_FLAGS: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_HAS_MODES: Final = os.name == "posix"

_NO_LINK_SUPPORT: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_STREAMS: Final = re.compile(r"/dev(/fd)?|/proc/\d+/(task/\d+/)?fd")
"""Folders whose links lead to what this process was started with."""


class Folder(NamedTuple):
    """An open folder, into which nobody else puts what we use.

    Attributes:
        path: Its path.
        handle: Its descriptor; None on systems that have none for folders.
    """

    path: Path
    handle: int | None

    def _at(self, name: str) -> str:
        return name if self.handle is not None else str(self.path / name)

    def open(self, name: str, flags: int) -> int:
        """Opens a file of the folder; a new one is private.

        Raises:
            UnsafePlaceError: It is a link.
            OSError: It can't be opened.
        """
        try:
            return os.open(self._at(name), flags | _FLAGS, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self.handle)
        except OSError:
            if (self.path / name).is_symlink() and not flags & os.O_EXCL:
                raise UnsafePlaceError(
                    f"{self.path / name} is a link, which could lead what is written there elsewhere.",
                    next_step="Nothing was sent. Remove it, or name the file itself.",
                ) from None
            raise

    def status(self, name: str) -> os.stat_result | None:
        """What is there by a name, which may be a link; None for nothing."""
        try:
            return os.stat(self._at(name), dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self.handle)

    def name(self, unfinished: str, name: str, *, new: bool) -> None:
        """Gives a whole file its name, in place of another one or, if it should be new, of none.

        Raises:
            FileExistsError: There is such a file, and it should be new.
            OSError: It can't be renamed.
        """
        if new:
            try:
                os.link(self._at(unfinished), self._at(name), src_dir_fd=self.handle, dst_dir_fd=self.handle)
                self.remove(unfinished)
            except OSError as error:
                if error.errno not in _NO_LINK_SUPPORT:
                    raise
                # A disk without links, such as a USB stick: an empty file takes the name first.
                os.close(self.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                new = False
        if not new:
            os.replace(self._at(unfinished), self._at(name), src_dir_fd=self.handle, dst_dir_fd=self.handle)
        if self.handle is not None:
            with contextlib.suppress(OSError):
                os.fsync(self.handle)


@contextlib.contextmanager
def open_folder(path: Path, *, option: str = "", make: bool = True) -> Iterator[Folder]:
    """Opens a folder to write into it; nobody else can lead that elsewhere.

    A folder of root's will do, and so will one in which everybody can make files but nobody can touch those of others.

    Args:
        path: It and its parents are made if missing, for this user only.
        option: The option that names another folder, or a file in one.
        make: Whether to make it.

    Raises:
        UnsafePlaceError: It is a link, belongs to somebody else, or everybody can write to it.
        OSError: It can't be made or opened.
    """
    is_new = False
    if not _HAS_MODES:
        if make:
            _make(path)
        yield Folder(path, None)
        return
    try:
        try:
            handle = os.open(path, _FOLDER_FLAGS)
        except FileNotFoundError:
            if not make:
                raise
            is_new = _make(path)
            handle = os.open(path, _FOLDER_FLAGS)
    except OSError:
        if path.is_symlink():
            where = os.path.realpath(path)
            mend = f"If you want it there, name that folder itself with {option}." if option else "Put a folder there."
            raise UnsafePlaceError(
                f"The folder {path} is a link to {where}: links could lead what is written there elsewhere.",
                next_step=f"Nothing was sent. {mend}",
            ) from None
        raise
    try:
        status = os.fstat(handle)
        if is_new and status.st_mode & stat.S_IWOTH:
            path.rmdir()
            raise UnsafePlaceError(
                f"The disk of {path} keeps no rights, so that everybody could replace what is written there.",
                next_step=f"Nothing was sent. {_NO_MODES}{f' Name it with {option}.' if option else ''}",
            )
        _check_folder(path, status, option)
        yield Folder(path, handle)
    finally:
        os.close(handle)


def _make(path: Path) -> bool:
    """Makes a folder and its parents, whatever the umask; returns whether it was missing."""
    for _ in range(2):
        try:
            path.mkdir(mode=stat.S_IRWXU)
        except FileNotFoundError:
            _make(path.parent)
        except FileExistsError:
            return False
        else:
            return True
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _check_folder(path: Path, status: os.stat_result, option: str) -> None:
    if status.st_uid not in {os.geteuid(), 0}:
        owner = _user(status.st_uid)
        mend = f"Run this as {owner}, or make the folder yours: chown {os.geteuid()} {shlex.quote(str(path))}"
        raise UnsafePlaceError(
            f"The folder {path} belongs to {owner}, who could replace what is written there.",
            next_step=f"Nothing was sent. {f'Choose a folder of your own with {option}.' if option else mend}",
        )
    check_not_open_to_all(path, status, option)
    _check_above(path.absolute(), option)


@cache
def _check_above(path: Path, option: str) -> None:
    """Refuses a folder once in a process if everybody can replace a folder above it, and so itself."""
    for above in dict.fromkeys((*path.parents, *path.resolve().parents)):
        check_not_open_to_all(above, above.stat(), option)


def check_not_open_to_all(path: Path, status: os.stat_result, option: str) -> None:
    """Refuses a folder in which everybody can replace files.

    Raises:
        UnsafePlaceError: Everybody can.
    """
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise UnsafePlaceError(
            f"Everybody can write to the folder {path}, and replace what is written there.",
            next_step=f"Nothing was sent. Run: chmod o-w {shlex.quote(str(path))}\n"
            f"Or choose another folder{f' with {option}' if option else ''}.",
        )


_NO_MODES: Final = "It may be a Windows drive in WSL: choose a folder on a disk of Linux."


def _user(number: int) -> str:
    import pwd  # noqa: PLC0415 - Windows has no such module

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"


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
        if keeps_mode and _HAS_MODES and path.is_file():
            os.fchmod(handle, path.stat().st_mode & 0o775)
        with os.fdopen(handle, "wb", closefd=False) as file:
            yield file


def open_private(path: Path, flags: int, *, option: str = "", make: bool = True) -> int:
    """Opens a private file that is changed in place, and returns its descriptor.

    Args:
        path: The file.
        flags: For `os.open`.
        option: See `open_folder`.
        make: Whether to make its folder.

    Raises:
        UnsafePlaceError: It is a link, and see `open_folder`.
        OSError: It can't be opened.
    """
    with open_folder(path.parent, option=option, make=make) as folder:
        return folder.open(path.name, flags)


def write_small(path: Path, content: bytes, *, append: bool = False) -> None:
    """Writes a small private file in place, at once but not durably: it survives this process, not the machine.

    Args:
        path: The file.
        content: Always of the same length, unless it is added.
        append: Whether to add it to what is there.

    Raises:
        UnsafePlaceError: See `open_private`.
        OSError: It can't be written.
    """
    handle = open_private(path, os.O_CREAT | os.O_WRONLY | (os.O_APPEND if append else 0))
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
    for place in places if _HAS_MODES else ():
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
            f"Everybody can write to {shown}, which belongs to {_user(status.st_uid)}.",
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
