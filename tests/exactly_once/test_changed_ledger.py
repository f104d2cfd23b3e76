"""Somebody changes the ledger between two commands: the second one says so, records nothing and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, write_rows
from tests.ledger.ledger_helpers import alter, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox

ROWS = [grant(person, person) for person in range(4)]
ATTACKS = {
    "another person": "UPDATE identity SET external_id = 'x' || external_id, key = 'x' || key",
    "another attempt": "UPDATE event SET detail = '{}' WHERE event = 'claimed'",
    "no doubt": "UPDATE request SET state = 'PLANNED' WHERE state = 'UNCONFIRMED'",
}
"""What somebody does to a ledger whose requests are in doubt."""
COMMANDS = {
    "settle": "settle {run}",
    "submit of the same changes by another input": "submit {same} --yes --check-tenant never",
    "track": "track {run} --track-for 0",
    "cancel": "cancel {run} --yes",
}
BOOKS = "SELECT run, number, hash FROM event ORDER BY run, number"
STATES = "SELECT number, state FROM request ORDER BY number"


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)) as sandbox:
        yield sandbox


def test_commands_that_would_write_stop_and_audit_reports_it(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path, same, ledger = (tmp_path / name for name in ("a.csv", "same.csv", "ledger.db"))
    here = ("--ledger", ledger)
    tenant.faults.add(Fault.DROP_AFTER, Fault.UNAUTHORIZED_401, Fault.UNAUTHORIZED_401)
    submit = ("submit", write_rows(path, ROWS), "--yes", "--check-tenant", "never", "--concurrency", "1")
    assert program(*submit, *here, "--settle-after", "600", env=environment(tenant)).code == 4
    ((run,),) = rows(ledger, "SELECT id FROM run")
    doubtful = rows(ledger, "SELECT identity_id FROM changes WHERE state = 'UNCONFIRMED'")
    assert doubtful
    write_rows(same, [row for row in ROWS if (row["identity_id"],) in doubtful])
    before = accepted(tenant)
    alter(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    sound = ledger.read_bytes()
    for attack, statement in ATTACKS.items():
        ledger.write_bytes(sound)
        alter(ledger, statement)
        altered = rows(ledger, BOOKS), rows(ledger, STATES)
        for name, command in COMMANDS.items():
            words = command.format(run=run, same=same).split()
            ended = program(*words, *here, "--settle-after", "0.2", env=environment(tenant))
            assert ended.code == 2, (attack, name, ended)
            assert "Somebody has changed the ledger: " in ended.err
            assert (rows(ledger, BOOKS), rows(ledger, STATES)) == altered, (attack, name)
            assert accepted(tenant) == before
        audit = ("audit", run, *here)
        ended = program(*audit, "--json", env=environment(tenant))
        assert (ended.code, ended.json["ledger_changed"]) == (3, 1), attack
        assert [one["request"] for one in ended.json["findings"] if one["kind"] == "ledger_changed"] == [run]
        shown = program(*audit, env=environment(tenant)).out
        assert f"Somebody has changed the ledger: in run {run}, " in shown
        assert "`access-batch ledger verify` lists all differences." in shown
