"""Where a command works: which tenant, under which name the ledger knows it, and how to reach it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from batch.settings import Credentials
from batch.tenant.address import origin
from batch.tenant.wire import check_wires

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.settings import Settings

SANDBOX: Final = "sandbox"
"""The sandbox's name in its ledger, whatever its port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How to reach a tenant."""

    base_url: str
    credentials: Credentials
    ca_file: Path | None = None


def tenant_name(settings: Settings) -> str:
    """The tenant's name in the ledger.

    Raises:
        SettingsError: No tenant is given, or its address is not safe.
    """
    return SANDBOX if settings.sandbox else origin(settings.tenant_url())


def check_connection(settings: Settings) -> None:
    """Finds out whatever would keep us from reaching the tenant, short of trying it.

    Raises:
        SettingsError: The credentials, the file of certificates or the proxy can't be used.
    """
    if settings.sandbox:
        return
    settings.credentials()
    check_wires(origin(settings.tenant_url()), settings.ca_file)


@contextmanager
def connection(settings: Settings) -> Iterator[Connection]:
    """How to reach the tenant; the sandbox runs while the block does."""
    if not settings.sandbox:
        yield Connection(
            base_url=origin(settings.tenant_url()), credentials=settings.credentials(), ca_file=settings.ca_file
        )
        return
    from batch.sandbox.server import running_sandbox  # noqa: PLC0415 - a web server is loaded only where one is needed
    from batch.sandbox.settings import SandboxSettings  # noqa: PLC0415 - likewise

    with running_sandbox(SandboxSettings(rate=settings.pace)) as sandbox:
        yield Connection(
            base_url=sandbox.base_url,
            credentials=Credentials(client_id=sandbox.client_id, client_secret=SecretStr(sandbox.client_secret)),
        )


def results_folder(settings: Settings, inputs: Sequence[str]) -> Path:
    """Where result files go: `--out`, or a folder beside the (first) input that is named after it."""
    if settings.out is not None:
        return settings.out
    first = inputs[0]
    if first == "-" or "://" in first:
        return Path("stdin.results" if first == "-" else Path(first).stem + ".results")
    return Path(first).with_name(f"{Path(first).stem}.results")
