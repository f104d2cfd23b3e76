"""A ledger's health: unfinished runs, unconfirmed requests, and damage found without reading the whole ledger."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import sqlalchemy as sa

from batch.ledger.address import ledger_url, place
from batch.ledger.tables import LEDGER_VERSION
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, claim, open_ledger, record, singles, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_ledger_is_healthy_and_empty(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        health = ledger.health()
    assert (health.version, health.faults) == (LEDGER_VERSION, ())
    assert (health.runs, health.unfinished, health.in_doubt) == (0, (), 0)
    assert health.size is not None
    assert health.size > 4096


def test_the_name_of_a_ledger_hides_its_password(tmp_path: Path) -> None:
    assert place(sa.make_url("postgresql://ada:hunter2@db.example/ledger")) == "postgresql://ada@db.example/ledger"
    assert place(ledger_url(str(tmp_path / "ledger.db"))) == str(tmp_path / "ledger.db")


def test_a_run_with_requests_to_send_or_to_settle_is_unfinished(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        finished = write(ledger, *singles(1, prefix="a"), digest="finished")
        record(ledger, claim(ledger, finished), ACCEPTED)
        doubtful = write(ledger, *singles(2, prefix="b"), digest="doubtful")
        record(ledger, claim(ledger, doubtful), FAILED)
        record(ledger, claim(ledger, doubtful), ACCEPTED)
        planned = write(ledger, *singles(2, prefix="c"), digest="planned")
        sending = write(ledger, *singles(1, prefix="d"), digest="sending")
        claim(ledger, sending)
        health = ledger.health()
    assert health.runs == 4
    assert set(health.unfinished) == {doubtful.id, planned.id, sending.id}
    assert health.in_doubt == 2


def test_damage_on_any_page_is_reported_or_harmless_and_never_raises_an_error(tmp_path: Path) -> None:
    sound, damaged = tmp_path / "sound.db", tmp_path / "damaged.db"
    with open_ledger(sound) as ledger:
        write(ledger, *singles(300))
    content = sound.read_bytes()
    pages = range(2, len(content) // 4096)
    found = 0
    for page in pages:
        shutil.copy(sound, damaged)
        with open_ledger(damaged) as ledger:
            with damaged.open("r+b") as file:
                file.seek(page * 4096)
                file.write(b"\xff" * 2000)
            found += bool(ledger.health().faults)
    assert found > len(pages) * 0.9
