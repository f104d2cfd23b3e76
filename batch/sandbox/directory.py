"""The people and access items that a tenant knows, with or without a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from batch.api.dialects import ItemType, Operation
from batch.sandbox.item_rules import (
    PERMISSIVE,
    PERMISSIVE_REVOCATION,
    ApproverType,
    RequestRules,
    RevocationRules,
    approvers_of,
)
from batch.sandbox.lifecycle import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

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
        manager: Id of the manager; empty for none.
        lifecycle_state: Technical name of the lifecycle state.
        status: The API's `identityStatus`.
        inactive: Whether the lifecycle state counts as inactive.
        protected: Whether the identity is protected from changes.
        accounts: The accounts; None for one on each source.
    """

    id: str
    first_name: str
    last_name: str
    alias: str
    email: str
    employee_number: str
    display_name: str
    department: str = ""
    manager: str = ""
    lifecycle_state: str = "active"
    status: str = "ACTIVE"
    inactive: bool = False
    protected: bool = False
    accounts: tuple[Account, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A system with accounts and entitlements."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account of a person on a source.

    Attributes:
        id: Id of the account, 32 hexadecimal digits.
        source: The system.
        name: Display name.
        native_identity: The account's own id on the source, such as a distinguished name; the API's `accountId`.
        uuid: The API's `uuid`; empty if the source has none.
    """

    id: str
    source: Source
    name: str
    native_identity: str
    uuid: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessItem:
    """An access item.

    Attributes:
        id: 32 hexadecimal digits.
        type: Type of item.
        name: Display name; unique for roles only.
        owner: Its approver.
        requestable: Whether it can be requested.
        enabled: Whether it is in use. Entitlements always are.
        request: What its grants need; None for an entitlement without rules of its own, which has the tenant's.
        revocation: What its revokes need.
        source: The system that it belongs to; None for roles.
        gives: For a role, the systems on which it gives access.
        attribute: For an entitlement, the account attribute.
        value: For an entitlement, the attribute's value; unique on its source.
    """

    id: str
    type: ItemType
    name: str
    owner: Person
    requestable: bool = True
    enabled: bool = True
    request: RequestRules | None = None
    revocation: RevocationRules = PERMISSIVE_REVOCATION
    source: Source | None = None
    gives: tuple[Source, ...] = ()
    attribute: str = ""
    value: str = ""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The systems on which it gives access."""
        return self.gives if self.source is None else (self.source,)


class PersonFields(TypedDict, total=False):
    """What may be changed of a person."""

    manager: str
    lifecycle_state: str
    status: str
    inactive: bool
    protected: bool
    accounts: tuple[Account, ...] | None


class ItemFields(TypedDict, total=False):
    """What may be changed of an access item."""

    requestable: bool
    enabled: bool
    request: RequestRules | None
    revocation: RevocationRules
    source: Source | None
    gives: tuple[Source, ...]


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
        birthright: The part of it that a role or a lifecycle state gives, which no request can revoke.
    """

    people: tuple[Person, ...]
    sources: tuple[Source, ...]
    items: tuple[AccessItem, ...]
    held: tuple[Held, ...] = field(repr=False)
    birthright: frozenset[Held] = field(default=frozenset(), repr=False)

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
    """The people and items that exist. The rules of people and items may change at any time.

    Args:
        directory: The people and items that have names.
        identities: Identity ids that exist besides; None if every id exists.
        items: Access item ids that exist besides; None if every id exists.
        unrequestable: Access item ids that exist but can't be requested.
        names_bad_id: Whether a refusal names the id; live tenants don't always.
        entitlement_rules: The tenant's rules for grants of entitlements that have none of their own.
    """

    def __init__(
        self,
        *,
        directory: Directory = EMPTY,
        identities: Collection[str] | None = None,
        items: Collection[str] | None = None,
        unrequestable: Collection[str] = (),
        names_bad_id: bool = True,
        entitlement_rules: RequestRules = PERMISSIVE,
    ) -> None:
        self.directory = directory
        self.entitlement_rules = entitlement_rules
        self.revision = 0
        self._identities = None if identities is None else directory.person_by_id.keys() | set(identities)
        self._items = None if items is None else directory.item_by_id.keys() | set(items)
        self._names_bad_id = names_bad_id
        self._changed_people: dict[str, Person] = {}
        self._changed_items: dict[tuple[str, ItemType], AccessItem] = {}
        self._managers = frozenset(person.manager for person in directory.people)
        for item_id in unrequestable:
            self.change_item(item_id, requestable=False)

    def change_person(self, identity: str, **fields: Unpack[PersonFields]) -> None:
        """Change a person, in the directory or not."""
        self._changed_people[identity] = replace(self.described(identity), **fields)
        self._managers |= {fields.get("manager", "")}
        self.revision += 1

    def change_item(self, item_id: str, **fields: Unpack[ItemFields]) -> None:
        """Change the rules of an access item, in the directory or not."""
        for item_type in ItemType:
            self._changed_items[item_id, item_type] = replace(self.item(item_id, item_type), **fields)
        self.revision += 1

    def has_person(self, identity: str) -> bool:
        """Whether an identity id exists."""
        return self._identities is None or identity in self._identities

    def has_item(self, item_id: str) -> bool:
        """Whether an access item's id exists."""
        return self._items is None or item_id in self._items

    def named(self, bad_id: str) -> str:
        """An id as a refusal names it: after a blank, or not at all."""
        return f" {bad_id}" if self._names_bad_id else ""

    def described(self, identity: str) -> Person:
        """A person, made of the id if the directory does not have it."""
        changed = self._changed_people.get(identity)
        return changed or self.directory.person_by_id.get(identity) or unlisted_person(identity)

    def item(self, item_id: str, item_type: ItemType) -> AccessItem:
        """An access item, made of type and id if the directory does not have it."""
        changed = self._changed_items.get((item_id, item_type))
        return changed or self.directory.item_by_id.get(item_id) or unlisted_item(item_id, item_type)

    def accounts(self, person: Person) -> tuple[Account, ...]:
        """A person's accounts: one on each source, unless the person has others."""
        if person.accounts is not None:
            return person.accounts
        return tuple(made_up_account(person, source) for source in self.directory.sources)

    def is_manager(self, identity: str) -> bool:
        """Whether somebody reports to a person."""
        return identity in self._managers

    def request_rules(self, item: AccessItem) -> RequestRules:
        """The rules of an item's grants: its own, or the tenant's for entitlements."""
        if item.request is not None:
            return item.request
        return self.entitlement_rules if item.type is ItemType.ENTITLEMENT else PERMISSIVE

    def person(self, identity: str) -> Reference:
        """An identity with its name; made of the id if the directory does not have it."""
        return Reference(id=identity, name=self.described(identity).display_name)

    def unlisted(self, identity: str) -> Person | None:
        """A made-up person for an id that exists without being in the directory; None if the id does not exist."""
        exists = _WELL_FORMED.fullmatch(identity) if self._identities is None else identity in self._identities
        return unlisted_person(identity) if exists else None

    def unlisted_of(self, item_type: ItemType) -> Callable[[str], AccessItem | None]:
        """The same for an item of one type."""

        def unlisted(item_id: str) -> AccessItem | None:
            if item_id in self.directory.item_by_id:
                return None
            exists = _WELL_FORMED.fullmatch(item_id) if self._items is None else item_id in self._items
            return unlisted_item(item_id, item_type) if exists else None

        return unlisted

    def item_name(self, change: AcceptedChange) -> str:
        """Display name of a change's item; made of type and id if the directory does not have it."""
        return self.item(change.item_id, change.item_type).name

    def approval(self, change: AcceptedChange) -> Reference | None:
        """The first approver of a change: the item's owner unless its rules name the manager; None if none is needed.

        The sandbox has no governance groups and no workflows: the owner stands in for them.
        """
        item = self.item(change.item_id, change.item_type)
        is_grant = change.operation is Operation.GRANT
        steps = approvers_of(self.request_rules(item) if is_grant else item.revocation, owner=ApproverType.OWNER)
        manager = self.described(change.identity).manager
        if not steps:
            return None
        if manager and steps[0].type is ApproverType.MANAGER:
            return self.person(manager)
        return Reference(id=item.owner.id, name=item.owner.display_name)


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


def unlisted_item(item_id: str, item_type: ItemType) -> AccessItem:
    """An access item with an id and nothing else to know."""
    return AccessItem(
        id=item_id,
        type=item_type,
        name=made_up_item_name(item_type, item_id),
        owner=APPROVING_PERSON,
        source=None if item_type is ItemType.ROLE else UNLISTED_SOURCE,
        attribute="groups" if item_type is ItemType.ENTITLEMENT else "",
        value=item_id if item_type is ItemType.ENTITLEMENT else "",
    )


def made_up_account(person: Person, source: Source, number: int = 0) -> Account:
    """An account of a person on a source; another number makes a further one."""
    digest = blake2b(f"account {person.id} {source.id} {number}".encode(), digest_size=16).hexdigest()
    name = f"{person.alias}{number or ''}"
    is_directory = source.name == "Active Directory"
    native_identity = f"CN={person.display_name} {name},OU=People,DC=example,DC=com" if is_directory else name
    uuid = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}" if is_directory else ""
    return Account(id=digest, source=source, name=name, native_identity=native_identity, uuid=uuid)


APPROVING_PERSON: Final = replace(
    unlisted_person(APPROVER.id),
    first_name="Alex",
    last_name="Approver",
    alias="alex.approver",
    display_name=APPROVER.name,
)
"""The owner of items that are not in the directory."""

UNLISTED_SOURCE: Final = Source(id="5a4d0b0c5e7f4a1cb0c5000000000009", name="Sandbox")
"""The system of items that are not in the directory."""
