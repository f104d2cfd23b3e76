"""What became of a run's accepted changes at the tenant, for people and for scripts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ADMIN_LEVEL
from batch.api.tenant_outcome import (
    EXISTING,
    OUTCOME_WORDS,
    RESUBMITTABLE,
    TENANT_OUTCOMES,
    TenantOutcome,
    tenant_outcome,
)
from batch.report.terminal import to_send
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.api.dialects import Dialect
    from batch.model import StatusGroup, TrackSummary

NOT_LISTED: Final = "not in the tenant's list yet"
NO_REPORT: Final = "no report yet"

SHOWN: Final = 10
"""Groups of one kind to show: tracked.csv has every change."""

_BAD: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.FAILED)


def counts(tracked: TrackSummary) -> dict[str, int]:
    """How many changes came to each outcome, and to `not_visible` if the tenant has not shown them."""
    found: Counter[TenantOutcome] = Counter()
    for group in tracked.reported:
        found[tenant_outcome(group.state, group.said)] += group.changes
    return {
        **{name.value: found[name] for name in TenantOutcome},
        "not_visible": tracked.silent,
        "submitted_twice": tracked.submitted_twice,
    }


def track_as_json(tracked: TrackSummary) -> dict[str, Any]:
    """The counts, and in `states` the counts by the vendor's own names."""
    states: Counter[str] = Counter()
    for group in tracked.reported:
        states[group.state] += group.changes
    return {**counts(tracked), "looked_at": tracked.looked_at or None, "states": dict(sorted(states.items()))}


def exit_code(tracked: TrackSummary) -> int:
    """3 if a change was submitted twice, else 4 if one is open or not visible, else 3 if one did not succeed, else 0.

    A duplicate is good: the same is held or was requested.
    """
    found = counts(tracked)
    if tracked.submitted_twice:
        return 3
    if found[TenantOutcome.OPEN] or tracked.silent:
        return 4
    return 3 if any(found[name] for name in _BAD) else 0


def describe_track(tracked: TrackSummary, *, looked: bool = False) -> Iterator[str]:
    """What became of the changes, who still has to approve, who rejected and why, and what failed.

    Args:
        tracked: Their states.
        looked: Whether the tenant's list was read just now, so that a change without a report is not in it.
    """
    groups = {
        name: [group for group in tracked.reported if tenant_outcome(group.state, group.said) is name]
        for name in TenantOutcome
    }
    everything = sum(group.changes for group in tracked.reported) + tracked.silent
    yield f"{count(everything, 'accepted change')} at the tenant{'' if looked else last_look(tracked)}:"
    yield from _total(OUTCOME_WORDS[TenantOutcome.PROVISIONED], groups[TenantOutcome.PROVISIONED])
    yield from _describe_open(groups[TenantOutcome.OPEN])
    for name in (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.DUPLICATE, TenantOutcome.FAILED):
        yield from _total(OUTCOME_WORDS[name], groups[name])
        if name is not TenantOutcome.DUPLICATE:
            yield from _largest(groups[name], "by ")
    if tracked.silent:
        yield f"  {NOT_LISTED if looked or tracked.looked_at else NO_REPORT}: {tracked.silent:,}"


def describe_unnamed_approvers(dialect: Dialect, why: str) -> str:
    """That the tenant does not show its pending approvals, why, and what the token may lack."""
    return (
        f"The tenant does not show its pending approvals ({why}), so approvers are those of the status list, which "
        f"does not tell who forwarded an approval. A user with {ADMIN_LEVEL} and the scope "
        f"{dialect.pending_approvals_scopes[0]} can see them."
    )


def last_look(tracked: TrackSummary) -> str:
    """When the tenant's list was last searched, as the end of a clause; empty if it never was."""
    return f" (last looked at {_minute(tracked.looked_at)})" if tracked.looked_at else ""


def advice(
    tracked: TrackSummary, run: str, failed: str | None = None, *, is_over: bool = True, only_plans: bool = False
) -> Iterator[str]:
    """What to do next about changes that are open, not visible, rejected, cancelled or failed; empty if all is well.

    Args:
        tracked: Their states.
        run: The run's id.
        failed: The file that has those that were rejected, cancelled or failed, if there is one.
        is_over: See `resubmission`.
        only_plans: See `resubmission`.
    """
    found = counts(tracked)
    if tracked.submitted_twice:
        yield f"{count(tracked.submitted_twice, 'change')} submitted twice: `access-batch audit {run}` lists them."
    if found[TenantOutcome.OPEN] or tracked.silent:
        yield f"To look again: access-batch track {run}"
    yield from resubmission(tracked, failed, is_over=is_over, only_plans=only_plans)


