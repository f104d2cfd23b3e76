"""The rules of a request body, in the order in which the simulated tenant checks them.

Source: the operation `createAccessRequest` of the vendor's documents, and reports from live tenants (empty strings).
One broken rule refuses the whole request, and only the first is reported.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from batch.api.dialects import REQUEST_TYPES, ItemType, Operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.api.dialects import Dialect

OPERATIONS: Final[Mapping[object, Operation]] = {
    None: Operation.GRANT,
    **{request_type: operation for operation, request_type in REQUEST_TYPES.items()},
}
"""The operation of each legal `requestType`; absent and null mean a grant."""

NESTED: Final = "requestedForWithRequestedItems"
"""Field of the form in which each identity has its own items, in dialects that have it."""

_REQUEST_FIELDS: Final = frozenset({"requestedFor", "requestedItems", "requestType", "clientMetadata"})
_ENTRY_FIELDS: Final = frozenset({"identityId", "identityType", "requestedItems"})
_ITEM_FIELDS: Final = frozenset({"type", "id", "comment", "clientMetadata", "removeDate"})
_UTC_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z", re.ASCII)

JsonObject = dict[str, object]


def first_broken_rule(body: object, now: datetime, dialect: Dialect) -> str | None:
    """The first rule that a request body breaks, as a sentence that names the field; None if it breaks none.

    Args:
        body: The parsed body.
        now: The tenant's time, with a zone. Dates must lie after it.
        dialect: The API version, for its limits and optional fields.
    """
    return next(_broken_rules(body, now, dialect), None)


def _broken_rules(body: object, now: datetime, dialect: Dialect) -> Iterator[str]:
    if not _is_object(body):
        yield "The body must be a JSON object."
    elif body.get("requestType") not in list(OPERATIONS):  # a list, because the value may be unhashable
        yield f"requestType must be one of {', '.join(REQUEST_TYPES.values())}."
    else:
        operation = OPERATIONS[body.get("requestType")]
        yield from _unknown_fields(body, _REQUEST_FIELDS | ({NESTED} if dialect.nested else set()), "The request")
        yield from _broken_by_metadata(body, "the request")
        if body.get(NESTED) is not None:
            yield from _broken_by_nesting(body, operation, now, dialect)
        else:
            yield from _broken_by_identities(body.get("requestedFor"), operation, dialect)
            yield from _broken_by_items(body.get("requestedItems"), "requestedItems", operation, now, dialect)


def requested_items(body: JsonObject) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each identity of a valid body with the items requested for it, in either form."""
    nested: Any = body.get(NESTED)
    if nested is not None:
        yield from ((entry["identityId"], entry["requestedItems"]) for entry in nested)
    else:
        flat: Any = body
        yield from ((identity, flat["requestedItems"]) for identity in flat["requestedFor"])


def _broken_by_nesting(body: JsonObject, operation: Operation, now: datetime, dialect: Dialect) -> Iterator[str]:
    """The nested form is for grants only, replaces the flat form, and shares its limits in total."""
    entries, most = body[NESTED], dialect.limits
    yield from (
        f"{name} must be absent beside {NESTED}." for name in ("requestedFor", "requestedItems") if name in body
    )
    if operation is not Operation.GRANT:
        yield f"{NESTED} must be absent when access is revoked."
    elif not isinstance(entries, list):
        yield f"{NESTED} must be an array."
    elif not 1 <= len(entries) <= most.recipients:
        yield f"{NESTED} must hold 1 to {most.recipients} identities, not {len(entries)}."
    else:
        for index, entry in enumerate(entries):
            yield from _broken_by_entry(entry, f"{NESTED}[{index}]", now, dialect)
        if len({entry["identityId"] for entry in entries}) < len(entries):
            yield f"{NESTED} must not hold an identity twice."
        items = sum(len(entry["requestedItems"]) for entry in entries)
        if items > most.items:
            yield f"{NESTED} must hold 1 to {most.items} items in total, not {items}."


def _broken_by_entry(entry: object, path: str, now: datetime, dialect: Dialect) -> Iterator[str]:
    if not _is_object(entry):
        yield f"{path} must be a JSON object."
    else:
        yield from _unknown_fields(entry, _ENTRY_FIELDS, path)
        if not _is_text(entry.get("identityId")):
            yield f"{path}.identityId must be a non-empty string."
        if entry.get("identityType", "HUMAN") != "HUMAN":
            yield f"{path}.identityType must be HUMAN or absent: the sandbox has no machines."
        yield from _broken_by_items(
            entry.get("requestedItems"), f"{path}.requestedItems", Operation.GRANT, now, dialect
        )


def _broken_by_identities(identities: object, operation: Operation, dialect: Dialect) -> Iterator[str]:
    most = dialect.limits.recipients
    if not isinstance(identities, list):
        yield "requestedFor must be an array."
    elif not all(_is_text(identity) for identity in identities):
        yield "requestedFor must hold non-empty strings only."
    elif not 1 <= len(identities) <= most:
        yield f"requestedFor must hold 1 to {most} identities, not {len(identities)}."
    elif len(set(identities)) < len(identities):
        yield "requestedFor must not hold an identity twice."
    elif operation is Operation.REVOKE and len(identities) > 1:
        yield "requestedFor must hold exactly one identity when access is revoked."


def _broken_by_items(items: object, path: str, operation: Operation, now: datetime, dialect: Dialect) -> Iterator[str]:
    most = dialect.limits.items if operation is Operation.GRANT else dialect.limits.revoke_items
    if not isinstance(items, list):
        yield f"{path} must be an array."
    elif not 1 <= len(items) <= most:
        yield f"{path} must hold 1 to {most} items, not {len(items)}."
    else:
        for index, item in enumerate(items):
            yield from _broken_by_item(item, f"{path}[{index}]", operation, now, dialect)
        if operation is Operation.REVOKE:
            yield from _broken_by_entitlements(items, dialect)


