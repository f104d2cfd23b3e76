"""One open doubt while it is being settled: when to read the lists again for it, and when to leave it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.status.evidence import NEEDS_CONTROL, Elapsed, Why, seconds_without

if TYPE_CHECKING:
    from datetime import datetime

    from batch.model import Doubt
    from batch.status.evidence import Reading

FIRST_LOOK: Final = 1.0
"""Seconds from an attempt to the first reading of the list; each further reading waits twice as long."""

SHORTEST_PAUSE: Final = 0.1
"""Seconds between two readings, at least."""

LONGEST_PAUSE: Final = 60.0
"""Seconds between two readings, at most, unless reading takes long."""

RELIEF: Final = 4.0
"""The pause is at least so many times as long as the reading: there are people with thousands of rows."""

PATIENCE: Final = 10.0
"""A request whose control is not listed is left after so many times the usual wait, and `GRACE` more."""

GRACE: Final = 60.0
"""Seconds."""

LONGEST_FENCE: Final = timedelta(minutes=15)
"""A token that is valid for longer is not waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """The time.

    Attributes:
        now: By the monotonic clock.
        wait: Seconds that a request gets to arrive, and then the list to show it.
        server_time: The tenant's newest clock; None if it tells no time.
    """

    now: float
    wait: float
    server_time: datetime | None


@dataclass(kw_only=True, slots=True)
class OpenDoubt:
    """A request in doubt, and how far this process is with it.

    Attributes:
        doubt: What is known of it.
        began: When this process took it on, by the monotonic clock.
        witnessed: Whether its attempt ended in this process, or nobody read the tenant's clock before.
        next_look: When to look again; infinite if only a new control could change the verdict.
        ripe_at: When this process knew first that it is ripe, or that there may be a control.
        has_control: Whether an accepted request is, or may become, its control.
        proven_at: When the list was first seen to be up to date; infinite until then.
        reading: What the lists said of it last.
        lacked_at: When a list was read last that did not show all of it; None if each showed it.
        shown_at: When a list first showed rows that may be all of it; infinite until then.
        why: Why it is still open.
    """

    doubt: Doubt
    began: float
    witnessed: bool
    next_look: float
    ripe_at: float
    has_control: bool = False
    proven_at: float = math.inf
    reading: Reading | None = None
    lacked_at: float | None = None
    shown_at: float = math.inf
    why: Why = Why.TIME

    def waited(self, time: Time) -> float:
        """Seconds that have surely passed since the request could leave no more; negative while it still could."""
        own = time.now - self.began
        return seconds_without(self.doubt, own=own, witnessed=self.witnessed, server_time=time.server_time)

    def elapsed(self, time: Time, *, read_at: float) -> Elapsed:
        """How much time has passed.

        Args:
            time: Now.
            read_at: When the last reading began: a row may come while a list is read, so it counts as it was then.
        """
        waited, wait = self.waited(time), time.wait
        return Elapsed(arrival=waited >= wait, listing=read_at - self.proven_at >= wait, tail=waited >= 4 * wait)

    def look_again(self, time: Time, *, pending: bool, accepted_meanwhile: bool, cost: float = 0.0) -> None:
        """Set when to look again.

        Args:
            time: Now.
            pending: Whether an accepted request will be its control once the list shows it.
            accepted_meanwhile: Whether a request was accepted since the reading began: it may be the control.
            cost: Seconds that the reading took.
        """
        waited, wait = self.waited(time), time.wait
        if waited >= 2 * wait and self.why in NEEDS_CONTROL and not pending:
            self.next_look = time.now if accepted_meanwhile else math.inf
            return
        pause = min(max(time.now - (self.ripe_at if pending else self.began), FIRST_LOOK), LONGEST_PAUSE)
        pause = max(pause, RELIEF * cost)
        to_come = [moment * wait - waited for moment in (1, 2, 4)] + [self.proven_at + wait - time.now]
        due = min((seconds for seconds in to_come if seconds > 0), default=math.inf)
        self.next_look = time.now + min(pause, max(due, SHORTEST_PAUSE))

    def given_up(self, time: Time, elapsed: Elapsed) -> Why | None:
        """Why more time can't help; None if it can."""
        fence, too_long = self.doubt.fence, PATIENCE * time.wait + GRACE
        if fence is not None and not elapsed.arrival:
            is_far = time.server_time is None or fence - time.server_time > LONGEST_FENCE
            return Why.FENCED if is_far else None
        if self.why is Why.INCOMPLETE:
            return self.why if elapsed.tail else None
        if self.doubt.ripe is None:
            return Why.CLOCK if time.now - self.began > too_long else None
        return self.why if time.now - self.ripe_at > too_long else None
