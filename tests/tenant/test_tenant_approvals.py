"""The list of pending approvals: what is asked for, and what a row of it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ADDRESS_LIMIT, DIALECTS
from batch.errors import TenantLostError
from batch.tenant.approvals import ApprovalList, ApprovalQuery, in_portions
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.status_row import approval_row
from tests.tenant.open_calls import Reply, with_reader

if TYPE_CHECKING:
    import httpx

    from batch.tenant.reading import Reader
    from batch.tenant.status import Page

RAW: dict[str, Any] = {
    "id": "approval-1",
    "accessRequestId": "a1",
    "created": "2026-11-02T09:00:00.000Z",
    "requestCreated": "2026-11-01T09:00:00.000Z",
    "requestType": "GRANT_ACCESS",
    "requester": {"type": "IDENTITY", "id": "p1", "name": "Paula"},
    "requestedFor": {"type": "IDENTITY", "id": "anna", "name": "Anna"},
    "owner": {"type": "IDENTITY", "id": "o1", "name": "Bo"},
    "requestedObject": {"id": "r1", "name": "Buyer", "type": "ROLE"},
    "removeDate": "2027-01-31T00:00:00.000Z",
    "clientMetadata": {"accessBatchRequest": "run-1", "accessBatchItem": "r1"},
}
ANNS = {"oldApproverName": "Ann", "newApproverName": "Bo", "forwarderName": "Ann", "modified": "2026-11-05T09:00:00Z"}


def asked(query: ApprovalQuery, status: int, document: Any, api: str = "v2025") -> tuple[Page, list[httpx.Request]]:
    """The first page, and the requests that the tenant got."""
    requests: list[httpx.Request] = []

    def endpoint(request: httpx.Request) -> Reply:
        requests.append(request)
        return status, document, {"X-Total-Count": "1"}

    async def page(reader: Reader) -> Page:
        return await ApprovalList(reader, DIALECTS[api]).page(query, 0)

    return with_reader(endpoint, page), requests


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        (ApprovalQuery(), None),
        (ApprovalQuery(people=('a"b',)), r'requestedFor.id eq "a\"b"'),
        (ApprovalQuery(people=("a", "b")), 'requestedFor.id in ("a", "b")'),
        (ApprovalQuery(access_requests=("x", "y")), 'accessRequestId in ("x", "y")'),
    ],
)
def test_the_filter_names_what_is_asked_for(query: ApprovalQuery, filters: str | None) -> None:
    page, (request,) = asked(query, 200, [RAW])
    assert request.url.params.get("filters") == filters
    assert (request.url.path, request.url.params["sorters"]) == ("/v2025/access-request-approvals/pending", "created")
    assert "owner-id" not in request.url.params
    assert (len(page.rows), page.total, page.more) == (1, 1, False)


def test_each_version_has_its_own_path() -> None:
    _, (request,) = asked(ApprovalQuery(), 200, [], api="v1")
    assert request.url.path == "/access-request-approvals/v1/pending"


def test_a_row_names_the_item_the_requester_and_whom_it_waits_for() -> None:
    found = approval_row(RAW)
    assert found is not None
    assert (found.identity, found.item, found.item_type, found.item_name) == ("anna", "r1", "ROLE", "Buyer")
    assert (found.access_request, found.metadata) == ("a1", RAW["clientMetadata"])
    assert (found.requester, found.request_type, found.remove_date) == ("Paula", "GRANT_ACCESS", RAW["removeDate"])
    assert found.created == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert (found.who, found.since) == ("Bo", datetime(2026, 11, 2, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("history", "who"),
    [
        ([ANNS], "Bo (forwarded by Ann)"),
        ([ANNS | {"forwarderName": None}], "Bo (forwarded from Ann)"),
        ([ANNS, ANNS | {"forwarderName": "Cy", "modified": "2026-11-04T09:00:00Z"}], "Bo (forwarded by Ann)"),
        ([ANNS | {"modified": None}, ANNS | {"forwarderName": "Cy"}], "Bo (forwarded by Cy)"),
        ([{}], "Bo"),
        ("nonsense", "Bo"),
    ],
)
def test_whoever_forwarded_an_approval_last_is_named(history: Any, who: str) -> None:
    found = approval_row(RAW | {"forwardHistory": history})
    assert found is not None
    assert found.who == who
    if history == [ANNS]:
        assert found.since == datetime(2026, 11, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(("action", "who"), [("APPROVED", ""), ("REJECTED", ""), ("FORWARDED", "Bo"), (None, "Bo")])
def test_an_approver_who_has_decided_is_not_waited_for(action: str | None, who: str) -> None:
    found = approval_row(RAW | {"actionInProcess": action})
    assert found is not None
    assert found.who == who


@pytest.mark.parametrize("raw", [None, [], {}, {"requestedFor": "anna"}, {"requestedFor": {"id": None}}])
def test_a_row_that_names_nobody_is_none(raw: Any) -> None:
    assert approval_row(raw) is None


def test_a_row_of_which_only_the_person_makes_sense_is_kept() -> None:
    nonsense = {key: ["x"] for key in RAW} | {"requestedFor": {"id": "anna"}, "forwardHistory": [7]}
    found = approval_row(nonsense)
    assert found is not None
    assert (found.identity, found.item, found.item_type, found.created) == ("anna", "", "", None)


@pytest.mark.parametrize(
    ("status", "error"), [(400, RefusedError), (403, ForbiddenError), (404, ForbiddenError), (200, TenantLostError)]
)
def test_a_refusal_is_told_from_a_list_that_can_not_be_read(status: int, error: type[Exception]) -> None:
    refusal = {"detailCode": "x", "trackingId": "y", "messages": [{"text": "owner-id is required"}]}
    with pytest.raises(error) as raised:
        asked(ApprovalQuery(), status, refusal)
    assert type(raised.value) is error


def test_portions_fit_a_filter_however_long_or_odd_the_ids_are() -> None:
    usual = [f"{n:032x}" for n in range(20_000)]
    assert len(in_portions(usual)) == 400
    assert len(in_portions([*usual[:3], *usual[:3]])) == 1
    for odd in ('"' * 200, "ä" * 100):
        for portion in in_portions([f"{odd}{n}" for n in range(50)]):
            _, (request,) = asked(ApprovalQuery(people=portion), 200, [])
            assert len(str(request.url.raw_path)) <= ADDRESS_LIMIT


@pytest.mark.parametrize(
    ("accounts", "named"),
    [
        ([{"name": "Anna", "accountUuid": "{U-1}", "accountId": "CN=Anna"}], {'{"either":"cn=anna","uuid":"u1"}'}),
        ([{"accountUuid": None, "accountId": "anna2"}, 7], {'{"either":"anna2"}'}),
        (None, set()),
        ("anna", set()),
    ],
)
def test_a_row_names_the_accounts_that_were_chosen(accounts: Any, named: set[str]) -> None:
    found = approval_row(RAW | {"requestedAccounts": accounts})
    assert found is not None
    assert found.accounts == named
