"""When calls may leave: right away, or once earlier ones stop counting."""

from __future__ import annotations

import math

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from batch.api.dialects import Rate
from batch.api.rate_window import departures, frees_at, given

RATE = Rate(requests=10, seconds=10)
NOW = 100.0
EARLIER = (91.0, 92.0, 95.0)
FREED = tuple(frees_at(at, RATE) for at in EARLIER)


@pytest.mark.parametrize(
    ("wanted", "free", "counted", "expected"),
    [
        (2, 5, (), (NOW, NOW)),
        (3, 1, EARLIER[:2], (NOW, *FREED[:2])),
        # Two permits that were given ahead take the first places that become free.
        (1, -2, EARLIER, FREED[2:]),
        (2, 0, (80.0, 91.0), (NOW, FREED[0])),
    ],
)
def test_a_call_may_leave_once_enough_earlier_ones_have_stopped_counting(
    wanted: int, free: int, counted: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert departures(wanted, free, counted, NOW, RATE) == expected


@pytest.mark.parametrize("counted", [(91.0, None), (91.0,)], ids=["not yet reported", "no longer there"])
def test_nobody_knows_when_a_call_may_leave_that_has_to_wait_for_an_unreported_one(
    counted: tuple[float | None, ...],
) -> None:
    assert departures(2, 0, counted, NOW, RATE) == (FREED[0], math.inf)


def test_permits_that_are_due_now_are_given_together_or_not_at_all() -> None:
    assert given((NOW, NOW), NOW, 0.0) == ((NOW, NOW), 0.0)
    assert given((NOW, NOW + 3), NOW, 0.0) == ((), 3.0)


def test_permits_given_ahead_do_not_come_late_for_the_sake_of_the_last() -> None:
    assert given((NOW + 0.4, NOW + 0.9, NOW + 3), NOW, 1.0) == ((NOW + 0.4, NOW + 0.9), 0.0)
    for last in (NOW + 3, math.inf):
        permits, wait = given((NOW + 0.7, last), NOW, 1.0)
        assert permits == ()
        assert wait == pytest.approx(0.2)


@examples(
    leave_at=st.lists(st.floats(0, 20), min_size=1, max_size=5).map(
        lambda waits: tuple(NOW + w for w in sorted(waits))
    ),
    ahead=st.floats(0, 3),
)
def test_nothing_is_given_too_early_and_the_wait_ends_when_something_is(
    leave_at: tuple[float, ...], ahead: float
) -> None:
    permits, wait = given(leave_at, NOW, ahead)
    assert permits == leave_at[: len(permits)]
    assert all(at <= NOW + ahead for at in permits)
    assert bool(permits) == (wait == 0)
    if not permits:
        later = NOW + wait + 1e-6
        assert given(leave_at, later, ahead)[0]
