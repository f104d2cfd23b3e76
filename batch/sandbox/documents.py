"""People and items as the API writes them: identity documents of the search, and the entries of the lists.

Source: `IdentityDocument`, `Identity`, `PublicIdentity`, `Role`, `AccessProfile` and `Entitlement` of the vendor's
documents. What the sandbox knows nothing of is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.sandbox.answers import iso_moment
from batch.sandbox.holdings import ALWAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.sandbox.directory import AccessItem, Person, Source
    from batch.sandbox.holdings import ItemKey

NESTED_PARTS: Final = ("access",)
"""What an identity document loses where `includeNested` is false."""

_MADE: Final = iso_moment(ALWAYS)


def identity_document(person: Person, access: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A person as the search shows them.

    Args:
        person: Who.
        access: What they hold, each as `access_entry` writes it.
    """
    kinds = [entry["type"] for entry in access]
    return {
        "id": person.id,
        "name": person.alias,
        "displayName": person.display_name,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "email": person.email,
        "employeeNumber": person.employee_number,
        "created": _MADE,
        "inactive": False,
        "protected": False,
        "status": "ACTIVE",
        "attributes": _attributes(person) | {"email": person.email, "cloudLifecycleState": "active"},
        "access": list(access),
        "accessCount": len(access),
        "accessProfileCount": kinds.count(ItemType.ACCESS_PROFILE),
        "entitlementCount": kinds.count(ItemType.ENTITLEMENT),
        "roleCount": kinds.count(ItemType.ROLE),
        "org": "sandbox",
        "_type": "identity",
        "type": "identity",
        "_version": "v2",
    }


def access_entry(key: ItemKey, item: AccessItem | None) -> dict[str, Any]:
    """An item among what a person holds.

    Args:
        key: Its type and id.
        item: The item; None for one that has no name.
    """
    kind, item_id = key
    name = f"{kind.replace('_', ' ').title()} {item_id}" if item is None else item.name
    entry: dict[str, Any] = {"id": item_id, "name": name, "displayName": name, "type": kind, "disabled": False}
    if kind is not ItemType.ENTITLEMENT:
        entry["revocable"] = True
    if item is None:
        return entry
    if kind is ItemType.ENTITLEMENT:
        entry |= {"attribute": item.attribute, "value": item.value, "privileged": False, "standalone": True}
    if kind is not ItemType.ROLE and item.source is not None:
        entry["source"] = {"id": item.source.id, "name": item.source.name}
    owner = item.owner
    return entry | {"owner": {"id": owner.id, "name": owner.alias, "displayName": owner.display_name}}


def identity(person: Person) -> dict[str, object]:
    """A person as `GET …/identities` shows them."""
    return {
        "id": person.id,
        "name": person.display_name,
        "created": _MADE,
        "modified": _MADE,
        "alias": person.alias,
        "emailAddress": person.email,
        "processingState": None,
        "identityStatus": "ACTIVE",
        "managerRef": None,
        "isManager": False,
        "lastRefresh": _MADE,
        "attributes": _attributes(person),
        "lifecycleState": {"stateName": "active", "manuallyUpdated": False},
    }


def public_identity(person: Person) -> dict[str, object]:
    """A person as `GET …/public-identities` shows them."""
    return {
        "id": person.id,
        "name": person.display_name,
        "alias": person.alias,
        "email": person.email,
        "status": "Active",
        "identityState": "ACTIVE",
        "manager": None,
        "attributes": [{"key": "department", "name": "Department", "value": person.department}],
    }


def role(item: AccessItem) -> dict[str, object]:
    """A role as `GET …/roles` shows it."""
    return _item(item) | {
        "accessProfiles": [],
        "entitlements": [],
        "membership": None,
        "enabled": True,
        "requestable": item.requestable,
        "segments": None,
        "dimensional": False,
    }


def access_profile(item: AccessItem) -> dict[str, object]:
    """An access profile as `GET …/access-profiles` shows it."""
    return _item(item) | {
        "enabled": True,
        "requestable": item.requestable,
        "entitlements": [],
        "segments": None,
        "source": _source(item.source),
    }


def entitlement(item: AccessItem) -> dict[str, object]:
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


def only(document: dict[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """A document cut down to some fields, where `access.id` is a field within a list; with its `_type` and `_version`.

    Args:
        document: The whole document.
        wanted: Names of fields, dotted for those within others.
    """
    paths = [name.split(".") for name in wanted]
    cut: dict[str, Any] = _cut(document, paths)
    return cut | {name: document[name] for name in ("_type", "type", "_version")}


def _cut(part: Any, paths: list[list[str]]) -> Any:
    if isinstance(part, list):
        return [_cut(member, paths) for member in part]
    if not isinstance(part, dict):
        return part
    cut = {}
    for name, value in part.items():
        below = [path[1:] for path in paths if path[0] == name]
        if below:
            cut[name] = value if [] in below else _cut(value, below)
    return cut


def _attributes(person: Person) -> dict[str, object]:
    return {
        "uid": person.alias,
        "firstname": person.first_name,
        "lastname": person.last_name,
        "displayName": person.display_name,
        "employeeNumber": person.employee_number,
        "department": person.department,
    }


def _item(item: AccessItem) -> dict[str, object]:
    return {
        "id": item.id,
        "name": item.name,
        "description": None,
        "created": _MADE,
        "modified": _MADE,
        "owner": {"type": "IDENTITY", "id": item.owner.id, "name": item.owner.display_name},
    }


def _source(source: Source | None) -> dict[str, object] | None:
    return None if source is None else {"type": "SOURCE", "id": source.id, "name": source.name}
