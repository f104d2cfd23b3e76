"""Every fault of the tenant at random over one run, and late statuses: exactly once, and no hand is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", [1, 2])
def test_every_fault_at_random_and_late_statuses_end_in_exactly_once(
    tmp_path: Path, program: Program, seed: int
) -> None:
    rows = [grant(person, 100 * person + thing) for person in range(60) for thing in range(3)]
    path = write_rows(tmp_path / "a.csv", rows)
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=3.0,
        fault_probability=0.4,
        seed=seed,
        latency=(0.0, 0.05),
    )
    with running_sandbox(settings) as tenant:
        tenant.faults.add(*Fault)
        ended = program(
            "submit", path, "--yes", "--json", "--timeout", "1", "--settle-after", "8", env=environment(tenant)
        )
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, rows))
        assert ended.json["changes"]["accepted"] == len(rows)
        assert tenant.tenant.audit.posts > 60
    assert program("ledger", "verify").out == "The ledger is sound.\n"
