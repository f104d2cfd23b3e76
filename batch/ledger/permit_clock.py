"""The clock of the permits: nobody sets it, and all processes that share a ledger read it.

An SQLite ledger is used by one machine, and its boot has such a clock. Machines that share a database read the clock of
its server; if somebody sets that, or starts the server anew, everybody waits for a whole window. It may be set between
two processes too, so a machine remembers it; a machine that has never seen it waits for a window first.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.ledger.postgresql import server_of
from batch.ledger.sessions import begun
from batch.ledger.shared_clock import Ahead, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from batch.model import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """This moment by the clock that all processes read.

    Attributes:
        now: In seconds.
        ahead: The most that this clock may be ahead of the process's own monotonic clock.
        least_ahead: The least.
        epoch: The wall clock when this clock was 0.
        boot: Names this clock; empty if it can't be told from the clock of a former boot.
        was_set: Whether a database's clock was set since the last moment.
        is_unknown: Whether this machine has never seen it before, so that it may have been set.
    """

    now: float
    ahead: float
    least_ahead: float
    epoch: float
    boot: str
    was_set: bool = False
    is_unknown: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockMemory:
    """What this machine remembers of the clock of one ledger's database.

    Attributes:
        recall: Returns it as text; empty if there is nothing.
        keep: Keeps a text.
    """

    recall: Callable[[], str]
    keep: Callable[[str], None]


STEPPED: Final = 1.0
"""If the ledger is ahead of the clock by more seconds, the database server's clock was set back."""

_KEEP_EVERY: Final = 30.0
"""Seconds between two notes of what this machine knows of a database's clock."""


class PermitClock:
    """The clock of the permits, as one process sees it.

    Args:
        own: This machine's.
        memory: What this machine remembers of a database's; None to remember nothing.
    """

    def __init__(self, own: Clock, memory: ClockMemory | None = None) -> None:
        self._own = own
        self._memory = memory
        self._ahead: Ahead | None = None
        self._kept_at = -_KEEP_EVERY

    def monotonic(self) -> float:
        """This process's own clock, in seconds."""
        return self._own.monotonic()

    def moment(self, connection: Connection, asked_at: float) -> Moment:
        """This moment, in a transaction that was asked for at `asked_at`, by this process's own clock."""
        own = self._own.monotonic()
        if server_of(connection) is None:
            return Moment(now=own, ahead=0.0, least_ahead=0.0, epoch=self._own.epoch() - own, boot=self._own.boot)
        learnt, ahead = begun(connection), self._ahead or self._remembered()
        reading = Reading(before=asked_at, clock=learnt.reading.clock, after=own)
        was_set = ahead is not None and ahead.contradicts(reading)
        is_unknown = ahead is None and self._memory is not None
        self._ahead = ahead = Ahead.of(reading) if ahead is None else ahead.narrowed(reading)
        if self._memory is not None and not 0 <= own - self._kept_at < _KEEP_EVERY:
            self._kept_at = own
            self._memory.keep(json.dumps([self._own.boot, ahead.low, ahead.high, ahead.at]))
        return Moment(
            now=reading.clock,
            ahead=ahead.high,
            least_ahead=ahead.low,
            epoch=0.0,
            # A server that was started anew may be another machine.
            boot=f"database since {learnt.started}",
            was_set=was_set,
            is_unknown=is_unknown,
        )

    def _remembered(self) -> Ahead | None:
        """What an earlier process of this machine knew; None if its own clock was another boot's."""
        with suppress(ValueError, TypeError):
            boot, low, high, at = json.loads(self._memory.recall() if self._memory else "")
            if boot and boot == self._own.boot:
                return Ahead(low=float(low), high=float(high), at=float(at))
        return None


def new_times(moment: Moment) -> dict[str, Any]:
    """The times of a new row."""
    times = {"silent_since": 0.0, "silent_until": 0.0, "cut_at": 0.0}
    return {**times, "boot": moment.boot, "epoch": moment.epoch}


def corrected(pace: Any, now: float) -> dict[str, Any]:
    """What changes in the ledger's row of a pace because the clock was set back."""
    changed, silent_until = {}, pace.silent_until
    if pace.silent_since > now + STEPPED:
        silent_until = now + pace.silent_until - pace.silent_since
        changed = {"silent_since": now, "silent_until": silent_until}
    if pace.cut_at > max(now + STEPPED, silent_until):
        changed["cut_at"] = max(now, silent_until)
    return changed


def taken_over(pace: Any, moment: Moment) -> dict[str, Any]:
    """What changes in the row if its times are another boot's, and are translated.

    Only the wall clock runs through from boot to boot. It may be wrong, but what it says can't make a silence longer
    than the tenant has asked for.
    """
    before, length = ahead_of(pace, moment), pace.silent_until - pace.silent_since
    silent_until = min(pace.silent_until - before, moment.now + length)
    return {
        "boot": moment.boot,
        "epoch": moment.epoch,
        "silent_since": silent_until - length,
        "silent_until": silent_until,
        "cut_at": pace.cut_at and min(pace.cut_at - before, max(moment.now, silent_until)),
    }


def ahead_of(pace: Any, moment: Moment) -> float:
    """What the clock of the row is ahead of ours, by the wall clock; 0 for the same clock."""
    return 0.0 if pace.boot == moment.boot else moment.epoch - float(pace.epoch)
