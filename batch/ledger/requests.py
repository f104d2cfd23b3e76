"""Requests on their way: claimed, answered, divided. Every transition is compare-and-set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from batch.body import body_of, encode, fingerprint
from batch.dialects import ItemType, Operation
from batch.errors import BrokenPromiseError
from batch.ledger import tables as t
from batch.ledger.engine import reading, writing
from batch.model import Request, RequestItem
from batch.states import Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.model import Answer, Part, Run
    from batch.outcome import Decision


class Requests:
    """The requests of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, run: Run, now: datetime) -> Request | None:
        """Takes the run's next request for sending, and records the attempt: both are durable when this returns.

        Returns:
            The request, now SENDING; None when nothing is left to send.
        """
        with writing(self._engine) as connection:
            row = connection.execute(
                sa.select(t.request)
                .where(t.request.c.run == run.id, t.request.c.state == State.PLANNED.value)
                .order_by(t.request.c.id)
                .limit(1)
            ).first()
            if row is None:
                return None
            request = _load(connection, row, attempts=row.attempts + 1)
            _move(connection, request.number, State.PLANNED, Event.CLAIMED, now, attempts=request.attempts)
            connection.execute(
                sa.insert(t.attempt),
                {
                    "request": request.number,
                    "number": request.attempts,
                    "at": t.instant(now),
                    "body_sha256": fingerprint(encode(body_of(request))),
                },
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
            _move(connection, request.number, State.SENDING, decision.event, now)
            connection.execute(
                sa.insert(t.answer).from_select(
                    ["attempt", "at", "event", "status", "detail_code", "tracking_id", "reason", "server_time"],
                    sa.select(
                        t.attempt.c.id,
                        *map(
                            sa.literal,
                            (t.instant(now), decision.event.value),
                        ),
                        sa.literal(answer.status, sa.Integer),
                        *map(sa.literal, (answer.detail_code, answer.tracking_id, decision.reason)),
                        sa.literal(answer.server_time and t.instant(answer.server_time), sa.Text),
                    ).where(t.attempt.c.request == request.number, t.attempt.c.number == request.attempts),
                )
            )
            if parts:
                _divide(connection, request, parts, now)

    def in_state(self, run: Run, state: State) -> tuple[Request, ...]:
        """The run's requests that are in `state`, in order."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(t.request)
                .where(t.request.c.run == run.id, t.request.c.state == state.value)
                .order_by(t.request.c.id)
            ).all()
            return tuple(_load(connection, row, attempts=row.attempts) for row in rows)

    def last_reasons(self, run: Run) -> dict[int, str]:
        """For each request of the run that was answered, the reason of its latest answer (may be empty)."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(t.request.c.id, t.answer.c.reason)
                .select_from(t.request.join(t.attempt).join(t.answer))
                .where(t.request.c.run == run.id)
                .order_by(t.attempt.c.number)
            )
            return dict(rows.all())


def _move(connection: Connection, number: int, state: State, event: Event, now: datetime, **also: int) -> None:
    moved = connection.execute(
        sa.update(t.request)
        .where(t.request.c.id == number, t.request.c.state == state.value)
        .values(state=advance(state, event).value, state_at=t.instant(now), **also)
    ).rowcount
    if moved != 1:
        raise BrokenPromiseError(f"Request {number} was expected to be {state} and is not: another process changed it.")


def _recipient_ids(connection: Connection, number: int) -> list[tuple[int, str]]:
    query = (
        sa.select(t.identity.c.id, t.identity.c.external_id)
        .join(t.recipient, t.recipient.c.identity == t.identity.c.id)
        .where(t.recipient.c.request == number)
        .order_by(t.identity.c.id)
    )
    return [(row.id, row.external_id) for row in connection.execute(query)]


def _item_rows(connection: Connection, number: int, any_recipient: int) -> Sequence[Any]:
    """The items of a request, in order: since it is a full product, any recipient's changes name them all."""
    return connection.execute(
        sa.select(t.change.c.item, t.change.c.detail, t.item.c.type, t.item.c.external_id, t.detail)
        .join(t.item, t.item.c.id == t.change.c.item)
        .join(t.detail, t.detail.c.id == t.change.c.detail)
        .where(t.change.c.identity == any_recipient, t.change.c.request == number)
        .order_by(t.change.c.item)
    ).all()


def _load(connection: Connection, row: Any, *, attempts: int) -> Request:
    recipients = _recipient_ids(connection, row.id)
    return Request(
        number=row.id,
        run=row.run,
        operation=Operation(row.operation),
        recipients=tuple(external_id for _, external_id in recipients),
        items=tuple(
            RequestItem(
                type=ItemType(item.type),
                id=item.external_id,
                comment=item.comment,
                start_date=item.start_date,
                remove_date=item.remove_date,
                metadata=json.loads(item.metadata) if item.metadata else {},
            )
            for item in _item_rows(connection, row.id, recipients[0][0])
        ),
        attempts=attempts,
        parent=row.parent,
    )


def _divide(connection: Connection, request: Request, parts: Sequence[Part], now: datetime) -> None:
    """Makes a new request of each part; the refused one hands its changes over to them."""
    recipients = [number for number, _ in _recipient_ids(connection, request.number)]
    items = [(row.item, row.detail) for row in _item_rows(connection, request.number, recipients[0])]
    covered = [(r, i) for part in parts for r in part.recipients for i in part.items]
    if sorted(covered) != [(r, i) for r in range(len(recipients)) for i in range(len(items))]:
        raise BrokenPromiseError(f"The parts of request {request.number} are not the whole of it.")
    _move(connection, request.number, State.REFUSED, Event.TAKEN_OVER, now)
    for part in parts:
        number = connection.execute(
            sa.insert(t.request).returning(t.request.c.id),
            {
                "run": request.run,
                "operation": request.operation.value,
                "state": State.PLANNED.value,
                "state_at": t.instant(now),
                "recipient_count": len(part.recipients),
                "item_count": len(part.items),
                "attempts": 0,
                "parent": request.number,
            },
        ).scalar_one()
        people = [recipients[position] for position in part.recipients]
        connection.execute(sa.insert(t.recipient), [{"request": number, "identity": identity} for identity in people])
        connection.execute(
            sa.insert(t.change),
            [
                {"identity": identity, "item": items[i][0], "request": number, "detail": items[i][1]}
                for identity in people
                for i in part.items
            ],
        )
