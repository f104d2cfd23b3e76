"""A plan as people read it: what it changes for whom, what it skips, what it costs. Pure: made of plain values.

A plan that was just made and one that was saved are shown by the same view: `plan_count` makes it of the table of
`plan_rows`. The numbers add up: those of the items, of the people and of the groups each to the changes that are sent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.api.dialects import Rate
    from batch.status.approvals_ahead import ApprovalsAhead


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Changes that are counted together.

    Attributes:
        changes: How many, by operation; only operations that occur.
        people: Of how many people.
        first_end: The earliest end date among those that are no revokes; empty if none has one.
        last_end: The latest.
        endless: How many of them have none.
    """

    changes: Mapping[str, int]
    people: int = 0
    first_end: str = ""
    last_end: str = ""
    endless: int = 0

    @property
    def total(self) -> int:
        """How many changes there are."""
        return sum(self.changes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemLine:
    """An access item of a plan; `name` and `owner` are empty if they are not known."""

    item_type: str
    item_id: str
    name: str
    owner: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonLine:
    """A person of a plan; `name` is empty if it is not known."""

    identity_id: str
    name: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupLine:
    """The changes of rows with one text in the user's own column."""

    value: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Changes, or whole rows, that the plan does not send for one reason.

    Attributes:
        row_class: Their class.
        rule: The rules that they break; empty unless they are rejected.
        reason: Why; if they differ in details, why the first of them is skipped.
        changes: How many.
    """

    row_class: str
    rule: str
    reason: str
    changes: int


LOOKS_A_DAY: Final = 295
"""Times that tracking looks at a run within a day, if nothing changes meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a plan costs at the tenant.

    Attributes:
        requests: Requests to send.
        lower_bound: No plan of these changes needs fewer; 0 if that is not known.
        checking: Calls made to look up names and to ask what the tenant knows.
        tracking: About how many calls one look takes at all changes after they are sent.
        rate: The limit for all calls.
        month: The month in which the plan was made; empty if the client is not known.
        made: Calls of this client that the ledger has counted in that month, those of planning among them.
        budget: Calls that it may make in a month; None for any number.
        without_tickets: How many requests would do if comments had no tickets; None without tickets.
    """

    requests: int
    lower_bound: int
    checking: int
    tracking: int
    rate: Rate
    month: str = ""
    made: int = 0
    budget: int | None = None
    without_tickets: int | None = None

    @property
    def seconds(self) -> float:
        """The least time that sending takes at that rate."""
        return max(0, self.requests - 1) * self.rate.seconds / self.rate.requests

    @property
    def tracking_day(self) -> int:
        """About how many calls a day of tracking takes, if no change ends earlier."""
        return LOOKS_A_DAY * self.tracking

    @property
    def to_come(self) -> int:
        """About how many calls follow: asking again, sending, one look at requests in doubt, and a day of tracking."""
        return self.checking + self.requests + self.tracking + self.tracking_day

    @property
    def left(self) -> int | None:
        """What is left of the month's budget; None for any number."""
        return None if self.budget is None else max(0, self.budget - self.made)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanAbout:
    """What a plan is and where it comes from, for its heading; empty texts for what is not known.

    Attributes:
        tenant: The tenant's name.
        inputs: Names of the files.
        made_at: When it was made, as an instant.
        made_by: Who made it.
        requester: In whose name the requests are made.
        by: The header of the user's own column that the changes are counted by.
        metadata: The request-level clientMetadata of the requests.
    """

    tenant: str = ""
    inputs: Sequence[str] = ()
    made_at: str = ""
    made_by: str = ""
    requester: str = ""
    by: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanView:
    """Everything that is shown of a plan.

    Attributes:
        about: What it is.
        rows: Number of rows by class; they add up to the rows read.
        all: All planned changes.
        items: Its items, those with the most changes first.
        people: The people with the most changes, at most plan_count.MOST_PEOPLE.
        groups: Its changes by the user's own column; empty without one.
        skipped: What is not sent, and why; in the order of the classes, the most frequent reason first.
        cost: What it costs.
        approvals: What it asks of approvers; None if that is not known.
        warnings: Sentences.
        lines: By plan_rows.PLAN_ROWS.
    """

    about: PlanAbout
    rows: Mapping[str, int]
    all: Counted
    items: tuple[ItemLine, ...]
    people: tuple[PersonLine, ...]
    groups: tuple[GroupLine, ...]
    skipped: tuple[Skipped, ...]
    cost: Cost
    approvals: ApprovalsAhead | None = None
    warnings: tuple[str, ...] = ()
    lines: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    @property
    def planned(self) -> pl.DataFrame:
        """The lines that are sent."""
        return self.lines.filter(pl.col("request").is_not_null())

    def as_json(self, *, detail: bool = False) -> dict[str, Any]:
        """The documented object; with `detail`, every line too."""
        return {
            "tenant": self.about.tenant,
            "inputs": list(self.about.inputs),
            "made_at": self.about.made_at,
            "made_by": self.about.made_by,
            "requester": self.about.requester,
            "request_metadata": {**self.about.metadata},
            "rows": dict(self.rows),
            **_as_json(self.all),
            "items": [
                {"item_type": one.item_type, "item_id": one.item_id, "name": one.name, "owner": one.owner}
                | _as_json(one.counted)
                for one in self.items
            ],
            "top_people": [
                {"identity_id": one.identity_id, "name": one.name, **_as_json(one.counted)} for one in self.people
            ],
            "by": {
                "column": self.about.by,
                "groups": [{"value": one.value, **_as_json(one.counted)} for one in self.groups],
            }
            if self.about.by
            else None,
            "skipped": [
                {"class": one.row_class, "rule": one.rule, "reason": one.reason, "changes": one.changes}
                for one in self.skipped
            ],
            "calls": {
                "sending": self.cost.requests,
                "lower_bound": self.cost.lower_bound,
                "without_tickets": self.cost.without_tickets,
                "checking": self.cost.checking,
                "tracking_look": self.cost.tracking,
                "rate": f"{self.cost.rate.requests}/{self.cost.rate.seconds:g}",
                "least_s": round(self.cost.seconds, 3),
                "settling": self.cost.tracking,
                "tracking_day": self.cost.tracking_day,
                "altogether": self.cost.checking + self.cost.to_come,
                "month": self.cost.month,
                "made_in_month": self.cost.made,
                "monthly_calls": self.cost.budget,
                "left_in_month": self.cost.left,
            },
            "approvals": self.approvals and asdict(self.approvals),
            "warnings": list(self.warnings),
            **({"changes": self.lines.to_dicts()} if detail else {}),
        }


def _as_json(counted: Counted) -> dict[str, Any]:
    return {
        "operations": dict(counted.changes),
        "people": counted.people,
        "first_end": counted.first_end,
        "last_end": counted.last_end,
        "endless": counted.endless,
    }
