"""`cancel`: cancels the requests of a run at the tenant, and writes undo.csv with a revoke for each grant."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch.commands.interrupt import on_interrupt, undisturbed
from batch.commands.screen import Consent, require_an_answer
from batch.commands.session import (
    SANDBOX_FORGETS,
    SessionFactory,
    consent_of,
    find_access,
    notices_on,
    results_folder,
)
from batch.errors import CredentialsRefusedError, LedgerLostError, SettingsError, StoppedError, UsageError
from batch.loops.cancel import Canceller
from batch.names.known import extension_name
from batch.report.cancel import CancelSummary, question
from batch.report.files import make_folder
from batch.report.run_files import UNDO, Origin, results_of, rows_in_results, write_undo
from batch.states import IN_DOUBT, State
from batch.status.cancel import (
    CancelOutcome,
    RunRows,
    cancel_outcomes,
    cancel_scope,
    count_outcomes,
    new_statuses,
    to_revoke,
)
from batch.status.compare import sent_since
from batch.status.evidence import LOOK_BACK
from batch.status.matching import RunChanges, accepted_changes
from batch.tenant.reading import ForbiddenError
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally
    from batch.settings import Settings
    from batch.status.matching import AcceptedChange

LONGEST_COMMENT: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelResult:
    """How `cancel` ended.

    Attributes:
        summary: The outcome of the run's changes.
        stopped: Why it ended early, if it did.
    """

    summary: CancelSummary
    stopped: StoppedError | None = None


def cancel(
    name: str, settings: Settings, screen: Screen, runtime: Runtime, *, comment: str = "", dry_run: bool = False
) -> CancelResult:
    """Cancel the changes of a run that can still be cancelled, and write `undo.csv` for those that were granted.

    Args:
        name: The run's id, or its beginning.
        settings: Tenant and ledger.
        screen: For messages and the question.
        runtime: Clock, randomness and process.
        comment: For the approvers, and for the revokes; empty for a sentence that names the run.
        dry_run: Whether to only show what would be cancelled.

    Raises:
        UsageError: The run does not exist, or can't be cancelled here; nothing was sent.
        LedgerChangedError: Somebody has changed the run; nothing was sent.
        DeclinedError: The user declined.
        StoppedError: It stopped before the run's changes were read.
    """
    began = runtime.clock.monotonic()
    consent = Consent() if dry_run else consent_of(settings)
    if len(comment) > LONGEST_COMMENT:
        raise SettingsError(
            f"--comment is longer than {LONGEST_COMMENT} characters.", next_step="Nothing was sent. Shorten it."
        )
    access = find_access(settings)
    if settings.sandbox:
        screen.say(SANDBOX_FORGETS)
    screen.say(*access.notices)
    with (
        SessionFactory(settings, access, runtime) as sessions,
        runtime.existing_ledger(settings, screen.say) as ledger,
    ):
        run = ledger.runs.named(name)
        _require_not_imported(run)
        if not dry_run:
            require_an_answer(consent, screen, stdin_is_input=False)
        if dry_run:
            sessions.identify(ledger, notices_on(screen))
        else:
            consent = sessions.identified(ledger, consent, screen)
            require_an_answer(consent, screen, stdin_is_input=False)
        run = ledger.runs.named(run.id)
        _require_tenant(run, ledger.tenants.name_of(access.tenant))
        with _held(ledger, run, runtime, dry_run=dry_run):
            ledger.requests.check(run, whole=True)
            job = _CancelJob(
                ledger, run, settings, screen, sessions, runtime, on_one_line(comment, most=LONGEST_COMMENT), consent
            )
            if not dry_run:
                make_folder(job.folder, run.inputs, names=(UNDO,))
            stopped, interrupted = asyncio.run(job.work(dry_run=dry_run))
            with undisturbed():
                summary = job.summary(dry_run=dry_run, interrupted=interrupted, began=began)
    return CancelResult(summary=summary, stopped=stopped)


def _require_not_imported(run: Run) -> None:
    if run.imported:
        raise UsageError(
            f"Run {run.id} holds requests that were imported from the tenant: access-batch did not create them.",
            next_step="Nothing was sent. `access-batch runs` lists the runs.",
        )


def _require_tenant(run: Run, tenant: str) -> None:
    if run.tenant != tenant:
        raise SettingsError(
            f"Run {run.id} was submitted to {run.tenant}, not to {tenant}.",
            next_step="Nothing was sent. Name that tenant with --base-url or --profile.",
        )


@contextlib.contextmanager
def _held(ledger: Ledger, run: Run, runtime: Runtime, *, dry_run: bool) -> Iterator[None]:
    """Hold the run while the block lasts; a dry run only requires that no other process works on it now."""
    if dry_run:
        ledger.runs.check_free(run, runtime.process, runtime.now())
        yield
        return
    with runtime.holding(ledger, run):
        yield


class _CancelJob:
    """Cancels one run."""

    def __init__(
        self,
        ledger: Ledger,
        run: Run,
        settings: Settings,
        screen: Screen,
        sessions: SessionFactory,
        runtime: Runtime,
        comment: str,
        consent: Consent,
    ) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._run = run
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._comment = comment
        self._consent = consent
        self._own = RunChanges(run.id, accepted_changes(ledger.tracks.of_run(run)), ledger.lost.restored())
        self._began = runtime.now()
        self._first: RunRows = RunRows()
        self._canceller: Canceller | None = None
        self.folder = _folder(settings, run)

    async def work(self, *, dry_run: bool) -> tuple[StoppedError | None, bool]:
        """Read, ask, cancel and read back; return why that ended early, and whether the user interrupted it."""
        first_attempt = self._ledger.cancels.first_attempt(self._run)
        if first_attempt is None or not self._own.changes:
            return None, False
        tell, since = notices_on(self._screen), min(first_attempt, sent_since(self._run))
        async with self._sessions.open(self._ledger, tell) as session:
            statuses = session.tenant.statuses
            self._canceller = canceller = Canceller(
                own=self._own,
                cancel_port=session.tenant.cancel_client,
                listing=statuses,
                since=since + min(await statuses.clock_offset(), timedelta()) - LOOK_BACK,
                comment=self._comment or f"Run {self._run.id} of access-batch is taken back.",
                settle_after=self._settings.settle_after,
                clock=self._runtime.clock,
                concurrency=self._settings.concurrency,
                tell=tell,
            )
            try:
                await canceller.look()
            except ForbiddenError as error:
                raise CredentialsRefusedError(
                    f"The tenant does not let this client read the status list: {error}.",
                    next_step="Nothing was cancelled. `access-batch doctor` shows which rights are missing.",
                ) from error
            self._first = canceller.run_rows
            if dry_run:
                return None, False
            self._record()
            return await self._cancel(canceller)

    async def _cancel(self, canceller: Canceller) -> tuple[StoppedError | None, bool]:
        wanted = cancel_scope(canceller.run_rows)
        if not wanted.changes:
            return None, False
        requests = len(wanted.whole) + len({row.access_request for row in wanted.single})
        asked = question(self._run.id, self._run.tenant, wanted.changes, requests)
        self._screen.ask(asked, self._consent)
        detail = {
            "changes": wanted.changes,
            "access_requests": len(wanted.whole),
            "single": len(wanted.single),
            "comment": self._comment,
        }
        stopped = None
        task = asyncio.ensure_future(canceller.cancel())

        def abandon() -> None:
            task.cancel()

        with on_interrupt(first=canceller.stop, second=abandon, hurry=self._ledger.hurry) as interruption:
            self._ledger.cancels.begin(self._run, self._runtime.process, detail, self._runtime.now())
            try:
                await task
            except StoppedError as error:
                stopped = error
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
            except ForbiddenError as error:
                stopped = CredentialsRefusedError(
                    f"The tenant does not let this client read the status list any more: {error}.",
                    next_step=f"Run `access-batch cancel {self._run.id}` again to see which changes were cancelled.",
                )
        with contextlib.suppress(LedgerLostError):
            self._record()
        return stopped, bool(interruption.asked)

    def _record(self) -> None:
        """Record what the list shows now."""
        self._ledger.tracks.write(self._run, new_statuses(self._own, self._run_rows), self._runtime.now())

    @property
    def _run_rows(self) -> RunRows:
        return self._canceller.run_rows if self._canceller else RunRows()

    def summary(self, *, dry_run: bool, interrupted: bool, began: float) -> CancelSummary:
        """Write `undo.csv`, and sum up."""
        outcomes = cancel_outcomes(self._own, self._run_rows)
        before = cancel_outcomes(self._own, self._first)
        tally = self._ledger.runs.tally(self._run)
        canceller = self._canceller
        names = self._ledger.decisions.known_names(self._run.id)

        def extends(change: AcceptedChange) -> bool:
            return extension_name((change.identity, change.item_type, change.item, change.account)) in names.extended

        granted = to_revoke(self._own, outcomes, extends)
        rows = rows_in_results([self.folder, *results_of(self._run.inputs)], self._run.id)
        origin = Origin(run=self._run.id, inputs=self._run.inputs, names=names, rows=rows)
        return CancelSummary(
            run=self._run.id,
            tenant=self._run.tenant,
            dry_run=dry_run,
            outcomes=count_outcomes(outcomes),
            found=before.count(CancelOutcome.CANCELABLE),
            would_cancel=_of(self._own, before, CancelOutcome.CANCELABLE) if dry_run else (),
            to_revoke=granted,
            extended=sum(map(extends, _of(self._own, outcomes, CancelOutcome.GRANTED))),
            recent=sum(map(self._may_turn_up, outcomes, self._own.changes)),
            unsent=tally.changes.get(State.PLANNED, 0),
            unconfirmed=_unconfirmed(tally),
            calls=canceller.calls if canceller else {},
            refused=canceller.refused if canceller and CancelOutcome.CANCELABLE in outcomes else "",
            interrupted=interrupted,
            undo=None
            if dry_run
            else write_undo(self.folder, origin, granted, self._undo_comment(), complain=self._screen.complain),
            head=self._ledger.head(self._run).short,
            elapsed=self._runtime.clock.monotonic() - began,
            names=replace(names, line=origin.lines()),
        )

    def _may_turn_up(self, outcome: CancelOutcome, change: AcceptedChange) -> bool:
        patience = timedelta(seconds=self._settings.settle_after)
        return outcome is CancelOutcome.NOT_VISIBLE and self._began < change.accepted_at + patience

    def _undo_comment(self) -> str:
        named = f"run {self._run.id} of access-batch"
        return f"{self._comment} ({named})" if self._comment else f"Takes back the access that {named} granted."


def _of(own: RunChanges, outcomes: Sequence[CancelOutcome], outcome: CancelOutcome) -> tuple[AcceptedChange, ...]:
    return tuple(change for change, one in zip(own.changes, outcomes, strict=True) if one is outcome)


def _unconfirmed(tally: Tally) -> int:
    return sum(tally.changes.get(state, 0) for state in IN_DOUBT)


def _folder(settings: Settings, run: Run) -> Path:
    """The folder for `undo.csv`: `--out`; beside the run's first input if that exists; else the current folder."""
    if settings.out is not None or Path(run.inputs[0]).is_file():
        return results_folder(settings, run.inputs)
    return Path(f"{run.id}.undo")
