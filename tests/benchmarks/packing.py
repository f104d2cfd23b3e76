"""Packing: the number of requests for large files, and the time and memory of planning."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.details import PLAIN, Comments, Details, changes_of
from tests.benchmarks.figure import Figure
from tests.benchmarks.other_workloads import BirthrightForAll, Collectors, NestedDepartments
from tests.benchmarks.simple_packings import IDENTICAL_SETS, ONE_CHANGE, ONE_IDENTITY, simple_packings
from tests.benchmarks.workloads import Migration, Onboarding, Sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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

FRESH_SEEDS: Final = (101, 102)
"""Seeds of workloads that nobody has looked at while the planner was made."""

WORKLOADS: Final[Mapping[str, Callable[..., Workload]]] = MappingProxyType(
    {
        "onboarding": Onboarding,
        "migration": Migration,
        "sparse": Sparse,
        "departments in locations": NestedDepartments,
        "more than 25 items each": Collectors,
        "birthright for all": BirthrightForAll,
    }
)
_MOST_REQUESTS: Final = MappingProxyType(
    {
        "onboarding": 8_810,
        "migration": 68_212,
        "sparse": 31_022,
        "departments in locations": 9_627,
        "more than 25 items each": 2_565,
        "birthright for all": 8_355,
    }
)
"""No plan gets worse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One file to pack.

    Attributes:
        name: Its name in the figures.
        workload: Its pairs of person and item.
        details: Its other contents.
        most_requests: Limit of the requests at full size.
        shuffles: Of SHUFFLES, those to run.
    """

    name: str
    workload: Workload
    details: Details = field(default=PLAIN)
    most_requests: int | None = None
    shuffles: tuple[int, ...] = SHUFFLES


def cases(scale: float) -> list[Case]:
    """The published workloads and other shapes, then other comments; limits for requests apply to the former only."""
    onboarding = Onboarding(scale=scale)
    ticket, department = Details(comments=Comments.TICKET), Details(comments=Comments.DEPARTMENT)
    mixed = Details(comments=Comments.DEPARTMENT, item_types=(0.2, 0.2, 0.6), revokes=0.1)
    return [
        *(
            Case(name=name, workload=make(scale=scale), most_requests=_MOST_REQUESTS.get(name))
            for name, make in WORKLOADS.items()
        ),
        Case(name="onboarding, a ticket for 25 people", workload=onboarding, details=ticket),
        Case(name="onboarding, a comment per department", workload=onboarding, details=department),
        Case(name="onboarding, mixed types and revokes", workload=onboarding, details=mixed),
    ]


def fresh_cases(scale: float) -> list[Case]:
    """Every workload again, from FRESH_SEEDS."""
    return [
        Case(name=f"{name}, seed {seed}", workload=make(scale=scale, seed=seed), shuffles=SHUFFLES[:1])
        for name, make in WORKLOADS.items()
        for seed in FRESH_SEEDS
    ]


def run(scale: float) -> list[Figure]:
    """Measure every case; `scale` is that of the number of people, and limits apply to 1 only."""
    every = [*cases(scale), *fresh_cases(scale)]
    return [figure for case in every for figure in _figures(case, full_size=scale == 1)]


def _figures(case: Case, *, full_size: bool) -> Iterator[Figure]:
    changes = changes_of(case.workload.pairs(), case.details)
    simple = simple_packings(changes)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "changes.parquet")
        changes.write_parquet(file)
        runs = [_plan_once(file, shuffle) for shuffle in case.shuffles]
    millions = changes.height / 1e6
    requests, bound = runs[0]["requests"], runs[0]["best_bound"]

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
    yield figure("lower bound", bound, "requests", note=f"no plan has fewer; {runs[0]['lower_bound']:,} by `normal`")
    yield figure("above the bound", 100 * (requests / bound - 1), "%")
    yield figure("planning", _median(runs, "seconds") / millions, "s per million", MOST_SECONDS)
    yield figure("memory", _median(runs, "megabytes") / millions, "MB per million", MOST_MEGABYTES, "whole process")
    share = 100 * median(run["check_seconds"] / run["seconds"] for run in runs)
    yield figure("check of the plan", share, "% of planning", MOST_CHECK)
    yield figure("second bound", runs[0]["bound_seconds"] / millions, "s per million", note="only by `thorough`")
    if len(runs) > 1:
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
