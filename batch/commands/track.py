"""`track`, and the tracking of `submit --wait`: accepted changes until each has ended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from batch.answers.events import Notice, StatusesRead, tell_each
from batch.commands.interrupt import on_interrupt
from batch.commands.report import report_beside
from batch.commands.runs import status
from batch.commands.session import SANDBOX_FORGETS, SessionFactory, find_access, notices_on, tenant_name
from batch.errors import StoppedError, UsageError
from batch.ledger.track import LOOKED
from batch.loops.track import Tracker
from batch.report.files import make_folder
from batch.report.log_file import LogFile
from batch.report.run_files import FAILED, TRACKED, Origin, failed_beside, results_of, rows_in_results, write_tracked
from batch.report.runs import describe_rest, describe_run, run_as_json
from batch.report.screen import duration
from batch.report.summary import count_states, describe_heads
from batch.report.track import advice, describe_track, describe_unnamed_approvers, exit_code, track_as_json
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.answers.events import RunEvent, Tell
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import TenantSession
    from batch.ledger.store import Ledger
    from batch.model import Clock, Run, Tally, TrackSummary
    from batch.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackResult:
    """How `track` ended.

    Attributes:
        run: The run.
        tally: How far it has come.
        tracked: The tenant's last states of its accepted changes.
        files: Paths of tracked.csv, and of failed.csv if it has rows; None without `--out`. With `--report`, that of
            the report too.
        head: The run's newest event, as `ledger verify --head` takes it.
        elapsed: Seconds that this process took.
        stopped: Why tracking stopped early, if it did.
        interrupted: Whether the user stopped it.
        looked: Whether the tenant's list was read.
    """

    run: Run
    tally: Tally
    tracked: TrackSummary
    files: Mapping[str, str | None]
    head: str
    elapsed: float
    stopped: StoppedError | None
    interrupted: bool
    looked: bool

    @property
    def exit_code(self) -> int:
        """130, 4, 3 or 0, as documented: 4 also if changes of the run are not sent or unconfirmed."""
        if self.interrupted:
            return 130
        return 4 if self._unsent() else exit_code(self.tracked)

    def as_json(self) -> dict[str, Any]:
        """The run as in `status --json`, with this command's own keys."""
        return {
            **run_as_json(self.run, self.tally, self.tracked),
            "tracked": track_as_json(self.tracked),
            "files": dict(self.files),
            "head": self.head,
            "elapsed_s": round(self.elapsed, 3),
        }

    def describe(self, *, only_plans: bool = False) -> Iterator[str]:
        """The same as lines for people; `only_plans` if rows are only sent by a saved plan."""
        yield from describe_run(self.run, self.tally, self.tracked, looked=self.looked)
        if not self.tracked.known:
            yield from (
                describe_track(self.tracked, looked=self.looked)
                if self.tracked.silent
                else ["Nothing to track: no change was accepted."]
            )
        yield from (f"  {name}: {file}" for name, file in self.files.items() if file)
        yield from describe_heads({self.run.id: self.head})
        yield from describe_rest(self.run, self.tally)
        yield from advice(self.tracked, self.run.id, self.files["failed"], only_plans=only_plans)

    def _unsent(self) -> int:
        changes = count_states(self.tally.changes)
        return changes["unsent"] + changes["unconfirmed"]


def track(settings: Settings, name: str, screen: Screen, runtime: Runtime) -> TrackResult:
    """Track the accepted changes of a run.

    Args:
        settings: Tenant, ledger, and how long to track.
        name: The beginning of the run's id; empty for the tenant's newest.
        screen: For messages.
        runtime: Clock, randomness and process.

    Raises:
        UsageError: The run does not exist, belongs to another tenant, or was imported.
        LedgerChangedError: Somebody has changed it; nothing was recorded.
    """
    began = runtime.clock.monotonic()
    access = find_access(settings)
    if settings.sandbox:
        screen.say(SANDBOX_FORGETS)
    screen.say(*access.notices)
    run, *_ = status(settings, name, runtime, screen.say, tenant=access.tenant)
    if run.imported:
        raise UsageError(
            f"Run {run.id} holds requests that were imported from the tenant.",
            next_step="Run `access-batch ledger import` again to bring it up to date.",
        )
    if settings.out is not None:
        make_folder(settings.out, run.inputs, names=(TRACKED, FAILED, failed_beside(run.id)))
    with (
        SessionFactory(settings, access, runtime) as sessions,
        LogFile.open(settings.log_file, clock=runtime.clock, complain=screen.complain) as log,
        runtime.open_ledger(settings, screen.say) as ledger,
    ):
        screen.say(*log.notices)
        run = _of_tenant(ledger, run, sessions, screen)
        ledger.requests.check(run, whole=True)
        stopped, interrupted, twice = track_run(ledger, run, settings, screen, sessions, runtime, log)
        return _result(
            ledger,
            run,
            settings,
            screen,
            runtime,
            began=began,
            twice=twice,
            stopped=stopped,
            interrupted=interrupted,
            looked=stopped is None and not interrupted,
        )


