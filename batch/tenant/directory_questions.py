"""The questions to the directory: how each asks for many names at once, and how many fit into one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final
from unicodedata import normalize
from urllib.parse import quote

from batch.api.dialects import (
    ENCODED_LIMIT,
    FILTER_LIMIT,
    FILTER_VALUES,
    PAGE_LIMIT,
    PEOPLE_INDEX,
    ROLES_PAGE_LIMIT,
    SEARCH_BYTES,
    SEARCH_FIELDS,
    SEARCH_VALUES,
    SEARCH_WINDOW,
    ItemType,
)
from batch.model import IdentityBy
from batch.names.meaning import ITEM_WORDS
from batch.read.item_names import entitlement_name
from batch.tenant.collection import TOO_LONG, portions
from batch.tenant.directory_rows import item_listed, person_found, person_listed
from batch.tenant.reading import EXPERIMENTAL, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.names.meaning import Item, Person
    from batch.tenant.reading import Reader, Reply

MOST_LISTED_ROWS: Final = 100_000
"""Most rows of one list that we read."""

_SEARCH_KEEPS: Final = ("id", *dict.fromkeys(field for fields in SEARCH_FIELDS.values() for field in fields))
_SHORTEST: Final = 3
_LONGEST: Final = 8
# All but those that another token or patience may mend.
_ERRORS: Final = frozenset(range(400, 600)) - {401, 429}
_BLANKS: Final = re.compile(" {2,}")
_AROUND: Final = 50
"""Most characters around the values of a filter."""


class Caller:
    """Makes the calls, and counts them.

    Args:
        reader: Asks the tenant.
        dialect: The API version.

    Attributes:
        calls: Calls made so far.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self.calls = 0
        self.dialect = dialect
        self._reader = reader

    async def ask(
        self,
        method: str,
        path: str,
        subject: str,
        *,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        settling: frozenset[int] = frozenset({TOO_LONG}),
    ) -> Reply:
        """See Reader.ask; a too long address settles the question too."""
        self.calls += 1
        return await self._reader.ask(
            method, path, subject=subject, params=params, body=body, headers=EXPERIMENTAL, settling=settling
        )


class Search:
    """Searches for people by several kinds of names at once.

    Args:
        caller: Makes the calls.
        fields: The kinds of names.
    """

    subject = "search"
    page_limit = PAGE_LIMIT
    most_rows = SEARCH_WINDOW

    def __init__(self, caller: Caller, fields: tuple[IdentityBy, ...]) -> None:
        self._caller = caller
        self._fields = fields

    def portions(self, names: Iterable[str]) -> Iterable[tuple[str, ...]]:
        """The names in portions that fit into one question each."""

        def weights(name: str) -> tuple[int, ...]:
            terms = self._terms(name)
            return 1, len(terms), sum(len(f"{term} OR ".encode()) for term in terms)

        return portions(names, weights, (PAGE_LIMIT, SEARCH_VALUES, SEARCH_BYTES))

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """See collection.CollectionQuery."""
        body = {
            "indices": [PEOPLE_INDEX],
            "query": {"query": " OR ".join(term for value in values for term in self._terms(value))},
            "queryResultFilter": {"includes": list(_SEARCH_KEEPS)},
            "includeNested": False,
            "sort": ["id"],
        }
        params = _page(self.page_limit, offset)
        return await self._caller.ask("POST", self._caller.dialect.paths.search, self.subject, params=params, body=body)

    def read(self, raw: Any) -> Person | None:
        """See collection.CollectionQuery."""
        return person_found(raw)

    def _terms(self, name: str) -> list[str]:
        fields = [field for field in self._fields if _may_be(name, field)]
        places = [place for field in fields for place in SEARCH_FIELDS[field]]
        return [f"{place}:{quoted(spelling)}" for spelling in _spellings(name) for place in places]


