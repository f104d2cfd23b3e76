"""Where a command works: which tenant, under which name the ledger knows it, and how to reach it."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from pydantic import SecretStr

from batch.answers.events import Notice, Waiting
from batch.api.token_claims import token_needed, why_unfit
from batch.credentials.find import find_credentials, find_tenant, require_tenant
from batch.errors import UnfitTokenError
from batch.ledger.calls import RateKey
from batch.settings import Credentials
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace
from batch.tenant.wire import check_wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

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
    "--sandbox is a new tenant every time, without any memory: `submit --wait` follows a run there, "
    "and `access-batch sandbox` runs a tenant that stays."
)
"""What is to be said before it is asked for something that an earlier command has submitted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How to reach a tenant."""

    base_url: str
    credentials: Credentials
    ca_file: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Everything needed to work for a tenant, found once, so that the keyring asks its user once.

    Attributes:
        tenant: Its name in the ledger.
        reached_by: How to reach it; None for the sandbox, which is started only when there is something to send.
        notices: What the user should know of where the credentials were found.
    """

    tenant: str
    reached_by: Connection | None = None
    notices: tuple[str, ...] = ()


def tenant_name(settings: Settings) -> str:
    """The tenant's name in the ledger, without looking at any secret; empty where no tenant is given.

    Raises:
        SettingsError: Its address is not safe, or a source can't be read.
    """
    if settings.sandbox:
        return SANDBOX
    tenant = find_tenant(settings)
    return tenant.origin if tenant else ""


def find_access(settings: Settings) -> Access:
    """The tenant and the credentials for it; the sandbox needs none, and none are looked for.

    Raises:
        SettingsError: No tenant is given, or no credentials for it, or the file of certificates or the proxy can't be
            used.
    """
    if settings.sandbox:
        return Access(tenant=SANDBOX)
    tenant = require_tenant(settings)
    check_wires(tenant.origin, settings.ca_file)
    found = find_credentials(settings, tenant)
    reached_by = Connection(base_url=tenant.origin, credentials=found.credentials, ca_file=settings.ca_file)
    return Access(tenant=tenant.origin, reached_by=reached_by, notices=found.notices)


@contextmanager
def connection(settings: Settings, access: Access) -> Iterator[Connection]:
    """How to reach the tenant; the sandbox runs while the block does."""
    if access.reached_by is not None:
        yield access.reached_by
        return
    from batch.sandbox.server import running_sandbox  # noqa: PLC0415 - a web server is loaded only where one is needed
    from batch.sandbox.settings import SandboxSettings  # noqa: PLC0415 - likewise

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
    """Where result files go: `--out`, or a folder beside the (first) input that is named after it."""
    if settings.out is not None:
        return settings.out
    first = inputs[0]
    if first == "-" or "://" in first:
        return Path("stdin.results" if first == "-" else Path(first).stem + ".results")
    return Path(first).with_name(f"{Path(first).stem}.results")


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantSession:
    """An open line to a tenant.

    Attributes:
        tenant: The tenant.
        pace: What lets calls go.
    """

    tenant: Tenant
    pace: Pace


class SessionFactory:
    """How a command reaches its tenant; the sandbox runs from its first use until the block is left.

    Args:
        settings: Say which API version, at which rate.
        access: The tenant and its credentials.
        runtime: Clock, randomness and process.
    """

    def __init__(self, settings: Settings, access: Access, runtime: Runtime) -> None:
        self.access = access
        self._runtime = runtime
        self._settings = settings
        self._open = contextlib.ExitStack()
        self._place: Connection | None = None
        self._shown: set[str] = set()

    @property
    def connection(self) -> Connection:
        """Where the tenant is; starts the sandbox where that is the tenant."""
        if self._place is None:
            self._place = self._open.enter_context(connection(self._settings, self.access))
        return self._place

    @contextlib.asynccontextmanager
    async def line(self, ledger: Ledger, tell: Tell) -> AsyncIterator[TenantSession]:
        """An open line, whose every call counts in the ledger, for as long as the block lasts."""
        settings, runtime, connection = self._settings, self._runtime, self.connection
        rate_key = RateKey(tenant=self.access.tenant, client=connection.credentials.client_id, dialect=settings.api)
        tell = self._once(tell)
        calls = ledger.calls(rate_key, rate=settings.pace, process=runtime.process, clock=runtime.clock)
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
            ) as tenant,
            contextlib.aclosing(pace),
        ):
            yield TenantSession(tenant=tenant, pace=pace)

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
        self._open.close()


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
    """Who has a token: a tenant over HTTP, or a fake."""

    async def token_claims(self) -> TokenClaims:
        """What the token says of us."""


async def require_fit_token(tenant: TokenHolder, dialect: Dialect, tell: Tell) -> None:
    """Goes on silently with a token that can submit, and with a notice where a token does not tell.

    Raises:
        UnfitTokenError: Nobody can submit with it; nothing was sent.
        CredentialsRefusedError: The tenant refuses the client.
        TenantLostError: No token can be had.
    """
    token_claims = await tenant.token_claims()
    if unfit := why_unfit(token_claims):
        raise UnfitTokenError(unfit, next_step=f"Nothing was sent. {token_needed(dialect)}")
    if not token_claims.readable:
        text = "The tenant's token can't be looked into, so whether its user may submit shows with the first request."
        tell(Notice(text=text))
