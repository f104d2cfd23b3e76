"""The rules of items and the states of people: what the lists and the search show of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.sandbox.directory import Known
from batch.sandbox.item_rules import Approver, ApproverType, Duration, RequestRules, RevocationRules, TimeUnit
from batch.sandbox.list_endpoints import (
    ListEndpoint,
    access_profiles_endpoint,
    entitlements_endpoint,
    people_endpoint,
    roles_endpoint,
)
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.settings import SandboxSettings
from tests.sandbox.calls import NOW, entries_of

DIRECTORY = make_directory(60)
ROLE, PROFILE, ENTITLEMENT = (
    DIRECTORY.of_type(kind)[0] for kind in (ItemType.ROLE, ItemType.ACCESS_PROFILE, ItemType.ENTITLEMENT)
)
ANNA, BEN = DIRECTORY.people[0], DIRECTORY.people[7]
STRICT = RequestRules(
    comments_required=True,
    denial_comments_required=True,
    reauthorization_required=True,
    require_end_date=True,
    longest=Duration(value=3, unit=TimeUnit.MONTHS),
    form="form-1",
    approvers=(Approver(type=ApproverType.MANAGER), Approver(type=ApproverType.GOVERNANCE_GROUP, id="group-1")),
)
STRICT_AS_JSON = {
    "commentsRequired": True,
    "denialCommentsRequired": True,
    "reauthorizationRequired": True,
    "requireEndDate": True,
    "maxPermittedAccessDuration": {"value": 3, "timeUnit": "MONTHS"},
    "approvalSchemes": [
        {"approverType": "MANAGER", "approverId": None},
        {"approverType": "GOVERNANCE_GROUP", "approverId": "group-1"},
    ],
}


def known() -> Known:
    return Known(directory=DIRECTORY, identities=(), items=())


def shown(endpoint: ListEndpoint[Any], *ids: str, api: str = "v1") -> list[dict[str, Any]]:
    query = {"filters": "id in (" + ",".join(f'"{one}"' for one in ids) + ")"}
    return entries_of(endpoint.answer(query, filter_limit=4000, tracking_id="t", dialect=DIALECTS[api]))


def test_a_rule_that_nobody_has_set_is_permissive() -> None:
    (role,) = shown(roles_endpoint(known()), ROLE.id)
    assert (role["enabled"], role["requestable"]) == (True, True)
    assert role["accessRequestConfig"] == {
        "commentsRequired": False,
        "denialCommentsRequired": False,
        "reauthorizationRequired": False,
        "requireEndDate": False,
        "maxPermittedAccessDuration": None,
        "approvalSchemes": [{"approverType": "OWNER", "approverId": None}],
        "formDefinitionId": None,
    }
    assert role["revocationRequestConfig"] == {
        "commentsRequired": False,
        "denialCommentsRequired": False,
        "approvalSchemes": [{"approverType": "OWNER", "approverId": None}],
    }


def test_the_lists_show_a_rule_from_the_moment_at_which_it_is_set() -> None:
    tenant = known()
    roles, profiles = roles_endpoint(tenant), access_profiles_endpoint(tenant)
    tenant.change_item(ROLE.id, enabled=False, requestable=False, request=STRICT)
    tenant.change_item(ROLE.id, revocation=RevocationRules(comments_required=True, approvers=()))
    tenant.change_item(PROFILE.id, request=STRICT)
    (role,), (profile,) = shown(roles, ROLE.id), shown(profiles, PROFILE.id)
    assert (role["enabled"], role["requestable"]) == (False, False)
    assert (
        role["accessRequestConfig"] == profile["accessRequestConfig"] == STRICT_AS_JSON | {"formDefinitionId": "form-1"}
    )
    assert role["revocationRequestConfig"]["approvalSchemes"] == []
    assert role["revocationRequestConfig"]["commentsRequired"]
    assert set(profile["revocationRequestConfig"]) == {"approvalSchemes"}


def test_only_the_newest_version_shows_the_form_of_an_access_profile() -> None:
    tenant = known()
    tenant.change_item(PROFILE.id, request=STRICT)
    (profile,) = shown(access_profiles_endpoint(tenant), PROFILE.id, api="v2026")
    assert profile["accessRequestConfig"] == STRICT_AS_JSON


def test_the_list_of_entitlements_shows_no_rules_but_whether_they_can_be_requested() -> None:
    tenant = known()
    tenant.change_item(ENTITLEMENT.id, requestable=False, request=STRICT)
    (entitlement,) = shown(entitlements_endpoint(tenant), ENTITLEMENT.id)
    assert not entitlement["requestable"]
    assert "accessRequestConfig" not in entitlement


def test_the_filter_by_requestable_follows_a_change() -> None:
    tenant = known()
    profiles = access_profiles_endpoint(tenant)
    tenant.change_item(PROFILE.id, requestable=False)
    barred = profiles.answer({"filters": "requestable eq false"}, filter_limit=4000, tracking_id="t")
    assert [entry["id"] for entry in entries_of(barred)] == [PROFILE.id]


def test_items_outside_the_directory_are_found_by_id_if_every_id_exists() -> None:
    lenient, unlisted = Known(directory=DIRECTORY), "e" * 32
    for endpoint in (roles_endpoint(lenient), access_profiles_endpoint(lenient), entitlements_endpoint(lenient)):
        assert [entry["id"] for entry in shown(endpoint, unlisted, "no-id")] == [unlisted]
    assert shown(entitlements_endpoint(lenient), ROLE.id) == []
    assert shown(roles_endpoint(known()), unlisted) == []
    lenient.change_item(unlisted, enabled=False)
    assert not shown(roles_endpoint(lenient), unlisted)[0]["enabled"]


def test_the_lists_of_people_show_their_state_and_manager() -> None:
    tenant = known()
    identities, public = people_endpoint(tenant, public=False), people_endpoint(tenant, public=True)
    tenant.change_person(BEN.id, inactive=True, lifecycle_state="terminated", status="DEACTIVATED")
    boss, ben = shown(identities, ANNA.id, BEN.id)
    assert (boss["isManager"], boss["managerRef"], boss["identityStatus"]) == (True, None, "ACTIVE")
    assert ben["managerRef"] == {"type": "IDENTITY", "id": ANNA.id, "name": ANNA.display_name}
    assert (ben["isManager"], ben["identityStatus"]) == (False, "DEACTIVATED")
    assert ben["lifecycleState"]["stateName"] == "terminated"
    boss, ben = shown(public, ANNA.id, BEN.id)
    assert (boss["status"], boss["identityState"]) == ("Active", "ACTIVE")
    assert (ben["status"], ben["identityState"], ben["manager"]["id"]) == ("Terminated", "INACTIVE_LONG_TERM", ANNA.id)


def test_settings_change_single_people_and_items() -> None:
    settings = SandboxSettings(
        people=60,
        item_changes={ROLE.id: {"request": RequestRules(require_end_date=True)}},
        person_changes={ANNA.id: {"protected": True}},
        entitlement_rules=RequestRules(comments_required=True),
    )
    changed = settings.new_tenant().known
    assert changed.request_rules(changed.item(ROLE.id, ItemType.ROLE)).require_end_date
    assert changed.request_rules(changed.item(ENTITLEMENT.id, ItemType.ENTITLEMENT)).comments_required
    assert changed.described(ANNA.id).protected
    assert not changed.described(BEN.id).protected


def test_an_odd_directory_has_an_oddity_of_each_kind_and_the_same_ones_every_time() -> None:
    tenant, again = (SandboxSettings(people=60, odd=True).new_tenant().known for _ in range(2))
    items = [tenant.item(item.id, item.type) for item in DIRECTORY.items]
    people = [tenant.described(person.id) for person in DIRECTORY.people]
    assert items == [again.item(item.id, item.type) for item in DIRECTORY.items]
    assert {item.enabled for item in items} == {item.requestable for item in items} == {True, False}
    rules = [tenant.request_rules(item) for item in items]
    for read in (
        lambda rule: rule.require_end_date,
        lambda rule: rule.comments_required,
        lambda rule: rule.reauthorization_required,
        lambda rule: rule.form is None,
        lambda rule: rule.longest is None,
        lambda rule: rule.approvers is None,
    ):
        assert {read(rule) for rule in rules} == {True, False}
    assert {person.inactive for person in people} == {person.protected for person in people} == {True, False}
    accounts = {len(tenant.accounts(person)) for person in people}
    assert accounts == {len(DIRECTORY.sources), len(DIRECTORY.sources) + 1}
    assert set(tenant.directory.birthright) < set(tenant.directory.held)


@pytest.mark.parametrize(
    ("duration", "end"),
    [
        (Duration(value=5, unit=TimeUnit.HOURS), datetime(2026, 3, 1, 17, tzinfo=UTC)),
        (Duration(value=2), datetime(2026, 3, 3, 12, tzinfo=UTC)),
        (Duration(value=2, unit=TimeUnit.WEEKS), datetime(2026, 3, 15, 12, tzinfo=UTC)),
        (Duration(value=11, unit=TimeUnit.MONTHS), datetime(2027, 2, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_duration_ends_after_hours_days_weeks_or_calendar_months(duration: Duration, end: datetime) -> None:
    assert duration.after(NOW) == end


def test_a_month_without_that_day_ends_on_its_last() -> None:
    end = Duration(value=1, unit=TimeUnit.MONTHS).after(datetime(2026, 1, 31, tzinfo=UTC))
    assert end == datetime(2026, 2, 28, tzinfo=UTC)
