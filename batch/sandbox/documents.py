"""People as the API writes them: the search's identity documents, and the entries of the lists of people.

Source: `IdentityDocument`, `Identity` and `PublicIdentity` of the vendor's documents. Fields that the sandbox has no
value for are omitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.sandbox.holdings import ALWAYS
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.sandbox.directory import AccessItem, Account, Known, Person

NESTED_PARTS: Final = ("access", "accounts")
"""Fields that an identity document omits if `includeNested` is false."""

CREATED: Final = instant(ALWAYS)
"""When everything in the directory was created, and last changed."""

_PROFILE: Final = {"id": "5a4d0b0c5e7f4a1cb0c5000000000010", "name": "Employees"}
"""The one identity profile."""


def identity_document(person: Person, access: Sequence[Mapping[str, Any]], known: Known) -> dict[str, Any]:
    """A person as the search shows them, with their access as `access_entry` writes it."""
    types = [entry["type"] for entry in access]
    manager = known.described(person.manager) if person.manager else None
    accounts = known.accounts(person)
    return {
        "id": person.id,
        "name": person.alias,
        "displayName": person.display_name,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "email": person.email,
        "employeeNumber": person.employee_number,
        "created": CREATED,
        "inactive": person.inactive,
        "protected": person.protected,
        "status": person.status,
        "manager": None
        if manager is None
        else {"id": manager.id, "name": manager.alias, "displayName": manager.display_name},
        "isManager": known.is_manager(person.id),
        "identityProfile": _PROFILE,
        "attributes": _attributes(person) | {"email": person.email, "cloudLifecycleState": person.lifecycle_state},
        "accounts": [_account(account) for account in accounts],
        "accountCount": len(accounts),
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


def access_entry(item: AccessItem, *, revocable: bool) -> dict[str, Any]:
    """One item of a person's access; `revocable` unless it is held through a role or a lifecycle state."""
    entry: dict[str, Any] = {"id": item.id, "name": item.name, "displayName": item.name, "type": item.type}
    if item.type is ItemType.ENTITLEMENT:
        entry |= {"attribute": item.attribute, "value": item.value, "privileged": False, "standalone": revocable}
    else:
        entry |= {"disabled": not item.enabled, "revocable": revocable}
    if item.source is not None:
        entry["source"] = {"id": item.source.id, "name": item.source.name}
    owner = item.owner
    return entry | {"owner": {"id": owner.id, "name": owner.alias, "displayName": owner.display_name}}


def identity(person: Person, known: Known) -> dict[str, object]:
    """A person as `GET …/identities` shows them."""
    return {
        "id": person.id,
        "name": person.display_name,
        "created": CREATED,
        "modified": CREATED,
        "alias": person.alias,
        "emailAddress": person.email,
        "processingState": None,
        "identityStatus": person.status,
        "managerRef": _manager(person, known),
        "isManager": known.is_manager(person.id),
        "lastRefresh": CREATED,
        "attributes": _attributes(person),
        "lifecycleState": {"stateName": person.lifecycle_state, "manuallyUpdated": False},
    }


def public_identity(person: Person, known: Known) -> dict[str, object]:
    """A person as `GET …/public-identities` shows them."""
    return {
        "id": person.id,
        "name": person.display_name,
        "alias": person.alias,
        "email": person.email,
        "status": person.lifecycle_state.title(),
        "identityState": "INACTIVE_LONG_TERM" if person.inactive else "ACTIVE",
        "manager": _manager(person, known),
        "attributes": [{"key": "department", "name": "Department", "value": person.department}],
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


def _manager(person: Person, known: Known) -> dict[str, object] | None:
    return known.person(person.manager).as_json() if person.manager else None


def _account(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "accountId": account.native_identity,
        "source": {"id": account.source.id, "name": account.source.name, "type": "DelimitedFile"},
        "disabled": False,
        "locked": False,
        "privileged": False,
        "manuallyCorrelated": False,
        "created": CREATED,
    }
