"""What is withdrawn of a run: nothing that it did not create, and everything that can be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.model import ChangeStatus, StatusRow
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

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATES = [*TENANT_OUTCOMES, "SOMETHING_NEW"]


def row(**other: object) -> StatusRow:
    usual = {
        "identity": "i1",
        "item": "r1",
        "request_type": "GRANT_ACCESS",
        "created": NOW,
        "metadata": {"accessBatchRequest": "run-1", "accessBatchItem": "r1"},
        "access_request": "a1",
        "item_type": "ROLE",
        "state": "EXECUTING",
        "cancelable": True,
        "activity": "x1",
    }
    return StatusRow(**{**usual, **other})  # type: ignore[arg-type]


def change(request: int = 1, **other: object) -> AcceptedChange:
    usual = {"operation": "GRANT", "identity": "i1", "item_type": "ROLE", "item": "r1", "accepted_at": NOW}
    return AcceptedChange(request=request, **{**usual, **other})  # type: ignore[arg-type]


def fate_of(*rows: StatusRow, own: AcceptedChange | None = None) -> CancelOutcome:
    changes = RunChanges("run", [own or change()])
    return cancel_outcomes(changes, rows_of_run(rows, changes))[0]


ROWS = st.lists(
    st.builds(
        row,
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
def test_no_row_is_withdrawn_that_the_run_did_not_create(rows: list[StatusRow]) -> None:
    wanted = cancel_scope(rows_of_run(rows, OWN))
    on_sent = [one for one in rows if one.access_request in wanted.whole] + list(wanted.single)
    assert all((one.metadata or {}).get("accessBatchRequest", "").startswith("run-") for one in on_sent)
    assert all(OWN.created_for(one) is not None for one in on_sent)


@given(ROWS)
def test_every_row_of_the_run_that_can_be_withdrawn_is_withdrawn_once(rows: list[StatusRow]) -> None:
    wanted = cancel_scope(rows_of_run(rows, OWN))
    asked = [one.activity for group in wanted.whole.values() for one in group]
    asked += [one.activity for one in wanted.single]
    mine = [one.activity for one in rows if OWN.created_for(one) is not None and is_cancelable(one)]
    assert sorted(asked) == sorted(mine)
    assert wanted.changes == len(mine)


@given(ROWS)
def test_every_change_comes_to_exactly_one_thing(rows: list[StatusRow]) -> None:
    came_to = cancel_outcomes(OWN, rows_of_run(rows, OWN))
    assert sum(count_outcomes(came_to).values()) == len(OWN.changes)
    assert len(to_revoke(OWN, came_to)) == came_to.count(CancelOutcome.GRANTED)


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
def test_only_what_was_granted_is_to_be_revoked(
    state: str, said: str, grant: CancelOutcome, revoke: CancelOutcome
) -> None:
    ended = row(state=state, said=said, cancelable=False)
    assert fate_of(ended) is grant
    assert fate_of(ended, own=change(operation="REVOKE")) is revoke


def test_what_the_list_does_not_show_is_what_the_ledger_knows() -> None:
    known = ChangeStatus(request=1, identity="i1", item_type="ROLE", item="r1", state="REQUEST_COMPLETED")
    assert fate_of(own=change(known=known)) is CancelOutcome.GRANTED
    assert fate_of() is CancelOutcome.NOT_VISIBLE


def test_of_a_change_that_arrived_twice_both_rows_are_withdrawn_and_the_granted_one_is_told() -> None:
    twice = [row(activity="x1", access_request="a1"), row(activity="x2", access_request="a2")]
    assert set(cancel_scope(rows_of_run(twice, OWN)).whole) == {"a1", "a2"}
    done = [row(state="CANCELLED", cancelable=False), row(state="REQUEST_COMPLETED", cancelable=False)]
    assert fate_of(*done) is CancelOutcome.GRANTED


def test_a_row_of_a_request_that_was_divided_belongs_to_what_took_over_from_it() -> None:
    own = RunChanges("run", [change(5)])
    assert own.created_for(row(metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r1"})) == 0
    assert own.created_for(row(metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r9"})) is None
    assert own.created_for(row(item_type="ENTITLEMENT")) is None


def test_only_news_is_written_down() -> None:
    first = new_statuses(RunChanges("run", [change()]), rows_of_run([row(since=NOW)], RunChanges("run", [change()])))
    assert [(one.state, one.since, one.access_request) for one in first] == [
        ("EXECUTING", "2026-03-01T12:00:00.000Z", "a1")
    ]
    again = RunChanges("run", [change(known=first[0])])
    assert new_statuses(again, rows_of_run([row(since=NOW)], again)) == ()


def test_a_row_of_a_request_that_was_divided_is_not_that_of_a_later_one() -> None:
    own = RunChanges("run", [change(2), change(3)])
    row_of_divided = row(metadata={"accessBatchRequest": "run-1", "accessBatchItem": "r1"}, state="REJECTED")
    assert own.created_for(row_of_divided) == 0
    assert cancel_outcomes(own, rows_of_run([row_of_divided], own)) == (
        CancelOutcome.REJECTED,
        CancelOutcome.NOT_VISIBLE,
    )
