"""Fills the fewest bodies with loads, of which only the size matters: how many items and how many people.

There are at most a few hundred sizes, however many loads there are. So a pattern for a body is chosen once and repeated
while there are loads for it, which makes it cheap to try and compare whole fillings.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch.api.dialects import Limits


_CUT_ROUNDS: Final = 8
"""Of the possible bodies with a cut load only one in so many is made before a pattern is chosen anew."""


class Size(NamedTuple):
    """The size of a load: its items, counted once for each recipient, and its people."""

    items: int
    people: int


class FillOrder(StrEnum):
    """Which loads to put into a body first. Only a load of one person can be cut in two."""

    WHOLE = "whole"
    """The largest first, without cutting any: first-fit decreasing."""
    LARGEST = "largest"
    """The largest first; the room left takes a piece of one more."""
    SMALLEST = "smallest"
    """The smallest first; the room left, with a place for one person, takes a piece of the largest."""
    MIXED = "mixed"
    """An equal share of every size, then as with the largest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyPattern:
    """Bodies that hold the same sizes.

    Attributes:
        bodies: How many bodies.
        whole: How many whole loads of each size a body holds.
        cut: Items of the load that is cut for a body, 0 if none is; its rest becomes a load of its own.
        piece: How many of these items the body holds.
    """

    bodies: int
    whole: Mapping[Size, int]
    cut: int = 0
    piece: int = 0


def fill(loads: Mapping[Size, int], limits: Limits, order: FillOrder) -> tuple[BodyPattern, ...]:
    """Fills bodies with loads, each of which fits into one.

    Args:
        loads: How many loads there are of each size.
        limits: Limits of one body.
        order: Which loads come first.

    Returns:
        The patterns, in the order in which to make the bodies: the rest of a cut load is in a later body.
    """
    left = Counter({size: count for size, count in loads.items() if count > 0})
    patterns = []
    while left:
        patterns.append(_next_pattern(left, limits, order))
    return tuple(patterns)


def count_bodies(patterns: Iterable[BodyPattern]) -> int:
    """How many bodies the patterns make."""
    return sum(pattern.bodies for pattern in patterns)


def _next_pattern(left: Counter[Size], limits: Limits, order: FillOrder) -> BodyPattern:
    """Chooses a pattern and takes its loads from what is left."""
    largest_first = sorted(left, key=lambda size: (_share(size, limits), size), reverse=True)
    room = Size(limits.items, limits.recipients)
    whole: Counter[Size] = Counter()
    if order is FillOrder.SMALLEST:
        room = _add(whole, left, reversed(largest_first), room, keep=1)
    else:
        part = _part_of_each(left, limits) if order is FillOrder.MIXED else Counter()
        room = _add(whole, part, largest_first, room)
        room = _add(whole, left, largest_first, room)
    cut = 0 if order is FillOrder.WHOLE or 0 in room else _largest_to_cut(left, whole, room.items)
    piece = room.items if cut else 0
    if not cut:
        _add(whole, left, largest_first, room)
    used = whole + Counter({Size(cut, 1): 1} if cut else {})
    bodies = min(left[size] // count for size, count in used.items())
    if cut:
        # The rests become loads, which the next patterns then take into account.
        bodies = -(-bodies // _CUT_ROUNDS)
        left[Size(cut - piece, 1)] += bodies
    left.subtract({size: count * bodies for size, count in used.items()})
    for size in [size for size, count in left.items() if not count]:
        del left[size]
    return BodyPattern(bodies=bodies, whole=dict(whole), cut=cut, piece=piece)


def _part_of_each(left: Counter[Size], limits: Limits) -> Counter[Size]:
    """What each body would hold if all were alike, rounded down."""
    items = sum(size.items * count for size, count in left.items())
    people = sum(size.people * count for size, count in left.items())
    bodies = max(items / limits.items, people / limits.recipients, 1.0)
    return Counter({size: int(count / bodies) for size, count in left.items()})


def _share(size: Size, limits: Limits) -> float:
    """The share of a body that a load takes, in items or in people, whichever is more."""
    return max(size.items / limits.items, size.people / limits.recipients)


def _add(whole: Counter[Size], left: Counter[Size], sizes: Iterable[Size], room: Size, *, keep: int = 0) -> Size:
    """Adds loads of these sizes in turn while they fit, keeping places for people free; returns the room left."""
    items, people = room
    for size in sizes:
        fitting = min(left[size] - whole[size], items // size.items, max(0, people - keep) // size.people)
        if fitting > 0:
            whole[size] += fitting
            items, people = items - fitting * size.items, people - fitting * size.people
    return Size(items, people)


def _largest_to_cut(left: Counter[Size], whole: Counter[Size], room: int) -> int:
    """Items of the largest load of one person that is left and does not fit; 0 if there is none."""
    return max((s.items for s, n in left.items() if s.people == 1 and s.items > room and n > whole[s]), default=0)
