"""A ledger moves to another database as a whole, and is in one place at every moment."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa

from batch.api.dialects import Rate
from batch.commands.heads import Heads
from batch.errors import LedgerRefusedError, RunHeldError, UsageError
from batch.ledger import tables as t
from batch.ledger.address import ledger_url
from batch.ledger.calls import RateKey
from batch.ledger.engine import connect, reading
from batch.ledger.process import boot_id, boot_time
from batch.ledger.relocation import Mover, address, relocate
from batch.ledger.store import Ledger
from batch.model import Clock
from tests.builders import NOW, change
from tests.clocks import key, new_id
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    TENANT,
    a_process,
    alter,
    change_status,
    claim,
    new_run,
    newest,
    open_ledger,
    plan_of,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ledger.ledger_helpers import Place

ON_SERVER = pytest.mark.postgresql
KEPT = [
    table for table in t.metadata.sorted_tables if table.name not in {"about", "holder", "event", "signer", "cached"}
]
_PROBES = itertools.count()
STEPS = ("Copying event", "Proving", "Comparing", "Leaving", "Starting")


class Move(NamedTuple):
    """A ledger, and a place to which it can move."""

    source: Place
    target: Place
    heads: Heads

    def go(self, say: Callable[[str], object] = lambda _line: None) -> int:
        mover = Mover(now=lambda: NOW, key=key, process=ME, move=new_id(), memory=self.heads, say=say)
        return relocate(ledger_url(str(self.source)), ledger_url(str(self.target)), mover)


@pytest.fixture(
    params=[
        ("sqlite", "sqlite"),
        pytest.param(("sqlite", "postgresql"), marks=[ON_SERVER, pytest.mark.also_postgresql]),
        pytest.param(("postgresql", "sqlite"), marks=ON_SERVER),
    ],
    ids=" to ".join,
)
def move(request: pytest.FixtureRequest, tmp_path: Path) -> Move:
    """A ledger with requests in several states, texts of several scripts, a report and an unsent request."""
    source, target = request.param
    old: Place = request.getfixturevalue("postgresql") if source == "postgresql" else tmp_path / "old.db"
    new: Place = request.getfixturevalue("empty_postgresql") if target == "postgresql" else tmp_path / "new.db"
    heads = Heads(folder=tmp_path / "heads")
    with open_ledger(old, memory=heads) as ledger:
        run = write(
            ledger, [change("i1", "r1", comment="\u00dc\t\\N\n\\.\n")], [change("i2", "r1")], [change("i3", "r2")]
        )
        request_1 = claim(ledger, run)
        record(ledger, request_1, ACCEPTED)
        claim(ledger, run)
        ledger.runs.release(run, ME, NOW)
        ledger.tracks.write(run, [change_status(request_1.number, "i1", "REJECTED", who="Bob", said="Nein.")], NOW)
        ledger.cache.put(TENANT, "held", {"i1": ["r1"], "x" * 3_000: []}, at=NOW)
    return Move(source=old, target=new, heads=heads)


def content(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a ledger has but its events, by table."""
    engine = connect(ledger_url(str(place)), only_look=True)
    try:
        with reading(engine) as connection:
            every = {
                table.name: connection.execute(sa.select(table).order_by(*table.primary_key.columns)).all()
                for table in KEPT
            }
    finally:
        engine.dispose()
    return {name: [tuple(row) for row in found] for name, found in every.items()}


def usable(*places: Place, memory: Heads | None = None) -> list[Place]:
    """The places with a ledger by which something could be sent."""
    found = []
    for place in places:
        try:
            if not rows(place, "SELECT ledger FROM about"):
                continue
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            continue
        try:
            with open_ledger(place, memory=memory) as ledger:
                number = next(_PROBES)
                write(ledger, [change(f"probe{number}", "r9")], digest=f"probe {number}")
            found.append(place)
        except LedgerRefusedError:
            pass
    return found


def test_one_limit_holds_for_both_places(move: Move) -> None:
    """Whoever is still at work in the old place makes no more calls, and those it has made count in the new one."""
    clock = Clock(now=lambda: NOW, monotonic=boot_time, boot=boot_id())
    rate_key, rate = RateKey(tenant=TENANT, client="c", dialect="beta"), Rate(requests=9, seconds=10.0)
    with open_ledger(move.source, memory=move.heads) as old:
        calls = old.calls(rate_key, rate=rate, process=ME, clock=clock)
        assert calls.permit(wanted=4, counted={}).numbers

        def call_meanwhile(step: str) -> None:
            if step.startswith("Proving"):
                calls.permit(wanted=4, counted={})

        move.go(call_meanwhile)
        with pytest.raises(LedgerRefusedError, match="has moved to"):
            calls.permit(wanted=1, counted={})
        # What it has made can still be told.
        assert calls.permit(wanted=0, counted={}).numbers == ()
    assert rows(move.target, "SELECT count(*) FROM call WHERE counted_by IS NULL") == [(8,)]


