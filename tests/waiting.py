"""Waiting for another process or thread, however slow the machine is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

LIMIT: Final = 600.0
"""Seconds after which a test gives up: only something that hangs takes so long."""


def wait_until(holds: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Returns once a condition holds; fails if the process that is to bring it about ends before."""
    give_up_at = time.monotonic() + LIMIT
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
