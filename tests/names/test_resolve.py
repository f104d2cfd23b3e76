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
from batch.validate.prepare import IDENTITY_CONFLICT, ITEM_CONFLICT
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


def test_line_breaks_and_odd_white_space_in_a_name_are_one_blank() -> None:
    rows = frame(
        {"identity": "Jane\r\nDoe", "item": "Chief\u00a0Clerk"},
        {"identity": "\u200bJane \u2003 Doe\ufeff", "item": "Chief\tClerk|\u00a0Spy\n"},
        {"identity": "Jane  Doe", "item": "Chief  Clerk"},
    )
    sought = names_to_look_up(rows, AUTO)
    assert sought == (
        ("ROLE", "Chief  Clerk"), ("ROLE", "Chief Clerk"), ("ROLE", "Spy"),
        ("identity", "Jane  Doe"), ("identity", "Jane Doe"),
    )  # fmt: skip
    made = resolve(rows, dict.fromkeys(sought, found(1)), AUTO)
    assert made.get_column("identity_id").to_list() == [hex_id(1)] * 3
    first, second, _ = resolve(rows, None, AUTO).get_column("identity_id")
    assert first == second


def test_a_name_of_invisible_characters_is_no_name() -> None:
    (row,) = resolved({"identity": "\u200b"})
    assert row[2] == "the identity's name has no visible character"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\0b", "name 'a\\u0000b' contains control characters: remove them"),
        ("a" * 2_001, f"name '{'a' * 80}…' is longer than 2,000 bytes: shorten it"),
        ("é" * 1_001, f"name '{'é' * 80}…' is longer than 2,000 bytes: shorten it"),
    ],
    ids=["NUL", "ASCII", "not ASCII"],
)
def test_a_name_that_nothing_can_have_is_not_looked_up_and_has_a_problem(name: str, problem: str) -> None:
    assert names_to_look_up(frame({"identity": name, "item": name}), AUTO) == ()
    assert resolved({"identity": name, "item": name}) == [
        (None, None, f"the identity's {problem}", f"the item's {problem}")
    ]


def test_the_longest_name_is_looked_up() -> None:
    assert names_to_look_up(frame({"identity": "é" * 1_000, "item_type": ""}), AUTO) == (("identity", "é" * 1_000),)


def test_a_type_is_known_in_each_spelling() -> None:
    rows = frame({"identity": IDENTITY, "item_type": "Access Profile"})
    assert names_to_look_up(rows, AUTO) == (("ACCESS_PROFILE", "Clerk"),)


def test_ids_and_malformed_names_are_not_looked_up() -> None:
    rows = frame(
        {"identity": IDENTITY, "item": f"{ITEM}|{OTHER_ITEM}"},
        {"identity": "  ", "item": None},
        {"identity_id": OTHER_IDENTITY, "identity": " ", "item_id": ITEM, "item": OTHER_ITEM},
        {"identity": OTHER_IDENTITY, "item_type": "GROUP"},
        {"identity": None, "item_type": "ENTITLEMENT", "item": "no source"},
        {"_row_problem": "account"},
    )
    assert names_to_look_up(rows, AUTO) == ()
    assert names_to_look_up(rows.drop("identity", "item"), AUTO) == ()


def test_names_become_ids_but_given_ids_stay() -> None:
    assert resolved({}, {"identity_id": OTHER_IDENTITY, "item_id": ITEM, "identity": " ", "item": None}) == [
        (hex_id(1), hex_id(0xA), None, None),
        (OTHER_IDENTITY, ITEM, None, None),
    ]


def conflicts(cells: dict[str, str | None], by: IdentityBy = AUTO) -> list[str | None]:
    """Why the names and ids of a row don't go together."""
    made = resolve(frame(cells), {**KNOWN, **DOUBTFUL}, by)
    return [made.get_column(name)[0] if name in made.columns else None for name in (IDENTITY_CONFLICT, ITEM_CONFLICT)]


DOUBTFUL: dict[Name, NameMeaning] = {
    ("identity", "twins"): NameMeaning(
        outcome=NameOutcome.AMBIGUOUS, problem="two twins", candidates=(hex_id(7), hex_id(8))
    ),
    ("identity", "kept"): NameMeaning(outcome=NameOutcome.AMBIGUOUS, problem="two of the ledger"),
    ("identity", "odd"): NameMeaning(outcome=NameOutcome.UNKNOWN, problem="no look-up", candidates=None),
}


def test_the_name_beside_an_id_is_looked_up_too() -> None:
    rows = frame({"identity_id": OTHER_IDENTITY, "item_id": ITEM})
    assert names_to_look_up(rows, AUTO) == (("ROLE", "Clerk"), ("identity", "anna"))


