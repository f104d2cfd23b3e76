"""A second implementation of the rules of a request, written from the specification and not from the sandbox.

It knows nothing of `batch`: a world of plain values, the fields of each API version as the vendor's documents give them
(beta as of March 2024), and one function for each sentence of the documents. It finds every rule that a request breaks,
by a name, without an order.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANT, REVOKE = "GRANT_ACCESS", "REVOKE_ACCESS"
TYPES = ("ROLE", "ACCESS_PROFILE", "ENTITLEMENT")
REQUEST_FIELDS = {"requestedFor", "requestedItems", "requestType", "clientMetadata"}
SEED_FIELDS = {"type", "id", "comment", "clientMetadata", "removeDate"}
LATER_FIELDS = SEED_FIELDS | {"startDate", "assignmentId", "nativeIdentity"}
FLAT_FIELDS = {
    "beta": SEED_FIELDS,
    "v3": LATER_FIELDS,
    "v2024": LATER_FIELDS,
    "v2025": LATER_FIELDS,
    "v2026": LATER_FIELDS,
    "v1": LATER_FIELDS | {"formInstanceId"},
}
NESTED_FIELDS = SEED_FIELDS | {"startDate", "accountSelection", "formInstanceId"}
"""Of an item in `requestedForWithRequestedItems`, which only v1 allows without the flat fields."""
MOST_PEOPLE, MOST_ITEMS = 10, 25
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass
class Item:
    """An access item: its flags, the rules of its grants, and the sources of its access."""

    type: str
    requestable: bool = True
    enabled: bool = True
    needs_end: bool = False
    longest: tuple[int, str] | None = None
    needs_comment: bool = False
    needs_form: bool = False
    needs_login: bool = False
    sources: tuple[str, ...] = ()


@dataclass
class Person:
    """A person: manager, state, and the native identities of the accounts by source."""

    manager: str = ""
    inactive: bool = False
    protected: bool = False
    accounts: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Held:
    """Access that is held: until when, and whether a role or a lifecycle state gives it."""

    until: datetime | None = None
    given: bool = False
    assignment: str = ""


@dataclass
class World:
    """A tenant, who asks it, and what its configuration allows."""

    people: dict[str, Person]
    items: dict[str, Item]
    held: dict[tuple[str, str], Held]
    requester: str
    is_admin: bool = True
    anyone_for_anyone: bool = True
    managers_for_reports: bool = True
    entitlements_allowed: bool = True


def body_faults(body: dict[str, Any], api: str, now: datetime) -> set[str]:
    """The rules that a body breaks whatever the tenant holds. Always a refusal."""
    return set(_body_faults(body, api, now))


def _body_faults(body: dict[str, Any], api: str, now: datetime) -> Iterator[str]:
    is_nested = api == "v1" and body.get("requestedForWithRequestedItems") is not None
    known = REQUEST_FIELDS | ({"requestedForWithRequestedItems"} if api == "v1" else set())
    if set(body) - known:
        yield "unknown field"
    if body.get("requestType") not in (None, GRANT, REVOKE):
        yield "request type"
    if not _is_metadata(body):
        yield "metadata"
    kind = body.get("requestType") or GRANT
    if is_nested:
        yield from _nested_faults(body, kind, api, now)
    else:
        yield from _people_faults(body.get("requestedFor"), kind)
        yield from _list_faults(body.get("requestedItems"), kind, FLAT_FIELDS[api], api, now)


def _nested_faults(body: dict[str, Any], kind: str, api: str, now: datetime) -> Iterator[str]:
    nested = body["requestedForWithRequestedItems"]
    if {"requestedFor", "requestedItems"} & set(body):
        yield "nested and flat"
    if kind == REVOKE:
        yield "nested revoke"
    yield from _people_faults([entry.get("identityId") for entry in nested], kind)
    if any(entry.get("identityType", "HUMAN") != "HUMAN" for entry in nested):
        yield "machine"
    for entry in nested:
        yield from _list_faults(entry.get("requestedItems"), kind, NESTED_FIELDS, api, now)
    if sum(len(entry["requestedItems"]) for entry in nested if isinstance(entry["requestedItems"], list)) > MOST_ITEMS:
        yield "number of items"


def _people_faults(people: Any, kind: str) -> Iterator[str]:
    if not isinstance(people, list) or not all(isinstance(person, str) and person for person in people):
        yield "shape"
        return
    if not 1 <= len(people) <= MOST_PEOPLE:
        yield "number of people"
    if len(set(people)) < len(people):
        yield "twice"
    if kind == REVOKE and len(people) > 1:
        yield "one person"


def _list_faults(items: Any, kind: str, fields: set[str], api: str, now: datetime) -> Iterator[str]:
    if not isinstance(items, list):
        yield "shape"
        return
    if not 1 <= len(items) <= MOST_ITEMS:
        yield "number of items"
    for item in items:
        yield from _item_faults(item, kind, fields, api, now)
    entitlements = [item for item in items if item.get("type") == "ENTITLEMENT"]
    if kind == REVOKE and entitlements and len(items) > 1:
        yield "one entitlement"


def _item_faults(item: dict[str, Any], kind: str, fields: set[str], api: str, now: datetime) -> Iterator[str]:
    if set(item) - fields:
        yield "unknown field"
    if item.get("type") not in TYPES:
        yield "item type"
    if not item.get("id"):
        yield "item id"
    if item.get("comment") == "":
        yield "empty comment"
    if kind == REVOKE and "comment" not in item:
        yield "comment of a revoke"
    if not _is_metadata(item):
        yield "metadata"
    yield from _date_faults(item, kind, api, now)
    yield from _account_faults(item, kind)
    if item.get("formInstanceId") == "":
        yield "empty form"
    if kind == REVOKE and item.get("formInstanceId"):
        yield "form of a revoke"


def _date_faults(item: dict[str, Any], kind: str, api: str, now: datetime) -> Iterator[str]:
    moments = {}
    for name in ("startDate", "removeDate"):
        if name in item:
            if not MOMENT.fullmatch(item[name]):
                yield "date"
            else:
                moments[name] = datetime.fromisoformat(item[name])
    if any(moment <= now for moment in moments.values()):
        yield "past"
    if kind == REVOKE and "startDate" in item:
        yield "start of a revoke"
    if api == "beta" and item.get("type") == "ENTITLEMENT" and "removeDate" in item:
        yield "end of an entitlement"
    if len(moments) == 2 and moments["removeDate"] <= moments["startDate"]:
        yield "end before start"


def _account_faults(item: dict[str, Any], kind: str) -> Iterator[str]:
    for name, item_type in (("assignmentId", "ROLE"), ("nativeIdentity", "ENTITLEMENT")):
        if item.get(name) == "":
            yield "empty account"
        if item.get(name) is not None and kind == GRANT:
            yield "account of a grant"
        if item.get(name) is not None and item.get("type") != item_type:
            yield "account of another type"
    selection = item.get("accountSelection") or []
    if any(not source.get("sourceId") or len(source.get("accounts") or []) != 1 for source in selection):
        yield "selection"


def _is_metadata(holder: dict[str, Any]) -> bool:
    metadata = holder.get("clientMetadata", {})
    return isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())


def entitlement_config(item: Item, api: str) -> dict[str, Any]:
    """An entitlement's request configuration, whose owner alone approves."""
    form = {"formDefinitionId": "form" if item.needs_form else None} if api == "v1" else {}
    owner = [{"approverType": "ENTITLEMENT_OWNER", "approverId": None}]
    longest = None if item.longest is None else {"value": item.longest[0], "timeUnit": item.longest[1]}
    return {
        "accessRequestConfig": {
            **form,
            "approvalSchemes": owner,
            "requestCommentRequired": item.needs_comment,
            "denialCommentRequired": False,
            "reauthorizationRequired": item.needs_login,
            "requireEndDate": item.needs_end,
            "maxPermittedAccessDuration": longest,
        },
        "revocationRequestConfig": {"approvalSchemes": owner},
    }


