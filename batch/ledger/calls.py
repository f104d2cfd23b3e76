"""Permits to call: all processes that share a ledger count their calls here against one rate limit.

A permit is a row of `call`. Its `left_at` is null until the call's last byte has left; then it counts for one more
window. If a process dies with permits, its calls count as having left when the death is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.rate_window import MARGIN, Permits, Share, allowed, counts_since, frees_at
from batch.ledger import tables as t
from batch.ledger.engine import writing
from batch.ledger.process import Process
from batch.ledger.tables import number_of_tenant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.api.dialects import Rate
    from batch.model import Clock

STEPPED: Final = 1.0
"""If the ledger is ahead of the clock by more seconds, the clock was set back."""

LATE: Final = 1.0
"""Seconds after which a call that has not left makes us check whether its process is alive."""

ASK_AGAIN: Final = 0.05
"""Seconds until we ask again if calls of another process have yet to leave."""

TIDY_EVERY: Final = 1.0
"""Seconds between two removals of calls that no longer count."""

_PACE: Final = (
    sa.select(t.pace)
    .join(t.tenant, t.tenant.c.id == t.pace.c.tenant)
    .where(
        t.tenant.c.name == sa.bindparam("tenant"),
        t.pace.c.client == sa.bindparam("client"),
        t.pace.c.dialect == sa.bindparam("dialect"),
    )
)
_THIS: Final = (t.call.c.pace == sa.bindparam("of")) & (t.call.c.number == sa.bindparam("this"))
_HAS_LEFT: Final = sa.update(t.call).where(_THIS).values(left_at=sa.bindparam("at"))
_UNUSED: Final = sa.delete(t.call).where(_THIS)
_COUNTING: Final = (t.call.c.pace == sa.bindparam("of")) & (
    t.call.c.left_at.is_(None) | (t.call.c.left_at > sa.bindparam("since"))
)
_COUNT: Final = sa.select(sa.func.count()).where(_COUNTING)
_FIRST_TO_LEAVE: Final = (
    sa.select(t.call)
    .where(_COUNTING)
    .order_by(t.call.c.left_at.is_(None), t.call.c.left_at)
    .limit(sa.bindparam("too_many"))
)
_GIVE: Final = sa.insert(t.call)
_GIVEN: Final = (
    sa.update(t.pace).where(t.pace.c.id == sa.bindparam("of")).values(calls=t.pace.c.calls + sa.bindparam("more"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RateKey:
    """The calls that the tenant counts together.

    Attributes:
        tenant: The tenant's name in the ledger.
        client: Client id of the credentials.
        dialect: Name of the API version.
    """

    tenant: str
    client: str
    dialect: str


class Calls:
    """The calls that the tenant counts together, as one of the processes that make them sees them.

    Args:
        engine: Of the ledger.
        lane: What is counted together.
        rate: The limit to keep.
        process: Who asks.
        clock: Read inside the transaction: an older moment would look like a clock that was set back.
    """

    def __init__(self, engine: Engine, rate_key: RateKey, *, rate: Rate, process: Process, clock: Clock) -> None:
        self._engine = engine
        self._rate_key = rate_key
        self._rate = rate
        self._process = process
        self._clock = clock
        self._tidied_at = 0.0

    def permit(self, *, wanted: int, left: Mapping[int, float | None]) -> Permits:
        """Gives all permits that are wanted, or none and the time to ask again.

        Args:
            wanted: How many; 0 to report what has left.
            left: Earlier permits of this process and when their calls left; None for an unused permit.
        """
        rate = self._rate
        with writing(self._engine) as connection:
            now = self._clock.epoch()
            pace = _pace(connection, self._rate_key, rate, now)
            _record_left(connection, pace.id, left)
            # Also if the clock was set back since then.
            if not 0 <= now - self._tidied_at < TIDY_EVERY:
                _forget(connection, pace, now)
                self._tidied_at = now
            most = allowed(rate, _share(pace).at(now, rate))
            silence = pace.silent_until - now
            if silence > 0 or not wanted:
                return Permits(at=now, wait=max(0.0, silence), silence=max(0.0, silence), allowed=most)
            free = most - _count(connection, pace.id, now, rate)
            few = min(wanted, most) - free
            if few > 0:
                wait = _wait(connection, pace.id, few, now, rate, self._process)
                return Permits(at=now, wait=wait, allowed=most)
            given = min(wanted, free)
            numbers = tuple(range(pace.calls + 1, pace.calls + 1 + given))
            _add(connection, pace.id, numbers, now, self._process)
            return Permits(at=now, numbers=numbers, free=free - given, allowed=most)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        """Permits no call for so long, in any process.

        Args:
            seconds: How long.
            permitted_at: When the rejected call was permitted.
            violated: Whether it was rejected for the rate limit, which cuts the share.
        """
        with writing(self._engine) as connection:
            now = self._clock.epoch()
            pace = _pace(connection, self._rate_key, self._rate, now)
            until = max(pace.silent_until, now + seconds)
            share = _share(pace)
            if violated:
                share = share.cut(permitted_at=permitted_at, until=until, now=now, rate=self._rate)
            connection.execute(
                sa.update(t.pace)
                .where(t.pace.c.id == pace.id)
                .values(silent_since=now, silent_until=until, cut_to=share.cut_to, cut_at=share.cut_at)
            )


def _share(pace: Any) -> Share:
    return Share(cut_to=pace.cut_to, cut_at=pace.cut_at)


def _pace(connection: Connection, rate_key: RateKey, rate: Rate, now: float) -> Any:
    """The rate key's row, added if there is none, and corrected if the clock was set back."""
    of = {"tenant": rate_key.tenant, "client": rate_key.client, "dialect": rate_key.dialect}
    row = connection.execute(_PACE, of).first()
    if row is None:
        connection.execute(
            sa.insert(t.pace),
            {
                "tenant": number_of_tenant(connection, rate_key.tenant),
                "client": rate_key.client,
                "dialect": rate_key.dialect,
                "calls": 0,
                "longest": rate.seconds,
                "silent_since": 0.0,
                "silent_until": 0.0,
                "cut_to": 1.0,
                "cut_at": 0.0,
            },
        )
        return connection.execute(_PACE, of).one()
    changed: dict[str, float] = {}
    if row.longest < rate.seconds:
        changed["longest"] = rate.seconds
    if row.silent_since > now + STEPPED:
        changed |= {"silent_since": now, "silent_until": now + row.silent_until - row.silent_since}
    if not changed:
        return row
    connection.execute(sa.update(t.pace).where(t.pace.c.id == row.id).values(**changed))
    return connection.execute(_PACE, of).one()


