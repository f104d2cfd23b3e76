"""`submit`: from input files to accepted access requests, continuing an earlier process's run."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.answers.events import Notice, Settled, tell_each
from batch.commands.compare import CommandComparison, may_be_one
from batch.commands.input_run import InputRun
from batch.commands.interrupt import on_interrupt, undisturbed
from batch.commands.loading import load
from batch.commands.precheck import CommandPrecheck
from batch.commands.screen import require_an_answer
from batch.commands.session import (
    SessionFactory,
    consent_of,
    find_access,
    notices_on,
    require_fit_token,
    results_folder,
)
from batch.commands.settling import beating, hold_free, settle_alone, settler_of, still_unconfirmed
from batch.commands.track import track_run
from batch.dedupe.row_class import changes_set_aside
from batch.errors import DeclinedError, ForeignPlanError, LedgerLostError, StoppedError, UnconfirmedError
from batch.loops.send import Submitter
from batch.model import EMPTY_TALLY
from batch.pipeline import doubts_elsewhere, failed_elsewhere, latest_states, with_outcomes
from batch.read import check_inputs, shown
from batch.report.files import make_folder, write_result_files
from batch.report.headway import describe_seen, seen
from batch.report.log_file import LogFile
from batch.report.messages import STOPPING
from batch.report.progress import Progress
from batch.report.screen import describe_platform, describe_rate
from batch.report.summary import Summary
from batch.states import IN_DOUBT, UNSENT
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from batch.answers.events import RunEvent, Tell
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally
    from batch.settings import OutFormat, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """How `submit` ended.

    Attributes:
        summary: The result for every row, request and file.
        stopped: Why sending stopped early, if it did.
        interrupted: Whether the user stopped it.
    """

    summary: Summary
    stopped: StoppedError | None = None
    interrupted: bool = False


def submit(
    inputs: Sequence[str],
    settings: Settings,
    screen: Screen,
    runtime: Runtime,
    *,
    stdin: BinaryIO | None,
    save_map: bool = False,
) -> Submitted:
    """Submit the access changes of the inputs.

    Args:
        inputs: Files, globs, or `-`.
        settings: All settings.
        screen: For messages and questions.
        runtime: Clock, randomness and process.
        stdin: Read for `-`; None if it is closed.
        save_map: Whether to save the given maps in the config file.

    Raises:
        AccessBatchError: Nothing was sent, for the reason in the error.
        DeclinedError: The user declined.
    """
    began = runtime.clock.monotonic()
    check_inputs(inputs)
    consent = consent_of(settings, inputs)
    require_an_answer(consent, screen, stdin_is_input="-" in inputs)
    access = find_access(settings)
    tenant = access.tenant
    screen.say(*access.notices)
    if not settings.sandbox:
        screen.say(*describe_platform(sys.platform), *describe_rate(settings.pace, settings.dialect))
    loaded = load(inputs, settings, screen, stdin=stdin, save_map=save_map)
    names = [content.name for content in loaded.contents]
    folder = results_folder(settings, names)
    make_folder(folder, names)
    with (
        SessionFactory(settings, access, runtime) as sessions,
        LogFile.open(settings.log_file, clock=runtime.clock, complain=screen.complain) as log,
        runtime.open_ledger(settings, screen.say) as ledger,
        _told_if_lost(screen) as shown_of,
    ):
        screen.say(*log.notices)
        consent = sessions.identified(ledger, consent, screen, stdin_is_input="-" in inputs)
        job = InputRun(loaded, settings, screen, runtime, tenant=tenant, inputs=[*map(shown, inputs)], consent=consent)
        # InputRun frees the file's bytes once they are parsed.
        del loaded
        check = CommandPrecheck(settings, screen, sessions, runtime, log=log.tell)
        run = job.planned(ledger, sessions, check)
        posts_before = ledger.runs.tally(run).posts if run else 0
        twice, was_behind, is_dropped = 0, False, False
        while True:
            others = job.doubts
            doubts_before = _doubts(ledger, others)
            sending = _Sending(job, ledger, run, others, settings, screen, sessions, runtime, log, shown_of)
            stopped, interrupted = sending.send()
            # Planning again leaves no foreign plan in the run.
            is_foreign = not interrupted and isinstance(stopped, ForeignPlanError)
            # If a doubt stays open, others may be settled, and the rows that they held back can be sent.
            is_over = interrupted or not (stopped is None or isinstance(stopped, UnconfirmedError))
            # If nothing has become free, planning again would only send refused changes again, and again.
            is_freed = _doubts(ledger, others) < doubts_before
            is_behind = not is_over and job.is_behind(ledger, run)
            if not is_foreign and (is_over or not (is_freed or (is_behind and not was_behind))):
                is_dropped = run is not None and is_behind and ledger.runs.was_dropped(run)
                break
            was_behind = was_behind or is_behind
            try:
                planned = job.planned_again(ledger, sessions, check)
            except DeclinedError:
                interrupted = True
                break
            run = planned or run
            if planned is None and set(job.doubts) <= set(others):
                break
        if run and is_dropped and stopped is None:
            stopped = StoppedError(
                f"Another machine has dropped requests that run {run.id} had planned, and has not planned them anew.",
                next_step="They were not sent. The same command plans them anew.",
            )
        if run and settings.wait and stopped is None and not interrupted:
            stopped, interrupted, twice = track_run(ledger, run, settings, screen, sessions, runtime, log)
        with undisturbed():
            summary = _report(
                job,
                ledger,
                run,
                folder,
                tenant=tenant,
                check=check,
                posts_before=posts_before,
                began=began,
                runtime=runtime,
                tracked_now=settings.wait,
                twice=twice,
                out_format=settings.out_format,
                complain=screen.complain,
            )
    return Submitted(summary=summary, stopped=stopped, interrupted=interrupted)


@contextmanager
def _told_if_lost(screen: Screen) -> Iterator[dict[str, Progress]]:
    """Report the last displayed progress if the ledger is lost, because there is no summary then.

    Yields:
        The display of each run's progress by the run's id, to be filled by the caller.
    """
    shown_of: dict[str, Progress] = {}
    try:
        yield shown_of
    except LedgerLostError as error:
        for run, progress in shown_of.items():
            screen.say(describe_seen(run, progress.headway))
            error.known = {"run": run, **seen(progress.headway)}
        raise


def _doubts(ledger: Ledger, runs: Sequence[str]) -> int:
    """How many requests of these runs are in doubt."""
    tallies = (ledger.runs.tally(ledger.runs.named(name)) for name in runs)
    return sum(tally.requests.get(state, 0) for tally in tallies for state in IN_DOUBT)


class _Sending:
    """Sends the requests that a run has planned, if there is a run, and settles the doubts of other runs meanwhile."""

    def __init__(
        self,
        job: InputRun,
        ledger: Ledger,
        run: Run | None,
        others: Sequence[str],
        settings: Settings,
        screen: Screen,
        sessions: SessionFactory,
        runtime: Runtime,
        log: LogFile,
        shown_of: dict[str, Progress],
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._run = run
        self._others = others
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._runtime = runtime
        self._log = log
        self._shown_of = shown_of

    def send(self) -> tuple[StoppedError | None, bool]:
        """Send; return why sending stopped early, and whether the user interrupted it."""
        run, ledger = self._run, self._ledger
        with ExitStack() as stack:
            abandoned = stack.enter_context(self._runtime.holding(ledger, run)) if run else 0
            if abandoned:
                lost = count(abandoned, "request")
                self._screen.say(f"{lost} unconfirmed, because an earlier process died while sending.")
            others = hold_free(stack, self._runtime, ledger, self._others)
            if others:
                names = " and ".join(f"run {one.id}" for one in others)
                self._screen.say(
                    f"Rows that {names} may have submitted wait until the tenant's list shows whether they arrived."
                )
            tally = ledger.runs.tally(run) if run else EMPTY_TALLY
            if run and any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
                return self._logged(run, tally, others)
            if not others:
                return None, False
            tell = tell_each(notices_on(self._screen), self._log.tell)
            return settle_alone(ledger, others, self._settings, self._sessions, self._runtime, tell)

    def _logged(self, run: Run, tally: Tally, others: Sequence[Run]) -> tuple[StoppedError | None, bool]:
        """Send, and log the beginning and the end, whatever ends it."""
        state, reason = "failed", ""
        self._log.run_begins(run, tally)
        try:
            stopped, interrupted = self._compared_and_sent(run, others)
            state = "stopped" if stopped else "interrupted" if interrupted else "complete"
            reason = stopped.message if stopped else ""
        finally:
            self._log.run_ends(state, reason, self._ledger.head(run).short if state != "failed" else "")
        return stopped, interrupted

    def _compared_and_sent(self, run: Run, others: Sequence[Run]) -> tuple[StoppedError | None, bool]:
        """Compare the ledger with the tenant, then send what is still to be sent."""
        comparison = CommandComparison(self._ledger, self._settings, self._screen, self._sessions, self._runtime)
        # First, since the comparison would count an arrival for this run that is the other tenant's.
        self._require_one_tenant(run)
        try:
            comparison.compare(self._log.tell)
        except StoppedError as error:
            return error, False
        self._require_one_tenant(run)
        tally = self._ledger.runs.tally(run)
        if not others and not any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
            return None, False
        try:
            return asyncio.run(self._send(run, tally, others))
        finally:
            if (heads := self._runtime.heads) is not None:
                self._screen.say(*heads.complaints())

    def _require_one_tenant(self, run: Run) -> None:
        """Check that the ledger has no other tenant that may be the run's.

        Raises:
            SettingsError: It has, and only a token from there can tell.
        """
        if same := self._ledger.tenants.may_be_of(run):
            raise may_be_one(self._sessions.access.tenant, same[0])

    async def _send(self, run: Run, tally: Tally, others: Sequence[Run]) -> tuple[StoppedError | None, bool]:
        settings = self._settings
        screen = self._screen
        progress = self._shown_of[run.id] = Progress(
            screen.console,
            tally,
            settings.pace,
            clock=self._runtime.clock,
            names=replace(self._ledger.decisions.known_names(run.id), line=self._job.line_of),
            quiet=screen.quiet,
            verbose=screen.verbose,
        )
        tell = tell_each(_only_of(run, progress.tell), self._log.tell)
        async with (
            progress,
            self._sessions.open(self._ledger, tell) as session,
            beating(self._ledger, others, self._runtime),
        ):
            tenant, pace = session.tenant, session.pace
            try:
                await require_fit_token(tenant, settings.dialect, tell)
            except StoppedError as error:
                return error, False
            settler = settler_of(self._ledger, session, settings, self._runtime, tell, [run, *others])
            submitter = Submitter(
                run,
                ledger=self._ledger,
                tenant=tenant,
                settler=settler,
                pace=pace,
                tell=tell,
                process=self._runtime.process,
                clock=self._runtime.clock,
                jitter=self._runtime.jitter,
                give_up_after=settings.give_up_after,
            )

            def stop() -> None:
                tell(Notice(text=STOPPING))
                submitter.stop()

            with on_interrupt(first=stop, second=submitter.abandon, hurry=self._ledger.hurry) as interruption:
                try:
                    await submitter.submit(settings.concurrency)
                except StoppedError as error:
                    return error, False
            if settler.unconfirmed and not interruption.asked:
                return still_unconfirmed(settler), False
            return None, bool(interruption.asked)


def _only_of(run: Run, tell: Tell) -> Tell:
    """Leave out the verdicts on other runs' requests, which the display does not count."""

    def tell_own(event: RunEvent) -> None:
        if not isinstance(event, Settled) or event.request.run == run.id:
            tell(event)

    return tell_own


