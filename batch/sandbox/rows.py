"""The rows of the status list, and their indexes by identity, access request and change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from batch.api.dialects import REQUEST_TYPES
from batch.api.tenant_outcome import TENANT_OUTCOMES, TenantOutcome
from batch.sandbox.lifecycle import APPROVAL_COMMENT, CANCELLED, COMPLETED, EXECUTING, SCHEMES, Approval, stage_at
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.sandbox.audit import AcceptedChange
    from batch.sandbox.lifecycle import Ending, Lifecycle, Reference, Stage

_CREATED = attrgetter("created")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """An approver hands an approval to another person."""

    at: datetime
    by: Reference
    to: Reference
    comment: str


@dataclass(kw_only=True, slots=True)
class StatusRow:
    """One identity and one item of an accepted request, as the status list shows it.

    Attributes:
        created: Time of acceptance, in whole milliseconds as the API writes it.
        change: The change.
        access_request_id: One per request and identity.
        account_activity_item_id: One per row.
        item: The item in the request's body.
        requester: The author of the request.
        requested_for: The identity.
        name: Display name of the item.
        approver: The first approver.
        lifecycle: Its times without interventions.
        owners_listed: Whether its approval is written as today's tenants write it.
        needs_approval: Whether anybody must approve it.
        was_held: Whether the same access was held at the time of acceptance.
        held_until: Its end at that time; None for no end.
        forwards: How its approval was forwarded, oldest first.
        ending: The intervention that overrides them; None without one.
    """

    created: datetime
    change: AcceptedChange
    access_request_id: str
    account_activity_item_id: str
    item: dict[str, Any]
    requester: Reference
    requested_for: Reference
    name: str
    approver: Reference
    lifecycle: Lifecycle
    owners_listed: bool = False
    needs_approval: bool = True
    was_held: bool = False
    held_until: datetime | None = None
    forwards: tuple[Forward, ...] = ()
    ending: Ending | None = None

    @property
    def owner(self) -> Reference:
        """Who has to approve it, after all forwarding."""
        return self.forwards[-1].to if self.forwards else self.approver

    def stage(self, now: datetime) -> Stage:
        """Its stage now."""
        return stage_at(self.lifecycle, self.ending, now)

    def state(self, now: datetime) -> str:
        """The state of its stage, cheap enough to compute for every row."""
        if self.ending is not None:
            return self.ending.state
        ended = self.lifecycle.ended
        return EXECUTING if ended is None or now < ended else self.lifecycle.outcome

    def completed(self) -> datetime | None:
        """The time at which it was or will be provisioned; None for never."""
        if self.ending is not None:
            return self.ending.at if self.ending.state == COMPLETED else None
        return self.lifecycle.ended if self.lifecycle.outcome == COMPLETED else None

    def awaits_approval(self, now: datetime) -> bool:
        """Whether somebody has yet to approve it. Cheap enough for every row."""
        if self.ending is not None:
            return self.ending.state == EXECUTING
        return self.lifecycle.decided is None or now < self.lifecycle.decided

    def is_open(self, now: datetime) -> bool:
        """Whether it is still in progress."""
        return TENANT_OUTCOMES.get(self.state(now), TenantOutcome.OPEN) is TenantOutcome.OPEN

    def as_json(self, now: datetime) -> dict[str, object]:
        """The row as the API writes it; `id` is the *item's* id, as in live tenants."""
        stage = self.stage(now)
        row: dict[str, object] = {
            "id": self.change.item_id,
            "name": self.name,
            "type": self.change.item_type,
            "state": stage.state,
            "requestType": REQUEST_TYPES[self.change.operation],
            "created": instant(self.created),
            "modified": instant(stage.since),
            "requester": self.requester.as_json(),
            "requestedFor": self.requested_for.as_json(),
            "accessRequestId": self.access_request_id,
            "accountActivityItemId": self.account_activity_item_id,
            "cancelable": stage.cancelable,
            "approvalDetails": self._approvals(stage),
            "errorMessages": _errors(stage),
        }
        if accounts := requested_accounts(self.item):
            row["requestedAccounts"] = accounts
        if stage.state == CANCELLED:
            owner = stage.by or self.requester
            row["cancelledRequestDetails"] = {
                "comment": stage.comment,
                "owner": owner.as_json(),
                "modified": instant(stage.since),
            }
        if "comment" in self.item:
            row["requesterComment"] = {
                "comment": self.item["comment"],
                "created": instant(self.created),
                "author": self.requester.as_json(),
            }
        return row | {
            name: self.item[name] for name in ("clientMetadata", "startDate", "removeDate") if name in self.item
        }

    def _approvals(self, stage: Stage) -> list[dict[str, object]]:
        if not self.needs_approval or (stage.state == CANCELLED and stage.since == self.created):
            return []
        decided_by = stage.by if stage.by is not None and stage.state != CANCELLED else self.owner
        approval: dict[str, object] = {
            "forwarded": decided_by != self.approver,
            "originalOwner": self.approver.as_json(),
            "currentOwner": decided_by.as_json(),
            "modified": instant(min(self.lifecycle.decided or stage.since, stage.since)),
            "status": stage.approval,
            "scheme": SCHEMES[self.change.item_type],
            "comment": None if stage.cancelable or stage.state == CANCELLED else _approvers_comment(stage),
        }
        if self.owners_listed:
            decided = stage.approval in {Approval.APPROVED, Approval.REJECTED}
            said = approval["comment"]
            approval |= {
                "currentOwner": None,
                "currentOwners": [decided_by.as_json()],
                "reviewedBy": decided_by.as_json() if decided else None,
                "comment": None,
                "approverComments": [{"comment": said, "author": decided_by.as_json()}] if said else None,
            }
        return [approval]


