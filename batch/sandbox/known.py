"""Which people and items a tenant knows, and what they are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batch.sandbox.directory import NOBODY, Person
from batch.sandbox.lifecycle import Reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from batch.sandbox.audit import AcceptedChange
    from batch.sandbox.directory import Directory

APPROVER: Final = Reference(id="5a4d0b0c5e7f4a1cb0c5000000000002", name="Alex Approver")
"""Who approves items of which the directory knows no owner."""

_WELL_FORMED: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)


class Known:
    """What exists.

    Args:
        directory: The people and items that have names.
        identities: Identity ids that exist besides; None means that every id does.
        items: Access item ids that exist besides; None means that every id does.
        unrequestable: Access item ids that exist, and can't be requested.
        names_culprit: Whether the refusal of an id says which one it was; live tenants don't always.
    """

    def __init__(
        self,
        *,
        directory: Directory = NOBODY,
        identities: Collection[str] | None = None,
        items: Collection[str] | None = None,
        unrequestable: Collection[str] = (),
        names_culprit: bool = True,
    ) -> None:
        self.directory = directory
        self._identities = None if identities is None else directory.person_by_id.keys() | set(identities)
        self._items = None if items is None else directory.item_by_id.keys() | set(items)
        self._unrequestable = {item.id for item in directory.items if not item.requestable} | set(unrequestable)
        self._names_culprit = names_culprit

    def objection(self, identities: Iterable[str], items: Iterable[str]) -> str | None:
        """What is wrong with the first id that is; None where all can be requested."""
        item_ids = list(items)
        for noun, ids, known in (("identity", identities, self._identities), ("access item", item_ids, self._items)):
            missing = next((asked for asked in ids if known is not None and asked not in known), None)
            if missing is not None:
                return f"The {noun}{self._named(missing)} was not found."
        barred = next((asked for asked in item_ids if asked in self._unrequestable), None)
        return None if barred is None else f"The access item{self._named(barred)} can't be requested."

    def person(self, identity: str) -> Reference:
        """An identity by its name, where the directory has it."""
        person = self.directory.person_by_id.get(identity)
        return Reference(id=identity, name=f"Identity {identity}" if person is None else person.display_name)

    def stranger(self, identity: str) -> Person | None:
        """A person made up for an id that exists without standing in the directory; None where it doesn't exist."""
        exists = _WELL_FORMED.fullmatch(identity) if self._identities is None else identity in self._identities
        return nobody_in_particular(identity) if exists else None

    def item_name(self, change: AcceptedChange) -> str:
        """Display name of an item; where the directory has none, made of type and id."""
        item = self.directory.item_by_id.get(change.item_id)
        return f"{change.item_type.replace('_', ' ').title()} {change.item_id}" if item is None else item.name

    def approver(self, change: AcceptedChange) -> Reference:
        """Who decides on an item: its owner."""
        item = self.directory.item_by_id.get(change.item_id)
        return APPROVER if item is None else self.person(item.owner.id)

    def _named(self, culprit: str) -> str:
        return f" {culprit}" if self._names_culprit else ""


def nobody_in_particular(identity: str) -> Person:
    """A person of whom nothing but the id is known."""
    return Person(
        id=identity,
        first_name="Identity",
        last_name=identity,
        alias=f"identity.{identity}",
        email=f"{identity}@example.com",
        employee_number="",
        display_name=f"Identity {identity}",
    )
