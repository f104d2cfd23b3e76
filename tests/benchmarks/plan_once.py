"""Plans one file of changes in its own process, and prints the cost: `python -m … FILE SEED`.

A seed other than 0 shuffles the rows: the plan must be the same for any order and in any process.
"""

from __future__ import annotations

import hashlib
import json
import sys
from time import perf_counter

import polars as pl

from batch.api.dialects import Limits
from batch.plan import plan
from batch.plan.check import check_plan
from batch.validate.rows import CHANGE_COLUMNS
from tests.benchmarks.memory import peak_megabytes


def main(file: str, seed: str) -> None:
    """Plan, check, and print one JSON object."""
    changes, limits = pl.read_parquet(file), Limits()
    if int(seed):
        changes = changes.sample(fraction=1.0, shuffle=True, seed=int(seed))
    began = perf_counter()
    made = plan(changes, limits)
    planned = perf_counter()
    peak = peak_megabytes()
    check_began = perf_counter()
    check_plan(made.changes, changes, limits)
    checked = perf_counter()
    ordered = made.changes.select("request", *CHANGE_COLUMNS)
    content = ordered.sort(ordered.columns).write_csv()
    figures = {
        "requests": made.requests,
        "lower_bound": made.lower_bound,
        "seconds": planned - began,
        "check_seconds": checked - check_began,
        "megabytes": peak,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
