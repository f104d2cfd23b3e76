"""The end dates of people's roles: asked for with one call for each person, and recent answers are reused."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, Protocol

from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.loops.approvals import together
from batch.loops.preflight import unshown
from batch.tenant.reading import ForbiddenError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from batch.loops.ports import AnswerCache
    from batch.model import Clock

END_DATES: Final = "end dates of roles"
"""Kind of cached answer: the end dates of a person's assignments of each role."""


UNREADABLE: Final = "its answer can't be read"
"""Why nothing is known of some role assignments."""


class Assignments(Protocol):
    """Tells the end dates of roles: a tenant, or a fake."""

    async def role_ends(self, person: str) -> Mapping[str, Sequence[str]] | None:
        """The end dates of a person's assignments of each role, by the role's key, empty for none; None if unknown.

        Raises:
            RefusedError: The tenant refuses the question; ForbiddenError if the token's user may not ask it.
            TenantLostError: It can't be asked.
        """


class EndDates:
    """The end dates of roles in one tenant.

    Args:
        assignments: Tells them.
        memory: Caches the answers.
        tenant: Its name in the ledger.
        since: Cached answers that are older do not count.
        clock: This machine's clock.
        width: Most calls at a time.

    Attributes:
        closed: Why the tenant does not tell some of them; None if it does.
        left_out: How many people were not asked about.
    """

    def __init__(
        self,
        assignments: Assignments,
        *,
        memory: AnswerCache,
        tenant: str,
        since: datetime,
        clock: Clock,
        width: int,
    ) -> None:
        self._assignments = assignments
        self._memory = memory
        self._tenant = tenant
        self._since = since
        self._clock = clock
        self._slots = asyncio.Semaphore(width)
        self._is_closed = False
        self.closed: Unshown | None = None
        self.left_out = 0

    def calls_needed(self, people: Sequence[str]) -> int:
        """How many calls it takes to ask about people."""
        return len(people) - len(self._cached(people))

    async def ask(self, people: Sequence[str], *, most: float = math.inf) -> dict[str, Mapping[str, Sequence[str]]]:
        """The end dates of each person's roles, as far as the tenant tells.

        Args:
            people: Ids of identities, the most important first.
            most: Most calls.
        """
        found = self._cached(people)
        asked = [person for person in people if person not in found]
        self.left_out = max(len(asked) - math.floor(min(most, len(asked))), 0)
        asked = asked[: len(asked) - self.left_out]
        at = self._clock.now()
        answers = await together([self._of(person) for person in asked]) if asked else []
        told = {person: ends for person, ends in zip(asked, answers, strict=True) if ends is not None}
        self._memory.put(
            self._tenant,
            END_DATES,
            {person: {role: [*dates] for role, dates in e.items()} for person, e in told.items()},
            at=at,
        )
        return found | told

    def _cached(self, people: Sequence[str]) -> dict[str, Mapping[str, Sequence[str]]]:
        kept = self._memory.get(self._tenant, END_DATES, people, since=self._since)
        return {person: cached.value for person, cached in kept.items()}

    async def _of(self, person: str) -> Mapping[str, Sequence[str]] | None:
        async with self._slots:
            if self._is_closed:
                return None
            try:
                ends = await self._assignments.role_ends(person)
            except (RefusedError, TenantLostError) as error:
                self._is_closed = self._is_closed or isinstance(error, ForbiddenError | TenantLostError)
                self.closed = unshown(error)
                return None
        if ends is None:
            self.closed = self.closed or Unshown(why=UNREADABLE)
        return ends
