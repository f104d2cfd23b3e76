"""The rules that an access item's owner sets for its requests: what a request must carry, and who approves it.

Source: `RequestabilityForRole`, `Requestability`, `RevocabilityForRole`, `Revocability` and
`EntitlementAccessRequestConfig` of the vendor's documents. Every rule is permissive by default.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


class TimeUnit(StrEnum):
    """The units of a duration."""

    HOURS = "HOURS"
    DAYS = "DAYS"
    WEEKS = "WEEKS"
    MONTHS = "MONTHS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Duration:
    """A number of hours, days, weeks or calendar months."""

    value: int
    unit: TimeUnit = TimeUnit.DAYS

    def after(self, moment: datetime) -> datetime:
        """The end of the duration that begins at a moment. A month ends on the same day or the last day before it."""
        match self.unit:
            case TimeUnit.HOURS:
                return moment + timedelta(hours=self.value)
            case TimeUnit.DAYS:
                return moment + timedelta(days=self.value)
            case TimeUnit.WEEKS:
                return moment + timedelta(weeks=self.value)
            case TimeUnit.MONTHS:
                years, month = divmod(moment.month - 1 + self.value, 12)
                year, month = moment.year + years, month + 1
                return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))

    def as_json(self) -> dict[str, object]:
        """The duration as the API writes it."""
        return {"value": self.value, "timeUnit": self.unit}


class ApproverType(StrEnum):
    """Who approves a step. Entitlements name their owner in another way than roles and access profiles."""

    OWNER = "OWNER"
    ENTITLEMENT_OWNER = "ENTITLEMENT_OWNER"
    SOURCE_OWNER = "SOURCE_OWNER"
    MANAGER = "MANAGER"
    GOVERNANCE_GROUP = "GOVERNANCE_GROUP"
    WORKFLOW = "WORKFLOW"


@dataclass(frozen=True, kw_only=True, slots=True)
class Approver:
    """One step of an approval; `id` is set for a governance group and a workflow only."""

    type: ApproverType
    id: str | None = None

    def as_json(self) -> dict[str, object]:
        """The step as the API writes it."""
        return {"approverType": self.type, "approverId": self.id}


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestRules:
    """The rules of a grant of an item.

    Attributes:
        comments_required: Whether the requester must give a comment.
        denial_comments_required: Whether an approver who rejects must give one.
        reauthorization_required: Whether the requester must authenticate again.
        require_end_date: Whether a grant needs an end date.
        longest: The longest access; None for no limit.
        form: Id of the form that the requester must fill in; None for no form.
        approvers: The steps of the approval; empty if none is needed, None for the owner alone.
    """

    comments_required: bool = False
    denial_comments_required: bool = False
    reauthorization_required: bool = False
    require_end_date: bool = False
    longest: Duration | None = None
    form: str | None = None
    approvers: tuple[Approver, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationRules:
    """The rules of a revoke of an item, with fields as in `RequestRules`."""

    comments_required: bool = False
    denial_comments_required: bool = False
    approvers: tuple[Approver, ...] | None = None


PERMISSIVE: Final = RequestRules()
"""The rules of an item that has none of its own."""

PERMISSIVE_REVOCATION: Final = RevocationRules()


def approvers_of(rules: RequestRules | RevocationRules, *, owner: ApproverType) -> tuple[Approver, ...]:
    """The steps of an approval; `owner` is the word for the item's owner."""
    return (Approver(type=owner),) if rules.approvers is None else rules.approvers
