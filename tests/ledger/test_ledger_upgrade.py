"""Ledgers of earlier versions, with something of everything in them, are upgraded without loss.

`ledger_0001.sql` and so on are their dumps. `ledger_0001.json` is what the program of version 0001 reported about the
first three, `ledger_0004.json` what that of 0004 reported about the fourth.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.dedupe.classify import KEY
from batch.errors import LedgerRefusedError
from batch.ledger.tables import LEDGER_VERSION
from batch.states import State
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import ACCEPTED, a_process, alter, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.ledger.store import Ledger
    from batch.model import Request

HERE = Path(__file__).parent
REPORTED = {
    **dict.fromkeys(("0001", "0002", "0003"), json.loads((HERE / "ledger_0001.json").read_text("utf-8"))),
    "0004": json.loads((HERE / "ledger_0004.json").read_text("utf-8")),
}
COUNT = {"0001": "SELECT count(*) FROM change"}


@pytest.fixture(params=list(REPORTED))
def version(request: pytest.FixtureRequest) -> str:
    """The version of the old ledger."""
    return str(request.param)


@pytest.fixture
def reported(version: str) -> dict[str, Any]:
    """What the old program reported about the old ledger."""
    return dict(REPORTED[version])


@pytest.fixture
def old(version: str, tmp_path: Path) -> Path:
    """The old ledger, as a file."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / f"ledger_{version}.sql").read_text("utf-8"))
    return path


@pytest.fixture
def upgraded(old: Path) -> Iterator[Ledger]:
    with open_ledger(old) as ledger:
        yield ledger


def as_reported(request: Request) -> dict[str, Any]:
    """A request as the old program reported it."""
    return {
        "number": request.number,
        "operation": request.operation.value,
        "recipients": list(request.recipients),
        "items": [
            [item.type.value, item.id, item.comment, item.start_date, item.remove_date, dict(item.metadata)]
            for item in request.items
        ],
        "attempts": request.attempts,
        "parent": request.parent,
    }


def test_the_old_ledger_holds_requests_in_every_state(old: Path) -> None:
    assert {state for (state,) in rows(old, "SELECT state FROM request")} == {state.value for state in State}


def test_it_is_upgraded_after_a_backup_and_sound_afterwards(upgraded: Ledger, old: Path, version: str) -> None:
    (notice,) = upgraded.notices
    assert notice.startswith(f"The ledger was upgraded from version {version} to {LEDGER_VERSION}; backup: ")
    assert upgraded.verify() == ()
    (backup,) = old.parent.glob("*.backup")
    assert rows(backup, COUNT.get(version, "SELECT count(*) FROM changes")) == rows(old, "SELECT count(*) FROM changes")


def test_the_upgrade_leaves_nothing_of_itself_behind(upgraded: Ledger, old: Path) -> None:
    assert upgraded.notices
    assert rows(old, "SELECT name FROM sqlite_master WHERE name LIKE 'old%' OR name LIKE '%tmp%'") == []


def test_every_tally_is_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    assert {run.id: asdict(upgraded.runs.tally(run)) for run in upgraded.runs.all()} == reported["tallies"]


def test_every_request_is_as_before_in_its_state(upgraded: Ledger, reported: dict[str, Any]) -> None:
    found = {
        run.id: {
            state.value: [as_reported(request) for request in upgraded.requests.in_state(run, state)]
            for state in State
            if upgraded.requests.in_state(run, state)
        }
        for run in upgraded.runs.all()
    }
    assert found == reported["requests"]


def test_every_doubt_is_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    doubts = [doubt for run in upgraded.runs.all() for doubt in upgraded.requests.doubts(run)]
    found = [[d.request.number, d.first_attempt.isoformat(), d.ended.isoformat()] for d in doubts]
    assert found == reported["doubts"] != []


def test_what_is_known_is_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    requests = [request for run in reported["requests"].values() for state in run.values() for request in state]
    people = sorted({identity for request in requests for identity in request["recipients"]})
    items = sorted({(item[0], item[1]) for request in requests for item in request["items"]})
    keys = pl.DataFrame([(identity, *item) for identity in people for item in items], schema=list(KEY), orient="row")
    for tenant, expected in reported["known"].items():
        known = upgraded.plans.known(tenant, keys)
        changes = known.changes.drop("tenant_state", "tenant_who", "tenant_comment", "tenant_since")
        assert sorted(list(row) for row in changes.rows()) == expected != []
        assert known.upto == reported["upto"]


