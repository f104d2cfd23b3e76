"""Every fault of the tenant in random order over one run, and late statuses: exactly once, and no hand is needed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, grant, once, pair_of, write_rows
from tests.exactly_once.finishing import finish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.thorough
def test_every_fault_in_random_order_and_late_statuses_end_in_exactly_once(tmp_path: Path, program: Program) -> None:
    rows = [grant(person, 100 * person + thing) for person in range(60) for thing in range(3)]
    path, ledger = write_rows(tmp_path / "a.csv", rows), tmp_path / "ledger.db"
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.5, latency=(0.0, 0.05))
    command = ["submit", str(path), "--yes", "--timeout", "1", "--settle-after", "1", "--ledger", str(ledger)]
    faults = random.Random(1).sample(list(Fault), k=len(Fault))  # noqa: S311 - repeatable
    with running_sandbox(settings) as tenant:
        tenant.faults.add(*faults)
        ended, besides = finish(program, [*command, "--json"], ledger=ledger, tenant=tenant, spare=999)
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, [*rows, *besides]))
        assert ended.json["changes"]["accepted"] == len(rows)
        assert tenant.tenant.audit.posts > 60
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
