"""Rows with names become rows with ids or with a problem."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.errors import BrokenPromiseError
from batch.model import IdentityBy
from batch.names.meaning import NameMeaning, NameOutcome
from batch.names.resolve import Name, NameCounts, count_names, names_to_look_up, resolve
from batch.validate.rows import validate
from tests.plan.changes import IDENTITY, ITEM, NOW, OTHER_IDENTITY, OTHER_ITEM, hex_id

AUTO = IdentityBy.AUTO


def frame(*cells: dict[str, str | None], columns: str = "identity item_type item") -> pl.DataFrame:
    names = dict.fromkeys([*columns.split(), *(name for row in cells for name in row)])
    good = {"identity": "anna", "item_type": "ROLE", "item": "Clerk"}
    wanted = [{name: row.get(name, good.get(name)) for name in names} for row in cells]
    return pl.DataFrame(wanted, schema=dict.fromkeys(names, pl.String))


def found(number: int) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.FOUND, id=hex_id(number))


def unknown(problem: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)


KNOWN: dict[Name, NameMeaning] = {
    ("identity", "anna"): found(1),
    ("identity", "bob"): unknown("no bob"),
    ("ROLE", "Clerk"): found(0xA),
    ("ROLE", "Chief"): found(0xB),
    ("ROLE", "Spy"): unknown("no spy"),
    ("ROLE", "Mole"): unknown("no mole"),
    ("ENTITLEMENT", "AD|g|v"): found(0xC),
    ("ENTITLEMENT", "AD|x"): found(0xD),
}


def resolved(*cells: dict[str, str | None], by: IdentityBy = AUTO) -> list[Any]:
    made = resolve(frame(*cells), KNOWN, by)
    return made.select("identity_id", "item_id", "_identity_problem", "_item_problem").rows()


def test_each_name_is_looked_up_once_in_canonical_form() -> None:
    rows = frame(
        {"identity": " anna "},
        {"identity": "anna", "item": "Clerk | Chief"},
        {"identity": "bob", "item_type": " entitlement", "item": "AD|g|v||AD|x"},
    )
    assert names_to_look_up(rows, AUTO) == (
        ("ENTITLEMENT", "AD|g|v"), ("ENTITLEMENT", "AD|x"), ("ROLE", "Chief"), ("ROLE", "Clerk"),
        ("identity", "anna"), ("identity", "bob"),
    )  # fmt: skip


def test_ids_and_malformed_names_are_not_looked_up() -> None:
    rows = frame(
        {"identity": IDENTITY, "item": f"{ITEM}|{OTHER_ITEM}"},
        {"identity": "  ", "item": None},
        {"identity_id": OTHER_IDENTITY, "item_id": ITEM},
        {"identity": OTHER_IDENTITY, "item_type": "GROUP"},
        {"identity": None, "item_type": "ENTITLEMENT", "item": "no source"},
        {"_row_problem": "account"},
    )
    assert names_to_look_up(rows, AUTO) == ()
    assert names_to_look_up(rows.drop("identity", "item"), AUTO) == ()


def test_names_become_ids_but_given_ids_stay() -> None:
    assert resolved({}, {"identity_id": OTHER_IDENTITY, "item_id": ITEM}) == [
        (hex_id(1), hex_id(0xA), None, None),
        (OTHER_IDENTITY, ITEM, None, None),
    ]


def test_several_items_of_a_cell_become_several_ids() -> None:
    assert [
        row[1] for row in resolved({"item": "Clerk|Chief"}, {"item_type": "ENTITLEMENT", "item": "AD|g|v||AD|x"})
    ] == [
        f"{hex_id(0xA)}|{hex_id(0xB)}",
        f"{hex_id(0xC)}|{hex_id(0xD)}",
    ]


def test_a_row_with_an_unknown_name_has_a_problem_in_place_of_an_id() -> None:
    assert resolved({"identity": "bob", "item": "Clerk|Spy|Mole|Spy"}) == [(None, None, "no bob", "no spy; no mole")]


def test_three_of_many_problems_of_a_cell_are_shown() -> None:
    meanings = {("ROLE", f"r{n}"): unknown(f"no r{n}") for n in range(5)}
    rows = frame({"item": "r0|r1|r2|r3|r4"}, columns="item_type item")
    assert resolve(rows, meanings, AUTO).get_column("_item_problem").to_list() == ["no r0; no r1; no r2; and 2 more"]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"item": "Clerk||Chief"}, "an item has no name"),
        (
            {"item_type": "ENTITLEMENT", "item": "v"},
            "'v' is no entitlement: write Source|",
        ),
    ],
)
def test_a_malformed_cell_gets_a_problem(cells: dict[str, str | None], problem: str) -> None:
    (row,) = resolved(cells)
    assert row[1] is None
    assert row[3].startswith(problem)


def test_text_shaped_like_an_id_is_an_id_unless_another_kind_is_chosen() -> None:
    assert resolved({"identity": IDENTITY})[0][0] == IDENTITY
    assert resolved({"identity": "not an id"}, by=IdentityBy.ID)[0][0] == "not an id"
    assert ("identity", IDENTITY) in names_to_look_up(frame({"identity": IDENTITY}), IdentityBy.ALIAS)


def test_a_name_without_a_meaning_is_a_bug() -> None:
    with pytest.raises(BrokenPromiseError):
        resolved({"identity": "carl"})


def test_without_a_tenant_equal_names_get_equal_stand_ins() -> None:
    rows = frame({}, {"identity": "ANNA"}, {"identity": "bob", "item_type": "ACCESS_PROFILE"})
    first, again, other = resolve(rows, None, AUTO).select("identity_id", "item_id").rows()
    assert first == again
    assert not {*first} & {*other}
    assert {len(id_) for id_ in (*first, *other)} == {32}


def test_a_row_with_an_unknown_item_type_is_rejected_only_for_that() -> None:
    rows = resolve(frame({"identity_id": IDENTITY, "item_type": "GROUP"}), {}, AUTO)
    assert validate(rows, dialect=DIALECTS["beta"], now=NOW).rejected.get_column("rule").to_list() == [
        "item_type_known"
    ]


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ({"identity": "bob"}, "identity_found"),
        ({"item": "Spy"}, "item_found"),
        ({"identity": None}, "identity_id_present"),
        ({"item": " "}, "item_id_present"),
    ],
)
def test_a_row_without_an_id_is_rejected_once_for_that(cells: dict[str, str | None], rule: str) -> None:
    rejected = validate(resolve(frame(cells), KNOWN, AUTO), dialect=DIALECTS["beta"], now=NOW).rejected
    assert rejected.get_column("rule").to_list() == [rule]


def test_rows_without_names_stay_as_they_are() -> None:
    rows = frame({"identity_id": IDENTITY, "item_id": ITEM}, columns="identity_id item_type item_id")
    assert resolve(rows, {}, AUTO).equals(rows)


def test_names_are_counted_by_outcome() -> None:
    meanings = {**KNOWN, ("identity", "x"): NameMeaning(outcome=NameOutcome.AMBIGUOUS, problem="x or x")}
    counts = count_names(meanings, 7)
    assert counts == NameCounts(calls=7, found=5, unknown=3, ambiguous=1)
    assert counts.looked_up == len(meanings)


PEOPLE = ["anna", "bob", IDENTITY, "", None]
ROLES = ["Clerk", "Clerk|Chief", "Spy", ITEM, "", None]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "identity": st.sampled_from(PEOPLE),
            "identity_id": st.sampled_from([None, OTHER_IDENTITY]),
            "item_type": st.just("ROLE"),
            "item": st.sampled_from(ROLES),
        }
    ),
    min_size=1,
)


@settings(max_examples=60)
@given(ROWS)
def test_each_row_is_resolved_as_it_would_be_alone(cells: list[dict[str, str | None]]) -> None:
    assert resolved(*cells) == [one for row in cells for one in resolved(row)]
