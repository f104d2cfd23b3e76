"""The search (`POST …/search`) over identities: its queries, pages, and documents with each identity's access.

Source: the operation `searchPost` of the vendor's documents, and their page on paginating search queries: only
`searchAfter` reaches beyond 10,000 documents.

Text is compared as Elasticsearch's standard analysis does: split into words, in lower case; a phrase matches adjacent
words anywhere in the field. `.exact` compares the whole text as it is. Ids are compared as a whole.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import SEARCH_VALUES
from batch.sandbox.answers import Answer, BadQueryError, page_of, problem
from batch.sandbox.documents import NESTED_PARTS, access_entry, identity_document, only
from batch.sandbox.filter_ast import found_by
from batch.sandbox.filters import EVERYTHING, read_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from batch.sandbox.directory import Directory, Person
    from batch.sandbox.filter_ast import Term
    from batch.sandbox.holdings import Holding, ItemKey
    from batch.sandbox.tenant import SimulatedTenant

WINDOW: Final = 10_000
"""Most documents that offset and limit reach together."""

_HELD: Final = "@access.id"
"""The field of a query for the people who hold an item."""

_NOT_SIMULATED: Final = ("filters", "queryDsl", "textQuery", "typeAheadQuery", "aggregations", "aggregationsDsl")
"""Fields of a search that would change its result: refused instead of ignored."""

_TEXT_FIELDS: Final[Mapping[str, Callable[[Person], str]]] = {
    "name": lambda person: person.alias,
    "displayName": lambda person: person.display_name,
    "email": lambda person: person.email,
    "employeeNumber": lambda person: person.employee_number,
    "firstName": lambda person: person.first_name,
    "lastName": lambda person: person.last_name,
}
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "attributes.uid": "name",
    "attributes.displayName": "displayName",
    "attributes.email": "email",
    "attributes.employeeNumber": "employeeNumber",
    "attributes.firstname": "firstName",
    "attributes.lastname": "lastName",
}
_WORD: Final = re.compile(r"\w+(?:['.]\w+)*")
_SORTABLE: Final[Mapping[str, Callable[[Person], str]]] = {
    "id": lambda person: person.id,
    **{name: _TEXT_FIELDS[name] for name in ("name", "displayName", "email")},
}


class IdentitySearch:
    """Answers searches over a tenant's identities.

    Args:
        tenant: The tenant.
        body_limit: Most bytes of a body.
        most_terms: Most values in one query.
    """

    def __init__(self, tenant: SimulatedTenant, *, body_limit: int, most_terms: int = SEARCH_VALUES) -> None:
        self._tenant = tenant
        self._body_limit = body_limit
        self._most_terms = most_terms
        self._index = _PeopleIndex(tenant.known.directory)
        self._entries: dict[tuple[ItemKey, bool, int], dict[str, Any]] = {}

    def answer(self, raw: bytes, query: Mapping[str, str], now: datetime) -> Answer:
        """One page of a search's result.

        Args:
            raw: The body.
            query: The query parameters: `limit`, `offset`, `count`.
            now: The tenant's time.

        Returns:
            200 with a JSON array, and `X-Total-Count` if `count=true`; or 400 with the cause.
        """
        try:
            return self._page(self._body(raw), query, now)
        except BadQueryError as bad:
            return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=self._tenant.new_id())

    def _page(self, body: dict[str, Any], query: Mapping[str, str], now: datetime) -> Answer:
        page = page_of(query)
        if page.offset + page.limit > WINDOW:
            raise BadQueryError(f"offset and limit must not go beyond {WINDOW} together: use searchAfter.")
        found = found_by(
            read_query(_query_text(body), most_terms=self._most_terms),
            lambda term: self._look_up(term, now),
            self._index.everybody,
        )
        people = self._ordered(found, _strings(body, "sort"), _strings(body, "searchAfter"))
        includes = _strings(body.get("queryResultFilter") or {}, "includes")
        nested = body.get("includeNested", True) is not False

        def document(identity: str) -> dict[str, Any]:
            held = self._tenant.held_as_searched(identity, now)
            entries = [self._entry(key, holding) for key, holding in held.items()]
            whole = identity_document(self._person(identity), entries, self._tenant.known)
            if not nested:
                whole = {name: part for name, part in whole.items() if name not in NESTED_PARTS}
            return only(whole, includes) if includes else whole

        return page.cut(people, document)

    def _entry(self, key: ItemKey, holding: Holding) -> dict[str, Any]:
        """An item as all documents show it."""
        known = self._tenant.known
        kept = key, holding.revocable, known.revision
        if kept not in self._entries:
            item_type, item_id = key
            self._entries[kept] = access_entry(known.item(item_id, item_type), revocable=holding.revocable)
        return self._entries[kept]

    def _look_up(self, term: Term, now: datetime) -> set[str]:
        if term.field == _HELD:
            return {one for one in self._tenant.mentioned if self._holds(one, term.values[0], now)}
        found = self._index.look_up(term)
        if term.field == "id" and not found and self._exists(term.values[0]):
            return {term.values[0]}
        return found

    def _holds(self, identity: str, item: str, now: datetime) -> bool:
        return any(held == item for _, held in self._tenant.held_as_searched(identity, now))

    def _exists(self, identity: str) -> bool:
        return self._tenant.known.unlisted(identity) is not None or identity in self._tenant.mentioned

    def _person(self, identity: str) -> Person:
        return self._tenant.known.described(identity)

    def _ordered(self, found: set[str], sort: list[str], after: list[str]) -> Sequence[str]:
        if after and len(after) != len(sort):
            raise BadQueryError("searchAfter must have one value for each of sort.")
        if sort in ([], ["id"], ["+id"]):
            whole = found == self._index.everybody
            ordered: Sequence[str] = self._index.sorted_ids if whole else sorted(found)
            return ordered[bisect_right(ordered, after[0]) :] if after else ordered
        names = [name.lstrip("+-") for name in sort]
        if not set(names) <= _SORTABLE.keys():
            raise BadQueryError(f"sort must be of {', '.join(_SORTABLE)}.")
        keys = {identity: tuple(_SORTABLE[name](self._person(identity)) for name in names) for identity in found}
        people = sorted(found)
        for column, name in reversed(list(enumerate(sort))):
            people.sort(key=lambda identity: keys[identity][column], reverse=name.startswith("-"))
        return [identity for identity in people if _is_beyond(keys[identity], after, sort)] if after else people

    def _body(self, raw: bytes) -> dict[str, Any]:
        if len(raw) > self._body_limit:
            raise BadQueryError(f"The body must have at most {self._body_limit} bytes, not {len(raw)}.")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise BadQueryError("The body must be a JSON object.")
        if body.get("indices") != ["identities"]:
            raise BadQueryError("The sandbox searches the index identities only.")
        beyond = next((name for name in _NOT_SIMULATED if body.get(name)), None)
        if beyond is not None:
            raise BadQueryError(f"The sandbox does not know {beyond}.")
        return body


def _query_text(body: dict[str, Any]) -> str:
    if body.get("queryType", "SAILPOINT") != "SAILPOINT":
        raise BadQueryError("The sandbox understands the queryType SAILPOINT only.")
    query = body.get("query")
    text = query.get("query") if isinstance(query, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise BadQueryError("query.query must be a non-empty string.")
    return text


def _strings(holder: object, name: str) -> list[str]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadQueryError(f"{name} must be an array of strings.")
    return value


def _is_beyond(key: tuple[str, ...], after: list[str], sort: list[str]) -> bool:
    """Whether a sort key comes after the `searchAfter` values."""
    for value, limit, name in zip(key, after, sort, strict=True):
        if value != limit:
            return (value < limit) if name.startswith("-") else (value > limit)
    return False


class _PeopleIndex:
    """Finds people by their fields, as fast among 20,000 as among 10."""

    def __init__(self, directory: Directory) -> None:
        self._people = directory.person_by_id
        self.everybody = frozenset(self._people)
        self.sorted_ids = tuple(sorted(self._people))
        self._by_word: dict[str, defaultdict[str, set[str]]] = {name: defaultdict(set) for name in _TEXT_FIELDS}
        self._by_text: dict[str, defaultdict[str, set[str]]] = {name: defaultdict(set) for name in _TEXT_FIELDS}
        for person in directory.people:
            for name, text_of in _TEXT_FIELDS.items():
                text = text_of(person)
                self._by_text[name][text].add(person.id)
                for word in _words(text):
                    self._by_word[name][word].add(person.id)

    def look_up(self, term: Term) -> set[str]:
        if term is EVERYTHING:
            return set(self.everybody)
        (value,) = term.values
        if term.field == "id":
            return {value} & self.everybody
        exact = term.field.endswith(".exact")
        name = term.field.removesuffix(".exact")
        name = _OTHER_NAMES.get(name, name)
        if name not in _TEXT_FIELDS:
            raise BadQueryError(f"The sandbox can't search by {term.field}.")
        return set(self._by_text[name].get(value, ())) if exact else self._with_phrase(name, _words(value))

    def _with_phrase(self, name: str, phrase: list[str]) -> set[str]:
        if not phrase:
            return set()
        found = set.intersection(*(self._by_word[name].get(word, set()) for word in phrase))
        if len(phrase) == 1:
            return found
        text_of = _TEXT_FIELDS[name]
        return {identity for identity in found if _contains(_words(text_of(self._people[identity])), phrase)}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _contains(words: list[str], phrase: list[str]) -> bool:
    return any(words[start : start + len(phrase)] == phrase for start in range(len(words) - len(phrase) + 1))
