"""People and the access items that they hold, by the tenant's search index, which may lag by hours.

Source: the operation `searchPost` of the vendor's OpenAPI documents, with `identitydocument`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.api.dialects import ACCESS_COUNT_FIELD, ACCESS_FIELD, PAGE_LIMIT, PEOPLE_INDEX, ItemType
from batch.status.tenant_facts import KNOWN, PersonFacts, flag
from batch.tenant.paging import require_the_apis
from batch.tenant.reading import ForbiddenError, quoted
from batch.text import key_of, on_one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.status.in_progress import Item
    from batch.tenant.reading import Reader


_HELD_ITEM: Final = f"@{ACCESS_FIELD}"
"""Begins a query of the search for the people whose access fits what stands in brackets."""

_HELD_FIELDS: Final = ("id", f"{ACCESS_FIELD}.id", f"{ACCESS_FIELD}.type", ACCESS_COUNT_FIELD)
_REVOCABLE: Final = "revocable"
_STANDALONE: Final = "standalone"
_LIFECYCLE: Final = ("attributes", "cloudLifecycleState")
_ACCOUNTS: Final = "accounts"
_NAME: Final = "displayName"
_PERSON_FIELDS: Final = (
    *(f"{ACCESS_FIELD}.{_REVOCABLE}", f"{ACCESS_FIELD}.{_STANDALONE}", "inactive", "protected", ".".join(_LIFECYCLE)),
    _NAME,
    f"{_ACCOUNTS}.source.id",
)
_MOST_TEXT: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedPerson:
    """A person in the search index.

    Attributes:
        held: The items of interest that they hold; None if the index does not certainly show everything.
        unrevocable: Those that no request can revoke: roles and access profiles that are not `revocable`, and
            entitlements that are not `standalone`.
        facts: What it says of the person.
        crowded: Ids of the sources on which the person has several accounts, as it says.
    """

    held: frozenset[Item] | None
    unrevocable: frozenset[Item] = frozenset()
    facts: PersonFacts = KNOWN
    crowded: frozenset[str] = frozenset()


class PeopleIndex(Protocol):
    """Finds people and the items that they hold: a tenant's search index, or a fake."""

    async def people(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, IndexedPerson]:
        """The people that the index has, with ids spelled as asked; arguments as for Holdings.of."""


class Holdings(Protocol):
    """Finds the items that people hold: a tenant's search index, or a fake."""

    async def of(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, frozenset[Item]]:
        """The items that each person holds, with ids spelled as asked.

        People are left out if the tenant does not know them, or does not certainly show everything that they hold: an
        item that is not shown is not held.

        Args:
            people: Ids of identities, at most dialects.PAGE_LIMIT.
            items: The only items of interest.
        """


