"""What the ledger knows of requests in doubt: from when on, until when, and which accepted requests are witnesses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.commands.heads import Heads
from batch.errors import LedgerChangedError, LedgerLostError
from batch.ledger.doubts import NEVER
from batch.ledger.machine_key import SECRET_LENGTH, MachineKey
from batch.ledger.process import SILENT_FOR
from batch.model import Answer, Existing, Part
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    TENANT,
    Place,
    a_process,
    alter,
    change_status,
    claim,
    claim_if_any,
    open_ledger,
    raw,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.model import Doubt, Run

LATER = NOW + SILENT_FOR
FENCE = NOW + timedelta(minutes=12)
OTHER = MachineKey(b"o" * SECRET_LENGTH)


def doubts_of(path: Place) -> list[Any]:
    return rows(path, "SELECT request, tenant_time, fence, ripe FROM doubt ORDER BY request")


def in_doubt(ledger: Ledger, run: Run) -> tuple[Doubt, ...]:
    """The doubts about all requests of a run, whose answers were lost."""
    while (request := claim_if_any(ledger, run)) is not None:
        record(ledger, request, FAILED)
    return ledger.requests.doubts(run)


def test_a_doubt_begins_and_ends_with_the_state(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    ledger.runs.hold(run, ME, NOW)
    first, second = in_doubt(ledger, run)
    assert doubts_of(path) == [(1, None, None, None), (2, None, None, None)]
    ledger.requests.settle(first.request, arrived=False, now=NOW, process=ME)
    assert doubts_of(path) == [(2, None, None, None)]
    ledger.runs.settle_by_hand(run, arrived=True, now=NOW)
    assert doubts_of(path) == []
    assert second.request.number == 2
    assert ledger.verify() == ()


def test_facts_about_a_doubt_are_kept_and_its_first_time_stays(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    ledger.runs.hold(run, ME, NOW)
    (doubt,) = in_doubt(ledger, run)
    ledger.doubts.keep_time([doubt.request], NOW)
    ledger.doubts.keep_time([doubt.request], LATER)
    assert ledger.doubts.ripen([doubt.request]) == 1
    (again,) = ledger.requests.doubts(run)
    assert (again.tenant_time, again.ripe, again.claimed) == (NOW, 1, 1)


def test_the_tenants_clock_before_the_attempt_is_that_of_the_last_answer_before_it(ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    ledger.runs.hold(run, ME, NOW)
    record(ledger, claim(ledger, run), Answer(status=202, server_time=LATER))
    (doubt,) = in_doubt(ledger, run)
    assert doubt.tenant_before == LATER


def gone() -> Process:
    """A process of this machine that has ended."""
    return type(ME)(host=ME.host, machine=ME.machine, pid=ME.pid, started=ME.started + 1000)


def held_by(ledger: Ledger, holder: Process, expires: datetime | None) -> Run:
    """A run whose holder has claimed its request and was not heard of again."""
    run = write(ledger, [change("i1", "r1")])
    ledger.runs.hold(run, holder, NOW)
    ledger.requests.claim(run, NOW, holder, token_expires=expires)
    return run


@pytest.mark.sqlite_only
def test_a_process_of_another_machine_is_only_silent_and_fenced_by_its_token(ledger: Ledger) -> None:
    expires = NOW + timedelta(minutes=12)
    run = held_by(ledger, a_process(), expires)
    assert ledger.runs.hold(run, ME, LATER) == 1
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [expires]


@pytest.mark.sqlite_only
def test_a_token_of_which_nothing_is_known_never_expires(ledger: Ledger) -> None:
    run = held_by(ledger, a_process(), None)
    ledger.runs.hold(run, ME, LATER)
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [NEVER]


@pytest.mark.sqlite_only
def test_a_process_of_this_machine_that_is_gone_needs_no_fence(ledger: Ledger) -> None:
    run = held_by(ledger, gone(), NOW)
    assert ledger.runs.hold(run, ME, NOW) == 1
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [None]


@pytest.mark.parametrize("edit", ["UPDATE holder SET pid = 999999", "DELETE FROM holder"])
@pytest.mark.sqlite_only
def test_the_table_of_holders_alone_does_not_say_that_a_process_of_this_machine_sends_no_more(
    ledger: Ledger, path: Place, edit: str
) -> None:
    frozen, another = ME, gone()
    run = held_by(ledger, frozen, FENCE)
    alter(path, edit)
    assert ledger.runs.hold(run, another, NOW) == 1
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [FENCE]
    with open_ledger(path) as again:
        assert [doubt.fence for doubt in again.requests.doubts(run)] == [FENCE]


@pytest.mark.sqlite_only
def test_who_takes_a_run_over_says_at_once_that_the_process_before_is_gone(ledger: Ledger) -> None:
    run = held_by(ledger, gone(), FENCE)
    for successor in (replace(gone(), pid=999_999), ME):
        ledger.runs.hold(run, successor, NOW)
        assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [None]


def test_a_process_that_gives_a_run_back_says_that_it_sends_nothing_more(ledger: Ledger) -> None:
    run = held_by(ledger, ME, FENCE)
    ledger.runs.release(run, ME, NOW)
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [None]
    assert ledger.runs.hold(run, gone(), NOW) == 0
    assert ledger.verify() == ()


@pytest.mark.sqlite_only
def test_an_attempt_of_another_machines_key_is_fenced_even_if_it_names_a_dead_process_of_this_machine(
    ledger: Ledger, path: Place
) -> None:
    with open_ledger(path, key=lambda: OTHER) as elsewhere:
        run = held_by(elsewhere, gone(), FENCE)
    ledger.runs.hold(run, ME, NOW)
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [FENCE]


@pytest.mark.parametrize(("expires", "fence"), [(FENCE, FENCE), (None, None)])
@pytest.mark.sqlite_only
def test_an_attempt_of_an_older_version_is_fenced_if_its_token_is_known(
    ledger: Ledger, path: Place, expires: datetime | None, fence: datetime | None
) -> None:
    run = held_by(ledger, gone(), expires)
    for number, text in rows(path, "SELECT number, detail FROM event"):
        detail = json.dumps({name: value for name, value in json.loads(text).items() if name != "process"})
        alter(path, f"UPDATE event SET detail = '{detail}' WHERE number = {number}")  # noqa: S608 - an attack
    ledger.runs.hold(run, ME, NOW)
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [fence]


def waited_out(ledger: Ledger, holder: Process = ME, *, now: datetime = NOW) -> Run:
    """A run whose request was left by its process, and could arrive no more by what this machine has measured."""
    run = held_by(ledger, holder, NOW + timedelta(minutes=12))
    ledger.runs.hold(run, ME, now)
    requests = [doubt.request for doubt in ledger.requests.doubts(run)]
    ledger.doubts.keep_time(requests, NOW)
    ledger.doubts.ripen(requests)
    return run


def facts(ledger: Ledger, run: Run) -> tuple[datetime | None, datetime | None, int | None]:
    (doubt,) = ledger.requests.doubts(run)
    return doubt.tenant_time, doubt.fence, doubt.ripe


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE doubt SET tenant_time = '2020-01-01T00:00:00+00:00'",
        "UPDATE doubt SET fence = NULL",
        "UPDATE doubt SET fence = '2020-01-01T00:00:00+00:00'",
        "UPDATE doubt SET ripe = 0",
        "UPDATE doubt SET mac = NULL",
        "UPDATE doubt SET mac = '\u00fc'",
        "DELETE FROM doubt",
    ],
)
@pytest.mark.sqlite_only
def test_a_doubt_that_somebody_has_changed_waits_anew_and_keeps_its_fence(
    ledger: Ledger, path: Place, edit: str
) -> None:
    run = waited_out(ledger, a_process(), now=LATER)
    assert facts(ledger, run) == (NOW, FENCE, 1)
    alter(path, edit)
    assert facts(ledger, run) == (None, FENCE, None)
    requests = [doubt.request for doubt in ledger.requests.doubts(run)]
    ledger.doubts.ripen(requests)
    ledger.doubts.keep_time(requests, LATER)
    assert facts(ledger, run) == (LATER, FENCE, 1)
    assert ledger.verify() == ()


@pytest.mark.sqlite_only
def test_what_was_known_of_an_earlier_attempt_says_nothing_of_the_next(ledger: Ledger, path: Place) -> None:
    run = waited_out(ledger, gone())
    kept = rows(path, "SELECT * FROM doubt")
    ledger.requests.settle(ledger.requests.doubts(run)[0].request, arrived=False, now=NOW, process=ME)
    record(ledger, claim(ledger, run), FAILED)
    with raw(path) as execute:
        execute("DELETE FROM doubt")
        execute("INSERT INTO doubt VALUES (?, ?, ?, ?, ?)", *kept[0])
    assert facts(ledger, run) == (None, None, None)


@pytest.mark.sqlite_only
def test_another_machine_measures_anew_and_believes_a_machine_that_its_own_process_is_gone(
    ledger: Ledger, path: Place
) -> None:
    run = waited_out(ledger, gone())
    assert facts(ledger, run) == (NOW, None, 1)
    with open_ledger(path, key=lambda: OTHER) as elsewhere:
        assert facts(elsewhere, run) == (None, None, None)
        elsewhere.doubts.keep_time([doubt.request for doubt in elsewhere.requests.doubts(run)], LATER)
        assert facts(elsewhere, run) == (LATER, None, None)
    assert facts(ledger, run) == (None, None, None)


@pytest.mark.sqlite_only
def test_what_a_third_machine_says_of_an_attempt_lifts_no_fence(ledger: Ledger, path: Place) -> None:
    run = held_by(ledger, gone(), FENCE)
    with open_ledger(path, key=lambda: OTHER) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        assert facts(elsewhere, run) == (None, FENCE, None)
    assert facts(ledger, run) == (None, FENCE, None)


def test_the_rest_of_a_divided_doubt_inherits_its_facts_and_is_never_planned(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["a", "b"], ["r1"]))
    ledger.runs.hold(run, ME, NOW)
    (doubt,) = in_doubt(ledger, run)
    ledger.doubts.keep_time([doubt.request], NOW)
    parts = (Part(recipients=(0,), items=(0,), arrived=True, held=True), Part(recipients=(1,), items=(0,)))
    ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME, parts=parts)
    (rest,) = ledger.requests.doubts(run)
    assert (rest.tenant_time, rest.sent_id, rest.claimed) == (NOW, doubt.request.id, 1)
    assert (rest.first_attempt, rest.arrived) == (doubt.first_attempt, True)
    assert ledger.requests.left(run) == 0
    # The part that is held is accepted, and the tenant created nothing for it.
    (state,) = rows(path, "SELECT finding.state FROM track JOIN finding ON finding.id = track.finding")
    assert state == ("EXISTING_REQUEST",)
    assert ledger.verify() == ()


def test_verify_finds_a_doubt_without_a_request_in_doubt(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    ledger.runs.hold(run, ME, NOW)
    in_doubt(ledger, run)
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM doubt WHERE request = 1")
    assert doubts_of(path) == [(2, None, None, None)]
    assert any("request 1" in finding for finding in ledger.verify())


def test_witnesses_are_accepted_requests_of_any_run_of_the_tenant_in_the_order_of_their_claims(ledger: Ledger) -> None:
    run, other = write(ledger, *singles(3)), write(ledger, *singles(2, prefix="o"), digest="other")
    for one in (run, other):
        ledger.runs.hold(one, ME, NOW)
    first, doubtful, _ = (claim(ledger, run) for _ in range(3))
    record(ledger, first, ACCEPTED)
    record(ledger, doubtful, FAILED)
    (doubt,) = ledger.requests.doubts(run)
    assert [one.request.number for one in ledger.doubts.witnesses([doubt])] == [first.number]
    ledger.doubts.ripen([doubt.request])
    later = claim(ledger, other)
    record(ledger, later, Answer(status=202, server_time=LATER))
    (ripe,) = ledger.requests.doubts(run)
    (control,) = ledger.doubts.witnesses([ripe])
    assert (control.sent, control.claimed, control.accepted_at) == (later.id, 4, LATER)
    assert (control.held, ripe.ripe) == (frozenset(), 3)


def test_the_newest_accepted_request_is_a_witness_however_many_come_before_it(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    ledger.doubts.ripen([doubt.request])
    other = write(ledger, *singles(9, prefix="o"), digest="other")
    later = [claim(ledger, other) for _ in range(9)]
    for one in later:
        record(ledger, one, ACCEPTED)
    (ripe,) = ledger.requests.doubts(run)
    found = [one.request.number for one in ledger.doubts.witnesses([ripe])]
    assert found == [one.number for one in (*later[:3], later[-1])]


def test_a_request_for_which_the_tenant_created_nothing_is_no_witness(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    ledger.doubts.ripen([doubt.request])
    other = write(ledger, *singles(6, prefix="o"), digest="other")
    later = [claim(ledger, other) for _ in range(6)]
    for one in later[:-1]:
        (person,) = one.recipients
        said = Existing(identity=person, item_type="ROLE", item=one.items[0].id)
        record(ledger, one, Answer(status=202, existing=(said,)))
    record(ledger, later[-1], ACCEPTED)
    (ripe,) = ledger.requests.doubts(run)
    assert [one.request.number for one in ledger.doubts.witnesses([ripe])] == [later[-1].number]


def test_what_was_sent_before_a_doubt_is_no_control_whatever_the_ledger_counts(ledger: Ledger, path: Place) -> None:
    other, run = write(ledger, *singles(2, prefix="o"), digest="other"), write(ledger, *singles(2))
    earlier = [claim(ledger, other), claim(ledger, other)]
    for request in earlier:
        record(ledger, request, ACCEPTED)
    doubtful, last = claim(ledger, run), claim(ledger, run)
    record(ledger, doubtful, FAILED)
    record(ledger, last, ACCEPTED)
    (doubt,) = ledger.requests.doubts(run)
    alter(path, "UPDATE request SET claimed = NULL", "UPDATE about SET claims = 0")
    assert ledger.doubts.ripen([doubt.request]) == 4
    alter(path, "UPDATE request SET claimed = 1000 + number WHERE state = 'ACCEPTED'", "UPDATE about SET claims = 2000")
    (doubt,) = ledger.requests.doubts(run)
    assert (doubt.claimed, doubt.ripe) == (3, 4)
    found = ledger.doubts.witnesses([doubt])
    assert {one.request.number: one.claimed for one in found} == {last.number: 4}
    alter(path, "UPDATE request SET claimed = 4 WHERE state = 'UNCONFIRMED'")
    assert not ledger.requests.doubts(run)[0].arrived, "it shares its body with no other request"


def test_events_that_are_taken_away_while_a_doubt_waits_end_the_waiting(ledger: Ledger, path: Place) -> None:
    other, run = write(ledger, *singles(2, prefix="o"), digest="other"), write(ledger, *singles(1))
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    record(ledger, claim(ledger, other), ACCEPTED)
    assert len(ledger.doubts.witnesses([doubt])) == 1
    alter(path, "DELETE FROM event WHERE run = 1 AND event <> 'planned'")
    with pytest.raises(LedgerLostError, match="has lost events that this process has read"):
        ledger.doubts.ripen([doubt.request])


@pytest.mark.parametrize(
    "attack",
    [
        """UPDATE event SET detail = replace(detail, '"claim": ', '"claim": 9') WHERE run = 1 AND event = 'claimed'""",
        "DELETE FROM event WHERE run = 1 AND event = 'claimed'",
        "UPDATE tenant SET name = 'https://other.example'",
    ],
)
def test_a_doubt_is_not_judged_by_events_that_somebody_has_changed(ledger: Ledger, path: Place, attack: str) -> None:
    other, run = write(ledger, *singles(1, prefix="o"), digest="other"), write(ledger, *singles(1))
    record(ledger, claim(ledger, other), ACCEPTED)
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    alter(path, attack)
    with pytest.raises(LedgerChangedError):
        ledger.doubts.ripen([doubt.request])
    with pytest.raises(LedgerChangedError):
        ledger.doubts.witnesses([doubt])


@pytest.mark.parametrize(
    "attack",
    [
        ["UPDATE identity SET external_id = 'x' WHERE external_id = 'o000'"],
        ["UPDATE identity SET external_id = 'x' WHERE external_id = 'o000'", "UPDATE request SET seal = 'x'"],
        ["UPDATE finding SET state = 'EXISTING'"],
    ],
)
def test_a_doubt_is_not_judged_by_requests_that_somebody_has_changed(
    ledger: Ledger, path: Place, attack: list[str]
) -> None:
    other, run = write(ledger, *singles(1, prefix="o"), digest="other"), write(ledger, *singles(1))
    record(ledger, claim(ledger, other), ACCEPTED)
    ledger.tracks.write(other, [change_status(1, "o000", "EXECUTING")], NOW)
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    assert len(ledger.doubts.witnesses([doubt])) == 1
    alter(path, *attack)
    with pytest.raises(LedgerChangedError):
        ledger.doubts.witnesses([doubt])


def test_a_request_that_was_looked_for_under_another_name_is_not_sent_again(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), FAILED)
    ledger.requests.check(run)
    alter(path, "UPDATE identity SET external_id = 'x'")
    (doubt,) = ledger.requests.doubts(run)
    alter(path, "UPDATE identity SET external_id = 'i000'")
    with pytest.raises(LedgerChangedError, match="request 1 was changed"):
        ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
    (doubt,) = ledger.requests.doubts(run)
    ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)


def test_a_claim_that_only_another_machine_has_signed_is_no_control(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    ledger.doubts.ripen([doubt.request])
    with open_ledger(path, key=lambda: OTHER) as elsewhere:
        theirs = write(elsewhere, *singles(1, prefix="o"), digest="other")
        record(elsewhere, claim(elsewhere, theirs), ACCEPTED)
    ours = write(ledger, *singles(1, prefix="p"), digest="ours")
    record(ledger, claim(ledger, ours), ACCEPTED)
    (ripe,) = ledger.requests.doubts(run)
    found = ledger.doubts.witnesses([ripe])
    assert [(one.claimed, one.proves) for one in found] == [(2, False), (3, True)]


def test_the_delay_of_the_list_does_not_end_with_a_change_of_the_ledger(path: Place, tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path / "state" / "heads")
    with open_ledger(path, memory=heads) as ledger:
        run = write(ledger, *singles(1))
        # Nor does one hide it that was longer for a while.
        alter(path, "UPDATE tenant SET listing_delay = 99")
        ledger.doubts.keep_listing_delay(run.id, 9.0, NOW)
    alter(path, "UPDATE tenant SET listing_delay = 0, listing_delay_at = NULL")
    with open_ledger(path, memory=heads) as ledger:
        assert ledger.doubts.listing_delay(run.id, NOW + timedelta(days=7)) == 4.5
        assert ledger.doubts.listing_delay_at(TENANT, NOW) == 9.0


def test_the_delay_of_the_list_that_counts_most_is_remembered_and_counts_half_after_each_week(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    week = timedelta(days=7)
    delay = ledger.doubts.listing_delay
    assert delay(run.id, NOW) == 0
    for seconds in (3.0, 9.0, 5.0):
        ledger.doubts.keep_listing_delay(run.id, seconds, NOW)
    assert delay(run.id, NOW) == ledger.doubts.listing_delay_at(TENANT, NOW) == 9.0
    assert delay(run.id, NOW - week) == 9.0, "a clock that was set back makes nothing shorter or longer"
    assert delay(run.id, NOW + week) == ledger.doubts.listing_delay_at(TENANT, NOW + week) == 4.5
    ledger.doubts.keep_listing_delay(run.id, 4.0, NOW + week)
    assert delay(run.id, NOW + week) == 4.5
    ledger.doubts.keep_listing_delay(run.id, 5.0, NOW + week)
    assert (delay(run.id, NOW + week), delay(run.id, NOW + 2 * week)) == (5.0, 2.5)
