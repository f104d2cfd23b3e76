"""The names of one input on their way to ids: looked up once for all that a command does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.api.dialects import ItemType
from batch.commands.session import notices_on
from batch.model import IdentityBy
from batch.names.meaning import (
    ITEM_WORDS,
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
        settings: Say what names are, and how long they are known.
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
        self._verdicts: dict[Name, NameMeaning] | None = None
        self._calls = 0
        self._remembered = 0

    def look_up(self, rows: pl.DataFrame, ledger: Ledger, sessions: SessionFactory, run: Run | None) -> None:
        """Finds out what the names in rows mean, by asking the tenant where that is not known.

        What the input's run was planned by stays as it was.

        Args:
            rows: As read.
            ledger: Knows what was said lately.
            sessions: How to reach the tenant.
            run: The input's run, where it has one.

        Raises:
            SettingsError: The token may not ask.
            StoppedError: The tenant can't be asked.
        """
        if self._verdicts is not None and run is None:
            return
        sought = names_to_look_up(rows, self._settings.identity_by)
        lookup = self._lookup(ledger, sessions.access.tenant)
        planned = lookup.of_run(run.id, sought) if run else {}
        verdicts = {name: verdict for name, verdict in planned.items() if verdict.outcome is NameOutcome.FOUND}
        if self._verdicts is not None:
            # Another process may have planned the same input since then: what it was planned by counts.
            self._settle({**self._verdicts, **verdicts})
            return
        verdicts.update(lookup.recent(name for name in sought if name not in verdicts))
        missing = [name for name in sought if name not in verdicts]
        self._remembered = len(verdicts)
        if missing:
            self._screen.say(f"Looking up {count(len(missing), 'name')} …")
            verdicts.update(asyncio.run(self._ask(lookup, missing, ledger, sessions)))
        self._settle(verdicts)
        self._screen.say(*describe_names(self.counts))

    def resolved(self, rows: pl.DataFrame, ledger: Ledger, tenant: str, run: Run | None) -> pl.DataFrame:
        """The rows with ids in the place of names; where nothing was looked up, by what their run was planned by."""
        by = self._settings.identity_by
        if self._verdicts is None:
            sought = names_to_look_up(rows, by)
            planned = self._lookup(ledger, tenant).of_run(run.id, sought) if run else {}
            self._settle({name: planned.get(name, _NOT_PLANNED) for name in sought})
        return resolve(rows, self._verdicts, by)

    def meanings(self, ledger: Ledger, tenant: str) -> dict[NameKey, NameMeaning]:
        """What the names mean, to be kept with the run's plan."""
        return self._lookup(ledger, tenant).by_key(self._verdicts or {})

    async def _ask(
        self, lookup: Lookup, names: Iterable[Name], ledger: Ledger, sessions: SessionFactory
    ) -> dict[Name, NameMeaning]:
        tell = notices_on(self._screen)
        async with sessions.line(ledger, tell) as line:
            directory = Directory(line.tenant.reader, self._settings.dialect, tell=tell)
            try:
                return await lookup.ask(names, directory)
            finally:
                self._calls = directory.calls

    def _settle(self, verdicts: dict[Name, NameMeaning]) -> None:
        self._verdicts = verdicts
        self.counts = count_names(verdicts, self._calls, self._remembered)

    def _lookup(self, ledger: Ledger, tenant: str) -> Lookup:
        settings = self._settings
        max_age = timedelta(seconds=settings.max_age)
        return Lookup(ledger, tenant, settings.identity_by, max_age=max_age, clock=self._runtime.clock)


_NOT_PLANNED = NameMeaning(
    outcome=NameOutcome.UNKNOWN, problem="its name was not looked up, as an unfinished run goes first: submit it again"
)


NOBODY_FOR: Final = timedelta(minutes=1)
"""How long it is taken for true that a name means nobody: a new joiner is there soon."""


class NameDirectory(Protocol):
    """What can be asked for names: a tenant over HTTP, or a fake."""

    def people(self, names: Sequence[str], by: IdentityBy) -> AsyncIterator[dict[str, NameMatches]]:
        """Whom each name may mean, a part of the names at a time."""

    def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, NameMatches]]:
        """What each name may mean, a part of the names at a time."""


class Lookup:
    """What the names of one tenant mean.

    Args:
        ledger: Has recent answers and the decisions of earlier plans.
        tenant: The tenant's name in the ledger.
        by: What the names of identities are.
        max_age: How long what the tenant said is taken for true.
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
        """Meanings as the ledger keeps them: by how each name was looked up."""
        return {(self._kind(kind), name): meaning for (kind, name), meaning in meanings.items()}

    def recent(self, names: Iterable[Name]) -> dict[Name, NameMeaning]:
        """What the tenant said lately of names; those of which it said nothing are left out."""
        now, found = self._clock.now(), {}
        for kind, group in _by_kind(names):
            kept = self._cache.get(self._tenant, self._kind(kind), group, since=now - self._max_age)
            for name, cached in kept.items():
                if cached.value["found"] or cached.at >= now - NOBODY_FOR:
                    found[kind, name] = _which(kind, name, _found(cached.value))
        return found

    async def ask(self, names: Iterable[Name], directory: NameDirectory) -> dict[Name, NameMeaning]:
        """What the tenant says of names now; each part of the answer is kept as soon as it is there.

        Raises:
            SettingsError: The token may not ask.
            StoppedError: The tenant can't be asked.
        """
        verdicts = {}
        for kind, group in _by_kind(names):
            asked = directory.people(group, self._by) if kind == IDENTITY else directory.items(ItemType(kind), group)
            async for part in asked:
                told = {name: _cached(found) for name, found in part.items() if not found.refusal}
                self._cache.put(self._tenant, self._kind(kind), told, at=self._clock.now())
                verdicts.update({(kind, name): _which(kind, name, found) for name, found in part.items()})
        return verdicts

    def _kind(self, kind: str) -> str:
        """What of a kind of name is asked, as the ledger calls it."""
        return f"identity by {self._by}" if kind == IDENTITY else f"{ITEM_WORDS[ItemType(kind)]} by name"


def _by_kind(names: Iterable[Name]) -> Iterable[tuple[str, list[str]]]:
    return [(kind, [name for _, name in group]) for kind, group in groupby(sorted(names), key=itemgetter(0))]


def _which(kind: str, name: str, found: NameMatches) -> NameMeaning:
    return person_meaning(name, found) if kind == IDENTITY else item_meaning(ItemType(kind), name, found)


def _cached(found: NameMatches) -> dict[str, Any]:
    return {"looked": list(found.fields), "found": [[one.id, one.description, one.exact] for one in found.candidates]}


def _found(value: Any) -> NameMatches:
    return NameMatches(
        candidates=tuple(
            NameCandidate(id=id_, description=description, exact=exact) for id_, description, exact in value["found"]
        ),
        fields=tuple(map(IdentityBy, value["looked"])),
    )
