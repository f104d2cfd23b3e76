"""Seals: the hash of each request's content, which the event that added the request covers.

Before a run's requests are sent, its chain of events is computed again from the ledger: the events, their last
signature, the states that they lead to, and which machine planned which content. Each claim then compares the content
of what it sends.

Anybody who can write to the ledger can also add events that are signed with a key of their own. So an event makes a
request free to be sent again only if it is signed by the machine that made the attempt, which has seen its answer, or
by this machine. On any other word the request stays in doubt: this machine asks the tenant by itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import LedgerChangedError
from batch.ledger import tables as t
from batch.ledger.contents import content_hash, contents
from batch.ledger.engine import KEY
from batch.ledger.events import (
    ARRIVED,
    BORN,
    IMPORTED,
    IN_DOUBT,
    NAMES,
    PLANNED,
    SEALED,
    SEALS,
    Entry,
    append,
    chained_hash,
    signed_text,
)
from batch.ledger.machine_key import has_signed, key_name
from batch.model import Head
from batch.states import FREE, TRANSITIONS, Event, State
from batch.states import IN_DOUBT as DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.model import Request


MOST_REQUESTS: Final = 10_000_000
"""Requests that one event may add: somebody may have written a number that would fill the memory."""


def seal_of(request: Request) -> str:
    """The hash of a request's content: everything that a body says of it, in any order of recipients and items."""
    items = [
        [one.type.value, one.id, one.comment, one.start_date, one.remove_date, sorted(one.metadata.items())]
        for one in request.items
    ]
    operation = request.operation.value
    return content_hash(request.run, request.number, request.tag, operation, request.recipients, items)


def root(seals: Iterable[str | None]) -> str:
    """The hash of the seals of requests, in the order of their numbers."""
    return hashlib.sha256("\n".join(seal or "" for seal in seals).encode()).hexdigest()


def write_seals(connection: Connection, numbers: Sequence[int]) -> tuple[str, ...]:
    """Computes and keeps the seals of new requests; returns them in the order of the numbers, which is ascending."""
    new = [(number, seal) for number, _, seal in contents(connection, numbers)]
    if new:
        connection.execute(_KEEP, [{"of_number": number, "seal_now": seal} for number, seal in new])
    return tuple(seal for _, seal in new)


def seals_and_contents(connection: Connection, run_id: str) -> Iterator[tuple[int, tuple[str | None, str]]]:
    """Of each request of a run its number, its kept seal, and the seal that its content should have."""
    numbers = [row.number for row in connection.execute(_REQUESTS, {"of_run": run_id})]
    for number, kept, seal in contents(connection, numbers):
        yield number, (kept, seal)


