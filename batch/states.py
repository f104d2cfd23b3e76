"""The state machine of a request.

A PLANNED request stands in the ledger, and nothing of it has reached the tenant. SENDING is committed before the first
byte leaves. So a request that a dead process left SENDING may have arrived, and becomes UNCONFIRMED. Only settling
moves an UNCONFIRMED request on: a request that may have arrived is never sent again blindly.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.errors import BrokenPromiseError

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """The states of a request."""

    PLANNED = "PLANNED"
    SENDING = "SENDING"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    UNCONFIRMED = "UNCONFIRMED"
    SPLIT = "SPLIT"
    DISCARDED = "DISCARDED"


class Event(StrEnum):
    """The events that can happen to a request."""

    CLAIMED = "claimed"
    """A sender took it. Committed before the first byte leaves."""
    ACCEPTED = "accepted"
    """The tenant answered 2xx."""
    REFUSED = "refused"
    """The tenant refused the body; nothing was created. A planned request is refused if it never gets through, alone
    and while others do."""
    NOT_PROCESSED = "not_processed"
    """The tenant provably did not process it."""
    UNDECIDED = "undecided"
    """The tenant may have processed it: bytes left, and no answer decides."""
    ABANDONED = "abandoned"
    """Its process died while it was being sent."""
    FOUND = "found"
    """Settling found all its changes in the tenant."""
    NOT_FOUND = "not_found"
    """Settling waited out the visibility delay and found none of its changes."""
    TAKEN_OVER = "taken_over"
    """Other requests take over its changes: smaller ones after a refusal or if it never gets through, new ones when the
    run is planned again or another run wants some of them, or, if only a part arrived, one for that part and one for
    the rest."""
    DISCARDED = "discarded"
    """The user gave it up before it was sent."""
    MISTRUSTED = "mistrusted"
    """It may have arrived, and only another machine says that it has not: it is in doubt again."""


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        (State.PLANNED, Event.CLAIMED): State.SENDING,
        (State.PLANNED, Event.DISCARDED): State.DISCARDED,
        (State.PLANNED, Event.TAKEN_OVER): State.SPLIT,
        (State.PLANNED, Event.REFUSED): State.REFUSED,
        (State.SENDING, Event.ACCEPTED): State.ACCEPTED,
        (State.SENDING, Event.REFUSED): State.REFUSED,
        (State.SENDING, Event.NOT_PROCESSED): State.PLANNED,
        (State.SENDING, Event.UNDECIDED): State.UNCONFIRMED,
        (State.SENDING, Event.ABANDONED): State.UNCONFIRMED,
        (State.UNCONFIRMED, Event.FOUND): State.ACCEPTED,
        (State.UNCONFIRMED, Event.NOT_FOUND): State.PLANNED,
        (State.UNCONFIRMED, Event.TAKEN_OVER): State.SPLIT,
        (State.REFUSED, Event.TAKEN_OVER): State.SPLIT,
        (State.PLANNED, Event.MISTRUSTED): State.UNCONFIRMED,
        (State.REFUSED, Event.MISTRUSTED): State.UNCONFIRMED,
        (State.SPLIT, Event.MISTRUSTED): State.UNCONFIRMED,
        (State.DISCARDED, Event.MISTRUSTED): State.UNCONFIRMED,
    }
)
"""Every transition. All others are impossible."""

UNSENT: Final = frozenset({State.PLANNED})
"""Nothing of it has reached the tenant, and it will be sent."""

IN_DOUBT: Final = frozenset({State.SENDING, State.UNCONFIRMED})
"""It may have reached the tenant."""

VOID: Final = frozenset({State.REFUSED, State.SPLIT, State.DISCARDED})
"""It was refused or discarded, or others took over its changes.
(The part of a request that settling found is such another request, ACCEPTED from its beginning.)"""

FREE: Final = UNSENT | VOID
"""Nothing keeps its changes from being sent (again)."""


def advance(state: State, event: Event) -> State:
    """The state that `event` leads to from `state`.

    Raises:
        BrokenPromiseError: There is no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise BrokenPromiseError(
            f"A request that is {state} can't be {event}.",
            next_step="The ledger is as it was before. Please report this as a bug.",
        ) from None