class _Listed(ABC):
    """A list that `filters` reduces to the rows of several values."""

    subject = ""
    path = ""
    sorters = "name"
    page_limit = PAGE_LIMIT
    most_rows = MOST_LISTED_ROWS

    fields: tuple[str, ...] = ()
    ignores_case = True

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def portions(self, names: Iterable[str]) -> Iterable[tuple[str, ...]]:
        """The names in portions that fit into one question each."""

        def weights(name: str) -> tuple[int, ...]:
            terms = self.terms(name)
            return (
                len(terms),
                sum(len(term) + len(" or ") for term in terms),
                sum(len(quote(f"{term} or ")) for term in terms),
            )

        return portions(names, weights, (FILTER_VALUES, FILTER_LIMIT - _AROUND, ENCODED_LIMIT))

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """See collection.CollectionQuery."""
        params = {
            "filters": self.filters([term for value in values for term in self.terms(value)]),
            "sorters": self.sorters,
            **_page(self.page_limit, offset),
        }
        return await self._caller.ask("GET", self.path, self.subject, params=params)

    async def ask_beginnings(self, names: Iterable[str]) -> Sequence[Any]:
        """Rows whose names begin like the given ones, from one page only; none if the tenant refuses.

        Nothing depends on the answer, so no error is worth another call.
        """
        words = [_beginning(self.word(name)) for name in names]
        if not self.ignores_case:
            words += [in_case(word) for in_case in (str.title, str.upper, str.lower) for word in words]
        terms = [f"{field} sw {quoted(beginning)}" for beginning in dict.fromkeys(words) for field in self.fields]
        weights = (FILTER_VALUES, FILTER_LIMIT, ENCODED_LIMIT)
        first = next(portions(terms, lambda term: (1, len(f"{term} or "), len(quote(f"{term} or "))), weights))
        params = {"filters": " or ".join(first), "sorters": self.sorters, **_page(self.page_limit, 0)}
        reply = await self._caller.ask("GET", self.path, self.subject, params=params, settling=_ERRORS)
        return reply.rows

    def word(self, name: str) -> str:
        """The part of a name by which the list is asked."""
        return name

    @abstractmethod
    def terms(self, name: str) -> list[str]:
        """The terms of the filter for a name; none if the name can't stand in the list."""

    def filters(self, terms: list[str]) -> str:
        """The filter of several terms."""
        return " or ".join(terms)


class People(_Listed):
    """Lists people by several kinds of names at once.

    Args:
        caller: Makes the calls.
        fields: The kinds of names, of those that the dialect can filter by.
    """

    subject = "list of identities"

    def __init__(self, caller: Caller, fields: tuple[IdentityBy, ...]) -> None:
        super().__init__(caller)
        self.path = caller.dialect.paths.people
        self.fields = self._by = fields

    def terms(self, name: str) -> list[str]:
        """A comparison for each kind of name that it may be."""
        fields = [field for field in self._by if _may_be(name, field)]
        return [f"{field} eq {quoted(spelling)}" for spelling in _spellings(name) for field in fields]

    def read(self, raw: Any) -> Person | None:
        """See collection.CollectionQuery."""
        return person_listed(raw)


class Items(_Listed):
    """Lists access items by name.

    Args:
        caller: Makes the calls.
        item_type: Their kind.
        field: The field to compare: `name`, or `value` of entitlements.
    """

    ignores_case = False

    def __init__(self, caller: Caller, item_type: ItemType, field: str) -> None:
        super().__init__(caller)
        paths = caller.dialect.paths
        self.subject = f"list of {ITEM_WORDS[item_type]}s"
        self._field = field
        self.fields = (field,)
        self._entitlements = item_type is ItemType.ENTITLEMENT
        match item_type:
            case ItemType.ROLE:
                self.path, self.page_limit = paths.roles, ROLES_PAGE_LIMIT
            case ItemType.ACCESS_PROFILE:
                self.path = paths.access_profiles
            case ItemType.ENTITLEMENT:
                self.path, self.sorters = paths.entitlements, "id"

    def terms(self, name: str) -> list[str]:
        """A comparison; for an entitlement only its value."""
        if not self._entitlements:
            return [f"{self._field} eq {quoted(spelling)}" for spelling in _spellings(name)]
        parts = entitlement_name(name)
        return list(map(quoted, _spellings(parts.value))) if parts else []

    def word(self, name: str) -> str:
        """An entitlement's value."""
        parts = entitlement_name(name) if self._entitlements else None
        return parts.value if parts else name

    def filters(self, terms: list[str]) -> str:
        """Comparisons; for entitlements a list of values."""
        terms = list(dict.fromkeys(terms))
        return f"{self._field} in ({', '.join(terms)})" if self._entitlements else super().filters(terms)

    def read(self, raw: Any) -> Item | None:
        """See collection.CollectionQuery."""
        return item_listed(raw)


def _page(limit: int, offset: int) -> dict[str, str]:
    return {"limit": str(limit), "offset": str(offset), "count": "true"}


def _beginning(name: str) -> str:
    """So much of a name as is probably right; more would miss a wrong letter, less would find too much."""
    name = normalize("NFC", name)
    return name[: min(max(_SHORTEST, len(name) // 3), _LONGEST)].strip()


def _spellings(name: str) -> list[str]:
    """The name as written, and with one blank in each place: people and tenants write two by mistake.

    Each also with accents within their letters, and apart from them: systems differ in that, and nobody sees it.
    """
    spellings = [name, _BLANKS.sub(" ", name)]
    if not name.isascii():
        spellings += [normalize(form, one) for one in spellings for form in ("NFC", "NFD")]
    return list(dict.fromkeys(spellings))


def _may_be(name: str, field: IdentityBy) -> bool:
    """Whether a name may be of this kind: an address has an @."""
    return field is not IdentityBy.EMAIL or "@" in name
