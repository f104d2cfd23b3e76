"""Which accounts changes mean: asked only for people who have several accounts on the item's source."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import PAGE_LIMIT, ItemType
from batch.loops.approvals import together
from batch.names.accounts import NO_CHOICE, Account, ItemAccounts, SourceAccounts, choose, needs_assignment
from batch.names.meaning import NameMeaning, NameOutcome
from batch.tenant.accounts import ITEMS_AT_ONCE
from batch.tenant.reading import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.loops.precheck import AnswerCache
    from batch.model import Clock
    from batch.names.accounts import Assignment, Wanted
    from batch.status.in_progress import Item
    from batch.tenant.accounts import Choices
    from batch.tenant.holdings import PeopleIndex

ACCOUNTS: Final = "accounts for an item"
"""Kind of cached answer: a person's accounts for an item, by JSON of the person, the item's type and id."""

SOURCE: Final = "source of an item"
"""Kind of cached answer: the key of an item's source, by JSON of its type and id."""

MOST_ASSIGNMENTS: Final = 200
"""Most pairs of a person and a role that are asked for the role's assignments, which takes a call each."""

_UNKNOWN: Final = NameMeaning(
    outcome=NameOutcome.UNKNOWN,
    problem="there are several accounts, and the tenant does not tell which: clear the column account",
)
_TOO_MANY: Final = f"only {MOST_ASSIGNMENTS} such roles are looked up at a time"
_OTHER_VERSION: Final = NameMeaning(
    outcome=NameOutcome.UNKNOWN,
    problem="there are several accounts on the item's source, and only --api v1 can choose one",
)


