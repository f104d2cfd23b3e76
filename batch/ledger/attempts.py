"""Attempts: planned requests become bodies, each under an id of its own; and whether they have ended."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.chain import CLOCK
from batch.ledger.events import (
    ATTEMPT,
    BODY,
    CLAIM,
    FINGERPRINT,
    GONE,
    HAS_ARRIVED,
    LOST,
    PROCESS,
    TOKEN_EXPIRES,
    WITHIN,
    Entry,
)
from batch.ledger.holders import known
from batch.ledger.messages import ask
from batch.ledger.moving import move
from batch.plan.body import fingerprint, make_bodies
from batch.states import Event, State
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.ledger.process import Process
    from batch.ledger.standing import Sent
    from batch.model import Head, Request
    from batch.plan.body import Body

_COUNT_CLAIMS: Final = (
    sa.update(t.about).values(claims=t.about.c.claims + sa.bindparam("new")).returning(t.about.c.claims)
)

NOTHING_KNOWN: Final[Mapping[int, Sent]] = MappingProxyType({})
"""Of requests that may have been sent in attempts that the ledger has lost."""


def count_claims(connection: Connection, bodies: int) -> Callable[[], int]:
    """Counts the claims of so many bodies, with the next statement; the result returns the number of the first."""
    asked = ask(connection, _COUNT_CLAIMS, {"new": bodies})
    return lambda: int(asked()[0].claims) - bodies + 1


def begin_attempts(
    connection: Connection,
    planned: Sequence[Request],
    now: datetime,
    new_id: Callable[[], str],
    token_expires: datetime | None = None,
    process: Process | None = None,
    *,
    last: Any = None,
    counted: Callable[[], int] | None = None,
    clock: Sequence[object] | None = None,
    sent_as: Mapping[int, Sent] = NOTHING_KNOWN,
) -> tuple[tuple[Body, ...], Head]:
    """Makes an attempt of each body of planned requests of one run; returns the bodies and the run's new head.

    `last` is that of `events.append`, `counted` the result of `count_claims` if that was called already; `clock` is
    CLOCK. An attempt that nobody makes now, as the ledger has lost when it was made, is of no `process`; `sent_as` has
    what is known of it by the numbers of the requests.
    """
    bodies = make_bodies((replace(request, attempts=request.attempts + 1) for request in planned), new_id)
    first = (counted or count_claims(connection, len(bodies)))()
    numbered = [(request, claim) for claim, body in enumerate(bodies, start=first) for request in body.requests]
    requests, claims = zip(*numbered, strict=True)
    move(connection, requests, State.PLANNED, Event.CLAIMED, now, claims=claims)
    made = {
        TOKEN_EXPIRES: instant(token_expires),
        PROCESS: known(connection, process).id if process else None,
        CLOCK: clock,
    }
    lost = {request.number: {} if process else _lost(request, sent_as.get(request.number)) for request in requests}
    entries = [one for claim, body in enumerate(bodies, start=first) for one in _claimed(body, now, made, claim, lost)]
    return bodies, events.append(connection, planned[0].run, entries, last)


def _claimed(
    body: Body, now: datetime, made: Mapping[str, object], claim: int, lost: Mapping[int, Mapping[str, object]]
) -> list[Entry]:
    """The attempts of a body's requests, each with the body's fingerprint and the attempt's id."""
    sent = {FINGERPRINT: fingerprint(body.content), ATTEMPT: body.attempt, **made}
    return [
        Entry(
            event=Event.CLAIMED,
            at=now,
            request=request.number,
            attempt=request.attempts,
            detail={**sent, CLAIM: claim, WITHIN: request.within, **lost[request.number]},
        )
        for request in body.requests
    ]


def _lost(request: Request, sent: Sent | None) -> Mapping[str, object]:
    """The detail of a lost attempt of a request."""
    if sent is None:
        return {LOST: True}
    name = sent.request.id
    return {LOST: name == request.id or name, BODY: sent.body, HAS_ARRIVED: sent.arrived or None}


def doubt_planned(
    connection: Connection,
    planned: Sequence[Request],
    now: datetime,
    new_id: Callable[[], str],
    sent_as: Mapping[int, Sent] = NOTHING_KNOWN,
) -> None:
    """Puts planned requests in doubt: they may have been sent, in an attempt that the ledger has lost.

    `sent_as` has what is known of that, by their numbers.
    """
    for run in dict.fromkeys(request.run for request in planned):
        bodies, _ = begin_attempts(connection, [one for one in planned if one.run == run], now, new_id, sent_as=sent_as)
        requests = [request for body in bodies for request in body.requests]
        move(connection, requests, State.SENDING, Event.ABANDONED, now)
        gone = {GONE: True}
        entries = [Entry(event=Event.ABANDONED, at=now, request=one.number, detail=gone) for one in requests]
        events.append(connection, run, entries)


def ended(connection: Connection, numbers: Iterable[int], gone: Process | None) -> frozenset[int]:
    """The requests that are SENDING, but that nobody can send any more.

    Who holds a run stands in a table that anybody can write to. So the attempt itself must say that this process made
    it, and this machine must have signed that. Anything else counts as silent only.

    Args:
        connection: In a transaction.
        numbers: Numbers of requests that are SENDING.
        gone: A process of which this machine knows that it sends no more; None if there is none.
    """
    return frozenset() if gone is None else frozenset(n for n in numbers if _has_made(connection, n, gone))


def _has_made(connection: Connection, number: int, process: Process) -> bool:
    claim = connection.execute(_LAST_CLAIM, {"of_request": number}).first()
    if claim is None:
        return False
    detail = json.loads(claim.detail)
    if PROCESS in detail:
        return bool(detail[PROCESS] == process.id) and events.is_own(connection, claim.id, claim.number)
    # An older version did not tell, and without the end of its token no fence could ever be passed.
    return TOKEN_EXPIRES not in detail


_LAST_CLAIM: Final = (
    sa.select(t.run.c.id, t.event.c.number, t.event.c.detail)
    .join(t.run, t.run.c.number == t.event.c.run)
    .where(t.event.c.request == sa.bindparam("of_request"), t.event.c.event == Event.CLAIMED.value)
    .order_by(t.event.c.number.desc())
    .limit(1)
)
