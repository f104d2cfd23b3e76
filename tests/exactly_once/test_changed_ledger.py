"""Somebody changes the ledger between two commands: the second one says so, records nothing and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import alter, rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
    "import": "ledger import",
}
BEFORE_SENDING = {
    "another person": ["UPDATE identity SET external_id = 'thief', key = 'thief' WHERE id = 1"],
    "another item": ["UPDATE item SET external_id = 'admin', key = 'admin' WHERE id = 1"],
    "one request more": [
        "CREATE TABLE copied AS SELECT * FROM request WHERE number = 1",
        "UPDATE copied SET number = 9",
        "INSERT INTO request SELECT * FROM copied",
        "DROP TABLE copied",
        "INSERT INTO recipient SELECT identity, 9 FROM recipient WHERE request = 1",
        "INSERT INTO request_item SELECT 9, item, detail FROM request_item WHERE request = 1",
    ],
    "another plan": ["UPDATE event SET detail = json_set(detail, '$.seals', 'thief') WHERE event = 'planned'"],
    "a trigger": ["CREATE TRIGGER t AFTER INSERT ON event BEGIN UPDATE identity SET external_id = 'thief'; END"],
}
"""What somebody does to a ledger between planning and sending."""
SENT = "DELETE FROM {} WHERE request IN (SELECT number FROM request WHERE run = 1)"
AFTER_SENDING = {
    "a cut tail": ["DELETE FROM event WHERE event <> 'planned'", "UPDATE request SET state = 'PLANNED', attempts = 0"],
    "rejected": ["UPDATE finding SET state = 'REJECTED'"],
    "another tenant": ["UPDATE tenant SET name = 'https://other.example', token_name = 'other'", "DELETE FROM address"],
}
"""What somebody does to a ledger so that what was sent is sent again."""
NO_RUN = (
    "DELETE FROM event",
    *(SENT.format(table) for table in ("recipient", "request_item", "track")),
    "DELETE FROM request",
    "DELETE FROM run",
)
BOOKS = "SELECT run, number, hash FROM event ORDER BY run, number"
STATES = "SELECT number, state FROM request ORDER BY number"


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)) as sandbox:
        yield sandbox


@pytest.mark.thorough
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
            ended = program(*words, *here, env={**environment(tenant), "ACCESS_BATCH_SETTLE_AFTER": "0.2"})
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
        assert "`access-batch ledger verify " in shown


def test_nothing_is_sent_that_somebody_has_changed_since_it_was_planned(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    submit = ("submit", path, "--yes", "--check-tenant", "never", "--ledger", ledger)
    assert program(*submit, env={**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}).code == 4
    for attack in changed_by(ledger, BEFORE_SENDING):
        ended = program(*submit, env=environment(tenant))
        assert ended.code == 2, (attack, ended)
        assert accepted(tenant) == {}, attack
    assert program(*submit, env=environment(tenant)).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


@pytest.mark.thorough
def test_nothing_is_sent_twice_because_somebody_has_changed_what_was_sent(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    more = write_rows(tmp_path / "b.csv", [*ROWS, grant(9, 9)])
    options = ("--yes", "--check-tenant", "never", "--ledger", ledger, "--settle-after", "0.2")
    assert program("submit", path, *options, env=environment(tenant)).code == 0
    assert program("track", "--track-for", "0", "--ledger", ledger, env=environment(tenant)).code == 4
    for attack in changed_by(ledger, AFTER_SENDING):
        ended = program("submit", more, *options, "--resubmit", "rejected", env=environment(tenant))
        assert (ended.code, "Somebody has changed the ledger: " in ended.err) == (2, True), (attack, ended)
        assert accepted(tenant) == once(map(pair_of, ROWS)), attack
    assert program("submit", more, *options, env=environment(tenant)).code == 0
    assert accepted(tenant) == once(map(pair_of, [*ROWS, grant(9, 9)]))


@pytest.mark.thorough
def test_nothing_is_settled_by_other_runs_that_somebody_has_changed(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    first, path = write_rows(tmp_path / "a.csv", ROWS[:2]), write_rows(tmp_path / "b.csv", ROWS[2:])
    ledger = tmp_path / "ledger.db"
    here = ("--ledger", ledger)
    options = ("--yes", "--check-tenant", "never", "--concurrency", "1", *here)
    submit = ("submit", path, *options)
    assert program("submit", first, *options, env=environment(tenant)).code == 0
    tenant.faults.add(Fault.DROP_AFTER, Fault.UNAUTHORIZED_401, Fault.UNAUTHORIZED_401)
    assert program(*submit, "--settle-after", "600", env=environment(tenant)).code == 4
    run = rows(ledger, "SELECT id FROM run ORDER BY number")[1][0]
    before = accepted(tenant)
    for attack in changed_by(ledger, {"a control": ["UPDATE request SET claimed = 1000 WHERE run = 1"]}):
        for command in (submit, ("settle", run, *here)):
            ended = program(*command, env={**environment(tenant), "ACCESS_BATCH_SETTLE_AFTER": "0.2"})
            assert (ended.code, "Somebody has changed the ledger: " in ended.err) == (2, True), (attack, ended)
            assert accepted(tenant) == before


def changed_by(ledger: Path, attacks: Mapping[str, list[str]]) -> Iterator[str]:
    """Change the ledger by one attack after the other, and put it back after each."""
    alter(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    sound = ledger.read_bytes()
    for attack, statements in attacks.items():
        alter(ledger, *statements)
        yield attack
        ledger.write_bytes(sound)


@pytest.mark.thorough
def test_a_ledger_from_which_a_run_was_taken_counts_as_put_back(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path, ledger = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "ledger.db"
    more = write_rows(tmp_path / "b.csv", [*ROWS, grant(9, 9)])
    options = ("--yes", "--check-tenant", "never", "--ledger", ledger, "--settle-after", "0.2")
    assert program("submit", path, *options, env=environment(tenant)).code == 0
    alter(ledger, *NO_RUN)
    ended = program("submit", more, *options, env=environment(tenant))
    assert "The ledger is older than this machine has seen it" in ended.err
    assert ended.code == 0
    assert accepted(tenant) == once(map(pair_of, [*ROWS, grant(9, 9)]))
