"""Faults of the tenant never make the program send a change twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.sandbox.faults import PASSING, Fault
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

NOT_PROCESSED = [Fault.THROTTLED_429, Fault.UNAUTHORIZED_401]
UNCONFIRMED = [
    Fault.DROP_BEFORE,
    Fault.DROP_AFTER,
    Fault.HANG_BEFORE,
    Fault.HANG_AFTER,
    Fault.ERROR_500_BEFORE,
    Fault.ERROR_500_AFTER,
    Fault.ERROR_504_BEFORE,
    Fault.ERROR_504_AFTER,
    Fault.UNAVAILABLE_503_BARE,
    Fault.UNAVAILABLE_503,
    Fault.UNAVAILABLE_503_AFTER,
    Fault.SEE_OTHER_303_AFTER,
    Fault.NOT_FOUND_404_AFTER,
    Fault.CONFLICT_409_AFTER,
    Fault.BLOCKED_403,
    Fault.BLOCKED_404,
]


def wanted() -> list[dict[str, str]]:
    """Rows for six requests."""
    return [grant(person, 10 * person + thing) for person in range(6) for thing in range(4)]


def test_every_fault_is_covered_here() -> None:
    assert {*NOT_PROCESSED, *UNCONFIRMED, Fault.UNREADABLE_202} == set(PASSING)


@pytest.mark.parametrize("fault", NOT_PROCESSED)
def test_a_request_that_was_provably_not_processed_is_sent_again_at_once(
    program: Program, tenant: RunningSandbox, tmp_path: Path, fault: Fault
) -> None:
    tenant.faults.add(None, fault, None, fault)
    path = write_rows(tmp_path / "a.csv", wanted())
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert accepted(tenant) == once(map(pair_of, wanted()))
    assert ended.code == 0
    assert ended.json["http"]["retried"] >= 1


@pytest.mark.parametrize("fault", UNCONFIRMED)
def test_an_unconfirmed_request_is_settled_and_sent_again_only_if_it_did_not_arrive(
    program: Program, tenant: RunningSandbox, tmp_path: Path, fault: Fault
) -> None:
    tenant.faults.add(None, fault)
    path = write_rows(tmp_path / "a.csv", wanted())
    ended = program("submit", path, "--yes", "--json", "--timeout", "1", "--settle-after", "1", env=environment(tenant))
    assert ended.code == 0
    assert "Settled" in ended.err
    assert accepted(tenant) == once(map(pair_of, wanted()))


def test_an_unreadable_acceptance_counts_as_an_acceptance(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    tenant.faults.add(*[Fault.UNREADABLE_202] * 6)
    ended = program("submit", write_rows(tmp_path / "a.csv", wanted()), "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert accepted(tenant) == once(map(pair_of, wanted()))


def test_wrong_credentials_stop_a_run_and_the_right_credentials_continue_it(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", wanted())
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "not-the-secret"}
    refused = program("submit", path, "--yes", "--json", "--check-tenant", "never", env=wrong)
    assert refused.code == 4
    assert refused.json["changes"]["unsent"] == 24
    assert "refuses the client" in refused.err
    assert "not-the-secret" not in refused.out + refused.err
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert ended.json["run"] == refused.json["run"]
    assert accepted(tenant) == once(map(pair_of, wanted()))
