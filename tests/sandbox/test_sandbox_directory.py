"""The made-up directory, and the sample file that uses its names."""

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
def directory() -> Directory:
    return make_directory(EMBEDDED_PEOPLE)


def test_one_seed_always_makes_one_directory(directory: Directory) -> None:
    assert make_directory(EMBEDDED_PEOPLE) == directory
    assert make_directory(EMBEDDED_PEOPLE, seed=1).people[0].id != directory.people[0].id


def test_a_larger_directory_begins_with_the_same_people(directory: Directory) -> None:
    assert make_directory(2000).people[:EMBEDDED_PEOPLE] == directory.people


def test_ids_are_32_hex_digits_and_unique(directory: Directory) -> None:
    ids = [entry.id for entries in (directory.people, directory.sources, directory.items) for entry in entries]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == len(ids)


def test_aliases_addresses_and_numbers_are_unique_but_display_names_are_not(directory: Directory) -> None:
    for unique in ("alias", "email", "employee_number"):
        assert len({getattr(person, unique) for person in directory.people}) == EMBEDDED_PEOPLE
    times = Counter(person.display_name for person in directory.people)
    assert set(times.values()) == {1, 2}


def test_entitlements_on_different_sources_share_names_but_not_values(directory: Directory) -> None:
    entitlements = directory.of_type(ItemType.ENTITLEMENT)
    assert max(Counter(item.name for item in entitlements).values()) == len(directory.sources)
    assert len({(item.source, item.attribute, item.value) for item in entitlements}) == len(entitlements)


@pytest.mark.parametrize(("people", "roles"), [(1, 20), (500, 50), (4000, 400), (9000, 400)])
def test_there_is_one_role_for_ten_people_within_bounds(people: int, roles: int) -> None:
    assert len(make_directory(people).of_type(ItemType.ROLE)) == roles


def test_each_person_holds_items_that_exist(directory: Directory) -> None:
    assert {person for person, _, _ in directory.held} == directory.person_by_id.keys()
    assert all(directory.item_by_id[item].type is kind for _, kind, item in directory.held)


def found(directory: Directory, identity: str, item_type: str, item: str) -> tuple[list[str], list[str]]:
    """The ids of the people and items that a sample row can mean."""
    people = [
        person.id
        for person in directory.people
        if identity in {person.alias, person.email, person.employee_number, person.display_name}
    ]
    items = []
    for candidate in directory.of_type(ItemType(item_type)):
        source = "" if candidate.source is None else candidate.source.name
        names = {candidate.name, f"{source}|{candidate.name}", f"{source}|{candidate.attribute}|{candidate.value}"}
        if item in names:
            items.append(candidate.id)
    return people, items


def test_the_sample_rows_resolve_to_one_person_and_one_item_each(directory: Directory) -> None:
    rows = sample_rows(directory, 300)
    assert len(rows) == 300
    for operation, identity, item_type, item, comment in rows:
        people, items = found(directory, identity, item_type, item)
        assert (len(people), len(items)) == (1, 1), (identity, item)
        held = (people[0], ItemType(item_type), items[0]) in directory.held
        assert held == (operation == Operation.REVOKE)
        assert comment or not held
        assert directory.item_by_id[items[0]].requestable or held


def test_the_sample_mistakes_are_an_unknown_person_an_ambiguous_name_and_an_unknown_role(directory: Directory) -> None:
    counts = [tuple(map(len, found(directory, row[1], row[2], row[3]))) for row in sample_mistakes(directory)]
    assert counts == [(0, 1), (2, 1), (1, 0)]


def test_the_sample_file_consists_of_these_rows(directory: Directory) -> None:
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == NAMED_HEADER
    assert [tuple(row) for row in rows] == [*sample_rows(directory, 57), *sample_mistakes(directory)]
