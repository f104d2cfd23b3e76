"""`submit`: the main job, from input files to accepted access requests, continued where an earlier process left off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch.classes import count_set_aside
from batch.commands.place import connection, results_folder, tenant_name
from batch.commands.screen import require_an_answer
from batch.errors import LedgerLostError, SettingsError, StoppedError
from batch.interrupt import on_interrupt, undisturbed
from batch.ledger.plans import LedgerMovedError, NewRun
from batch.ledger.process import Process
from batch.ledger.store import Ledger
from batch.model import EMPTY_TALLY, Tally
from batch.prepare import as_if_planned, check_rows, classify_input, plan_fresh, with_outcomes
from batch.read import load_inputs, read_loaded
from batch.report.files import make_folder, write_rejected, write_results
from batch.report.progress import ProgressWatcher
from batch.report.screen import describe_input, describe_rate, question
from batch.report.summary import Summary
from batch.settle import Settler
from batch.states import IN_DOUBT, UNSENT, State
from batch.submit import Submitter
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from batch.commands.screen import Screen
    from batch.model import Run
    from batch.prepare import Classified
    from batch.read import Loaded, Table
    from batch.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """How `submit` ended.

    Attributes:
        summary: What became of the input.
        stopped: Why sending stopped early, if it did.
        interrupted: Whether the user stopped it.
    """

    summary: Summary
    stopped: StoppedError | None = None
    interrupted: bool = False


def submit(inputs: Sequence[str], settings: Settings, screen: Screen, *, stdin: BinaryIO) -> Submitted:
    """Submits the access changes of the inputs.

    Raises:
        AccessBatchError: Nothing was sent, and the error says why.
        DeclinedError: The user was asked and said no.
    """
    began = time.monotonic()
    require_an_answer(yes=settings.yes, stdin_is_input="-" in inputs)
    tenant = tenant_name(settings)
    if not settings.sandbox:
        settings.credentials()
        screen.say(*describe_rate(settings.pace, settings.dialect))
    loaded = load_inputs(inputs, stdin=stdin)
    names = [content.name for content in loaded.contents]
    folder = results_folder(settings, names)
    make_folder(folder, names)
    with Ledger.open(settings.ledger_location, sandbox=settings.sandbox, now=_now()) as ledger:
        screen.say(*ledger.notices)
        job = _Job(ledger, loaded, settings, screen, tenant, inputs)
        run = job.planned()
        posts_before = ledger.runs.tally(run).posts if run else 0
        stopped, interrupted = job.send(run) if run else (None, False)
        with undisturbed():
            summary = job.report(run, folder, posts_before, began)
    return Submitted(summary=summary, stopped=stopped, interrupted=interrupted)


class _Job:
    """One input on its way to one tenant."""

    def __init__(
        self, ledger: Ledger, loaded: Loaded, settings: Settings, screen: Screen, tenant: str, inputs: Sequence[str]
    ) -> None:
        self._ledger = ledger
        self._loaded = loaded
        self._settings = settings
        self._screen = screen
        self._tenant = tenant
        self._inputs = tuple(inputs)
        self._table: Table | None = None
        self._described = False

    def planned(self) -> Run | None:
        """The input's run, planned as far as it can be; None where nothing of it was ever planned."""
        while True:
            run = self._ledger.runs.of_input(self._tenant, self._loaded.digest)
            if run is not None:
                self._check_dialect(run)
                self._ledger.runs.check_free(run, Process.current(), _now())
                tally = self._ledger.runs.tally(run)
                if any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
                    self._screen.say(f"Continuing run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC.")
                    if tally.requests.get(State.PLANNED):
                        self._ask(tally)
                    return run
            try:
                return self._plan(run)
            except LedgerMovedError:
                self._screen.say("Another process has added to the ledger: looking again.")

    def send(self, run: Run) -> tuple[StoppedError | None, bool]:
        """Sends what is planned; returns why it stopped early, and whether the user interrupted it."""
        process = Process.current()
        abandoned = self._ledger.runs.hold(run, process, _now())
        try:
            if abandoned:
                self._screen.say(f"{abandoned} requests were being sent when an earlier process died: unconfirmed.")
            tally = self._ledger.runs.tally(run)
            if not any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
                return None, False
            return asyncio.run(self._send(run, process, tally.requests.get(State.PLANNED, 0)))
        finally:
            with contextlib.suppress(LedgerLostError):
                self._ledger.runs.release(run, process)

    def report(self, run: Run | None, folder: Path, posts_before: int, began: float) -> Summary:
        """Writes the result files and sums up."""
        classified = self._classify(run, _now())
        self._describe(classified)
        run_id = run.id if run else ""
        tally = self._ledger.runs.tally(run) if run else EMPTY_TALLY
        reasons = self._ledger.requests.last_reasons(run) if run else {}
        outcomes = with_outcomes(classified, run=run_id, reasons=reasons)
        return Summary(
            run=run_id,
            tenant=self._tenant,
            dry_run=False,
            rows=classified.rows,
            set_aside=count_set_aside(classified.changes),
            tally=tally,
            lower_bound=run.lower_bound if run else 0,
            posts_now=tally.posts - posts_before,
            files={
                "rejected": write_rejected(folder, classified.table, classified.rejected),
                "results": write_results(folder, classified.table, classified.rejected, outcomes),
            },
            elapsed=time.monotonic() - began,
        )

    def _plan(self, run: Run | None) -> Run | None:
        """Plans what is fresh; the run is the same as before where nothing is."""
        now = _now()
        classified = self._classify(run, now)
        plan = plan_fresh(classified, self._settings.dialect, self._settings.effort)
        self._describe(classified)
        if not plan.requests:
            return run
        self._ask(as_if_planned(EMPTY_TALLY, plan))
        new = NewRun(
            tenant=self._tenant,
            input_digest=self._loaded.digest,
            inputs=self._inputs,
            dialect=self._settings.api,
            started_at=now,
        )
        self._ledger.plans.write(new, plan, upto=classified.upto, now=now)
        return self._ledger.runs.of_input(self._tenant, self._loaded.digest)

    def _classify(self, run: Run | None, now: datetime) -> Classified:
        """The input's rows, judged by the moment of the run's first plan, so that a continued run judges alike."""
        if self._table is None:
            self._table = read_loaded(self._loaded)
            self._screen.say(*self._table.notices)
        validated = check_rows(
            self._table, dialect=self._settings.dialect, now=run.started_at if run is not None else now
        )
        run_id = self._ledger.plans.run_id(self._tenant, self._loaded.digest)
        return classify_input(self._table, validated, plans=self._ledger.plans, tenant=self._tenant, run=run_id)

    def _describe(self, classified: Classified) -> None:
        """Says once what was read: before sending, or after it where a run is continued."""
        if not self._described:
            self._screen.say(*describe_input(classified))
        self._described = True

    def _check_dialect(self, run: Run) -> None:
        if run.dialect != self._settings.api:
            raise SettingsError(
                f"Run {run.id} of this input was planned for --api {run.dialect}, not {self._settings.api}.",
                next_step=f"Nothing was sent. Continue it with --api {run.dialect}.",
            )

    def _ask(self, tally: Tally) -> None:
        self._screen.ask(question(tally, self._tenant, self._settings.pace), yes=self._settings.yes)

    async def _send(self, run: Run, process: Process, requests: int) -> tuple[StoppedError | None, bool]:
        settings = self._settings
        pace = Pace(settings.pace)
        with connection(settings) as place, ProgressWatcher(self._screen.console, requests) as watcher:
            async with Tenant(
                base_url=place.base_url,
                dialect=settings.dialect,
                credentials=place.credentials,
                timeout=settings.timeout,
                concurrency=settings.concurrency,
                pace=pace,
                clock=_now,
            ) as tenant:
                settler = Settler(
                    ledger=self._ledger,
                    listing=tenant.statuses,
                    settle_after=settings.settle_after,
                    clock=_now,
                    say=self._screen.say,
                )
                settler.add(self._ledger.requests.doubts(run))
                submitter = Submitter(
                    run,
                    ledger=self._ledger,
                    tenant=tenant,
                    settler=settler,
                    pace=pace,
                    watcher=watcher,
                    process=process,
                    clock=_now,
                )
                with on_interrupt(first=submitter.stop, second=submitter.abandon) as interruption:
                    try:
                        await submitter.submit(settings.concurrency)
                    except StoppedError as error:
                        return error, False
                if settler.forbidden and not interruption.asked:
                    return _to_be_settled_by_hand(run, settler.forbidden), False
                return None, bool(interruption.asked)


def _to_be_settled_by_hand(run: Run, why: str) -> StoppedError:
    return StoppedError(
        f"The tenant does not let this client look for unconfirmed requests: {why}.",
        next_step="Look for them in the tenant's access requests (results.csv lists them), then say what you found: "
        f"`access-batch settle {run.id} --arrived` or `--not-arrived`.",
    )


def _now() -> datetime:
    return datetime.now(UTC)
