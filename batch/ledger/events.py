"""Events: what happened to a run and its requests.

Each event's hash covers the event before, and the last one of a transaction is signed, so tampering shows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import LedgerChangedError
from batch.ledger import tables as t
from batch.ledger.engine import SEEN
from batch.ledger.machine_key import KEY, has_signed
from batch.ledger.messages import prove_by, write
from batch.model import Head
from batch.states import Event
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.ledger.machine_key import MachineKey

PLANNED: Final = "planned"
"""Requests were written. No transition."""

IMPORTED: Final = "imported"
"""Accepted requests were written that this ledger did not send. No transition."""

BORN: Final = (PLANNED, IMPORTED)
"""The events that add requests: `first` is the number of the first, `requests` how many there are."""

SEALED: Final = "sealed"
"""Of a run as a whole, when a ledger of a version without seals was upgraded: everything that it has. No transition."""

LINKED: Final = "linked"
"""Of a run as a whole: ABOUT it has changed, or was never written. No transition."""

TRACKED: Final = "tracked"
"""Of a run as a whole: the tenant has reported on its changes. No transition."""

ABOUT: Final = "about"
"""In the detail of events of a run as a whole: what the run is and whose, see `facts.about`."""

FINDINGS: Final = "findings"
PARTLY: Final = "partly"
"""Likewise: by request, the hash of the tenant's reports on its changes; and those of which earlier reports stay."""

SEALS: Final = "seals"
"""In the detail of an event that adds requests: the hash of their contents, see `seals.root`."""

NAMES: Final = "names"
"""In the detail of a plan: the hash of what the names of the input mean, see `seals.names_digest`."""

OTHERS: Final = "others"
"""In the detail of a plan: what this machine had seen of other keys, see `facts.seen_of_others`; older ones none."""

ARRIVED: Final = "arrived"
"""In the detail of a division: the numbers of the new requests that are ACCEPTED from their beginning."""

CANCELLING: Final = "cancelling"
"""Of the run as a whole: its accepted changes are being cancelled in the tenant."""

JOINED: Final = "joined"
"""Of the run as a whole: its tenant proved to be another one of the ledger, `from` is its address until then. `order`
has the recipients and items of requests whose order this changed, as they were sent before."""

NEW_RUN: Final = "run"
"""In the detail of a take-over: the id of the run that has planned the changes anew."""

WITHIN: Final = "within"
"""In the detail of an attempt and of its answer: the number of the request in whose body this one travels."""

IN_DOUBT: Final = "in_doubt"
"""In the detail of a division: the numbers of the new requests that are UNCONFIRMED from their beginning."""

LOST: Final = "lost"
BODY: Final = "body"
HAS_ARRIVED: Final = "has_arrived"
"""In the detail of an attempt that the ledger has lost, so that nobody knows who made it: the id that was sent, or true
for the request's own; what stands for the body, see `Sent.body`; and whether that is known to have arrived. LOST in the
detail of a division: what arrived did so by such an attempt, and has no claim."""

FINGERPRINT: Final = "body_sha256"
"""In the detail of an attempt: the fingerprint of the body that was sent."""

ATTEMPT: Final = "attempt_id"
"""In the detail of an attempt: its id, which each item of its body carries. Older events have none."""

CLAIM: Final = "claim"
"""In the detail of an attempt: `request.claimed`. Older events have none."""

TOKEN_EXPIRES: Final = "token_expires"  # noqa: S105 - a name
PROCESS: Final = "process"
"""Likewise: when its token expires, by the tenant's clock, if that is known; and the id of the process that made it."""

GONE: Final = "gone"
"""In the detail of an abandoned attempt: whether the process that made it has ended for certain."""

ACCESS_REQUESTS: Final = "access_requests"
"""In the detail of what settling found: the tenant's ids of the access requests."""

SERVER_TIME: Final = "server_time"
"""In the detail of an answer: the tenant's clock."""

