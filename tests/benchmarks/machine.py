"""The machine that figures were measured on. Its name is private and stays out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The properties of a machine and its software that affect figures."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    polars: str

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gb:.0f} GB, {self.system}, "
            f"Python {self.python}, polars {self.polars}"
        )


def this_machine() -> Machine:
    """The machine of this process."""
    return Machine(
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        polars=pl.__version__,
    )


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown processor")