def track_offline(settings: Settings, name: str, screen: Screen, runtime: Runtime) -> TrackResult:
    """What the ledger knows of a run's accepted changes; the tenant is not asked, and nothing is recorded.

    Args:
        settings: Ledger, and where to write the files. A tenant narrows the choice of the newest run.
        name: As for `track`.
        screen: For messages.
        runtime: Clock, randomness and process.

    Raises:
        UsageError: The run does not exist.
    """
    began = runtime.clock.monotonic()
    run, *_ = status(settings, name, runtime, screen.say, tenant=tenant_name(settings))
    if settings.out is not None:
        make_folder(settings.out, run.inputs, names=(TRACKED, FAILED, failed_beside(run.id)))
    with runtime.open_ledger(settings, screen.say, only_read=True) as ledger:
        return _result(ledger, run, settings, screen, runtime, began=began)


def _result(
    ledger: Ledger,
    run: Run,
    settings: Settings,
    screen: Screen,
    runtime: Runtime,
    *,
    began: float,
    twice: int = 0,
    stopped: StoppedError | None = None,
    interrupted: bool = False,
    looked: bool = False,
) -> TrackResult:
    """Sum up, and write tracked.csv and failed.csv."""
    files: dict[str, str | None] = {"tracked": None, "failed": None}
    summary = ledger.tracks.summary(run)
    if settings.out is not None:
        rows = rows_in_results([settings.out, *results_of(run.inputs)], run.id)
        origin = Origin(run=run.id, inputs=run.inputs, names=ledger.decisions.known_names(run.id), rows=rows)
        changes = ledger.tracks.of_run(run)
        files = write_tracked(settings.out, origin, changes, looked=bool(summary.looked_at), complain=screen.complain)
    files |= report_beside(ledger, run, settings, settings.out, screen.complain, runtime)
    return TrackResult(
        run=run,
        tally=replace(ledger.runs.tally(run), changes=ledger.runs.each_once(run)),
        tracked=replace(summary, submitted_twice=twice),
        files=files,
        head=ledger.head(run).short,
        elapsed=runtime.clock.monotonic() - began,
        stopped=stopped,
        interrupted=interrupted,
        looked=looked,
    )


def _of_tenant(ledger: Ledger, run: Run, sessions: SessionFactory, screen: Screen) -> Run:
    """The run, once it is certain that it was submitted to this tenant."""
    sessions.identify(ledger, notices_on(screen))
    run, tenant = ledger.runs.named(run.id), ledger.tenants.name_of(sessions.access.tenant)
    if run.tenant != tenant:
        raise UsageError(
            f"Run {run.id} was submitted to {run.tenant}, not to {tenant}.",
            next_step="Name that tenant with --base-url or --profile.",
        )
    return run


def track_run(
    ledger: Ledger,
    run: Run,
    settings: Settings,
    screen: Screen,
    sessions: SessionFactory,
    runtime: Runtime,
    log: LogFile,
) -> tuple[StoppedError | None, bool, int]:
    """Track a run until nothing is open.

    Returns:
        Why that stopped early, whether the user interrupted it, and how many changes were seen to be submitted twice.
    """
    log.about(run)
    tell = tell_each(notices_on(screen), log.tell, _open_changes_on(screen, runtime.clock))
    return asyncio.run(_track_run(ledger, run, settings, sessions, runtime, tell))


def tracker_of(
    ledger: Ledger,
    run: Run,
    settings: Settings,
    session: TenantSession,
    runtime: Runtime,
    tell: Tell,
    *,
    track_for: float | None,
) -> Tracker:
    """A tracker of a run's accepted changes in an open session."""
    return Tracker(
        run,
        ledger=ledger,
        listing=session.tenant.statuses,
        approvals=session.tenant.approvals,
        by_request=settings.dialect.approvals_by_request,
        settle_after=settings.settle_after,
        clock=runtime.clock,
        tell=tell,
        track_for=track_for,
    )


async def _track_run(
    ledger: Ledger, run: Run, settings: Settings, sessions: SessionFactory, runtime: Runtime, tell: Tell
) -> tuple[StoppedError | None, bool, int]:
    async with sessions.open(ledger, tell) as session:
        tracker = tracker_of(ledger, run, settings, session, runtime, tell, track_for=settings.track_for)
        with on_interrupt(first=tracker.stop, second=tracker.stop, hurry=ledger.hurry) as interruption:
            try:
                await tracker.track()
            except StoppedError as error:
                return error, False, tracker.submitted_twice
            finally:
                if tracker.looked_at is not None:
                    # Only for `status` and `runs`: if the ledger can't be written, they show an older time.
                    with contextlib.suppress(StoppedError):
                        ledger.cache.put(run.tenant, LOOKED, {run.id: None}, at=tracker.looked_at)
        if tracker.closed_approvals:
            tell(Notice(text=describe_unnamed_approvers(settings.dialect, tracker.closed_approvals)))
        return None, bool(interruption.asked), tracker.submitted_twice


LINE_EVERY: Final = 10.0
"""Seconds between two lines that show how many changes are open."""


def _open_changes_on(screen: Screen, clock: Clock) -> Tell:
    """Show how many changes are still open, after readings of the list that are far enough apart."""
    shown_at = -LINE_EVERY

    def tell(event: RunEvent) -> None:
        nonlocal shown_at
        now = clock.monotonic()
        if isinstance(event, StatusesRead) and event.open_changes and now - shown_at >= LINE_EVERY:
            shown_at = now
            then = f"; next look in {duration(event.wait)}" if event.wait > 0 else ""
            screen.say(f"{count(event.open_changes, 'change')} still open{then}.")

    return tell
