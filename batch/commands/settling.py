"""Settling the doubts of runs: beside a run that is being sent, or alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.commands.interrupt import on_interrupt
from batch.commands.session import SessionFactory, find_access, notices_on
from batch.errors import AccessBatchError, RunHeldError, StoppedError, UnconfirmedError, UsageError
from batch.loops.send import HEARTBEAT
from batch.loops.settle import Settler
from batch.report.messages import by_hand, describe_unconfirmed
from batch.report.summary import count_states, describe_heads
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from contextlib import ExitStack

    from batch.answers.events import Tell
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import TenantSession
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.settings import Settings


def hold_free(stack: ExitStack, runtime: Runtime, ledger: Ledger, names: Iterable[str]) -> list[Run]:
    """Hold those of some runs on which no other process works, for as long as `stack` lasts.

    Raises:
        LedgerChangedError: Somebody has changed the ledger.
    """
    held = []
    for name in names:
        run = ledger.runs.named(name)
        with suppress(RunHeldError):
            stack.enter_context(runtime.holding(ledger, run))
            ledger.requests.check(run)
            held.append(run)
    if held:
        ledger.plans.check_all()
    return held


@asynccontextmanager
async def beating(ledger: Ledger, runs: Sequence[Run], runtime: Runtime) -> AsyncIterator[None]:
    """Tell other machines that this process works on these runs, while the block lasts."""
    beats = asyncio.ensure_future(_beat(ledger, runs, runtime))
    try:
        yield
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)


async def _beat(ledger: Ledger, runs: Sequence[Run], runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        for run in runs:
            # A run that was lost is not settled twice: each verdict is compare-and-set.
            with suppress(AccessBatchError):
                await asyncio.to_thread(ledger.runs.beat, run, runtime.process, runtime.now())


def settler_of(
    ledger: Ledger, session: TenantSession, settings: Settings, runtime: Runtime, tell: Tell, runs: Sequence[Run]
) -> Settler:
    """A settler that has taken on the doubts of these runs, which this process must hold."""
    settler = Settler(
        ledger=ledger,
        listing=session.tenant.statuses,
        holdings=session.tenant.holdings,
        settle_after=settings.settle_after,
        process=runtime.process,
        clock=runtime.clock,
        tell=tell,
    )
    for run in runs:
        settler.add(ledger.requests.doubts(run))
    return settler


def settle_alone(
    ledger: Ledger, runs: Sequence[Run], settings: Settings, sessions: SessionFactory, runtime: Runtime, tell: Tell
) -> tuple[StoppedError | None, bool]:
    """Settle the doubts of runs, as far as the tenant's list decides; nothing is sent.

    Returns:
        Why it ended early, if it did, and whether the user interrupted it.
    """
    return asyncio.run(_settle(ledger, runs, settings, sessions, runtime, tell))


async def _settle(
    ledger: Ledger, runs: Sequence[Run], settings: Settings, sessions: SessionFactory, runtime: Runtime, tell: Tell
) -> tuple[StoppedError | None, bool]:
    async with sessions.open(ledger, tell) as session, beating(ledger, runs, runtime):
        settler = settler_of(ledger, session, settings, runtime, tell, runs)
        work = asyncio.ensure_future(settler.run())
        waiting = asyncio.ensure_future(_until_settled(settler))

        def stop() -> None:
            waiting.cancel()

        with on_interrupt(first=stop, second=stop, hurry=ledger.hurry) as interruption:
            await asyncio.gather(waiting, return_exceptions=True)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        error = settler.error
        if error is not None and not isinstance(error, StoppedError):
            raise error
        if error is None and settler.unconfirmed and not interruption.asked:
            error = still_unconfirmed(settler)
        return error, bool(interruption.asked)


async def _until_settled(settler: Settler) -> None:
    while settler.open and not settler.stuck:
        await settler.news().wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledRun:
    """What the tenant's list showed of a run's unconfirmed changes.

    Attributes:
        run: The run.
        arrived: Changes that had arrived.
        not_arrived: Changes that had not, and are planned again.
        unconfirmed: Changes that stay unconfirmed.
        head: The run's newest event, as `ledger verify --head` takes it.
        stopped: Why, if the reason is known.
        interrupted: Whether the user ended it.
    """

    run: Run
    arrived: int = 0
    not_arrived: int = 0
    unconfirmed: int = 0
    head: str
    stopped: StoppedError | None = None
    interrupted: bool = False

    def describe(self) -> Iterator[str]:
        """The outcome of the changes."""
        if self.arrived or self.not_arrived or self.unconfirmed:
            again = f" To send the {self.not_arrived:,} again, submit the run's input." if self.not_arrived else ""
            yield (
                f"Run {self.run.id}: {count(self.arrived, 'change')} had arrived, {self.not_arrived:,} had not, "
                f"{self.unconfirmed:,} still unconfirmed.{again}"
            )
        else:
            yield f"Run {self.run.id} has nothing to settle."
        yield from describe_heads({self.run.id: self.head})


def settle_run(name: str, settings: Settings, screen: Screen, runtime: Runtime) -> SettledRun:
    """Settle a run's unconfirmed requests by the tenant's list, without its input. Nothing is sent.

    Args:
        name: The beginning of the run's id.
        settings: Tenant and ledger.
        screen: For messages.
        runtime: Clock, randomness and process.

    Raises:
        UsageError: The run does not exist, or was submitted to another tenant.
        RunHeldError: Another process works on it.
        LedgerChangedError: Somebody has changed the ledger: other runs' requests are the controls.
        StoppedError: The tenant can't be reached.
    """
    access = find_access(settings)
    screen.say(*access.notices)
    with SessionFactory(settings, access, runtime) as sessions, runtime.existing_ledger(settings, screen.say) as ledger:
        run = ledger.runs.named(name)
        tell = notices_on(screen)
        sessions.identify(ledger, tell)
        if run.tenant != ledger.tenants.name_of(access.tenant):
            raise UsageError(
                f"Run {run.id} was submitted to {run.tenant}, not {access.tenant}.",
                next_step="`access-batch runs` lists the runs of each tenant.",
            )
        with runtime.holding(ledger, run):
            ledger.plans.check_all()
            ledger.requests.check(run)
            before = count_states(ledger.runs.tally(run).changes)
            if not before["unconfirmed"]:
                return SettledRun(run=run, head=ledger.head(run).short)
            screen.say(f"Looking for {count(before['unconfirmed'], 'unconfirmed change')} of run {run.id} …")
            stopped, interrupted = settle_alone(ledger, [run], settings, sessions, runtime, tell)
            after = count_states(ledger.runs.tally(run).changes)
            head = ledger.head(run).short
    return SettledRun(
        run=run,
        arrived=after["accepted"] - before["accepted"],
        not_arrived=after["unsent"] - before["unsent"],
        unconfirmed=after["unconfirmed"],
        head=head,
        stopped=stopped,
        interrupted=interrupted,
    )


def still_unconfirmed(settler: Settler) -> UnconfirmedError:
    """The end of a command that could not settle everything, with the reasons and what to do."""
    runs = settler.unconfirmed_runs
    if settler.forbidden and (words := by_hand(runs)):
        return UnconfirmedError(
            f"The tenant does not let this client look for unconfirmed requests: {settler.forbidden}.",
            next_step="Wait as long as --settle-after says, since they may arrive late. Then look for them in the "
            f"tenant's access requests; the results.csv of submit lists them. {words}",
        )
    message, next_step = describe_unconfirmed(Counter(settler.unconfirmed.values()), runs)
    return UnconfirmedError(message, next_step=next_step)