def _report(
    job: InputRun,
    ledger: Ledger,
    run: Run | None,
    folder: Path,
    *,
    tenant: str,
    check: CommandPrecheck,
    posts_before: int,
    began: float,
    runtime: Runtime,
    tracked_now: bool,
    twice: int,
    out_format: OutFormat,
    complain: Callable[[str], object],
) -> Summary:
    """Write the result files and sum up."""
    set_aside = job.set_aside(ledger)
    run_id = run.id if run else ""
    classified = job.after_sending(ledger, run)
    job.describe(classified)
    tally = ledger.runs.tally(run) if run else EMPTY_TALLY
    reasons = ledger.requests.last_reasons(run) if run else {}
    tracked = replace(ledger.tracks.summary(run), submitted_twice=twice) if run else None
    _, waiting = doubts_elsewhere(classified)
    ids = ledger.requests.ids(run) if run else {}
    outcomes = with_outcomes(classified, run=run_id, reasons=reasons, ids=ids)
    tracked = tracked and replace(tracked, requested_since=failed_elsewhere(outcomes))
    return Summary(
        run=run_id,
        tenant=tenant,
        dry_run=False,
        rows=classified.rows,
        set_aside=changes_set_aside(classified.changes),
        tally=tally,
        lower_bound=run.lower_bound if run else 0,
        posts_now=tally.posts - posts_before,
        files=write_result_files(
            folder, classified.table, classified.rejected, outcomes, out_format=out_format, complain=complain
        ),
        elapsed=runtime.clock.monotonic() - began,
        names=job.name_counts,
        precheck=check.checked(set_aside),
        settings=check.tenant_settings,
        approvals=check.approvals,
        warned=check.preflight.warned,
        tracked=tracked if tracked and (tracked_now or tracked.reported) else None,
        was_tracked=tracked_now,
        waiting=waiting,
        changes=latest_states(classified, run_id) if run else None,
        left_out=classified.table.left_out,
        head=ledger.head(run).short if run else "",
    )
