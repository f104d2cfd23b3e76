"""The lists of people, items and subscriptions (`GET …/identities`, `…/roles`, …), with their filters and pages.

Source: the operations `listIdentities`, `getPublicIdentities`, `listRoles`, `listAccessProfiles`, `listEntitlements`
and `listSubscriptions` of the vendor's documents, which give each list's fields and operators. Names of people are
compared without case, everything else with case.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from batch.api.dialects import DIALECTS, PAGE_LIMIT, ROLES_PAGE_LIMIT, Dialect, ItemType
from batch.sandbox import documents, item_documents
from batch.sandbox.answers import Answer, BadQueryError, page_of, problem
from batch.sandbox.configuration import TriggerSubscription
from batch.sandbox.directory import AccessItem, Person
from batch.sandbox.filter_ast import Term, found_by
from batch.sandbox.filters import read_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from batch.sandbox.directory import Known

_Entry = TypeVar("_Entry", bound=Person | AccessItem | TriggerSubscription)


@dataclass(frozen=True, kw_only=True, slots=True)
class Column(Generic[_Entry]):
    """A field that a list can be filtered and sorted by.

    Attributes:
        read: Returns the field of an entry.
        operators: Operators that filters accept for it.
        ignores_case: Whether values are compared without case.
        misses_plus: Whether values with a plus sign are never found. Source: the vendor's documents.
        changes: Whether it may change, so that no index can be kept.
    """

    read: Callable[[_Entry], str]
    operators: frozenset[str]
    ignores_case: bool = False
    misses_plus: bool = False
    changes: bool = False

    def key(self, value: str) -> str:
        """A value as it is compared."""
        return value.casefold() if self.ignores_case else value


class ListEndpoint(Generic[_Entry]):
    """One list.

    Args:
        entries: All entries, in order.
        columns: Its fields; `id` must be one.
        as_json: Writes an entry as an API version has it.
        now: An entry as it is now: its rules may have changed.
        page_limit: Most entries of one page.
        unlisted: Makes an entry for an id that exists without being listed; None if the id does not exist.
    """

    def __init__(
        self,
        entries: Sequence[_Entry],
        columns: Mapping[str, Column[_Entry]],
        as_json: Callable[[_Entry, Dialect], object],
        *,
        now: Callable[[_Entry], _Entry] = lambda entry: entry,
        page_limit: int = PAGE_LIMIT,
        unlisted: Callable[[str], _Entry | None] = lambda _id: None,
    ) -> None:
        self._entries = entries
        self._columns = columns
        self._as_json = as_json
        self._now = now
        self._page_limit = page_limit
        self._unlisted = unlisted
        self._by_id = {entry.id: entry for entry in entries}
        self._position = {entry.id: position for position, entry in enumerate(entries)}
        self._everything = frozenset(self._position)
        self._indexes = {name: self._index(column) for name, column in columns.items() if not column.changes}

    def answer(
        self, query: Mapping[str, str], *, filter_limit: int, tracking_id: str, dialect: Dialect = DIALECTS["v1"]
    ) -> Answer:
        """One page.

        Args:
            query: The query parameters: `filters`, `sorters`, `limit`, `offset`, `count`.
            filter_limit: Most characters of a filter.
            tracking_id: For a 400.
            dialect: The API version that was asked.

        Returns:
            200 with a JSON array, and `X-Total-Count` if `count=true`; or 400 with the cause.
        """
        try:
            page = page_of(query, limit=self._page_limit)
            entries = self._found(query["filters"], filter_limit) if query.get("filters") else self._entries
            entries = self._sorted(entries, query.get("sorters", ""))
            return page.cut(entries, lambda entry: self._as_json(self._now(entry), dialect))
        except BadQueryError as bad:
            return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=tracking_id)

    def _found(self, filters: str, limit: int) -> Sequence[_Entry]:
        ids = found_by(read_filter(filters, limit=limit), self._look_up, self._everything)
        listed = sorted(ids & self._everything, key=self._position.__getitem__)
        unlisted = [self._unlisted(entry_id) for entry_id in sorted(ids - self._everything)]
        return [*(self._by_id[entry_id] for entry_id in listed), *(entry for entry in unlisted if entry is not None)]

    def _look_up(self, term: Term) -> set[str]:
        column = self._columns.get(term.field)
        if column is None or term.operator not in column.operators:
            raise BadQueryError(f"filters does not know {term.field} {term.operator}.")
        index = self._index(column) if column.changes else self._indexes[term.field]
        values = [column.key(value) for value in term.values if not (column.misses_plus and "+" in value)]
        if term.operator == "sw":
            keys = [key for key in index if any(key.startswith(value) for value in values)]
        else:
            keys = [value for value in values if value in index]
        unlisted = (value for value in values if term.field == "id" and self._unlisted(value) is not None)
        return set(unlisted).union(*(index[key] for key in keys))

    def _index(self, column: Column[_Entry]) -> defaultdict[str, set[str]]:
        index: defaultdict[str, set[str]] = defaultdict(set)
        for entry in self._entries:
            index[column.key(column.read(self._now(entry) if column.changes else entry))].add(entry.id)
        return index

    def _sorted(self, entries: Sequence[_Entry], sorters: str) -> Sequence[_Entry]:
        for sorter in reversed(sorters.split(",") if sorters else []):
            name = sorter.strip().removeprefix("-")
            if name not in self._columns:
                raise BadQueryError(f"sorters does not know {name!r}.")
            entries = sorted(entries, key=self._columns[name].read, reverse=sorter.strip().startswith("-"))
        return entries


def people_endpoint(known: Known, *, public: bool) -> ListEndpoint[Person]:
    """The list of people; `public-identities` if `public`, which can't be filtered by `name`."""
    eq_sw = frozenset({"eq", "sw"})
    columns: dict[str, Column[Person]] = {
        "id": Column(read=lambda person: person.id, operators=frozenset({"eq", "in"})),
        "name": Column(
            read=lambda person: person.display_name, operators=frozenset() if public else eq_sw, ignores_case=True
        ),
        "alias": Column(read=lambda person: person.alias, operators=eq_sw, ignores_case=True),
        "email": Column(read=lambda person: person.email, operators=eq_sw, ignores_case=True),
        "firstname": Column(read=lambda person: person.first_name, operators=eq_sw, ignores_case=True),
        "lastname": Column(read=lambda person: person.last_name, operators=eq_sw, ignores_case=True),
    }
    write = documents.public_identity if public else documents.identity
    return ListEndpoint(
        known.directory.people,
        columns,
        lambda person, _dialect: write(person, known),
        now=lambda person: known.described(person.id),
        unlisted=known.unlisted,
    )


