"""The newest head of each run that this machine has seen, kept outside of the ledger: a ledger without it is stale.

The file of a head is written after each claim, before a byte of what was claimed leaves.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch.credentials.files import overwrite_small
from batch.model import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_LINE: Final = re.compile(rb" *(\d+) ([0-9a-f]{64})\n")


@dataclass(kw_only=True)
class Heads:
    """The heads that this machine has seen.

    Attributes:
        folder: Holds a folder for each ledger, with a file for each run.
        trouble: Why a head could not be kept; empty if none failed.
    """

    folder: Path
    trouble: str = field(default="", init=False)

    def keep(self, ledger: str) -> Callable[[Head], None]:
        """A function that keeps the heads of one ledger."""
        folder = self.folder / ledger

        def write(head: Head) -> None:
            try:
                try:
                    self._write(folder, head)
                except FileNotFoundError:
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._write(folder, head)
            except OSError as error:
                self.trouble = f"{folder}: {error.strerror}"

        return write

    def seen(self, ledger: str) -> tuple[Head, ...]:
        """The heads of a ledger; one that can't be read counts as a head that no ledger has."""
        try:
            return tuple(_read(path) for path in sorted((self.folder / ledger).iterdir()))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.trouble = f"{self.folder}: {error.strerror}"
        return ()

    def forget(self, ledger: str, heads: Iterable[Head]) -> None:
        """Forgets heads that a ledger has lost, once it was compared with the tenant.

        Another process may have done so, and kept a newer one since: that one stays.
        """
        for head in heads:
            path = self.folder / ledger / head.run
            with suppress(FileNotFoundError):
                if _read(path) == head:
                    path.unlink()

    def _write(self, folder: Path, head: Head) -> None:
        overwrite_small(folder / head.run, f"{head.number:12} {head.hash}\n".encode("ascii"))


def _read(path: Path) -> Head:
    found = _LINE.fullmatch(path.read_bytes())
    number, digest = (int(found[1]), found[2].decode("ascii")) if found else (0, "")
    return Head(run=path.name, number=number, hash=digest)
