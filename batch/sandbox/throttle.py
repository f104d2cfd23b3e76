"""The simulated tenant's rate limit: a sliding window, the strictest reading of the vendor's page on rate limits."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from batch.sandbox.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from batch.api.dialects import Rate


class RateLimit:
    """At most so many calls in *any* window of so many seconds, counted apart for each caller.

    A call that is turned away doesn't count. Two calls exactly one window apart do not share a window.

    Args:
        rate: The limit.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._window = timedelta(seconds=rate.seconds)
        self._calls: defaultdict[Hashable, deque[datetime]] = defaultdict(deque)

    def refusal(self, caller: Hashable, now: datetime) -> Answer | None:
        """Count a call, or turn it away.

        Args:
            caller: Whom the limit counts: a client id and an API version.
            now: When the call arrived.

        Returns:
            None for a call within the limit; otherwise a 429 with `Retry-After` in whole seconds, at least 1.
        """
        calls = self._calls[caller]
        while calls and calls[0] <= now - self._window:
            calls.popleft()
        if len(calls) < self._rate.requests:
            calls.append(now)
            return None
        wait = calls[0] + self._window - now
        return too_many_requests(math.ceil(wait.total_seconds()))


def too_many_requests(retry_after: int) -> Answer:
    """The 429 of the API, blanks in its message included.

    Args:
        retry_after: Seconds until the next call is welcome.
    """
    return Answer(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        body={"message": " Rate Limit Exceeded "},
        headers={"Retry-After": str(retry_after)},
    )
