"""The simulated tenant itself: takes requests, checks them, remembers them, and grows their status rows.

Pure: the time is an argument of every call. It knows nothing of HTTP, tokens, rate limits or faults.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from batch.dialects import DIALECTS, REQUEST_TYPES, Dialect, ItemType
from batch.sandbox.answers import Answer, iso_moment, problem
from batch.sandbox.books import AcceptedChange, AcceptedRequest, Books
from batch.sandbox.rules import OPERATIONS, first_broken_rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from batch.dialects import Operation

REQUESTER_ID: Final = "5a4d0b0c5e7f4a1cb0c5000000000001"
"""Identity id of the sandbox's one user, an ORG_ADMIN, who makes every request."""

REQUESTER_NAME: Final = "sandbox.admin"
"""Name of that user."""

EXECUTING: Final = "EXECUTING"
"""State of a status row from its beginning until an approver or a connector ends it."""


@dataclass(kw_only=True, slots=True)
class StatusRow:
    """One identity and one item of an accepted request, as the status list shows it.

    Attributes:
        created: When the request was accepted, in whole milliseconds as the API writes it.
        change: What was asked.
        access_request_id: One per request and identity.
        account_activity_item_id: One per row.
        item: The item as it stood in the request's body.
        state: `EXECUTING` until `SimulatedTenant.conclude` says otherwise.
    """

    created: datetime
    change: AcceptedChange
    access_request_id: str
    account_activity_item_id: str
    item: dict[str, Any]
    state: str = EXECUTING

    @property
    def name(self) -> str:
        """Display name of the item; the sandbox knows none, so it is made of type and id."""
        return f"{self.change.item_type.replace('_', ' ').title()} {self.change.item_id}"

    def as_json(self) -> dict[str, object]:
        """The row as the API writes it; `id` is the *item's* id, as live tenants have it."""
        row: dict[str, object] = {
            "id": self.change.item_id,
            "name": self.name,
            "type": self.change.item_type,
            "state": self.state,
            "requestType": REQUEST_TYPES[self.change.operation],
            "created": iso_moment(self.created),
            "modified": iso_moment(self.created),
            "requester": {"type": "IDENTITY", "id": REQUESTER_ID, "name": REQUESTER_NAME},
            "requestedFor": _identity_reference(self.change.identity),
            "accessRequestId": self.access_request_id,
            "accountActivityItemId": self.account_activity_item_id,
            "cancelable": self.state == EXECUTING,
            "clientMetadata": self.item.get("clientMetadata"),
            "requesterComment": {"comment": self.item["comment"]} if "comment" in self.item else None,
        }
        return row | {name: self.item[name] for name in ("startDate", "removeDate") if name in self.item}


