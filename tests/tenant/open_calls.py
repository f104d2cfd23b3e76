"""A pace without a ledger: whoever asks for permits gets them, unless there is to be silence."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from batch.answers.events import Notice, PaceChanged, RunEvent, Waiting
from batch.api.dialects import Rate
from batch.api.rate_window import Permits
from batch.tenant.pace import Pace
from tests.clocks import VIRTUAL
from tests.tenant.virtual_time import now

if TYPE_CHECKING:
    from collections.abc import Mapping

UNLIMITED = Rate(requests=100_000, seconds=1)


class Events(list[RunEvent]):
    """The events reported so far."""

    @property
    def waits(self) -> list[tuple[float, str]]:
        return [(event.seconds, event.reason) for event in self if isinstance(event, Waiting)]

    @property
    def allowed(self) -> list[int]:
        return [event.allowed for event in self if isinstance(event, PaceChanged)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self if isinstance(event, Notice)]


class OpenCalls:
    """Counts nothing."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.silences: list[tuple[float, bool]] = []

    def permit(self, *, wanted: int, left: Mapping[int, float | None]) -> Permits:
        assert wanted >= 0
        assert all(number > 0 for number in left)
        most = UNLIMITED.requests
        return Permits(at=now(), numbers=tuple(itertools.islice(self._numbers, wanted)), free=most, allowed=most)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        assert permitted_at
        self.silences.append((seconds, violated))


def open_pace() -> Pace:
    """A pace that only keeps silence."""
    return Pace(UNLIMITED, OpenCalls(), tell=Events().append, clock=VIRTUAL)
