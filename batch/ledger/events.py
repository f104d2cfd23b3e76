"""The books of a run: events, each sealed with the hash of the one before, so that a change or a gap shows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.states import Event

PLANNED: Final = "planned"
"""The one event that is not a transition: requests were written."""

_SEALED: Final = ("run", "number", "at", "request", "event", "attempt", "status", "detail")


def append(
    connection: Connection,
    run: str,
    event: Event | str,
    now: datetime,
    *,
    request: int | None = None,
    attempt: int | None = None,
    status: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds an event to a run's books.

    Args:
        connection: In the transaction that does what the event says.
        run: The run's id.
        event: What happened.
        now: When.
        request: Number of the request that it happened to; None for the run as a whole.
        attempt: Number of the attempt, where there is one.
        status: HTTP status, where one came back.
        detail: Anything else worth keeping, without secrets; empty values are left out.
    """
    number, before = _last(connection, run)
    kept = _kept(detail)
    line = _line(run, number + 1, now, request, event, attempt, status, kept)
    connection.execute(sa.insert(t.event), {**line, "hash": seal(before, line)})


def append_for_each(
    connection: Connection,
    run: str,
    event: Event,
    now: datetime,
    *,
    requests: Sequence[int],
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds the same event for each of many requests; otherwise like `append`."""
    number, before = _last(connection, run)
    lines = []
    for position, request in enumerate(requests, start=1):
        line = _line(run, number + position, now, request, event, None, None, _kept(detail))
        before = seal(before, line)
        lines.append({**line, "hash": before})
    if lines:
        connection.execute(sa.insert(t.event), lines)


def _last(connection: Connection, run: str) -> tuple[int, str]:
    """Number and hash of the last line of a run's books."""
    last = connection.execute(
        sa.select(t.event.c.number, t.event.c.hash)
        .where(t.event.c.run == run)
        .order_by(t.event.c.number.desc())
        .limit(1)
    ).first()
    return (last.number, last.hash) if last is not None else (0, "")


def _kept(detail: Mapping[str, Any] | None) -> str:
    return json.dumps({name: value for name, value in (detail or {}).items() if value not in (None, "")})


def _line(
    run: str,
    number: int,
    now: datetime,
    request: int | None,
    event: Event | str,
    attempt: int | None,
    status: int | None,
    detail: str,
) -> dict[str, Any]:
    return {
        "run": run,
        "number": number,
        "at": t.instant(now),
        "request": request,
        "event": str(event),
        "attempt": attempt,
        "status": status,
        "detail": detail,
    }


def seal(before: str, line: Mapping[str, Any]) -> str:
    """The hash of a line of the books, which holds that of the line before.

    Args:
        before: Hash of the line before; empty for a run's first.
        line: The line's columns, without its own hash.
    """
    content = json.dumps([before, *(line[name] for name in _SEALED)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
