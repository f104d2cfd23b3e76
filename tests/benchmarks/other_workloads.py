"""Workloads of other shapes, for which the planner was not tuned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workloads import Pairs, bundles_of, each_once, zipf


@dataclass(frozen=True, kw_only=True, slots=True)
class NestedDepartments:
    """Departments within locations, and roles at every location: three bundles for each person, few exceptions."""

    seed: int = 11
    scale: float = 1.0
    people: int = 30_000
    locations: int = 25
    departments_each: int = 12
    roles: int = 30
    items_per_bundle: int = 5
    exceptions: float = 0.3
    catalogue: int = 5_000

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        source = np.random.default_rng(self.seed)
        people = int(self.people * self.scale)
        location = source.integers(0, self.locations, people)
        department = location * self.departments_each + source.integers(0, self.departments_each, people)
        role = source.choice(self.roles, people, p=zipf(self.roles, 0.7))
        drawn = []
        for chosen, count in (
            (location, self.locations),
            (department, self.locations * self.departments_each),
            (role, self.roles),
        ):
            bundles = [source.choice(self.catalogue, self.items_per_bundle, replace=False) for _ in range(count)]
            drawn.append(bundles_of(chosen, bundles))
        own = source.poisson(self.exceptions, people)
        drawn.append((np.repeat(np.arange(people), own), source.integers(0, self.catalogue, own.sum())))
        return each_once(
            np.concatenate([people for people, _ in drawn]),
            np.concatenate([items for _, items in drawn]),
            self.catalogue,
            department,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Collectors:
    """Long-serving people: several bundles each, so that most have more items than fit into one request."""

    seed: int = 12
    scale: float = 1.0
    people: int = 8_000
    bundles: int = 60
    bundles_each: int = 4
    items_per_bundle: tuple[int, int] = (6, 16)
    catalogue: int = 2_000

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        source = np.random.default_rng(self.seed)
        people = int(self.people * self.scale)
        least, most = self.items_per_bundle
        bundles = [
            source.choice(self.catalogue, int(source.integers(least, most + 1)), replace=False)
            for _ in range(self.bundles)
        ]
        popularity = zipf(self.bundles, 0.8)
        chosen = [source.choice(self.bundles, people, p=popularity) for _ in range(self.bundles_each)]
        drawn = [bundles_of(choice, bundles) for choice in chosen]
        return each_once(
            np.concatenate([people for people, _ in drawn]),
            np.concatenate([items for _, items in drawn]),
            self.catalogue,
            chosen[0],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BirthrightForAll:
    """Items that every person gets at once, and up to three rare items each."""

    seed: int = 13
    scale: float = 1.0
    people: int = 40_000
    birthright: int = 8
    most_others: int = 3
    catalogue: int = 3_000
    item_popularity: float = 0.8
    departments: int = 30

    def pairs(self) -> Pairs:
        """The same pairs on every call."""
        source = np.random.default_rng(self.seed)
        people = int(self.people * self.scale)
        birthright = source.choice(self.catalogue, self.birthright, replace=False)
        everybody, common = bundles_of(np.zeros(people, dtype=np.int64), [birthright])
        others = source.integers(0, self.most_others + 1, people)
        drawn = source.choice(self.catalogue, others.sum(), p=zipf(self.catalogue, self.item_popularity))
        return each_once(
            np.concatenate([everybody, np.repeat(np.arange(people), others)]),
            np.concatenate([common, drawn]),
            self.catalogue,
            np.arange(people) % self.departments,
        )
