"""The newest head of each run that this machine has seen, kept outside of the ledger: a ledger without it is stale.

A head is written after each claim, before the first byte of the claimed bodies leaves. Two more facts that a stale
ledger may lack are kept beside the heads: the users whose tokens sent requests, and each run's last accepted request.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from batch.credentials.files import overwrite_small
from batch.loops.compare import LastAccepted
from batch.model import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batch.model import Request

_LENGTH: Final = 400
"""Of the file of an accepted request: it always has the same length."""

_LINE: Final = re.compile(rb" *(\d+) ([0-9a-f]{64})\n")


@dataclass(kw_only=True)
class Heads:
    """The heads that this machine has seen.

    Attributes:
        folder: Holds a folder for each ledger with a file for each run's head, another with a file for each run's
            last accepted request, and a file for the users.
        trouble: Why a head could not be kept; empty if none failed.
    """

    folder: Path
    trouble: str = field(default="", init=False)

    def keep(self, ledger: str) -> Callable[[Head], None]:
        """A function that keeps the heads of one ledger."""
        folder = self.folder / ledger

        def write(head: Head) -> None:
            self._write(folder / head.run, f"{head.number:12} {head.hash}\n")

        return write

    def keep_accepted(self, ledger: str, names: Iterable[str]) -> Callable[[Request], None]:
        """A function that keeps what the tenant with these names and addresses accepted last from each run."""
        folder, tenant = self.folder / f"{ledger}.accepted", sorted(names)

        def write(request: Request) -> None:
            line = json.dumps({"id": request.id, "identity": request.recipients[0], "tenant": tenant})
            # What is left of a longer line is on the next one.
            self._write(folder / request.run, f"{line}\n".ljust(_LENGTH) + "\n")

        return write

    def accepted(self, ledger: str, heads: Iterable[Head], names: Iterable[str]) -> tuple[LastAccepted, ...]:
        """What a tenant accepted last from the runs of heads."""
        paths = (self.folder / f"{ledger}.accepted" / head.run for head in heads)
        found = [line for path in paths for line in list(self._lines(path))[:1]]
        return tuple(
            LastAccepted(id=line["id"], identity=line["identity"])
            for line in found
            if not set(names).isdisjoint(line["tenant"])
        )

    def keep_user(self, ledger: str, user: str, names: Iterable[str]) -> None:
        """Keeps that something may be sent with a token of a user to the tenant with these names and addresses."""
        path, line = self.folder / f"{ledger}.users", {"user": user, "tenant": sorted(names)}
        if line in list(self._lines(path)):
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "w") as file:
                file.write(f"{json.dumps(line)}\n")
        except OSError as error:
            self.trouble = f"{path}: {error.strerror}"

    def users(self, ledger: str, names: Iterable[str]) -> frozenset[str]:
        """The users with whose tokens something may have been sent to a tenant."""
        lines = self._lines(self.folder / f"{ledger}.users")
        return frozenset(line["user"] for line in lines if not set(names).isdisjoint(line["tenant"]))

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

    def _write(self, path: Path, text: str) -> None:
        try:
            try:
                overwrite_small(path, text.encode())
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                overwrite_small(path, text.encode())
        except OSError as error:
            self.trouble = f"{path.parent}: {error.strerror}"

    def _lines(self, path: Path) -> Iterator[Any]:
        """The lines of a file, each a JSON object; what is none is left out."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return
        except OSError as error:
            self.trouble = f"{path}: {error.strerror}"
            return
        for line in text.splitlines():
            with suppress(ValueError):
                if isinstance(found := json.loads(line), dict):
                    yield found


def _read(path: Path) -> Head:
    found = _LINE.fullmatch(path.read_bytes())
    number, digest = (int(found[1]), found[2].decode("ascii")) if found else (0, "")
    return Head(run=path.name, number=number, hash=digest)
