"""The tenant's configuration of access requests and its subscriptions to events, as each API version shows them."""

from __future__ import annotations

from typing import Any

import pytest

from batch.api.dialects import DIALECTS, EXPERIMENTAL_HEADER, ItemType
from batch.sandbox.configuration import RequestConfiguration, TriggerSubscription, configuration
from batch.sandbox.item_rules import Approver, ApproverType, Duration, RequestRules
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.sandbox.calls import client_of

RULES = RequestRules(
    comments_required=True,
    require_end_date=True,
    longest=Duration(value=90),
    form="form-1",
    approvers=(
        Approver(type=ApproverType.SOURCE_OWNER),
        Approver(type=ApproverType.GOVERNANCE_GROUP, id="group-1"),
    ),
)


def shown(api: str, config: RequestConfiguration | None = None, rules: RequestRules = RULES) -> dict[str, Any]:
    return configuration(config or RequestConfiguration(), rules, DIALECTS[api])


@pytest.mark.parametrize("api", DIALECTS)
def test_every_version_says_for_whom_one_may_request_and_who_approves(api: str) -> None:
    config = RequestConfiguration(approvals_external=True, anyone_for_anyone=False, reauthorization=True)
    body = shown(api, config)
    assert (body["approvalsMustBeExternal"], body["reauthorizationEnabled"]) == (True, True)
    assert not body["requestOnBehalfOfConfig"]["allowRequestOnBehalfOfAnyoneByAnyone"]
    assert body["requestOnBehalfOfConfig"]["allowRequestOnBehalfOfEmployeeByManager"]
    assert ("autoApprovalEnabled" in body) == (api not in {"v1", "v2026"})


@pytest.mark.parametrize("api", ["beta", "v3"])
def test_the_older_versions_say_little_about_entitlements(api: str) -> None:
    assert shown(api, RequestConfiguration(entitlements=False))["entitlementRequestConfig"] == {
        "allowEntitlementRequest": False,
        "requestCommentsRequired": True,
        "deniedCommentsRequired": False,
        "grantRequestApprovalSchemes": "sourceOwner, workgroup:group-1",
    }
    nobody = shown(api, rules=RequestRules(approvers=()))["entitlementRequestConfig"]
    assert nobody["grantRequestApprovalSchemes"] is None


@pytest.mark.parametrize("api", ["v2024", "v2025", "v2026", "v1"])
def test_the_later_versions_give_all_rules_of_entitlements(api: str) -> None:
    form = {"formDefinitionId": "form-1"} if api == "v1" else {}
    assert shown(api)["entitlementRequestConfig"] == {
        "accessRequestConfig": form
        | {
            "approvalSchemes": [
                {"approverType": "SOURCE_OWNER", "approverId": None},
                {"approverType": "GOVERNANCE_GROUP", "approverId": "group-1"},
            ],
            "requestCommentRequired": True,
            "denialCommentRequired": False,
            "reauthorizationRequired": False,
            "requireEndDate": True,
            "maxPermittedAccessDuration": {"value": 90, "timeUnit": "DAYS"},
        },
        "revocationRequestConfig": {
            "approvalSchemes": [{"approverType": "ENTITLEMENT_OWNER", "approverId": None}],
        },
    }


def test_in_one_version_the_configuration_is_experimental() -> None:
    with running_sandbox() as sandbox, client_of(sandbox) as client:
        for dialect in DIALECTS.values():
            path = dialect.paths.access_request_config
            assert client.get(path).status_code == 200
            plain = client.get(path, headers={EXPERIMENTAL_HEADER: "false"})
            assert plain.status_code == (400 if dialect.name == "v2026" else 200)


def test_each_entitlement_shows_its_own_rules_or_the_tenants() -> None:
    settings = SandboxSettings(people=10, entitlement_rules=RequestRules(comments_required=True))
    with running_sandbox(settings) as sandbox, client_of(sandbox) as client:
        known = sandbox.tenant.known
        own, other = known.directory.of_type(ItemType.ENTITLEMENT)[:2]
        known.change_item(own.id, request=RequestRules(require_end_date=True))
        (role, *_) = known.directory.of_type(ItemType.ROLE)
        for dialect in DIALECTS.values():
            path = dialect.paths.entitlement_config
            rules = client.get(path.format(entitlement=own.id)).json()["accessRequestConfig"]
            assert (rules["requireEndDate"], rules["requestCommentRequired"]) == (True, False)
            rules = client.get(path.format(entitlement=other.id)).json()["accessRequestConfig"]
            assert (rules["requireEndDate"], rules["requestCommentRequired"]) == (False, True)
            assert client.get(path.format(entitlement=role.id)).status_code == 404


def test_subscriptions_are_listed_and_filtered() -> None:
    listener = TriggerSubscription(
        id="s1",
        name="Pre-approval",
        trigger_id="idn:access-request-pre-approval",
        trigger_name="Access Request Submitted",
    )
    workflow = TriggerSubscription(
        id="s2", name="Flow", trigger_id="idn:identity-created", trigger_name="Created", type="WORKFLOW", enabled=False
    )
    settings = SandboxSettings(trigger_subscriptions=(listener, workflow))
    with running_sandbox(settings) as sandbox, client_of(sandbox) as client:
        path = DIALECTS["v1"].paths.trigger_subscriptions
        first, second = client.get(path).json()
        assert (first["triggerId"], first["enabled"], "httpConfig" in first) == (listener.trigger_id, True, True)
        assert (second["type"], second["enabled"], "httpConfig" in second) == ("WORKFLOW", False, False)
        for filters in ('triggerId eq "idn:identity-created"', 'type eq "WORKFLOW"', 'id eq "s2"'):
            assert client.get(path, params={"filters": filters}).json() == [second]
