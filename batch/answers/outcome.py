"""What an answer means: one table from a status or failure to what happens to the request and what the sender does.

A request goes back to PLANNED or is REFUSED only if the tenant provably did not process it; in every other case it is
UNCONFIRMED. Proof is that nothing left, or one of the statuses that the vendor documents, in a body of the form that it
documents: so the API itself has answered. Anything else that answers (a firewall, a gateway, a sign-in page) may have
passed the request on before. Sources: the vendor's OpenAPI documents for the statuses and forms, and its page on rate
limits for 429 and `Retry-After`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.model import Answer, Failure, Form
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PAUSE: Final = 10.0
"""Seconds to wait after a 429 without `Retry-After`: the length of the tenant's own window."""

LEAST_PAUSE: Final = 0.5
"""Least seconds to wait after the tenant turned a call away, even if it asks for none."""

TRIVIAL_WAIT: Final = 2.0
"""A tenant that turns every call away and asks for at most so many seconds is not busy: that it asks is no excuse."""

FIRST_BACKOFF: Final = 0.5
"""Most seconds to back off after a first failure. Each further failure in a row doubles them."""

MOST_BACKOFF: Final = 60.0
"""Most seconds to back off."""

HELD_UP: Final = Answer(failure=Failure.NEVER_CONNECTED, text="this machine was held up before it could send")
"""Stands for the answer to an attempt that was not made."""

NOT_LEFT: Final = Answer(failure=Failure.NEVER_CONNECTED, text="sending stopped before it was sent")
"""The same if the tenant asked for silence, or the run ended, while an attempt waited to leave."""


class Then(StrEnum):
    """What the sender does next."""

    GO_ON = "go on"
    SLOW_DOWN = "wait as long as the tenant asks, then go on more slowly"
    WAIT = "wait as long as the tenant asks"
    SEND_ALONE = "send each request of the refused body by itself"
    BACK_OFF = "back off"
    RENEW_TOKEN = "get a new token"  # noqa: S105 - not a password
    TAKE_APART = "divide it if others are accepted, otherwise stop: the tenant refuses this client"
    STOP_CREDENTIALS = "stop: the tenant refuses this client"
    STOP_TENANT = "stop: this is not the API, or it can't be reached"


WAITS: Final = frozenset({Then.SLOW_DOWN, Then.WAIT, Then.BACK_OFF})
"""After these, the same call may be made again once the pause is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """One row of the table: what happens to the request, and what the sender does next."""

    event: Event
    then: Then


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What a decision depends on besides the answer.

    Attributes:
        new_token: Whether the attempt used a new token because the tenant refused the one before.
        failures_in_a_row: Failed attempts in a row before this one.
        without_success: Seconds since the tenant last did its work, without the silence that it asked for.
        turned_away: Seconds since the tenant began to turn every call away and to ask for trivial waits.
        give_up_after: Stop sending after so many of either.
        jitter: A random number from 0 to 1, so that not every process comes back at once.
    """

    new_token: bool = False
    failures_in_a_row: int = 0
    without_success: float = 0.0
    turned_away: float = 0.0
    give_up_after: float = math.inf
    jitter: float = 1.0


USUAL: Final = Situation()
"""Nothing has failed before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to do about one answer.

    Attributes:
        event: What happened to the request, for the state machine.
        then: What the sender does next.
        pause: Seconds during which nothing is sent.
        reason: For results and the ledger; empty after an acceptance.
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
        "401": Meaning(event=_BACK, then=Then.RENEW_TOKEN),
        "401 with a new token": Meaning(event=_BACK, then=Then.STOP_CREDENTIALS),
        "403": Meaning(event=_BACK, then=Then.TAKE_APART),
        "429": Meaning(event=_BACK, then=Then.SLOW_DOWN),
        "429 in another form": Meaning(event=_OPEN, then=Then.SLOW_DOWN),
        "503 with Retry-After": Meaning(event=_OPEN, then=Then.WAIT),
        "any other answer": Meaning(event=_OPEN, then=Then.BACK_OFF),
        "never connected": Meaning(event=_BACK, then=Then.BACK_OFF),
        "untrusted": Meaning(event=_BACK, then=Then.STOP_TENANT),
        "broken": Meaning(event=_OPEN, then=Then.BACK_OFF),
    }
)
"""Every case; `case_of` names the case of an answer. 400, 401, 403 and 429 are in the API's own form. At a BACK_OFF or
WAIT, sending stops if nothing has succeeded for `Situation.give_up_after` seconds; at a SLOW_DOWN or WAIT also if the
tenant has asked for trivial waits for so long."""

_PROVEN: Final = frozenset({"400", "401", "403", "429"})
"""The statuses that prove, in the API's own form, that the tenant did not process the request."""


