"""The people and access items that a tenant knows, with or without a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.sandbox.lifecycle import Reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from batch.sandbox.audit import AcceptedChange

APPROVER: Final = Reference(id="5a4d0b0c5e7f4a1cb0c5000000000002", name="Alex Approver")
"""Approves items without an owner in the directory."""

_WELL_FORMED: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """One identity.

    Attributes:
        id: 32 hexadecimal digits.
        first_name: First name.
        last_name: Last name.
        alias: Account name, such as `anna.kowalski`; unique.
        email: E-mail address; unique.
        employee_number: Number given by HR; unique.
        display_name: First and last name; not unique.
        department: Name of the department.
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
    """A system with accounts and entitlements."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessItem:
    """An access item.

    Attributes:
        id: 32 hexadecimal digits.
        type: Type of item.
        name: Display name; unique for roles only.
        owner: Its approver.
        requestable: Whether it can be requested.
        source: The system that it belongs to; None for roles.
        attribute: For an entitlement, the account attribute.
        value: For an entitlement, the attribute's value; unique on its source.
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
    """People and items with names.

    Attributes:
        people: All people, in a fixed order.
        sources: All systems.
        items: All access items, in a fixed order.
        held: What people hold from the start.
    """

    people: tuple[Person, ...]
    sources: tuple[Source, ...]
    items: tuple[AccessItem, ...]
    held: tuple[Held, ...] = field(repr=False)

    @cached_property
    def person_by_id(self) -> Mapping[str, Person]:
        """All people by id."""
        return {person.id: person for person in self.people}

    @cached_property
    def item_by_id(self) -> Mapping[str, AccessItem]:
        """All items by id."""
        return {item.id: item for item in self.items}

    def of_type(self, item_type: ItemType) -> tuple[AccessItem, ...]:
        """The items of one type."""
        return tuple(item for item in self.items if item.type is item_type)


EMPTY: Final = Directory(people=(), sources=(), items=(), held=())
"""The directory of a tenant that has none."""


class Known:
    """The ids that exist, and their names.

    Args:
        directory: The people and items that have names.
        identities: Identity ids that exist besides; None if every id exists.
        items: Access item ids that exist besides; None if every id exists.
        unrequestable: Access item ids that exist but can't be requested.
        names_bad_id: Whether a refusal names the id; live tenants don't always.
    """

    def __init__(
        self,
        *,
        directory: Directory = EMPTY,
        identities: Collection[str] | None = None,
        items: Collection[str] | None = None,
        unrequestable: Collection[str] = (),
        names_bad_id: bool = True,
    ) -> None:
        self.directory = directory
        self._identities = None if identities is None else directory.person_by_id.keys() | set(identities)
        self._items = None if items is None else directory.item_by_id.keys() | set(items)
        self._unrequestable = {item.id for item in directory.items if not item.requestable} | set(unrequestable)
        self._names_bad_id = names_bad_id

    def refusal(self, identities: Iterable[str], items: Iterable[str]) -> str | None:
        """Why these ids can't be requested (the first cause); None if they can."""
        item_ids = list(items)
        for noun, ids, known in (("identity", identities, self._identities), ("access item", item_ids, self._items)):
            missing = next((asked for asked in ids if known is not None and asked not in known), None)
            if missing is not None:
                return f"The {noun}{self._named(missing)} was not found."
        barred = next((asked for asked in item_ids if asked in self._unrequestable), None)
        return None if barred is None else f"The access item{self._named(barred)} can't be requested."

    def person(self, identity: str) -> Reference:
        """An identity with its name; made of the id if the directory does not have it."""
        person = self.directory.person_by_id.get(identity) or unlisted_person(identity)
        return Reference(id=identity, name=person.display_name)

    def unlisted(self, identity: str) -> Person | None:
        """A made-up person for an id that exists without being in the directory; None if the id does not exist."""
        exists = _WELL_FORMED.fullmatch(identity) if self._identities is None else identity in self._identities
        return unlisted_person(identity) if exists else None

    def item_name(self, change: AcceptedChange) -> str:
        """Display name of a change's item; made of type and id if the directory does not have it."""
        item = self.directory.item_by_id.get(change.item_id)
        return made_up_item_name(change.item_type, change.item_id) if item is None else item.name

    def approver(self, change: AcceptedChange) -> Reference:
        """The approver of a change: the item's owner."""
        item = self.directory.item_by_id.get(change.item_id)
        return APPROVER if item is None else self.person(item.owner.id)

    def _named(self, bad_id: str) -> str:
        return f" {bad_id}" if self._names_bad_id else ""


def unlisted_person(identity: str) -> Person:
    """A person with an id and nothing else to know."""
    return Person(
        id=identity,
        first_name="Identity",
        last_name=identity,
        alias=f"identity.{identity}",
        email=f"{identity}@example.com",
        employee_number="",
        display_name=f"Identity {identity}",
    )


def made_up_item_name(item_type: ItemType, item_id: str) -> str:
    """The display name of an item that is not in the directory, such as `Access Profile p1`."""
    return f"{item_type.replace('_', ' ').title()} {item_id}"
