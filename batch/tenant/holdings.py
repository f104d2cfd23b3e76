"""The access items that people hold, by the tenant's search index, which may lag by hours.

Source: the operation `searchPost` of the vendor's OpenAPI documents, with `identitydocument`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from batch.api.dialects import ACCESS_FIELD, PEOPLE_INDEX
from batch.tenant.reading import ForbiddenError, quoted
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.status.in_progress import Item
    from batch.tenant.reading import Reader


class Holdings(Protocol):
    """Finds the items that people hold: a tenant's search index, or a fake."""

    async def of(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, frozenset[Item]]:
        """The items that each person holds, with ids spelled as asked; people unknown to the tenant are left out.

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
        reply = await self._reader.ask(
            "POST",
            self._dialect.paths.search,
            subject="search index",
            params={"limit": str(len(people))},
            body={
                "indices": [PEOPLE_INDEX],
                "query": {"query": f"id:({' OR '.join(map(quoted, _spellings(people)))})"},
                "queryResultFilter": {"includes": ["id", f"{ACCESS_FIELD}.id", f"{ACCESS_FIELD}.type"]},
                "sort": ["id"],
            },
            settling=frozenset({404}),
        )
        if reply.refusal:
            raise ForbiddenError(reply.refusal)
        asked = {key_of(person): person for person in people}
        wanted = {(kind, key_of(item)): (kind, item) for kind, item in items}
        found: dict[str, frozenset[Item]] = {}
        for document in reply.rows:
            person = document.get("id") if isinstance(document, dict) else None
            if isinstance(person, str) and (name := asked.get(key_of(person))):
                found[name] = found.get(name, frozenset()) | _held(document.get(ACCESS_FIELD), wanted)
        return found


def _spellings(people: Sequence[str]) -> list[str]:
    """The ids as given, and as tenants usually write them: the index may compare letters and hyphens."""
    return list(dict.fromkeys(name for person in people for name in (person, person.lower(), key_of(person))))


def _held(access: Any, wanted: Mapping[Item, Item]) -> frozenset[Item]:
    listed = [one for one in access if isinstance(one, dict)] if isinstance(access, list) else []
    pairs = [(str(one.get("type")), key_of(str(one.get("id")))) for one in listed]
    return frozenset(wanted[pair] for pair in pairs if pair in wanted)
