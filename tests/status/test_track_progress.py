"""Tracking: which row is which change, in whatever order rows come, and which list is the cheapest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY, ItemType, Operation
from batch.api.status_row import ChangeStatus, StatusRow
from batch.loops.track import FIRST_WAIT, LONGEST_WAIT, next_wait
from batch.model import Existing, Request, RequestItem
from batch.status.cancel import CancelOutcome, RunRows, cancel_outcomes, to_revoke
from batch.status.evidence import requested_already
from batch.status.matching import AcceptedChange, RunChanges
from batch.status.progress import MOST_IDENTITIES, TrackedRun, TrackQuery
from tests.builders import our_row, status_row

RUN = "run1"
A_REQUEST = Request(
    number=1, run=RUN, operation=Operation.GRANT, recipients=("i1",), items=(RequestItem(type=ItemType.ROLE, id="r1"),)
)
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
A_CHANGE = AcceptedChange(
    request=1, operation=Operation.GRANT, identity="i1", item_type="ROLE", item="r1", accepted_at=BEGAN
)
SOON = timedelta(seconds=60)
SCHEMA: dict[str, Any] = {
    "request": pl.Int64,
    **dict.fromkeys(
        ("operation", "identity_id", "item_type", "item_id", "account", "selection", "start_date", "remove_date",
         "accepted_at", "state", "who", "said", "since", "access_request"),
        pl.String,
    ),
}  # fmt: skip


def accepted(request: int, identity: str, item: str = "r1", **other: str) -> dict[str, Any]:
    """An accepted change without a status, unless given."""
    return {
        "request": request, "operation": "GRANT", "identity_id": identity, "item_type": "ROLE", "item_id": item,
        "account": "", "selection": "", "accepted_at": BEGAN.isoformat(), **other,
    }  # fmt: skip


def with_status(request: int, identity: str, state: str, access_request: str, **other: str) -> dict[str, Any]:
    empty = {"who": "", "said": "", "since": "", "access_request": access_request}
    return accepted(request, identity, state=state, **{**empty, **other})


def tracked(*changes: dict[str, Any], run: str = RUN) -> TrackedRun:
    made = TrackedRun(run, pl.DataFrame(list(changes), schema=SCHEMA), since=BEGAN)
    made.set_clock(timedelta())
    return made


def row(request: int | None, identity: str, state: str = "EXECUTING", item: str = "r1", **fields: Any) -> StatusRow:
    """A row of the list; without clientMetadata if no request is given."""
    usual = {
        "created": BEGAN, "state": state, "access_request": f"a-{request}-{identity}",
        "activity": f"act-{request}-{identity}-{item}",
    }  # fmt: skip
    if request is None:
        return status_row(identity, item, **usual | fields)
    return our_row(f"{RUN}-{request}", identity, item, **usual | fields)


def looked(made: TrackedRun, *rows: StatusRow) -> list[ChangeStatus]:
    made.begin_look()
    return [*made.take(rows), *made.end_look()]


def states(findings: list[ChangeStatus]) -> dict[tuple[int, str, str], str]:
    return {(one.request, one.identity, one.item): one.state for one in findings}


def test_a_row_belongs_to_the_change_of_the_request_that_its_metadata_names() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i2"), accepted(2, "i1", "r2"))
    found = looked(made, row(1, "i1", "REJECTED", who="Ann", said="no", since=BEGAN), row(2, "i1", item="r2"))
    assert found[0] == ChangeStatus(
        request=1, identity="i1", item_type="ROLE", item="r1", state="REJECTED", who="Ann", said="no",
        since="2026-03-01T12:00:00.000Z", access_request="a-1-i1",
    )  # fmt: skip
    assert states(found) == {(1, "i1", "r1"): "REJECTED", (2, "i1", "r2"): "EXECUTING"}
    assert made.open == 2


def test_a_row_of_a_divided_request_belongs_to_the_request_that_took_the_change_over() -> None:
    made = tracked(accepted(4, "i1"), accepted(6, "i1", "r2"), accepted(7, "i1"), accepted(9, "i1"))
    found = looked(made, row(5, "i1", "REJECTED"), row(5, "i1", item="r2"), row(9, "i1"))
    assert states(found) == {(7, "i1", "r1"): "REJECTED", (6, "i1", "r2"): "EXECUTING", (9, "i1", "r1"): "EXECUTING"}


def test_the_metadata_names_the_item_if_the_lists_id_is_the_requests() -> None:
    made = tracked(accepted(1, "i1"))
    metadata = {REQUEST_ID_KEY: f"{RUN}-1", ITEM_ID_KEY: "r1"}
    assert states(looked(made, row(1, "i1", item="a-request", metadata=metadata))) == {(1, "i1", "r1"): "EXECUTING"}


def test_two_kinds_of_item_with_one_id_are_distinguished() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i1", item_type="ENTITLEMENT"))
    (found,) = looked(made, row(1, "i1", "REJECTED", item_type="ENTITLEMENT"))
    assert (found.item_type, made.open) == ("ENTITLEMENT", 1)


@pytest.mark.parametrize("request_id", ["run1-9", "run2-1", "run1", "", "run1-x"])
def test_rows_of_other_requests_are_ignored(request_id: str) -> None:
    made = tracked(accepted(1, "i1"))
    assert looked(made, row(1, "i1", "REJECTED", metadata={REQUEST_ID_KEY: request_id, ITEM_ID_KEY: "r1"})) == []
    assert looked(made, row(1, "i2", "REJECTED")) == []


def test_only_new_statuses_are_returned() -> None:
    made = tracked(accepted(1, "i1"), with_status(1, "i2", "EXECUTING", "a-1-i2"))
    assert states(looked(made, row(1, "i1"), row(1, "i2"))) == {(1, "i1", "r1"): "EXECUTING"}
    assert looked(made, row(1, "i1"), row(1, "i2")) == []
    moved = made.moved
    assert states(looked(made, row(1, "i1"), row(1, "i2", "REQUEST_COMPLETED"))) == {
        (1, "i2", "r1"): "REQUEST_COMPLETED"
    }
    assert (made.moved - moved, made.open) == (1, 1)


def test_an_unknown_state_is_kept_as_it_is_and_counts_as_open() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i2"))
    assert set(states(looked(made, row(1, "i1", "BRAND_NEW"), row(1, "i2", ""))).values()) == {"BRAND_NEW", "UNKNOWN"}
    assert made.open == 2


def test_only_the_newest_request_of_a_change_submitted_again_is_waited_for() -> None:
    made = tracked(with_status(1, "i1", "REJECTED", "a-1-i1"), accepted(2, "i1"))
    assert made.open == 1
    assert states(looked(made, row(1, "i1", "REJECTED"), row(2, "i1", "REQUEST_COMPLETED"))) == {
        (2, "i1", "r1"): "REQUEST_COMPLETED"
    }
    assert made.open == 0


# Rows without metadata.


def test_identity_item_operation_and_time_stand_in_for_missing_metadata() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i2"), accepted(1, "i3"), accepted(1, "i4"))
    found = looked(
        made,
        row(None, "i1", "REJECTED"),
        row(None, "i2", "REJECTED", request_type="REVOKE_ACCESS"),
        row(None, "i3", "REJECTED", created=BEGAN - timedelta(minutes=1)),
        row(None, "i4", "REJECTED", created=None),
    )
    assert states(found) == {(1, "i1", "r1"): "REJECTED"}


def test_rows_without_metadata_are_ignored_if_the_list_returns_ours() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i2"))
    assert states(looked(made, row(None, "i2", "REJECTED"), row(1, "i1"))) == {(1, "i1", "r1"): "EXECUTING"}


def test_the_older_row_of_a_change_submitted_twice_is_the_older_requests() -> None:
    made = tracked(accepted(1, "i1"), accepted(2, "i1"))
    old = row(None, "i1", "REJECTED", access_request="x", activity="x")
    new = row(None, "i1", access_request="y", activity="y", created=BEGAN + SOON)
    assert states(looked(made, new, old)) == {(1, "i1", "r1"): "REJECTED", (2, "i1", "r1"): "EXECUTING"}
    again = tracked(accepted(1, "i1"), accepted(2, "i1"))
    assert states(looked(again, old)) == {(1, "i1", "r1"): "REJECTED"}, "the rejection is never the newer one's"
    assert again.open == 1


# Rows of others.


def test_a_row_of_an_access_request_that_the_tenant_named_belongs_to_the_change_whoever_created_it() -> None:
    made = tracked(
        with_status(1, "i1", "EXISTING_REQUEST", "theirs"), with_status(1, "i2", "EXISTING_REQUEST", "theirs")
    )
    theirs = row(None, "i1", "REQUEST_COMPLETED", access_request="theirs")
    assert states(looked(made, theirs, row(None, "i2", "REJECTED", access_request="others"))) == {
        (1, "i1", "r1"): "REQUEST_COMPLETED"
    }
    by_type = row(None, "i2", "REJECTED", "another-id", access_request="theirs", metadata={"ticket": "T-1"})
    assert states(looked(made, by_type)) == {(1, "i2", "r1"): "REJECTED"}


def test_an_unknown_id_is_not_guessed_if_the_named_access_request_has_several_items() -> None:
    named = [
        with_status(1, "i1", "EXISTING_REQUEST", "theirs"),
        with_status(1, "i1", "EXISTING_REQUEST", "theirs", item_id="r2"),
    ]
    made = tracked(*named)
    assert looked(made, row(None, "i1", "REJECTED", "another-id", access_request="theirs")) == []


def test_the_outcome_of_anothers_request_is_never_taken_for_ours() -> None:
    existing = requested_already(A_REQUEST, [Existing(identity="i1", item_type="ROLE", item="r1", access_request="a9")])
    made = tracked(with_status(1, "i1", existing[0].state, "a9", said=existing[0].said))
    own = RunChanges(RUN, [A_CHANGE])
    for state in ("EXECUTING", "REQUEST_COMPLETED"):
        (found,) = looked(made, row(None, "i1", state, access_request="a9", said="well"))
        assert (found.state, found.said) == (state, "the tenant answered that this was requested already; well")
        known = RunChanges(RUN, [replace(own.changes[0], known=found)])
        assert cancel_outcomes(known, RunRows()) == (CancelOutcome.NOT_CREATED,)
        assert to_revoke(known, cancel_outcomes(known, RunRows()), lambda _: False) == ()
    (ours,) = looked(made, row(1, "i1", "REQUEST_COMPLETED"))
    known = RunChanges(RUN, [replace(own.changes[0], known=ours)])
    assert cancel_outcomes(known, RunRows()) == (CancelOutcome.GRANTED,), "our own request was there after all"


def test_another_item_of_a_named_access_request_says_nothing_of_ours() -> None:
    ours = row(None, "i1", "REQUEST_COMPLETED", access_request="theirs")
    another = row(None, "i1", "REJECTED", "r9", access_request="theirs", created=BEGAN + SOON, activity="z")
    for rows in ([ours, another], [another, ours]):
        made = tracked(with_status(1, "i1", "EXISTING_REQUEST", "theirs"))
        assert states(looked(made, *rows)) == {(1, "i1", "r1"): "REQUEST_COMPLETED"}
        assert looked(made, another, ours) == []


def test_our_own_row_overrides_one_of_the_named_access_request() -> None:
    own = row(1, "i1", "CANCELLED", said="duplicate")
    theirs = row(None, "i1", "EXECUTING", access_request="theirs", created=BEGAN + SOON)
    for rows in ([own, theirs], [theirs, own]):
        made = tracked(with_status(1, "i1", "EXISTING_REQUEST", "theirs"))
        assert states(looked(made, *rows))[1, "i1", "r1"] == "CANCELLED"
        assert made.open == 0


# Any order, any repeats.

_ROWS = st.builds(
    row,
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from(["i1", "i2"]),
    st.sampled_from(["EXECUTING", "REJECTED", "REQUEST_COMPLETED", "BRAND_NEW", "CANCELLED"]),
    st.sampled_from(["r1", "r2"]),
    created=st.sampled_from([BEGAN, BEGAN + SOON, BEGAN - SOON, None]),
    access_request=st.sampled_from(["", "theirs", "a1"]),
    activity=st.sampled_from(["", "x", "y"]),
    item_type=st.sampled_from(["ROLE", ""]),
    said=st.sampled_from(["", "duplicate"]),
    since=st.sampled_from([None, BEGAN]),
)


@pytest.mark.thorough
@settings(max_examples=90)
@given(rows=st.lists(_ROWS, max_size=10), order=st.randoms(use_true_random=False), cut=st.integers(0, 10))
def test_the_order_of_pages_and_repeats_of_rows_change_nothing(rows: list[StatusRow], order: Any, cut: int) -> None:
    changes = [
        with_status(1, "i1", "EXISTING_REQUEST", "theirs"),
        accepted(1, "i2"),
        accepted(2, "i1", "r2"),
        accepted(3, "i1"),
    ]

    def known(*pages: list[StatusRow]) -> tuple[dict[tuple[int, str, str], ChangeStatus], int]:
        made = tracked(*changes)
        made.begin_look()
        found = [one for page in pages for one in made.take(page)] + made.end_look()
        return {(one.request, one.identity, one.item): one for one in found}, made.open

    shuffled = rows + rows[:cut]
    order.shuffle(shuffled)
    once, in_pages = known(rows), known(shuffled[:cut], shuffled[cut:])
    known_before = {(1, "i1", "r1")}  # a status known before is not new, unless it changed in between
    assert {k: v for k, v in once[0].items() if k not in known_before} == {
        k: v for k, v in in_pages[0].items() if k not in known_before
    }
    assert once[1] == in_pages[1]
    assert {one.state for one in once[0].values()} <= {one.state for one in rows}


# What to ask.


def test_the_first_list_begins_with_the_run() -> None:
    made = tracked(accepted(1, "i1"))
    assert made.cheapest_queries(listed=None) == (made.own_list(),)
    assert made.own_list() == TrackQuery(since=BEGAN - timedelta(seconds=5))


def test_lists_begin_by_the_tenants_clock() -> None:
    made = TrackedRun(RUN, pl.DataFrame([accepted(1, "i1")], schema=SCHEMA), since=BEGAN)
    made.set_clock(timedelta(hours=1))
    assert made.own_list().since == BEGAN + timedelta(hours=1, seconds=-5)


def test_later_lists_begin_with_the_oldest_open_change() -> None:
    made = tracked(accepted(1, "i1"), accepted(2, "i2"))
    late = BEGAN + timedelta(hours=1)
    looked(made, row(1, "i1", "REQUEST_COMPLETED"), row(2, "i2", created=late))
    assert made.own_list().since == late - timedelta(seconds=5)


def many(number: int) -> TrackedRun:
    made = tracked(*(accepted(n, f"i{n:04}") for n in range(number)))
    looked(made, *(row(n, f"i{n:04}") for n in range(number)))
    return made


@pytest.mark.parametrize(
    ("changes", "listed", "asked"),
    [(1, 200, 1), (51, 400, 1), (51, 501, 2), (100, 100_000, 2), (101, 1_000, 3)],
)
def test_the_whole_list_or_access_requests_fifty_at_a_time_are_read_whichever_takes_fewer_calls(
    changes: int, listed: int, asked: int
) -> None:
    made = many(changes)
    questions = made.cheapest_queries(listed=listed)
    assert len(questions) == asked
    if questions != (made.own_list(),):
        named = [one for question in questions for one in question.access_requests]
        assert len(named) == len(set(named)) == changes
        assert all(len(question.access_requests) <= 50 for question in questions)


def test_if_no_access_requests_can_be_named_together_each_is_a_call_or_each_identity_is() -> None:
    made = many(3)
    assert [len(one.access_requests) for one in made.cheapest_queries(listed=10_000, at_once=1)] == [1, 1, 1]
    assert [one.identity for one in made.cheapest_queries(listed=10_000, at_once=0)] == ["i0000", "i0001", "i0002"]
    assert made.cheapest_queries(listed=10_000, at_once=0, identities=False) == (made.own_list(),)
    assert made.cheapest_queries(listed=700, at_once=1) == (made.own_list(),)


def test_changes_that_never_showed_are_listed_by_identity_if_that_is_cheaper() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i1", "r2"), accepted(2, "i2"))
    looked(made, row(2, "i2"))
    first, second = made.cheapest_queries(listed=10_000)
    assert (first.access_requests, second.identity) == (("a-2-i2",), "i1")


def test_access_requests_with_many_rows_count_as_many_pages() -> None:
    made = tracked(*(accepted(1, f"i{n}", f"r{item}") for n in range(20) for item in range(25)))
    looked(made, *(row(1, f"i{n}", item=f"r{item}") for n in range(20) for item in range(25)))
    assert made.cheapest_queries(listed=500) == (made.own_list(),)
    assert made.cheapest_queries(listed=501) != (made.own_list(),)


def test_requests_of_others_are_read_from_everybodys_list_and_not_from_ours() -> None:
    made = tracked(with_status(1, "i1", "EXISTING_REQUEST", "theirs"), accepted(2, "i2"))
    looked(made, row(2, "i2"))
    (theirs,) = made.queries_for_others()
    assert (theirs.access_requests, theirs.everybody) == (("theirs",), True)
    looked(made, row(2, "i2", "REQUEST_COMPLETED"))
    assert made.cheapest_queries(listed=300) == ()
    assert made.queries_for_others(at_once=0) == ()


# When to end.


def test_a_change_never_seen_is_looked_for_by_identity_once_and_then_given_up() -> None:
    made = tracked(accepted(1, "i1"), accepted(1, "i2"))
    looked(made, row(1, "i1"))
    assert made.next_overdue(SOON) == BEGAN + SOON
    early, late = BEGAN + SOON / 2, BEGAN + SOON
    assert made.queries_for_overdue(early, SOON) == ()
    made.give_up(early, SOON)
    assert made.open == 2
    assert [one.identity for one in made.queries_for_overdue(late, SOON)] == ["i2"]
    assert made.queries_for_overdue(late, SOON) == ()
    made.give_up(late, SOON)
    assert (made.open, made.next_overdue(SOON)) == (1, None)
    looked(made)
    made.give_up(late + SOON, SOON)
    assert made.open == 1, "a change that was seen once is waited for"


def test_a_change_that_shows_after_all_is_waited_for_again() -> None:
    made = tracked(accepted(1, "i1"))
    made.give_up(BEGAN + SOON, SOON)
    assert made.open == 0
    looked(made, row(1, "i1"))
    assert made.open == 1


def test_the_number_of_identities_looked_for_is_limited() -> None:
    made = tracked(*(accepted(n, f"i{n}") for n in range(MOST_IDENTITIES + 1)))
    assert len(made.queries_for_overdue(BEGAN + SOON, SOON)) == MOST_IDENTITIES
    assert made.queries_for_overdue(BEGAN + SOON, SOON) == ()


def test_looks_become_rarer_with_time_and_more_frequent_once_something_moves() -> None:
    waits = [0.0]
    for _ in range(12):
        waits.append(next_wait(waits[-1], moved=False, took=0.0))
    assert waits[1:4] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert max(waits) == waits[-1] == LONGEST_WAIT
    assert next_wait(LONGEST_WAIT, moved=True, took=0.0) == LONGEST_WAIT / 2
    assert next_wait(FIRST_WAIT, moved=True, took=0.0) == FIRST_WAIT
    assert next_wait(FIRST_WAIT, moved=True, took=40.0) == 40.0, "at most half of the time is spent reading lists"


def test_the_oldest_of_two_equal_rows_is_always_the_same_one() -> None:
    one, two = row(1, "i1", activity="x"), replace(row(1, "i1", activity="y"), state="REJECTED")
    for rows in ([one, two], [two, one]):
        made = tracked(accepted(1, "i1"))
        assert states(looked(made, *rows))[1, "i1", "r1"] == "REJECTED"
