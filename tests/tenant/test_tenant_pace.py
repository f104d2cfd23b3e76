"""The pace, in virtual time: never above the limit in any window, hardly below it, silent when asked."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.dialects import Rate
from batch.tenant.pace import MARGIN, Pace
from tests.tenant.virtual_time import now, run_in_virtual_time

DOCUMENTED = Rate(requests=100, seconds=10.0)


def starts_of(rate: Rate, count: int) -> list[float]:
    """When so many callers, all there from the beginning, are let go."""

    async def program() -> list[float]:
        pace = Pace(rate)

        async def call() -> float:
            await pace.wait()
            return now()

        return await asyncio.gather(*(call() for _ in range(count)))

    return run_in_virtual_time(program())


def assert_never_too_many(starts: list[float], rate: Rate) -> None:
    ordered = sorted(starts)
    for first, after in zip(ordered, ordered[rate.requests :], strict=False):
        assert after - first > rate.seconds


@pytest.mark.parametrize(
    "rate", [DOCUMENTED, Rate(requests=1000, seconds=10.0), Rate(requests=50, seconds=5.0), Rate(requests=10)]
)
def test_no_window_holds_more_than_the_limit_and_nearly_all_of_it_is_used(rate: Rate) -> None:
    count = 5 * rate.requests
    starts = starts_of(rate, count)
    assert_never_too_many(starts, rate)
    used = (count - 1) / (starts[-1] - starts[0]) * rate.seconds / rate.requests
    assert 0.97 <= used <= 1


def test_the_first_call_goes_at_once_and_the_others_evenly() -> None:
    starts = starts_of(DOCUMENTED, 100)
    assert starts[0] == pytest.approx(1000, abs=0.01)
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert min(gaps) > 0.09
    assert max(gaps) < 0.11


def test_silence_saves_up_no_burst() -> None:
    async def program() -> list[float]:
        pace = Pace(DOCUMENTED)
        await pace.wait()
        await asyncio.sleep(1000)
        starts = []
        for _ in range(50):
            await pace.wait()
            starts.append(now())
        return starts

    starts = run_in_virtual_time(program())
    assert starts[-1] - starts[0] > 49 * 0.09


def test_callers_go_in_the_order_in_which_they_came() -> None:
    async def program() -> list[int]:
        pace, order = Pace(DOCUMENTED), []

        async def call(number: int) -> None:
            await pace.wait()
            order.append(number)

        await asyncio.gather(*(call(number) for number in range(150)))
        return order

    assert run_in_virtual_time(program()) == list(range(150))


def test_nothing_goes_during_a_pause_and_the_next_goes_right_after_it() -> None:
    async def program() -> tuple[float, float]:
        pace = Pace(DOCUMENTED)
        await pace.wait()
        before = now()
        pace.pause(30)
        await pace.wait()
        first = now() - before
        await pace.wait()
        return first, now() - before

    first, second = run_in_virtual_time(program())
    assert first == pytest.approx(30, abs=0.01)
    assert second >= first


@pytest.mark.parametrize(("second_pause", "silent_for"), [(60, 65), (1, 30)], ids=["longer", "shorter"])
def test_a_pause_is_prolonged_by_a_later_end_and_never_shortened(second_pause: float, silent_for: float) -> None:
    async def program() -> float:
        pace = Pace(DOCUMENTED)
        before = now()
        pace.pause(30)
        waiting = asyncio.create_task(pace.wait())
        await asyncio.sleep(5)
        pace.pause(second_pause)
        await waiting
        return now() - before

    assert run_in_virtual_time(program()) == pytest.approx(silent_for, abs=0.01)


def test_after_a_pause_the_waiting_callers_do_not_all_go_at_once() -> None:
    async def program() -> list[float]:
        pace, starts = Pace(DOCUMENTED), []

        async def call() -> None:
            await pace.wait()
            starts.append(now())

        pace.pause(60)
        await asyncio.gather(*(call() for _ in range(20)))
        return starts

    starts = run_in_virtual_time(program())
    assert starts[-1] - starts[0] > 1.7


def test_a_caller_that_gives_up_holds_nobody_back() -> None:
    async def program() -> float:
        pace = Pace(DOCUMENTED)
        before = now()
        pace.pause(30)
        impatient, patient = asyncio.create_task(pace.wait()), asyncio.create_task(pace.wait())
        await asyncio.sleep(1)
        impatient.cancel()
        await patient
        return now() - before

    assert run_in_virtual_time(program()) == pytest.approx(30, abs=0.2)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.builds(Rate, requests=st.integers(1, 20), seconds=st.floats(0.1, 20)),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    pauses=st.dictionaries(st.integers(0, 59), st.floats(0, 30), max_size=3),
)
def test_however_calls_come_and_pauses_fall_no_window_holds_too_many(
    rate: Rate, gaps: list[float], pauses: dict[int, float]
) -> None:
    async def program() -> tuple[list[float], list[tuple[float, float]]]:
        pace, starts, silences, calls = Pace(rate), [], [], []

        async def call() -> None:
            await pace.wait()
            starts.append(now())

        for number, gap in enumerate(gaps):
            await asyncio.sleep(gap)
            if number in pauses:
                pace.pause(pauses[number])
                silences.append((now(), now() + pauses[number]))
            calls.append(asyncio.create_task(call()))
        await asyncio.gather(*calls)
        return starts, silences

    starts, silences = run_in_virtual_time(program())
    assert len(starts) == len(gaps)
    assert_never_too_many(starts, rate)
    for begin, end in silences:
        assert not [start for start in starts if begin < start < end - 1e-6]


def test_the_margin_is_small_beside_the_documented_window() -> None:
    assert 0 < MARGIN <= 0.01 * DOCUMENTED.seconds
