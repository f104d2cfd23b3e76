"""How many approvals a plan asks for: what the tenant shows is counted, and nothing else is guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.status.approvals_ahead import ApprovalsAhead, Awaited, approvals_ahead
from batch.status.tenant_facts import ItemFacts

if TYPE_CHECKING:
    from batch.status.in_progress import Item

Change = tuple[str, str, str, str]
COLUMNS = ("operation", "identity_id", "item_type", "item_id")


def frame(*changes: Change) -> pl.DataFrame:
    return pl.DataFrame(list(changes), schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


TWO_GRANTS = frame(("GRANT", "p1", "ROLE", "r-1"), ("GRANT", "P-2", "ROLE", "R1"))
REVOKE = frame(("REVOKE", "p1", "ROLE", "r1"))
ROLE: Item = ("ROLE", "r1")


@pytest.mark.parametrize(
    ("changes", "items", "found"),
    [
        (TWO_GRANTS, {}, {"changes": 2, "unknown": 2}),
        (
            TWO_GRANTS,
            {ROLE: ItemFacts(approvers=("MANAGER", "OWNER"))},
            {
                "changes": 2,
                "known": 4,
                "by_approver": (Awaited(kind="MANAGER", steps=2), Awaited(kind="OWNER", steps=2)),
            },
        ),
        (TWO_GRANTS, {ROLE: ItemFacts(approvers=())}, {"changes": 2, "unneeded": 2}),
        (TWO_GRANTS, {ROLE: ItemFacts(revoke_approvers=("MANAGER",))}, {"changes": 2, "unknown": 2}),
        (TWO_GRANTS, {("ACCESS_PROFILE", "r1"): ItemFacts(approvers=("OWNER",))}, {"changes": 2, "unknown": 2}),
        (
            REVOKE,
            {ROLE: ItemFacts(approvers=(), revoke_approvers=("MANAGER",))},
            {"changes": 1, "known": 1, "by_approver": (Awaited(kind="MANAGER", steps=1),)},
        ),
        (frame(), {}, {}),
    ],
    ids=["unknown", "two steps", "no approval", "only revokes known", "other kind", "revoke", "nothing"],
)
def test_each_change_needs_every_step_of_its_item(
    changes: pl.DataFrame, items: dict[Item, ItemFacts], found: dict[str, Any]
) -> None:
    assert approvals_ahead(changes, "", items) == ApprovalsAhead(**found)


@pytest.mark.parametrize(
    ("requester", "steps", "owner", "own"),
    [
        ("a-1", ("OWNER",), "A1", 2),
        ("a1", ("ENTITLEMENT_OWNER", "MANAGER"), "a1", 2),
        ("a1", ("ALL_OWNERS",), "a1", 2),
        ("a1", ("MANAGER", "GOVERNANCE_GROUP", "SOURCE_OWNER"), "a1", 0),
        ("a1", ("OWNER",), "b", 0),
        ("", ("OWNER",), "", 0),
        ("a1", (), "a1", 0),
    ],
)
def test_the_requester_approves_what_he_owns_if_owners_approve(
    requester: str, steps: tuple[str, ...], owner: str, own: int
) -> None:
    items = {ROLE: ItemFacts(approvers=steps, owner=owner)}
    assert approvals_ahead(TWO_GRANTS, requester, items).by_requester == own


def test_an_owner_of_several_items_is_one_approver_by_name() -> None:
    changes = frame(("GRANT", "p1", "ROLE", "r1"), ("GRANT", "p2", "ENTITLEMENT", "e1"), ("REVOKE", "p1", "ROLE", "r2"))
    items = {
        ROLE: ItemFacts(approvers=("OWNER", "MANAGER"), owner="a-1", owner_name="Anna"),
        ("ENTITLEMENT", "e1"): ItemFacts(approvers=("ENTITLEMENT_OWNER",), owner="A1"),
        ("ROLE", "r2"): ItemFacts(revoke_approvers=("ALL_OWNERS",), owner="b", owner_name="Ben"),
    }
    assert approvals_ahead(changes, "", items).by_approver == (
        Awaited(kind="OWNER", steps=2, owner="a1", name="Anna"),
        Awaited(kind="MANAGER", steps=1),
        Awaited(kind="OWNER", steps=1, owner="b", name="Ben"),
    )


@pytest.mark.parametrize(("requester", "mine"), [("p2", 1), ("P-1", 1), ("p3", 0), ("", 0)])
def test_changes_of_the_requesters_own_access_are_counted(requester: str, mine: int) -> None:
    assert approvals_ahead(TWO_GRANTS, requester).for_requester == mine


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["GRANT", "REVOKE"]),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["ROLE", "ENTITLEMENT"]),
        st.sampled_from(["a", "b", "c"]),
    )
)
STEPS = st.none() | st.lists(st.sampled_from(["OWNER", "MANAGER"]), max_size=3).map(tuple)
ITEMS = st.dictionaries(
    st.tuples(st.sampled_from(["ROLE", "ENTITLEMENT"]), st.sampled_from(["a", "b", "c"])),
    st.builds(ItemFacts, approvers=STEPS, revoke_approvers=STEPS, owner=st.sampled_from(["", "p1", "p2"])),
)


@given(CHANGES, ITEMS, st.sampled_from(["", "p1"]))
def test_the_count_is_what_counting_change_by_change_gives(
    changes: list[Change], items: dict[Item, ItemFacts], requester: str
) -> None:
    found = approvals_ahead(frame(*changes), requester, items)
    schemes = []
    for operation, _, kind, item in changes:
        approval = items.get((kind, item), ItemFacts())
        schemes.append((approval, approval.approvers if operation == "GRANT" else approval.revoke_approvers))
    assert sum(one.steps for one in found.by_approver) == found.known
    assert [one.steps for one in found.by_approver] == sorted((one.steps for one in found.by_approver), reverse=True)
    assert replace(found, by_approver=()) == ApprovalsAhead(
        changes=len(changes),
        known=sum(len(steps) for _, steps in schemes if steps),
        unneeded=sum(steps == () for _, steps in schemes),
        unknown=sum(steps is None for _, steps in schemes),
        by_requester=sum(
            steps.count("OWNER") for approval, steps in schemes if steps and requester and approval.owner == requester
        ),
        for_requester=sum(person == requester for _, person, _, _ in changes),
    )
