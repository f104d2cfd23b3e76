"""Ask the tenant, before anything is planned, which wanted changes are in progress there or held already."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from batch.answers.events import PrecheckCost, tell_each
from batch.api.dialects import ADMIN_LEVEL
from batch.commands.interrupt import on_interrupt
from batch.commands.session import notices_on, require_fit_token
from batch.dedupe.classify import INTENTION, KEY, TENANT_VERDICTS
from batch.errors import SettingsError
from batch.loops.precheck import Precheck, PrecheckScope
from batch.model import CheckTenant, PrecheckResult, RowClass
from batch.report.precheck import describe_cost, describe_precheck, describe_unknown
from batch.states import VOID
from batch.status.cheapest_list import is_expensive
from batch.status.in_progress import count_unclear, plain_grants, tenant_verdicts

if TYPE_CHECKING:
    from datetime import datetime

    from batch.answers.events import RunEvent, Tell
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import SessionFactory
    from batch.ledger.store import Ledger
    from batch.pipeline import Classified
    from batch.settings import Settings
    from batch.status.in_progress import TenantView


class CommandPrecheck:
    """What one command asks its tenant before it plans, however often it plans.

    Args:
        settings: Say whether, and which API version, at which rate.
        screen: For messages.
        sessions: How to reach the tenant.
        runtime: Clock, randomness and process.
        usual: What holds where the settings don't say whether.
        log: Takes what holds it up.
    """

    def __init__(
        self,
        settings: Settings,
        screen: Screen,
        sessions: SessionFactory,
        runtime: Runtime,
        *,
        usual: CheckTenant,
        log: Tell | None = None,
    ) -> None:
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._tell = tell_each(self._show_cost, notices_on(screen), *([log] if log else []))
        self._when = settings.check_tenant or usual
        self._runtime = runtime
        self._began = runtime.now()
        # What it has told this very command counts, however long the command takes.
        self._since = self._began - timedelta(seconds=settings.max_age)
        self._calls = 0
        self._oldest: datetime | None = None
        self._unclear = 0
        self._closed_list = False
        self._closed_index = False
        self._asked_held = True

    def ask(self, ledger: Ledger, classified: Classified) -> pl.DataFrame:
        """Which fresh changes are to be set aside by the tenant's word, by dedupe's TENANT_VERDICTS.

        Raises:
            SettingsError: It must be asked, and does not let us.
            UnfitTokenError: Nobody can submit with its token anyway.
            StoppedError: The tenant can't be asked, so it could not be sent anything either.
        """
        fresh = classified.changes.filter("fresh").select(*KEY, *INTENTION)
        if self._when is CheckTenant.NEVER or fresh.is_empty():
            return pl.DataFrame(schema=TENANT_VERDICTS)
        plain = plain_grants(fresh)
        question = PrecheckScope(
            people=fresh.get_column("identity_id").unique().sort().to_list(),
            holders=plain.get_column("identity_id").unique().sort().to_list(),
            items=frozenset(plain_grants(classified.changes).select("item_type", "item_id").unique().rows()),
        )
        self._asked_held = bool(question.holders)
        # What is fresh although the ledger has it has come to its end: what was said before that is out of date.
        is_void = pl.col("state").is_in([state.value for state in VOID])
        ended = classified.known.filter(~is_void).join(fresh, on=KEY, how="semi")
        if not ended.is_empty():
            self._since = self._began
        tenant_view = asyncio.run(self._hear(ledger, question))
        self._unclear += count_unclear(tenant_view, fresh)
        return tenant_verdicts(fresh, classified.known, tenant_view)

    def describe(self, told: pl.DataFrame) -> None:
        """Says what came of it."""
        self._screen.say(*describe_precheck(self.checked(told)))

    def checked(self, told: pl.DataFrame) -> PrecheckResult | None:
        """What came of it; None where the tenant was not asked, neither now nor before."""
        if self._oldest is None and not self._calls and told.is_empty():
            return None
        held = int((told.get_column("tenant_class") == RowClass.ALREADY_HELD.value).sum())
        return PrecheckResult(
            calls=self._calls,
            in_progress=None if self._closed_list else told.height - held,
            held=held if self._asked_held and not self._closed_index else None,
            age=(self._runtime.now() - self._oldest).total_seconds() if self._oldest else None,
            unclear=self._unclear,
        )

    async def _hear(self, ledger: Ledger, question: PrecheckScope) -> TenantView:
        asking = asyncio.ensure_future(self._inquire(ledger, question))

        def stop() -> None:
            asking.cancel()

        with on_interrupt(first=stop, second=stop) as interruption:
            try:
                return await asking
            except asyncio.CancelledError:
                if interruption.asked:
                    raise KeyboardInterrupt("Interrupted while the tenant was asked: nothing was sent.") from None
                raise

    async def _inquire(self, ledger: Ledger, question: PrecheckScope) -> TenantView:
        settings, dialect = self._settings, self._settings.dialect
        async with self._sessions.line(ledger, self._tell) as line:
            # What it can't be sure of is told before sending.
            await require_fit_token(line.tenant, dialect, lambda _event: None)
            token_claims = await line.tenant.token_claims()
            inquiry = Precheck(
                listing=line.tenant.statuses,
                holdings=line.tenant.holdings,
                administration=bool(dialect.paths.administration),
                sees_all=ADMIN_LEVEL in token_claims.authorities,
                myself=token_claims.user_id,
                memory=ledger.cache,
                tenant=self._sessions.access.tenant,
                since=self._since,
                clock=self._runtime.clock,
                width=settings.concurrency,
                tell=self._tell,
            )
            try:
                tenant_view = await inquiry.ask(question)
            finally:
                self._calls += inquiry.calls
        self._oldest = inquiry.oldest or self._oldest
        self._unclear = inquiry.unread
        self._closed_list, self._closed_index = bool(inquiry.closed_list), bool(inquiry.closed_index)
        unknown = tuple(describe_unknown(dialect, closed_list=inquiry.closed_list, closed_index=inquiry.closed_index))
        if unknown and self._when is CheckTenant.ALWAYS:
            raise SettingsError(
                " ".join(unknown), next_step="Nothing was sent. --check-tenant auto goes on without knowing it."
            )
        self._screen.say(*unknown)
        return tenant_view

    def _show_cost(self, event: RunEvent) -> None:
        if isinstance(event, PrecheckCost):
            settings = self._settings
            dear = is_expensive(event.calls, event.people, settings.dialect.limits)
            self._screen.say(*describe_cost(event.calls, settings.pace, dear=dear))