def roles_endpoint(known: Known) -> ListEndpoint[AccessItem]:
    """The list of roles."""
    return _items_endpoint(known, ItemType.ROLE, _columns(), item_documents.role, page_limit=ROLES_PAGE_LIMIT)


def access_profiles_endpoint(known: Known) -> ListEndpoint[AccessItem]:
    """The list of access profiles."""
    columns = _columns(misses_plus=True) | {"source.id": _SOURCE_ID}
    return _items_endpoint(known, ItemType.ACCESS_PROFILE, columns, item_documents.access_profile)


def entitlements_endpoint(known: Known) -> ListEndpoint[AccessItem]:
    """The list of entitlements."""
    several = frozenset({"eq", "in", "sw"})
    columns: dict[str, Column[AccessItem]] = _columns(misses_plus=True) | {
        "name": Column(read=lambda item: item.name, operators=several, misses_plus=True),
        "value": Column(read=lambda item: item.value, operators=several),
        "attribute": Column(read=lambda item: item.attribute, operators=frozenset({"eq", "in"})),
        "source.id": _SOURCE_ID,
    }
    return _items_endpoint(known, ItemType.ENTITLEMENT, columns, item_documents.entitlement)


def _items_endpoint(
    known: Known,
    item_type: ItemType,
    columns: Mapping[str, Column[AccessItem]],
    write: Callable[[AccessItem, Known, Dialect], object],
    *,
    page_limit: int = PAGE_LIMIT,
) -> ListEndpoint[AccessItem]:
    return ListEndpoint(
        known.directory.of_type(item_type),
        columns,
        lambda item, dialect: write(item, known, dialect),
        now=lambda item: known.item(item.id, item_type),
        page_limit=page_limit,
        unlisted=known.unlisted_of(item_type),
    )


def trigger_subscriptions_endpoint(subscriptions: Sequence[TriggerSubscription]) -> ListEndpoint[TriggerSubscription]:
    """The list of subscriptions to event triggers."""
    eq = frozenset({"eq"})
    columns: dict[str, Column[TriggerSubscription]] = {
        "id": Column(read=lambda subscription: subscription.id, operators=eq),
        "triggerId": Column(read=lambda subscription: subscription.trigger_id, operators=eq),
        "triggerName": Column(read=lambda subscription: subscription.trigger_name, operators=frozenset()),
        "type": Column(read=lambda subscription: subscription.type, operators=eq),
    }
    return ListEndpoint(subscriptions, columns, lambda subscription, _dialect: subscription.as_json())


_SOURCE_ID: Final[Column[AccessItem]] = Column(
    read=lambda item: "" if item.source is None else item.source.id, operators=frozenset({"eq", "in"})
)


def _columns(*, misses_plus: bool = False) -> dict[str, Column[AccessItem]]:
    """The fields of every type of item."""
    return {
        "id": Column(read=lambda item: item.id, operators=frozenset({"eq", "in"})),
        "name": Column(read=lambda item: item.name, operators=frozenset({"eq", "sw"}), misses_plus=misses_plus),
        "owner.id": Column(read=lambda item: item.owner.id, operators=frozenset({"eq", "in"})),
        "requestable": Column(
            read=lambda item: str(item.requestable).lower(), operators=frozenset({"eq"}), changes=True
        ),
    }
