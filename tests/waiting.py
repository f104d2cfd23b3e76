"""Waiting for another process or thread, however slow the machine is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 600.0
"""Seconds after which a test gives up: only something that hangs takes so long."""


class Process(Protocol):
    """A process whose end a test can see."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def communicate(self) -> Any:
        """What it printed."""


def wait_until(holds: Callable[[], object], process: Process | None = None) -> None:
    """Returns once a condition holds; fails if the process that is to bring it about ends before."""
    give_up_at = time.monotonic() + LIMIT
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
