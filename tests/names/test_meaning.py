"""The meaning of a name: only full matches count, and several matches are never guessed between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from unicodedata import normalize

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.model import IdentityBy
from batch.names.meaning import (
    Item,
    NameMatches,
    NameMeaning,
    NameOutcome,
    Person,
    identity_fields,
    item_meaning,
    item_texts,
    match_items,
    match_people,
    nearest,
    person_meaning,
)
from batch.names.resolve import resolve
from tests.plan.changes import hex_id

if TYPE_CHECKING:
    from collections.abc import Iterable

JANE = Person(id=hex_id(1), alias="jane.doe", email="jane.doe@example.com", numbers=("0042",), name="Jane Doe")
OTHER_JANE = Person(id=hex_id(2), alias="jane.doe2", email="jd@example.com", numbers=("0043",), name="Jane Doe")
AUTO = IdentityBy.AUTO


def person_meant(name: str, *people: Person, by: IdentityBy = AUTO) -> NameMeaning:
    fields = identity_fields(by)
    return person_meaning(name, NameMatches(candidates=match_people([name], people, fields, str)[name], fields=fields))


def item_meant(name: str, *items: Item, kind: ItemType = ItemType.ROLE) -> NameMeaning:
    return item_meaning(kind, name, NameMatches(candidates=match_items(kind, [name], items, str)[name]))


@pytest.mark.parametrize(
    "name",
    [
        "jane.doe",
        "JANE.DOE",
        " jane.doe@Example.com ",
        "0042",
        "Jane Doe",
        "jane doe",
        "JANE DOE ",
        "Jane  \n\u00a0Doe",
    ],
)
def test_an_alias_e_mail_employee_number_or_display_name_names_a_person(name: str) -> None:
    assert person_meant(name, JANE, Person(id=hex_id(3), alias="x")) == NameMeaning(
        outcome=NameOutcome.FOUND, id=JANE.id
    )


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_with_their_accents_apart_are_the_same_letters(form: Literal["NFC", "NFD"]) -> None:
    here, there = normalize(form, "Café René"), normalize("NFD" if form == "NFC" else "NFC", "Café René")
    person, role = Person(id=hex_id(1), name=there), Item(id=hex_id(2), names=(there,))
    assert person_meant(here, person).id == person.id
    assert item_meant(here, role).id == role.id
    twin, other = Person(id=hex_id(3), name=here), Item(id=hex_id(4), names=(here,))
    # Nobody sees which of both is meant.
    assert person_meant(here, person, twin).outcome is NameOutcome.AMBIGUOUS
    assert item_meant(here, role, other).outcome is NameOutcome.AMBIGUOUS
    meanings = [resolve(pl.DataFrame({"identity": [name]}), None, AUTO) for name in (here, there)]
    assert meanings[0]["identity_id"].equals(meanings[1]["identity_id"]), "repeats are recognised without a tenant"


@pytest.mark.parametrize("name", ["jane", "jane.do", "jane.*", "jane?doe", "*", "42", "Doe", "JaneDoe", "a:*", "("])
def test_a_partial_match_means_nobody(name: str) -> None:
    meaning = person_meant(name, JANE)
    assert meaning.outcome is NameOutcome.UNKNOWN
    assert meaning.problem.startswith("no identity has '")
    assert meaning.problem.endswith("' as alias, e-mail, employee number or display name")


def test_only_the_chosen_field_is_compared() -> None:
    assert person_meant("0042", JANE, by=IdentityBy.EMPLOYEE_NUMBER).id == JANE.id
    meaning = person_meant("0042", JANE, by=IdentityBy.ALIAS)
    assert meaning.problem == "no identity has '0042' as alias"


def test_two_people_with_one_name_are_listed_with_their_differences() -> None:
    meaning = person_meant("jane doe", JANE, OTHER_JANE)
    assert (meaning.outcome, meaning.id) == (NameOutcome.AMBIGUOUS, "")
    assert meaning.problem == (
        f"'jane doe' may be any of 2 identities: Jane Doe (alias jane.doe, id {JANE.id}, by its display name); "
        f"Jane Doe (alias jane.doe2, id {OTHER_JANE.id}, by its display name)"
    )


def test_an_alias_that_is_anothers_employee_number_is_ambiguous() -> None:
    meaning = person_meant("0042", JANE, Person(id=hex_id(9), alias="0042", name="Robot"))
    assert meaning.outcome is NameOutcome.AMBIGUOUS
    assert "by its employee number" in meaning.problem
    assert "by its alias" in meaning.problem


def test_aliases_that_differ_only_in_case_are_ambiguous() -> None:
    shouting = Person(id=hex_id(2), alias="JANE.DOE")
    assert {person_meant(name, JANE, shouting).outcome for name in ("jane.doe", "JANE.DOE")} == {NameOutcome.AMBIGUOUS}


def test_a_person_listed_twice_counts_once() -> None:
    assert person_meant("Jane Doe", JANE, JANE).id == JANE.id


def test_the_first_five_of_many_candidates_are_listed() -> None:
    meaning = person_meant("x", *(Person(id=hex_id(n), alias=f"a{n}", name="X") for n in range(8)))
    assert meaning.problem.count(" (alias") == 5
    assert meaning.problem.endswith("; and 3 more")


def test_a_name_that_the_tenant_refuses_to_look_up_shows_its_reason() -> None:
    refused = NameMatches(refusal="too many have it")
    for meaning in (person_meaning("x", refused), item_meaning(ItemType.ROLE, "x", refused)):
        assert meaning == NameMeaning(
            outcome=NameOutcome.UNKNOWN, problem="'x' can't be looked up, give its id instead: too many have it"
        )


def test_names_that_are_spelled_nearly_so_are_suggested_and_never_taken() -> None:
    people = NameMatches(fields=(IdentityBy.ALIAS,), near=("jane.doe", "jane.dow"))
    assert person_meaning("jane.deo", people) == NameMeaning(
        outcome=NameOutcome.UNKNOWN,
        problem="no identity has 'jane.deo' as alias (did you mean 'jane.doe' or 'jane.dow'?)",
    )
    role = item_meaning(ItemType.ROLE, "Payrol Reader", NameMatches(near=("Payroll Reader",)))
    assert role.problem == "there is no role 'Payrol Reader' (did you mean 'Payroll Reader'?)"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("payrol reader", ("Payroll Reader", "Payroll Readers")),
        ("Payroll Writer", ("Payroll Writers",)),
        ("Chief", ()),
    ],
)
def test_only_a_few_names_that_are_near_enough_are_suggested(name: str, near: tuple[str, ...]) -> None:
    names = ["Payroll Readers", "Payroll Reader", "Chef", "Payroll Writers", "Clerk"]
    assert nearest(name, {one: one for one in names})[: len(near)] == near


def test_an_entitlement_is_suggested_as_it_is_written() -> None:
    group = Item(id=hex_id(1), names=("Readers",), source="AD", attribute="memberOf", value="CN=a|b")
    assert tuple(item_texts(ItemType.ENTITLEMENT, group)) == ("AD|Readers", r"AD|memberOf|CN=a\|b")


def test_a_long_name_is_cut_short_in_messages() -> None:
    assert f"'{'x' * 80}…'" in person_meant("x" * 500).problem


CLERK = Item(id=hex_id(0xC), names=("Clerk",), owner="Ann")
SMALL_CLERK = Item(id=hex_id(0xD), names=("clerk",))


def test_a_role_is_found_by_its_name_in_any_case() -> None:
    assert item_meant("CLERK", CLERK, Item(id=hex_id(1), names=("Clerks",))).id == CLERK.id
    assert item_meant("Cler*", CLERK) == NameMeaning(outcome=NameOutcome.UNKNOWN, problem="there is no role 'Cler*'")


def test_an_exact_spelling_decides_between_roles_that_differ_in_case() -> None:
    assert item_meant("Clerk", CLERK, SMALL_CLERK).id == CLERK.id
    assert item_meant("clerk", CLERK, SMALL_CLERK).id == SMALL_CLERK.id
    assert item_meant("CLERK", CLERK, SMALL_CLERK).outcome is NameOutcome.AMBIGUOUS


def test_odd_white_space_at_either_side_hides_no_role() -> None:
    assert item_meant("Chief  Clerk", Item(id=hex_id(1), names=("Chief\u00a0Clerk",))).id == hex_id(1)
    one, two = Item(id=hex_id(1), names=("Chief Clerk",)), Item(id=hex_id(2), names=("Chief  Clerk",))
    assert [item_meant(name, one, two).id for name in ("Chief Clerk", "Chief  Clerk")] == [hex_id(1), hex_id(2)]
    assert item_meant("CHIEF   CLERK", one, two).outcome is NameOutcome.AMBIGUOUS


def test_a_line_break_in_an_unknown_name_is_shown() -> None:
    assert item_meant("Sp\ny\u00a0\u200b\x07").problem == r"there is no role 'Sp\ny\u00a0\u200b\u0007'"


def test_two_roles_with_one_name_are_listed_with_owner_and_id() -> None:
    meaning = item_meant("Clerk", CLERK, Item(id=hex_id(0xE), names=("Clerk",), source="HR"))
    assert meaning.problem == (
        f"'Clerk' may be any of 2 roles: Clerk (owner Ann, id {CLERK.id}); Clerk (source HR, id {hex_id(0xE)})"
    )


def test_an_unknown_name_with_a_plus_gets_a_hint() -> None:
    assert "can't look up names with a +: give its id" in item_meant("R+D").problem


READERS = Item(id=hex_id(0xF), names=("Readers",), source="AD", attribute="memberOf", value=r"CN=Readers|\all")


@pytest.mark.parametrize("name", [r"AD|memberOf|CN=Readers\|\all", "ad | MEMBEROF|cn=readers\\|\\ALL", "AD|readers"])
def test_source_attribute_and_value_or_source_and_name_name_an_entitlement(name: str) -> None:
    assert item_meant(name, READERS, kind=ItemType.ENTITLEMENT).id == READERS.id


@pytest.mark.parametrize(
    "name",
    [r"HR|memberOf|CN=Readers\|\all", r"AD|groups|CN=Readers\|\all", "AD|memberOf|Readers", "HR|Readers"],
)
def test_an_entitlement_with_another_source_attribute_or_value_does_not_match(name: str) -> None:
    assert item_meant(name, READERS, kind=ItemType.ENTITLEMENT).outcome is NameOutcome.UNKNOWN


WORDS = st.text(alphabet='ab B*?:("\\|+é', min_size=1, max_size=3)
PEOPLE = st.lists(
    st.builds(
        Person,
        id=st.integers(0, 5).map(hex_id),
        alias=WORDS,
        email=WORDS,
        numbers=st.lists(WORDS, max_size=2).map(tuple),
        name=WORDS,
    ),
    unique_by=lambda person: person.id,
    max_size=6,
)


def fitting(name: str, people: Iterable[Person], fields: Iterable[IdentityBy]) -> set[str]:
    """The people that a name fits, by a loop that shares no code with the product."""
    found = set()
    for person in people:
        texts = {
            IdentityBy.ALIAS: [person.alias], IdentityBy.EMAIL: [person.email], IdentityBy.NAME: [person.name]
        }  # fmt: skip
        for field in fields:
            same = [one for one in texts.get(field, []) if one.lower().split() == name.lower().split() != []]
            exact = [one for one in person.numbers if one.strip() == name.strip()]
            found |= {person.id} if (exact if field is IdentityBy.EMPLOYEE_NUMBER else same) else set()
    return found


@settings(max_examples=60)
@given(WORDS.filter(str.strip), PEOPLE, st.sampled_from([by for by in IdentityBy if by is not IdentityBy.ID]))
def test_a_name_resolves_exactly_if_it_fits_one_person_in_any_order(
    name: str, people: list[Person], by: IdentityBy
) -> None:
    fits = fitting(name, people, identity_fields(by))
    meaning = person_meant(name, *people, by=by)
    outcomes = {0: NameOutcome.UNKNOWN, 1: NameOutcome.FOUND}
    assert meaning.outcome is outcomes.get(len(fits), NameOutcome.AMBIGUOUS)
    assert {meaning.id} == (fits if len(fits) == 1 else {""})
    assert person_meant(name, *reversed(people), *people, by=by) == meaning
