"""Ledgers of earlier versions, with content of every kind, are upgraded without loss.

The files `ledger_0001.sql` to `ledger_0011.sql` are dumps of these ledgers. `ledger_0001.json` holds the report of
version 0001 about the first three, `ledger_0004.json` and `ledger_0005.json` those of their versions about others.
Version 0006 made its ledger of the one of version 0005, version 0008 of that, and so on.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.commands.heads import Heads
from batch.dedupe.overlap import ACCESS
from batch.errors import LedgerChangedError, LedgerRefusedError
from batch.ledger.machine_key import MachineKey
from batch.ledger.tables import LEDGER_VERSION
from batch.plan.waves import Moment
from batch.states import State
from batch.text import RequestId
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import ACCEPTED, ME, a_process, alter, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.ledger.store import Ledger
    from batch.model import Request

HERE = Path(__file__).parent
REPORTED = {
    **dict.fromkeys(("0001", "0002", "0003"), json.loads((HERE / "ledger_0001.json").read_text("utf-8"))),
    "0004": json.loads((HERE / "ledger_0004.json").read_text("utf-8")),
    **dict.fromkeys(
        ("0005", "0006", "0008", "0009", "0011"), json.loads((HERE / "ledger_0005.json").read_text("utf-8"))
    ),
}
KEY_OF_0008 = MachineKey(bytes(32))
"""What has sealed the ledger of version 0008."""

COUNT = {"0001": "SELECT count(*) FROM change"}


@pytest.fixture(params=list(REPORTED))
def version(request: pytest.FixtureRequest) -> str:
    """The version of the old ledger."""
    return str(request.param)


@pytest.fixture
def reported(version: str) -> dict[str, Any]:
    """The old program's report about the old ledger."""
    return dict(REPORTED[version])


def restored(version: str, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / f"ledger_{version}.sql").read_text("utf-8"))
    return path


@pytest.fixture
def old(version: str, tmp_path: Path) -> Path:
    """The old ledger, as a file."""
    return restored(version, tmp_path / "ledger.db")