class AccountLookup:
    """The accounts that changes mean, in one tenant.

    Args:
        index: Its search index.
        choices: Says which accounts there are.
        memory: Caches the answers.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.
        width: Most calls at a time.
        has_choices: Whether this API version says which accounts there are.
        nested: Whether it lets a request choose one.

    Attributes:
        calls: Calls to the index.
        closed: Why the tenant does not tell something; empty if it does.
    """

    def __init__(
        self,
        *,
        index: PeopleIndex,
        choices: Choices,
        memory: AnswerCache,
        tenant: str,
        since: datetime,
        clock: Clock,
        width: int,
        has_choices: bool,
        nested: bool,
    ) -> None:
        self._index = index
        self._choices = choices
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self._slots = asyncio.Semaphore(width)
        self._has_choices = has_choices
        self._nested = nested
        self.calls = 0
        self.closed = ""

    async def meanings(
        self, wanted: Iterable[Wanted], crowded: Mapping[str, Collection[str]] | None = None
    ) -> dict[Wanted, NameMeaning]:
        """The account that each change means, NO_CHOICE if there is none to choose.

        Args:
            wanted: The changes.
            crowded: The sources on which people have several accounts, by TenantView; None to ask.

        Raises:
            TenantLostError: The tenant can't be reached.
        """
        every = list(dict.fromkeys(wanted))
        try:
            if crowded is None:
                crowded = await self._crowded({one.identity for one in every})
            some = [one for one in every if crowded.get(one.identity)]
            sources = await self._sources({(one.item_type, one.item) for one in some})
            concerned = [one for one in some if _is_concerned(one, sources, crowded[one.identity])]
            if not self._has_choices:
                # Without a choice in the row, such a request goes as it always has.
                return dict.fromkeys(every, NO_CHOICE) | {one: _OTHER_VERSION for one in concerned if one.account}
            offered = await self._offered({(one.identity, one.item_type, one.item) for one in concerned})
        except RefusedError as error:
            self.closed = str(error)
            return dict.fromkeys(every, NO_CHOICE)
        assignments = await self._assignments(
            one for one in concerned if needs_assignment(one) and (one.identity, one.item_type, one.item) in offered
        )
        found = dict.fromkeys(every, NO_CHOICE)
        for one in concerned:
            accounts = offered.get((one.identity, one.item_type, one.item))
            if accounts is not None:
                known = assignments.get((one.identity, one.item), "")
                found[one] = choose(one, accounts, nested=self._nested, assignments=known)
            elif one.account:
                found[one] = _UNKNOWN
        return found

    async def _crowded(self, people: Collection[str]) -> dict[str, Collection[str]]:
        names = sorted(people)
        batches = [names[start : start + PAGE_LIMIT] for start in range(0, len(names), PAGE_LIMIT)]
        answers = await together([self._search(some) for some in batches])
        return {person: sources for answer in answers for person, sources in answer.items()}

    async def _search(self, people: Sequence[str]) -> dict[str, Collection[str]]:
        async with self._slots:
            self.calls += 1
            found = await self._index.people(people, ())
        return {name: person.crowded for name, person in found.items() if person.crowded}

    async def _sources(self, items: Collection[Item]) -> dict[Item, str]:
        """The keys of the known sources of each item: a role may have several."""
        wanted = {_key(*item): item for item in items if item[0] != ItemType.ROLE}
        kept = self._memory.get(self._tenant, SOURCE, wanted, since=self._since)
        found = {wanted[key]: str(cached.value) for key, cached in kept.items()}
        for item_type in (ItemType.ACCESS_PROFILE, ItemType.ENTITLEMENT):
            ids = sorted(id_ for kind, id_ in wanted.values() if kind == item_type and (kind, id_) not in found)
            if ids:
                at = self._clock.now()
                new = {
                    (item_type.value, id_): key for id_, key in (await self._choices.sources(item_type, ids)).items()
                }
                self._memory.put(self._tenant, SOURCE, {_key(*item): key for item, key in new.items()}, at=at)
                found |= new
        return found

    async def _offered(self, asked: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], ItemAccounts]:
        """A person's accounts for an item, by the ids of both and the item's type."""
        wanted = {_key(*one): one for one in asked}
        kept = self._memory.get(self._tenant, ACCOUNTS, wanted, since=self._since)
        found = {wanted[key]: _from_json(cached.value) for key, cached in kept.items()}
        of_person: dict[str, list[Item]] = {}
        for person, *item in sorted(set(asked) - found.keys()):
            of_person.setdefault(person, []).append((item[0], item[1]))
        parts = [
            self._ask(person, items[start : start + ITEMS_AT_ONCE])
            for person, items in of_person.items()
            for start in range(0, len(items), ITEMS_AT_ONCE)
        ]
        new = {key: accounts for part in await together(parts) for key, accounts in part.items()}
        at = self._clock.now()
        self._memory.put(self._tenant, ACCOUNTS, {_key(*key): _as_json(one) for key, one in new.items()}, at=at)
        return found | new

    async def _assignments(self, wanted: Iterable[Wanted]) -> dict[tuple[str, str], Sequence[Assignment] | str]:
        """The assignments of roles to people, or why they are not known, by the ids of both."""
        pairs = sorted({(one.identity, one.item) for one in wanted})
        found: dict[tuple[str, str], Sequence[Assignment] | str] = dict.fromkeys(pairs, _TOO_MANY)
        asked = pairs[:MOST_ASSIGNMENTS]
        answers = await together([self._ask_assignments(*pair) for pair in asked])
        return found | dict(zip(asked, answers, strict=True))

    async def _ask_assignments(self, person: str, role: str) -> Sequence[Assignment] | str:
        async with self._slots:
            try:
                found = await self._choices.assignments(person, role)
            except RefusedError as error:
                return str(error)
        return "its answer can't be read" if found is None else found

    async def _ask(self, person: str, items: Sequence[Item]) -> dict[tuple[str, str, str], ItemAccounts]:
        async with self._slots:
            found = await self._choices.of(person, items)
        return {(person, *item): accounts for item, accounts in found.items()}


def _is_concerned(wanted: Wanted, sources: Mapping[Item, str], crowded: Collection[str]) -> bool:
    """Whether there may be several accounts to choose from."""
    source = sources.get((wanted.item_type, wanted.item))
    return source in crowded if source is not None else bool(wanted.account)


def _key(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=False)


def _as_json(accounts: ItemAccounts) -> list[Any]:
    sources = [[one.id, one.name, [[a.native, a.name, a.id, a.uuid] for a in one.accounts]] for one in accounts.sources]
    return [accounts.blocked, sources, accounts.needless]


def _from_json(value: Any) -> ItemAccounts:
    # Answers that an older version has cached end earlier.
    blocked, sources, *needless = value
    return ItemAccounts(
        blocked=blocked,
        needless=any(needless),
        sources=tuple(
            SourceAccounts(
                id=id_,
                name=name,
                accounts=tuple(Account(native=one[0], name=one[1], id=one[2], uuid=one[3]) for one in accounts),
            )
            for id_, name, accounts in sources
        ),
    )
