"""The search over identities: queries, pages, fields, and the access in each document."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.sandbox.answers import BadQueryError
from batch.sandbox.directory import Known
from batch.sandbox.filter_ast import AnyOf, Term
from batch.sandbox.filters import read_query
from batch.sandbox.lifecycle import Handling
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.search import IdentitySearch
from batch.sandbox.tenant import SimulatedTenant
from tests.sandbox.calls import NOW, entries_of, grant, later, quoted, text_of

DIRECTORY = make_directory(600)
ANNA, BEN, NAMESAKE = DIRECTORY.people[0], DIRECTORY.people[1], DIRECTORY.people[39]
TENANT = SimulatedTenant(known=Known(directory=DIRECTORY, identities=(), items=()))
SEARCH = IdentitySearch(TENANT, body_limit=50_000)


def body(query: str, **fields: Any) -> bytes:
    return json.dumps({"indices": ["identities"], "query": {"query": query}, **fields}).encode()


def found(query: str, search: IdentitySearch = SEARCH, at: float = 0, **fields: Any) -> list[dict[str, Any]]:
    return entries_of(search.answer(body(query, **fields), {}, later(at)))


def refused(raw: bytes, **query: str) -> str:
    return text_of(SEARCH.answer(raw, query, NOW))


def aliases(query: str) -> set[str]:
    return {document["name"] for document in found(query)}


@pytest.mark.parametrize(
    "query",
    [
        f"id:({ANNA.id} OR {BEN.id} OR ghost)",
        f'id:"{ANNA.id}" OR id:"{BEN.id}"',
        f'(name:"{ANNA.alias}") OR (email:"{BEN.email}")',
        f'name.exact:"{ANNA.alias}" OR email.exact:"{BEN.email}"',
        f'attributes.employeeNumber:"{ANNA.employee_number}" OR employeeNumber:{BEN.employee_number}',
        f'displayName:("{ANNA.display_name.upper()}" OR "{BEN.display_name.lower()}")',
        f'lastName:"{ANNA.last_name}" AND (firstName:"{ANNA.first_name}" OR firstName:"{BEN.first_name}")',
        f'lastName:"{ANNA.last_name}" AND firstName:({ANNA.first_name} OR {BEN.first_name}) AND NOT name:"nobody"',
    ],
)
def test_people_are_found_by_every_field(query: str) -> None:
    assert aliases(query) == {ANNA.alias, BEN.alias}


def test_a_phrase_is_found_anywhere_in_a_field_but_exact_needs_the_whole_text_and_its_case() -> None:
    assert len(aliases(f'displayName:"{ANNA.last_name}"')) > 1
    assert aliases(f'displayName.exact:"{ANNA.last_name}"') == set()
    assert aliases(f'displayName.exact:"{ANNA.display_name.lower()}"') == set()
    assert aliases(f'displayName.exact:"{ANNA.display_name}"') == {ANNA.alias}
    first, last = ANNA.display_name.split()
    assert aliases(f'displayName:"{last} {first}"') == set()


def test_a_display_name_can_find_two_people() -> None:
    assert len(aliases(f"displayName.exact:{quoted(NAMESAKE.display_name)}")) == 2


def test_search_after_reaches_all_people_page_by_page() -> None:
    seen: list[str] = []
    after: dict[str, Any] = {}
    while page := found("*", sort=["id"], **after):
        seen += [document["id"] for document in page]
        after = {"searchAfter": [seen[-1]]}
    assert seen == sorted(person.id for person in DIRECTORY.people)


def test_search_after_works_with_every_sort() -> None:
    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["displayName"], document["id"]

    first = found("*", sort=["displayName", "id"])
    rest = found("*", sort=["displayName", "id"], searchAfter=list(key(first[-1])))
    assert [key(document) for document in first + rest] == sorted(
        (person.display_name, person.id) for person in DIRECTORY.people
    )[:500]
    backwards = [document["id"] for document in found("*", sort=["-id"])]
    assert backwards == sorted((person.id for person in DIRECTORY.people), reverse=True)[:250]


def test_offset_limit_and_count_select_a_page_and_the_total() -> None:
    answer = SEARCH.answer(body("*", sort=["id"]), {"limit": "100", "offset": "550", "count": "true"}, NOW)
    assert (len(entries_of(answer)), answer.headers["X-Total-Count"]) == (50, "600")
    assert "at most 250" in refused(body("*"), limit="251")
    assert "searchAfter" in refused(body("*"), limit="250", offset="9900")


def test_a_document_has_the_vendors_fields_and_the_persons_access() -> None:
    (document,) = found(f"id:{ANNA.id}")
    assert (document["_type"], document["id"], document["name"]) == ("identity", ANNA.id, ANNA.alias)
    assert (document["displayName"], document["email"]) == (ANNA.display_name, ANNA.email)
    assert document["attributes"]["employeeNumber"] == document["employeeNumber"] == ANNA.employee_number
    held = [item for person, _, item in DIRECTORY.held if person == ANNA.id]
    assert [entry["id"] for entry in document["access"]] == held
    assert document["accessCount"] == len(held) == 3
    by_type = {entry["type"]: entry for entry in document["access"]}
    item = DIRECTORY.item_by_id[by_type["ENTITLEMENT"]["id"]]
    assert item.source is not None
    assert by_type["ENTITLEMENT"]["source"] == {"id": item.source.id, "name": item.source.name}
    assert (by_type["ENTITLEMENT"]["name"], by_type["ENTITLEMENT"]["value"]) == (item.name, item.value)
    assert "source" not in by_type["ROLE"]


def test_a_query_can_select_fields_and_omit_nested_ones() -> None:
    cut = found(f"id:{ANNA.id}", queryResultFilter={"includes": ["id", "access.id", "access.source.name"]})[0]
    assert set(cut) == {"id", "access", "_type", "type", "_version"}
    assert {frozenset(entry) for entry in cut["access"]} == {frozenset({"id"}), frozenset({"id", "source"})}
    plain = found(f"id:{ANNA.id}", includeNested=False)[0]
    assert ("access" in plain, plain["accessCount"]) == (False, 3)


def test_the_search_shows_granted_access_after_its_lag() -> None:
    known = Known(directory=DIRECTORY, identities=(), items=())
    handling = Handling(approval_seconds=10, provisioning_seconds=10)
    tenant = SimulatedTenant(known=known, handling=handling, search_lag=100)
    role = next(
        item for item in DIRECTORY.of_type(ItemType.ROLE) if (ANNA.id, ItemType.ROLE, item.id) not in DIRECTORY.held
    )
    assert tenant.submit(grant(ANNA.id, items=(role.id,)), NOW).status == 202
    search = IdentitySearch(tenant, body_limit=50_000)

    def holds(at: float) -> bool:
        (document,) = found(f"id:{ANNA.id}", search, at)
        return role.id in {entry["id"] for entry in document["access"]}

    assert [holds(at) for at in (0, 119, 120)] == [False, False, True]


def test_the_people_who_hold_an_item_are_found_by_a_nested_query() -> None:
    tenant = SimulatedTenant(known=Known(directory=DIRECTORY, identities=(), items=()))
    for one in ("i1", "i2"):
        tenant.hold(one, ItemType.ROLE, "r1")
    tenant.hold("i3", ItemType.ROLE, "r2")
    search = IdentitySearch(tenant, body_limit=50_000)
    assert {one["id"] for one in found("@access(id:r1)", search)} == {"i1", "i2"}
    assert {one["id"] for one in found('@access(id:(r1 OR "r2"))', search)} == {"i1", "i2", "i3"}
    assert found("@access(id:r3)", search) == []
    for odd in ("@access(id:r1", "@access:r1", "@access(@access(id:r1))", "@access(name:r1)"):
        assert search.answer(body(odd), {}, NOW).status == 400, odd


def test_ids_outside_the_directory_are_found_if_every_id_exists() -> None:
    tenant = SimulatedTenant()
    tenant.hold("i1", ItemType.ROLE, "r1")
    search = IdentitySearch(tenant, body_limit=50_000)
    unlisted = "f" * 32
    documents = found(f"id:(i1 OR {unlisted} OR jane.doe)", search)
    access = {document["id"]: [(one["type"], one["id"]) for one in document["access"]] for document in documents}
    assert access == {"i1": [("ROLE", "r1")], unlisted: []}
    assert found(f"id:({unlisted})") == []


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"{", "JSON"),
        (b"[]", "JSON object"),
        (json.dumps({"query": {"query": "*"}}).encode(), "index"),
        (json.dumps({"indices": ["roles"], "query": {"query": "*"}}).encode(), "index"),
        (json.dumps({"indices": ["identities"]}).encode(), "query.query"),
        (json.dumps({"indices": ["identities"], "query": {"query": " "}}).encode(), "query.query"),
        (body("*", queryType="DSL"), "queryType"),
        (body("*", filters={"id": {"type": "EXISTS"}}), "filters"),
        (body("*", sort="id"), "array of strings"),
        (body("*", sort=["colour"]), "sort must be"),
        (body("*", sort=["id"], searchAfter=["a", "b"]), "searchAfter"),
        (body("colour:red"), "colour"),
        (body("id:(" + " OR ".join(["x"] * 801) + ")"), "at most 800 values"),
        (body("name:x" + " " * 60_000), "at most 50000 bytes"),
    ],
)
def test_a_search_that_breaks_a_rule_is_refused(raw: bytes, cause: str) -> None:
    assert cause in refused(raw)


@pytest.mark.parametrize(
    "query",
    [
        "anna",
        "name:",
        "name:a*",
        "name:a b",
        "name:(a OR)",
        "name:(a OR b",
        "name:a OR OR name:b",
        "name:[a TO b]",
        "name:-a",
        'name:"a',
        "name:a)",
        '"name":a',
        "NOT",
        "name:" + "(" * 30 + "a" + ")" * 30,
    ],
)
def test_a_query_that_the_sandbox_would_have_to_guess_is_refused(query: str) -> None:
    assert "can't be read" in refused(body(query))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_every_escaped_text_is_parsed_back(values: list[str]) -> None:
    read = read_query(f"name:({' OR '.join(map(quoted, values))})", most_terms=10)
    terms = tuple(Term(field="name", operator="matches", values=(value,)) for value in values)
    assert read == (terms[0] if len(terms) == 1 else AnyOf(parts=terms))


@given(st.text(alphabet='ab "\\():ORANDT.*-', max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(BadQueryError):
        read_query(text, most_terms=10)


@given(st.data())
def test_every_person_is_found_by_every_field(data: st.DataObject) -> None:
    person = data.draw(st.sampled_from(DIRECTORY.people))
    for field, text in (
        ("id", person.id),
        ("name", person.alias),
        ("email", person.email),
        ("displayName", person.display_name),
        ("attributes.employeeNumber", person.employee_number),
    ):
        assert person.alias in aliases(f"{field}:{quoted(text)}")
        assert field == "id" or person.alias in aliases(f"{field}.exact:{quoted(text)}")


def test_an_empty_directory_has_no_results() -> None:
    search = IdentitySearch(SimulatedTenant(known=Known(identities=())), body_limit=1000)
    assert found("*", search) == found('name:"x"', search) == []
