"""What this process has learned of the ids that it sends: which were accepted, and which can only be what was refused.

None of it keeps anything from being sent. It only says how a refused request is divided, and when dividing stops.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.api.dialects import Operation
    from batch.model import Request, RequestItem

_TOKEN: Final = re.compile(r"\w(?:[\w-]*\w)?")
"""An id as it stands in a sentence: without the brackets, quotes and full stops around it."""

ENOUGH_WITNESSES: Final = 2
"""One refused change may be a pair that does not fit, of a good identity and a good item: somebody whom a restricted
item is not for. Each witness more costs two requests, and makes it rarer that good changes are refused with the bad.
"""


class Suspect(NamedTuple):
    """What can be the cause of a refusal: an identity, or an access item with its dates.

    What is refused in a grant may be good in a revoke, and an item with one date while it is not with another.

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
    return tuple(_item(request.operation, item) for item in request.items)


def _item(operation: Operation, item: RequestItem) -> Suspect:
    return Suspect(operation, item.id, item.type, item.start_date, item.remove_date)


def named(suspects: Iterable[Suspect], said: str) -> frozenset[Suspect]:
    """Those whose id stands in the tenant's message, as a word of its own and in any case."""
    words = {word.casefold() for word in _TOKEN.findall(said)}
    return frozenset(suspect for suspect in suspects if suspect.id.casefold() in words)


class RefusalHistory:
    """Gathers the answers of one process.

    It is added to in place: a run has as many answers as ids, so that a copy for each would be quadratic.
    """

    def __init__(self) -> None:
        self._cleared: set[Suspect] = set()
        self._refusals: Counter[Suspect] = Counter()
        self._refused_beside: dict[Suspect, set[Suspect]] = {}
        self._blamed_beside: dict[Suspect, set[Suspect]] = {}

    def accepted(self, request: Request) -> None:
        """The tenant took the request: all its ids are cleared, and a conviction of one of them was wrong."""
        self._cleared.update(identities(request), items(request))

    def refused(self, request: Request, said: str) -> None:
        """The tenant refused the request.

        Args:
            request: As it was sent.
            said: The tenant's message.
        """
        self._refusals.update((*identities(request), *items(request)))
        if request.changes > 1:
            return
        (identity,), (item,) = identities(request), items(request)
        self._refused_beside.setdefault(identity, set()).add(item)
        self._refused_beside.setdefault(item, set()).add(identity)
        blamed = named((identity, item), said)
        if blamed == {identity}:
            self._blamed_beside.setdefault(identity, set()).add(item)
        elif blamed == {item}:
            self._blamed_beside.setdefault(item, set()).add(identity)

    def suspicion(self, suspect: Suspect) -> int:
        """How much speaks against an id: 0 where it is cleared, else more with each refused request that it was in."""
        return 0 if suspect in self._cleared else 1 + self._refusals[suspect]

    def witnesses(self, suspect: Suspect) -> int:
        """How many of its single changes were refused beside an id that is cleared, or with a message that blames it.

        It does not matter which came first: the refusal, or the acceptance that clears the other id.
        """
        if suspect in self._cleared:
            return 0
        beside = self._refused_beside.get(suspect, set())
        return len((beside & self._cleared) | self._blamed_beside.get(suspect, set()))

    def accuses(self, suspect: Suspect) -> bool:
        """Whether a single change speaks against it: it is looked at apart from the others."""
        return self.witnesses(suspect) > 0

    def convicts(self, suspect: Suspect) -> bool:
        """Whether enough do, and independently, that what has it in common and is refused is not taken apart."""
        return self.witnesses(suspect) >= ENOUGH_WITNESSES
