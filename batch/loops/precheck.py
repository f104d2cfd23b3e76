"""The precheck: ask the tenant what is in progress and held, in the fewest calls, and reuse recent answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import PAGE_LIMIT
from batch.loops.approvals import PendingApprovals, together
from batch.loops.call_plan import MOST_FOR_APPROVALS, CallPlan, Question
from batch.loops.late_grants import LateGrants
from batch.status.cheapest_list import ListChoice, calls_left, cheapest, pages_of, searches
from batch.status.in_progress import InProgress, TenantView, open_rows
from batch.status.tenant_facts import PersonFacts
from batch.tenant.holdings import IndexedPerson
from batch.tenant.paging import open_pages
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.status import Query
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.loops.ports import AnswerCache
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
        is_thorough: Whether everything is asked, however many calls it takes.

    Attributes:
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
        is_thorough: bool = False,
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
        self._is_thorough = is_thorough
        self._plan = CallPlan(is_limited=not is_thorough, tell=tell)
        self._late_grants = LateGrants(
            listing, self._page, plan=self._plan, memory=memory, tenant=tenant, since=since, clock=clock
        )
        self.oldest: datetime | None = None
        self.unread = 0
        self.closed_list = ""
        self.closed_approvals = ""
        self.closed_index = ""
        self.indexed: datetime | None = None

    @property
    def calls(self) -> int:
        """Calls made."""
        return self._plan.made

    @property
    def spare(self) -> float:
        """Calls that the command may make for what is optional."""
        return self._plan.spare_in_all

    async def ask(self, scope: PrecheckScope) -> TenantView:
        """Ask the tenant. The view leaves out what it does not show.

        Raises:
            TenantLostError: The tenant can't be reached.
            CredentialsRefusedError: It refuses the client.
        """
        of_items = hashlib.sha256(json.dumps(sorted(scope.items)).encode()).hexdigest()
        held = self._cached(HELD, scope.holders, of_items)
        searched = [person for person in scope.holders if person not in held]
        self._expect(scope, held, len(searched))
        progress = await self._in_progress(scope.people)
        self._plan.say()
        if searched:
            held |= await self._ask_index(searched, scope.items, of_items)
        indexed = {person: _from_json(said) for person, said in held.items()}
        # The search index lags. If it does not show what must be held, the person's own list may show a late grant.
        doubtful = [
            person
            for person, items in scope.revokes.items()
            if (found := indexed.get(person)) is not None
            and found.held is not None
            and not found.held.issuperset(items)
        ]
        granted = await self._late_grants.ask(doubtful, self.indexed) if doubtful and not self.closed_list else {}
        return TenantView(
            in_progress={
                person: [InProgress.from_list(one) for one in entries] for person, entries in progress.items()
            },
            held={person: one.held for person, one in indexed.items() if one.held is not None},
            granted=granted,
            unchecked=frozenset(self._late_grants.unchecked),
            indexed=self.indexed,
            people={person: one.facts for person, one in indexed.items()},
            unrevocable={person: one.unrevocable for person, one in indexed.items() if one.unrevocable},
            crowded={person: one.crowded for person, one in indexed.items() if one.crowded},
        )

    def _expect(self, scope: PrecheckScope, held: Mapping[str, Any], searched: int) -> None:
        """Plan the calls that do not depend on other answers."""
        known = {person: _from_json(said) for person, said in held.items()}
        unlisted = {person for person in scope.holders if person not in known or not known[person].facts.listed}
        doubtful = [
            person
            for person, items in scope.revokes.items()
            if person not in known or not (known[person].held or frozenset()).issuperset(items)
        ]
        # The index's next answers make earlier ones about late grants out of date.
        late = self._late_grants.cached(doubtful, self.indexed) if not searched else {}
        self._plan.people, self._plan.besides = len(scope.people), scope.calls_besides(unlisted)
        self._plan.optional = scope.calls_optional
        self._plan.expect(Question.SEARCH, searches(searched))
        self._plan.expect(Question.LATE_GRANTS, len(doubtful) - len(late))

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

    async def _in_progress(self, people: Sequence[str]) -> dict[str, Any]:
        """What is in progress, in its cached form, for each of the people; empty if the tenant shows nothing of it."""
        progress = self._cached(IN_PROGRESS, people, BOTH_LISTS)
        asked = [person for person in people if person not in progress]
        if not asked:
            return progress
        at = self._clock.now()
        # How long the list is, its first page shows.
        self._plan.expect(Question.LIST, math.inf)
        pending = PendingApprovals(
            self._approvals_page,
            people=asked,
            most=math.inf if self._is_thorough else MOST_FOR_APPROVALS,
            expect=self._expect_approvals,
        )
        self._plan.expect(Question.APPROVALS, await pending.begin())
        if pending.closed:
            progress |= self._cached(IN_PROGRESS, asked, STATUS_LIST)
            asked = [person for person in asked if person not in progress]
        listed, approvals = await together([self._listed(asked), pending.read()])
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

    async def _listed(self, people: Sequence[str]) -> list[StatusRow] | None:
        """Rows of the status list; None if the tenant does not show it."""
        try:
            return await self._rows(people) if people else []
        except RefusedError as error:
            self.closed_list = str(error)
            return None
        finally:
            self._plan.expect(Question.LIST, 0)

    def _expect_approvals(self, calls: float) -> None:
        self._plan.expect(Question.APPROVALS, calls)
        self._plan.say()

    async def _rows(self, people: Sequence[str]) -> list[StatusRow]:
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
                    self._expect_listed(len(people))
                    each = [self._list(Query(executing=True, requested_for=person), {person}) for person in people]
                    return [row for rows in await together(each) for row in rows]
                if way in first:
                    self._expect_listed(calls_left(way, len(people), pages, seen=True))
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

    def _expect_listed(self, calls: float) -> None:
        self._plan.expect(Question.LIST, calls)
        self._plan.say()

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
        if query.executing:
            self._plan.count(Question.LIST)
        async with self._slots:
            return await self._listing.page(query, offset)

    async def _approvals_page(self, query: ApprovalQuery, offset: int) -> Page:
        self._plan.count(Question.APPROVALS)
        async with self._slots:
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

    async def _search(self, people: Sequence[str], items: Collection[Item]) -> Mapping[str, IndexedPerson]:
        self._plan.count(Question.SEARCH)
        async with self._slots:
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
