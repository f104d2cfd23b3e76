"""Simulated machines and processes: clocks, life and death."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from batch.ledger.machine_key import SECRET_LENGTH, MachineKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.loop import SimulatedLoop
    from tests.simulation.network import Flight
    from tests.simulation.tenant import Reply
    from tests.simulation.world import World

BEGIN: Final = datetime(2026, 11, 2, 8, tzinfo=UTC)
"""The true time at which every history begins."""


class KilledError(BaseException):
    """Unwinds the frames of a process that was killed; it does nothing any more."""


@dataclass(eq=False)
class Machine:
    """A machine: its clocks, and which of its processes are alive.

    Attributes:
        world: Tells the true time.
        name: Its name.
        drift: Seconds that its clocks gain in a second.
        ahead: Seconds that its wall clock is ahead.
        up: Seconds that it had been up when the history began.
        has_one_clock: Whether its wall clock stands in for the other.
    """

    world: World
    name: str
    drift: float
    ahead: float
    up: float
    has_one_clock: bool = False
    processes: dict[int, SimulatedProcess] = field(default_factory=dict)

    @cached_property
    def key(self) -> MachineKey:
        """What it signs with."""
        return MachineKey(self.name.encode().ljust(SECRET_LENGTH))

    def monotonic(self) -> float:
        return self.up + self.world.now * (1 + self.drift)

    def shown_monotonic(self) -> float:
        """What its processes take for a monotonic clock."""
        return self.wall().timestamp() if self.has_one_clock else self.monotonic()

    def true_time(self, monotonic: float) -> float:
        """The world's time at which the monotonic clock shows this."""
        return (monotonic - self.up) / (1 + self.drift)

    def wall(self) -> datetime:
        return BEGIN + timedelta(seconds=self.world.now * (1 + self.drift) + self.ahead)


class SimulatedProcess:
    """A process of the product.

    Attributes:
        dead: Whether it was killed.
        frozen_until: It does nothing before this time.
        loop: Its event loop, while it has one.
        blocked: Whether a call of it is being executed just now.
        commits: Transactions that it has written.
        posts: Requests to submit that it has begun to send.
        others: Other calls.
        handlers: What its event loop does at a signal.
        signals: What it does at a signal otherwise.
        main: What its event loop was started for.
        cancelled: Whether Ctrl-C has cancelled that.
        stray: The second copy of an answer, unread on its connection.
    """

    def __init__(self, world: World, machine: Machine, name: str, pid: int) -> None:
        self.world = world
        self.machine = machine
        self.name = name
        self.pid = pid
        self.dead = False
        self.ended = False
        self.frozen_until = 0.0
        self.loop: SimulatedLoop | None = None
        self.loops: list[SimulatedLoop] = []
        self.blocked = False
        self.handlers: dict[int, Callable[..., object]] = {}
        self.signals: dict[int, object] = {}
        self.flights: set[Flight] = set()
        self.engines: list[Any] = []
        self.commits = 0
        self.posts = 0
        self.others = 0
        self.dies_at_commit: tuple[int, str] | None = None
        self.dies_at_post: tuple[int, str] | None = None
        self.acts_at_commit: dict[int, Callable[[], None]] = {}
        self.freezes_at_post: tuple[int, float] | None = None
        self.interrupted_at_commit = -1
        self.main: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.stray: Reply | None = None
        machine.processes[pid] = self

    def thread_delay(self) -> float:
        """Seconds until one of its threads has done its work."""
        return self.world.chance(f"threads of {self.name}").choice((0.0, 1e-4, 1e-3, 1e-3, 5e-3))

    def do_work(self, done: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Do the work of one of its threads."""
        try:
            result = func(*args)
        except KilledError:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            if not (self.dead or done.cancelled()):
                done.set_exception(error)
            return
        if not (self.dead or done.cancelled()):
            done.set_result(result)

    def kill(self, why: str) -> None:
        """Let it do nothing more, from this moment."""
        if self.dead or self.ended:
            return
        self.world.note(self.name, f"killed: {why}")
        self.dead = True
        self.machine.processes.pop(self.pid, None)
        for flight in list(self.flights):
            flight.abort()

    def freeze(self, seconds: float) -> None:
        """Let it do nothing for so long; its machine's kernel goes on."""
        if not (self.dead or self.ended):
            self.world.note(self.name, f"is frozen for {seconds:g} s")
            self.frozen_until = self.world.now + seconds

    def interrupt(self) -> None:
        """Its user presses Ctrl-C, as Python and `asyncio.run` handle it.

        Raises:
            KeyboardInterrupt: It has no event loop just now.
        """
        if self.dead or self.ended or self.signals.get(signal.SIGINT) is signal.SIG_IGN:
            return
        if self.world.now < self.frozen_until:
            self.world.at(self.frozen_until, self.interrupt)
            return
        self.world.note(self.name, "is interrupted")
        if self.loop is None:
            raise KeyboardInterrupt
        if handler := self.handlers.get(signal.SIGINT):
            self.loop.call_soon(handler)
        elif self.main is not None and not self.cancelled:
            self.cancelled = True
            self.loop.call_soon(self.main.cancel)

    def end(self) -> None:
        """It has ended by itself."""
        self.ended = True
        self.machine.processes.pop(self.pid, None)
        for flight in list(self.flights):
            flight.abort()

    def bury(self) -> None:
        """Close what it left behind; nothing of it has an effect any more."""
        self.dead = True
        for loop in self.loops:
            loop.enter()
            try:
                closed: set[asyncio.Task[Any]] = set()
                # What is closed may start something new in its `finally`.
                while left := asyncio.all_tasks(loop) - closed:
                    closed |= left
                    for task in left:
                        setattr(task, "_log_destroy_pending", False)  # noqa: B010 - asyncio declares none
                        _close(task.get_coro())
            finally:
                loop.leave()
            with contextlib.suppress(BaseException):
                loop.close()
        self.loops.clear()
        self.loop = None
        self.close_ledger()

    def close_ledger(self) -> None:
        """Close its connections with the ledger."""
        for engine in self.engines:
            engine.dispose()
        self.engines.clear()


def _close(awaited: Any) -> None:
    """Close what a task awaits: it may await something in its `finally`, or it never began.

    It may be the end of an asynchronous generator, which has no state to ask for.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(50):
            if inspect.iscoroutine(awaited) and inspect.getcoroutinestate(awaited) == inspect.CORO_CLOSED:
                return
            with contextlib.suppress(BaseException):
                awaited.close()
