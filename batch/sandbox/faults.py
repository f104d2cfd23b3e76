"""Faults on request: the failures of a network, a gateway or an overloaded tenant, and the attempts that get them.

A fault affects an attempt that has passed the checks of the token and the rate limit. "Before" means that the tenant
did not process the request; "after" means that it did, but the client gets no acceptance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Final

from batch.sandbox.answers import HTML, Answer, gateway_page, problem, too_many_requests, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TRACKING_ID: Final = "fa17" * 8


class Fault(StrEnum):
    """A kind of fault."""

    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    ERROR_500_BEFORE = "error_500_before"
    ERROR_500_AFTER = "error_500_after"
    ERROR_504_BEFORE = "error_504_before"
    ERROR_504_AFTER = "error_504_after"
    UNAVAILABLE_503 = "unavailable_503"
    UNAVAILABLE_503_BARE = "unavailable_503_bare"
    THROTTLED_429 = "throttled_429"
    UNAUTHORIZED_401 = "unauthorized_401"
    UNREADABLE_202 = "unreadable_202"


class Silence(StrEnum):
    """How a connection can end without an answer."""

    DROP = "drop"
    HANG = "hang"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """The effect of one kind of fault.

    Attributes:
        processed: Whether the tenant processes the request.
        result: What the client gets in place of the true answer.
        only_instead_of: The true status to replace; None for any. If it is 202, a request that breaks a rule is still
            refused.
    """

    processed: bool
    result: Answer | Silence
    only_instead_of: int | None = None


def effect_of(fault: Fault, *, retry_after: int = 1) -> Effect:
    """The effect of a fault; `retry_after` (seconds) is for the kinds that send `Retry-After`."""
    internal_fault = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An internal fault occurred.", tracking_id=_TRACKING_ID)
    unavailable = problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The tenant is under maintenance.",
        tracking_id=_TRACKING_ID,
        headers={"Retry-After": str(retry_after)},
    )
    timeout_page = gateway_page(HTTPStatus.GATEWAY_TIMEOUT)
    unreadable = Answer(status=HTTPStatus.ACCEPTED, body="<html>Accepted", media_type=HTML)
    effects: Mapping[Fault, Effect] = {
        Fault.DROP_BEFORE: Effect(processed=False, result=Silence.DROP),
        Fault.DROP_AFTER: Effect(processed=True, result=Silence.DROP),
        Fault.HANG_BEFORE: Effect(processed=False, result=Silence.HANG),
        Fault.HANG_AFTER: Effect(processed=True, result=Silence.HANG),
        Fault.ERROR_500_BEFORE: Effect(processed=False, result=internal_fault),
        Fault.ERROR_500_AFTER: Effect(processed=True, result=internal_fault),
        Fault.ERROR_504_BEFORE: Effect(processed=False, result=timeout_page),
        Fault.ERROR_504_AFTER: Effect(processed=True, result=timeout_page),
        Fault.UNAVAILABLE_503: Effect(processed=False, result=unavailable),
        Fault.UNAVAILABLE_503_BARE: Effect(processed=False, result=gateway_page(HTTPStatus.SERVICE_UNAVAILABLE)),
        Fault.THROTTLED_429: Effect(processed=False, result=too_many_requests(retry_after)),
        Fault.UNAUTHORIZED_401: Effect(processed=False, result=unauthorized("JWT is expired")),
        Fault.UNREADABLE_202: Effect(processed=True, result=unreadable, only_instead_of=HTTPStatus.ACCEPTED),
    }
    return effects[fault]


class FaultPlan:
    """The faults of coming attempts.

    Attempts take from the queue first. Once it is empty, chance decides. Another thread may fill the queue.

    Args:
        faults: One entry for each coming attempt, in order; None lets that attempt pass.
        probability: Chance, 0 to 1, of a fault once the queue is empty.
        kinds: The faults that chance picks from, all equally likely.
        seed: Makes chance repeatable.
        retry_after: Seconds, for the kinds that send `Retry-After`.
    """

    def __init__(
        self,
        faults: Iterable[Fault | None] = (),
        *,
        probability: float = 0.0,
        kinds: Sequence[Fault] = tuple(Fault),
        seed: int = 0,
        retry_after: int = 1,
    ) -> None:
        self._queue = deque(faults)
        self._probability = probability
        self._kinds = kinds
        self._random = Random(seed)  # noqa: S311 - rehearsals must be repeatable, nothing is secret here
        self._retry_after = retry_after

    def add(self, *faults: Fault | None) -> None:
        """Append to the queue: one entry for each coming attempt, None to let it pass."""
        self._queue.extend(faults)

    def next_effect(self) -> Effect | None:
        """Take the fault of the attempt that has just arrived; None lets it pass."""
        fault = self._queue.popleft() if self._queue else self._by_chance()
        return None if fault is None else effect_of(fault, retry_after=self._retry_after)

    @property
    def pending(self) -> int:
        """Entries left in the queue."""
        return len(self._queue)

    def _by_chance(self) -> Fault | None:
        happens = self._random.random() < self._probability
        return self._random.choice(self._kinds) if happens else None
