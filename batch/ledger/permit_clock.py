"""The clock of the permits: nobody sets it, and all processes that share a ledger read it.

An SQLite ledger is used by one machine, and its boot has such a clock. Machines that share a database read the clock of
its server; if somebody sets that, or starts the server anew, everybody waits for a whole window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.ledger.postgresql import begun, server_of
from batch.ledger.shared_clock import Ahead, Reading

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from batch.model import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """This moment by the clock that all processes read.

    Attributes:
        now: In seconds.
        ahead: What this clock is ahead of the process's own monotonic clock.
        epoch: The wall clock when this clock was 0.
        boot: Names this clock; empty if it can't be told from the clock of a former boot.
        was_set: Whether a database's clock was set since the last moment.
    """

    now: float
    ahead: float
    epoch: float
    boot: str
    was_set: bool = False


class PermitClock:
    """The clock of the permits, as one process sees it.

    Args:
        own: This machine's.
    """

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._ahead: Ahead | None = None

    def monotonic(self) -> float:
        """This process's own clock, in seconds."""
        return self._own.monotonic()

    def moment(self, connection: Connection, asked_at: float) -> Moment:
        """This moment, in a transaction that was asked for at `asked_at`, by this process's own clock."""
        own = self._own.monotonic()
        if server_of(connection) is None:
            return Moment(now=own, ahead=0.0, epoch=self._own.epoch() - own, boot=self._own.boot)
        learnt, ahead = begun(connection), self._ahead
        reading = Reading(before=asked_at, clock=learnt.reading.clock, after=own)
        was_set = ahead is not None and ahead.contradicts(reading)
        self._ahead = ahead = Ahead.of(reading) if ahead is None else ahead.narrowed(reading)
        # The most that it may be ahead: a call must not seem to have been counted earlier than it was. A server that
        # was started anew may be another machine.
        boot = f"database since {learnt.started}"
        return Moment(now=reading.clock, ahead=ahead.high, epoch=0.0, boot=boot, was_set=was_set)
