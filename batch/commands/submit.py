"""`submit`: from input files to accepted access requests, continuing an earlier process's run."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.commands.compare import compare_if_behind
from batch.commands.interrupt import undisturbed
from batch.commands.precheck import CommandPrecheck
from batch.commands.report import report_beside
from batch.commands.runs import sum_up_waves
from batch.commands.screen import require_an_answer
from batch.commands.sending import Sending
from batch.commands.session import (
    SessionFactory,
    consent_of,
    find_access,
    results_folder,
)
from batch.commands.sources import open_source
from batch.commands.track import track_run
from batch.dedupe.row_class import changes_set_aside
from batch.errors import DeclinedError, ForeignPlanError, LedgerLostError, StoppedError, UnconfirmedError
from batch.model import EMPTY_TALLY
from batch.pipeline import doubts_elsewhere, failed_elsewhere, latest_states, with_outcomes
from batch.read import check_inputs
from batch.report.files import make_folder, write_result_files
from batch.report.headway import describe_seen, seen
from batch.report.log_file import LogFile
from batch.report.screen import describe_platform, describe_rate
from batch.report.summary import Summary
from batch.states import IN_DOUBT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from batch.commands.input_run import InputRun
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Consent, Screen
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.report.progress import Progress
    from batch.settings import Settings
    from batch.tenant.webhook import Webhook


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
    webhook: Webhook | None = None,
    save_map: bool = False,
) -> Submitted:
    """Submit the access changes of the inputs.

    Args:
        inputs: Files, globs, or `-`.
        settings: All settings.
        screen: For messages and questions.
        runtime: Clock, randomness and process.
        stdin: Read for `-`; None if it is closed.
        webhook: Told of each wave before it begins; None for nobody.
        save_map: Whether to save the given maps in the config file.

    Raises:
        AccessBatchError: Nothing was sent, for the reason in the error.
        DeclinedError: The user declined.
    """
    began = runtime.clock.monotonic()
    check_inputs(inputs)
    consent = _consent(inputs, settings, screen)
    access = find_access(settings)
    tenant = access.tenant
    screen.say(*access.notices)
    if not settings.sandbox:
        screen.say(*describe_platform(sys.platform), *describe_rate(settings.pace, settings.dialect))
    source = open_source(inputs, settings, screen, stdin=stdin, save_map=save_map)
    settings = source.settings
    folder = results_folder(settings, source.names)
    make_folder(folder, source.names)
    with (
        SessionFactory(settings, access, runtime) as sessions,
        LogFile.open(settings.log_file, clock=runtime.clock, complain=screen.complain) as log,
        runtime.open_ledger(settings, screen.say) as ledger,
        _told_if_lost(screen) as shown_of,
    ):
        screen.say(*log.notices)
        consent = sessions.identified(ledger, consent, screen)
        compare_if_behind(ledger, settings, screen, sessions, runtime, log.tell)
        job = source.guarded(ledger, tenant).run(screen, runtime, tenant=tenant, consent=consent)
        # The job frees the file's bytes once they are parsed.
        del source
        check = CommandPrecheck(settings, screen, sessions, runtime, log=log.tell)
        run = job.planned(ledger, sessions, check)
        posts_before = ledger.runs.tally(run).posts if run else 0
        twice, was_behind, is_dropped = 0, False, False
        while True:
            others = job.doubts
            doubts_before = _doubts(ledger, others)
            sending = Sending(
                job, ledger, run, others, check, settings, screen, sessions, runtime, log, shown_of, webhook
            )
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
                twice=twice,
                settings=settings,
                complain=screen.complain,
            )
    return Submitted(summary=summary, stopped=stopped, interrupted=interrupted)


def _consent(inputs: Sequence[str], settings: Settings, screen: Screen) -> Consent:
    """How far the user's flags consent.

    Raises:
        SettingsError: A question is needed, and can't be asked. That a tenant's name must be typed is only known once
            there is something to send.
    """
    consent = consent_of(settings, inputs)
    if not consent.names:
        require_an_answer(consent, screen, stdin_is_input="-" in inputs)
    return consent


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
    twice: int,
    settings: Settings,
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
    files = write_result_files(
        folder,
        classified.table,
        classified.rejected,
        outcomes,
        out_format=settings.out_format,
        waits=run is not None and ledger.waves.limit(run) is not None,
        complain=complain,
    )
    if run:
        files |= report_beside(ledger, run, settings, folder, complain, runtime)
    return Summary(
        run=run_id,
        tenant=tenant,
        dry_run=False,
        rows=classified.rows,
        set_aside=changes_set_aside(classified.changes),
        tally=tally,
        lower_bound=run.lower_bound if run else 0,
        posts_now=tally.posts - posts_before,
        files=files,
        elapsed=runtime.clock.monotonic() - began,
        names=job.name_counts,
        precheck=check.checked(set_aside),
        settings=check.tenant_settings,
        approvals=check.approvals,
        warned=check.preflight.warned,
        tracked=tracked if tracked and (settings.wait or tracked.reported) else None,
        was_tracked=settings.wait,
        waiting=waiting,
        changes=latest_states(classified, run_id) if run else None,
        left_out=classified.table.left_out,
        waves=sum_up_waves(ledger, run, runtime),
        head=ledger.head(run).short if run else "",
    )
