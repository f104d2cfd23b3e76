"""Runs the benchmarks: `python -m tests.benchmarks`. Exits with code 1 if a figure exceeds its limit."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figure import Figure
from tests.benchmarks.machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHMARKS: Final = tuple(
    name for name in ("packing", "scale", "ways", "pace", "databases", "team") if find_spec(f"tests.benchmarks.{name}")
)

WIDTH: Final = 150
"""Width of the table without a terminal."""


def main() -> None:
    """Measure, print the table, and write the requested files."""
    options = _options()
    screen = Console(width=None if sys.stdout.isatty() else WIDTH)
    figures: list[Figure] = []
    now = f"{this_machine()}, {datetime.now(UTC).date().isoformat()}"
    for name in BENCHMARKS:
        if options.only and name not in options.only:
            figures += _earlier_figures(options.json, name)
            continue
        screen.print(f"Measuring {name} …")
        measured = import_module(f"tests.benchmarks.{name}").run(options.scale)
        figures += [dataclasses.replace(figure, measured=now) for figure in measured]
    screen.print(_table(figures))
    screen.print(now)
    if options.json:
        document = {
            "scale": options.scale,
            "figures": [{**asdict(figure), "kept": figure.is_kept} for figure in figures],
        }
        options.json.write_text(f"{json.dumps(document, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
    if options.svg:
        # Drawing needs the `bench` extra; measuring does not.
        from tests.benchmarks.chart import draw  # noqa: PLC0415

        draw(figures, options.svg)
    sys.exit(0 if all(figure.is_kept for figure in figures) else 1)


def _earlier_figures(file: Path | None, name: str) -> list[Figure]:
    """The figures of a benchmark that is not run now, from the JSON file."""
    if file is None or not file.exists():
        return []
    fields = [field.name for field in dataclasses.fields(Figure)]
    return [
        Figure(**{field: entry[field] for field in fields})
        for entry in json.loads(file.read_text(encoding="utf-8"))["figures"]
        if entry["benchmark"] == name
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of all inputs; the limits are for 1")
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        help="can be repeated; other benchmarks keep their figures in the JSON file",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the chart here; needs the bench extra")
    return parser.parse_args()


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("benchmark", "figure")
    for column in ("value", "limit"):
        table.add_column(column, justify="right")
    for column in ("unit", "kept", "note"):
        table.add_column(column)
    for figure in figures:
        limit, kept = (
            ("", "") if figure.most is None else (_number(figure.most), "yes" if figure.is_kept else "[bold red]NO[/]")
        )
        table.add_row(figure.benchmark, figure.name, _number(figure.value), limit, figure.unit, kept, figure.note)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1_000 else f"{value:,.2f}"


if __name__ == "__main__":
    main()
