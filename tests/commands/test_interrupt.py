"""Ctrl-C and SIGTERM: the first asks to stop in good order, each further one at once."""

from __future__ import annotations

import asyncio
import os
import signal

from batch.commands.interrupt import on_interrupt


async def test_the_first_ctrl_c_stops_in_good_order_and_the_next_at_once() -> None:
    called: list[str] = []
    calls: asyncio.Queue[str] = asyncio.Queue()
    with on_interrupt(
        first=lambda: calls.put_nowait("first"), second=lambda: calls.put_nowait("second")
    ) as interruption:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            called.append(await asyncio.wait_for(calls.get(), timeout=300))
    assert called == ["first", "second", "second"]
    assert interruption.asked == 3


async def test_ctrl_c_is_pythons_own_after_the_block() -> None:
    before = signal.getsignal(signal.SIGINT)
    with on_interrupt(first=lambda: None, second=lambda: None) as interruption:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interruption.asked == 0