def accounts_offered(world: World, person_id: str, item_ids: list[str]) -> tuple[bool, list[tuple[bool, list[Any]]]]:
    """Whether a person must choose an account for one of some items; of each whether it may not, and the accounts."""
    person = world.people[person_id]
    items = [world.items[item_id] for item_id in item_ids]
    blocked = [
        item.type == "ACCESS_PROFILE" and (person_id, item_id) in world.held
        for item_id, item in zip(item_ids, items, strict=True)
    ]
    needed = any(_crowded(person, item) and not is_blocked for item, is_blocked in zip(items, blocked, strict=True))
    offers = [[(source, person.accounts.get(source, [])) for source in item.sources] for item in items]
    return needed, list(zip(blocked, offers, strict=True))


def changes_of(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each person with each item of a legal body."""
    nested = body.get("requestedForWithRequestedItems")
    if nested is None:
        return [(person, item) for person in body["requestedFor"] for item in body["requestedItems"]]
    return [(entry["identityId"], item) for entry in nested for item in entry["requestedItems"]]


def change_faults(world: World, body: dict[str, Any], now: datetime) -> list[set[str]]:
    """The rules of the tenant that each change of a legal body breaks."""
    faults = _grant_faults if body.get("requestType") in (None, GRANT) else _revoke_faults
    return [
        {*_item_and_person_faults(world, person, item), *faults(world, person, item, now)}
        for person, item in changes_of(body)
    ]


def _item_and_person_faults(world: World, person_id: str, wanted: dict[str, Any]) -> Iterator[str]:
    item = world.items.get(wanted["id"], Item(type=wanted["type"]))
    if person_id not in world.people:
        yield "unknown_person"
    if wanted["id"] not in world.items:
        yield "unknown_item"
    if not item.requestable:
        yield "not_requestable"
    if not item.enabled:
        yield "disabled_item"
    if wanted["type"] == "ENTITLEMENT" and not world.entitlements_allowed:
        yield "entitlements_barred"


def _grant_faults(world: World, person_id: str, wanted: dict[str, Any], now: datetime) -> Iterator[str]:
    person = world.people.get(person_id, Person())
    item = world.items.get(wanted["id"], Item(type=wanted["type"]))
    if not _may_grant(world, person_id):
        yield "not_for_others"
    if person.inactive:
        yield "inactive_person"
    if person.protected:
        yield "protected_person"
    if item.needs_end and "removeDate" not in wanted:
        yield "end_date_required"
    if item.longest and _lasts_longer(wanted, item.longest, now):
        yield "end_date_too_late"
    if item.needs_comment and wanted.get("comment", "").strip() == "":
        yield "comment_required"
    if item.needs_form and not wanted.get("formInstanceId"):
        yield "form_required"
    if item.needs_login:
        yield "reauthorization_required"
    yield from _selection_faults(world, person_id, wanted)


def _may_grant(world: World, person_id: str) -> bool:
    reports_to = world.people.get(person_id, Person()).manager
    return (
        world.is_admin
        or world.anyone_for_anyone
        or person_id == world.requester
        or (world.managers_for_reports and reports_to == world.requester)
    )


def _selection_faults(world: World, person_id: str, wanted: dict[str, Any]) -> Iterator[str]:
    person = world.people.get(person_id, Person())
    item = world.items.get(wanted["id"], Item(type=wanted["type"]))
    selection = wanted.get("accountSelection") or []
    blocked = wanted["type"] == "ACCESS_PROFILE" and (person_id, wanted["id"]) in world.held
    if any(_is_foreign(person, item, source) for source in selection):
        yield "account_unknown"
    if blocked and selection:
        yield "account_blocked"
    if not blocked and _crowded(person, item) - {source["sourceId"] for source in selection}:
        yield "account_choice"


def _revoke_faults(world: World, person_id: str, wanted: dict[str, Any], _now: datetime) -> Iterator[str]:
    person = world.people.get(person_id, Person())
    item = world.items.get(wanted["id"], Item(type=wanted["type"]))
    held = world.held.get((person_id, wanted["id"]))
    native_identity, assignment = wanted.get("nativeIdentity"), wanted.get("assignmentId")
    own = [account for source in item.sources for account in person.accounts.get(source, [])]
    if person_id == world.requester:
        yield "self_revoke"
    elif not world.is_admin and person.manager != world.requester:
        yield "not_for_others"
    if held and held.given:
        yield "not_revocable"
    if held and held.until and "removeDate" in wanted and datetime.fromisoformat(wanted["removeDate"]) >= held.until:
        yield "later_end_date"
    if native_identity and native_identity not in own:
        yield "account_unknown"
    if assignment and (held is None or held.assignment != assignment):
        yield "account_unknown"
    if _crowded(person, item) and wanted["type"] != "ACCESS_PROFILE" and not native_identity and not assignment:
        yield "account_choice"


def _lasts_longer(wanted: dict[str, Any], longest: tuple[int, str], now: datetime) -> bool:
    if "removeDate" not in wanted:
        return True
    start = datetime.fromisoformat(wanted["startDate"]) if "startDate" in wanted else now
    number, unit = longest
    if unit == "MONTHS":
        months = start.year * 12 + start.month - 1 + number
        year, month = months // 12, months % 12 + 1
        last = start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))
    else:
        last = start + number * {"HOURS": timedelta(hours=1), "DAYS": timedelta(1), "WEEKS": timedelta(7)}[unit]
    return datetime.fromisoformat(wanted["removeDate"]) > last


def _crowded(person: Person, item: Item) -> set[str]:
    """The sources of an item on which a person has several accounts."""
    return {source for source in item.sources if len(person.accounts.get(source, [])) > 1}


def _is_foreign(person: Person, item: Item, source: dict[str, Any]) -> bool:
    (account,) = source["accounts"]
    own = person.accounts.get(source["sourceId"], []) if source["sourceId"] in item.sources else []
    return account["nativeIdentity"] not in own
