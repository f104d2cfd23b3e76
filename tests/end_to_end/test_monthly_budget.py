"""A budget of calls a month is never exceeded, by the tenant's own count, and a run goes on once there is more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.credentials.places import write_config
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

FAST = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
ROWS = [grant(person, 1, comment=f"for {person}") for person in range(1, 31)]


def made(sandbox: RunningSandbox) -> int:
    """Calls that the tenant has counted."""
    return len(sandbox.tenant.audit.counted)


def counted(program: Program, env: dict[str, str]) -> int:
    """Calls that the ledger has counted, by doctor, without its own."""
    calls: int = program("doctor", "--json", env=env).json["month"]["calls"]
    return calls


def test_a_run_stops_before_its_budget_is_exceeded_and_goes_on_with_a_greater_one(
    program: Program, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "wanted.csv", ROWS)
    with running_sandbox(FAST) as sandbox:
        env = environment(sandbox)
        first = program("submit", path, "--yes", "--check-tenant", "never", "--monthly-calls", "20", env=env)
        assert first.code == 4, first.err
        assert "The budget of 20 calls a month is used up" in first.err
        assert "The month ends at" in first.err
        assert "The budget leaves 19 calls in" in first.err
        assert "sending takes 30 requests" in first.err
        assert made(sandbox) == 20
        sent = accepted(sandbox)
        assert 0 < len(sent) < len(ROWS)
        again = program("submit", path, "--yes", "--check-tenant", "never", "--monthly-calls", "20", env=env)
        assert (again.code, made(sandbox)) == (4, 20)
        assert "The budget leaves 0 calls in" in again.err
        checked = program("doctor", "--json", "--monthly-calls", "20", env=env)
        verdicts = {check["check"]: check["verdict"] for check in checked.json["checks"]}
        assert (checked.code != 0, verdicts["month"], made(sandbox)) == (True, "fail", 20)
        write_config("monthly_calls = 1000")
        last = program("submit", path, "--yes", "--check-tenant", "never", env=env)
        assert last.code == 0, last.err
        assert "The budget leaves" not in last.err
        assert accepted(sandbox) == once(map(pair_of, ROWS))
        ours = made(sandbox)
        assert counted(program, env) == ours


def test_a_plan_says_what_is_left_of_the_month(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "wanted.csv", ROWS)
    with running_sandbox(FAST) as sandbox:
        env = environment(sandbox)
        shown = program("plan", path, "--json", "--monthly-calls", "500", env=env)
        calls = shown.json["plan"]["calls"]
        assert calls["made_in_month"] == made(sandbox)
        assert calls["left_in_month"] == 500 - made(sandbox)
        assert calls["altogether"] == calls["checking"] * 2 + 30 + calls["settling"] + calls["tracking_day"]
        text = program("plan", path, "--monthly-calls", "100", env=env)
        assert "less those of other programs" in text.out
        assert "That is too little for all of it" in text.out


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1000000001"])
def test_a_budget_that_is_no_number_of_calls_is_refused(program: Program, tmp_path: Path, wrong: str) -> None:
    path = write_rows(tmp_path / "wanted.csv", ROWS)
    with running_sandbox(FAST) as sandbox:
        assert program("submit", path, "--yes", "--monthly-calls", wrong, env=environment(sandbox)).code == 2
        assert made(sandbox) == 0
