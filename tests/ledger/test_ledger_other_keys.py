"""Somebody who can write to the ledger adds events, signed with a key of their own. Nothing is sent again by that."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.answers.poison import Failed
from batch.errors import ForeignPlanError, LedgerChangedError, StoppedError
from batch.ledger import tables
from batch.ledger.decisions import Decisions
from batch.ledger.events import chained_hash, signed_text
from batch.ledger.machine_key import MachineKey
from batch.ledger.take_over import TakenOver
from batch.model import Head, Part
from batch.names.meaning import NameMeaning, NameOutcome
from batch.states import State
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    REFUSED,
    THROTTLED,
    Place,
    a_process,
    alter,
    change_status,
    claim,
    claim_if_any,
    new_run,
    newest,
    open_ledger,
    plan_of,
    raw,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.ledger.store import Ledger
    from batch.model import Run

THIEF = MachineKey(b"another machine's key...........")


def add(
    path: Place, run: Run, event: str, request: int | None = None, *, signed: bool = True, **detail: object
) -> None:
    """Add an event to a run as anybody can who may write to the ledger, signed with a key of their own."""
    with raw(path) as execute:
        execute("INSERT INTO signer (public, since) VALUES (?, '2026') ON CONFLICT DO NOTHING", THIEF.public)
        ((signer,),) = execute("SELECT id FROM signer WHERE public = ?", THIEF.public)
        ((ledger,),) = execute("SELECT ledger FROM about")
        newest = "SELECT run, number, hash FROM event WHERE run = (SELECT number FROM run WHERE id = ?) ORDER BY 2 DESC"
        number, last, before = execute(newest, run.id)[0]
        mine = "SELECT place, signature FROM event WHERE signer = ? ORDER BY place DESC"
        place, signature = next(iter(execute(mine, signer)), (0, ""))
        columns = {
            "run": number,
            "number": last + 1,
            "at": NOW.isoformat(),
            "request": request,
            "event": event,
            "attempt": None,
            "status": None,
            "detail": json.dumps(detail),
        }
        hashed = chained_hash(before, run.id, columns)
        head = Head(run=run.id, number=last + 1, hash=hashed)
        proof = [signer, place + 1, THIEF.sign(signed_text(ledger, place + 1, signature, head))]
        values = [*columns.values(), hashed, *(proof if signed else [None] * 3)]
        execute(f"INSERT INTO event VALUES ({', '.join('?' * len(values))})", *values)  # noqa: S608 - an attack


def in_doubt(ledger: Ledger) -> Run:
    """A run with a request that may have arrived, and one that is planned."""
    run = write(ledger, *singles(2))
    record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    return run


def settled_by_a_thief(ledger: Ledger, path: Place) -> Run:
    run = in_doubt(ledger)
    add(path, run, "not_found", 1)
    alter(path, "UPDATE request SET state = 'PLANNED' WHERE number = 1", "DELETE FROM doubt")
    return run


def states(path: Place) -> dict[int, str]:
    return dict(rows(path, "SELECT number, state FROM request ORDER BY number"))


def doubt_again(ledger: Ledger, run: Run, numbers: Mapping[int, tuple[str, ...]]) -> int:
    return ledger.plans.mistrust(run, numbers, ME, NOW)[0]


def test_what_only_another_machine_has_settled_is_not_sent(ledger: Ledger, path: Place) -> None:
    run = settled_by_a_thief(ledger, path)
    ledger.runs.hold(run, ME, NOW)
    with pytest.raises(StoppedError, match="Another machine, with the key"):
        ledger.requests.claim(run, NOW, ME)


def test_it_is_not_sent_either_if_that_happens_after_this_process_has_begun(ledger: Ledger, path: Place) -> None:
    run = in_doubt(ledger)
    ledger.requests.check(run)
    ledger.runs.hold(run, ME, NOW)
    (body,) = ledger.requests.claim(run, NOW, ME)
    record(ledger, body.requests[0], FAILED)
    add(path, run, "not_found", 2)
    alter(path, "UPDATE request SET state = 'PLANNED' WHERE number = 2", "DELETE FROM doubt WHERE request = 2")
    with pytest.raises(StoppedError, match="may have arrived"):
        ledger.requests.claim(run, NOW, ME)


def test_what_only_another_machine_has_settled_is_in_doubt_again_until_this_one_settles_it(
    ledger: Ledger, path: Place
) -> None:
    run = settled_by_a_thief(ledger, path)
    assert set(ledger.requests.check(run).mistrusted) == {1}
    assert doubt_again(ledger, run, {1: ("a",), 2: ("b",)}) == 1
    assert states(path) == {1: "UNCONFIRMED", 2: "PLANNED"}
    (doubt,) = ledger.requests.doubts(run)
    assert doubt.request.number == 1
    ledger.runs.hold(run, ME, NOW)
    ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
    assert doubt_again(ledger, run, {1: ("a",)}) == 0
    assert [claim(ledger, run).number, claim(ledger, run).number] == [1, 2]
    assert ledger.verify() == ()


@pytest.mark.parametrize("events", [["refused"], ["discarded"], ["taken_over"]])
def test_nothing_that_follows_makes_another_machines_word_good(ledger: Ledger, path: Place, events: list[str]) -> None:
    run = settled_by_a_thief(ledger, path)
    leads_to = {"refused": "REFUSED", "discarded": "DISCARDED", "taken_over": "SPLIT"}
    for event in events:
        add(path, run, event, 1, by=[])
        alter(path, f"UPDATE request SET state = '{leads_to[event]}' WHERE number = 1")  # noqa: S608 - an attack
    assert doubt_again(ledger, run, {1: ("a",)}) == 1
    assert states(path)[1] == "UNCONFIRMED"
    assert ledger.verify() == ()


def test_another_machine_may_go_on_with_what_died_here_and_this_one_asks_the_tenant_itself(
    ledger: Ledger, path: Place
) -> None:
    run = in_doubt(ledger)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        (doubt,) = elsewhere.requests.doubts(run)
        elsewhere.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
        assert elsewhere.requests.check(run).mistrusted == {}, "its own word"
        elsewhere.plans.drop(run, elsewhere.requests.check(run).others, ME, NOW)
        assert elsewhere.requests.check(run).mistrusted == {}
        elsewhere.runs.release(run, ME, NOW)
    assert set(ledger.requests.check(run).mistrusted) == {1}
    assert doubt_again(ledger, run, {1: ("a",), 2: ("b",)}) == 1
    assert states(path) == {1: "UNCONFIRMED", 2: "SPLIT"}
    assert ledger.verify() == ()


def test_a_machine_is_believed_that_its_own_attempt_did_not_arrive(ledger: Ledger, path: Place) -> None:
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        run = write(elsewhere, *singles(1))
        record(elsewhere, claim(elsewhere, run), REFUSED)
    assert ledger.requests.check(run).mistrusted == {}


def test_a_part_of_what_another_machine_has_settled_is_doubted_in_place_of_the_whole(
    ledger: Ledger, path: Place
) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1"]))
    record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        (doubt,) = elsewhere.requests.doubts(run)
        parts = [Part(recipients=(0,), items=(0,), arrived=True), Part(recipients=(1,), items=(0,))]
        elsewhere.requests.settle(doubt.request, arrived=False, now=NOW, process=ME, parts=parts)
        (rest,) = elsewhere.requests.doubts(run)
        elsewhere.requests.settle(rest.request, arrived=False, now=NOW, process=ME)
        elsewhere.runs.release(run, ME, NOW)
    assert states(path) == {1: "SPLIT", 2: "ACCEPTED", 3: "PLANNED"}
    assert doubt_again(ledger, run, {1: ("i2",), 3: ("i2",)}) == 1
    assert states(path) == {1: "SPLIT", 2: "ACCEPTED", 3: "UNCONFIRMED"}
    assert ledger.verify() == ()


def test_a_request_whose_parts_leave_something_out_is_doubted_itself(ledger: Ledger, path: Place) -> None:
    run = in_doubt(ledger)
    add(path, run, "taken_over", 1, by=[])
    alter(path, "UPDATE request SET state = 'SPLIT' WHERE number = 1", "DELETE FROM doubt")
    assert doubt_again(ledger, run, {1: ("a",)}) == 1
    assert states(path)[1] == "UNCONFIRMED"


def taken_over_elsewhere(ledger: Ledger, path: Place) -> Run:
    """A run whose request may have arrived; another machine says no, and has planned its two changes in another run."""
    run = write(ledger, product(["i1", "i2"], ["r1"]))
    record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        (doubt,) = elsewhere.requests.doubts(run)
        elsewhere.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
        elsewhere.runs.release(run, ME, NOW)
        plan, taken = plan_of(product(["i1", "i2"], ["r1"])), TakenOver(requests=(1,), process=ME)
        elsewhere.plans.write(new_run("other"), plan, upto=newest(elsewhere), now=NOW, taken=taken)
    assert states(path) == {1: "SPLIT", 2: "PLANNED"}
    return run


def test_what_was_planned_since_for_a_request_that_is_in_doubt_again_is_taken_away(ledger: Ledger, path: Place) -> None:
    run = taken_over_elsewhere(ledger, path)
    changes = {1: [("i1", "ROLE", "r1", ""), ("i2", "ROLE", "r1", "")]}
    assert ledger.plans.mistrust(run, changes, ME, NOW, planned=[2])[0] == 1
    assert states(path) == {1: "UNCONFIRMED", 2: "SPLIT"}
    assert ledger.verify() == ()


def test_what_is_in_doubt_again_itself_is_not_taken_away_as_planned(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *(product([item], ["r1"]) for item in ("i1", "i2")))
    for _ in range(2):
        record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        for doubt in elsewhere.requests.doubts(run):
            elsewhere.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
        elsewhere.runs.release(run, ME, NOW)
        plan, taken = plan_of(product(["i1"], ["r1"])), TakenOver(requests=(1,), process=ME)
        elsewhere.plans.write(new_run("other"), plan, upto=newest(elsewhere), now=NOW, taken=taken)
    assert states(path) == {1: "SPLIT", 2: "PLANNED", 3: "PLANNED"}
    changes = {1: [("i1", "ROLE", "r1", "")], 2: [("i2", "ROLE", "r1", "")]}
    assert ledger.plans.mistrust(run, changes, ME, NOW, planned=[2, 3])[0] == 2
    assert states(path) == {1: "UNCONFIRMED", 2: "UNCONFIRMED", 3: "SPLIT"}
    assert ledger.verify() == ()


def test_nobody_else_can_say_that_they_made_the_latest_attempt(ledger: Ledger, path: Place) -> None:
    """It would end the wait for a process of this machine that still sends the request."""
    run = write(ledger, *singles(1))
    claim(ledger, run)
    for event in ("not_processed", "claimed", "undecided"):
        add(path, run, event, 1)
    alter(path, "UPDATE request SET state = 'UNCONFIRMED', attempts = 2", "DELETE FROM holder")
    with pytest.raises(LedgerChangedError, match="request 1 was sent under a key that has not planned it"):
        ledger.requests.check(run)


def doubted_again(ledger: Ledger, path: Place, run: Run) -> None:
    """Somebody doubts request 1 of the run again, and it has not arrived."""
    add(path, run, "mistrusted", 1)
    alter(path, "UPDATE request SET state = 'UNCONFIRMED' WHERE number = 1")
    ledger.runs.hold(run, ME, NOW)
    (doubt,) = ledger.requests.doubts(run)
    ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)


def test_a_replaced_request_that_was_doubted_again_is_left_to_the_other_one(ledger: Ledger, path: Place) -> None:
    run = taken_over_elsewhere(ledger, path)
    doubted_again(ledger, path, run)
    assert states(path) == {1: "SPLIT", 2: "PLANNED"}
    assert claim_if_any(ledger, run) is None
    assert not ledger.requests.check(run).revived


def test_a_replaced_request_that_was_doubted_again_is_planned_anew_and_not_sent_itself(
    ledger: Ledger, path: Place
) -> None:
    run = taken_over_elsewhere(ledger, path)
    # Whoever did it: the changes may have been submitted in the other request.
    alter(path, "UPDATE request SET state = 'DISCARDED' WHERE number = 2")
    doubted_again(ledger, path, run)
    with pytest.raises(ForeignPlanError, match="may have been submitted in another request since"):
        claim_if_any(ledger, run)
    assert ledger.requests.check(run).revived == {1}
    ledger.plans.drop(run, [1], ME, NOW)
    assert not ledger.requests.check(run).revived
    assert states(path) == {1: "SPLIT", 2: "DISCARDED"}
    assert claim_if_any(ledger, run) is None


def test_a_replaced_request_is_not_doubted_again_for_some_of_its_changes(ledger: Ledger, path: Place) -> None:
    run = taken_over_elsewhere(ledger, path)
    with pytest.raises(StoppedError, match="Some of its changes were submitted in another request since"):
        ledger.plans.mistrust(run, {1: [("i1", "ROLE", "r1", "")]}, ME, NOW, planned=[2])
    assert states(path) == {1: "SPLIT", 2: "PLANNED"}


def test_parts_of_a_request_that_was_doubted_again_and_divided_again_are_its_own(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i1", "i2", "i3"], ["r1"]))
    record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.runs.hold(run, ME, NOW)
        (doubt,) = elsewhere.requests.doubts(run)
        elsewhere.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
        elsewhere.runs.release(run, ME, NOW)
        for number, (digest, wanted) in enumerate((("one", "i1"), ("two", "i2")), start=1):
            if number == 2:
                changes = {1: [("i1", "ROLE", "r1", ""), ("i2", "ROLE", "r1", ""), ("i3", "ROLE", "r1", "")]}
                assert ledger.plans.mistrust(run, changes, ME, NOW, planned=[2, 3])[0] == 1
                ledger.runs.hold(run, ME, NOW)
                (doubt,) = ledger.requests.doubts(run)
                ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
                ledger.runs.release(run, ME, NOW)
            plan = plan_of(product([wanted], ["r1"]))
            taken = TakenOver(requests=(1,), process=ME)
            elsewhere.plans.write(new_run(digest), plan, upto=newest(elsewhere), now=NOW, taken=taken)
    assert [row[0] for row in rows(path, "SELECT number FROM request WHERE parent = 1")] != []
    assert ledger.verify() == ()
    ledger.requests.check(run)


@pytest.mark.parametrize("settled", [False, True])
def test_a_request_is_not_doubted_again_if_it_was_refused_or_a_part_was_accepted(
    ledger: Ledger, path: Place, *, settled: bool
) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1"]))
    parts = (Part(recipients=(0,), items=(0,)), Part(recipients=(1,), items=(0,)))
    if settled:
        record(ledger, claim(ledger, run), FAILED)
        (doubt,) = ledger.requests.doubts(run)
        ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
    record(ledger, claim(ledger, run), REFUSED, parts=parts)
    record(ledger, claim(ledger, run), ACCEPTED)
    add(path, run, "mistrusted", 1)
    alter(path, "UPDATE request SET state = 'UNCONFIRMED' WHERE number = 1")
    with pytest.raises(LedgerChangedError, match="doubts request 1 again without a reason"):
        ledger.requests.check(run)


def test_what_another_machine_claims_to_have_lost_is_doubted_and_never_answered(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    ledger.runs.release(run, ME, NOW)
    add(path, run, "claimed", 1, lost=True)
    add(path, run, "accepted", 1)
    alter(path, "UPDATE request SET state = 'ACCEPTED', attempts = 1 WHERE number = 1")
    with pytest.raises(LedgerChangedError, match="answers an attempt that the ledger has lost"):
        ledger.requests.check(run)


def test_requests_that_are_planned_once_more_are_found(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    record(ledger, claim(ledger, run), ACCEPTED)
    ledger.runs.release(run, ME, NOW)
    add(path, run, "planned", first=1, requests=1)
    alter(path, "UPDATE request SET state = 'PLANNED' WHERE number = 1")
    with pytest.raises(LedgerChangedError, match="event 4 adds requests that an earlier event has added"):
        ledger.requests.check(run)


@pytest.mark.parametrize(
    "attack", ["UPDATE request SET state = 'PLANNED'", "UPDATE request SET state = 'PLANNED', attempts = 0"]
)
def test_states_that_are_set_back_while_a_run_is_sent_are_found(ledger: Ledger, path: Place, attack: str) -> None:
    run = write(ledger, *singles(3))
    ledger.requests.check(run)
    for _ in range(2):
        record(ledger, claim(ledger, run), ACCEPTED)
    alter(path, attack)
    with pytest.raises(LedgerChangedError, match="request 1 is PLANNED, but its events lead to ACCEPTED"):
        claim_if_any(ledger, run)


def test_a_request_that_was_divided_meanwhile_is_not_sent_as_well_as_its_parts(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(("i1", "i2"), ("r1",)), [change("i3", "r1")])
    ledger.requests.check(run)
    record(ledger, claim(ledger, run), THROTTLED)
    whole = ledger.requests.in_state(run, State.PLANNED)[0]
    failed = Failed(
        request=whole,
        alone=3,
        shared=0,
        company=None,
        is_part=False,
        since=2,
        last=3,
        forbidden=False,
        blocked=False,
        reason="it fails",
    )
    parts = [Part(recipients=(0,), items=(0,)), Part(recipients=(1,), items=(0,))]
    assert ledger.requests.take_apart(failed, parts, NOW, ME) == (3, 4)
    alter(path, "UPDATE request SET state = 'PLANNED' WHERE number = 1")
    with pytest.raises(LedgerChangedError, match="request 1 is PLANNED, but its events lead to SPLIT"):
        claim_if_any(ledger, run)


def test_no_event_without_a_signature_is_signed_afterwards_by_this_machine(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    request = claim(ledger, run)
    add(path, run, "planned", signed=False, first=9, requests=0)
    with pytest.raises(LedgerChangedError, match="its newest events are not signed"):
        record(ledger, request, ACCEPTED)
    with pytest.raises(LedgerChangedError, match="its newest events are not signed"):
        ledger.requests.check(run)


def meaning(id_: str) -> Decisions:
    return Decisions(names={("identity by name", "hugo"): NameMeaning(outcome=NameOutcome.FOUND, id=id_)})


@pytest.mark.parametrize(
    "attack",
    [
        lambda path, run: add(path, run, "planned", first=9, requests=0, names=digest_of(path, run)),
        lambda path, _run: alter(path, "UPDATE signer SET public = 'odd'"),
        lambda _path, _run: None,
    ],
    ids=["with another plan", "with another key", "without an event"],
)
def test_a_name_means_only_what_this_machine_has_signed(
    ledger: Ledger, path: Place, attack: Callable[[Place, Run], None]
) -> None:
    keys = [("identity by name", "hugo")]
    run = write(ledger, *singles(1), decisions=meaning("i000"))
    assert ledger.decisions.names(run.id, keys)[keys[0]].id == "i000"
    alter(path, "UPDATE name_meaning SET id = 'thief'")
    attack(path, run)
    assert ledger.decisions.names(run.id, keys) == {}


def digest_of(path: Place, run: Run) -> str:
    """The digest of the meanings in a ledger as they are now, as anybody can compute it."""
    with open_ledger(path) as opened, pytest.raises(LedgerChangedError):
        opened.requests.check(run)
    columns = rows(path, "SELECT kind, name, outcome, id, problem FROM name_meaning ORDER BY kind, name")
    return hashlib.sha256(b"".join(json.dumps(list(row)).encode() + b"\n" for row in columns)).hexdigest()


def test_a_revoke_never_travels_in_a_body_of_grants(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1), [change("i9", "r1", operation="REVOKE")])
    alter(path, "INSERT INTO envelope VALUES (1, 1), (2, 1)")
    ledger.runs.hold(run, ME, NOW)
    with pytest.raises(LedgerChangedError, match="request 2 was put into a body with others, but only grants can"):
        ledger.requests.claim(run, NOW, ME)
    assert states(path) == {1: "PLANNED", 2: "PLANNED"}


def test_what_another_machine_has_tracked_is_known_as_its_word(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(2))
    for _ in range(2):
        record(ledger, claim(ledger, run), ACCEPTED)
    ledger.tracks.write(run, [change_status(1, "i000", "EXECUTING"), change_status(2, "i001", "EXECUTING")], NOW)
    assert ledger.plans.check_all()[run.id].tracked_by == {}
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.tracks.write(run, [change_status(1, "i000", "REJECTED")], NOW)
    assert set(ledger.plans.check_all()[run.id].tracked_by) == {1}
    ledger.tracks.write(run, [change_status(1, "i000", "REJECTED", who="Anna")], NOW)
    assert ledger.plans.check_all()[run.id].tracked_by == {}
    assert ledger.verify() == ()


def test_this_machines_report_on_one_change_does_not_cover_anothers_on_the_rest(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i000", "i001"], ["r1"]))
    record(ledger, claim(ledger, run), ACCEPTED)
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        elsewhere.tracks.write(run, [change_status(1, "i000", "REJECTED")], NOW)
    own = [change_status(1, name, "EXECUTING") for name in ("i000", "i001")]
    ledger.tracks.write(run, own[1:], NOW)
    assert set(ledger.plans.check_all()[run.id].tracked_by) == {1}
    ledger.tracks.write(run, own, NOW)
    assert ledger.plans.check_all()[run.id].tracked_by == {}
    ledger.tracks.write(run, own[:1], NOW)
    assert ledger.plans.check_all()[run.id].tracked_by == {}
    assert ledger.verify() == ()


def test_what_is_doubted_again_is_fenced_if_its_process_may_live(ledger: Ledger, path: Place) -> None:
    expires = NOW + timedelta(minutes=12)
    with open_ledger(path, key=lambda: MachineKey(b"the machine of a colleague......")) as elsewhere:
        run = write(elsewhere, *singles(1))
        elsewhere.runs.hold(run, a_process(), NOW)
        elsewhere.requests.claim(run, NOW, a_process(), token_expires=expires)
    add(path, run, "abandoned", 1)
    add(path, run, "not_found", 1)
    alter(path, "UPDATE request SET state = 'PLANNED'", "DELETE FROM holder")
    assert doubt_again(ledger, run, {1: ("a",)}) == 1
    assert [doubt.fence for doubt in ledger.requests.doubts(run)] == [expires]


@pytest.mark.parametrize("rewritten", [True, False])
def test_what_was_seen_of_another_machine_can_be_rewritten_under_no_other_key(
    ledger: Ledger, path: Place, *, rewritten: bool
) -> None:
    with open_ledger(path, key=lambda: MachineKey(b"the machine of a colleague......")) as elsewhere:
        theirs = write(elsewhere, *singles(1), digest="theirs")
    write(ledger, *singles(2, prefix="o"), digest="ours")
    if rewritten:
        rewrite(path, theirs)
        with pytest.raises(LedgerChangedError, match=r"the record that the key .* last made of others' signatures"):
            ledger.plans.check_all()
        assert any("others' signatures was changed" in finding for finding in ledger.verify())
        # A plan that was checked before would record the others as they are now.
        with pytest.raises(LedgerChangedError, match="others' signatures was changed"):
            write(ledger, *singles(1, prefix="p"), digest="one more")
    else:
        # Whatever follows is sound.
        with open_ledger(path, key=lambda: THIEF) as elsewhere:
            write(elsewhere, *singles(1, prefix="t"), digest="theirs")
        ledger.plans.check_all()
        assert ledger.verify() == ()


def rewrite(path: Place, run: Run) -> None:
    """Sign the only event of a run anew, with another time, under the thief's key in place of the machine's."""
    with raw(path) as execute:
        ((ledger,),) = execute("SELECT ledger FROM about")
        (event,) = execute("SELECT * FROM event WHERE run = 1")
        columns = {**dict(zip(tables.event.c.keys(), event, strict=True)), "at": "2026-01-01T00:00:00.000Z"}
        hashed = chained_hash("", run.id, columns)
        signature = THIEF.sign(signed_text(ledger, 1, "", Head(run=run.id, number=1, hash=hashed)))
        execute("UPDATE signer SET public = ? WHERE id = ?", THIEF.public, columns["signer"])
        changed = (columns["at"], hashed, signature)
        execute("UPDATE event SET at = ?, hash = ?, signature = ? WHERE run = 1", *changed)
