"""People and items as the API writes them: the search's identity documents, and the entries of the lists.

Source: `IdentityDocument`, `Identity`, `PublicIdentity`, `Role`, `AccessProfile` and `Entitlement` of the vendor's
documents. Fields that the sandbox has no value for are omitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.sandbox.directory import made_up_item_name
from batch.sandbox.holdings import ALWAYS
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.sandbox.directory import AccessItem, Person, Source
    from batch.sandbox.holdings import ItemKey

NESTED_PARTS: Final = ("access",)
"""Fields that an identity document omits if `includeNested` is false."""

_CREATED: Final = instant(ALWAYS)


def identity_document(person: Person, access: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A person as the search shows them, with their access as `access_entry` writes it."""
    types = [entry["type"] for entry in access]
    return {
        "id": person.id,
        "name": person.alias,
        "displayName": person.display_name,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "email": person.email,
        "employeeNumber": person.employee_number,
        "created": _CREATED,
        "inactive": False,
        "protected": False,
        "status": "ACTIVE",
        "attributes": _attributes(person) | {"email": person.email, "cloudLifecycleState": "active"},
        "access": list(access),
        "accessCount": len(access),
        "accessProfileCount": types.count(ItemType.ACCESS_PROFILE),
        "entitlementCount": types.count(ItemType.ENTITLEMENT),
        "roleCount": types.count(ItemType.ROLE),
        "org": "sandbox",
        "_type": "identity",
        "type": "identity",
        "_version": "v2",
    }


def access_entry(key: ItemKey, item: AccessItem | None) -> dict[str, Any]:
    """One item of a person's access; `item` is None if it is not in the directory."""
    item_type, item_id = key
    name = made_up_item_name(item_type, item_id) if item is None else item.name
    entry: dict[str, Any] = {"id": item_id, "name": name, "displayName": name, "type": item_type, "disabled": False}
    if item_type is not ItemType.ENTITLEMENT:
        entry["revocable"] = True
    if item is None:
        return entry
    if item_type is ItemType.ENTITLEMENT:
        entry |= {"attribute": item.attribute, "value": item.value, "privileged": False, "standalone": True}
    if item_type is not ItemType.ROLE and item.source is not None:
        entry["source"] = {"id": item.source.id, "name": item.source.name}
    owner = item.owner
    return entry | {"owner": {"id": owner.id, "name": owner.alias, "displayName": owner.display_name}}


def identity(person: Person) -> dict[str, object]:
    """A person as `GET …/identities` shows them."""
    return {
        "id": person.id,
        "name": person.display_name,
        "created": _CREATED,
        "modified": _CREATED,
        "alias": person.alias,
        "emailAddress": person.email,
        "processingState": None,
        "identityStatus": "ACTIVE",
        "managerRef": None,
        "isManager": False,
        "lastRefresh": _CREATED,
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
    """A document reduced to the wanted fields and its type fields. `access.id` means a field of a list's entries."""
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
        "created": _CREATED,
        "modified": _CREATED,
        "owner": {"type": "IDENTITY", "id": item.owner.id, "name": item.owner.display_name},
    }


def _source(source: Source | None) -> dict[str, object] | None:
    return None if source is None else {"type": "SOURCE", "id": source.id, "name": source.name}
