"""`runs`, `status`, `discard`, `settle` and `ledger verify`: commands that need a ledger and no tenant."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from batch.errors import UsageError
from batch.ledger.engine import ledger_file, ledger_url
from batch.ledger.upgrade import back_up as back_up_ledger
from batch.report.summary import count_states
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.commands.runtime import Runtime, Say
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally, TrackSummary
    from batch.settings import Settings


def runs(settings: Settings, runtime: Runtime, say: Say) -> tuple[tuple[Run, Tally, TrackSummary], ...]:
    """Every run of the ledger, oldest first, with its tally and the tenant's last states."""
    with ledger_if_any(settings, runtime, say) as ledger:
        every = ledger.runs.all() if ledger else ()
        return tuple((run, ledger.runs.tally(run), ledger.tracks.summary(run)) for run in every) if ledger else ()


def status(
    settings: Settings, name: str, runtime: Runtime, say: Say, *, tenant: str = ""
) -> tuple[Run, Tally, TrackSummary]:
    """One run with its tally and the tenant's last states.

    Args:
        settings: Name the ledger.
        name: The beginning of the run's id; empty for the newest.
        runtime: Clock and process.
        say: Shows what was done to open the ledger.
        tenant: An address; consider only its tenant's runs, without imported ones; empty for all runs.

    Raises:
        UsageError: No run or more than one run matches.
    """
    with ledger_if_any(settings, runtime, say) as ledger:
        all_runs = ledger.runs.all() if ledger else ()
        tenant = ledger.tenants.name_of(tenant) if ledger else tenant
        every = [run for run in all_runs if name or not tenant or (run.tenant == tenant and not run.imported)]
        if ledger is None or not every:
            raise UsageError(
                "The ledger has no runs" + (f" for {tenant}." if tenant else "."),
                next_step="`access-batch submit INPUT` begins one.",
            )
        run = ledger.runs.named(name) if name else every[-1]
        return run, ledger.runs.tally(run), ledger.tracks.summary(run)


def discard(settings: Settings, name: str, runtime: Runtime, say: Say) -> tuple[Run, int, int]:
    """Discard the requests that a run has not sent.

    Returns:
        The run, the number of discarded requests, and the number of unconfirmed ones, which stay.

    Raises:
        UsageError: The run does not exist.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name, runtime, say) as (ledger, run, _):
        discarded = ledger.runs.discard(run, runtime.now())
        return run, discarded, count_states(ledger.runs.tally(run).requests)["unconfirmed"]


def settle_by_hand(settings: Settings, name: str, runtime: Runtime, say: Say, *, arrived: bool) -> tuple[Run, int]:
    """Settle a run's unconfirmed requests as the user found them; return the run and their number.

    Raises:
        UsageError: The run does not exist.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name, runtime, say) as (ledger, run, abandoned):
        if abandoned:
            raise UsageError(
                f"Run {run.id} has {count(abandoned, 'more unconfirmed request')} than before: its process has died.",
                next_step="Nothing was settled. Look for these requests too, then run the same command again.",
            )
        return run, ledger.runs.settle_by_hand(run, arrived=arrived, now=runtime.now())


def back_up(settings: Settings, target: Path) -> None:
    """Copy the ledger to a new file, consistently, while runs may be working.

    Raises:
        LedgerRefusedError: It can't be copied, or the file exists.
    """
    back_up_ledger(ledger_url(settings.ledger_location), target)


def verify(settings: Settings, runtime: Runtime, say: Say) -> tuple[str, ...]:
    """Everything that is wrong with the ledger.

    Raises:
        UsageError: There is no ledger.
    """
    with ledger_if_any(settings, runtime, say) as ledger:
        if ledger is None:
            raise UsageError(f"There is no ledger at {settings.ledger_location}.", next_step="Name it with --ledger.")
        return ledger.verify()


@contextmanager
def _held(settings: Settings, name: str, runtime: Runtime, say: Say) -> Iterator[tuple[Ledger, Run, int]]:
    """The ledger and one of its runs, held; and how many requests a dead process left unconfirmed."""
    run, *_ = status(settings, name, runtime, say)
    with runtime.open_ledger(settings, say) as ledger, runtime.holding(ledger, run) as abandoned:
        yield ledger, run, abandoned


@contextmanager
def ledger_if_any(settings: Settings, runtime: Runtime, say: Say, *, asked: bool = True) -> Iterator[Ledger | None]:
    """The ledger, opened; None if it is not asked for, or if its file does not exist yet."""
    file = ledger_file(ledger_url(settings.ledger_location))
    if not asked or (file is not None and not file.exists()):
        yield None
        return
    with runtime.open_ledger(settings, say) as ledger:
        yield ledger
