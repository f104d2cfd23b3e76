"""A command's sessions share what they know of its tenant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch.commands.session import Access, Connection, SessionFactory
from batch.errors import TenantLostError, UnreachableError
from batch.sandbox.server import running_sandbox
from batch.settings import Credentials, Settings
from tests.clocks import runtime
from tests.ledger.ledger_helpers import open_ledger
from tests.tenant.raw_server import unused_url

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.store import Ledger


def sessions_with(url: str, client_id: str, secret: str) -> SessionFactory:
    """The sessions of a command that tries its tenant once."""
    credentials = Credentials(client_id=client_id, client_secret=SecretStr(secret))
    access = Access(tenant=url, reached_by=Connection(base_url=url, credentials=credentials))
    return SessionFactory(Settings(give_up_after=0), access, runtime())


async def ask(sessions: SessionFactory, ledger: Ledger) -> None:
    async with sessions.open(ledger, lambda _: None, identifies=True) as session:
        await session.tenant.token_claims()


def test_a_tenant_that_no_session_has_reached_ends_the_command_as_wrong_usage(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger, pytest.raises(UnreachableError, match="refuses connections"):
        asyncio.run(ask(sessions_with(unused_url(), "c", "none"), ledger))


def test_a_tenant_that_an_earlier_session_has_reached_is_only_lost_for_a_while(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with running_sandbox() as sandbox:
            sessions = sessions_with(sandbox.base_url, sandbox.client_id, sandbox.client_secret)
            asyncio.run(ask(sessions, ledger))
        with pytest.raises(TenantLostError, match="refuses connections") as caught:
            asyncio.run(ask(sessions, ledger))
    assert caught.value.exit_code == 4
