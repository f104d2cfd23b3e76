"""Somebody has written values of another kind into a ledger: no bug, no endless loop, but a ledger that was changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from batch.errors import LedgerChangedError
from batch.model import Answer, Form
from tests.builders import NOW
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    TENANT,
    Place,
    alter,
    claim,
    open_ledger,
    record,
    singles,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger

DEEP, LONG = "[" * 100_000, "9" * 5000


def damage(path: Place, statement: str) -> None:
    """Change a ledger in spite of its own constraints."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement.replace("DEEP", DEEP).replace("LONG", LONG))


def use(path: Place) -> None:
    """Do with each run what commands do that read, doubt, send and compare."""
    with open_ledger(path) as ledger:
        for run in ledger.runs.all():
            ledger.requests.doubts(run)
            ledger.tracks.attempt_ids(run)
            ledger.runs.tally(run)
            ledger.requests.check(run)
            ledger.runs.hold(run, ME, NOW)
            ledger.requests.claim(run, NOW, ME)
        ledger.gaps.age(TENANT)


def findings(path: Place) -> tuple[str, ...]:
    """What verifying a ledger finds, or why it is not even opened."""
    try:
        with open_ledger(path) as ledger:
            return ledger.verify()
    except LedgerChangedError as refused:
        return (refused.message,)


@pytest.fixture
def half_sent(ledger: Ledger, path: Place) -> Place:
    """A ledger with a request that was accepted, one in doubt and one that is planned."""
    run = write(ledger, *singles(3))
    record(ledger, claim(ledger, run), ACCEPTED)
    record(ledger, claim(ledger, run), FAILED)
    ledger.runs.release(run, ME, NOW)
    return path


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE event SET detail = '{'", "table event, row run '1', number '1': its detail can't be read"),
        ("UPDATE event SET detail = '[1]' WHERE number = 2", "row run '1', number '2': its detail can't be read"),
        ("UPDATE event SET detail = 'DEEP' WHERE number = 3", "number '3': its detail can't be read"),
        ('UPDATE event SET detail = \'{"server_time": "x"}\' WHERE number = 3', "its detail can't be read"),
        (
            "UPDATE event SET event = 'taken_over', detail = '{\"by\": [[1]]}' WHERE number = 2",
            "its detail can't be read",
        ),
        ("UPDATE event SET detail = '{\"first\": LONG}'", "its detail can't be read"),
        ("UPDATE event SET at = 'x'", "its at can't be read"),
        ("UPDATE event SET at = x'00ff'", "its at can't be read"),
        ("UPDATE event SET hash = x'00'", "its hash can't be read"),
        ("UPDATE event SET signature = x'00ff' WHERE signature IS NOT NULL", "its signature can't be read"),
        ("UPDATE signer SET public = x'00ff'", "table signer, row id '1': its public can't be read"),
        ("UPDATE detail SET metadata = '{'", "table detail, row id '1': its metadata can't be read"),
        ("UPDATE detail SET metadata = 'DEEP'", "its metadata can't be read"),
        ("UPDATE detail SET comment = CAST(x'ff80' AS TEXT)", "table detail: a text can't be read"),
        ("UPDATE request SET recipients = 'x y'", "table request, row number '1': its recipients can't be read"),
        ("UPDATE request SET attempts = 'x'", "its attempts can't be read"),
        ("UPDATE request SET attempts = 9223372036854775807", "its attempts can't be read"),
        ("UPDATE request SET state = 'ODD'", "its state can't be read"),
        ("UPDATE request SET parent = number, attempts = 0", "row number '1': it can't be a part of its parent"),
        ("UPDATE run SET inputs = '{'", "table run, row number '1': its inputs can't be read"),
        ("UPDATE run SET started_at = 'x'", "its started_at can't be read"),
        ("UPDATE about SET claims = 'x'", "table about, row id '1': its claims can't be read"),
        ("UPDATE about SET claims = 9223372036854775807", "its claims can't be read"),
        ("UPDATE tenant SET listing_delay = 'x'", "table tenant, row id '1': its listing_delay can't be read"),
        (
            "INSERT INTO holder VALUES (1, 'h', 'm', 'x', 'y', 'x', 'x')",
            "table holder, row run '1': its pid can't be read",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_no_bug(half_sent: Place, statement: str, found: str) -> None:
    damage(half_sent, statement)
    with suppress(LedgerChangedError):
        use(half_sent)
    assert found in " ".join(findings(half_sent))


def test_an_error_that_no_row_explains_is_a_bug(path: Place) -> None:
    with pytest.raises(ZeroDivisionError), open_ledger(path):
        raise ZeroDivisionError


def test_brackets_in_a_text_of_the_tenant_are_no_nested_json(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    record(ledger, claim(ledger, run), Answer(status=400, text="[{" * 500, form=Form.API))
    assert ledger.verify() == ()


def test_an_event_that_claims_to_add_more_requests_than_there_are_fills_no_memory(half_sent: Place) -> None:
    alter(half_sent, 'UPDATE event SET detail = \'{"first": 1, "requests": 9999999}\' WHERE number = 1')
    with open_ledger(half_sent) as ledger:
        assert any("event 1 can't be read" in found or "event 1 was changed" in found for found in ledger.verify())
        with pytest.raises(LedgerChangedError):
            ledger.requests.check(ledger.runs.all()[0])
