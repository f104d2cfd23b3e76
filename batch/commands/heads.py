"""The newest head of each run that this machine has seen, kept outside of the ledger: a ledger without it is stale.

A head is written after each claim, before the first byte of the claimed bodies leaves, with the names of its tenant:
a stale ledger must be compared with each of its tenants. What else it may lack is kept too: each run's requests in
doubt, its last accepted request, the users whose tokens sent requests, and how late a tenant's list was.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType, Operation
from batch.errors import UnsafePlaceError
from batch.files import read_whole, write_small
from batch.folders import open_folder
from batch.ledger.machine_key import Moves
from batch.ledger.standing import Sent, Standing
from batch.loops.compare import LastAccepted
from batch.model import Head, Request, RequestItem
from batch.status.control import delay_now
from batch.text import RequestId, instant, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

_LENGTH: Final = 800
"""Of the file of an accepted request or a delay: it always has the same length."""

_MOST: Final = 1 << 26
"""Most bytes of a file: that of the users grows."""

_FILE: Final = re.compile(rb" *(\d+) ([0-9a-f]{64}) +(\d+)(?: ([0-9a-f]{16}))?\n((\[.*\])\n(?:([\[{].*[\]}])\n|\Z))")
"""A head with the digest of the next lines: the names and addresses of its tenant, and what was on its way. What is
left of longer ones follows. Older versions kept no digest, requests only, or no requests."""

_TRIES: Final = 5
_PAUSE: Final = 0.02
"""Seconds to wait before a file is read again: another process may be writing it."""

_PLAIN: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)

UNREADABLE: Final = 0
"""The number of a head whose file can't be read."""

