"""How many calls may leave now: the tenant's limit over any window, and the share of it to use after a 429.

The tenant counts a call when it arrives, which is later than we send it. So a call counts from its permit until a
window after the moment by which the tenant has surely counted it: when its answer came, which proves it, but no later
than `SPREAD` after its last byte was handed over; if no answer comes, at that moment.

A permit may be given ahead of the moment from which its call may leave: it then counts from when it is given, and that
moment is chosen so that few enough of the calls permitted before count then.

Why no window at the tenant then holds more than the limit: let the way there take between d and d + `SPREAD`. Take any
window there, and of the calls counted in it the one that was permitted last, B, which left at b or later. Each other
call A still counted at b. If it had not, b was a window or more after (1) A's answer, so B was counted a window or more
after A; or after (2) `SPREAD` after A's last byte was handed over. Then A was counted at most d after (2)'s moment, and
B at least a window and d after it: again a window or more after A. In neither case does one window hold both. So B's
permit counted all of them, and permits keep to the limit. Calls that a process has not reported, or may still send,
count without end. Those of a process that is taken for dead count as handed over then: it is taken for dead no sooner
than `USED_WITHIN` after it got its permits, and if it lives, it does not use them after that.

After a 429 the share is cut at once, kept while the tenant adds up violations, and climbs back evenly: additive
increase, multiplicative decrease. Source: the vendor's page on rate limits for the limit, for `Retry-After` and for the
cost of repeated violations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_SILENCE: Final = 86_400.0
"""The longest silence that is kept, in seconds: a day, even if the tenant or the ledger asks for more."""

MOST_CALLS: Final = 1 << 53
"""No counter of calls gets so far."""

SPREAD: Final = 0.3
"""Seconds that the slowest call may take to the tenant's counter beyond the fastest."""

USED_WITHIN: Final = 10.0
"""Seconds after which a permit is not used any more: a process that stood still may count as dead by then."""

_DOCUMENTED: Final = Rate()

