"""Permits to call: all processes that share a ledger count their calls here against one rate limit.

A permit is a row of `call`. Its `counted_by` is null until the tenant has surely counted the call; then it counts for
one more window. If a process dies with permits, the tenant has counted its calls once the death is noticed.

All times are by a clock that nobody sets and all processes read: see `permit_clock`. Who comes with another one, as of
another boot, first sees the counter stand still for a whole window, then takes it over: so two machines take turns.

Others can write to the ledger, and a file can be damaged. So no number in it holds a process up for more than a day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.rate_window import (
    SPREAD,
    USED_WITHIN,
    Permits,
    Share,
    allowed,
    counts_for,
    counts_since,
    departures,
    given,
    in_wider_windows,
    repaired,
    window,
)
from batch.errors import BudgetSpentError
from batch.ledger import tables as t
from batch.ledger.budget import MONTH_CALLS, OF_MONTH, MonthlyBudget, month_of
from batch.ledger.engine import writing
from batch.ledger.holders import known
from batch.ledger.messages import ask, prove_by, write
from batch.ledger.past_calls import close_dead, tidied
from batch.ledger.permit_clock import (
    ClockMemory,
    Moment,
    PermitClock,
    ahead_of,
    corrected,
    new_times,
    taken_over,
)
from batch.ledger.postgresql import server_of
from batch.ledger.repeating import repeated
from batch.ledger.sessions import Lock
from batch.ledger.whereabouts import refuse_moved

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.api.dialects import Rate
    from batch.ledger.process import Process
    from batch.model import Clock

MOST_AHEAD: Final = 2.0
"""Seconds that a permit is given ahead at most."""

ASK_AGAIN: Final = 0.05
"""Seconds until we ask again if other processes have yet to report their calls."""

_UNSURE: Final = "the database's clock was set, or this machine has not seen it before"

_PACE: Final = (
    sa.select(t.pace, t.about.c.moved_to, MONTH_CALLS)
    .select_from(t.pace)
    .join(t.about, sa.true())
    .join(t.address, t.address.c.tenant == t.pace.c.tenant)
    .outerjoin(t.monthly_calls, OF_MONTH)
    .where(
        t.address.c.url == sa.bindparam("tenant"),
        t.pace.c.client == sa.bindparam("client"),
        t.pace.c.dialect == sa.bindparam("dialect"),
    )
)
_OF_PACE: Final = t.call.c.pace == sa.bindparam("of")
_THIS: Final = _OF_PACE & (t.call.c.number == sa.bindparam("this"))
_AT: Final = sa.bindparam("at", type_=sa.Float())
_WAS_COUNTED: Final = sa.update(t.call).where(_THIS).values(counted_by=_AT)
_COUNTING: Final = _OF_PACE & (t.call.c.counted_by.is_(None) | (t.call.c.counted_by > sa.bindparam("since")))
_COUNT: Final = sa.select(sa.func.count().label("taken")).where(_COUNTING)
_NEXT_TO_FREE: Final = (
    sa.select(t.call.c.counted_by)
    .where(_COUNTING)
    .order_by(t.call.c.counted_by.is_(None), t.call.c.counted_by)
    .limit(sa.bindparam("too_many"))
)
_FINGERPRINT: Final = sa.select(
    sa.func.count(), sa.func.count(t.call.c.counted_by), sa.func.max(t.call.c.counted_by)
).where(_OF_PACE)
_GIVE: Final = sa.insert(t.call)
_HAS: Final = sa.select(t.call.c.number).where(_THIS, t.call.c.machine == sa.bindparam("by"))
_GIVEN: Final = (
    sa.update(t.pace)
    .where(t.pace.c.id == sa.bindparam("of"))
    .values(calls=t.pace.c.calls + sa.bindparam("more"), epoch=sa.bindparam("zero", type_=sa.Float()))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RateKey:
    """The calls that the tenant counts together.

    Attributes:
        tenant: An address of the tenant.
        client: Client id of the credentials.
        dialect: Name of the API version.
    """

    tenant: str
    client: str
    dialect: str


@repeated
class Calls:
    """The calls that the tenant counts together, as one of the processes that make them sees them.

    Args:
        engine: Of the ledger.
        rate_key: What is counted together.
        rate: The limit to keep.
        process: Who asks.
        clock: Read inside the transaction: an older moment would look like a clock that was set back.
        memory: What this machine remembers of a database's clock; None to remember nothing.
        monthly: Calls that all processes of this client may make in a month; None for any number.
    """

    def __init__(
        self,
        engine: Engine,
        rate_key: RateKey,
        *,
        rate: Rate,
        process: Process,
        clock: Clock,
        memory: ClockMemory | None = None,
        monthly: int | None = None,
    ) -> None:
        self._engine = engine
        self._rate_key = rate_key
        self._rate = rate
        self._process = known(engine, process)
        self._clock = PermitClock(clock, memory)
        self._epoch = clock.epoch
        self._budget = MonthlyBudget(rate_key.client, monthly)
        self._unsure_until = 0.0
        self._tidied_at = 0.0
        self._ours = False
        self._of: int | None = None
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        """Gives the permits that are wanted, or none and the time to ask again; fewer only if they are given ahead.

        Args:
            wanted: How many; 0 to report what the tenant has counted.
            counted: Earlier permits of this process and when the tenant had counted their calls, by this process's
                monotonic clock; None for an unused permit.
            ahead: Seconds until the last of the calls may leave, at most.

        Raises:
            BudgetSpentError: As many calls were made in this month as may be.
        """
        asked_at = self._clock.monotonic()
        with writing(self._engine, *self._locks()) as connection:
            answer = self._answer(connection, asked_at, wanted, counted, ahead)
        # What was reported is recorded all the same.
        if isinstance(answer, BudgetSpentError):
            raise answer
        return answer

    def _answer(
        self, connection: Connection, asked_at: float, wanted: int, counted: Mapping[int, float | None], ahead: float
    ) -> Permits | BudgetSpentError:
        """The answer to `permit`, in its transaction."""
        rate = self._rate
        moment = self._clock.moment(connection, asked_at)
        now = moment.now
        # In a database far away, this goes with the next question.
        taken = None if self._of is None else self._report(connection, self._of, counted, moment)
        pace = self._pace(connection, moment, counted)
        if wanted and pace.moved_to:
            refuse_moved(connection)
        if pace.boot != moment.boot or not self._ours:
            wait = self._seen_at + counts_for(pace.longest, rate) - now
            return Permits(at=now, wait=max(0.001, wait), allowed=rate.requests)
        # What was counted is no longer there if we have just taken over.
        if taken is None or pace.id != self._of:
            self._of, taken = pace.id, self._report(connection, pace.id, counted, moment)
        if moment.is_unknown and pace.calls:
            self._unsure_until = now + counts_for(pace.longest, rate)
        if now < self._unsure_until:
            left = self._unsure_until - now
            return Permits(at=now, wait=left, silence=left, why=_UNSURE, allowed=rate.requests)
        self._tidied_at = tidied(connection, pace, now, self._tidied_at)
        share = Share(cut_to=pace.cut_to, cut_at=pace.cut_at).at(now, rate)
        most = allowed(rate, share)
        silence = max(0.0, pace.silent_until - now)
        if silence or not wanted:
            return Permits(at=now, wait=silence, silence=silence, allowed=most)
        spend = self._budget.left(pace.month_calls)
        if spend == 0:
            return self._budget.spent(pace.month_calls, month_of(self._epoch()))
        wanted, free = min(wanted, most, spend or most), most - taken()
        leave_at = _leave_at(connection, pace.id, wanted, free, now, rate)
        if wide := in_wider_windows(rate, pace.longest):
            left = allowed(wide, share) - _taken(connection, pace.id, now, wide)()
            free = min(free, left)
            leave_at = tuple(map(max, leave_at, _leave_at(connection, pace.id, wanted, left, now, wide)))
        leave_at, wait = given(leave_at, now, max(ahead, _others_ahead(connection, free)))
        if not leave_at:
            close_dead(connection, pace.id, now, self._process)
            return Permits(at=now, wait=ASK_AGAIN if math.isinf(wait) else wait, allowed=most)
        numbers = tuple(range(pace.calls + 1, pace.calls + 1 + len(leave_at)))
        self._budget.count(connection, pace, numbers, month_of(self._epoch()))
        _add(connection, pace.id, numbers, moment, self._process)
        # By our clock, and surely not earlier.
        leave_at = tuple(at - moment.least_ahead for at in leave_at)
        return Permits(at=now, numbers=numbers, leave_at=leave_at, free=max(0, free - len(numbers)), allowed=most)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        """Permits no call for so long, in any process.

        Args:
            seconds: How long.
            permitted_at: When the rejected call was permitted.
            violated: Whether it was rejected for the rate limit, which cuts the share.
        """
        asked_at = self._clock.monotonic()
        with writing(self._engine, *self._locks()) as connection:
            moment = self._clock.moment(connection, asked_at)
            pace = self._pace(connection, moment)
            ahead = ahead_of(pace, moment)
            now = moment.now + ahead
            until = max(pace.silent_until, now + seconds)
            share = Share(cut_to=pace.cut_to, cut_at=pace.cut_at)
            if violated:
                share = share.cut(permitted_at=permitted_at + ahead, until=until, now=now, rate=self._rate)
            connection.execute(
                sa.update(t.pace)
                .where(t.pace.c.id == pace.id)
                .values(silent_since=now, silent_until=until, cut_to=share.cut_to, cut_at=share.cut_at)
            )

    def _report(
        self, connection: Connection, pace: int, counted: Mapping[int, float | None], moment: Moment
    ) -> Callable[[], int]:
        """Records when calls were counted, takes unused permits back, and asks how many calls count then."""
        # Surely not earlier than it was.
        ends = {number: at + moment.ahead for number, at in counted.items() if at is not None}
        if ends:
            write(connection, _WAS_COUNTED, [{"of": pace, "this": number, "at": at} for number, at in ends.items()])
        self._budget.give_back(connection, pace, [number for number, at in counted.items() if at is None])
        return _taken(connection, pace, moment.now, self._rate)

    def _locks(self) -> tuple[Lock, ...]:
        """The permits need no other part of the ledger, unless their row must be made."""
        return (Lock.PACE,) if self._ours else (Lock.LEDGER, Lock.PACE)

    def _pace(self, connection: Connection, moment: Moment, reported: Collection[int] = ()) -> Any:
        """The rate key's row, added if there is none, and taken over from another boot if it stands still.

        Args:
            connection: In a transaction.
            moment: This one.
            reported: Permits whose calls have just been reported, by our clock.
        """
        rate = self._rate
        of = {"tenant": self._rate_key.tenant, "client": self._rate_key.client, "dialect": self._rate_key.dialect}
        of["month"] = month_of(self._epoch())
        row = connection.execute(_PACE, of).first()
        if row is None:
            connection.execute(sa.insert(t.pace), _new_pace(connection, self._rate_key, rate, moment))
            self._ours = True
            return connection.execute(_PACE, of).one()
        if changed := repaired(row, rate):
            if "calls" in changed:
                # Nothing tells which numbers its calls have: forget them, and wait until the tenant counts none.
                connection.execute(sa.delete(t.call).where(t.call.c.pace == row.id))
                until = moment.now + window(rate.seconds) + SPREAD
                changed |= new_times(moment) | {
                    "longest": rate.seconds,
                    "silent_since": moment.now,
                    "silent_until": until,
                }
            connection.execute(sa.update(t.pace).where(t.pace.c.id == row.id).values(**changed))
            row = connection.execute(_PACE, of).one()
        if row.boot == moment.boot and (moment.boot or self._ours):
            self._ours = True
            changed = corrected(row, moment.now)
            if moment.was_set:
                self._unsure_until = moment.now + counts_for(row.longest, rate)
                until = max(changed.get("silent_until", row.silent_until), self._unsure_until)
                changed |= {"silent_since": moment.now, "silent_until": until}
        elif self._stands_still(connection, row, moment):
            self._ours, self._of = True, None
            changed = taken_over(row, moment)
            # Calls made before it stood still are over; calls that were not reported are made now at the latest.
            of_pace, is_open = t.call.c.pace == row.id, t.call.c.counted_by.is_(None)
            connection.execute(sa.delete(t.call).where(of_pace, ~is_open, t.call.c.number.not_in([*reported])))
            connection.execute(sa.update(t.call).where(of_pace).values(counted_by=moment.now))
        else:
            changed = {}
        if row.longest < rate.seconds:
            changed["longest"] = rate.seconds
        if not changed:
            return row
        connection.execute(sa.update(t.pace).where(t.pace.c.id == row.id).values(**changed))
        return connection.execute(_PACE, of).one()

    def _stands_still(self, connection: Connection, pace: Any, moment: Moment) -> bool:
        """Whether the counter has not moved for a whole window, by our clock, and no permit is used any more."""
        seen = (pace.boot, pace.calls, *connection.execute(_FINGERPRINT, {"of": pace.id}).one())
        if seen != self._seen or moment.was_set:
            self._seen, self._seen_at = seen, moment.now
        return moment.now - self._seen_at >= max(counts_for(pace.longest, self._rate), USED_WITHIN + SPREAD)


def _new_pace(connection: Connection, rate_key: RateKey, rate: Rate, moment: Moment) -> dict[str, Any]:
    return {
        "tenant": t.number_of_tenant(connection, rate_key.tenant),
        "client": rate_key.client,
        "dialect": rate_key.dialect,
        "calls": 0,
        "longest": rate.seconds,
        "cut_to": 1.0,
        **new_times(moment),
    }


def _taken(connection: Connection, pace: int, now: float, rate: Rate) -> Callable[[], int]:
    asked = ask(connection, _COUNT, {"of": pace, "since": counts_since(now, rate)})
    return lambda: int(asked()[0].taken)


def _leave_at(connection: Connection, pace: int, wanted: int, free: int, now: float, rate: Rate) -> tuple[float, ...]:
    """When calls may leave by one limit; see departures."""
    if wanted <= free:
        return (now,) * wanted
    next_to_free = {"of": pace, "since": counts_since(now, rate), "too_many": wanted - free}
    freed = connection.execute(_NEXT_TO_FREE, next_to_free).scalars().all()
    return departures(wanted, free, freed, now, rate)


def _others_ahead(connection: Connection, free: int) -> float:
    """Seconds that others take permits ahead: who only asked for calls that may leave now would never get one."""
    return MOST_AHEAD if free < 0 and server_of(connection) is not None else 0.0


def _add(connection: Connection, pace: int, numbers: Sequence[int], moment: Moment, process: Process) -> None:
    same = {"machine": process.machine, "pid": process.pid, "process_started": process.started, "counted_by": None}
    given = {"pace": pace, "permitted_at": moment.now, **same}
    write(connection, _GIVE, [{"number": number, **given} for number in numbers])
    prove_by(connection, _HAS, {"of": pace, "this": numbers[0], "by": process.machine})
    write(connection, _GIVEN, [{"of": pace, "more": len(numbers), "zero": moment.epoch}])
