"""Settling the doubts of runs: beside a run that is being sent, or alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from batch.commands.interrupt import on_interrupt
from batch.errors import AccessBatchError, RunHeldError, StoppedError
from batch.loops.send import HEARTBEAT
from batch.loops.settle import Settler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from contextlib import ExitStack

    from batch.answers.events import Tell
    from batch.commands.runtime import Runtime
    from batch.commands.session import SessionFactory, TenantSession
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.settings import Settings


def hold_free(stack: ExitStack, runtime: Runtime, ledger: Ledger, names: Iterable[str]) -> list[Run]:
    """Hold those of some runs on which no other process works, for as long as `stack` lasts."""
    held = []
    for name in names:
        run = ledger.runs.named(name)
        with suppress(RunHeldError):
            stack.enter_context(runtime.holding(ledger, run))
            held.append(run)
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
        settle_after=settings.settle_after,
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

        with on_interrupt(first=stop, second=stop) as interruption:
            await asyncio.gather(waiting, return_exceptions=True)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        error = settler.error
        if error is not None and not isinstance(error, StoppedError):
            raise error
        return error, bool(interruption.asked)


async def _until_settled(settler: Settler) -> None:
    while settler.open:
        await settler.news()
