"""An event loop that a scheduler drives: it never waits, and it runs one callback at a time."""

from __future__ import annotations

import asyncio
import heapq
import threading
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.process import SimulatedProcess


class _NoSelector:
    """Stands for the selector: nothing in a simulation waits for files."""

    def select(self, _timeout: float | None) -> list[object]:
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """The event loop of one process.

    Args:
        process: Its machine's clock tells the time.
    """

    def __init__(self, process: SimulatedProcess) -> None:
        super().__init__()
        self._process = process
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inside: Any = cast("Any", self)  # asyncio declares no types for what this class is about
        self._inside._selector = _NoSelector()
        self._inside._clock_resolution = 1e-9

    def time(self) -> float:
        return self._process.machine.monotonic()

    def next_time(self) -> float | None:
        """When it has something to do, by its own clock; None for never."""
        scheduled = self._inside._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if self._inside._ready:
            return self.time()
        return cast("float", scheduled[0]._when) if scheduled else None

    def step(self) -> None:
        """Run one callback."""
        scheduled, ready = self._inside._scheduled, self._inside._ready
        until = self.time() + 1e-9
        while scheduled and scheduled[0]._when <= until:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
                return

    def enter(self) -> None:
        """Be the running loop."""
        self._inside._thread_id = threading.get_ident()
        asyncio._set_running_loop(self)

    def leave(self) -> None:
        """Be no longer the running loop."""
        self._inside._thread_id = None
        asyncio._set_running_loop(None)

    def create_task(self, coro: Any, **of: Any) -> asyncio.Task[Any]:
        """Create a task and hold it: the garbage collector must not decide when a dead process's tasks end."""
        task: asyncio.Task[Any] = super().create_task(coro, **of)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do a thread's work a little later, in one piece."""
        done: asyncio.Future[Any] = self.create_future()
        self.call_later(self._process.thread_delay(), self._process.do_work, done, func, args)
        return done

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *_args: Any) -> None:  # type: ignore[override]
        self._process.handlers[sig] = callback

    def remove_signal_handler(self, sig: int) -> bool:
        return self._process.handlers.pop(sig, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._process.world.note_error(self._process, context)

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, _events: object) -> None:
        pass