REASON: Final = "reason"
BLOCKED: Final = "blocked"
"""In the detail of an answer: why the request was refused or is in doubt; and that something in front of the API, such
as a firewall, gave an undecided one."""

UNSIGNED: Final = "its newest events are not signed"

# The detail is text in every database: a JSON type would not keep the exact text that the hash covers.
_DETAIL: Final = sa.cast(t.event.c.detail, sa.JSON().with_variant(sa.Text(), "sqlite"))
WITHIN_COLUMN: Final = _DETAIL[WITHIN].as_integer()
REASON_COLUMN: Final = _DETAIL[REASON].as_string()

FOLLOWED: Final = "access_batch_followed"
"""The name under which an engine's execution options have what this process follows, by the ids of runs."""

_HASHED: Final = ("run", "number", "at", "request", "event", "attempt", "status", "detail")

_ONE: Final[sa.ColumnElement[int]] = sa.literal_column("1")
_newest = (
    sa.select(t.event.c.number, t.event.c.hash, t.event.c.signature)
    .where(t.event.c.run == t.RUN_NUMBER)
    .order_by(t.event.c.number.desc())
    .limit(_ONE)
    .subquery("newest")
)
_signer: Final = sa.select(t.signer.c.id).where(t.signer.c.public == sa.bindparam("public")).scalar_subquery()
_mine = (
    sa.select(t.event.c.place, t.event.c.signature)
    .where(t.event.c.signer == _signer, t.event.c.place.is_not(None))
    .order_by(t.event.c.place.desc())
    .limit(_ONE)
    .subquery("mine")
)
PLACES: Final = (
    sa.select(
        t.about.c.ledger,
        t.run.c.number.label("run"),
        _newest.c.number,
        _newest.c.hash,
        _newest.c.signature.label("signed"),
        _signer.label("signer"),
        _mine.c.place,
        _mine.c.signature,
    )
    .select_from(t.run)
    .join(t.about, sa.true())
    .outerjoin(_newest, sa.true())
    .outerjoin(_mine, sa.true())
    .where(t.run.c.id == sa.bindparam("of_run", type_=sa.Text()))
)
"""A run's newest event, and the newest signature of a key."""
_ADD: Final = sa.insert(t.event)
_LAST: Final = (
    sa.select(t.event.c.number, t.event.c.hash)
    .where(t.event.c.run == t.number_of_run(sa.bindparam("of_run", type_=sa.Text())))
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_HAS: Final = sa.select(t.event.c.number).where(
    t.event.c.run == t.RUN_NUMBER, t.event.c.number == sa.bindparam("of_number"), t.event.c.hash == sa.bindparam("hash")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An event to be added.

    Attributes:
        event: What happened.
        at: When.
        request: Number of the request that it happened to; None for the run as a whole.
        attempt: Number of the attempt, if there is one.
        status: HTTP status, if an answer came.
        detail: Anything else worth keeping, without secrets; empty values are left out.
    """

    event: Event | str
    at: datetime
    request: int | None = None
    attempt: int | None = None
    status: int | None = None
    detail: Mapping[str, Any] | None = None


class Followed:
    """The requests of a run that may be claimed, by its events: this process has checked them, or added them since.

    Attributes:
        last: The newest of these events.
        free: The seals of the requests that may be claimed now, by their numbers.
    """

    def __init__(self, last: Head, free: Mapping[int, str], others: Mapping[int, str]) -> None:
        self.last = last
        self.free = dict(free)
        self._others = dict(others)

    def knows(self, head: Head) -> bool:
        """Whether a run's newest event is the last that this process knows."""
        return (self.last.number, self.last.hash) == (head.number, head.hash)

    def seal(self, request: int) -> str | None:
        """The seal of a request that is free, may have been sent, or was refused; None if that is not known."""
        return self.free.get(request) or self._others.get(request)

    def bear(self, parts: Mapping[int, str], *, free: bool) -> None:
        """Follow the parts of a request whose seal was known: their seals by their numbers."""
        (self.free if free else self._others).update(parts)

    def add(self, entries: Sequence[Entry], head: Head) -> None:
        """Follow events that this process adds, until the newest is `head`."""
        self.last = head
        for entry in entries:
            if entry.request is None or entry.event in _STILL_OPEN:
                continue
            seal = self.free.pop(entry.request, None) or self._others.pop(entry.request, None)
            if seal is None:
                continue
            if entry.event in _KEPT:
                self._others[entry.request] = seal
            elif entry.event in _FREED:
                self.free[entry.request] = seal


_STILL_OPEN: Final = (Event.UNDECIDED, Event.ABANDONED)
_KEPT: Final = (Event.CLAIMED, Event.REFUSED)
_FREED: Final = (Event.NOT_PROCESSED, Event.NOT_FOUND)


def append(connection: Connection, run_id: str, entries: Sequence[Entry], last: Any = None) -> Head:
    """Adds at least one event to a run, in the transaction that does what they report; returns the run's new head.

    This machine's key signs the head. `last` is the row of PLACES, if nothing was added since it was read.

    Raises:
        LedgerChangedError: Somebody has added events without a signature, or in the name of this machine: the new
            signature would cover them.
    """
    options = connection.get_execution_options()
    key: MachineKey = options[KEY]()
    last = last or connection.execute(PLACES, {"of_run": run_id, "public": key.public}).one()
    seen: dict[str, str] = options[SEEN]
    if last.number is not None and seen.get(run_id) != last.hash and entries[0].event != SEALED:
        if last.signed is None:
            raise changed(run_id, [UNSIGNED])
        own_part(connection, run_id)
    signer = last.signer
    if signer is None:
        new = {"public": key.public, "since": instant(entries[0].at)}
        signer = connection.execute(sa.insert(t.signer).returning(t.signer.c.id), new).scalar_one()
    known = Head(run=run_id, number=last.number or 0, hash=last.hash or "")
    rows, before = [], known.hash
    for position, entry in enumerate(entries, start=1):
        row = _row(last.run, known.number + position, entry)
        before = chained_hash(before, run_id, row)
        rows.append({**row, "hash": before, "signer": None, "place": None, "signature": None})
    head = Head(run=run_id, number=known.number + len(rows), hash=before)
    place = (last.place or 0) + 1
    signature = key.sign(signed_text(last.ledger, place, last.signature or "", head))
    rows[-1] |= {"signer": signer, "place": place, "signature": signature}
    write(connection, _ADD, rows)
    prove_by(connection, _HAS, {"of_run": run_id, "of_number": head.number, "hash": head.hash})
    following: dict[str, Followed] = options.get(FOLLOWED, {})
    if (followed := following.pop(run_id, None)) and followed.knows(known):
        followed.add(entries, head)
        following[run_id] = followed
    seen[run_id] = head.hash
    return head


def own_part(connection: Connection, run_id: str) -> int:
    """The number of the newest event of a run that this machine has signed; 0 if there is none.

    It covers all events before, since this machine signs nothing without having looked for this.

    Raises:
        LedgerChangedError: Its signature is wrong.
    """
    public: str = connection.get_execution_options()[KEY]().public
    row = connection.execute(_OWN, {"of_run": run_id, "of_public": public}).first()
    if row is None:
        return 0
    before = connection.execute(SIGNATURE, {"of_public": public, "of_place": (row.place or 0) - 1}).scalar() or ""
    text = signed_text(row.ledger, row.place or 0, before, Head(run=run_id, number=row.number, hash=row.hash))
    if not has_signed(public, text, row.signature):
        raise changed(run_id, [f"the signature of event {row.number} is wrong"])
    return int(row.number)


def is_own(connection: Connection, run_id: str, number: int) -> bool:
    """Whether this machine has signed the transaction that added an event of a run."""
    public: str = connection.get_execution_options()[KEY]().public
    row = connection.execute(_NEXT_SIGNED, {"of_run": run_id, "since": number}).first()
    if row is None or row.public != public:
        return False
    before = connection.execute(SIGNATURE, {"of_public": public, "of_place": (row.place or 0) - 1}).scalar() or ""
    head = Head(run=run_id, number=row.number, hash=row.hash)
    return has_signed(public, signed_text(row.ledger, row.place or 0, before, head), row.signature)


def changed(run_id: str, faults: Sequence[str], *, what: str = "Somebody has changed the ledger") -> LedgerChangedError:
    """The error that stops everything if somebody has changed a ledger: a run of it, or more than one."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return LedgerChangedError(
        f"{what}: {f'in run {run_id}, ' if run_id else ''}{faults[0]}{more}.",
        next_step="Nothing more was sent. `access-batch ledger verify` lists all differences. Put the newest sound "
        "backup in the ledger's place: requests sent since then are looked up at the tenant first.",
    )


_OWN: Final = (
    sa.select(t.about.c.ledger, t.event.c.number, t.event.c.hash, t.event.c.place, t.event.c.signature)
    .select_from(t.event)
    .join(t.about, sa.true())
    .join(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.event.c.run == t.RUN_NUMBER, t.signer.c.public == sa.bindparam("of_public"))
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_NEXT_SIGNED: Final = (
    sa.select(
        t.about.c.ledger, t.event.c.number, t.event.c.hash, t.event.c.place, t.event.c.signature, t.signer.c.public
    )
    .select_from(t.event)
    .join(t.about, sa.true())
    .outerjoin(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.event.c.run == t.RUN_NUMBER, t.event.c.number >= sa.bindparam("since"), t.event.c.signature.is_not(None))
    .order_by(t.event.c.number)
    .limit(1)
)
SIGNATURE: Final = (
    sa.select(t.event.c.signature)
    .join(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.signer.c.public == sa.bindparam("of_public"), t.event.c.place == sa.bindparam("of_place"))
)
"""The signature of a key at a place."""


def signed_text(ledger: str, place: int, before: str, head: Head) -> str:
    """What a signature covers.

    Args:
        ledger: The ledger's id.
        place: How many signatures the key has made in this ledger, with this one.
        before: The key's signature before; empty for its first.
        head: The run's newest event, which covers all events before.
    """
    return json.dumps(["access-batch ledger", ledger, place, before, head.run, head.number, head.hash])


def has(connection: Connection, head: Head) -> bool:
    """Whether the ledger has an event that was the newest of a run once."""
    return (
        connection.execute(_HAS, {"of_run": head.run, "of_number": head.number, "hash": head.hash}).first() is not None
    )


def newest(connection: Connection, run_id: str) -> Head:
    """The newest event of a run; number 0 if it has none."""
    row = connection.execute(_LAST, {"of_run": run_id}).first()
    return Head(run=run_id, number=row.number if row else 0, hash=row.hash if row else "")


def _row(run: int, number: int, entry: Entry) -> dict[str, Any]:
    return {
        "run": run,
        "number": number,
        "at": instant(entry.at),
        "request": entry.request,
        "event": str(entry.event),
        "attempt": entry.attempt,
        "status": entry.status,
        "detail": json.dumps({name: value for name, value in (entry.detail or {}).items() if value not in (None, "")}),
    }


def chained_hash(before: str, run_id: str, row: Mapping[str, Any]) -> str:
    """The hash of an event. It covers the hash of the event before, and the run's id in place of its number.

    Args:
        before: Hash of the event before; empty for a run's first.
        run_id: The run's id.
        row: The event's columns, without its own hash.
    """
    columns = {**row, "run": run_id}
    content = json.dumps([before, *(columns[name] for name in _HASHED)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