def test_everything_arrives_and_the_new_place_works_on(move: Move) -> None:
    before = content(move.source)
    ((head,),) = rows(move.source, "SELECT hash FROM event ORDER BY number DESC LIMIT 1")
    assert move.go() > 0
    assert content(move.target) == before
    assert rows(move.target, f"SELECT count(*) FROM event WHERE hash = '{head}'") == [(1,)]  # noqa: S608
    with open_ledger(move.target, memory=move.heads) as ledger:
        assert ledger.verify() == ()
        run = ledger.runs.named("")
        # New rows of every table whose numbers the database gives: a tenant, a signer, a rate.
        other = write(ledger, [change("i1", "r1")], digest="other", tenant="https://other.example")
        record(ledger, claim(ledger, run), ACCEPTED)
        record(ledger, claim(ledger, other), ACCEPTED)
        assert ledger.cache.get(TENANT, "held", ["i1"], since=NOW)["i1"].value == ["r1"]
        assert ledger.verify() == ()


def test_the_old_place_can_be_read_and_says_where_the_ledger_is(move: Move) -> None:
    move.go()
    to = address(ledger_url(str(move.target)))
    with pytest.raises(LedgerRefusedError, match="has moved to") as caught:
        open_ledger(move.source)
    assert f"--ledger {to}" in str(caught.value.next_step)
    with Ledger.open(str(move.source), sandbox=False, now=NOW, new_id=new_id, key=key, only_read=True) as old:
        assert any(f"has moved to {to}" in notice for notice in old.notices)
        assert len(old.runs.all()) == 1
        assert old.verify() == ()
    links = rows(move.source, "SELECT event, detail FROM event ORDER BY number DESC LIMIT 1")
    assert links == [("moved", f'{{"to": "{to}"}}')]


def test_whoever_had_opened_the_old_place_before_can_neither_plan_nor_send_there(move: Move) -> None:
    with open_ledger(move.source) as old:
        run = old.runs.named("")
        move.go()
        with pytest.raises(LedgerRefusedError, match="has moved"):
            old.runs.hold(run, ME, NOW)
        with pytest.raises(LedgerRefusedError, match="has moved"):
            old.plans.write(new_run("late"), plan_of([change("i8", "r1")]), upto=newest(old), now=NOW)
        with pytest.raises(RunHeldError):
            old.requests.claim(run, NOW, ME)


def test_a_process_that_wakes_up_after_its_ledger_has_moved_is_told_so(move: Move) -> None:
    with open_ledger(move.source) as old:
        run = old.runs.named("")
        old.runs.hold(run, ME, NOW)
        # As if its lease had run out.
        alter(move.source, "DELETE FROM holder")
        move.go()
        to = address(ledger_url(str(move.target)))
        for step, words in ((old.requests.claim, (run, NOW, ME)), (old.runs.beat, (run, ME, NOW))):
            with pytest.raises(RunHeldError, match=f"has moved to {re.escape(to)}, because") as caught:
                step(*words)
            assert f"--ledger {to}" in caught.value.next_step


def test_a_ledger_on_which_a_process_works_is_not_moved(move: Move) -> None:
    with open_ledger(move.source) as ledger:
        run = ledger.runs.named("")
        ledger.runs.hold(run, a_process(), NOW)
        with pytest.raises(RunHeldError, match=f"can't be moved while run {run.id} goes on"):
            move.go()
    assert usable(move.source) == [move.source]


def test_nothing_is_moved_over_something_else(move: Move) -> None:
    open_ledger(move.target).close()
    with pytest.raises(LedgerRefusedError, match="is not empty"):
        move.go()
    assert usable(move.source) == [move.source]


def test_a_ledger_that_changes_while_it_is_copied_stays_where_it_is(move: Move) -> None:
    def say(line: str) -> None:
        if line.startswith("Proving"):
            with open_ledger(move.source) as ledger:
                write(ledger, [change("i7", "r1")], digest="meanwhile")

    with pytest.raises(LedgerRefusedError, match="has changed while it was copied"):
        move.go(say)
    assert usable(move.source, move.target) == [move.source]
    move.go()
    assert usable(move.source, move.target) == [move.target]


class StoppedHere(BaseException):
    """A stop that nothing handles."""


@pytest.mark.thorough
@pytest.mark.parametrize("step", STEPS)
def test_a_stop_at_any_step_leaves_one_ledger_and_the_same_command_goes_on(step: str, move: Move) -> None:
    def say(line: str) -> None:
        if line.startswith(step):
            raise StoppedHere

    with pytest.raises(StoppedHere):
        move.go(say)
    assert usable(move.source, move.target) == [move.target if step == "Starting" else move.source]
    move.go()
    assert usable(move.source, move.target) == [move.target]
    with open_ledger(move.target) as ledger:
        assert ledger.verify() == ()


