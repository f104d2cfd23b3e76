"""How many calls may go now: the tenant's limit counted over any window, and how far to keep below it after a 429.

The limit holds where the tenant counts, and that is later than where we send. So a call counts from when it is
permitted until a window after its last byte has left, and `MARGIN` longer, which is what it may take on its way. A call
that is permitted last of all those in some window at the tenant has then counted all the others.

After a 429 the share of the limit that is used is cut at once, kept there for as long as the tenant counts violations
together, and climbs back evenly: additive increase, multiplicative decrease. Source: the vendor's page on rate limits
for the limit, for `Retry-After` and for what repeated violations cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.api.dialects import Rate

MARGIN: Final = 0.075
"""Seconds that a call may be on its way to where the tenant counts it, beyond what the next one takes at least."""

CUT: Final = 0.5
"""What is left of the share after a violation."""

LEAST_SHARE: Final = 1 / 16
"""The share below which nothing is cut any more: four cuts in a row."""

HOLD: Final = 120.0
"""Seconds for which a cut share is kept: the tenant adds up the violations of so long, and makes them dear."""

CLIMB: Final = 0.05
"""How much of the limit is won back with each window after that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How much of the limit is used: all of it, or less since a 429.

    Attributes:
        cut_to: The share right after the latest cut.
        cut_at: When that was, in seconds since the epoch; 0 for never.
    """

    cut_to: float = 1.0
    cut_at: float = 0.0

    def at(self, now: float, rate: Rate) -> float:
        """The share at a moment, above 0 and at most 1."""
        climbed = max(0.0, now - self.cut_at - HOLD) / rate.seconds * CLIMB
        return min(1.0, self.cut_to + climbed)

    def cut(self, *, permitted_at: float, until: float, now: float, rate: Rate) -> Share:
        """The share after a violation.

        Args:
            permitted_at: When the call that was turned away was permitted: calls that were already on their way at the
                latest cut are part of the same violation.
            until: When the silence that the tenant asks for ends: from then on the share is kept.
            now: This moment.
            rate: The limit.
        """
        if self.cut_at and permitted_at <= self.cut_at:
            return self
        return Share(cut_to=max(LEAST_SHARE, self.at(now, rate) * CUT), cut_at=max(now, until))


@dataclass(frozen=True, kw_only=True, slots=True)
class Permits:
    """What was permitted.

    Attributes:
        at: When.
        numbers: The permits; none where it is not time yet.
        wait: Seconds until it is worth asking again; 0 where there are permits.
        silence: Seconds that the tenant still wants silence for.
        free: How many more the window would hold.
        allowed: How many calls the window may hold at present.
    """

    at: float
    numbers: tuple[int, ...] = ()
    wait: float = 0.0
    silence: float = 0.0
    free: int = 0
    allowed: int = 0


def allowed(rate: Rate, share: float) -> int:
    """How many calls a window may hold."""
    return max(1, int(rate.requests * share + 1e-9))


def counts_since(now: float, rate: Rate) -> float:
    """The moment from which on a call that has left still counts."""
    return now - rate.seconds - MARGIN


def frees_at(left_at: float, rate: Rate) -> float:
    """When a call that has left then stops counting."""
    return left_at + rate.seconds + MARGIN
