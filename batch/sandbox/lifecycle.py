"""What becomes of an accepted change: its approval, its provisioning, and its end, all a function of the time.

The moments of a change are known from its beginning, so the state at any moment is a comparison. What people do from
outside (an approver in a test, a cancellation) is an `Ending`, which has the last word.

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
"""State of a status row from its beginning until an approver or a connector ends it."""

COMPLETED: Final = "REQUEST_COMPLETED"
"""State of what was provisioned."""

REJECTED: Final = "REJECTED"
"""State of what an approver has declined."""

CANCELLED: Final = "CANCELLED"
"""State of what was withdrawn, by a person or by the tenant itself."""

FAILED: Final = "PROVISIONING_FAILED"
"""State of what was approved and could not be carried out."""

SCHEMES: Final[Mapping[ItemType, str]] = {
    ItemType.ROLE: "ROLE_OWNER",
    ItemType.ACCESS_PROFILE: "ACCESS_PROFILE_OWNER",
    ItemType.ENTITLEMENT: "ENTITLEMENT_OWNER",
}
"""Who approves each kind of item, in the API's words: its owner."""

DUPLICATE_COMMENT: Final = "This is a duplicate: the same access is held or requested already."
APPROVAL_COMMENT: Final = "Approved."
REJECTION_COMMENT: Final = "Not needed for this job."
FAILURE_TEXT: Final = "The source did not carry out the change: the account is locked."


class Approval(StrEnum):
    """Statuses of an approval, those of the API that the sandbox uses."""

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
        """The reference as it stands in an answer."""
        return {"type": "IDENTITY", "id": self.id, "name": self.name}


@dataclass(frozen=True, kw_only=True, slots=True)
class Handling:
    """How a tenant handles what it has accepted.

    Attributes:
        approval_seconds: Seconds from acceptance to the approver's decision; None for an approver who never decides.
        provisioning_seconds: Seconds from the approval to the end; None for an end that never comes.
        rejected: Share of changes that are rejected, 0 to 1.
        failed: Share of approved changes whose provisioning fails, 0 to 1.
        seed: Which changes those are: the same change always fares alike.
    """

    approval_seconds: float | None = None
    provisioning_seconds: float | None = None
    rejected: float = 0.0
    failed: float = 0.0
    seed: int = 0

    def lifecycle(self, change: AcceptedChange, created: datetime) -> Lifecycle:
        """What will become of a change that is accepted at a moment, if nobody interferes."""
        decided = _later(created, self.approval_seconds)
        if self.rejected > 0 and self._jitter("approval", change) < self.rejected:
            return Lifecycle(created=created, decided=decided, ended=decided, outcome=REJECTED)
        failed = self.failed > 0 and self._jitter("provisioning", change) < self.failed
        ended = _later(decided, self.provisioning_seconds)
        return Lifecycle(created=created, decided=decided, ended=ended, outcome=FAILED if failed else COMPLETED)

    def _jitter(self, step: str, change: AcceptedChange) -> float:
        named = f"{self.seed} {step} {change.operation} {change.identity} {change.item_type} {change.item_id}"
        return int.from_bytes(blake2b(named.encode(), digest_size=6).digest()) / 2**48


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifecycle:
    """The moments of a change that nobody interferes with.

    Attributes:
        created: When it was accepted.
        decided: When the approver decides; None for never.
        ended: When it is over; None for never.
        outcome: The state that it ends in.
    """

    created: datetime
    decided: datetime | None
    ended: datetime | None
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What somebody did to a change from outside.

    Attributes:
        state: The API's word for what it is in since then.
        at: Since when.
        who: Who did it.
        said: What they said.
    """

    state: str
    at: datetime
    who: Reference
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Where a change stands at a moment.

    Attributes:
        state: The API's word.
        since: Since when it is so.
        approval: What the approval stands at.
        said: The comment of whoever decided, or the cause of a failure; empty while nobody did.
        who: Who decided from outside; None where it went its own course.
    """

    state: str
    since: datetime
    approval: Approval
    said: str = ""
    who: Reference | None = None

    @property
    def cancelable(self) -> bool:
        """Whether it can still be withdrawn: before the approval only."""
        return self.state == EXECUTING and self.approval is Approval.PENDING


def stage_at(lifecycle: Lifecycle, ending: Ending | None, now: datetime) -> Stage:
    """Where a change stands.

    Args:
        lifecycle: What becomes of it by itself.
        ending: What somebody did to it; this has the last word.
        now: The moment asked about.
    """
    if ending is not None:
        approval = _APPROVALS.get(ending.state, Approval.APPROVED)
        return Stage(state=ending.state, since=ending.at, approval=approval, said=ending.said, who=ending.who)
    if lifecycle.ended is not None and now >= lifecycle.ended:
        approval = Approval.REJECTED if lifecycle.outcome == REJECTED else Approval.APPROVED
        said = default_comment(lifecycle.outcome)
        return Stage(state=lifecycle.outcome, since=lifecycle.ended, approval=approval, said=said)
    if lifecycle.decided is not None and now >= lifecycle.decided:
        return Stage(state=EXECUTING, since=lifecycle.decided, approval=Approval.APPROVED, said=APPROVAL_COMMENT)
    return Stage(state=EXECUTING, since=lifecycle.created, approval=Approval.PENDING)


def default_comment(state: str) -> str:
    """What is said of a state where nobody has said anything else."""
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
