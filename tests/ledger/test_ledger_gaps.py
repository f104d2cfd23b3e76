"""Requests that arrived although the ledger does not know it: what the tenant's list proves of the planned ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.ledger.gaps import Compared
from batch.ledger.machine_key import MachineKey
from batch.ledger.standing import Sent, Standing
from batch.model import Head
from batch.states import State
from tests.builders import NOW, our_row, product, request
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    THROTTLED,
    Place,
    a_process,
    alter,
    claim,
    open_ledger,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger
    from batch.model import Answer


def states(path: Place) -> dict[str, int]:
    """How many changes are in each state."""
    counts = rows(path, "SELECT state, count(*) FROM changes WHERE state != 'SPLIT' GROUP BY state")
    return dict(counts)


def test_one_row_with_the_id_of_a_planned_request_shows_that_all_of_it_has_arrived(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0", "r1", "r2"]))
    request_id = ledger.requests.ids(run)[1]
    compared = ledger.gaps.take(run.tenant, ME, [our_row(request_id, "i1", "r2")], NOW)
    assert (compared.arrived, compared.in_doubt) == (6, 0)
    assert states(path) == {"ACCEPTED": 6}
    assert ledger.verify() == ()


def test_a_row_with_an_unknown_id_of_the_run_shows_only_its_own_change(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0", "r1", "r2"]))
    compared = ledger.gaps.take(run.tenant, ME, [our_row(f"{run.id}-99-zzz", "i1", "r2")], NOW)
    assert compared.arrived == 1
    assert states(path) == {"ACCEPTED": 1, "PLANNED": 5}


def test_a_row_that_showed_an_arrival_is_known_when_it_is_read_again(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0", "r1", "r2"]))
    # Sent by a run that a ledger had, which was put back since.
    row = our_row("cccccccccccc-99-zzz", "i1", "r2", access_request="AR7")
    assert ledger.gaps.take(run.tenant, ME, [row], NOW).arrived == 1
    again = ledger.gaps.take(run.tenant, ME, [row], NOW)
    assert (again.arrived, again.unknown) == (0, ())
    another = our_row("cccccccccccc-100-zzz", "i1", "r2", access_request="AR8")
    assert ledger.gaps.take(run.tenant, ME, [another], NOW).unknown == (another,)
    assert rows(path, "SELECT tenant_state FROM changes WHERE state = 'ACCEPTED'") == [(row.state,)]
    assert ledger.verify() == ()


@pytest.mark.parametrize("answer", [FAILED, None])
def test_a_part_of_a_doubtful_request_that_the_ledger_has_lost_proves_its_own_changes_only(
    ledger: Ledger, path: Place, answer: Answer | None
) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0", "r1", "r2"]))
    request = claim(ledger, run)
    if answer is not None:
        record(ledger, request, answer)
    ledger.runs.release(run, ME, NOW)
    lost = our_row(f"{run.id}-99-zzz", "i1", "r2", access_request="AR7")
    assert ledger.gaps.take(run.tenant, ME, [lost], NOW).arrived == 1
    assert states(path) == {"ACCEPTED": 1, "UNCONFIRMED": 5}
    doubts = ledger.requests.doubts(run)
    assert sum(doubt.request.changes for doubt in doubts) == 5
    assert not any(doubt.arrived for doubt in doubts), "the body in doubt may still not have arrived"
    assert ledger.gaps.take(run.tenant, ME, [lost], NOW) == Compared(arrived=0, unknown=())
    assert ledger.verify() == ()


def test_what_was_requested_again_after_a_doubtful_request_that_is_listed_is_unknown(
    ledger: Ledger, path: Place
) -> None:
    run = write(ledger, *singles(1))
    request = claim(ledger, run)
    record(ledger, request, FAILED)
    ledger.runs.release(run, ME, NOW)
    ours = our_row(request.id, "i000", access_request="AR1")
    again = our_row("cccccccccccc-99-zzz", "i000", access_request="AR3")
    compared = ledger.gaps.take(run.tenant, ME, [ours, again], NOW)
    assert (compared.arrived, compared.unknown) == (0, (again,))
    assert states(path) == {"UNCONFIRMED": 1}
    assert ledger.verify() == ()


def test_what_has_arrived_in_a_lost_request_is_taken_from_the_doubt_about_another_attempt(
    ledger: Ledger, path: Place
) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0", "r1"]))
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    kept: list[Standing] = []
    ledger.requests.on_claimed = lambda _head, standing: kept.append(standing)
    dated = our_row(f"{run.id}-99-zzz", "i0", "r0", remove_date="2031-01-31T00:00:00Z")
    assert ledger.requests.take_lost(doubt.request, [dated], NOW, ME) == 0, "it is another change"
    row = our_row(f"{run.id}-99-zzz", "i1", "r1", access_request="AR7")
    assert ledger.requests.take_lost(doubt.request, [row], NOW, ME) == 1
    assert states(path) == {"ACCEPTED": 1, "UNCONFIRMED": 3}
    assert not any(doubt.arrived for doubt in ledger.requests.doubts(run)), "not with the body that is in doubt"
    assert ledger.gaps.take(run.tenant, ME, [row], NOW) == Compared(arrived=0, unknown=()), "its row is known"
    for doubt in ledger.requests.doubts(run):
        ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
    claim(ledger, run)
    assert len(kept[-1].doubtful) == 1, "what is kept beside the ledger follows"
    assert ledger.verify() == ()


def test_a_change_that_is_not_listed_itself_has_arrived_with_a_row_of_another_id(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i0", "i1"], ["r0"]))
    request = claim(ledger, run)
    record(ledger, request, FAILED)
    ledger.runs.release(run, ME, NOW)
    ours, other = our_row(request.id, "i0", "r0"), our_row("cccccccccccc-99-zzz", "i1", "r0", access_request="AR3")
    compared = ledger.gaps.take(run.tenant, ME, [ours, other], NOW)
    assert (compared.arrived, compared.unknown) == (1, ())
    assert states(path) == {"ACCEPTED": 1, "UNCONFIRMED": 1}


@pytest.mark.parametrize("name", ["the planned one", "one that the ledger has lost", "hidden"])
def test_what_arrived_of_a_run_that_another_process_holds_is_named_unless_that_process_has_sent_it(
    ledger: Ledger, path: Place, name: str
) -> None:
    run = write(ledger, *singles(2))
    claim(ledger, run, process=a_process())
    names = ledger.requests.ids(run)
    named = {"the planned one": names[2], "hidden": ""}.get(name, f"{run.id}-99-zzz")
    sent, planned = our_row(names[1], "i000"), our_row(named, "i001")
    assert ledger.gaps.take(run.tenant, ME, [sent], NOW).forgotten == ()
    compared = ledger.gaps.take(run.tenant, ME, [sent, planned], NOW)
    assert (compared.arrived, compared.left_alone, compared.forgotten) == (0, (run.id,), (run.id,))
    assert states(path) == {"SENDING": 1, "PLANNED": 1}
    # Once it counts as dead.
    alter(path, "DELETE FROM holder")
    later = ledger.gaps.take(run.tenant, ME, [sent, planned], NOW)
    assert (later.arrived, later.forgotten) == (1, ())


def test_only_an_answer_tells_that_the_ledger_knows_everything_that_was_sent_before(ledger: Ledger) -> None:
    """It may have been put back between the attempt that settling has found, and that it was found."""
    run = write(ledger, *singles(2))
    names = ledger.requests.ids(run)
    record(ledger, claim(ledger, run), ACCEPTED)
    record(ledger, claim(ledger, run), FAILED)
    (doubt,) = ledger.requests.doubts(run)
    ledger.requests.settle(doubt.request, arrived=True, now=NOW, process=ME)
    listed = [our_row(name) for name in names.values()]
    assert len(ledger.gaps.accepted(listed)) == 2
    assert {str(name) for name in ledger.gaps.answered(listed)} == {names[1]}


def test_a_machine_may_doubt_what_another_one_has_planned(ledger: Ledger, path: Place) -> None:
    with open_ledger(path, key=lambda: MachineKey(b"another machine's key...........")) as other:
        run = write(other, *singles(3))
    assert ledger.lost.doubt_claimed({Head(run=run.id, number=40, hash="1" * 64, sent=2): Standing()}, ME, NOW) == 2
    assert states(path) == {"UNCONFIRMED": 2, "PLANNED": 1}
    ledger.requests.check(run)
    assert ledger.verify() == ()


def test_what_is_known_of_lost_attempts_is_kept_with_the_doubts(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    names = ledger.requests.ids(run)
    mine = replace(request(1, run=run.id), tag=names[1].rpartition("-")[2])
    head = Head(run=run.id, number=40, hash="1" * 64, sent=2)
    # Another request had the number 2 before the ledger was put back.
    other = replace(request(2, run=run.id), tag="zzz")
    known = {1: Sent(request=mine, body="0a1b", arrived=True), 2: Sent(request=other, body="0a1b", arrived=True)}
    assert ledger.lost.doubt_claimed({head: Standing(doubtful=known)}, ME, NOW) == 2
    first, second = ledger.requests.doubts(run)
    assert (first.sent_id, first.body, first.arrived) == (names[1], "0a1b", True)
    assert (second.sent_id, second.body == "0a1b", second.arrived) == (names[2], False, False)
    ((_, standing),) = ledger.lost.newest([run.id]).items()
    kept = [(one.request.id, one.body, one.arrived) for one in standing.doubtful.values()]
    assert kept == [(one.sent_id, one.body, one.arrived) for one in (first, second)]
    assert ledger.lost.doubt_claimed({head: Standing(doubtful=known)}, ME, NOW) == 0
    assert ledger.verify() == ()


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_the_ledger_has_lost_was_sent_at_any_time_and_is_no_control(ledger: Ledger, *, is_lost: bool) -> None:
    run = write(ledger, *singles(3))
    record(ledger, claim(ledger, run), FAILED)
    if is_lost:
        assert ledger.lost.doubt_claimed({Head(run=run.id, number=40, hash="1" * 64, sent=2): Standing()}, ME, NOW) == 1
    (first, *rest) = ledger.requests.doubts(run)
    ledger.doubts.ripen([first.request])
    if not is_lost:
        record(ledger, claim(ledger, run), FAILED)
        (first, *rest) = ledger.requests.doubts(run)
    ledger.requests.settle(rest[0].request, arrived=True, now=NOW, process=ME)
    assert [one.request.number for one in ledger.doubts.witnesses([first])] == ([] if is_lost else [2])


def test_if_one_request_of_a_lost_body_has_arrived_so_have_the_others(ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    names = ledger.requests.ids(run)
    known = Standing(
        doubtful={
            number: Sent(request=replace(request(number, run=run.id), tag=name.rpartition("-")[2]), body="0c1d")
            for number, name in names.items()
        }
    )
    assert ledger.lost.doubt_claimed({Head(run=run.id, number=40, hash="1" * 64, sent=2): known}, ME, NOW) == 2
    first, second = ledger.requests.doubts(run)
    assert first.body == second.body
    ledger.runs.hold(run, ME, NOW)
    ledger.requests.settle(first.request, arrived=True, now=NOW, process=ME)
    assert [doubt.arrived for doubt in ledger.requests.doubts(run)] == [True]


def test_what_had_a_body_of_its_own_in_the_end_proves_nothing_of_those_that_shared_its_body_before(
    ledger: Ledger,
) -> None:
    run = write(ledger, *singles(4), together=[(0, 1, 2, 3)])
    names = ledger.requests.ids(run)
    head = Head(run=run.id, number=40, hash="1" * 64, sent=4)
    sent = Sent(request=replace(request(1, run=run.id), tag=names[1].rpartition("-")[2]), body="0c1d")
    assert ledger.lost.doubt_claimed({head: Standing(doubtful={1: sent}, alone={1, 2})}, ME, NOW) == 4
    ledger.runs.hold(run, ME, NOW)
    for number in (1, 2):
        (one,) = (doubt for doubt in ledger.requests.doubts(run) if doubt.request.number == number)
        ledger.requests.settle(one.request, arrived=True, now=NOW, process=ME)
    assert [doubt.arrived for doubt in ledger.requests.doubts(run)] == [False, False]
    (three, four) = ledger.requests.doubts(run)
    assert three.body == four.body
    assert ledger.verify() == ()


def test_planned_requests_that_may_have_shared_the_body_become_unconfirmed(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(8), together=[(1, 2, 3), (4, 5)])
    # Numbers begin with 1: request 3 shares a body with 2 and 4.
    compared = ledger.gaps.take(run.tenant, ME, [our_row(ledger.requests.ids(run)[3], "i002")], NOW)
    assert (compared.arrived, compared.in_doubt) == (1, 2)
    assert states(path) == {"ACCEPTED": 1, "UNCONFIRMED": 2, "PLANNED": 5}
    doubts = ledger.requests.doubts(run)
    assert [doubt.request.number for doubt in doubts] == [2, 4]
    assert doubts[0].body != doubts[1].body, "they may have been sent alone"
    assert ledger.verify() == ()


def test_planned_requests_that_were_claimed_after_the_backup_become_unconfirmed(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(8))
    head = Head(run=run.id, number=40, hash="1" * 64, sent=5)
    assert ledger.lost.doubt_claimed({head: Standing()}, ME, NOW) == 5
    assert states(path) == {"UNCONFIRMED": 5, "PLANNED": 3}
    assert [doubt.request.number for doubt in ledger.requests.doubts(run)] == [1, 2, 3, 4, 5]
    assert ledger.verify() == ()


def test_a_head_tells_up_to_which_request_its_run_was_claimed(ledger: Ledger) -> None:
    run = write(ledger, *singles(3))
    heads: list[Head] = []
    ledger.requests.on_claimed = lambda head, _doubtful: heads.append(head)
    for _ in range(2):
        record(ledger, claim(ledger, run), THROTTLED)
    ledger.runs.hold(run, ME, NOW)
    ledger.requests.claim(run, NOW, ME, most=2)
    assert [head.sent for head in heads] == [1, 1, 2]


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_arrived_by_another_address_of_the_tenant_is_not_recorded_for_both(
    ledger: Ledger, path: Place, *, is_lost: bool
) -> None:
    other = "https://other.example"
    pairs = product(["i0", "i1"], ["r0", "r1"])
    # The ledger was put back since: it knows neither a token of the other address, nor that something was sent.
    theirs, mine = write(ledger, pairs, tenant=other), write(ledger, pairs)
    ledger.tenants.bind(mine.tenant, ["4711"], ME, NOW)
    row = our_row(f"{theirs.id}-99-zzz" if is_lost else ledger.requests.ids(theirs)[1], "i1", "r1")
    assert ledger.gaps.take(mine.tenant, ME, [row], NOW).other == other
    arrived = 1 if is_lost else 4
    assert ledger.runs.tally(mine).changes == {State.PLANNED: 4}
    assert ledger.runs.tally(theirs).changes.get(State.ACCEPTED) == arrived
    ledger.tenants.bind(other, ["4711"], ME, NOW)
    assert ledger.gaps.take(mine.tenant, ME, [row], NOW).arrived == 0
    assert states(path) == ({"ACCEPTED": 1, "PLANNED": 3} if is_lost else {"ACCEPTED": 4})
    assert ledger.verify() == ()


def test_a_lost_claim_of_a_run_tells_that_its_address_may_be_another_of_the_tenant(ledger: Ledger, path: Place) -> None:
    other, pairs = "https://other.example", product(["i0", "i1"], ["r0", "r1"])
    theirs, mine = write(ledger, pairs, tenant=other), write(ledger, pairs)
    ledger.tenants.bind(mine.tenant, ["4711"], ME, NOW)
    head = Head(run=theirs.id, number=40, hash="1" * 64, sent=1)
    assert ledger.gaps.other_tenant(mine.tenant, [head]) == other
    assert ledger.lost.doubt_claimed({head: Standing()}, ME, NOW) == 1
    ledger.tenants.bind(other, ["4711"], ME, NOW)
    assert ledger.gaps.other_tenant(mine.tenant, [head]) == ""
    assert states(path) == {"UNCONFIRMED": 4}, "neither run sends what may have been sent"
    assert ledger.verify() == ()


def test_a_ledger_that_has_no_answer_yet_is_compared_since_it_was_made(ledger: Ledger) -> None:
    """It may have been put back to before its first answer: then this run is not its first."""
    later = NOW + timedelta(hours=2)
    assert ledger.gaps.age("https://tenant.example").since is None
    run = write(ledger, *singles(2), now=later)
    assert ledger.gaps.age(run.tenant).since == NOW
    record(ledger, claim(ledger, run, later), THROTTLED, now=later)
    assert ledger.gaps.age(run.tenant).since == later


def test_what_is_in_doubt_for_a_lost_attempt_may_have_been_sent_at_another_address_too(ledger: Ledger) -> None:
    other, pairs = "https://other.example", product(["i0", "i1"], ["r0", "r1"])
    mine, theirs = write(ledger, pairs), write(ledger, pairs, tenant=other)
    record(ledger, claim(ledger, theirs), ACCEPTED)
    ledger.runs.release(theirs, ME, NOW)
    head = Head(run=mine.id, number=40, hash="1" * 64, sent=1)
    assert ledger.lost.doubt_claimed({head: Standing()}, ME, NOW) == 1
    for url in (mine.tenant, other):
        ledger.tenants.bind(url, ["4711"], ME, NOW)
    assert ledger.verify() == (), "whoever sent it did not know of the lost attempt"
