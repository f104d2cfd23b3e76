"""How many calls may leave now: the tenant's limit over any window, and the share of it to use after a 429.

The tenant counts a call when it arrives, which is later than we send it. So a call counts from its permit until a
window after its last byte has left, and `MARGIN` longer for the way. Then the last permit of the calls in any window at
the tenant has counted all the others.

After a 429 the share is cut at once, kept while the tenant adds up violations, and climbs back evenly: additive
increase, multiplicative decrease. Source: the vendor's page on rate limits for the limit, for `Retry-After` and for the
cost of repeated violations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.api.dialects import Rate

MARGIN: Final = 0.075
"""Seconds that a call may take to the tenant's counter, beyond the least that the next call takes."""

CUT: Final = 0.5
"""A violation multiplies the share by this."""

LEAST_SHARE: Final = 1 / 16
"""The least share, reached by four cuts in a row."""

HOLD: Final = 120.0
"""Seconds to keep a cut share, because the tenant adds up the violations of so many seconds."""

CLIMB: Final = 0.05
"""The share regained with each window after that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The share of the limit to use: all of it, or less after a 429.

    Attributes:
        cut_to: The share right after the latest cut.
        cut_at: When it was cut, in seconds since the epoch; 0 for never.
    """

    cut_to: float = 1.0
    cut_at: float = 0.0

    def at(self, now: float, rate: Rate) -> float:
        """The share at a moment; above 0, at most 1."""
        climbed = max(0.0, now - self.cut_at - HOLD) / rate.seconds * CLIMB
        return min(1.0, self.cut_to + climbed)

    def cut(self, *, permitted_at: float, until: float, now: float, rate: Rate) -> Share:
        """The share after a violation.

        Args:
            permitted_at: When the violating call was permitted; a call permitted before the latest cut is part of
                the same violation.
            until: End of the silence that the tenant asks for; the share is kept from then on.
            now: This moment.
            rate: The limit.
        """
        if self.cut_at and permitted_at <= self.cut_at:
            return self
        return Share(cut_to=max(LEAST_SHARE, self.at(now, rate) * CUT), cut_at=max(now, until))


@dataclass(frozen=True, kw_only=True, slots=True)
class Permits:
    """The permits given at a moment.

    Attributes:
        at: The moment, in seconds since the epoch.
        numbers: The permits; none if it is too early.
        wait: Seconds until the next try makes sense; 0 with permits.
        silence: Seconds of silence that the tenant still wants.
        free: How many more calls fit into the window.
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
    """Calls that left at this moment or later still count."""
    return now - rate.seconds - MARGIN


def frees_at(left_at: float, rate: Rate) -> float:
    """When a call stops counting that left at `left_at`."""
    return left_at + rate.seconds + MARGIN
