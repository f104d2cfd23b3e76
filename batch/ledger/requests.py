"""Requests on their way: claimed, answered, divided. Every transition is compare-and-set."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.body import body_of, encode, fingerprint
from batch.dialects import ItemType, Operation
from batch.errors import BrokenPromiseError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.engine import reading, writing
from batch.ledger.runs import require_held
from batch.model import Doubt, Request, RequestItem
from batch.states import Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process
    from batch.model import Answer, Part, Run
    from batch.outcome import Decision


_REQUEST: Final = sa.select(t.request, t.run.c.id.label("run_id")).join(t.run, t.run.c.number == t.request.c.run)
_ENDS_OF_ATTEMPTS: Final = (Event.CLAIMED.value, Event.UNDECIDED.value, Event.ABANDONED.value)


class Requests:
    """The requests of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, run: Run, now: datetime, process: Process) -> Request | None:
        """Takes the run's next request for sending, and records the attempt: both are durable when this returns.

        Args:
            run: The run.
            now: When.
            process: It must hold the run: one that was taken for dead must not go on.

        Returns:
            The request, now SENDING; None when nothing is left to send.

        Raises:
            RunHeldError: It does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run, process)
            row = connection.execute(
                _REQUEST.where(_in_state(run, State.PLANNED)).order_by(t.request.c.id).limit(1)
            ).first()
            if row is None:
                return None
            request = _load(connection, row, attempts=row.attempts + 1)
            if (len(request.recipients), len(request.items)) != (row.recipient_count, row.item_count):
                raise BrokenPromiseError(f"Request {request.id} is not whole any more: `ledger verify` says more.")
            _move(connection, request, State.PLANNED, Event.CLAIMED, now, attempts=1)
            events.append(
                connection,
                run.id,
                Event.CLAIMED,
                now,
                request=request.number,
                attempt=request.attempts,
                detail={"body_sha256": fingerprint(encode(body_of(request)))},
            )
            return request

    def record(
        self, request: Request, answer: Answer, decision: Decision, now: datetime, *, parts: Sequence[Part] = ()
    ) -> None:
        """Records what came back from the latest attempt of a request, and what that makes of it.

        Args:
            request: As claimed.
            answer: What came back.
            decision: What it means.
            now: When it came.
            parts: Where the request is refused: the smaller requests that take over all its changes.

        Raises:
            BrokenPromiseError: The request is not being sent any more.
        """
        with writing(self._engine) as connection:
            _move(connection, request, State.SENDING, decision.event, now)
            events.append(
                connection,
                request.run,
                decision.event,
                now,
                request=request.number,
                attempt=request.attempts,
                status=answer.status,
                detail={
                    "detail_code": answer.detail_code,
                    "tracking_id": answer.tracking_id,
                    "reason": decision.reason,
                    "server_time": answer.server_time and t.instant(answer.server_time),
                },
            )
            if parts:
                _divide(connection, request, parts, State.REFUSED, now)

    def doubts(self, run: Run) -> tuple[Doubt, ...]:
        """The run's UNCONFIRMED requests, in order, with when they were sent."""
        with reading(self._engine) as connection:
            rows = connection.execute(_REQUEST.where(_in_state(run, State.UNCONFIRMED)).order_by(t.request.c.id)).all()
            return tuple(_doubt(connection, row) for row in rows)

    def doubt(self, request: Request) -> Doubt:
        """The doubt about one request that has just become UNCONFIRMED."""
        with reading(self._engine) as connection:
            return _doubt(connection, connection.execute(_REQUEST.where(t.request.c.id == request.number)).one())

    def settle(
        self,
        request: Request,
        *,
        arrived: bool,
        now: datetime,
        parts: Sequence[Part] = (),
        access_requests: Sequence[str] = (),
    ) -> None:
        """Records what settling found out about an UNCONFIRMED request.

        Args:
            request: The request.
            arrived: Whether all of it arrived; if not, it is PLANNED again.
            now: When that was found out.
            parts: Where only some of it arrived: the requests that take over, each arrived or not.
            access_requests: The tenant's ids of what was found.

        Raises:
            BrokenPromiseError: The request is not UNCONFIRMED any more.
        """
        found = {"access_requests": list(access_requests)} if access_requests else {}
        with writing(self._engine) as connection:
            if parts:
                _divide(connection, request, parts, State.UNCONFIRMED, now, found)
                return
            event = Event.FOUND if arrived else Event.NOT_FOUND
            _move(connection, request, State.UNCONFIRMED, event, now)
            events.append(connection, request.run, event, now, request=request.number, detail=found)

    def in_state(self, run: Run, state: State) -> tuple[Request, ...]:
        """The run's requests that are in `state`, in order."""
        with reading(self._engine) as connection:
            rows = connection.execute(_REQUEST.where(_in_state(run, state)).order_by(t.request.c.id)).all()
            return tuple(_load(connection, row, attempts=row.attempts) for row in rows)

    def last_reasons(self, run: Run) -> dict[int, str]:
        """For each request of the run that the tenant refused or left in doubt, the latest reason."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(t.event.c.request, t.event.c.detail)
                .where(t.event.c.run == run.id, t.event.c.request.is_not(None), t.event.c.detail.contains('"reason"'))
                .order_by(t.event.c.number)
            )
            return {row.request: json.loads(row.detail)["reason"] for row in rows}


def load_request(connection: Connection, number: int) -> Request | None:
    """A request by its number, as it is now; None where there is none."""
    row = connection.execute(_REQUEST.where(t.request.c.id == number)).first()
    return None if row is None else _load(connection, row, attempts=row.attempts)


def _in_state(run: Run, state: State) -> sa.ColumnElement[bool]:
    return (t.request.c.run == t.number_of_run(run.id)) & (t.request.c.state == state.value)


def _move(
    connection: Connection, request: Request, state: State, event: Event, now: datetime, *, attempts: int = 0
) -> None:
    """Compare-and-set: from `state` and the request's count of attempts, by `event`, adding to that count."""
    moved = connection.execute(
        sa.update(t.request)
        .where(
            t.request.c.id == request.number,
            t.request.c.state == state.value,
            t.request.c.attempts == request.attempts - attempts,
        )
        .values(state=advance(state, event).value, state_at=t.instant(now), attempts=request.attempts)
    ).rowcount
    if moved != 1:
        raise BrokenPromiseError(
            f"Request {request.id} was expected to be {state} in attempt {request.attempts} and is not: "
            "another process changed it."
        )


