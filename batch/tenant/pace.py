"""The pace: never more calls in any window than the tenant permits, evenly spread, and silence when it asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from batch.dialects import Rate

MARGIN: Final = 0.005
"""Share of the window added to it: a call may reach the tenant later than the one it makes room for."""


class Pace:
    """Lets one call after the other go, at an even pace.

    A token bucket alone would let nearly two windows' worth of calls go in the first window (its burst and its refill).
    So the bucket holds one call only, and call n waits until call n - `requests` is a whole window old.

    Args:
        rate: The limit to keep.
    """

    def __init__(self, rate: Rate) -> None:
        self._bucket = AsyncLimiter(1, rate.seconds / rate.requests)
        self._window = rate.seconds * (1 + MARGIN)
        self._recent: deque[float] = deque(maxlen=rate.requests)
        self._silent_until = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Returns when the next call may go; callers are let go in the order in which they came."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await self._bucket.acquire()
            while (delay := self._earliest() - loop.time()) > 0:  # noqa: ASYNC110 - a pause may be prolonged meanwhile
                await asyncio.sleep(delay)
            self._recent.append(loop.time())

    def pause(self, seconds: float) -> None:
        """Lets nothing go for so many seconds from now."""
        self._silent_until = max(self._silent_until, asyncio.get_running_loop().time() + seconds)

    def _earliest(self) -> float:
        full = len(self._recent) == self._recent.maxlen
        return max(self._silent_until, self._recent[0] + self._window if full else 0.0)
