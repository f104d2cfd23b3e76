"""Which accounts changes mean: asked for rows that name one, and for people who may have several for the item."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.loops.approvals import together
from batch.loops.end_dates import UNREADABLE
from batch.loops.preflight import unshown
from batch.names.accounts import (
    CLEAR,
    NO_CHOICE,
    Account,
    Assignment,
    ItemAccounts,
    SourceAccounts,
    choose,
    may_choose,
    needs_assignment,
    why_no_choice,
)
from batch.names.meaning import NameMeaning, NameOutcome
from batch.tenant.accounts import ITEMS_AT_ONCE
from batch.tenant.reading import ForbiddenError, RefusedError, reason_of
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.loops.ports import AnswerCache
    from batch.model import Clock
    from batch.names.accounts import Wanted
    from batch.status.in_progress import Item
    from batch.tenant.accounts import Choices

ACCOUNTS: Final = "accounts to choose from"
"""Kind of cached answer: a person's accounts for an item, by JSON of the person, the item's type and id."""

SOURCE: Final = "source of an item"
"""Kind of cached answer: the key of an item's source, by JSON of its type and id."""

ASSIGNMENTS: Final = "assignments of a role on accounts"
"""Kind of cached answer: a person's assignments of a role, by JSON of both ids."""

MOST_ASSIGNMENTS: Final = 200
"""Most pairs of a person and a role that are asked for the role's assignments, which takes a call each."""

MOST_QUESTIONS: Final = 10_000
"""Most questions for the accounts of a person, each for up to ITEMS_AT_ONCE items."""

MOST_ALONE: Final = 500
"""Most further questions, each for one item, after a question for several was refused, or its answer does not say for
which of them the tenant needs a choice."""

_MOST_LOST: Final = 3
"""Questions that may come to nothing, each after some tries, before no more are asked."""

_KEPT_AT_ONCE: Final = 200
"""Answers are kept after so many questions: an interrupted command does not ask all of them again."""

_NEXT: Final = "submit rejected.csv as it is, and this one gets its turn"
_TOO_MANY: Final = f"one command looks up {MOST_ASSIGNMENTS} at most; {_NEXT}"
_TOO_MANY_PEOPLE: Final = (
    f"its account was not looked up: one command asks the tenant {MOST_QUESTIONS:,} times for accounts; {_NEXT}"
)
_NOT_SHOWN: Final = "its answer leaves out this person or item, or can't be read"
_Asked = tuple[str, str, str]
"""A person, and type and id of an item, with ids as they are compared."""

_Spelled = tuple[str, "Item"]
"""The same with ids as they are written."""


