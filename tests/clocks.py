"""Clocks for tests: the machine's, one that stands still, and the virtual one of tests.tenant.virtual_time."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batch.commands.runtime import Runtime
from batch.credentials.machine_key import machine_key
from batch.ledger.process import Process, boot_id, boot_time
from batch.model import Clock
from batch.settings import APPLICATION
from tests.tenant.virtual_time import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.ledger.machine_key import MachineKey


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


def key() -> MachineKey:
    """This machine's key, as the program finds it, in the folder that each test has for that."""
    return machine_key(Path(os.environ["XDG_CONFIG_HOME"]) / APPLICATION / "machine.key")


def runtime(clock: Clock = MACHINE) -> Runtime:
    """What a command takes from the machine, without randomness."""
    return Runtime(clock=clock, jitter=lambda: 1.0, process=Process.current(), new_id=new_id, key=key)
