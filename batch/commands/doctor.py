"""`doctor`: checks everything that submitting needs, and changes nothing at the tenant.

It opens the ledger as `submit` does (creates or upgrades it if necessary), because its few calls count against the
tenant's rate limit and are counted in the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.answers.events import Notice, PaceChanged, Waiting
from batch.commands.session import SANDBOX, connection, find_access, knows_tenant
from batch.commands.tenant_settings import SettingsQuestion
from batch.credentials.find import require_tenant
from batch.errors import (
    AccessBatchError,
    CredentialsRefusedError,
    LedgerLostError,
    StoppedError,
    TenantLostError,
)
from batch.model import CheckTenant
from batch.report import doctor_checks
from batch.report.tenant_settings import check_settings
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from batch.answers.events import RunEvent
    from batch.api.rate_window import Permits
    from batch.api.token_claims import TokenClaims
    from batch.commands.runtime import Runtime
    from batch.commands.session import Access, Connection
    from batch.ledger.store import Ledger
    from batch.report.doctor_checks import DoctorCheck
    from batch.settings import Settings
    from batch.tenant.pace import Counter

MOST_PATIENCE: Final = 15.0
"""Longest wait for a permit, in seconds: a window and a half of the documented limit."""


def doctor(settings: Settings, runtime: Runtime) -> Iterator[DoctorCheck]:
    """Yield each check once it is made; a failed check is a result, not an exception."""
    with contextlib.ExitStack() as stack:
        ledger = None
        try:
            notices: list[str] = []
            opened = stack.enter_context(runtime.open_ledger(settings, lambda *lines: notices.extend(lines)))
            health = opened.health()
        except AccessBatchError as error:
            yield _failure("ledger", error)
        else:
            yield from doctor_checks.check_ledger(health, tuple(notices))
            # Write nothing more into a damaged ledger.
            ledger = None if health.faults else opened
        try:
            yield _tenant(settings)
        except AccessBatchError as error:
            yield _failure("tenant", error)
            return
        try:
            access = find_access(settings)
            reached = stack.enter_context(connection(settings, access))
        except AccessBatchError as error:
            yield _failure("credentials", error)
            return
        credentials = reached.credentials
        yield doctor_checks.check_credentials(credentials.client_id, credentials.source, access.notices)
        if ledger is not None:
            month = ledger.month_count(access.tenant, credentials.client_id, runtime.now())
            yield doctor_checks.check_month(month.month, month.calls, settings.monthly_calls)
        yield from asyncio.run(_ask(reached, access, settings, ledger, runtime))


def _tenant(settings: Settings) -> DoctorCheck:
    if settings.sandbox:
        return doctor_checks.check_tenant(SANDBOX, "--sandbox")
    tenant = require_tenant(settings)
    return doctor_checks.check_tenant(tenant.origin, tenant.source)


async def _ask(
    connection: Connection, access: Access, settings: Settings, ledger: Ledger | None, runtime: Runtime
) -> list[DoctorCheck]:
    """Get a token, and one row of the token's user."""
    seen = _Seen()
    counter: Counter = _Uncounted()
    if ledger is not None:
        counter = runtime.calls_of(ledger, access.tenant, connection.credentials.client_id, settings)
    pace = Pace(settings.pace, counter, tell=seen.tell, clock=runtime.clock)
    async with (
        Tenant(
            base_url=connection.base_url,
            dialect=settings.dialect,
            credentials=connection.credentials,
            timeout=settings.timeout,
            concurrency=1,
            pace=pace,
            clock=runtime.clock,
            jitter=runtime.jitter,
            # The user can run doctor again.
            give_up_after=0.0,
            tell=seen.tell,
            ca_file=connection.ca_file,
            on_claims=knows_tenant(ledger, access, runtime) if ledger is not None else None,
        ) as tenant,
        contextlib.aclosing(pace),
    ):
        question = (
            SettingsQuestion(
                tenant.settings,
                memory=ledger.cache,
                tenant=access.tenant,
                dialect=settings.api,
                # What it examines is as it is now.
                since=runtime.now(),
                clock=runtime.clock,
            )
            if ledger is not None and settings.check_tenant is not CheckTenant.NEVER
            else None
        )
        return [check async for check in _checks(tenant, question, settings, seen, runtime)]


async def _checks(
    tenant: Tenant, question: SettingsQuestion | None, settings: Settings, seen: _Seen, runtime: Runtime
) -> AsyncIterator[DoctorCheck]:
    dialect = settings.dialect
    try:
        token_claims = await tenant.token_claims()
    except AccessBatchError as error:
        yield _failure("token", error)
        return
    if question is not None:
        with contextlib.suppress(StoppedError):
            token_claims = replace(token_claims, user_name=(await question.requester(token_claims)).name)
    for check in doctor_checks.check_token(token_claims, dialect):
        yield check
    try:
        answer, headers = await tenant.statuses.probe()
    except TenantLostError as error:
        yield doctor_checks.failure("status list", error.message, "Check the base URL, --api and the network.")
    except (CredentialsRefusedError, LedgerLostError) as error:
        yield _failure("status list", error)
    except StoppedError as error:
        yield doctor_checks.warning("status list", error.message, error.next_step)
    else:
        yield doctor_checks.check_status_list(answer, dialect)
        ahead = answer.server_time - runtime.now() if answer.server_time else None
        yield doctor_checks.check_clock(ahead, runtime.wall.ahead() if runtime.wall else None)
        yield doctor_checks.check_limit(settings.pace, dialect, headers, seen.allowed)
        if question is not None:
            for check in await _settings_checks(question, token_claims, settings):
                yield check
    yield doctor_checks.check_version(dialect, seen.notice, runtime.now().date())


async def _settings_checks(
    question: SettingsQuestion, claims: TokenClaims, settings: Settings
) -> tuple[DoctorCheck, ...]:
    try:
        return check_settings(await question.ask(claims), settings.pace, settings.dialect)
    except StoppedError as error:
        return (doctor_checks.warning("config", error.message, error.next_step),)


class _Seen:
    """Keeps what the call shows of the tenant, and ends a long wait.

    Attributes:
        allowed: Calls that a window holds at present; None for the whole limit.
        notice: The tenant's notice that the API version ends.
    """

    def __init__(self) -> None:
        self.allowed: int | None = None
        self.notice = ""

    def tell(self, event: RunEvent) -> None:
        """Take an event.

        Raises:
            StoppedError: The wait would be too long.
        """
        match event:
            case Waiting(seconds=seconds, reason=reason) if seconds > MOST_PATIENCE:
                raise StoppedError(
                    f"No answer yet: {reason}, for another {seconds:.0f} s.",
                    next_step="Run doctor again after that; `submit` waits by itself.",
                )
            case PaceChanged(allowed=allowed):
                self.allowed = allowed
            case Notice(text=text):
                self.notice = text
            case _:
                pass


class _Uncounted:
    """Gives no permits, because the ledger that counts them can't be used."""

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:  # noqa: ARG002 - a Counter's
        """Give no permit.

        Raises:
            StoppedError: Always.
        """
        raise StoppedError(
            "Not asked: the call must be counted in the ledger, which can't be used.",
            next_step="Repair the ledger first.",
        )

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        """Do nothing: without a permit no call was turned away."""


def _failure(check: str, error: AccessBatchError) -> DoctorCheck:
    return doctor_checks.failure(check, error.message, error.next_step)
