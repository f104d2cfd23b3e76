"""The calls of one command's questions to the tenant: how many there will be, and how many were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from batch.answers.events import PrecheckCost
from batch.errors import SettingsError, StoppedError
from batch.report.precheck import describe_calls, describe_cost
from batch.status.cheapest_list import is_expensive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from batch.answers.events import RunEvent
    from batch.commands.screen import Screen
    from batch.commands.session import Access
    from batch.ledger.budget import MonthCount
    from batch.ledger.store import Ledger
    from batch.settings import Settings
    from batch.tenant.reading import Reader


class CallCount:
    """Counts the calls of one command, which may ask in several sessions.

    Args:
        settings: Rate and API version.
        screen: Shows the numbers.
    """

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self._settings = settings
        self._screen = screen
        self._readers: list[Reader] = []
        self._about = 0.0

    @property
    def total(self) -> int:
        """Calls made in all sessions."""
        return sum(reader.calls for reader in self._readers)

    def begin(self, reader: Reader) -> None:
        """Count the calls of another session."""
        self._readers.append(reader)
        self._about = 0.0

    def take(self, event: RunEvent) -> None:
        """Show how many calls there will be at most, those already made among them."""
        if isinstance(event, PrecheckCost):
            settings = self._settings
            dear = is_expensive(event.calls, event.people, settings.dialect.limits)
            self._about = self._made() + event.calls
            self._screen.say(*describe_cost(self._about, settings.pace, dear=dear))

    def show(self) -> None:
        """Show how many of them were made."""
        self._screen.say(*describe_calls(self._made(), self._about))

    def _made(self) -> int:
        return self._readers[-1].calls if self._readers else 0


def stop_for_lack_of(unknown: Iterable[str], *, forbidden: bool) -> NoReturn:
    """End the command because the tenant does not show what it must show.

    Args:
        unknown: What it does not show, and why.
        forbidden: Whether that is a matter of rights; otherwise it may answer another time.

    Raises:
        SettingsError: The token lacks rights.
        StoppedError: The tenant's answers can't be read.
    """
    kind = SettingsError if forbidden else StoppedError
    raise kind(" ".join(unknown), next_step="Nothing was sent. --check-tenant auto continues without it.")


def month_so_far(ledger: Ledger, access: Access, now: datetime) -> MonthCount | None:
    """The calls of the client in this month; None for the embedded sandbox, which begins anew each time."""
    if access.reached_by is None:
        return None
    return ledger.month_count(access.tenant, access.reached_by.credentials.client_id, now)
