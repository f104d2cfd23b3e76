"""The status list and the pending approvals, joined: nothing that one of them shows is lost, and one request is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.account_key import account_key, row_key
from batch.api.accounts import revoke_selection
from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA
from batch.dedupe.overlap import KEY
from batch.model import RowClass
from batch.status.in_progress import TenantView, count_unclear, open_rows, tenant_verdicts
from tests.builders import change, status_row
from tests.dedupe.test_classify import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.api.status_row import StatusRow
    from batch.status.in_progress import InProgress

ASKED = datetime(2026, 11, 1, 9, tzinfo=UTC)
WAITS = datetime(2026, 11, 2, 9, tzinfo=UTC)
END = "2027-01-31T00:00:00Z"
LATER = "2027-06-30T00:00:00Z"


def listed(item: str = "r1", identity: str = "anna", **fields: Any) -> StatusRow:
    """Paula's request for Anna in the status list."""
    usual = {"created": ASKED, "requester": "Paula", "item_name": f"name of {item}", "item_type": "ROLE"}
    return status_row(identity, item, **usual | fields)


def approval(item: str = "r1", **fields: Any) -> StatusRow:
    """The same among the pending approvals."""
    usual: dict[str, Any] = {"who": "Ann Approver", "since": WAITS, "activity": ""}
    return listed(item, **usual | fields)


def view(rows: Sequence[StatusRow], approvals: Sequence[StatusRow]) -> TenantView:
    found: dict[str, list[InProgress]] = {}
    for one in open_rows(rows, approvals):
        found.setdefault(one.identity, []).append(one)
    return TenantView(in_progress=found)


def verdict(shown: TenantView, **wanted: str) -> tuple[str, str] | None:
    fresh = frame(change("anna", "r1", **wanted)).select(*KEY, *INTENTION)
    found = tenant_verdicts(fresh, pl.DataFrame(schema=KNOWN_SCHEMA), shown)
    return next(iter(found.select("tenant_class", "tenant_reason").rows()), None)


WAITING = "waits for Ann Approver since 2026-11-02"
PAULAS = "requested by Paula since 2026-11-01T09:00:00Z,"


def test_what_waits_for_an_approver_is_submitted_already_and_the_reason_names_the_approver() -> None:
    said = (RowClass.ALREADY_SUBMITTED, f"{PAULAS} {WAITING}")
    assert verdict(view([], [approval()])) == said
    assert verdict(view([listed()], [approval()])) == said
    assert verdict(view([listed(who="Ann Approver", since=WAITS)], [])) == said, "the status list names approvers too"


def test_another_intention_that_waits_for_an_approver_holds_a_change_back() -> None:
    found = verdict(view([], [approval(remove_date=END)]), remove_date=LATER)
    reason = f"{PAULAS} a grant until {END} of it {WAITING}; when it has ended, run the same command again"
    assert found == (RowClass.HELD_BACK, f"in_progress_conflict: {reason}")


def test_one_request_in_both_lists_is_one_with_everything_that_is_known() -> None:
    ours = {REQUEST_ID_KEY: "run-1-abc", ITEM_ID_KEY: "r1"}
    for rows in (
        (listed(), approval()),
        (listed(access_request="", metadata=ours), approval(access_request="", metadata=ours)),
        (listed(access_request=""), approval(created=ASKED + timedelta(seconds=2))),
        (listed(requester="", request_type=""), approval(remove_date="")),
        (listed(remove_date=END, requester=""), approval(remove_date="2027-01-31T00:00:00.000Z")),
    ):
        (one,) = open_rows([rows[0]], [rows[1]])
        assert (one.approver, one.waits_since) == ("Ann Approver", "2026-11-02")
        assert (one.requester, one.operation) == ("Paula", "GRANT")


def test_a_date_that_only_one_list_gives_counts() -> None:
    for rows in ((listed(remove_date=END), approval()), (listed(), approval(remove_date=END))):
        shown = view([rows[0]], [rows[1]])
        found = verdict(shown, remove_date=END), verdict(shown)
        assert [one and one[0] for one in found] == [RowClass.ALREADY_SUBMITTED, RowClass.HELD_BACK]


@pytest.mark.parametrize(
    "other", [{"remove_date": LATER}, {"request_type": "REVOKE_ACCESS"}, {"start_date": LATER, "remove_date": END}]
)
def test_lists_that_disagree_hold_every_change_back(other: dict[str, str]) -> None:
    shown = view([listed(remove_date=END, start_date="2026-12-01T00:00:00Z")], [approval(**other)])
    assert len(shown.in_progress["anna"]) == 2
    for wanted in ({"remove_date": END}, {"remove_date": LATER}, {}, {"operation": "REVOKE"}):
        found = verdict(shown, **wanted)
        assert found is not None
        assert found[0] == RowClass.HELD_BACK


@pytest.mark.parametrize(
    "other",
    [{"access_request": "a2"}, {"access_request": "", "created": None}, {"access_request": "", "created": WAITS}],
)
def test_other_requests_stay_apart(other: dict[str, Any]) -> None:
    assert len(open_rows([listed()], [approval(**other)])) == 2


def test_a_request_that_waits_for_several_approvers_names_them_all() -> None:
    rows = [approval(since=WAITS + timedelta(days=1)), approval(who="Bo"), approval(who="")]
    (one,) = open_rows([listed()], rows)
    assert (one.approver, one.waits_since) == ("Ann Approver, Bo", "2026-11-02")


