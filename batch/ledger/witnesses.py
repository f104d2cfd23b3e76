"""Accepted requests that are witnesses of how far the tenant's list is, in the order of their claims.

The columns that count claims can be written by anybody who can write to the ledger. So the order comes from the signed
events of all runs, computed again: a control that was really sent before a doubt makes the doubt be sent twice.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.api.tenant_outcome import EXISTING, EXISTING_SAID, is_existing
from batch.errors import LedgerLostError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.bulk import greatest
from batch.ledger.chain import EVENTS, Chain
from batch.ledger.events import SERVER_TIME, UNSIGNED, changed, own_part
from batch.ledger.facts import about, findings_among
from batch.ledger.machine_key import KEY
from batch.ledger.rows import REQUEST, load_requests
from batch.ledger.seals import root, seal_of
from batch.states import Event, State
from batch.status.control import Witness
from batch.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from batch.model import Doubt, Request
    from batch.status.control import Place

_AFTER: Final = 3
"""The first accepted requests after each ripe doubt, one of which can be its control: some may be held access without
a row. The newest is read besides, so that no number of such requests leaves a doubt without a control."""

_BEFORE: Final = 6
"""Accepted requests before the control that must be listed completely: the newest, whose rows come last."""

_AT_ONCE: Final = 20
"""Requests asked for in one statement."""

HAS_ROWS: Final = t.request.c.recipient_count * t.request.c.item_count > (
    sa.select(sa.func.count())
    .select_from(t.track)
    .join(t.finding, t.finding.c.id == t.track.c.finding)
    .where(
        t.track.c.request == t.request.c.number,
        (t.finding.c.state == EXISTING) | t.finding.c.said.startswith(EXISTING_SAID, autoescape=True),
    )
    .scalar_subquery()
)
"""Whether the tenant created something for a request, as far as its answer tells."""

_LISTED: Final = REQUEST.where(t.request.c.number.in_(sa.bindparam("numbers", expanding=True)), HAS_ROWS)
_NEWER: Final = EVENTS.where(t.event.c.number > sa.bindparam("after"))
_RUNS: Final = sa.select(t.run.c.id, t.run.c.tenant).order_by(t.run.c.number)
_OLD: Final = sa.select(t.request.c.number, t.request.c.claimed).where(
    t.request.c.run == t.RUN_NUMBER, t.request.c.claimed.is_not(None)
)
_SEALS: Final = sa.select(t.request.c.number, t.request.c.seal).where(
    t.request.c.number.between(sa.bindparam("least"), sa.bindparam("last"))
)
_ACCEPTED_AT: Final = sa.select(t.event.c.request, t.event.c.detail).where(
    t.event.c.request.in_(sa.bindparam("numbers", expanding=True)), t.event.c.event == Event.ACCEPTED.value
)
_SENT: Final = sa.select(t.request.c.number, t.request.c.attempts, t.request.c.parent).where(
    t.request.c.number == sa.bindparam("of_request")
)
_HELD: Final = (
    sa.select(
        t.track.c.request,
        t.identity.c.external_id.label("identity"),
        t.item.c.external_id.label("item"),
        t.item.c.type,
        t.finding.c.state,
        t.finding.c.said,
    )
    .join(t.identity, t.identity.c.id == t.track.c.identity)
    .join(t.item, t.item.c.id == t.track.c.item)
    .join(t.finding, t.finding.c.id == t.track.c.finding)
    .where(t.track.c.request.in_(sa.bindparam("numbers", expanding=True)))
)


@dataclass(frozen=True, order=True, slots=True)
class Claim:
    """The claim of an accepted request.

    Attributes:
        place: Its place among all claims of the ledger.
        request: The request's number.
        proves: Whether this machine has signed that place: only then the request can be a control.
        run: Its run's id.
    """

    place: int
    request: int
    proves: bool
    run: str


class ClaimOrder:
    """The order of the claims of a ledger, by its events. They are read once, and then followed.

    So this process also notices if events that it has read are taken away for a while.
    """

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}
        self._seals: dict[int, str] = {}

    def greatest(self, connection: Connection) -> int:
        """How many claims there were so far; every claim has a smaller number or this one.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerLostError: The ledger has lost events.
        """
        counted: int = connection.execute(sa.select(t.about.c.claims)).scalar_one()
        return max(counted, *(chain.greatest_claim for chain in self._follow(connection).values()), 0)

    def accepted(self, connection: Connection, run_id: str) -> list[Claim]:
        """The claims of all accepted requests of the run's tenant, in order.

        Imported ones have none. Nor have those whose attempt the ledger has lost: it was made before it was written.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerLostError: The ledger has lost events.
        """
        public = connection.get_execution_options()[KEY]().public
        chains = self._follow(connection)
        tenants = dict(connection.execute(_RUNS).all())
        found = []
        for name, chain in chains.items():
            if tenants[name] != tenants[run_id]:
                continue
            accepted = [n for n, state in chain.states.items() if state is State.ACCEPTED and n not in chain.lost]
            unknown = {number for number in accepted if number not in chain.claims}
            # The events of older versions do not tell their claims. Those come before every doubt that is ripe.
            old = dict(connection.execute(_OLD, {"of_run": name}).all()) if unknown else {}
            for number in accepted:
                place = old.get(number) if number in unknown else chain.claims[number]
                if place is not None:
                    proves = number not in unknown and chain.attempted.get(number) == public
                    found.append(Claim(place, number, proves, name))
        return sorted(found)

    def require_sealed(self, connection: Connection, requests: Iterable[Request]) -> None:
        """Refuses requests whose content is not what the events say, which `accepted` has read.

        Raises:
            LedgerChangedError: Somebody has changed one of them.
        """
        for request in requests:
            if request.number not in self._seals:
                births = self._chains[request.run].births
                birth = next((birth for birth in births if request.number in birth.numbers), None)
                among = {"least": birth.numbers[0], "last": birth.numbers[-1]} if birth else {"least": 0, "last": 0}
                seals: dict[int, str] = dict(connection.execute(_SEALS, among).all())
                if birth is None or root(seals.get(number) for number in birth.numbers) != birth.root:
                    raise changed(request.run, [f"request {request.number} was changed"])
                self._seals[request.number] = seals[request.number]
            if self._seals[request.number] != seal_of(request):
                raise changed(request.run, [f"request {request.number} was changed"])

    def require_found(self, connection: Connection, claims: Sequence[Claim]) -> None:
        """Refuses requests on whose changes the tenant has reported something else than the ledger has.

        Raises:
            LedgerChangedError: Somebody has changed that.
        """
        found = findings_among(connection, pl.Series(sorted({claim.request for claim in claims}), dtype=pl.Int64))
        for claim in claims:
            said = self._chains[claim.run].findings.get(claim.request, "")
            if found.get(claim.request, "") != said:
                raise changed(claim.run, [f"the tenant's report on request {claim.request} was changed"])

    def _follow(self, connection: Connection) -> Mapping[str, Chain]:
        """The chains of all runs, up to their newest events."""
        runs = connection.execute(_RUNS).all()
        newest = greatest(connection, t.request.c.number)
        if not self._chains.keys() <= {run.id for run in runs}:
            raise _lost()
        for run in runs:
            # If it fails, it is read anew.
            chain = self._chains.pop(run.id, None) or Chain(run.id, newest=newest)
            if chain.last.number and not events.has(connection, chain.last):
                raise _lost()
            chain.newest = newest
            for row in connection.execute(_NEWER, {"of_run": run.id, "after": chain.last.number}).mappings():
                chain.read(dict(row))
            own_part(connection, run.id)
            faults = [*chain.faults, *([] if chain.is_signed or not chain.last.number else [UNSIGNED])]
            now = about(connection, run.id) if chain.about is not None else {}
            if any((chain.about or {}).get(name) != value for name, value in now.items()):
                faults.append("its input or tenant was changed")
            if faults:
                raise changed(run.id, faults)
            self._chains[run.id] = chain
        return self._chains


def _lost() -> LedgerLostError:
    return LedgerLostError(
        "The ledger has lost events that this process has read: it was put back, or is another copy.",
        next_step="Nothing more was settled. Run the same command again: it first compares the ledger with the tenant.",
    )


def witnesses_of(connection: Connection, order: ClaimOrder, doubts: Sequence[Doubt]) -> tuple[Witness, ...]:
    """See `DoubtStore.witnesses`."""
    claims = order.accepted(connection, doubts[0].request.run)
    mine = [claim for claim in claims if claim.proves]
    first = bisect_left(claims, min(doubt.claimed for doubt in doubts), key=_place)
    chosen: dict[Claim, Any] = {}

    def choose(some: Iterable[Claim], most: int) -> None:
        chosen.update(_rows_of(connection, order, some, most))

    for ripe in {doubt.ripe for doubt in doubts}:
        last = len(claims) if ripe is None else bisect_right(claims, ripe, key=_place)
        choose(claims[first:last][::-1], _BEFORE)
        if ripe is not None:
            choose(claims[last:], _AFTER)
            controls = mine[bisect_right(mine, ripe, key=_place) :]
            choose(controls, _AFTER)
            choose(controls[::-1], 1)
    if not chosen:
        choose(claims[::-1], _AFTER)
    return _load(connection, order, dict(sorted(chosen.items(), key=lambda one: one[0])))


def _place(claim: Claim) -> int:
    return claim.place


def _rows_of(connection: Connection, order: ClaimOrder, claims: Iterable[Claim], most: int) -> dict[Claim, Any]:
    """The rows of the first requests for which the tenant created something."""
    remaining, found = list(claims), {}
    for start in range(0, len(remaining), _AT_ONCE):
        some = remaining[start : start + _AT_ONCE]
        order.require_found(connection, some)
        rows = connection.execute(_LISTED, {"numbers": [claim.request for claim in some]}).all()
        by_number = {row.number: row for row in rows}
        for claim in some:
            if claim.request in by_number:
                found[claim] = by_number[claim.request]
                if len(found) == most:
                    return found
    return found


def _load(connection: Connection, order: ClaimOrder, rows: Mapping[Claim, Any]) -> tuple[Witness, ...]:
    numbers = [claim.request for claim in rows]
    answers = connection.execute(_ACCEPTED_AT, {"numbers": numbers}).all() if numbers else []
    accepted_at = {answer.request: moment(read_detail(answer.detail).get(SERVER_TIME)) for answer in answers}
    requests = load_requests(connection, [*rows.values()])
    order.require_sealed(connection, requests)
    held = _held(connection, requests)
    return tuple(
        Witness(
            request=request,
            sent=request.id if request.attempts else request_of(connection, sent_of(connection, request.number)).id,
            claimed=claim.place,
            accepted_at=accepted_at.get(request.number),
            held=frozenset(held[request.number]),
            proves=claim.proves,
        )
        for request, claim in zip(requests, rows, strict=True)
    )


def _held(connection: Connection, requests: Sequence[Request]) -> defaultdict[int, set[Place]]:
    """Changes of requests for which the tenant created nothing, as it said."""
    places = {
        (request.number, identity, item.type.value, item.id): (r, i)
        for request in requests
        for r, identity in enumerate(request.recipients)
        for i, item in enumerate(request.items)
    }
    found: defaultdict[int, set[Place]] = defaultdict(set)
    numbers = [request.number for request in requests]
    for row in connection.execute(_HELD, {"numbers": numbers}) if requests else ():
        place = places.get((row.request, row.identity, row.type, row.item))
        if place is not None and is_existing(row.state, row.said):
            found[row.request].add(place)
    return found


def sent_of(connection: Connection, number: int) -> int:
    """The number of the request whose id travelled with a request: its own, or one's that it is a part of."""
    row = connection.execute(_SENT, {"of_request": number}).one()
    # A part is newer than the whole; otherwise somebody has changed it.
    while not row.attempts and row.parent is not None and row.parent < row.number:
        row = connection.execute(_SENT, {"of_request": row.parent}).one()
    return int(row.number)


def request_of(connection: Connection, number: int) -> Request:
    """A request that must be there."""
    rows = connection.execute(REQUEST.where(t.request.c.number == number)).all()
    return load_requests(connection, rows)[0]


def read_detail(detail: str | None) -> Mapping[str, Any]:
    """The detail of an event; empty if it is no mapping."""
    read = json.loads(detail) if detail else {}
    return read if isinstance(read, dict) else {}