@pytest.mark.thorough
@pytest.mark.parametrize("step", ["Leaving", "Starting"])
def test_a_killed_move_leaves_one_ledger(step: str, move: Move) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from batch.commands.heads import Heads\n"
        "from tests.ledger.test_ledger_move import Move\n"
        "old, new, heads, step = sys.argv[1:]\n"
        "Move(old, new, Heads(folder=Path(heads))).go(lambda line: line.startswith(step) and os._exit(9))\n"
    )
    arguments = [str(move.source), str(move.target), str(move.heads.folder), step]
    assert subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode == 9
    assert usable(move.source, move.target) == [move.target if step == "Starting" else move.source]
    move.go()
    assert usable(move.source, move.target) == [move.target]


def test_a_copy_that_has_not_arrived_tells_how_to_go_on(move: Move) -> None:
    def say(line: str) -> None:
        if line.startswith("Proving"):
            raise StoppedHere

    with pytest.raises(StoppedHere):
        move.go(say)
    with pytest.raises(LedgerRefusedError, match="its move has not ended") as caught:
        open_ledger(move.target)
    assert "access-batch ledger move" in str(caught.value.next_step)


def test_a_ledger_is_moved_once(move: Move, tmp_path: Path) -> None:
    move.go()
    with pytest.raises(LedgerRefusedError, match="has moved to"):
        move._replace(target=tmp_path / "third.db").go()
    assert not (tmp_path / "third.db").exists()
    with pytest.raises(UsageError, match="is there already"):
        move._replace(target=move.source).go()
    with pytest.raises(UsageError, match="no ledger at"):
        move._replace(source=tmp_path / "nothing.db").go()
    assert not (tmp_path / "nothing.db").exists()
    # Back again, to a new file.
    move._replace(source=move.target, target=tmp_path / "back.db").go()
    assert usable(move.source, move.target, tmp_path / "back.db", memory=move.heads) == [tmp_path / "back.db"]


@pytest.mark.parametrize("mark", ["moved_to = NULL", "moved_to = '', move = NULL"])
def test_whoever_takes_the_mark_away_does_not_get_a_second_ledger(mark: str, move: Move) -> None:
    move.go()
    alter(move.source, f"UPDATE about SET {mark}")  # noqa: S608 - a test's own
    assert usable(move.source, move.target) == [move.target]


def test_a_backup_from_before_the_move_is_no_ledger_again_on_a_machine_that_knows_of_it(tmp_path: Path) -> None:
    heads, old, new, backup = Heads(folder=tmp_path / "heads"), *(tmp_path / name for name in ("a.db", "b.db", "c.db"))
    with open_ledger(old, memory=heads) as ledger:
        write(ledger, [change("i1", "r1")])
    shutil.copy(old, backup)
    move = Move(source=old, target=new, heads=heads)
    move.go()
    put_back = tmp_path / "d.db"
    shutil.copy(backup, put_back)
    for place in (backup, put_back):
        with pytest.raises(LedgerRefusedError, match=f"is an old copy: the ledger has moved to {new} since") as caught:
            open_ledger(place, memory=heads)
        assert "remove" in str(caught.value.next_step)
    with Ledger.open(str(backup), sandbox=False, now=NOW, new_id=new_id, key=key, memory=heads, only_read=True) as read:
        assert any("old copy" in notice for notice in read.notices)
    assert usable(backup, new, memory=heads) == [new]
    ((ledger_id,),) = rows(new, "SELECT ledger FROM about")
    (tmp_path / "heads" / f"{ledger_id}.moves").unlink()
    assert usable(backup, memory=heads) == [backup]


def test_another_machine_learns_of_the_move_when_it_first_opens_either_place(tmp_path: Path) -> None:
    ours, theirs = (Heads(folder=tmp_path / name) for name in ("ours", "theirs"))
    old, new, backup = (tmp_path / name for name in ("a.db", "b.db", "c.db"))
    with open_ledger(old, memory=theirs) as ledger:
        write(ledger, [change("i1", "r1")])
    shutil.copy(old, backup)
    Move(source=old, target=new, heads=ours).go()
    with pytest.raises(LedgerRefusedError, match="has moved"):
        open_ledger(old, memory=theirs)
    with pytest.raises(LedgerRefusedError, match="is an old copy"):
        open_ledger(backup, memory=theirs)


@pytest.mark.postgresql
def test_a_text_that_postgresql_does_not_keep_stops_the_move(tmp_path: Path, empty_postgresql: str) -> None:
    old = tmp_path / "old.db"
    with open_ledger(old) as ledger:
        write(ledger, [change("i1", "r1", comment="a\0b")])
    with pytest.raises(LedgerRefusedError, match="table detail has a NUL character"):
        Move(source=old, target=empty_postgresql, heads=Heads(folder=tmp_path / "heads")).go()
    assert usable(old) == [old]
