"""Proves a ledger sound, or says what is wrong with it; reads only."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import Operation
from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome, tenant_outcome
from batch.errors import BrokenPromiseError
from batch.ledger import tables as t
from batch.ledger.engine import reading
from batch.ledger.events import BORN, IMPORTED, WITHIN, seal
from batch.ledger.rows import load_request
from batch.model import IMPORT
from batch.plan.body import body_of, encode, fingerprint
from batch.states import VOID, Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

MOST_FINDINGS: Final = 100
"""Findings of one kind that are listed; so many mean that all of it is to be doubted."""


_IDENTITIES_AT_ONCE: Final = 100_000


def verify(engine: Engine) -> tuple[str, ...]:
    """Everything that is wrong with a ledger, as sentences; none where it is sound.

    Checked are: the database's own integrity and references; that every request is the full product that it says; that
    those which travel in one body may; that every run's books are an unbroken chain, and lead to the states that the
    requests are in; that each attempt sent what its requests say; and that nothing was submitted twice for one
    intention.
    """
    with reading(engine) as connection:
        return tuple(
            finding
            for check in (_database, _products, _envelopes, _chains, _origins, _states, _bodies, _repeats)
            for finding in _bounded(check(connection))
        )


def _bounded(findings: Iterator[str]) -> Iterator[str]:
    for number, finding in enumerate(findings):
        if number == MOST_FINDINGS:
            yield "… and more of this kind"
            return
        yield finding


def _database(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    for row in connection.exec_driver_sql("PRAGMA integrity_check"):
        if row[0] != "ok":
            yield f"integrity: {row[0]}"
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"references: a line of {row[0]} points at nothing in {row[2]}"


def _products(connection: Connection) -> Iterator[str]:
    """Requests whose recipients or items are not as many as they say, or whose recipients differ from their list."""
    people = _count_of(t.recipient)
    items = _count_of(t.request_item)
    wrong = (
        sa.select(t.request.c.id)
        .outerjoin(people, people.c.request == t.request.c.id)
        .outerjoin(items, items.c.request == t.request.c.id)
        .where(
            (sa.func.coalesce(people.c.n, 0) != t.request.c.recipient_count)
            | (sa.func.coalesce(items.c.n, 0) != t.request.c.item_count)
        )
    )
    for row in connection.execute(wrong):
        yield f"request {row.id}: its changes are not the product of its recipients and items"
    recipients = connection.execute(
        sa.select(t.recipient.c.request, t.recipient.c.identity).order_by(t.recipient.c.request, t.recipient.c.identity)
    )
    said = dict(connection.execute(sa.select(t.request.c.id, t.request.c.recipients)).all())
    for number, group in itertools.groupby(recipients, key=lambda row: row.request):
        if said.get(number) != " ".join(str(row.identity) for row in group):
            yield f"request {number}: it lists other recipients than it has"


def _count_of(part: sa.Table) -> sa.Subquery:
    """How many lines of a part each request has."""
    return sa.select(part.c.request, sa.func.count().label("n")).group_by(part.c.request).subquery()


def _chains(connection: Connection) -> Iterator[str]:
    run, number, before = "", 0, ""
    for row in connection.execute(sa.select(t.event).order_by(t.event.c.run, t.event.c.number)):
        if row.run != run:
            run, number, before = row.run, 0, ""
        if row.number != number + 1:
            yield f"books of run {run}: lines {number + 1} to {row.number - 1} are missing"
        elif row.hash != seal(before, dict(zip(row._fields, row, strict=True))):
            yield f"books of run {run}: line {row.number} was changed"
        number, before = row.number, row.hash


def _origins(connection: Connection) -> Iterator[str]:
    """Requests that no line of the books brought about: neither a plan, nor the division of another request."""
    born: dict[int, str] = {}
    for line in connection.execute(
        sa.select(t.event.c.run, t.event.c.event, t.event.c.detail).where(
            t.event.c.event.in_([*BORN, Event.TAKEN_OVER.value])
        )
    ):
        detail = json.loads(line.detail)
        if line.event in BORN:
            born.update(dict.fromkeys(_numbers(detail), line.run))
        born.update(dict.fromkeys(detail.get("by", ()), line.run))
    for row in connection.execute(
        sa.select(t.request.c.id, t.run.c.id.label("run"))
        .join(t.run, t.run.c.number == t.request.c.run)
        .order_by(t.request.c.id)
    ):
        if born.pop(row.id, None) != row.run:
            yield f"request {row.id}: the books of run {row.run} do not know where it comes from"
    for number, run in born.items():
        yield f"request {number}: the books of run {run} have it, and it is gone"


def _numbers(detail: Mapping[str, int]) -> range:
    """The numbers of the requests that a line of BORN tells of."""
    return range(detail["first"], detail["first"] + detail["requests"])


def _imported(connection: Connection) -> frozenset[int]:
    """Numbers of the requests that were imported, and never sent by us."""
    lines = connection.execute(
        sa.select(t.event.c.detail)
        .join(t.run, t.run.c.id == t.event.c.run)
        .where(t.event.c.event == IMPORTED, t.run.c.input_digest == IMPORT)
    )
    return frozenset(number for line in lines for number in _numbers(json.loads(line.detail)))


def _states(connection: Connection) -> Iterator[str]:
    """Requests whose state is not where their books lead."""
    states: dict[int, State] = {}
    attempts: dict[int, int] = {}
    imported = _imported(connection)
    requests = connection.execute(sa.select(t.request)).all()
    for row in requests:
        settled_by_parent = row.parent is not None and not row.attempts and row.state == State.ACCEPTED
        states[row.id] = State.ACCEPTED if settled_by_parent or row.id in imported else State.PLANNED
        attempts[row.id] = int(row.id in imported)
    for line in connection.execute(
        sa.select(t.event.c.request, t.event.c.event, t.event.c.number, t.event.c.run)
        .where(t.event.c.request.is_not(None))
        .order_by(t.event.c.run, t.event.c.number)
    ):
        try:
            states[line.request] = advance(states[line.request], Event(line.event))
        except (BrokenPromiseError, ValueError, KeyError):
            yield f"books of run {line.run}: line {line.number} ({line.event}) can't happen to request {line.request}"
            continue
        attempts[line.request] += line.event == Event.CLAIMED
    for row in requests:
        if row.state != states[row.id]:
            yield f"request {row.id}: it is {row.state}, but its books say {states[row.id]}"
        if row.attempts != attempts[row.id]:
            yield f"request {row.id}: it counts {row.attempts} attempts, its books {attempts[row.id]}"


def _bodies(connection: Connection) -> Iterator[str]:
    """Attempts that sent something else than their requests say; those of one body stand next to each other."""
    sent = (
        sa.select(t.event.c.request, t.event.c.detail, t.event.c.number, t.event.c.run)
        .where(t.event.c.event == Event.CLAIMED.value)
        .order_by(t.event.c.run, t.event.c.number)
    )
    body: list[Any] = []
    for line in connection.execute(sent).all():
        if f'"{WITHIN}":' not in line.detail:
            yield from _other_than_said(connection, body)
            body = []
        body.append(line)
    yield from _other_than_said(connection, body)


def _other_than_said(connection: Connection, body: Sequence[Any]) -> Iterator[str]:
    """The attempts of one body whose fingerprint is not that of what their requests say, or that are not of it."""
    requests = [load_request(connection, line.request) for line in body]
    known = [request for request in requests if request is not None]
    expected = fingerprint(encode(body_of(*known))) if known and len(known) == len(body) else ""
    for position, line in enumerate(body):
        within = f'"{WITHIN}": {body[0].request}}}' if position or f'"{WITHIN}":' in line.detail else ""
        if not expected or expected not in line.detail or within not in line.detail:
            yield f"request {line.request}: the attempt in line {line.number} of run {line.run} sent something else"


def _envelopes(connection: Connection) -> Iterator[str]:
    """Envelopes that no body may look like: of several runs, of revokes, or with a change in two of their requests."""
    e, q = t.envelope.c, t.request.c
    mixed = (
        sa.select(e.number)
        .join(t.request, q.id == e.request)
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


def _repeats(connection: Connection) -> Iterator[str]:
    """Changes that were submitted again although the same was wanted last; looked for in parts, as they are many."""
    last: int = connection.execute(sa.select(sa.func.coalesce(sa.func.max(t.identity.c.id), 0))).scalar_one()
    for first in range(1, last + 1, _IDENTITIES_AT_ONCE):
        yield from _repeats_of(connection, t.recipient.c.identity.between(first, first + _IDENTITIES_AT_ONCE - 1))


def _repeats_of(connection: Connection, identities: sa.ColumnElement[bool]) -> Iterator[str]:
    live = identities & t.request.c.state.not_in([state.value for state in VOID])
    r, i, k = t.recipient.c, t.request_item.c, t.track.c
    joined = (
        sa.select(r.identity, i.item)
        .select_from(t.recipient)
        .join(t.request, t.request.c.id == r.request)
        .join(t.request_item, i.request == r.request)
        .where(live)
    )
    several = joined.group_by(r.identity, i.item).having(sa.func.count() > 1).subquery()
    history = (
        sa.select(
            r.identity.label("identity_number"),
            i.item.label("item_number"),
            t.identity.c.external_id.label("identity"),
            t.item.c.external_id.label("item"),
            t.request.c.id,
            t.request.c.operation,
            t.detail.c.start_date,
            t.detail.c.remove_date,
            t.finding.c.state.label("tracked"),
            t.finding.c.said,
            (t.run.c.input_digest == IMPORT).label("imported"),
        )
        .select_from(several)
        .join(t.recipient, r.identity == several.c.identity)
        .join(t.request, t.request.c.id == r.request)
        .join(t.run, t.run.c.number == t.request.c.run)
        .join(t.request_item, (i.request == r.request) & (i.item == several.c.item))
        .join(t.detail, t.detail.c.id == i.detail)
        .join(t.identity, t.identity.c.id == r.identity)
        .join(t.item, t.item.c.id == i.item)
        .outerjoin(t.track, (k.request == r.request) & (k.identity == r.identity) & (k.item == i.item))
        .outerjoin(t.finding, t.finding.c.id == k.finding)
        .where(live)
        # What was imported may be older than its number says, as dedupe.age knows.
        .order_by(
            r.identity,
            i.item,
            sa.case((t.run.c.input_digest == IMPORT, 0), else_=1),
            sa.case((t.run.c.input_digest == IMPORT, t.request.c.state_at), else_=""),
            t.request.c.id,
        )
    )
    before: tuple[object, ...] = ()
    for row in connection.execute(history):
        wanted = (row.identity_number, row.item_number, row.operation, row.start_date, row.remove_date)
        # What others submitted again before there was this ledger is no fault of it.
        if wanted == before and not row.imported:
            yield f"request {row.id}: it submits {row.item} for {row.identity} again"
        # What came to nothing may be submitted again where the user wants it, and leaves what was wanted before it.
        came_to = tenant_outcome(row.tracked, row.said) if row.tracked else TenantOutcome.OPEN
        if came_to not in RESUBMITTABLE:
            before = wanted
        elif came_to is TenantOutcome.FAILED:
            before = ()
