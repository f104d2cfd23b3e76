"""Every fault of the tenant at random over one run, and late statuses: exactly once, and no hand is needed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, grant, once, pair_of, write_rows
from tests.exactly_once.finishing import finish

if TYPE_CHECKING:
    from pathlib import Path


def test_every_fault_at_random_and_late_statuses_end_in_exactly_once(tmp_path: Path, program: Program) -> None:
    rows = [grant(person, 100 * person + thing) for person in range(60) for thing in range(3)]
    path, ledger = write_rows(tmp_path / "a.csv", rows), tmp_path / "ledger.db"
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=1.0, latency=(0.0, 0.05))
    command = ["submit", str(path), "--yes", "--timeout", "1", "--settle-after", "2", "--ledger", str(ledger)]
    chance = random.Random(1)  # noqa: S311 - repeatable
    with running_sandbox(settings) as tenant:
        # The last requests get through: without one that is accepted late, nothing can be proven.
        tenant.faults.add(*Fault, *(chance.choice([None, None, *Fault]) for _ in range(40)))
        ended, besides = finish(program, [*command, "--json"], ledger=ledger, tenant=tenant, spare=999)
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, [*rows, *besides]))
        assert ended.json["changes"]["accepted"] == len(rows)
        assert tenant.tenant.audit.posts > 60
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