class SimulatedTenant:
    """A tenant that exists only in memory.

    Like a real one it accepts the same change again and again without a word.

    Args:
        visibility_delay: Seconds from the acceptance of a request until its status rows show.
        identities: Identity ids that exist; None means that every id does.
        items: Access item ids that exist; None means that every id does.
        unrequestable: Access item ids that exist, and can't be requested.
        names_culprit: Whether the refusal of an id says which one it was; live tenants don't always.
        tracking_response: Whether a 202 has the body of December 2024 and later (`newRequests`), or `{}`.
    """

    def __init__(
        self,
        *,
        visibility_delay: float = 0.0,
        identities: Collection[str] | None = None,
        items: Collection[str] | None = None,
        unrequestable: Collection[str] = (),
        names_culprit: bool = True,
        tracking_response: bool = False,
    ) -> None:
        self.books = Books()
        self._visibility_delay = timedelta(seconds=visibility_delay)
        self._identities = None if identities is None else frozenset(identities)
        self._items = None if items is None else frozenset(items)
        self._unrequestable = frozenset(unrequestable)
        self._names_culprit = names_culprit
        self._tracking_response = tracking_response
        self._rows: list[StatusRow] = []
        self._ids_given = 0

    def submit(self, body: object, now: datetime, dialect: Dialect = DIALECTS["beta"]) -> Answer:
        """Take one request on, whole, or refuse it, whole.

        Args:
            body: The body as read from JSON.
            now: The tenant's time, with a zone.
            dialect: The API version asked.

        Returns:
            202; or 400 with the first cause.
        """
        broken = first_broken_rule(body, now, dialect)
        if broken is not None:
            return self.refuse(broken)
        assert isinstance(body, dict)  # noqa: S101 - the first rule, told to the type checker
        objection = self._objection(body)
        if objection is not None:
            return self.refuse(objection)
        return self._accept(body, now, dialect)

    def refuse(self, text: str) -> Answer:
        """Refuse a request (400), and count it; for bodies too that aren't even JSON."""
        self.books.refused += 1
        return problem(HTTPStatus.BAD_REQUEST, text, tracking_id=self.new_id())

    def visible_rows(self, now: datetime) -> list[StatusRow]:
        """The status rows that show by now, oldest first."""
        return self._rows[: bisect_right(self._rows, now - self._visibility_delay, key=lambda row: row.created)]

    def conclude(self, state: str, *, identity: str | None = None, item_id: str | None = None) -> int:
        """Move status rows to another state, as approvers and connectors do; returns how many.

        Args:
            state: The API's word, such as `REQUEST_COMPLETED` or `REJECTED`.
            identity: Only rows of this identity.
            item_id: Only rows of this access item.
        """
        chosen = [
            row
            for row in self._rows
            if identity in {None, row.change.identity} and item_id in {None, row.change.item_id}
        ]
        for row in chosen:
            row.state = state
        return len(chosen)

    def new_id(self) -> str:
        """An id of 32 hexadecimal digits that was never given before; the same ones in every process."""
        self._ids_given += 1
        return f"5a4d{self._ids_given:028x}"

    def _objection(self, body: dict[str, Any]) -> str | None:
        """What is wrong with the first id that is."""
        items = [item["id"] for item in body["requestedItems"]]
        for noun, ids, known in (
            ("identity", body["requestedFor"], self._identities),
            ("access item", items, self._items),
        ):
            missing = [] if known is None else [asked_id for asked_id in ids if asked_id not in known]
            if missing:
                return f"The {noun}{self._name(missing[0])} was not found."
        barred = [asked_id for asked_id in items if asked_id in self._unrequestable]
        return f"The access item{self._name(barred[0])} can't be requested." if barred else None

    def _name(self, culprit: str) -> str:
        return f" {culprit}" if self._names_culprit else ""

    def _accept(self, body: dict[str, Any], now: datetime, dialect: Dialect) -> Answer:
        operation = OPERATIONS[body.get("requestType")]
        # Rows stay sorted by time even where the clock steps back, because their lookup is a binary search.
        created = max([_whole_milliseconds(now), *(row.created for row in self._rows[-1:])])
        rows = list(self._new_rows(body, created, operation))
        changes = tuple(row.change for row in rows)
        self.books.accepted.append(AcceptedRequest(at=now, dialect=dialect.name, body=body, changes=changes))
        self._rows.extend(rows)
        return Answer(status=HTTPStatus.ACCEPTED, body=_tracking(rows) if self._tracking_response else {})

    def _new_rows(self, body: dict[str, Any], created: datetime, operation: Operation) -> Iterator[StatusRow]:
        typed_items = [(ItemType(item["type"]), item) for item in body["requestedItems"]]
        for identity in body["requestedFor"]:
            access_request_id = self.new_id()
            for item_type, item in typed_items:
                change = AcceptedChange(operation=operation, identity=identity, item_type=item_type, item_id=item["id"])
                yield StatusRow(
                    created=created,
                    change=change,
                    access_request_id=access_request_id,
                    account_activity_item_id=self.new_id(),
                    item=item,
                )


def _tracking(rows: list[StatusRow]) -> dict[str, object]:
    by_request: dict[str, list[StatusRow]] = {}
    for row in rows:
        by_request.setdefault(row.access_request_id, []).append(row)
    new = [
        {
            "requestedFor": members[0].change.identity,
            "requestedItemsDetails": [{"type": row.change.item_type, "id": row.change.item_id} for row in members],
            "attributesHash": crc32(repr([row.item for row in members]).encode()),
            "accessRequestIds": [access_request_id],
        }
        for access_request_id, members in by_request.items()
    ]
    return {"newRequests": new, "existingRequests": []}


def _identity_reference(identity: str) -> dict[str, str]:
    return {"type": "IDENTITY", "id": identity, "name": f"Identity {identity}"}


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
