"""Requests that never get through although the tenant is healthy: a server or a firewall fails on their content.

Such a request is divided like a refused one, until the change that never gets through stands alone and is refused.
Nothing here rests on an answer that proves nothing: a failure counts once it is settled that the request has not
arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import ceil, isqrt, log
from typing import TYPE_CHECKING, Final

from batch.model import Part

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.model import Request

ENOUGH: Final = 2
"""Failures that make a request suspect: one may be the tenant's. A part of a suspect request needs one."""

FEW: Final = 3
"""So many suspects in a row may be poison although nothing was accepted since. If there are more, the tenant is ill, or
a right is missing."""

MANY: Final = 20
"""The same for suspects that the API itself forbids, once this process has seen an acceptance: the right was there."""

SMALL: Final = 25
"""A request of at most so many changes is divided into its changes at once."""

MOST: Final = 20
"""So many failures are enough, however often the tenant fails."""

RARE: Final = 0.01
"""How often a run may contain a sound request that fails as often by chance."""

_WITHOUT_MEANING: Final = frozenset({408, 429})


def is_failure(status: int | None) -> bool:
    """Whether an undecided answer with this status may be caused by the request's content.

    A 5xx may, and so may any answer of a firewall in the API's place. A broken connection, a 408 and a 429 concern any.
    """
    return status is not None and status >= 300 and status not in _WITHOUT_MEANING  # noqa: PLR2004 - HTTP


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A planned request that has failed, by the events of its run.

    Attributes:
        request: The request.
        alone: Its failed attempts in a body of its own; none of them has arrived.
        shared: The same in a body that it shared with others.
        company: Number of the envelope of those with which it still shares its body; None if it has one of its own.
        is_part: Whether it is a part of a request that has failed.
        since: Number of the run's event that is the first failed answer; of a part, the latest of the whole.
        last: Number of the event that is the latest.
        forbidden: Whether the latest is a 403 of the API itself.
        blocked: Whether something in front of the API gave the latest.
        reason: Of the latest.
    """

    request: Request
    alone: int
    shared: int
    company: int | None
    is_part: bool
    since: int
    last: int
    forbidden: bool
    blocked: bool
    reason: str

    def is_suspect(self, needed: int = 1) -> bool:
        """Whether it has failed often enough.

        Args:
            needed: See `Failures.needed`. A refusal by the API itself is not due to chance.
        """
        if self.in_company:
            return self.shared >= ENOUGH
        if self.forbidden:
            return self.alone >= 1
        return self.alone >= max(needed, 1 if self.is_part or self.shared else ENOUGH)

    @property
    def in_company(self) -> bool:
        """Whether it still shares its body with others."""
        return self.company is not None

    @property
    def words(self) -> str:
        """Why it is divided or refused."""
        return f"blocked by a firewall: {self.reason}" if self.blocked else self.reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """What the events of a run say about its failures.

    Attributes:
        failed: The planned requests that have failed, in order.
        accepted: Number of the run's latest event that is an acceptance; 0 for none.
        got_through: Number of its requests that were accepted.
        by_chance: How often these had failed before.
    """

    failed: tuple[Failed, ...]
    accepted: int
    got_through: int = 0
    by_chance: int = 0

    @property
    def needed(self) -> int:
        """After how many failures a request is no victim of chance.

        Requests that got through in the end had failed by chance. If each attempt fails so often, `RARE` is the
        expected number of the run's sound requests that fail `needed` times in a row.
        """
        if not self.by_chance:
            return 1
        share = self.by_chance / (self.by_chance + self.got_through)
        return min(MOST, ceil(log(RARE / (self.got_through + len(self.failed))) / log(share)))


class Verdict(Enum):
    """What to do with a failed request."""

    SEND_NEXT = auto()
    """Send it before others, whose success then shows that the tenant is healthy."""
    HOLD_BACK = auto()
    """Send others first."""
    TAKE_APART = auto()
    """Divide it; refuse it if it is a single change."""
    STOP = auto()
    """Stop: the tenant forbids everything that is sent."""


def judge(
    failed: Collection[Failed],
    *,
    accepted: int,
    accepted_now: bool,
    others_left: bool,
    before: int = 0,
    needed: int = 1,
) -> dict[int, Verdict]:
    """What to do with each failed request, by its number.

    Args:
        failed: All failed requests of a run that are planned.
        accepted: Number of the run's latest event that is an acceptance; 0 for none.
        accepted_now: Whether this process has seen an acceptance.
        others_left: Whether anything else is planned, on its way or in doubt, so that its answer is to be awaited.
        before: Number of the run's latest event before this process: a missing right may have been given since.
        needed: See `Failures`.
    """
    open_cases = [one for one in failed if one.is_suspect(needed) and one.last > accepted]
    forbidden = sum(one.forbidden for one in open_cases)
    bodies = len({_body(one) for one in open_cases})
    # Parts of one request are one case, and so are the requests of one body.
    cases = len({("parts of", one.request.parent) if one.is_part else _body(one) for one in open_cases})
    limit = MANY if accepted_now else FEW

    def verdict(one: Failed) -> Verdict:
        was_forbidden_before = one.forbidden and accepted <= one.last <= before
        if not one.is_suspect(needed) or was_forbidden_before:
            return Verdict.SEND_NEXT
        if accepted > one.last:
            return Verdict.TAKE_APART
        if one.forbidden and (forbidden >= limit or not (others_left or accepted)):
            return Verdict.STOP
        if others_left:
            return Verdict.HOLD_BACK
        # Nothing is left whose success could show that the tenant is healthy, but it answers questions.
        seen_healthy = accepted > one.since or bodies == 1
        if one.forbidden or (seen_healthy and cases <= FEW):
            return Verdict.TAKE_APART
        return Verdict.SEND_NEXT

    return {one.request.number: verdict(one) for one in failed}


def _body(one: Failed) -> tuple[str, int]:
    return ("alone", one.request.number) if one.company is None else ("together", one.company)


def blocks(request: Request) -> tuple[Part, ...]:
    """Divides a request: if it is small, into its changes, else into blocks of some identities and some items.

    It takes minutes to find out that an attempt has not arrived. So it is divided into more parts than a refused one,
    which is halved: they are sent, and settled, together. Of these parts, a bad identity or item spares most.
    """
    people, things = len(request.recipients), len(request.items)
    if request.changes == 1:
        return ()
    is_small = request.changes <= SMALL
    who, what = (_groups(size, 1 if is_small else isqrt(size - 1) + 1) for size in (people, things))
    return tuple(Part(recipients=some, items=others) for some in who for others in what)


def _groups(size: int, width: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(size)[start : start + width]) for start in range(0, size, width))
