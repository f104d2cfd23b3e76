"""The names of one input on their way to ids: looked up once for all that a command does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from batch.commands.reach import Asking
from batch.name_lookup import Lookup
from batch.names import Outcome, Verdict
from batch.report.screen import describe_names
from batch.resolve import NameCounts, count_names, names_sought, resolve
from batch.tenant.directory import Directory
from batch.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from batch.commands.reach import Reach
    from batch.commands.screen import Screen
    from batch.ledger.cache import Kept
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.resolve import Name
    from batch.settings import Settings


class Names:
    """The names of one input.

    Args:
        settings: Say what names are, and how long they are known.
        screen: For messages.

    Attributes:
        counts: How they were resolved.
    """

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.counts = NameCounts()
        self._settings = settings
        self._screen = screen
        self._verdicts: dict[Name, Verdict] | None = None
        self._calls = 0
        self._remembered = 0

    def look_up(self, rows: pl.DataFrame, ledger: Ledger, reach: Reach, run: Run | None) -> None:
        """Finds out what the names in rows mean, by asking the tenant where that is not known.

        What the input's run was planned by stays as it was.

        Args:
            rows: As read.
            ledger: Knows what was said lately.
            reach: How to reach the tenant.
            run: The input's run, where it has one.

        Raises:
            SettingsError: The token may not ask.
            StoppedError: The tenant can't be asked.
        """
        if self._verdicts is not None and run is None:
            return
        sought = names_sought(rows, self._settings.identity_by)
        lookup = self._lookup(ledger, reach.access.tenant)
        planned = lookup.of_run(run.id, sought) if run else {}
        verdicts = {name: verdict for name, verdict in planned.items() if verdict.outcome is Outcome.FOUND}
        if self._verdicts is not None:
            # Another process may have planned the same input since then: what it was planned by counts.
            self._settle({**self._verdicts, **verdicts})
            return
        verdicts.update(lookup.recent(name for name in sought if name not in verdicts))
        missing = [name for name in sought if name not in verdicts]
        self._remembered = len(verdicts)
        if missing:
            self._screen.say(f"Looking up {count(len(missing), 'name')} …")
            verdicts.update(asyncio.run(self._ask(lookup, missing, ledger, reach)))
        self._settle(verdicts)
        self._screen.say(*describe_names(self.counts))

    def resolved(self, rows: pl.DataFrame, ledger: Ledger, tenant: str, run: Run | None) -> pl.DataFrame:
        """The rows with ids in the place of names; where nothing was looked up, by what their run was planned by."""
        by = self._settings.identity_by
        if self._verdicts is None:
            sought = names_sought(rows, by)
            planned = self._lookup(ledger, tenant).of_run(run.id, sought) if run else {}
            self._settle({name: planned.get(name, _NOT_PLANNED) for name in sought})
        return resolve(rows, self._verdicts, by)

    def kept(self, ledger: Ledger, tenant: str, run: str) -> Kept:
        """What a run's names mean, to be kept with its plan."""
        return self._lookup(ledger, tenant).kept_for_run(run, self._verdicts or {})

    async def _ask(self, lookup: Lookup, names: Iterable[Name], ledger: Ledger, reach: Reach) -> dict[Name, Verdict]:
        async with reach.line(ledger, Asking(self._screen)) as line:
            directory = Directory(line.tenant.reader, self._settings.dialect, noticed=self._screen.say)
            try:
                return await lookup.ask(names, directory)
            finally:
                self._calls = directory.calls

    def _settle(self, verdicts: dict[Name, Verdict]) -> None:
        self._verdicts = verdicts
        self.counts = count_names(verdicts, self._calls, self._remembered)

    def _lookup(self, ledger: Ledger, tenant: str) -> Lookup:
        settings = self._settings
        max_age = timedelta(seconds=settings.max_age)
        return Lookup(ledger.cache, tenant, settings.identity_by, max_age=max_age, clock=_now)


_NOT_PLANNED = Verdict(
    outcome=Outcome.UNKNOWN, problem="its name was not looked up, as an unfinished run goes first: submit it again"
)


def _now() -> datetime:
    return datetime.now(UTC)
