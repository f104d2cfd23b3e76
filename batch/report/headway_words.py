"""The words for how far a run has come: short texts for 80 columns, pure functions of it and of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.report.headway import pace, time_left
from batch.wording import count

if TYPE_CHECKING:
    from batch.report.headway import Headway


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
