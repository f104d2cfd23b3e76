"""`runs`, `status`, `discard`, `settle`, `ledger verify`, `backup`, `export`, `move`: commands without a tenant."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch.errors import SettingsError, UsageError
from batch.files import read_small
from batch.ledger.address import ledger_url
from batch.ledger.relocation import Mover, address, relocate
from batch.ledger.upgrade import back_up as back_up_ledger
from batch.plan.waves import Moment, summed_up
from batch.report.export_files import write_table
from batch.report.runs import describe_signers, run_as_json
from batch.report.summary import count_states, waves_as_json
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from batch.commands.runtime import Runtime, Say
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally, TrackSummary
    from batch.plan.waves import WavesSummary
    from batch.report.export_files import ExportFormat
    from batch.settings import Settings


def runs(settings: Settings, runtime: Runtime, say: Say) -> tuple[tuple[Run, Tally, TrackSummary], ...]:
    """Every run of the ledger, oldest first, with its tally of each change once and the tenant's last states."""
    with runtime.existing_ledger(settings, say, only_read=True) as ledger:
        return tuple(_standing(ledger, run) for run in ledger.runs.all())


def status(
    settings: Settings, name: str, runtime: Runtime, say: Say, *, tenant: str = ""
) -> tuple[Run, Tally, TrackSummary]:
    """One run with its tally, which has each change once, and the tenant's last states.

    Args:
        settings: Name the ledger.
        name: The beginning of the run's id; empty for the newest.
        runtime: Clock and process.
        say: Shows what was done to open the ledger.
        tenant: An address; consider only its tenant's runs, without imported ones; empty for all runs.

    Raises:
        UsageError: There is no ledger, or no run or more than one run matches.
    """
    with runtime.existing_ledger(settings, say, only_read=True) as ledger:
        tenant = ledger.tenants.name_of(tenant)
        every = [run for run in ledger.runs.all() if name or not tenant or (run.tenant == tenant and not run.imported)]
        if not every:
            raise UsageError(
                "The ledger has no runs" + (f" for {tenant}." if tenant else "."),
                next_step="`access-batch submit INPUT` begins one.",
            )
        run = ledger.runs.named(name) if name else every[-1]
        return _standing(ledger, run)


def waves_of(settings: Settings, run: Run, runtime: Runtime, say: Say) -> WavesSummary | None:
    """How far a run has come that is sent in waves; None for another one."""
    with runtime.existing_ledger(settings, say, only_read=True) as ledger:
        return sum_up_waves(ledger, run, runtime)


def sum_up_waves(ledger: Ledger, run: Run | None, runtime: Runtime) -> WavesSummary | None:
    """How far a run has come that is sent in waves; None for another one, and once everything was sent."""
    progress = ledger.waves.progress(run) if run else None
    if progress is None or not (progress.limit.changes or progress.canary):
        return None
    return summed_up(progress, Moment.now(runtime.clock))


def run_now(ledger: Ledger, run: Run, runtime: Runtime) -> dict[str, Any]:
    """A run as `status --json` shows it."""
    return {**run_as_json(*_standing(ledger, run)), "waves": waves_as_json(sum_up_waves(ledger, run, runtime))}


def _standing(ledger: Ledger, run: Run) -> tuple[Run, Tally, TrackSummary]:
    """A run, its tally with each change once, and the tenant's last states."""
    tally = replace(ledger.runs.tally(run), changes=ledger.runs.each_once(run))
    return run, tally, ledger.tracks.summary(run)


def discard(settings: Settings, name: str, runtime: Runtime, say: Say) -> tuple[Run, int, int, str]:
    """Discard the requests that a run has not sent.

    Returns:
        The run, the number of discarded requests, the number of unconfirmed ones, which stay, and the run's head.

    Raises:
        UsageError: The run does not exist.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name, runtime, say) as (ledger, run, _):
        discarded = ledger.runs.discard(run, runtime.now())
        return run, discarded, count_states(ledger.runs.tally(run).requests)["unconfirmed"], ledger.head(run).short


def settle_by_hand(settings: Settings, name: str, runtime: Runtime, say: Say, *, arrived: bool) -> tuple[Run, int, str]:
    """Settle a run's unconfirmed requests as the user found them; return the run, their number and the run's head.

    Raises:
        UsageError: The run does not exist, or what the user says can't be true.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name, runtime, say) as (ledger, run, abandoned):
        if abandoned:
            raise UsageError(
                f"Run {run.id} has {count(abandoned, 'more unconfirmed request')} than before: its process has died.",
                next_step="Nothing was settled. Look for these requests too, then run the same command again.",
            )
        known = sum(doubt.arrived for doubt in ledger.requests.doubts(run)) if not arrived else 0
        if known:
            raise UsageError(
                f"{count(known, 'unconfirmed request')} of run {run.id} shared a body with a request that has arrived, "
                "so each of them has arrived too, and must not be sent again.",
                next_step=f"Nothing was settled. To look for them: access-batch settle {run.id}",
            )
        settled = ledger.runs.settle_by_hand(run, arrived=arrived, now=runtime.now())
        return run, settled, ledger.head(run).short