_TRIED: Final = ".tried"
"""A file beside the heads, to try whether one can be kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """A run's newest head, the names and addresses of its tenant, and the run's Standing.

    If they can't be read, the head is UNREADABLE, and the tenant may be any.
    """

    head: Head
    tenant: frozenset[str] = frozenset()
    standing: Standing = field(default_factory=Standing)


@dataclass(kw_only=True)
class Heads:
    """The heads that this machine has seen.

    Attributes:
        folder: Holds a folder for each ledger with a file for each run's head, another with a file for each run's
            last accepted request, a file for the users, one for its moves, and two by which a sealed ledger is known.
        trouble: Why something could not be kept or read; empty if nothing failed.
    """

    folder: Path
    trouble: str = field(default="", init=False)
    _complained: bool = field(default=False, init=False)
    _newest: dict[str, str] = field(default_factory=dict, init=False)

    def keep(self, ledger: str, names: Iterable[str]) -> Callable[[Head, Standing], None]:
        """A function that keeps the heads of one ledger's runs at the tenant with these names and addresses.

        With each head it takes what the run has on its way.
        """
        folder, tenant = self.folder / _name(ledger), json.dumps(sorted(names))

        def write(head: Head, standing: Standing) -> None:
            self._newest[head.run] = head.hash
            doubtful = [_as_json(number, sent) for number, sent in standing.doubtful.items()]
            rest = f"{tenant}\n{json.dumps({'doubtful': doubtful, 'alone': sorted(standing.alone)})}\n"
            text = f"{head.number:12} {head.hash} {head.sent:12} {_checksum(rest.encode())}\n{rest}"
            self._write(folder / _name(head.run), text)

        return write

    def try_keeping(self, ledger: str) -> None:
        """Finds out whether heads can be kept, by writing beside them."""
        self._write(self.folder / _name(ledger) / _TRIED, "".ljust(_LENGTH))

    def sealed(self, ledger: str, where: str) -> str:
        """The files that say so if the ledger with this id, or the one at this place, was sealed before; else empty."""
        return " and ".join(str(path) for path in self._sealed(ledger, where) if path.exists())

    def keep_sealed(self, ledger: str, where: str) -> None:
        """Keeps that the ledger with this id, at this place, is sealed: it never comes back without seals."""
        for path in self._sealed(ledger, where):
            if not path.exists():
                self._write(path, f"{where}\n")

    def _sealed(self, ledger: str, where: str) -> tuple[Path, Path]:
        # Whoever changes a ledger may give it another id as well.
        return self.folder / f"{_name(ledger)}.sealed", self.folder / f"{_digest(where)}.sealed-place"

    def moves(self, ledger: str) -> Moves:
        """What is known of the moves of the ledger with this id."""
        path = self._moves_of(ledger)
        for line in self._lines(path):
            with suppress(KeyError, TypeError, ValueError):
                return Moves(number=int(line["moves"]), place=str(line["place"]), file=str(path))
        return Moves()

    def keep_moves(self, ledger: str, number: int, place: str) -> None:
        """Keeps where a ledger has moved, so that a backup of its old place never counts as the ledger again."""
        line = json.dumps({"moves": number, "place": place})
        # What is left of a longer line is on the next one.
        self._write(self._moves_of(ledger), f"{line}\n".ljust(_LENGTH) + "\n")

    def clock(self, ledger: str) -> str:
        """What this machine knew last of the clock of the ledger's database; empty if it knew nothing."""
        for line in self._lines(self.folder / f"{_name(ledger)}.clock"):
            with suppress(KeyError, TypeError):
                return str(line["clock"])
        return ""

    def keep_clock(self, ledger: str, text: str) -> None:
        """Keeps what this machine knows of the clock of the ledger's database."""
        line = json.dumps({"clock": text})
        self._write(self.folder / f"{_name(ledger)}.clock", f"{line}\n".ljust(_LENGTH) + "\n")

    def _moves_of(self, ledger: str) -> Path:
        return self.folder / f"{_name(ledger)}.moves"

    def keep_delay(self, ledger: str, seconds: float, now: datetime) -> None:
        """Keeps how late the list of one of a ledger's tenants was: the ledger can be put back, or changed."""
        line = json.dumps({"seconds": seconds, "at": instant(now)})
        self._write(self._delay_of(ledger), f"{line}\n".ljust(_LENGTH) + "\n")

    def delay(self, ledger: str, now: datetime) -> float:
        """The delay that still counts, in seconds; see `delay_now`."""
        for line in self._lines(self._delay_of(ledger)):
            with suppress(KeyError, TypeError, ValueError):
                return delay_now(float(line["seconds"]), moment(line["at"]), now)
        return 0.0

    def _delay_of(self, ledger: str) -> Path:
        return self.folder / f"{_name(ledger)}.delay"

    def complaints(self) -> tuple[str, ...]:
        """What the user should know if something can't be kept, unless they have been told."""
        if not self.trouble or self._complained:
            return ()
        self._complained = True
        what = f"This machine can't record the ledger's newest state ({self.trouble})"
        return (f"{what}: it may not notice that the ledger was put back from a backup.",)

    def keep_accepted(self, ledger: str, names: Iterable[str]) -> Callable[[Request, Iterable[int]], None]:
        """A function that keeps what the tenant with these names and addresses accepted last from each run.

        With each request it takes the numbers of the run's requests that are still in doubt.
        """
        folder, tenant = self.folder / f"{_name(ledger)}.accepted", sorted(names)

        def write(request: Request, doubtful: Iterable[int]) -> None:
            accepted = _as_json(request.number, Sent(request=request, arrived=True))
            about = {"id": request.id, "recipients": request.recipients, "tenant": tenant, "request": accepted}
            left = {"head": self._newest.get(request.run, ""), "doubtful": list(doubtful)}
            line = json.dumps(about | left)
            # What is left of a longer line is on the next one.
            self._write(folder / _name(request.run), f"{line}\n".ljust(_LENGTH) + "\n")

        return write

    def accepted(self, ledger: str, heads: Iterable[Head], names: Iterable[str]) -> tuple[LastAccepted, ...]:
        """What a tenant accepted last from the runs of heads."""
        paths = (self.folder / f"{_name(ledger)}.accepted" / _name(head.run) for head in heads)
        found = [line for path in paths for line in list(self._lines(path))[:1]]
        return tuple(
            LastAccepted(
                id=line["id"],
                recipients=tuple(line["recipients"]),
                sent=_of_json("", line["request"])[1] if "request" in line else None,
            )
            for line in found
            if not set(names).isdisjoint(line["tenant"])
        )

    def sent(self, ledger: str, head: Head) -> tuple[Request, ...]:
        """What is known of the requests that the run of a head has sent: those in doubt, and the last accepted one."""
        path = self.folder / f"{_name(ledger)}.accepted" / _name(head.run)
        accepted = [_of_json("", line["request"])[1] for line in list(self._lines(path))[:1] if "request" in line]
        return tuple(one.request for one in (*accepted, *self.standing(ledger, head).doubtful.values()))

    def standing(self, ledger: str, head: Head) -> Standing:
        """What the run of a head had on its way when this machine saw it last."""
        found = self._read(self.folder / _name(ledger) / _name(head.run))
        if found is None or found.head != head:
            return Standing()
        # Some may have been accepted after the last claim.
        for line in list(self._lines(self.folder / f"{_name(ledger)}.accepted" / _name(head.run)))[:1]:
            if line.get("head") == head.hash:
                left = {number: one for number, one in found.standing.doubtful.items() if number in line["doubtful"]}
                return replace(found.standing, doubtful=left)
        return found.standing

    def keep_user(self, ledger: str, user: str, names: Iterable[str]) -> None:
        """Keeps that something may be sent with a token of a user to the tenant with these names and addresses."""
        path, line = self.folder / f"{_name(ledger)}.users", {"user": user, "tenant": sorted(names)}
        if line in list(self._lines(path)):
            return
        try:
            write_small(path, f"{json.dumps(line)}\n".encode(), append=True, top=self._top)
        except (OSError, UnsafePlaceError) as error:
            self.trouble = _why(path, error)

    def users(self, ledger: str, names: Iterable[str]) -> frozenset[str]:
        """The users with whose tokens something may have been sent to a tenant."""
        lines = self._lines(self.folder / f"{_name(ledger)}.users")
        return frozenset(line["user"] for line in lines if not set(names).isdisjoint(line["tenant"]))

    def seen(self, ledger: str, names: Iterable[str] | None) -> tuple[Head, ...]:
        """The heads of a ledger's runs at the tenant with these names and addresses, or at any if it is None.

        One that can't be read may be any tenant's: it is UNREADABLE.
        """
        found = self._all(ledger)
        return tuple(one.head for one in found if not one.tenant or names is None or not one.tenant.isdisjoint(names))

    def unnamed(self, ledger: str) -> Mapping[Head, frozenset[str]]:
        """The heads of a ledger's runs at tenants that no token had named yet, with the addresses of each."""
        found = self._all(ledger)
        return {one.head: one.tenant for one in found if one.tenant and all("://" in name for name in one.tenant)}

    def _all(self, ledger: str) -> Sequence[_Kept]:
        try:
            paths = sorted(path for path in (self.folder / _name(ledger)).iterdir() if path.name != _TRIED)
        except FileNotFoundError:
            return ()
        except OSError as error:
            self.trouble = f"{self.folder}: {error.strerror}"
            return ()
        return [seen for path in paths if (seen := self._read(path)) is not None]

    def forget(self, ledger: str, heads: Iterable[Head]) -> None:
        """Forgets heads that a ledger has lost, once it was compared with their tenant.

        Another process may have done so, and kept a newer one since: that one stays.
        """
        for head in heads:
            path = self.folder / _name(ledger) / _name(head.run)
            seen = self._read(path)
            if seen is None or seen.head != head:
                continue
            try:
                with open_folder(path.parent, make=False, top=self._top) as folder:
                    folder.remove(path.name)
            except (OSError, UnsafePlaceError) as error:
                self.trouble = _why(path, error)

    def _read(self, path: Path) -> _Kept | None:
        """What is kept of a run; None if it was forgotten meanwhile."""
        for _ in range(_TRIES):
            try:
                content = read_whole(path, most=_MOST)[0]
            except FileNotFoundError:
                return None
            except OSError as error:
                self.trouble = f"{path}: {error.strerror}"
                break
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                return _of_file(path.name, content)
            time.sleep(_PAUSE)
        return _Kept(head=Head(run=path.name, number=UNREADABLE, hash=""))

    @property
    def _top(self) -> Path:
        return self.folder.parent

    def _write(self, path: Path, text: str) -> None:
        try:
            write_small(path, text.encode(), top=self._top)
        except (OSError, UnsafePlaceError) as error:
            self.trouble = _why(path.parent, error)

    def _lines(self, path: Path) -> Iterator[Any]:
        """The JSON objects in the lines of a file; other lines are skipped."""
        try:
            text = read_whole(path, most=_MOST)[0].decode("utf-8", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            self.trouble = f"{path}: {error.strerror}"
            return
        for line in text.splitlines():
            with suppress(ValueError):
                if isinstance(found := json.loads(line), dict):
                    yield found


def _of_file(run: str, content: bytes) -> _Kept:
    """What is kept of a run in a file.

    Raises:
        ValueError: It was not written here, or not all of it; likewise KeyError, TypeError and AttributeError.
    """
    found = _FILE.match(content)
    if found is None or (found[4] is not None and found[4].decode("ascii") != _checksum(found[5])):
        raise ValueError(run)
    kept = json.loads(found[7] or b"[]")
    kept = kept if isinstance(kept, dict) else {"doubtful": kept, "alone": []}
    return _Kept(
        head=Head(run=run, number=int(found[1]), hash=found[2].decode("ascii"), sent=int(found[3])),
        tenant=frozenset(map(str, json.loads(found[6]))),
        standing=Standing(
            doubtful=dict(_of_json(run, one) for one in kept["doubtful"]), alone=set(map(int, kept["alone"]))
        ),
    )


def _as_json(number: int, sent: Sent) -> dict[str, Any]:
    """What a request with this number asks for, and how it was sent."""
    request = sent.request
    items = [{one.name: getattr(item, one.name) for one in fields(item)} for item in request.items]
    return {
        "number": number,
        "id": request.id,
        "operation": request.operation,
        "recipients": request.recipients,
        "items": [item | {"metadata": dict(item["metadata"])} for item in items],
        "metadata": dict(request.metadata),
        "body": sent.body,
        "arrived": sent.arrived,
    }


def _of_json(run: str, found: Mapping[str, Any]) -> tuple[int, Sent]:
    """The request of a run that was kept, after its number.

    Raises:
        ValueError: It was not written here; likewise KeyError, TypeError and AttributeError.
    """
    number = int(found["number"])
    # An older version kept the tag alone.
    sent = RequestId.read(found["id"]) if "id" in found else RequestId(run, number, str(found["tag"]))
    if sent is None:
        raise ValueError(found["id"])
    request = Request(
        number=sent.number,
        run=sent.run,
        tag=sent.tag,
        operation=Operation(found["operation"]),
        recipients=tuple(map(str, found["recipients"])),
        items=tuple(RequestItem(**item | {"type": ItemType(item["type"])}) for item in found["items"]),
        metadata=dict(found["metadata"]),
    )
    return number, Sent(request=request, body=str(found.get("body", "")), arrived=bool(found.get("arrived")))


def _name(found: str) -> str:
    """The name of a file for an id that a ledger has: somebody may have written any text there, such as a path."""
    return found if _PLAIN.fullmatch(found) else _digest(found)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _why(path: Path, error: OSError | UnsafePlaceError) -> str:
    return f"{path}: {error.strerror}" if isinstance(error, OSError) else error.message.rstrip(".")
