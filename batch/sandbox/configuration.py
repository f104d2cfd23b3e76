"""The tenant's configuration of access requests, and who listens to its events.

Source: `AccessRequestConfig`, `AccessRequestConfigV2`, `EntitlementRequestConfig` and `Subscription` of the vendor's
documents. Beta and v3 write the rules of entitlements in another way than later versions, and with fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.sandbox.item_rules import PERMISSIVE_REVOCATION, ApproverType, approvers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.api.dialects import Dialect
    from batch.sandbox.item_rules import Approver, RequestRules, RevocationRules

_OLD_SCHEMES: Final[Mapping[ApproverType, str]] = {
    ApproverType.ENTITLEMENT_OWNER: "entitlementOwner",
    ApproverType.SOURCE_OWNER: "sourceOwner",
    ApproverType.MANAGER: "manager",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestConfiguration:
    """What the tenant allows.

    Attributes:
        approvals_external: Whether another system decides all approvals.
        auto_approval: Whether the approval of a requester's own request is given at once.
        reauthorization: Whether items may require the requester to authenticate again.
        anyone_for_anyone: Whether everybody may request for everybody.
        manager_for_reports: Whether managers may request for their direct reports.
        entitlements: Whether entitlements may be requested.
    """

    approvals_external: bool = False
    auto_approval: bool = False
    reauthorization: bool = False
    anyone_for_anyone: bool = True
    manager_for_reports: bool = True
    entitlements: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerSubscription:
    """Who listens to an event of the tenant.

    Attributes:
        id: Its id.
        name: Its name.
        trigger_id: The event, such as `idn:access-request-dynamic-approver`.
        trigger_name: Name of the event.
        type: `HTTP`, `EVENTBRIDGE`, `INLINE`, `SCRIPT` or `WORKFLOW`.
        enabled: Whether it is told of events.
        response_deadline: By when it must respond, as an ISO 8601 duration; only events that wait for a response.
    """

    id: str
    name: str
    trigger_id: str
    trigger_name: str
    type: str = "HTTP"
    enabled: bool = True
    response_deadline: str = "PT1H"

    def as_json(self) -> dict[str, object]:
        """The subscription as the API writes it."""
        subscription: dict[str, object] = {
            "id": self.id,
            "name": self.name,
            "description": "",
            "triggerId": self.trigger_id,
            "triggerName": self.trigger_name,
            "type": self.type,
            "responseDeadline": self.response_deadline,
            "enabled": self.enabled,
        }
        if self.type != "HTTP":
            return subscription
        http = {"url": "https://listener.example.com/", "httpDispatchMode": "SYNC", "httpAuthenticationType": "NO_AUTH"}
        return subscription | {"httpConfig": http}


def configuration(config: RequestConfiguration, rules: RequestRules, dialect: Dialect) -> dict[str, object]:
    """The configuration as an API version writes it.

    Args:
        config: What the tenant allows.
        rules: Its rules for grants of entitlements.
        dialect: The API version.
    """
    on_behalf = {
        "allowRequestOnBehalfOfAnyoneByAnyone": config.anyone_for_anyone,
        "allowRequestOnBehalfOfEmployeeByManager": config.manager_for_reports,
    }
    written = {
        "approvalsMustBeExternal": config.approvals_external,
        "reauthorizationEnabled": config.reauthorization,
        "requestOnBehalfOfConfig": on_behalf,
    }
    if dialect.name in {"v2026", "v1"}:
        written |= {
            "entitlementRequestConfig": entitlement_configuration(rules, dialect),
            "govGroupVisibilityEnabled": False,
        }
        if dialect.name == "v1":
            on_behalf |= {"allowRequestOnBehalfOfForMachineIdentity": True, "allowRequestForMachineByOwner": False}
            written |= {"machineIdentityAccessRequestEnabled": True}
        return written
    written |= {
        "autoApprovalEnabled": config.auto_approval,
        "approvalReminderAndEscalationConfig": {
            "daysUntilEscalation": 0,
            "daysBetweenReminders": 0,
            "maxReminders": 1,
            "fallbackApproverRef": None,
        },
    }
    is_old = dialect.name in {"beta", "v3"}
    entitlements = _old_entitlements(config, rules) if is_old else entitlement_configuration(rules, dialect)
    return written | {"entitlementRequestConfig": entitlements}


def _old_entitlements(config: RequestConfiguration, rules: RequestRules) -> dict[str, object]:
    return {
        "allowEntitlementRequest": config.entitlements,
        "requestCommentsRequired": rules.comments_required,
        "deniedCommentsRequired": rules.denial_comments_required,
        "grantRequestApprovalSchemes": ", ".join(_old_scheme(step) for step in _steps(rules)) or None,
    }


def entitlement_configuration(
    rules: RequestRules, dialect: Dialect, revocation_rules: RevocationRules = PERMISSIVE_REVOCATION
) -> dict[str, object]:
    """The request configuration of the tenant's entitlements, or of one, as later versions write it."""
    revocation = approvers_of(revocation_rules, owner=ApproverType.ENTITLEMENT_OWNER)
    return {
        "accessRequestConfig": {
            "approvalSchemes": [step.as_json() for step in _steps(rules)],
            "requestCommentRequired": rules.comments_required,
            "denialCommentRequired": rules.denial_comments_required,
            "reauthorizationRequired": rules.reauthorization_required,
            "requireEndDate": rules.require_end_date,
            "maxPermittedAccessDuration": None if rules.longest is None else rules.longest.as_json(),
            **({"formDefinitionId": rules.form} if dialect.forms else {}),
        },
        "revocationRequestConfig": {"approvalSchemes": [step.as_json() for step in revocation]},
    }


def _steps(rules: RequestRules) -> tuple[Approver, ...]:
    return approvers_of(rules, owner=ApproverType.ENTITLEMENT_OWNER)


def _old_scheme(step: Approver) -> str:
    return _OLD_SCHEMES.get(step.type) or f"workgroup:{step.id}"
