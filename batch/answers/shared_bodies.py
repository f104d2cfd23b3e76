"""What an answer means for each of several requests in one body.

Most answers mean the same for all. If the tenant refuses such a body, it creates nothing and we know nothing about a
single request, except what the message names. So none of them counts as refused: they go back to PLANNED, and the named
ones, or else all, are sent alone from then on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batch.answers.outcome import Then
from batch.answers.suspects import identities, items, named
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.answers.outcome import Decision
    from batch.model import Request


def for_each(body: Sequence[Request], decision: Decision, message: str) -> tuple[Decision, ...]:
    """The decision about each request of a body, in order; Then.SEND_ALONE for those to send alone from now on.

    Args:
        body: As it was sent.
        decision: About the body as a whole.
        message: The tenant's.
    """
    if len(body) == 1 or not (decision.event is Event.REFUSED or decision.then is Then.TAKE_APART):
        return (decision,) * len(body)
    blamed = [bool(named((*identities(request), *items(request)), message)) for request in body]
    together = f"{decision.reason}; refused as one of {len(body)} requests in one body, so it is sent again"
    back = replace(decision, event=Event.NOT_PROCESSED, reason=together)
    alone = replace(back, then=Then.SEND_ALONE, reason=f"{together} by itself")
    return tuple(alone if is_blamed or not any(blamed) else back for is_blamed in blamed)


def bodies_back(decisions: Sequence[Decision]) -> int:
    """How many bodies the requests of one body need to be sent again, after these decisions."""
    back = [decision for decision in decisions if decision.event is Event.NOT_PROCESSED]
    alone = sum(decision.then is Then.SEND_ALONE for decision in back)
    return alone + (alone < len(back))
