"""Watching a run from outside: the log file and verbose output match the tenant's records."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.sandbox.faults import Fault
from tests.end_to_end.program import accepted, environment, fork, grant, once, pair_of, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

FULL = Path("/dev/full")
"""Refuses every write, as a full disk does."""

ROWS = [grant(person, person) for person in range(12)]
"""Twelve requests, because no two identities want the same item."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The log's lines, each parsed as JSON."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def test_the_log_records_every_attempt_and_the_outcome_of_every_request(
    program: Program, tenant: RunningSandbox, path: Path, log: Path
) -> None:
    tenant.faults.add(None, Fault.ERROR_500_AFTER, Fault.ERROR_504_BEFORE, Fault.THROTTLED_429)
    ended = program(
        "submit", path, "--yes", "--json", "--log-file", log, "--settle-after", "1", env=environment(tenant)
    )
    assert ended.code == 0
    lines = lines_of(log)
    assert [lines[0]["event"], lines[-1]["event"], lines[-1]["state"]] == ["run_begins", "run_ends", "complete"]
    assert lines[0]["changes"] == len(ROWS)
    assert {line["run"] for line in lines} == {ended.json["run"]}
    events = [line["event"] for line in lines]
    assert events.count("attempt") == events.count("answer") == ended.json["http"]["posts"]
    assert {line["status"] for line in lines if line["event"] == "answer"} == {202, 429, 500, 504}
    assert sorted(line["reason"] for line in lines if line["event"] == "settled") == ["found", "not found"]
    last = {line["request"]: line for line in lines if "request" in line}
    assert {line["state"] for line in last.values()} == {"ACCEPTED"}
    assert sum(line["changes"] for line in last.values()) == len(ROWS)
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_a_command_with_nothing_to_send_logs_nothing(
    program: Program, tenant: RunningSandbox, path: Path, log: Path
) -> None:
    program("submit", path, "--yes", env=environment(tenant))
    program("submit", path, "--yes", "--log-file", log, env=environment(tenant))
    assert lines_of(log) == []


def test_the_log_gives_the_reason_for_a_stopped_run(
    program: Program, tenant: RunningSandbox, path: Path, log: Path
) -> None:
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong", "ACCESS_BATCH_LOG_FILE": str(log)}
    assert program("submit", path, "--yes", "--check-tenant", "never", env=wrong).code == 4
    last = lines_of(log)[-1]
    assert last["state"] == "stopped"
    assert "refuses the client" in last["reason"]


@pytest.mark.parametrize(("number", "state"), [(signal.SIGINT, "interrupted"), (signal.SIGKILL, None)])
def test_an_interrupted_or_killed_run_leaves_only_whole_lines_in_the_log(
    number: signal.Signals, state: str | None, tenant: RunningSandbox, tmp_path: Path, log: Path
) -> None:
    path = write_rows(tmp_path / "many.csv", [grant(person, person) for person in range(1000)])
    process = fork("submit", path, "--yes", "--log-file", log, env={**environment(tenant), "ACCESS_BATCH_RATE": "50/1"})
    wait_until(lambda: tenant.tenant.audit.posts >= 12, process)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    lines = lines_of(log)
    assert sum(line["event"] == "attempt" for line in lines) >= 12
    assert lines[-1].get("state") == state if state else "run_ends" not in {line["event"] for line in lines}


@pytest.mark.thorough
def test_two_processes_can_write_to_one_log(tenant: RunningSandbox, tmp_path: Path, log: Path) -> None:
    inputs = [
        write_rows(tmp_path / f"{name}.csv", [grant(person, person) for person in people])
        for name, people in (("a", range(300)), ("b", range(300, 600)))
    ]
    processes = [fork("submit", path, "--yes", "--log-file", log, env=environment(tenant)) for path in inputs]
    for process in processes:
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
    lines = lines_of(log)
    accepted_by_run = [
        sum(line["changes"] for line in lines if line["run"] == run and line.get("state") == "ACCEPTED")
        for run in {line["run"] for line in lines}
    ]
    assert accepted_by_run == [300, 300]


@pytest.mark.skipif(not FULL.exists(), reason="this system has no such device")
@pytest.mark.parametrize("how", [(), ("--quiet",)])
def test_an_unwritable_log_is_reported_once_and_everything_is_sent(
    program: Program, tenant: RunningSandbox, path: Path, how: tuple[str, ...]
) -> None:
    ended = program("submit", path, "--yes", "--log-file", FULL, *how, env=environment(tenant))
    assert ended.code == 0
    assert ended.err.count("/dev/full can't be written: No space left on device. The command goes on without it.") == 1
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_a_verbose_run_reports_every_answer_on_stderr_and_only_its_result_on_stdout(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    ended = program("submit", path, "--yes", "--json", "--verbose", env=environment(tenant))
    assert ended.json["changes"]["accepted"] == len(ROWS)
    reported = [line for line in ended.err.splitlines() if ", attempt 1) was accepted after" in line]
    assert len(reported) == len(ROWS)
    assert all("the tenant answered 202" in line for line in reported)
    silent = program("submit", path, "--yes", env={**environment(tenant), "ACCESS_BATCH_VERBOSE": "1"})
    assert silent.code == 0
    assert "accepted after" not in silent.err
