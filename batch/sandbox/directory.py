"""A made-up company: people, sources, roles, access profiles, entitlements, and what people hold already.

The same seed makes the same company, with the same ids; a larger company begins with the smaller one's people. Names
are as awkward as real ones: people with equal display names, entitlements with equal names on different sources,
quotes, backslashes, accents and plus signs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import product
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.sandbox.made_up_names import AREAS, DEPARTMENTS, FIRST_NAMES, GROUPS, LAST_NAMES, LEVELS, SOURCES, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESAKE_EVERY: Final = 40
"""One person in so many has the display name of the person before."""

_FEWEST_ROLES: Final = 20
_MOST_ROLES: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """One identity.

    Attributes:
        id: 32 hexadecimal digits.
        first_name: First name.
        last_name: Last name.
        alias: Account name, such as `anna.kowalski`; unique.
        email: E-mail address; unique.
        employee_number: Number of the personnel department; unique.
        display_name: First and last name; not unique.
        department: Where they work.
    """

    id: str
    first_name: str
    last_name: str
    alias: str
    email: str
    employee_number: str
    display_name: str
    department: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A system that accounts and entitlements are on."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessItem:
    """Something that can be requested.

    Attributes:
        id: 32 hexadecimal digits.
        type: What kind of item.
        name: Display name; unique for roles, not for the others.
        owner: Who approves it.
        requestable: Whether it can be requested.
        source: The system that it is on; None for roles.
        attribute: Of an entitlement, the account attribute that it is a value of.
        value: Of an entitlement, that value; unique on its source.
    """

    id: str
    type: ItemType
    name: str
    owner: Person
    requestable: bool = True
    source: Source | None = None
    attribute: str = ""
    value: str = ""


Held = tuple[str, ItemType, str]
"""Access that somebody holds: identity id, type and id of the item."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A whole company.

    Attributes:
        people: Everybody, in a fixed order.
        sources: Every system.
        items: Every access item, in a fixed order.
        held: What people hold from the beginning.
    """

    people: tuple[Person, ...]
    sources: tuple[Source, ...]
    items: tuple[AccessItem, ...]
    held: tuple[Held, ...] = field(repr=False)

    @cached_property
    def person_by_id(self) -> Mapping[str, Person]:
        """Everybody by id."""
        return {person.id: person for person in self.people}

    @cached_property
    def item_by_id(self) -> Mapping[str, AccessItem]:
        """Every item by id."""
        return {item.id: item for item in self.items}

    def of_type(self, item_type: ItemType) -> tuple[AccessItem, ...]:
        """Items of one kind."""
        return tuple(item for item in self.items if item.type is item_type)


NOBODY: Final = Directory(people=(), sources=(), items=(), held=())
"""The directory of a tenant that has none."""


def make_directory(people: int, *, seed: int = 0) -> Directory:
    """Make a company up.

    Args:
        people: How many people it has, at least 1; everything else grows with them, within bounds.
        seed: Which company of that size.
    """
    everybody = tuple(_people(people, seed))
    sources = tuple(Source(id=_made_up_id(seed, "source", name), name=name) for name in SOURCES)
    roles = min(max(people // 10, _FEWEST_ROLES), _MOST_ROLES)
    items = (
        *_roles(roles, everybody, seed),
        *_access_profiles(roles, sources, everybody, seed),
        *_entitlements(roles, sources, everybody, seed),
    )
    return Directory(people=everybody, sources=sources, items=items, held=tuple(_held(everybody, items, seed)))


def _people(count: int, seed: int) -> Iterator[Person]:
    taken: dict[str, int] = {}
    names = len(FIRST_NAMES) * len(LAST_NAMES)
    for number in range(count):
        # Every fortieth is called like the one before.
        place = number - 1 if number % NAMESAKE_EVERY == NAMESAKE_EVERY - 1 else number
        round_, combination = divmod(place * 7 + seed * 13, names)
        first, last = FIRST_NAMES[combination % len(FIRST_NAMES)], LAST_NAMES[combination // len(FIRST_NAMES)]
        middle = f" {chr(ord('A') + (round_ - 1) % 26)}." if round_ else ""
        stem = f"{plain(first)}.{plain(last)}"
        taken[stem] = taken.get(stem, 0) + 1
        alias = stem if taken[stem] == 1 else f"{stem}{taken[stem]}"
        yield Person(
            id=_made_up_id(seed, "person", number),
            first_name=first,
            last_name=last,
            alias=alias,
            email=f"{alias}@example.com",
            employee_number=str(100_000 + number),
            display_name=f"{first}{middle} {last}",
            department=DEPARTMENTS[number % len(DEPARTMENTS)],
        )


def _roles(count: int, people: tuple[Person, ...], seed: int) -> Iterator[AccessItem]:
    for number, (level, area) in enumerate(product(LEVELS, AREAS)):
        if number == count:
            return
        yield AccessItem(
            id=_made_up_id(seed, "role", number),
            type=ItemType.ROLE,
            name=f"{area} {level}",
            owner=people[number % len(people)],
            requestable=number % 20 != _FEWEST_ROLES - 1,
        )


def _access_profiles(
    count: int, sources: tuple[Source, ...], people: tuple[Person, ...], seed: int
) -> Iterator[AccessItem]:
    for number, (level, area, source) in enumerate(product(LEVELS, AREAS, sources)):
        if number == count:
            return
        yield AccessItem(
            id=_made_up_id(seed, "access profile", number),
            type=ItemType.ACCESS_PROFILE,
            name=f"{source.name} {area} {level}",
            owner=people[number % len(people)],
            source=source,
        )


def _entitlements(
    count: int, sources: tuple[Source, ...], people: tuple[Person, ...], seed: int
) -> Iterator[AccessItem]:
    each = min(max(count // 2, len(GROUPS)), 100)
    for source in sources:
        for number, (area, group) in enumerate(product(AREAS, GROUPS)):
            if number == each:
                break
            yield AccessItem(
                id=_made_up_id(seed, f"entitlement {source.name}", number),
                type=ItemType.ENTITLEMENT,
                name=f"{area} {group}",
                owner=people[number % len(people)],
                source=source,
                attribute="memberOf" if source.name == SOURCES[0] else "groups",
                value=_group_value(area, group) if source.name == SOURCES[0] else f"{plain(area)}_{plain(group)}",
            )


def _group_value(area: str, group: str) -> str:
    """A distinguished name, whose commas within names are escaped."""
    return f"CN={area}\\, {group},OU=Groups,DC=example,DC=com"


def _held(people: tuple[Person, ...], items: tuple[AccessItem, ...], seed: int) -> Iterator[Held]:
    """Everybody holds one item of each kind."""
    by_type = {kind: [item for item in items if item.type is kind] for kind in ItemType}
    for number, person in enumerate(people):
        for kind, candidates in by_type.items():
            item = candidates[(number * 7 + seed) % len(candidates)]
            yield person.id, kind, item.id


def _made_up_id(seed: int, kind: str, number: object) -> str:
    return blake2b(f"{seed} {kind} {number}".encode(), digest_size=16).hexdigest()