def _record_left(connection: Connection, pace: int, left: Mapping[int, float | None]) -> None:
    """Records when calls left, and takes unused permits back."""
    gone = [{"of": pace, "this": number, "at": at} for number, at in left.items() if at is not None]
    unused = [{"of": pace, "this": number} for number, at in left.items() if at is None]
    if gone:
        connection.execute(_HAS_LEFT, gone)
    if unused:
        connection.execute(_UNUSED, unused)


def _forget(connection: Connection, pace: Any, now: float) -> None:
    """Removes calls that no longer count. Calls that left in the future left now."""
    of_pace = t.call.c.pace == pace.id
    connection.execute(sa.delete(t.call).where(of_pace, t.call.c.left_at < now - pace.longest - 2 * MARGIN))
    connection.execute(sa.update(t.call).where(of_pace, t.call.c.left_at > now + STEPPED).values(left_at=now))


def _count(connection: Connection, pace: int, now: float, rate: Rate) -> int:
    return int(connection.execute(_COUNT, {"of": pace, "since": counts_since(now, rate)}).scalar_one())


def _wait(connection: Connection, pace: int, too_many: int, now: float, rate: Rate, process: Process) -> float:
    """Seconds until so many calls stop counting."""
    calls = connection.execute(
        _FIRST_TO_LEAVE, {"of": pace, "since": counts_since(now, rate), "too_many": too_many}
    ).all()
    last = calls[-1]
    _close_dead(connection, pace, now, process)
    return ASK_AGAIN if last.left_at is None else max(0.001, frees_at(last.left_at, rate) - now)


def _close_dead(connection: Connection, pace: int, now: float, process: Process) -> None:
    """Records that the calls of dead processes have left."""
    at = datetime.fromtimestamp(now, UTC)
    owner_of = (t.call.c.machine, t.call.c.pid, t.call.c.process_started)
    waiting = connection.execute(
        sa.select(*owner_of, sa.func.max(t.call.c.permitted_at).label("permitted_at"))
        .where(t.call.c.pace == pace, t.call.c.left_at.is_(None), t.call.c.permitted_at < now - LATE)
        .group_by(*owner_of)
    ).all()
    for machine, pid, started, permitted_at in waiting:
        owner = Process(host=process.host, machine=machine, pid=pid, started=started)
        beat = datetime.fromtimestamp(permitted_at, UTC).isoformat()
        if owner != process and not owner.is_alive(beat=beat, now=at):
            connection.execute(
                sa.update(t.call)
                .where(
                    t.call.c.pace == pace,
                    t.call.c.left_at.is_(None),
                    t.call.c.machine == machine,
                    t.call.c.pid == pid,
                    t.call.c.process_started == started,
                )
                .values(left_at=now)
            )


def _add(connection: Connection, pace: int, numbers: Sequence[int], now: float, process: Process) -> None:
    connection.execute(
        _GIVE,
        [
            {
                "pace": pace,
                "number": number,
                "left_at": None,
                "machine": process.machine,
                "pid": process.pid,
                "process_started": process.started,
                "permitted_at": now,
            }
            for number in numbers
        ],
    )
    connection.execute(_GIVEN, {"of": pace, "more": len(numbers)})
