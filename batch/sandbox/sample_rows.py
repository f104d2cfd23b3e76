"""Rows for a sample file in which people and items stand by their names, as a generated directory has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType, Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.sandbox.directory import AccessItem, Directory, Person

COLUMNS: Final = ("operation", "identity", "item_type", "item", "comment")
"""Columns of the rows."""

REVOKE_EVERY: Final = 9
"""One row in so many takes something away that is held."""

Row = tuple[str, str, str, str, str]


def sample_rows(directory: Directory, count: int) -> list[Row]:
    """Rows that all resolve: people by every kind of name in turn, items of every kind.

    Grants are of what can be requested and is not held, revokes of what is.

    Args:
        directory: The people and items.
        count: How many rows.
    """
    return [row for row, _ in zip(_rows(directory), range(count), strict=False)]


def sample_mistakes(directory: Directory) -> list[Row]:
    """Three rows that can't be resolved: an unknown person, a display name that two have, an unknown role.

    Args:
        directory: The people and items; large enough to have namesakes.
    """
    role = _wanted(directory, ItemType.ROLE)[0].name
    times = Counter(person.display_name for person in directory.people)
    namesake = next(person for person in directory.people if times[person.display_name] > 1)
    grant = Operation.GRANT
    return [
        (grant, "nobody.known", ItemType.ROLE, role, "there is no such person"),
        (grant, namesake.display_name, ItemType.ROLE, role, "two people are called this"),
        (grant, directory.people[0].alias, ItemType.ROLE, "Unheard-of Role", "there is no such role"),
    ]


def _rows(directory: Directory) -> Iterator[Row]:
    held = set(directory.held)
    held_by = {person.id: [key for key in directory.held if key[0] == person.id] for person in directory.people[:1000]}
    wanted = {kind: _wanted(directory, kind) for kind in ItemType}
    times = Counter(person.display_name for person in directory.people)
    for number, person in enumerate(directory.people[:1000]):
        name = _names(person, unique=times[person.display_name] == 1)[number % 4]
        if number % REVOKE_EVERY == REVOKE_EVERY - 1:
            _, kind, item_id = held_by[person.id][number % len(held_by[person.id])]
            item = directory.item_by_id[item_id]
            yield Operation.REVOKE, name, kind, _item_name(item, number), "moves to another department"
            continue
        kind = list(ItemType)[number % len(ItemType)]
        item = wanted[kind][number * 11 % len(wanted[kind])]
        if (person.id, kind, item.id) not in held:
            yield (
                Operation.GRANT,
                name,
                kind,
                _item_name(item, number),
                "" if number % 5 else "asked for by the manager",
            )


def _wanted(directory: Directory, kind: ItemType) -> list[AccessItem]:
    return [item for item in directory.of_type(kind) if item.requestable]


def _names(person: Person, *, unique: bool) -> tuple[str, ...]:
    return person.alias, person.email, person.employee_number, person.display_name if unique else person.alias


def _item_name(item: AccessItem, number: int) -> str:
    """A name; of entitlements, in turn `Source|attribute|value` and `Source|name`, which no plus sign may be in."""
    if item.type is not ItemType.ENTITLEMENT or item.source is None:
        return item.name
    by_value = number % 2 or "+" in item.name
    return f"{item.source.name}|" + (f"{item.attribute}|{item.value}" if by_value else item.name)
