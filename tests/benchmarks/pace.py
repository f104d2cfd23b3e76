"""The use of the rate limit: ten minutes at the limit, restarts, parallel processes, and the cost of sending alone.

The server counts. It is strict: it counts a call up to 250 ms after its arrival, so that evenly sent calls can be
counted unevenly, and answers 20 to 400 ms later.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import polars as pl

from tests.benchmarks.counting_server import REQUESTS, SECONDS, counting_server, most_in_a_window
from tests.benchmarks.details import ITEM_ID, PERSON_ID
from tests.benchmarks.figure import Figure
from tests.benchmarks.sandbox_process import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME: Final = "pace"
STRICT: Final = (0.02, 0.4, 0.25)
AT_ONCE: Final = (0.0, 0.0, 0.0)

STEADY_REQUESTS: Final = 6_000
"""Ten minutes at the limit."""

PARALLEL: Final = 3
PARALLEL_REQUESTS: Final = 200
RESTARTS: Final = 10
RESTART_REQUESTS: Final = 60
UNLIMITED_REQUESTS: Final = 4_000

MOST_UNUSED: Final = 3.5
"""Percent of the limit."""

MOST_MS: Final = 2.5
"""Milliseconds per request without a limit: 400 requests per second."""

MOST_OF_A_CORE: Final = 5.0
"""Percent of a core, at the limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """The traffic of some processes at the server, and its cost.

    Attributes:
        arrivals: Times in seconds of the server's clock, ascending.
        refused: Number of requests answered 429.
        seconds: Time from the start of the first process to the end of the last.
        processor: Processor time of all processes, in seconds.
    """

    arrivals: Sequence[float]
    refused: int
    seconds: float
    processor: float


def run(scale: float) -> list[Figure]:
    """Measure everything; `scale` is that of the number of requests."""
    return [*_steady(scale), *_parallel(scale), *_restarts(scale), *_unlimited(scale)]


def _steady(scale: float) -> Iterator[Figure]:
    seen = submit([[round(STEADY_REQUESTS * scale)]], STRICT)
    steady = [time for time in seen.arrivals if time >= seen.arrivals[0] + SECONDS]
    possible = (steady[-1] - steady[0]) * REQUESTS / SECONDS
    yield from promises("steady", seen)
    yield _figure("steady: unused", 100 * (1 - (len(steady) - 1) / possible), "% of the limit", MOST_UNUSED)
    yield _figure("steady: processor", 100 * seen.processor / seen.seconds, "% of a core", MOST_OF_A_CORE)


def _parallel(scale: float) -> Iterator[Figure]:
    files = [max(1, round(PARALLEL_REQUESTS * scale))] * PARALLEL
    yield from promises(f"{PARALLEL} processes at a time", submit([files], STRICT))


def _restarts(scale: float) -> Iterator[Figure]:
    files = [max(1, round(RESTART_REQUESTS * scale))]
    yield from promises(f"{RESTARTS} processes in a row", submit([files] * RESTARTS, STRICT))


def _unlimited(scale: float) -> Iterator[Figure]:
    seen = submit([[round(UNLIMITED_REQUESTS * scale)]], AT_ONCE, "--rate", "100000/1")
    took = seen.arrivals[-1] - seen.arrivals[0]
    rate = (len(seen.arrivals) - 1) / took
    yield _figure("limit lifted: time", 1000 / rate, "ms/request", MOST_MS, f"{rate:,.0f} requests/s")


def promises(name: str, seen: Traffic, benchmark: str = NAME) -> Iterator[Figure]:
    """What may never happen, however fast it is."""
    note = f"{len(seen.arrivals):,} requests in {seen.seconds:,.0f} s"
    most = most_in_a_window(list(seen.arrivals))
    yield _figure(f"{name}: most in any {SECONDS:g} s", most, "requests", REQUESTS, note, benchmark)
    yield _figure(f"{name}: turned away", seen.refused, "requests", 0, benchmark=benchmark)


def _figure(name: str, value: float, unit: str, most: float, note: str = "", benchmark: str = NAME) -> Figure:
    return Figure(benchmark=benchmark, name=name, value=value, unit=unit, most=most, note=note)


def submit(
    rounds: Sequence[Sequence[int]],
    server: tuple[float, float, float],
    *options: str,
    ledgers: Sequence[str] = (),
) -> Traffic:
    """Submit files with one ledger: the files of a round in parallel, one round after another.

    Args:
        rounds: How many requests each file makes.
        server: Its latencies, see `counting_server`.
        options: Of each command.
        ledgers: The address of the ledger for each file of a round: its machine's way to it, and each machine has a
            key of its own. A file on this one if there are none.
    """
    with counting_server(*server) as client, tempfile.TemporaryDirectory() as folder:
        environment = {
            **clean_environment(),
            "SAIL_BASE_URL": str(client.base_url),
            "SAIL_CLIENT_ID": "counted",
            "SAIL_CLIENT_SECRET": "counted",
            # Only requests are counted.
            "ACCESS_BATCH_CHECK_TENANT": "never",
            "XDG_DATA_HOME": folder,
            "XDG_CONFIG_HOME": folder,
        }
        began, used, first, expected = perf_counter(), _processor(), 0, 0
        for files in rounds:
            processes = []
            places = ledgers or [f"{folder}/ledger.db"] * len(files)
            for number, (requests, ledger) in enumerate(zip(files, places, strict=True)):
                file = _write(Path(folder, f"{first}.csv"), first, requests)
                words = ["submit", str(file), "--yes", "--ledger", ledger, *options]
                command = [sys.executable, "-m", "batch", *words]
                own = {"XDG_CONFIG_HOME": f"{folder}/{number}"} if ledgers else {}
                processes.append(
                    subprocess.Popen(
                        command,
                        env={**environment, **own},
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                first += requests
                expected += requests
            for process in processes:
                _, errors = process.communicate()
                assert process.returncode == 0, errors
        seconds, processor = perf_counter() - began, _processor() - used
        seen = client.get("/arrivals").raise_for_status().json()
    # Machines that come to a ledger in use look at the tenant's list first.
    came = seen["posts"] - seen["refused"]
    assert came == expected, f"{came} requests arrived instead of {expected}"
    return Traffic(arrivals=seen["arrivals"], refused=seen["refused"], seconds=seconds, processor=processor)


def _processor() -> float:
    """Processor time of all finished child processes, in seconds. The server still runs, so it does not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _write(file: Path, first: int, requests: int) -> Path:
    """Write a file that can't be packed: no two people share an item."""
    numbers = range(first, first + requests)
    pl.DataFrame(
        {
            "operation": ["grant"] * requests,
            "identity_id": [PERSON_ID.format(number) for number in numbers],
            "item_type": ["ROLE"] * requests,
            "item_id": [ITEM_ID.format(number) for number in numbers],
        }
    ).write_csv(file)
    return file
