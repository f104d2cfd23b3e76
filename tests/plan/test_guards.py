"""The guards: what one plan may change at most."""

from __future__ import annotations

import polars as pl
import pytest

from batch.plan.guards import (
    PlanLimits,
    RevokedItem,
    RevokeShare,
    broken_guards,
    broken_share,
    greatest_share,
    items_revoked,
)

CHANGES = pl.DataFrame(
    [
        ("GRANT", "anna", "ROLE", "r"),
        ("GRANT", "anna", "ROLE", "s"),
        ("REVOKE", "anna", "ROLE", "t"),
        ("REVOKE", "ben", "ROLE", "t"),
    ],
    schema=["operation", "identity_id", "item_type", "item_id"],
    orient="row",
)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (PlanLimits(), []),
        (PlanLimits(max_changes=4, max_revokes=2, max_per_person=3), []),
        (PlanLimits(max_changes=3), ["It has 4 changes; max_changes allows 3."]),
        (PlanLimits(max_revokes=0), ["It has 2 revokes; max_revokes allows 0."]),
        (PlanLimits(max_per_person=2), ["It has 3 changes for the person anna; max_per_person allows 2."]),
    ],
)
def test_a_plan_says_which_limits_it_breaks(limits: PlanLimits, said: list[str]) -> None:
    assert [*broken_guards(CHANGES, limits)] == said


def test_no_changes_break_nothing() -> None:
    limits = PlanLimits(max_changes=0, max_revokes=0, max_per_person=0)
    assert [*broken_guards(CHANGES.clear(), limits)] == []


def test_only_revokes_are_counted_by_item() -> None:
    assert items_revoked(CHANGES) == [("ROLE", "t", 2)]


def revoked(people: int, holders: int | None) -> RevokedItem:
    return RevokedItem(item_type="ROLE", item_id="t", people=people, holders=holders)


@pytest.mark.parametrize(
    ("people", "holders", "most", "is_allowed"),
    [(1, 10, 10, True), (2, 10, 10, False), (1, 1, 99, False), (1, 1, 100, True), (3, 2, 99, False), (1, 0, 99, False)],
)
def test_the_share_of_the_holders_counts(people: int, holders: int, most: float, *, is_allowed: bool) -> None:
    broken = [*broken_share([revoked(people, holders)], most)]
    assert bool(broken) != is_allowed


def test_an_item_whose_holders_are_not_counted_is_refused() -> None:
    (said,) = broken_share([revoked(1, None)], 50)
    assert "does not tell how many people hold the ROLE t" in said


def test_the_greatest_share_is_known_if_the_tenant_tells_all_holders() -> None:
    assert greatest_share([revoked(1, 4), revoked(3, 6)], of=9) == RevokeShare(percent=50, items=2, of=9)
    assert greatest_share([revoked(1, 4), revoked(3, None)], of=2) is None
    assert greatest_share([], of=0) is None
