"""The status list: filters, pages and quirks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import PAGE_LIMIT, ItemType
from batch.sandbox.directory import APPROVER
from batch.sandbox.status_list import ListRules, list_statuses
from batch.sandbox.tenant import OTHER_USER, REQUESTER_ID, SimulatedTenant
from tests.sandbox.calls import NOW, entries_of, grant, text_of

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer

LAST = NOW + timedelta(days=1)


@pytest.fixture
def tenant() -> SimulatedTenant:
    """A tenant with three requests, one minute apart: i1 r1, i2 r2, i3 r3. The last is rejected."""
    tenant = SimulatedTenant()
    for n in (1, 2, 3):
        tenant.submit(grant(f"i{n}", items=(f"r{n}",)), NOW + timedelta(minutes=n))
    tenant.conclude("REJECTED", identity="i3")
    return tenant


def ask(tenant: SimulatedTenant, **query: str) -> Answer:
    parameters = {name.replace("_", "-"): text for name, text in query.items()}
    return list_statuses(tenant.visible(LAST), parameters, tracking_id="t")


def found(tenant: SimulatedTenant, **query: str) -> list[str]:
    return [row["id"] for row in entries_of(ask(tenant, **query))]


def refusal(tenant: SimulatedTenant, **query: str) -> str:
    return text_of(ask(tenant, **query))


def test_without_parameters_the_list_shows_all_rows_oldest_first(tenant: SimulatedTenant) -> None:
    assert found(tenant) == ["r1", "r2", "r3"]
    assert ask(tenant).headers == {}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"requested_for": "i2"}, ["r2"]),
        ({"requested_for": "me"}, []),
        ({"requested_for": ""}, ["r1", "r2", "r3"]),
        ({"requested_by": "me"}, ["r1", "r2", "r3"]),
        ({"requested_by": REQUESTER_ID, "requested_for": "i1"}, ["r1"]),
        ({"requested_by": "i1"}, []),
        ({"regarding_identity": "i3"}, ["r3"]),
        ({"regarding_identity": "me"}, ["r1", "r2", "r3"]),
        ({"request_state": "EXECUTING"}, ["r1", "r2"]),
        ({"assigned_to": APPROVER.id}, ["r1", "r2"]),
        ({"assigned_to": "i1"}, []),
    ],
)
def test_people_and_states_narrow_the_list(tenant: SimulatedTenant, query: dict[str, str], expected: list[str]) -> None:
    assert found(tenant, **query) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ('created ge "2026-03-01T12:02:00Z"', ["r2", "r3"]),
        ("created ge 2026-03-01T12:02:00.000Z", ["r2", "r3"]),
        ("created GE 2026-03-01T14:02:00+02:00", ["r2", "r3"]),
        ('accessRequestId eq "{0}"', ["r1"]),
        ("accessRequestId eq {1}", ["r2"]),
        ('accessRequestId in ("{0}", "{2}")', ["r1", "r3"]),
        ("accessRequestId in ({0},{2})", ["r1", "r3"]),
        ('accessRequestId in("{1}")', ["r2"]),
        ('accessRequestId in ("nobody")', []),
        ('created ge "2026-03-01T12:02:00Z" and accessRequestId in ("{0}","{1}")', ["r2"]),
        ('accessRequestId eq "{0}" and accessRequestId eq "{1}"', []),
        ('accessRequestId eq "a and b"', []),
        ('created gt "2026-03-01T12:02:00Z"', ["r3"]),
        ('created le "2026-03-01T12:02:00Z"', ["r1", "r2"]),
        ('created ge "2026-03-01T12:01:30Z" and created lt "2026-03-01T12:03:00Z"', ["r2"]),
        ('accountActivityItemId eq "{3}"', ["r1"]),
        ('accountActivityItemId in ("{3}","{5}")', ["r1", "r3"]),
        ('accountActivityItemId in ("{3}","{5}") and accessRequestId in ("{2}")', ["r3"]),
    ],
)
def test_filter_values_may_be_quoted_and_terms_joined_with_and(
    tenant: SimulatedTenant, filters: str, expected: list[str]
) -> None:
    rows = tenant.visible_rows(LAST)
    ids = [*(row.access_request_id for row in rows), *(row.account_activity_item_id for row in rows)]
    assert found(tenant, filters=filters.format(*ids)) == expected


@pytest.mark.parametrize(
    "filters",
    [
        "created",
        "created ge",
        'created ge "yesterday"',
        'created ge "2026-03-01T12:02:00"',
        'created ne "2026-03-01T12:02:00Z"',
        'colour eq "red"',
        'accessRequestId eq "a" or accessRequestId eq "b"',
        'accessRequestId eq "a" and ',
        'accessRequestId eq "a" and created',
        'accessRequestId in "a"',
        "accessRequestId in ()",
        'accessRequestId in ("a" "b")',
        "   ",
    ],
)
def test_an_unreadable_filter_is_refused(tenant: SimulatedTenant, filters: str) -> None:
    assert "filters" in refusal(tenant, filters=filters)


def test_a_tenant_can_be_set_to_refuse_a_list_of_access_requests(tenant: SimulatedTenant) -> None:
    (first, *_) = [row.access_request_id for row in tenant.visible_rows(LAST)]
    strict = ListRules(understands_in=False)

    def status_of(filters: str, rules: ListRules) -> int:
        return list_statuses(tenant.visible(LAST), {"filters": filters}, tracking_id="t", rules=rules).status

    assert status_of(f'accessRequestId in ("{first}")', strict) == 400
    assert status_of(f'accessRequestId eq "{first}"', strict) == 200
    assert status_of(f'accessRequestId in ("{first}")', ListRules(understands_in=False, administration=True)) == 200


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ('status eq "REJECTED"', ["r3"]),
        ('status in ("EXECUTING","REJECTED")', ["r1", "r2", "r3"]),
        ('status in ("EXECUTING") and created gt "2026-03-01T12:01:00Z"', ["r2"]),
    ],
)
def test_only_the_administrators_list_can_be_filtered_by_state(
    tenant: SimulatedTenant, filters: str, expected: list[str]
) -> None:
    rules = ListRules(administration=True)
    answer = list_statuses(tenant.visible(LAST), {"filters": filters}, tracking_id="t", rules=rules)
    assert [row["id"] for row in entries_of(answer)] == expected
    assert "status" in refusal(tenant, filters=filters)


def test_a_users_own_rows_are_those_that_they_requested_or_that_were_requested_for_them(
    tenant: SimulatedTenant,
) -> None:
    for identity in ("i9", REQUESTER_ID):
        tenant.request_by_other(NOW + timedelta(hours=1), identity=identity, item_type=ItemType.ROLE, item_id="r9")
    answer = list_statuses(tenant.visible(LAST), {}, tracking_id="t", rules=ListRules(own_only=True))
    assert [row["requestedFor"]["id"] for row in entries_of(answer)] == ["i1", "i2", "i3", REQUESTER_ID]
    assert found(tenant, requested_by=OTHER_USER.id) == ["r9", "r9"]
    assert found(tenant, regarding_identity="me") == ["r1", "r2", "r3", "r9"]


def test_a_filter_with_a_rows_created_time_finds_the_row() -> None:
    tenant = SimulatedTenant()
    tenant.submit(grant(), NOW + timedelta(microseconds=123_999))
    assert found(tenant, filters='created ge "2026-03-01T12:00:00.123Z"') == ["r1"]
    assert found(tenant, filters='created ge "2026-03-01T12:00:00.124Z"') == []


@pytest.mark.parametrize("other", ["requested_for", "requested_by"])
def test_regarding_identity_excludes_the_other_people_parameters(tenant: SimulatedTenant, other: str) -> None:
    assert "regarding-identity excludes" in refusal(tenant, regarding_identity="i1", **{other: "i1"})


def test_request_state_must_be_executing(tenant: SimulatedTenant) -> None:
    assert "request-state" in refusal(tenant, request_state="REJECTED")


@pytest.mark.parametrize(
    ("sorters", "expected"),
    [
        ("created", ["r1", "r2", "r3"]),
        ("-created", ["r3", "r2", "r1"]),
        ("modified", ["r1", "r2", "r3"]),
        ("-accessRequestId", ["r3", "r2", "r1"]),
        ("-name,created", ["r3", "r2", "r1"]),
        ("-accountActivityItemId", ["r3", "r2", "r1"]),
    ],
)
def test_sorters_set_the_order(tenant: SimulatedTenant, sorters: str, expected: list[str]) -> None:
    assert found(tenant, sorters=sorters) == expected


def test_an_unknown_sorter_is_refused(tenant: SimulatedTenant) -> None:
    assert "sorters" in refusal(tenant, sorters="colour")


def test_an_offset_at_the_end_of_the_list_is_refused(tenant: SimulatedTenant) -> None:
    assert found(tenant, limit="2") == ["r1", "r2"]
    assert found(tenant, limit="2", offset="2") == ["r3"]
    assert "offset 3" in refusal(tenant, limit="2", offset="3")
    assert "offset 9" in refusal(tenant, offset="9")


def test_any_offset_in_an_empty_list_gives_an_empty_page(tenant: SimulatedTenant) -> None:
    assert found(tenant, requested_for="nobody", offset="5") == []


def test_a_page_has_at_most_250_rows() -> None:
    tenant = SimulatedTenant()
    items = tuple(f"r{n}" for n in range(25))
    for first in (0, 10):
        assert tenant.submit(grant(*(f"i{first + n}" for n in range(10)), items=items), NOW).status == 202
    assert len(found(tenant)) == PAGE_LIMIT
    assert len(found(tenant, limit=str(PAGE_LIMIT), offset="250")) == 250
    assert "limit" in refusal(tenant, limit=str(PAGE_LIMIT + 1))


def test_the_total_is_sent_only_on_request_and_ignores_the_page(tenant: SimulatedTenant) -> None:
    assert ask(tenant, count="true", limit="0").headers == {"X-Total-Count": "3"}
    assert ask(tenant, count="TRUE", request_state="EXECUTING").headers == {"X-Total-Count": "2"}
    assert ask(tenant, count="false").headers == {}


@pytest.mark.parametrize(("name", "text"), [("limit", "-1"), ("limit", "ten"), ("offset", "1.5"), ("count", "maybe")])
def test_page_parameters_of_the_wrong_type_are_refused(tenant: SimulatedTenant, name: str, text: str) -> None:
    assert name in refusal(tenant, **{name: text})
