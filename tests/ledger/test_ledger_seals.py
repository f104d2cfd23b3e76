"""Somebody who can write to the ledger changes it. Nothing is sent by that, and `verify` finds it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.errors import LedgerChangedError, LedgerLostError, StoppedError
from batch.ledger import tables
from batch.ledger.engine import writing
from batch.ledger.events import chained_hash, signed_text
from batch.ledger.facts import link_tenant
from batch.ledger.machine_key import MachineKey
from batch.ledger.seals import root, seal_of
from batch.model import Head
from batch.states import State
from tests.builders import NOW, product
from tests.clocks import key
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    REFUSED,
    Place,
    alter,
    change_status,
    claim,
    open_ledger,
    raw,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger
    from batch.model import Run

THIEF = MachineKey(b"another machine's key...........")


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """A run with five planned requests, the first of which was accepted."""
    planned = write(ledger, *singles(5))
    record(ledger, claim(ledger, planned), ACCEPTED)
    ledger.runs.release(planned, ME, NOW)
    return planned


def reseal(path: Place, run_id: str, *, key: MachineKey | None = None) -> None:
    """Compute a run's hashes again, as anybody can who may write to the ledger; sign them with a key of one's own."""
    with raw(path) as execute:
        ((ledger,),) = execute("SELECT ledger FROM about")
        ((number,),) = execute("SELECT number FROM run WHERE id = ?", run_id)
        signer = None
        if key is not None:
            execute("INSERT INTO signer (public, since) VALUES (?, ?) ON CONFLICT DO NOTHING", key.public, "2026")
            ((signer,),) = execute("SELECT id FROM signer WHERE public = ?", key.public)
        before, last, place = "", "", 0
        for row in execute("SELECT * FROM event WHERE run = ? ORDER BY number", number):
            event = dict(zip(tables.event.c.keys(), row, strict=True))
            before = chained_hash(before, run_id, event)
            where = (number, event["number"])
            execute("UPDATE event SET hash = ? WHERE run = ? AND number = ?", before, *where)
            if key is not None and event["signature"] is not None:
                place += 1
                head = Head(run=run_id, number=event["number"], hash=before)
                last = key.sign(signed_text(ledger, place, last, head))
                new = "UPDATE event SET signer = ?, place = ?, signature = ? WHERE run = ? AND number = ?"
                execute(new, signer, place, last, *where)


ATTACKS = {
    "another person": "UPDATE identity SET external_id = 'thief', key = 'thief' WHERE external_id = 'i003'",
    "another item": "UPDATE item SET external_id = 'admin', key = 'admin'",
    "another comment": "UPDATE detail SET comment = 'approved'",
    "another operation": "UPDATE request SET operation = 'REVOKE' WHERE number = 4",
    "one person more": "UPDATE request SET recipients = '4 5', recipient_count = 2 WHERE number = 4",
    "another state": "UPDATE request SET state = 'PLANNED', attempts = 0 WHERE number = 1",
    "another seal": "UPDATE request SET seal = 'a' WHERE number = 4",
    "one request more": (
        "INSERT INTO request SELECT 6, run, operation, state, state_at, recipient_count, item_count, attempts, parent, "
        "recipients, tag, claimed, seal FROM request WHERE number = 5"
    ),
    "no signature": "UPDATE event SET signer = NULL, place = NULL, signature = NULL WHERE number > 1",
    "no key": "DELETE FROM signer",
    "no place": "UPDATE event SET place = NULL",
    "an odd key": "UPDATE signer SET public = 'odd'",
    "countless requests": (
        """UPDATE event SET detail = '{"first": 1, "requests": 1000000000000000}' WHERE event = 'planned'"""
    ),
    "a cut tail": "DELETE FROM event WHERE event = 'accepted'",
    "another meaning": (
        "INSERT INTO name_meaning SELECT number, 'identity by name', 'Anna', '2026', 'found', 'thief', '' FROM run"
    ),
}


WANTED = {((f"i00{number}",), "r1") for number in range(1, 5)}
"""Whom the planned requests of `run` give what."""


def send_all(ledger: Ledger, run: Run, sent: set[tuple[tuple[str, ...], str]]) -> None:
    ledger.runs.hold(run, ME, NOW)
    while bodies := ledger.requests.claim(run, NOW, ME):
        sent |= {(request.recipients, request.items[0].id) for body in bodies for request in body.requests}
    ledger.requests.check(run)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_else_is_sent_of_a_run_that_somebody_has_changed(
    ledger: Ledger, path: Place, run: Run, attack: str
) -> None:
    alter(path, attack)
    sent: set[tuple[tuple[str, ...], str]] = set()
    with (
        open_ledger(path) as another,
        pytest.raises(LedgerChangedError, match=f"Somebody has changed the ledger: in run {run.id}, "),
    ):
        send_all(another, run, sent)
    assert sent <= WANTED
    assert ledger.verify() != ()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_else_is_sent_of_a_run_that_somebody_changes_while_it_is_sent(
    ledger: Ledger, path: Place, run: Run, attack: str
) -> None:
    ledger.requests.check(run)
    alter(path, attack)
    sent: set[tuple[tuple[str, ...], str]] = set()
    with suppress(LedgerChangedError, LedgerLostError):
        send_all(ledger, run, sent)
    assert sent <= WANTED


def stolen(path: Place, run: Run) -> None:
    """Put a thief into request 4, and make the request's seal fit."""
    alter(path, "UPDATE identity SET external_id = 'thief', key = 'thief' WHERE external_id = 'i003'")
    with open_ledger(path) as opened:
        requests = {one.number: one for one in opened.requests.in_state(run, State.PLANNED)}
        seal = seal_of(requests[4])
    alter(path, f"UPDATE request SET seal = '{seal}' WHERE number = 4")  # noqa: S608 - an attack


