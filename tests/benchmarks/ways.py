"""Comparison with today's ways: one file, submitted in three ways to a sandbox with a tenant's real rate limit.

The tenant accepts the first 100 requests at once. A file that the slowest way submits in two minutes is therefore too
small for the other two, which are also compared on a larger one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from tests.benchmarks.details import changes_of, write_file
from tests.benchmarks.figure import Figure
from tests.benchmarks.sandbox_process import clean_environment, sandbox_process
from tests.benchmarks.workloads import Onboarding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME: Final = "ways"
SDK: Final = "the vendor's SDK, one change per call"
LOOP: Final = "a loop, one identity per request"
OURS: Final = "access-batch"
WALL_TIME: Final = "wall time"

RUNS: Final = 3
"""Runs of each way, each against a new sandbox."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A file, and the ways to submit it.

    Attributes:
        joiners: Number of people.
        profiles: Number of job profiles: fewer people have fewer.
        departments: Number of departments.
        ways: The ways; the last is ours.
    """

    joiners: int
    profiles: int
    departments: int
    ways: tuple[str, ...]


SIZES: Final = (
    Size(joiners=50, profiles=4, departments=4, ways=(SDK, LOOP, OURS)),
    Size(joiners=800, profiles=40, departments=8, ways=(LOOP, OURS)),
)


def run(scale: float, runs: int = RUNS) -> list[Figure]:
    """Submit every file in its ways.

    Args:
        scale: Scale of the number of joiners.
        runs: Runs of each way; the figures are medians.
    """
    return [figure for size in SIZES for figure in _figures(size, scale, runs)]


def _figures(size: Size, scale: float, runs: int) -> Iterator[Figure]:
    workload = Onboarding(joiners=size.joiners, scale=scale, profiles=size.profiles, departments=size.departments)
    pairs = workload.pairs()
    joiners = len(pairs.departments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "wanted.csv")
        write_file(changes_of(pairs), file)
        measured = {way: [_submit(way, file, len(pairs)) for _ in range(runs)] for way in size.ways}

    def middle(way: str, name: str) -> float:
        value: float = median(figures[name] for figures in measured[way])
        return value

    for way in size.ways:
        for name, unit in (("requests", "requests"), ("turned away", "requests"), (WALL_TIME, "s")):
            value, ours = middle(way, name), middle(OURS, name)
            ratio = f"{value / ours:.1f} times ours" if ours and way != OURS and name != "turned away" else ""
            note = ratio or (f"{len(pairs):,} changes" if name == "requests" else "")
            yield Figure(benchmark=NAME, name=f"{joiners} joiners: {way}: {name}", value=value, unit=unit, note=note)


def _submit(way: str, file: Path, changes: int) -> dict[str, float]:
    """Run one process against a new sandbox. Fails unless the tenant got every change exactly once."""
    with sandbox_process() as sandbox, tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        subprocess.run(
            _COMMANDS[way](str(file), folder),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**clean_environment(), **sandbox.settings, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder},
        )
        seconds = perf_counter() - began
        audit = sandbox.audit()
    assert [change["accepted"] for change in audit["changes"]] == [1] * changes, (
        f"{way} has not submitted each change once"
    )
    return {"requests": len(audit["accepted"]), "turned away": audit["throttled"], WALL_TIME: seconds}


def _python(module: str) -> Callable[[str, str], list[str]]:
    return lambda file, _folder: [sys.executable, "-m", module, file]


def _access_batch(file: str, folder: str) -> list[str]:
    words = ["submit", file, "--yes", "--json", "--ledger", f"{folder}/ledger.db", "--out", f"{folder}/out"]
    return [sys.executable, "-m", "batch", *words]


_COMMANDS: Final[dict[str, Callable[[str, str], list[str]]]] = {
    SDK: _python("tests.benchmarks.one_change_per_call"),
    LOOP: _python("tests.benchmarks.one_identity_per_request"),
    OURS: _access_batch,
}
