"""`ledger import`: imports the tenant's status list into a ledger, page by page."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from batch.commands.session import SessionFactory, find_access, notices_on
from batch.errors import CredentialsRefusedError, UsageError
from batch.report.import_ import ImportSummary
from batch.status.adopt import AdoptionOutcome, NotAdoptable, read_listed
from batch.tenant.reading import ForbiddenError
from batch.tenant.status import Query, pages

if TYPE_CHECKING:
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run, StatusRow
    from batch.settings import Settings
    from batch.tenant.status import Listing, Page

AT_ONCE: Final = 1_000
"""Rows that one transaction takes: some pages, so that little is read again after an interruption."""

_TOLD_EVERY: Final = 25_000


def import_(
    settings: Settings, screen: Screen, runtime: Runtime, *, since: datetime | None, everybody: bool
) -> ImportSummary:
    """Imports the status list into the ledger; what it has already is brought up to date.

    Args:
        settings: Say which tenant and which ledger.
        screen: For messages.
        runtime: Clock, randomness and process.
        since: Only rows made then or later; None for all.
        everybody: Whether to import what anybody requested, and not only the token's user.

    Raises:
        CredentialsRefusedError: The token's user may not read the list.
        StoppedError: It ended early; what was read until then is imported.
    """
    began = runtime.clock.monotonic()
    access = find_access(settings)
    screen.say(*access.notices)
    with (
        SessionFactory(settings, access, runtime) as sessions,
        runtime.open_ledger(settings) as ledger,
    ):
        screen.say(*ledger.notices)
        with ImportReader(ledger, access.tenant, settings.api, screen, runtime) as reader:
            asyncio.run(_read(sessions, ledger, screen, Query(since=since, everybody=everybody), reader))
    return ImportSummary(
        run=reader.run.id if reader.run else "",
        tenant=access.tenant,
        read=reader.read,
        outcomes=reader.outcomes,
        not_adoptable=reader.not_adoptable,
        elapsed=runtime.clock.monotonic() - began,
    )


def moment_given(text: str) -> datetime | None:
    """The instant that `--since` says; midnight UTC for a day, None for nothing.

    Raises:
        UsageError: It is none.
    """
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since {text!r} is no date.", next_step="Write 2027-01-31 or 2027-01-31T09:00:00Z."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


async def _read(sessions: SessionFactory, ledger: Ledger, screen: Screen, query: Query, reader: ImportReader) -> None:
    async with sessions.line(ledger, notices_on(screen)) as line:
        await read_into(reader, line.tenant.statuses, query)


async def read_into(reader: ImportReader, listing: Listing, query: Query) -> None:
    """Reads a list, and imports it on the way."""
    try:
        async for page in pages(listing, query):
            await asyncio.to_thread(reader.add, page)
        await asyncio.to_thread(reader.flush)
    except ForbiddenError as error:
        raise CredentialsRefusedError(
            f"The tenant does not let this client read the status list: {error}.",
            next_step="Nothing was imported. `access-batch doctor` says which rights are missing"
            + (", and without --everybody only what this user requested is asked for." if query.everybody else "."),
        ) from error


class ImportReader:
    """Takes pages, and writes some of them at a time. While it lasts, no other process imports.

    Attributes:
        run: The run that imported changes belong to; None where there were none.
        read: Rows so far.
        fates: How many came to what.
        puzzles: How many can't be understood.
    """

    def __init__(self, ledger: Ledger, tenant: str, dialect: str, screen: Screen, runtime: Runtime) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._dialect = dialect
        self._screen = screen
        self._runtime = runtime
        self._held = ExitStack()
        self._pending: list[StatusRow] = []
        self.run: Run | None = None
        self.read = 0
        self.outcomes: Counter[AdoptionOutcome] = Counter()
        self.not_adoptable: Counter[NotAdoptable] = Counter()

    def add(self, page: Page) -> None:
        """Takes a page."""
        self.read += page.read
        self.not_adoptable[NotAdoptable.NO_IDENTITY] += page.read - len(page.rows)
        self._pending += page.rows
        if len(self._pending) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending."""
        listed, not_adoptable = read_listed(self._pending)
        run = self.run or self._begin() if listed else None
        if run is not None:
            self.outcomes.update(self._ledger.imported.take(run, self._runtime.process, listed, self._runtime.now()))
        self.not_adoptable.update(not_adoptable)
        before = self.read - len(self._pending)
        self._pending = []
        if before // _TOLD_EVERY < self.read // _TOLD_EVERY:
            self._screen.say(f"{self.read:,} rows read, {self.outcomes[AdoptionOutcome.IMPORTED]:,} imported.")

    def _begin(self) -> Run:
        self.run = run = self._ledger.imported.begin(self._tenant, self._dialect, self._runtime.now())
        self._held.enter_context(self._runtime.holding(self._ledger, run))
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
