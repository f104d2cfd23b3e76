"""How many calls the questions before planning take: an upper bound, said before most of them are made."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch.answers.events import PrecheckCost

if TYPE_CHECKING:
    from batch.answers.events import Tell

MOST_CALLS: Final = 400
"""Most calls of a precheck, if its lists leave room: then late grants are looked for as long as calls are left."""

MOST_IN_ALL: Final = 590
"""Most calls of all questions before planning, in the same way; ten more may be made before their number is known."""

MOST_FOR_APPROVALS: Final = 190
"""Most calls for pending approvals that are asked for by identity."""


class Question(StrEnum):
    """What a call asks."""

    LIST = "what is in progress"
    APPROVALS = "what waits for an approver"
    SEARCH = "what is held"
    LATE_GRANTS = "what was granted lately"


class CallPlan:
    """The calls of one precheck, and those that follow. A call that is made again after an error counts once.

    Args:
        is_limited: Whether some questions are left out if they take too many calls.
        tell: Takes the bound.

    Attributes:
        people: Identities that are asked about.
        besides: Calls that follow at most.
        optional: Calls that follow besides as long as some are left.
    """

    def __init__(self, *, is_limited: bool, tell: Tell) -> None:
        self._most: float = MOST_CALLS if is_limited else math.inf
        self._in_all: float = MOST_IN_ALL if is_limited else math.inf
        self._tell = tell
        self._made: Counter[Question] = Counter()
        self._expected: dict[Question, float] = {}
        self._told = 0.0
        self.people = 0
        self.besides = 0.0
        self.optional = 0.0

    @property
    def made(self) -> int:
        """Calls made so far."""
        return self._made.total()

    @property
    def spare(self) -> float:
        """Calls that may still be made for late grants."""
        return max(min(self._most, self._in_all - self.besides) - self.made, 0)

    @property
    def spare_in_all(self) -> float:
        """Calls that may still be made for what is optional."""
        return max(self._in_all - self.besides - self.made, 0)

    def count(self, question: Question) -> None:
        """A call is made."""
        self._made[question] += 1

    def expect(self, question: Question, calls: float) -> None:
        """A question takes at most so many more calls."""
        self._expected[question] = self._made[question] + calls

    def say(self) -> None:
        """Tell how many calls are left at most, unless that was told; nothing while a list may have any length."""
        late = self._expected.get(Question.LATE_GRANTS, 0)
        others = sum(self._expected.values()) - late
        room = min(self._most, self._in_all - self.besides) - others
        calls = others + min(late, max(room, 0)) + self.besides
        calls += min(self.optional, max(self._in_all - calls, 0))
        # A list of unknown length is not read.
        if math.isfinite(calls) and calls > self._told:
            self._told = calls
            self._tell(PrecheckCost(calls=calls - self.made, people=self.people))
