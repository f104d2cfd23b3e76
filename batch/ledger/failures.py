"""The planned requests of a run that have failed before, from its events."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.answers.poison import Failed, Failures, is_failure
from batch.ledger import tables as t
from batch.ledger.events import ATTEMPT, BLOCKED, REASON, WITHIN, WITHIN_COLUMN
from batch.ledger.rows import REQUEST, load_requests
from batch.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Connection

_RUN: Final = sa.select(t.run.c.number).where(t.run.c.id == sa.bindparam("run_id")).scalar_subquery()
_TRIED: Final = REQUEST.where(
    t.request.c.run == _RUN, t.request.c.state == State.PLANNED.value, t.request.c.attempts > 0
).order_by(t.request.c.number)
_EVENTS: Final = (
    sa.select(t.event)
    .where(
        t.event.c.request.in_(sa.bindparam("requests", expanding=True)),
        t.event.c.event.in_([Event.CLAIMED, Event.UNDECIDED, Event.NOT_PROCESSED, Event.NOT_FOUND]),
    )
    .order_by(t.event.c.number)
)
_COMPANIONS: Final = sa.select(t.event.c.request, t.event.c.detail).where(
    t.event.c.run == _RUN,
    t.event.c.event == Event.CLAIMED.value,
    WITHIN_COLUMN.in_(sa.bindparam("requests", expanding=True)),
)
"""Attempts of requests that travelled in the body of one of these; they need not be planned any more."""
_LAST_ACCEPTED: Final = (
    sa.select(t.event.c.number)
    .where(t.event.c.run == _RUN, t.event.c.event == Event.ACCEPTED.value)
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_GOT_THROUGH: Final = sa.select(sa.func.count()).where(
    t.request.c.run == _RUN, t.request.c.state == State.ACCEPTED.value, t.request.c.attempts > 0
)
_BY_CHANCE: Final = (
    sa.select(sa.func.count())
    .select_from(t.request)
    .join(t.event, t.event.c.request == t.request.c.number)
    .where(
        t.request.c.run == _RUN,
        t.request.c.state == State.ACCEPTED.value,
        t.request.c.attempts > 1,
        t.event.c.event == Event.NOT_FOUND.value,
    )
)
"""Lost connections count too: more failures are needed then, not fewer."""
_JOINED: Final = sa.select(t.envelope.c.request, t.envelope.c.number).where(
    t.envelope.c.request.in_(sa.bindparam("requests", expanding=True))
)
_FORBIDDEN: Final = 403


@dataclass(kw_only=True, slots=True)
class _History:
    """The failed attempts of one request."""

    alone: int = 0
    shared: int = 0
    first: int = 0
    last: int = 0
    forbidden: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)

    def add(self, answer: Any, *, shared: bool, forbidden: bool = False) -> None:
        """One more attempt has failed, with this answer."""
        self.shared += shared
        self.alone += not shared
        self.first = self.first or answer.number
        self.last = answer.number
        self.forbidden, self.detail = forbidden, json.loads(answer.detail)


def failures(connection: Connection, run_id: str) -> Failures:
    """The failures of a run.

    An undecided attempt counts only once settling has shown that it did not arrive.
    """
    accepted: int = connection.execute(_LAST_ACCEPTED, {"run_id": run_id}).scalar() or 0
    rows = connection.execute(_TRIED, {"run_id": run_id}).all()
    if not rows:
        return Failures(failed=(), accepted=accepted)
    numbers = [row.number for row in rows]
    family = sorted({*numbers, *(row.parent for row in rows if row.parent is not None)})
    companions = connection.execute(_COMPANIONS, {"run_id": run_id, "requests": family}).all()
    histories = _histories(connection.execute(_EVENTS, {"requests": family}).all(), companions)
    joined = {row.request: row.number for row in connection.execute(_JOINED, {"requests": numbers})}
    failed = []
    for request in load_requests(connection, rows):
        if (history := histories.get(request.number)) is None:
            continue
        whole = None if request.parent is None else histories.get(request.parent)
        failed.append(
            Failed(
                request=request,
                alone=history.alone,
                shared=history.shared,
                company=joined.get(request.number),
                is_part=whole is not None,
                since=whole.last if whole else history.first,
                last=history.last,
                forbidden=history.forbidden,
                blocked=bool(history.detail.get(BLOCKED)),
                reason=history.detail.get(REASON, ""),
            )
        )
    return Failures(
        failed=tuple(failed),
        accepted=accepted,
        got_through=connection.execute(_GOT_THROUGH, {"run_id": run_id}).scalar_one(),
        by_chance=connection.execute(_BY_CHANCE, {"run_id": run_id}).scalar_one(),
    )


def _histories(events: Iterable[Any], companions: Iterable[Any]) -> Mapping[int, _History]:
    """The histories of the requests that have failed."""
    found: defaultdict[int, _History] = defaultdict(_History)
    attempts: dict[int, str] = {}
    together: defaultdict[str, set[int]] = defaultdict(set)
    undecided: dict[int, Any] = {}
    for event in companions:
        together[_attempt(event)].add(event.request)
    for event in events:
        number = event.request
        match event.event:
            case Event.CLAIMED:
                attempts[number] = _attempt(event)
                together[attempts[number]] |= {number, json.loads(event.detail).get(WITHIN, number)}
                undecided.pop(number, None)
            case Event.NOT_PROCESSED if event.status == _FORBIDDEN:
                found[number].add(event, shared=len(together[attempts[number]]) > 1, forbidden=True)
            case Event.UNDECIDED if is_failure(event.status):
                undecided[number] = event
            case Event.NOT_FOUND if number in undecided:
                found[number].add(undecided.pop(number), shared=len(together[attempts[number]]) > 1)
            case _:
                pass
    return found


def _attempt(claimed: Any) -> str:
    """The id of an attempt. Those of old ledgers have none."""
    detail = json.loads(claimed.detail)
    return detail.get(ATTEMPT) or str(detail.get(WITHIN, claimed.request))
