"""Which process holds a run, and whether it is still alive."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import psutil

SILENT_FOR: Final = timedelta(seconds=60)
"""A process on another machine that has not been heard of for so long counts as dead."""

_SAME_START: Final = 1.0
"""Seconds by which two readings of one process's start may differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process, told from a later one of the same number by when it started.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        started: When it started, in seconds since 1970.
    """

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(host=platform.node(), pid=os.getpid(), started=psutil.Process().create_time())

    def is_alive(self, *, beat: str, now: datetime) -> bool:
        """Whether it is still there: seen on this machine, or heard of lately from another.

        Args:
            beat: When it was last heard of, in ISO 8601.
            now: This moment.
        """
        if self.host != platform.node():
            return now - datetime.fromisoformat(beat) < SILENT_FOR
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < _SAME_START
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
