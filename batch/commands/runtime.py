"""What a command takes from the machine that it runs on: the command line builds it once, tests build their own."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batch.errors import LedgerLostError, UsageError
from batch.ledger.address import ledger_file, ledger_url
from batch.ledger.calls import RateKey
from batch.ledger.engine import ledger_exists
from batch.ledger.store import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from batch.commands.heads import Heads
    from batch.ledger.calls import Calls
    from batch.ledger.machine_key import MachineKey
    from batch.ledger.process import Process
    from batch.model import Clock, Run
    from batch.settings import Settings


class Say(Protocol):
    """Shows sentences to the user."""

    def __call__(self, *lines: str) -> None:
        """Shows them."""


class Wall:
    """The wall clock, in UTC: this machine's, or that of the database that the machines share.

    Args:
        own: This machine's.
    """

    def __init__(self, own: Callable[[], datetime]) -> None:
        self._own = self._now = own

    def now(self) -> datetime:
        """This moment."""
        return self._now()

    def follow(self, shared: Callable[[], datetime]) -> None:
        """Show the time that another clock shows."""
        self._now = shared

    def ahead(self) -> timedelta | None:
        """What the shared clock is ahead of this machine's; None if there is none."""
        return None if self._now is self._own else self._now() - self._own()


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """Time, randomness and this process.

    Attributes:
        clock: Wall clock, and the clock of this machine's boot.
        jitter: Returns a random number from 0 to 1, new each time.
        process: This process, as the ledger identifies it.
        new_id: Returns a random id of a few letters and digits, new each time.
        key: Returns this machine's key.
        heads: The heads of ledgers that this machine has seen; None to keep none.
        wall: Behind the wall clock of `clock`, so that it can follow the ledger's; None if it must not.
    """

    clock: Clock
    jitter: Callable[[], float]
    process: Process
    new_id: Callable[[], str]
    key: Callable[[], MachineKey]
    heads: Heads | None = None
    wall: Wall | None = None

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return self.clock.now()

    def calls_of(self, ledger: Ledger, tenant: str, client: str, settings: Settings) -> Calls:
        """The counter of a client's calls, which gives the permits for more."""
        return ledger.calls(
            RateKey(tenant=tenant, client=client, dialect=settings.api),
            rate=settings.pace,
            process=self.process,
            clock=self.clock,
            monthly=settings.monthly_calls,
        )

    def open_ledger(self, settings: Settings, say: Say, *, only_read: bool = False, backed_up: bool = False) -> Ledger:
        """Open the ledger that the settings name; create or upgrade it if necessary.

        Args:
            settings: Name the ledger.
            say: Shows what was done to open it.
            only_read: Whether one that can't be written will do.
            backed_up: Whether its database was backed up for an upgrade.

        Raises:
            LedgerRefusedError: It can't or must not be used.
            LedgerChangedError: Somebody has changed it.
            UnsafePlaceError: Others could replace it.
        """
        ledger = Ledger.open(
            settings.ledger_location,
            sandbox=settings.sandbox,
            now=self.now(),
            new_id=self.new_id,
            key=self.key,
            memory=self.heads,
            only_read=only_read,
            backed_up=backed_up,
            insecure=settings.ledger_insecure,
            patience=settings.give_up_after,
            say=say,
        )
        say(*ledger.notices)
        if self.wall is not None and (shared := ledger.shared_clock(only_read=only_read)) is not None:
            self.wall.follow(shared)
        return ledger

    def existing_ledger(
        self, settings: Settings, say: Say, *, only_read: bool = False, backed_up: bool = False
    ) -> Ledger:
        """As `open_ledger`, for commands that begin no run: an empty ledger would hide that the right one is elsewhere.

        Raises:
            UsageError: There is no ledger there. And as `open_ledger`.
        """
        url = ledger_url(settings.ledger_location, insecure=settings.ledger_insecure)
        if not ledger_exists(url):
            raise UsageError(
                f"There is no ledger at {ledger_file(url)}.",
                next_step="Name it with --ledger. `access-batch submit INPUT` begins a new one.",
            )
        return self.open_ledger(settings, say, only_read=only_read, backed_up=backed_up)

    @contextmanager
    def holding(self, ledger: Ledger, run: Run) -> Iterator[int]:
        """Hold a run while the block lasts, so that no other process works on it.

        Yields:
            How many requests an earlier process was sending when it died: they are unconfirmed now.

        Raises:
            RunHeldError: Another process works on it.
        """
        abandoned = ledger.runs.hold(run, self.process, self.now())
        try:
            yield abandoned
        finally:
            with suppress(LedgerLostError):
                # Other machines know nothing of claims that the ledger has lost: they wait until this hold ends.
                ledger.requests.require_claims(run)
                ledger.runs.release(run, self.process, self.now())