class SearchIndex:
    """The search index of one tenant.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._reader = reader
        self._dialect = dialect

    async def of(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, frozenset[Item]]:
        """See Holdings.

        Raises:
            ForbiddenError: The token's user may not search, or the tenant has no such search.
            TenantLostError: The index can't be read.
        """
        found = await self._search(people, items, _HELD_FIELDS)
        return {name: person.held for name, person in found.items() if person.held is not None}

    async def people(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, IndexedPerson]:
        """See PeopleIndex, and `of` for the errors."""
        return await self._search(people, items, (*_HELD_FIELDS, *_PERSON_FIELDS))

    async def holders(self, item: str) -> int | None:
        """How many people hold an item, by its id; None if the index does not tell.

        Source: the vendor's page on nested queries (`@access(id:…)`); `X-Total-Count` of `searchPost`.

        Raises:
            TenantLostError: The index can't be read.
        """
        reply = await self._reader.ask(
            "POST",
            self._dialect.paths.search,
            subject="search index",
            params={"limit": str(PAGE_LIMIT), "count": "true"},
            body={
                "indices": [PEOPLE_INDEX],
                "query": {"query": f"{_HELD_ITEM}(id:({' OR '.join(map(quoted, spellings([item])))}))"},
                "queryResultFilter": {"includes": ["id"]},
                "sort": ["id"],
            },
            settling=frozenset({404}),
        )
        if reply.refusal:
            return None
        # A page that is not full has them all, whatever the count says.
        return len(reply.rows) if len(reply.rows) < PAGE_LIMIT else reply.total

    async def _search(
        self, people: Sequence[str], items: Collection[Item], fields: Sequence[str]
    ) -> dict[str, IndexedPerson]:
        reply = await self._reader.ask(
            "POST",
            self._dialect.paths.search,
            subject="search index",
            # Some indexes have two documents of one person.
            params={"limit": str(PAGE_LIMIT)},
            body={
                "indices": [PEOPLE_INDEX],
                "query": {"query": f"id:({' OR '.join(map(quoted, spellings(people)))})"},
                "queryResultFilter": {"includes": list(fields)},
                "sort": ["id"],
            },
            settling=frozenset({404}),
        )
        require_the_apis(reply.answer, "search index")
        if reply.refusal:
            raise ForbiddenError(reply.refusal)
        asked = {key_of(person): person for person in people}
        wanted = {(kind, key_of(item)): (kind, item) for kind, item in items}
        found: dict[str, list[IndexedPerson]] = {}
        for document in reply.rows:
            person = document.get("id") if isinstance(document, dict) else None
            if isinstance(person, str) and (name := asked.get(key_of(person))):
                found.setdefault(name, []).append(_person(document, wanted))
        return {name: _together(several) for name, several in found.items()}


def spellings(people: Sequence[str]) -> list[str]:
    """The ids as given, and as tenants usually write them: the index may compare letters and hyphens."""
    return list(dict.fromkeys(name for person in people for name in (person, person.lower(), key_of(person))))


def _person(document: Mapping[str, Any], wanted: Mapping[Item, Item]) -> IndexedPerson:
    access = _access(document, wanted)
    attributes = document.get(_LIFECYCLE[0])
    state = attributes.get(_LIFECYCLE[1]) if isinstance(attributes, dict) else None
    return IndexedPerson(
        held=None if access is None else frozenset(access),
        unrevocable=frozenset(item for item, revocable in (access or {}).items() if revocable is False),
        facts=PersonFacts(
            listed=True,
            inactive=flag(document.get("inactive")),
            protected=flag(document.get("protected")),
            lifecycle=_text(state),
            name=_text(document.get(_NAME)),
        ),
        crowded=_crowded(document.get(_ACCOUNTS)),
    )


def _text(value: Any) -> str:
    return on_one_line(value[: 4 * _MOST_TEXT], most=_MOST_TEXT) if isinstance(value, str) else ""


def _crowded(accounts: Any) -> frozenset[str]:
    """The keys of the sources of several accounts."""
    listed = [one.get("source") for one in accounts if isinstance(one, dict)] if isinstance(accounts, list) else []
    ids = Counter(one["id"] for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str))
    return frozenset(key_of(source) for source, number in ids.items() if number > 1)


def _together(several: Sequence[IndexedPerson]) -> IndexedPerson:
    """The documents of one id: what all of them say, or nothing if they differ."""
    return several[0] if len(set(several)) == 1 else IndexedPerson(held=None)


def _access(document: Mapping[str, Any], wanted: Mapping[Item, Item]) -> dict[Item, bool | None] | None:
    """The wanted items that a document lists, and whether a request can revoke each.

    Returns:
        None if its list is missing, cut short or can't be read in full.
    """
    access, total = document.get(ACCESS_FIELD), document.get(ACCESS_COUNT_FIELD)
    if not isinstance(access, list) or not _is_whole(access, total):
        return None
    found: dict[Item, bool | None] = {}
    for one in access:
        kind, item = (one.get("type"), one.get("id")) if isinstance(one, dict) else (None, None)
        if not (isinstance(kind, str) and isinstance(item, str)):
            return None
        if key := wanted.get((kind, key_of(item))):
            revocable = flag(one.get(_STANDALONE if kind == ItemType.ENTITLEMENT else _REVOCABLE))
            # Held in several ways: one that can be revoked is enough.
            found[key] = revocable if found.get(key, revocable) == revocable else _either(revocable, found[key])
    return found


def _is_whole(access: Sequence[Any], total: Any) -> bool:
    """Whether the count, if there is one, can be read and promises no more than the list has."""
    if isinstance(total, str) and re.fullmatch("[0-9]{1,9}", total):
        total = int(total)
    return total is None or (isinstance(total, int) and not isinstance(total, bool) and 0 <= total <= len(access))


def _either(*flags: bool | None) -> bool | None:
    return True if True in flags else None
