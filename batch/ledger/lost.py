"""Requests that were on their way, and that a ledger which was put back has lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.ledger import doubts, events
from batch.ledger import tables as t
from batch.ledger.attempts import doubt_planned
from batch.ledger.engine import reading, writing
from batch.ledger.envelopes import with_bodies
from batch.ledger.events import LOST
from batch.ledger.holders import refuse_if_held
from batch.ledger.repeating import repeated
from batch.ledger.rows import REQUEST, last_sent, load_requests, requests_of
from batch.ledger.runs import RUN, as_run
from batch.ledger.standing import Sent, standing
from batch.states import VOID, Event, State
from batch.status.compare import LOST_RUN
from batch.status.matching import attempt_id, request_id
from batch.text import RequestId, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
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
_PARTS: Final = sa.select(t.request.c.number).where(t.request.c.parent == sa.bindparam("whole")).limit(1)


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
        """Requests that rows name, and that the ledger does not send: all of each has arrived, and its whole body."""
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

        It waits for what it has in doubt. What it has as planned, `Gaps.doubt_claimed` puts in doubt. All others it has
        lost, or somebody has given them up since: whoever did so could not know that they had been sent.

        """
        with reading(self._engine) as connection:
            return _missing(connection, sent)

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
        doubted = 0
        with writing(self._engine) as connection:
            renew_doubts(connection, lost)
            for head, known in lost.items():
                rows = connection.execute(_CLAIMED, {"of_run": head.run, "sent": head.sent}).all()
                if rows:
                    run = as_run(connection.execute(RUN.where(t.run.c.id == head.run)).one())
                    refuse_if_held(connection, run, process, now)
                    requests = load_requests(connection, rows)
                    # Since the ledger was put back, another request may have got the same number.
                    names = {one.number: one.id for one in requests}
                    sent_as = {n: one for n, one in known.doubtful.items() if names.get(n) == one.request.id}
                    # Whatever is known to have had a body of its own shares none with those that may have.
                    alone = known.alone | sent_as.keys()
                    shared = [(one, row) for one, row in zip(requests, rows, strict=True) if one.number not in alone]
                    planned = [one for one in requests if one.number in alone]
                    planned += with_bodies([one for one, _ in shared], [row for _, row in shared])
                    planned.sort(key=lambda one: one.number)
                    doubt_planned(connection, planned, now, self._new_id, sent_as)
                    doubted += len(rows)
        return doubted

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


def _own_and_lost(connection: Connection) -> Iterator[tuple[RequestId, RequestId]]:
    for row in connection.execute(_CLAIMS):
        name = json.loads(row.detail).get(LOST)
        if isinstance(name, str) and (lost := RequestId.read(name)) is not None:
            yield RequestId(row.id, row.number, row.tag or ""), lost


def _missing(connection: Connection, sent: Iterable[Sent]) -> tuple[Sent, ...]:
    # Parts of one request were sent with one id.
    by_content = {(one.request.id, one.request.recipients, tuple(i.id for i in one.request.items)): one for one in sent}
    wanted = [one for _, one in sorted(by_content.items(), key=lambda pair: pair[0])]
    there = _changes_there(connection)
    names = [RequestId(one.request.run, one.request.number, one.request.tag) for one in wanted]
    numbers = sorted({name.number for name in names})
    states: dict[RequestId, State] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        rows = connection.execute(REQUEST.where(t.request.c.number.in_(numbers[start : start + _AT_ONCE])))
        states |= {RequestId(row.run_id, row.number, row.tag or ""): State(row.state) for row in rows}
    return tuple(
        one
        for one, name in zip(wanted, names, strict=True)
        if not _changes_of(one.request) <= there.get(name, set()) and _is_missing(connection, name, states)
    )


def _changes_there(connection: Connection) -> Mapping[RequestId, set[tuple[str, str]]]:
    """The changes that are there in the place of lost ones, by the ids that were sent."""
    names = {own.number: lost for own, lost in _own_and_lost(connection)}
    found: dict[RequestId, set[tuple[str, str]]] = {}
    for request in requests_of(connection, sorted(names)):
        found.setdefault(names[request.number], set()).update(_changes_of(request))
    return found


def _changes_of(request: Request) -> set[tuple[str, str]]:
    return {(key_of(who), key_of(item.id)) for who in request.recipients for item in request.items}


def _is_missing(connection: Connection, name: RequestId, states: Mapping[RequestId, State]) -> bool:
    if (state := states.get(name)) is State.SPLIT:
        # Its parts stand for it.
        return connection.execute(_PARTS, {"whole": name.number}).first() is None
    return state in {None, State.DISCARDED, State.REFUSED}


def renew_doubts(connection: Connection, lost: Iterable[Head]) -> None:
    """Begins the doubts of runs anew whose newest events are lost: there may have been later attempts."""
    for head in lost:
        query = REQUEST.where(t.run.c.id == head.run, t.request.c.state == State.UNCONFIRMED.value)
        doubts.renew(connection, [row.number for row in connection.execute(query).all()])
