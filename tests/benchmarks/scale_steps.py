"""The steps of the scale benchmark; each runs in its own process, so that time and memory are its own.

`python -m tests.benchmarks.scale_steps STEP JSON` runs one step and prints its measurements as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from batch.ledger.machine_key import MachineKey
from tests.benchmarks.memory import peak_megabytes
from tests.clocks import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

KEY: Final = MachineKey(bytes(32))
TENANT: Final = "https://scale.example"
ITEMS: Final = 5_000
"""Items of the tenant."""

ITEMS_EACH: Final = 10
"""Items per identity."""

_TYPES: Final = ("ROLE", "ACCESS_PROFILE", "ENTITLEMENT")
_WRITTEN_AT_ONCE: Final = 2_500_000


def _ids(kind: str, count: int) -> pl.Series:
    """Ids of 32 hex digits, always the same for one kind."""
    content = np.random.default_rng([len(kind), *kind.encode()]).bytes(16 * count)
    return pl.Series([content[start : start + 16].hex() for start in range(0, 16 * count, 16)])


def _items_of(random: Generator, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of ITEMS_EACH different items for each of `count` identities or teams."""
    steps = random.integers(1, ITEMS // ITEMS_EACH, (count, ITEMS_EACH))
    return (random.integers(0, ITEMS, count)[:, None] + np.cumsum(steps, axis=1)) % ITEMS


def _frame(identities: np.ndarray[Any, Any], items: np.ndarray[Any, Any], people: int) -> pl.DataFrame:
    """Changes by numbers of identity and item."""
    return pl.DataFrame(
        {
            "identity_id": _ids("person", people).gather(identities),
            "item_type": pl.Series(_TYPES).gather(items % len(_TYPES)),
            "item_id": _ids("item", ITEMS).gather(items),
        }
    )


def make_input(path: str, *, rows: int, seed: int) -> dict[str, float]:
    """Write a CSV file of random grants in random order, ITEMS_EACH for each identity."""
    random = np.random.default_rng(seed)
    people = rows // ITEMS_EACH
    order = random.permutation(people * ITEMS_EACH)
    identities = np.repeat(np.arange(people), ITEMS_EACH)[order]
    frame = _frame(identities, _items_of(random, people).reshape(-1)[order], people)
    frame.with_columns(
        pl.lit("GRANT").alias("operation"), pl.concat_str(pl.lit("Load "), pl.Series(identities % 50)).alias("comment")
    ).write_csv(path)
    return {"bytes": Path(path).stat().st_size}


def make_delta(path: str, *, rows: int, changes: int, team: int, seed: int, scattered: bool) -> dict[str, float]:
    """Write a CSV file of grants to identities of a filled ledger, half of which the ledger already has.

    Args:
        path: The file.
        rows: Number of rows.
        changes: As for `fill_ledger`.
        team: As for `fill_ledger`.
        seed: Seed of the random numbers.
        scattered: Whether the rows are spread over all identities; otherwise each identity has ITEMS_EACH rows.
    """
    random = np.random.default_rng(seed)
    people = changes // ITEMS_EACH
    known = _items_of(np.random.default_rng(0), people // team)
    if scattered:
        identities = random.integers(0, people, rows)
        position = random.integers(0, ITEMS_EACH, rows)
    else:
        identities = np.repeat(random.choice(people, rows // ITEMS_EACH, replace=False), ITEMS_EACH)
        position = np.tile(np.arange(ITEMS_EACH), rows // ITEMS_EACH)
    fresh = position % 2
    known_items = known[np.minimum(identities // team, len(known) - 1), position]
    items = (known_items + fresh * random.integers(1, ITEMS, rows)) % ITEMS
    order = random.permutation(rows)
    frame = _frame(identities[order], items[order], people).unique(maintain_order=True)
    frame.write_csv(path)
    return {"rows": frame.height}


def fill_ledger(ledger: str, *, changes: int, team: int, items: int) -> dict[str, float]:
    """Fill a ledger with the product's own code and a made-up packing: all members of a team get the same items.

    Args:
        ledger: Its path, or the URL of a PostgreSQL database: then only the time is measured.
        changes: Number of changes, ITEMS_EACH for each identity.
        team: Identities per request.
        items: Items per request.
    """
    from batch.ledger.runs import NewRun  # noqa: PLC0415 - each step imports only what it measures
    from batch.ledger.store import Ledger  # noqa: PLC0415 - same reason
    from batch.plan import Plan  # noqa: PLC0415 - same reason

    people = changes // ITEMS_EACH
    team_items = _items_of(np.random.default_rng(0), people // team)
    now = datetime.now(UTC)
    requests_each = -(-ITEMS_EACH // items)
    upto = ""
    took = 0.0
    with Ledger.open(ledger, sandbox=False, now=now, new_id=new_id, key=lambda: KEY) as opened:
        at_once = max(_WRITTEN_AT_ONCE // ITEMS_EACH // team, 1)
        for first in range(0, len(team_items), at_once):
            teams = np.arange(first, min(first + at_once, len(team_items)))
            identities = np.repeat(teams[:, None] * team + np.arange(team), ITEMS_EACH)
            item_numbers = np.repeat(team_items[teams], team, axis=0).reshape(-1)
            part = np.tile(np.arange(ITEMS_EACH), len(teams) * team) // items
            request = np.repeat((teams - first) * requests_each, ITEMS_EACH * team) + part
            absent = [
                pl.lit("").alias(name)
                for name in ("comment", "start_date", "remove_date", "metadata", "account", "selection")
            ]
            frame = _frame(identities, item_numbers, people).with_columns(
                pl.lit("GRANT").alias("operation"), *absent, pl.Series("request", request)
            )
            plan = Plan(changes=frame, requests=len(teams) * requests_each, lower_bound=0)
            new = NewRun(tenant=TENANT, input_digest=f"fill {first}", inputs=("fill",), dialect="beta", started_at=now)
            began = time.perf_counter()
            opened.plans.write(new, plan, upto=upto, now=now)
            took += time.perf_counter() - began
            upto = opened.plans.known(TENANT, frame.head(0)).upto
    if "://" in ledger:
        return {"s": took}
    written = people // team * team * ITEMS_EACH
    with closing(sqlite3.connect(ledger)) as connection:
        tables = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    parts = {f"bytes of {name}": size / written for name, size in tables.items() if size > written / 100}
    return {"bytes": Path(ledger).stat().st_size / written, "s": took, **parts}


def plan_into_ledger(path: str, *, ledger: str) -> dict[str, float]:
    """Do what `submit` does before it sends; `packing` is the time of the planner."""
    from rich.console import Console  # noqa: PLC0415 - its import is measured

    import batch.commands.submit  # noqa: PLC0415, F401 - the command's imports are measured
    from batch.commands import input_run  # noqa: PLC0415 - same reason
    from batch.commands.precheck import CommandPrecheck  # noqa: PLC0415 - same reason
    from batch.commands.screen import Consent, Screen  # noqa: PLC0415 - same reason
    from batch.commands.session import Access, SessionFactory  # noqa: PLC0415 - same reason
    from batch.ledger.store import Ledger  # noqa: PLC0415 - same reason
    from batch.model import CheckTenant  # noqa: PLC0415 - same reason
    from batch.read import load_inputs  # noqa: PLC0415 - same reason
    from batch.settings import Settings  # noqa: PLC0415 - same reason
    from tests.clocks import runtime  # noqa: PLC0415 - same reason

    packing = 0.0
    plan_fresh = vars(input_run)["plan_fresh"]

    def timed(*arguments: Any) -> Any:
        nonlocal packing
        began = time.perf_counter()
        plan = plan_fresh(*arguments)
        packing = time.perf_counter() - began
        return plan

    vars(input_run)["plan_fresh"] = timed
    # There is no tenant to ask.
    settings = Settings(base_url=TENANT, check_tenant=CheckTenant.NEVER)
    screen = Screen(console=Console(stderr=True), quiet=True)
    surroundings = runtime()
    planner = input_run.InputRun(
        load_inputs([path]),
        settings,
        screen,
        surroundings,
        tenant=TENANT,
        names=[path],
        inputs=[path],
        consent=Consent(given=True),
    )
    with Ledger.open(ledger, sandbox=False, now=datetime.now(UTC), new_id=new_id, key=lambda: KEY) as opened:
        reach = SessionFactory(settings, Access(tenant=TENANT), surroundings)
        check = CommandPrecheck(settings, screen, reach, surroundings)
        run = planner.planned(opened, reach, check)
        tally = opened.runs.tally(run) if run else None
    requests = sum(tally.requests.values()) if tally else 0
    return {"packing": packing, "requests": requests, "bytes": Path(ledger).stat().st_size}


def deduplicate(path: str, *, ledger: str) -> dict[str, float]:
    """Look an input up in the ledger and classify it; reading and validation are not measured."""
    from batch.api.dialects import DIALECTS  # noqa: PLC0415 - each step imports only what it measures
    from batch.ledger.store import Ledger  # noqa: PLC0415 - same reason
    from batch.pipeline import classify_input  # noqa: PLC0415 - same reason
    from batch.read import read_inputs  # noqa: PLC0415 - same reason
    from batch.validate.rows import validate  # noqa: PLC0415 - likewise

    now = datetime.now(UTC)
    table = read_inputs([path])
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=now)
    with Ledger.open(ledger, sandbox=False, now=now, new_id=new_id, key=lambda: KEY) as opened:
        before = peak_megabytes()
        began = time.perf_counter()
        classified = classify_input(table, validated, plans=opened.plans, tenant=TENANT, run="new")
        took = time.perf_counter() - began
    fresh = int(classified.changes.get_column("fresh").sum())
    return {"s": took, "fresh": fresh, "rows": classified.changes.height, "grew": peak_megabytes() - before}


def floor(path: str, *, database: str, ordered: bool) -> dict[str, float]:
    """The least possible work: scan the file, and insert each change as two texts into a table with that key.

    Args:
        path: The input.
        database: A new SQLite file.
        ordered: Whether to insert in key order into a table without rowids; otherwise in the file's order into an
            ordinary table.
    """
    began = time.perf_counter()
    frame = pl.scan_csv(path).select("identity_id", "item_id").collect()
    scanned = time.perf_counter() - began
    if ordered:
        frame = frame.sort("identity_id", "item_id")
    rows = zip(*(column.to_list() for column in frame.get_columns()), strict=True)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        kind = " WITHOUT ROWID" if ordered else ""
        connection.execute(f"CREATE TABLE change (identity TEXT, item TEXT, PRIMARY KEY (identity, item)){kind}")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO change VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    return {"s": time.perf_counter() - began, "scan": scanned}


STEPS: Final[dict[str, Callable[..., dict[str, float]]]] = {
    step.__name__: step for step in (make_input, make_delta, fill_ledger, plan_into_ledger, deduplicate, floor)
}

if __name__ == "__main__":
    measured = STEPS[sys.argv[1]](**json.loads(sys.argv[2]))
    sys.stdout.write(json.dumps({**measured, "peak": peak_megabytes()}))
