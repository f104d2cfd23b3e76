"""How to fill the fewest bodies with loads of so many items and so many people, told apart by nothing but their size.

There are at most a few hundred sizes, however many loads there are. So a body's make-up is chosen once and repeated as
long as there are loads for it, and whole fillings can be tried and compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch.api.dialects import Limits


_TURNS: Final = 8
"""Bodies with a piece are made in so many turns, where they could be made at once."""


class Size(NamedTuple):
    """How much room a load takes: items, counted once for each recipient, and people."""

    items: int
    people: int


class FillOrder(StrEnum):
    """How bodies are filled. Only a load of one person can be cut in two."""

    WHOLE = "whole"
    """The largest loads first, none of them cut: first-fit decreasing."""
    LARGEST = "largest"
    """The largest loads first, and the room that is left for a piece of one more."""
    SMALLEST = "smallest"
    """The smallest loads first, and the room and the place that are left for a piece of the largest."""
    MIXED = "mixed"
    """Of each size as large a part as of the others, and what is left as with the largest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeUp:
    """What each of some bodies holds.

    Attributes:
        bodies: How many they are.
        whole: How many loads of each size.
        cut: Items of the load that is cut for it, 0 where none is; the rest of it is then a load of its own.
        piece: How many items of that one it gets.
    """

    bodies: int
    whole: Mapping[Size, int]
    cut: int = 0
    piece: int = 0


def fill(loads: Mapping[Size, int], limits: Limits, way: FillOrder) -> tuple[MakeUp, ...]:
    """Fills bodies with loads of which each fits into one.

    Args:
        loads: How many there are of each size.
        limits: What one body may hold.
        way: How to go about it.

    Returns:
        What the bodies hold, in the order in which they are to be made: of what is cut, the rest comes in later ones.
    """
    left = Counter({size: count for size, count in loads.items() if count > 0})
    made = []
    while left:
        made.append(_next(left, limits, way))
    return tuple(made)


def count_bodies(made: Iterable[MakeUp]) -> int:
    """How many bodies these are."""
    return sum(one.bodies for one in made)


def _next(left: Counter[Size], limits: Limits, way: FillOrder) -> MakeUp:
    """Takes some bodies of one make-up from what is left."""
    largest_first = sorted(left, key=lambda size: (_share(size, limits), size), reverse=True)
    room = Size(limits.items, limits.recipients)
    whole: Counter[Size] = Counter()
    if way is FillOrder.SMALLEST:
        room = _add(whole, left, reversed(largest_first), room, keep=1)
    else:
        part = _part_of_each(left, limits) if way is FillOrder.MIXED else Counter()
        room = _add(whole, part, largest_first, room)
        room = _add(whole, left, largest_first, room)
    cut = 0 if way is FillOrder.WHOLE or 0 in room else _largest_to_cut(left, whole, room.items)
    piece = room.items if cut else 0
    if not cut:
        _add(whole, left, largest_first, room)
    used = whole + Counter({Size(cut, 1): 1} if cut else {})
    bodies = min(left[size] // count for size, count in used.items())
    if cut:
        # What is left of those that are cut is to find its place among the others.
        bodies = -(-bodies // _TURNS)
        left[Size(cut - piece, 1)] += bodies
    left.subtract({size: count * bodies for size, count in used.items()})
    for size in [size for size, count in left.items() if not count]:
        del left[size]
    return MakeUp(bodies=bodies, whole=dict(whole), cut=cut, piece=piece)


def _part_of_each(left: Counter[Size], limits: Limits) -> Counter[Size]:
    """What a body would hold if all bodies were alike, rounded down."""
    items = sum(size.items * count for size, count in left.items())
    people = sum(size.people * count for size, count in left.items())
    bodies = max(items / limits.items, people / limits.recipients, 1.0)
    return Counter({size: int(count / bodies) for size, count in left.items()})


def _share(size: Size, limits: Limits) -> float:
    """How much of a body a load takes, by what it takes more of."""
    return max(size.items / limits.items, size.people / limits.recipients)


def _add(whole: Counter[Size], left: Counter[Size], sizes: Iterable[Size], room: Size, *, keep: int = 0) -> Size:
    """Adds loads of these sizes in turn, as long as they fit and so many places stay; returns the room that is left."""
    items, people = room
    for size in sizes:
        fitting = min(left[size] - whole[size], items // size.items, max(0, people - keep) // size.people)
        if fitting > 0:
            whole[size] += fitting
            items, people = items - fitting * size.items, people - fitting * size.people
    return Size(items, people)


def _largest_to_cut(left: Counter[Size], whole: Counter[Size], room: int) -> int:
    """Items of the largest load of one person that is left and does not fit; 0 where there is none."""
    return max((s.items for s, n in left.items() if s.people == 1 and s.items > room and n > whole[s]), default=0)
