"""`verify` finds every change that another program made to a ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.answers.outcome import decide
from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.api.dialects import Limits
from batch.errors import LedgerChangedError
from batch.ledger.answered import Answered
from batch.ledger.runs import NewRun
from batch.ledger.store import Ledger
from batch.model import Answer, Form
from batch.plan import plan
from batch.validate.rows import CHANGE_COLUMNS
from tests.builders import change
from tests.clocks import key, new_id
from tests.ledger.ledger_helpers import ME, Place, alter, claim, open_ledger, write

if TYPE_CHECKING:
    from pathlib import Path

from batch.model import Run

SENT_AGAIN = """
    INSERT INTO request (number, run, operation, state, state_at, recipient_count, item_count, attempts, recipients)
        SELECT 99, run, operation, 'PLANNED', state_at, 1, 1, 0, '1' FROM request WHERE number = 2;
    INSERT INTO recipient SELECT min(identity), 99 FROM recipient WHERE request = 2;
    INSERT INTO request_item SELECT 99, item, detail FROM request_item WHERE request = 2 LIMIT 1
"""
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def wanted() -> pl.DataFrame:
    """Six grants in two requests, with comments."""
    rows = [
        ("GRANT", f"person {person}", "ROLE", f"item {thing} of {person // 2}", f"because {thing}", *[""] * 5)
        for person in range(4)
        for thing in range(2)
    ]
    return pl.DataFrame(rows, schema=list(CHANGE_COLUMNS), orient="row")


def answer_next(ledger: Ledger, run: Run, status: int) -> None:
    """Claims the next request and records an answer with this status."""
    request = claim(ledger, run, NOW)
    answer = Answer(status=status, text="No.", form=Form.API)
    parts = divide(request, "", RefusalHistory()) if status == 400 else ()
    ledger.requests.record(
        Answered(request=request, answer=answer, decision=decide(answer), at=NOW, parts=parts), process=ME
    )


@pytest.fixture
def path(path: Place) -> Place:
    """A ledger with answers of every kind and a settled request."""
    with Ledger.open(str(path), sandbox=False, now=NOW, new_id=new_id, key=key) as ledger:
        new = NewRun(tenant="acme", input_digest="d", inputs=("a.csv",), dialect="beta", started_at=NOW)
        ledger.plans.write(new, plan(wanted(), Limits()), upto="", now=NOW)
        run = ledger.runs.of_input("acme", "d")
        assert run is not None
        for status in (429, 400, 202, 500):
            answer_next(ledger, run, status)
        (doubt,) = ledger.requests.doubts(run)
        ledger.requests.settle(doubt.request, arrived=False, now=NOW, process=ME)
        answer_next(ledger, run, 202)
    return path


def findings(path: Place) -> str:
    """The findings of verify."""
    with Ledger.open(str(path), sandbox=False, now=NOW, new_id=new_id, key=key) as ledger:
        return "\n".join(ledger.verify())


@pytest.mark.also_postgresql
def test_a_ledger_that_only_the_program_wrote_is_sound(path: Place) -> None:
    assert findings(path) == ""


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("UPDATE event SET status = 202 WHERE status = 500", "was changed"),
        ("UPDATE event SET detail = '{}' WHERE number = 3", "was changed"),
        ("UPDATE event SET at = '2020-01-01T00:00:00.000Z' WHERE number = 1", "was changed"),
        ("DELETE FROM event WHERE number = 4", "events 4 to 4 are missing"),
        ("DELETE FROM event WHERE number = (SELECT max(number) FROM event)", "its events lead to"),
        (
            "UPDATE request SET state = 'ACCEPTED', attempts = 1 WHERE state = 'PLANNED'",
            "its events lead to PLANNED",
        ),
        ("UPDATE request SET attempts = attempts + 1 WHERE state = 'ACCEPTED'", "attempts, its events"),
        ("DELETE FROM request_item WHERE request = 2 AND item = 2", "product"),
        ("DELETE FROM recipient WHERE request = 2", "product"),
        ("UPDATE recipient SET identity = 1 WHERE request = 2 AND identity = 3", "its list of recipients differs"),
        ("UPDATE request SET recipients = recipients || ' 4' WHERE number = 2", "its list of recipients differs"),
        ("UPDATE request SET recipients = '' WHERE number = 2", "its list of recipients differs"),
        ("UPDATE detail SET comment = comment || '!'", "sent something else"),
        ("UPDATE identity SET external_id = external_id || 'x'", "sent something else"),
        # PostgreSQL itself lets nothing point at nothing.
        pytest.param(
            "UPDATE request_item SET detail = 999 WHERE request = 2", "points at nothing", marks=pytest.mark.sqlite_only
        ),
        ("UPDATE request SET claimed = 1000 WHERE state = 'ACCEPTED'", "the moment at which request 3 was sent"),
        ("UPDATE run SET tenant = 99", "the list of its tenant's addresses was changed"),
        pytest.param("DELETE FROM tenant", "points at nothing", marks=pytest.mark.sqlite_only),
        (SENT_AGAIN, "again"),
    ],
)
def test_tampering_is_found(path: Place, tampering: str, finding: str) -> None:
    alter(path, *tampering.split(";"))
    assert finding in findings(path)


@pytest.mark.parametrize("tampering", ["UPDATE request SET claimed = 1000 WHERE claimed = 2", "DELETE FROM tenant"])
def test_what_verify_finds_about_any_run_is_found_before_an_input_is_planned(path: Place, tampering: str) -> None:
    with Ledger.open(str(path), sandbox=False, now=NOW, new_id=new_id, key=key) as ledger:
        ledger.plans.check_all()
    alter(path, tampering)
    with (
        Ledger.open(str(path), sandbox=False, now=NOW, new_id=new_id, key=key) as ledger,
        pytest.raises(LedgerChangedError),
    ):
        ledger.plans.check_all()


def test_two_attempts_with_one_id_are_found(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "same.db", new_id=lambda: "same") as ledger:
        run = write(ledger, [change("a", "r1"), change("a", "r2")], [change("b", "r1")], [change("c", "r1")])
        claim(ledger, run)
        assert ledger.verify() == ()
        second = claim(ledger, run)
        (found,) = ledger.verify()
        assert found.startswith(f"request {second.number}: its attempt in event")
        assert found.endswith("has the id of an earlier one")


def test_a_change_submitted_again_in_another_spelling_is_found(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "spelled.db") as ledger:
        write(ledger, [change("ab", "r-1")], [change("ab", "r2")], [change("abc", "r1")], digest="one")
        write(ledger, [change("A-B", "R2", operation="REVOKE")], [change("abc", "R1")], digest="two")
        assert ledger.verify() == ("request 5: it submits R1 for abc again",)
        write(ledger, [change("AB", "R1")], digest="three")
        assert set(ledger.verify()) == {
            f"request {n}: it submits R1 for {who} again" for n, who in ((5, "abc"), (6, "AB"))
        }


PACE = (
    "INSERT INTO pace (tenant, client, dialect, calls, longest, silent_since, silent_until, cut_to, cut_at, boot, "
    "epoch) VALUES (1, 'client', 'beta', 0, 10, 0, 3600, 1, 0, 'boot', 0)"
)


@pytest.mark.parametrize("silence", ["1e15", pytest.param("9e999", marks=pytest.mark.sqlite_only)])
def test_a_silence_that_no_process_has_written_is_found(path: Place, silence: str) -> None:
    alter(path, PACE)
    with open_ledger(path) as ledger:
        assert ledger.verify() == ()
    alter(path, f"UPDATE pace SET silent_until = {silence}")  # noqa: S608 - an attack
    with open_ledger(path) as ledger:
        assert any("the pace of calls to " in one for one in ledger.verify())
