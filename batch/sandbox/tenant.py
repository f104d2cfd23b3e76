"""The simulated tenant itself: takes requests, checks them, remembers them, and knows what becomes of them.

Pure: the time is an argument of every call. It knows nothing of HTTP, tokens, rate limits or faults.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import DIALECTS, Dialect, ItemType, Operation
from batch.sandbox.answers import Answer, problem
from batch.sandbox.audit import AcceptedChange, AcceptedRequest, AuditLog
from batch.sandbox.cancelling import CancelId, cancel, rows_to_cancel, rows_to_cancel_in_bulk
from batch.sandbox.holdings import ALWAYS, Holdings
from batch.sandbox.known import Known
from batch.sandbox.lifecycle import CANCELLED, DUPLICATE_COMMENT, Ending, Handling, Reference, default_comment
from batch.sandbox.pages import BadQueryError
from batch.sandbox.rows import Rows, StatusRow, View
from batch.sandbox.rules import OPERATIONS, first_broken_rule, wanted
from batch.sandbox.tracking import tracking_body

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from batch.sandbox.holdings import Holding, ItemKey

REQUESTER_ID: Final = "5a4d0b0c5e7f4a1cb0c5000000000001"
"""Identity id of the sandbox's one user, an ORG_ADMIN, who makes every request that comes over HTTP."""

REQUESTER_NAME: Final = "sandbox.admin"
"""Name of that user."""

REQUESTER: Final = Reference(id=REQUESTER_ID, name=REQUESTER_NAME)

