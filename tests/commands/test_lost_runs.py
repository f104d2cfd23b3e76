"""What lost runs had on their way is put in doubt again, whatever ends the command that does so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from batch.commands.lost_runs import restore_doubts
from batch.model import Head
from batch.states import State
from tests.builders import NOW, change, request
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, ME, REFUSED, TENANT, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.lost import LostRequests
    from batch.ledger.store import Ledger
    from batch.model import Doubt, Run

RUNTIME: Any = SimpleNamespace(process=ME, now=lambda: NOW)
LOST = [
    replace(request(number, (f"{number:032x}",), (f"{99:032x}",), run=run), tag="0a1b")
    for run, number in (("a" * 12, 7), ("a" * 12, 8), ("b" * 12, 9))
]


class Killed:
    """The lost requests of a ledger, for a process that is killed before it puts anything in doubt."""

    def __init__(self, lost: LostRequests) -> None:
        self.missing = lost.missing

    def doubt(self, *_args: object) -> int:
        raise KeyboardInterrupt


def test_a_command_that_is_killed_leaves_the_rest_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        killed: Any = SimpleNamespace(
            runs=ledger.runs, plans=ledger.plans, requests=ledger.requests, lost=Killed(ledger.lost)
        )
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


def test_a_run_that_is_lost_again_with_other_requests_on_their_way_has_these_in_doubt(tmp_path: Path) -> None:
    one, two, _ = LOST
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, [one], TENANT, "beta", RUNTIME) == 1
        (run,) = ledger.runs.all()
        ledger.runs.settle_by_hand(run, arrived=False, now=NOW)
        assert restore_doubts(ledger, [one, two], TENANT, "beta", RUNTIME) == 1
        found = [
            (doubt.sent_id, doubt.request.recipients) for run in ledger.runs.all() for doubt in doubts_of(ledger, run)
        ]
        assert found == [(two.id, two.recipients)]
        assert ledger.verify() == ()


def test_parts_that_were_sent_with_one_id_are_all_in_doubt(tmp_path: Path) -> None:
    parts = [replace(LOST[0], recipients=(f"{number:032x}",)) for number in (7, 8)]
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, parts[:1], TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, parts, TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, parts, TENANT, "beta", RUNTIME) == 0
        found = [doubt for run in ledger.runs.all() for doubt in doubts_of(ledger, run)]
        assert sorted(doubt.request.recipients for doubt in found) == [one.recipients for one in parts]
        assert {doubt.sent_id for doubt in found} == {LOST[0].id}
        assert ledger.verify() == ()


def test_a_request_and_a_part_of_it_are_in_doubt_both(tmp_path: Path) -> None:
    whole = replace(LOST[0], recipients=(f"{7:032x}", f"{8:032x}"))
    part = replace(LOST[1], recipients=whole.recipients[:1])
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, [whole, part], TENANT, "beta", RUNTIME) == 2
        assert {doubt.sent_id for run in ledger.runs.all() for doubt in doubts_of(ledger, run)} == {whole.id, part.id}
        assert ledger.verify() == ()


@pytest.mark.parametrize("ended", ["discarded", "refused"])
def test_what_somebody_has_given_up_since_the_ledger_was_put_back_is_in_doubt_again(tmp_path: Path, ended: str) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        run = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        if ended == "discarded":
            (sent,) = ledger.requests.in_state(run, State.PLANNED)
            ledger.runs.discard(run, NOW)
        else:
            sent = claim(ledger, run)
            record(ledger, sent, REFUSED)
            ledger.runs.release(run, ME, NOW)
        assert restore_doubts(ledger, [sent], TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, [sent], TENANT, "beta", RUNTIME) == 0
        ((doubt,),) = [found for one in ledger.runs.all() if (found := doubts_of(ledger, one))]
        assert doubt.sent_id == sent.id


def test_what_was_found_since_is_not_in_doubt_again_and_the_rest_is(tmp_path: Path) -> None:
    lost = replace(request(0, (f"{7:032x}", f"{8:032x}"), (f"{98:032x}", f"{99:032x}"), run="a" * 12), tag="0a1b")
    with open_ledger(tmp_path / "ledger.db") as ledger:
        since = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        record(ledger, claim(ledger, since), ACCEPTED)
        ledger.runs.release(since, ME, NOW)
        assert restore_doubts(ledger, [lost], TENANT, "beta", RUNTIME) == 2
        found = [one for run in ledger.runs.all() for one in doubts_of(ledger, run)]
        assert {one.sent_id for one in found} == {lost.id}
        asked = {(who, item.id) for one in found for who in one.request.recipients for item in one.request.items}
        both = {(who, item.id) for who in lost.recipients for item in lost.items}
        assert asked == both - {(f"{7:032x}", f"{99:032x}")}
        assert restore_doubts(ledger, [lost], TENANT, "beta", RUNTIME) == 0
        assert ledger.verify() == ()


@pytest.mark.parametrize("state", ["PLANNED", "SENDING", "UNCONFIRMED", "ACCEPTED"])
def test_what_the_ledger_sends_waits_for_or_has_is_not_restored(tmp_path: Path, state: str) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        run = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        (sent,) = ledger.requests.in_state(run, State.PLANNED)
        if state != "PLANNED":
            claim(ledger, run)
        if state in {"UNCONFIRMED", "ACCEPTED"}:
            record(ledger, replace(sent, attempts=1), FAILED if state == "UNCONFIRMED" else ACCEPTED)
        assert rows(tmp_path / "ledger.db", "SELECT state FROM request") == [(state,)]
        assert restore_doubts(ledger, [sent], TENANT, "beta", RUNTIME) == 0


def test_a_doubt_that_was_ripe_when_the_backup_was_made_begins_anew(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        run = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        record(ledger, claim(ledger, run), FAILED)
        ledger.runs.release(run, ME, NOW)
        (before,) = doubts_of(ledger, run)
        ledger.doubts.ripen([before.request])
        ledger.doubts.keep_time([before.request], NOW)
        assert (doubts_of(ledger, run)[0].ripe, doubts_of(ledger, run)[0].tenant_time) == (1, NOW)
        assert ledger.gaps.doubt_claimed([Head(run=run.id, number=40, hash="1" * 64, sent=1)], ME, NOW) == 0
        assert doubts_of(ledger, run) == (before,)


def doubts_of(ledger: Ledger, run: Run) -> tuple[Doubt, ...]:
    return ledger.requests.doubts(run)
