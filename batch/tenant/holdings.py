"""The access items that people hold, by the tenant's search index, which may lag by hours.

Source: the operation `searchPost` of the vendor's OpenAPI documents, with `identitydocument`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from batch.api.dialects import ACCESS_COUNT_FIELD, ACCESS_FIELD, PEOPLE_INDEX
from batch.tenant.paging import require_the_apis
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
        reply = await self._reader.ask(
            "POST",
            self._dialect.paths.search,
            subject="search index",
            params={"limit": str(len(people))},
            body={
                "indices": [PEOPLE_INDEX],
                "query": {"query": f"id:({' OR '.join(map(quoted, _spellings(people)))})"},
                "queryResultFilter": {
                    "includes": ["id", f"{ACCESS_FIELD}.id", f"{ACCESS_FIELD}.type", ACCESS_COUNT_FIELD]
                },
                "sort": ["id"],
            },
            settling=frozenset({404}),
        )
        require_the_apis(reply.answer, "search index")
        if reply.refusal:
            raise ForbiddenError(reply.refusal)
        asked = {key_of(person): person for person in people}
        wanted = {(kind, key_of(item)): (kind, item) for kind, item in items}
        found: dict[str, frozenset[Item]] = {}
        incomplete: set[str] = set()
        for document in reply.rows:
            person = document.get("id") if isinstance(document, dict) else None
            if isinstance(person, str) and (name := asked.get(key_of(person))):
                held = _held(document, wanted)
                if held is None:
                    incomplete.add(name)
                found[name] = found.get(name, frozenset()) | (held or frozenset())
        return {name: held for name, held in found.items() if name not in incomplete}


def _spellings(people: Sequence[str]) -> list[str]:
    """The ids as given, and as tenants usually write them: the index may compare letters and hyphens."""
    return list(dict.fromkeys(name for person in people for name in (person, person.lower(), key_of(person))))


def _held(document: Mapping[str, Any], wanted: Mapping[Item, Item]) -> frozenset[Item] | None:
    """The wanted items that a document lists; None if its list is missing, cut short or can't be read in full."""
    access, total = document.get(ACCESS_FIELD), document.get(ACCESS_COUNT_FIELD)
    if not isinstance(access, list) or (isinstance(total, int) and total > len(access)):
        return None
    pairs = [(one.get("type"), one.get("id")) if isinstance(one, dict) else (None, None) for one in access]
    if not all(isinstance(kind, str) and isinstance(item, str) for kind, item in pairs):
        return None
    keys = [(str(kind), key_of(str(item))) for kind, item in pairs]
    return frozenset(wanted[key] for key in keys if key in wanted)
