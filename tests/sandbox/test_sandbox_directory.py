"""The made-up company, and the sample file that uses its names."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Operation
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.settings import EMBEDDED_PEOPLE
from tests.make_samples import NAMED_HEADER, sample_mistakes, sample_rows

if TYPE_CHECKING:
    from batch.sandbox.directory import Directory

SAMPLE = Path(__file__).parents[2] / "sample_csvs" / "by_name.csv"


@pytest.fixture(scope="module")
def company() -> Directory:
    return make_directory(EMBEDDED_PEOPLE)


def test_the_same_seed_makes_the_same_company_and_another_seed_another(company: Directory) -> None:
    assert make_directory(EMBEDDED_PEOPLE) == company
    assert make_directory(EMBEDDED_PEOPLE, seed=1).people[0].id != company.people[0].id


def test_a_larger_company_begins_with_the_same_people(company: Directory) -> None:
    assert make_directory(2000).people[:EMBEDDED_PEOPLE] == company.people


def test_ids_are_32_hex_digits_and_unique(company: Directory) -> None:
    ids = [one.id for one in company.people] + [one.id for one in company.sources] + [one.id for one in company.items]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == len(ids)


def test_account_names_addresses_and_numbers_are_unique_and_display_names_are_not(company: Directory) -> None:
    for unique in ("alias", "email", "employee_number"):
        assert len({getattr(person, unique) for person in company.people}) == EMBEDDED_PEOPLE
    times = Counter(person.display_name for person in company.people)
    assert set(times.values()) == {1, 2}


def test_entitlements_have_equal_names_on_different_sources_and_a_value_of_their_own(company: Directory) -> None:
    entitlements = company.of_type(ItemType.ENTITLEMENT)
    assert max(Counter(item.name for item in entitlements).values()) == len(company.sources)
    assert len({(item.source, item.attribute, item.value) for item in entitlements}) == len(entitlements)


@pytest.mark.parametrize(("people", "roles"), [(1, 20), (500, 50), (4000, 400), (9000, 400)])
def test_there_is_a_role_for_every_ten_people_within_bounds(people: int, roles: int) -> None:
    assert len(make_directory(people).of_type(ItemType.ROLE)) == roles


def test_everybody_holds_something_that_exists(company: Directory) -> None:
    assert {person for person, _, _ in company.held} == company.person_by_id.keys()
    assert all(company.item_by_id[item].type is kind for _, kind, item in company.held)


def found(company: Directory, identity: str, item_type: str, item: str) -> tuple[list[str], list[str]]:
    """The ids of whom and what a sample row may mean."""
    people = [
        person.id
        for person in company.people
        if identity in {person.alias, person.email, person.employee_number, person.display_name}
    ]
    items = []
    for one in company.of_type(ItemType(item_type)):
        source = "" if one.source is None else one.source.name
        if item in {one.name, f"{source}|{one.name}", f"{source}|{one.attribute}|{one.value}"}:
            items.append(one.id)
    return people, items


def test_the_sample_rows_resolve_to_one_person_and_one_item_each(company: Directory) -> None:
    rows = sample_rows(company, 300)
    assert len(rows) == 300
    for operation, identity, item_type, item, comment in rows:
        people, items = found(company, identity, item_type, item)
        assert (len(people), len(items)) == (1, 1), (identity, item)
        held = (people[0], ItemType(item_type), items[0]) in company.held
        assert held == (operation == Operation.REVOKE)
        assert comment or not held
        assert company.item_by_id[items[0]].requestable or held


def test_the_sample_mistakes_are_an_unknown_person_an_ambiguous_one_and_an_unknown_role(company: Directory) -> None:
    counts = [tuple(map(len, found(company, row[1], row[2], row[3]))) for row in sample_mistakes(company)]
    assert counts == [(0, 1), (2, 1), (1, 0)]


def test_the_sample_file_is_made_of_them(company: Directory) -> None:
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == NAMED_HEADER
    assert [tuple(row) for row in rows] == [*sample_rows(company, 57), *sample_mistakes(company)]
