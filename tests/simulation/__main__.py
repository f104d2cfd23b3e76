"""`python -m tests.simulation --seeds 10000`: lets fresh histories happen, and prints the first that goes wrong."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from functools import partial
from multiprocessing import current_process, get_context
from typing import TYPE_CHECKING

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is imported: the processes share the cores

from tests.simulation.disk import FOLDER, in_memory
from tests.simulation.history import live
from tests.simulation.options import ENABLED, FAULTS, options_of
from tests.simulation.protections import PROTECTIONS

if TYPE_CHECKING:
    from tests.simulation.history import Outcome


def say(line: object) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(seed: int, faults: frozenset[str], protection: str = "", *, team: bool = False) -> Outcome:
    """Let the history of a seed happen."""
    return live(options_of(seed, faults, team=team), protection=protection)


def _kinds(text: str | None) -> frozenset[str]:
    if text is None:
        return ENABLED
    kinds = frozenset(FAULTS if text == "all" else text.split(","))
    if unknown := sorted(kinds - set(FAULTS)):
        raise SystemExit(f"Unknown kinds of faults: {', '.join(unknown)}. Known: {', '.join(FAULTS)}.")
    return kinds


def show(outcome: Outcome, last: int) -> None:
    """Print a history."""
    say(f"seed {outcome.options.seed}, history {outcome.hash}")
    say(outcome.options)
    say("\n".join(outcome.events[-last:]))
    for problem in outcome.problems:
        say(f"PROBLEM: {problem}")


def _settle_down(folder: str) -> None:
    """Let a worker keep one core and this folder, and let its garbage collector look at what histories make only.

    Polars hands each small operation to a thread, which takes longer between cores.
    """
    os.environ[FOLDER] = folder
    gc.freeze()
    gc.set_threshold(100_000, 10, 100)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        number = current_process()._identity[0]
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--faults", help="only these kinds of faults, with commas between them; `all` for every kind")
    parser.add_argument("--without", default="", choices=["", *PROTECTIONS], help="switch one protection off")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first problem")
    parser.add_argument("--team", action="store_true", help="let machines share the ledger as a team does")
    chosen = parser.parse_args()
    faults = _kinds(chosen.faults)
    if chosen.seed is not None:
        first, again = (run(chosen.seed, faults, chosen.without, team=chosen.team) for _ in range(2))
        show(first, chosen.events)
        if first.hash != again.hash:
            say("PROBLEM: the second time, another history happened")
            for one, other in zip(first.events, again.events, strict=False):
                if one != other:
                    say(f"  {one}\n  {other}")
                    break
        return bool(first.problems) or first.hash != again.hash
    began, failed = time.monotonic(), 0
    with in_memory() as folder, get_context("fork").Pool(chosen.processes, _settle_down, [folder]) as pool:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        for done, outcome in enumerate(
            pool.imap_unordered(
                partial(run, faults=faults, protection=chosen.without, team=chosen.team), seeds, chunksize=4
            ),
            start=1,
        ):
            if outcome.problems:
                failed += 1
                if chosen.go_on:
                    say(f"seed {outcome.options.seed}: {outcome.problems[0]}")
                else:
                    show(outcome, chosen.events)
                    return 1
            if done % 200 == 0:
                say(f"{done} histories, {done / (time.monotonic() - began) * 60:.0f} a minute")
    pace = chosen.seeds / (time.monotonic() - began) * 60
    say(f"{chosen.seeds} histories, {failed} with problems, {pace:.0f} a minute")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
