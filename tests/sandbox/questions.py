"""Random worlds and requests, for the sandbox and the oracle alike: most are legal but for one or two mistakes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from batch.sandbox.tenant import REQUESTER_ID
from tests.sandbox.calls import NOW
from tests.sandbox.oracle import GRANT, REVOKE, TYPES, Held, Item, Person, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

APIS = ("beta", "beta", "v3", "v2024", "v2025", "v2026", "v1", "v1", "v1", "v1")
"""Some rules are v1's or beta's alone."""
SOURCES = ("s1", "s2")
DURATIONS = ((36, "HOURS"), (30, "DAYS"), (8, "WEEKS"), (3, "MONTHS"))
DAYS = (1, 10, 29, 40, 80, 200, 500)


def moment(days: float) -> str:
    """A time so many days from now, as a body has it."""
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def world_of(random: Random) -> World:
    """A tenant with few people and items, of which about half have something odd."""
    people = {name: _person(random, name) for name in (*(f"i{number}" for number in range(6)), REQUESTER_ID)}
    items = {f"{kind[0]}{number}": _item(random, kind) for kind in TYPES for number in range(4)}
    held = {
        (person, item): Held(
            until=datetime.fromisoformat(moment(random.choice((20, 60, 300)))) if random.random() < 0.5 else None,
            given=random.random() < 0.3,
        )
        for person in people
        for item in items
        if random.random() < 0.3
    }
    return World(
        people=people,
        items=items,
        held=held,
        requester=REQUESTER_ID,
        is_admin=random.random() < 0.6,
        anyone_for_anyone=random.random() < 0.5,
        managers_for_reports=random.random() < 0.5,
        entitlements_allowed=random.random() < 0.9,
    )


def _person(random: Random, name: str) -> Person:
    accounts = {
        source: [f"{name}-{source}-{number}" for number in range(random.choice((0, 1, 1, 1, 2)))] for source in SOURCES
    }
    return Person(
        manager=REQUESTER_ID if random.random() < 0.4 else "i0",
        inactive=random.random() < 0.1,
        protected=random.random() < 0.1,
        accounts=accounts,
    )


def _item(random: Random, kind: str) -> Item:
    def odd(share: float = 0.1) -> bool:
        return random.random() < share

    sources: tuple[str, ...] = (random.choice(SOURCES),)
    if kind == "ROLE":
        sources = random.choice(((), ("s1",), SOURCES))
    return Item(
        type=kind,
        requestable=not odd(0.05),
        enabled=kind == "ENTITLEMENT" or not odd(0.05),
        needs_end=odd(),
        longest=random.choice(DURATIONS) if odd(0.2) else None,
        needs_comment=odd(),
        needs_form=odd(),
        needs_login=odd(),
        sources=sources,
    )


def question_of(random: Random, world: World) -> tuple[str, dict[str, Any]]:
    """An API version and a body."""
    api = random.choice(APIS)
    kind = GRANT if random.random() < 0.6 else REVOKE
    is_nested = api == "v1" and kind == GRANT and random.random() < 0.6
    people = random.sample(sorted(world.people), random.choice((1, 1, 2, 3)) if kind == GRANT else 1)
    names = random.sample(sorted(world.items), random.choice((1, 1, 2, 3)))
    if kind == REVOKE and any(world.items[name].type == "ENTITLEMENT" for name in names):
        names = names[:1]
    if is_nested:
        body: dict[str, Any] = {
            "requestedForWithRequestedItems": [
                {
                    "identityId": person,
                    "requestedItems": [_wanted(random, world, api, kind, person, name, nested=True) for name in names],
                }
                for person in people
            ]
        }
    else:
        items = [_wanted(random, world, api, kind, people[0], name, nested=False) for name in names]
        body = {"requestedFor": people, "requestedItems": items}
    if kind == REVOKE or random.random() < 0.5:
        body["requestType"] = kind
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        random.choice(MISTAKES)(random, body)
    return api, body


def _wanted(
    random: Random, world: World, api: str, kind: str, person: str, name: str, *, nested: bool
) -> dict[str, Any]:
    item = world.items[name]
    wanted: dict[str, Any] = {"type": item.type, "id": name}
    if kind == REVOKE or random.random() < 0.7:
        wanted["comment"] = random.choice(("why", "because", " ") if random.random() < 0.2 else ("why",))
    if random.random() < (0.05 if api == "beta" and item.type == "ENTITLEMENT" else 0.5):
        wanted["removeDate"] = moment(random.choice(DAYS))
    if random.random() < 0.2 and kind == GRANT and api != "beta":
        wanted["startDate"] = moment(random.choice((0.5, 0.5, 15)))
    if random.random() < 0.3:
        wanted["clientMetadata"] = {"k": "v"}
    if api == "v1" and random.random() < (0.5 if kind == GRANT else 0.05):
        wanted["formInstanceId"] = "completed"
    if nested and random.random() < 0.6:
        wanted["accountSelection"] = _selection(random, world, person, item)
    if kind == REVOKE and api != "beta":
        own = [account for source in item.sources for account in world.people[person].accounts[source]]
        if item.type == "ENTITLEMENT" and random.random() < 0.6:
            wanted["nativeIdentity"] = random.choice([*own, "nobody"])
        if item.type == "ROLE" and random.random() < 0.6:
            held = world.held.get((person, name))
            wanted["assignmentId"] = random.choice(["ghost", "ghost" if held is None else held.assignment])
    return wanted


def _selection(random: Random, world: World, person: str, item: Item) -> list[dict[str, Any]]:
    return [
        {
            "sourceId": source,
            "accounts": [{"nativeIdentity": random.choice([*world.people[person].accounts[source], "nobody"])}],
        }
        for source in (item.sources or SOURCES[:1])
    ]


def _some_item(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    entries = body.get("requestedForWithRequestedItems") or [body]
    lists = [entry["requestedItems"] for entry in entries if isinstance(entry.get("requestedItems"), list)]
    items: list[dict[str, Any]] = [item for items in lists for item in items]
    return random.choice(items) if items else {}


def _set(**fields: Any) -> Callable[[Random, dict[str, Any]], None]:
    return lambda random, body: _some_item(random, body).update(fields)


def _drop(name: str) -> Callable[[Random, dict[str, Any]], None]:
    def drop(random: Random, body: dict[str, Any]) -> None:
        _some_item(random, body).pop(name, None)

    return drop


def _put(**fields: Any) -> Callable[[Random, dict[str, Any]], None]:
    return lambda _random, body: body.update(fields)


def _people(change: Callable[[list[Any]], list[Any]]) -> Callable[[Random, dict[str, Any]], None]:
    def changed(_random: Random, body: dict[str, Any]) -> None:
        if "requestedFor" in body:
            if isinstance(body["requestedFor"], list):
                body["requestedFor"] = change(body["requestedFor"])
        else:
            entries = body["requestedForWithRequestedItems"]
            names = change([entry["identityId"] for entry in entries])
            first = entries[0] if entries else {"requestedItems": [{"type": "ROLE", "id": "R0"}]}
            body["requestedForWithRequestedItems"] = [
                {"requestedItems": first["requestedItems"], "identityId": name} for name in names
            ]

    return changed


def _items(change: Callable[[list[Any]], Any]) -> Callable[[Random, dict[str, Any]], None]:
    def changed(_random: Random, body: dict[str, Any]) -> None:
        entries = body.get("requestedForWithRequestedItems") or [body]
        entry = entries[0]
        if isinstance(entry.get("requestedItems"), list):
            entry["requestedItems"] = change(entry["requestedItems"])

    return changed


def _machine(_random: Random, body: dict[str, Any]) -> None:
    for entry in body.get("requestedForWithRequestedItems") or ():
        entry["identityType"] = "MACHINE"


MISTAKES: tuple[Callable[[Random, dict[str, Any]], None], ...] = (
    _put(priority="high"),
    _put(requestType="MODIFY_ACCESS"),
    _put(requestType=REVOKE),
    _put(requestType=GRANT),
    _put(clientMetadata={"k": 1}),
    _put(requestedFor="i1"),
    _put(requestedFor=["i1"]),
    _put(requestedForWithRequestedItems=[{"identityId": "i1", "requestedItems": [{"type": "ROLE", "id": "R1"}]}]),
    _people(lambda people: [*people, *people[:1]]),
    _people(lambda people: [*people, "ghost"]),
    _people(lambda _people: []),
    _people(lambda people: [*people, ""]),
    _people(lambda people: [*people, "i0"]),
    _people(lambda _people: [f"i{number}" for number in range(11)]),
    _items(lambda _items: []),
    _items(lambda items: items[0] if items else {}),
    _items(lambda items: [*items, *({"type": "ROLE", "id": f"R{n}", "comment": "x"} for n in range(26))]),
    _items(lambda items: [*items, {"type": "ENTITLEMENT", "id": "E0", "comment": "x"}]),
    _machine,
    _set(name="Admin"),
    _set(type="ACCOUNT"),
    _set(id=""),
    _set(id="ghost"),
    _set(comment=""),
    _drop("comment"),
    _set(clientMetadata=None),
    _set(removeDate="31/12/2026"),
    _set(removeDate="2026-12-31T00:00:00+01:00"),
    _set(removeDate=moment(-1)),
    _set(removeDate=""),
    _set(startDate=moment(3)),
    _set(startDate=moment(30), removeDate=moment(20)),
    _drop("removeDate"),
    _drop("accountSelection"),
    _drop("nativeIdentity"),
    _drop("assignmentId"),
    _set(nativeIdentity="i0-s1-0"),
    _set(nativeIdentity=""),
    _set(assignmentId="ghost"),
    _set(formInstanceId=""),
    _set(formInstanceId="completed"),
    _set(accountSelection=[{"sourceId": "s1", "accounts": []}]),
    _set(accountSelection=[{"sourceId": "s1", "accounts": [{"nativeIdentity": "i0-s1-0"}]}]),
)
"""Each changes a body. Some make a legal body of another."""
