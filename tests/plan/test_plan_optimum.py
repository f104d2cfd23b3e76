"""Small plans are compared with the true optimum, which an integer program finds."""

from __future__ import annotations

from itertools import product
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import Limits
from batch.plan import plan
from tests.builders import change
from tests.plan.changes import changes_frame
from tests.plan.optimum import fewest_requests, fewest_requests_by_trying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.plan.optimum import Pair

FULL: Final = Limits()
SMALL: Final = Limits(recipients=3, items=4)
TINY: Final = Limits(recipients=2, items=2)

INPUTS: Final = 10
"""Inputs of each shape."""

MOST_ABOVE: Final = 1.05
"""Most requests of a plan, as a multiple of the optimum, on average over all inputs."""


def all_of(identities: Iterable[int], items: Iterable[int]) -> set[Pair]:
    return {(f"p{identity:02}", f"i{item:02}") for identity, item in product(identities, items)}


# Small inputs, sparse enough to find the optimum within a second.


def scattered(source: Random) -> set[Pair]:
    """Anything for anybody."""
    everything = sorted(all_of(range(source.randint(4, 12)), range(source.randint(4, 12))))
    density = source.uniform(0.15, 0.35)
    return {pair for pair in everything if source.random() < density}


def nested_profiles(source: Random) -> set[Pair]:
    """Everybody's items, each department's beside them, and for some an item of their own or one less."""
    people, departments = source.randint(6, 12), source.randint(2, 3)
    wanted = all_of(range(people), range(2))
    for department in range(departments):
        wanted |= all_of(range(department, people, departments), range(2 + 2 * department, 4 + 2 * department))
    exceptions = all_of(source.sample(range(people), 3), [source.randrange(12)])
    return wanted ^ exceptions


def blocks_with_noise(source: Random) -> set[Pair]:
    """A few groups of people with items of their own, overlapping, and single pairs beside them."""
    wanted: set[Pair] = set()
    for _ in range(source.randint(2, 4)):
        wanted |= all_of(source.sample(range(12), source.randint(2, 5)), source.sample(range(12), source.randint(2, 4)))
    noise = source.sample(sorted(all_of(range(12), range(12))), source.randint(0, 8))
    return wanted ^ set(noise)


SHAPES: Final[tuple[Callable[[Random], set[Pair]], ...]] = (scattered, nested_profiles, blocks_with_noise)


# The tests: first of the optimum itself, then of the planner.

PAIRS = st.frozensets(st.sampled_from(sorted(all_of(range(4), range(3)))), max_size=9)


@settings(max_examples=50)
@given(pairs=PAIRS, limits=st.sampled_from([FULL, TINY, Limits(recipients=1, items=2), Limits(recipients=3, items=1)]))
def test_the_integer_program_finds_what_trying_everything_finds(pairs: frozenset[Pair], limits: Limits) -> None:
    assert fewest_requests(pairs, limits) == fewest_requests_by_trying(pairs, limits)


@pytest.mark.parametrize(
    ("pairs", "limits", "fewest"),
    [
        (set(), FULL, 0),
        (all_of(range(10), range(6)), FULL, 1),
        (all_of(range(11), range(3)), FULL, 2),
        (all_of(range(2), range(9)), SMALL, 3),
        (all_of(range(6), range(8)), SMALL, 4),
        (all_of(range(3), range(2)) | all_of([0, 1], [2]), FULL, 2),
        (all_of([0], [0, 1]) | all_of([1], [1, 2]) | all_of([2], [2, 0]), FULL, 3),
    ],
)
def test_the_optimum_of_obvious_cases(pairs: set[Pair], limits: Limits, fewest: int) -> None:
    assert fewest_requests(frozenset(pairs), limits) == fewest


@pytest.mark.thorough
@pytest.mark.unmeasured
@pytest.mark.parametrize("limits", [FULL, SMALL], ids=["10x25", "3x4"])
def test_small_plans_are_within_five_percent_of_the_optimum_on_average(limits: Limits) -> None:
    ratios = []
    for shape in SHAPES:
        for seed in range(INPUTS):
            pairs = shape(Random(seed))  # noqa: S311 - files, not secrets
            made = plan(changes_frame(change(*pair) for pair in sorted(pairs)), limits)
            optimum = fewest_requests(frozenset(pairs), limits)
            assert made.lower_bound <= optimum <= made.requests, f"{shape.__name__} {seed}"
            ratios.append(made.requests / optimum)
    assert fmean(ratios) <= MOST_ABOVE
