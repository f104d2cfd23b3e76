"""The simulated tenant: what it accepts, what it counts, and what its list shows, sooner or later and more or less."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.process import BEGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tests.simulation.network import Flight
    from tests.simulation.world import World

REQUESTER: Final = "2c9180835d2e5168015d32f890ca1581"
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """One identity and item that the tenant has accepted.

    Attributes:
        pair: Identity and item, in small letters and without hyphens.
        sent_at: When its call left its machine, in true seconds.
        at: When it arrived, in true seconds.
        machine: The machine's name.
        body: Number of the accepted call.
        named: The id of our request in its metadata.
        attempt: All of its metadata.
        operation: Of the request.
        visible_at: When the list shows it, in true seconds.
    """

    pair: Pair
    operation: str
    visible_at: float
    sent_at: float
    at: float
    machine: str
    body: int
    named: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Row:
    created: datetime
    visible_at: float
    requester: str
    identity: str
    access_request: str
    json: dict[str, Any]


class SimulatedTenant:
    """A tenant.

    Attributes:
        books: Everything that it has accepted from us, in order.
        all_counted: When it counted a call, in true seconds.
        counted: When it counted a call whose way took no longer than the limit assumes, in true seconds.
        poison: Pairs that it refuses for good, and how.
        held: Pairs that people hold already: it creates nothing for a grant of them.
        hides: Whether it accepted a grant of one of these without saying that it is held.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._options = world.options
        self.books: list[Accepted] = []
        self.counted: list[float] = []
        self.all_counted: list[float] = []
        self._tokens: dict[str, float] = {}
        self._rows: list[_Row] = []
        self._newest_visible = 0.0
        self.poison: dict[Pair, str] = {}
        self.held: set[Pair] = set()
        self.hides = False

    def clock(self) -> datetime:
        """The tenant's clock."""
        return BEGIN + timedelta(seconds=self._world.now + self._options.tenant_ahead)

    # Calls.

    def answer(self, flight: Flight) -> Reply:
        """Answer a call that has arrived."""
        request, number = flight.request, flight.number
        where = request.url.path
        reply = self._answer(flight, where)
        self._world.note("tenant", f"call {number} {request.method} {where}: {reply.status}")
        if self._options.sends_date:
            return Reply(
                status=reply.status,
                content=reply.content,
                headers={**reply.headers, "date": format_datetime(self.clock(), usegmt=True)},
                takes=reply.takes,
            )
        return reply

    def _answer(self, flight: Flight, where: str) -> Reply:  # noqa: PLR0911 - one for each kind of answer
        request, chance = flight.request, flight.chance
        where = where.removesuffix("/v1")
        if where == "/oauth/token":
            return self._token()
        world, options = self._world, self._options
        if world.strikes("gateway", chance, options.gateway):
            # It turns the call away before the place where calls count.
            return _page(chance.choice((500, 502, 503, 504)))
        count = sum(at > world.now - options.rate[1] for at in self.all_counted)
        self.all_counted.append(world.now)
        if world.now - flight.sent_at <= options.path_assumed:
            self.counted.append(world.now)
        token = request.headers.get("authorization", "").partition(" ")[2]
        if self._tokens.get(token, -1.0) <= world.now:
            return _json(401, {"error": "JWT validation failed: JWT is expired"})
        if count >= options.rate[0]:
            return _json(429, {"message": " Rate Limit Exceeded "}, {"retry-after": str(int(options.rate[1]))})
        if where.endswith("/access-requests"):
            return self._submitted(json.loads(request.content), flight)
        if where.endswith(("/access-request-status", "/access-request-administration")):
            return self._listed(request.url.params, chance)
        if where.endswith("/search"):
            return self._found(json.loads(request.content))
        return _problem(404, "no such path")

    def _token(self) -> Reply:
        life = self._options.token_life
        number = len(self._tokens)
        claims = {
            "tenant_id": "11111111-2222-4333-8444-555555555555",
            "org": "simulated",
            "identity_id": REQUESTER,
            "user_name": "admin",
            "authorities": ["ORG_ADMIN"],
            "client_id": "client",
            "scope": ["sp:scopes:all"],
            "exp": int((self.clock() + timedelta(seconds=life)).timestamp()),
            "jti": f"token-{number}",
        }
        token = ".".join(
            urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
        )
        self._tokens[f"{token}.c2lnbmF0dXJl"] = self._world.now + life
        return _json(
            200,
            {
                "access_token": f"{token}.c2lnbmF0dXJl",
                "token_type": "bearer",
                "expires_in": life,
                "identity_id": REQUESTER,
                "user_id": REQUESTER,
                "scope": "sp:scopes:all",
                "tenant_id": claims["tenant_id"],
                "org": "simulated",
            },
        )

    # Submitting.

    def _submitted(self, body: Mapping[str, Any], flight: Flight) -> Reply:
        world, options = self._world, self._options
        number, chance = flight.number, flight.chance
        wanted = [
            (identity, item)
            for identity, items in (
                [(one["identityId"], one["requestedItems"]) for one in body["requestedForWithRequestedItems"]]
                if "requestedForWithRequestedItems" in body
                else [(identity, body["requestedItems"]) for identity in body["requestedFor"]]
            )
            for item in items
        ]
        for identity, item in wanted:
            if bad := self.poison.get(pair_key(identity, item["id"])):
                return _poisoned(bad, item["id"])
        if world.strikes("fails", chance, options.fails):
            return _failure(chance.choice(("500", "503", "429", "502")))
        access_requests: dict[str, str] = {}
        held: list[Pair] = []
        for identity, item in wanted:
            pair = pair_key(identity, item["id"])
            if body["requestType"] == "GRANT_ACCESS" and pair in self.held:
                held.append((identity, item["id"]))
                continue
            metadata = item.get("clientMetadata") or {}
            access_request = access_requests.setdefault(identity, f"ar{len(self.books):05d}{number:05d}")
            row = self._add_row(identity, item, body["requestType"], access_request, metadata, chance)
            self.books.append(
                Accepted(
                    pair=pair,
                    operation=body["requestType"],
                    visible_at=row.visible_at,
                    sent_at=flight.sent_at,
                    at=world.now,
                    machine=flight.machine,
                    body=number,
                    named=metadata.get("accessBatchRequest", ""),
                    metadata=metadata,
                )
            )
        world.note("tenant", f"accepts {[(i, m['id']) for i, m in wanted]} in call {number}")
        if world.strikes("after", chance, options.after):
            return _failure(chance.choice(("500", "502", "503", "503 later", "303", "404", "409", "200")))
        if not held or chance.random() >= options.says_held:
            self.hides |= bool(held)
            return _json(202, {})
        listed = [
            {"requestedFor": identity, "requestedItemsDetails": [{"type": "ROLE", "id": item}], "accessRequestIds": []}
            for identity, item in held
        ]
        return _json(202, {"newRequests": [], "existingRequests": listed})

    def _found(self, question: Mapping[str, Any]) -> Reply:
        """What the search index has of people."""
        asked = {text.replace("-", "").lower() for text in re.findall(r'"([^"]+)"', question["query"]["query"])}
        people = sorted(asked & {person for person, _ in self.held})
        return _json(
            200,
            [
                {
                    "id": person,
                    "access": [{"id": what, "type": "ROLE"} for who, what in sorted(self.held) if who == person],
                }
                for person in people
            ],
        )

    def someone_else_requests(self, identity: str, item: str) -> None:
        """Another user requests something."""
        self._add_row(
            identity,
            {"type": "ROLE", "id": item},
            "GRANT_ACCESS",
            f"other{len(self._rows):05d}",
            {},
            self._world.chance("others"),
            "other",
        )

    def provision(self) -> None:
        """Bring everything that was requested to its end."""
        for row in self._rows:
            row.json["state"] = "REQUEST_COMPLETED"

    def _add_row(
        self,
        identity: str,
        item: Mapping[str, Any],
        request_type: str,
        access_request: str,
        metadata: Mapping[str, str],
        chance: Random,
        requester: str = REQUESTER,
    ) -> _Row:
        odd = self._options.oddness if chance.random() < self._options.odd else ""
        row: dict[str, Any] = {
            "id": item["id"],
            "name": f"name of {item['id']}",
            "type": item["type"],
            "state": "EXECUTING",
            "requestType": request_type,
            "created": _text(self.clock()),
            "modified": _text(self.clock()),
            "requester": {"type": "IDENTITY", "id": requester, "name": "admin"},
            "requestedFor": {"type": "IDENTITY", "id": identity, "name": identity},
            "accessRequestId": access_request,
            "accountActivityItemId": f"act{len(self._rows):06d}",
            "cancelable": True,
            "clientMetadata": dict(metadata) or None,
        }
        if odd:
            _ODDNESS[odd](row)
        added = _Row(
            created=self.clock(),
            visible_at=self._visible_at(chance),
            requester=requester,
            identity=identity,
            access_request=access_request,
            json=row,
        )
        self._rows.append(added)
        return added

    def _visible_at(self, chance: Random) -> float:
        world, options = self._world, self._options
        if options.listing == "rows":
            # Row by row, in any order, most of them soon.
            lag = options.lag * chance.random() ** 3
            return world.now + lag
        # In order: an index that falls behind and catches up.
        lag = options.lag * chance.uniform(0.3, 1.0) if world.faults else min(options.lag, 2.0)
        self._newest_visible = max(self._newest_visible, world.now + lag)
        return self._newest_visible

    # Listing.

    def _listed(self, query: Mapping[str, str], chance: Random) -> Reply:
        world, options = self._world, self._options
        if world.strikes("list_fails", chance, 0.1):
            return _page(503)
        rows = [row for row in self._rows if row.visible_at <= world.now]
        if "requested-for" in query:
            rows = [row for row in rows if row.identity == query["requested-for"]]
        if "requested-by" in query:
            user = REQUESTER if query["requested-by"] == "me" else query["requested-by"]
            rows = [row for row in rows if row.requester == user]
        filters = query.get("filters", "")
        if since := re.search(r'created ge "([^"]+)"', filters):
            start = datetime.fromisoformat(since[1])
            rows = [row for row in rows if row.created >= start]
        if named := re.search(r"accessRequestId (?:eq|in) (.*)", filters):
            ids = set(re.findall(r'"([^"]+)"', named[1]))
            rows = [row for row in rows if row.access_request in ids]
        rows.sort(key=lambda row: row.created, reverse=query.get("sorters") == "-created")
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 250)), options.page)
        page = rows[offset : offset + limit]
        counts = {"true": len(rows), "zero": 0, "page": len(page), "none": None}
        count = counts[options.count]
        headers = {} if count is None or query.get("count") != "true" else {"x-total-count": str(count)}
        return _json(200, [dict(row.json) for row in page], headers)


