"""The names of one input and the ids that they mean: looked up once per command."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.api.dialects import ItemType
from batch.commands.session import notices_on
from batch.model import IdentityBy
from batch.names.known import KnownNames, kept_kind
from batch.names.meaning import (
    NameCandidate,
    NameMatches,
    NameMeaning,
    NameOutcome,
    item_meaning,
    person_meaning,
)
from batch.names.resolve import IDENTITY, NameCounts, count_names, names_to_look_up, resolve
from batch.report.screen import describe_names
from batch.tenant.directory import Directory
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    import polars as pl

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import SessionFactory
    from batch.ledger.decisions import NameKey
    from batch.ledger.store import Ledger
    from batch.model import Clock, Run
    from batch.names.resolve import Name
    from batch.settings import Settings


class Names:
    """The names of one input.

    Args:
        settings: What names are, and how long answers stay valid.
        screen: For messages.
        runtime: Clock, randomness and process.

    Attributes:
        counts: How they were resolved.
    """

    def __init__(self, settings: Settings, screen: Screen, runtime: Runtime) -> None:
        self._runtime = runtime
        self.counts = NameCounts()
        self._settings = settings
        self._screen = screen
        self._meanings: dict[Name, NameMeaning] | None = None
        self._calls = 0
        self._cached_count = 0

    def look_up(self, rows: pl.DataFrame, ledger: Ledger, sessions: SessionFactory, run: Run | None) -> None:
        """Find the meaning of the names in rows; ask the tenant for unknown ones.

        Names that the input's run was planned with keep their meaning.

        Args:
            rows: As read.
            ledger: Caches recent answers.
            sessions: Sessions with the tenant.
            run: The input's run, if it has one.

        Raises:
            SettingsError: The token lacks the right to ask.
            StoppedError: The tenant can't be asked.
        """
        if self._meanings is not None and run is None:
            return
        sought = names_to_look_up(rows, self._settings.identity_by)
        lookup = self._lookup(ledger, sessions.access.tenant)
        planned = lookup.of_run(run.id, sought) if run else {}
        meanings = {name: meaning for name, meaning in planned.items() if meaning.outcome is NameOutcome.FOUND}
        if self._meanings is not None:
            # Another process may have planned the same input since: its meanings count.
            self._resolve({**self._meanings, **meanings})
            return
        meanings.update(lookup.recent(name for name in sought if name not in meanings))
        missing = [name for name in sought if name not in meanings]
        self._cached_count = len(meanings)
        if missing:
            self._screen.say(f"Looking up {count(len(missing), 'name')} …")
            meanings.update(asyncio.run(self._ask(lookup, missing, ledger, sessions)))
        self._resolve(meanings)
        self._screen.say(*describe_names(self.counts))

    def resolved(self, rows: pl.DataFrame, ledger: Ledger, tenant: str, run: Run | None) -> pl.DataFrame:
        """The rows with ids instead of names; without a lookup, the ids are those of the run's plan."""
        by = self._settings.identity_by
        if self._meanings is None:
            sought = names_to_look_up(rows, by)
            planned = self._lookup(ledger, tenant).of_run(run.id, sought) if run else {}
            self._resolve({name: planned.get(name, _NOT_PLANNED) for name in sought})
        return resolve(rows, self._meanings, by)

    def known(self) -> KnownNames:
        """The names of the ids that they mean."""
        return KnownNames.of_meanings(
            (kept_kind(kind, self._settings.identity_by), name, meaning.id)
            for (kind, name), meaning in (self._meanings or {}).items()
            if meaning.id
        )

    def meanings(self, ledger: Ledger, tenant: str) -> dict[NameKey, NameMeaning]:
        """What the names mean, to be kept with the run's plan."""
        return self._lookup(ledger, tenant).by_key(self._meanings or {})

    async def _ask(
        self, lookup: Lookup, names: Iterable[Name], ledger: Ledger, sessions: SessionFactory
    ) -> dict[Name, NameMeaning]:
        tell = notices_on(self._screen)
        async with sessions.open(ledger, tell) as session:
            directory = Directory(session.tenant.reader, self._settings.dialect, tell=tell, suggests=True)
            try:
                return await lookup.ask(names, directory)
            finally:
                self._calls = directory.calls

    def _resolve(self, meanings: dict[Name, NameMeaning]) -> None:
        self._meanings = meanings
        self.counts = count_names(meanings, self._calls, self._cached_count)

    def _lookup(self, ledger: Ledger, tenant: str) -> Lookup:
        settings = self._settings
        max_age = timedelta(seconds=settings.max_age)
        return Lookup(ledger, tenant, settings.identity_by, max_age=max_age, clock=self._runtime.clock)


