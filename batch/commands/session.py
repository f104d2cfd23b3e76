"""A command's sessions with its tenant: which tenant, its name in the ledger, and the open connection."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, Self

from pydantic import SecretStr

from batch.answers.events import Notice, Waiting
from batch.api.token_claims import token_needed, why_unfit
from batch.commands.screen import Consent
from batch.credentials.find import (
    find_credentials,
    find_tenant,
    is_for_production,
    production_addresses,
    require_tenant,
)
from batch.credentials.vendor import SDK_SOURCE
from batch.errors import RunHeldError, SettingsError, UnfitTokenError
from batch.read import shown
from batch.report.run_files import results_of
from batch.settings import Credentials
from batch.tenant.address import tenant_names
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace
from batch.tenant.wire import check_wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from batch.answers.events import RunEvent, Tell
    from batch.api.dialects import Dialect
    from batch.api.token_claims import TokenClaims
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.settings import Settings

SANDBOX: Final = "sandbox"
"""The sandbox's name in its ledger, whatever its port."""

SANDBOX_FORGETS: Final = (
    "--sandbox starts a new, empty tenant every time: `submit --wait` tracks a run there, "
    "and `access-batch sandbox` runs a tenant that stays."
)
"""Notice for commands that ask the sandbox about an earlier command's run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Address and credentials of a tenant."""

    base_url: str
    credentials: Credentials
    ca_file: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """A tenant and its credentials, looked up once, so that the keyring asks its user once.

    Attributes:
        tenant: Its address, by which the ledger knows it.
        reached_by: Its connection; None for the sandbox, which starts only when there is something to send.
        notices: What the user should know about the source of the credentials.
    """

    tenant: str
    reached_by: Connection | None = None
    notices: tuple[str, ...] = ()


def tenant_name(settings: Settings) -> str:
    """The tenant's address, by which the ledger knows it, without reading any secret; empty if no tenant is given.

    Raises:
        SettingsError: Its address is not safe, or a source can't be read.
    """
    if settings.sandbox:
        return SANDBOX
    tenant = find_tenant(settings)
    return tenant.origin if tenant else ""


def consent_of(settings: Settings, inputs: Sequence[str] = ()) -> Consent:
    """How far the user's flags consent to changes at the tenant, for every command that has `--yes`.

    Nobody else consents: a tenant that only a file in the current folder names gets nothing unasked.

    Args:
        settings: All settings.
        inputs: The command's inputs. They are shown without what may be a signature.

    Raises:
        SettingsError: No tenant is given, or the flags name another one or do not name it.
    """
    again = shlex.join(["access-batch", *(shown(word) if word in inputs else word for word in sys.argv[1:])])
    tenant = None if settings.sandbox else require_tenant(settings)
    names = tenant_names(tenant.origin) if tenant else (SANDBOX,)
    named = settings.confirm.strip().lower()
    if named and named not in names:
        raise SettingsError(
            f"--confirm names {settings.confirm}, but the tenant is {names[0]} ({names[-1]}).",
            next_step="Nothing was sent. Name the tenant that you mean with --base-url or --profile.",
        )
    if tenant and tenant.source == SDK_SOURCE and (settings.yes or named):
        raise SettingsError(
            f"The tenant {tenant.origin} comes from {SDK_SOURCE} in the current folder, which anybody may have put "
            "there. Nothing is sent to it unless you name it yourself.",
            next_step=f"Nothing was sent. If you mean this tenant: {again} --base-url {tenant.origin}",
        )
    is_production = tenant is not None and is_for_production(settings, tenant)
    given = bool(named) or (settings.yes and not is_production)
    return Consent(given=given, names=names if is_production else (), again=again)


def find_access(settings: Settings) -> Access:
    """The tenant and its credentials; the sandbox needs none.

    Raises:
        SettingsError: No tenant or no credentials are given, or the certificate file or the proxy can't be used.
    """
    if settings.sandbox:
        return Access(tenant=SANDBOX)
    tenant = require_tenant(settings)
    check_wires(tenant.origin, settings.ca_file)
    found = find_credentials(settings, tenant)
    reached_by = Connection(base_url=tenant.origin, credentials=found.credentials, ca_file=settings.ca_file)
    found_here = (f"The tenant {tenant.origin} comes from {SDK_SOURCE} in the current folder.",)
    notices = (*(found_here if tenant.source == SDK_SOURCE else ()), *found.notices)
    return Access(tenant=tenant.origin, reached_by=reached_by, notices=notices)