DRIFT: Final = 0.0005
"""Part by which our clock may run faster than the tenant's: as fast as a clock is ever slewed (adjtimex(2))."""

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
        cut_at: When it was cut, by the clock of the permits; 0 for never.
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
        at: The moment, by the clock of the permits.
        numbers: The permits; none if it is too early.
        leave_at: For each permit, when its call may leave, by the process's monotonic clock.
        wait: Seconds until the next try makes sense; 0 with permits.
        silence: Seconds in which no call may leave, since the tenant wants that or for the reason `why`.
        why: Why we wait, if neither the tenant nor the limit is the reason.
        free: How many more calls fit into the window.
        allowed: How many calls the window may hold at present.
    """

    at: float
    numbers: tuple[int, ...] = ()
    leave_at: tuple[float, ...] = ()
    wait: float = 0.0
    silence: float = 0.0
    why: str = ""
    free: int = 0
    allowed: int = 0


def allowed(rate: Rate, share: float) -> int:
    """How many calls a window may hold."""
    return max(1, int(rate.requests * share + 1e-9))


def counted_by(left_at: float, answered_at: float) -> float:
    """When the tenant has surely counted a call.

    Args:
        left_at: When its last byte was handed over.
        answered_at: When the tenant's answer came; infinite without an answer.
    """
    return min(left_at + SPREAD, answered_at)


def counts_since(now: float, rate: Rate) -> float:
    """Calls that were counted later than at this moment still count."""
    return now - window(rate.seconds)


def frees_at(counted: float, rate: Rate) -> float:
    """When a call stops counting that was counted by a moment."""
    return counted + window(rate.seconds)


def departures(wanted: int, free: int, counted: Sequence[float | None], now: float, rate: Rate) -> tuple[float, ...]:
    """When calls may leave, in the order of time; infinite if that depends on a call that was not yet reported.

    Args:
        wanted: How many calls.
        free: How many more calls fit into the window; below 0 if permits were given ahead, or the share was cut.
        counted: When calls were counted that must stop counting first; None for one that was not yet reported.
        now: This moment.
        rate: The limit.
    """
    freed = [math.inf if at is None else max(now, frees_at(at, rate)) for at in counted]
    missing = [math.inf] * (wanted - free - len(freed))
    return tuple([*([now] * free), *freed, *missing][-wanted:])


def given(leave_at: tuple[float, ...], now: float, ahead: float) -> tuple[tuple[float, ...], float]:
    """Which permits to give, by when their calls may leave, and the seconds to wait if none is given.

    All of them are given together, as each transaction takes its time; but if permits are given ahead, the first must
    not come late for the sake of the last.

    Args:
        leave_at: When the calls may leave, in the order of time; at least one.
        now: This moment.
        ahead: Seconds until the last of the calls may leave, at most.
    """
    soon = tuple(at for at in leave_at if at <= now + ahead)
    if len(soon) == len(leave_at) or (ahead and leave_at[0] <= now + ahead / 2):
        return soon, 0.0
    wait = leave_at[-1] - ahead - now
    return (), max(0.001, min(wait, leave_at[0] - ahead / 2 - now) if ahead else wait)


def widest(longest: float) -> float:
    """The seconds over which calls are remembered: those of the longest window of any rate, or the documented one."""
    return max(longest, _DOCUMENTED.seconds)


def in_wider_windows(rate: Rate, longest: float) -> Rate | None:
    """A rate over the widest windows that is as high; one process must not fill what another leaves free.

    Without this, each of two processes would keep its own rate, and both together neither: after 100 calls at once
    under 100/10, a process at 20/5 that looks back for five seconds would send 20 more.

    Args:
        rate: The limit to keep.
        longest: Seconds of the longest window of any process's rate.

    Returns:
        None if there is no wider window, or if the tenant has lifted the documented limit.
    """
    seconds = widest(longest)
    is_lifted = rate.requests * _DOCUMENTED.seconds > _DOCUMENTED.requests * rate.seconds
    if rate.seconds >= seconds or is_lifted:
        return None
    return Rate(requests=int(rate.requests * seconds / rate.seconds), seconds=seconds)


def counts_for(longest: float, rate: Rate) -> float:
    """Seconds after which no call made until now counts for any process; arguments as for `in_wider_windows`."""
    return window(max(longest, rate.seconds)) + SPREAD


def window(seconds: float) -> float:
    """How long the tenant's window may be by our clock."""
    return seconds * (1 + DRIFT)


def repaired(pace: Any, rate: Rate) -> dict[str, float]:
    """What must change in a ledger's row of a pace because no process of ours has written it.

    A number that is none would stop us, and one out of all proportion would hold every process up for ever.

    Args:
        pace: The row.
        rate: The limit.
    """
    since, until, cut_to = _number(pace.silent_since), _number(pace.silent_until), _number(pace.cut_to)
    longest = _number(pace.longest)
    changed: dict[str, float] = {}
    if since is None or until is None:
        changed |= {"silent_since": 0.0, "silent_until": 0.0}
    elif until - since > LONGEST_SILENCE:
        changed["silent_until"] = since + LONGEST_SILENCE
    if cut_to is None or not LEAST_SHARE <= cut_to <= 1:
        changed["cut_to"] = min(1.0, LEAST_SHARE if cut_to is None else max(LEAST_SHARE, cut_to))
    if longest is None or not 0 <= longest <= LONGEST_SILENCE:
        changed["longest"] = rate.seconds
    if not (isinstance(pace.calls, int) and 0 <= pace.calls <= MOST_CALLS):
        changed["calls"] = 0
    return changed | {name: 0.0 for name in ("cut_at", "epoch") if _number(getattr(pace, name)) is None}


def _number(value: object) -> float | None:
    """A finite number; None for anything else that a column may hold."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