_NOT_PLANNED = NameMeaning(
    outcome=NameOutcome.UNKNOWN,
    problem="its name is not looked up yet, because an unfinished run goes first; run the same command again",
    candidates=None,
)


NOBODY_FOR: Final = timedelta(minutes=1)
"""How long a name that means nobody stays cached: a new joiner may appear soon."""


class NameDirectory(Protocol):
    """Answers questions about names: a tenant over HTTP, or a fake."""

    def people(self, names: Sequence[str], by: IdentityBy) -> AsyncIterator[dict[str, NameMatches]]:
        """The people that each name may mean, for some of the names at a time."""

    def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, NameMatches]]:
        """The items that each name may mean, for some of the names at a time."""


class Lookup:
    """The meanings of one tenant's names.

    Args:
        ledger: Has recent answers and the decisions of earlier plans.
        tenant: The tenant's name in the ledger.
        by: What the names of identities are.
        max_age: How long the tenant's answers stay valid.
        clock: This machine's clock.
    """

    def __init__(self, ledger: Ledger, tenant: str, by: IdentityBy, *, max_age: timedelta, clock: Clock) -> None:
        self._cache = ledger.cache
        self._decisions = ledger.decisions
        self._tenant = tenant
        self._by = by
        self._max_age = max_age
        self._clock = clock

    def of_run(self, run: str, names: Iterable[Name]) -> dict[Name, NameMeaning]:
        """What names meant when a run was planned; names that its plan did not rest on are left out."""
        keys = {(self._kind(kind), name): (kind, name) for kind, name in names}
        return {keys[key]: meaning for key, meaning in self._decisions.names(run, keys).items()}

    def by_key(self, meanings: Mapping[Name, NameMeaning]) -> dict[NameKey, NameMeaning]:
        """Meanings as the ledger keeps them: by how each name was looked up; without what could not be looked up."""
        return {
            (self._kind(kind), name): meaning
            for (kind, name), meaning in meanings.items()
            if meaning.candidates is not None
        }

    def recent(self, names: Iterable[Name]) -> dict[Name, NameMeaning]:
        """The tenant's recent answers; names without one are left out."""
        now, found = self._clock.now(), {}
        for kind, group in _by_kind(names):
            kept = self._cache.get(self._tenant, self._kind(kind), group, since=now - self._max_age)
            for name, cached in kept.items():
                if cached.value["found"] or cached.at >= now - NOBODY_FOR:
                    found[kind, name] = _which(kind, name, _found(cached.value))
        return found

    async def ask(self, names: Iterable[Name], directory: NameDirectory) -> dict[Name, NameMeaning]:
        """Ask the tenant for names; cache each part of the answer as it arrives.

        Raises:
            SettingsError: The token lacks the right to ask.
            StoppedError: The tenant can't be asked.
        """
        meanings = {}
        for kind, group in _by_kind(names):
            asked = directory.people(group, self._by) if kind == IDENTITY else directory.items(ItemType(kind), group)
            async for part in asked:
                answers = {name: _cached(found) for name, found in part.items() if not found.refusal}
                self._cache.put(self._tenant, self._kind(kind), answers, at=self._clock.now())
                meanings.update({(kind, name): _which(kind, name, found) for name, found in part.items()})
        return meanings

    def _kind(self, kind: str) -> str:
        """The ledger's name for a kind of question."""
        return kept_kind(kind, self._by)


def _by_kind(names: Iterable[Name]) -> Iterable[tuple[str, list[str]]]:
    return [(kind, [name for _, name in group]) for kind, group in groupby(sorted(names), key=itemgetter(0))]


def _which(kind: str, name: str, found: NameMatches) -> NameMeaning:
    return person_meaning(name, found) if kind == IDENTITY else item_meaning(ItemType(kind), name, found)


def _cached(found: NameMatches) -> dict[str, Any]:
    candidates = [[one.id, one.description, one.exact] for one in found.candidates]
    near = {"near": list(found.near)} if found.near else {}
    return {"looked": list(found.fields), "found": candidates, **near}


def _found(value: Any) -> NameMatches:
    return NameMatches(
        candidates=tuple(
            NameCandidate(id=id_, description=description, exact=exact) for id_, description, exact in value["found"]
        ),
        fields=tuple(map(IdentityBy, value["looked"])),
        near=tuple(value.get("near", ())),
    )
