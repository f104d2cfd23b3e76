"""A sentence for each event of sending, and for its end if requests stay unconfirmed."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.report.headway import countdown
from batch.states import Event
from batch.status.evidence import NEEDS_CONTROL, Settlement, Why
from batch.text import count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Mapping

    from batch.answers.events import AttemptEnded
    from batch.api.dialects import Rate
    from batch.model import Request
    from batch.names.known import KnownNames

REFUSALS_SHOWN: Final = 20
"""Refusals that are shown one by one; the result files list all."""

ENOUGH_REFUSALS: Final = "Further refusals are not shown here: the results list them, and -v shows them."
"""Replaces the refusals beyond REFUSALS_SHOWN."""

STOPPING: Final = "Stopping: waiting for requests already sent. Press Ctrl-C again to stop at once; that is safe, too."
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


def asked_for(request: Request, names: KnownNames) -> str:
    """A request's change in words, with the names that the run knows, or how many changes it asks for."""
    if request.changes > 1:
        return count(request.changes, "change")
    (identity,), (item,) = request.recipients, request.items
    return names.in_words(request.operation, identity, item.type, item.id)


def refused(request: Request, reason: str, names: KnownNames) -> str:
    """The tenant has refused a request."""
    return f"Request {request.id} ({asked_for(request, names)}) was refused: {reason}"


def taken_apart(request: Request, reason: str, parts: int) -> str:
    """A request that never gets through is divided."""
    return f"Request {request.id} never gets through although others do, so it is sent in {parts} parts: {reason}"


def answered(event: AttemptEnded, names: KnownNames) -> str:
    """An attempt has ended, with any outcome."""
    request, answer, decision = event.request, event.answer, event.decision
    attempt = f"{asked_for(request, names)}, attempt {request.attempts}"
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


def describe_unconfirmed(reasons: Counter[Why], runs: Mapping[str, Collection[Why]]) -> tuple[str, str]:
    """Why requests stay unconfirmed, and the next step.

    Args:
        reasons: How many requests have which reason.
        runs: The ids of their runs, each with its reasons.
    """
    number = reasons.total()
    stay, are, them = ("stays", "is", "it") if number == 1 else ("stay", "are", "them")
    why = "; ".join(f"{count(some, 'request')}: {one}" for one, some in reasons.most_common())
    said = f": {next(iter(reasons))}" if len(reasons) == 1 else f" ({why})"
    if reasons.keys() <= NEEDS_CONTROL:
        first = (
            "Waiting may not help. Submit any other change; once the tenant has accepted it, run the same command "
            "again."
        )
    elif reasons.keys() == {Why.INCOMPLETE}:
        first = "The tenant may list the rest later: run the same command again then."
    else:
        first = "Run the same command again later."
    look = "make sure that the silent process has ended, and look" if Why.FENCED in reasons else "look"
    said_by_hand = f" Or {look} for {them} in the tenant. {words}" if (words := by_hand(runs)) else ""
    return (
        f"{count(number, 'request')} {stay} unconfirmed, and {are} not sent again{said}.",
        f"{first}{said_by_hand}",
    )


def by_hand(runs: Mapping[str, Collection[Why]]) -> str:
    """The commands by which a person records what became of all unconfirmed requests of each run, as sentences.

    Nobody can say that of a run of which something may still arrive within its time. What has arrived in part must not
    be sent again, so `--not-arrived` is not offered for it.
    """
    sentences = []
    for run, reasons in runs.items():
        if reasons and Why.TIME not in reasons:
            sentences.append(f"If all those of run {run} have arrived: `access-batch settle {run} --arrived`.")
            if Why.INCOMPLETE not in reasons:
                sentences.append(f"If none of them has: `access-batch settle {run} --not-arrived`.")
    return " ".join(sentences)
