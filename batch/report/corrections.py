"""Keeps a result file that somebody has corrected when it is written again.

A file's modification time tells whether it is as we wrote it: its part below a second is a checksum of the content, so
no list of checksums is needed. If a disk or a copy rounds the time, or a program saves the file without a change, the
file is kept needlessly.
"""

from __future__ import annotations

import itertools
import os
import stat
import zlib
from typing import TYPE_CHECKING, Final

from batch.files import rest_of

if TYPE_CHECKING:
    from pathlib import Path

    from batch.folders import Folder

_SECOND: Final = 10**9
_UNIT: Final = 100
"""Nanoseconds: some disks count no less."""


def mark_as_written(handle: int) -> None:
    """Set the time of an open file that is complete."""
    if os.utime in os.supports_fd:
        status = os.fstat(handle)
        second = status.st_mtime_ns // _SECOND * _SECOND
        os.utime(handle, ns=(status.st_atime_ns, second + _checksum(handle)))


def keep_corrections(folder: Folder, path: Path) -> str:
    """Give a file another name if somebody has changed it since we wrote it.

    Args:
        folder: The open folder.
        path: The file's path, which may be new.

    Returns:
        A sentence for the user; empty if nothing is kept.

    Raises:
        OSError: The file can't be read or renamed.
        UnsafePlaceError: It is a link.
    """
    there = folder.status(path.name)
    if there is None or not stat.S_ISREG(there.st_mode):
        return ""
    handle = folder.open(path.name, os.O_RDONLY)
    try:
        is_ours = os.fstat(handle).st_mtime_ns % _SECOND == _checksum(handle)
    finally:
        os.close(handle)
    if is_ours:
        return ""
    for number in itertools.count(1):
        kept = path.with_name(f"{path.stem}.old{number if number > 1 else ''}{path.suffix}")
        if folder.status(kept.name) is None:
            try:
                folder.name(path.name, kept.name, new=True)
            except FileExistsError:
                continue
            break
    return (
        f"{path} was changed since access-batch wrote it, so it is kept as {kept}: if you have corrected rows there, "
        "submit that file."
    )


def _checksum(handle: int) -> int:
    """Of the whole content, as nanoseconds below a second."""
    found = 0
    os.lseek(handle, 0, os.SEEK_SET)
    for chunk in rest_of(handle):
        found = zlib.crc32(chunk, found)
    return found % (_SECOND // _UNIT) * _UNIT