def planned_anew(path: Place, run: Run) -> None:
    """Put a thief into request 4, and make the plan's event cover it."""
    stolen(path, run)
    seals = [seal for (seal,) in rows(path, "SELECT seal FROM request ORDER BY number")]
    ((detail,),) = rows(path, "SELECT detail FROM event WHERE event = 'planned'")
    new = json.dumps({**json.loads(detail), "seals": root(seals)})
    alter(path, f"UPDATE event SET detail = '{new}' WHERE event = 'planned'")  # noqa: S608 - an attack


def test_a_request_that_was_changed_with_its_seal_is_found_by_the_plans_event(
    ledger: Ledger, path: Place, run: Run
) -> None:
    stolen(path, run)
    with pytest.raises(LedgerChangedError, match=r"requests that event \d added were changed"):
        ledger.requests.check(run)


def test_a_plan_that_was_sealed_again_is_found_by_its_signature(ledger: Ledger, path: Place, run: Run) -> None:
    planned_anew(path, run)
    reseal(path, run.id)
    with pytest.raises(LedgerChangedError, match=r"the signature of event \d is wrong"):
        ledger.requests.check(run)
    assert any("signature" in finding for finding in ledger.verify())


def test_an_outcome_that_was_changed_with_its_hashes_is_found_by_the_newest_signature(
    ledger: Ledger, path: Place, run: Run
) -> None:
    alter(path, """UPDATE event SET detail = '{"access_requests": ["another"]}' WHERE event = 'accepted'""")
    reseal(path, run.id)
    with pytest.raises(LedgerChangedError, match=r"the signature of event \d is wrong"):
        ledger.plans.check_all()


def test_a_plan_that_was_signed_with_another_key_is_not_sent_as_it_stands(path: Place, run: Run) -> None:
    planned_anew(path, run)
    reseal(path, run.id, key=THIEF)
    with open_ledger(path) as another:
        assert set(another.requests.check(run).others) == {2, 3, 4, 5}
        another.runs.hold(run, ME, NOW)
        with pytest.raises(StoppedError, match="Another machine, with the key"):
            another.requests.claim(run, NOW, ME)
    assert len(rows(path, "SELECT * FROM event WHERE event = 'claimed'")) == 1