def _broken_by_entitlements(revoked: list[JsonObject], dialect: Dialect) -> Iterator[str]:
    entitlements = sum(item["type"] == ItemType.ENTITLEMENT for item in revoked)
    most = dialect.limits.revoke_entitlements
    if entitlements > most:
        yield f"A request may revoke at most {most} entitlement, not {entitlements}."
    if entitlements and len(revoked) > entitlements:
        yield "A request that revokes an entitlement must hold nothing else."


def _broken_by_item(item: object, path: str, operation: Operation, now: datetime, dialect: Dialect) -> Iterator[str]:
    if not _is_object(item):
        yield f"{path} must be a JSON object."
    else:
        yield from _unknown_fields(item, _item_fields(dialect, nested=NESTED in path), path)
        yield from _broken_by_texts(item, path, operation)
        yield from _broken_by_accounts(item, path, operation)
        yield from _broken_by_form(item, path, operation)
        yield from _broken_by_metadata(item, path)
        yield from _broken_by_dates(item, path, operation, now, dialect)


def _item_fields(dialect: Dialect, *, nested: bool) -> set[str]:
    """The fields of an item. Accounts of grants are chosen in the nested form, those of revokes in the flat one."""
    accounts = {"accountSelection"} if nested else {"assignmentId", "nativeIdentity"}
    return {
        *_ITEM_FIELDS,
        *({"startDate"} if dialect.start_date else ()),
        *(accounts if dialect.revoke_account else ()),
        *({"formInstanceId"} if dialect.forms else ()),
    }


def _broken_by_accounts(item: JsonObject, path: str, operation: Operation) -> Iterator[str]:
    for name, item_type in (("assignmentId", ItemType.ROLE), ("nativeIdentity", ItemType.ENTITLEMENT)):
        if item.get(name) is None:
            continue
        if not _is_text(item[name]):
            yield f"{path}.{name} must be a non-empty string or absent."
        if operation is not Operation.REVOKE:
            yield f"{path}.{name} must be absent unless access is revoked."
        if item["type"] != item_type:
            yield f"{path}.{name} is for items of type {item_type} only."
    selection = item.get("accountSelection")
    if selection is None:
        return
    if not isinstance(selection, list) or not all(_is_selection(source) for source in selection):
        yield f"{path}.accountSelection must be an array of sources, each with sourceId and one of its accounts."
    elif len({source["sourceId"] for source in selection}) < len(selection):
        yield f"{path}.accountSelection must not hold a source twice."


def _is_selection(source: object) -> bool:
    """Whether it chooses one account of one source. Source: only one selection per source is supported."""
    if not _is_object(source) or source.keys() - {"sourceId", "accounts"} or not _is_text(source.get("sourceId")):
        return False
    accounts = source.get("accounts")
    if not isinstance(accounts, list) or len(accounts) != 1 or not _is_object(accounts[0]):
        return False
    names = accounts[0].values()
    return not accounts[0].keys() - {"accountUuid", "nativeIdentity"} and bool(names) and all(map(_is_text, names))


def _broken_by_form(item: JsonObject, path: str, operation: Operation) -> Iterator[str]:
    if item.get("formInstanceId") is None:
        return
    if not _is_text(item["formInstanceId"]):
        yield f"{path}.formInstanceId must be a non-empty string or absent."
    if operation is Operation.REVOKE:
        yield f"{path}.formInstanceId must be absent when access is revoked."


def _broken_by_texts(item: JsonObject, path: str, operation: Operation) -> Iterator[str]:
    if item.get("type") not in list(ItemType):
        yield f"{path}.type must be one of {', '.join(ItemType)}."
    if not _is_text(item.get("id")):
        yield f"{path}.id must be a non-empty string."
    if "comment" in item and not _is_text(item["comment"]):
        yield f"{path}.comment must be a non-empty string or absent."
    if operation is Operation.REVOKE and "comment" not in item:
        yield f"{path}.comment is required when access is revoked."


def _broken_by_dates(
    item: JsonObject, path: str, operation: Operation, now: datetime, dialect: Dialect
) -> Iterator[str]:
    dates = {name: _moment(item[name]) for name in ("startDate", "removeDate") if name in item}
    for name, moment in dates.items():
        if moment is None:
            yield f"{path}.{name} must be a date and time in UTC such as 2030-01-31T00:00:00Z, or absent."
        elif moment <= now:
            yield f"{path}.{name} must lie in the future."
    if "startDate" in dates and operation is Operation.REVOKE:
        yield f"{path}.startDate must be absent when access is revoked."
    if "removeDate" in dates and item["type"] == ItemType.ENTITLEMENT and not dialect.entitlement_remove_date:
        yield f"{path}.removeDate is not supported for entitlements."
    start, remove = dates.get("startDate"), dates.get("removeDate")
    if start is not None and remove is not None and remove <= start:
        yield f"{path}.removeDate must lie after startDate."


def _broken_by_metadata(holder: JsonObject, path: str) -> Iterator[str]:
    if "clientMetadata" not in holder:
        return
    metadata = holder["clientMetadata"]
    if not _is_object(metadata) or not all(isinstance(text, str) for text in chain(metadata, metadata.values())):
        yield f"clientMetadata of {path} must be an object of strings."


def _unknown_fields(holder: JsonObject, known: frozenset[str] | set[str], path: str) -> Iterator[str]:
    yield from (f"{path} has an unknown field {name!r}." for name in holder if name not in known)


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or not _UTC_MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)
