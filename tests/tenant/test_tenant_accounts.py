"""Which accounts a person has for an item, as the tenant says; what can't be read is left out, and nothing guessed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.names.accounts import Account, Assignment, ItemAccounts, SourceAccounts
from batch.tenant.accounts import AccountChoices
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.text import HIDDEN
from tests.tenant.open_calls import Reply, with_reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from batch.status.in_progress import Item

PROFILE: Item = ("ACCESS_PROFILE", "P-1")


def account(**fields: Any) -> dict[str, Any]:
    return {"type": "ACCOUNT", "nativeIdentity": "CN=Anna", "name": "anna", "id": "a1", "uuid": None, **fields}


def answer(*accounts: Any, item: str = "p1", **fields: Any) -> dict[str, Any]:
    source = {"type": "SOURCE", "id": "s1", "name": "AD", "accounts": list(accounts)}
    asked = {"type": "ACCESS_PROFILE", "id": item, "accountsSelectionBlocked": False, "sources": [source], **fields}
    return {"identities": [{"id": "AN-NA", "requestedItems": [asked]}, {"id": "bob", "requestedItems": [asked]}]}


def offered(
    document: Any, status: int = 200, items: Sequence[Item] = (PROFILE,)
) -> tuple[Mapping[Item, ItemAccounts], list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return (status, document, {})

    found = with_reader(endpoint, lambda reader: AccountChoices(reader, DIALECTS["v1"]).of("anna", items))
    return found, requests


def test_one_call_tells_a_persons_accounts_for_several_items() -> None:
    second = account(nativeIdentity="CN=Adm", name="adm", id="a2", uuid="{2}")
    found, (request,) = offered(answer(account(), second))
    accounts = (
        Account(native="CN=Anna", name="anna", id="a1"),
        Account(native="CN=Adm", name="adm", id="a2", uuid="{2}"),
    )
    assert found == {PROFILE: ItemAccounts(sources=(SourceAccounts(id="s1", name="AD", accounts=accounts),))}
    assert (request.method, request.url.path) == ("POST", "/access-requests/v1/accounts-selection")
    assert request.headers["X-SailPoint-Experimental"] == "true"
    assert json.loads(request.content) == {
        "requestType": "GRANT_ACCESS",
        "requestedFor": ["anna"],
        "requestedItems": [{"type": "ACCESS_PROFILE", "id": "P-1"}],
    }


def test_why_nobody_may_choose_is_told() -> None:
    found, _ = offered(answer(account(), accountsSelectionBlocked=True, accountsSelectionBlockedReason="ASSIGNED"))
    assert found[PROFILE].blocked == "ASSIGNED"


@pytest.mark.parametrize(("said", "required"), [(False, False), (True, True), (None, False), ("yes", False)])
def test_only_a_plain_yes_says_that_a_choice_is_needed(said: Any, required: bool) -> None:  # noqa: FBT001
    document = answer(account())
    document["identities"][0]["accountsSelectionRequired"] = said
    found, _ = offered(document)
    assert found[PROFILE].required is required


def test_a_choice_that_any_of_several_items_may_need_is_said_of_none() -> None:
    document = answer(account(), account(id="2", nativeIdentity="b"))
    identity = document["identities"][0]
    identity["accountsSelectionRequired"] = True
    second = ("ACCESS_PROFILE", "P-2")
    found, _ = offered(document, items=(PROFILE, second))
    assert found[PROFILE].required is None, "the tenant leaves the other one out, so that may be the one"
    identity["requestedItems"] += answer(account(), item="P-2")["identities"][0]["requestedItems"]
    found, _ = offered(document, items=(PROFILE, second))
    assert [found[one].required for one in (PROFILE, second)] == [True, True], "only the first has several accounts"
    identity["requestedItems"][1]["sources"] = identity["requestedItems"][0]["sources"]
    found, _ = offered(document, items=(PROFILE, second))
    assert [found[one].required for one in (PROFILE, second)] == [None, None]


@pytest.mark.parametrize(
    "document",
    [
        answer(account(), "odd"),
        answer(account(), sources=None),
        answer(account(), item="p2"),
        {"identities": None},
        {},
    ],
)
def test_what_cannot_be_read_in_full_is_left_out(document: Any) -> None:
    assert offered(document)[0] == {}


@pytest.mark.parametrize(
    ("other", "native", "name"),
    [
        ({"nativeIdentity": None}, "", "anna"),
        ({"nativeIdentity": "line\nbreak", "name": None}, "", "line break"),
        ({"nativeIdentity": "CN=Lee,  Ann"}, "CN=Lee,  Ann", "anna"),
        ({"nativeIdentity": "CN=Ann\u00a0Lee ", "name": "ann "}, "CN=Ann\u00a0Lee ", "ann "),
        ({"nativeIdentity": "a\u202eb"}, "", "anna"),
        ({"nativeIdentity": f"CN={HIDDEN}"}, "", "anna"),
    ],
)
def test_an_account_with_an_odd_text_is_told_beside_the_others(other: dict[str, Any], native: str, name: str) -> None:
    ((source,),) = (one.sources for one in offered(answer(account(), account(id="a2", **other)))[0].values())
    assert [(one.native, one.name) for one in source.accounts][1:] == [(native, name)]


@pytest.mark.parametrize(("status", "error"), [(403, ForbiddenError), (404, ForbiddenError), (400, RefusedError)])
def test_a_refusal_is_told(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        offered({"detailCode": "x", "trackingId": "t", "messages": [{"text": "No."}]}, status)


def test_the_sources_of_items_are_asked_for_by_their_ids() -> None:
    requests: list[httpx.Request] = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return (200, [{"id": "e-1", "source": {"id": "S-1"}}, {"id": "e2", "source": None}, "odd"], {})

    found = with_reader(
        endpoint,
        lambda reader: AccountChoices(reader, DIALECTS["v1"]).sources(ItemType.ENTITLEMENT, ["E1", "e2", "e3"]),
    )
    assert found == {"E1": "s1"}
    assert requests[0].url.path == "/entitlements/v1"
    assert requests[0].url.params["filters"] == 'id in ("E1", "e2", "e3")'


def assignment(id_: str = "as1", *targets: Any, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "role": {"type": "ROLE", "id": "R-1"}, "accountTargets": list(targets), **fields}


def target(native: object = "CN=Anna", uuid: object = None, source: object = "S-1") -> dict[str, Any]:
    info = {"nativeIdentity": native, "displayName": "anna", "uuid": uuid}
    return {"source": {"type": "SOURCE", "id": source, "name": "AD"}, "accountInfo": info}


def assigned(
    document: Any, status: int = 200, api: str = "v1"
) -> tuple[tuple[Assignment, ...] | None, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return (status, document, {})

    found = with_reader(endpoint, lambda reader: AccountChoices(reader, DIALECTS[api]).assignments("an/na", "r1"))
    return found, requests


@pytest.mark.parametrize(
    ("api", "path"),
    [("v1", "/identities/v1/an%2Fna/role-assignments"), ("v2024", "/v2024/identities/an%2Fna/role-assignments")],
)
def test_the_assignments_of_a_role_are_read_with_their_accounts(api: str, path: str) -> None:
    other = assignment("as9", target(), role={"id": "another"})
    found, (request,) = assigned([assignment("as1", target(uuid="{U}")), assignment("as2"), other], api=api)
    assert request.url.raw_path.decode() == f"{path}?roleId=r1"
    assert found == (
        Assignment(id="as1", accounts=frozenset({("s1", "cn=anna", "u")}), words=("anna",)),
        Assignment(id="as2", accounts=frozenset()),
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        [7],
        [assignment(""), assignment("as2")],
        [assignment("as1", role=None)],
        [assignment("as1", accountTargets=None)],
        [assignment("as1", target(native=None))],
        [assignment("as1", target(source=None))],
        [assignment("as1", target(), "odd")],
    ],
)
def test_assignments_that_cannot_all_be_read_are_not_told(document: Any) -> None:
    assert assigned(document)[0] is None


@pytest.mark.parametrize(("status", "error"), [(403, ForbiddenError), (400, RefusedError), (404, RefusedError)])
def test_a_refusal_to_list_assignments_is_told(status: int, error: type[Exception]) -> None:
    refusal = {"detailCode": "x", "trackingId": "y", "messages": [{"text": "no"}], "causes": []}
    with pytest.raises(error):
        assigned(refusal, status)


def role_ends(document: Any, status: int = 200, api: str = "v1") -> Mapping[str, Sequence[str]] | None:
    def endpoint(request: httpx.Request) -> Reply:
        assert not request.url.params
        return (status, document, {})

    return with_reader(endpoint, lambda reader: AccountChoices(reader, DIALECTS[api]).role_ends("an/na"))


@pytest.mark.parametrize("api", DIALECTS)
def test_the_end_dates_of_all_roles_of_a_person_are_read(api: str) -> None:
    listed = [
        assignment("as1", removeDate="2027-01-31T00:00:00Z"),
        assignment("as2", removeDate=None),
        assignment("as3", role={"id": "r2"}),
    ]
    assert role_ends(listed, api=api) == {"r1": ["2027-01-31T00:00:00Z", ""], "r2": [""]}
    assert role_ends([], api=api) == {}


@pytest.mark.parametrize(
    "document", [{}, [7], [assignment(role=None)], [assignment(removeDate="soon")], [assignment(removeDate=7)]]
)
def test_end_dates_that_cannot_all_be_read_are_not_told(document: Any) -> None:
    assert role_ends(document) is None


def test_a_refusal_to_tell_end_dates_is_told() -> None:
    refusal = {"detailCode": "x", "trackingId": "y", "messages": [{"text": "no"}], "causes": []}
    with pytest.raises(ForbiddenError):
        role_ends(refusal, 403)