SOMEBODY_ELSE: Final = Reference(id="5a4d0b0c5e7f4a1cb0c5000000000003", name="Olivia Other")
"""Who makes requests that don't come over HTTP, where nobody is named."""


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
        known: Which people and items there are; None makes one of the four arguments above.
        handling: How what was accepted goes on; None leaves it waiting for its approver for ever.
        cancels_duplicates: Whether a change that is held or under way already shows as cancelled.
        search_lag: Seconds from a change of access until the search knows it.
        ignores_bulk_cancel: Whether cancelling in bulk is answered as ever, and does nothing.
        cancel_id: Which id cancelling one at a time takes.
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
        known: Known | None = None,
        handling: Handling | None = None,
        cancels_duplicates: bool = True,
        search_lag: float = 0.0,
        ignores_bulk_cancel: bool = False,
        cancel_id: CancelId = CancelId.EITHER,
    ) -> None:
        self.audit = AuditLog()
        self.known = known or Known(
            identities=identities, items=items, unrequestable=unrequestable, names_culprit=names_culprit
        )
        self._visibility_delay = timedelta(seconds=visibility_delay)
        self._tracking_response = tracking_response
        self._handling = handling or Handling()
        self._cancels_duplicates = cancels_duplicates
        self._search_lag = timedelta(seconds=search_lag)
        self._ignores_bulk_cancel = ignores_bulk_cancel
        self._cancel_id = cancel_id
        self._rows = Rows()
        self._holdings = Holdings(self.known.directory.held, self._rows)
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
        asked = list(wanted(body))
        item_ids = dict.fromkeys(item["id"] for _, items in asked for item in items)
        objection = self.known.objection([identity for identity, _ in asked], item_ids)
        return self._accept(body, now, dialect) if objection is None else self.refuse(objection)

    def refuse(self, text: str) -> Answer:
        """Refuse a request (400), and count it; for bodies too that aren't even JSON."""
        self.audit.refused += 1
        return problem(HTTPStatus.BAD_REQUEST, text, tracking_id=self.new_id())

    def request_by_other(
        self,
        now: datetime,
        *,
        identity: str,
        item_type: ItemType,
        item_id: str,
        operation: Operation = Operation.GRANT,
        requester: Reference = SOMEBODY_ELSE,
        **fields: object,
    ) -> StatusRow:
        """A request that somebody else has made, in the browser or with another tool. Not in the books.

        Args:
            now: When.
            identity: For whom.
            item_type: Kind of access item.
            item_id: Id of the item.
            operation: What is wanted.
            requester: Who makes it.
            fields: Further fields of the item, such as `comment`, `clientMetadata` or `removeDate`.
        """
        change = AcceptedChange(operation=operation, identity=identity, item_type=item_type, item_id=item_id)
        item = {"type": str(item_type), "id": item_id, **fields}
        moment = self._next_moment(now)
        held = self._holdings.at(identity, moment)
        row, _ = self._add_row(change, item, held, now=moment, request=self.new_id(), requester=requester)
        return row

    def hold(
        self,
        identity: str,
        item_type: ItemType,
        item_id: str,
        *,
        since: datetime = ALWAYS,
        until: datetime | None = None,
    ) -> None:
        """Let an identity hold an item already, without any request."""
        self._holdings.hold(identity, (item_type, item_id), since=since, until=until)

    def held(self, identity: str, now: datetime) -> Mapping[ItemKey, Holding]:
        """What an identity holds."""
        return self._holdings.at(identity, now)

    def held_as_searched(self, identity: str, now: datetime) -> Mapping[ItemKey, Holding]:
        """What the search says that an identity holds: what it did some time ago."""
        return self._holdings.at(identity, now - self._search_lag)

    def is_mentioned(self, identity: str) -> bool:
        """Whether an identity holds anything, or had anything requested for it, wherever it stands."""
        return self._holdings.has(identity)

    def visible_rows(self, now: datetime) -> list[StatusRow]:
        """The status rows that show by now, oldest first."""
        return self.view(now).everything()

    def view(self, now: datetime) -> View:
        """What the status lists can see."""
        return View(rows=self._rows, now=now, until=now - self._visibility_delay)

    def conclude(
        self,
        state: str,
        *,
        identity: str | None = None,
        item_id: str | None = None,
        now: datetime | None = None,
        who: str = "",
        said: str = "",
    ) -> int:
        """Move status rows to another state, as approvers and connectors do; returns how many.

        Args:
            state: The API's word, such as `REQUEST_COMPLETED` or `REJECTED`.
            identity: Only rows of this identity.
            item_id: Only rows of this access item.
            now: When; None for the moment at which each was created.
            who: Name of who does it; empty for the approver (of a cancellation, the requester).
            said: What they say; empty for what the sandbox says of this state.
        """
        rows = self._rows.everything() if identity is None else self._rows.of_identity(identity)
        chosen = [row for row in rows if item_id in {None, row.change.item_id}]
        for row in chosen:
            by_default = row.requester if state == CANCELLED else row.approver
            row.ending = Ending(
                state=state,
                at=now or row.created,
                who=Reference(id=by_default.id, name=who or by_default.name),
                said=said or default_comment(state),
            )
        return len(chosen)

    def cancel(self, body: object, now: datetime, *, any_requester: bool = True) -> Answer:
        """Withdraw one request: 202, or 400 with the cause; 403 for somebody else's, unless any may be."""
        return self._cancel(
            lambda: rows_to_cancel(body, self._rows, now, self._cancel_id), now, any_requester=any_requester
        )

    def cancel_in_bulk(self, body: object, now: datetime) -> Answer:
        """Withdraw many requests: 202 even for ids that don't exist, or 400 with the cause."""
        return self._cancel(
            lambda: rows_to_cancel_in_bulk(body, self._rows, now), now, ignored=self._ignores_bulk_cancel
        )

    def new_id(self) -> str:
        """An id of 32 hexadecimal digits that was never given before; the same ones in every process."""
        self._ids_given += 1
        return f"5a4d{self._ids_given:028x}"

    def _cancel(
        self,
        choose: Callable[[], tuple[list[StatusRow], str]],
        now: datetime,
        *,
        any_requester: bool = True,
        ignored: bool = False,
    ) -> Answer:
        try:
            rows, comment = choose()
        except BadQueryError as bad:
            return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=self.new_id())
        if not any_requester and any(row.requester.id != REQUESTER_ID for row in rows):
            text = "Only who has made a request may cancel it."
            return problem(HTTPStatus.FORBIDDEN, text, tracking_id=self.new_id())
        if not ignored:
            cancel(rows, now=now, who=REQUESTER, said=comment)
        return Answer(status=HTTPStatus.ACCEPTED, body={})

    def _accept(self, body: dict[str, Any], now: datetime, dialect: Dialect) -> Answer:
        operation = OPERATIONS[body.get("requestType")]
        moment = self._next_moment(now)
        rows: list[StatusRow] = []
        in_progress: dict[str, StatusRow] = {}
        for identity, items in wanted(body):
            request, held = self.new_id(), self._holdings.at(identity, moment)
            for item in items:
                change = AcceptedChange(
                    operation=operation, identity=identity, item_type=ItemType(item["type"]), item_id=item["id"]
                )
                row, older = self._add_row(change, item, held, now=moment, request=request, requester=REQUESTER)
                rows.append(row)
                if older is not None:
                    in_progress[row.account_activity_item_id] = older
        changes = tuple(row.change for row in rows)
        self.audit.accepted.append(AcceptedRequest(at=now, dialect=dialect.name, body=body, changes=changes))
        return Answer(
            status=HTTPStatus.ACCEPTED, body=tracking_body(rows, in_progress) if self._tracking_response else {}
        )

    def _add_row(
        self,
        change: AcceptedChange,
        item: dict[str, Any],
        held: Mapping[ItemKey, Holding],
        *,
        now: datetime,
        request: str,
        requester: Reference,
    ) -> tuple[StatusRow, StatusRow | None]:
        """A new row, and the older one by which the same was under way already."""
        older = self._rows.in_progress(change, now)
        is_duplicate = older is not None or _changes_nothing(change, item, held)
        row = StatusRow(
            created=now,
            change=change,
            access_request_id=request,
            account_activity_item_id=self.new_id(),
            item=item,
            requester=requester,
            requested_for=self.known.person(change.identity),
            name=self.known.item_name(change),
            approver=self.known.approver(change),
            lifecycle=self._handling.lifecycle(change, now),
        )
        if is_duplicate and self._cancels_duplicates:
            row.ending = Ending(state=CANCELLED, at=now, who=requester, said=DUPLICATE_COMMENT)
        self._rows.add(row)
        return row, older

    def _next_moment(self, now: datetime) -> datetime:
        """In whole milliseconds. Rows stay sorted by time even where the clock steps back: they are searched by it."""
        moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return max(moment, self._rows.newest or moment)


def _changes_nothing(change: AcceptedChange, item: Mapping[str, Any], held: Mapping[ItemKey, Holding]) -> bool:
    """Whether it is a grant without dates of what is held without an end."""
    if change.operation is not Operation.GRANT or not {"startDate", "removeDate"}.isdisjoint(item):
        return False
    holding = held.get((change.item_type, change.item_id))
    return holding is not None and holding.until is None
