"""A run as its report shows it: every change once, with how it stands; totals, times, pace and causes. Pure.

What the ledger does not know is empty or None here, and the page says that it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.dialects import Rate


class Standing(StrEnum):
    """How a change stands. Every change has exactly one. Those that need attention come first."""

    REFUSED = "refused"
    FAILED = "failed"
    REJECTED = "rejected"
    UNCONFIRMED = "unconfirmed"
    CANCELLED = "cancelled"
    AWAITING = "awaiting_approval"
    IN_PROGRESS = "in_progress"
    EXISTING = "existing"
    UNREPORTED = "no_report"
    UNSENT = "not_sent"
    TAKEN_OUT = "taken_out"
    DISCARDED = "discarded"
    DUPLICATE = "duplicate"
    PROVISIONED = "provisioned"


OPEN: Final = (
    *(Standing.UNCONFIRMED, Standing.AWAITING, Standing.IN_PROGRESS, Standing.EXISTING, Standing.UNREPORTED),
    Standing.UNSENT,
)
"""What may still end in any way."""

POOR: Final = (Standing.REFUSED, Standing.FAILED, Standing.REJECTED, Standing.CANCELLED)
"""What has ended otherwise than it was asked for."""

LINES: Final = dict.fromkeys(
    (
        *("request", "standing", "reason", "operation", "person", "identity_id", "item_type", "item", "item_id"),
        *("account", "comment", "start_date", "remove_date", "metadata", "file", "line", "sent_at", "accepted_at"),
        *("access_request", "who", "said", "since"),
    ),
    pl.String,
)
"""Columns of the lines of a report; a text is empty if it is not known. `request` is the request's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAbout:
    """The heading of a run's report. A text is empty if it is not known.

    Attributes:
        run: Its id.
        tenant: The tenant's name.
        inputs: Names of its inputs.
        api: Version of the API.
        imported: Whether it holds changes that were imported from the tenant's list.
        requesters: Ids of the users with whose tokens this ledger has sent requests to the tenant.
        machines: Short names of the keys that have signed what the ledger says of the run.
        started_at: When it was planned, as an instant.
        looked_at: When the tenant's list was last searched for all of its changes.
        made_at: When the report was made.
        head: The run's newest event.
        redacted: Whether people and texts are pseudonyms.
        metadata: The request-level clientMetadata of its requests.
    """

    run: str
    tenant: str = ""
    inputs: Sequence[str] = ()
    api: str = ""
    imported: bool = False
    requesters: Sequence[str] = ()
    machines: Sequence[str] = ()
    started_at: str = ""
    looked_at: str = ""
    made_at: str = ""
    head: str = ""
    redacted: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A line of the timeline.

    Attributes:
        name: What has happened to the changes.
        look: How it is drawn.
        points: Seconds since 1970, and to how many changes it had happened by then.
        untimed: To how many it has happened at a time that is not known.
    """

    name: str
    look: str
    points: tuple[tuple[float, int], ...] = ()
    untimed: int = 0

    @property
    def total(self) -> int:
        """To how many changes it has happened."""
        return (self.points[-1][1] if self.points else 0) + self.untimed


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast requests were sent.

    Attributes:
        limit: Of all calls together, as it is set today.
        posts: Attempts, those of all requests.
        throttled: Attempts that the tenant answered with 429.
        busiest: The most attempts in one window of the limit.
        began: The first attempt, in seconds since 1970.
        ended: The last.
        bars: The time between both in equal parts, each with the most attempts in a window that ends in it.
    """

    limit: Rate
    posts: int = 0
    throttled: int = 0
    busiest: int = 0
    began: float = 0.0
    ended: float = 0.0
    bars: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Changes with something in common: a cause, a comment, an approver.

    Attributes:
        name: What they have in common.
        changes: How many.
        first: The earliest instant among them; empty if none is known.
        example: The request of one of them.
    """

    name: str
    changes: int
    first: str = ""
    example: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemGroup:
    """The changes of one access item with one operation; `counts` is by standing."""

    item_type: str
    item_id: str
    name: str
    operation: str
    counts: Mapping[str, int]

    def of(self, standings: Iterable[Standing]) -> int:
        """How many stand in one of these ways."""
        return sum(self.counts.get(one, 0) for one in standings)

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """Everything that the report of a run shows.

    Attributes:
        about: What it is.
        counts: Changes by operation and standing; they add up to the lines.
        people: How many people it is about.
        items: Its items, those with the most changes first, at most run_count.MOST_ITEMS.
        items_in_all: How many items it has.
        comments: Its comments, likewise, at most run_count.MOST_TEXTS; those without one under the empty name.
        comments_in_all: How many different ones.
        set_aside: How many changes of the input its last precheck left out, by class.
        timeline: What happened when.
        pace: How fast.
        refusals: Refused changes by cause.
        approvers: Changes that wait, by whom they wait for; the longest wait first.
        lines: By LINES; what needs attention first.
    """

    about: RunAbout
    counts: Mapping[tuple[str, str], int]
    people: int
    items: tuple[ItemGroup, ...]
    items_in_all: int
    comments: tuple[Group, ...]
    comments_in_all: int
    set_aside: Mapping[str, int]
    timeline: tuple[Series, ...]
    pace: Pace
    refusals: tuple[Group, ...]
    approvers: tuple[Group, ...]
    lines: pl.DataFrame = field(repr=False, compare=False)

    def of(self, *standings: Standing, operation: str = "") -> int:
        """How many changes stand in one of these ways."""
        return sum(
            changes for (done, name), changes in self.counts.items() if name in standings and operation in ("", done)
        )

    @property
    def total(self) -> int:
        """How many changes there are."""
        return sum(self.counts.values())

    @property
    def operations(self) -> list[str]:
        """The operations that occur; revokes come first."""
        return sorted({operation for operation, _ in self.counts}, reverse=True)

    def as_json(self) -> dict[str, Any]:
        """The totals, for scripts."""
        return {
            "run": self.about.run,
            "tenant": self.about.tenant,
            "changes": self.total,
            "standings": {one.value: self.of(one) for one in Standing},
            "redacted": self.about.redacted,
        }
