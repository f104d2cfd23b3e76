"""Proves a ledger sound, or lists what is wrong with it. Reads only."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa

from batch.api.dialects import Operation
from batch.errors import BrokenPromiseError
from batch.ledger import tables as t
from batch.ledger.bulk import greatest
from batch.ledger.engine import reading
from batch.ledger.events import (
    ATTEMPT,
    BORN,
    FINGERPRINT,
    IMPORTED,
    IN_DOUBT,
    JOINED,
    WITHIN,
)
from batch.ledger.rows import requests_of
from batch.ledger.unreadable import unreadable
from batch.ledger.verify_repeats import repeats
from batch.ledger.verify_seals import contents, signatures
from batch.model import IMPORT
from batch.plan.body import body_of, encode, fingerprint
from batch.states import Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.model import Request

MOST_FINDINGS: Final = 100
"""Findings of one kind that are listed. With so many, do not trust anything in the ledger."""

_IS_IMPORT: Final = t.run.c.input_digest.startswith(IMPORT)


def verify(engine: Engine) -> tuple[str, ...]:
    """Everything that is wrong with a ledger, as sentences; none if it is sound.

    It checks that

    - every row can be read: if not, nothing else is checked;
    - the database's own integrity and references hold;
    - every request is the full product of its recipients and items;
    - requests that share a body may do so;
    - every run's events are an unbroken chain and lead to the states of its requests;
    - every transaction was signed, and no signature is missing;
    - every request holds what the event that added it has sealed;
    - runs, their tenants, the meanings of names and the tenants' reports are as the newest events say;
    - each attempt sent what its requests hold, under an id of its own;
    - nothing was submitted twice for one intention.
    """
    with reading(engine) as connection:
        if odd := tuple(_bounded(unreadable, connection)):
            return (*odd, "nothing else was checked, since rows can't be read")
        found = [
            finding
            for check in (
                _database,
                _products,
                _envelopes,
                contents,
                _origins,
                _states,
                signatures,
                _doubts,
                _bodies,
                repeats,
            )
            for finding in _bounded(check, connection)
        ]
        return tuple(dict.fromkeys(found))


def _bounded(check: Callable[[Connection], Iterator[str]], connection: Connection) -> Iterator[str]:
    try:
        for number, finding in enumerate(check(connection)):
            if number == MOST_FINDINGS:
                yield "… and more of this kind"
                return
            yield finding
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        # Somebody has written what this program never writes.
        yield f"something in the ledger can't be read, and not everything was checked: {type(error).__name__}: {error}"


def _database(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    for row in connection.exec_driver_sql("PRAGMA integrity_check"):
        if row[0] != "ok":
            yield f"integrity: {row[0]}"
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"references: a row of {row[0]} points at nothing in {row[2]}"


def _products(connection: Connection) -> Iterator[str]:
    """Requests whose numbers of recipients or items are wrong, or whose recipients differ from their list."""
    people = _count_of(t.recipient)
    items = _count_of(t.request_item)
    wrong = (
        sa.select(t.request.c.number)
        .outerjoin(people, people.c.request == t.request.c.number)
        .outerjoin(items, items.c.request == t.request.c.number)
        .where(
            (sa.func.coalesce(people.c.n, 0) != t.request.c.recipient_count)
            | (sa.func.coalesce(items.c.n, 0) != t.request.c.item_count)
        )
    )
    for row in connection.execute(wrong):
        yield f"request {row.number}: its changes are not the product of its recipients and items"
    recipients = connection.execute(
        sa.select(t.recipient.c.request, t.recipient.c.identity).order_by(t.recipient.c.request, t.recipient.c.identity)
    )
    listed = dict(connection.execute(sa.select(t.request.c.number, t.request.c.recipients)).all())
    for number, group in itertools.groupby(recipients, key=lambda row: row.request):
        if listed.get(number) != " ".join(str(row.identity) for row in group):
            yield f"request {number}: its list of recipients differs from its recipients"


def _count_of(part: sa.Table) -> sa.Subquery:
    """How many rows of a part each request has."""
    return sa.select(part.c.request, sa.func.count().label("n")).group_by(part.c.request).subquery()


def _origins(connection: Connection) -> Iterator[str]:
    """Requests that no event added: neither a plan or import, nor the split of another request."""
    born: dict[int, int] = {}
    adding = sa.select(t.event.c.run, t.event.c.event, t.event.c.detail).where(
        t.event.c.event.in_([*BORN, Event.TAKEN_OVER.value])
    )
    newest = greatest(connection, t.request.c.number)
    for event in connection.execute(adding):
        detail = _detail(event)
        born.update(dict.fromkeys(_numbers(detail, newest) if event.event in BORN else detail.get("by", ()), event.run))
    requests = sa.select(t.request.c.number, t.request.c.run, t.run.c.id).join(t.run, t.run.c.number == t.request.c.run)
    ids = dict(connection.execute(sa.select(t.run.c.number, t.run.c.id)).all())
    for row in connection.execute(requests.order_by(t.request.c.number)):
        if born.pop(row.number, None) != row.run:
            yield f"request {row.number}: no event of run {row.id} added it"
    for number, run in born.items():
        yield f"request {number}: an event of run {ids.get(run, run)} added it, and it is gone"


def _detail(event: Any) -> Mapping[str, Any]:
    """The detail of an event; empty if somebody changed it into something else, which `_chains` reports."""
    try:
        detail = json.loads(event.detail)
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def _numbers(detail: Mapping[str, int], newest: int) -> range:
    """The numbers of the requests that an event of BORN added, up to the greatest that there is."""
    first, count = detail.get("first", 0), detail.get("requests", 0)
    # Somebody may have written any number.
    return range(first, first + count) if 0 <= count <= newest else range(0)


def _imported(connection: Connection) -> frozenset[int]:
    """Numbers of the requests that were imported, which this ledger never sent."""
    imports = connection.execute(
        sa.select(t.event.c.detail)
        .join(t.run, t.run.c.number == t.event.c.run)
        .where(t.event.c.event == IMPORTED, _IS_IMPORT)
    )
    newest = greatest(connection, t.request.c.number)
    return frozenset(number for event in imports for number in _numbers(_detail(event), newest))


def _born_in_doubt(connection: Connection) -> frozenset[int]:
    """Numbers of the requests that take over a part of a request in doubt and are in doubt themselves."""
    divided = sa.select(t.event.c.detail).where(t.event.c.event == Event.TAKEN_OVER.value)
    return frozenset(number for event in connection.execute(divided) for number in _detail(event).get(IN_DOUBT, ()))


def _doubts(connection: Connection) -> Iterator[str]:
    """UNCONFIRMED requests without a doubt, and doubts about others."""
    numbers = sa.select(t.request.c.number, t.doubt.c.request.label("doubt"))
    joined = numbers.outerjoin(t.doubt, t.doubt.c.request == t.request.c.number)
    unconfirmed = t.request.c.state == State.UNCONFIRMED.value
    for row in connection.execute(joined.where(unconfirmed != t.doubt.c.request.is_not(None))):
        yield f"request {row.number}: it is {'not ' if row.doubt else ''}in doubt, but a doubt says otherwise"


def _states(connection: Connection) -> Iterator[str]:
    """Requests that are in another state than their events lead to."""
    states: dict[int, State] = {}
    attempts: dict[int, int] = {}
    imported, in_doubt = _imported(connection), _born_in_doubt(connection)
    requests = connection.execute(sa.select(t.request)).all()
    for row in requests:
        settled_by_parent = row.parent is not None and not row.attempts and row.state == State.ACCEPTED
        states[row.number] = State.ACCEPTED if settled_by_parent or row.number in imported else State.PLANNED
        if row.number in in_doubt:
            states[row.number] = State.UNCONFIRMED
        attempts[row.number] = int(row.number in imported)
    events = (
        sa.select(t.event.c.request, t.event.c.event, t.event.c.number, t.run.c.id)
        .join(t.run, t.run.c.number == t.event.c.run)
        .where(t.event.c.request.is_not(None))
        .order_by(t.event.c.run, t.event.c.number)
    )
    for event in connection.execute(events):
        try:
            states[event.request] = advance(states[event.request], Event(event.event))
        except (BrokenPromiseError, ValueError, KeyError):
            yield f"run {event.id}: event {event.number} ({event.event}) can't happen to request {event.request}"
            continue
        attempts[event.request] += event.event == Event.CLAIMED
    for row in requests:
        if row.state != states[row.number]:
            yield f"request {row.number}: it is {row.state}, but its events lead to {states[row.number]}"
        if row.attempts != attempts[row.number]:
            yield f"request {row.number}: it counts {row.attempts} attempts, its events {attempts[row.number]}"


def _bodies(connection: Connection) -> Iterator[str]:
    """Attempts that sent something else than their requests hold, or under the id of another attempt.

    Attempts of one body have one id, and follow one another.
    """
    claims = (
        sa.select(t.event.c.request, t.event.c.detail, t.event.c.number, t.run.c.id)
        .join(t.run, t.run.c.number == t.event.c.run)
        .where(t.event.c.event == Event.CLAIMED.value)
        .order_by(t.event.c.run, t.event.c.number)
    )
    orders = _orders(connection)
    bodies: list[list[_Claim]] = []
    ids: set[str] = set()
    for event in connection.execute(claims).all():
        detail = _detail(event)
        if WITHIN not in detail or not bodies:
            if (attempt := str(detail.get(ATTEMPT, ""))) in ids:
                yield f"request {event.request}: its attempt in event {event.number} has the id of an earlier one"
            ids.update({attempt} - {""})
            bodies.append([])
        bodies[-1].append((event, detail))
    for start in range(0, len(bodies), _BODIES_AT_ONCE):
        some = bodies[start : start + _BODIES_AT_ONCE]
        numbers = sorted({event.request for body in some for event, _ in body})
        requests = {request.number: request for request in requests_of(connection, numbers)}
        for body in some:
            yield from _other_than_planned(body, requests, orders)


_Claim: TypeAlias = tuple[Any, "Mapping[str, Any]"]
_BODIES_AT_ONCE: Final = 500
_Orders: TypeAlias = "Mapping[int, Sequence[tuple[int, Any]]]"
"""By request: until which event of its run its recipients and items had another order, and which."""


def _orders(connection: Connection) -> _Orders:
    joined = sa.select(t.event.c.number, t.event.c.detail).where(t.event.c.event == JOINED).order_by(t.event.c.number)
    found: dict[int, list[tuple[int, Any]]] = {}
    for event in connection.execute(joined):
        for request, order in _detail(event).get("order", {}).items():
            found.setdefault(int(request), []).append((event.number, order))
    return found


def _as_sent(request: Request | None, event: int, orders: _Orders) -> Request | None:
    """A request as it was when an event of its run happened."""
    order = next((order for until, order in orders.get(request.number, ()) if event < until), None) if request else None
    if request is None or order is None:
        return request
    people, items = ({name: place for place, name in enumerate(names)} for names in order)
    return replace(
        request,
        recipients=tuple(sorted(request.recipients, key=lambda one: people.get(one, -1))),
        items=tuple(sorted(request.items, key=lambda one: items.get(f"{one.type.value} {one.id}", -1))),
    )


def _other_than_planned(body: Sequence[_Claim], requests: Mapping[int, Request], orders: _Orders) -> Iterator[str]:
    """The attempts of one body whose fingerprint or whose body is not that of their requests."""
    sent = [_as_sent(requests.get(event.request), event.number, orders) for event, _ in body]
    known = [request for request in sent if request is not None]
    attempt = str(body[0][1].get(ATTEMPT, ""))
    expected = fingerprint(encode(body_of(*known, attempt=attempt))) if known and len(known) == len(body) else None
    for position, (event, detail) in enumerate(body):
        within = body[0][0].request if position or WITHIN in detail else None
        same_attempt = detail.get(ATTEMPT, "") == attempt and detail.get(WITHIN) == within
        if expected is None or detail.get(FINGERPRINT) != expected or not same_attempt:
            yield f"request {event.request}: its attempt in event {event.number} of run {event.id} sent something else"


def _envelopes(connection: Connection) -> Iterator[str]:
    """Envelopes that can't be a body: of several runs, of revokes, or with one change in two of their requests."""
    e, q = t.envelope.c, t.request.c
    mixed = (
        sa.select(e.number)
        .join(t.request, q.number == e.request)
        .group_by(e.number)
        .having((sa.func.count(q.run.distinct()) > 1) | (sa.func.max(q.operation) != Operation.GRANT.value))
    )
    twice = (
        sa.select(e.number)
        .join(t.recipient, t.recipient.c.request == e.request)
        .join(t.request_item, t.request_item.c.request == e.request)
        .group_by(e.number, t.recipient.c.identity, t.request_item.c.item)
        .having(sa.func.count() > 1)
    )
    for row in connection.execute(sa.union(mixed, twice)):
        yield f"envelope {row.number}: its requests can't travel in one body"
