"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: when the loop would sleep, `now` moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("Everything waits for something that never comes.")
        self.now += 1e-9  # a turn of the loop takes a moment, as in life: nobody waits forever for the last tiny bit
        if not ready and timeout is not None:
            self.now += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that waits on timers only, not on sockets.

    Args:
        work_takes: Seconds that work for a thread takes; it is done in the middle of them. 0 to do it at once.
    """

    def __init__(self, work_takes: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._work_takes = work_takes
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Time must not jump while a thread works, so there is no thread."""
        done: asyncio.Future[Any] = self.create_future()
        if self._work_takes:
            self.call_later(self._work_takes / 2, self._work, func, args, done)
        else:
            _end(done, func, args)
        return done

    def _work(self, func: Callable[..., Any], args: tuple[Any, ...], done: asyncio.Future[Any]) -> None:
        worked: asyncio.Future[Any] = self.create_future()
        _end(worked, func, args)
        self.call_later(self._work_takes / 2, _pass_on, worked, done)


def _end(done: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        done.set_result(func(*args))
    except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
        done.set_exception(error)


def _pass_on(worked: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    if done.cancelled():
        return
    if (error := worked.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(worked.result())


def run_in_virtual_time(program: Coroutine[Any, Any, Result], *, work_takes: float = 0.0) -> Result:
    """Runs a coroutine to its end at once, however long its timers are."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(work_takes)) as runner:
        return runner.run(program)


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()
