"""The pairs that a plan must place, as integers: who wants what, found quickly from either side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Wanted pairs of a person and an item spec, each once, sorted by person and then by item spec.

    A person is an identity. An item spec is an item together with everything else that a request says about it. A pair
    is known by its position; people and item specs are numbered from 0.

    Attributes:
        who: Each pair's person.
        what: Each pair's item spec.
        of_who: Start of each person's pairs, and behind the last start their end.
        by_what: Positions of all pairs in the order of their item specs.
        of_what: Start of each item spec's positions in `by_what`, and behind the last start their end.
    """

    who: Numbers
    what: Numbers
    of_who: Numbers
    by_what: Numbers
    of_what: Numbers

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.of_who) - 1

    @property
    def item_specs(self) -> int:
        """How many item specs there are."""
        return len(self.of_what) - 1

    def holders(self, item_spec: int) -> Numbers:
        """Positions of the pairs of one item spec."""
        return self.by_what[self.of_what[item_spec] : self.of_what[item_spec + 1]]

    def keys(self) -> Numbers:
        """One ascending number for each pair: the person times the number of item specs, plus the item spec."""
        return self.who * self.item_specs + self.what

    def count_by_item_spec(self, among: Flags) -> Numbers:
        """How many of the given pairs each item spec has."""
        return np.bincount(self.what[among], minlength=self.item_specs)

    def count_by_person(self, among: Flags) -> Numbers:
        """How many of the given pairs each person has."""
        return np.bincount(self.who[among], minlength=self.people)


def make_pairs(who: Numbers, what: Numbers, *, people: int, item_specs: int) -> Pairs:
    """Pairs from two columns of equal length, sorted as Pairs requires."""
    by_what = np.argsort(what, kind="stable")
    return Pairs(
        who=who,
        what=what,
        of_who=np.searchsorted(who, np.arange(people + 1)),
        by_what=by_what,
        of_what=np.searchsorted(what[by_what], np.arange(item_specs + 1)),
    )


def spans(starts: Numbers, lengths: Numbers) -> Numbers:
    """The numbers of the ranges with these starts and lengths, one range after another."""
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()))


def distinct(numbers: Numbers) -> Numbers:
    """The distinct numbers, ascending; sorting is faster here than numpy's own hashing."""
    ascending = np.sort(numbers)
    new: Flags = np.diff(ascending, prepend=-1) != 0
    return ascending[new]


def alike(pairs: Pairs, among: Flags) -> Numbers:
    """For each person the first person with exactly the same item specs among the given pairs."""
    marks = [np.zeros(pairs.people, np.uint64) for _ in _SALTS]
    for mark, salt in zip(marks, _SALTS, strict=True):
        np.add.at(mark, pairs.who[among], _mixed(pairs.what[among], salt))
    order = np.argsort(marks[0], kind="stable")
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(marks[0][order]) != 0) | (np.diff(marks[1][order]) != 0)
    first = np.empty(pairs.people, np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first


def alike_item_specs(pairs: Pairs, among: Flags) -> Numbers:
    """For each item spec the first item spec with exactly the same people among the given pairs."""
    order = pairs.by_what
    turned = make_pairs(pairs.what[order], pairs.who[order], people=pairs.item_specs, item_specs=pairs.people)
    return alike(turned, among[order])


_SALTS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


def _mixed(numbers: Numbers, salt: np.uint64) -> npt.NDArray[np.uint64]:
    """64-bit hashes of numbers (splitmix64's finalizer): the sums of two of them identify a set."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


_SMALL: Final = 1_000
"""Most pairs of one item spec's people to count exactly: beyond that, trying bundles is as fast."""

_SLICE: Final = 2_000_000
"""Pairs to count together."""


def max_overlap_of(pairs: Pairs) -> Numbers:
    """For each item spec the most people who share another one with it; its people if these are too many to count."""
    most = np.diff(pairs.of_what)
    seen = np.bincount(pairs.what, weights=np.diff(pairs.of_who)[pairs.who], minlength=pairs.item_specs).astype(
        np.int64
    )
    small = np.flatnonzero((seen <= _SMALL) & (most > 0))
    upto = np.cumsum(seen[small])
    start = 0
    while start < len(small):
        before = upto[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(upto, before + _SLICE, side="right")))
        most[small[start:end]] = _most_of(pairs, small[start:end])
        start = end
    return most


def _most_of(pairs: Pairs, item_specs: Numbers) -> Numbers:
    """The same for some item specs."""
    holders = np.diff(pairs.of_what)[item_specs]
    people = pairs.who[pairs.by_what[spans(pairs.of_what[item_specs], holders)]]
    wanted = np.diff(pairs.of_who)[people]
    other = pairs.what[spans(pairs.of_who[people], wanted)]
    index = np.repeat(np.repeat(np.arange(len(item_specs)), holders), wanted)
    encounter = np.sort((index * pairs.item_specs + other)[other != item_specs[index]])
    begins = np.flatnonzero(np.diff(encounter, prepend=-1))
    most = np.zeros(len(item_specs), np.int64)
    np.maximum.at(most, encounter[begins] // pairs.item_specs, np.diff(begins, append=len(encounter)))
    return most


ITEM_SPEC: Final = ("operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata")
"""Columns of an item spec: changes share an item of a request only if all of these are equal."""

_OF_ACCOUNT: Final = ("account", "selection", "identity_id")
"""Further columns of an item spec that names an account: nobody shares it."""

_MOST: Final = 2**62


def number_people(changes: pl.DataFrame) -> Numbers:
    """For each change the number of its identity."""
    return _number(changes.get_column("identity_id"))[0]


def number_item_specs(changes: pl.DataFrame) -> Numbers:
    """For each change the number of its item spec, without gaps."""
    combined, different = np.zeros(changes.height, np.int64), 1
    columns = [changes.get_column(name) for name in ITEM_SPEC]
    if (is_named := changes.get_column("selection") != "").any():
        of_account = (pl.when(is_named).then(pl.col(name)).otherwise(pl.lit("")).alias(name) for name in _OF_ACCOUNT)
        columns += changes.select(of_account).get_columns()
    for column in columns:
        numbers, count = _number(column)
        if different * count > _MOST:
            combined, different = _without_gaps(combined)
        combined, different = combined * count + numbers, different * count
    return _without_gaps(combined)[0]


def _number(texts: pl.Series) -> tuple[Numbers, int]:
    """Each text's position among the distinct texts, and how many there are."""
    ascending = texts.unique().sort()
    places = texts.cast(pl.Enum(ascending)).to_physical().to_numpy().astype(np.int64)
    return places, len(ascending)


def _without_gaps(numbers: Numbers) -> tuple[Numbers, int]:
    """The same order without gaps, and how many distinct numbers there are."""
    ascending = distinct(numbers)
    return np.searchsorted(ascending, numbers), len(ascending)
