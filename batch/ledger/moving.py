"""Transitions of requests in the ledger. Each is compare-and-set and adds an event."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import BrokenPromiseError
from batch.ledger import doubts, events
from batch.ledger import tables as t
from batch.ledger.contents import contents
from batch.ledger.events import Entry, Followed
from batch.ledger.messages import count_written
from batch.ledger.rows import REQUEST, item_rows, recipients_of
from batch.ledger.seals import root, seal_of, write_seals
from batch.states import Event, State, advance
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.model import Part, Request

_MOVE: Final = (
    sa.update(t.request)
    .where(
        t.request.c.number == sa.bindparam("of_number"),
        # If the ledger is put back, another run's request may get the number.
        t.request.c.run == t.number_of_run(sa.bindparam("of_run", type_=t.TEXT)),
        t.request.c.state == sa.bindparam("state_before"),
        t.request.c.attempts == sa.bindparam("attempts_before"),
    )
    .values(
        state=sa.bindparam("state_after", type_=t.TEXT),
        state_at=sa.bindparam("at", type_=t.TEXT),
        attempts=sa.bindparam("attempts_after", type_=sa.Integer()),
    )
)
_CLAIM: Final = _MOVE.values(claimed=sa.bindparam("claim", type_=sa.Integer()))


def move(
    connection: Connection,
    requests: Sequence[Request],
    state: State,
    event: Event,
    now: datetime,
    *,
    claims: Sequence[int] = (),
) -> None:
    """Moves requests from `state` by `event`, if all of them are in that state and in the expected attempt.

    Args:
        connection: In the transaction that does what the event reports.
        requests: With the number of attempts that they have afterwards.
        state: The state that they must be in.
        event: What happened.
        now: When.
        claims: If each begins an attempt: the number of the claim of its body.

    Raises:
        BrokenPromiseError: One of them is not.
        LedgerChangedError: Somebody had changed one of them while this process judged that it was not found.
    """
    if event is Event.NOT_FOUND:
        _require_judged_as_sealed(connection, requests)
    same = {"state_before": state.value, "state_after": advance(state, event).value, "at": instant(now)}
    moved = count_written(
        connection,
        _CLAIM if claims else _MOVE,
        [
            {
                "of_number": one.number,
                "of_run": one.run,
                "attempts_before": one.attempts - bool(claims),
                "attempts_after": one.attempts,
                **({"claim": claim} if claims else {}),
                **same,
            }
            for one, claim in zip(requests, claims or [0] * len(requests), strict=True)
        ],
    )
    if moved != len(requests):
        names = ", ".join(f"{request.id} (attempt {request.attempts})" for request in requests)
        raise BrokenPromiseError(
            f"Some of the requests {names} were no longer {state}: another process changed them.",
            next_step="Run the same command again: it starts from the ledger's state.",
        )
    numbers = [request.number for request in requests]
    if state is State.UNCONFIRMED:
        doubts.end(connection, numbers)
    if event is Event.MISTRUSTED:
        # The process of another machine may still send it, whatever anybody has added to the events since.
        doubts.end(connection, numbers)
        for number in numbers:
            doubts.inherit(connection, doubts.known_of(connection, number), [number])
    elif advance(state, event) is State.UNCONFIRMED:
        doubts.begin(connection, numbers)


def _require_judged_as_sealed(connection: Connection, requests: Sequence[Request]) -> None:
    following: dict[str, Followed] = connection.get_execution_options().get(events.FOLLOWED, {})
    for request in requests:
        followed = following.get(request.run)
        sealed = followed.seal(request.number) if followed else None
        if sealed and sealed != seal_of(request):
            raise events.changed(request.run, [f"request {request.number} was changed"])


def divide(
    connection: Connection,
    request: Request,
    parts: Sequence[Part],
    state: State,
    now: datetime,
    found: Mapping[str, Any] = MappingProxyType({}),
    *,
    tag: str,
    elsewhere: Sequence[tuple[int, int]] = (),
) -> tuple[int, ...]:
    """Makes a new request of each part; they take over the changes of `request`, which must be in `state`.

    A part of a request in doubt is in doubt too, unless it has arrived: it may have been sent.

    Args:
        connection: In a transaction.
        request: The request.
        parts: Parts of it, which together are the whole.
        state: Its state.
        now: When.
        found: For the detail of the event.
        tag: The random part of the new requests' ids, new for each call.
        elsewhere: Changes that another run takes over, by the positions of their recipient and item; no part has them.

    Returns:
        The numbers of the new requests, in the order of the parts.

    Raises:
        BrokenPromiseError: The parts, with what goes elsewhere, are not the whole.
        LedgerChangedError: Somebody has changed the request since this process has checked or claimed it.
    """
    following: dict[str, Followed] = connection.get_execution_options().get(events.FOLLOWED, {})
    followed = following.get(request.run)
    if followed and not followed.knows(events.newest(connection, request.run)):
        followed = None
    sealed = followed.seal(request.number) if followed else None
    # Whoever divides a request signs what its parts say.
    (_, _, content), *_ = contents(connection, [request.number])
    if content != (sealed or seal_of(request)):
        raise events.changed(request.run, [f"request {request.number} was changed"])
    row = connection.execute(REQUEST.where(t.request.c.number == request.number)).one()
    recipients = recipients_of(row)
    items = [(item.item, item.detail) for item in item_rows(connection, request.number)]
    covered = [*elsewhere, *((r, i) for part in parts for r in part.recipients for i in part.items)]
    if sorted(covered) != [(r, i) for r in range(len(recipients)) for i in range(len(items))]:
        raise BrokenPromiseError(
            f"The parts of request {request.number} do not add up to it.",
            next_step="Nothing of it is sent. Please report this.",
        )
    known = doubts.known_of(connection, request.number) if state is State.UNCONFIRMED else {}
    move(connection, [request], state, Event.TAKEN_OVER, now)
    rest = State.UNCONFIRMED if state is State.UNCONFIRMED else State.PLANNED
    states = [State.ACCEPTED if part.arrived else rest for part in parts]
    children = [
        _add_part(connection, row, part, recipients, items, now, tag, one)
        for part, one in zip(parts, states, strict=True)
    ]
    unconfirmed = [number for number, one in zip(children, states, strict=True) if one is State.UNCONFIRMED]
    doubts.inherit(connection, known, unconfirmed)
    accepted = [number for number, one in zip(children, states, strict=True) if one is State.ACCEPTED]
    seals = write_seals(connection, children)
    detail = {
        "by": children,
        events.SEALS: root(seals),
        **({events.IN_DOUBT: unconfirmed} if unconfirmed else {}),
        **({events.ARRIVED: accepted} if accepted else {}),
        **found,
    }
    events.append(
        connection, request.run, [Entry(event=Event.TAKEN_OVER, at=now, request=request.number, detail=detail)]
    )
    if followed and sealed:
        parts_of = dict(zip(children, seals, strict=True))
        for one in (State.PLANNED, State.UNCONFIRMED):
            some = {number: parts_of[number] for number, state in zip(children, states, strict=True) if state is one}
            followed.bear(some, free=one is State.PLANNED)
    return tuple(children)


def _add_part(
    connection: Connection,
    whole: Any,
    part: Part,
    recipients: Sequence[int],
    items: Sequence[tuple[int, int]],
    now: datetime,
    tag: str,
    state: State,
) -> int:
    """Adds a part as a new request; returns its number."""
    number: int = connection.execute(sa.select(sa.func.max(t.request.c.number) + 1)).scalar_one()
    people = [recipients[position] for position in part.recipients]
    connection.execute(
        sa.insert(t.request),
        {
            "number": number,
            "run": whole.run,
            "operation": whole.operation,
            "state": state.value,
            "state_at": instant(now),
            "recipient_count": len(part.recipients),
            "item_count": len(part.items),
            "attempts": 0,
            "parent": whole.number,
            "recipients": " ".join(map(str, people)),
            "tag": tag,
            # A part that arrived, or may have, was sent with the whole.
            "claimed": None if state is State.PLANNED else whole.claimed,
        },
    )
    connection.execute(sa.insert(t.recipient), [{"identity": identity, "request": number} for identity in people])
    connection.execute(
        sa.insert(t.request_item),
        [{"request": number, "item": items[i][0], "detail": items[i][1]} for i in part.items],
    )
    return number
