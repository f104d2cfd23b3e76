"""What the tenant says of the changes of a run, for people and for scripts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from batch.api.tenant_outcome import (
    EXISTING,
    OUTCOME_WORDS,
    RESUBMITTABLE,
    TENANT_OUTCOMES,
    TenantOutcome,
    tenant_outcome,
)
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.model import StatusGroup, TrackSummary

SHOWN: Final = 10
"""Groups of one kind that are shown: tracked.csv has every change."""

_BAD: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.FAILED)


def counts(tracked: TrackSummary) -> dict[str, int]:
    """Changes by what they have come to, all of them, and `not_visible`: those of which the tenant says nothing."""
    found: Counter[TenantOutcome] = Counter()
    for one in tracked.told:
        found[tenant_outcome(one.state, one.said)] += one.changes
    return {**{name.value: found[name] for name in TenantOutcome}, "not_visible": tracked.silent}


def track_as_json(tracked: TrackSummary) -> dict[str, Any]:
    """The counts, and in `states` the vendor's own names with theirs."""
    states: Counter[str] = Counter()
    for one in tracked.told:
        states[one.state] += one.changes
    return {**counts(tracked), "states": dict(sorted(states.items()))}


def exit_code(tracked: TrackSummary) -> int:
    """4 where something is open or not visible, else 3 where something came to nothing, else 0.

    A duplicate is good: the same is held, or was requested.
    """
    found = counts(tracked)
    if found[TenantOutcome.OPEN] or tracked.silent:
        return 4
    return 3 if any(found[name] for name in _BAD) else 0


def describe_track(tracked: TrackSummary) -> Iterator[str]:
    """What has become of the changes, who is waited for, who said no and why, and what failed."""
    groups = {
        name: [one for one in tracked.told if tenant_outcome(one.state, one.said) is name] for name in TenantOutcome
    }
    everything = sum(one.changes for one in tracked.told) + tracked.silent
    yield f"Of {count(everything, 'accepted change')} the tenant says:"
    yield from _total(OUTCOME_WORDS[TenantOutcome.PROVISIONED], groups[TenantOutcome.PROVISIONED])
    yield from _describe_open(groups[TenantOutcome.OPEN])
    for name in (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.DUPLICATE, TenantOutcome.FAILED):
        yield from _total(OUTCOME_WORDS[name], groups[name])
        if name is not TenantOutcome.DUPLICATE:
            yield from _largest(groups[name], "by ")
    if tracked.silent:
        yield f"  not visible: {tracked.silent:,}"


def advice(tracked: TrackSummary, run: str) -> Iterator[str]:
    """What to do next about changes that are open, not visible, or came to nothing; nothing where all is well."""
    found = counts(tracked)
    if found[TenantOutcome.OPEN] or tracked.silent:
        yield f"To look again: access-batch track {run}"
    yield from resubmission(tracked)


def resubmission(tracked: TrackSummary) -> Iterator[str]:
    """How many changes came to nothing, and how to submit them again; nothing where none did."""
    found = counts(tracked)
    if bad := [name.value for name in RESUBMITTABLE if found[name]]:
        number = sum(found[name] for name in bad)
        yield (
            f"{count(number, 'change')} came to nothing at the tenant. "
            f"To submit {'it' if number == 1 else 'them'} again: the same input with --resubmit {','.join(bad)}"
        )


def describe_existing(tracked: TrackSummary) -> Iterator[str]:
    """That changes were requested already, where the answers to their submits said so and nothing is newer."""
    if number := sum(one.changes for one in tracked.told if one.state == EXISTING):
        verb = "was" if number == 1 else "were"
        yield f"{count(number, 'change')} {verb} requested already by others, says the tenant."


def _describe_open(told: list[StatusGroup]) -> Iterator[str]:
    waiting = [one for one in told if one.who]
    others = [one for one in told if not one.who]
    yield from _total("awaiting approval", waiting)
    yield from _largest(_by_approver(waiting), "of ")
    yield from _total("requested already by others", [one for one in others if one.state == EXISTING])
    yield from _total("in progress", [one for one in others if one.state != EXISTING])
    unknown: Counter[str] = Counter()
    for one in told:
        if one.state not in TENANT_OUTCOMES:
            unknown[one.state] += one.changes
    for state, number in unknown.most_common(SHOWN):
        yield f"    {number:,} in the state {state}, which this version does not know"


def _by_approver(told: Iterable[StatusGroup]) -> list[StatusGroup]:
    """The same without what was said: one for each approver."""
    found: dict[str, StatusGroup] = {}
    for one in told:
        known = found.get(one.who)
        since = min(filter(None, (one.since, known.since if known else "")), default="")
        changes = one.changes + (known.changes if known else 0)
        found[one.who] = type(one)(state=one.state, who=one.who, since=since, changes=changes)
    return list(found.values())


def _total(name: str, told: Iterable[StatusGroup]) -> Iterator[str]:
    if number := sum(one.changes for one in told):
        yield f"  {name}: {number:,}"


def _largest(told: list[StatusGroup], before_who: str) -> Iterator[str]:
    """The largest groups, each with who is behind it, since when, and what was said."""
    said = sorted(told, key=lambda one: (-one.changes, one.who, one.said))
    for one in said[:SHOWN]:
        who = f" {before_who}{one.who}" if one.who else ""
        since = f" since {_minute(one.since)}" if one.since else ""
        yield f"    {one.changes:,}{who}{since}{f': {one.said}' if one.said else ''}"
    if more := sum(one.changes for one in said[SHOWN:]):
        yield f"    … and {more:,} more: `access-batch track --out DIR` lists every change"


def _minute(instant: str) -> str:
    """An instant of the ledger for people: `2026-11-26 18:09 UTC`."""
    return f"{instant[:16].replace('T', ' ')} UTC" if instant.endswith("Z") else instant
