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
from batch.ledger.events import LOST
from batch.ledger.holders import refuse_if_held
from batch.ledger.repeating import repeated
from batch.ledger.rows import REQUEST, last_sent, load_requests, requests_of
from batch.ledger.runs import RUN, as_run
from batch.states import Event, State
from batch.status.compare import LOST_RUN
from batch.text import RequestId, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process
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

    def missing(self, requests: Iterable[Request]) -> tuple[Request, ...]:
        """Those of requests that may have arrived, and for whose arrival the ledger does not wait; each once.

        It waits for what it has in doubt. What it has as planned, `Gaps.doubt_claimed` puts in doubt. All others it has
        lost, or somebody has given them up since: whoever did so could not know that they had been sent.

        Args:
            requests: By the ids that were sent.
        """
        with reading(self._engine) as connection:
            return _missing(connection, requests)

    def doubt(self, run_id: str, sent_as: Mapping[int, str], process: Process, now: datetime) -> int:
        """Puts the requests of a run in doubt that stand in the place of lost ones, unless they were before.

        Args:
            run_id: The run.
            sent_as: The ids of the lost ones, by the numbers of those that stand in their place.
            process: Asks for it.
            now: When.

        Returns:
            How many there were.

        Raises:
            RunHeldError: Another process works on the run.
        """
        q = t.request.c
        query = REQUEST.where(t.run.c.id == run_id, q.state == State.PLANNED.value, q.attempts == 0, q.parent.is_(None))
        with writing(self._engine) as connection:
            if rows := connection.execute(query.order_by(q.number)).all():
                run = as_run(connection.execute(RUN.where(t.run.c.id == run_id)).one())
                refuse_if_held(connection, run, process, now)
                doubt_planned(connection, load_requests(connection, rows), now, self._new_id, sent_as)
            return len(rows)

    def newest(self, run_ids: Iterable[str]) -> tuple[tuple[Head, Mapping[int, Request]], ...]:
        """The heads of runs, if the ledger has them, each with the run's requests in doubt; see doubts.in_doubt."""
        found = []
        with reading(self._engine) as connection:
            for run_id in sorted(set(run_ids)):
                if (head := events.newest(connection, run_id)).number:
                    sent = last_sent(connection, run_id)
                    found.append((replace(head, sent=sent), doubts.in_doubt(connection, run_id)))
        return tuple(found)


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


def _missing(connection: Connection, requests: Iterable[Request]) -> tuple[Request, ...]:
    # Parts of one request were sent with one id.
    wanted = {(one.id, one.recipients, tuple(item.id for item in one.items)): one for one in requests}
    there = _changes_there(connection)
    names = {key: RequestId(one.run, one.number, one.tag) for key, one in wanted.items()}
    numbers = sorted({name.number for name in names.values()})
    states: dict[RequestId, State] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        rows = connection.execute(REQUEST.where(t.request.c.number.in_(numbers[start : start + _AT_ONCE])))
        states |= {RequestId(row.run_id, row.number, row.tag or ""): State(row.state) for row in rows}
    return tuple(
        wanted[key]
        for key in sorted(wanted)
        if not _changes_of(wanted[key]) <= there.get(names[key], set()) and _is_missing(connection, names[key], states)
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
