"""Smaller requests that take over from a refused one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.dialects import ItemType, Operation
from batch.model import Part, Request, RequestItem
from batch.split import halve

SIZES = st.tuples(st.integers(1, 10), st.integers(1, 25))


def request(recipients: int, items: int) -> Request:
    return Request(
        number=1,
        run="r",
        operation=Operation.GRANT,
        recipients=tuple(f"p{number}" for number in range(recipients)),
        items=tuple(RequestItem(type=ItemType.ROLE, id=f"i{number}") for number in range(items)),
    )


def part_of(whole: Request, part: Part) -> Request:
    return Request(
        number=whole.number,
        run=whole.run,
        operation=whole.operation,
        recipients=tuple(whole.recipients[position] for position in part.recipients),
        items=tuple(whole.items[position] for position in part.items),
    )


def pairs(one: Request) -> Counter[tuple[str, str]]:
    return Counter((person, item.id) for person in one.recipients for item in one.items)


@settings(deadline=None)
@given(size=SIZES)
def test_the_halves_ask_for_exactly_what_the_whole_asked_for(size: tuple[int, int]) -> None:
    whole = request(*size)
    parts = [part_of(whole, part) for part in halve(whole)]
    assert len(parts) == (0 if whole.changes == 1 else 2)
    assert all(0 < part.changes < whole.changes for part in parts)
    if parts:
        assert sum((pairs(part) for part in parts), Counter[tuple[str, str]]()) == pairs(whole)
        assert abs(parts[0].changes - parts[1].changes) <= max(size)


def test_a_single_change_has_no_parts() -> None:
    assert halve(request(1, 1)) == ()


def test_people_are_parted_before_items() -> None:
    assert halve(request(3, 2)) == (Part(recipients=(0,), items=(0, 1)), Part(recipients=(1, 2), items=(0, 1)))
    assert halve(request(1, 3)) == (Part(recipients=(0,), items=(0,)), Part(recipients=(0,), items=(1, 2)))


@pytest.mark.parametrize("size", [(10, 25), (10, 1), (1, 25), (7, 3)])
def test_halving_again_and_again_ends_with_every_change_alone(size: tuple[int, int]) -> None:
    whole = request(*size)
    open_, alone = [whole], []
    halvings = 0
    while open_:
        one = open_.pop()
        parts = halve(one)
        halvings += bool(parts)
        open_ += [part_of(one, part) for part in parts]
        if not parts:
            alone.append(one)
    assert all(one.changes == 1 for one in alone)
    assert sum((pairs(one) for one in alone), Counter[tuple[str, str]]()) == pairs(whole)
    assert halvings == whole.changes - 1


@settings(deadline=None)
@given(size=SIZES, data=st.data())
def test_one_bad_change_is_alone_after_few_halvings(size: tuple[int, int], data: st.DataObject) -> None:
    one = request(*size)
    bad = (data.draw(st.sampled_from(one.recipients)), data.draw(st.sampled_from([item.id for item in one.items])))
    depth = 0
    while one.changes > 1:
        (one,) = [part for part in (part_of(one, part) for part in halve(one)) if bad in pairs(part)]
        depth += 1
    assert pairs(one) == Counter([bad])
    assert depth <= 9