def test_what_another_machine_has_planned_can_be_dropped_and_planned_anew(path: Place, ledger: Ledger) -> None:
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        run = write(elsewhere, product(["i1", "i2"], ["r1"]))
    sealed = ledger.requests.check(run)
    assert (set(sealed.ours), set(sealed.others)) == (set(), {1})
    ledger.plans.drop(run, sealed.others, ME, NOW)
    write(ledger, product(["i1", "i2"], ["r1"]))
    assert claim(ledger, run).recipients == ("i1", "i2")
    assert set(ledger.requests.check(run).others) == set()
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    "attack",
    [
        ["DELETE FROM event WHERE run = 1 AND number > 1", "UPDATE request SET state = 'PLANNED', attempts = 0"],
        [
            "DELETE FROM event WHERE run = 1",
            "DELETE FROM recipient WHERE request < 6",
            "DELETE FROM request_item WHERE request < 6",
            "DELETE FROM request WHERE run = 1",
            "DELETE FROM run WHERE number = 1",
        ],
    ],
    ids=["the tail of a run", "a run"],
)
@pytest.mark.usefixtures("run")
def test_what_is_taken_away_leaves_a_gap_among_the_signatures(ledger: Ledger, path: Place, attack: list[str]) -> None:
    other = write(ledger, *singles(1, prefix="o"), digest="other")
    record(ledger, claim(ledger, other), ACCEPTED)
    assert ledger.verify() == ()
    alter(path, *attack)
    assert any("are missing" in finding and "signatures" in finding for finding in ledger.verify())


def test_an_answer_that_another_machine_has_cached_is_asked_for_again(path: Place, ledger: Ledger) -> None:
    ledger.cache.put("https://tenant.example", "identity by name", {"Anna": "i1"}, at=NOW)
    assert ledger.cache.get("https://tenant.example", "identity by name", ["Anna"], since=NOW)["Anna"].value == "i1"
    with open_ledger(path, key=lambda: THIEF) as elsewhere:
        assert elsewhere.cache.get("https://tenant.example", "identity by name", ["Anna"], since=NOW) == {}
    alter(path, "UPDATE cached SET value = '\"thief\"'")
    assert ledger.cache.get("https://tenant.example", "identity by name", ["Anna"], since=NOW) == {}


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "attack",
    [
        "CREATE TRIGGER helpful AFTER INSERT ON request BEGIN DELETE FROM doubt; END",
        "CREATE TABLE notes (text)",
        "CREATE VIEW mine AS SELECT * FROM request",
    ],
)
def test_a_ledger_with_foreign_objects_is_refused(path: Place, ledger: Ledger, attack: str) -> None:
    ledger.close()
    alter(path, attack)
    with pytest.raises(LedgerChangedError, match="Somebody has added the"):
        open_ledger(path)


@pytest.mark.sqlite_only
def test_a_view_that_shows_something_else_is_refused(path: Place, ledger: Ledger) -> None:
    ledger.close()
    alter(path, "DROP VIEW changes", "CREATE VIEW changes AS SELECT * FROM request")
    with pytest.raises(LedgerChangedError, match="the view 'changes'"):
        open_ledger(path)


def test_a_signature_is_only_valid_in_its_ledger_and_at_its_place() -> None:
    head = Head(run="run", number=3, hash="a" * 64)
    texts: list[Any] = [
        signed_text("ledger", 7, "", head),
        signed_text("other", 7, "", head),
        signed_text("ledger", 8, "", head),
        signed_text("ledger", 7, "before", head),
    ]
    assert len({THIEF.sign(text) for text in texts}) == len(texts)


FOUND_BESIDE = {
    "another report": "UPDATE finding SET state = 'REJECTED'",
    "a report that was taken away": "DELETE FROM track",
    "another tenant's name": "UPDATE tenant SET name = 'https://other.example'",
    "another name in tokens": "UPDATE tenant SET token_name = 'thief'",
    "another address": "INSERT INTO address VALUES ('https://thief.example', 1)",
    "another input": "UPDATE run SET input_digest = 'thief'",
    "another date": "UPDATE run SET started_at = '2020-01-01T00:00:00.000Z'",
    "another key of a person": "UPDATE identity SET key = 'x' WHERE external_id = 'i000'",
    "another key of an item": "UPDATE item SET key = 'x'",
    "a person of another tenant": (
        "INSERT INTO tenant (id, name) VALUES (2, 'https://other.example')",
        "UPDATE identity SET tenant = 2 WHERE external_id = 'i000'",
    ),
    "lost recipients": "DELETE FROM recipient WHERE request = 1",
    "other content of what was sent": "UPDATE detail SET comment = 'x'",
    "another number of attempts": "UPDATE request SET attempts = 2 WHERE number = 1",
    "no place among all claims": ("UPDATE request SET claimed = NULL", "UPDATE about SET claims = 0"),
    "a place among all claims without an attempt": "UPDATE request SET claimed = 1 WHERE number = 5",
}
"""Attacks by which what was sent is not found again, or counts as rejected."""


