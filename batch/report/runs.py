"""Runs, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.api.tenant_outcome import OUTCOME_WORDS, TenantOutcome
from batch.ledger.machine_key import key_name
from batch.report.summary import count_states, describe_heads, describe_refused
from batch.report.track import NOT_LISTED, counts, describe_track, last_look, track_as_json
from batch.states import State
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from batch.ledger.verify_seals import Signer
    from batch.model import Run, Tally, TrackSummary
    from batch.plan.waves import WavesSummary


def describe_signers(signers: Sequence[Signer], trusted: Collection[str], file: str) -> Iterator[str]:
    """Who has signed what in a ledger, and which keys are trusted and why.

    Args:
        signers: The keys.
        trusted: The public keys that the user names.
        file: Where.
    """
    for one in signers:
        why = (
            "trusted: this machine's key"
            if one.ours
            else f"trusted: {file} names it"
            if one.public in trusted
            else "not trusted: it may belong to another machine, or to anybody"
        )
        signed = (
            f"{count(one.events, 'signature')} in {count(one.runs, 'run')}, {one.first[:10]} to {one.last[:10]}"
            if one.events
            else "no signature"
        )
        yield f"Key {one.name}: {signed}; {why}."
        yield f"  {one.public}"
    for public in sorted(set(trusted) - {one.public for one in signers if one.events}):
        yield f"Trusted key {key_name(public)}: it has signed nothing in this ledger, though {file} names it."


def run_as_json(run: Run, tally: Tally, tracked: TrackSummary) -> dict[str, Any]:
    """A run for scripts; the keys are those of `submit --json`."""
    return {
        "run": run.id,
        "tenant": run.tenant,
        "api": run.dialect,
        "inputs": list(run.inputs),
        "started_at": run.started_at.isoformat(),
        "changes": count_states(tally.changes),
        "requests": {**count_states(tally.requests), "lower_bound": run.lower_bound},
        "tracked": track_as_json(tracked) if tracked.known else None,
        "http": {"posts": tally.posts, "throttled": tally.throttled, "retried": tally.retried},
    }


def describe_run(run: Run, tally: Tally, tracked: TrackSummary, *, looked: bool = False) -> Iterator[str]:
    """A run for people; `looked` as in `describe_track`."""
    yield f"Run {run.id}, started {run.started_at:%Y-%m-%d %H:%M} UTC, to {run.tenant} ({run.dialect})"
    yield f"  input: {', '.join(run.inputs)}"
    for name, numbers in (("changes", count_states(tally.changes)), ("requests", count_states(tally.requests))):
        yield f"  {name}: " + ", ".join(f"{number:,} {word}" for word, number in numbers.items())
    if discarded := tally.changes.get(State.DISCARDED, 0):
        yield f"  discarded: {count(discarded, 'change')}"
    yield f"  attempts: {tally.posts:,}, including {tally.retried:,} repeated and {tally.throttled:,} throttled"
    if tracked.known:
        yield from describe_track(tracked, looked=looked)


def describe_rest(run: Run, tally: Tally, waves: WavesSummary | None = None) -> Iterator[str]:
    """What to do about the changes of a run that are not sent, unconfirmed or refused; empty if there are none."""
    changes = count_states(tally.changes)
    if unsent := changes["unsent"]:
        when = ""
        if waves and waves.until:
            when = f" from {waves.until:%Y-%m-%d %H:%M:%S} UTC on"
        elif waves and waves.canary_open:
            when = ", which goes on once the canary has ended well"
        drop = f"`access-batch discard {run.id}`"
        yield f"{count(unsent, 'change')} not sent: submit the same input again{when}, or {drop}."
    if unconfirmed := changes["unconfirmed"]:
        settle = f"`access-batch settle {run.id}`"
        yield f"{count(unconfirmed, 'change')} unconfirmed: submit the same input again, or {settle}."
    yield from describe_refused(changes["refused"])


def list_runs(found: Sequence[tuple[Run, Tally, TrackSummary]]) -> Iterator[str]:
    """All runs for people, one a line."""
    if not found:
        yield "The ledger has no runs."
    for run, tally, tracked in found:
        changes = count_states(tally.changes)
        open_changes = {
            "to send": changes["unsent"],
            "unconfirmed": changes["unconfirmed"],
            "refused": changes["refused"],
            "discarded": tally.changes.get(State.DISCARDED, 0),
        }
        state = ", ".join(f"{number:,} {name}" for name, number in open_changes.items() if number) or "all sent"
        if tracked.known:
            numbers = {_words(name): number for name, number in counts(tracked).items()}
            if tracked.looked_at:
                numbers[NOT_LISTED] = numbers.pop(_words("not_visible"))
            outcomes = ", ".join(f"{number:,} {words}" for words, number in numbers.items() if number)
            state = f"{state}; at the tenant {outcomes}{last_look(tracked)}"
        yield (
            f"{run.id}  {run.started_at:%Y-%m-%d %H:%M}  {changes['accepted']:>9,} of {changes['planned']:,} accepted  "
            f"{state}  {run.tenant}  {', '.join(run.inputs)}"
        )


def _words(name: str) -> str:
    """A count of `counts` in words."""
    own = {"not_visible": "without a report yet", "submitted_twice": "submitted twice"}
    return own.get(name) or OUTCOME_WORDS[TenantOutcome(name)]


def describe_discard(run: Run, discarded: int, unconfirmed: int, head: str) -> Iterator[str]:
    """What `discard` did.

    Args:
        run: The run.
        discarded: Requests that will not be sent.
        unconfirmed: Requests that may have arrived, so that they can't be discarded.
        head: The run's newest event.
    """
    if discarded:
        yield f"Run {run.id}: {count(discarded, 'request')} discarded. The ledger keeps the requests that were sent."
    else:
        yield f"Run {run.id} has nothing left to send, so nothing was discarded."
    if unconfirmed:
        yield (
            f"{count(unconfirmed, 'request')} of it may or may not have arrived, and can't be discarded. "
            f"To find out: access-batch settle {run.id}"
        )
    yield from describe_heads({run.id: head})


def describe_settled_by_hand(run: Run, requests: int, head: str, *, arrived: bool) -> Iterator[str]:
    """What `settle --arrived` or `--not-arrived` did to a number of requests."""
    if not requests:
        yield f"Run {run.id} has no unconfirmed requests, so nothing was changed."
    elif arrived:
        yield f"Run {run.id}: {count(requests, 'unconfirmed request')} recorded as accepted."
    else:
        yield (
            f"Run {run.id}: {count(requests, 'unconfirmed request')} recorded as not arrived. To send "
            f"{'it' if requests == 1 else 'them'} again, submit the run's input again."
        )
    yield from describe_heads({run.id: head})
