"""What a database's clock is ahead of ours, from readings that take a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch.ledger.shared_clock import DRIFT, STEP, Ahead, Reading

SECONDS = st.floats(0.0, 5.0)
ROUND_TRIPS = st.lists(st.tuples(SECONDS, SECONDS, SECONDS), min_size=1, max_size=20)


def readings(trips: list[tuple[float, float, float]], ahead: float, drift: float) -> list[Reading]:
    """Readings of a clock that is so far ahead: each after a pause, with a way there and a way back."""
    now, made = 0.0, []
    for pause, there, back in trips:
        before = now + pause
        clock = (before + there) * (1 + drift) + ahead
        now = before + there + back
        made.append(Reading(before=before, clock=clock, after=now))
    return made


@given(trips=ROUND_TRIPS, ahead=st.floats(-1e5, 1e5), drift=st.floats(-DRIFT, DRIFT))
def test_the_bounds_hold_however_long_messages_take_and_no_step_is_seen(
    trips: list[tuple[float, float, float]], ahead: float, drift: float
) -> None:
    first, *rest = readings(trips, ahead, drift)
    known = Ahead.of(first)
    for reading in rest:
        assert not known.contradicts(reading)
        known = known.narrowed(reading)
    true = known.at * (1 + drift) + ahead - known.at
    assert known.low - 1e-4 <= true <= known.high + 1e-4


@given(trips=ROUND_TRIPS, step=st.floats(1.0, 1e6), forth=st.booleans())
def test_a_step_that_is_longer_than_a_round_trip_is_seen(
    trips: list[tuple[float, float, float]], step: float, *, forth: bool
) -> None:
    quick = [(pause, 0.01, 0.01) for pause, _, _ in trips]
    *before, last = readings(quick, 0.0, 0.0)
    known = Ahead.of(Reading(before=-0.02, clock=-0.01, after=0.0))
    for reading in before:
        known = known.narrowed(reading)
    jumped = step if forth else -step
    stepped = Reading(before=last.before, clock=last.clock + jumped, after=last.after)
    assert known.contradicts(stepped)
    assert known.narrowed(stepped) == Ahead.of(stepped)


def test_a_long_wait_for_a_lock_does_not_widen_what_is_known() -> None:
    known = Ahead.of(Reading(before=0.0, clock=100.0, after=0.01))
    waited = known.narrowed(Reading(before=1.0, clock=111.0, after=11.01))
    assert waited.high - waited.low < 0.01 + 2 * DRIFT * 11.01 + STEP
