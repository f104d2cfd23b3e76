"""The workloads for packing: made-up pairs of person and item.

The defaults are the published workloads. Every size and shape is a parameter, so that the planner can't be tuned to one
file. `other_workloads` has shapes without any tuning; `details` turns pairs into changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pairs:
    """Distinct pairs of person and item, in ascending order.

    Attributes:
        people: The person's number of each pair.
        items: The item's number of each pair.
        departments: The department of each person, by the person's number.
    """

    people: Numbers
    items: Numbers
    departments: Numbers

    def __len__(self) -> int:
        return len(self.people)


class Workload(Protocol):
    """The pairs of a made-up file."""

    def pairs(self) -> Pairs:
        """The same pairs on every call."""


def each_once(people: Numbers, items: Numbers, catalogue: int, departments: Numbers) -> Pairs:
    """Drawn pairs without repeats."""
    keys = np.unique(people.astype(np.int64) * catalogue + items)
    return Pairs(people=keys // catalogue, items=keys % catalogue, departments=departments)


def zipf(count: int, exponent: float) -> npt.NDArray[np.float64]:
    """Probabilities of `count` things, in descending order."""
    weights = 1 / np.arange(1, count + 1) ** exponent
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances


def bundles_of(chosen: Numbers, bundles: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """The pairs if person number n has the bundle `chosen[n]`."""
    members = [np.flatnonzero(chosen == number) for number in range(len(bundles))]
    people = [np.repeat(group, len(bundle)) for group, bundle in zip(members, bundles, strict=True)]
    items = [np.tile(bundle, len(group)) for group, bundle in zip(members, bundles, strict=True)]
    return np.concatenate(people), np.concatenate(items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Onboarding:
    """Joiners with a job profile and a few individual items each.

    A profile consists of the birthright items, its department's items and its role's items. The last of every
    `departments` profiles is for contractors: it has its role's items only.
    """

    seed: int = 3
    scale: float = 1.0
    joiners: int = 20_000
    profiles: int = 40
    departments: int = 8
    birthright: int = 6
    department_items: tuple[int, int] = (2, 8)
    role_items: tuple[int, int] = (1, 15)
    most_in_profile: int = 30
    most_individual: int = 5
    profile_popularity: float = 0.7
    item_popularity: float = 1.0
    catalogue: int = 5_000

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        # The order of the draws is part of the workload: another order is another file.
        source = np.random.default_rng(self.seed)
        joiners = int(self.joiners * self.scale)
        shuffled = source.permutation(self.catalogue)
        bundles = self._bundles(source)
        chosen = source.choice(self.profiles, joiners, p=zipf(self.profiles, self.profile_popularity))
        individual = source.integers(0, self.most_individual + 1, joiners)
        drawn = source.choice(self.catalogue, individual.sum(), p=zipf(self.catalogue, self.item_popularity))
        people, items = bundles_of(chosen, bundles)
        return each_once(
            np.concatenate([people, np.repeat(np.arange(joiners), individual)]),
            np.concatenate([items, shuffled[drawn]]),
            self.catalogue,
            chosen % self.departments,
        )

    def _bundles(self, source: np.random.Generator) -> list[Numbers]:
        def draw(count: int) -> Numbers:
            return source.choice(self.catalogue, count, replace=False)

        def draw_between(least: int, most: int) -> Numbers:
            return draw(int(source.integers(least, most + 1)))

        birthright = draw(self.birthright)
        shared = [draw_between(*self.department_items) for _ in range(self.departments)]
        bundles = []
        for number in range(self.profiles):
            own = draw_between(*self.role_items)
            department = number % self.departments
            is_contract = department == self.departments - 1
            bundle = own if is_contract else np.concatenate([birthright, shared[department], own])
            bundles.append(np.unique(bundle)[: self.most_in_profile])
        return bundles


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """People whose access was granted one by one over the years: no profiles, a few very common items."""

    seed: int = 3
    scale: float = 1.0
    people: int = 100_000
    usual_items: float = 11.5
    spread: float = 0.6
    most_items: int = 120
    item_popularity: float = 1.0
    catalogue: int = 5_000
    departments: int = 40

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        source = np.random.default_rng(self.seed)
        people = int(self.people * self.scale)
        sizes = source.lognormal(np.log(self.usual_items), self.spread, people)
        held = np.clip(sizes, 1, self.most_items).astype(np.int64)
        items = source.choice(self.catalogue, held.sum(), p=zipf(self.catalogue, self.item_popularity))
        return each_once(
            np.repeat(np.arange(people), held), items, self.catalogue, np.arange(people) % self.departments
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sparse:
    """Random items: people share almost nothing, so hardly anything can be packed."""

    seed: int = 3
    scale: float = 1.0
    people: int = 50_000
    mean_items: float = 6.0
    catalogue: int = 5_000
    departments: int = 40

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        source = np.random.default_rng(self.seed)
        people = int(self.people * self.scale)
        held = source.poisson(self.mean_items, people)
        items = source.integers(0, self.catalogue, held.sum())
        return each_once(
            np.repeat(np.arange(people), held), items, self.catalogue, np.arange(people) % self.departments
        )
