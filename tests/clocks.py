"""Clocks for tests: the machine's, one that stands still, and the virtual one of tests.tenant.virtual_time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch.commands.runtime import Runtime
from batch.ledger.process import Process, boot_id, boot_time
from batch.model import Clock
from tests.tenant.virtual_time import now

if TYPE_CHECKING:
    from collections.abc import Callable


def wall(read: Callable[[], datetime]) -> Clock:
    """A clock whose wall clock is read by a function."""
    return Clock(now=read, monotonic=boot_time, boot=boot_id())


def at(moment: datetime) -> Clock:
    """A clock whose wall clock stands still."""
    return wall(lambda: moment)


MACHINE = wall(lambda: datetime.now(UTC))
VIRTUAL = Clock(now=lambda: datetime.fromtimestamp(now(), UTC), monotonic=now, boot="virtual")


_ids = (f"id{number:08}" for number in itertools.count(1))


def new_id() -> str:
    """An id, new each time in this process, without randomness."""
    return next(_ids)


def runtime(clock: Clock = MACHINE) -> Runtime:
    """What a command takes from the machine, without randomness."""
    return Runtime(clock=clock, jitter=lambda: 1.0, process=Process.current(), new_id=new_id)
