"""The scheduler: one true time, one source of chance, and one thing at a time.

A process is killed by never running it again; nothing of its code runs on, no `finally` either. What a history did is
noted event by event; its hash shows whether two histories were the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import os
import random
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.disk import kept
from tests.simulation.loop import SimulatedLoop
from tests.simulation.process import BEGIN, KilledError, Machine, SimulatedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from datetime import datetime
    from pathlib import Path

    from tests.simulation.options import Options

TURN: Final = 20e-6
"""Seconds that a callback takes."""

MOST_STEPS: Final = 100_000
MOST_SECONDS: Final = 24 * 3600.0


class HangsError(BaseException):
    """The history does not end."""


async def _close(loop: SimulatedLoop, left: Collection[asyncio.Task[Any]]) -> None:
    """End what a loop has left, as `asyncio.run` does."""
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()


class World:
    """Everything that exists in one history.

    Attributes:
        options: What the seed has chosen.
        folder: Holds all files.
        now: The true time, in seconds since the history began.
        database_ahead: Seconds that the clock of a team's database is ahead.
        database_started: When the database was started, by its clock.
    """

    def __init__(self, options: Options, folder: Path) -> None:
        self.folder = folder
        self.options = options
        self._streams: dict[str, random.Random] = {}
        self.now = 0.0
        self.database_ahead = self.chance("database").uniform(-7200.0, 7200.0)
        self.database_started = BEGIN - timedelta(days=1)
        self.faults = True
        self.machines: list[Machine] = []
        self.processes: list[SimulatedProcess] = []
        self._living: list[SimulatedProcess] = []
        self.current: SimulatedProcess | None = None
        self.events: list[str] = []
        self.errors: list[str] = []
        self.steps = 0
        self.hung = ""
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._pids = itertools.count(1000)

    # Time and what happens.

    def database_time(self) -> datetime:
        """What the clock of a team's database shows."""
        return BEGIN + timedelta(seconds=self.now + self.database_ahead)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Act at a time."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._numbers), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Act after some time."""
        self.at(self.now + seconds, act)

    def chance(self, purpose: str) -> random.Random:
        """The source of chance for one purpose.

        All come from the seed. Each purpose has its own, so that one call more of the product does not change the fate
        of all others: a seed then stays useful when the product changes.
        """
        if purpose not in self._streams:
            self._streams[purpose] = random.Random(f"{self.options.seed} {purpose}")  # noqa: S311 - to be repeatable
        return self._streams[purpose]

    def strikes(self, fault: str, chance: random.Random, probability: float = 1.0) -> bool:
        """Whether a fault happens now that has this probability; none does in the liveness phase."""
        drawn = chance.random()
        return self.faults and fault in self.options.faults and drawn < probability

    def note(self, who: str, what: str) -> None:
        """Add to the history; the folders' names are others each time."""
        said = what.replace(str(self.folder), "").replace(str(kept()), "")
        self.events.append(f"{self.now:12.6f} {who}: {said}")

    def note_error(self, process: SimulatedProcess, context: dict[str, Any]) -> None:
        """Note that a task or callback failed unseen."""
        if not process.dead:
            self.errors.append(f"{process.name}: {context.get('message')}: {context.get('exception')!r}")

    @property
    def hash(self) -> str:
        """Identifies what happened."""
        return hashlib.sha256("\n".join(self.events).encode()).hexdigest()[:16]

    # Processes.

    def new_process(self, machine: Machine, name: str) -> SimulatedProcess:
        process = SimulatedProcess(self, machine, name, next(self._pids))
        self.processes.append(process)
        self._living = [*(one for one in self._living if not (one.ended or one.dead)), process]
        return process

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of the current process to its end, as `asyncio.run` does, while the others go on."""
        process = self.current
        if process is None:
            raise AssertionError("No process runs.")
        loop = SimulatedLoop(process)
        process.loop = loop
        process.loops.append(loop)
        try:
            loop.enter()
            process.main = task = loop.create_task(coroutine)
            process.cancelled = False
            loop.leave()
            self._drive_of(process, task.done)
            process.main = None
            loop.enter()
            closing = loop.create_task(_close(loop, asyncio.all_tasks(loop)))
            loop.leave()
            self._drive_of(process, closing.done)
            closing.result()
            if process.cancelled and task.cancelled() and task.uncancel() == 0:
                raise KeyboardInterrupt
            return task.result()
        except HangsError:
            process.dead = True
            raise
        finally:
            if not process.dead:
                process.loop = None
                process.loops.remove(loop)
                loop.close()

    def _drive_of(self, process: SimulatedProcess, until: Callable[[], bool]) -> None:
        """Drive the world on behalf of a process that waits."""
        blocked, process.blocked = process.blocked, False
        try:
            self.drive(lambda: until() or process.dead)
        finally:
            process.blocked = blocked
        self.become(process)
        if process.dead:
            raise KilledError

    def become(self, process: SimulatedProcess | None) -> None:
        """Let a process be the one that runs: its environment is in force."""
        if process is not None and (self.current is None or self.current.machine is not process.machine):
            place = str(self.folder / process.machine.name)
            os.environ["XDG_STATE_HOME"] = os.environ["XDG_DATA_HOME"] = place
        self.current = process

    def drive(self, until: Callable[[], bool]) -> None:
        """Let things happen, in the order of their times, until a condition holds.

        Raises:
            HangsError: It never holds.
        """
        before = self.current
        try:
            while not until():
                if not self._happen():
                    raise HangsError("everything waits for something that never comes")
        finally:
            self.become(before)

    def _happen(self) -> bool:
        """Let the next thing happen; False if there is none."""
        self.steps += 1
        if self.steps > MOST_STEPS or self.now > MOST_SECONDS:
            self.hung = f"still going on after {self.steps} steps and {self.now:.0f} s"
            raise HangsError(self.hung)
        soonest, due = self._queue[0][0] if self._queue else float("inf"), []
        for process in self._living:
            if process.loop is None or process.blocked or process.dead:
                continue
            when = process.loop.next_time()
            if when is None:
                continue
            moment = max(process.machine.true_time(when), process.frozen_until, self.now)
            if moment < soonest - 1e-9:
                soonest, due = moment, [process]
            elif moment <= soonest:
                due.append(process)
        if soonest == float("inf"):
            return False
        self.now = max(self.now, soonest) + TURN
        if not due:
            heapq.heappop(self._queue)[2]()
            return True
        self._step(due[0] if len(due) == 1 else self.chance("turns").choice(due))
        return True

    def _step(self, process: SimulatedProcess) -> None:
        loop = process.loop
        if loop is None:
            raise AssertionError("The process has no loop.")
        before, hooks = self.current, sys.get_asyncgen_hooks()
        self.become(process)
        process.blocked = True
        loop.enter()
        sys.set_asyncgen_hooks(loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook)  # type: ignore[attr-defined]
        try:
            loop.step()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            loop.leave()
            process.blocked = False
            self.become(before)

    def close(self) -> None:
        """Close everything that processes left behind."""
        for process in self.processes:
            process.bury()
        self._queue.clear()