@pytest.mark.parametrize(
    ("cells", "by", "sentence"),
    [
        (
            {"identity_id": OTHER_IDENTITY},
            AUTO,
            f"identity 'anna' has the id {hex_id(1)}, but identity_id is '{OTHER_IDENTITY}': correct one",
        ),
        ({"identity_id": hex_id(1), "identity": "bob"}, AUTO, f"no bob, but identity_id is '{hex_id(1)}': correct"),
        (
            {"identity_id": hex_id(1), "identity": "twins"},
            AUTO,
            f"two twins, but identity_id is '{hex_id(1)}': correct",
        ),
        ({"identity_id": OTHER_IDENTITY, "identity": IDENTITY}, AUTO, f"identity is '{IDENTITY}', but identity_id is"),
        ({"identity_id": IDENTITY, "identity": "e7"}, IdentityBy.ID, "identity is 'e7', but identity_id is"),
        ({"item_id": hex_id(0xB)}, AUTO, f"item 'Clerk' has the id {hex_id(0xA)}, but item_id is '{hex_id(0xB)}'"),
        ({"item_id": hex_id(0xA), "item": "Spy"}, AUTO, f"no spy, but item_id is '{hex_id(0xA)}': correct"),
        ({"item_id": hex_id(0xA), "item": "Clerk|Chief"}, AUTO, f"item 'Clerk|Chief' has the id {hex_id(0xA)}|"),
        ({"item_id": f"{hex_id(0xA)}|{ITEM}"}, AUTO, f"item 'Clerk' has the id {hex_id(0xA)}, but item_id is"),
        ({"item_id": hex_id(0xC), "item_type": "ENTITLEMENT", "item": "AD|x"}, AUTO, "item 'AD|x' has the id"),
        ({"item_id": hex_id(0xC), "item_type": "ENTITLEMENT", "item": "v"}, AUTO, "'v' is not an entitlement: write"),
    ],
)
def test_a_row_whose_name_and_id_contradict_each_other_is_rejected_naming_both(
    cells: dict[str, str | None], by: IdentityBy, sentence: str
) -> None:
    (found,) = filter(None, conflicts(cells, by))
    assert found.startswith(sentence)
    resolved_rows = resolve(frame({**cells, "comment": "c"}), {**KNOWN, **DOUBTFUL}, by)
    validated = validate(resolved_rows, dialect=DIALECTS["beta"], now=NOW)
    assert validated.changes.is_empty()
    rule = "identity_agrees" if "identity_id" in cells else "item_agrees"
    assert validated.rejected.select("rule", "message").rows() == [(rule, found)]


@pytest.mark.parametrize(
    "cells",
    [
        {"identity_id": hex_id(1), "item_id": hex_id(0xA)},
        {"identity_id": OTHER_IDENTITY.replace("-", "").lower(), "identity": OTHER_IDENTITY},
        {"identity_id": hex_id(8), "identity": "twins"},
        {"identity_id": hex_id(1), "identity": "kept"},
        {"identity_id": hex_id(1), "identity": "odd"},
        {"identity_id": hex_id(1), "identity": "  "},
        {"item_id": f"{hex_id(0xB)} | {hex_id(0xA)}", "item": "Clerk|Chief"},
        {"item_id": hex_id(0xC), "item_type": "entitlement", "item": "AD|g|v"},
    ],
    ids=str,
)
def test_a_name_that_may_stand_for_its_id_or_that_nobody_can_look_up_is_no_conflict(
    cells: dict[str, str | None],
) -> None:
    assert conflicts(cells) == [None, None]


@pytest.mark.parametrize(
    ("cells", "rule"),
    [({"identity_id": "e7"}, "identity_id_shape"), ({"item_type": "GROUP", "item_id": ITEM}, "item_type_known")],
)
def test_a_row_with_a_bad_id_or_type_is_rejected_only_for_that(cells: dict[str, str | None], rule: str) -> None:
    rejected = validate(resolve(frame(cells), KNOWN, AUTO), dialect=DIALECTS["beta"], now=NOW).rejected
    assert rejected.get_column("rule").to_list() == [rule]


def test_without_a_tenant_only_two_ids_can_contradict_each_other() -> None:
    rows = frame(
        {"identity_id": OTHER_IDENTITY, "item_id": ITEM}, {"identity": IDENTITY, "identity_id": OTHER_IDENTITY}
    )
    made = resolve(rows, None, AUTO)
    assert made.get_column(IDENTITY_CONFLICT).is_null().to_list() == [True, False]
    assert ITEM_CONFLICT not in made.columns


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
            "'v' is not an entitlement: write Source|",
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
    rows = resolve(frame({"identity": IDENTITY, "item_type": "GROUP"}), {}, AUTO)
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


@pytest.mark.thorough
@settings(max_examples=25)
@given(ROWS)
def test_each_row_is_resolved_as_it_would_be_alone(cells: list[dict[str, str | None]]) -> None:
    assert resolved(*cells) == [one for row in cells for one in resolved(row)]
