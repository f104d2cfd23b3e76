"""The lifecycle of an accepted change: approval, provisioning and end, as functions of time.

The times of a change are fixed when it is accepted, so its state at any time is a comparison. An intervention (an
approver in a test, a cancellation) is an `Ending` and overrides them.

Source: the schema of `listAccessRequestStatus` in the vendor's documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from batch.api.dialects import IN_PROGRESS, ItemType
from batch.api.tenant_outcome import TENANT_OUTCOMES, TenantOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from batch.sandbox.audit import AcceptedChange

EXECUTING: Final = IN_PROGRESS
"""State of a status row until an approver or a connector ends it."""

COMPLETED: Final = "REQUEST_COMPLETED"
"""State of a provisioned change."""

REJECTED: Final = "REJECTED"
"""State of a change that an approver rejected."""

CANCELLED: Final = "CANCELLED"
"""State of a change that a person or the tenant itself cancelled."""

FAILED: Final = "PROVISIONING_FAILED"
"""State of an approved change that could not be provisioned."""

SCHEMES: Final[Mapping[ItemType, str]] = {
    ItemType.ROLE: "ROLE_OWNER",
    ItemType.ACCESS_PROFILE: "ACCESS_PROFILE_OWNER",
    ItemType.ENTITLEMENT: "ENTITLEMENT_OWNER",
}
"""The API's name for the approver of each type of item: its owner."""

DUPLICATE_COMMENT: Final = "This is a duplicate: the same access is held or requested already."
APPROVAL_COMMENT: Final = "Approved."
REJECTION_COMMENT: Final = "Not needed for this job."
FAILURE_TEXT: Final = "The source did not carry out the change: the account is locked."


class Approval(StrEnum):
    """The API's statuses of an approval that the sandbox uses."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An identity, as the API refers to it."""

    id: str
    name: str

    def as_json(self) -> dict[str, object]:
        """The reference as the API writes it."""
        return {"type": "IDENTITY", "id": self.id, "name": self.name}


@dataclass(frozen=True, kw_only=True, slots=True)
class Handling:
    """How a tenant handles accepted changes.

    Attributes:
        approval_seconds: Seconds from acceptance to the approver's decision; None for never.
        provisioning_seconds: Seconds from approval to the end; None for never.
        rejected: Share of changes that are rejected, 0 to 1.
        failed: Share of approved changes whose provisioning fails, 0 to 1.
        forwarded: Share of approvals, 0 to 1, that their owner forwards to another person.
        seed: Selects these changes. With one seed, the same change always ends in the same way.
    """

    approval_seconds: float | None = None
    provisioning_seconds: float | None = None
    rejected: float = 0.0
    failed: float = 0.0
    forwarded: float = 0.0
    seed: int = 0

    def forwards(self, change: AcceptedChange) -> bool:
        """Whether the approval of a change is forwarded."""
        return self.forwarded > 0 and self._chance("forward", change) < self.forwarded

    def lifecycle(self, change: AcceptedChange, created: datetime, *, needs_approval: bool = True) -> Lifecycle:
        """The lifecycle of a change accepted at `created`, without interventions."""
        decided = _later(created, self.approval_seconds if needs_approval else 0)
        if needs_approval and self.rejected > 0 and self._chance("approval", change) < self.rejected:
            return Lifecycle(created=created, decided=decided, ended=decided, outcome=REJECTED)
        failed = self.failed > 0 and self._chance("provisioning", change) < self.failed
        ended = _later(decided, self.provisioning_seconds)
        return Lifecycle(created=created, decided=decided, ended=ended, outcome=FAILED if failed else COMPLETED)

    def _chance(self, step: str, change: AcceptedChange) -> float:
        """A number from 0 to 1 that depends on nothing but the seed, the step and the change."""
        named = f"{self.seed} {step} {change.operation} {change.identity} {change.item_type} {change.item_id}"
        return int.from_bytes(blake2b(named.encode(), digest_size=6).digest()) / 2**48


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifecycle:
    """The times of a change without interventions.

    Attributes:
        created: Time of acceptance.
        decided: Time of the approver's decision; None for never.
        ended: Time of the end; None for never.
        outcome: Its last state.
    """

    created: datetime
    decided: datetime | None
    ended: datetime | None
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """An intervention that ends a change: its new state, its time, its author, and the author's comment."""

    state: str
    at: datetime
    by: Reference
    comment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The state of a change at one time.

    Attributes:
        state: The API's name of the state.
        since: Time of the last change of state.
        approval: Status of the approval.
        comment: Comment of the decision, or the cause of a failure; empty before the decision.
        by: Author of the intervention; None without one.
    """

    state: str
    since: datetime
    approval: Approval
    comment: str = ""
    by: Reference | None = None

    @property
    def cancelable(self) -> bool:
        """Whether it can still be cancelled: only before the approval."""
        return self.state == EXECUTING and self.approval is Approval.PENDING


def stage_at(lifecycle: Lifecycle, ending: Ending | None, now: datetime) -> Stage:
    """The stage of a change now. The ending overrides the lifecycle."""
    if ending is not None:
        approval = _APPROVALS.get(ending.state, Approval.APPROVED)
        return Stage(state=ending.state, since=ending.at, approval=approval, comment=ending.comment, by=ending.by)
    if lifecycle.ended is not None and now >= lifecycle.ended:
        approval = Approval.REJECTED if lifecycle.outcome == REJECTED else Approval.APPROVED
        comment = default_comment(lifecycle.outcome)
        return Stage(state=lifecycle.outcome, since=lifecycle.ended, approval=approval, comment=comment)
    if lifecycle.decided is not None and now >= lifecycle.decided:
        return Stage(state=EXECUTING, since=lifecycle.decided, approval=Approval.APPROVED, comment=APPROVAL_COMMENT)
    return Stage(state=EXECUTING, since=lifecycle.created, approval=Approval.PENDING)


def default_comment(state: str) -> str:
    """The comment on a state if nobody has given another."""
    if state == REJECTED:
        return REJECTION_COMMENT
    return {TenantOutcome.FAILED: FAILURE_TEXT, TenantOutcome.PROVISIONED: APPROVAL_COMMENT}.get(
        TENANT_OUTCOMES.get(state, TenantOutcome.OPEN), ""
    )


_APPROVALS: Final[Mapping[str, Approval]] = {
    EXECUTING: Approval.PENDING,
    REJECTED: Approval.REJECTED,
    CANCELLED: Approval.CANCELLED,
}


def _later(moment: datetime | None, seconds: float | None) -> datetime | None:
    return None if moment is None or seconds is None else moment + timedelta(seconds=seconds)
