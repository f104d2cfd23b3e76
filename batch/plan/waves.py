"""Waves: what a run may send now, until when it waits, and why it stops.

A run that is sent in waves claims at most so many changes in any period, by the ledger's record of its claims. A wave
begins with its first claim and lasts for a period. A canary is a few requests that go first, and are followed.

A change counts once in a period, however often it is claimed, and whatever became of it: a part of a request that was
claimed counts with the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from batch.model import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A moment by two clocks.

    Attributes:
        wall: The wall clock: of this machine, or of the database that machines share. It may be set at any time.
        monotonic: Seconds of the clock of one boot, which nobody sets.
        boot: Names that boot; empty if it is not known.
    """

    wall: datetime
    monotonic: float = 0.0
    boot: str = ""

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        """This moment."""
        return cls(wall=clock.now(), monotonic=clock.monotonic(), boot=clock.boot)

    def since(self, earlier: Moment) -> float:
        """Seconds since an earlier moment: by the clock of the boot if both are of one, else by the wall clock."""
        if self.boot and self.boot == earlier.boot:
            return self.monotonic - earlier.monotonic
        return (self.wall - earlier.wall).total_seconds()


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A request that is planned.

    Attributes:
        number: Its number.
        changes: How many changes it asks for.
        lineage: Its number, and those of the requests that it is a part of.
    """

    number: int
    changes: int
    lineage: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A request that was claimed, and when it was last; `event` says so, and the first three are those of Planned."""

    number: int
    changes: int
    lineage: tuple[int, ...]
    at: Moment
    event: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """How many changes may be claimed in any period.

    Attributes:
        changes: So many; 0 for any number.
        seconds: The period.
        before: No claim up to the event of the run with this number is younger than a period.
    """

    changes: int
    seconds: float
    before: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """How changes that were sent have ended.

    Attributes:
        changes: How many changes there are.
        ended: How many of them have ended, in any way.
        wrong: How many of these were rejected, refused, or failed.
    """

    changes: int = 0
    ended: int = 0
    wrong: int = 0

    @property
    def least_tolerance(self) -> int:
        """The least whole percent that permits these ends."""
        return -(-self.wrong * 100 // self.ended) if self.ended else 0

    def exceed(self, percent: float, *, of: int | None = None) -> bool:
        """Whether more of the ended ones than so many percent are wrong; or of `of` changes."""
        return self.wrong * 100 > percent * (self.ended if of is None else of)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run has come that is sent in waves.

    Attributes:
        limit: What its waves are.
        planned: Its planned requests, in the order in which they are sent; at least as many as one wave can hold.
        claims: Its claims since `limit.before`.
        begun: When its present wave began; None before the first.
        wave: How the changes of that wave have ended.
        canary: Numbers of the requests that go first, as long as they have not passed.
        canary_sent: When the last of them was claimed.
        canary_ends: How their changes have ended.
        doubts: How many of its requests may or may not have arrived.
    """

    limit: Limit
    planned: Sequence[Planned]
    claims: Sequence[Claim] = ()
    begun: Moment | None = None
    wave: Ends = Ends()
    canary: frozenset[int] = frozenset()
    canary_sent: Moment | None = None
    canary_ends: Ends = Ends()
    doubts: int = 0

    @property
    def next_canary(self) -> list[Planned]:
        """The planned requests that are of the canary."""
        return [one for one in self.planned if not self.canary.isdisjoint(one.lineage)]


@dataclass(frozen=True, kw_only=True, slots=True)
class WavesSummary:
    """How far a run has come that is sent in waves.

    Attributes:
        limit: What its waves are.
        sent: How many changes were claimed in the period that ends now.
        canary_open: Whether its canary has not passed yet.
        until: When something can be sent again, if it waits.
    """

    limit: Limit
    sent: int
    canary_open: bool
    until: datetime | None = None


def summed_up(progress: Progress, now: Moment) -> WavesSummary:
    """How far a run has come, and until when it waits."""
    step = decide(progress, Patience(tolerate=100.0), now, looked=True)
    return WavesSummary(
        limit=progress.limit,
        sent=counted_now(progress.claims, progress.limit, now),
        canary_open=bool(progress.canary),
        until=step.until if isinstance(step, Wait) else None,
    )


def period_of(limit: Limit) -> str:
    """The period of a wave, in words that follow a number of changes."""
    return _PERIODS.get(limit.seconds, f"in {limit.seconds:g} s")


def describe_waves(limit: Limit) -> str:
    """The waves of a run, in words."""
    return f"waves of at most {count(limit.changes, 'change')} {period_of(limit)}"


_PERIODS: Final = {86400.0: "a day", 3600.0: "an hour"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """What the user tolerates: so many percent of wrong ends; and how many seconds the canary is followed at most."""

    tolerate: float = 0.0
    canary_for: float = 3600.0


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is planned."""


@dataclass(frozen=True, slots=True)
class Send:
    """These requests may be claimed now."""

    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A wave may begin now, with these requests."""

    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Divide:
    """This request is larger than a wave."""

    request: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The canary has passed."""

    ends: Ends


@dataclass(frozen=True, slots=True)
class Look:
    """The tenant must be asked how changes have ended: once, or until this time."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be claimed before this time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """Too much was rejected or failed; of the canary, or of the wave before."""

    ends: Ends
    canary: bool


Step: TypeAlias = Done | Send | Begin | Divide | Pass | Look | Wait | Stop


def decide(progress: Progress, patience: Patience, now: Moment, *, looked: bool) -> Step:
    """The next step of a run that is sent in waves.

    Args:
        progress: From the ledger.
        patience: What the user tolerates.
        now: This moment.
        looked: Whether the tenant was asked for the ends of changes since something was sent.
    """
    if not progress.planned:
        return Done()
    candidates = list(progress.planned)
    if progress.canary:
        candidates = progress.next_canary
        if not candidates:
            return _after_canary(progress, patience, now, looked=looked)
    if not progress.limit.changes:
        return Send(tuple(one.number for one in candidates))
    return _in_wave(candidates, progress, patience, now, looked=looked)


def _in_wave(
    candidates: Sequence[Planned], progress: Progress, patience: Patience, now: Moment, *, looked: bool
) -> Step:
    """The next step with the requests that are next."""
    limit, begun = progress.limit, progress.begun
    fit = fitting(candidates, progress.claims, limit, now)
    if not fit and candidates[0].changes > limit.changes:
        return Divide(candidates[0].number)
    if not fit:
        return Wait(_free_from(candidates[0], progress.claims, limit, now))
    if begun is not None and now.since(begun) < limit.seconds:
        return Send(fit)
    if begun is None or not progress.wave.changes:
        return Begin(fit)
    if not looked:
        return Look()
    return Stop(progress.wave, canary=False) if progress.wave.exceed(patience.tolerate) else Begin(fit)


def _after_canary(progress: Progress, patience: Patience, now: Moment, *, looked: bool) -> Step:
    """The canary was sent: follow it to its end, and judge it."""
    if not looked:
        return Look()
    ends, sent = progress.canary_ends, progress.canary_sent
    if ends.exceed(patience.tolerate, of=ends.changes):
        # However the others end, it stays too much.
        return Stop(ends, canary=True)
    left = patience.canary_for - now.since(sent) if sent is not None else 0.0
    if ends.ended < ends.changes and left > 0:
        return Look(now.wall + timedelta(seconds=left))
    return Stop(ends, canary=True) if ends.exceed(patience.tolerate) else Pass(ends)


def fitting(planned: Iterable[Planned], claims: Iterable[Claim], limit: Limit, now: Moment) -> tuple[int, ...]:
    """The requests that may be claimed now: in order, up to the first that is larger than what is left of the wave.

    What counts already may always go: a request that is sent again, or a part of one that was refused.
    """
    recent = _recent(claims, limit, now)
    left, full = limit.changes - _counted(recent), False
    counted = {claim.number for claim in recent}
    fit = []
    for one in planned:
        cost = one.changes if counted.isdisjoint(one.lineage) else 0
        full = full or (limit.changes > 0 and cost > max(left, 0))
        if cost and full:
            continue
        left -= cost
        counted.add(one.number)
        fit.append(one.number)
    return tuple(fit)


def counted_now(claims: Iterable[Claim], limit: Limit, now: Moment) -> int:
    """How many changes were claimed in the period that ends now."""
    return _counted(_recent(claims, limit, now))


def _recent(claims: Iterable[Claim], limit: Limit, now: Moment) -> list[Claim]:
    """The claims of the period that ends now. One that is dated later counts: a clock was set back since."""
    return [claim for claim in claims if now.since(claim.at) < limit.seconds]


def _counted(claims: Collection[Claim]) -> int:
    """How many changes were claimed, each once."""
    numbers = {claim.number for claim in claims}
    return sum({claim.number: claim.changes for claim in claims if numbers.isdisjoint(claim.lineage[1:])}.values())


def _free_from(planned: Planned, claims: Iterable[Claim], limit: Limit, now: Moment) -> datetime:
    """When a request fits that does not fit now."""
    leaving = sorted(
        ((limit.seconds - now.since(claim.at), claim) for claim in _recent(claims, limit, now)), key=lambda one: one[0]
    )
    least, most = 0, len(leaving)
    while least < most - 1:
        # So many claims leave the period first; the fewer stay, the fewer changes count.
        middle = (least + most) // 2
        stay = [claim for _, claim in leaving[middle:]]
        if _counted(stay) + planned.changes <= limit.changes:
            most = middle
        else:
            least = middle
    return now.wall + timedelta(seconds=leaving[most - 1][0] if leaving else 0.0)
