"""`ledger import`: adopts the changes in the tenant's status list into the ledger, page by page."""

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
    from batch.api.status_row import StatusRow
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.settings import Settings
    from batch.tenant.status import Listing, Page

AT_ONCE: Final = 1_000
"""Rows per transaction: a few pages, so that an interruption costs little."""

_SHOW_EVERY: Final = 25_000
"""Rows between two lines of progress."""


def import_(
    settings: Settings, screen: Screen, runtime: Runtime, *, since: datetime | None, everybody: bool
) -> ImportSummary:
    """Import the status list into the ledger, and update requests that were imported before.

    Args:
        settings: Tenant and ledger.
        screen: For messages.
        runtime: Clock, randomness and process.
        since: Import only rows created then or later; None for all.
        everybody: Whether to import everybody's requests instead of the token user's.

    Raises:
        LedgerChangedError: Somebody has changed the ledger; nothing was imported.
        CredentialsRefusedError: The token's user may not read the list.
        StoppedError: It stopped early; the rows read until then are imported.
    """
    began = runtime.clock.monotonic()
    access = find_access(settings)
    screen.say(*access.notices)
    with (
        SessionFactory(settings, access, runtime) as sessions,
        runtime.open_ledger(settings, screen.say) as ledger,
    ):
        sessions.identify(ledger, notices_on(screen))
        # An import also updates changes of runs: it must not seal what somebody has changed beside them.
        ledger.plans.check_all()
        with ImportReader(ledger, access.tenant, settings.api, screen, runtime) as reader:
            asyncio.run(_read(sessions, ledger, screen, Query(since=since, everybody=everybody), reader))
        head = ledger.head(reader.run).short if reader.run else ""
    return ImportSummary(
        run=reader.run.id if reader.run else "",
        tenant=access.tenant,
        read=reader.read,
        outcomes=reader.outcomes,
        not_adoptable=reader.not_adoptable,
        head=head,
        elapsed=runtime.clock.monotonic() - began,
    )


def moment_given(text: str) -> datetime | None:
    """The instant given by `--since`: midnight UTC for a day, None if empty.

    Raises:
        UsageError: It is no date.
    """
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since {text!r} is not a date.", next_step="Write 2027-01-31 or 2027-01-31T09:00:00Z."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


async def _read(sessions: SessionFactory, ledger: Ledger, screen: Screen, query: Query, reader: ImportReader) -> None:
    async with sessions.open(ledger, notices_on(screen)) as session:
        await read_into(reader, session.tenant.statuses, query)


async def read_into(reader: ImportReader, listing: Listing, query: Query) -> None:
    """Read a list page by page, and import each page."""
    try:
        async for page in pages(listing, query):
            await asyncio.to_thread(reader.add, page)
        await asyncio.to_thread(reader.flush)
    except ForbiddenError as error:
        raise CredentialsRefusedError(
            f"The tenant does not let this client read the status list: {error}.",
            next_step="Nothing was imported. `access-batch doctor` shows which rights are missing"
            + ("; without --everybody, only this user's requests are read." if query.everybody else "."),
        ) from error


class ImportReader:
    """Imports pages, several per transaction. Meanwhile no other process imports.

    Args:
        ledger: The ledger.
        tenant: An address of the tenant.
        dialect: API version.
        screen: For progress.
        runtime: Clock and process.
        beside_runs: Whether to import a change also if a run has another change of the same access.

    Attributes:
        run: The run of the imported changes; None if there were none.
        read: Rows read so far.
        outcomes: Number of rows by result of their adoption.
        not_adoptable: Number of rows by the reason why they can't be adopted.
    """

    def __init__(
        self,
        ledger: Ledger,
        tenant: str,
        dialect: str,
        screen: Screen,
        runtime: Runtime,
        *,
        beside_runs: bool = False,
    ) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._dialect = dialect
        self._screen = screen
        self._runtime = runtime
        self._beside_runs = beside_runs
        self._held = ExitStack()
        self._pending: list[StatusRow] = []
        self.run: Run | None = None
        self.read = 0
        self.outcomes: Counter[AdoptionOutcome] = Counter()
        self.not_adoptable: Counter[NotAdoptable] = Counter()

    def add(self, page: Page) -> None:
        """Take a page."""
        self.read += page.read
        self.not_adoptable[NotAdoptable.NO_IDENTITY] += page.read - len(page.rows)
        self._pending += page.rows
        if len(self._pending) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows."""
        listed, not_adoptable = read_listed(self._pending)
        run = self.run or self._begin() if listed else None
        if run is not None:
            take, now = self._ledger.imported.take, self._runtime.now()
            self.outcomes.update(take(run, self._runtime.process, listed, now, beside_runs=self._beside_runs))
        self.not_adoptable.update(not_adoptable)
        before = self.read - len(self._pending)
        self._pending = []
        if before // _SHOW_EVERY < self.read // _SHOW_EVERY:
            self._screen.say(f"{self.read:,} rows read, {self.outcomes[AdoptionOutcome.IMPORTED]:,} imported.")

    def _begin(self) -> Run:
        self.run = run = self._ledger.imported.begin(self._tenant, self._dialect, self._runtime.now())
        self._held.enter_context(self._runtime.holding(self._ledger, run))
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
