"""The evidence of a run is proven without its ledger: whatever is changed in it, its events say otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.ledger.events import chained_hash
from batch.ledger.evidence import RunEvidence, replay
from batch.model import Answer, Failure
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import ACCEPTED, ME, REFUSED, change_status, claim, open_ledger, record, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ledger.ledger_helpers import Place


@pytest.fixture
def evidence(ledger_place: Place) -> RunEvidence:
    """Of a run with an accepted, a refused, an unconfirmed and a planned request, beside another run."""
    with open_ledger(ledger_place) as ledger:
        one, others = [change("anna", "r1", comment="INC1")], [[change(name, "r2")] for name in ("bo", "carl", "dora")]
        run = write(ledger, one, *others)
        write(ledger, [change("another-person", "another-item")], digest="other")
        accepted = claim(ledger, run)
        record(ledger, accepted, ACCEPTED)
        write(ledger, [change("more", "another-item")], digest="third")
        record(ledger, claim(ledger, run), REFUSED)
        record(ledger, claim(ledger, run), Answer(failure=Failure.BROKEN))
        ledger.tracks.write(
            run, [change_status(accepted.number, "anna", "EXECUTING", who="Olga", access_request="ar")], NOW
        )
    with open_ledger(ledger_place, only_read=True) as ledger:
        return ledger.evidence(run)


def test_the_evidence_of_a_sound_ledger_is_proven_and_holds_nothing_of_other_runs(evidence: RunEvidence) -> None:
    replayed = replay(evidence)
    assert replayed.faults == []
    assert len(replayed.keys) == 1
    assert "another-" not in str([table.rows() for table in evidence.tables.values()])
    events = evidence.tables["events"]
    assert replayed.heads == dict(events.select("number", "hash").iter_rows())
    assert sorted(map(sorted, replayed.states.values())) == [
        ["ACCEPTED", "SENDING"],
        ["PLANNED"],
        ["REFUSED", "SENDING"],
        ["SENDING", "UNCONFIRMED"],
    ]


def test_a_report_takes_the_same_from_the_evidence_as_from_the_ledger(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        run = write(ledger, [change("anna", "r1"), change("bo", "r1")])
        request = claim(ledger, run)
        record(ledger, request, Answer(failure=Failure.BROKEN))
        ledger.requests.settle(request, arrived=True, now=NOW, process=ME, access_requests=["ar"])
        ledger.tracks.write(run, [change_status(request.number, "anna", "EXECUTING")], NOW)
        kept, taken = ledger.records(run), ledger.evidence(run).records()
    # Nothing covers this time, so evidence takes it from events.
    assert taken.changes.drop("state_at").equals(kept.changes.drop("state_at"))
    assert taken.events.equals(kept.events)


TEXTS = [
    (table, column)
    for table, columns in {
        "events": ("at", "event", "detail", "hash", "public", "signature"),
        "requests": ("tag", "operation", "state", "seal"),
        "changes": ("identity_id", "item_type", "item_id", "comment", "start_date", "tenant_state", "who", "since"),
    }.items()
    for column in columns
]


@pytest.mark.parametrize(("table", "column"), TEXTS)
def test_a_text_that_was_changed_is_named(evidence: RunEvidence, table: str, column: str) -> None:
    frame = evidence.tables[table]
    for row in range(frame.height):
        before = frame.get_column(column)[row]
        if before is not None:
            # One of the same kind, so that nothing but the events can tell.
            other = {"GRANT": "REVOKE", "ROLE": "ENTITLEMENT", "ACCEPTED": "REFUSED"}.get(before, f"{before}0")
            assert replay(put(evidence, table, column, row, other)).faults, (row, before)


@pytest.mark.parametrize("table", ["events", "requests", "changes"])
def test_a_line_that_was_taken_away_or_doubled_is_named(evidence: RunEvidence, table: str) -> None:
    frame = evidence.tables[table]
    for row in range(frame.height):
        less = pl.concat([frame.head(row), frame.slice(row + 1)])
        more = pl.concat([frame, frame.slice(row, 1)])
        assert replay(with_table(evidence, table, less)).faults, row
        assert replay(with_table(evidence, table, more)).faults, row


def test_numbers_that_were_changed_are_named(evidence: RunEvidence) -> None:
    columns = [("events", "number"), ("events", "request"), ("events", "status"), ("events", "place")]
    for table, column in [*columns, ("requests", "request"), ("requests", "attempts"), ("changes", "request")]:
        row = next(n for n, value in enumerate(evidence.tables[table].get_column(column)) if value is not None)
        number = evidence.tables[table].get_column(column)[row]
        assert replay(put(evidence, table, column, row, number + 1)).faults, column
    assert replay(put(evidence, "requests", "parent", 0, 2)).faults


def test_a_chain_that_was_computed_again_lacks_the_signatures_of_its_machine(evidence: RunEvidence) -> None:
    def forge(row: dict[str, object]) -> None:
        if row["event"] == "refused":
            row["event"] = "accepted"

    forged = rechained(evidence, forge)
    assert "the signature of event" in " ".join(replay(forged).faults)


def test_another_ledger_run_or_tenant_is_named(evidence: RunEvidence) -> None:
    assert replay(evidence._replace(ledger="another")).faults
    assert replay(evidence._replace(run="another")).faults
    assert "name" in " ".join(replay(evidence._replace(about={**evidence.about, "name": "https://other"})).faults)
    assert replay(evidence._replace(about={})).faults


def test_nonsense_in_the_details_of_an_event_is_a_fault_and_no_crash(evidence: RunEvidence) -> None:
    for detail in ("", "[]", "1", '{"first": "x"}', json.dumps({"findings": 3}), "[" * 100_000):
        assert replay(put(evidence, "events", "detail", 0, detail)).faults


def put(evidence: RunEvidence, table: str, column: str, row: int, value: object) -> RunEvidence:
    frame = evidence.tables[table]
    values = frame.get_column(column).to_list()
    values[row] = value
    changed = frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))
    return with_table(evidence, table, changed)


def with_table(evidence: RunEvidence, table: str, frame: pl.DataFrame) -> RunEvidence:
    return evidence._replace(tables={**evidence.tables, table: frame})


def rechained(evidence: RunEvidence, edit: Callable[[dict[str, object]], None]) -> RunEvidence:
    """The evidence with edited events whose hashes fit, as whoever lacks the machine's key can make it."""
    before, rows = "", []
    for row in evidence.tables["events"].rows(named=True):
        edit(row)
        before = row["hash"] = chained_hash(before, evidence.run, row)
        rows.append(row)
    frame = pl.DataFrame(rows, schema=evidence.tables["events"].schema)
    return with_table(evidence, "events", frame)
