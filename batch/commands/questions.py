"""What one command asks in one session with the tenant before it plans, in the order in which it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from batch.api.dialects import ADMIN_LEVEL, ItemType
from batch.api.tenant_settings import Unshown
from batch.commands.accounts import SHOWN_EVERY, account_lookup, unchosen
from batch.commands.tenant_settings import SettingsQuestion
from batch.dedupe.classify import TENANT_VERDICTS
from batch.loops.end_dates import EndDates
from batch.loops.precheck import Precheck
from batch.loops.preflight import meanwhile
from batch.model import CheckTenant
from batch.report.end_dates import describe_closed_assignments, describe_closed_end_dates
from batch.report.precheck import describe_no_accounts, describe_unknown
from batch.report.preflight import describe_closed
from batch.report.tenant_settings import describe_unshown
from batch.status.end_dates import people_to_ask, unshown_first
from batch.status.findings import entitlements_to_ask, getters, items_to_ask
from batch.tenant.facts import calls_at_most

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.tenant_settings import TenantSettings
    from batch.api.token_claims import TokenClaims
    from batch.commands.call_count import CallCount
    from batch.commands.preflight import CommandPreflight
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import TenantSession
    from batch.ledger.store import Ledger
    from batch.loops.precheck_scope import PrecheckScope
    from batch.names.accounts import Wanted
    from batch.settings import Settings
    from batch.status.in_progress import TenantView


class Questions:
    """The questions of one session.

    Args:
        session: With the tenant.
        ledger: Caches the answers.
        tenant: The tenant's name in the ledger.
        settings: API version, rate, and whether everything must be answered.
        screen: For messages.
        runtime: Clock.
        since: Cached answers that are older do not count.
        tell: Takes how many calls there will be.
        unsaid: From Accounts.unsaid, for the changes at hand.

    Attributes:
        precheck: What is in progress and held; None before it was asked.
        oldest: Time of the oldest answer that counts; None if nothing was asked.
        unchosen: The changes that need an account and name none, by dedupe's TENANT_VERDICTS.
        unknown: Sentences about what the tenant does not show.
        forbidden: Whether it refuses some of that; otherwise its answers can't be read.
    """

    def __init__(
        self,
        session: TenantSession,
        ledger: Ledger,
        tenant: str,
        *,
        settings: Settings,
        screen: Screen,
        runtime: Runtime,
        since: datetime,
        tell: Tell,
        unsaid: Sequence[Wanted],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._tenant = tenant
        self._settings = settings
        self._screen = screen
        self._runtime = runtime
        self._since = since
        self._tell = tell
        self._unsaid = unsaid
        self._unshown: tuple[str, ...] = ()
        self.precheck: Precheck | None = None
        self.oldest: datetime | None = None
        self.unchosen = pl.DataFrame(schema=TENANT_VERDICTS)
        self.unknown: tuple[str, ...] = ()
        self.forbidden = False

    async def tenant_settings(self, token_claims: TokenClaims) -> TenantSettings:
        """What holds for every request at the tenant."""
        question = SettingsQuestion(
            self._session.tenant.settings,
            memory=self._ledger.cache,
            tenant=self._tenant,
            dialect=self._settings.api,
            since=self._since,
            clock=self._runtime.clock,
        )
        found = await question.ask(token_claims)
        self._unshown = tuple(describe_unshown(found, self._settings.dialect))
        self._note(*(one for one in (found.config, found.subscriptions) if isinstance(one, Unshown)))
        return found

    async def ask(
        self,
        scope: PrecheckScope,
        fresh: pl.DataFrame,
        rules: CommandPreflight,
        calls: CallCount,
        token_claims: TokenClaims,
    ) -> TenantView:
        """All other questions.

        Args:
            scope: What to ask about.
            fresh: The changes that may be sent.
            rules: Asks for the tenant's rules.
            calls: Shows how many calls there will be and were.
            token_claims: Of the token.

        Raises:
            StoppedError: The tenant can't be reached, so nothing can be sent either.
        """
        dialect = self._settings.dialect
        preflight = rules.of(self._session.tenant.reader, self._ledger, self._tenant, since=self._since)
        has_choices = bool(dialect.paths.accounts_selection)
        holders_of_roles, end_dates = people_to_ask(fresh), self._end_dates()

        def calls_besides(unlisted: Collection[str]) -> int:
            items, people = items_to_ask(fresh), [one for one in getters(fresh) if one in unlisted]
            sources = (calls_at_most(ids) for kind, ids in items.items() if has_choices and kind != ItemType.ROLE)
            return preflight.calls_needed(items, entitlements_to_ask(fresh), people) + sum(sources)

        self.precheck = precheck = self._precheck(token_claims)
        scope = replace(scope, calls_besides=calls_besides, calls_optional=end_dates.calls_needed(holders_of_roles))
        async with meanwhile(calls.show, every=SHOWN_EVERY):
            tenant_view = await precheck.ask(scope)
            if holders_of_roles:
                in_order = unshown_first(fresh, tenant_view)
                tenant_view = replace(tenant_view, ends=await end_dates.ask(in_order, most=precheck.spare))
            await rules.ask(preflight, fresh, tenant_view)
            if has_choices:
                await self._ask_accounts(fresh, tenant_view)
        self.oldest = min(filter(None, (precheck.oldest, preflight.oldest)), default=None)
        self._note(*preflight.closed.values(), *([end_dates.closed] if end_dates.closed else []))
        self.forbidden |= bool(precheck.closed_list or precheck.closed_approvals or precheck.closed_index)
        self.unknown = (
            *describe_unknown(
                dialect,
                closed_list=precheck.closed_list,
                closed_approvals=precheck.closed_approvals,
                closed_index=precheck.closed_index,
            ),
            *describe_closed(dialect, preflight.closed),
            *self._unshown,
            *describe_closed_end_dates(end_dates.closed, end_dates.left_out, dialect),
        )
        return tenant_view

    async def _ask_accounts(self, fresh: pl.DataFrame, tenant_view: TenantView) -> None:
        lookup = account_lookup(
            self._session, self._ledger, self._tenant, self._settings, self._screen, self._runtime, since=self._since
        )
        self.unchosen = await unchosen(
            lookup, fresh, tenant_view, self._screen, self._unsaid, ignored=self._settings.ignore
        )
        closed = lookup.closed_assignments
        self._unshown += (
            *describe_no_accounts(lookup.closed),
            *describe_closed_assignments(closed, self._settings.dialect),
        )
        self.forbidden |= bool(lookup.closed)
        self._note(*([closed] if closed else []))

    def _note(self, *unshown: Unshown) -> None:
        self.forbidden |= any(one.forbidden for one in unshown)

    def _end_dates(self) -> EndDates:
        return EndDates(
            self._session.tenant.accounts,
            memory=self._ledger.cache,
            tenant=self._tenant,
            since=self._since,
            clock=self._runtime.clock,
            width=self._settings.concurrency,
        )

    def _precheck(self, token_claims: TokenClaims) -> Precheck:
        tenant, settings = self._session.tenant, self._settings
        return Precheck(
            listing=tenant.statuses,
            approvals=tenant.approvals,
            holdings=tenant.holdings,
            administration=bool(settings.dialect.paths.administration),
            sees_all=ADMIN_LEVEL in token_claims.authorities,
            myself=token_claims.user_id,
            memory=self._ledger.cache,
            tenant=self._tenant,
            since=self._since,
            clock=self._runtime.clock,
            width=settings.concurrency,
            tell=self._tell,
            is_thorough=settings.check_tenant is CheckTenant.ALWAYS,
        )