@pytest.mark.parametrize("attack", FOUND_BESIDE.values(), ids=FOUND_BESIDE)
def test_nothing_is_planned_while_something_differs_by_which_earlier_changes_are_found(
    ledger: Ledger, path: Place, run: Run, attack: str | tuple[str, ...]
) -> None:
    ledger.tracks.write(run, [change_status(1, "i000", "EXECUTING")], NOW)
    ledger.plans.check_all()
    assert ledger.verify() == ()
    alter(path, *([attack] if isinstance(attack, str) else attack))
    with pytest.raises(LedgerChangedError, match="Somebody has changed the ledger"):
        ledger.plans.check_all()
    assert ledger.verify() != ()


def test_one_event_covers_all_reports_that_are_written_together(ledger: Ledger, path: Place, run: Run) -> None:
    record(ledger, claim(ledger, run), ACCEPTED)
    ledger.tracks.write(run, [change_status(1, "i000", "EXECUTING"), change_status(2, "i001", "EXECUTING")], NOW)
    ledger.tracks.write(run, [change_status(1, "i000", "REJECTED")], NOW)
    assert rows(path, "SELECT count(*) FROM event WHERE event = 'tracked'") == [(2,)]
    assert ledger.verify() == ()


def test_a_new_token_of_a_tenant_seals_no_run_that_somebody_has_moved_to_it(
    ledger: Ledger, path: Place, run: Run
) -> None:
    write(ledger, *singles(2, prefix="o"), digest="other", tenant="https://other.example")
    alter(path, "UPDATE run SET tenant = 2 WHERE number = 1", "UPDATE identity SET tenant = 2")
    with pytest.raises(LedgerChangedError, match=f"in run {run.id}, the name of its tenant was changed"):
        ledger.tenants.bind("https://other.example", ["4711"], ME, NOW)
    assert ledger.verify() != ()


def test_two_tenants_that_prove_to_be_one_leave_a_sound_ledger(ledger: Ledger, path: Place, run: Run) -> None:
    ledger.tenants.bind(run.tenant, ["4711"], ME, NOW)
    write(ledger, *singles(2, prefix="o"), digest="other", tenant="https://other.example")
    ledger.tenants.bind("https://other.example", ["4711"], ME, NOW)
    ledger.plans.check_all()
    assert ledger.verify() == ()
    assert rows(path, "SELECT count(*) FROM tenant") == [(1,)]


def test_only_a_machine_that_is_trusted_says_that_a_run_is_another_tenants(
    ledger: Ledger, path: Place, run: Run
) -> None:
    alter(path, "UPDATE tenant SET name = 'https://thief.example'", "UPDATE address SET url = 'https://thief.example'")
    with open_ledger(path, key=lambda: THIEF) as elsewhere, writing(elsewhere._engine) as connection:
        link_tenant(connection, 1, NOW)
    with pytest.raises(LedgerChangedError, match="only another machine, with the key"):
        ledger.requests.check(run)


@pytest.mark.parametrize("attack", ["another person", "another item", "another comment"])
def test_a_request_that_somebody_changes_while_it_is_sent_is_not_divided(
    ledger: Ledger, path: Place, attack: str
) -> None:
    run = write(ledger, product(["i002", "i003"], ["r1"]))
    request = claim(ledger, run)
    alter(path, ATTACKS[attack])
    with pytest.raises(LedgerChangedError, match="request 1 was changed"):
        record(ledger, request, REFUSED, parts=divide(request, "", RefusalHistory()))
    assert rows(path, "SELECT number, state FROM request") == [(1, "SENDING")]


def test_the_parts_of_a_request_are_claimed_without_another_reading_of_all_events(ledger: Ledger) -> None:
    run = write(ledger, product(["i1", "i2", "i3", "i4"], ["r1"]))
    request = claim(ledger, run)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        record(ledger, request, REFUSED, parts=divide(request, "", RefusalHistory()))
        parts = [claim(ledger, run) for _ in range(2)]
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert [part.parent for part in parts] == [1, 1]
    assert not [
        one for one in statements if "FROM event" in one and "ORDER BY event.number" in one and "LIMIT" not in one
    ]


