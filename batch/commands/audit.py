"""`audit`: compares the ledger with the tenant's status list."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from batch.api.dialects import PAGE_LIMIT
from batch.commands.session import SANDBOX_FORGETS, SessionFactory, find_access, notices_on
from batch.errors import CredentialsRefusedError, LedgerChangedError, UsageError
from batch.report.audit import AuditSummary
from batch.status.audit import AuditFinding, Comparison, ListedRows, Mismatch, explained, ledger_lines
from batch.status.evidence import LOOK_BACK
from batch.tenant.reading import ForbiddenError
from batch.tenant.status import ListingForbiddenError, Query, all_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.settings import Settings
    from batch.status.audit import LedgerLine
    from batch.tenant.client import Tenant

MOST_IDENTITIES: Final = 500
"""Identities whose lists are read before a change counts as not listed."""


def audit(name: str, settings: Settings, screen: Screen, runtime: Runtime) -> AuditSummary:
    """Compare a run, or all runs of the tenant, with the tenant's status list. Changes nothing on either side.

    Args:
        name: The beginning of the run's id; empty for all runs.
        settings: Tenant and ledger.
        screen: For messages.
        runtime: Clock, randomness and process.

    Raises:
        UsageError: The run does not exist, belongs to another tenant, or was imported.
        CredentialsRefusedError: The token's user may not read the list.
        StoppedError: The tenant can't be reached.
    """
    began = runtime.clock.monotonic()
    access = find_access(settings)
    if settings.sandbox:
        screen.say(SANDBOX_FORGETS)
    screen.say(*access.notices)
    with SessionFactory(settings, access, runtime) as sessions, runtime.existing_ledger(settings, screen.say) as ledger:
        sessions.identify(ledger, notices_on(screen))
        tenant = ledger.tenants.name_of(access.tenant)
        runs = _chosen(ledger, name, tenant)
        work = _Audit(ledger, runs, runtime)
        comparison, missing = asyncio.run(work.compare(sessions, screen))
        return work.summary(comparison, missing, tenant, began)


def _chosen(ledger: Ledger, name: str, tenant: str) -> tuple[Run, ...]:
    chosen = (ledger.runs.named(name),) if name else ledger.runs.all()
    runs = tuple(run for run in chosen if run.tenant == tenant and not run.imported)
    if runs:
        return runs
    if not name:
        raise UsageError(f"The ledger has no runs for {tenant}.", next_step="`access-batch submit INPUT` begins one.")
    (run,) = chosen
    elsewhere = f"was submitted to {run.tenant}, not {tenant}"
    why = "holds requests that were imported from the tenant" if run.imported else elsewhere
    raise UsageError(f"Run {run.id} {why}.", next_step="`access-batch runs` lists the runs of each tenant.")


class _Audit:
    """Audits some runs of one tenant."""

    def __init__(self, ledger: Ledger, runs: Sequence[Run], runtime: Runtime) -> None:
        self._ledger = ledger
        self._runs = runs
        self._runtime = runtime
        self._listed = ListedRows(runs=frozenset(run.id for run in runs))
        self._closed_index = ""
        self._closed_list = ""
        self._changed = [*filter(None, map(self._changed_by_somebody, runs))]

    def _changed_by_somebody(self, run: Run) -> AuditFinding | None:
        try:
            self._ledger.requests.check(run, whole=True)
        except LedgerChangedError as error:
            return AuditFinding(
                kind=Mismatch.CHANGED, request=run.id, identity="", item_type="", item="", said=error.message
            )
        return None

    async def compare(self, sessions: SessionFactory, screen: Screen) -> tuple[Comparison, list[LedgerLine]]:
        """Read the list, and ask about changes that it does not show.

        Returns:
            The comparison, and the changes that are missing although they should be listed.

        Raises:
            CredentialsRefusedError: The token's user may not read the list.
        """
        async with sessions.open(self._ledger, notices_on(screen)) as session:
            tenant = session.tenant
            offset = await tenant.statuses.clock_offset()
            since = min(run.started_at for run in self._runs) + offset - LOOK_BACK
            try:
                await self._read(tenant, Query(since=since, everybody=True))
            except ListingForbiddenError as error:
                self._closed_list = str(error)
                await self._read_own(tenant, since)
            comparison = self._comparison()
            if missing := comparison.missing(self._runtime.now()):
                for person in sorted({line.identity for line in missing})[:MOST_IDENTITIES]:
                    # Another user may have requested it, whose rows ours may not list.
                    with suppress(ListingForbiddenError):
                        await self._read(tenant, Query(since=since, requested_for=person))
                comparison = self._comparison()
                missing = await self._unexplained(tenant, comparison.missing(self._runtime.now()))
        return comparison, missing

    async def _read_own(self, tenant: Tenant, since: datetime) -> None:
        try:
            await self._read(tenant, Query(since=since))
        except ListingForbiddenError as error:
            raise CredentialsRefusedError(
                f"The tenant does not let this client list its requests: {error}.",
                next_step="`access-batch doctor` shows which right is missing.",
            ) from error

    async def _read(self, tenant: Tenant, query: Query) -> None:
        async for row in all_rows(tenant.statuses, query):
            self._listed.take(row)

    async def _unexplained(self, tenant: Tenant, missing: list[LedgerLine]) -> list[LedgerLine]:
        """The changes that should be listed: there is nothing to list if the access was held already."""
        people = sorted({line.identity for line in missing})
        items = {(line.item_type, line.item) for line in missing}
        fine: list[LedgerLine] = []
        try:
            for start in range(0, len(people), PAGE_LIMIT):
                held = await tenant.holdings.of(people[start : start + PAGE_LIMIT], items)
                fine += explained(missing, held)
        except ForbiddenError as error:
            self._closed_index = str(error)
        known = set(fine)
        return [line for line in missing if line not in known]

    def _comparison(self) -> Comparison:
        """The list, which was read first, against the ledger as it is now: it knows of everything that is listed."""
        lines = chain.from_iterable(ledger_lines(self._ledger.tracks.lines(run)) for run in self._runs)
        each = [self._ledger.tracks.attempt_ids(run) for run in self._runs]
        attempts = {number: ids for of_run, _ in each for number, ids in of_run.items()}
        found = {number: ids for _, of_run in each for number, ids in of_run.items()}
        others = (run for run in self._ledger.runs.all() if run.imported and run.tenant == self._runs[0].tenant)
        imported = chain.from_iterable(ledger_lines(self._ledger.tracks.lines(run)) for run in others)
        return Comparison(self._listed, lines, attempts=attempts, found=found, imported=imported)

    def summary(self, comparison: Comparison, missing: Sequence[LedgerLine], tenant: str, began: float) -> AuditSummary:
        """The result."""
        findings = (*self._changed, *comparison.findings(missing))
        elsewhere = self._listed.others.keys() - {run.id for run in self._ledger.runs.all()}
        return AuditSummary(
            tenant=tenant,
            runs=tuple(run.id for run in self._runs),
            changes=sum(line.is_ours_to_show for line in comparison.lines),
            listed=comparison.listed,
            not_listed_yet=comparison.not_listed_yet(self._runtime.now()),
            in_doubt=comparison.in_doubt,
            doubtful_runs=comparison.doubtful_runs,
            elsewhere=sum(self._listed.others[run] for run in elsewhere),
            closed_index=self._closed_index,
            closed_list=self._closed_list,
            findings=findings,
            heads={run.id: self._ledger.head(run).short for run in self._runs},
            elapsed=self._runtime.clock.monotonic() - began,
            names=self._ledger.decisions.known_names(*(run.id for run in self._runs if findings)),
        )
