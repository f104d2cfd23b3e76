"""Which change of the ledger a listed row is about, and where the two disagree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ATTEMPT_ID_KEY, Operation
from batch.states import State
from batch.status.audit import LISTED_WITHIN, Comparison, LedgerLine, ListedRows, Mismatch
from tests.builders import NOW, our_row

if TYPE_CHECKING:
    from batch.api.status_row import StatusRow

LINE = LedgerLine(
    run="run",
    request=1,
    tag="aa",
    parent=None,
    operation=Operation.GRANT,
    request_state=State.ACCEPTED,
    state_at=NOW,
    identity="I-1",
    item_type="ROLE",
    item="R-1",
    tracked="",
    said="",
    access_request="",
)


def row(name: str, attempt: str = "x1", *, access_request: str = "q1", **fields: Any) -> StatusRow:
    made = our_row(name, "I-1", "R-1", access_request=access_request, **fields)
    return replace(made, metadata={**(made.metadata or {}), ATTEMPT_ID_KEY: attempt})


def kinds(
    lines: list[LedgerLine],
    *rows: StatusRow,
    attempts: dict[int, set[str]],
    found: dict[int, set[str]] | None = None,
    imported: list[LedgerLine] | None = None,
) -> list[Mismatch]:
    listed = ListedRows(runs={"run"})
    for one in rows:
        listed.take(one)
    comparison = Comparison(listed, lines, attempts=attempts, found=found or {}, imported=imported or [])
    missing = comparison.missing(NOW + LISTED_WITHIN)
    return [finding.kind for finding in comparison.findings(missing)]


FIRST = {1: {"x1"}}


@pytest.mark.parametrize(
    "one",
    [
        row("run-1-aa"),
        # Tenants may change the case of letters, and spell ids without hyphens.
        row("RUN-1-AA", "X1"),
        replace(row("run-1-aa"), identity="i1"),
        # A request of an old ledger has no tag, and its attempts no ids.
        row("run-1-aa", ""),
    ],
)
def test_a_row_of_the_request_and_attempt_that_the_ledger_has_is_as_it_should_be(one: StatusRow) -> None:
    assert kinds([LINE], one, attempts=FIRST) == []


def test_the_same_row_read_twice_is_one_submission() -> None:
    assert kinds([LINE], row("run-1-aa"), row("run-1-aa", state="EXECUTING"), attempts=FIRST) == []


@pytest.mark.parametrize(
    "other",
    [
        row("run-1-aa", "x2", access_request="q2"),
        row("run-1-aa", "x2"),
        row("run-1-aa", access_request="q2"),
        row("run-1-bb", "x2", access_request="q2"),
        row("run-9-aa", "x2", access_request="q2"),
    ],
)
def test_two_submissions_of_a_change_that_was_wanted_once_are_reported_once(other: StatusRow) -> None:
    assert kinds([LINE], row("run-1-aa"), other, attempts=FIRST) == [Mismatch.TWICE]


def test_a_change_that_was_wanted_twice_may_be_submitted_twice() -> None:
    again = replace(LINE, request=2, tag="bb")
    rows = row("run-1-aa"), row("run-2-bb", "x2", access_request="q2")
    assert kinds([LINE, again], *rows, attempts={**FIRST, 2: {"x2"}}) == []


@pytest.mark.parametrize("one", [row("run-1-aa", "x9"), row("run-1-bb"), row("run-7-aa")])
def test_a_request_or_attempt_that_the_ledger_does_not_have_is_reported(one: StatusRow) -> None:
    assert set(kinds([LINE], one, attempts=FIRST)) == {Mismatch.UNKNOWN, Mismatch.NOT_LISTED}


@pytest.mark.parametrize("state", [State.PLANNED, State.REFUSED, State.SPLIT, State.DISCARDED])
def test_a_request_that_was_never_accepted_must_not_be_listed(state: State) -> None:
    assert kinds([replace(LINE, request_state=state)], row("run-1-aa"), attempts=FIRST) == [Mismatch.DIFFERENT]


@pytest.mark.parametrize("state", [State.SENDING, State.UNCONFIRMED])
def test_a_request_in_doubt_may_be_listed_or_not(state: State) -> None:
    line = replace(LINE, request_state=state)
    assert kinds([line], row("run-1-aa"), attempts=FIRST) == kinds([line], attempts=FIRST) == []
    # A ledger that was put back does not have the attempt that it doubts.
    assert kinds([line], row("run-1-aa", "x9"), attempts=FIRST) == []
    assert kinds([line], row("run-1-aa", "x8"), row("run-1-aa", "x9", access_request="q9"), attempts=FIRST) == [
        Mismatch.TWICE
    ]


def test_a_row_of_a_divided_request_is_about_the_part_that_has_the_change_now() -> None:
    whole = replace(LINE, request_state=State.SPLIT)
    part = replace(LINE, request=2, tag="bb", parent=1)
    assert kinds([whole, part], row("run-1-aa"), attempts=FIRST) == []
    # The part was sent as well.
    both = row("run-1-aa"), row("run-2-bb", "x2", access_request="q2")
    assert kinds([whole, part], *both, attempts={**FIRST, 2: {"x2"}}) == [Mismatch.TWICE]


def test_a_row_whose_access_request_settling_has_found_is_known_whatever_its_ids() -> None:
    assert kinds([LINE], row("run-9-zz", "x9"), attempts={}, found={1: {"q1"}}) == []


def test_a_request_that_a_ledger_lost_and_imported_again_is_known() -> None:
    lost = replace(LINE, run="imported", request=9, access_request="q2")
    unknown = row("run-5-zz", "x5", access_request="q2")
    assert kinds([], unknown, attempts={}, imported=[lost]) == []
    assert kinds([], unknown, attempts={}) == [Mismatch.UNKNOWN]
    assert kinds([LINE], row("run-1-aa"), unknown, attempts=FIRST, imported=[lost]) == []


def test_a_discarded_change_that_was_listed_and_imported_since_is_known() -> None:
    discarded = replace(LINE, request_state=State.DISCARDED)
    imported = replace(LINE, run="imported", request=9, access_request="q1")
    assert kinds([discarded], row("run-1-aa"), attempts=FIRST, imported=[imported]) == []
    twice = row("run-1-aa"), row("run-1-aa", "x2", access_request="q2")
    assert kinds([discarded], *twice, attempts=FIRST, imported=[imported]) == [Mismatch.TWICE]


def test_a_discarded_change_that_was_listed_and_counts_as_a_later_request_is_known() -> None:
    lines = [replace(LINE, request_state=State.DISCARDED), replace(LINE, request=2, tag="bb")]
    assert kinds(lines, row("run-1-aa"), attempts=FIRST, found={2: {"q1"}}) == []
    again = row("run-2-bb", "x2", access_request="q2")
    assert kinds(lines, row("run-1-aa"), again, attempts={**FIRST, 2: {"x2"}}) == [Mismatch.TWICE]


def test_only_changes_accepted_an_hour_ago_must_be_listed() -> None:
    late = replace(LINE, state_at=NOW + timedelta(seconds=1))
    existing = replace(LINE, tracked="EXISTING_REQUEST")
    assert kinds([LINE], attempts=FIRST) == [Mismatch.NOT_LISTED]
    assert kinds([late], attempts=FIRST) == kinds([existing], attempts=FIRST) == []
    comparison = Comparison(ListedRows(runs={"run"}), [LINE, late, existing], attempts=FIRST, found={})
    assert comparison.not_listed_yet(NOW + LISTED_WITHIN) == 1


def test_a_row_without_client_metadata_of_the_same_person_and_item_counts_as_listed() -> None:
    bare = replace(row("run-1-aa"), metadata=None)
    assert kinds([LINE], bare, attempts=FIRST) == []


@pytest.mark.parametrize(
    ("tracked", "listed", "expected"),
    [
        ("REJECTED", "REQUEST_COMPLETED", [Mismatch.DIFFERENT]),
        ("REJECTED", "REJECTED", []),
        ("EXECUTING", "REJECTED", []),
        ("", "REJECTED", []),
    ],
)
def test_a_change_that_had_ended_must_not_end_differently(tracked: str, listed: str, expected: list[Mismatch]) -> None:
    line = replace(LINE, tracked=tracked)
    assert kinds([line], row("run-1-aa", state=listed), attempts=FIRST) == expected
