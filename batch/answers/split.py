"""Which smaller requests take over from a refused one, so that what is bad is soon told apart from what is good.

A refusal is of the whole request, and its cause is mostly one identity or one item, rarely a pair of them. So the
search is for the ids that were part of most refusals and of no acceptance, and ends where these are known to be the
cause.
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
    """One side of a request's product.

    Attributes:
        all: The positions of everything on it.
        named: Of what the tenant's message names.
        accused: Of what single changes speak against.
        convicted: Of what enough of them do.
        suspicion: Of each; 0 for what is cleared.
    """

    all: Positions
    named: Positions
    accused: Positions
    convicted: Positions
    suspicion: tuple[int, ...]

    @property
    def worst(self) -> int:
        return max(self.suspicion)

    @property
    def suspects(self) -> Positions:
        """The positions under most suspicion; everything where all of it is cleared."""
        return tuple(position for position in self.all if self.suspicion[position] == self.worst)

    @property
    def best(self) -> Positions:
        """One position under the least suspicion."""
        return (min(self.all, key=self.suspicion.__getitem__),)

    def without(self, positions: Iterable[int]) -> Positions:
        left_out = set(positions)
        return tuple(position for position in self.all if position not in left_out)


def divide(request: Request, said: str, evidence: RefusalHistory) -> tuple[Part, ...]:
    """The parts of a refused request: smaller products that ask for exactly what it asked for.

    Args:
        request: As it was sent.
        said: The tenant's message.
        evidence: What is known by now, this refusal included.

    Returns:
        Nothing where nothing can be told apart any more: a single change, or changes that all have the same bad
        identity, or the same bad item.
    """
    if request.changes == 1:
        return ()
    people, things = _side(identities(request), said, evidence), _side(items(request), said, evidence)
    if parts := _by_name(people, things):
        return parts
    if any(len(side.all) == len(side.convicted) == 1 for side in (people, things)):
        return ()
    return _by_accusation(people, things) or _by_probe(people, things) or _by_halves(people, things, request.number)


def _side(suspects: Sequence[Suspect], said: str, evidence: RefusalHistory) -> _Side:
    in_message = named(suspects, said)
    return _Side(
        all=tuple(range(len(suspects))),
        named=tuple(position for position, suspect in enumerate(suspects) if suspect in in_message),
        accused=tuple(position for position, suspect in enumerate(suspects) if evidence.accuses(suspect)),
        convicted=tuple(position for position, suspect in enumerate(suspects) if evidence.convicts(suspect)),
        suspicion=tuple(evidence.suspicion(suspect) for suspect in suspects),
    )


def _by_name(people: _Side, things: _Side) -> tuple[Part, ...]:
    """What the message names, apart from the rest. A side that it names as a whole does not tell anything."""
    who, what = ((side.named if len(side.named) < len(side.all) else ()) for side in (people, things))
    if not what:
        return _parts([(people.without(who), things.all), (who, things.all)]) if who else ()
    rest = [(people.without(who), things.all)] if who else []
    return _parts([*rest, (who or people.all, things.without(what)), (who or people.all, what)])


def _by_accusation(people: _Side, things: _Side) -> tuple[Part, ...]:
    """Each accused id by itself, so that one that is good after all is not kept down by another."""
    who, what = ((side.accused if len(side.all) > 1 else ()) for side in (people, things))
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
    """One change with the best partner, where all changes have the id in common that is most suspect.

    If that id is bad and the partner good, two such changes convict it, and the others are not taken apart.
    """
    if len(people.all) == 1 and people.worst >= max(1, things.worst):
        return _parts([(people.all, things.best), (people.all, things.without(things.best))])
    if len(things.all) == 1 and things.worst >= max(1, people.worst):
        return _parts([(people.best, things.all), (people.without(people.best), things.all)])
    return ()


def _by_halves(people: _Side, things: _Side, number: int) -> tuple[Part, ...]:
    """Two halves of the suspects, on the side where the worst or else the most are.

    Where nobody is suspect any more, only a pair can be bad, and is found by halves too.
    """
    side = max((side for side in (people, things) if len(side.all) > 1), key=lambda s: (s.worst, len(s.suspects)))
    halves = _halves(side, number)
    if side is people:
        return _parts((half, things.all) for half in halves)
    return _parts((people.all, half) for half in halves)


def _halves(side: _Side, number: int) -> tuple[Positions, Positions]:
    """Each request has halves of its own.

    What is bad is often in several requests, which are refused before any of them is divided. Halved alike, they would
    all tell the same; halved differently, those that are accepted leave few ids that can be it.
    """

    def shuffled(positions: Positions) -> Positions:
        return tuple(sorted(positions, key=lambda at: blake2b(f"{number} {at}".encode(), digest_size=8).digest()))

    suspects, others = shuffled(side.suspects), shuffled(side.without(side.suspects))
    first = suspects[:1] if len(suspects) == 1 else (*suspects[: len(suspects) // 2], *others[: len(others) // 2])
    return tuple(sorted(first)), side.without(first)


def _parts(products: Iterable[tuple[Positions, Positions]]) -> tuple[Part, ...]:
    return tuple(Part(recipients=recipients, items=things) for recipients, things in products if recipients and things)
