"""What `cancel` did, for people and for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.api.end_dates import EXTEND
from batch.names.known import NO_KNOWN_NAMES, KnownNames
from batch.report.summary import describe_heads
from batch.report.terminal import to_send
from batch.status.cancel import CancelOutcome
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch.status.matching import AcceptedChange

EXAMPLES: Final = 10
"""Changes that a dry run lists on the screen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelSummary:
    """What became of the changes of a run that was cancelled.

    Attributes:
        run: The run's id.
        tenant: The tenant's name.
        dry_run: Whether it only looked.
        outcomes: How many of the run's accepted changes had which outcome; for a dry run, before anything was done.
        found: Changes that could be cancelled when it began.
        would_cancel: Those changes, for a dry run.
        to_revoke: Granted changes, for which `undo.csv` has a revoke.
        extended: How many others only set another end date.
        recent: How many of the changes that are not visible may still show.
        unsent: Changes that the run has not sent.
        unconfirmed: Changes that may or may not have arrived.
        calls: Calls to cancel: `bulk`, `single`, and how many of them were `refused`.
        refused: Why the tenant refused some; empty if it refused none.
        interrupted: Whether the user ended it early.
        undo: Path of `undo.csv`; None if it was not written.
        head: The run's newest event, as `ledger verify --head` takes it.
        elapsed: Seconds.
        names: The names that the run's input had in place of ids.
    """

    run: str
    tenant: str
    dry_run: bool
    outcomes: Mapping[CancelOutcome, int]
    found: int
    would_cancel: Sequence[AcceptedChange]
    to_revoke: Sequence[AcceptedChange]
    extended: int
    recent: int
    unsent: int
    unconfirmed: int
    calls: Mapping[str, int]
    refused: str
    interrupted: bool
    undo: str | None
    head: str
    elapsed: float
    names: KnownNames = NO_KNOWN_NAMES

    @property
    def left(self) -> int:
        """Changes that could still be cancelled."""
        return self.outcomes.get(CancelOutcome.CANCELABLE, 0)

    @property
    def exit_code(self) -> int:
        """0, 3, 4 or 130, as documented."""
        if self.interrupted:
            return 130
        not_read_back = self.left and not self.refused and not self.dry_run
        if not_read_back or self.unconfirmed or self.recent:
            return 4
        undone = self.dry_run or not self.left
        rest = (CancelOutcome.GRANTED, CancelOutcome.UNDER_WAY, CancelOutcome.NOT_VISIBLE, CancelOutcome.REVOKED)
        return 0 if undone and not any(self.outcomes.get(outcome) for outcome in rest) else 3


def cancel_as_json(found: CancelSummary) -> dict[str, Any]:
    """The summary for scripts; the outcomes add up to `accepted`, which includes nothing unsent."""
    lists = {"would_cancel": found.would_cancel, "would_revoke": found.to_revoke} if found.dry_run else {}
    return {
        "run": found.run,
        "tenant": found.tenant,
        "dry_run": found.dry_run,
        "changes": {
            "accepted": sum(found.outcomes.values()),
            **{outcome.value: found.outcomes.get(outcome, 0) for outcome in CancelOutcome},
            "unsent": found.unsent,
            "unconfirmed": found.unconfirmed,
        },
        "calls": {name: found.calls.get(name, 0) for name in ("bulk", "single", "refused")},
        "refused": found.refused,
        "files": {"undo": found.undo},
        "head": found.head,
        **{name: [_named(change, found.names) for change in changes] for name, changes in lists.items()},
        "elapsed_s": round(found.elapsed, 1),
    }


def _named(change: AcceptedChange, names: KnownNames) -> dict[str, str]:
    return {
        "operation": change.operation,
        "identity_id": change.identity,
        "identity_name": names.identity(change.identity),
        "item_type": change.item_type,
        "item_id": change.item,
        "item_name": names.item(change.item_type, change.item),
        "line": names.line(change.identity, change.item),
    }


_DONE: Final = {
    CancelOutcome.CANCELLED: "cancelled",
    CancelOutcome.DUPLICATE: "cancelled by the tenant as a duplicate",
    CancelOutcome.NOT_CREATED: "requested already by others, so nothing was created",
    CancelOutcome.REJECTED: "rejected",
    CancelOutcome.FAILED: "failed",
}
_OPEN: Final = {
    CancelOutcome.CANCELABLE: "can still be cancelled",
    CancelOutcome.UNDER_WAY: "approved, not provisioned yet: they can no longer be cancelled and can't yet be revoked",
    CancelOutcome.REVOKED: "revoked already; to give the access back, submit a grant",
    CancelOutcome.NOT_VISIBLE: "not in the tenant's list of this user's requests",
}


def question(run: str, tenant: str, changes: int, requests: int) -> str:
    """The question before anything is cancelled."""
    return f"Cancel {count(changes, 'change')} of run {run} in {count(requests, 'access request')} at {tenant}?"


def describe_cancel(found: CancelSummary, *, only_plans: bool = False) -> Iterator[str]:
    """The summary for people, and what to do next; `only_plans` if rows are only sent by a saved plan."""
    accepted = sum(found.outcomes.values())
    nothing = "" if accepted else ": nothing to cancel"
    yield f"Run {found.run}: {count(accepted, 'accepted change')} at {found.tenant}{nothing}."
    for outcome, words in (_DONE | _OPEN).items():
        if number := found.outcomes.get(outcome):
            yield f"  {number:,} {words}"
    if found.to_revoke:
        yield f"  {found.outcomes[CancelOutcome.GRANTED]:,} granted already"
    yield from describe_heads({found.run: found.head})
    if found.dry_run:
        yield from _preview(found)
    yield from _describe_extended(found)
    if found.refused:
        yield f"The tenant refused to cancel: {found.refused}"
    if found.unconfirmed:
        yield (
            f"{count(found.unconfirmed, 'change')} unconfirmed: submit the input of the run again (or `access-batch "
            f"settle {found.run}`) to find out whether they arrived; then cancel again."
        )
    if found.unsent:
        yield f"{count(found.unsent, 'change')} not sent: `access-batch discard {found.run}` drops them."
    waits = found.outcomes.get(CancelOutcome.UNDER_WAY) and not found.dry_run
    if (found.exit_code in {4, 130} or waits) and not found.unconfirmed:
        yield f"To look again: access-batch cancel {found.run}"
    if found.undo:
        yield f"To revoke the granted access: {to_send(found.undo, only_plans=only_plans)}"


def _describe_extended(found: CancelSummary) -> Iterator[str]:
    """That access which only got another end date is not revoked."""
    if found.extended:
        yield (
            f"{count(found.extended, 'change')} only set another end date: undo.csv leaves the access to the people, "
            f"who had it before. To go back to the earlier date, submit an {EXTEND} with it."
        )


def _preview(found: CancelSummary) -> Iterator[str]:
    for changes, words in ((found.would_cancel, "cancelled"), (found.to_revoke, "revoked by undo.csv")):
        for change in changes[:EXAMPLES]:
            what = found.names.in_words(change.operation, change.identity, change.item_type, change.item)
            yield f"  would be {words}: {what}"
        if len(changes) > EXAMPLES:
            yield f"  … and {len(changes) - EXAMPLES:,} more"
    yield "Nothing was cancelled or written."
