"""Sending what a run has planned: held, compared with the tenant first, and then sent and settled."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from batch.answers.events import Notice, Settled, tell_each
from batch.commands.accounts import account_lookup
from batch.commands.asked_again import AskedAgain
from batch.commands.compare import CommandComparison, may_be_one
from batch.commands.elsewhere import require_none_elsewhere
from batch.commands.interrupt import on_interrupt
from batch.commands.runs import run_now
from batch.commands.session import SessionFactory, notices_on, require_fit_token
from batch.commands.settling import beating, hold_free, settle_alone, settler_of, still_unconfirmed
from batch.commands.track import tracker_of
from batch.commands.webhook import WAVE
from batch.errors import StoppedError
from batch.loops.send import Submitter
from batch.loops.waves import Waves
from batch.model import EMPTY_TALLY, CheckTenant
from batch.plan.waves import Moment, Patience, describe_waves
from batch.report.messages import STOPPING
from batch.report.progress import Progress
from batch.states import IN_DOUBT, UNSENT
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.answers.events import RunEvent, Tell
    from batch.commands.input_run import InputRun
    from batch.commands.precheck import CommandPrecheck
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import TenantSession
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally
    from batch.report.log_file import LogFile
    from batch.settings import Settings
    from batch.tenant.webhook import Webhook


class Sending:
    """Sends the requests that a run has planned, if there is a run, and settles the doubts of other runs meanwhile."""

    def __init__(
        self,
        job: InputRun,
        ledger: Ledger,
        run: Run | None,
        others: Sequence[str],
        check: CommandPrecheck,
        settings: Settings,
        screen: Screen,
        sessions: SessionFactory,
        runtime: Runtime,
        log: LogFile,
        shown_of: dict[str, Progress],
        webhook: Webhook | None,
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._run = run
        self._others = others
        self._check = check
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._runtime = runtime
        self._log = log
        self._webhook = webhook
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
        if not self._job.has_just_planned:
            self._asked_again(run).require_future_dates()
        tally = self._ledger.runs.tally(run)
        if not others and not any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
            return None, False
        try:
            return asyncio.run(self._send(run, tally, others))
        finally:
            if (heads := self._runtime.heads) is not None:
                self._screen.say(*heads.complaints())

    def _require_one_tenant(self, run: Run) -> None:
        """Check that nothing the run would send may have been sent to another address of its tenant.

        Raises:
            SettingsError: It may, and only a token from there can tell.
        """
        if (heads := self._runtime.heads) is not None:
            require_none_elsewhere(self._ledger, run, self._sessions.access.tenant, heads)
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
            waves = self._waves(run, session, tell)
            if waves is None and not self._job.has_just_planned and settings.check_tenant is not CheckTenant.NEVER:
                since = self._runtime.now() - timedelta(seconds=settings.max_age)
                tenant_name = self._sessions.access.tenant
                await self._asked_again(run).only_accounts(
                    account_lookup(session, self._ledger, tenant_name, settings, screen, self._runtime, since=since)
                )
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
                waves=waves,
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

    def _asked_again(self, run: Run) -> AskedAgain:
        return AskedAgain(
            self._job,
            run,
            self._ledger,
            self._check,
            self._screen,
            self._runtime,
            all_or_nothing=self._settings.all_or_nothing,
        )

    def _waves(self, run: Run, session: TenantSession, tell: Tell) -> Waves | None:
        """The waves of the run, by the settings or by what an earlier command has settled; None if it has none."""
        settings, ledger, runtime, size = self._settings, self._ledger, self._runtime, self._settings.wave
        if size is not None or settings.canary is not None or self._job.is_kept:
            ledger.waves.agree(
                run,
                runtime.process,
                Moment.now(runtime.clock),
                changes=None if size is None else size.changes,
                seconds=0.0 if size is None else size.seconds,
                canary=settings.canary,
                kept=self._job.is_kept,
            )
        if (limit := ledger.waves.limit(run)) is None:
            return None
        if limit.changes:
            self._screen.say(f"Run {run.id} is sent in {describe_waves(limit)}.")

        async def look() -> None:
            await tracker_of(ledger, run, settings, session, runtime, tell, track_for=0.0).track()

        def announce() -> None:
            if self._webhook is not None:
                self._webhook.tell(WAVE, run_now(ledger, run, runtime))

        return Waves(
            run,
            ledger=ledger,
            patience=Patience(tolerate=settings.tolerate, canary_for=settings.canary_for),
            process=runtime.process,
            clock=runtime.clock,
            tell=tell,
            look=look,
            before_wave=self._asked_again(run),
            just_planned=self._job.has_just_planned,
            announce=announce,
        )


def _only_of(run: Run, tell: Tell) -> Tell:
    """Leave out the verdicts on other runs' requests, which the display does not count."""

    def tell_own(event: RunEvent) -> None:
        if not isinstance(event, Settled) or event.request.run == run.id:
            tell(event)

    return tell_own