def pair_key(identity: str, item: str) -> Pair:
    """Identity and item, however they are spelled."""
    return identity.replace("-", "").lower(), item.replace("-", "").lower()


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _json(status: int, document: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status=status,
        content=json.dumps(document).encode(),
        headers={"content-type": "application/json", **(headers or {})},
    )


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(
        status,
        {
            "detailCode": f"{status} Problem",
            "trackingId": "e7eab60924f64aa284175b9fa3309599",
            "messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": text}],
            "causes": [],
        },
        headers,
    )


def _page(status: int) -> Reply:
    return Reply(
        status=status,
        content=b"<html><body>Something stands in between.</body></html>",
        headers={"content-type": "text/html"},
    )


def _poisoned(how: str, item: str) -> Reply:
    if how == "400":
        return _problem(400, f"the item {item} can't be requested")
    return _page(403) if how == "403" else _problem(500, "an unexpected error")


def _failure(how: str) -> Reply:
    if how == "503 later":
        return _problem(503, "try again later", {"retry-after": "3"})
    if how == "303":
        return Reply(status=303, headers={"location": "/elsewhere"})
    if how == "429":
        return _json(429, {"message": " Rate Limit Exceeded "}, {"retry-after": "2"})
    if how in {"502", "503"}:
        return _page(int(how))
    return _json(200, {}) if how == "200" else _problem(int(how), "it failed")


def _change_metadata(change: Callable[[str], str]) -> Callable[[dict[str, Any]], None]:
    def changed(row: dict[str, Any]) -> None:
        if row["clientMetadata"]:
            row["clientMetadata"] = {name: change(value) for name, value in row["clientMetadata"].items()}

    return changed


_ODDNESS: Final[Mapping[str, Callable[[dict[str, Any]], None]]] = {
    "upper": _change_metadata(str.upper),
    "lower": _change_metadata(str.lower),
    "null": lambda row: row.update(clientMetadata=None),
    "replaced": lambda row: row.update(clientMetadata={"source": "catalogue"}),
    "undated": lambda row: row.pop("created"),
    "epoch": lambda row: row.update(created=datetime.fromisoformat(row["created"]).timestamp() * 1000),
    "request's id": lambda row: row.update(id=row["accessRequestId"]),
}
ODDNESS: Final = tuple(_ODDNESS)
