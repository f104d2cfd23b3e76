"""A sentence for each event of sending."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.report.headway import countdown
from batch.states import Event
from batch.status.evidence import Settlement
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.answers.events import AttemptEnded
    from batch.api.dialects import Rate
    from batch.model import Request

REFUSALS_SHOWN: Final = 20
"""Refusals that are shown one by one; the result files list all."""

ENOUGH_REFUSALS: Final = "Further refusals are not shown here: results.csv lists them, and -v shows them."
"""Replaces the refusals beyond REFUSALS_SHOWN."""

STOPPING: Final = (
    "Stopping once the requests in flight are answered. Press Ctrl-C again to stop at once; that is safe, too."
)
"""The user has interrupted for the first time."""

_VERDICTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Settlement.FOUND: "found in the tenant",
        Settlement.NOT_FOUND: "not found in the tenant, and is sent again",
        Settlement.PARTLY: "partly found in the tenant; the rest stays unconfirmed",
    }
)

_ANSWERED: Final[Mapping[Event, str]] = MappingProxyType(
    {
        Event.ACCEPTED: "was accepted",
        Event.REFUSED: "was refused",
        Event.NOT_PROCESSED: "was not processed",
        Event.UNDECIDED: "is unconfirmed",
    }
)


def refused(request: Request, reason: str) -> str:
    """The tenant has refused a request."""
    return f"Request {request.id} was refused: {reason}"


def taken_apart(request: Request, reason: str, parts: int) -> str:
    """A request that never gets through is divided."""
    return f"Request {request.id} does not get through and others do, so it is sent in {parts} parts: {reason}"


def answered(event: AttemptEnded) -> str:
    """An attempt has ended, with any outcome."""
    request, answer, decision = event.request, event.answer, event.decision
    attempt = f"{count(request.changes, 'change')}, attempt {request.attempts}"
    tracking = f" (tracking id {answer.tracking_id})" if answer.tracking_id else ""
    reason = decision.reason or f"the tenant answered {answer.status}{tracking}"
    again = f"; it is sent again in {event.parts} parts" if event.parts else ""
    return f"Request {request.id} ({attempt}) {_ANSWERED[decision.event]} after {event.seconds:.2f} s: {reason}{again}"


def settled(request: Request, verdict: str) -> str:
    """An unconfirmed request is settled."""
    return f"Settled: request {request.id} was {_VERDICTS[verdict]}."


def waiting(seconds: float, reason: str) -> str:
    """No call leaves for a while."""
    return f"Waiting {countdown(seconds)}: {reason}"


def paced(allowed: int, limit: Rate) -> str:
    """The pace has changed."""
    return f"The pace is now {allowed} of the {limit.requests} requests per {limit.seconds:g} s that the limit permits."
