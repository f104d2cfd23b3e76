"""What lost runs had on their way is put in doubt again, whatever ends the command that does so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from batch.commands.import_ import ImportReader
from batch.commands.lost_runs import restore_doubts
from batch.commands.runs import settle_by_hand
from batch.commands.screen import Screen
from batch.errors import UsageError
from batch.ledger.standing import Sent, Standing
from batch.model import Head
from batch.settings import load
from batch.states import State
from batch.tenant.status import Page
from tests.builders import NOW, change, request, status_row
from tests.clocks import runtime
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, ME, REFUSED, TENANT, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.store import Ledger
    from batch.model import Doubt, Run

QUIET = Screen(console=Console(stderr=True), quiet=True)
RUNTIME: Any = SimpleNamespace(process=ME, now=lambda: NOW)
LOST = [
    Sent(request=replace(request(number, (f"{number:032x}",), (f"{99:032x}",), run=run), tag="0a1b"))
    for run, number in (("a" * 12, 7), ("a" * 12, 8), ("b" * 12, 9))
]


def test_what_lost_runs_had_on_their_way_is_put_in_doubt_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        assert restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME) == len(LOST)
        assert restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME) == 0
        assert rows(path, "SELECT state FROM request") == [("UNCONFIRMED",)] * 3
        found = [doubt.sent_id for run in ledger.runs.all() for doubt in ledger.requests.doubts(run)]
        assert sorted(found) == [one.request.id for one in LOST]
        assert ledger.verify() == ()


def test_a_request_of_a_body_that_has_arrived_is_known_to_have_arrived_too(tmp_path: Path) -> None:
    one, two, three = (replace(sent, body=body) for sent, body in zip(LOST, ("0c1d", "0c1d", "2e3f"), strict=True))
    with open_ledger(tmp_path / "ledger.db") as ledger:
        restore_doubts(ledger, [one, two, replace(three, arrived=True)], TENANT, "v1", RUNTIME)
        doubts = {doubt.sent_id: (run, doubt) for run in ledger.runs.all() for doubt in doubts_of(ledger, run)}
        assert {name: doubt.arrived for name, (_, doubt) in doubts.items()} == {
            one.request.id: False,
            two.request.id: False,
            three.request.id: True,
        }
        run, doubt = doubts[one.request.id]
        ledger.runs.hold(run, ME, NOW)
        ledger.requests.settle(doubt.request, arrived=True, now=NOW, process=ME)
        left = {doubt.sent_id: doubt.arrived for run in ledger.runs.all() for doubt in doubts_of(ledger, run)}
        assert left == {two.request.id: True, three.request.id: True}
        # The ledger may be put back once more: the next file must tell it, too.
        standings = ledger.lost.newest([run.id for run in ledger.runs.all()]).values()
        kept = {sent.request.id: sent for standing in standings for sent in standing.doubtful.values()}
        assert {name: (sent.body, sent.arrived) for name, sent in kept.items()} == {
            two.request.id: ("0c1d", True),
            three.request.id: ("2e3f", True),
        }
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
        assert restore_doubts(ledger, [one, two], TENANT, "beta", RUNTIME) == 1
        assert sorted(sent_in_doubt(ledger)) == [one.request.id, two.request.id]
        assert ledger.verify() == ()


def test_of_two_files_that_tell_of_one_request_the_one_that_knows_of_its_arrival_counts(tmp_path: Path) -> None:
    one = LOST[0]
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, [replace(one, arrived=True), one], TENANT, "beta", RUNTIME) == 1
        assert [doubt.arrived for run in ledger.runs.all() for doubt in doubts_of(ledger, run)] == [True]


def test_what_was_settled_by_hand_is_in_doubt_again_if_it_was_sent_again(tmp_path: Path) -> None:
    one = LOST[0]
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, [replace(one, body="0c1d")], TENANT, "beta", RUNTIME) == 1
        (run,) = ledger.runs.all()
        ledger.runs.settle_by_hand(run, arrived=False, now=NOW)
        assert sent_in_doubt(ledger) == []
        assert restore_doubts(ledger, [replace(one, body="2e3f")], TENANT, "beta", RUNTIME) == 1
        assert sent_in_doubt(ledger) == [one.request.id]
        assert ledger.verify() == ()


def test_parts_that_were_sent_with_one_id_are_all_in_doubt(tmp_path: Path) -> None:
    parts = [replace(LOST[0], request=replace(LOST[0].request, recipients=(f"{number:032x}",))) for number in (7, 8)]
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, parts[:1], TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, parts, TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, parts, TENANT, "beta", RUNTIME) == 0
        found = [doubt for run in ledger.runs.all() for doubt in doubts_of(ledger, run)]
        assert sorted(doubt.request.recipients for doubt in found) == [one.request.recipients for one in parts]
        assert {doubt.sent_id for doubt in found} == {LOST[0].request.id}
        assert ledger.verify() == ()


def test_a_request_and_a_part_of_it_are_in_doubt_both(tmp_path: Path) -> None:
    whole = replace(LOST[0].request, recipients=(f"{7:032x}", f"{8:032x}"))
    part = replace(LOST[1].request, recipients=whole.recipients[:1])
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert restore_doubts(ledger, [Sent(request=whole), Sent(request=part)], TENANT, "beta", RUNTIME) == 2
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
        assert restore_doubts(ledger, [Sent(request=sent)], TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, [Sent(request=sent)], TENANT, "beta", RUNTIME) == 0
        ((doubt,),) = [found for one in ledger.runs.all() if (found := doubts_of(ledger, one))]
        assert doubt.sent_id == sent.id


def test_what_was_found_since_in_part_is_in_doubt_as_a_whole(tmp_path: Path) -> None:
    """The part shows that the rest has arrived."""
    lost = replace(request(0, (f"{7:032x}", f"{8:032x}"), (f"{99:032x}",), run="a" * 12), tag="0a1b")
    with open_ledger(tmp_path / "ledger.db") as ledger:
        since = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        record(ledger, claim(ledger, since), ACCEPTED)
        ledger.runs.release(since, ME, NOW)
        assert restore_doubts(ledger, [Sent(request=lost)], TENANT, "beta", RUNTIME) == 1
        assert restore_doubts(ledger, [Sent(request=lost)], TENANT, "beta", RUNTIME) == 0
        found = [one for run in ledger.runs.all() for one in doubts_of(ledger, run)]
        assert [(one.sent_id, one.request.recipients) for one in found] == [(lost.id, lost.recipients)]
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
        assert restore_doubts(ledger, [Sent(request=sent)], TENANT, "beta", RUNTIME) == 0


def test_a_doubt_that_was_ripe_when_the_backup_was_made_begins_anew(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        run = write(ledger, [change(f"{7:032x}", f"{99:032x}")])
        record(ledger, claim(ledger, run), FAILED)
        ledger.runs.release(run, ME, NOW)
        (before,) = doubts_of(ledger, run)
        ledger.doubts.ripen([before.request])
        ledger.doubts.keep_time([before.request], NOW)
        assert (doubts_of(ledger, run)[0].ripe, doubts_of(ledger, run)[0].tenant_time) == (1, NOW)
        assert ledger.lost.doubt_claimed({Head(run=run.id, number=40, hash="1" * 64, sent=1): Standing()}, ME, NOW) == 0
        assert doubts_of(ledger, run) == (before,)


def doubts_of(ledger: Ledger, run: Run) -> tuple[Doubt, ...]:
    return ledger.requests.doubts(run)


def sent_in_doubt(ledger: Ledger) -> list[str]:
    """The ids that were sent with everything in doubt."""
    return [doubt.sent_id for run in ledger.runs.all() for doubt in doubts_of(ledger, run)]


def test_what_was_on_its_way_when_something_else_had_been_sent_is_newer_than_that(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    revoked = status_row(f"{7:032x}", f"{99:032x}", request_type="REVOKE_ACCESS")
    with open_ledger(path) as ledger:
        restore_doubts(ledger, LOST, TENANT, "beta", RUNTIME)
        lost = [Standing(doubtful={one.request.number: one for one in LOST})]
        with ImportReader(ledger, TENANT, "beta", QUIET, runtime(), beside_runs=True) as reader:
            reader.add(Page(rows=(revoked,), read=1, total=None, more=False))
            reader.flush()
        ledger.lost.put_last(TENANT, lost, ME, NOW)
        order = rows(path, "SELECT operation, state FROM changes WHERE state != 'SPLIT' ORDER BY request")
        assert order == [("GRANT", "UNCONFIRMED")] * 2 + [("REVOKE", "ACCEPTED"), ("GRANT", "UNCONFIRMED")]
        assert sorted(sent_in_doubt(ledger)) == [one.request.id for one in LOST], "by the ids that were sent"
        ledger.lost.put_last(TENANT, lost, ME, NOW)
        assert len(rows(path, "SELECT 1 FROM request")) == 5, "once is enough"
        assert ledger.verify() == ()


def test_nobody_can_say_that_a_request_has_not_arrived_whose_body_has(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        restore_doubts(ledger, [replace(LOST[0], body="0c1d", arrived=True)], TENANT, "beta", RUNTIME)
        (run,) = ledger.runs.all()
    settings = load({"ledger": str(path)}, config_file=tmp_path / "config.toml")
    with pytest.raises(UsageError, match="must not be sent again"):
        settle_by_hand(settings, run.id, runtime(), lambda *_: None, arrived=False)
    assert rows(path, "SELECT state FROM request") == [("UNCONFIRMED",)]
    assert settle_by_hand(settings, run.id, runtime(), lambda *_: None, arrived=True)[1] == 1
