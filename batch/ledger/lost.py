"""Requests that were on their way, and that a ledger which was put back has lost."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import RunHeldError
from batch.ledger import doubts, events
from batch.ledger import tables as t
from batch.ledger.attempts import doubt_planned
from batch.ledger.engine import reading, writing
from batch.ledger.envelopes import with_bodies
from batch.ledger.events import LOST
from batch.ledger.holders import refuse_if_held
from batch.ledger.moving import divide
from batch.ledger.remembered import remembered_of
from batch.ledger.repeating import repeated
from batch.ledger.rows import IMPORTS, REQUEST, last_sent, load_requests, requests_of
from batch.ledger.runs import RUN, as_run
from batch.ledger.standing import Sent, doubtful_of, names_of, standing
from batch.model import Part
from batch.states import IN_DOUBT, VOID, Event, State
from batch.status.compare import LOST_RUN
from batch.status.matching import attempt_id, request_id
from batch.text import RequestId, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.api.status_row import StatusRow
    from batch.ledger.process import Process
    from batch.ledger.standing import Standing
    from batch.model import Head, Request

_AT_ONCE: Final = 300
_CLAIMS: Final = (
    sa.select(t.run.c.id, t.request.c.number, t.request.c.tag, t.event.c.detail)
    .select_from(t.event)
    .join(t.run, t.run.c.number == t.event.c.run)
    .join(t.request, t.request.c.number == t.event.c.request)
    .where(t.run.c.input_digest.like(f"{LOST_RUN}%"), t.event.c.event == Event.CLAIMED.value)
    .order_by(t.event.c.run, t.event.c.number)
)
_CLAIMED: Final = (
    REQUEST.outerjoin(t.envelope, t.envelope.c.request == t.request.c.number)
    .where(t.run.c.id == sa.bindparam("of_run"), t.request.c.state == State.PLANNED.value)
    .where((t.request.c.number <= sa.bindparam("sent")) | t.request.c.parent.is_not(None))
    .add_columns(t.envelope.c.number.label("envelope"))
    .order_by(t.request.c.number)
)
_PLANNED: Final = (
    REQUEST.outerjoin(t.envelope, t.envelope.c.request == t.request.c.number)
    .where(t.request.c.number.in_(sa.bindparam("numbers", expanding=True)), t.request.c.state == State.PLANNED.value)
    .add_columns(t.envelope.c.number.label("envelope"))
)
_PARTS: Final = sa.select(t.request.c.number).where(t.request.c.parent.in_(sa.bindparam("numbers", expanding=True)))
_STATE: Final = sa.select(t.request.c.state).where(t.request.c.number == sa.bindparam("of_request"))
_UNCONFIRMED: Final = REQUEST.where(t.request.c.state == State.UNCONFIRMED.value)
_MAY_HAVE_ARRIVED: Final = frozenset({State.ACCEPTED, *IN_DOUBT})
"""The states of requests whose latest attempt has arrived, or may have."""


@repeated
class LostRequests:
    """What a ledger that was put back has in the place of requests that were on their way."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def restored(self) -> Mapping[RequestId, RequestId]:
        """See `restored`."""
        with reading(self._engine) as connection:
            return restored(connection)

    def given_up(self, rows: Iterable[StatusRow]) -> tuple[Sent, ...]:
        """Requests that rows name although the ledger has given them up: all of each has arrived, with its body."""
        names = {name: row for row in rows if (name := RequestId.read(request_id(row))) is not None}
        numbers = sorted({name.number for name in names})
        void = t.request.c.state.in_([state.value for state in VOID])
        found: list[Sent] = []
        with reading(self._engine) as connection:
            for start in range(0, len(numbers), _AT_ONCE):
                some = t.request.c.number.in_(numbers[start : start + _AT_ONCE])
                requests = load_requests(connection, connection.execute(REQUEST.where(some, void)).all())
                found += [
                    Sent(request=one, body=attempt_id(names[name]), arrived=True)
                    for one in requests
                    if (name := RequestId(one.run, one.number, one.tag)) in names
                ]
        return tuple(found)

    def missing(self, sent: Iterable[Sent]) -> tuple[Sent, ...]:
        """Those of some requests that may have arrived, and for whose arrival the ledger does not wait; each once.

        It waits for what it has in doubt under the id that was sent. What it has as planned under that id,
        `doubt_claimed` puts in doubt. Anything else it has lost, or somebody has given it up, or planned it anew:
        whoever did so could not know that it had been sent.
        """
        # Parts of one request were sent with one id. If two files tell of one, whichever knows that it arrived counts.
        ordered = sorted(sent, key=lambda one: one.arrived)
        wanted = {
            (one.request.id, one.request.recipients, tuple(i.id for i in one.request.items)): one for one in ordered
        }
        with reading(self._engine) as connection:
            # Numbers tell the order in which they were sent, unless the ledger was put back in between.
            order = sorted(wanted.values(), key=lambda one: (one.request.number, one.request.id))
            return tuple(one for one in order if _is_missing(connection, one))

    def doubt_claimed(self, lost: Mapping[Head, Standing], process: Process, now: datetime) -> int:
        """Puts planned requests in doubt that may have been claimed after the ledger's state was saved.

        The tenant's list may not show them yet. Claims follow the numbers of requests, apart from parts of others.

        Args:
            lost: The heads that the ledger does not have, with what was on its way then.
            process: Compares.
            now: When.

        Returns:
            How many requests are UNCONFIRMED by that.

        Raises:
            RunHeldError: Another process works on one of the runs.
        """
        doubtful = doubtful_of(lost.values())
        sent = {one.request.id: one for one in sorted(doubtful, key=lambda one: one.arrived)}
        alone = {head.run: known.alone for head, known in lost.items()}
        with writing(self._engine) as connection:
            _renew(connection, {head.run for head in lost}, sent)
            rows = [
                row for head in lost for row in connection.execute(_CLAIMED, {"of_run": head.run, "sent": head.sent})
            ]
            numbers = [one.request.number for one in sent.values()]
            rows += [row for row in connection.execute(_PLANNED, {"numbers": numbers}) if _name(row) in sent]
            rows = [row for _, row in sorted({row.number: row for row in rows}.items())]
            for name in dict.fromkeys(row.run_id for row in rows):
                run = as_run(connection.execute(RUN.where(t.run.c.id == name)).one())
                refuse_if_held(connection, run, process, now)
            # Whatever is known to have had a body of its own shares none with those that may have.
            shares = [_name(row) not in sent and row.number not in alone.get(row.run_id, ()) for row in rows]
            shared = [row for row, is_shared in zip(rows, shares, strict=True) if is_shared]
            planned = {one.number: one for one in load_requests(connection, rows)}
            planned |= {one.number: one for one in with_bodies(load_requests(connection, shared), shared)}
            sent_as = {row.number: sent[_name(row)] for row in rows if _name(row) in sent}
            doubt_planned(connection, [*planned.values()], now, self._new_id, sent_as)
        return len(rows)

    def put_last(self, url: str, lost: Iterable[Standing], process: Process, now: datetime) -> None:
        """Puts lost requests in doubt behind imported ones for the same access, by giving them greater numbers.

        They were sent later: while they were on their way, nothing else could be submitted for that access.

        Args:
            url: An address of the tenant.
            lost: What this machine knows of runs whose ends the ledger has lost.
            process: Compares. Runs on which another process works stay as they are.
            now: When.
        """
        names = names_of(lost)
        with writing(self._engine) as connection:
            numbers = in_place_of(connection, names)
            rows = connection.execute(_UNCONFIRMED.where(t.request.c.number.in_(numbers))).all() if numbers else []
            requests = load_requests(connection, rows)
            known = remembered_of(connection, url, {key_of(who) for one in requests for who in one.recipients})
            imports = frozenset(connection.execute(IMPORTS).scalars())
            for request in requests:
                same = (change for pair in _changes_of(request) for change in known.get(pair, ()))
                if not any(change.id.run in imports and change.id.number > request.number for change in same):
                    continue
                with suppress(RunHeldError):
                    run = as_run(connection.execute(RUN.where(t.run.c.id == request.run)).one())
                    refuse_if_held(connection, run, process, now)
                    people, items = range(len(request.recipients)), range(len(request.items))
                    whole = Part(recipients=tuple(people), items=tuple(items))
                    divide(connection, request, [whole], State.UNCONFIRMED, now, tag=self._new_id())

    def newest(self, run_ids: Iterable[str]) -> Mapping[Head, Standing]:
        """The heads of runs, if the ledger has them, each with what is on its way."""
        found = {}
        with reading(self._engine) as connection:
            for run_id in sorted(set(run_ids)):
                if (head := events.newest(connection, run_id)).number:
                    head = replace(head, sent=last_sent(connection, run_id))
                    found[head] = standing(connection, run_id)
        return found