def case_of(answer: Answer, *, new_token: bool) -> str:
    """The row of OUTCOMES for the answer to a submit."""
    if answer.status is None or answer.failure is not None:
        return {Failure.NEVER_CONNECTED: "never connected", Failure.UNTRUSTED: "untrusted"}.get(
            answer.failure or Failure.BROKEN, "broken"
        )
    status = str(answer.status)
    if status == "202":
        return status
    if status in _PROVEN and answer.form is Form.API:
        return "401 with a new token" if status == "401" and new_token else status
    if status == "429":
        return "429 in another form"
    return "503 with Retry-After" if status == "503" and answer.retry_after is not None else "any other answer"


def is_blocked(answer: Answer) -> bool:
    """Whether something in front of the API turned a submit away, such as a firewall because of a text in it."""
    return answer.status in range(300, 500) and answer.form is not Form.API


def is_an_edges(answer: Answer) -> bool:
    """Whether a refusal to read is not the API's, but one of something in front of it: it says nothing about rights.

    A 403 without any content may be either's; a 400 in any form but a web page is taken to be the API's.
    """
    if answer.status == 403:  # noqa: PLR2004 - HTTP
        return answer.form is not Form.API and bool(answer.text)
    return answer.status == 400 and answer.form is Form.PAGE  # noqa: PLR2004 - HTTP


def decide(answer: Answer, situation: Situation = USUAL) -> Decision:
    """What to do about the answer to a submit."""
    return _decision(answer, OUTCOMES[case_of(answer, new_token=situation.new_token)], situation)


def _decision(answer: Answer, meaning: Meaning, situation: Situation) -> Decision:
    then = meaning.then
    if then in {Then.BACK_OFF, Then.WAIT} and situation.without_success >= situation.give_up_after:
        then = Then.STOP_TENANT
    if asks_for_trivial_wait(answer, then) and situation.turned_away >= situation.give_up_after:
        then = Then.STOP_TENANT
    return Decision(event=meaning.event, then=then, pause=_pause(then, answer, situation), reason=_reason(answer))


def asks_for_trivial_wait(answer: Answer, then: Then) -> bool:
    """Whether the tenant turned a call away and asks for a wait that is hardly one."""
    return then in {Then.SLOW_DOWN, Then.WAIT} and answer.retry_after is not None and answer.retry_after <= TRIVIAL_WAIT


def backoff(failures_in_a_row: int, jitter: float) -> float:
    """Seconds to back off: at most twice as many after each failure in a row, and at least half of that.

    Args:
        failures_in_a_row: Failures before this one.
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
        self._turned_away = 0.0

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
            turned_away=self._turned_away,
            give_up_after=self._give_up_after,
            jitter=jitter,
        )
        # Asking again is never wrong, so the form of an answer proves nothing here, and its event is not used.
        meaning = Meaning(event=Event.UNDECIDED, then=_then_ask(answer, new_token=new_token))
        decision = _decision(answer, meaning, situation)
        if decision.then not in WAITS:
            return decision
        pause = max(decision.pause, backoff(self._failures, jitter))
        self._failures += 1
        self._turned_away = self._turned_away + pause if asks_for_trivial_wait(answer, decision.then) else 0.0
        return replace(decision, pause=pause)


def _then_ask(answer: Answer, *, new_token: bool) -> Then:
    """What to do after an answer that does not settle a question which may be asked again."""
    if answer.status is None or answer.failure is not None:
        return Then.STOP_TENANT if answer.failure is Failure.UNTRUSTED else Then.BACK_OFF
    if answer.status == 401:  # noqa: PLR2004 - HTTP
        return Then.STOP_CREDENTIALS if new_token else Then.RENEW_TOKEN
    if answer.status == 503 and answer.retry_after is not None:  # noqa: PLR2004 - HTTP
        return Then.WAIT
    usual = Then.STOP_TENANT if answer.status in range(300, 500) else Then.BACK_OFF
    return {403: Then.STOP_CREDENTIALS, 408: Then.BACK_OFF, 429: Then.SLOW_DOWN}.get(answer.status, usual)


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
    message = answer.text or answer.detail_code
    if answer.status is None:
        return message or "no answer came"
    tracking = f" (tracking id {answer.tracking_id})" if answer.tracking_id else ""
    return f"the tenant answered {answer.status}{': ' + message if message else ''}{tracking}"
