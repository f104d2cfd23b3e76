"""What people hold, by the search index: only what was asked, and nothing guessed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from batch.api.dialects import DIALECTS
from batch.errors import TenantLostError
from batch.status.tenant_facts import PersonFacts
from batch.tenant.holdings import IndexedPerson, SearchIndex
from batch.tenant.reading import ForbiddenError, Reader
from batch.tenant.status import ListingForbiddenError, Query, StatusList
from tests.tenant.fake_tenant import NOW
from tests.tenant.open_calls import Reply, with_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from batch.status.in_progress import Item
    from tests.tenant.virtual_time import Result

ROLE: Item = ("ROLE", "r1")
Asked = list[httpx.Request]


def asked(answer: tuple[int, Any], use: Callable[[Reader], Coroutine[Any, Any, Result]]) -> tuple[Result, Asked]:
    """The result of using a reader of a tenant that always answers the same, and the requests it got."""
    requests: Asked = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return (*answer, {})

    return with_reader(endpoint, use), requests


def held(answer: Any, *people: str, status: int = 200, api: str = "v2025") -> tuple[Mapping[str, Any], Asked]:
    return asked(
        (status, answer), lambda reader: SearchIndex(reader, DIALECTS[api]).of(list(people), frozenset({ROLE}))
    )


def test_one_search_asks_only_for_the_access_of_many_people() -> None:
    found, (request,) = held([], "a", 'b" or id:*')
    assert found == {}
    assert request.url.path == "/v2025/search"
    assert dict(request.url.params) == {"limit": "250"}
    body = json.loads(request.content)
    assert body["indices"] == ["identities"]
    assert body["query"] == {"query": r'id:("a" OR "b\" or id:*")'}
    assert body["queryResultFilter"] == {"includes": ["id", "access.id", "access.type", "accessCount"]}


def test_ids_are_found_however_the_input_spells_them_and_named_as_it_does() -> None:
    access = [{"id": "r-1", "type": "ROLE"}]
    found, (request,) = held([{"id": "ab", "access": access}, {"id": "c-D", "access": access}], "A-B", "cd")
    assert found == {"A-B": {ROLE}, "cd": {ROLE}}
    assert json.loads(request.content)["query"] == {"query": 'id:("A-B" OR "a-b" OR "ab" OR "cd")'}


def test_beta_has_no_search_of_its_own() -> None:
    _, (request,) = held([], "a", api="beta")
    assert request.url.path == "/v3/search"


def found_people(answer: Any, *people: str) -> tuple[Mapping[str, IndexedPerson], Asked]:
    items = frozenset({ROLE, ("ENTITLEMENT", "e1")})
    return asked((200, answer), lambda reader: SearchIndex(reader, DIALECTS["v1"]).people(list(people), items))


def test_one_search_tells_what_people_hold_and_what_they_are() -> None:
    found, (request,) = found_people(
        [
            {
                "id": "a",
                "inactive": True,
                "protected": False,
                "displayName": "Anna\nLee",
                "attributes": {"cloudLifecycleState": "on\nleave"},
                "access": [
                    {"id": "r1", "type": "ROLE", "revocable": False},
                    {"id": "e1", "type": "ENTITLEMENT", "standalone": True},
                ],
                "accessCount": 2,
                "accounts": [{"source": {"id": one}} for one in ("S-1", "s2", "S-1")] + [{"source": None}, "odd"],
            }
        ],
        "A",
        "b",
    )
    facts = PersonFacts(listed=True, inactive=True, protected=False, lifecycle="on leave", name="Anna Lee")
    held = frozenset({ROLE, ("ENTITLEMENT", "e1")})
    assert found == {
        "A": IndexedPerson(held=held, unrevocable=frozenset({ROLE}), facts=facts, crowded=frozenset({"s1"}))
    }
    assert json.loads(request.content)["queryResultFilter"] == {
        "includes": [
            *("id", "access.id", "access.type", "accessCount", "access.revocable", "access.standalone"),
            *("inactive", "protected", "attributes.cloudLifecycleState", "displayName", "accounts.source.id"),
        ]
    }


@pytest.mark.parametrize(
    ("ways", "unrevocable"),
    [
        ([False], {ROLE}),
        ([False, False], {ROLE}),
        ([True], set()),
        ([None], set()),
        (["no"], set()),
        ([False, True], set()),
        ([True, False], set()),
        ([False, None], set()),
    ],
)
def test_access_is_only_irrevocable_if_it_is_in_every_way_that_it_is_held(
    ways: list[Any], unrevocable: set[Item]
) -> None:
    access = [{"id": "r1", "type": "ROLE", "revocable": way, "standalone": False} for way in ways]
    found, _ = found_people([{"id": "a", "access": access}], "a")
    assert found["a"].unrevocable == unrevocable


@pytest.mark.parametrize(
    ("total", "whole"),
    [
        *((total, True) for total in (1, "1", 0, None)),
        *((total, False) for total in (2, "2", "many", -1, True, "1 ", "", "9" * 5000)),
        ([], False),
    ],
)
def test_a_count_that_promises_more_or_that_nobody_can_read_makes_the_access_unknown(
    total: Any, *, whole: bool
) -> None:
    found, _ = found_people([{"id": "a", "access": [{"id": "r1", "type": "ROLE"}], "accessCount": total}], "a")
    assert found["a"].held == (frozenset({ROLE}) if whole else None)


def test_what_the_index_does_not_say_of_a_person_stays_unknown() -> None:
    found, _ = found_people([{"id": "a"}, {"id": "b", "inactive": "no", "protected": 0, "attributes": []}], "a", "b")
    unknown = IndexedPerson(held=None, facts=PersonFacts(listed=True))
    assert found == {"a": unknown, "b": unknown}


def test_two_documents_of_one_person_say_nothing_if_they_differ() -> None:
    access = [{"id": "r1", "type": "ROLE", "revocable": False}]
    found, _ = found_people([{"id": "a", "inactive": True, "access": access}, {"id": "A", "access": []}], "a")
    assert found == {"a": IndexedPerson(held=None)}


def test_two_documents_of_one_person_count_if_they_say_the_same() -> None:
    access = [{"id": "r1", "type": "ROLE", "revocable": False}]
    found, _ = found_people([{"id": one, "inactive": True, "access": access} for one in ("a", "A")], "a")
    assert (found["a"].held, found["a"].unrevocable, found["a"].facts.inactive) == (
        frozenset({ROLE}),
        frozenset({ROLE}),
        True,
    )


def test_only_items_of_interest_are_returned_and_unknown_people_are_left_out() -> None:
    role, other = {"id": "r1", "type": "ROLE", "name": "x"}, {"id": "r2", "type": "ROLE"}
    found, _ = held(
        [
            {"id": "a", "access": [role, other]},
            {"id": "b", "access": [other, {"id": "r1", "type": "ENTITLEMENT"}]},
            {"id": "c", "access": []},
            {"id": "not asked for", "access": [role]},
        ],
        "a", "b", "c", "d",
    )  # fmt: skip
    assert found == {"a": {ROLE}, "b": frozenset(), "c": frozenset()}


@pytest.mark.parametrize(
    "document",
    [None, 7, [], {}, {"id": 7}, {"id": "a", "access": "all"}, {"id": "a", "access": [None, "r1", {"id": ["r1"]}]}],
)
def test_documents_that_make_no_sense_hold_nothing(document: Any) -> None:
    found, _ = held([document], "a")
    assert not found.get("a")


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refused_or_missing_search_is_an_error(status: int) -> None:
    with pytest.raises(ForbiddenError):
        held({"messages": []}, "a", status=status)


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (403, b"<html><title>Access denied</title>Ray ID: 8f1c2d3e4f5a6b7c</html>"),
        (403, b"error code: 1010"),
        (403, {"message": "Forbidden"}),
        (400, b"<html>Bad Request</html>"),
    ],
)
def test_a_refusal_by_a_firewall_says_nothing_about_rights(status: int, page: Any) -> None:
    def listed(reader: Reader) -> Coroutine[Any, Any, Any]:
        return StatusList(reader, DIALECTS["v1"], clock=lambda: NOW).page(Query(requested_for="a"), 250)

    with pytest.raises(TenantLostError, match="search index can't be read: something in front") as lost:
        held(page, "a", status=status)
    assert "firewall" in lost.value.next_step
    with pytest.raises(TenantLostError, match="status list can't be read: something in front"):
        asked((status, page), listed)


def test_a_missing_administration_list_does_not_lose_the_tenant() -> None:
    query = Query(administration=True, executing=True)
    with pytest.raises(ListingForbiddenError):
        asked((404, {}), lambda reader: StatusList(reader, DIALECTS["v1"], clock=lambda: NOW).page(query, 0))


def test_a_senseless_row_in_progress_spoils_only_itself() -> None:
    rows = [{"requestedFor": {"id": "a"}, "id": "r1", "state": "EXECUTING"}, {"id": "r1"}]

    async def use(reader: Reader) -> tuple[int, int]:
        query = Query(requested_for="a", executing=True)
        page = await StatusList(reader, DIALECTS["v1"], clock=lambda: NOW).page(query, 0)
        return page.read, len(page.rows)

    (read, understood), (request,) = asked((200, rows), use)
    assert (read, understood) == (2, 1)
    assert request.url.params["request-state"] == "EXECUTING"
    assert request.url.params["requested-for"] == "a"