def resubmission(
    tracked: TrackSummary, failed: str | None = None, *, is_over: bool = True, only_plans: bool = False
) -> Iterator[str]:
    """How many changes were rejected, cancelled or failed, and how to submit them again; empty if none did.

    Args:
        tracked: The states of the run's changes.
        failed: The file that has these changes, if there is one.
        is_over: Whether the run has nothing left to send. Until then, its input is not submitted again.
        only_plans: Whether rows are only sent by a saved plan.
    """
    found = counts(tracked)
    if bad := [name.value for name in RESUBMITTABLE if found[name]]:
        number = sum(found[name] for name in bad)
        rest = number - tracked.requested_since
        one, those = number == 1, "it" if number == 1 else "them"
        beginning = f"{count(number, 'change')} {'was' if one else 'were'} {' or '.join(bad)}."
        if rest <= 0:
            yield f"{beginning} Another run has requested {those} since."
            return
        if tracked.requested_since:
            those = f"the {rest:,} that no other run has requested since"
        states = ",".join(bad)
        again = (
            to_send(failed, ["--resubmit", states], only_plans=only_plans)
            if failed
            else f"the same input with --resubmit {states}"
        )
        if not (is_over or failed):
            again = f"first finish this run; then {again}"
        yield f"{beginning} To submit {those}{'' if tracked.requested_since else ' again'}: {again}"


def describe_existing(tracked: TrackSummary) -> Iterator[str]:
    """How many changes the tenant answered were requested already, if nothing newer is known of them."""
    if number := sum(group.changes for group in tracked.reported if group.state == EXISTING):
        verb = "was" if number == 1 else "were"
        yield f"The tenant answered that {count(number, 'change')} {verb} requested already by others."


def _describe_open(groups: list[StatusGroup]) -> Iterator[str]:
    waiting = [group for group in groups if group.who]
    others = [group for group in groups if not group.who]
    yield from _total("awaiting approval", waiting)
    yield from _largest(_by_approver(waiting), "of ")
    yield from _total("requested already by others", [group for group in others if group.state == EXISTING])
    yield from _total("in progress", [group for group in others if group.state != EXISTING])
    unknown: Counter[str] = Counter()
    for group in groups:
        if group.state not in TENANT_OUTCOMES:
            unknown[group.state] += group.changes
    for state, number in unknown.most_common(SHOWN):
        yield f"    {number:,} in the state {state}, which this version does not know"


def _by_approver(groups: Iterable[StatusGroup]) -> list[StatusGroup]:
    """One group for each approver, without comments."""
    found: dict[str, StatusGroup] = {}
    for group in groups:
        known = found.get(group.who)
        since = min(filter(None, (group.since, known.since if known else "")), default="")
        changes = group.changes + (known.changes if known else 0)
        found[group.who] = type(group)(state=group.state, who=group.who, since=since, changes=changes)
    return list(found.values())


def _total(name: str, groups: Iterable[StatusGroup]) -> Iterator[str]:
    if number := sum(group.changes for group in groups):
        yield f"  {name}: {number:,}"


def _largest(groups: list[StatusGroup], before_who: str) -> Iterator[str]:
    """The largest groups, each with who is behind it, since when, and the comment."""
    ordered = sorted(groups, key=lambda group: (-group.changes, group.who, group.said))
    for group in ordered[:SHOWN]:
        who = f" {before_who}{group.who}" if group.who else ""
        since = f" since {_minute(group.since)}" if group.since else ""
        yield f"    {group.changes:,}{who}{since}{f': {group.said}' if group.said else ''}"
    if more := sum(group.changes for group in ordered[SHOWN:]):
        yield f"    … and {more:,} more: `access-batch track --out DIR` lists every change"


def _minute(instant: str) -> str:
    """A time of the ledger as people read it: `2026-11-26 18:09 UTC`."""
    return f"{instant[:16].replace('T', ' ')} UTC" if instant.endswith("Z") else instant
