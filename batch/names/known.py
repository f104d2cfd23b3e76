"""The names behind the ids of a run, as its input gave them. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType, Operation
from batch.model import IdentityBy
from batch.names.accounts import ACCOUNT
from batch.names.meaning import ITEM_WORDS, NameMeaning, NameOutcome, shown_name
from batch.text import key_of
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import polars as pl


def _unknown(_identity: str, _item: str) -> str:
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNames:
    """The names that a run's input gave to identities and items: only to be shown beside the ids.

    Attributes:
        people: By the key of the identity's id.
        items: By the item's type and the key of its id.
        line: Gives the line of a change in the input by the ids of identity and item; empty if it is not known.
        extended: The names, by `extension_name`, of the grants that the input had as EXTEND.
    """

    people: Mapping[str, str]
    items: Mapping[tuple[str, str], str]
    line: Callable[[str, str], str] = _unknown
    extended: Collection[str] = frozenset()

    @classmethod
    def of_meanings(cls, meanings: Iterable[tuple[str, str, str]]) -> KnownNames:
        """From tuples of how a name was looked up (see `kept_kind`), the name, and the id; several names are listed."""
        people, items, extended = defaultdict(set), defaultdict(set), set()
        for kind, name, id_ in meanings:
            if kind == ACCOUNT:
                continue
            if kind == EXTENSION:
                extended.add(name)
            elif item_type := _ITEM_KINDS.get(kind):
                items[item_type, key_of(id_)].add(name)
            else:
                people[key_of(id_)].add(name)
        return cls(
            people={key: "; ".join(sorted(names)) for key, names in people.items()},
            items={key: "; ".join(sorted(names)) for key, names in items.items()},
            extended=frozenset(extended),
        )

    def identity(self, id_: str) -> str:
        """The name of an identity; empty if the input gave its id."""
        return self.people.get(key_of(id_), "")

    def item(self, item_type: str, id_: str) -> str:
        """The name of an item; empty if the input gave its id."""
        return self.items.get((item_type, key_of(id_)), "")

    def in_words(self, operation: str, identity: str, item_type: str, item: str) -> str:
        """A change for the screen, with each name before its id, and its line."""
        line = self.line(identity, item)
        return (
            f"{operation.lower()} of {self.pair_in_words(identity, item_type, item)}{f', line {line}' if line else ''}"
        )

    def person_in_words(self, id_: str) -> str:
        """An identity for the screen, with its name before its id."""
        return _with_name(self.identity(id_), id_)

    def item_in_words(self, item_type: str, id_: str) -> str:
        """An item for the screen, with its name before its id."""
        return f"{item_type or 'item'} {_with_name(self.item(item_type, id_), id_)}"

    def pair_in_words(self, identity: str, item_type: str, item: str) -> str:
        """An item and an identity for the screen; the list may not tell the item's type."""
        return f"{self.item_in_words(item_type, item)} for {self.person_in_words(identity)}"


NO_KNOWN_NAMES: Final = KnownNames(people={}, items={})
"""For a run whose input has ids only, or that another machine has planned."""


EXTENSION: Final = "end date of"
"""The ledger's word for an EXTEND: it has the change as a grant, and beside the names what the row meant."""


def extension_name(key: Sequence[str]) -> str:
    """The name of a change, by dedupe's KEY, under which the ledger keeps that it was an EXTEND."""
    person, item_type, item, account = key
    return json.dumps([key_of(person), item_type, key_of(item), account], ensure_ascii=False)


def extension_meanings(changes: pl.DataFrame) -> dict[tuple[str, str], NameMeaning]:
    """What is kept with a plan of the fresh ones among classified changes that are EXTENDs."""
    keys = changes.filter("fresh").filter(EXTENDS).select("identity_id", "item_type", "item_id", "account").rows()
    grant = NameMeaning(outcome=NameOutcome.FOUND, id=Operation.GRANT.value)
    return {(EXTENSION, extension_name(key)): grant for key in keys}


def _with_name(name: str, id_: str) -> str:
    return f"{shown_name(name)} ({id_})" if name else id_


def kept_kind(kind: str, by: IdentityBy) -> str:
    """The ledger's word for how a name was looked up.

    Args:
        kind: The value of an ItemType; anything else stands for identities.
        by: The kind of the identity names.
    """
    return f"{ITEM_WORDS[ItemType(kind)]} by name" if kind in _KINDS else f"identity by {by}"


_KINDS: Final = frozenset(item_type.value for item_type in ItemType)
_ITEM_KINDS: Final = {kept_kind(kind, IdentityBy.AUTO): kind for kind in _KINDS}
