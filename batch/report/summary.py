"""The summary of a run, as the JSON that scripts depend on and as lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.model import RowClass
from batch.names.resolve import NO_NAMES
from batch.report.track import exit_code, track_as_json
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.model import PrecheckResult, Tally, TrackSummary
    from batch.names.resolve import NameCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What became of an input, over all processes that worked on its run.

    Attributes:
        run: The run's id; empty where none was made.
        tenant: The tenant's name; empty where none was given.
        dry_run: Whether nothing was meant to be sent.
        rows: Rows by class.
        set_aside: Changes that were wanted and are neither submitted nor were before: contradictory or held back.
        tally: How far the run has come; for a dry run, as if its plan had been written.
        lower_bound: A number of requests below which no plan can go.
        posts_now: Attempts made by this process.
        files: Result files by name; None where not written.
        elapsed: Seconds that this process took.
        names: How the names in the input were resolved.
        checked: What came of asking the tenant before planning; None where it was not asked.
        tracked: What the tenant said of what was accepted; None where it was not asked.
        followed: Whether the run was followed, so that what became of its changes counts.
    """

    run: str
    tenant: str
    dry_run: bool
    rows: Mapping[RowClass, int]
    set_aside: int
    tally: Tally
    lower_bound: int
    posts_now: int
    files: Mapping[str, str | None]
    elapsed: float
    names: NameCounts = NO_NAMES
    checked: PrecheckResult | None = None
    tracked: TrackSummary | None = None
    followed: bool = False

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "run": self.run,
            "tenant": self.tenant,
            "dry_run": self.dry_run,
            "rows": {"read": sum(self.rows.values()), **{name.value: count for name, count in self.rows.items()}},
            "changes": count_states(self.tally.changes),
            "requests": {**count_states(self.tally.requests), "lower_bound": self.lower_bound},
            "http": {
                "posts": self.tally.posts,
                "throttled": self.tally.throttled,
                "retried": self.tally.retried,
                "posts_now": self.posts_now,
            },
            "names": {
                "looked_up": self.names.looked_up,
                "calls": self.names.calls,
                "found": self.names.found,
                "unknown": self.names.unknown,
                "ambiguous": self.names.ambiguous,
            },
            "checked": self.checked and _as_json(self.checked),
            "tracked": track_as_json(self.tracked) if self.tracked else None,
            "files": {"rejected": None, "results": None, "report": None, **self.files},
            "elapsed_s": round(self.elapsed, 3),
        }

    @property
    def complete(self) -> bool:
        """Whether nothing is left to send or to settle."""
        changes = count_states(self.tally.changes)
        return not changes["unsent"] and not changes["unconfirmed"]

    @property
    def flawless(self) -> bool:
        """Whether everything asked for is submitted, or already was."""
        refused = count_states(self.tally.changes)["refused"]
        return not (self.rows[RowClass.REJECTED] or self.set_aside or refused)

    @property
    def exit_code(self) -> int:
        """By the documented table; a dry run has nothing open."""
        came_to = exit_code(self.tracked) if self.followed and self.tracked else 0
        if not self.dry_run and not self.complete:
            return 4
        return max(came_to, 0 if self.flawless else 3)


def _as_json(checked: PrecheckResult) -> dict[str, Any]:
    return {
        "calls": checked.calls,
        "in_progress": checked.in_progress,
        "held": checked.held,
        "unclear": checked.unclear,
        "age_s": None if checked.age is None else round(checked.age, 3),
    }


def count_states(by_state: Mapping[str, int]) -> dict[str, int]:
    """Counts by state, in the words of the JSON; what other requests took over is counted with those."""
    counts = {state: by_state.get(state.value, 0) for state in State}
    given_up = counts[State.SPLIT] + counts[State.DISCARDED]
    return {
        "planned": sum(counts.values()) - given_up,
        "accepted": counts[State.ACCEPTED],
        "refused": counts[State.REFUSED],
        "unconfirmed": counts[State.UNCONFIRMED] + counts[State.SENDING],
        "unsent": counts[State.PLANNED],
    }
