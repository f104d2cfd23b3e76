"""A tenant without HTTP that counts its calls: lists of unfinished requests, pending approvals, and a search index."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from batch.ledger.cache import Cached
from batch.status.tenant_facts import KNOWN, PersonFacts
from batch.tenant.holdings import IndexedPerson
from batch.tenant.reading import ForbiddenError
from batch.tenant.status import ListingForbiddenError, Page, Query
from tests.builders import status_row

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from batch.api.status_row import StatusRow
    from batch.status.in_progress import Item
    from batch.tenant.approvals import ApprovalQuery

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def row(identity: str, item: str, **fields: Any) -> StatusRow:
    """An unfinished row of the status list."""
    return status_row(identity, item, **{"created": NOW, "requester": "Paula", "item_name": item} | fields)


@dataclass
class FakeTenant:
    """Answers as StatusList and SearchIndex do.

    Attributes:
        rows: Unfinished rows, oldest first.
        finished: All other rows.
        access: The items that each identity holds; the index does not know other identities.
        unrevocable: Those that no request can revoke.
        facts: What the index says of identities, if they are not merely KNOWN.
        refuses: The calls that are not allowed: `each`, `everybody`, `administration`, `history`, `search`.
        counts: Whether it gives the length of its lists.
        meanwhile: Called before each page.
        calls: How often each call was made.
    """

    rows: list[StatusRow] = field(default_factory=list)
    finished: list[StatusRow] = field(default_factory=list)
    access: dict[str, set[Item]] = field(default_factory=dict)
    unrevocable: dict[str, set[Item]] = field(default_factory=dict)
    facts: dict[str, PersonFacts] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    counts: bool = True
    meanwhile: Callable[[], object] = lambda: None
    calls: Counter[str] = field(default_factory=Counter)

    async def page(self, query: Query, offset: int) -> Page:
        name = "administration" if query.administration else "everybody" if query.everybody else "each"
        if not query.executing:
            assert query.requested_for
            name = "history"
        self._ask(name, ListingForbiddenError)
        self.meanwhile()
        every = self.rows if query.executing else [*self.finished, *self.rows]
        found = [one for one in every if query.requested_for in {"", one.identity}]
        if offset and offset >= len(found):
            return Page(rows=(), read=0, total=None, more=False)
        rows = tuple(found[offset : offset + 250])
        more = offset + len(rows) < len(found)
        return Page(rows=rows, read=len(rows), total=len(found) if self.counts else None, more=more)

    async def clock_offset(self) -> timedelta:
        return timedelta()

    async def of(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, frozenset[Item]]:
        assert 1 <= len(people) <= 250
        self._ask("search", ForbiddenError)
        return {one: frozenset(self.access[one] & set(items)) for one in people if one in self.access}

    async def people(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, IndexedPerson]:
        return {
            one: IndexedPerson(
                held=held, unrevocable=held & self.unrevocable.get(one, set()), facts=self.facts.get(one, KNOWN)
            )
            for one, held in (await self.of(people, items)).items()
        }

    def _ask(self, name: str, error: type[ForbiddenError]) -> None:
        self.calls[name] += 1
        if name in self.refuses:
            raise error(f"{name} is not allowed")


def approval(identity: str, item: str, **fields: Any) -> StatusRow:
    """A pending approval, as a row."""
    return row(identity, item, **{"access_request": "", "activity": "", "who": "Ann", "since": NOW} | fields)


@dataclass
class FakeApprovals:
    """Answers as ApprovalList does.

    Attributes:
        rows: Pending approvals, oldest first.
        refuses: Error of each kind of call that is refused: `requests`, `people`, `all`.
        counts: Whether it gives the length of its lists.
        calls: How often each kind of call was made.
    """

    rows: list[StatusRow] = field(default_factory=list)
    refuses: Mapping[str, type[Exception]] = field(default_factory=dict)
    counts: bool = True
    calls: Counter[str] = field(default_factory=Counter)

    async def page(self, query: ApprovalQuery, offset: int) -> Page:
        name = "requests" if query.access_requests else "people" if query.people else "all"
        assert len(query.people) + len(query.access_requests) <= 50
        self.calls[name] += 1
        if error := self.refuses.get(name):
            raise error(f"{name}: no")
        people, requests = set(query.people), set(query.access_requests)
        found = [one for one in self.rows if name == "all" or one.identity in people or one.access_request in requests]
        rows = tuple(found[offset : offset + 250])
        more = bool(rows) and (len(rows) == 250 or offset + len(rows) < len(found))
        return Page(rows=rows, read=len(rows), total=len(found) if self.counts else None, more=more)


class FakeMemory:
    """Keeps answers, as a ledger's cache does."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], Cached] = {}

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        found = {key: self._said.get((tenant, kind, key)) for key in keys}
        return {key: cached for key, cached in found.items() if cached is not None and cached.at >= since}

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        self._said |= {(tenant, kind, key): Cached(value=value, at=at) for key, value in values.items()}
