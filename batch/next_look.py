"""When to look again at what is followed: often while it moves, seldom while it rests."""

from __future__ import annotations

from typing import Final

FIRST_WAIT: Final = 2.0
"""Seconds from the first look to the second."""

LONGEST_WAIT: Final = 300.0
"""Seconds between two looks at most."""


def next_wait(wait: float, *, moved: bool, took: float) -> float:
    """Seconds until the next look: longer each time, shorter again where something moved.

    Args:
        wait: Seconds before the look that has just ended; 0 before the first.
        moved: Whether it has found anything new.
        took: Seconds that it took: at most half of the time is spent looking.
    """
    longer = FIRST_WAIT if wait <= 0 else wait / 2 if moved else wait * 2
    return min(LONGEST_WAIT, max(FIRST_WAIT, longer, took))
