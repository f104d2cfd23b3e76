"""The simulated tenant: checks, accepts, remembers, lists and cancels requests.

Pure: the time is an argument of every call. HTTP, tokens, rate limits and faults are elsewhere.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from batch.api.dialects import DIALECTS, Dialect, ItemType, Operation
from batch.sandbox.accounts_selection import role_assignments, selections
from batch.sandbox.answers import Answer, BadQueryError, problem
from batch.sandbox.audit import AcceptedChange, AcceptedRequest, AuditLog
from batch.sandbox.cancelling import CancelId, rows_to_cancel, rows_to_cancel_in_bulk
from batch.sandbox.configuration import RequestConfiguration, entitlement_configuration
from batch.sandbox.directory import APPROVER, Known
from batch.sandbox.holdings import ALWAYS, Holding, Holdings
from batch.sandbox.intake import Arrival, Intake
from batch.sandbox.lifecycle import CANCELLED, DUPLICATE_COMMENT, Ending, Handling, Reference, default_comment
from batch.sandbox.rows import Forward, Rows, StatusRow, VisibleRows
from batch.sandbox.rules import first_broken_rule, requested_items
from batch.sandbox.tenant_rules import DEFAULT_EFFECTS, Asker, Effect, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from batch.sandbox.holdings import ItemKey

REQUESTER_ID: Final = "5a4d0b0c5e7f4a1cb0c5000000000001"
"""Identity id of the sandbox's one user, an ORG_ADMIN, the author of every request over HTTP."""

REQUESTER_NAME: Final = "sandbox.admin"
"""Name of that user."""

REQUESTER: Final = Reference(id=REQUESTER_ID, name=REQUESTER_NAME)

OTHER_USER: Final = Reference(id="5a4d0b0c5e7f4a1cb0c5000000000003", name="Olivia Other")
"""The default author of requests that don't come over HTTP."""


