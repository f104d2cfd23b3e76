"""Stopping the program, gently or not, and starting it again."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, fork, grant, once, pair_of, start, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.program import Program
    from tests.waiting import Process

ROWS = [grant(person, person) for person in range(60)]
"""Sixty requests, because no two identities want the same item."""


SETTLE_SOON = ("--settle-after", "1")
"""This tenant processes and lists each request at once, so settling can start early."""


@pytest.fixture
def slow_tenant() -> Iterator[RunningSandbox]:
    """A tenant that answers slowly enough for a signal to find requests in flight."""
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.1, 0.3), visibility_delay=0.0)
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


def wait_for_posts(tenant: RunningSandbox, process: Process, posts: int) -> None:
    """Waits until the tenant has received this many POSTs."""
    wait_until(lambda: tenant.tenant.audit.posts >= posts, process)


def test_ctrl_c_lets_requests_in_flight_finish_and_the_same_command_continues(
    program: Program, slow_tenant: RunningSandbox, path: Path
) -> None:
    process = start("submit", path, "--yes", env=environment(slow_tenant))
    wait_for_posts(slow_tenant, process, 12)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    assert "Press Ctrl-C again to stop at once" in err
    assert "0 unconfirmed" in out
    assert f"submit {path} --yes" in out
    assert 0 < len(accepted(slow_tenant)) < len(ROWS)
    ended = program("submit", path, "--yes", "--json", env=environment(slow_tenant))
    assert ended.code == 0
    assert ended.json["changes"]["accepted"] == len(ROWS)
    assert accepted(slow_tenant) == once(map(pair_of, ROWS))


@pytest.mark.thorough
def test_a_second_ctrl_c_stops_at_once_and_leaves_requests_in_flight_unconfirmed(
    slow_tenant: RunningSandbox, path: Path, program: Program
) -> None:
    process = fork("submit", path, "--yes", env=environment(slow_tenant))
    wait_for_posts(slow_tenant, process, 12)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    ended = program("submit", path, "--yes", "--json", *SETTLE_SOON, env=environment(slow_tenant))
    assert ended.code == 0
    assert accepted(slow_tenant) == once(map(pair_of, ROWS))


def test_a_killed_run_continues_without_sending_twice(
    program: Program, slow_tenant: RunningSandbox, path: Path
) -> None:
    process = fork("submit", path, "--yes", env=environment(slow_tenant))
    wait_for_posts(slow_tenant, process, 12)
    process.kill()
    process.communicate(timeout=LIMIT)
    ended = program("submit", path, "--yes", "--json", *SETTLE_SOON, env=environment(slow_tenant))
    assert "unconfirmed" in ended.err
    assert ended.code == 0
    assert accepted(slow_tenant) == once(map(pair_of, ROWS))


def test_two_processes_do_not_send_the_same_input_at_once(
    program: Program, slow_tenant: RunningSandbox, path: Path
) -> None:
    command = ["submit", str(path), "--yes", "--check-tenant", "never"]
    # The first process compares, looks for other ledgers, sends two requests, and waits an hour before the third.
    first = fork(*command, "--rate", "4/3600", env=environment(slow_tenant))
    wait_for_posts(slow_tenant, first, 2)
    second = fork(*command, env=environment(slow_tenant))
    _, err = second.communicate(timeout=LIMIT)
    assert second.returncode == 4
    assert f"Process {first.pid} on" in err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=LIMIT)
    assert first.returncode == 130
    assert program(*command, env=environment(slow_tenant)).code == 0
    assert accepted(slow_tenant) == once(map(pair_of, ROWS))


@pytest.mark.thorough
def test_two_processes_with_overlapping_inputs_send_nothing_twice(
    slow_tenant: RunningSandbox, tmp_path: Path, path: Path
) -> None:
    other = write_rows(tmp_path / "b.csv", [*ROWS[30:], *(grant(person, person) for person in range(60, 80))])
    processes = [fork("submit", file, "--yes", env=environment(slow_tenant)) for file in (path, other)]
    for process in processes:
        process.communicate(timeout=LIMIT)
    assert accepted(slow_tenant) == once(pair_of(grant(person, person)) for person in range(80))


def test_a_run_writes_neither_the_secret_nor_the_token_anywhere(
    slow_tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    process = fork("submit", path, "--yes", env=environment(slow_tenant))
    out, err = process.communicate(timeout=LIMIT)
    (ledger,) = (tmp_path / "data").rglob("ledger.db")
    with closing(sqlite3.connect(ledger)) as connection:
        dump = "\n".join(connection.iterdump())
    everything = "\n".join([out, err, dump, *(file.read_text() for file in (tmp_path / "a.results").iterdir())])
    assert slow_tenant.client_secret not in everything
    assert "Bearer" not in everything
