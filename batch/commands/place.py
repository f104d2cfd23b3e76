"""Where a command works: which tenant, under which name the ledger knows it, and how to reach it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from batch.credentials.find import find_credentials, find_tenant, require_tenant
from batch.settings import Credentials
from batch.tenant.wire import check_wires

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
