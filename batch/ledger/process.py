"""Which process holds a run, whether it is alive, and the boot of its machine."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

import psutil

SILENT_FOR: Final = timedelta(seconds=60)
"""A process on another machine counts as dead if its last beat is older."""

_SAME_START: Final = 1.0
"""By how much two readings of one process's start may differ."""

_ID_LENGTH: Final = 20

_START_TICKS: Final = 19
"""Position of `starttime` in /proc/PID/stat, counted after the name (proc(5))."""

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""Counts the time asleep: clock_gettime(2) of Linux, and of macOS, which has no CLOCK_BOOTTIME."""


def boot_time() -> float:
    """Seconds since this machine started, asleep or awake; all processes of one boot read the same clock."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def boot_id() -> str:
    """Names the boot that `boot_time` counts from, the same in all containers; empty if the system does not tell."""
    with suppress(OSError):
        # Containers share the clock, unless they are given a time namespace of their own (time_namespaces(7)).
        clock = Path("/proc/self/ns/time")
        return f"{_linux_boot()}/{clock.stat().st_ino if clock.exists() else ''}"
    with suppress(AttributeError, OSError):
        # macOS.
        name, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        if ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", name, ctypes.byref(size), None, 0) == 0:
            return name.value.decode("ascii", "replace")
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process. Its start distinguishes it from a later process with the same number.

    Attributes:
        host: Name of its machine, for people.
        machine: Where its number is unique: one boot of one machine, and one container in it.
        pid: Its number there.
        started: When it started, by that machine's count.
    """

    host: str
    machine: str
    pid: int
    started: float

    @property
    def id(self) -> str:
        """Names this process among all processes of all machines, in few characters."""
        return hashlib.sha256(f"{self.machine}\n{self.pid}\n{self.started}".encode()).hexdigest()[:_ID_LENGTH]

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process of this machine.

        Raises:
            psutil.NoSuchProcess: There is no such process.
        """
        return cls(host=platform.node(), machine=_machine(), pid=pid, started=_started(pid))

    def is_alive(self, *, beat: str, now: datetime) -> bool:
        """Whether it exists on this machine, or had a recent beat on another.

        Args:
            beat: When it last reported, in ISO 8601.
            now: This moment.
        """
        if self.machine != _machine():
            return now - datetime.fromisoformat(beat) < SILENT_FOR
        try:
            is_same = abs(_started(self.pid) - self.started) < _SAME_START
            return is_same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def _machine() -> str:
    """This boot of this machine and this container, if the system reports them; otherwise the machine's name."""
    try:
        return f"{_linux_boot()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return platform.node()


def _linux_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _started(pid: int) -> float:
    """When a process started: in ticks since boot, which no change of the clock moves, or else in seconds.

    Raises:
        psutil.NoSuchProcess: There is no such process.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return float(after_name[_START_TICKS])
    except (OSError, IndexError, ValueError):
        return psutil.Process(pid).create_time()
