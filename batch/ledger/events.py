"""The books of a run: events, each sealed with the hash of the one before, so that a change or a gap shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.states import Event

PLANNED: Final = "planned"
"""No transition: requests were written."""

IMPORTED: Final = "imported"
"""No transition either: accepted requests were written, which are not of our sending."""

BORN: Final = (PLANNED, IMPORTED)
"""The events that say where requests come from: `first` is the number of the first, `requests` how many those are."""

CANCELLING: Final = "cancelling"
"""Of the run as a whole: what of it the tenant accepted is being withdrawn there."""

WITHIN: Final = "within"
"""In the detail of an attempt and of its answer: the number of the request in whose body this one travels."""

_SEALED: Final = ("run", "number", "at", "request", "event", "attempt", "status", "detail")

_LAST: Final = (
    sa.select(t.event.c.number, t.event.c.hash)
    .where(t.event.c.run == sa.bindparam("run"))
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_ADD: Final = sa.insert(t.event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What is to be added to a run's books.

    Attributes:
        event: What happened.
        at: When.
        request: Number of the request that it happened to; None for the run as a whole.
        attempt: Number of the attempt, where there is one.
        status: HTTP status, where one came back.
        detail: Anything else worth keeping, without secrets; empty values are left out.
    """

    event: Event | str
    at: datetime
    request: int | None = None
    attempt: int | None = None
    status: int | None = None
    detail: Mapping[str, Any] | None = None


def append(connection: Connection, run: str, entries: Sequence[Entry]) -> None:
    """Adds events to a run's books, in the transaction that does what they say."""
    number, before = _last(connection, run)
    lines = []
    for position, entry in enumerate(entries, start=1):
        line = _line(run, number + position, entry)
        before = seal(before, line)
        lines.append({**line, "hash": before})
    if lines:
        connection.execute(_ADD, lines)


def _last(connection: Connection, run: str) -> tuple[int, str]:
    """Number and hash of the last line of a run's books."""
    last = connection.execute(_LAST, {"run": run}).first()
    return (last.number, last.hash) if last is not None else (0, "")


def _line(run: str, number: int, entry: Entry) -> dict[str, Any]:
    return {
        "run": run,
        "number": number,
        "at": t.instant(entry.at),
        "request": entry.request,
        "event": str(entry.event),
        "attempt": entry.attempt,
        "status": entry.status,
        "detail": json.dumps({name: value for name, value in (entry.detail or {}).items() if value not in (None, "")}),
    }


def seal(before: str, line: Mapping[str, Any]) -> str:
    """The hash of a line of the books, which holds that of the line before.

    Args:
        before: Hash of the line before; empty for a run's first.
        line: The line's columns, without its own hash.
    """
    content = json.dumps([before, *(line[name] for name in _SEALED)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
