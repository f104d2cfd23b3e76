"""The preflight: ask the tenant what decides the fate of the wanted changes, and reuse recent answers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batch.api.dialects import ItemType
from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.loops.approvals import together
from batch.status.tenant_facts import CONFIGURATIONS, PEOPLE, ItemFacts, PersonFacts
from batch.tenant.facts import IDS_PER_CALL, calls_at_most
from batch.tenant.reading import ForbiddenError, RefusedError, reason_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from batch.loops.ports import AnswerCache
    from batch.model import Clock
    from batch.status.in_progress import Item
    from batch.tenant.facts import Facts

MOST_PEOPLE: Final = 980
"""Most people whom the search index does not show that are looked for in the list of identities."""

MOST_CONFIGURATIONS: Final = 200
"""Most entitlements whose own configuration is asked for."""

_AT_ONCE: Final = 10
_FRUITLESS: Final = 2 * _AT_ONCE
"""If so many entitlements have no configuration, and none has one, we ask no further."""

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
        closed: The types of items, or PEOPLE or CONFIGURATIONS, that the tenant does not show, and why.
    """

    def __init__(self, *, facts: Facts, memory: AnswerCache, tenant: str, since: datetime, clock: Clock) -> None:
        self._facts = facts
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self.oldest: datetime | None = None
        self.closed: dict[str, Unshown] = {}

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._facts.calls

    def calls_needed(
        self, items: Mapping[str, Sequence[str]], entitlements: Sequence[str] = (), people: Sequence[str] = ()
    ) -> int:
        """How many calls it takes at most to ask the same; `people` are those whom the index may not show."""
        lists = {**items, PEOPLE: people[:MOST_PEOPLE]}
        return sum(calls_at_most(self._unknown(subject, ids)) for subject, ids in lists.items()) + len(
            self._unknown(CONFIGURATIONS, entitlements[:MOST_CONFIGURATIONS])
        )

    def _unknown(self, subject: str, ids: Sequence[str]) -> list[str]:
        known = self._memory.get(self._tenant, _kind(subject), ids, since=self._since)
        return [one for one in ids if one not in known]

    async def ask(
        self, items: Mapping[str, Sequence[str]], people: Sequence[str], entitlements: Sequence[str] = ()
    ) -> Asked:
        """Ask the tenant.

        Args:
            items: Ids of items by type.
            people: Ids of people whom the search index does not show; beyond MOST_PEOPLE, they stay unknown.
            entitlements: Ids of items whose own configuration matters; beyond MOST_CONFIGURATIONS, it stays unknown.

        Raises:
            CredentialsRefusedError: The tenant refuses the client.
        """
        found: dict[Item, ItemFacts] = {}
        for item_type, ids in items.items():
            kind = ItemType(item_type)

            async def ask_items(some: Sequence[str], kind: ItemType = kind) -> Mapping[str, ItemFacts]:
                return await self._facts.items(kind, some)

            said = await self._asked(item_type, ids, ask_items, ItemFacts.from_list)
            found |= {(item_type, one): facts for one, facts in said.items()}
        for entitlement, rules in (await self._configurations(entitlements[:MOST_CONFIGURATIONS], found)).items():
            item = (ItemType.ENTITLEMENT.value, entitlement)
            found[item] = found[item].with_rules(rules)
        wanted = people[:MOST_PEOPLE]
        return Asked(
            items=found,
            people=await self._asked(PEOPLE, wanted, self._facts.people, PersonFacts.from_list) if wanted else {},
        )

    async def _configurations(
        self, entitlements: Sequence[str], items: Mapping[Item, ItemFacts]
    ) -> dict[str, ItemFacts]:
        """The configurations of those entitlements that the tenant lists."""
        listed = [one for one in entitlements if (shown := items.get((ItemType.ENTITLEMENT, one))) and shown.listed]
        found = self._remembered(CONFIGURATIONS, listed, ItemFacts.from_list)
        missing = [one for one in listed if one not in found]
        for start in range(0, len(missing), _AT_ONCE):
            if start >= _FRUITLESS and not found:
                break
            some = missing[start : start + _AT_ONCE]
            at = self._clock.now()
            try:
                said = await together([self._facts.configuration(one) for one in some])
            except (RefusedError, TenantLostError) as error:
                self.closed[CONFIGURATIONS] = unshown(error)
                break
            self._rests_on(at)
            answered = {one: facts for one, facts in zip(some, said, strict=True) if facts is not None}
            self._memory.put(
                self._tenant, _kind(CONFIGURATIONS), {one: facts.as_list() for one, facts in answered.items()}, at=at
            )
            found |= answered
        return found

    def _remembered(self, subject: str, ids: Sequence[str], read: Callable[[Sequence[Any]], _Fact]) -> dict[str, _Fact]:
        cached = self._memory.get(self._tenant, _kind(subject), ids, since=self._since)
        for one in cached.values():
            self._rests_on(one.at)
        return {name: read(one.value) for name, one in cached.items()}

    async def _asked(
        self,
        subject: str,
        ids: Sequence[str],
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, _Fact]]],
        read: Callable[[Sequence[Any]], _Fact],
    ) -> dict[str, _Fact]:
        found = self._remembered(subject, ids, read)
        missing = [name for name in ids if name not in found]
        for start in range(0, len(missing), IDS_PER_CALL):
            at = self._clock.now()
            try:
                said = await ask(missing[start : start + IDS_PER_CALL])
            except (RefusedError, TenantLostError) as error:
                self.closed[subject] = unshown(error)
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


def unshown(error: RefusedError | TenantLostError) -> Unshown:
    """Why there is no answer: nothing depends on one, so a list that can't be read is left out like a refused one."""
    return Unshown(why=reason_of(error), forbidden=isinstance(error, ForbiddenError))


def _kind(subject: str) -> str:
    """The cache's name for a kind of answer."""
    return f"rules of {subject}"
