"""The one way to open a folder for writing, so that nobody else can redirect it or replace its files.

It is reached from descriptor to descriptor, so that nobody can swap a folder on the way for a link meanwhile; and what
is in it is opened relative to its own descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.errors import UnsafePlaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Windows lacks these, and descriptors of folders: there, its own rights must do.
_FLAGS: Final = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"))
_FOLDER_FLAGS: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_ABOVE_FLAGS: Final = _FOLDER_FLAGS | getattr(os, "O_PATH", getattr(os, "O_SEARCH", 0))
"""Enough to pass through a folder, which works even if we may not list it."""

_MOST_LINKS: Final = 40
HAS_MODES: Final = os.name == "posix"

_NO_LINK_SUPPORT: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


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
            OSError: It can't be opened, or is no file but a pipe, say.
        """
        try:
            handle = os.open(self._at(name), flags | _FLAGS, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self.handle)
        except OSError:
            there = self.status(name)
            if there is not None and stat.S_ISLNK(there.st_mode) and not flags & os.O_EXCL:
                raise UnsafePlaceError(
                    f"{self.path / name} is a link, so files written there could end up elsewhere.",
                    next_step="Nothing was sent. Remove it, or name the file itself.",
                ) from None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "it is not a file")
        return handle

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
def open_folder(path: Path, *, option: str = "", make: bool = True, top: Path | None = None) -> Iterator[Folder]:
    """Opens a folder to write into it; nobody else can lead that elsewhere.

    A folder of root's will do, and so will one in which everybody can make files but nobody can touch those of others.
    A folder above it may be a link, but only one of this user's or root's.

    Args:
        path: It and its parents are made if missing, for this user only.
        option: The option that names another folder, or a file in one.
        make: Whether to make it.
        top: The folder above it, or itself, from which on all folders are ours: none of them may be a link.

    Raises:
        UnsafePlaceError: It is a link, belongs to somebody else, or everybody can write to it.
        OSError: It can't be made or opened.
    """
    if not HAS_MODES:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        yield Folder(path, None)
        return
    ours = len(path.parts) - len(top.parts) + 1 if top is not None else 1
    handle = _reach(path, option, make=make, ours=ours)
    try:
        status = os.fstat(handle)
        if status.st_uid not in {os.geteuid(), 0}:
            owner = user_called(status.st_uid)
            mend = f"Run this as {owner}, or make the folder yours: chown {os.geteuid()} {shlex.quote(str(path))}"
            raise UnsafePlaceError(
                f"The folder {path} belongs to {owner}, who could replace our files there.",
                next_step=f"Nothing was sent. {f'Choose a folder of your own with {option}.' if option else mend}",
            )
        check_not_open_to_all(path, status, option)
        yield Folder(path, handle)
    finally:
        os.close(handle)


def check_way(path: Path, option: str) -> None:
    """Refuses a folder if everybody can replace it, or one on the way to it; others' links count in their own folders.

    Raises:
        UnsafePlaceError: Everybody can.
        OSError: It can't be reached.
    """
    if HAS_MODES:
        handle = _reach(path, option, make=False, ours=0)
        try:
            check_not_open_to_all(path, os.fstat(handle), option)
        finally:
            os.close(handle)


def _reach(path: Path, option: str, *, make: bool, ours: int) -> int:
    """The descriptor of a folder, reached from the root by those of the folders above, of which none is open to all.

    Args:
        path: The folder.
        option: See `open_folder`.
        make: Whether to make what is missing, but nothing where a link leads.
        ours: How many of the path's last folders may not be links. With 0, another user's link counts in a folder of
            theirs.
    """
    root, *names = path.absolute().parts
    names.reverse()
    here, makes_below, links = Path(root), len(names), 0
    last_flags = _FOLDER_FLAGS if ours else _ABOVE_FLAGS
    handle = os.open(here, _ABOVE_FLAGS if names else last_flags)
    try:
        while names:
            around = os.fstat(handle)
            check_not_open_to_all(here, around, option)
            name = names.pop()
            shown = here / name if names else path
            try:
                below = os.open(name, _ABOVE_FLAGS if names else last_flags, dir_fd=handle)
            except FileNotFoundError:
                if not make or len(names) >= makes_below:
                    raise
                below = _make(name, shown, handle, option)
            except OSError:
                link = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if not stat.S_ISLNK(link.st_mode) or links == _MOST_LINKS:
                    raise
                if len(names) < ours:
                    raise _is_link(shown, option) from None
                if link.st_uid not in {os.geteuid(), 0, *([] if ours else [around.st_uid])}:
                    owner = user_called(link.st_uid)
                    raise UnsafePlaceError(
                        f"The link {here / name} belongs to {owner}, who could redirect our files.",
                        next_step=f"Nothing was sent. Name the folder itself{f' with {option}' if option else ''}.",
                    ) from None
                links, makes_below = links + 1, min(makes_below, len(names))
                target = Path(os.readlink(name, dir_fd=handle))
                if not target.is_absolute():
                    names.extend(reversed(target.parts))
                    continue
                names.extend(reversed(target.parts[1:]))
                here, name, below = Path(root), "", os.open(root, _ABOVE_FLAGS)
            os.close(handle)
            handle, here = below, here.parent if name == ".." else here / name
    except BaseException:
        os.close(handle)
        raise
    return handle


def _make(name: str, shown: Path, above: int, option: str) -> int:
    """Makes a folder for this user only, whatever the umask, unless another process was faster; and opens it."""
    is_new = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, stat.S_IRWXU, dir_fd=above)
        is_new = True
    handle = os.open(name, _FOLDER_FLAGS, dir_fd=above)
    if is_new and os.fstat(handle).st_mode & stat.S_IWOTH:
        os.close(handle)
        os.rmdir(name, dir_fd=above)
        raise UnsafePlaceError(
            f"The disk of {shown} stores no file permissions, so everybody could replace our files there.",
            next_step="Nothing was sent. It may be a Windows drive in WSL: choose a folder on a Linux disk."
            f"{f' Name it with {option}.' if option else ''}",
        )
    return handle


def _is_link(path: Path, option: str) -> UnsafePlaceError:
    mend = f"If you want it there, name that folder itself with {option}." if option else "Put a folder there."
    return UnsafePlaceError(
        f"The folder {path} is a link to {os.path.realpath(path)}: files written there could end up elsewhere.",
        next_step=f"Nothing was sent. {mend}",
    )


def check_not_open_to_all(path: Path, status: os.stat_result, option: str) -> None:
    """Refuses a folder in which everybody can replace files.

    Raises:
        UnsafePlaceError: Everybody can.
    """
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise UnsafePlaceError(
            f"Everybody can write to the folder {path}, and replace our files there.",
            next_step=f"Nothing was sent. Run: chmod o-w {shlex.quote(str(path))}\n"
            f"Or choose another folder{f' with {option}' if option else ''}.",
        )


def user_called(number: int) -> str:
    """A user for messages."""
    import pwd  # noqa: PLC0415 - Windows has no such module

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"
