"""Makes up a directory: people, sources, roles, access profiles, entitlements, and what people hold.

The same seed makes the same directory, with the same ids; a larger directory begins with the smaller one's people.
Names are as awkward as real ones: people with equal display names, entitlements with equal names on different sources,
quotes, backslashes, accents and plus signs.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from itertools import product
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.sandbox.directory import AccessItem, Directory, Person, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.sandbox.directory import Held

_NAMESAKE_EVERY: Final = 40
"""One person in so many has the display name of the person before."""

_REPORTS: Final = 10
"""Most people with the same manager. The first person has none."""

_FEWEST_ROLES: Final = 20
_MOST_ROLES: Final = 400

_FIRST_NAMES: Final = tuple(
    """
    Anna Ben Carla David Elif Farid Grace Hugo Irene Jakub Keiko Liam Maria Noah Olga Pedro Quinn Ravi Sofia Tomas
    Uma Victor Wanda Xavier Yara Zoe Amir Beatriz Cedric Dalia Emil Fatima Goran Hanna Ivan Jana Kofi Leila Marek
    Nadia Oscar Priya Renée Samir Teresa Ulrich Vera William Ximena Yusuf Zdenka Aisha Björn Chloé Diego Esther Filip
    Gita Henrik
    """.split()  # noqa: SIM905 - readable as text
)
"""59 names: coprime with the step of 7 in `_people`, so that all combinations occur."""

_LAST_NAMES: Final = tuple(
    """
    Kowalski Smith García Müller O'Brien Nguyen Rossi Andersson Dubois Ivanov Yamamoto Silva Haddad Okafor Novák Patel
    Schmidt Lopez Janssen Papadopoulos Virtanen Horvat Popescu Kaya Cohen Ali Chen Kim Sato Wang Brown Jones Wilson
    Taylor Evans Walker Wright Hughes Green Hall Wood Clarke Turner Hill Cooper Ward Morris Moore Clark Lee King Baker
    Harrison Morgan Allen James Scott Phillips Watson Davis Parker Price Bennett Young Griffiths Mitchell Kelly Cook
    Carter Richardson Bailey Collins Bell Shaw Murphy Miller Cox Richards Khan Marshall Anderson Simpson Ellis Adams
    Singh Begum Wilkinson Foster Chapman Powell Webb Rogers Gray Mason Ahmed Hunt Hussain Campbell Matthews Owen Palmer
    Holmes Mills Barnes Knight Lloyd Butler Russell Barker Fisher Stevens Jenkins Murray Dixon Harvey
    """.split()  # noqa: SIM905 - readable as text
)

_DEPARTMENTS: Final = ("Accounting", "Branch", "Claims", "Legal", "Logistics", "Marketing", "Nursing", "Warehouse")

_AREAS: Final = (
    *_DEPARTMENTS,
    *("Compliance", "Developer", "Field Sales", "Helpdesk", "Payroll", "Procurement", "Research", "Treasury"),
    *('"Gold" Customer', "R&D", "Sales (North)", "Café"),
)
"""Subjects of access. Some need care in filters and addresses."""

_LEVELS: Final = (
    *("Reader", "Editor", "Approver", "Manager", "Auditor", "Administrator", "Operator", "Analyst", "Trainee", "Lead"),
    *("Visitor", "Planner", "Clerk", "Expert", "Deputy", "Coordinator", "Supervisor", "Archivist", "Tester", "Owner +"),
)

_SOURCES: Final = (
    "Active Directory",
    "SAP ERP",
    "Salesforce",
    "ServiceNow",
    "Workday",
    "GitHub",
    "Claims Archive",
    "Treasury \\ Bank",
)

_GROUPS: Final = ("Readers", "Writers", "Admins", "VPN", "Reports+")


def make_directory(people: int, *, seed: int = 0) -> Directory:
    """Make up a directory.

    Args:
        people: Number of people, at least 1. The number of items grows with it, within bounds.
        seed: Another seed makes another directory of the same size.
    """
    everybody = tuple(_people(people, seed))
    sources = tuple(Source(id=_made_up_id(seed, "source", name), name=name) for name in _SOURCES)
    roles = min(max(people // 10, _FEWEST_ROLES), _MOST_ROLES)
    items = (
        *_roles(roles, everybody, seed),
        *_access_profiles(roles, sources, everybody, seed),
        *_entitlements(roles, sources, everybody, seed),
    )
    return Directory(people=everybody, sources=sources, items=items, held=tuple(_held(everybody, items, seed)))


def _people(count: int, seed: int) -> Iterator[Person]:
    taken: dict[str, int] = {}
    names = len(_FIRST_NAMES) * len(_LAST_NAMES)
    for number in range(count):
        position = number - 1 if number % _NAMESAKE_EVERY == _NAMESAKE_EVERY - 1 else number
        cycle, combination = divmod(position * 7 + seed * 13, names)
        first, last = _FIRST_NAMES[combination % len(_FIRST_NAMES)], _LAST_NAMES[combination // len(_FIRST_NAMES)]
        middle = f" {chr(ord('A') + (cycle - 1) % 26)}." if cycle else ""
        stem = f"{_plain(first)}.{_plain(last)}"
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
            department=_DEPARTMENTS[number % len(_DEPARTMENTS)],
            manager=_made_up_id(seed, "person", number // _REPORTS) if number else "",
        )


def _roles(count: int, people: tuple[Person, ...], seed: int) -> Iterator[AccessItem]:
    for number, (level, area) in enumerate(product(_LEVELS, _AREAS)):
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
    for number, (level, area, source) in enumerate(product(_LEVELS, _AREAS, sources)):
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
    each = min(max(count // 2, len(_GROUPS)), 100)
    for source in sources:
        for number, (area, group) in enumerate(product(_AREAS, _GROUPS)):
            if number == each:
                break
            yield AccessItem(
                id=_made_up_id(seed, f"entitlement {source.name}", number),
                type=ItemType.ENTITLEMENT,
                name=f"{area} {group}",
                owner=people[number % len(people)],
                source=source,
                attribute="memberOf" if source.name == _SOURCES[0] else "groups",
                value=_group_value(area, group) if source.name == _SOURCES[0] else f"{_plain(area)}_{_plain(group)}",
            )


def _group_value(area: str, group: str) -> str:
    """A distinguished name; a comma within a name is escaped."""
    return f"CN={area}\\, {group},OU=Groups,DC=example,DC=com"


def _held(people: tuple[Person, ...], items: tuple[AccessItem, ...], seed: int) -> Iterator[Held]:
    """Each person holds one item of each type."""
    by_type = {item_type: [item for item in items if item.type is item_type] for item_type in ItemType}
    for number, person in enumerate(people):
        for item_type, candidates in by_type.items():
            item = candidates[(number * 7 + seed) % len(candidates)]
            yield person.id, item_type, item.id


def _made_up_id(seed: int, kind: str, number: object) -> str:
    return blake2b(f"{seed} {kind} {number}".encode(), digest_size=16).hexdigest()


def _plain(name: str) -> str:
    """A name as part of an account name: letters and digits in lower case, without accents."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_only.lower())
