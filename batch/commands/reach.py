"""Reaching a tenant: opened when it is first needed, and kept for all that one command does there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, Protocol, Self

from batch.commands.place import connection
from batch.ledger.calls import Lane
from batch.ledger.process import Process
from batch.tenant.client import Tenant
from batch.tenant.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch.commands.place import Access, Connection
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.settings import Settings


class Listener(Protocol):
    """Who is told while a tenant is asked."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Nothing is asked for so long, and why."""

    def paced(self, allowed: int) -> None:
        """A window holds so many calls from now on."""

    def noticed(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """An open line to a tenant.

    Attributes:
        tenant: The tenant.
        pace: What lets calls go.
    """

    tenant: Tenant
    pace: Pace


class Reach:
    """How a command reaches its tenant; the sandbox runs from its first use until the block is left.

    Args:
        settings: Say which API version, at which rate.
        access: The tenant and its credentials.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self.access = access
        self._settings = settings
        self._open = contextlib.ExitStack()
        self._place: Connection | None = None
        self._told: set[str] = set()

    @property
    def place(self) -> Connection:
        """Where the tenant is; starts the sandbox where that is the tenant."""
        if self._place is None:
            self._place = self._open.enter_context(connection(self._settings, self.access))
        return self._place

    @contextlib.asynccontextmanager
    async def line(self, ledger: Ledger, listener: Listener) -> AsyncIterator[Line]:
        """An open line, whose every call counts in the ledger, for as long as the block lasts."""
        settings, place = self._settings, self.place
        lane = Lane(tenant=self.access.tenant, client=place.credentials.client_id, dialect=settings.api)
        calls = ledger.calls(lane, rate=settings.pace, process=Process.current())
        pace = Pace(settings.pace, calls, listener=listener)
        async with (
            Tenant(
                base_url=place.base_url,
                dialect=settings.dialect,
                credentials=place.credentials,
                timeout=settings.timeout,
                concurrency=settings.concurrency,
                pace=pace,
                clock=_now,
                luck=random,
                give_up_after=settings.give_up_after,
                waiting=listener.waiting,
                noticed=lambda text: self._tell_once(listener, text),
                ca_file=place.ca_file,
            ) as tenant,
            contextlib.aclosing(pace),
        ):
            yield Line(tenant=tenant, pace=pace)

    def _tell_once(self, listener: Listener, text: str) -> None:
        """What is worth telling once is told once, however many lines are opened."""
        if text not in self._told:
            self._told.add(text)
            listener.noticed(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class Asking:
    """Tells the user of what holds up a question, where nothing is shown otherwise.

    Args:
        screen: Where to.
        also: Is told as well: a log file.
    """

    LONG = 5.0
    """Seconds of waiting from which on it is told."""

    def __init__(self, screen: Screen, also: Listener | None = None) -> None:
        self._screen = screen
        self._also = also

    def waiting(self, seconds: float, reason: str) -> None:
        """Says so where it is long."""
        if self._also:
            self._also.waiting(seconds, reason)
        if seconds >= self.LONG:
            self._screen.say(f"Waiting {seconds:.0f} s: {reason}.")

    def paced(self, allowed: int) -> None:
        """Is of no interest to a person here."""
        if self._also:
            self._also.paced(allowed)

    def noticed(self, text: str) -> None:
        """Says it."""
        if self._also:
            self._also.noticed(text)
        self._screen.say(text)


def _now() -> datetime:
    return datetime.now(UTC)
