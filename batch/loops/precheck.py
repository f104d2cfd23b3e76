"""The precheck: ask the tenant what is in progress and held, in the fewest calls, and reuse recent answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.answers.events import PrecheckCost
from batch.api.dialects import INDEX_LAG, PAGE_LIMIT
from batch.loops.approvals import PendingApprovals, together
from batch.status.cheapest_list import ListChoice, calls_left, cheapest, pages_of, searches
from batch.status.in_progress import InProgress, TenantView, granted_since, open_rows
from batch.status.tenant_facts import PersonFacts
from batch.tenant.holdings import IndexedPerson
from batch.tenant.paging import ListCutError, open_pages, pages
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.status import ListingForbiddenError, Query
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.ledger.cache import Cached
    from batch.loops.precheck_scope import PrecheckScope
    from batch.model import Clock
    from batch.status.in_progress import Item
    from batch.tenant.approvals import ApprovalQuery, Approvals
    from batch.tenant.holdings import PeopleIndex
    from batch.tenant.status import Listing, Page

IN_PROGRESS: Final = "in progress"
"""Kind of cached answer: what is in progress for an identity."""

BOTH_LISTS: Final = "the status list and pending approvals"
STATUS_LIST: Final = "the status list"
"""The lists behind a cached answer about what is in progress."""

HELD: Final = "access held and person"
"""Kind of cached answer: what the search index says of an identity, and which of the wanted items it holds."""


class AnswerCache(Protocol):
    """Caches a tenant's answers: the ledger's cache, or a fake; see ledger.cache."""

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        """The answers for the keys that were given at `since` or later."""

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        """Cache answers."""


class Precheck:
    """One precheck of one tenant.

    Args:
        listing: Its status list.
        approvals: Its list of pending approvals.
        holdings: Its search index.
        administration: Whether this API version has the administration list.
        sees_all: Whether the token's user is known to see everybody's requests. For other users the list of everybody
            silently shows only their own.
        myself: Id of the token's user, who may always list requests for that user; empty if unknown.
        memory: Caches the answers.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.
        width: Most calls at a time.
        tell: Takes the cost, before most of the calls are made.

    Attributes:
        calls: Calls made.
        oldest: Time of the oldest answer that the result uses; None if nothing was asked.
        unread: Rows that do not name their identity.
        closed_list: Why the tenant does not show what is in progress; empty if it does.
        closed_approvals: Why it does not show what waits for an approver; empty if it does.
        closed_index: Why it does not show what is held; empty if it does.
        indexed: No index answer that counts is older; None without one.
    """

    def __init__(
        self,
        *,
        listing: Listing,
        approvals: Approvals,
        holdings: PeopleIndex,
        administration: bool,
        sees_all: bool,
        myself: str,
        memory: AnswerCache,
        tenant: str,
        since: datetime,
        clock: Clock,
        width: int,
        tell: Tell,
    ) -> None:
        self._listing = listing
        self._approvals = approvals
        self._holdings = holdings
        self._open_ways = {
            ListChoice.EACH,
            ListChoice.EVERYBODY,
            *([ListChoice.ADMINISTRATION] if administration else []),
        }
        self._sees_all = sees_all
        self._myself = myself
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self._slots = asyncio.Semaphore(width)
        self._tell = tell
        self._people = 0
        self.calls = 0
        self.oldest: datetime | None = None
        self.unread = 0
        self.closed_list = ""
        self.closed_approvals = ""
        self.closed_index = ""
        self.indexed: datetime | None = None

    async def ask(self, scope: PrecheckScope) -> TenantView:
        """Ask the tenant. The view leaves out what it does not show.

        Raises:
            TenantLostError: The tenant can't be reached.
            CredentialsRefusedError: It refuses the client.
        """
        self._people = len(scope.people)
        of_items = hashlib.sha256(json.dumps(sorted(scope.items)).encode()).hexdigest()
        held = self._cached(HELD, scope.holders, of_items)
        searched = [person for person in scope.holders if person not in held]
        besides = searches(len(searched)) + scope.calls_besides
        progress = await self._in_progress(scope.people, calls_besides=besides)
        if searched:
            held |= await self._ask_index(searched, scope.items, of_items)
        indexed = {person: _from_json(said) for person, said in held.items()}
        # The search index lags. If it does not show what must be held, the person's own list may show a late grant.
        unheld = [
            person
            for person, items in scope.revokes.items()
            if (found := indexed.get(person)) is not None
            and found.held is not None
            and not found.held.issuperset(items)
        ]
        doubtful = [*dict.fromkeys(unheld)]
        return TenantView(
            in_progress={
                person: [InProgress.from_list(one) for one in entries] for person, entries in progress.items()
            },
            held={person: one.held for person, one in indexed.items() if one.held is not None},
            granted=await self._ask_granted(doubtful) if doubtful else {},
            indexed=self.indexed,
            people={person: one.facts for person, one in indexed.items()},
            unrevocable={person: one.unrevocable for person, one in indexed.items() if one.unrevocable},
            crowded={person: one.crowded for person, one in indexed.items() if one.crowded},
        )

    def _cached(self, kind: str, people: Sequence[str], of: str = "") -> dict[str, Any]:
        """Cached answers that are recent enough, by person."""
        found = {
            person: cached
            for person, cached in self._memory.get(self._tenant, kind, people, since=self._since).items()
            if cached.value["of"] == of
        }
        for cached in found.values():
            self._rests_on(cached.at)
        if kind == HELD and found:
            self.indexed = min(cached.at for cached in found.values())
        return {person: cached.value["said"] for person, cached in found.items()}

    def _cache(self, kind: str, answers: Mapping[str, Any], at: datetime, of: str = "") -> None:
        values = {person: {"of": of, "said": one} for person, one in answers.items()}
        self._memory.put(self._tenant, kind, values, at=at)
        self._rests_on(at)

    def _rests_on(self, at: datetime) -> None:
        self.oldest = min(self.oldest or at, at)

    async def _in_progress(self, people: Sequence[str], *, calls_besides: float) -> dict[str, Any]:
        """What is in progress, in its cached form, for each of the people; empty if the tenant shows nothing of it."""
        progress = self._cached(IN_PROGRESS, people, BOTH_LISTS)
        asked = [person for person in people if person not in progress]
        if not asked:
            return progress
        at = self._clock.now()
        pending = PendingApprovals(self._approvals_page, people=asked)
        calls_besides += await pending.begin()
        if pending.closed:
            progress |= self._cached(IN_PROGRESS, asked, STATUS_LIST)
            asked = [person for person in asked if person not in progress]
        listed, approvals = await together([self._listed(asked, calls_besides), pending.read()])
        self.closed_approvals, self.unread = pending.closed, self.unread + pending.unread
        if listed is None and approvals is None:
            if pending.lost:
                # Then nothing keeps us from sending twice.
                raise pending.lost
            return progress
        found: dict[str, list[Any]] = {person: [] for person in asked}
        spelled = {key_of(person): person for person in asked}
        for one in dict.fromkeys(open_rows(listed or (), approvals or ())):
            found[spelled[key_of(one.identity)]].append(one.as_list())
        if listed is None:
            # That nothing waits for an approver does not show that nothing is in progress.
            found = {person: rows for person, rows in found.items() if rows}
        else:
            self._cache(IN_PROGRESS, found, at, STATUS_LIST if approvals is None else BOTH_LISTS)
        return {**progress, **found}

    async def _listed(self, people: Sequence[str], calls_besides: float) -> list[StatusRow] | None:
        """Rows of the status list; None if the tenant does not show it."""
        try:
            return await self._rows(people, calls_besides) if people else []
        except RefusedError as error:
            self.closed_list = str(error)
            return None

    async def _rows(self, people: Sequence[str], calls_besides: float) -> list[StatusRow]:
        """Rows of the people, from the allowed list that takes the fewest calls.

        Raises:
            RefusedError: The tenant allows no list.
        """
        first: dict[ListChoice, Page] = {}
        pages: float | None = None
        refusal = ""
        while self._open_ways:
            way = cheapest(len(people), pages, seen=first, allowed=self._open_ways)
            query = Query(
                executing=True, everybody=way is ListChoice.EVERYBODY, administration=way is ListChoice.ADMINISTRATION
            )
            try:
                if way is ListChoice.EVERYBODY and not self._sees_all:
                    await self._look_at_another(people)
                if way is ListChoice.EACH:
                    self._tell_cost(len(people) + calls_besides)
                    each = [self._list(Query(executing=True, requested_for=person), {person}) for person in people]
                    return [row for rows in await together(each) for row in rows]
                if way in first:
                    self._tell_cost(calls_left(way, len(people), pages, seen=True) + calls_besides)
                    return await self._list(query, frozenset(people), first[way])
                first[way] = page = await self._page(query, 0)
                pages = pages_of(page.total, page.read, more=page.more)
            except RefusedError as error:
                refusal = refusal or str(error)
                # A user who may not list one other person may list nobody else.
                self._open_ways -= (
                    {way}
                    if self._sees_all or way is ListChoice.ADMINISTRATION
                    else {ListChoice.EACH, ListChoice.EVERYBODY}
                )
        raise RefusedError(refusal)

    def _tell_cost(self, calls: float) -> None:
        # A list of unknown length is not read.
        if math.isfinite(calls):
            self._tell(PrecheckCost(calls=calls, people=self._people))

    async def _look_at_another(self, people: Sequence[str]) -> None:
        """Make sure that the token's user sees more than their own requests.

        Raises:
            ListingForbiddenError: They do not.
        """
        another = next(person for person in people if key_of(person) != key_of(self._myself))
        await self._page(Query(executing=True, requested_for=another), 0)
        self._sees_all = True

    async def _list(self, query: Query, people: Collection[str], first: Page | None = None) -> list[StatusRow]:
        """A list's rows of the people."""
        rows: list[StatusRow] = []
        keys = frozenset(map(key_of, people))
        async for page in open_pages(partial(self._page, query), first or await self._page(query, 0)):
            rows += [row for row in page.rows if key_of(row.identity) in keys]
            self.unread += page.read - len(page.rows)
        return rows

    async def _page(self, query: Query, offset: int) -> Page:
        async with self._slots:
            self.calls += 1
            return await self._listing.page(query, offset)

    async def _approvals_page(self, query: ApprovalQuery, offset: int) -> Page:
        async with self._slots:
            self.calls += 1
            return await self._approvals.page(query, offset)

    async def _ask_index(self, people: Sequence[str], items: Collection[Item], of_items: str) -> dict[str, Any]:
        """What the index says, by `_as_json`; empty if the tenant does not show it."""
        at = self._clock.now()
        batches = [people[start : start + PAGE_LIMIT] for start in range(0, len(people), PAGE_LIMIT)]
        try:
            answers = await together([self._search(some, items) for some in batches])
        except ForbiddenError as error:
            self.closed_index = str(error)
            return {}
        found = {person: one for answer in answers for person, one in answer.items()}
        answers_by_person = {person: _as_json(found.get(person)) for person in people}
        self._cache(HELD, answers_by_person, at, of_items)
        self.indexed = min(self.indexed or at, at)
        return dict(answers_by_person)

    async def _ask_granted(self, people: Sequence[str]) -> dict[str, frozenset[str]]:
        """The items that people may have got since the index was last brought up to date, by in_progress.

        Those whose list can't be read in full are left out. The cache has none: they must be newer than the index's.
        """
        if self.closed_list:
            return {}
        self._tell_cost(len(people))
        answers = await together([self._granted(person) for person in people])
        return {person: items for person, items in zip(people, answers, strict=True) if items is not None}

    async def _granted(self, person: str) -> frozenset[str] | None:
        read_page = partial(self._page, Query(requested_for=person))
        try:
            read = [page async for page in pages(read_page, subject="status list")]
        except (ListingForbiddenError, ListCutError):
            return None
        rows = [row for page in read for row in page.rows]
        if len(rows) < sum(page.read for page in read):
            # A row that we do not understand may be of any item.
            return None
        indexed = self.indexed or self._clock.now()
        offset = await self._listing.clock_offset()
        return granted_since(rows, indexed + min(offset, timedelta()) - INDEX_LAG)

    async def _search(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, IndexedPerson]:
        async with self._slots:
            self.calls += 1
            return await self._holdings.people(people, items)


def _as_json(person: IndexedPerson | None) -> list[Any] | None:
    """What the index says of a person, to be cached; None if it does not have them."""
    if person is None:
        return None
    held = None if person.held is None else [[*item, item in person.unrevocable] for item in sorted(person.held)]
    return [held, person.facts.as_list(), sorted(person.crowded)]


def _from_json(said: Sequence[Any] | None) -> IndexedPerson:
    """The reverse of `_as_json`."""
    if said is None:
        return IndexedPerson(held=None, facts=PersonFacts(listed=False))
    held, facts, *crowded = said
    return IndexedPerson(
        held=None if held is None else frozenset((kind, name) for kind, name, _ in held),
        unrevocable=frozenset((kind, name) for kind, name, unrevocable in held or () if unrevocable),
        facts=PersonFacts.from_list(facts),
        # Answers that an older version has cached lack it.
        crowded=frozenset(crowded[0] if crowded else ()),
    )
