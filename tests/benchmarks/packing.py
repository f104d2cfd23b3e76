"""Packing: the number of requests for large files, and the time and memory of planning."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.details import PLAIN, Comments, Details, changes_of
from tests.benchmarks.figure import Figure
from tests.benchmarks.other_workloads import BirthrightForAll, Collectors, NestedDepartments
from tests.benchmarks.simple_packings import IDENTICAL_SETS, ONE_CHANGE, ONE_IDENTITY, simple_packings
from tests.benchmarks.workloads import Migration, Onboarding, Sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.workloads import Workload

NAME: Final = "packing"
OURS: Final = "access-batch"
WAYS: Final = (ONE_CHANGE, ONE_IDENTITY, IDENTICAL_SETS, OURS)
"""Ways of packing. Each case has a figure for each."""

MOST_SECONDS: Final = 8.0
"""Seconds per million changes."""
MOST_MEGABYTES: Final = 1_500.0
"""MB per million changes."""
MOST_CHECK: Final = 10.0
"""Time limit for the check of the plan, in percent of planning."""

SHUFFLES: Final = (0, 1, 2)
"""Seeds of the runs, each in its own process; 0 keeps the order of the rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One file to pack.

    Attributes:
        name: Its name in the figures.
        workload: Its pairs of person and item.
        details: Its other contents.
        most_requests: Limit of the requests at full size.
    """

    name: str
    workload: Workload
    details: Details = field(default=PLAIN)
    most_requests: int | None = None


def cases(scale: float) -> list[Case]:
    """The published workloads, then other seeds, comments and shapes, with limits for speed only."""
    onboarding = Onboarding(scale=scale)
    ticket, department = Details(comments=Comments.TICKET), Details(comments=Comments.DEPARTMENT)
    mixed = Details(comments=Comments.DEPARTMENT, item_types=(0.2, 0.2, 0.6), revokes=0.1)
    return [
        Case(name="onboarding", workload=onboarding, most_requests=9_296),
        Case(name="migration", workload=Migration(scale=scale), most_requests=80_726),
        Case(name="sparse", workload=Sparse(scale=scale), most_requests=31_188),
        Case(name="onboarding, another seed", workload=Onboarding(scale=scale, seed=7)),
        Case(name="migration, another seed", workload=Migration(scale=scale, seed=7)),
        Case(name="sparse, another seed", workload=Sparse(scale=scale, seed=7)),
        Case(name="onboarding, a ticket for 25 people", workload=onboarding, details=ticket),
        Case(name="onboarding, a comment per department", workload=onboarding, details=department),
        Case(name="onboarding, mixed types and revokes", workload=onboarding, details=mixed),
        Case(name="departments in locations", workload=NestedDepartments(scale=scale)),
        Case(name="more than 25 items each", workload=Collectors(scale=scale)),
        Case(name="birthright for all", workload=BirthrightForAll(scale=scale)),
    ]


def run(scale: float) -> list[Figure]:
    """Measure every case; `scale` is that of the number of people, and limits apply to 1 only."""
    return [figure for case in cases(scale) for figure in _figures(case, full_size=scale == 1)]


def _figures(case: Case, *, full_size: bool) -> Iterator[Figure]:
    changes = changes_of(case.workload.pairs(), case.details)
    simple = simple_packings(changes)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "changes.parquet")
        changes.write_parquet(file)
        runs = [_plan_once(file, shuffle) for shuffle in SHUFFLES]
    millions = changes.height / 1e6
    requests, bound = runs[0]["requests"], runs[0]["lower_bound"]

    def figure(name: str, value: float, unit: str, most: float | None = None, note: str = "") -> Figure:
        return Figure(
            benchmark=NAME,
            name=f"{case.name}: {name}",
            value=value,
            unit=unit,
            most=most if full_size else None,
            note=note,
        )

    for way, count in simple.items():
        yield figure(way, count, "requests", note=f"{count / requests:.2f} times ours")
    yield figure(OURS, requests, "requests", case.most_requests, f"{changes.height:,} changes")
    yield figure("lower bound", bound, "requests", note="no plan has fewer")
    yield figure("above the bound", 100 * (requests / bound - 1), "%")
    yield figure("planning", _median(runs, "seconds") / millions, "s per million", MOST_SECONDS)
    yield figure("memory", _median(runs, "megabytes") / millions, "MB per million", MOST_MEGABYTES, "whole process")
    share = 100 * median(run["check_seconds"] / run["seconds"] for run in runs)
    yield figure("check of the plan", share, "% of planning", MOST_CHECK)
    different = len({run["digest"] for run in runs})
    yield figure("different plans", different, f"in {len(runs)} runs", 1, "rows shuffled")


def _plan_once(file: Path, shuffle: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.plan_once", str(file), str(shuffle)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(printed)
    return figures


def _median(runs: list[dict[str, Any]], name: str) -> float:
    middle: float = median(run[name] for run in runs)
    return middle
