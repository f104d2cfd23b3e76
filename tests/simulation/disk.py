"""The disk that holds the ledger: it can be put back to an earlier state, and lose the write-ahead log."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.world import World

FOLDER: Final = "SIMULATION_FOLDER"
"""The variable that names the folder for everything."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder in memory, if the system has one


def in_memory() -> TemporaryDirectory[str]:
    """A folder that lasts as long as the object."""
    folder = os.environ.get(FOLDER) or (_MEMORY if _MEMORY.is_dir() else None)
    return TemporaryDirectory(prefix="simulation-", dir=folder)


@cache
def _kept() -> TemporaryDirectory[str]:
    return in_memory()


def kept() -> Path:
    """A folder for what several histories use; it is there until the program ends."""
    return Path(_kept().name)


class Disk:
    """A ledger's files.

    Args:
        world: Whose processes use it.
        ledger: The ledger's main file.

    Attributes:
        restored_at: When it was put back to an earlier state, in true seconds.
    """

    def __init__(self, world: World, ledger: Path) -> None:
        self._world = world
        self._ledger = ledger
        self._backups: list[bytes] = []
        self.restored_at: list[float] = []

    def save(self) -> None:
        """Make a backup, as SQLite's own tools do."""
        with closing(sqlite3.connect(self._ledger)) as live, closing(sqlite3.connect(":memory:")) as copy:
            live.backup(copy)
            self._backups.append(copy.serialize())
        self._world.note("disk", "a backup is made")

    def restore(self) -> None:
        """Put the newest backup back."""
        if self._backups:
            self._replace(self._backups[-1])
            self._world.note("disk", "the backup is put back")

    def restore_any(self) -> None:
        """Put any backup back, even one that is newer than what is there."""
        if self._backups:
            number = self._world.chance("backups").randrange(len(self._backups))
            self._replace(self._backups[number])
            self._world.note("disk", f"backup {number + 1} of {len(self._backups)} is put back")

    def lose_wal(self) -> None:
        """Keep the main file only."""
        self._replace(self._ledger.read_bytes())
        self._world.note("disk", "the write-ahead log is lost")

    def _replace(self, content: bytes) -> None:
        self.restored_at.append(self._world.now)
        for process in self._world.processes:
            process.close_ledger()
        for suffix in ("-wal", "-shm"):
            self._ledger.with_name(self._ledger.name + suffix).unlink(missing_ok=True)
        self._ledger.unlink()
        self._ledger.write_bytes(content)