TAKE_AWAY = (
    "DELETE FROM event WHERE run = 1",
    "DELETE FROM track",
    "DELETE FROM recipient WHERE request IN (SELECT number FROM request WHERE run = 1)",
    "DELETE FROM request_item WHERE request IN (SELECT number FROM request WHERE run = 1)",
    "DELETE FROM request WHERE run = 1",
    "DELETE FROM holder WHERE run = 1",
    "DELETE FROM run WHERE number = 1",
)


@pytest.mark.parametrize("whose", ["ours", "another machine's"])
def test_nothing_is_planned_while_an_earlier_run_is_gone_with_all_its_events(path: Place, whose: str) -> None:
    with open_ledger(path, key=(lambda: THIEF) if whose == "another machine's" else key) as ledger:
        first = write(ledger, *singles(2))
        record(ledger, claim(ledger, first), ACCEPTED)
    with open_ledger(path) as ledger:
        write(ledger, *singles(2, prefix="o"), digest="other")
        ledger.plans.check_all()
        alter(path, *TAKE_AWAY)
        with pytest.raises(LedgerChangedError, match="1 of 2 runs are left"):
            ledger.plans.check_all()
        assert ledger.verify() != ()


def test_nothing_is_planned_while_the_newest_run_of_another_machine_is_gone_but_not_its_key(path: Place) -> None:
    with open_ledger(path) as ledger:
        write(ledger, *singles(2, prefix="o"), digest="other")
    with open_ledger(path, key=lambda: THIEF) as ledger:
        run = write(ledger, *singles(2))
    alter(path, *(one.replace("run = 1", "run = 2").replace("number = 1", "number = 2") for one in TAKE_AWAY))
    with open_ledger(path) as ledger:
        with pytest.raises(LedgerChangedError, match="0 of its signatures of the key"):
            ledger.plans.check_all()
        assert run.id not in {one.id for one in ledger.runs.all()}


def test_a_part_that_is_made_another_requests_part_is_found(ledger: Ledger, path: Place) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1"]), product(["i3"], ["r2"]))
    request = claim(ledger, run)
    record(ledger, request, REFUSED, parts=divide(request, "", RefusalHistory()))
    ledger.requests.check(run)
    alter(path, "UPDATE request SET parent = 2 WHERE number = 4")
    with pytest.raises(LedgerChangedError, match="the request that request 4 is a part of was changed"):
        ledger.requests.check(run)
    assert ledger.verify() != ()


def test_a_number_of_claims_that_was_put_back_stops_planning(ledger: Ledger, path: Place, run: Run) -> None:
    assert run.id in ledger.plans.check_all()
    alter(path, "UPDATE about SET claims = 0")
    with pytest.raises(LedgerChangedError, match="the number of claims was changed"):
        ledger.plans.check_all()
    assert ledger.verify() != ()


OUT_OF_STEP = {
    "an index without an entry": (
        ("ix_identity_key", 'ON identity (tenant, "key")', 'ON identity (tenant, "key") WHERE id > 1'),
        ["REINDEX ix_identity_key"],
    ),
    "a table in another order": (
        ("recipient", "PRIMARY KEY (identity, request)", "PRIMARY KEY (identity DESC, request)"),
        [
            "CREATE TEMP TABLE kept AS SELECT * FROM recipient",
            "DELETE FROM recipient",
            "INSERT INTO recipient SELECT * FROM kept",
        ],
    ),
}
"""By its name and part of its definition: what somebody writes while SQLite takes it for something else."""


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("what", "statements"), OUT_OF_STEP.values(), ids=OUT_OF_STEP)
def test_nothing_is_planned_while_a_look_up_finds_less_than_the_ledger_has(
    ledger: Ledger, path: Place, run: Run, what: tuple[str, str, str], statements: list[str]
) -> None:
    name, *definitions = what
    assert run.id in ledger.plans.check_all()
    ledger.close()

    def define(before: str, after: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            edit = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ? AND sql LIKE '%' || ? || '%'"
            assert connection.execute(edit, (before, after, name, before)).rowcount == 1

    define(*definitions)
    alter(path, *statements)
    define(*reversed(definitions))
    with open_ledger(path) as opened:
        with pytest.raises(LedgerChangedError, match="file is damaged, or somebody has changed it"):
            opened.plans.check_all()
        assert opened.verify() != ()
