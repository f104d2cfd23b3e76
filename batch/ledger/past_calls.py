"""Calls that no longer count, and those of processes that have died."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.rate_window import widest, window
from batch.ledger import tables as t
from batch.ledger.permit_clock import STEPPED
from batch.ledger.postgresql import server_of
from batch.ledger.process import Process

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LATE: Final = 1.0
"""Seconds after which a call that has not left makes us check whether its process is alive."""

TIDY_EVERY: Final = 1.0
"""Seconds between two removals of calls that no longer count."""

TIDY_SHARED_EVERY: Final = 5.0
"""The same in a database that machines share: all of them remove, and each removal takes several round trips."""

_OF_PACE: Final = t.call.c.pace == sa.bindparam("of")
_AT: Final = sa.bindparam("at", type_=sa.Float())
_PAST: Final = sa.delete(t.call).where(_OF_PACE, t.call.c.counted_by < sa.bindparam("since"))
_LATER: Final = {column: column > sa.bindparam("until") for column in (t.call.c.counted_by, t.call.c.permitted_at)}
_WERE_NOW: Final = (
    sa.update(t.call)
    .where(_OF_PACE, sa.or_(*_LATER.values()))
    .values({column: sa.case((later, _AT), else_=column) for column, later in _LATER.items()})
)
_OWNER: Final = (t.call.c.machine, t.call.c.pid, t.call.c.process_started)
_UNCOUNTED: Final = _OF_PACE & t.call.c.counted_by.is_(None)
_UNREPORTED: Final = (
    sa.select(*_OWNER, sa.func.max(t.call.c.permitted_at).label("permitted_at"))
    .where(_UNCOUNTED, t.call.c.permitted_at < sa.bindparam("before"))
    .group_by(*_OWNER)
)
_OF_DEAD: Final = (
    sa.update(t.call)
    .where(_UNCOUNTED, *(column == sa.bindparam(f"of_{column.name}") for column in _OWNER))
    .values(counted_by=_AT)
)


def tidied(connection: Connection, pace: Any, now: float, tidied_at: float) -> float:
    """Removes calls that no longer count, unless that was done a moment ago; returns when it was done."""
    every = TIDY_EVERY if server_of(connection) is None else TIDY_SHARED_EVERY
    # Also if the clock was set back since then.
    if 0 <= now - tidied_at < every:
        return tidied_at
    _forget(connection, pace, now)
    return now


def _forget(connection: Connection, pace: Any, now: float) -> None:
    """Removes calls that no longer count. Calls that were permitted or counted in the future were it now."""
    # Others may count them over the documented window, even if no rate until now had so long a one.
    connection.execute(_PAST, {"of": pace.id, "since": now - window(widest(pace.longest))})
    connection.execute(_WERE_NOW, {"of": pace.id, "until": now + STEPPED, "at": now})


def close_dead(connection: Connection, pace: int, now: float, process: Process) -> None:
    """Records that the calls of dead processes were counted. Only the clock of the permits is asked."""
    at = datetime.fromtimestamp(now, UTC)
    waiting = connection.execute(_UNREPORTED, {"of": pace, "before": now - LATE}).all()
    for machine, pid, started, permitted_at in waiting:
        owner = Process(host=process.host, machine=machine, pid=pid, started=started)
        beat = datetime.fromtimestamp(max(0.0, permitted_at), UTC).isoformat()
        if owner != process and not owner.is_alive(beat=beat, now=at):
            of = {"of": pace, "of_machine": machine, "of_pid": pid, "of_process_started": started}
            connection.execute(_OF_DEAD, {**of, "at": now})
