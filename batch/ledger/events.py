"""The books of a run: events, each sealed with the hash of the one before, so that a change or a gap shows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    last = connection.execute(
        sa.select(t.event.c.number, t.event.c.hash)
        .where(t.event.c.run == run)
        .order_by(t.event.c.number.desc())
        .limit(1)
    ).first()
    number, before = (last.number + 1, last.hash) if last is not None else (1, "")
    kept = {name: value for name, value in (detail or {}).items() if value is not None and value != ""}
    line = {
        "run": run,
        "number": number,
        "at": t.instant(now),
        "request": request,
        "event": str(event),
        "attempt": attempt,
        "status": status,
        "detail": json.dumps(kept, ensure_ascii=False),
    }
    connection.execute(sa.insert(t.event), {**line, "hash": seal(before, line)})


def seal(before: str, line: Mapping[str, Any]) -> str:
    """The hash of a line of the books, which holds that of the line before.

    Args:
        before: Hash of the line before; empty for a run's first.
        line: The line's columns, without its own hash.
    """
    content = json.dumps([before, *(line[name] for name in _SEALED)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
