"""Several accounts of one person never share a product or a body, and the check of a plan insists on it."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.accounts import grant_selection, revoke_selection
from batch.api.dialects import DIALECTS, ItemType, Operation
from batch.errors import BrokenPromiseError
from batch.model import Request, RequestItem
from batch.plan import plan
from batch.plan.body import body_of, why_not_together
from batch.plan.check import check_plan
from batch.validate.rows import CHANGE_COLUMNS
from tests.builders import change

LIMITS = DIALECTS["v1"].limits


def on_account(
    person: str, item: str, account: str, *, operation: str = "GRANT", item_type: str = "ROLE"
) -> dict[str, str]:
    key = f"{person}-{account}" if account else ""
    selection = grant_selection([("s1", "", key)]) if operation == "GRANT" else revoke_selection(key)
    return change(
        person, item, operation=operation, item_type=item_type, account=key, selection=selection if account else ""
    )


def frame(changes: list[dict[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(changes, schema=dict.fromkeys(CHANGE_COLUMNS, pl.String))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["anna", "bob", "carl"]),
        st.sampled_from(["r1", "r2", "r3"]),
        st.sampled_from(["", "a", "b", "c"]),
        st.sampled_from(["GRANT", "REVOKE"]),
        st.sampled_from(["ROLE", "ENTITLEMENT"]),
    ),
    unique_by=lambda one: (one[0], one[1], one[2], one[4]),
    max_size=40,
)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(wanted=CHANGES)
def test_every_change_is_planned_once_and_no_request_or_body_has_two_accounts_for_one_item(
    wanted: list[tuple[str, str, str, str, str]],
) -> None:
    changes = frame([on_account(p, i, a, operation=o, item_type=k) for p, i, a, o, k in wanted])
    made = plan(changes, LIMITS, nested=True)
    check_plan(made.changes, changes, LIMITS, made.envelopes, nested=True)
    assert made.lower_bound <= made.bodies


def test_a_role_is_revoked_on_two_accounts_by_two_requests_that_hold_the_other_roles_too() -> None:
    wanted = [on_account("anna", f"r{n:02}", "a", operation="REVOKE") for n in range(25)]
    wanted.append(on_account("anna", "r00", "b", operation="REVOKE"))
    made = plan(frame(wanted), LIMITS)
    assert made.requests == made.lower_bound == 2


def a_plan(*requests: list[dict[str, str]]) -> pl.DataFrame:
    return pl.concat(
        frame(changes).with_columns(pl.lit(number, pl.Int64).alias("request"))
        for number, changes in enumerate(requests)
    )


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (a_plan([on_account("anna", "r1", "a"), on_account("anna", "r1", "b")]), "several accounts of one identity"),
        (
            a_plan([{**on_account(p, "r1", "a"), "account": "x", "selection": "{}"} for p in ("anna", "bob")]),
            "an account for several identities",
        ),
    ],
)
def test_the_check_refuses_accounts_in_one_request(made: pl.DataFrame, fault: str) -> None:
    with pytest.raises(BrokenPromiseError, match=fault):
        check_plan(made, made.drop("request"), LIMITS, nested=True)


def test_the_check_refuses_another_account_than_is_wanted() -> None:
    made, wanted = a_plan([on_account("anna", "r1", "a")]), frame([on_account("anna", "r1", "b")])
    with pytest.raises(BrokenPromiseError, match="unwanted"):
        check_plan(made, wanted, LIMITS, nested=True)


def test_the_check_refuses_two_accounts_in_one_body() -> None:
    made = a_plan([on_account("anna", "r1", "a")], [on_account("anna", "r1", "b")])
    together = pl.DataFrame({"request": [0, 1], "number": [0, 0]})
    with pytest.raises(BrokenPromiseError, match="several accounts of one identity"):
        check_plan(made, made.drop("request"), LIMITS, together, nested=True)


def test_the_check_refuses_a_grant_on_an_account_in_a_version_that_cannot_name_it() -> None:
    made = a_plan([on_account("anna", "r1", "a")])
    with pytest.raises(BrokenPromiseError, match="names an account"):
        check_plan(made, made.drop("request"), LIMITS)


def a_request(number: int, account: str, *, operation: Operation = Operation.GRANT) -> Request:
    wanted = on_account("anna", "e1", account, operation=operation.value)
    item = RequestItem(
        type=ItemType.ENTITLEMENT, id="e1", comment="why", account=wanted["account"], selection=wanted["selection"]
    )
    return Request(number=number, run="run", operation=operation, recipients=("anna",), items=(item,))


def test_a_grant_on_an_account_is_nested_even_if_it_travels_alone() -> None:
    (entry,) = body_of(a_request(1, "a"))["requestedForWithRequestedItems"]
    assert entry["identityId"] == "anna"
    assert entry["requestedItems"][0]["accountSelection"] == [
        {"sourceId": "s1", "accounts": [{"nativeIdentity": "anna-a"}]}
    ]


def test_a_revoke_of_an_entitlement_names_the_account_by_its_native_identity() -> None:
    body = body_of(a_request(1, "a", operation=Operation.REVOKE))
    assert body["requestedFor"] == ["anna"]
    assert body["requestedItems"][0]["nativeIdentity"] == "anna-a"


def test_requests_for_two_accounts_of_one_item_cannot_share_a_body() -> None:
    assert why_not_together([a_request(1, "a"), a_request(2, "b")]) == "they want the same"
    assert json.loads(a_request(1, "a").items[0].selection) != json.loads(a_request(2, "b").items[0].selection)