_KEEP: Final = (
    sa.update(t.request).where(t.request.c.number == sa.bindparam("of_number")).values(seal=sa.bindparam("seal_now"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Birth:
    """Requests that an event added.

    Attributes:
        numbers: Their numbers, ascending.
        root: The hash of their seals.
        event: The event's number.
        signer: The public key that signed the event; empty if nobody did.
    """

    numbers: tuple[int, ...]
    root: str
    event: int
    signer: str = ""


class Chain:
    """A run's events, computed again.

    Attributes:
        faults: What is wrong with them, as sentences.
        states: The states that they lead to, by numbers of requests; None for a part of a request that was divided
            before there were seals, and may have been accepted with it.
        births: The requests that they added under a seal.
        signed: Of each signed event its head, public key, place and signature.
        names: The hash of what the input's names mean, in the newest plan; None before there were seals.
        last: The newest event.
        freed: Of requests that may be sent again after an attempt, the signed event that says so, by its number.
        mistrusted: Of requests of which only a key says so that has neither made the attempt nor is trusted, that key.
        parts: Of requests that were divided, their parts.
    """

    def __init__(self, run_id: str, trusted: Container[str] = frozenset()) -> None:
        self.faults: list[str] = []
        self.states: dict[int, State | None] = {}
        self.births: list[Birth] = []
        self.signed: list[tuple[Head, str, int, str]] = []
        self.names: str | None = None
        self.last = Head(run=run_id, number=0, hash="")
        self.freed: dict[int, int] = {}
        self.mistrusted: dict[int, str] = {}
        self.parts: dict[int, tuple[int, ...]] = {}
        self._trusted = trusted
        self._unsigned: list[Birth] = []
        self._unsealed: list[int] = []
        self._moved: list[tuple[int, State, State]] = []
        self._attempted: dict[int, str] = {}

    def read(self, row: Mapping[str, Any]) -> None:
        """Read the next event: its columns, and the `public` key that signed it."""
        number, run_id = row["number"], self.last.run
        if number != self.last.number + 1:
            self.faults.append(f"events {self.last.number + 1} to {number - 1} are missing")
        elif row["hash"] != chained_hash(self.last.hash, run_id, row):
            self.faults.append(f"event {number} was changed")
        self.last = Head(run=run_id, number=number, hash=row["hash"])
        if row["request"] is not None:
            self._move(number, row["request"], row["event"])
        try:
            self._add(number, row["event"], row["request"], json.loads(row["detail"]))
        except (ValueError, TypeError, AttributeError, KeyError):
            self.faults.append(f"event {number} can't be read")
        if row["signature"] is not None:
            # Whoever changed the ledger may have taken the key or the place away.
            public = row["public"] or ""
            self.signed.append((self.last, public, row["place"] or 0, row["signature"]))
            self.births += [replace(birth, signer=public) for birth in self._unsigned]
            self._unsigned.clear()
            for moved in self._moved:
                self._attribute(*moved, public)
            self._moved.clear()

    @property
    def is_signed(self) -> bool:
        """Whether its newest event is signed."""
        return bool(self.signed) and self.signed[-1][0] == self.last

    def _move(self, event: int, request: int, name: str) -> None:
        # A part whose state is not known can't have been accepted: nothing happens to it afterwards.
        state = self.states.get(request, State.DISCARDED) or State.PLANNED
        try:
            after = self.states[request] = TRANSITIONS[state, Event(name)]
        except (KeyError, ValueError):
            self.faults.append(f"event {event} ({name}) can't happen to request {request}")
            return
        self._moved.append((request, state, after))

    def _attribute(self, request: int, before: State, after: State, public: str) -> None:
        """Find out on whose word a request is what it is now."""
        if after is State.SENDING:
            self._attempted[request] = public
        elif before in DOUBTFUL and after in FREE:
            self.freed[request] = self.last.number
            if public in self._trusted:
                # Settling asks the tenant about every attempt.
                self.mistrusted.pop(request, None)
            elif public != self._attempted.get(request):
                self.mistrusted[request] = public
        elif after is State.ACCEPTED:
            self.freed.pop(request, None)
        for part in self.parts.get(request, ()) if after is State.SPLIT else ():
            for keys in (self._attempted, self.mistrusted):
                if request in keys:
                    keys[part] = keys[request]
            if request in self.freed:
                self.freed[part] = self.freed[request]

    def _add(self, event: int, name: str, request: int | None, detail: Mapping[str, Any]) -> None:
        if name == Event.TAKEN_OVER:
            numbers = sorted(int(number) for number in detail.get("by", ()))
            self._refuse_known(event, numbers)
            if request is not None:
                self.parts[request] = tuple(numbers)
            known = dict.fromkeys(detail.get(ARRIVED, ()), State.ACCEPTED)
            known |= dict.fromkeys(detail.get(IN_DOUBT, ()), State.UNCONFIRMED)
            other = State.PLANNED if SEALS in detail else None
            self.states |= {number: known.get(number, other) for number in numbers}
        elif name in BORN:
            first, count = int(detail["first"]), int(detail["requests"])
            if not 0 <= count <= MOST_REQUESTS:
                raise ValueError(count)
            numbers = list(range(first, first + count))
            self._refuse_known(event, numbers)
            self.states |= dict.fromkeys(numbers, State.ACCEPTED if name == IMPORTED else State.PLANNED)
            self.names = detail.get(NAMES, self.names)
        elif name == SEALED:
            arrived = set(detail.get(ARRIVED, ()))
            for number in [number for number, state in self.states.items() if state is None]:
                self.states[number] = State.ACCEPTED if number in arrived else State.PLANNED
            numbers, self._unsealed = sorted(self._unsealed), []
            self.names = detail.get(NAMES, self.names)
        else:
            return
        if seals := str(detail.get(SEALS, "")):
            self._unsigned.append(Birth(numbers=tuple(numbers), root=seals, event=event))
        else:
            self._unsealed += numbers

    def _refuse_known(self, event: int, numbers: Iterable[int]) -> None:
        if not self.states.keys().isdisjoint(numbers):
            self.faults.append(f"event {event} adds requests that an earlier event has added")


def read_chain(connection: Connection, run_id: str, trusted: Container[str] = frozenset()) -> Chain:
    """A run's events, computed again from the ledger."""
    chain = Chain(run_id, trusted)
    for row in connection.execute(_EVENTS, {"of_run": run_id}).mappings():
        chain.read(dict(row))
    return chain


_EVENTS: Final = (
    sa.select(t.event, t.signer.c.public)
    .join(t.run, t.run.c.number == t.event.c.run)
    .outerjoin(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.run.c.id == sa.bindparam("of_run"))
    .order_by(t.event.c.number)
)
_NAMED: Final = (
    _EVENTS.where(t.event.c.event.in_([PLANNED, SEALED])).order_by(None).order_by(t.event.c.number.desc()).limit(1)
)
_HASH: Final = sa.select(t.event.c.hash).where(
    t.event.c.run == sa.bindparam("of_run"), t.event.c.number == sa.bindparam("of_number")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """The planned requests of a run, by who has planned them.

    Attributes:
        ours: The seals of those that this machine has planned, by their numbers.
        others: The names of the keys under which the others were planned, by their numbers.
        mistrusted: By the numbers of requests in any state of FREE that may have arrived: the name of the key on whose
            word alone they have not.
        parts: Of requests that were divided, their parts.
        last: The run's newest event.
    """

    ours: Mapping[int, str]
    others: Mapping[int, str]
    mistrusted: Mapping[int, str]
    parts: Mapping[int, Sequence[int]]
    last: Head


def check_run(connection: Connection, run_id: str) -> Sealed:
    """Compute a run's chain again, and compare the ledger with it.

    Raises:
        LedgerChangedError: They differ: somebody has changed the ledger.
    """
    public = connection.get_execution_options()[KEY]().public
    chain = read_chain(connection, run_id, {public})
    kept = {row.number: row for row in connection.execute(_REQUESTS, {"of_run": run_id})}
    planned = {number for number, row in kept.items() if row.state == State.PLANNED}
    births = [birth for birth in chain.births if not planned.isdisjoint(birth.numbers)]
    needed = {next(head.number for head, *_ in chain.signed if head.number >= birth.event) for birth in births}
    needed |= set(chain.freed.values())
    faults = [
        *chain.faults,
        *state_faults(chain, {number: State(row.state) for number, row in kept.items()}),
        *([] if chain.is_signed else ["its newest events are not signed"]),
        *signature_faults(connection, chain, {*needed, chain.last.number}),
    ]
    ours: dict[int, str] = {}
    others = dict.fromkeys(planned, "nobody")
    for birth in births:
        seals = {number: kept[number].seal for number in birth.numbers if number in kept}
        if root(seals.values()) != birth.root:
            faults.append(f"requests that event {birth.event} added were changed")
        for number in planned & seals.keys():
            others[number] = key_name(birth.signer)
            if birth.signer == public:
                ours[number] = others.pop(number) and seals[number]
    if chain.names is not None and chain.names != names_digest(connection, run_id):
        faults.append("the meanings of its names were changed")
    if faults:
        raise changed(run_id, faults)
    free = {number for number, row in kept.items() if row.state in FREE}
    mistrusted = {number: key_name(key) for number, key in chain.mistrusted.items() if number in free}
    return Sealed(ours=ours, others=others, mistrusted=mistrusted, parts=chain.parts, last=chain.last)


def changed(run_id: str, faults: Sequence[str]) -> LedgerChangedError:
    """The error that stops everything if somebody has changed a ledger."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return LedgerChangedError(
        f"Somebody has changed the ledger: in run {run_id}, {faults[0]}{more}.",
        next_step="Nothing more was sent. `access-batch ledger verify` lists all differences. Put the newest sound "
        "backup in the ledger's place: requests sent since then are looked up at the tenant first.",
    )


def state_faults(chain: Chain, kept: Mapping[int, State]) -> Iterator[str]:
    """Differences between the states that a run's events lead to and those of its requests."""
    for number in sorted(chain.states.keys() | kept.keys()):
        state = kept.get(number)
        if state is None:
            yield f"request {number} is gone"
        elif number not in chain.states:
            yield f"no event added request {number}"
        else:
            expected = chain.states[number]
            possible = {State.PLANNED, State.ACCEPTED} if expected is None else {expected}
            if state not in possible:
                yield f"request {number} is {state}, but its events lead to {expected or State.PLANNED}"


def signature_faults(connection: Connection, chain: Chain, numbers: Container[int]) -> Iterator[str]:
    """Signatures of events with these numbers that were not made with the key that they name."""
    ledger: str = connection.execute(sa.select(t.about.c.ledger)).scalar_one()
    for head, public, place, signature in chain.signed:
        if head.number in numbers:
            before = connection.execute(_SIGNATURE, {"of_public": public, "of_place": place - 1}).scalar()
            if not has_signed(public, signed_text(ledger, place, before or "", head), signature):
                yield f"the signature of event {head.number} is wrong"


_REQUESTS: Final = (
    sa.select(t.request.c.number, t.request.c.state, t.request.c.seal)
    .join(t.run, t.run.c.number == t.request.c.run)
    .where(t.run.c.id == sa.bindparam("of_run"))
    .order_by(t.request.c.number)
)
_SIGNATURE: Final = (
    sa.select(t.event.c.signature)
    .join(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.signer.c.public == sa.bindparam("of_public"), t.event.c.place == sa.bindparam("of_place"))
)


def seal_old_runs(connection: Connection, now: datetime) -> None:
    """Seal what a ledger of a version without seals has, as it is."""
    for run_id in connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all():
        requests = connection.execute(_REQUESTS, {"of_run": run_id}).all()
        seals = write_seals(connection, [row.number for row in requests])
        parts = [number for number, state in read_chain(connection, run_id).states.items() if state is None]
        accepted = {row.number for row in requests if row.state == State.ACCEPTED}
        detail = {SEALS: root(seals), ARRIVED: sorted(accepted.intersection(parts))}
        detail |= {NAMES: names_digest(connection, run_id)}
        append(connection, run_id, [Entry(event=SEALED, at=now, detail=detail)])


def has_planned_names(connection: Connection, run_id: str) -> bool:
    """Whether this machine has signed what the names in a run's input mean: any other key may be anybody's."""
    key = connection.get_execution_options()[KEY]().public
    newest = connection.execute(_NAMED, {"of_run": run_id}).mappings().first()
    if newest is None or newest["public"] != key:
        return False
    before = connection.execute(_HASH, {"of_run": newest["run"], "of_number": newest["number"] - 1}).scalar() or ""
    head = Head(run=run_id, number=newest["number"], hash=newest["hash"])
    chain = Chain(run_id)
    chain.signed.append((head, key, newest["place"] or 0, newest["signature"]))
    return (
        newest["hash"] == chained_hash(before, run_id, dict(newest))
        and not [*signature_faults(connection, chain, {head.number})]
        and json.loads(newest["detail"]).get(NAMES) == names_digest(connection, run_id)
    )


def names_digest(connection: Connection, run_id: str) -> str:
    """The hash of what the names in a run's input mean."""
    columns = [t.name_meaning.c[name] for name in ("kind", "name", "outcome", "id", "problem")]
    query = sa.select(*columns).where(t.name_meaning.c.run == t.number_of_run(run_id))
    digest = hashlib.sha256()
    for row in connection.execute(query.order_by(t.name_meaning.c.kind, t.name_meaning.c.name)):
        digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
