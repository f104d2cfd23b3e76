"""A team's ledger on PostgreSQL: sending against SQLite, and three machines at some distance from the database."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.benchmarks.counting_server import REQUESTS, SECONDS
from tests.benchmarks.figure import Figure
from tests.benchmarks.pace import AT_ONCE, STRICT, promises, submit
from tests.soak.proxy import Proxy
from tests.soak.server import ADDRESS, new_database, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.pace import Traffic
    from tests.postgresql import Server

NAME: Final = "team"
RUNS: Final = 3
UNLIMITED_REQUESTS: Final = 2_000

MACHINES: Final = 3
MACHINE_REQUESTS: Final = 250

MOST_TIMES: Final = 1.25
"""Time of a request on PostgreSQL, in comparison with SQLite: 0.8 times as many a second."""

FAR: Final = {20: 105, 60: 125}
"""Milliseconds of a round trip to the database, and most milliseconds for each request of all machines together."""


def run(scale: float) -> list[Figure]:
    """Measure everything; `scale` is that of the number of requests."""
    with running_server() as server:
        far = [figure for delay, most in FAR.items() for figure in _far(server, scale, delay, most)]
        return [*_unlimited(server, scale), *far]


def _unlimited(server: Server, scale: float) -> Iterator[Figure]:
    """One machine with the limit lifted, on both databases by turns."""
    requests = round(UNLIMITED_REQUESTS * scale)
    times: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": []}
    for number in range(RUNS):
        url = server.url(new_database(server, f"alone{number}"))
        for name, ledgers in (("SQLite", ()), ("PostgreSQL", (url,))):
            seen = submit([[requests]], AT_ONCE, "--rate", "100000/1", ledgers=ledgers)
            times[name].append(_milliseconds(seen))
    ours, theirs = (median(found) for found in times.values())
    note = f"{ours:.2f} ms a request on SQLite, {theirs:.2f} ms on PostgreSQL"
    yield _figure("limit lifted: time on PostgreSQL against SQLite", theirs / ours, "times", MOST_TIMES, note)


def _far(server: Server, scale: float, delay: int, most: float) -> Iterator[Figure]:
    """Three machines, each with a delay of its own way to the database."""
    files = [max(1, round(MACHINE_REQUESTS * scale))] * MACHINES
    database = new_database(server, f"far{delay}")
    with ExitStack() as stack:
        ways = [stack.enter_context(Proxy(server.socket, delay=delay / 1000)) for _ in files]
        ledgers = [ADDRESS.format(port=way.port, database=database) for way in ways]
        seen = submit([files], STRICT, ledgers=ledgers)
    name = f"{MACHINES} machines at {delay} ms"
    yield from promises(name, seen, NAME)
    together = _milliseconds_in_cycles(seen)
    yield _figure(f"{name}: time", together, "ms/request", most, f"{1000 / together:.1f} of {REQUESTS / SECONDS:g}/s")


def _milliseconds(seen: Traffic) -> float:
    """Milliseconds from one arrival to the next."""
    return 1000 * (seen.arrivals[-1] - seen.arrivals[0]) / (len(seen.arrivals) - 1)


def _milliseconds_in_cycles(seen: Traffic) -> float:
    """The same in the long run: calls come in bunches, so from each to the one that comes whole bunches later."""
    arrivals = seen.arrivals
    cycle = (len(arrivals) - 1) // REQUESTS * REQUESTS or len(arrivals) - 1
    return 1000 * median(later - one for one, later in zip(arrivals, arrivals[cycle:], strict=False)) / cycle


def _figure(name: str, value: float, unit: str, most: float, note: str) -> Figure:
    return Figure(benchmark=NAME, name=name, value=value, unit=unit, most=most, note=note)
