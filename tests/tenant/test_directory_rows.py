"""Rows of the directory: whatever JSON comes, nothing raises and nothing wrong is believed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batch.names.meaning import Item, Person, is_id
from batch.tenant.directory_rows import item_listed, person_found, person_listed
from tests.plan.changes import hex_id

FIELDS = [
    *("id", "name", "alias", "displayName", "email", "emailAddress", "employeeNumber", "attributes"),
    *("owner", "source", "attribute", "value"),
]
TEXTS = st.text(max_size=20) | st.sampled_from([hex_id(1), hex_id(2), "\ud800", "x" * 2_001])
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["key", "value", "name", "employeeNumber"]) | TEXTS, inner, max_size=4)
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(FIELDS), ANY_JSON) | ANY_JSON


def texts_in(document: Any) -> set[str]:
    """Every text and number in a document, as text."""
    if isinstance(document, dict):
        return set().union(*map(texts_in, document.values()))
    if isinstance(document, list):
        return set().union(*map(texts_in, document))
    return {str(document)}


@given(ROWS, st.sampled_from([person_found, person_listed]))
def test_a_person_has_a_real_id_and_only_what_the_row_holds(raw: Any, read: Any) -> None:
    person = read(raw)
    if person is None:
        assert not (isinstance(raw, dict) and isinstance(raw.get("id"), str) and is_id(raw["id"]))
        return
    assert person.id == raw["id"]
    assert is_id(person.id)
    assert {person.alias, person.email, person.name, *person.numbers} <= texts_in(raw) | {""}


@given(ROWS)
def test_an_item_has_a_real_id_and_only_what_the_row_holds(raw: Any) -> None:
    item = item_listed(raw)
    if item is None:
        assert not (isinstance(raw, dict) and isinstance(raw.get("id"), str) and is_id(raw["id"]))
        return
    assert item.id == raw["id"]
    assert {item.owner, item.source, item.attribute, item.value, *item.names} <= texts_in(raw) | {""}


@given(st.binary(max_size=60))
def test_any_json_text_can_be_read(content: bytes) -> None:
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        return
    assert (person_found(raw), person_listed(raw), item_listed(raw)) == (None, None, None)


def test_fields_are_read_where_each_list_has_them() -> None:
    found = {"id": hex_id(1), "name": "ada", "displayName": "Ada L.", "email": None, "emailAddress": "a@b"}
    listed = {"id": hex_id(1), "alias": "ada", "name": "Ada L.", "email": "a@b", "employeeNumber": 7}
    attributes = {"attributes": [{"key": "employeeNumber", "value": "8"}, None]}
    ada = Person(id=hex_id(1), alias="ada", email="a@b", numbers=(), name="Ada L.")
    assert person_found(found) == ada
    assert person_listed({**listed, **attributes}) == Person(
        id=hex_id(1), alias="ada", email="a@b", numbers=("7", "8"), name="Ada L."
    )
    item = {"id": hex_id(2), "name": "a", "displayName": "a", "owner": {"name": "Bo"}, "source": "HR", "value": "v"}
    assert item_listed(item) == Item(id=hex_id(2), names=("a",), owner="Bo", source="", attribute="", value="v")
