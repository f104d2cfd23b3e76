"""What the tenant's lists say of items and people: many in one call, nothing guessed, silence is not absence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.errors import TenantLostError
from batch.status.tenant_facts import ItemFacts, PersonFacts
from batch.tenant.facts import IDS_PER_CALL, FactLists, item_facts, person_facts
from batch.tenant.reading import ADVISORY_SECONDS, ADVISORY_TRIES, ForbiddenError, RefusedError
from tests.tenant.open_calls import Reply, with_reader
from tests.tenant.virtual_time import now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

    from batch.tenant.reading import Reader
    from tests.tenant.virtual_time import Result

SHOWN = ItemFacts(listed=True)
ONE = "2c918086" + "0" * 24


class Lists:
    """A tenant with lists, which compares ids letter by letter, as some do."""

    def __init__(self, *rows: dict[str, Any], status: int = 200, counts: int | None = None) -> None:
        self.rows = rows
        self.requests: list[httpx.Request] = []
        self._status = status
        self._counts = counts

    def answer(self, request: httpx.Request) -> Reply:
        self.requests.append(request)
        if self._status != 200:
            return self._status, {"detailCode": "x", "trackingId": "y", "messages": [{"text": "no"}], "causes": []}, {}
        asked = re.findall(r'"([^"]*)"', request.url.params["filters"])
        listed = ", ".join(f'"{one}"' for one in asked)
        assert request.url.params["filters"] == f"id in ({listed})"
        rows = [row for row in self.rows if row.get("id") in asked]
        start, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        total = len(rows) if self._counts is None else self._counts
        return 200, rows[start : start + limit], {"X-Total-Count": str(total)}


def asked(
    lists: Lists,
    ask: Callable[[FactLists], Coroutine[Any, Any, Result]],
    *,
    api: str = "v1",
) -> Result:
    return with_reader(lists.answer, lambda reader: ask(FactLists(reader, DIALECTS[api])))


def test_one_call_asks_about_many_items() -> None:
    ids = [f"{n:032x}" for n in range(IDS_PER_CALL)]
    lists = Lists(*({"id": one, "requestable": False} for one in ids))
    found = asked(lists, lambda facts: facts.items(ItemType.ROLE, ids))
    assert len(lists.requests) == 1
    assert lists.requests[0].url.path == "/roles/v1"
    assert lists.requests[0].url.params["limit"] == "50"
    assert set(found) == set(ids)
    assert all(one.requestable is False and one.listed for one in found.values())


@pytest.mark.parametrize(
    ("item_type", "path"),
    [(ItemType.ACCESS_PROFILE, "/v3/access-profiles"), (ItemType.ENTITLEMENT, "/beta/entitlements")],
)
def test_each_type_has_its_list(item_type: ItemType, path: str) -> None:
    lists = Lists({"id": ONE})
    assert asked(lists, lambda facts: facts.items(item_type, [ONE]), api="v3") == {ONE: SHOWN}
    assert [request.url.path for request in lists.requests] == [path]


@pytest.mark.parametrize("spelled", [ONE.upper(), "2c918086-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("listed", [ONE, "2c918086-0000-0000-0000-000000000000"])
def test_an_id_is_found_however_the_input_and_the_tenant_spell_it(spelled: str, listed: str) -> None:
    lists = Lists({"id": listed})
    assert asked(lists, lambda facts: facts.items(ItemType.ROLE, [spelled])) == {spelled: SHOWN}
    assert len(lists.requests) <= 2


@pytest.mark.parametrize("item_type", ItemType)
def test_an_item_that_no_list_shows_is_unlisted_and_nothing_more(item_type: ItemType) -> None:
    assert asked(Lists(), lambda facts: facts.items(item_type, [ONE])) == {ONE: ItemFacts(listed=False)}


def test_people_are_looked_for_among_all_identities_with_or_without_an_account() -> None:
    row = {"id": ONE, "name": "Anna\nLee", "lifecycleState": {"stateName": "on\nleave"}}
    lists = Lists(row)
    found = asked(lists, lambda facts: facts.people([ONE, "f" * 32]))
    assert found == {
        ONE: PersonFacts(listed=True, lifecycle="on leave", name="Anna Lee"),
        "f" * 32: PersonFacts(listed=False),
    }
    assert {request.url.params["defaultFilter"] for request in lists.requests} == {"NONE"}
    public = Lists(row)
    asked(public, lambda facts: facts.people([ONE]), api="v3")
    assert "defaultFilter" not in public.requests[0].url.params


@pytest.mark.parametrize(
    ("status", "error"), [(403, ForbiddenError), (400, RefusedError), (404, RefusedError), (414, RefusedError)]
)
def test_a_refused_question_says_nothing_of_the_items(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        asked(Lists(status=status), lambda facts: facts.items(ItemType.ROLE, [ONE]))


def test_a_list_that_is_cut_short_does_not_make_items_missing() -> None:
    with pytest.raises(TenantLostError, match="list of roles ended after 0 of 3 rows"):
        asked(Lists(counts=3), lambda facts: facts.items(ItemType.ROLE, [ONE]))


ROLES_ASKED: dict[str, Any] = {"subject": "list of roles", "params": {"limit": "50"}}


@pytest.mark.parametrize("answer", [(500, {}, {}), (200, {"roles": []}, {}), (200, b"<html>Sign in</html>", {})])
def test_a_question_that_only_advises_is_asked_twice_at_most_however_patient_its_reader_is(answer: Reply) -> None:
    seen: list[float] = []

    def broken(_request: httpx.Request) -> Reply:
        seen.append(now())
        return answer

    with pytest.raises(TenantLostError, match="list of roles can't be read"):
        with_reader(broken, lambda reader: reader.advisory().ask("GET", "/roles", **ROLES_ASKED))
    assert len(seen) == ADVISORY_TRIES == 2
    assert seen[1] - seen[0] <= ADVISORY_SECONDS


def test_waits_that_the_tenant_asks_for_are_no_tries() -> None:
    answers: list[Reply] = [(429, {"message": " Rate Limit Exceeded "}, {"Retry-After": "7"})] * 3 + [(200, [], {})]
    reply = with_reader(
        lambda _request: answers.pop(0), lambda reader: reader.advisory().ask("GET", "/roles", **ROLES_ASKED)
    )
    assert (reply.rows, answers) == ((), [])


FULL = {
    "id": ONE,
    "name": "Clerk\tII",
    "enabled": False,
    "requestable": True,
    "accessRequestConfig": {
        "commentsRequired": True,
        "reauthorizationRequired": False,
        "requireEndDate": True,
        "maxPermittedAccessDuration": {"value": 6, "timeUnit": "MONTHS"},
        "approvalSchemes": [{"approverType": "OWNER", "approverId": None}, {"approverType": "GOVERNANCE_GROUP"}],
        "formDefinitionId": "f1",
    },
    "revocationRequestConfig": {"commentsRequired": True, "approvalSchemes": [{"approverType": "MANAGER"}]},
    "owner": {"type": "IDENTITY", "id": "o1", "name": "Olga"},
}


def test_every_rule_of_an_item_is_read() -> None:
    assert item_facts(FULL) == ItemFacts(
        listed=True,
        enabled=False,
        requestable=True,
        end_date_required=True,
        longest_hours=6 * 31 * 24,
        comment_required=True,
        form_required=True,
        reauthorization_required=False,
        owner="o1",
        approvers=("OWNER", "GOVERNANCE_GROUP"),
        revoke_approvers=("MANAGER",),
        name="Clerk II",
        owner_name="Olga",
    )
    unreadable = {"accessRequestConfig": {"approvalSchemes": [{"approverType": "OWNER"}, 7]}}
    assert item_facts(unreadable).approvers is None, "a step that can't be read may be any number of them"
    of_entitlement = {"accessRequestConfig": {"requestCommentRequired": True, "formDefinitionId": None}}
    assert item_facts(of_entitlement) == ItemFacts(listed=True, comment_required=True, form_required=False)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"enabled": None, "requestable": "no", "accessRequestConfig": None},
        {"accessRequestConfig": [1], "revocationRequestConfig": [1], "owner": "Olga"},
        {"revocationRequestConfig": {"approvalSchemes": None}, "owner": {"id": 7}},
        {"accessRequestConfig": {"requireEndDate": 1, "maxPermittedAccessDuration": 3, "approvalSchemes": "OWNER"}},
        {"accessRequestConfig": {"maxPermittedAccessDuration": {"value": True, "timeUnit": "DAYS"}}},
        {"accessRequestConfig": {"maxPermittedAccessDuration": {"value": 0, "timeUnit": "DAYS"}}},
        {"accessRequestConfig": {"maxPermittedAccessDuration": {"value": 3, "timeUnit": ["YEARS"]}}},
    ],
)
def test_what_an_item_does_not_say_or_says_unclearly_stays_unknown(row: dict[str, Any]) -> None:
    assert item_facts(row) == SHOWN


@pytest.mark.parametrize("row", [{}, {"lifecycleState": None}, {"lifecycleState": {"stateName": 7}}])
def test_what_a_person_does_not_say_stays_unknown(row: dict[str, Any]) -> None:
    assert person_facts(row) == PersonFacts(listed=True)


class OneConfiguration:
    """A tenant that answers each question for a configuration alike."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.paths: list[str] = []
        self._answer = answer
        self._status = status

    def answer(self, request: httpx.Request) -> Reply:
        self.paths.append(request.url.raw_path.decode())
        refusal = {"detailCode": "x", "trackingId": "y", "messages": [{"text": "no"}], "causes": []}
        return self._status, self._answer if self._status == 200 else refusal, {}