class SimulatedTenant:
    """A tenant in memory. Like a real one, it silently accepts the same change again and again.

    Args:
        visibility_delay: Seconds from the acceptance of a request until its status rows are visible.
        tracking_response: Whether a 202 has the body of December 2024 and later (`newRequests`) instead of `{}`.
        owners_listed: Whether approvals have the fields of 2025 and later (`currentOwners`, `reviewedBy`,
            `approverComments`) instead of `currentOwner` and `comment`.
        known: The people and items that exist; None if every id exists.
        handling: The lifecycle of accepted changes; None leaves them waiting for approval forever.
        cancels_duplicates: Whether a change that is held or in progress already is cancelled on acceptance.
        search_lag: Seconds from a change of access until the search shows it.
        ignores_bulk_cancel: Whether a bulk cancel call is answered as usual but has no effect.
        cancel_id: The id that a single cancel call takes.
        effects: What happens to a change that breaks a rule, where it is not `DEFAULT_EFFECTS`.
        configuration: What the tenant allows; None for everything.
        is_admin: Whether the sandbox's one user is an administrator.
    """

    def __init__(
        self,
        *,
        visibility_delay: float = 0.0,
        tracking_response: bool = False,
        owners_listed: bool = False,
        known: Known | None = None,
        handling: Handling | None = None,
        cancels_duplicates: bool = True,
        search_lag: float = 0.0,
        ignores_bulk_cancel: bool = False,
        cancel_id: CancelId = CancelId.EITHER,
        effects: Mapping[Rule, Effect] | None = None,
        configuration: RequestConfiguration | None = None,
        is_admin: bool = True,
    ) -> None:
        self.audit = AuditLog()
        self.known = known or Known()
        self._visibility_delay = timedelta(seconds=visibility_delay)
        self._tracking_response = tracking_response
        self._owners_listed = owners_listed
        self._handling = handling or Handling()
        self._cancels_duplicates = cancels_duplicates
        self._search_lag = timedelta(seconds=search_lag)
        self._ignores_bulk_cancel = ignores_bulk_cancel
        self._cancel_id = cancel_id
        self._rows = Rows()
        self._holdings = Holdings(self.known.directory.held, self._rows, self.known.directory.birthright)
        chosen = {**DEFAULT_EFFECTS, **(effects or {})}
        self._needs_choice = chosen[Rule.ACCOUNT_CHOICE] is not Effect.IGNORED
        asker = Asker(id=REQUESTER_ID, is_admin=is_admin, configuration=configuration or RequestConfiguration())
        self._intake = Intake(self.known, self._holdings, chosen, asker)
        self._ids_given = 0

    def submit(self, body: object, now: datetime, dialect: Dialect = DIALECTS["beta"]) -> Answer:
        """Accept or refuse one request as a whole.

        Args:
            body: The parsed body.
            now: The tenant's time, with a zone.
            dialect: The API version that received it.

        Returns:
            202, or 400 with the first cause.
        """
        broken, arrivals = self._examined(body, now, dialect)
        if broken is not None:
            return self.refuse(broken)
        assert isinstance(body, dict)  # noqa: S101 - for the type checker: it is the first rule
        return self._accept(body, arrivals, now, dialect)

    def select_accounts(self, body: object, now: datetime, dialect: Dialect) -> Answer:
        """The accounts that a request may choose from: 200, or 400 if its body breaks a rule or names an unknown id."""
        broken = first_broken_rule(body, now, dialect)
        if broken is not None:
            return problem(HTTPStatus.BAD_REQUEST, broken, tracking_id=self.new_id())
        assert isinstance(body, dict)  # noqa: S101 - for the type checker: it is the first rule
        asked = {
            identity: [(ItemType(item["type"]), item["id"]) for item in items]
            for identity, items in requested_items(body)
        }
        for noun, ids, exists in (
            ("identity", list(asked), self.known.has_person),
            ("access item", [item_id for keys in asked.values() for _, item_id in keys], self.known.has_item),
        ):
            missing = next((one for one in ids if not exists(one)), None)
            if missing is not None:
                text = f"The {noun}{self.known.named(missing)} was not found."
                return problem(HTTPStatus.BAD_REQUEST, text, tracking_id=self.new_id())
        held = {identity: self._holdings.at(identity, now) for identity in asked}
        written = selections(self.known, asked.items(), held, needs_choice=self._needs_choice)
        return Answer(status=HTTPStatus.OK, body=written)

    def _examined(self, body: object, now: datetime, dialect: Dialect) -> tuple[str | None, list[Arrival]]:
        """The cause of a refusal, or the changes that arrive."""
        broken = first_broken_rule(body, now, dialect)
        if broken is not None:
            return broken, []
        assert isinstance(body, dict)  # noqa: S101 - for the type checker: it is the first rule
        return self._intake.examine(body, self._next_moment(now))

    def refuse(self, text: str) -> Answer:
        """Refuse a request (400) and count it. Also for bodies that are not JSON."""
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
        requester: Reference = OTHER_USER,
        **fields: object,
    ) -> StatusRow:
        """Accept a request that another user made, in the browser or with another tool. It is not in the audit log.

        Args:
            now: Time of acceptance.
            identity: Id of the identity.
            item_type: Type of the item.
            item_id: Id of the item.
            operation: Grant or revoke.
            requester: The author.
            fields: Further fields of the item, such as `comment`, `clientMetadata` or `removeDate`.
        """
        change = AcceptedChange(operation=operation, identity=identity, item_type=item_type, item_id=item_id)
        item = {"type": str(item_type), "id": item_id, **fields}
        moment = self._next_moment(now)
        arrival = Arrival(change=change, item=item, held=self._holdings.by_account(identity, moment))
        row, _ = self._add_row(arrival, now=moment, request=self.new_id(), requester=requester)
        return row

    def hold(
        self,
        identity: str,
        item_type: ItemType,
        item_id: str,
        *,
        since: datetime = ALWAYS,
        until: datetime | None = None,
        revocable: bool = True,
        account: str = "",
    ) -> None:
        """Give an identity an item without a request; not `revocable` if a role or a lifecycle state gives it."""
        holding = Holding(since=since, until=until, revocable=revocable, account=account)
        self._holdings.hold(identity, (item_type, item_id), holding)

    def held(self, identity: str, now: datetime) -> Mapping[ItemKey, Holding]:
        """The access of an identity."""
        return self._holdings.at(identity, now)

    def role_assignments(self, identity: str, now: datetime, *, role: str = "") -> list[dict[str, object]]:
        """The assignments of an identity's roles as the API lists them; in full if one role is named."""
        return role_assignments(self.known, identity, self._holdings.by_account(identity, now), role=role)

    def entitlement_configuration(self, entitlement: str, dialect: Dialect) -> Answer | None:
        """The rules of one entitlement, its own or else the tenant's; None if there is no such entitlement."""
        known = self.known
        listed = known.directory.item_by_id.get(entitlement) or known.unlisted_of(ItemType.ENTITLEMENT)(entitlement)
        if listed is None or listed.type is not ItemType.ENTITLEMENT:
            return None
        item = known.item(entitlement, ItemType.ENTITLEMENT)
        written = entitlement_configuration(known.request_rules(item), dialect, item.revocation)
        return Answer(status=HTTPStatus.OK, body=written)

    def held_as_searched(self, identity: str, now: datetime) -> Mapping[ItemKey, Holding]:
        """The access of an identity as the search shows it, with its lag."""
        return self._holdings.at(identity, now - self._search_lag)

    @property
    def mentioned(self) -> Holdings:
        """The identities who have ever held an item or have any request."""
        return self._holdings

    def visible_rows(self, now: datetime) -> list[StatusRow]:
        """The visible status rows, oldest first."""
        return self.visible(now).everything()

    def visible(self, now: datetime) -> VisibleRows:
        """The status rows as the lists read them."""
        return VisibleRows(rows=self._rows, now=now, until=now - self._visibility_delay)

    def conclude(
        self,
        state: str,
        *,
        identity: str | None = None,
        item_id: str | None = None,
        now: datetime | None = None,
        by: str = "",
        comment: str = "",
    ) -> int:
        """Move status rows to another state, as approvers and connectors do, and return their number.

        Args:
            state: The API's word, such as `REQUEST_COMPLETED` or `REJECTED`.
            identity: Only rows of this identity.
            item_id: Only rows of this access item.
            now: Time of the move; None for the time at which each row was created.
            by: Name of the author; empty for the approver (for a cancellation, the requester).
            comment: The author's comment; empty for the sandbox's usual comment on the state.
        """
        rows = self._rows.everything() if identity is None else self._rows.of_identity(identity)
        chosen = [row for row in rows if item_id in {None, row.change.item_id}]
        for row in chosen:
            author = row.requester if state == CANCELLED else row.approver
            row.ending = Ending(
                state=state,
                at=now or row.created,
                by=Reference(id=author.id, name=by or author.name),
                comment=comment or default_comment(state),
            )
        return len(chosen)

    def forward(self, to: Reference, *, now: datetime, identity: str | None = None, comment: str = "") -> int:
        """Forward pending approvals to another person, and return their number.

        Args:
            to: Who has to decide from now on.
            now: Time of the forwarding.
            identity: Only approvals for this identity.
            comment: Comment of whom it was forwarded by.
        """
        rows = self._rows.everything() if identity is None else self._rows.of_identity(identity)
        pending = [row for row in rows if row.awaits_approval(now)]
        for row in pending:
            row.forwards += (Forward(at=now, by=row.owner, to=to, comment=comment),)
        return len(pending)

    def cancel(self, body: object, now: datetime, *, any_requester: bool = True) -> Answer:
        """Cancel one request: 202, 400 with the cause, or 403 for another user's if not `any_requester`."""
        return self._cancel(
            lambda: rows_to_cancel(body, self._rows, now, self._cancel_id), now, any_requester=any_requester
        )

    def cancel_in_bulk(self, body: object, now: datetime) -> Answer:
        """Cancel many requests: 202 even for unknown ids, or 400 with the cause."""
        return self._cancel(
            lambda: rows_to_cancel_in_bulk(body, self._rows, now), now, ignored=self._ignores_bulk_cancel
        )

    def new_id(self) -> str:
        """A new id of 32 hexadecimal digits; every process makes the same sequence."""
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
        for row in () if ignored else rows:
            row.ending = Ending(state=CANCELLED, at=now, by=REQUESTER, comment=comment)
        return Answer(status=HTTPStatus.ACCEPTED, body={})

    def _accept(self, body: dict[str, Any], arrivals: list[Arrival], now: datetime, dialect: Dialect) -> Answer:
        moment = self._next_moment(now)
        rows: list[StatusRow] = []
        new: dict[str, list[StatusRow]] = {}
        existing: dict[str, list[StatusRow]] = {}
        requests: dict[str, str] = {}
        for arrival in arrivals:
            identity = arrival.change.identity
            request = requests[identity] = requests.get(identity) or self.new_id()
            row, older = self._add_row(arrival, now=moment, request=request, requester=REQUESTER)
            rows.append(row)
            if older is None:
                new.setdefault(row.access_request_id, []).append(row)
            else:
                existing.setdefault(older.access_request_id, []).append(row)
        changes = tuple(row.change for row in rows)
        self.audit.accepted.append(AcceptedRequest(at=now, dialect=dialect.name, body=body, changes=changes))
        if not self._tracking_response:
            return Answer(status=HTTPStatus.ACCEPTED, body={})
        tracking = {"newRequests": _tracking_entries(new), "existingRequests": _tracking_entries(existing)}
        return Answer(status=HTTPStatus.ACCEPTED, body=tracking)

    def _add_row(
        self, arrival: Arrival, *, now: datetime, request: str, requester: Reference
    ) -> tuple[StatusRow, StatusRow | None]:
        """The new row, and the older row that already has the same change in progress."""
        change = arrival.change
        older = self._rows.in_progress(change, now)
        is_duplicate = older is not None or _changes_nothing(arrival)
        approver, holding = self.known.approval(change), _held_before(arrival)
        forward = Forward(at=now, by=approver or APPROVER, to=OTHER_USER, comment="Please decide for me.")
        row = StatusRow(
            created=now,
            change=change,
            access_request_id=request,
            account_activity_item_id=self.new_id(),
            item=arrival.item,
            requester=requester,
            requested_for=self.known.person(change.identity),
            name=self.known.item_name(change),
            approver=approver or APPROVER,
            lifecycle=self._handling.lifecycle(change, now, needs_approval=approver is not None),
            owners_listed=self._owners_listed,
            needs_approval=approver is not None and not arrival.state,
            was_held=holding is not None,
            held_until=None if holding is None else holding.until,
            forwards=(forward,) if approver is not None and self._handling.forwards(change) else (),
        )
        if arrival.state:
            row.ending = Ending(state=arrival.state, at=now, by=requester, comment=arrival.cause)
        elif is_duplicate and self._cancels_duplicates:
            row.ending = Ending(state=CANCELLED, at=now, by=requester, comment=DUPLICATE_COMMENT)
        self._rows.add(row)
        return row, older

    def _next_moment(self, now: datetime) -> datetime:
        """The time in whole milliseconds, never before the newest row: rows stay sorted if the clock steps back."""
        moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return max(moment, self._rows.newest or moment)


def _tracking_entries(tracked: dict[str, list[StatusRow]]) -> list[dict[str, object]]:
    """Rows by access request, as the body of a 202 lists them (December 2024 and later)."""
    return [
        {
            "requestedFor": rows[0].change.identity,
            "requestedItemsDetails": [{"type": row.change.item_type, "id": row.change.item_id} for row in rows],
            "attributesHash": crc32(repr([row.item for row in rows]).encode()),
            "accessRequestIds": [access_request_id],
        }
        for access_request_id, rows in tracked.items()
    ]


def _held_before(arrival: Arrival) -> Holding | None:
    """The holding that the change would repeat, on the same account or on an unknown one; None without one."""
    change = arrival.change
    key = (change.item_type, change.item_id)
    if not change.account:
        return next((holding for (item, _), holding in arrival.held.items() if item == key), None)
    return arrival.held.get((key, change.account)) or arrival.held.get((key, ""))


def _changes_nothing(arrival: Arrival) -> bool:
    """Whether it is a grant without dates of an item that is held without an end."""
    if arrival.change.operation is not Operation.GRANT or not {"startDate", "removeDate"}.isdisjoint(arrival.item):
        return False
    holding = _held_before(arrival)
    return holding is not None and holding.until is None
