"""Plans one file of changes in its own process, and prints the cost: `python -m … FILE SEED`.

A seed other than 0 shuffles the rows: the plan must be the same for any order and in any process.
"""

from __future__ import annotations

import hashlib
import json
import sys
from time import perf_counter

import numpy as np
import polars as pl

from batch.api.dialects import Limits, Operation
from batch.plan import plan
from batch.plan.check import check_plan
from batch.plan.pairs import make_pairs, number_item_specs, number_people
from batch.plan.price_bound import price_bound
from batch.validate.rows import CHANGE_COLUMNS
from tests.benchmarks.memory import peak_megabytes


def main(file: str, seed: str) -> None:
    """Plan, check, look for the bound of `thorough` too unless the rows are shuffled, and print one JSON object."""
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
    bound_began = perf_counter()
    best_bound = made.lower_bound if int(seed) else max(made.lower_bound, second_bound(made.changes, limits))
    figures = {
        "requests": made.requests,
        "lower_bound": made.lower_bound,
        "best_bound": best_bound,
        "bound_seconds": perf_counter() - bound_began,
        "seconds": planned - began,
        "check_seconds": checked - check_began,
        "megabytes": peak,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
    }
    sys.stdout.write(json.dumps(figures))


def second_bound(changes: pl.DataFrame, limits: Limits) -> int:
    """The bound that only `thorough` looks for, and the requests for revokes, which are always the fewest."""
    is_revoke = pl.col("operation") == Operation.REVOKE.value
    grants, revokes = changes.filter(~is_revoke), changes.filter(is_revoke)
    who, what = number_people(grants), number_item_specs(grants)
    order = np.lexsort((what, who))
    pairs = make_pairs(who[order], what[order], people=int(who.max()) + 1, item_specs=int(what.max()) + 1)
    return price_bound(pairs, limits) + revokes.get_column("request").n_unique()


if __name__ == "__main__":
    main(*sys.argv[1:])