@pytest.mark.parametrize("version", ["0004"], indirect=True)
def test_what_the_tenant_last_reported_is_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run in upgraded.runs.all():
        summary = upgraded.tracks.summary(run)
        groups = [[one.state, one.who, one.said, one.since, one.changes] for one in summary.reported]
        assert [groups, summary.silent] == reported["tracks"][run.id]


@pytest.mark.parametrize("version", ["0004"], indirect=True)
def test_names_mean_what_they_meant_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run_id, names in reported["names"].items():
        keys = [(kind, name) for kind, name, *_ in names]
        found = upgraded.decisions.names(run_id, keys)
        assert sorted([*key, one.outcome, one.id, one.problem] for key, one in found.items()) == names != []


@pytest.mark.parametrize("version", ["0004"], indirect=True)
def test_what_was_set_aside_is_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run_id, changes in reported["set_aside"].items():
        assert [list(row) for row in upgraded.decisions.set_aside(run_id).rows()] == changes != []


@pytest.mark.parametrize("version", ["0004"], indirect=True)
def test_the_cache_keeps_the_tenants_answers_alone(old: Path) -> None:
    answers = "SELECT * FROM cached WHERE kind IN ('access held', 'identity by email', 'in progress')"
    before, when = rows(old, answers), rows(old, "SELECT DISTINCT at FROM cached WHERE kind LIKE 'names of run %'")
    open_ledger(old).close()
    assert rows(old, "SELECT * FROM cached") == before != []
    assert rows(old, "SELECT DISTINCT at FROM name_meaning") == when != []


def test_no_event_changes_in_the_upgrade(old: Path) -> None:
    columns = "number, at, request, event, attempt, status, detail, hash FROM event"
    before = rows(old, f"SELECT run, {columns}")
    open_ledger(old).close()
    after = rows(old, f"SELECT (SELECT id FROM run WHERE run.number = event.run), {columns}")  # noqa: S608 - our own names
    assert sorted(after, key=str) == sorted(before, key=str) != []


def test_the_next_request_is_claimed_as_before_and_sent_as_before(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run in upgraded.runs.all():
        planned = reported["requests"][run.id].get("PLANNED", [])
        for before in planned:
            request = claim(upgraded, run)
            assert as_reported(request) == {**before, "attempts": before["attempts"] + 1}
            record(upgraded, request, ACCEPTED)
    assert upgraded.verify() == ()


def test_what_another_process_was_sending_becomes_unconfirmed_once_that_is_dead(
    upgraded: Ledger, reported: dict[str, Any]
) -> None:
    (run,) = (run for run in upgraded.runs.all() if "SENDING" in reported["requests"][run.id])
    assert upgraded.runs.hold(run, a_process(2), NOW.replace(hour=23)) == 1
    assert upgraded.verify() == ()


def test_new_runs_are_added_to_it(upgraded: Ledger) -> None:
    run = write(upgraded, [change("someone new", "r1")], digest="new")
    assert claim(upgraded, run).recipients == ("someone new",)
    assert upgraded.verify() == ()


@pytest.mark.parametrize("version", ["0001"], indirect=True)
def test_a_damaged_ledger_is_not_smoothed_over_by_the_upgrade(old: Path) -> None:
    alter(old, "DELETE FROM change WHERE request = 2 AND item = (SELECT min(item) FROM change WHERE request = 2)")
    before = rows(old, "SELECT * FROM change")
    with pytest.raises(LedgerRefusedError, match="request 2 are not the product") as caught:
        open_ledger(old)
    assert "backup" in caught.value.next_step
    assert rows(old, "SELECT * FROM change") == before


@pytest.mark.parametrize("version", ["0004"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE event SET run = 'gone' WHERE number = 17", "events of run gone"),
        ("UPDATE cached SET kind = 'names of run gone' WHERE kind LIKE 'names of run %'", "names of run gone"),
        ("UPDATE cached SET value = '' WHERE kind LIKE 'set aside by run %'", "set aside by run 9bb08e65a866"),
    ],
)
def test_damaged_decisions_and_events_are_not_dropped_by_the_upgrade(old: Path, damage: str, what: str) -> None:
    alter(old, damage)
    before = rows(old, "SELECT * FROM cached"), rows(old, "SELECT * FROM event")
    with pytest.raises(LedgerRefusedError, match=what):
        open_ledger(old)
    assert (rows(old, "SELECT * FROM cached"), rows(old, "SELECT * FROM event")) == before
