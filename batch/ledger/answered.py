"""Answers to attempts, as they are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.answers.outcome import is_blocked
from batch.ledger.events import BLOCKED, REASON, SERVER_TIME, WITHIN, Entry
from batch.states import Event
from batch.status.evidence import requested_already
from batch.text import instant

if TYPE_CHECKING:
    from datetime import datetime

    from batch.answers.outcome import Decision
    from batch.api.status_row import ChangeStatus
    from batch.model import Answer, Part, Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An attempt with its answer and the decision about it.

    Attributes:
        request: As claimed.
        answer: The answer.
        decision: What it means.
        at: When it came.
        parts: The smaller requests that take over all changes of a refused request.
        alone: Whether the request shares no body with others from now on.
    """

    request: Request
    answer: Answer
    decision: Decision
    at: datetime
    parts: tuple[Part, ...] = ()
    alone: bool = False


def existing_of(one: Answered) -> tuple[ChangeStatus, ...]:
    """What the tenant says is requested or held already, as the statuses of its changes."""
    is_accepted = one.decision.event is Event.ACCEPTED
    return requested_already(one.request, one.answer.existing) if is_accepted and one.answer.existing else ()


def entry_of(one: Answered) -> Entry:
    """The event that records an answer."""
    answer = one.answer
    return Entry(
        event=one.decision.event,
        at=one.at,
        request=one.request.number,
        attempt=one.request.attempts,
        status=answer.status,
        detail={
            "detail_code": answer.detail_code,
            "tracking_id": answer.tracking_id,
            REASON: one.decision.reason,
            SERVER_TIME: answer.server_time and instant(answer.server_time),
            BLOCKED: (one.decision.event is Event.UNDECIDED and is_blocked(answer)) or None,
            WITHIN: one.request.within,
        },
    )