@contextmanager
def connection(settings: Settings, access: Access) -> Iterator[Connection]:
    """The tenant's connection; the sandbox runs while the block lasts."""
    if access.reached_by is not None:
        yield access.reached_by
        return
    from batch.sandbox.server import running_sandbox  # noqa: PLC0415 - load a web server only if it is needed
    from batch.sandbox.settings import SandboxSettings  # noqa: PLC0415 - load it only if it is needed

    with running_sandbox(SandboxSettings.embedded(settings.pace)) as sandbox:
        yield Connection(
            base_url=sandbox.base_url,
            credentials=Credentials(
                client_id=sandbox.client_id,
                client_secret=SecretStr(sandbox.client_secret),
                source="the embedded sandbox",
            ),
        )


def results_folder(settings: Settings, inputs: Sequence[str]) -> Path:
    """The folder for result files: `--out`, or a folder beside the first input and named after it."""
    if settings.out is not None:
        return settings.out
    return results_of(inputs)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantSession:
    """An open connection to a tenant, and the pace of its calls."""

    tenant: Tenant
    pace: Pace


class SessionFactory:
    """Opens a command's sessions; the sandbox runs from its first session until the block ends.

    Args:
        settings: API version, rate, timeouts.
        access: The tenant and its credentials.
        runtime: Clock, randomness and process.
    """

    def __init__(self, settings: Settings, access: Access, runtime: Runtime) -> None:
        self.access = access
        self._runtime = runtime
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self._connection: Connection | None = None
        self._shown: set[str] = set()
        self._reached = False

    @property
    def connection(self) -> Connection:
        """The tenant's connection; starts the sandbox if that is the tenant."""
        if self._connection is None:
            self._connection = self._stack.enter_context(connection(self._settings, self.access))
        return self._connection

    def identify(self, ledger: Ledger, tell: Tell) -> None:
        """Find out which tenant of the ledger this is, before the ledger is asked about it.

        A token tells it, so this makes a call only if a token of this address has never been seen, and if the ledger
        has other tenants. Later every new token must name the same tenant.

        Raises:
            SettingsError: The token names another tenant than those before.
            StoppedError: No token can be had, or another process works on a run of a tenant that must be joined.
        """
        if self.access.reached_by is not None and ledger.tenants.is_open(self.access.tenant):
            self._ask_token(ledger, tell)

    def _ask_token(self, ledger: Ledger, tell: Tell) -> TokenClaims:
        async def ask() -> TokenClaims:
            async with self.open(ledger, tell, identifies=True) as session:
                return await session.tenant.token_claims()

        return asyncio.run(ask())

    def identified(self, ledger: Ledger, consent: Consent, screen: Screen) -> Consent:
        """As `identify`, for a command that changes something: a production tenant has its guard at every address.

        The config file names one address of it. A token and the ledger tell whether this is another; if neither does,
        the tenant's name must be typed too.

        Args:
            ledger: Knows which addresses are one tenant's.
            consent: By `consent_of`.
            screen: For messages.

        Returns:
            The consent that the tenant needs.

        Raises:
            SettingsError: As `identify`.
            StoppedError: As `identify`.
        """
        tenant, settings, tell = self.access.tenant, self._settings, notices_on(screen)
        is_named = bool(consent.names or settings.confirm.strip())
        guarded = () if is_named or self.access.reached_by is None else production_addresses(settings)
        if not guarded:
            self.identify(ledger, tell)
            return consent
        claims = self._ask_token(ledger, tell)
        if why := next(filter(None, (why_guarded(ledger, claims, tenant, other) for other in guarded)), ""):
            return replace(consent, given=False, names=tenant_names(tenant), why=why)
        return consent

    @contextlib.asynccontextmanager
    async def open(self, ledger: Ledger, tell: Tell, *, identifies: bool = False) -> AsyncIterator[TenantSession]:
        """A session while the block lasts; every call counts in the ledger.

        Args:
            ledger: Counts the calls.
            tell: Takes waits and notices.
            identifies: Whether nothing rests yet on the ledger's knowledge of this tenant.
        """
        settings, runtime, connection = self._settings, self._runtime, self.connection
        tell = self._once(tell)
        calls = runtime.calls_of(ledger, self.access.tenant, connection.credentials.client_id, settings)
        pace = Pace(settings.pace, calls, tell=tell, clock=runtime.clock)
        async with (
            Tenant(
                base_url=connection.base_url,
                dialect=settings.dialect,
                credentials=connection.credentials,
                timeout=settings.timeout,
                concurrency=settings.concurrency,
                pace=pace,
                clock=runtime.clock,
                jitter=runtime.jitter,
                give_up_after=settings.give_up_after,
                tell=tell,
                ca_file=connection.ca_file,
                on_claims=self._reaching(knows_tenant(ledger, self.access, runtime, identifies=identifies)),
                reached=self._reached,
            ) as tenant,
            contextlib.aclosing(pace),
        ):
            yield TenantSession(tenant=tenant, pace=pace)

    def _reaching(
        self, check: Callable[[TokenClaims], Awaitable[None]] | None
    ) -> Callable[[TokenClaims], Awaitable[None]]:
        """Remember that this command has reached the tenant: from then on it waits for it."""

        async def on_claims(token_claims: TokenClaims) -> None:
            self._reached = True
            if check is not None:
                await check(token_claims)

        return on_claims

    def _once(self, tell: Tell) -> Tell:
        """Pass each notice on once, however many sessions are opened."""

        def tell_once(event: RunEvent) -> None:
            if isinstance(event, Notice):
                if event.text in self._shown:
                    return
                self._shown.add(event.text)
            tell(event)

        return tell_once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def why_guarded(ledger: Ledger, claims: TokenClaims, tenant: str, production: str) -> str:
    """Why a tenant with these claims needs the guard of a production tenant's address; empty if it is another one."""
    # Only `TENANT.api.…` holds the short name that a token may give.
    *short, _, _ = tenant_names(production)
    is_told = bool(short and claims.org)
    if production in ledger.tenants.addresses(tenant) or (is_told and claims.org.lower() in short):
        return f"{tenant} is the tenant of {production}, which is for production"
    # This token's tenant is in the ledger by now, so an address of which a token was seen is known to be another's.
    if is_told or (claims.tenant_names and not ledger.tenants.is_open(production)):
        return ""
    return (
        f"{tenant} may be the tenant of {production}, which is for production: no token has shown yet that they differ"
    )


