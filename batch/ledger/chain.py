"""A run's chain of events, computed again: the states that it leads to, and the machines that vouch for them.

Anybody who can write to the ledger can also add events that are signed with a key of their own. So an event makes a
request free to be sent again only if it is signed by the machine that made the attempt, which has seen its answer, or
by this machine. If anybody else signed it, the request stays in doubt, and this machine asks the tenant itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import greatest
from batch.ledger.events import (
    ABOUT,
    ARRIVED,
    BORN,
    CLAIM,
    FINDINGS,
    IMPORTED,
    IN_DOUBT,
    LOST,
    NAMES,
    PARTLY,
    SEALED,
    SEALS,
    chained_hash,
)
from batch.ledger.machine_key import key_name
from batch.model import Head
from batch.states import FREE, TRANSITIONS, VOID, Event, State
from batch.states import IN_DOUBT as DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from sqlalchemy.engine import Connection

WAVES: Final = "waves"
"""The event, of a run as a whole, by which it is sent in waves, and in its detail how: see `facts.waves_of`."""

CLOCK: Final = "clock"
"""In its detail, and in that of an attempt in a wave: the boot and the seconds of the clock that nobody sets."""


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
        revived: Requests that were doubted again after others could have taken their changes over.
        mistrusted: Of requests that were freed by a key that is not trusted and did not make the attempt, that key.
        parts: Of requests that were divided, their parts, of every time.
        attempts: How often requests were sent; imported ones count once.
        claims: The `claimed` of each request, as far as events tell; None for those that have none.
        lost: Requests whose latest attempt, or that of the request that they are a part of, the ledger has lost: nobody
            knows when it was made.
        attempted: The keys that have signed the latest attempts of requests.
        about: What the run is and whose, see `facts.about`; None before there were such links.
        findings: By request, the hash of the tenant's reports on its changes; see `facts.findings_of`.
        waves: How it is sent in waves; empty if it is not.
        tracked_by: The keys that have signed them; another machine's until this one has reported on every change.

    Args:
        run_id: The run's id.
        trusted: The public keys whose word counts.
        newest: The greatest number that a request of the ledger has: an event can name any.
    """

    def __init__(self, run_id: str, trusted: Container[str] = frozenset(), *, newest: int) -> None:
        self.faults: list[str] = []
        self.states: dict[int, State | None] = {}
        self.births: list[Birth] = []
        self.signed: list[tuple[Head, str, int, str]] = []
        self.names: str | None = None
        self.last = Head(run=run_id, number=0, hash="")
        self.freed: dict[int, int] = {}
        self.revived: set[int] = set()
        self.mistrusted: dict[int, str] = {}
        self.parts: dict[int, tuple[int, ...]] = {}
        self.attempts: dict[int, int] = {}
        self.claims: dict[int, int | None] = {}
        self.attempted: dict[int, str] = {}
        self.about: Mapping[str, Any] | None = None
        self.findings: dict[int, str] = {}
        self.tracked_by: dict[int, str] = {}
        self.waves: Mapping[str, Any] = {}
        self._newest_parts: dict[int, tuple[int, ...]] = {}
        self._own_about: Mapping[str, Any] | None = None
        self._reported: dict[int, bool] = {}
        self._trusted = trusted
        self.newest = newest
        self._unsigned: list[Birth] = []
        self._planned_by: dict[int, str] = {}
        self._unsealed: list[int] = []
        self._moved: list[tuple[int, State, State]] = []
        self.lost: set[int] = set()

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
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            self.faults.append(f"event {number} can't be read")
        if row["signature"] is not None:
            # Whoever changed the ledger may have taken the key or the place away.
            public = row["public"] or ""
            self.signed.append((self.last, public, row["place"] or 0, row["signature"]))
            self.births += [replace(birth, signer=public) for birth in self._unsigned]
            self._planned_by |= {number: public for birth in self._unsigned for number in birth.numbers}
            self._unsigned.clear()
            for moved in self._moved:
                self._attribute(*moved, public)
            self._moved.clear()
            for reported, partly in self._reported.items():
                # Whoever reports on some of a request's changes signs the rest as somebody else has left it.
                if not (partly and public in self._trusted and reported in self.tracked_by):
                    self.tracked_by[reported] = public
            self._reported.clear()
            self._keep_about(public)

    @property
    def is_signed(self) -> bool:
        """Whether its newest event is signed."""
        return bool(self.signed) and self.signed[-1][0] == self.last

    @property
    def greatest_claim(self) -> int:
        """The greatest number of a claim that is known from events; 0 if there is none."""
        return max((claim for claim in self.claims.values() if claim), default=0)

    def parent_faults(self, parents: Mapping[int, int]) -> Iterator[str]:
        """Differences between the requests that were divided, and those that parts name, by the parts' numbers."""
        divided = {part: number for number, parts in self.parts.items() for part in parts}
        for number in sorted(parents.keys() | divided.keys()):
            if parents.get(number) != divided.get(number):
                yield f"the request that request {number} is a part of was changed"

    def _keep_about(self, public: str) -> None:
        """Only a trusted key may say that a run is another tenant's. Any key may say that the tenant has more names."""
        own, now = self._own_about, self.about
        if public in self._trusted:
            self._own_about = now
        elif own is not None and now is not None and not _is_same(own, now):
            self.faults.append(f"only another machine, with the key {key_name(public)}, says whose it is")

    def _move(self, event: int, request: int, name: str) -> None:
        # A part whose state is not known can't have been accepted: nothing happens to it afterwards.
        state = self.states.get(request, State.DISCARDED) or State.PLANNED
        try:
            after = self.states[request] = TRANSITIONS[state, Event(name)]
        except (KeyError, ValueError):
            self.faults.append(f"event {event} ({name}) can't happen to request {request}")
            return
        if state is State.SENDING and request in self.lost and after is not State.UNCONFIRMED:
            self.faults.append(f"event {event} ({name}) answers an attempt that the ledger has lost")
        if name == Event.MISTRUSTED and state in VOID:
            self.revived.add(request)
        if name == Event.MISTRUSTED and not self.may_be_doubted_again(request):
            self.faults.append(f"event {event} doubts request {request} again without a reason")
        self._moved.append((request, state, after))
        if after is State.SENDING:
            self.attempts[request] = self.attempts.get(request, 0) + 1

    def may_be_doubted_again(self, request: int) -> bool:
        """Whether a request was in doubt and settled as not arrived, and no part of it has arrived since."""
        parts = [*self.parts.get(request, ())]
        for part in parts:
            parts += self.parts.get(part, ())
        return request in self.freed and all(self.states.get(part) is not State.ACCEPTED for part in parts)

    def _attribute(self, request: int, before: State, after: State, public: str) -> None:
        """Find out which machine vouches for the state of a request."""
        if after is State.SENDING:
            self.attempted[request] = public
            self._refuse_foreign(request, public)
        elif before in DOUBTFUL and after in FREE:
            self.freed[request] = self.last.number
            if public in self._trusted:
                # Settling asks the tenant about every attempt.
                self.mistrusted.pop(request, None)
            elif public != self.attempted.get(request):
                self.mistrusted[request] = public
        elif after is State.ACCEPTED:
            self.freed.pop(request, None)
        for part in self._newest_parts.get(request, ()) if after is State.SPLIT else ():
            for keys in (self.attempted, self.mistrusted):
                if request in keys:
                    keys[part] = keys[request]
            if request in self.freed:
                self.freed[part] = self.freed[request]

    def _refuse_foreign(self, request: int, public: str) -> None:
        # Whoever doubts a request says only that somebody may have sent it.
        if request not in self.lost and self._planned_by.get(request, public) != public:
            self.faults.append(f"request {request} was sent under a key that has not planned it")

    def _add(self, event: int, name: str, request: int | None, detail: Mapping[str, Any]) -> None:
        self.about = detail.get(ABOUT, self.about)
        self.waves = detail.get(WAVES, self.waves)
        found = {int(number): str(digest) for number, digest in detail.get(FINDINGS, {}).items()}
        self.findings |= found
        partly = detail.get(PARTLY, ())
        for reported in found:
            self._reported[reported] = reported in partly and self._reported.get(reported, True)
        if request is not None:
            self._count_claims(name, request, detail)
        if name == Event.TAKEN_OVER:
            numbers = sorted(int(number) for number in detail.get("by", ()))
            self._refuse_known(event, numbers)
            if request is not None:
                self._newest_parts[request] = tuple(numbers)
                self.parts[request] = (*self.parts.get(request, ()), *numbers)
            known = dict.fromkeys(detail.get(ARRIVED, ()), State.ACCEPTED)
            known |= dict.fromkeys(detail.get(IN_DOUBT, ()), State.UNCONFIRMED)
            other = State.PLANNED if SEALS in detail else None
            self.states |= {number: known.get(number, other) for number in numbers}
        elif name in BORN:
            first, count = int(detail["first"]), int(detail["requests"])
            if not 0 <= count <= self.newest:
                raise ValueError(count)
            numbers = list(range(first, first + count))
            self._refuse_known(event, numbers)
            self.states |= dict.fromkeys(numbers, State.ACCEPTED if name == IMPORTED else State.PLANNED)
            self.attempts |= dict.fromkeys(numbers if name == IMPORTED else (), 1)
            self.claims |= dict.fromkeys(numbers)
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

    def _count_claims(self, name: str, request: int, detail: Mapping[str, Any]) -> None:
        if name == Event.CLAIMED:
            (self.lost.add if detail.get(LOST) else self.lost.discard)(request)
            self.claims.pop(request, None)
            if CLAIM in detail:
                self.claims[request] = int(detail[CLAIM])
        elif name == Event.TAKEN_OVER and request in self.claims:
            # What is to be sent again has no claim, nor has what arrived by a claim that the ledger has lost.
            sent = {*detail.get(IN_DOUBT, ()), *(() if detail.get(LOST) else detail.get(ARRIVED, ()))}
            claim = self.claims[request]
            self.claims |= {int(number): claim if number in sent else None for number in detail.get("by", ())}
            if request in self.lost:
                self.lost.update(map(int, sent))

    def _refuse_known(self, event: int, numbers: Iterable[int]) -> None:
        if not self.states.keys().isdisjoint(numbers):
            self.faults.append(f"event {event} adds requests that an earlier event has added")


def _is_same(own: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a run is still the same input of the same tenant, by whichever more names; two tenants may be joined."""
    return (
        set(own["urls"]) <= set(now["urls"])
        and own["token"] in {None, now["token"]}
        and own["run"] == now["run"]
        and f"{now['input']} ".startswith(f"{own['input']} ")
    )


def read_chain(connection: Connection, run_id: str, trusted: Container[str] = frozenset()) -> Chain:
    """A run's events, computed again from the ledger."""
    chain = Chain(run_id, trusted, newest=greatest(connection, t.request.c.number))
    for row in connection.execute(EVENTS, {"of_run": run_id}).mappings():
        chain.read(dict(row))
    return chain


EVENTS: Final = (
    sa.select(t.event, t.signer.c.public)
    .join(t.run, t.run.c.number == t.event.c.run)
    .outerjoin(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.run.c.id == sa.bindparam("of_run"))
    .order_by(t.event.c.number)
)