def restored(connection: Connection) -> Mapping[RequestId, RequestId]:
    """The ids of lost requests, which were sent with them, and those of the requests that stand in their place."""
    found: dict[RequestId, RequestId] = {}
    for own, lost in _own_and_lost(connection):
        # If one is there in parts, the first one stands for them.
        found.setdefault(lost, own)
    return found


def in_place_of(connection: Connection, names: Collection[RequestId], others: Iterable[int] = ()) -> Collection[int]:
    """Numbers of the requests that stand in the place of lost ones, of some others, and of their parts."""
    places = {own.number for own, lost in _own_and_lost(connection) if lost in names}.union(others)
    while parts := set(connection.execute(_PARTS, {"numbers": sorted(places)}).scalars()) - places:
        places |= parts
    return places


def _own_and_lost(connection: Connection) -> Iterator[tuple[RequestId, RequestId]]:
    for row in connection.execute(_CLAIMS):
        name = json.loads(row.detail).get(LOST)
        if isinstance(name, str) and (lost := RequestId.read(name)) is not None:
            yield RequestId(row.id, row.number, row.tag or ""), lost


def _is_missing(connection: Connection, sent: Sent) -> bool:
    """Whether there is a change of a request that the ledger neither has as accepted nor waits for.

    Only what was sent, or would be, under the id of that request counts.
    """
    name = RequestId(sent.request.run, sent.request.number, sent.request.tag)
    places = in_place_of(connection, {name}, {name.number})
    there: set[tuple[str, str]] = set()
    for request in requests_of(connection, sorted(places)):
        state = State(connection.execute(_STATE, {"of_request": request.number}).scalar_one())
        is_planned = state is State.PLANNED and request.id == str(name)
        if is_planned or (state in _MAY_HAVE_ARRIVED and doubts.sent_name(connection, request) == str(name)):
            there |= _changes_of(request)
    return not _changes_of(sent.request) <= there


def _changes_of(request: Request) -> set[tuple[str, str]]:
    return {(key_of(who), key_of(item.id)) for who in request.recipients for item in request.items}


def _name(row: Any) -> str:
    return str(RequestId(row.run_id, row.number, row.tag or ""))


def _renew(connection: Connection, runs: Container[str], sent: Container[str]) -> None:
    """Begins doubts anew: there may have been later attempts.

    Args:
        connection: In a transaction.
        runs: Ids of runs whose newest events are lost.
        sent: Ids that were sent with requests.
    """
    requests = load_requests(connection, connection.execute(_UNCONFIRMED).all())
    these = [one.number for one in requests if one.run in runs or doubts.sent_name(connection, one) in sent]
    doubts.renew(connection, these)