def configuration(tenant: OneConfiguration, *, api: str = "v1", of: str = ONE) -> ItemFacts | None:
    async def ask(reader: Reader) -> ItemFacts | None:
        return await FactLists(reader, DIALECTS[api]).configuration(of)

    return with_reader(tenant.answer, ask)


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("beta", f"/beta/entitlements/{ONE}/entitlement-request-config"),
        ("v3", f"/beta/entitlements/{ONE}/entitlement-request-config"),
        ("v2024", f"/v2024/entitlements/{ONE}/entitlement-request-config"),
        ("v1", f"/entitlements/v1/{ONE}/entitlement-request-config"),
    ],
)
def test_an_entitlements_own_configuration_is_read_in_every_version(api: str, path: str) -> None:
    tenant = OneConfiguration(
        {
            "accessRequestConfig": {
                "approvalSchemes": [{"approverType": "ENTITLEMENT_OWNER", "approverId": None}],
                "requestCommentRequired": True,
                "denialCommentRequired": True,
                "reauthorizationRequired": False,
                "requireEndDate": True,
                "maxPermittedAccessDuration": {"value": 5, "timeUnit": "DAYS"},
            },
            "revocationRequestConfig": {"approvalSchemes": []},
        }
    )
    assert configuration(tenant, api=api) == ItemFacts(
        listed=True,
        end_date_required=True,
        longest_hours=120,
        comment_required=True,
        reauthorization_required=False,
        approvers=("ENTITLEMENT_OWNER",),
        revoke_approvers=(),
    )
    assert tenant.paths == [path]


@pytest.mark.parametrize("document", [{}, {"accessRequestConfig": None}, {"accessRequestConfig": {}}])
def test_what_a_configuration_does_not_say_stays_unknown(document: dict[str, Any]) -> None:
    assert configuration(OneConfiguration(document)) == SHOWN


@pytest.mark.parametrize("status", [404, 400])
def test_an_entitlement_may_have_no_configuration(status: int) -> None:
    assert configuration(OneConfiguration(None, status)) is None


@pytest.mark.parametrize("answer", [[], "no", None])
def test_an_answer_that_is_no_configuration_is_not_taken_for_none(answer: Any) -> None:
    with pytest.raises(TenantLostError, match="is no JSON object"):
        configuration(OneConfiguration(answer, 200))


@pytest.mark.parametrize(("status", "error"), [(403, ForbiddenError), (500, RefusedError)])
def test_a_configuration_that_the_tenant_does_not_show_is_no_configuration(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        configuration(OneConfiguration(None, status))


def test_an_odd_id_stays_one_part_of_the_path() -> None:
    tenant = OneConfiguration({})
    configuration(tenant, of="a/../b?c")
    assert tenant.paths == ["/entitlements/v1/a%2F..%2Fb%3Fc/entitlement-request-config"]
