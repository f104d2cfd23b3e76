"""How far a run has come at one moment: a frozen value, and its successor after each event.

Times are seconds of the monotonic clock, passed to every function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from batch.answers.events import AttemptEnded, AttemptStarted, PaceChanged, Settled, TakenApart, Waiting
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
"""Steps into which the last window is divided: at a high rate it holds too many attempts to keep each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """A number of bodies, and the changes in them."""

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
        accepted: Accepted by the tenant.
        refused: Refused for good; a divided request is planned again, in parts.
        unconfirmed: May or may not have arrived.
        in_flight: Requests that wait for their answer.
        limit: The rate limit to keep.
        allowed: Calls that a window may hold now.
        begun: When this process began to send.
        recent: Attempts begun in the last window: (number of the step since `begun`, attempts), oldest first.
        silent_until: When the current or last wait ends.
        reason: The reason for that wait.
        divided: Numbers of requests that settling has divided because a part of them had arrived.
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
        """Accepted or refused."""
        return self.accepted + self.refused

    @property
    def unsent(self) -> int:
        """Requests that are neither done nor in flight."""
        return max(0, (self.planned - self.done - self.unconfirmed).requests - self.in_flight)


def begin(tally: Tally, limit: Rate, now: float) -> Headway:
    """The headway of a run that begins or continues."""
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
        case TakenApart():
            return _after_refusal(headway, event.request, event.parts)
        case Waiting():
            return after_wait(headway, event.seconds, event.reason, now)
        case PaceChanged():
            headway = replace(headway, allowed=event.allowed)
        case _:
            pass
    return headway


def seen(headway: Headway) -> dict[str, dict[str, int]]:
    """What is known without the ledger, under the names of the summary's JSON; of the others only the ledger knows."""
    amounts = {"planned": headway.planned, "accepted": headway.accepted, "refused": headway.refused}
    return {
        "changes": {name: amount.changes for name, amount in amounts.items()},
        "requests": {name: amount.requests for name, amount in amounts.items()},
    }


def describe_seen(run: str, headway: Headway) -> str:
    """The same for people."""
    planned = headway.planned
    return (
        f"Run {run}, as far as this command has recorded it: of {count(planned.changes, 'change')} in "
        f"{count(planned.requests, 'request')}, {headway.accepted.changes:,} accepted, "
        f"{headway.refused.changes:,} refused. No result file was written."
    )


def after_sending(headway: Headway, request: Request, now: float) -> Headway:
    """After an attempt has begun; a request within another's body makes no attempt of its own."""
    step = _step(headway, now)
    if request.within is not None:
        return headway
    kept = tuple((number, attempts) for number, attempts in headway.recent if number >= step - STEPS)
    attempts = 1
    if kept and kept[-1][0] == step:
        attempts += kept[-1][1]
        kept = kept[:-1]
    if request.parent in headway.divided and request.attempts == 1:
        # `after_settling` counted it as accepted; only now is it known to be missing.
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
        case Event.REFUSED:
            return _after_refusal(headway, request, parts)
        case Event.UNDECIDED:
            return replace(headway, unconfirmed=headway.unconfirmed + amount)
        case _:
            return headway


def _after_refusal(headway: Headway, request: Request, parts: int) -> Headway:
    if parts:
        return replace(headway, planned=headway.planned + Amount(requests=parts - 1))
    return _with_room(replace(headway, refused=headway.refused + _amount(request)))


def after_settling(headway: Headway, request: Request, verdict: str) -> Headway:
    """After an unconfirmed request is settled.

    The event does not say how much of a partly found request has arrived: all of it counts as accepted until the
    missing part is sent.
    """
    amount = _amount(request)
    headway = replace(headway, unconfirmed=headway.unconfirmed - amount)
    if verdict == Settlement.NOT_FOUND:
        return headway
    divided = {request.number} if verdict == Settlement.PARTLY else set()
    return replace(headway, accepted=headway.accepted + amount, divided=headway.divided | divided)


def after_wait(headway: Headway, seconds: float, reason: str, now: float) -> Headway:
    """After a wait was reported; an earlier wait that ends later stays in force."""
    if now + seconds <= headway.silent_until:
        return headway
    return replace(headway, silent_until=now + seconds, reason=reason)


def pace(headway: Headway, now: float) -> float:
    """Attempts per second over the last window of the rate limit; never above the limit if that is kept.

    In the first window, the time so far counts; attempts that were sent at once count as evenly spread.
    """
    limit = headway.limit
    oldest = _step(headway, now) - STEPS
    attempts = sum(attempts for number, attempts in headway.recent if number >= oldest)
    watched = now - headway.begun - max(0, oldest) * limit.seconds / STEPS
    if watched >= limit.seconds:
        return attempts / watched
    return min(attempts / max(watched, limit.seconds / STEPS), limit.requests / limit.seconds)


def time_left(headway: Headway, now: float) -> float | None:
    """Seconds until everything is sent at the allowed pace; None if nothing is sent although it may be.

    A slow tenant allows less than its limit: once a whole window has passed, the measured pace counts.
    """
    possible = headway.allowed / headway.limit.seconds
    if now - max(headway.begun, headway.silent_until) >= headway.limit.seconds:
        possible = min(possible, pace(headway, now))
    return max(0.0, headway.silent_until - now) + headway.unsent / possible if possible else None


def _step(headway: Headway, now: float) -> int:
    return int((now - headway.begun) * STEPS // headway.limit.seconds)


def _amount(request: Request) -> Amount:
    """A request and its changes; a request within another's body does not count as a body."""
    return Amount(requests=int(request.within is None), changes=request.changes)


def _with_room(headway: Headway) -> Headway:
    """With at least as many planned as done: requests planned for one body may have been sent alone."""
    missing = (headway.done - headway.planned).requests
    return replace(headway, planned=headway.planned + Amount(requests=missing)) if missing > 0 else headway


def describe_wait(headway: Headway, now: float) -> str:
    """The rest of the current wait and its reason; empty without a wait."""
    left = headway.silent_until - now
    return f"waiting {countdown(left)}: {headway.reason}" if left > 0 else ""


def describe_sending(headway: Headway, now: float) -> str:
    """Pace and time left; once everything is sent, what is still awaited."""
    if headway.unsent:
        left = time_left(headway, now)
        return f"{describe_pace(headway, now)}, {'time left unknown' if left is None else countdown(left) + ' left'}"
    if headway.in_flight:
        return f"waiting for {count(headway.in_flight, 'answer')}"
    if unconfirmed := headway.unconfirmed.requests:
        return f"looking for {count(unconfirmed, 'unconfirmed request')}"
    return "done"


def describe_pace(headway: Headway, now: float) -> str:
    """The pace, the allowed pace, and the limit if that is higher: `1.9/s of 2/s (limit 4/s)`.

    During a wait, only the allowed pace after it.
    """
    limit, seconds = headway.limit.requests, headway.limit.seconds
    more = f" (limit {per_second(limit / seconds)})" if headway.allowed < limit else ""
    allowed = f"{per_second(headway.allowed / seconds)}{more}"
    return f"then up to {allowed}" if headway.silent_until > now else f"{per_second(pace(headway, now))} of {allowed}"


def describe_results(headway: Headway) -> str:
    """The results of the changes so far."""
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
    """A duration to the second, rounded up: `40 s`, `9 min 40 s`, `2 h 5 min`."""
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
