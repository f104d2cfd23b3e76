"""The clock of a database that several machines share, as one of them sees it through round trips.

A reading lies somewhere between the moments before its question and after its answer. Each pair bounds what the
database's clock is ahead of ours; together they bound it more closely than the fastest round trip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

DRIFT: Final = 0.001
"""Seconds by which two clocks may part within a second: NTP slews by at most half of it (adjtimex(2))."""

STEP: Final = 0.05
"""Seconds by which readings may contradict each other before one of the clocks must have been set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One reading of the database's clock.

    Attributes:
        before: Our monotonic clock before the question, in seconds.
        clock: The database's clock, in seconds since 1970.
        after: Our monotonic clock after the answer.
    """

    before: float
    clock: float
    after: float

    @property
    def least(self) -> float:
        """The least that the database's clock may be ahead, at `after`."""
        return self.clock - self.after - DRIFT * (self.after - self.before)

    @property
    def most(self) -> float:
        """The most that it may be ahead, at `after`."""
        return self.clock - self.before + DRIFT * (self.after - self.before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """What the database's clock is ahead of our monotonic one: from `low` to `high` seconds, at our moment `at`."""

    low: float
    high: float
    at: float

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """As a single reading tells."""
        return cls(low=reading.least, high=reading.most, at=reading.after)

    def narrowed(self, reading: Reading) -> Self:
        """As a further reading tells, which counts alone if the database's clock was set: see `contradicts`."""
        if self.contradicts(reading):
            return self.of(reading)
        apart = DRIFT * max(0.0, reading.after - self.at)
        low, high = max(self.low - apart, reading.least), min(self.high + apart, reading.most)
        # By less than a step, they may cross.
        return type(self)(low=min(low, high), high=max(low, high), at=reading.after)

    def contradicts(self, reading: Reading) -> bool:
        """Whether the database's clock was set since then, or is another server's."""
        apart = DRIFT * max(0.0, reading.after - self.at) + STEP
        return reading.least > self.high + apart or reading.most < self.low - apart
