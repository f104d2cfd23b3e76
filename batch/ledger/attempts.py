"""Attempts: planned requests become bodies, each under an id of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.events import ATTEMPT, CLAIM, FINGERPRINT, TOKEN_EXPIRES, WITHIN, Entry
from batch.ledger.moving import move
from batch.plan.body import fingerprint, make_bodies
from batch.states import Event, State
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.model import Head, Request
    from batch.plan.body import Body

_COUNT_CLAIMS: Final = (
    sa.update(t.about).values(claims=t.about.c.claims + sa.bindparam("new")).returning(t.about.c.claims)
)


def begin_attempts(
    connection: Connection,
    planned: Sequence[Request],
    now: datetime,
    new_id: Callable[[], str],
    token_expires: datetime | None = None,
) -> tuple[tuple[Body, ...], Head]:
    """Makes an attempt of each body of planned requests of one run; returns the bodies and the run's new head."""
    bodies = make_bodies((replace(request, attempts=request.attempts + 1) for request in planned), new_id)
    last: int = connection.execute(_COUNT_CLAIMS, {"new": len(bodies)}).scalar_one()
    first = last - len(bodies) + 1
    numbered = [(request, claim) for claim, body in enumerate(bodies, start=first) for request in body.requests]
    requests, claims = zip(*numbered, strict=True)
    move(connection, requests, State.PLANNED, Event.CLAIMED, now, claims=claims)
    entries = [
        entry for claim, body in enumerate(bodies, start=first) for entry in _claimed(body, now, token_expires, claim)
    ]
    return bodies, events.append(connection, planned[0].run, entries)


def _claimed(body: Body, now: datetime, token_expires: datetime | None, claim: int) -> list[Entry]:
    """The attempts of a body's requests, each with the body's fingerprint and the attempt's id."""
    sent = {FINGERPRINT: fingerprint(body.content), ATTEMPT: body.attempt, TOKEN_EXPIRES: instant(token_expires)}
    return [
        Entry(
            event=Event.CLAIMED,
            at=now,
            request=request.number,
            attempt=request.attempts,
            detail={**sent, CLAIM: claim, WITHIN: request.within},
        )
        for request in body.requests
    ]
