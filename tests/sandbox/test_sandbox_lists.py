"""The lists of people and items: filters, escapes, pages and entries."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.sandbox.answers import BadQueryError
from batch.sandbox.directory import Known
from batch.sandbox.filter_ast import AllOf, AnyOf, Term
from batch.sandbox.filters import read_filter
from batch.sandbox.list_endpoints import (
    access_profiles_endpoint,
    entitlements_endpoint,
    people_endpoint,
    roles_endpoint,
)
from batch.sandbox.made_up_directory import make_directory
from tests.sandbox.calls import entries_of, quoted, text_of

if TYPE_CHECKING:
    from batch.sandbox.list_endpoints import ListEndpoint

DIRECTORY = make_directory(600)
KNOWN = Known(directory=DIRECTORY, identities=(), items=())
PEOPLE = people_endpoint(KNOWN, public=False)
PUBLIC = people_endpoint(KNOWN, public=True)
ROLES = roles_endpoint(KNOWN)
PROFILES = access_profiles_endpoint(KNOWN)
ENTITLEMENTS = entitlements_endpoint(KNOWN)
ANNA, BEN = DIRECTORY.people[:2]


def listed(endpoint: ListEndpoint[Any], filters: str = "", **query: str) -> list[dict[str, Any]]:
    return entries_of(endpoint.answer({"filters": filters} | query, filter_limit=4000, tracking_id="t"))


def refused(endpoint: ListEndpoint[Any], filters: str, limit: int = 4000, **query: str) -> str:
    return text_of(endpoint.answer({"filters": filters} | query, filter_limit=limit, tracking_id="t"))


def names(endpoint: ListEndpoint[Any], filters: str, field: str = "name") -> list[str]:
    return [entry[field] for entry in listed(endpoint, filters)]


@pytest.mark.parametrize(
    "filters",
    [
        f'id in ("{BEN.id}","{ANNA.id}","ghost")',
        f'id eq "{ANNA.id}" or id eq "{BEN.id}"',
        f'(alias eq "{ANNA.alias}" or email eq "{BEN.email}")',
        f'(alias eq "{ANNA.alias.upper()}") or (alias eq "{BEN.alias}")',
        f'id in ("{BEN.id}","{ANNA.id}") and (alias eq "{ANNA.alias}" or name eq "{BEN.display_name}")',
    ],
)
def test_people_are_found_by_every_field_in_the_order_of_the_list(filters: str) -> None:
    assert names(PEOPLE, filters, "alias") == [ANNA.alias, BEN.alias]


def test_and_binds_stronger_than_or() -> None:
    filters = f'id eq "{ANNA.id}" or id eq "{BEN.id}" and alias eq "nobody"'
    assert names(PEOPLE, filters, "alias") == [ANNA.alias]


def test_a_display_name_can_find_two_people() -> None:
    namesake = DIRECTORY.people[39]
    assert len(listed(PEOPLE, f"name eq {quoted(namesake.display_name)}")) == 2


def test_public_identities_can_be_filtered_by_first_and_last_names_but_not_by_name() -> None:
    assert "name eq" in refused(PUBLIC, 'name eq "x"')
    filters = f'firstname eq "{ANNA.first_name}" and lastname eq "{ANNA.last_name}"'
    assert names(PUBLIC, filters, "id") == [ANNA.id]


@pytest.mark.parametrize("item", DIRECTORY.of_type(ItemType.ROLE)[16:20], ids=lambda item: item.name)
def test_a_role_with_an_awkward_name_is_found_by_it(item: Any) -> None:
    assert names(ROLES, f"name eq {quoted(item.name)}", "id") == [item.id]


def test_roles_are_found_by_the_start_of_their_names() -> None:
    found = names(ROLES, 'name sw "Claims "')
    assert len(found) > 1
    assert all(name.startswith("Claims ") for name in found)


def test_a_list_refuses_undocumented_operators() -> None:
    for endpoint, filters in (
        (ROLES, 'name in ("a")'),
        (ROLES, 'name co "a"'),
        (PROFILES, 'name in ("a")'),
        (ENTITLEMENTS, 'owner.name eq "a"'),
        (PEOPLE, 'alias in ("a")'),
        (PEOPLE, 'employeeNumber eq "1"'),
    ):
        assert "filters does not know" in refused(endpoint, filters)


def test_an_entitlement_is_found_by_source_attribute_and_a_value_with_backslashes() -> None:
    item = DIRECTORY.of_type(ItemType.ENTITLEMENT)[0]
    assert item.source is not None
    assert "\\" in item.value
    filters = (
        f'source.id eq "{item.source.id}" and attribute eq "{item.attribute}" and value in ({quoted(item.value)},"x")'
    )
    assert names(ENTITLEMENTS, filters, "id") == [item.id]


def test_an_entitlements_name_is_found_on_every_source_or_on_the_given_ones() -> None:
    name = DIRECTORY.of_type(ItemType.ENTITLEMENT)[0].name
    everywhere = listed(ENTITLEMENTS, f'name in ("{name}","nothing")')
    assert len({entry["source"]["id"] for entry in everywhere}) == len(everywhere) == len(DIRECTORY.sources)
    sources = ",".join(f'"{source.id}"' for source in DIRECTORY.sources[:2])
    assert len(listed(ENTITLEMENTS, f'name eq "{name}" and source.id in ({sources})')) == 2


def test_a_name_with_a_plus_sign_is_never_found_although_it_exists() -> None:
    item = next(item for item in DIRECTORY.of_type(ItemType.ENTITLEMENT) if "+" in item.name)
    assert names(ENTITLEMENTS, f'name eq "{item.name}"') == []
    assert names(ENTITLEMENTS, f'id eq "{item.id}"') == [item.name]


def test_a_page_has_at_most_50_roles_or_250_other_entries() -> None:
    assert len(listed(ROLES)) == 50
    assert len(listed(PEOPLE)) == 250
    for endpoint, most in ((ROLES, 50), (PEOPLE, 250)):
        answer = endpoint.answer({"limit": str(most + 1)}, filter_limit=4000, tracking_id="t")
        assert (answer.status, f"at most {most}" in str(answer.body)) == (400, True)


@given(size=st.integers(1, 250), endpoint=st.sampled_from([PEOPLE, ROLES, PROFILES, ENTITLEMENTS]))
def test_consecutive_pages_show_every_entry_once(size: int, endpoint: ListEndpoint[Any]) -> None:
    step = min(size, 50) if endpoint is ROLES else size
    seen: list[str] = []
    total = 10**9
    while len(seen) < total:
        query = {"limit": str(step), "offset": str(len(seen)), "count": "true"}
        answer = endpoint.answer(query, filter_limit=4000, tracking_id="t")
        total = int(answer.headers["X-Total-Count"])
        seen += [entry["id"] for entry in entries_of(answer)]
    assert len(set(seen)) == len(seen) == total
    assert "beyond" in refused(endpoint, "", offset=str(total))


def test_lists_can_be_sorted() -> None:
    found = [entry["alias"] for entry in listed(PEOPLE, sorters="-alias")]
    assert found == sorted((person.alias for person in DIRECTORY.people), reverse=True)[:250]
    assert "sorters" in refused(PEOPLE, "", sorters="colour")


def test_a_filter_that_is_too_long_is_refused() -> None:
    assert "at most 30 characters" in refused(PEOPLE, f'alias eq "{ANNA.alias * 3}"', 30)


@pytest.mark.parametrize(
    "filters",
    [
        'alias eq "a',
        'alias eq "a\\b"',
        'alias eq "a" or',
        '(alias eq "a"',
        'alias eq "a")',
        "alias eq",
        "alias",
        "(" * 30 + 'alias eq "a"' + ")" * 30,
        '"alias" eq "a"',
        "id in (,)",
    ],
)
def test_an_unreadable_filter_is_refused(filters: str) -> None:
    assert "filters" in refused(PEOPLE, filters)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_every_escaped_text_is_parsed_back(values: list[str]) -> None:
    chain = read_filter(" or ".join(f"(name eq {quoted(value)})" for value in values), limit=10**6)
    terms = tuple(Term(field="name", operator="eq", values=(value,)) for value in values)
    assert chain == (terms[0] if len(terms) == 1 else AnyOf(parts=terms))
    one = Term(field="id", operator="in", values=tuple(values))
    assert read_filter(f"id in ({','.join(map(quoted, values))}) and id eq x", limit=10**6) == AllOf(
        parts=(one, Term(field="id", operator="eq", values=("x",)))
    )


@given(st.text(alphabet='ab "\\(),.inoreqd', max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(BadQueryError):
        read_filter(text)


def test_ids_outside_the_directory_are_found_if_every_id_exists() -> None:
    lenient = people_endpoint(Known(directory=DIRECTORY), public=False)
    unlisted = "f" * 32
    assert names(lenient, f'id in ("{unlisted}","{ANNA.id}","jane.doe")', "id") == [ANNA.id, unlisted]
    assert names(PEOPLE, f'id in ("{unlisted}","{ANNA.id}")', "id") == [ANNA.id]
