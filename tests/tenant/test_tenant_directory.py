"""Looking names up: few calls, each within the limits, and no false match."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.errors import SettingsError, TenantLostError
from batch.model import IdentityBy
from batch.tenant.collection import portions
from tests.plan.changes import hex_id
from tests.tenant.directory_tenant import DirectoryTenant, asked_of_list, asked_of_search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from batch.names.meaning import NameMatches
    from tests.tenant.open_calls import Reply

AUTO = IdentityBy.AUTO
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
BLOCKED: Reply = (403, b"<html>Access denied</html>", {})
FORBIDDEN: Reply = (403, {"detailCode": "403", "messages": [{"text": "no"}]}, {})


def document(number: int, alias: str, **others: Any) -> dict[str, Any]:
    return {"id": hex_id(number), "name": alias, **others}


def people(tenant: DirectoryTenant, *names: str, by: IdentityBy = AUTO, api: str = "beta") -> Mapping[str, NameMatches]:
    return tenant.found(lambda directory: directory.people(names, by), api=api)


def items(tenant: DirectoryTenant, kind: ItemType, *names: str) -> Mapping[str, NameMatches]:
    return tenant.found(lambda directory: directory.items(kind, names))


def ids(found: NameMatches) -> list[str]:
    return [candidate.id for candidate in found.candidates]


def crowd(size: int) -> list[dict[str, Any]]:
    return [
        document(n, f"user{n}", email=f"user{n}@example.com", employeeNumber=f"{n:06}", displayName=f"User {n}")
        for n in range(size)
    ]


def test_four_thousand_names_take_twenty_calls_within_the_limits() -> None:
    tenant = DirectoryTenant(crowd(4_000))
    found = people(tenant, *(f"user{n}" for n in range(4_000)))
    assert all(ids(found[f"user{n}"]) == [hex_id(n)] for n in range(4_000))
    assert tenant.calls == len(tenant.requests) == 20
    assert max(len(asked_of_search(request)) for request in tenant.requests) <= 800
    assert max(len(request.content) for request in tenant.requests) <= 100_000


def test_names_of_a_known_kind_fill_a_page_per_call() -> None:
    tenant = DirectoryTenant(crowd(1_000))
    people(tenant, *(f"user{n}" for n in range(1_000)), by=IdentityBy.ALIAS)
    assert tenant.calls == 4


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("user7", IdentityBy.ALIAS),
        ("user7@example.com", IdentityBy.EMAIL),
        ("000007", IdentityBy.EMPLOYEE_NUMBER),
        ("USER 7", IdentityBy.NAME),
    ],
)
def test_a_person_is_found_by_each_kind_of_name(name: str, by: IdentityBy) -> None:
    tenant = DirectoryTenant(crowd(10))
    assert ids(people(tenant, name, by=by)[name]) == ids(people(tenant, name)[name]) == [hex_id(7)]


AWKWARD = [
    'a"b',
    "a\\",
    'a\\"b',
    "*",
    "user*",
    "user?",
    "name:user1",
    "(user1)",
    "user1 OR user2",
    "é ñ",
    "日本",
    "a'b",
    "~",
]


def test_names_with_characters_of_the_query_language_match_nobody_else() -> None:
    tenant = DirectoryTenant(crowd(10))
    found = people(tenant, *AWKWARD)
    spelled = {normalize(form, name) for name in AWKWARD for form in FORMS}
    assert {value for _, value in asked_of_search(tenant.requests[0])} == spelled
    listed = {value for request in tenant.requests[1:] for _, value in asked_of_list(request)}
    assert listed == spelled
    assert [ids(one) for one in found.values()] == [[]] * len(AWKWARD)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1, max_size=5, unique=True))
def test_no_name_ends_a_query_or_a_filter_early(names: list[str]) -> None:
    tenant = DirectoryTenant()
    people(tenant, *names)
    items(tenant, ItemType.ROLE, *names)
    searched = {value for field, value in asked_of_search(tenant.requests[0]) if field == "name"}
    listed = [{value for field, value in asked_of_list(request) if field != "email"} for request in tenant.requests[1:]]
    spellings = {*names, *(re.sub(" +", " ", name) for name in names)}
    spellings |= {normalize(form, name) for name in spellings for form in FORMS}
    assert searched == spellings
    assert listed == [spellings, spellings]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), unique=True),
    st.tuples(st.integers(1, 9), st.integers(1, 20)),
)
def test_portions_keep_every_value_and_only_a_lone_value_exceeds_a_limit(
    weights: list[tuple[int, int]], most: tuple[int, int]
) -> None:
    values = [str(number) for number in range(len(weights))]
    made = list(portions(values, lambda value: weights[int(value)], most))
    assert [value for portion in made for value in portion] == values
    for portion in made:
        loads = [sum(weights[int(value)][respect] for value in portion) for respect in range(2)]
        assert len(portion) == 1 or all(load <= limit for load, limit in zip(loads, most, strict=True))


def test_awkward_names_are_found() -> None:
    tenant = DirectoryTenant([document(n, f"x{n}", displayName=f"user {name}") for n, name in enumerate(AWKWARD)])
    found = people(tenant, *(f"user {name}" for name in AWKWARD))
    assert [ids(one) for one in found.values()] == [[hex_id(n)] for n in range(len(AWKWARD))]


def test_people_unknown_to_the_search_are_looked_up_in_the_list() -> None:
    joined = {"id": hex_id(50), "alias": "new", "name": "New Joiner", "emailAddress": "new@example.com"}
    tenant = DirectoryTenant(crowd(3), listed={"identities": [joined]})
    found = people(tenant, "user1", "new", "NEW JOINER", "new@example.com", "nobody")
    assert {name: ids(one) for name, one in found.items()} == {
        "user1": [hex_id(1)], "new": [hex_id(50)], "NEW JOINER": [hex_id(50)], "new@example.com": [hex_id(50)],
        "nobody": [],
    }  # fmt: skip
    assert found["nobody"].fields == tuple(by for by in IdentityBy if by not in {AUTO, IdentityBy.ID})
    assert [request.url.path for request in tenant.requests] == ["/v3/search", "/beta/identities"]


def test_employee_numbers_are_not_looked_up_in_the_list() -> None:
    tenant = DirectoryTenant(crowd(3))
    assert ids(people(tenant, "999", by=IdentityBy.EMPLOYEE_NUMBER)["999"]) == []
    assert tenant.calls == 1


@pytest.mark.parametrize(
    ("api", "fields", "unseen"),
    [
        ("v2025", {"alias", "email", "name"}, "employee numbers"),
        ("v3", {"alias", "email"}, "employee numbers and display names"),
    ],
)
def test_a_token_that_may_not_search_uses_the_list_and_reports_what_it_lacks(
    api: str, fields: set[str], unseen: str
) -> None:
    row = {"id": hex_id(1), "alias": "anna@x", "name": "Anna", "email": "anna@x"}
    listed = {"public-identities": [row], "identities": [row]}
    tenant = DirectoryTenant(listed=listed, answers={"search": lambda _: FORBIDDEN})
    found = people(tenant, "anna@x", "bob", api=api)
    assert ids(found["anna@x"]) == [hex_id(1)]
    assert {field for field, _ in asked_of_list(tenant.requests[-1])} == fields
    assert set(found["bob"].fields) == fields
    assert tenant.notices == [
        f"The token may not search (scope sp:search:read), so names are not compared with {unseen}."
    ]


def test_a_token_that_may_read_no_people_gets_the_missing_scope_named() -> None:
    def scope_named(tenant: DirectoryTenant, by: IdentityBy) -> str:
        with pytest.raises(SettingsError) as caught:
            people(tenant, "x", by=by)
        assert caught.value.exit_code == 2
        return caught.value.next_step

    no_search = DirectoryTenant(answers={"search": lambda _: FORBIDDEN})
    assert "sp:search:read" in scope_named(no_search, IdentityBy.EMPLOYEE_NUMBER)
    nothing = DirectoryTenant(answers={"search": lambda _: FORBIDDEN, "identities": lambda _: FORBIDDEN})
    assert "idn:identity:read" in scope_named(nothing, AUTO)


@pytest.mark.parametrize(
    ("kind", "path", "scope"),
    [
        (ItemType.ROLE, "roles", "idn:role-unchecked:read"),
        (ItemType.ACCESS_PROFILE, "access-profiles", "idn:access-profile:read"),
        (ItemType.ENTITLEMENT, "entitlements", "idn:entitlement:read"),
    ],
)
def test_a_token_that_may_not_read_items_gets_the_missing_scope_named(kind: ItemType, path: str, scope: str) -> None:
    with pytest.raises(SettingsError) as caught:
        items(DirectoryTenant(answers={path: lambda _: FORBIDDEN}), kind, "AD|x")
    assert scope in caught.value.next_step


def test_a_firewall_before_the_directory_is_not_blamed_on_the_token() -> None:
    blocked = DirectoryTenant(answers=dict.fromkeys(("search", "roles"), lambda _: BLOCKED))
    with pytest.raises(TenantLostError, match="something in front"):
        people(blocked, "anna@x")
    with pytest.raises(TenantLostError, match="something in front"):
        items(blocked, ItemType.ROLE, "x")


def test_roles_of_the_same_name_are_found_on_all_pages() -> None:
    roles = [{"id": hex_id(n), "name": "Clerk", "owner": {"name": f"Owner {n}"}} for n in range(60)]
    tenant = DirectoryTenant(listed={"roles": [*roles, {"id": hex_id(99), "name": 'Chief "C\\O"'}]})
    found = items(tenant, ItemType.ROLE, "Clerk", 'Chief "C\\O"', "Cl*")
    assert len(found["Clerk"].candidates) == 60
    assert ids(found['Chief "C\\O"']) == [hex_id(99)]
    assert ids(found["Cl*"]) == []
    assert tenant.calls == 2


def test_items_are_looked_up_fifty_at_a_time() -> None:
    tenant = DirectoryTenant(listed={"access-profiles": [{"id": hex_id(n), "name": f"P{n}"} for n in range(120)]})
    found = items(tenant, ItemType.ACCESS_PROFILE, *(f"P{n}" for n in range(120)))
    assert [ids(one) for one in found.values()] == [[hex_id(n)] for n in range(120)]
    assert tenant.calls == 3


def test_a_name_with_two_blanks_is_looked_up_with_one_too() -> None:
    tenant = DirectoryTenant(
        [document(1, "jd", displayName="Jane Doe"), document(2, "jr", displayName="Jane  Roe")],
        listed={
            "roles": [{"id": hex_id(3), "name": "Chief Clerk"}],
            "entitlements": [entitlement(4, "AD", "x y", "X Y")],
        },
    )
    assert [ids(one) for one in people(tenant, "Jane  Doe", "Jane  Roe").values()] == [[hex_id(1)], [hex_id(2)]]
    assert ids(items(tenant, ItemType.ROLE, "Chief   Clerk")["Chief   Clerk"]) == [hex_id(3)]
    for name in ("AD|memberOf|x  y", "AD|X  Y"):
        assert ids(items(tenant, ItemType.ENTITLEMENT, name)[name]) == [hex_id(4)]


@pytest.mark.parametrize("form", FORMS)
def test_a_name_is_looked_up_with_its_accents_apart_and_together(form: Literal["NFC", "NFD"]) -> None:
    here, there = normalize(form, "Renée Café"), normalize("NFD" if form == "NFC" else "NFC", "Renée Café")
    tenant = DirectoryTenant(
        [document(1, "rk", displayName=there)],
        listed={"roles": [{"id": hex_id(2), "name": there}], "entitlements": [entitlement(3, "AD", there, "x")]},
    )
    assert ids(people(tenant, here)[here]) == [hex_id(1)]
    assert ids(items(tenant, ItemType.ROLE, here)[here]) == [hex_id(2)]
    assert ids(items(tenant, ItemType.ENTITLEMENT, f"AD|memberOf|{here}")[f"AD|memberOf|{here}"]) == [hex_id(3)]


def entitlement(number: int, source: str, value: str, name: str) -> dict[str, Any]:
    return {"id": hex_id(number), "name": name, "attribute": "memberOf", "value": value, "source": {"name": source}}


def test_entitlements_are_looked_up_by_value_or_name_and_told_apart_by_source_and_attribute() -> None:
    tenant = DirectoryTenant(
        listed={"entitlements": [entitlement(1, "AD", "CN=a|b", "A"), entitlement(2, "LDAP", "CN=a|b", "A")]}
    )
    names = (r"AD|memberOf|CN=a\|b", "LDAP|A", r"AD|groups|CN=a\|b", "SAP|A")
    found = items(tenant, ItemType.ENTITLEMENT, *names)
    assert [ids(found[name]) for name in names] == [[hex_id(1)], [hex_id(2)], [], []]
    assert [asked_of_list(request) for request in tenant.requests] == [[("value", "CN=a|b")], [("name", "A")]]


def test_no_address_is_too_long_for_a_gateway_in_any_script() -> None:
    tenant = DirectoryTenant()
    items(tenant, ItemType.ENTITLEMENT, *(f"AD|memberOf|CN={'部' * 60}{n},OU=Ü Ö" for n in range(50)))
    items(tenant, ItemType.ROLE, *(f"{'x ' * 60}{n}" for n in range(50)))
    assert max(len(str(request.url)) for request in tenant.requests) < 8_000
    assert max(len(request.url.params["filters"]) for request in tenant.requests) <= 4_000


def suggested(tenant: DirectoryTenant, ask: Any) -> Mapping[str, tuple[str, ...]]:
    return {name: one.near for name, one in tenant.found(ask, suggests=True).items()}


def test_names_that_are_spelled_nearly_like_unknown_ones_take_one_call_for_each_kind() -> None:
    roles = [{"id": hex_id(n), "name": name} for n, name in enumerate(("Payroll Reader", "Payroll Auditor", "Clerk"))]
    group = entitlement(9, "AD", "CN=Readers", "Readers")
    listed = {"roles": roles, "entitlements": [group], "identities": [{"id": hex_id(5), "alias": "jane.doe"}]}
    tenant = DirectoryTenant(listed=listed)
    found = suggested(tenant, lambda one: one.items(ItemType.ROLE, ["Payrol Reader", "Clerk", "Janitor", "R+D"]))
    assert found == {"Clerk": (), "Payrol Reader": ("Payroll Reader",), "Janitor": (), "R+D": ()}
    assert tenant.calls == 2
    assert tenant.requests[-1].url.params["filters"] == " or ".join(
        f'name sw "{one}"' for one in ("Payr", "Jan", "R+D", "PAYR", "JAN", "payr", "jan", "r+d")
    )
    found = suggested(tenant, lambda one: one.items(ItemType.ENTITLEMENT, ["AD|memberOf|CN=Reader", "AD|Reader"]))
    assert found == {"AD|memberOf|CN=Reader": ("AD|memberOf|CN=Readers",), "AD|Reader": ("AD|Readers",)}
    found = suggested(tenant, lambda one: one.people(["jane.deo"], AUTO))
    assert found == {"jane.deo": ("jane.doe",)}


def test_names_that_differ_in_case_are_suggested_though_the_list_of_items_tells_cases_apart() -> None:
    names = ("Payroll Reader", "LDAP Admin", "clerks")
    tenant = DirectoryTenant(listed={"roles": [{"id": hex_id(n), "name": name} for n, name in enumerate(names)]})
    tenant.ignores_case = False
    found = suggested(tenant, lambda one: one.items(ItemType.ROLE, ["payroll  READER", "ldap admin", "CLERKS"]))
    assert found == {"CLERKS": ("clerks",), "ldap admin": ("LDAP Admin",), "payroll  READER": ("Payroll Reader",)}
    suggested(tenant, lambda one: one.items(ItemType.ROLE, [f"{n} wörld {'Ü' * 90}" for n in range(60)]))
    assert max(len(str(request.url)) for request in tenant.requests) < 8_000


def test_a_person_is_suggested_by_the_kind_of_name_that_is_looked_up() -> None:
    hugo = {"id": hex_id(5), "alias": "hugo.k", "emailAddress": "hugo.kowalski@example.com", "name": "Hugo Kowalski"}
    tenant = DirectoryTenant(listed={"identities": [hugo]})
    found = suggested(tenant, lambda one: one.people(["hugo.kowalski@example.com", "hugo.j"], IdentityBy.ALIAS))
    assert found == {"hugo.j": ("hugo.k",), "hugo.kowalski@example.com": ("hugo.k",)}


def test_a_tenant_that_refuses_to_suggest_keeps_no_name_waiting() -> None:
    def answer(request: httpx.Request) -> Reply | None:
        return (500, {}, {}) if " sw " in request.url.params["filters"] else None

    tenant = DirectoryTenant(listed={"roles": [{"id": hex_id(1), "name": "Clerk"}]}, answers={"roles": answer})
    assert suggested(tenant, lambda one: one.items(ItemType.ROLE, ["Clerc", "Clerk"])) == {"Clerk": (), "Clerc": ()}
    assert tenant.calls == 2


def test_no_more_than_a_few_unknown_names_get_suggestions() -> None:
    tenant = DirectoryTenant(listed={"roles": [{"id": hex_id(1), "name": "Role 1"}]})
    found = suggested(tenant, lambda one: one.items(ItemType.ROLE, [f"Role {n}" for n in range(2, 92)]))
    assert len(found) == 90
    assert 0 < len(list(filter(None, found.values()))) <= 20
    assert [found[f"Role {n}"] for n in range(2, 10)] == [("Role 1",)] * 8


def refusing(bad: Sequence[str], status: int = 400) -> Any:
    def answer(request: httpx.Request) -> Reply | None:
        asked = {value for _, value in asked_of_list(request)}
        return (status, {"messages": [{"text": "can't\nread this"}]}, {}) if asked & set(bad) else None

    return answer


@pytest.mark.parametrize("status", [400, 414])
def test_a_refused_name_is_reported_and_holds_up_no_other(status: int) -> None:
    listed = {"roles": [{"id": hex_id(n), "name": f"R{n}"} for n in range(30)]}
    tenant = DirectoryTenant(listed=listed, answers={"roles": refusing(["R7"], status)})
    found = items(tenant, ItemType.ROLE, *(f"R{n}" for n in range(30)))
    assert [ids(one) for name, one in found.items() if name != "R7"] == [[hex_id(n)] for n in range(30) if n != 7]
    assert found["R7"].refusal == "can't read this"


def test_a_tenant_that_refuses_every_name_is_lost_after_a_few() -> None:
    names = [f"R{n}" for n in range(1000)]
    tenant = DirectoryTenant(answers={"roles": refusing(names)})
    with pytest.raises(TenantLostError, match="list of roles is refused: can't read this"):
        items(tenant, ItemType.ROLE, *names)
    assert len(tenant.requests) < 20


def test_a_name_with_too_many_matches_is_reported_and_the_others_are_found() -> None:
    tenant = DirectoryTenant([document(n, f"u{n}", displayName=f"User {n:05}") for n in range(10_001)])
    found = people(tenant, "user", "u17", "u18")
    assert found["user"].refusal == "too many have it in one of their names"
    assert (ids(found["u17"]), ids(found["u18"])) == ([hex_id(17)], [hex_id(18)])


def test_a_list_that_ends_before_its_count_proves_no_absence() -> None:
    def answer(request: httpx.Request) -> Reply:
        offset = int(request.url.params["offset"])
        return (400, {}, {}) if offset else (200, [document(n, f"u{n}") for n in range(250)], {"X-Total-Count": "300"})

    with pytest.raises(TenantLostError, match="search ended after 250 of 300 rows"):
        people(DirectoryTenant(answers={"search": answer}), "x")


def test_a_list_that_gives_the_same_page_again_does_not_end() -> None:
    def answer(_request: httpx.Request) -> Reply:
        return 200, [document(n, f"u{n}") for n in range(250)], {}

    with pytest.raises(TenantLostError, match="does not end"):
        people(DirectoryTenant(answers={"search": answer}), "x")


def test_rows_that_make_no_sense_match_nobody() -> None:
    nonsense: list[Any] = [None, 7, [], {}, {"id": 5}, {"id": "../x", "name": "x"}, {"id": hex_id(1), "name": ["x"]}]
    tenant = DirectoryTenant(
        answers={"search": lambda _: (200, nonsense, {}), "identities": lambda _: (200, nonsense, {})}
    )
    assert ids(people(tenant, "x")["x"]) == []
    tenant = DirectoryTenant(answers={"roles": lambda _: (200, nonsense, {})})
    assert ids(items(tenant, ItemType.ROLE, "x")["x"]) == []


def test_names_from_the_tenant_are_short_lines_without_secrets() -> None:
    hostile = "Eve\n\x1b[2J s3cret-of-the-client " + "x" * 5_000
    tenant = DirectoryTenant(answers={"search": lambda _: (200, [document(1, "eve", displayName=hostile[:1_900])], {})})
    (candidate,) = people(tenant, "eve")["eve"].candidates
    assert candidate.description.isprintable()
    assert len(candidate.description) < 300
    assert "s3cret" not in candidate.description


def test_employee_numbers_are_read_from_both_fields() -> None:
    within = document(1, "a", attributes={"employeeNumber": 4711})
    listed = {"id": hex_id(2), "alias": "b", "attributes": [{"key": "employeeNumber", "value": "4712"}, None]}
    tenant = DirectoryTenant(answers={"search": lambda _: (200, [within, listed], {})})
    found = people(tenant, "4711", "4712")
    assert (ids(found["4711"]), ids(found["4712"])) == ([hex_id(1)], [hex_id(2)])


def test_the_search_asks_only_for_the_fields_that_names_are_compared_with() -> None:
    tenant = DirectoryTenant(crowd(1))
    people(tenant, "user0")
    body = json.loads(tenant.requests[0].content)
    assert body["includeNested"] is False
    assert "access" not in body["queryResultFilter"]["includes"]