# Which item a row of the status list is about.


def unclear(rows: Sequence[StatusRow], approvals: Sequence[StatusRow]) -> int:
    return count_unclear(view(rows, approvals), frame(change("anna", "r1")))


def test_an_approval_tells_the_item_of_a_row_that_has_the_requests_id() -> None:
    row = listed("a1", item_name="Buyer", remove_date=END)
    assert (unclear([row], []), verdict(view([row], []))) == (1, None)
    shown = view([row], [approval("r1", item_name="Buyer")])
    assert unclear([row], [approval("r1", item_name="Buyer")]) == 0
    assert [found and found[0] for found in (verdict(shown), verdict(shown, remove_date=END))] == [
        RowClass.HELD_BACK,
        RowClass.ALREADY_SUBMITTED,
    ], "the date that only the status list has counts for the item that only the approval names"


def test_an_approval_of_another_id_takes_no_row_from_the_item_that_the_status_list_names() -> None:
    shown = view([listed("r1", item_name="Buyer")], [approval("r9", item_name="Buyer")])
    assert verdict(shown) is not None


def test_an_approval_of_another_id_shows_that_no_id_of_the_list_is_the_items() -> None:
    rows = [listed("y1", item_name="Buyer"), listed("y2", item_name="Seller", access_request="a2")]
    assert unclear(rows, []) == 0
    assert unclear(rows, [approval("r7", item_name="Buyer")]) == 1, "the seller may be r1"


@pytest.mark.parametrize(
    "approvals",
    [
        [approval("r1", item_name="Buyer"), approval("r2", item_name="Buyer")],
        [approval("r1", item_name="Buyer", access_request="a2")],
        [approval("r1", item_name="Seller")],
        [approval("r1", item_name="Buyer", item_type="ENTITLEMENT")],
        [approval("r1", item_name="Buyer", identity="bob")],
    ],
)
def test_an_item_is_not_guessed(approvals: list[StatusRow]) -> None:
    row = listed("a1", item_name="Buyer")
    assert unclear([row], approvals) == 1


def test_an_approval_that_names_no_item_is_unclear() -> None:
    assert unclear([], [approval("")]) == 1


def rows_of(make: Any) -> st.SearchStrategy[list[StatusRow]]:
    row = st.builds(
        make,
        st.sampled_from(["r1", "r2", "x", ""]),
        item_name=st.sampled_from(["", "one", "two"]),
        item_type=st.sampled_from(["", "ROLE", "ENTITLEMENT"]),
        access_request=st.sampled_from(["", "a1", "a2"]),
        request_type=st.sampled_from(["", "GRANT_ACCESS", "REVOKE_ACCESS"]),
        remove_date=st.sampled_from(["", END, LATER]),
        created=st.sampled_from([None, ASKED, WAITS]),
        metadata=st.sampled_from([None, {ITEM_ID_KEY: "r1"}, {ITEM_ID_KEY: "r1", REQUEST_ID_KEY: "run-1"}]),
    )
    return st.lists(row, max_size=4)


@given(rows_of(listed), rows_of(approval), st.sampled_from(["GRANT", "REVOKE"]), st.sampled_from(["", END, LATER]))
def test_no_change_is_free_because_of_the_other_list(
    rows: list[StatusRow], approvals: list[StatusRow], operation: str, remove_date: str
) -> None:
    wanted = {"operation": operation, "remove_date": remove_date}
    alone = [verdict(view(rows, []), **wanted), verdict(view([], approvals), **wanted)]
    together = verdict(view(rows, approvals), **wanted)
    assert (together is not None) >= any(one is not None for one in alone)
    # What is in the way of a change by itself may be out of the way only if a date or operation was missing.
    if all(row.request_type and row.remove_date for row in [*rows, *approvals]):
        held_back = [one for one in alone if one and one[0] == RowClass.HELD_BACK]
        assert not held_back or (together and together[0] == RowClass.HELD_BACK)


ANNAS = frozenset({row_key("{U-1}", "CN=Anna, OU=Staff")})
ADMINS = frozenset({row_key("", "adm-anna")})


def test_an_approval_for_another_account_does_not_hold_a_change_back() -> None:
    ours = {
        "account": account_key({"id": "a1", "native": "cn=anna,ou=staff"}),
        "selection": revoke_selection("anna"),
        "operation": "REVOKE",
    }
    asked = {"request_type": "REVOKE_ACCESS"}
    assert verdict(view([], [approval(accounts=ADMINS, **asked)]), **ours) is None
    found = verdict(view([], [approval(accounts=ANNAS, **asked)]), **ours)
    assert found is not None
    assert found[0] == RowClass.ALREADY_SUBMITTED
    found = verdict(view([], [approval(**asked)]), **ours)
    assert found is not None
    assert found[0] == RowClass.HELD_BACK, "nobody knows which account it is for"
    assert verdict(view([listed(**asked)], [approval(accounts=ADMINS, **asked)]), **ours) is None


def test_rows_of_one_request_for_different_accounts_stay_apart() -> None:
    apart = open_rows([listed(accounts=ANNAS)], [approval(accounts=ADMINS), approval(accounts=ANNAS)])
    assert sorted(one.accounts for one in apart) == sorted([tuple(ADMINS), tuple(ANNAS)])
    (together,) = open_rows([listed(accounts=ANNAS)], [approval(accounts=ANNAS | ADMINS)])
    assert together.accounts == tuple(sorted(ANNAS | ADMINS))
