"""Tests of status.second_hand: rows of the list beside what only another machine has recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.api.dialects import Operation
from batch.api.status_row import ChangeStatus
from batch.api.tenant_outcome import TenantOutcome
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA, classify
from batch.states import State
from batch.status.matching import AcceptedChange, RunChanges
from batch.status.second_hand import Report, Undone, is_shown, second_hand
from batch.text import instant
from tests.builders import NOW, our_row, status_row

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.api.status_row import StatusRow

OURS, THEIRS = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
LATER = NOW + timedelta(seconds=20)
NO_OFFSET = timedelta()


def undo(**fields: Any) -> Report:
    """Their revoke, request 2 of the ledger, of our grant."""
    report = Report(
        run=THEIRS,
        request=2,
        operation=Operation.REVOKE,
        identity="i1",
        item_type="ROLE",
        item="r1",
        accepted_at=LATER,
        outcome=TenantOutcome.PROVISIONED,
        undone=Undone(run=OURS, operation=Operation.GRANT, accepted_at=NOW),
    )
    return replace(report, **fields)


def theirs(**fields: Any) -> StatusRow:
    usual: dict[str, Any] = {"request_type": "REVOKE_ACCESS", "state": "REQUEST_COMPLETED", "created": LATER}
    return our_row(f"{THEIRS}-2", **usual | fields)


def ours(**fields: Any) -> StatusRow:
    return our_row(f"{OURS}-1", **{"state": "REQUEST_COMPLETED"} | fields)


def shown(report: Report, *rows: StatusRow, offset: timedelta = NO_OFFSET, known: ChangeStatus | None = None) -> bool:
    change = AcceptedChange(
        request=report.request,
        operation=report.operation,
        identity="i1",
        item_type="ROLE",
        item="r1",
        accepted_at=report.accepted_at,
        known=known,
    )
    return is_shown(report, rows, RunChanges(report.run, [change]), offset)


def test_a_completed_row_of_the_request_after_ours_shows_that_it_was_undone() -> None:
    assert shown(undo(), ours(), theirs())
    assert shown(undo(), theirs()), "the list has no old rows any more"


def test_a_row_soon_after_our_answer_needs_our_own_row_before_it() -> None:
    soon = NOW + timedelta(seconds=2)
    assert not shown(undo(), theirs(created=soon))
    assert shown(undo(), ours(), theirs(created=soon))
    assert not shown(undo(), status_row(state="REQUEST_COMPLETED"), theirs(created=soon)), "whose grant is that?"


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (ours(),),
        (ours(), theirs(state="EXECUTING")),
        (ours(), theirs(state="REJECTED")),
        (ours(), theirs(request_type="GRANT_ACCESS")),
        (ours(), theirs(request_type="")),
        (ours(), theirs(created=None)),
        (ours(), theirs(created=NOW - timedelta(seconds=1))),
        (ours(created=LATER), theirs()),
        (ours(created=None), theirs()),
        (ours(), theirs(), status_row(created=LATER + timedelta(hours=1))),
        (ours(), theirs(item_type="ENTITLEMENT")),
        (ours(), our_row(f"{OURS}-2", request_type="REVOKE_ACCESS", state="REQUEST_COMPLETED", created=LATER)),
    ],
)
def test_anything_else_does_not_show_it(rows: tuple[StatusRow, ...]) -> None:
    assert not shown(undo(), *rows)


def test_the_times_are_compared_by_the_tenants_clock() -> None:
    ahead = timedelta(minutes=10)
    assert not shown(undo(), theirs(), offset=ahead)
    assert shown(undo(), theirs(created=LATER + ahead), offset=ahead)


def test_rows_without_metadata_count_by_their_operation_and_time() -> None:
    bare = status_row(request_type="REVOKE_ACCESS", state="REQUEST_COMPLETED", created=LATER)
    assert shown(undo(), status_row(state="REQUEST_COMPLETED"), bare)
    assert not shown(undo(), replace(bare, created=NOW - timedelta(minutes=1)))
    dates = undo(operation=Operation.GRANT)
    assert not shown(dates, replace(bare, request_type="GRANT_ACCESS")), "it may be the grant itself"


def test_an_imported_change_is_shown_by_its_access_request() -> None:
    known = ChangeStatus(
        request=2, identity="i1", item_type="ROLE", item="r1", state="REQUEST_COMPLETED", access_request="a1"
    )
    elsewhere = our_row("dddddddddddd-7", request_type="REVOKE_ACCESS", state="REQUEST_COMPLETED", created=LATER)
    assert not shown(undo(), elsewhere)
    assert shown(undo(), elsewhere, known=known)
    assert not shown(undo(), replace(elsewhere, created=NOW - timedelta(hours=1)), known=known)
    failed = undo(undone=None, outcome=TenantOutcome.REJECTED)
    assert not shown(failed, replace(elsewhere, state="REJECTED"), known=known)


def test_a_failure_is_shown_by_the_newest_row_of_its_request() -> None:
    failed = undo(undone=None, outcome=TenantOutcome.REJECTED)
    assert shown(failed, theirs(state="REJECTED"))
    assert not shown(failed, theirs())
    assert not shown(failed, theirs(state="REJECTED"), theirs(created=LATER + timedelta(minutes=1)))
    assert not shown(failed, our_row(f"{OURS}-2", request_type="REVOKE_ACCESS", state="REJECTED", created=LATER))


RUN = "cccccccccccc"


def line(request: int, operation: str = "GRANT", tenant_state: str = "REQUEST_COMPLETED") -> dict[str, Any]:
    empty = dict.fromkeys(KNOWN_SCHEMA, "")
    key = {"identity_id": "i1", "item_type": "ROLE", "item_id": "r1"}
    accepted = {"state": State.ACCEPTED.value, "run": f"run {request}", "at": instant(NOW + timedelta(hours=request))}
    return empty | key | accepted | {"request": request, "operation": operation, "tenant_state": tenant_state}


def needed(*lines: dict[str, Any], told: Collection[int]) -> list[tuple[int, str]]:
    """By which second-hand reports a grant is wanted: their requests, and the runs of what they undid."""
    columns = ("identity_id", "item_type", "item_id", "account", *INTENTION)
    wanted = pl.DataFrame([{**dict.fromkeys(columns, ""), **{name: line(9)[name] for name in columns}}])
    wanted = wanted.with_columns(row=pl.lit(0), file=pl.lit("a.csv"), line=pl.lit(2))
    known, again = pl.DataFrame(lines, schema=KNOWN_SCHEMA), (TenantOutcome.REJECTED,)
    classes = classify(wanted, known, run=RUN, resubmit=again)
    assert classes.get_column("fresh").to_list() == [True]
    reports = second_hand(classes, known, told, run=RUN, resubmit=again)
    return [(one.request, one.undone.run if one.undone else "") for one in reports]


def test_what_undid_an_earlier_change_must_be_true() -> None:
    assert needed(line(1), line(2, "REVOKE"), told={2}) == [(2, "run 1")]
    assert needed(line(1), line(2, "REVOKE"), told={1}) == [], "this machine knows of the revoke"
    assert needed(line(2, "REVOKE"), told={2}) == [], "nothing would be sent twice"
    assert needed(line(1), line(2, "REVOKE"), line(3), line(4, "REVOKE"), told={1, 2, 3, 4}) == [(4, "run 3")]
    assert needed(line(1), line(2, "REVOKE"), line(3, "REVOKE"), told={2}) == []


def test_a_failure_of_the_same_must_be_true_unless_it_does_not_matter() -> None:
    assert needed(line(1, tenant_state="REJECTED"), told={1}) == [(1, "")]
    assert needed(line(1, tenant_state="REJECTED"), told=()) == []
    assert needed(line(1, tenant_state="REJECTED"), line(2, "REVOKE"), told={1}) == []
    assert needed(line(1, tenant_state="REJECTED"), line(2, "REVOKE"), told={1, 2}) == [(2, "run 1")]
    both = needed(line(1), line(2, "REVOKE"), line(3, tenant_state="REJECTED"), told={2, 3})
    assert both == [(2, "run 1"), (3, "")]
