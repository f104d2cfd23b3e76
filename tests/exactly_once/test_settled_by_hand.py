"""Where the tenant does not let us look, a human's word settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [grant(person, person) for person in range(5)]


@pytest.fixture
def secretive() -> Iterator[RunningSandbox]:
    """A tenant whose user may only list what is requested for or by themselves."""
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, lists_others=False)
    with running_sandbox(settings) as sandbox:
        yield sandbox


def test_a_request_that_arrived_is_found_in_the_users_own_list(
    program: Program, secretive: RunningSandbox, tmp_path: Path
) -> None:
    secretive.faults.add(Fault.DROP_AFTER)
    path = write_rows(tmp_path / "a.csv", ROWS)
    ended = program("submit", path, "--yes", "--settle-after", "2", env=environment(secretive))
    assert ended.code == 0, ended.err
    assert accepted(secretive) == once(map(pair_of, ROWS))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "word", "then"),
    [
        (Fault.DROP_BEFORE, "--not-arrived", "recorded as not arrived"),
        (Fault.HANG_BEFORE, "--not-arrived", "recorded as not arrived"),
    ],
)
def test_a_request_that_is_not_found_waits_for_settle(
    program: Program, secretive: RunningSandbox, tmp_path: Path, fault: Fault, word: str, then: str
) -> None:
    secretive.faults.add(fault)
    path = write_rows(tmp_path / "a.csv", ROWS)
    command = ["submit", str(path), "--yes", "--settle-after", "1", "--timeout", "1"]
    for _ in range(2):
        ended = program(*command, "--json", env=environment(secretive))
        assert ended.code == 4
        assert ended.json["changes"]["unconfirmed"] == 1
        run = ended.json["run"]
        assert f"access-batch settle {run} --arrived" in ended.err
    left = program("discard", run)
    assert (left.code, "nothing was discarded" in left.out) == (0, True)
    assert (
        f"1 request of it may or may not have arrived, and can't be discarded. To find out: access-batch settle {run}"
        in left.out
    )
    assert program("settle", run).code == 2, "no tenant is given"
    looked = program("settle", run, env=environment(secretive))
    assert (looked.code, "1 still unconfirmed" in looked.out) == (4, True)
    assert f"access-batch settle {run} --arrived" in looked.err
    assert program("settle", run, "--arrived", "--not-arrived").code == 2
    assert then in program("settle", run, word).out
    assert program(*command, env=environment(secretive)).code == 0
    assert accepted(secretive) == once(map(pair_of, ROWS))
    assert program("ledger", "verify").out == "The ledger is sound.\n"


@pytest.mark.thorough
def test_settle_arrived_makes_a_request_accepted(program: Program, secretive: RunningSandbox, tmp_path: Path) -> None:
    secretive.faults.add(Fault.DROP_BEFORE)
    path = write_rows(tmp_path / "a.csv", ROWS)
    command = ["submit", str(path), "--yes", "--settle-after", "0.2"]
    run = program(*command, "--json", env=environment(secretive)).json["run"]
    assert "1 unconfirmed request recorded as accepted" in program("settle", run, "--arrived").out
    assert program(*command, env=environment(secretive)).code == 0
    assert len(accepted(secretive)) == len(ROWS) - 1


def test_verify_lists_the_faults_and_ends_with_3(program: Program, secretive: RunningSandbox, tmp_path: Path) -> None:
    import sqlite3  # noqa: PLC0415 - to do what the program never does
    from contextlib import closing  # noqa: PLC0415 - likewise

    assert program("ledger", "verify").code == 2
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    program("submit", path, "--yes", "--ledger", ledger, env=environment(secretive))
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE event SET status = 500 WHERE status = 202")
        connection.commit()
    ended = program("ledger", "verify", "--ledger", ledger)
    assert ended.code == 3
    assert "was changed" in ended.out