class AccountLookup:
    """The accounts that changes mean, in one tenant.

    Args:
        choices: Says which accounts there are.
        memory: Caches the answers.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.
        width: Most calls at a time.
        has_choices: Whether this API version says which accounts there are.
        nested: Whether it lets a request choose one.
        scope: That a token needs for this.
        announce: Takes how many calls will be made, and how many questions are left out, before they are.

    Attributes:
        closed: Why the tenant does not tell anything; empty if it does.
        closed_assignments: Why it does not tell on which accounts some roles are; None if it does.
        left_to_tenant: The changes for people with several accounts whose rows name none and are not rejected.
        about: Calls announced so far.
    """

    def __init__(
        self,
        *,
        choices: Choices,
        memory: AnswerCache,
        tenant: str,
        since: datetime,
        clock: Clock,
        width: int,
        has_choices: bool,
        nested: bool,
        scope: str = "",
        announce: Callable[[int, int], object] = lambda _calls, _left: None,
    ) -> None:
        self._choices = choices
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self._slots = asyncio.Semaphore(width)
        self._has_choices = has_choices
        self._nested = nested
        self._scope = scope
        self._announce = announce
        self._alone = MOST_ALONE
        self._is_open = False
        self._lost = 0
        self.closed = ""
        self.closed_assignments: Unshown | None = None
        self.left_to_tenant: frozenset[Wanted] = frozenset()
        self.about = 0

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._choices.calls

    async def meanings(
        self, wanted: Iterable[Wanted], crowded: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> dict[Wanted, NameMeaning]:
        """The account that each change means, NO_CHOICE if a request need not name one.

        A row that names an account is never taken for one that names none: if the tenant does not show that account,
        the meaning is UNKNOWN and says why.

        Args:
            wanted: The changes.
            crowded: The sources on which people have several accounts, by TenantView. Rows that name no account are
                only looked up if their item may be on one of these.

        Raises:
            CredentialsRefusedError: The tenant refuses the client.
        """
        every = list(dict.fromkeys(wanted))
        found = dict.fromkeys(every, NO_CHOICE)
        if not self._has_choices:
            return found | {one: _unknown(why_no_choice(one)) for one in every if one.account}
        concerned = [one for one in every if one.account] + await self._unnamed(every, crowded)
        offered = await self._offered(concerned)
        offered |= await self._alone_each(concerned, offered)
        assignments = await self._assignments(
            one for one in concerned if needs_assignment(one) and isinstance(offered[_asked(one)], ItemAccounts)
        )
        for one in concerned:
            accounts = offered[_asked(one)]
            if isinstance(accounts, ItemAccounts):
                known = assignments.get((one.identity, one.item), "")
                found[one] = choose(one, accounts, nested=self._nested, assignments=known)
            elif one.account and accounts == _TOO_MANY_PEOPLE:
                found[one] = _unknown(accounts)
            elif one.account:
                found[one] = _unknown(f"the tenant does not tell which accounts there are ({accounts}): {CLEAR}")
        self.left_to_tenant = frozenset(
            one
            for one in concerned
            if not one.account
            and found[one] == NO_CHOICE
            and not (isinstance(accounts := offered[_asked(one)], ItemAccounts) and not accounts.crowded())
        )
        return found

    async def _unnamed(self, every: Iterable[Wanted], crowded: Mapping[str, Collection[str]]) -> list[Wanted]:
        """The changes without an account whose person may have several for the item: a role may be on any source."""
        some = [one for one in every if not one.account and crowded.get(one.identity) and may_choose(one)]
        try:
            sources = await self._sources({(one.item_type, one.item) for one in some})
        except (RefusedError, TenantLostError):
            sources = {}
        return [
            one
            for one in some
            if (source := sources.get((one.item_type, one.item))) is None or source in crowded[one.identity]
        ]

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

    async def _offered(self, concerned: Iterable[Wanted]) -> dict[_Asked, ItemAccounts | str]:
        """A person's accounts for an item, or why they are not known."""
        spelled = {_asked(one): (one.identity, (one.item_type, one.item)) for one in concerned}
        wanted = {_key(*one): one for one in spelled}
        kept = self._memory.get(self._tenant, ACCOUNTS, wanted, since=self._since)
        found: dict[_Asked, ItemAccounts | str] = dict.fromkeys(spelled, _TOO_MANY_PEOPLE)
        found |= {wanted[key]: _from_json(cached.value) for key, cached in kept.items()}
        of_person: dict[str, list[_Asked]] = {}
        for one in sorted(spelled.keys() - {wanted[key] for key in kept}):
            of_person.setdefault(one[0], []).append(one)
        parts = [
            {one: spelled[one] for one in some[start : start + ITEMS_AT_ONCE]}
            for some in of_person.values()
            for start in range(0, len(some), ITEMS_AT_ONCE)
        ]
        return found | await self._answers(parts[:MOST_QUESTIONS], left=sum(map(len, parts[MOST_QUESTIONS:])))

    async def _alone_each(
        self, concerned: Iterable[Wanted], offered: Mapping[_Asked, ItemAccounts | str]
    ) -> dict[_Asked, ItemAccounts | str]:
        """Asked for alone: what would be rejected if the choice that the tenant needs for some item is for this one."""
        doubtful: dict[_Asked, _Spelled] = {}
        for one in concerned:
            said = offered[_asked(one)]
            if one.account or not isinstance(said, ItemAccounts) or said.required is not None:
                continue
            if choose(one, replace(said, required=True), nested=self._nested) != NO_CHOICE:
                doubtful[_asked(one)] = (one.identity, (one.item_type, one.item))
        alone = sorted(doubtful)[: self._alone]
        self._alone -= len(alone)
        answers = await self._answers([{one: doubtful[one]} for one in alone])
        # Without an answer, it stays open which item it is.
        return {one: said for one, said in answers.items() if isinstance(said, ItemAccounts)}

    async def _answers(
        self, parts: Sequence[Mapping[_Asked, _Spelled]], *, left: int = 0
    ) -> dict[_Asked, ItemAccounts | str]:
        """The answers to some questions, kept; the number of those that are `left` out is told."""
        found: dict[_Asked, ItemAccounts | str] = {}
        self._say_before(len(parts), left)
        for start in range(0, len(parts), _KEPT_AT_ONCE):
            at = self._clock.now()
            answers = await together([self._ask(part) for part in parts[start : start + _KEPT_AT_ONCE]])
            new = {key: one for part in answers for key, one in part.items()}
            told = {_key(*key): _as_json(one) for key, one in new.items() if isinstance(one, ItemAccounts)}
            self._memory.put(self._tenant, ACCOUNTS, told, at=at)
            found |= new
        return found

    def _say_before(self, calls: int, left: int) -> None:
        self.about += calls
        if calls:
            self._announce(calls, left)

    async def _ask(self, spelled: Mapping[_Asked, _Spelled]) -> dict[_Asked, ItemAccounts | str]:
        """One person's accounts for some items; for each of them alone if the tenant does not tell them together."""
        async with self._slots:
            found = await self._told(spelled)
            untold = [one for one in spelled if not isinstance(found[one], ItemAccounts)]
            if len(spelled) > 1 and not self.closed:
                alone, self._alone = untold[: self._alone], max(self._alone - len(untold), 0)
                for one in alone:
                    found |= await self._told({one: spelled[one]})
        return found

    async def _told(self, spelled: Mapping[_Asked, _Spelled]) -> dict[_Asked, ItemAccounts | str]:
        """The answer to one question; it is put again with ids as tenants write them if it does not tell everything."""
        found: dict[_Asked, ItemAccounts | str] = dict.fromkeys(spelled, _NOT_SHOWN)
        usual = {one: (one[0], (one[1], one[2])) for one in spelled}
        for asked in (spelled, usual) if dict(spelled) != usual else (usual,):
            if self.closed:
                return dict.fromkeys(spelled, self.closed)
            person, items = next(iter(asked.values()))[0], [item for _, item in asked.values()]
            try:
                told = await self._choices.of(person, items)
            except (RefusedError, TenantLostError) as error:
                found = {
                    one: said if isinstance(said, ItemAccounts) else reason_of(error) for one, said in found.items()
                }
                if self._closes(error):
                    return dict.fromkeys(spelled, self.closed)
                continue
            self._is_open = True
            found |= {one: told[item] for one, (_, item) in asked.items() if item in told}
            if all(
                isinstance(said, ItemAccounts) and any(of.accounts for of in said.sources) for said in found.values()
            ):
                break
        return found

    def _closes(self, error: RefusedError | TenantLostError) -> bool:
        """Whether nobody need be asked about after this error."""
        self._lost += isinstance(error, TenantLostError)
        # If nobody was answered for, it is not about this person.
        if isinstance(error, ForbiddenError) and not self._is_open:
            self.closed = reason_of(error) + (f"; that takes the scope {self._scope}" if self._scope else "")
        elif self._lost > (_MOST_LOST if self._is_open else 0):
            self.closed = reason_of(error)
        return bool(self.closed)

    async def _assignments(self, wanted: Iterable[Wanted]) -> dict[tuple[str, str], Sequence[Assignment] | str]:
        """The assignments of roles to people, or why they are not known, by the ids of both."""
        pairs = sorted({(one.identity, one.item) for one in wanted})
        keys = {_key(*pair): pair for pair in pairs}
        kept = self._memory.get(self._tenant, ASSIGNMENTS, keys, since=self._since)
        found: dict[tuple[str, str], Sequence[Assignment] | str] = dict.fromkeys(pairs, _TOO_MANY)
        found |= {keys[key]: _assignments_from_json(cached.value) for key, cached in kept.items()}
        asked = [pair for pair in pairs if _key(*pair) not in kept][:MOST_ASSIGNMENTS]
        at = self._clock.now()
        self._say_before(len(asked), sum(_key(*pair) not in kept for pair in pairs) - len(asked))
        new = dict(zip(asked, await together([self._ask_assignments(*pair) for pair in asked]), strict=True))
        told = {
            _key(*pair): [_assignment_as_json(a) for a in one] for pair, one in new.items() if not isinstance(one, str)
        }
        self._memory.put(self._tenant, ASSIGNMENTS, told, at=at)
        return found | new

    async def _ask_assignments(self, person: str, role: str) -> Sequence[Assignment] | str:
        async with self._slots:
            try:
                found = await self._choices.assignments(person, role)
            except (RefusedError, TenantLostError) as error:
                self.closed_assignments = unshown(error)
                return reason_of(error)
        if found is None:
            self.closed_assignments = self.closed_assignments or Unshown(why=UNREADABLE)
            return UNREADABLE
        return found


def _unknown(problem: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)


def _asked(wanted: Wanted) -> _Asked:
    return (key_of(wanted.identity), wanted.item_type, key_of(wanted.item))


def _assignment_as_json(one: Assignment) -> list[Any]:
    return [one.id, sorted(map(list, one.accounts)), list(one.words)]


def _assignments_from_json(value: Any) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(
            id=id_,
            accounts=frozenset((source, native, uuid) for source, native, uuid in accounts),
            words=tuple(words),
        )
        for id_, accounts, words in value
    )


def _key(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=False)


def _as_json(accounts: ItemAccounts) -> list[Any]:
    sources = [[one.id, one.name, [[a.native, a.name, a.id, a.uuid] for a in one.accounts]] for one in accounts.sources]
    return [accounts.blocked, sources, accounts.required]


def _from_json(value: Any) -> ItemAccounts:
    blocked, sources, required = value
    return ItemAccounts(
        blocked=blocked,
        required=required,
        sources=tuple(
            SourceAccounts(
                id=id_,
                name=name,
                accounts=tuple(Account(native=one[0], name=one[1], id=one[2], uuid=one[3]) for one in accounts),
            )
            for id_, name, accounts in sources
        ),
    )
