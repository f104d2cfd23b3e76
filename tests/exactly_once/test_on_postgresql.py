"""The promises on a database that machines share: by the whole program, with real processes and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows
from tests.exactly_once.finishing import finish
from tests.exactly_once.killing import KILLED, Orders, run_to_its_end
from tests.ledger.ledger_helpers import alter

if TYPE_CHECKING:
    from pathlib import Path

FAST = Rate(requests=5000, seconds=1)


@pytest.mark.thorough
@pytest.mark.also_postgresql
@pytest.mark.parametrize("point", [12, 19, 26])
def test_what_a_killed_machine_began_another_one_ends(
    point: int, tmp_path: Path, program: Program, postgresql: str
) -> None:
    rows = [grant(person, person) for person in range(3)]
    path = write_rows(tmp_path / "in.csv", rows)
    command = ["submit", str(path), "--yes", "--settle-after", "0.2", "--ledger", postgresql]
    command += ["--check-tenant", "never", "--new-ledger"]
    with running_sandbox(SandboxSettings(rate=FAST, visibility_delay=0.0, expires_in=5)) as tenant:
        orders = Orders(
            arguments=[*command, "--concurrency", "1"],
            environment=environment(tenant),
            output=tmp_path / "out",
            die_at=point,
        )
        assert run_to_its_end(orders) == KILLED, (tmp_path / "out").read_text()
        # As if its lease had run out meanwhile.
        alter(postgresql, "DELETE FROM holder")
        ended, besides = finish(program, command, ledger=postgresql, tenant=tenant, spare=999)
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, [*rows, *besides]))
        assert program("ledger", "verify", "--ledger", postgresql).out == "The ledger is sound.\n"


@pytest.mark.also_postgresql
def test_the_first_steps_of_the_readme_lead_to_the_same_end(
    tmp_path: Path, program: Program, empty_postgresql: str
) -> None:
    # A password in the address is read and never shown.
    secret = "s3cretly"
    shared = empty_postgresql.replace("postgres@", f"postgres:{secret}@").replace("+psycopg", "")
    rows = [grant(person, thing) for person in range(4) for thing in range(3)]
    path = write_rows(tmp_path / "in.csv", rows)
    said = []
    with running_sandbox(SandboxSettings(rate=FAST, visibility_delay=0.0)) as tenant:
        for words in (
            ("validate", path),
            ("plan", path, "--ledger", shared),
            ("submit", path, "--yes", "--json", "--log-file", tmp_path / "log", "--ledger", shared),
            ("submit", path, "--yes", "--ledger", shared),
            ("runs", "--ledger", shared),
            ("status", "--ledger", shared),
            ("track", "--track-for", "0", "--ledger", shared),
            ("audit", "--ledger", shared),
            ("ledger", "verify", "--ledger", shared),
            ("doctor", "--json", "--ledger", shared),
        ):
            ended = program(*words, env=environment(tenant))
            assert ended.code == (4 if words[0] == "track" else 0), (words, ended.err)
            said.append(ended.out + ended.err)
        assert accepted(tenant) == once(map(pair_of, rows))
    assert "The ledger is sound." in said[-2]
    assert "PostgreSQL 18" in said[-1]
    assert "on this machine" in said[-1]
    assert secret not in "".join(said)
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(kept) > 3
    assert not any(secret.encode() in file.read_bytes() for file in kept)
