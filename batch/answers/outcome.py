"""What an answer means: the one table from (status or failure) to what becomes of the request and of the sender.

The rule behind the table: a request goes back to PLANNED only where the tenant provably did not process it, and
whatever leaves that open is UNCONFIRMED. A 401, 403 or unknown path is answered before the body is looked at. Sources:
the vendor's published OpenAPI documents for the statuses, and its page on rate limits for 429 and `Retry-After`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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

FIRST_BACKOFF: Final = 0.5
"""Seconds to back off after a first failure, at most; each further one in a row doubles it."""

MOST_BACKOFF: Final = 60.0
"""Seconds beyond which it is not doubled any more."""


class Then(StrEnum):
    """What the sender does next."""

    GO_ON = "go on"
    SLOW_DOWN = "wait as long as it says, then go on more slowly"
    WAIT = "wait as long as it says"
    SEND_ALONE = "send what was refused together by itself"
    BACK_OFF = "back off"
    RENEW_TOKEN = "get a new token"  # noqa: S105 - not a password
    STOP_CREDENTIALS = "stop: the tenant refuses this client"
    STOP_TENANT = "stop: this is not the API, or it can't be reached"


WAITS: Final = frozenset({Then.SLOW_DOWN, Then.WAIT, Then.BACK_OFF})
"""After these the same may be sent again, once the pause is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """One row of the table: what happens to the request, and what the sender does then."""

    event: Event
    then: Then


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What else a decision rests on, besides the answer.

    Attributes:
        new_token: Whether the attempt used a token got because the one before was refused.
        failures_in_a_row: How many attempts in a row have failed before this one.
        without_success: Seconds since the tenant last did its work, not counting silence that it asked for.
        give_up_after: Seconds of that after which sending stops.
        jitter: A random number from 0 to 1, so that not everybody comes back at once.
    """

    new_token: bool = False
    failures_in_a_row: int = 0
    without_success: float = 0.0
    give_up_after: float = math.inf
    jitter: float = 1.0


USUAL: Final = Situation()
"""Nothing has failed so far."""


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


_ACCEPTED, _REFUSED, _BACK = Event.ACCEPTED, Event.REFUSED, Event.NOT_PROCESSED
_OPEN = Event.UNDECIDED
OUTCOMES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "202": Meaning(event=_ACCEPTED, then=Then.GO_ON),
        "400": Meaning(event=_REFUSED, then=Then.GO_ON),
        "409": Meaning(event=_REFUSED, then=Then.GO_ON),
        "413": Meaning(event=_REFUSED, then=Then.GO_ON),
        "422": Meaning(event=_REFUSED, then=Then.GO_ON),
        "401": Meaning(event=_BACK, then=Then.RENEW_TOKEN),
        "401 with a new token": Meaning(event=_BACK, then=Then.STOP_CREDENTIALS),
        "403": Meaning(event=_BACK, then=Then.STOP_CREDENTIALS),
        "429": Meaning(event=_BACK, then=Then.SLOW_DOWN),
        "3xx": Meaning(event=_BACK, then=Then.STOP_TENANT),
        "other 4xx": Meaning(event=_BACK, then=Then.STOP_TENANT),
        "503 with Retry-After": Meaning(event=_BACK, then=Then.WAIT),
        "other 2xx": Meaning(event=_OPEN, then=Then.BACK_OFF),
        "408": Meaning(event=_OPEN, then=Then.BACK_OFF),
        "other": Meaning(event=_OPEN, then=Then.BACK_OFF),
        "never connected": Meaning(event=_BACK, then=Then.BACK_OFF),
        "untrusted": Meaning(event=_BACK, then=Then.STOP_TENANT),
        "broken": Meaning(event=_OPEN, then=Then.BACK_OFF),
    }
)
"""Every case there is; `case_of` names the case of an answer. Where sending backs off or waits out a 503, and nothing
has succeeded for `Situation.give_up_after` seconds, it stops."""


def case_of(answer: Answer, *, new_token: bool) -> str:
    """Which row of OUTCOMES an answer falls under."""
    if answer.failure is Failure.NEVER_CONNECTED:
        return "never connected"
    if answer.failure is not None or answer.status is None:
        return "untrusted" if answer.failure is Failure.UNTRUSTED else "broken"
    status = answer.status
    if status == 401:  # noqa: PLR2004 - HTTP
        return "401 with a new token" if new_token else "401"
    if status == 503 and answer.retry_after is not None:  # noqa: PLR2004 - HTTP
        return "503 with Retry-After"
    if str(status) in OUTCOMES:
        return str(status)
    return {2: "other 2xx", 3: "3xx", 4: "other 4xx"}.get(status // 100, "other")


def decide(answer: Answer, situation: Situation = USUAL) -> Decision:
    """What to do about an answer."""
    meaning = OUTCOMES[case_of(answer, new_token=situation.new_token)]
    then = meaning.then
    if then in {Then.BACK_OFF, Then.WAIT} and situation.without_success >= situation.give_up_after:
        then = Then.STOP_TENANT
    return Decision(event=meaning.event, then=then, pause=_pause(then, answer, situation), reason=_reason(answer))


def backoff(failures_in_a_row: int, jitter: float) -> float:
    """Seconds to back off: up to twice as long after each failure in a row, and at least half of that.

    Args:
        failures_in_a_row: How many there were before this one.
        jitter: A random number from 0 to 1.
    """
    longest = min(MOST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures_in_a_row, 30))
    return longest * (1 + jitter) / 2


class Retries:
    """Decides about the answers to one question that is asked until an answer settles it.

    Args:
        give_up_after: Seconds without a usable answer after which to stop.
        now: This moment in seconds, by a clock that stands still while the tenant wants silence.
    """

    def __init__(self, *, give_up_after: float, now: float) -> None:
        self._give_up_after = give_up_after
        self._began = now
        self._failures = 0

    def decide(self, answer: Answer, *, now: float, jitter: float, new_token: bool = False) -> Decision:
        """What to do about an answer that settles nothing; pauses grow with each failure.

        Args:
            answer: The answer.
            now: This moment, by the same clock.
            jitter: A random number from 0 to 1.
            new_token: See Situation.
        """
        situation = Situation(
            new_token=new_token,
            failures_in_a_row=self._failures,
            without_success=now - self._began,
            give_up_after=self._give_up_after,
            jitter=jitter,
        )
        decision = decide(answer, situation)
        if decision.then not in WAITS:
            return decision
        pause = max(decision.pause, backoff(self._failures, jitter))
        self._failures += 1
        return replace(decision, pause=pause)


def _pause(then: Then, answer: Answer, situation: Situation) -> float:
    match then:
        case Then.BACK_OFF:
            return max(backoff(situation.failures_in_a_row, situation.jitter), answer.retry_after or 0.0)
        case Then.SLOW_DOWN | Then.WAIT:
            return DEFAULT_PAUSE if answer.retry_after is None else max(answer.retry_after, LEAST_PAUSE)
        case _:
            return 0.0


def _reason(answer: Answer) -> str:
    if answer.status == 202:  # noqa: PLR2004 - HTTP
        return ""
    said = answer.text or answer.detail_code
    if answer.status is None:
        return said or "no answer came"
    tracking = f" (tracking id {answer.tracking_id})" if answer.tracking_id else ""
    return f"the tenant answered {answer.status}{': ' + said if said else ''}{tracking}"
