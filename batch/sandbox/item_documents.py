"""Access items as the lists of the API write them.

Source: `Role`, `AccessProfile` and `Entitlement` of the vendor's documents. No list of entitlements shows the rules of
their requests: those are part of the tenant's configuration. Fields that the sandbox has no value for are omitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.sandbox.documents import CREATED
from batch.sandbox.item_rules import ApproverType, approvers_of

if TYPE_CHECKING:
    from batch.api.dialects import Dialect
    from batch.sandbox.directory import AccessItem, Known, Source
    from batch.sandbox.item_rules import RequestRules, RevocationRules


def role(item: AccessItem, known: Known, _dialect: Dialect) -> dict[str, object]:
    """A role as `GET …/roles` shows it."""
    rules = known.request_rules(item)
    return _item(item) | {
        "accessProfiles": [],
        "entitlements": [],
        "membership": None,
        "enabled": item.enabled,
        "requestable": item.requestable,
        "accessRequestConfig": _request(rules) | {"formDefinitionId": rules.form},
        "revocationRequestConfig": {
            "commentsRequired": item.revocation.comments_required,
            "denialCommentsRequired": item.revocation.denial_comments_required,
            **_schemes(item.revocation),
        },
        "segments": None,
        "dimensional": False,
    }


def access_profile(item: AccessItem, known: Known, dialect: Dialect) -> dict[str, object]:
    """An access profile as `GET …/access-profiles` shows it. Only the newest version shows its form."""
    rules = known.request_rules(item)
    return _item(item) | {
        "enabled": item.enabled,
        "requestable": item.requestable,
        "accessRequestConfig": _request(rules) | ({"formDefinitionId": rules.form} if dialect.forms else {}),
        "revocationRequestConfig": _schemes(item.revocation),
        "entitlements": [],
        "segments": None,
        "source": _source(item.source),
    }


def entitlement(item: AccessItem, _known: Known, _dialect: Dialect) -> dict[str, object]:
    """An entitlement as `GET …/entitlements` shows it."""
    return _item(item) | {
        "attribute": item.attribute,
        "value": item.value,
        "sourceSchemaObjectType": "group",
        "cloudGoverned": False,
        "requestable": item.requestable,
        "source": _source(item.source),
        "attributes": {},
        "segments": None,
        "directPermissions": [],
    }


def _item(item: AccessItem) -> dict[str, object]:
    return {
        "id": item.id,
        "name": item.name,
        "description": None,
        "created": CREATED,
        "modified": CREATED,
        "owner": {"type": "IDENTITY", "id": item.owner.id, "name": item.owner.display_name},
    }


def _request(rules: RequestRules) -> dict[str, object]:
    return {
        "commentsRequired": rules.comments_required,
        "denialCommentsRequired": rules.denial_comments_required,
        "reauthorizationRequired": rules.reauthorization_required,
        "requireEndDate": rules.require_end_date,
        "maxPermittedAccessDuration": None if rules.longest is None else rules.longest.as_json(),
        **_schemes(rules),
    }


def _schemes(rules: RequestRules | RevocationRules) -> dict[str, object]:
    return {"approvalSchemes": [step.as_json() for step in approvers_of(rules, owner=ApproverType.OWNER)]}


def _source(source: Source | None) -> dict[str, object] | None:
    return None if source is None else {"type": "SOURCE", "id": source.id, "name": source.name}
