"""What a process still does in a ledger that was put back under it changes nothing that others have written since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.errors import BrokenPromiseError, LedgerLostError
from batch.ledger.take_over import LedgerMovedError
from tests.builders import NOW, change
from tests.exactly_once.test_stale_ledger import back_up
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    REFUSED,
    TENANT,
    a_process,
    claim,
    new_run,
    open_ledger,
    plan_of,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("how", ["answered", "arrived", "not arrived"])
def test_what_is_learnt_of_a_lost_part_moves_no_request_that_has_its_number_now(tmp_path: Path, how: str) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    with open_ledger(path) as ours, open_ledger(path) as others:
        run = write(ours, [change("i1", "r1"), change("i2", "r1")])
        whole = claim(ours, run)
        back_up(path, copy)
        record(ours, whole, REFUSED, parts=divide(whole, "", RefusalHistory()))
        part = claim(ours, run)
        if how != "answered":
            record(ours, part, FAILED)
        back_up(copy, path)
        other = a_process()
        theirs = claim(others, write(others, [change("i9", "r9")], digest="other"), process=other)
        if how != "answered":
            record(others, theirs, FAILED, process=other)
        assert theirs.number == part.number
        before = rows(path, "SELECT * FROM request"), rows(path, "SELECT * FROM event")
        if how == "answered":
            with pytest.raises(LedgerLostError):
                record(ours, part, ACCEPTED)
        else:
            with pytest.raises(BrokenPromiseError):
                ours.requests.settle(part, arrived=how == "arrived", now=NOW, process=ME)
        assert (rows(path, "SELECT * FROM request"), rows(path, "SELECT * FROM event")) == before


def test_a_plan_made_before_the_ledger_was_put_back_is_not_written(tmp_path: Path) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    wanted = plan_of([change("i1", "r1")])
    with open_ledger(path) as ledger, open_ledger(path) as others:
        write(ledger, [change("i0", "r0")], digest="first")
        back_up(path, copy)
        write(ledger, [change("i8", "r8")], digest="lost")
        known = ledger.plans.known(TENANT, wanted.changes)
        back_up(copy, path)
        write(others, [change("i1", "r1")], digest="since")
        with pytest.raises(LedgerMovedError):
            ledger.plans.write(new_run(), wanted, upto=known.upto, now=NOW)
    assert [number for (number,) in rows(path, "SELECT number FROM request ORDER BY number")] == [1, 2]
