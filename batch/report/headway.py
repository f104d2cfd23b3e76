"""How far a run has come at one moment: a frozen value, and what each event makes of it.

Times are seconds of one clock, whichever; all functions are told the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from batch.answers.events import AttemptEnded, AttemptStarted, PaceChanged, Settled, Waiting
from batch.answers.outcome import Then
from batch.report.summary import count_states
from batch.states import Event
from batch.status.evidence import Settlement
from batch.text import count

if TYPE_CHECKING:
    from batch.answers.events import RunEvent
    from batch.answers.outcome import Decision
    from batch.api.dialects import Rate
    from batch.model import Request, Tally

STEPS: Final = 20
"""The last window is watched in so many steps: single attempts would be thousands at a high rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """So many bodies, and the changes in them."""

    requests: int = 0
    changes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(requests=self.requests + other.requests, changes=self.changes + other.changes)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(requests=self.requests - other.requests, changes=self.changes - other.changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Headway:
    """How far a run has come, over all its processes.

    Attributes:
        planned: Everything that the run asks for, done or not.
        accepted: What the tenant has taken.
        refused: What it has refused for good: what is divided is planned again, in parts.
        unconfirmed: What may or may not have arrived.
        in_flight: Requests that wait for their answer.
        limit: The rate limit to keep.
        allowed: Calls that a window may have now.
        begun: When this process began to send.
        recent: Attempts begun in the last window: (number of the step since `begun`, attempts), oldest first.
        silent_until: When the wait ends that holds now, or has ended.
        reason: Why it holds.
        divided: Numbers of requests that settling has divided, since a part of them had arrived.
    """

    planned: Amount
    accepted: Amount
    refused: Amount
    unconfirmed: Amount
    limit: Rate
    allowed: int
    begun: float
    silent_until: float
    in_flight: int = 0
    recent: tuple[tuple[int, int], ...] = ()
    reason: str = ""
    divided: frozenset[int] = frozenset()

    @property
    def done(self) -> Amount:
        """What has an end: accepted or refused."""
        return self.accepted + self.refused

    @property
    def unsent(self) -> int:
        """Requests that are neither done nor on their way."""
        return max(0, (self.planned - self.done - self.unconfirmed).requests - self.in_flight)


def begin(tally: Tally, limit: Rate, now: float) -> Headway:
    """The headway of a run that is begun, or continued where earlier processes left it."""
    requests, changes = count_states(tally.requests), count_states(tally.changes)
    amounts = {name: Amount(requests=requests[name], changes=changes[name]) for name in requests}
    return Headway(
        planned=amounts["planned"],
        accepted=amounts["accepted"],
        refused=amounts["refused"],
        unconfirmed=amounts["unconfirmed"],
        limit=limit,
        allowed=limit.requests,
        begun=now,
        silent_until=now,
    )


def after(headway: Headway, event: RunEvent, now: float) -> Headway:
    """The headway after an event; events that change nothing of it leave it as it is."""
    match event:
        case AttemptStarted():
            return after_sending(headway, event.request, now)
        case AttemptEnded():
            return after_answer(headway, event.request, event.decision, event.parts)
        case Settled():
            return after_settling(headway, event.request, event.verdict)
        case Waiting():
            return after_wait(headway, event.seconds, event.reason, now)
        case PaceChanged():
            return replace(headway, allowed=event.allowed)
        case _:
            return headway


def after_sending(headway: Headway, request: Request, now: float) -> Headway:
    """After an attempt has begun; one in the body of another is that other's."""
    step = _step(headway, now)
    if request.within is not None:
        return headway
    kept = tuple((number, attempts) for number, attempts in headway.recent if number >= step - STEPS)
    attempts = 1
    if kept and kept[-1][0] == step:
        attempts += kept[-1][1]
        kept = kept[:-1]
    if request.parent in headway.divided and request.attempts == 1:
        # Only now it is known to be missing: `after_settling` counted it as accepted.
        headway = replace(
            headway,
            planned=headway.planned + Amount(requests=1),
            accepted=headway.accepted - Amount(changes=request.changes),
        )
    return replace(headway, recent=(*kept, (step, attempts)), in_flight=headway.in_flight + 1)


def after_answer(headway: Headway, request: Request, decision: Decision, parts: int) -> Headway:
    """After an attempt has ended."""
    amount = _amount(request)
    headway = replace(headway, in_flight=max(0, headway.in_flight - amount.requests))
    if decision.then is Then.SEND_ALONE:
        return replace(headway, planned=headway.planned + Amount(requests=1 - amount.requests))
    match decision.event:
        case Event.ACCEPTED:
            return _with_room(replace(headway, accepted=headway.accepted + amount))
        case Event.REFUSED if parts:
            return replace(headway, planned=headway.planned + Amount(requests=parts - 1))
        case Event.REFUSED:
            return _with_room(replace(headway, refused=headway.refused + amount))
        case Event.UNDECIDED:
            return replace(headway, unconfirmed=headway.unconfirmed + amount)
        case _:
            return headway


def after_settling(headway: Headway, request: Request, verdict: str) -> Headway:
    """After settling has found out about an unconfirmed request.

    How much has arrived of one that is partly found is not told. It counts as accepted, until what is missing is sent.
    """
    amount = _amount(request)
    headway = replace(headway, unconfirmed=headway.unconfirmed - amount)
    if verdict == Settlement.NOT_FOUND:
        return headway
    divided = {request.number} if verdict == Settlement.PARTLY else set()
    return replace(headway, accepted=headway.accepted + amount, divided=headway.divided | divided)


def after_wait(headway: Headway, seconds: float, reason: str, now: float) -> Headway:
    """After a wait was told; one that ends later than it still holds."""
    if now + seconds <= headway.silent_until:
        return headway
    return replace(headway, silent_until=now + seconds, reason=reason)


def pace(headway: Headway, now: float) -> float:
    """Attempts a second over the last window of the rate limit: where the limit is kept, never above it.

    In the first window it is over the time so far; what is sent at once there, since it fits, counts as evenly spread.
    """
    limit = headway.limit
    oldest = _step(headway, now) - STEPS
    attempts = sum(attempts for number, attempts in headway.recent if number >= oldest)
    watched = now - headway.begun - max(0, oldest) * limit.seconds / STEPS
    if watched >= limit.seconds:
        return attempts / watched
    return min(attempts / max(watched, limit.seconds / STEPS), limit.requests / limit.seconds)


def time_left(headway: Headway, now: float) -> float | None:
    """Seconds until everything has been sent, at the pace that is allowed; None where nothing goes though it might.

    A tenant that takes its time to answer lets less go than it allows: where a whole window shows it, that counts.
    """
    possible = headway.allowed / headway.limit.seconds
    if now - max(headway.begun, headway.silent_until) >= headway.limit.seconds:
        possible = min(possible, pace(headway, now))
    return max(0.0, headway.silent_until - now) + headway.unsent / possible if possible else None


def _step(headway: Headway, now: float) -> int:
    return int((now - headway.begun) * STEPS // headway.limit.seconds)


def _amount(request: Request) -> Amount:
    """A request and its changes; one that travels in the body of another counts with that one."""
    return Amount(requests=int(request.within is None), changes=request.changes)


def _with_room(headway: Headway) -> Headway:
    """With no fewer planned than done: what was to travel together may have had to travel apart."""
    missing = (headway.done - headway.planned).requests
    return replace(headway, planned=headway.planned + Amount(requests=missing)) if missing > 0 else headway


def describe_wait(headway: Headway, now: float) -> str:
    """For how long nothing goes still, and why; empty where no wait holds."""
    left = headway.silent_until - now
    return f"waiting {countdown(left)}: {headway.reason}" if left > 0 else ""


def describe_sending(headway: Headway, now: float) -> str:
    """How fast it goes and how long it takes; or what is left to wait for when everything has been sent."""
    if headway.unsent:
        left = time_left(headway, now)
        return f"{describe_pace(headway, now)}, {'time left unknown' if left is None else countdown(left) + ' left'}"
    if headway.in_flight:
        return f"waiting for {count(headway.in_flight, 'answer')}"
    if open_ones := headway.unconfirmed.requests:
        return f"looking for {count(open_ones, 'unconfirmed request')}"
    return "done"


def describe_pace(headway: Headway, now: float) -> str:
    """The pace now against what is allowed, and against the limit where that is more: `1.9/s of 2/s (limit 4/s)`.

    While nothing goes it is only said how fast it may go afterwards.
    """
    limit, seconds = headway.limit.requests, headway.limit.seconds
    more = f" (limit {per_second(limit / seconds)})" if headway.allowed < limit else ""
    allowed = f"{per_second(headway.allowed / seconds)}{more}"
    return f"then up to {allowed}" if headway.silent_until > now else f"{per_second(pace(headway, now))} of {allowed}"


def describe_results(headway: Headway) -> str:
    """What became of the changes so far."""
    return (
        f"{headway.accepted.changes:,} accepted, {headway.refused.changes:,} refused, "
        f"{headway.unconfirmed.changes:,} unconfirmed"
    )


def describe(headway: Headway, now: float) -> str:
    """Everything in one line."""
    done, planned = headway.done, headway.planned
    requests = f"{done.requests:,} of {count(planned.requests, 'request')}"
    changes = f"{done.changes:,} of {count(planned.changes, 'change')}: {describe_results(headway)}"
    return "; ".join(filter(None, (requests, changes, describe_wait(headway, now), describe_sending(headway, now))))


def countdown(seconds: float) -> str:
    """A length of time to the second, for somebody who waits: `40 s`, `9 min 40 s`, `2 h 5 min`; rounded up."""
    whole = max(0, int(-(-seconds // 1)))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def per_second(rate: float) -> str:
    """A rate for people: `9.9/s`, `5,000/s`, `0.017/s`."""
    text = f"{rate:.2g}" if 0 < rate < 1 else f"{rate:,.1f}" if rate < 1000 else f"{rate:,.0f}"  # noqa: PLR2004 - widths
    return f"{text.removesuffix('.0')}/s"
