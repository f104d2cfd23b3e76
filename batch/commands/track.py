"""`track`, and what `submit --wait` does after sending: accepted changes are followed to their ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batch.commands.interrupt import on_interrupt
from batch.commands.preview import status
from batch.commands.session import SANDBOX_FORGETS, NoticeListener, SessionFactory, find_access
from batch.errors import StoppedError, UsageError
from batch.ledger.store import Ledger
from batch.loops.track import Tracker
from batch.report.files import make_folder, write_tracked
from batch.report.log_file import LogFile
from batch.report.runs import describe_run, run_as_json
from batch.report.screen import duration
from batch.report.summary import count_states
from batch.report.track import advice, describe_track, exit_code, track_as_json
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.commands.screen import Screen
    from batch.model import ChangeStatus, Run, Tally, TrackSummary
    from batch.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackResult:
    """How `track` ended.

    Attributes:
        run: The run.
        tally: How far it has come.
        tracked: What the tenant last said of its accepted changes.
        file: Where each change stands with that; None where no folder was given.
        elapsed: Seconds that this process took.
        stopped: Why following stopped early, if it did.
        interrupted: Whether the user stopped it.
    """

    run: Run
    tally: Tally
    tracked: TrackSummary
    file: str | None
    elapsed: float
    stopped: StoppedError | None
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """130, 4, 3 or 0, as documented: 4 also where something of the run was not sent, or is unconfirmed."""
        if self.interrupted:
            return 130
        return 4 if self._unsent() else exit_code(self.tracked)

    def as_json(self) -> dict[str, Any]:
        """The run as `status --json` shows it, and what is this command's own."""
        return {
            **run_as_json(self.run, self.tally, self.tracked),
            "tracked": track_as_json(self.tracked),
            "files": {"tracked": self.file},
            "elapsed_s": round(self.elapsed, 3),
        }

    def describe(self) -> Iterator[str]:
        """The same for people."""
        yield from describe_run(self.run, self.tally, self.tracked)
        if not self.tracked.told and self.tracked.silent:
            yield from describe_track(self.tracked)
        if self.file:
            yield f"  tracked: {self.file}"
        yield from advice(self.tracked, self.run.id)
        if unsent := self._unsent():
            yield f"{count(unsent, 'change')} of the run not sent or unconfirmed: submit its input again."

    def _unsent(self) -> int:
        changes = count_states(self.tally.changes)
        return changes["unsent"] + changes["unconfirmed"]


def track(settings: Settings, name: str, screen: Screen) -> TrackResult:
    """Follows the accepted changes of a run.

    Args:
        settings: Say which tenant and which ledger, and how long to follow.
        name: The beginning of the run's id; empty for the tenant's newest.
        screen: For messages.

    Raises:
        UsageError: There is no such run, it is another tenant's, or it was imported.
    """
    began = time.monotonic()
    access = find_access(settings)
    if settings.sandbox:
        screen.say(SANDBOX_FORGETS)
    screen.say(*access.notices)
    run, *_ = status(settings, name, tenant=access.tenant)
    if run.tenant != access.tenant:
        raise UsageError(
            f"Run {run.id} was submitted to {run.tenant}, not to {access.tenant}.",
            next_step="Name that tenant with --base-url or --profile.",
        )
    if run.imported:
        raise UsageError(
            f"Run {run.id} is what was imported from the tenant.",
            next_step="`access-batch ledger import` again brings it up to date.",
        )
    if settings.out is not None:
        make_folder(settings.out, [])
    with (
        SessionFactory(settings, access) as sessions,
        LogFile.open(settings.log_file, clock=_now, complain=screen.complain) as log,
        Ledger.open(settings.ledger_location, sandbox=settings.sandbox, now=_now()) as ledger,
    ):
        screen.say(*ledger.notices)
        stopped, interrupted = track_run(ledger, run, settings, screen, sessions, log)
        changes = ledger.tracks.of_run(run) if settings.out is not None else None
        return TrackResult(
            run=run,
            tally=ledger.runs.tally(run),
            tracked=ledger.tracks.told(run),
            file=write_tracked(settings.out, run.id, changes) if settings.out and changes is not None else None,
            elapsed=time.monotonic() - began,
            stopped=stopped,
            interrupted=interrupted,
        )


def track_run(
    ledger: Ledger, run: Run, settings: Settings, screen: Screen, sessions: SessionFactory, log: LogFile
) -> tuple[StoppedError | None, bool]:
    """Follows a run until nothing of it is open; returns why that stopped early, and whether the user did it."""
    log.about(run)
    return asyncio.run(_track_run(ledger, run, settings, sessions, _TrackReporter(run, screen, log)))


async def _track_run(
    ledger: Ledger, run: Run, settings: Settings, sessions: SessionFactory, telling: _TrackReporter
) -> tuple[StoppedError | None, bool]:
    async with sessions.line(ledger, telling) as line:
        tracker = Tracker(
            run,
            ledger=ledger,
            listing=line.tenant.statuses,
            settle_after=settings.settle_after,
            clock=_now,
            listener=telling,
            track_for=settings.track_for,
        )
        with on_interrupt(first=tracker.stop, second=tracker.stop) as interruption:
            try:
                await tracker.track()
            except StoppedError as error:
                return error, False
        return None, bool(interruption.asked)


class _TrackReporter(NoticeListener):
    """Tells the user and the log what is found while a run is followed.

    Args:
        run: The run.
        screen: Where to.
        log: Likewise.
    """

    EVERY = 10.0
    """Seconds between two lines of progress."""

    def __init__(self, run: Run, screen: Screen, log: LogFile) -> None:
        super().__init__(screen)
        self._run = run
        self._out = screen
        self._log = log
        self._told_at = -self.EVERY

    def waiting(self, seconds: float, reason: str) -> None:
        """Nothing is asked for a while."""
        super().waiting(seconds, reason)
        self._log.waiting(seconds, reason)

    def paced(self, allowed: int) -> None:
        """The pace has changed."""
        self._log.paced(allowed)

    def noticed(self, text: str) -> None:
        """Something is worth telling once."""
        super().noticed(text)
        self._log.noticed(text)

    def moved(self, findings: Sequence[ChangeStatus]) -> None:
        """The tenant says something new."""
        groups = Counter((one.request, one.state, one.said) for one in findings)
        for (request, state, said), changes in groups.items():
            self._log.tracked(f"{self._run.id}-{request}", changes, state, said)

    def looked(self, open_changes: int, wait: float) -> None:
        """A look has ended."""
        now = time.monotonic()
        if open_changes and now - self._told_at >= self.EVERY:
            self._told_at = now
            then = f"; the next look is in {duration(wait)}" if wait > 0 else ""
            self._out.say(f"{count(open_changes, 'change')} still open{then}.")


def _now() -> datetime:
    return datetime.now(UTC)
