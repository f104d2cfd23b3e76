"""SIGKILL anywhere: the same command again ends with every change accepted exactly once."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows
from tests.exactly_once.finishing import finish
from tests.exactly_once.killing import KILLED, Orders, begin, run_to_its_end
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox

FAST = Rate(requests=5000, seconds=1)
KILLS = 8
EVERY = 21
"""Of so many points one is tried: the simulation tries them all."""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("faults", "first"),
    [
        pytest.param([], 2, id="while all goes well"),
        pytest.param([Fault.DROP_AFTER, Fault.DROP_BEFORE], 5, id="while requests are settled"),
    ],
)
def test_killed_around_commits_and_exchanges(tmp_path: Path, program: Program, faults: list[Fault], first: int) -> None:
    wanted = []
    with running_sandbox(SandboxSettings(rate=FAST, visibility_delay=0.0)) as tenant:
        for point in itertools.count(first, EVERY):
            rows = [grant(1000 * point + person, person) for person in range(3)]
            path = write_rows(tmp_path / f"{point}.csv", rows)
            ledger = tmp_path / f"{point}.db"
            command = ["submit", str(path), "--yes", "--settle-after", "0.2", "--ledger", str(ledger)]
            # While the tenant is asked beforehand nothing can be lost, and each of its points takes seconds.
            command += ["--check-tenant", "never", "--new-ledger"]
            tenant.faults.add(*faults)
            orders = Orders(
                arguments=[*command, "--concurrency", "1"],
                environment=environment(tenant),
                output=tmp_path / "out",
                die_at=point,
            )
            code = run_to_its_end(orders)
            while tenant.faults.pending:
                tenant.faults.next_effect()
            ended, besides = finish(program, command, ledger=ledger, tenant=tenant, spare=1000 * point + 999)
            wanted += [*rows, *besides]
            assert ended.code == 0, (point, ended.err)
            assert accepted(tenant) == once(map(pair_of, wanted)), f"killed at point {point}"
            assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
            if code != KILLED:
                break
        assert code == 0, (tmp_path / "out").read_text()
        assert point > 15


def killed_after(posts: int, seconds: float, *, orders: Orders, tenant: RunningSandbox) -> int | None:
    """The exit code of a process that is killed some seconds after it has made some posts."""
    audit = tenant.tenant.audit
    last_post = audit.posts + posts
    process = begin(orders)
    # A life is measured in posts, which takes as long as it takes; the seconds only make its end a random moment.
    wait_until(lambda: audit.posts >= last_post or not process.is_alive())
    process.join(seconds)
    process.kill()
    process.join()
    code = process.exitcode
    process.close()
    return code


@pytest.mark.thorough
def test_killed_again_and_again_at_random(tmp_path: Path, program: Program) -> None:
    rows = [grant(person, person) for person in range(100)]
    path = write_rows(tmp_path / "a.csv", rows)
    ledger = tmp_path / "ledger.db"
    command = ["submit", str(path), "--yes", "--settle-after", "1", "--ledger", str(ledger)]
    command += ["--check-tenant", "never"]
    settings = SandboxSettings(rate=FAST, latency=(0.05, 0.4), visibility_delay=0.0)
    chance = random.Random(7)  # noqa: S311 - when to kill
    with running_sandbox(settings) as tenant:
        # Two at a time, so that there is work left for all the processes.
        orders = Orders(
            arguments=[*command, "--concurrency", "2"], environment=environment(tenant), output=tmp_path / "out"
        )
        for _ in range(KILLS):
            code = killed_after(chance.randint(0, 4), chance.uniform(0, 0.3), orders=orders, tenant=tenant)
            assert code == KILLED, orders.output.read_text()
        assert 5 < len(accepted(tenant)) < len(rows)
        ended = program(*command, "--json", env=environment(tenant))
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, rows))
        assert ended.json["changes"]["accepted"] == 100
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
