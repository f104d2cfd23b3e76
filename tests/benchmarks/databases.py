"""What a ledger in PostgreSQL costs beside one in SQLite: writing a plan, and deduplication right after it.

The server is on this machine, with its usual settings, and shares the processors. Needs the `postgresql` extra and the
server that the tests use.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.benchmarks.figure import Figure
from tests.benchmarks.scale import step
from tests.soak.server import new_database, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME: Final = "databases"
_CHANGES: Final = 1_000_000
_RUNS: Final = 3
_MOST_TO_WRITE: Final = 3.0
_MOST_TO_DEDUPLICATE: Final = 2.0
"""Times the same in SQLite."""

_KINDS: Final = {"all items of some identities": False, "rows scattered over all identities": True}


def run(scale: float) -> list[Figure]:
    """Measure everything; the limits apply to scale 1 only."""
    changes = round(_CHANGES * scale)
    with running_server() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = {
            kind: _delta(folder / f"delta {scattered}.csv", changes, scattered=scattered)
            for kind, scattered in _KINDS.items()
        }
        # They take turns, so that a disturbance meets both.
        measured = []
        for number in range(_RUNS):
            url = server.url(new_database(server, f"bench{number}"))
            measured.append((_measured(str(folder / f"{number}.db"), inputs, changes), _measured(url, inputs, changes)))
    return [*_figures(changes, measured)]


def _delta(path: Path, changes: int, *, scattered: bool) -> str:
    step("make_delta", path=str(path), rows=changes // 10, changes=changes, team=3, seed=changes, scattered=scattered)
    return str(path)


def _measured(ledger: str, inputs: Mapping[str, str], changes: int) -> dict[str, float]:
    """The seconds of each step in a new ledger."""
    written = {"write": step("fill_ledger", ledger=ledger, changes=changes, team=3, items=5)["s"]}
    return written | {kind: step("deduplicate", path=path, ledger=ledger)["s"] for kind, path in inputs.items()}


def _figures(changes: int, measured: list[tuple[dict[str, float], dict[str, float]]]) -> Iterator[Figure]:
    names = {
        "write": (f"writing a plan of {changes:,} changes", _MOST_TO_WRITE),
        **{
            kind: (f"deduplication right after it: {kind}, {changes // 10:,} rows", _MOST_TO_DEDUPLICATE)
            for kind in _KINDS
        },
    }
    for key, (name, most) in names.items():
        here, there = (median(one[place][key] for one in measured) for place in (0, 1))
        yield Figure(
            benchmark=_NAME,
            name=f"PostgreSQL, {name}",
            value=median(there[key] / here[key] for here, there in measured),
            unit="times",
            most=most,
            note=f"{there:.2f} s; in SQLite {here:.2f} s",
        )
