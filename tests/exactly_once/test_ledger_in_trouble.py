"""A ledger that can't be written: nothing is sent that can't be recorded first, and the user is told what to do."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, fork, grant, once, pair_of, write_rows
from tests.exactly_once.killing import Orders, run_to_its_end
from tests.ledger.ledger_helpers import alter
from tests.postgresql import Server, free_port
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [grant(person, person) for person in range(60)]


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.1, 0.2), visibility_delay=0.0)
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.mark.thorough
@pytest.mark.parametrize("file_limit", [60_000, 140_000, 200_000])
def test_a_full_disk_stops_the_run_before_an_unrecorded_attempt(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path, file_limit: int
) -> None:
    command = ["submit", str(path), "--yes", "--settle-after", "1", "--ledger", str(ledger)]
    orders = Orders(arguments=command, environment=environment(tenant), output=tmp_path / "out", file_limit=file_limit)
    code = run_to_its_end(orders)
    said = (tmp_path / "out").read_text()
    assert code in {2, 4}, said
    assert "Free disk space" in said or "free disk space" in said
    assert len(accepted(tenant)) < len(ROWS)
    ended = program(*command, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"


def test_a_read_only_ledger_sends_nothing(program: Program, tenant: RunningSandbox, path: Path, ledger: Path) -> None:
    other = write_rows(path.with_name("b.csv"), [grant(99, 99)])
    program("submit", other, "--yes", "--ledger", ledger, env=environment(tenant))
    ended = program(
        "submit", path, "--yes", "--ledger", f"sqlite:///file:{ledger}?mode=ro&uri=true", env=environment(tenant)
    )
    assert ended.code in {2, 4}
    assert "readonly" in ended.err
    assert len(accepted(tenant)) == 1


def test_a_corrupt_ledger_sends_nothing(program: Program, tenant: RunningSandbox, path: Path, ledger: Path) -> None:
    ledger.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8000)
    ended = program("submit", path, "--yes", "--ledger", ledger, env=environment(tenant))
    assert ended.code == 2
    assert "put its newest backup in its place" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.thorough
def test_deleting_the_ledger_during_a_run_stops_the_run(tenant: RunningSandbox, path: Path, ledger: Path) -> None:
    process = fork("submit", path, "--yes", "--json", "--ledger", ledger, "--concurrency", "4", env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
    for name in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            ledger.with_name(ledger.name + name).unlink()
    posts = tenant.tenant.audit.posts
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 4, err
    assert "was removed or replaced" in err
    assert_known_is_told(out, err, tenant)
    assert tenant.tenant.audit.posts <= posts + 4
    assert set(accepted(tenant).values()) == {1}


def assert_known_is_told(out: str, err: str, tenant: RunningSandbox) -> None:
    """What was recorded before the ledger was lost is told, in one JSON object too, and nothing that was not."""
    told = json.loads(out)
    assert (told["error"]["exit_code"], told["changes"]["planned"], told["requests"]["refused"]) == (4, len(ROWS), 0)
    assert 0 < told["changes"]["accepted"] == told["requests"]["accepted"] <= len(accepted(tenant))
    assert f"Run {told['run']}, as far as this command has recorded it: of {len(ROWS)} changes in" in err


@pytest.mark.usefixtures("postgresql_server")
def test_a_database_that_goes_during_a_run_for_good_ends_the_run_which_goes_on_once_it_is_back(
    program: Program, tenant: RunningSandbox, path: Path, short_folder: Path
) -> None:
    server = Server(short_folder / "s", free_port())
    server.start()
    try:
        words = ("submit", path, "--yes", "--json", "--settle-after", "1", "--ledger", server.url("postgres"))
        env = environment(tenant)
        process = fork(*words, "--concurrency", "4", "--give-up-after", "1", env=env)
        wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
        server.stop(signal.SIGQUIT)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 4, err
        assert_known_is_told(out, err, tenant)
        server.start()
        alter(server.url("postgres"), "DELETE FROM holder")
        ended = program(*words, env=env)
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, ROWS))
    finally:
        server.stop(signal.SIGQUIT)
