"""Ctrl-C: the first stops in good order, the second at once. Both are safe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_SIGNALS: Final = tuple(signal.Signals[name] for name in _NAMES if hasattr(signal, name))
"""Ctrl-C, an end by the system, a terminal that was closed, and Ctrl-\\. Windows lacks the last two."""

_OFTEN_IGNORED: Final = frozenset({"SIGHUP", "SIGQUIT"})
"""`nohup` and shells have background programs ignore these, which then stays so."""


class _Ending:
    """Ends the program as Ctrl-C does.

    Attributes:
        has_arrived: Whether a signal has. Python ignores the error if it runs a callback of its own just then.
    """

    def __init__(self) -> None:
        self.has_arrived = False

    def __call__(self, _number: int, _frame: object) -> None:
        self.has_arrived = True
        raise KeyboardInterrupt


class Interruption:
    """How often the user has asked to stop, also if the event loop ended before it could do anything about it."""

    def __init__(self) -> None:
        self.asked = 0


@contextlib.contextmanager
def on_interrupt(
    *, first: Callable[[], None], second: Callable[[], None], hurry: Callable[[], None] = lambda: None
) -> Iterator[Interruption]:
    """While the block runs, the first Ctrl-C (or its like) calls `first`, and every further one `second`.

    Every further one calls `hurry` too, which ends the threads' waits for a database that has gone.

    If the event loop can't handle signals (Windows), Ctrl-C ends the loop at once, as `second` does.

    Raises:
        KeyboardInterrupt: A signal has arrived before, and its error was lost.
    """
    interruption = Interruption()
    told = 0

    def count(_number: int, _frame: object) -> None:
        interruption.asked += 1

    def interrupted() -> None:
        nonlocal told
        told += 1
        interruption.asked = max(interruption.asked, told)
        if told > 1:
            hurry()
        (first if told == 1 else second)()

    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is signal.SIG_IGN and number.name in _OFTEN_IGNORED:
                continue
            if isinstance(before, _Ending) and before.has_arrived:
                raise KeyboardInterrupt
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, interrupted)
                if number is not signal.SIGINT or isinstance(before, _Ending):
                    # The loop puts back the system's own handler, and Python's for Ctrl-C.
                    stack.callback(signal.signal, number, before)
                stack.callback(loop.remove_signal_handler, number)
                # The loop hears of a signal later, and perhaps never if it is about to end: so count at once.
                signal.signal(number, count)
        try:
            yield interruption
        finally:
            # The end of the command, in which Ctrl-C may do nothing, does not wait for a database either.
            if interruption.asked:
                hurry()


def end_as_by_ctrl_c() -> None:
    """From now on, every signal that ends this program does so as Ctrl-C does: with a message, and in order."""
    ending = _Ending()
    for number in _SIGNALS:
        before = signal.getsignal(number)
        if before in {signal.SIG_DFL, signal.default_int_handler} or isinstance(before, _Ending):
            signal.signal(number, ending)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """While the block runs, Ctrl-C and its like do nothing. For a short block that reports how everything ended."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
