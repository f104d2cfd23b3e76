"""Cancelling a run touches nothing that the run did not create, and everything else that can be cancelled."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.status_row import ChangeStatus, StatusRow
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.status.cancel import (
    CancelOutcome,
    cancel_outcomes,
    cancel_scope,
    count_outcomes,
    is_cancelable,
    new_statuses,
    rows_of_run,
    to_revoke,
)
from batch.status.matching import AcceptedChange, RunChanges
from tests.builders import NOW, our_row

ROW = our_row("run-1", cancelable=True)
STATES = [*TENANT_OUTCOMES, "SOMETHING_NEW"]


def change(request: int = 1, **other: object) -> AcceptedChange:
    usual = {"operation": "GRANT", "identity": "i1", "item_type": "ROLE", "item": "r1", "accepted_at": NOW}
    return AcceptedChange(request=request, **{**usual, **other})  # type: ignore[arg-type]


def outcome_of(*rows: StatusRow, own: AcceptedChange | None = None) -> CancelOutcome:
    changes = RunChanges("run", [own or change()])
    return cancel_outcomes(changes, rows_of_run(rows, changes))[0]


ROWS = st.lists(
    st.builds(
        partial(our_row, "run-1"),
        identity=st.sampled_from(["i1", "i2"]),
        metadata=st.one_of(
            st.none(),
            st.builds(
                lambda request, item: {"accessBatchRequest": request, "accessBatchItem": item},
                st.sampled_from(["run-1", "run-2", "run", "run2-1", "other-1"]),
                st.sampled_from(["r1", "r2", "r3"]),
            ),
        ),
        access_request=st.sampled_from(["", "a1", "a2", "a3"]),
        activity=st.uuids().map(str),
        state=st.sampled_from(STATES),
        cancelable=st.booleans(),
    ),
    max_size=12,
)
OWN = RunChanges(
    "run", [change(request, identity=i, item=r) for request, r in ((1, "r1"), (2, "r2")) for i in ("i1", "i2")]
)


@given(ROWS)
def test_no_row_is_cancelled_that_the_run_did_not_create(rows: list[StatusRow]) -> None:
    wanted = cancel_scope(rows_of_run(rows, OWN))
    asked = [one for one in rows if one.access_request in wanted.whole] + list(wanted.single)
    assert all((one.metadata or {}).get("accessBatchRequest", "").startswith("run-") for one in asked)
    assert all(OWN.created_for(one) is not None for one in asked)


@given(ROWS)
def test_every_row_of_the_run_that_can_be_cancelled_is_cancelled_once(rows: list[StatusRow]) -> None:
    wanted = cancel_scope(rows_of_run(rows, OWN))
    asked = [one.activity for group in wanted.whole.values() for one in group]
    asked += [one.activity for one in wanted.single]
    mine = [one.activity for one in rows if OWN.created_for(one) is not None and is_cancelable(one)]
    assert sorted(asked) == sorted(mine)
    assert wanted.changes == len(mine)


@given(ROWS)
def test_every_change_has_exactly_one_outcome(rows: list[StatusRow]) -> None:
    outcomes = cancel_outcomes(OWN, rows_of_run(rows, OWN))
    assert sum(count_outcomes(outcomes).values()) == len(OWN.changes)
    assert len(to_revoke(OWN, outcomes, lambda _: False)) == outcomes.count(CancelOutcome.GRANTED)


@pytest.mark.parametrize(
    ("state", "said", "grant", "revoke"),
    [
        ("REQUEST_COMPLETED", "", CancelOutcome.GRANTED, CancelOutcome.REVOKED),
        ("NOT_ALL_ITEMS_PROVISIONED", "", CancelOutcome.GRANTED, CancelOutcome.REVOKED),
        ("PROVISIONING_FAILED", "", CancelOutcome.FAILED, CancelOutcome.FAILED),
        ("REJECTED", "no", CancelOutcome.REJECTED, CancelOutcome.REJECTED),
        ("CANCELLED", "", CancelOutcome.CANCELLED, CancelOutcome.CANCELLED),
        ("CANCELLED", "A duplicate of another", CancelOutcome.DUPLICATE, CancelOutcome.DUPLICATE),
        ("PROVISIONING_VERIFICATION_PENDING", "", CancelOutcome.UNDER_WAY, CancelOutcome.UNDER_WAY),
        ("EXECUTING", "", CancelOutcome.UNDER_WAY, CancelOutcome.UNDER_WAY),
        ("SOMETHING_NEW", "", CancelOutcome.UNDER_WAY, CancelOutcome.UNDER_WAY),
    ],
)
def test_only_granted_changes_are_to_be_revoked(
    state: str, said: str, grant: CancelOutcome, revoke: CancelOutcome
) -> None:
    ended = replace(ROW, state=state, said=said, cancelable=False)
    assert outcome_of(ended) is grant
    assert outcome_of(ended, own=change(operation="REVOKE")) is revoke


def test_the_ledger_decides_if_the_list_shows_nothing() -> None:
    known = ChangeStatus(request=1, identity="i1", item_type="ROLE", item="r1", state="REQUEST_COMPLETED")
    assert outcome_of(own=change(known=known)) is CancelOutcome.GRANTED
    assert outcome_of() is CancelOutcome.NOT_VISIBLE


def test_both_rows_of_a_change_that_arrived_twice_are_cancelled_and_the_granted_one_decides() -> None:
    twice = [replace(ROW, activity="x1", access_request="a1"), replace(ROW, activity="x2", access_request="a2")]
    assert set(cancel_scope(rows_of_run(twice, OWN)).whole) == {"a1", "a2"}
    done = [
        replace(ROW, state="CANCELLED", cancelable=False),
        replace(ROW, state="REQUEST_COMPLETED", cancelable=False),
    ]
    assert outcome_of(*done) is CancelOutcome.GRANTED


def test_a_row_of_a_divided_request_belongs_to_the_request_that_took_over() -> None:
    own = RunChanges("run", [change(5)])
    assert own.created_for(replace(ROW, metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r1"})) == 0
    assert own.created_for(replace(ROW, metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r9"})) is None
    assert own.created_for(replace(ROW, item_type="ENTITLEMENT")) is None


def test_only_new_statuses_are_recorded() -> None:
    first = new_statuses(
        RunChanges("run", [change()]), rows_of_run([replace(ROW, since=NOW)], RunChanges("run", [change()]))
    )
    assert [(one.state, one.since, one.access_request) for one in first] == [
        ("EXECUTING", "2026-03-01T12:00:00.000Z", "a1")
    ]
    again = RunChanges("run", [change(known=first[0])])
    assert new_statuses(again, rows_of_run([replace(ROW, since=NOW)], again)) == ()


def test_a_row_of_a_divided_request_belongs_to_the_first_that_took_over() -> None:
    own = RunChanges("run", [change(2), change(3)])
    row_of_divided = replace(ROW, metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r1"}, state="REJECTED")
    assert own.created_for(row_of_divided) == 0
    assert cancel_outcomes(own, rows_of_run([row_of_divided], own)) == (
        CancelOutcome.REJECTED,
        CancelOutcome.NOT_VISIBLE,
    )
