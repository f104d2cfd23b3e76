"""Which identity or item may be the cause of a refusal, by the answers that this process has seen.

This decides only how a refused request is divided, and when dividing stops. It never keeps a change from being sent.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.api.dialects import Operation
    from batch.model import Request

_WORD: Final = re.compile(r"\w(?:[\w-]*\w)?")
"""An id in a sentence, without the brackets, quotes and full stops around it."""

CERTAIN_FROM: Final = 2
"""Refused single changes from which the cause is certain.

One is too few: it may be a good identity and a good item that do not fit together, such as a restricted item. Each more
would cost two requests, and refuse fewer good changes together with bad ones."""


class Suspect(NamedTuple):
    """A possible cause of a refusal: an identity, or an access item with its dates.

    The operation and the dates belong to it, because an item may be refused in a grant and accepted in a revoke, or
    refused with one date and accepted with another.

    Attributes:
        operation: Grant or revoke.
        id: The tenant's id.
        kind: The item's type; empty for an identity.
        start_date: Of an item.
        remove_date: Of an item.
    """

    operation: Operation
    id: str
    kind: str = ""
    start_date: str = ""
    remove_date: str = ""


def identities(request: Request) -> tuple[Suspect, ...]:
    """A request's recipients, in order."""
    return tuple(Suspect(request.operation, recipient) for recipient in request.recipients)


def items(request: Request) -> tuple[Suspect, ...]:
    """A request's items, in order."""
    return tuple(
        Suspect(request.operation, item.id, item.type, item.start_date, item.remove_date) for item in request.items
    )


def named(suspects: Iterable[Suspect], message: str) -> frozenset[Suspect]:
    """The suspects whose id stands in the tenant's message, as a whole word in any case."""
    words = {word.casefold() for word in _WORD.findall(message)}
    return frozenset(suspect for suspect in suspects if suspect.id.casefold() in words)


class RefusalHistory:
    """The answers of one process, by suspect.

    It changes in place: a run has as many answers as ids, and a copy for each answer would cost quadratic time.
    """

    def __init__(self) -> None:
        self._cleared: set[Suspect] = set()
        self._refusals: Counter[Suspect] = Counter()
        self._refused_with: dict[Suspect, set[Suspect]] = {}
        self._blamed_with: dict[Suspect, set[Suspect]] = {}

    def accepted(self, request: Request) -> None:
        """The tenant accepted a request: none of its ids is a suspect any more."""
        self._cleared.update(identities(request), items(request))

    def refused(self, request: Request, message: str) -> None:
        """The tenant refused a request, with this message."""
        self._refusals.update((*identities(request), *items(request)))
        if request.changes > 1:
            return
        (identity,), (item,) = identities(request), items(request)
        self._refused_with.setdefault(identity, set()).add(item)
        self._refused_with.setdefault(item, set()).add(identity)
        blamed = named((identity, item), message)
        if blamed == {identity}:
            self._blamed_with.setdefault(identity, set()).add(item)
        elif blamed == {item}:
            self._blamed_with.setdefault(item, set()).add(identity)

    def suspicion(self, suspect: Suspect) -> int:
        """How suspect an id is: 0 if an acceptance cleared it, else more with each refused request that held it."""
        return 0 if suspect in self._cleared else 1 + self._refusals[suspect]

    def is_likely(self, suspect: Suspect) -> bool:
        """Whether one single change speaks against it, so that it is tried apart from the others."""
        return self._refused_alone(suspect) > 0

    def is_certain(self, suspect: Suspect) -> bool:
        """Whether it is the cause beyond doubt, so that a refused request of this id alone is not divided."""
        return self._refused_alone(suspect) >= CERTAIN_FROM

    def _refused_alone(self, suspect: Suspect) -> int:
        """How many single changes speak against it: their other id is cleared, or the message blames this one.

        The refusal and the acceptance that clears the other id may come in any order.
        """
        if suspect in self._cleared:
            return 0
        refused_with = self._refused_with.get(suspect, set())
        return len((refused_with & self._cleared) | self._blamed_with.get(suspect, set()))