def _recipient_rows(connection: Connection, row: Any) -> Sequence[Any]:
    """Number and id of a request's recipients, in order of their numbers."""
    numbers = [int(number) for number in row.recipients.split()]
    return connection.execute(
        sa.select(t.identity.c.id, t.identity.c.external_id)
        .where(t.identity.c.id.in_(numbers))
        .order_by(t.identity.c.id)
    ).all()


def _item_rows(connection: Connection, number: int) -> Sequence[Any]:
    """The items of a request, in order."""
    return connection.execute(
        sa.select(t.request_item.c.item, t.request_item.c.detail, t.item.c.type, t.item.c.external_id, t.detail)
        .join(t.item, t.item.c.id == t.request_item.c.item)
        .join(t.detail, t.detail.c.id == t.request_item.c.detail)
        .where(t.request_item.c.request == number)
        .order_by(t.request_item.c.item)
    ).all()


def _load(connection: Connection, row: Any, *, attempts: int) -> Request:
    return Request(
        number=row.id,
        run=row.run_id,
        operation=Operation(row.operation),
        recipients=tuple(recipient.external_id for recipient in _recipient_rows(connection, row)),
        items=tuple(
            RequestItem(
                type=ItemType(item.type),
                id=item.external_id,
                comment=item.comment,
                start_date=item.start_date,
                remove_date=item.remove_date,
                metadata=json.loads(item.metadata) if item.metadata else {},
            )
            for item in _item_rows(connection, row.id)
        ),
        attempts=attempts,
        parent=row.parent,
    )


def _doubt(connection: Connection, row: Any) -> Doubt:
    """A request in doubt; where its process died, the tenant may still be at work when that is noticed."""
    lines = connection.execute(
        sa.select(t.event.c.at, t.event.c.event)
        .where(t.event.c.request == row.id, t.event.c.event.in_(_ENDS_OF_ATTEMPTS))
        .order_by(t.event.c.number)
    ).all()
    return Doubt(
        request=_load(connection, row, attempts=row.attempts),
        first_attempt=t.moment(lines[0].at),
        ended=t.moment(lines[-1].at),
    )


def _divide(
    connection: Connection,
    request: Request,
    parts: Sequence[Part],
    state: State,
    now: datetime,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Makes a new request of each part; the one that is in `state` hands its changes over to them."""
    row = connection.execute(_REQUEST.where(t.request.c.id == request.number)).one()
    recipients = [recipient.id for recipient in _recipient_rows(connection, row)]
    items = [(item.item, item.detail) for item in _item_rows(connection, request.number)]
    covered = [(r, i) for part in parts for r in part.recipients for i in part.items]
    if sorted(covered) != [(r, i) for r in range(len(recipients)) for i in range(len(items))]:
        raise BrokenPromiseError(f"The parts of request {request.number} are not the whole of it.")
    _move(connection, request, state, Event.TAKEN_OVER, now)
    children = [_add_part(connection, row, part, recipients, items, now) for part in parts]
    events.append(
        connection, request.run, Event.TAKEN_OVER, now, request=request.number, detail={"by": children, **found}
    )


def _add_part(
    connection: Connection,
    whole: Any,
    part: Part,
    recipients: Sequence[int],
    items: Sequence[tuple[int, int]],
    now: datetime,
) -> int:
    """Adds the request that a part becomes; returns its number."""
    number: int = connection.execute(sa.select(sa.func.max(t.request.c.id) + 1)).scalar_one()
    people = [recipients[position] for position in part.recipients]
    connection.execute(
        sa.insert(t.request),
        {
            "id": number,
            "run": whole.run,
            "operation": whole.operation,
            "state": (State.ACCEPTED if part.arrived else State.PLANNED).value,
            "state_at": t.instant(now),
            "recipient_count": len(part.recipients),
            "item_count": len(part.items),
            "attempts": 0,
            "parent": whole.id,
            "recipients": " ".join(map(str, people)),
        },
    )
    connection.execute(sa.insert(t.recipient), [{"identity": identity, "request": number} for identity in people])
    connection.execute(
        sa.insert(t.request_item),
        [{"request": number, "item": items[i][0], "detail": items[i][1]} for i in part.items],
    )
    return number
