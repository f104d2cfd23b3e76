"""The precheck of a command: before planning, ask the tenant which wanted changes are in progress or held."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from batch.answers.events import PrecheckResult, tell_each
from batch.commands.call_count import CallCount, month_so_far, stop_for_lack_of
from batch.commands.interrupt import on_interrupt
from batch.commands.preflight import CommandPreflight
from batch.commands.questions import Questions
from batch.commands.session import notices_on, require_fit_token
from batch.dedupe.classify import INTENTION, TENANT_VERDICTS
from batch.dedupe.overlap import KEY, overlapping
from batch.dedupe.reasons import SECOND_HAND
from batch.errors import SettingsError, StoppedError
from batch.loops.compare import other_runs
from batch.loops.precheck_scope import scope_of
from batch.model import CheckTenant, RowClass
from batch.pipeline import with_tenant_verdicts
from batch.report.end_dates import describe_end_dates
from batch.report.precheck import (
    describe_other_runs,
    describe_precheck,
)
from batch.report.tenant_settings import describe_settings
from batch.states import UNSENT, VOID
from batch.status.approvals_ahead import approvals_ahead
from batch.status.end_dates import extension_verdicts
from batch.status.findings import lines_of
from batch.status.in_progress import count_unclear, not_held, plain_grants, tenant_verdicts
from batch.text import count, without_password
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.tenant_settings import TenantSettings
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import SessionFactory
    from batch.ledger.store import Ledger
    from batch.loops.precheck_scope import PrecheckScope
    from batch.model import Run
    from batch.names.accounts import Wanted
    from batch.pipeline import Classified
    from batch.plan.plan import Plan
    from batch.settings import Settings
    from batch.status.approvals_ahead import ApprovalsAhead
    from batch.status.in_progress import TenantView
    from batch.tenant.status import Listing


_Answer = TypeVar("_Answer")


class CommandPrecheck:
    """The precheck of one command, which may plan more than once.

    Args:
        settings: Whether to ask, API version, rate.
        screen: For messages.
        sessions: How to reach the tenant.
        runtime: Clock, randomness and process.
        log: Takes the events.

    Attributes:
        tenant_settings: What holds for every request at the tenant; None if it was not asked.
        approvals: What the newest plan asks of approvers; None without one.
        unknown: Sentences about what the tenant does not show.
        end_dates: Sentences about end dates that the newest plan changes.
        unsaid: From Accounts.unsaid, for the changes at hand.
    """

    def __init__(
        self,
        settings: Settings,
        screen: Screen,
        sessions: SessionFactory,
        runtime: Runtime,
        *,
        log: Tell | None = None,
    ) -> None:
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._calls = CallCount(settings, screen)
        self._tell = tell_each(self._calls.take, notices_on(screen), *([log] if log else []))
        self._when = settings.check_tenant
        self._runtime = runtime
        self._began = runtime.now()
        # Answers that this command received itself stay valid while it runs.
        self._since = self._began - timedelta(seconds=settings.max_age)
        self._oldest: datetime | None = None
        self._unclear = 0
        self._closed_lists = False
        self._closed_index = False
        self._asked_held = self._asked_not_held = True
        self._has_looked = False
        self._unsure = 0
        self.pace = settings.pace
        self._unchecked: dict[str, tuple[int, ...]] = {}
        self.tenant_settings: TenantSettings | None = None
        self.approvals: ApprovalsAhead | None = None
        self.unknown: tuple[str, ...] = ()
        self.end_dates: tuple[str, ...] = ()
        self.preflight = CommandPreflight(settings, screen, runtime)
        self.unsaid: tuple[Wanted, ...] = ()
        self._unchosen = pl.DataFrame(schema=TENANT_VERDICTS)

    def ask(self, ledger: Ledger, classified: Classified) -> pl.DataFrame:
        """The fresh changes to set aside because of the tenant's answers, by dedupe's TENANT_VERDICTS.

        Among them are those that the preflight rejects.

        Raises:
            SettingsError: The precheck is required, and the tenant does not allow it; or the ledger is new, and another
                ledger has submitted to this tenant.
            UnfitTokenError: Nobody can submit with the token.
            StoppedError: The tenant can't be reached, so nothing can be sent either; or the precheck is required, and
                some of its answers can't be read.
        """
        self.end_dates = describe_end_dates(classified.changes)
        fresh = classified.changes.filter("fresh").select(*KEY, *INTENTION, EXTENDS)
        if fresh.is_empty():
            return pl.DataFrame(schema=TENANT_VERDICTS)
        if self._when is CheckTenant.NEVER:
            self.require_no_other_ledger(ledger)
            rejected = self._judged(ledger, classified)
            self.end_dates = describe_end_dates(with_tenant_verdicts(classified, rejected).changes)
            return rejected
        return asyncio.run(self._awaited(self._verdicts(ledger, classified, fresh)))

    async def ask_again(self, ledger: Ledger, classified: Classified) -> pl.DataFrame:
        """As `ask`, for changes that the command is about to send. Only new answers count."""
        fresh = classified.changes.filter("fresh").select(*KEY, *INTENTION, EXTENDS)
        if fresh.is_empty() or self._when is CheckTenant.NEVER:
            return pl.DataFrame(schema=TENANT_VERDICTS)
        self._since = self._runtime.now()
        return await self._verdicts(ledger, classified, fresh)

    async def _verdicts(self, ledger: Ledger, classified: Classified, fresh: pl.DataFrame) -> pl.DataFrame:
        scope = scope_of(fresh, classified.changes)
        self._asked_held = not plain_grants(fresh).is_empty() or bool(fresh.get_column(EXTENDS).any())
        self._asked_not_held = bool(scope.revokes)
        # A fresh change that the ledger knows as sent has ended since: answers from before its end are out of date.
        is_unsent = pl.col("state").is_in([state.value for state in (*VOID, *UNSENT)])
        if not overlapping(classified.known.filter(~is_unsent), fresh).is_empty():
            self._since = self._began
        self.preflight.forget()
        tenant_view = await self._run(ledger, scope, classified.changes.filter("fresh"))
        self._unclear += count_unclear(tenant_view, fresh)
        verdicts = tenant_verdicts(fresh, classified.known, tenant_view)
        of_ends = extension_verdicts(fresh, tenant_view)
        verdicts = pl.concat([verdicts, of_ends.join(verdicts, on=KEY, how="anti")])
        unsure = not_held(fresh, classified.known, tenant_view).filter(~pl.col("proven"))
        unsure = unsure.join(verdicts, on=KEY, how="anti")
        self._unsure = unsure.height
        unchecked = unsure.filter(pl.col("identity_id").is_in(list(tenant_view.unchecked)))
        self._unchecked = lines_of(classified.changes.join(unchecked, on=KEY, how="semi"))
        verdicts = pl.concat([verdicts, self._unchosen.join(verdicts, on=KEY, how="anti")])
        remaining = with_tenant_verdicts(classified, verdicts)
        rejected = self._judged(ledger, remaining)
        self.end_dates = describe_end_dates(with_tenant_verdicts(remaining, rejected).changes, tenant_view)
        return pl.concat([verdicts, rejected])

    def _judged(self, ledger: Ledger, classified: Classified) -> pl.DataFrame:
        """What the tenant's rules reject, as far as it was asked."""
        return self.preflight.judge(classified, partial(ledger.plans.experience, self._sessions.access.tenant))

    def leave_as_planned(self, run: Run) -> None:
        """Say why a plan shows less: its run was planned before, and is not asked about again."""
        why = (
            f"Run {run.id} was planned before, and goes on as it was planned: the tenant was not asked now, so the "
            "plan shows neither approvals nor the tenant's names of people and items."
        )
        self.unknown = (why,)
        self._screen.say(why)

    def look(self, ledger: Ledger, ask: Callable[[Listing], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """Ask the tenant's status list something, whatever `--check-tenant` says.

        Raises:
            UnfitTokenError: Nobody can submit with the token.
            StoppedError: The tenant can't be reached, so nothing can be sent either.
        """
        return asyncio.run(self._awaited(self._asked(ledger, ask)))

    def holders(self, ledger: Ledger, items: Sequence[str]) -> dict[str, int | None]:
        """How many people hold each item, by its id; None if the tenant does not tell. One call each.

        Raises:
            StoppedError: The tenant can't be reached.
        """

        async def count() -> dict[str, int | None]:
            async with self._sessions.open(ledger, self._tell) as session:
                return {item: await session.tenant.holdings.holders(item) for item in items}

        return asyncio.run(self._awaited(count()))

    async def _asked(self, ledger: Ledger, ask: Callable[[Listing], Coroutine[Any, Any, _Answer]]) -> _Answer:
        async with self._sessions.open(ledger, self._tell) as session:
            self._calls.begin(session.tenant.reader)
            await require_fit_token(session.tenant, self._settings.dialect, lambda _event: None)
            return await ask(session.tenant.statuses)

    def require_no_other_ledger(self, ledger: Ledger, planned: Run | None = None) -> None:
        """Check that no other ledger has submitted to the tenant, if this one has never sent anything there.

        Args:
            ledger: May be new.
            planned: The run that it is about to begin; None before that is planned.

        Raises:
            SettingsError: One has.
        """
        if self._is_known(ledger):
            return
        try:
            self.look(ledger, lambda listing: self._refuse_others(listing, ledger, planned))
        except StoppedError:
            if self._when is not CheckTenant.NEVER:
                raise
            # Then nothing can be sent either; the command that sends looks again.

    async def _refuse_others(self, listing: Listing, ledger: Ledger, planned: Run | None = None) -> None:
        if others := await other_runs(listing, lambda: {run.id for run in ledger.runs.all()}):
            drop = f"first `access-batch discard {planned.id}`, then " if planned else ""
            raise SettingsError(
                f"The ledger {without_password(self._settings.ledger_location)} has sent nothing to "
                f"{self._sessions.access.tenant} yet, but the tenant lists "
                f"{describe_other_runs(others)}: another ledger has submitted there.",
                next_step=f"Nothing was sent. Name that ledger with --ledger; or {drop}import its requests "
                "with `access-batch ledger import`; or add --new-ledger to go on without them.",
            )
        self._has_looked = True

    def _is_known(self, ledger: Ledger) -> bool:
        """Whether the ledger has sent something to the tenant, imported its requests, or may be new there."""
        # The embedded sandbox begins empty with each command.
        if self._settings.new_ledger or self._sessions.access.reached_by is None or self._has_looked:
            return True
        tenants, heads = ledger.tenants, self._runtime.heads
        address = self._sessions.access.tenant
        name = tenants.name_of(address)
        here = [run for run in reversed(ledger.runs.all()) if run.tenant == name]
        if any(run.imported or ledger.runs.tally(run).posts for run in here):
            return True
        # A ledger that was put back is compared with the tenant before anything is sent.
        return bool(heads and heads.seen(ledger.gaps.ledger_id(), tenants.addresses(address)))

    def describe(self, verdicts: pl.DataFrame) -> None:
        """Show the result."""
        self._screen.say(*describe_precheck(self.checked(verdicts)))
        self._screen.say(*self.end_dates)
        self.preflight.describe()

    def describe_plan(self, plan: Plan) -> None:
        """Show what holds for every request at the tenant, and what a plan asks of approvers."""
        if (settings := self.tenant_settings) is not None and plan.requests:
            self.approvals = approvals_ahead(plan.changes, settings.requester.id, self.preflight.items)
            self._screen.say(*describe_settings(settings, self.approvals, self._settings.pace, plan.bodies))

    def describe_budget(self, ledger: Ledger, requests: int) -> None:
        """Warn before so many requests are sent if the month's budget of calls does not suffice for them."""
        budget, month = self._settings.monthly_calls, month_so_far(ledger, self._sessions.access, self._runtime.now())
        if budget is None or month is None or (left := max(0, budget - month.calls)) >= requests:
            return
        self._screen.say(
            f"The budget leaves {count(left, 'call')} in {month.month}; sending takes {count(requests, 'request')}. "
            "It will stop before the budget is exceeded, and the same command goes on next month."
        )

    def checked(self, verdicts: pl.DataFrame) -> PrecheckResult | None:
        """The result; None if the tenant was never asked."""
        is_ours = pl.col("tenant_reason").str.starts_with(SECOND_HAND)
        verdicts = verdicts.filter(~is_ours & (pl.col("tenant_class") != RowClass.REJECTED.value))
        if self._oldest is None and self.tenant_settings is None and verdicts.is_empty():
            return None
        counted = Counter(verdicts.get_column("tenant_class").to_list())
        held, not_held = counted[RowClass.ALREADY_HELD.value], counted[RowClass.NOT_HELD.value]
        return PrecheckResult(
            calls=self._calls.total,
            in_progress=None if self._closed_lists else verdicts.height - held - not_held,
            held=held if self._asked_held and not self._closed_index else None,
            not_held=not_held if self._asked_not_held and not self._closed_index else None,
            unsure=self._unsure,
            unchecked=self._unchecked,
            several_files=self.preflight.several_files,
            age=(self._runtime.now() - self._oldest).total_seconds() if self._oldest else None,
            unclear=self._unclear,
        )

    async def _awaited(self, answer: Coroutine[Any, Any, _Answer]) -> _Answer:
        """The answer, unless the user interrupts."""
        asking = asyncio.ensure_future(answer)

        def stop() -> None:
            asking.cancel()

        with on_interrupt(first=stop, second=stop) as interruption:
            try:
                answered = await asking
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
        if interruption.asked:
            raise KeyboardInterrupt("Interrupted during the precheck: nothing was sent.") from None
        return answered

    async def _run(self, ledger: Ledger, scope: PrecheckScope, fresh: pl.DataFrame) -> TenantView:
        async with self._sessions.open(ledger, self._tell) as session:
            self._calls.begin(session.tenant.reader)
            # Sending gives the notice about an unreadable token.
            await require_fit_token(session.tenant, self._settings.dialect, lambda _event: None)
            if not self._is_known(ledger):
                await self._refuse_others(session.tenant.statuses, ledger)
            questions = Questions(
                session,
                ledger,
                self._sessions.access.tenant,
                settings=self._settings,
                screen=self._screen,
                runtime=self._runtime,
                since=self._since,
                tell=self._tell,
                unsaid=self.unsaid,
            )
            token_claims = await session.tenant.token_claims()
            if self.tenant_settings is None:
                self.tenant_settings = await questions.tenant_settings(token_claims)
            tenant_view = await questions.ask(scope, fresh, self.preflight, self._calls, token_claims)
            self.pace = session.pace.present
        self._oldest = questions.oldest or self._oldest
        self._unchosen = questions.unchosen
        if (precheck := questions.precheck) is not None:
            self._unclear = precheck.unread
            self._closed_lists = bool(precheck.closed_list and precheck.closed_approvals)
            self._closed_index = bool(precheck.closed_index)
        if questions.unknown and self._when is CheckTenant.ALWAYS:
            stop_for_lack_of(questions.unknown, forbidden=questions.forbidden)
        self._screen.say(*questions.unknown)
        self.unknown = questions.unknown
        return tenant_view