def knows_tenant(
    ledger: Ledger, access: Access, runtime: Runtime, *, identifies: bool = True
) -> Callable[[TokenClaims], Awaitable[None]] | None:
    """Has each new token prove to the ledger which tenant it comes from; None for the embedded sandbox."""
    if access.reached_by is None:
        return None

    async def check(token_claims: TokenClaims) -> None:
        names = token_claims.tenant_names
        moved = await asyncio.to_thread(ledger.tenants.bind, access.tenant, names, runtime.process, runtime.now())
        if moved and not identifies:
            # This command has read another tenant's part of the ledger: it must read again.
            raise RunHeldError(
                f"{access.tenant} is a tenant that the ledger knew by another address; its runs are joined now.",
                next_step="Nothing more was sent. Run the same command again: it goes on from there.",
            )

    return check


LONG_WAIT: Final = 5.0
"""Seconds of waiting from which on the user is shown why, if there is no other display."""


def notices_on(screen: Screen) -> Tell:
    """Show long waits and notices on the screen: for calls without a display of their own."""

    def tell(event: RunEvent) -> None:
        match event:
            case Waiting(seconds=seconds, reason=reason) if seconds >= LONG_WAIT:
                screen.say(f"Waiting {seconds:.0f} s: {reason}.")
            case Notice(text=text):
                screen.say(text)
            case _:
                pass

    return tell


class TokenHolder(Protocol):
    """Holds a token: a tenant over HTTP, or a fake."""

    async def token_claims(self) -> TokenClaims:
        """The claims of the token."""


async def require_fit_token(tenant: TokenHolder, dialect: Dialect, tell: Tell) -> None:
    """Require a token that can submit; give a notice if its claims can't be read.

    Raises:
        UnfitTokenError: Nobody can submit with it; nothing was sent.
        CredentialsRefusedError: The tenant refuses the client.
        TenantLostError: No token can be had.
    """
    token_claims = await tenant.token_claims()
    if unfit := why_unfit(token_claims):
        raise UnfitTokenError(unfit, next_step=f"Nothing was sent. {token_needed(dialect)}")
    if not token_claims.readable:
        text = "The tenant's token can't be read, so the first request will show whether its user may submit."
        tell(Notice(text=text))
