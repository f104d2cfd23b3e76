"""What lost runs had on their way is put in doubt again, whatever ends the command that does so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from batch.commands.lost_runs import restore_doubts
from tests.builders import NOW, change, request
from tests.ledger.ledger_helpers import ACCEPTED, ME, TENANT, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME: Any = SimpleNamespace(process=ME, now=lambda: NOW)
LOST = [
    replace(request(number, (f"{number:032x}",), (f"{99:032x}",), run=run), tag="0a1b")
    for run, number in (("a" * 12, 7), ("a" * 12, 8), ("b" * 12, 9))
]


class Killed:
    """The gaps of a ledger, for a process that is killed before it puts anything in doubt."""

    def doubt_claimed(self, *_args: object, **_options: object) -> int:
        raise KeyboardInterrupt


def test_a_command_that_is_killed_leaves_the_rest_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        killed: Any = SimpleNamespace(runs=ledger.runs, plans=ledger.plans, requests=ledger.requests, gaps=Killed())
        with pytest.raises(KeyboardInterrupt):
            restore_doubts(killed, LOST, TENANT, "beta", RUNTIME)
        assert rows(path, "SELECT state FROM request") == [("PLANNED",)] * 2
        assert restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME) == len(LOST)
        assert restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME) == 0
        assert rows(path, "SELECT state FROM request") == [("UNCONFIRMED",)] * 3
        found = [doubt.sent_id for run in ledger.runs.all() for doubt in ledger.requests.doubts(run)]
        assert sorted(found) == [one.id for one in LOST]
        assert ledger.verify() == ()


def test_what_was_submitted_since_is_not_sent_again_if_it_did_not_arrive_before(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        since = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        record(ledger, claim(ledger, since), ACCEPTED)
        ledger.runs.release(since, ME, NOW)
        assert restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME) == len(LOST)
        for run in ledger.runs.all():
            ledger.runs.settle_by_hand(run, arrived=False, now=NOW)
        states = [state for (state,) in rows(tmp_path / "ledger.db", "SELECT state FROM request ORDER BY number")]
        assert states == ["ACCEPTED", "SPLIT", "PLANNED", "PLANNED"]
        assert ledger.verify() == ()