def back_up(settings: Settings, target: Path) -> None:
    """Copy the ledger to a new file, consistently, while runs may be working.

    Raises:
        LedgerRefusedError: It can't be copied, or the file exists.
    """
    back_up_ledger(ledger_url(settings.ledger_location, insecure=settings.ledger_insecure), target)


def export(
    settings: Settings, folder: Path, form: ExportFormat, runtime: Runtime, say: Say
) -> dict[str, tuple[str, int]]:
    """Write the ledger's tables to files; return the path and the number of rows of each, by the table's name.

    Raises:
        SettingsError: A file can't be written.
        UsageError: There is no ledger.
    """
    files: dict[str, tuple[str, int]] = {}
    troubles: list[str] = []

    def take(name: str, rows: pl.DataFrame) -> None:
        if path := write_table(folder, name, rows, form=form, complain=troubles.append):
            files[name] = path, rows.height

    with runtime.existing_ledger(settings, say, only_read=True) as ledger:
        ledger.export(take)
    if troubles:
        raise SettingsError(troubles[0], next_step="The other files were written. The ledger stays as it is.")
    return files


def move(source: str, target: str, settings: Settings, runtime: Runtime, say: Say) -> tuple[str, int]:
    """Move the ledger at one path or URL to another; return the new place, and how many rows were copied just now.

    Raises:
        UsageError: There is no ledger, or it can't be moved there.
        RunHeldError: A process works on one of its runs.
    """
    mover = Mover(
        now=runtime.now,
        key=runtime.key,
        process=runtime.process,
        move=runtime.new_id(),
        memory=runtime.heads,
        say=say,
    )
    old, new = (ledger_url(place, insecure=settings.ledger_insecure) for place in (source, target))
    return address(new), relocate(old, new, mover)


def verify(
    settings: Settings, runtime: Runtime, say: Say, *, head: str = "", trust: str = "", backed_up: bool = False
) -> tuple[str, ...]:
    """Everything that is wrong with the ledger; says who has signed what.

    Args:
        settings: The ledger.
        runtime: This machine's key.
        say: Takes messages.
        head: From the end of a summary; empty to look for none.
        trust: A file with the public keys of other machines, one a line; empty for none.
        backed_up: Whether the ledger's database was backed up for an upgrade.

    Raises:
        UsageError: There is no ledger, or the head or a line of the file can't be read.
    """
    require_head(head)
    trusted = keys_in(Path(trust)) if trust else frozenset()
    with runtime.existing_ledger(settings, say, only_read=True, backed_up=backed_up) as ledger:
        for line in describe_signers(ledger.signers(), trusted, trust):
            say(line)
        say(*_how_old(ledger, runtime))
        findings = ledger.verify()
        number, _, digits = head.partition(":")
        if head and not ledger.has_head(int(number), digits):
            findings = (
                f"no run has the head {head}: the ledger was cut off, put back or changed since then",
                *findings,
            )
        return findings


def _how_old(ledger: Ledger, runtime: Runtime) -> Iterator[str]:
    """Whether the ledger is behind what this machine has seen of it, if it has seen anything."""
    if (heads := runtime.heads) is None or not (seen := heads.seen(ledger.gaps.ledger_id(), None)):
        return
    if lost := ledger.gaps.lost(seen):
        yield (
            f"This ledger is behind, as a backup is: this machine has seen newer events of {count(len(lost), 'run')}, "
            f"such as event {lost[0].number} of run {lost[0].run}. If it takes the ledger's place, requests sent since "
            "then are looked up at the tenant first."
        )
    else:
        yield "It is not behind what this machine has seen of it."


def require_head(head: str) -> None:
    """Check that a text is a head, or empty.

    Raises:
        UsageError: It is not.
    """
    if head and not _HEAD.fullmatch(head):
        raise UsageError(
            f"{head[:80]} is not a head.", next_step="Copy it from the end of a summary: 412:9f86d081884c7d65."
        )


_HEAD: Final = re.compile(r"[1-9][0-9]{0,9}:[0-9a-f]{16,64}", re.ASCII)
KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""A public key of a machine."""


def keys_in(path: Path) -> frozenset[str]:
    """The public keys in a file, one a line, each before a comment.

    Raises:
        UsageError: It can't be read, or a line holds something else.
    """
    read = read_small(path, next_step=_KEY_HELP, pipe=True)
    if read is None:
        raise UsageError(f"There is no file of trusted keys {path}.", next_step=_KEY_HELP)
    keys = first_words(read.text)
    if strange := next((key for key in keys if not KEY.fullmatch(key)), None):
        raise UsageError(f"The file {path} holds {strange[:80]}, which is not a public key.", next_step=_KEY_HELP)
    return frozenset(keys)


def first_words(text: str) -> list[str]:
    """The first word of each line that is no comment."""
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("#")]


_KEY_HELP: Final = (
    "Each line is a public key of 64 digits, as `ledger verify` shows it on the other machine, and a comment after it."
)


@contextmanager
def _held(settings: Settings, name: str, runtime: Runtime, say: Say) -> Iterator[tuple[Ledger, Run, int]]:
    """The ledger and one of its runs, held; and how many requests a dead process left unconfirmed."""
    run, *_ = status(settings, name, runtime, say)
    with runtime.open_ledger(settings, say) as ledger, runtime.holding(ledger, run) as abandoned:
        yield ledger, run, abandoned
