"""How to divide a refused request, so that the bad changes are soon told apart from the good ones.

The tenant refuses the whole request, mostly because of one identity or one item, rarely because of a pair. So we look
for ids in most refusals and in no acceptance, and stop dividing once they are certain to be the cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from batch.answers.suspects import identities, items, named
from batch.model import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.answers.suspects import RefusalHistory, Suspect
    from batch.model import Request

Positions = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """One side of a request's product, its identities or its items, by position.

    Attributes:
        all: Every position.
        named: Positions of the ids that the tenant's message names.
        likely: Positions of the ids that are likely the cause.
        certain: Positions of the ids that are certainly the cause.
        suspicion: How suspect each is; 0 if it is cleared.
    """

    all: Positions
    named: Positions
    likely: Positions
    certain: Positions
    suspicion: tuple[int, ...]

    @property
    def worst(self) -> int:
        return max(self.suspicion)

    @property
    def suspects(self) -> Positions:
        """The most suspect positions; all of them if all are cleared."""
        return tuple(position for position in self.all if self.suspicion[position] == self.worst)

    @property
    def best(self) -> Positions:
        """One of the least suspect positions."""
        return (min(self.all, key=self.suspicion.__getitem__),)

    def without(self, positions: Iterable[int]) -> Positions:
        left_out = set(positions)
        return tuple(position for position in self.all if position not in left_out)


def divide(request: Request, message: str, history: RefusalHistory) -> tuple[Part, ...]:
    """Divides a refused request into smaller products that ask for exactly the same changes.

    Args:
        request: As it was sent.
        message: The tenant's.
        history: All answers so far, this refusal included.

    Returns:
        The parts. None if dividing can't help: the request is a single change, or all its changes share an identity or
        an item that is certainly the cause.
    """
    if request.changes == 1:
        return ()
    people, things = _side(identities(request), message, history), _side(items(request), message, history)
    if parts := _by_name(people, things):
        return parts
    if any(len(side.all) == len(side.certain) == 1 for side in (people, things)):
        return ()
    return _by_likely_cause(people, things) or _by_probe(people, things) or _by_halves(people, things, request.number)


def _side(suspects: Sequence[Suspect], message: str, history: RefusalHistory) -> _Side:
    in_message = named(suspects, message)
    return _Side(
        all=tuple(range(len(suspects))),
        named=tuple(position for position, suspect in enumerate(suspects) if suspect in in_message),
        likely=tuple(position for position, suspect in enumerate(suspects) if history.is_likely(suspect)),
        certain=tuple(position for position, suspect in enumerate(suspects) if history.is_certain(suspect)),
        suspicion=tuple(history.suspicion(suspect) for suspect in suspects),
    )


def _by_name(people: _Side, things: _Side) -> tuple[Part, ...]:
    """Separates the named ids from the rest. A side that is named in full tells us nothing."""
    who, what = ((side.named if len(side.named) < len(side.all) else ()) for side in (people, things))
    if not what:
        return _parts([(people.without(who), things.all), (who, things.all)]) if who else ()
    rest = [(people.without(who), things.all)] if who else []
    return _parts([*rest, (who or people.all, things.without(what)), (who or people.all, what)])


def _by_likely_cause(people: _Side, things: _Side) -> tuple[Part, ...]:
    """Separates each likely cause from the others, so that a good id among them is not refused with a bad one."""
    who, what = ((side.likely if len(side.all) > 1 else ()) for side in (people, things))
    if not who and not what:
        return ()
    good_people = people.without(who)
    return _parts(
        [
            (good_people, things.without(what)),
            *(((person,), things.all) for person in who),
            *((good_people, (thing,)) for thing in what),
        ]
    )


def _by_probe(people: _Side, things: _Side) -> tuple[Part, ...]:
    """If all changes share the most suspect id, separates one change of it with the least suspect partner.

    If the shared id is bad and the partner good, two such changes make it certain, and the rest is not divided.
    """
    if len(people.all) == 1 and people.worst >= max(1, things.worst):
        return _parts([(people.all, things.best), (people.all, things.without(things.best))])
    if len(things.all) == 1 and things.worst >= max(1, people.worst):
        return _parts([(people.best, things.all), (people.without(people.best), things.all)])
    return ()


def _by_halves(people: _Side, things: _Side, number: int) -> tuple[Part, ...]:
    """Halves the suspects, on the side with the worst of them, or else with the most.

    If every id is cleared, only a pair can be the cause; halving finds it too.
    """
    side = max((side for side in (people, things) if len(side.all) > 1), key=lambda s: (s.worst, len(s.suspects)))
    halves = _halves(side, number)
    if side is people:
        return _parts((half, things.all) for half in halves)
    return _parts((people.all, half) for half in halves)


def _halves(side: _Side, number: int) -> tuple[Positions, Positions]:
    """Two halves, different for each request number.

    A bad id is often in several requests, all refused before any of them is divided. The same halves would tell the
    same of each; with different halves, the accepted ones leave few ids that can be the cause.
    """

    def shuffled(positions: Positions) -> Positions:
        return tuple(sorted(positions, key=lambda at: blake2b(f"{number} {at}".encode(), digest_size=8).digest()))

    suspects, others = shuffled(side.suspects), shuffled(side.without(side.suspects))
    first = suspects[:1] if len(suspects) == 1 else (*suspects[: len(suspects) // 2], *others[: len(others) // 2])
    return tuple(sorted(first)), side.without(first)


def _parts(products: Iterable[tuple[Positions, Positions]]) -> tuple[Part, ...]:
    return tuple(Part(recipients=recipients, items=things) for recipients, things in products if recipients and things)
