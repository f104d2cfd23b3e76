"""A change of an end date needs a request unless the date is there already, or the access is proven not to be held."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from batch.dedupe.classify import INTENTION, TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.model import RowClass
from batch.status.end_dates import (
    Erased,
    erased,
    extension_verdicts,
    not_shown_as_held,
    people_to_ask,
    untold,
)
from batch.status.in_progress import TenantView
from batch.validate.rows import EXTENDS
from tests.builders import change
from tests.dedupe.test_classify import frame

END, LATER = "2027-01-31T00:00:00Z", "2027-06-30T00:00:00Z"
ROLE = ("ROLE", "r1")
INDEXED = datetime(2026, 11, 20, tzinfo=UTC)


def wanted(*changes: dict[str, str], extends: bool = True) -> pl.DataFrame:
    columns = ("file", "line", *KEY, *INTENTION, "selection")
    return frame(*changes).select(columns).with_columns(pl.lit(extends).alias(EXTENDS))


def view(*dates: str, held: bool = True, told: bool = True, granted: str = "") -> TenantView:
    """Of Anna: the end dates of her assignments of the role, whether the index shows it, and what she got lately."""
    return TenantView(
        held={"anna": {ROLE} if held else set()},
        granted={"anna": {granted} if granted else set()},
        indexed=INDEXED,
        ends={"anna": {"r1": dates} if dates else {}} if told else {},
    )


def verdict(shown: TenantView, date: str, *, extends: bool = True) -> str | None:
    frame_ = wanted(change(remove_date=date), extends=extends)
    found = extension_verdicts(frame_, shown)
    assert found.schema == pl.Schema(TENANT_VERDICTS)
    return None if found.is_empty() else str(found.get_column("tenant_class").item())


@pytest.mark.parametrize(
    ("shown", "date", "found"),
    [
        (view(END), END, RowClass.ALREADY_HELD),
        (view("2027-01-31T01:00:00.000+01:00"), END, RowClass.ALREADY_HELD),
        (view(""), "none", RowClass.ALREADY_HELD),
        (view(END, END), END, RowClass.ALREADY_HELD),
        (view(END), LATER, None),
        (view(LATER), END, None),
        (view(END), "none", None),
        (view(""), END, None),
        (view(END, LATER), END, None),
        (view(END, ""), "none", None),
        (view(told=False), END, None),
        (view(), END, None),
        (TenantView(), END, None),
    ],
)
def test_an_extend_is_set_aside_only_by_what_the_tenant_proves(
    shown: TenantView, date: str, found: RowClass | None
) -> None:
    assert verdict(shown, date) == found


def test_a_plain_grant_is_no_extend() -> None:
    assert verdict(view(END), END, extends=False) is None
    assert verdict(view(held=False), END, extends=False) is None


@pytest.mark.parametrize(
    ("shown", "account", "is_held"),
    [
        (view(END), "", True),
        (view(told=False), "", True),
        (view(LATER, held=False), "", True),
        (view(held=False), "", False),
        (view(held=False, told=False), "", False),
        (TenantView(), "", False),
        (view(END), "a1", False),
    ],
)
def test_access_is_held_only_if_the_tenant_shows_it_and_it_is_in_no_account_of_several(
    shown: TenantView, account: str, *, is_held: bool
) -> None:
    one = wanted(change(remove_date=END)).with_columns(account=pl.lit(account))
    assert not_shown_as_held(one, shown) == ({} if is_held else {"anna": [ROLE]})
    assert not_shown_as_held(one.with_columns(pl.lit(value=False).alias(EXTENDS)), shown) == {}


def test_only_people_whose_role_shall_end_otherwise_are_asked_about() -> None:
    several = wanted(
        change("carla", remove_date=END),
        change("anna", remove_date=END),
        change("anna", "r2", remove_date="none"),
        change("ben", "p1", item_type="ACCESS_PROFILE", remove_date=END),
    )
    assert people_to_ask(several) == ["anna", "carla"]
    assert untold(several) == 1
    grants = several.with_columns(pl.lit(value=False).alias(EXTENDS))
    assert (people_to_ask(grants), untold(grants)) == ([], 0)


def test_the_dates_that_none_removes_are_told_by_line() -> None:
    several = wanted(
        change(remove_date="none"),
        change("ben", remove_date="none"),
        change("carla", remove_date=END),
        change("anna", "e1", item_type="ENTITLEMENT", remove_date="none"),
    )
    assert erased(several, view(LATER, END, "")) == (
        Erased("in.csv", 2, (END, LATER)),
        Erased("in.csv", 3, ()),
        Erased("in.csv", 5, ()),
    )