class Rows:
    """All rows of a tenant, oldest first, with indexes.

    Attributes:
        unlisted: Ids of people for whom the status lists show nothing.
    """

    def __init__(self) -> None:
        self.unlisted: set[str] = set()
        self._all: list[StatusRow] = []
        self._by_identity: defaultdict[str, list[StatusRow]] = defaultdict(list)
        self._by_request: defaultdict[str, list[StatusRow]] = defaultdict(list)
        self._by_change: defaultdict[AcceptedChange, list[StatusRow]] = defaultdict(list)
        self._by_activity: dict[str, StatusRow] = {}

    def add(self, row: StatusRow) -> None:
        """Append a row, which must not be older than the last."""
        self._all.append(row)
        self._by_identity[row.change.identity].append(row)
        self._by_request[row.access_request_id].append(row)
        self._by_change[row.change].append(row)
        self._by_activity[row.account_activity_item_id] = row

    @property
    def newest(self) -> datetime | None:
        """Time of creation of the last row; None without rows."""
        return self._all[-1].created if self._all else None

    def everything(self) -> Sequence[StatusRow]:
        """All rows."""
        return self._all

    def of_identity(self, identity: str) -> Sequence[StatusRow]:
        """The rows for one identity."""
        return self._by_identity.get(identity, ())

    def of_request(self, access_request_id: str) -> Sequence[StatusRow]:
        """The rows of one access request."""
        return self._by_request.get(access_request_id, ())

    def of_activity(self, account_activity_item_id: str) -> StatusRow | None:
        """The row with this `accountActivityItemId`."""
        return self._by_activity.get(account_activity_item_id)

    def in_progress(self, change: AcceptedChange, now: datetime) -> StatusRow | None:
        """The row that already has a change in progress; None without one."""
        return next((row for row in self._by_change.get(change, ()) if row.is_open(now)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class VisibleRows:
    """The rows that the status lists show at one time.

    Attributes:
        rows: All rows.
        now: The time, on which the state of a row depends.
        until: Rows created after this time are not visible yet.
    """

    rows: Rows
    now: datetime
    until: datetime

    def everything(self, since: datetime | None = None) -> list[StatusRow]:
        """The visible rows, oldest first; with `since`, only those created at that time or later."""
        return self._visible(self.rows.everything(), since)

    def of_identity(self, identity: str) -> list[StatusRow]:
        """The visible rows for one identity."""
        return self._visible(self.rows.of_identity(identity))

    def of_requests(self, access_request_ids: Iterable[str]) -> list[StatusRow]:
        """The visible rows of some access requests."""
        found = [row for name in set(access_request_ids) for row in self._visible(self.rows.of_request(name))]
        return sorted(found, key=_CREATED)

    def _visible(self, rows: Sequence[StatusRow], since: datetime | None = None) -> list[StatusRow]:
        first = 0 if since is None else bisect_left(rows, since, key=_CREATED)
        found = rows[first : bisect_right(rows, self.until, key=_CREATED)]
        return [row for row in found if row.change.identity not in self.rows.unlisted]


def requested_accounts(item: Mapping[str, Any]) -> list[dict[str, object]]:
    """The accounts that an item of a body chooses, as both lists write them."""
    chosen = [account for source in item.get("accountSelection") or () for account in source["accounts"]]
    if item.get("nativeIdentity"):
        chosen.append({"nativeIdentity": item["nativeIdentity"]})
    return [
        {"type": "ACCOUNT", "accountUuid": one.get("accountUuid"), "accountId": one.get("nativeIdentity")}
        for one in chosen
    ]


def _approvers_comment(stage: Stage) -> str:
    return APPROVAL_COMMENT if TENANT_OUTCOMES.get(stage.state) is TenantOutcome.FAILED else stage.comment


def _errors(stage: Stage) -> list[list[dict[str, str]]]:
    if TENANT_OUTCOMES.get(stage.state) is not TenantOutcome.FAILED:
        return []
    return [[{"locale": "en-US", "localeOrigin": "DEFAULT", "text": stage.comment}]]