@pytest.fixture(scope="module")
def upgraded_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the ledger of each version, once it is upgraded: the upgrade takes longer than most tests."""
    return tmp_path_factory.mktemp("upgraded")


@pytest.fixture
def file(version: str, upgraded_files: Path, tmp_path: Path) -> Path:
    """The old ledger after its upgrade, as a file."""
    made = upgraded_files / f"{version}.db"
    if not made.exists():
        path = restored(version, upgraded_files / f"{version}.old.db")
        open_ledger(path, key=lambda: KEY_OF_0008).close()
        path.rename(made)
    path = tmp_path / "upgraded.db"
    shutil.copy(made, path)
    return path


@pytest.fixture
def upgraded(file: Path) -> Iterator[Ledger]:
    with open_ledger(file, key=lambda: KEY_OF_0008) as ledger:
        assert ledger.notices == (), "it was upgraded before"
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


@pytest.mark.thorough
def test_the_upgrade_makes_a_backup_and_leaves_a_sound_ledger(old: Path, version: str) -> None:
    with open_ledger(old, key=lambda: KEY_OF_0008) as upgraded:
        notice, *sealed = upgraded.notices
        assert upgraded.verify() == ()
    as_now = r"sealed as (it is|they are) now: earlier changes by somebody else can't be found"
    assert [bool(re.search(as_now, line)) for line in sealed] == [True] * (version < "0009")
    assert notice.startswith(f"The ledger was upgraded from version {version} to {LEDGER_VERSION}; backup: ")
    (backup,) = old.parent.glob("*.backup")
    assert rows(backup, COUNT.get(version, "SELECT count(*) FROM changes")) == rows(old, "SELECT count(*) FROM changes")


def test_the_upgrade_leaves_no_temporary_tables(file: Path) -> None:
    assert rows(file, "SELECT version_num FROM alembic_version") == [(LEDGER_VERSION,)]
    assert rows(file, "SELECT name FROM sqlite_master WHERE name LIKE 'old%' OR name LIKE '%tmp%'") == []


def test_the_upgrade_keeps_every_tally(upgraded: Ledger, reported: dict[str, Any]) -> None:
    assert {run.id: asdict(upgraded.runs.tally(run)) for run in upgraded.runs.all()} == reported["tallies"]


def test_the_upgrade_keeps_every_request_and_its_state(upgraded: Ledger, reported: dict[str, Any]) -> None:
    found = {
        run.id: {
            state.value: [as_reported(request) for request in upgraded.requests.in_state(run, state)]
            for state in State
            if upgraded.requests.in_state(run, state)
        }
        for run in upgraded.runs.all()
    }
    assert found == reported["requests"]


def test_the_upgrade_keeps_the_times_of_every_unconfirmed_request(upgraded: Ledger, reported: dict[str, Any]) -> None:
    doubts = [doubt for run in upgraded.runs.all() for doubt in upgraded.requests.doubts(run)]
    found = [[d.request.number, d.first_attempt.isoformat(), d.ended.isoformat()] for d in doubts]
    assert found == reported["doubts"] != []


def test_the_upgrade_keeps_the_known_changes(upgraded: Ledger, reported: dict[str, Any]) -> None:
    requests = [request for run in reported["requests"].values() for state in run.values() for request in state]
    people = sorted({identity for request in requests for identity in request["recipients"]})
    items = sorted({(item[0], item[1]) for request in requests for item in request["items"]})
    keys = pl.DataFrame([(identity, *item) for identity in people for item in items], schema=list(ACCESS), orient="row")
    for tenant, expected in reported["known"].items():
        known = upgraded.plans.known(tenant, keys)
        assert known.changes.select("account", "selection").unique().rows() == [("", "")]
        changes = known.changes.drop(
            "account", "selection", "tenant_state", "tenant_who", "tenant_comment", "tenant_since"
        )
        assert sorted(list(row) for row in changes.rows()) == expected != []
        assert (newest := RequestId.read(known.upto)) is not None
        assert newest.number == reported["upto"]


@pytest.mark.parametrize("version", ["0004", "0005", "0006", "0008", "0009", "0011"], indirect=True)
def test_the_upgrade_keeps_the_tenants_last_reports(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run in upgraded.runs.all():
        summary = upgraded.tracks.summary(run)
        groups = [[group.state, group.who, group.said, group.since, group.changes] for group in summary.reported]
        assert [groups, summary.silent] == reported["tracks"][run.id]


@pytest.mark.parametrize("version", ["0004", "0005", "0006", "0008", "0009", "0011"], indirect=True)
def test_the_upgrade_keeps_the_meanings_of_names(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run_id, names in reported["names"].items():
        keys = [(kind, name) for kind, name, *_ in names]
        found = upgraded.decisions.names(run_id, keys)
        meanings = sorted([*key, meaning.outcome, meaning.id, meaning.problem] for key, meaning in found.items())
        assert meanings == names != []


@pytest.mark.parametrize("version", ["0004", "0005", "0006", "0008", "0009", "0011"], indirect=True)
def test_the_upgrade_keeps_the_changes_set_aside(upgraded: Ledger, reported: dict[str, Any]) -> None:
    for run_id, changes in reported["set_aside"].items():
        kept = upgraded.decisions.set_aside(run_id)
        assert kept.get_column("account").unique().to_list() == [""]
        assert [list(row) for row in kept.drop("account").rows()] == changes != []


@pytest.mark.parametrize("version", ["0004"], indirect=True)
def test_the_upgraded_cache_is_empty_as_nobody_knows_who_filled_it(old: Path) -> None:
    times = rows(old, "SELECT DISTINCT at FROM cached WHERE kind LIKE 'names of run %'")
    open_ledger(old).close()
    assert rows(old, "SELECT * FROM cached") == []
    assert rows(old, "SELECT DISTINCT at FROM name_meaning") == times != []


@pytest.mark.parametrize("version", ["0005"], indirect=True)
def test_the_tenants_of_an_old_ledger_are_joined_once_their_tokens_prove_that_they_are_one(upgraded: Ledger) -> None:
    first, second = sorted({run.tenant for run in upgraded.runs.all() if "example" in run.tenant}, reverse=True)[:2]
    runs = upgraded.runs.all()
    for url in (first, second):
        upgraded.tenants.bind(url, ["4711"], ME, NOW.replace(hour=23))
    assert {run.id for run in upgraded.runs.all()} == {run.id for run in runs}
    assert upgraded.tenants.name_of(second) == first
    # Before, both addresses were given one change.
    assert [finding.rpartition(" ")[2] for finding in upgraded.verify()] == ["again"]


def test_the_upgrade_changes_no_event(old: Path, version: str) -> None:
    columns = "number, at, request, event, attempt, status, detail, hash FROM event"
    by_id = f"SELECT (SELECT id FROM run WHERE run.number = event.run), {columns}"  # noqa: S608 - our own names
    before = rows(old, by_id if version >= "0005" else f"SELECT run, {columns}")
    open_ledger(old).close()
    added = {"0008": "linked", "0009": "nothing", "0011": "nothing"}.get(version, "sealed")
    after = rows(old, f"{by_id} WHERE event != '{added}'")
    assert sorted(after, key=str) == sorted(before, key=str) != []


def test_each_planned_request_is_claimed_unchanged_after_the_upgrade(
    upgraded: Ledger, reported: dict[str, Any]
) -> None:
    for run in upgraded.runs.all():
        planned = reported["requests"][run.id].get("PLANNED", [])
        for before in planned:
            request = claim(upgraded, run)
            assert as_reported(request) == {**before, "attempts": before["attempts"] + 1}
            record(upgraded, request, ACCEPTED)
    assert upgraded.verify() == ()


def test_a_request_that_a_dead_process_was_sending_becomes_unconfirmed(
    upgraded: Ledger, reported: dict[str, Any]
) -> None:
    (run,) = (run for run in upgraded.runs.all() if "SENDING" in reported["requests"][run.id])
    assert upgraded.runs.hold(run, a_process(2), NOW.replace(hour=23)) == 1
    assert upgraded.verify() == ()


def test_no_run_of_an_older_ledger_is_sent_in_waves_until_it_is_asked_for(upgraded: Ledger) -> None:
    runs = upgraded.runs.all()
    assert {upgraded.waves.limit(run) for run in runs} == {None}
    run = next(run for run in runs if upgraded.requests.left(run))
    upgraded.runs.hold(run, ME, NOW.replace(hour=23))
    upgraded.waves.agree(run, ME, Moment(wall=NOW), changes=1, seconds=60.0, canary=1)
    assert upgraded.verify() == ()


@pytest.mark.thorough
def test_a_new_run_can_be_added_after_the_upgrade(upgraded: Ledger) -> None:
    run = write(upgraded, [change("someone new", "r1")], digest="new")
    assert claim(upgraded, run).recipients == ("someone new",)
    assert upgraded.verify() == ()


@pytest.mark.parametrize("version", ["0001"], indirect=True)
def test_the_upgrade_refuses_a_damaged_ledger_and_leaves_it_unchanged(old: Path) -> None:
    alter(old, "DELETE FROM change WHERE request = 2 AND item = (SELECT min(item) FROM change WHERE request = 2)")
    before = rows(old, "SELECT * FROM change")
    with pytest.raises(LedgerRefusedError, match="request 2 are not the product") as caught:
        open_ledger(old)
    assert "backup" in caught.value.next_step
    assert rows(old, "SELECT * FROM change") == before


@pytest.mark.parametrize("version", ["0004"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE event SET run = 'gone' WHERE number = 17", "events of run gone"),
        ("UPDATE cached SET kind = 'names of run gone' WHERE kind LIKE 'names of run %'", "names of run gone"),
        ("UPDATE cached SET value = '' WHERE kind LIKE 'set aside by run %'", "set aside by run 9bb08e65a866"),
    ],
)
def test_the_upgrade_refuses_damaged_decisions_and_events_and_keeps_them(old: Path, damage: str, finding: str) -> None:
    alter(old, damage)
    before = rows(old, "SELECT * FROM cached"), rows(old, "SELECT * FROM event")
    with pytest.raises(LedgerRefusedError, match=finding):
        open_ledger(old)
    assert (rows(old, "SELECT * FROM cached"), rows(old, "SELECT * FROM event")) == before


@pytest.mark.parametrize("version", ["0006"], indirect=True)
@pytest.mark.parametrize("attack", [[], ["UPDATE about SET ledger = 'another'"]], ids=["as it was", "with another id"])
def test_a_ledger_that_was_sealed_here_never_comes_back_without_seals(
    old: Path, tmp_path: Path, attack: list[str]
) -> None:
    heads = Heads(folder=tmp_path / "heads")
    backup = old.read_bytes()
    open_ledger(old, memory=heads).close()
    old.write_bytes(backup)
    alter(old, *attack)
    for _ in range(2):
        with pytest.raises(LedgerChangedError, match="was sealed, and is now one of version 0006") as refused:
            open_ledger(old, memory=heads)
    assert rows(old, "SELECT version_num FROM alembic_version") == [("0006",)]
    remembered = [path for path in heads.folder.iterdir() if str(path) in refused.value.next_step]
    assert len(remembered) == (1 if attack else 2)
    for path in remembered:
        path.unlink()
    with open_ledger(old, memory=heads, now=NOW + timedelta(days=1)) as put_back_on_purpose:
        assert put_back_on_purpose.verify() == ()


@pytest.mark.parametrize("version", ["0008"], indirect=True)
def test_what_a_newer_version_has_sealed_is_never_sealed_again(old: Path) -> None:
    open_ledger(old, key=lambda: KEY_OF_0008).close()
    alter(old, "UPDATE finding SET said = 'no' || id", "UPDATE alembic_version SET version_num = '0008'")
    with open_ledger(old, now=NOW.replace(hour=23), key=lambda: KEY_OF_0008) as again:
        assert any("the tenant's report on request" in finding for finding in again.verify())


@pytest.mark.parametrize("version", ["0008"], indirect=True)
def test_the_upgrade_keeps_the_fences_of_doubts_and_measures_the_time_anew(old: Path) -> None:
    never, past = "9999-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"
    some = "(SELECT min(request) FROM doubt)"
    alter(old, "UPDATE doubt SET ripe = 0", f"UPDATE doubt SET tenant_time = '{past}'")  # noqa: S608 - a test's own
    alter(old, f"UPDATE doubt SET fence = '{never}' WHERE request = {some}")  # noqa: S608 - a test's own
    with open_ledger(old, key=lambda: KEY_OF_0008) as ledger:
        doubts = [doubt for run in ledger.runs.all() for doubt in ledger.requests.doubts(run)]
    first = min(doubt.request.number for doubt in doubts)
    assert {doubt.request.number for doubt in doubts if doubt.fence is not None} == {first}
    assert {(doubt.tenant_time, doubt.ripe) for doubt in doubts} == {(None, None)}
