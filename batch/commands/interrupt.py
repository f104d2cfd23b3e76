"""Ctrl-C: the first stops in good order, the second at once. Both are safe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """How often the user has asked to stop."""

    def __init__(self) -> None:
        self.asked = 0


@contextlib.contextmanager
def on_interrupt(*, first: Callable[[], None], second: Callable[[], None]) -> Iterator[Interruption]:
    """While the block runs, the first Ctrl-C (or SIGTERM) calls `first`, and every further one `second`.

    If the event loop can't handle signals (Windows), Ctrl-C ends the loop at once, as `second` does.
    """
    interruption = Interruption()

    def interrupted() -> None:
        interruption.asked += 1
        (first if interruption.asked == 1 else second)()

    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for number in _SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, interrupted)
                stack.callback(loop.remove_signal_handler, number)
        yield interruption


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """While the block runs, Ctrl-C and SIGTERM do nothing. For a short block that reports how everything ended."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
