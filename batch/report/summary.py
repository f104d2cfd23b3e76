"""The summary of a run: the JSON that scripts depend on, and the exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.model import RowClass
from batch.names.resolve import NO_NAMES
from batch.plan.waves import describe_waves
from batch.report.preflight import places_as_json, warnings_as_json
from batch.report.track import exit_code, track_as_json
from batch.states import State
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.answers.events import PrecheckResult
    from batch.api.tenant_settings import TenantSettings
    from batch.dedupe.row_class import SetAside
    from batch.model import Tally, TrackSummary
    from batch.names.resolve import NameCounts
    from batch.plan.waves import WavesSummary
    from batch.report.plan_view import PlanView
    from batch.status.approvals_ahead import ApprovalsAhead
    from batch.status.findings import Warned


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The outcome of an input, over all processes that worked on its run.

    Attributes:
        run: The run's id; empty without a run.
        tenant: The tenant's name; empty without a tenant.
        dry_run: Whether nothing was to be sent.
        rows: Number of rows by class.
        set_aside: The changes that are contradictory or held back.
        tally: The run's progress; for a dry run, as if its plan were written.
        lower_bound: No plan needs fewer requests than this.
        posts_now: Attempts made by this process.
        files: Result files by name; None if not written.
        elapsed: Seconds that this process took.
        names: How the input's names were resolved.
        precheck: The result of the precheck; None without one.
        settings: What holds for every request at the tenant; None if it was not asked.
        approvals: What the plan asks of approvers; None if that is not known.
        tracked: The states of the accepted changes at the tenant; None if not asked.
        was_tracked: Whether this command tracked the run, so that the changes' outcomes set the exit code.
        waiting: Number of changes held back because another run may have submitted them.
        changes: The input's changes in the run by state, each once, however often it was submitted; None as in `tally`.
        left_out: How many rows of the files `--where` leaves out; `rows` does not have them.
        warned: The rows that were to be sent although the tenant may refuse them.
        plan: Everything that is shown of a plan; None if this is none.
        detail: Whether the plan's object lists every change.
        waves: How far a run has come that is sent in waves; None for another one.
        head: The run's newest event, as `ledger verify --head` takes it; empty without a run.
    """

    run: str
    tenant: str
    dry_run: bool
    rows: Mapping[RowClass, int]
    set_aside: SetAside
    tally: Tally
    lower_bound: int
    posts_now: int
    files: Mapping[str, str | None]
    elapsed: float
    names: NameCounts = NO_NAMES
    precheck: PrecheckResult | None = None
    settings: TenantSettings | None = None
    approvals: ApprovalsAhead | None = None
    tracked: TrackSummary | None = None
    was_tracked: bool = False
    waiting: int = 0
    changes: Mapping[str, int] | None = None
    left_out: int = 0
    warned: tuple[Warned, ...] = ()
    plan: PlanView | None = None
    detail: bool = False
    waves: WavesSummary | None = None
    head: str = ""

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "run": self.run,
            "tenant": self.tenant,
            "dry_run": self.dry_run,
            "rows": {"read": sum(self.rows.values()), **{name.value: number for name, number in self.rows.items()}},
            "left_out": self.left_out,
            "changes": self.by_state,
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
            "checked": self.precheck and _precheck_as_json(self.precheck),
            **(self.settings.as_json() if self.settings else dict.fromkeys(_SETTINGS)),
            "approvals": self.approvals and asdict(self.approvals),
            "warnings": warnings_as_json(self.warned),
            "plan": self.plan and self.plan.as_json(detail=self.detail),
            "tracked": track_as_json(self.tracked) if self.tracked else None,
            "waves": waves_as_json(self.waves),
            "files": {**dict.fromkeys(_FILES), **self.files},
            "head": self.head or None,
            "elapsed_s": round(self.elapsed, 3),
        }

    @property
    def by_state(self) -> dict[str, int]:
        """The input's changes under the JSON's names of their states, each counted once."""
        return count_states(self.tally.changes if self.changes is None else self.changes)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to send or to settle."""
        changes = count_states(self.tally.changes)
        return not changes["unsent"] and not changes["unconfirmed"] and not self.waiting

    @property
    def flawless(self) -> bool:
        """Whether every row is submitted, or already was."""
        return not (self.rows[RowClass.REJECTED] or self.set_aside or self.by_state["refused"])

    @property
    def exit_code(self) -> int:
        """By the documented table; a dry run leaves nothing open."""
        if not self.dry_run and not self.complete:
            return 4
        track_code = exit_code(self.tracked) if self.was_tracked and self.tracked else 0
        return max(track_code, 0 if self.flawless else 3)


_SETTINGS: Final = ("requester", "access_request_config", "triggers")
_FILES: Final = ("rejected", "refused", "unsent", "failed", "results", "report", "plan", "page")


def waves_as_json(waves: WavesSummary | None) -> dict[str, Any] | None:
    """How far a run has come that is sent in waves, for scripts; None for another one."""
    if waves is None:
        return None
    return {
        "changes": waves.limit.changes or None,
        "seconds": waves.limit.seconds or None,
        "sent": waves.sent,
        "canary_open": waves.canary_open,
        "until": waves.until.isoformat() if waves.until else None,
    }


def describe_wait(waves: WavesSummary | None) -> Iterator[str]:
    """The same for people, as lines of a run."""
    if waves is None:
        return
    if waves.canary_open:
        yield "  canary: not passed yet"
    if waves.limit.changes:
        until = f"; the next at {waves.until:%Y-%m-%d %H:%M:%S} UTC" if waves.until else ""
        yield f"  {describe_waves(waves.limit)}: {waves.sent:,} sent in the present period{until}"


def _precheck_as_json(precheck: PrecheckResult) -> dict[str, Any]:
    return {
        "calls": precheck.calls,
        "in_progress": precheck.in_progress,
        "held": precheck.held,
        "not_held": precheck.not_held,
        "unsure": precheck.unsure,
        "unchecked": places_as_json(precheck.unchecked),
        "unclear": precheck.unclear,
        "age_s": None if precheck.age is None else round(precheck.age, 3),
    }


def count_states(by_state: Mapping[str, int]) -> dict[str, int]:
    """Counts by state under the JSON's names; split and discarded ones are left out, because others replace them."""
    counts = {state: by_state.get(state.value, 0) for state in State}
    replaced = counts[State.SPLIT] + counts[State.DISCARDED]
    return {
        "planned": sum(counts.values()) - replaced,
        "accepted": counts[State.ACCEPTED],
        "refused": counts[State.REFUSED],
        "unconfirmed": counts[State.UNCONFIRMED] + counts[State.SENDING],
        "unsent": counts[State.PLANNED],
    }


def describe_refused(changes: int, results: str = "results.csv") -> Iterator[str]:
    """What to do about refused changes; nothing without any."""
    if changes:
        again = "it" if changes == 1 else "them"
        yield (
            f"{count(changes, 'change')} refused: {results} has the reasons. To send {again} again, submit the same "
            "input again."
        )


HEADS_SHOWN: Final = 20
"""Heads that are shown to people; the JSON has all."""


def describe_heads(heads: Mapping[str, str]) -> Iterator[str]:
    """The lines with which every summary ends.

    Args:
        heads: The newest event of each run by its id, as `ledger verify --head` takes it; empty without an event.
    """
    of_run = len(heads) > 1
    for run, head in [*heads.items()][-HEADS_SHOWN:]:
        if head:
            yield f"  head of run {run}: {head}" if of_run else f"  head: {head}"
    if len(heads) > HEADS_SHOWN:
        yield f"  … and {len(heads) - HEADS_SHOWN:,} of older runs: --json lists all"
