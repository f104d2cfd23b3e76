"""The rate limit: a sliding window, with the time as an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import Rate
from batch.sandbox.gate import RateLimit

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_call_beyond_the_limit_is_refused_with_the_time_to_wait() -> None:
    limit = RateLimit(Rate(requests=3, seconds=10))
    assert [limit.refusal("me", at(second)) for second in (0, 1, 2)] == [None, None, None]
    refusal = limit.refusal("me", at(2.5))
    assert refusal is not None
    assert (refusal.status, refusal.body) == (429, {"message": " Rate Limit Exceeded "})
    assert refusal.headers == {"Retry-After": "8"}


def test_the_window_slides_and_never_resets() -> None:
    limit = RateLimit(Rate(requests=2, seconds=10))
    passed = [limit.refusal("me", at(second)) is None for second in (0, 9, 9.9, 10, 10.1, 18.9, 19)]
    assert passed == [True, True, False, True, False, False, True]


def test_a_refused_call_does_not_count() -> None:
    limit = RateLimit(Rate(requests=1, seconds=10))
    limit.refusal("me", at(0))
    assert all(limit.refusal("me", at(second)) for second in range(1, 10))
    assert limit.refusal("me", at(10)) is None


def test_retry_after_is_never_less_than_a_second() -> None:
    limit = RateLimit(Rate(requests=1, seconds=10))
    limit.refusal("me", at(0))
    refusal = limit.refusal("me", at(9.999))
    assert refusal is not None
    assert refusal.headers["Retry-After"] == "1"


def test_each_caller_has_its_own_window() -> None:
    limit = RateLimit(Rate(requests=1, seconds=10))
    assert limit.refusal(("sandbox", "beta"), at(0)) is None
    assert limit.refusal(("sandbox", "v3"), at(0)) is None
    assert limit.refusal(("sandbox", "beta"), at(1)) is not None


@given(
    gaps=st.lists(st.integers(min_value=0, max_value=4_000), max_size=60),
    requests=st.integers(min_value=1, max_value=5),
)
def test_no_window_exceeds_the_limit_and_retry_after_is_long_enough(gaps: list[int], requests: int) -> None:
    limit = RateLimit(Rate(requests=requests, seconds=10))
    now, passed = START, list[datetime]()
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        refusal = limit.refusal("me", now)
        if refusal is not None:
            now += timedelta(seconds=int(refusal.headers["Retry-After"]))
            assert limit.refusal("me", now) is None
        passed.append(now)
    for first in passed:
        assert sum(first <= call < first + timedelta(seconds=10) for call in passed) <= requests
