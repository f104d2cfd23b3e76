"""Ctrl-C and SIGTERM: the first asks to stop in good order, each further one at once."""

from __future__ import annotations

import asyncio
import os
import signal
import weakref
from typing import TYPE_CHECKING

import pytest

from batch.commands.interrupt import end_as_by_ctrl_c, on_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_the_first_ctrl_c_stops_in_good_order_and_the_next_at_once() -> None:
    called: list[str] = []
    calls: asyncio.Queue[str] = asyncio.Queue()
    with on_interrupt(
        first=lambda: calls.put_nowait("first"), second=lambda: calls.put_nowait("second")
    ) as interruption:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
            os.kill(os.getpid(), number)
            called.append(await asyncio.wait_for(calls.get(), timeout=300))
    assert called == ["first", "second", "second", "second"]
    assert interruption.asked == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_just_before_the_end_of_the_block_counts(number: signal.Signals) -> None:
    with on_interrupt(first=lambda: None, second=lambda: None) as interruption:
        signal.raise_signal(number)
    assert interruption.asked == 1


@pytest.mark.parametrize("times", [0, 1])
async def test_the_end_of_an_interrupted_command_waits_for_no_database(times: int) -> None:
    hurried: list[int] = []
    with on_interrupt(first=lambda: None, second=lambda: None, hurry=lambda: hurried.append(1)):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        assert hurried == []
    assert hurried == [1] * times


async def test_ctrl_c_is_pythons_own_after_the_block() -> None:
    before = signal.getsignal(signal.SIGINT)
    with on_interrupt(first=lambda: None, second=lambda: None) as interruption:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interruption.asked == 0


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Signals have the system's handlers, and after the test those from before."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
async def test_a_signal_ends_the_program_as_ctrl_c_does_before_and_after_the_block(number: signal.Signals) -> None:
    end_as_by_ctrl_c()
    with on_interrupt(first=lambda: None, second=lambda: None):
        assert signal.getsignal(number) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.usefixtures("own_handlers")
async def test_a_program_that_nohup_has_started_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_as_by_ctrl_c()
    with on_interrupt(first=lambda: None, second=lambda: None) as interruption:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
    assert interruption.asked == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_signal_whose_error_python_ignores_stops_the_program_before_it_sends(number: signal.Signals) -> None:
    end_as_by_ctrl_c()
    thing = type("Thing", (), {})()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert reference() is None
    with pytest.raises(KeyboardInterrupt), on_interrupt(first=lambda: None, second=lambda: None):
        pytest.fail("it goes on")
