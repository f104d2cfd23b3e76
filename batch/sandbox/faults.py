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

from batch.sandbox.answers import HTML, Answer, block_page, gateway_page, problem, too_many_requests, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TRACKING_ID: Final = "fa17" * 8

BLOCK_ID: Final = "18164213377410283141"
"""The id on the page of the sandbox's firewall."""


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
    UNAVAILABLE_503_AFTER = "unavailable_503_after"
    SEE_OTHER_303_AFTER = "see_other_303_after"
    NOT_FOUND_404_AFTER = "not_found_404_after"
    CONFLICT_409_AFTER = "conflict_409_after"
    BLOCKED_403 = "blocked_403"
    """A firewall's page, with an id for its administrators."""
    BLOCKED_404 = "blocked_404"
    FORBIDDEN_403 = "forbidden_403"


PASSING: Final = tuple(fault for fault in Fault if fault is not Fault.FORBIDDEN_403)
"""Faults that may happen to one attempt and not to the next; a 403 in the API's own form is a decision instead."""


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
    elsewhere = Answer(status=HTTPStatus.SEE_OTHER, body="", headers={"Location": "/ui/sign-in"}, media_type=HTML)
    forbidden = problem(
        HTTPStatus.FORBIDDEN,
        "The server understood the request but refuses to authorize it.",
        tracking_id=_TRACKING_ID,
    )
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
        Fault.UNAVAILABLE_503_AFTER: Effect(processed=True, result=unavailable),
        Fault.SEE_OTHER_303_AFTER: Effect(processed=True, result=elsewhere),
        Fault.NOT_FOUND_404_AFTER: Effect(processed=True, result=gateway_page(HTTPStatus.NOT_FOUND)),
        Fault.CONFLICT_409_AFTER: Effect(processed=True, result=gateway_page(HTTPStatus.CONFLICT)),
        Fault.BLOCKED_403: Effect(processed=False, result=block_page(HTTPStatus.FORBIDDEN, BLOCK_ID)),
        Fault.BLOCKED_404: Effect(processed=False, result=gateway_page(HTTPStatus.NOT_FOUND)),
        Fault.FORBIDDEN_403: Effect(processed=False, result=forbidden),
    }
    return effects[fault]


class FaultPlan:
    """The faults of coming attempts.

    A fault that belongs to a text in the body comes first. Other attempts take from the queue, and once that is empty,
    chance decides. Another thread may add faults.

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
        kinds: Sequence[Fault] = PASSING,
        seed: int = 0,
        retry_after: int = 1,
    ) -> None:
        self._queue = deque(faults)
        self._poison: dict[bytes, Fault] = {}
        self._probability = probability
        self._kinds = kinds
        self._random = Random(seed)  # noqa: S311 - rehearsals must be repeatable, nothing is secret here
        self._retry_after = retry_after

    def add(self, *faults: Fault | None) -> None:
        """Append to the queue: one entry for each coming attempt, None to let it pass."""
        self._queue.extend(faults)

    def poison(self, text: str, fault: Fault) -> None:
        """From now on, every attempt whose body contains a text gets a fault."""
        self._poison[text.encode()] = fault

    def next_effect(self, body: bytes = b"") -> Effect | None:
        """Take the fault of the attempt that has just arrived with a body; None lets it pass."""
        fault = next((fault for text, fault in tuple(self._poison.items()) if text in body), None)
        if fault is None:
            fault = self._queue.popleft() if self._queue else self._by_chance()
        return None if fault is None else effect_of(fault, retry_after=self._retry_after)

    @property
    def pending(self) -> int:
        """Entries left in the queue."""
        return len(self._queue)

    def _by_chance(self) -> Fault | None:
        happens = self._random.random() < self._probability
        return self._random.choice(self._kinds) if happens else None
