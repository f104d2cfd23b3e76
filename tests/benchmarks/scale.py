"""The growth of time, memory and ledger with the number of changes; each step runs in its own process.

`python -m tests.benchmarks.scale --scale 0.1` measures a tenth of the full sizes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.benchmarks.figure import Figure

_NAME: Final = "scale"
_MILLION: Final = 1_000_000
_RUNS: Final = 3
"""Runs of quick steps; the median counts."""

_TEAM: Final = 3
_ITEMS: Final = 5
"""The made-up packing of a filled ledger: requests of 3 identities with 5 items."""


def step(name: str, /, **arguments: Any) -> dict[str, float]:
    """Run a step in its own process; adds the `wall` time of the whole process."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.scale_steps", name, json.dumps(arguments)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
    )
    wall = time.perf_counter() - began
    measured: dict[str, float] = json.loads(done.stdout)
    return {**measured, "wall": wall}


def _remove(ledger: Path) -> None:
    for file in ledger.parent.glob(f"{ledger.name}*"):
        file.unlink()


def _planned(source: Path, folder: Path, runs: int) -> dict[str, float]:
    """Plan an input into an empty ledger: the figures of the median run; `s` excludes packing."""
    ledger = folder / "empty.db"
    measured = []
    for _ in range(runs):
        _remove(ledger)
        measured.append(step("plan_into_ledger", path=str(source), ledger=str(ledger)))
    _remove(ledger)
    middle = sorted(measured, key=lambda figures: figures["wall"] - figures["packing"])[runs // 2]
    return {**middle, "s": middle["wall"] - middle["packing"]}


def _floor(source: Path, folder: Path, *, ordered: bool) -> float:
    database = folder / "floor.db"
    measured = []
    for _ in range(_RUNS):
        _remove(database)
        measured.append(step("floor", path=str(source), database=str(database), ordered=ordered)["s"])
    _remove(database)
    return median(measured)


def _planning(folder: Path, scale: float) -> list[Figure]:
    small, large = folder / "small.csv", folder / "large.csv"
    rows = round(_MILLION * scale)
    step("make_input", path=str(small), rows=rows, seed=1)
    step("make_input", path=str(large), rows=10 * rows, seed=2)
    small_run = _planned(small, folder, _RUNS)
    floor, ordered = (_floor(small, folder, ordered=ordered) for ordered in (False, True))
    large_run = _planned(large, folder, 1)
    name = f"{rows:,} rows into an empty ledger"
    many = f"{10 * rows:,} rows into an empty ledger"
    return [
        Figure(benchmark=_NAME, name=f"{name}, without packing", value=small_run["s"], unit="s"),
        Figure(benchmark=_NAME, name=f"{name}, packing", value=small_run["packing"], unit="s"),
        Figure(benchmark=_NAME, name=f"{name}, memory", value=small_run["peak"], unit="MB"),
        Figure(
            benchmark=_NAME,
            name=f"{name}, without packing, to the floor",
            value=small_run["s"] / floor,
            unit="times",
            most=1.4,
            note=f"the floor took {floor:.2f} s: scan, and executemany in the file's order into an ordinary table",
        ),
        Figure(
            benchmark=_NAME,
            name=f"{name}, without packing, to the lowest floor",
            value=small_run["s"] / ordered,
            unit="times",
            note=f"that took {ordered:.2f} s: the same in the order of its key, into a table without rowids",
        ),
        Figure(
            benchmark=_NAME,
            name=many,
            value=large_run["wall"],
            unit="s",
            note=f"packing {large_run['packing']:.1f} s of it",
        ),
        Figure(
            benchmark=_NAME,
            name=f"{many}, to a tenth of it",
            value=large_run["wall"] / small_run["wall"],
            unit="times",
            most=12,
            note="whole processes, with packing",
        ),
        Figure(benchmark=_NAME, name=f"{many}, without packing", value=large_run["s"] / small_run["s"], unit="times"),
        Figure(benchmark=_NAME, name=f"{many}, memory", value=large_run["peak"], unit="MB", most=6 * 1024),
    ]


def _deduplicating(folder: Path, scale: float) -> list[Figure]:
    ledger = folder / "filled.db"
    changes = round(10 * _MILLION * scale)
    summary = step("fill_ledger", ledger=str(ledger), changes=changes, team=_TEAM, items=_ITEMS)
    parts = [f"{name.removeprefix('bytes of ')} {size:.2f}" for name, size in summary.items() if name != "bytes"]
    figures = [
        Figure(
            benchmark=_NAME,
            name=f"ledger of {changes:,} changes, requests of {_TEAM} by {_ITEMS}",
            value=summary["bytes"],
            unit="bytes a change",
            most=25,
            note=", ".join(part for part in parts if not part.startswith(("s ", "peak ", "wall "))),
        )
    ]
    inputs = (
        ("all items of some identities", round(changes / 10), False, 2.5, 1),
        ("rows scattered over all identities", round(changes / 10), True, None, 1),
        ("a delta", round(changes / 1000), False, 0.2, _RUNS),
        ("a scattered delta", round(changes / 1000), True, 0.2, _RUNS),
    )
    for kind, rows, scattered, most, runs in inputs:
        source = folder / "delta.csv"
        step("make_delta", path=str(source), rows=rows, changes=changes, team=_TEAM, seed=rows, scattered=scattered)
        measured = [step("deduplicate", path=str(source), ledger=str(ledger)) for _ in range(runs)]
        name = f"deduplication against {changes:,} changes: {kind}, {rows:,} rows"
        note = f"{measured[0]['fresh']:,.0f} of {measured[0]['rows']:,.0f} are fresh"
        figures += [
            Figure(
                benchmark=_NAME, name=name, value=median(step["s"] for step in measured), unit="s", most=most, note=note
            ),
            Figure(
                benchmark=_NAME,
                name=f"{name}, memory",
                value=max(step["grew"] for step in measured),
                unit="MB",
                most=1024,
            ),
        ]
    return figures


def run(scale: float) -> list[Figure]:
    """Measure everything; the limits apply to scale 1 only."""
    with tempfile.TemporaryDirectory() as folder:
        planning = _planning(Path(folder), scale)
    with tempfile.TemporaryDirectory() as folder:
        return planning + _deduplicating(Path(folder), scale)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    for figure in run(parser.parse_args().scale):
        limit = "" if figure.most is None else f" ({'kept' if figure.is_kept else 'NOT KEPT'}: at most {figure.most:g})"
        sys.stdout.write(f"{figure.name}: {figure.value:,.2f} {figure.unit}{limit} {figure.note}\n")


if __name__ == "__main__":
    _main()
