"""What an answer means for each request of a body.

Most answers mean the same for all. A refusal of several in one body does not: nothing was created, so nothing is known
of any one of them but what the tenant's message names. So none of them is refused; they go back to what is to be sent,
and those that are named, or else all, travel alone from then on.
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


def for_each(body: Sequence[Request], decision: Decision, said: str) -> tuple[Decision, ...]:
    """The decision about each request of a body, in order; Then.SEND_ALONE for those that travel alone from now on.

    Args:
        body: As it was sent.
        decision: About the body as a whole.
        said: The tenant's message.
    """
    if len(body) == 1 or decision.event is not Event.REFUSED:
        return (decision,) * len(body)
    blamed = [bool(named((*identities(request), *items(request)), said)) for request in body]
    together = f"{decision.reason}; nothing is known of one of {len(body)} requests in one body, and it is sent again"
    stays = replace(decision, event=Event.NOT_PROCESSED, reason=together)
    leaves = replace(stays, then=Then.SEND_ALONE, reason=f"{together} by itself")
    return tuple(leaves if is_blamed or not any(blamed) else stays for is_blamed in blamed)


def bodies_back(decisions: Sequence[Decision]) -> int:
    """How many bodies are to be sent again after these decisions about the requests of one."""
    back = [decision for decision in decisions if decision.event is Event.NOT_PROCESSED]
    alone = sum(decision.then is Then.SEND_ALONE for decision in back)
    return alone + (alone < len(back))
