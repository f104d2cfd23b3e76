"""What an answer means: the one table from (status or failure) to what becomes of the request and of the sender.

The rule behind the table: a request goes back to PLANNED only where the tenant provably did not process it, and
whatever leaves that open is UNCONFIRMED. A 401, 403 or unknown path is answered before the body is looked at. Sources:
the vendor's published OpenAPI documents for the statuses, and its page on rate limits for 429 and `Retry-After`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.model import Failure
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.model import Answer

DEFAULT_PAUSE: Final = 10.0
"""Seconds to wait after a 429 that does not say how long: the length of the tenant's own window."""

LEAST_PAUSE: Final = 0.5
"""Seconds to wait even where the tenant says that none are needed: it has just turned a call away."""

BACKOFF: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds to wait after the first, second … failure in a row to connect."""


class Then(StrEnum):
    """What the sender does next."""

    GO_ON = "go on"
    PAUSE = "pause everything"
    RENEW_TOKEN = "get a new token"  # noqa: S105 - not a password
    STOP_CREDENTIALS = "stop: the tenant refuses this client"
    STOP_TENANT = "stop: this is not the API, or it can't be reached"


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """One row of the table: what happens to the request, and what the sender does then."""

    event: Event
    then: Then


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to do about one answer.

    Attributes:
        event: What happened to the request, for the state machine.
        then: What the sender does next.
        pause: Seconds during which nothing is sent.
        reason: A sentence for results and the ledger; empty when all is well.
    """

    event: Event
    then: Then
    pause: float = 0.0
    reason: str = ""


_GO_ON = Then.GO_ON
OUTCOMES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "2xx": Meaning(event=Event.ACCEPTED, then=_GO_ON),
        "400": Meaning(event=Event.REFUSED, then=_GO_ON),
        "409": Meaning(event=Event.REFUSED, then=_GO_ON),
        "413": Meaning(event=Event.REFUSED, then=_GO_ON),
        "422": Meaning(event=Event.REFUSED, then=_GO_ON),
        "401": Meaning(event=Event.NOT_PROCESSED, then=Then.RENEW_TOKEN),
        "401 with a new token": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_CREDENTIALS),
        "403": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_CREDENTIALS),
        "408": Meaning(event=Event.UNDECIDED, then=_GO_ON),
        "429": Meaning(event=Event.NOT_PROCESSED, then=Then.PAUSE),
        "3xx": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_TENANT),
        "other 4xx": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_TENANT),
        "503 with Retry-After": Meaning(event=Event.NOT_PROCESSED, then=Then.PAUSE),
        "other": Meaning(event=Event.UNDECIDED, then=_GO_ON),
        "never connected": Meaning(event=Event.NOT_PROCESSED, then=Then.PAUSE),
        "never connected, again and again": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_TENANT),
        "untrusted": Meaning(event=Event.NOT_PROCESSED, then=Then.STOP_TENANT),
        "broken": Meaning(event=Event.UNDECIDED, then=_GO_ON),
    }
)
"""Every case there is; `case_of` names the case of an answer."""


def case_of(answer: Answer, *, new_token: bool, failures_in_a_row: int) -> str:
    """Which row of OUTCOMES an answer falls under."""
    if answer.failure is Failure.NEVER_CONNECTED:
        return "never connected" if failures_in_a_row < len(BACKOFF) else "never connected, again and again"
    if answer.failure is not None or answer.status is None:
        return "untrusted" if answer.failure is Failure.UNTRUSTED else "broken"
    status = answer.status
    if status == 401:  # noqa: PLR2004 - HTTP
        return "401 with a new token" if new_token else "401"
    if status == 503 and answer.retry_after is not None:  # noqa: PLR2004 - HTTP
        return "503 with Retry-After"
    if str(status) in OUTCOMES:
        return str(status)
    return {2: "2xx", 3: "3xx", 4: "other 4xx"}.get(status // 100, "other")


def decide(answer: Answer, *, new_token: bool, failures_in_a_row: int) -> Decision:
    """What to do about an answer.

    Args:
        answer: What came back.
        new_token: Whether the attempt used a token got because the one before was refused.
        failures_in_a_row: How many attempts in a row have failed to connect before this one.
    """
    case = case_of(answer, new_token=new_token, failures_in_a_row=failures_in_a_row)
    meaning = OUTCOMES[case]
    return Decision(
        event=meaning.event, then=meaning.then, pause=_pause(meaning, answer, failures_in_a_row), reason=_reason(answer)
    )


def _pause(meaning: Meaning, answer: Answer, failures_in_a_row: int) -> float:
    if meaning.then is not Then.PAUSE:
        return 0.0
    if answer.failure is Failure.NEVER_CONNECTED:
        return BACKOFF[failures_in_a_row]
    return DEFAULT_PAUSE if answer.retry_after is None else max(answer.retry_after, LEAST_PAUSE)


def _reason(answer: Answer) -> str:
    if answer.status is not None and answer.status // 100 == 2:  # noqa: PLR2004 - HTTP
        return ""
    said = answer.text or answer.detail_code
    if answer.status is None:
        return said or "no answer came"
    tracking = f" (tracking id {answer.tracking_id})" if answer.tracking_id else ""
    return f"the tenant answered {answer.status}{': ' + said if said else ''}{tracking}"
