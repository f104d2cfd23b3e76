"""The preflight: ask the tenant what decides the fate of the wanted changes, and reuse recent answers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batch.api.dialects import ItemType
from batch.status.tenant_facts import ItemFacts, PersonFacts
from batch.tenant.facts import IDS_PER_CALL
from batch.tenant.reading import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from batch.loops.precheck import AnswerCache
    from batch.model import Clock
    from batch.status.in_progress import Item
    from batch.tenant.facts import Facts

PEOPLE: Final = "PEOPLE"
"""In place of a type of item: identities."""

MOST_PEOPLE: Final = 980
"""Most people whom the search index does not show that are looked for in the list of identities."""

_Fact = TypeVar("_Fact", ItemFacts, PersonFacts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The tenant's answers.

    Attributes:
        items: By type and id; an item without an answer is missing.
        people: By id.
    """

    items: Mapping[Item, ItemFacts] = field(default_factory=lambda: MappingProxyType({}))
    people: Mapping[str, PersonFacts] = field(default_factory=lambda: MappingProxyType({}))


class Preflight:
    """One preflight of one tenant.

    Args:
        facts: Its lists.
        memory: Caches the answers, but for those that something is missing: it may be created at any moment.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.

    Attributes:
        oldest: Time of the oldest answer that the result uses; None if nothing was asked.
        closed: The types of items, or PEOPLE, whose list the tenant does not show, and why.
    """

    def __init__(self, *, facts: Facts, memory: AnswerCache, tenant: str, since: datetime, clock: Clock) -> None:
        self._facts = facts
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self.oldest: datetime | None = None
        self.closed: dict[str, str] = {}

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._facts.calls

    def calls_needed(self, items: Mapping[str, Sequence[str]]) -> int:
        """How many calls it takes to ask about items, by type."""
        return sum(
            calls_for(len(ids) - len(self._memory.get(self._tenant, _kind(item_type), ids, since=self._since)))
            for item_type, ids in items.items()
        )

    async def ask(self, items: Mapping[str, Sequence[str]], people: Sequence[str]) -> Asked:
        """Ask the tenant.

        Args:
            items: Ids of items by type.
            people: Ids of people whom the search index does not show; beyond MOST_PEOPLE, they stay unknown.

        Raises:
            TenantLostError: The tenant can't be reached.
            CredentialsRefusedError: It refuses the client.
        """
        found: dict[Item, ItemFacts] = {}
        for item_type, ids in items.items():
            kind = ItemType(item_type)

            async def ask_items(some: Sequence[str], kind: ItemType = kind) -> Mapping[str, ItemFacts]:
                return await self._facts.items(kind, some)

            said = await self._asked(item_type, ids, ask_items, ItemFacts.from_list)
            found |= {(item_type, one): facts for one, facts in said.items()}
        wanted = people[:MOST_PEOPLE]
        return Asked(
            items=found,
            people=await self._asked(PEOPLE, wanted, self._facts.people, PersonFacts.from_list) if wanted else {},
        )

    async def _asked(
        self,
        subject: str,
        ids: Sequence[str],
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, _Fact]]],
        read: Callable[[Sequence[Any]], _Fact],
    ) -> dict[str, _Fact]:
        cached = self._memory.get(self._tenant, _kind(subject), ids, since=self._since)
        for one in cached.values():
            self._rests_on(one.at)
        found = {name: read(one.value) for name, one in cached.items()}
        missing = [name for name in ids if name not in found]
        for start in range(0, len(missing), IDS_PER_CALL):
            at = self._clock.now()
            try:
                said = await ask(missing[start : start + IDS_PER_CALL])
            except RefusedError as error:
                self.closed[subject] = str(error)
                break
            self._rests_on(at)
            found |= said
            known = {name: facts.as_list() for name, facts in said.items() if facts.listed}
            self._memory.put(self._tenant, _kind(subject), known, at=at)
        return found

    def _rests_on(self, at: datetime) -> None:
        self.oldest = min(self.oldest or at, at)


@asynccontextmanager
async def meanwhile(tell: Callable[[], object], *, every: float) -> AsyncIterator[None]:
    """Call `tell` every so many seconds while the block lasts."""

    async def again_and_again() -> None:
        while True:
            await asyncio.sleep(every)
            tell()

    telling = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


def calls_for(ids: int) -> int:
    """How many calls it takes to ask about so many ids of one list."""
    return -(-ids // IDS_PER_CALL)


def _kind(subject: str) -> str:
    """The cache's name for a kind of answer."""
    return f"facts of {subject}"
