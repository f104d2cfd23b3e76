"""Takes requests apart that never get through, so that they don't hold up the rest of the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from batch.answers.events import TakenApart
from batch.answers.poison import Verdict, blocks, judge
from batch.answers.split import divide
from batch.errors import CredentialsRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.answers.events import Tell
    from batch.answers.poison import Failed
    from batch.answers.suspects import RefusalHistory
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.loops.ports import Sender
    from batch.loops.settle import Settler
    from batch.loops.waves import Waves
    from batch.model import Clock, Part, Request, Run

SPARE: Final = 4
"""Bodies that are held back if one may never get through: each failure needs a control that was sent after it. There
are two failures of the whole, one of its blocks, and one of a single change."""


class Isolator:
    """Decides about the run's planned requests that have failed; the ledger has their history.

    Args:
        run: The run.
        ledger: Holds its requests.
        tenant: Explains what is forbidden.
        history: Which ids are suspect of a refusal.
        tell: Takes the events.
        process: Holds the run.
        clock: Dates the records.
        waves: Say which requests may be sent; None for all of them.

    Attributes:
        due: Whether to look at them again.
        wary: Whether one that is in doubt may have failed because of its content.
        first: Numbers of requests to send before others.
        held: Numbers of requests, each with a body of its own, to hold back until others have shown more.
    """

    def __init__(
        self,
        run: Run,
        *,
        ledger: Ledger,
        tenant: Sender,
        history: RefusalHistory,
        tell: Tell,
        process: Process,
        clock: Clock,
        waves: Waves | None = None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._tenant = tenant
        self._history = history
        self._tell = tell
        self._process = process
        self._clock = clock
        self._waves = waves
        self._taken_apart: set[int] = set()
        self._insisting: frozenset[int] = frozenset()
        self._again: frozenset[int] = frozenset()
        self._before: int | None = None
        self.due = True
        self.wary = False
        self.first: frozenset[int] = frozenset()
        self.held: frozenset[int] = frozenset()

    def expects_failure(self, request: Request) -> bool:
        """Whether it would be no surprise if this request fails: it says nothing about the tenant."""
        number = request.number
        return number not in self._insisting and (number in self._again or request.parent in self._taken_apart)

    def claimed(self, requests: Iterable[Request]) -> None:
        """Some requests have been claimed."""
        self.first -= {request.number for request in requests}

    def may_send(self, planned: int, *, in_flight: bool, settler: Settler) -> int:
        """How many of the planned bodies may be sent now; open doubts may need the others as controls.

        The last one is held back while others are in flight or in doubt. It is too early to be a control until nothing
        doubtful can arrive any more. If a request may never get through, more are held back, and go one by one.

        Args:
            planned: Bodies that are planned, without the `held`.
            in_flight: Whether attempts are.
            settler: Settles what is in doubt.
        """
        if self.wary and not in_flight and (not settler.open or settler.stuck):
            # Nothing is waited for.
            self.wary = bool(self.first) or settler.needs_control
            if self.first:
                return min(planned, len(self.first))
        if self.wary:
            return max(planned - SPARE, int(planned > 0 and not in_flight and settler.needs_control))
        return planned - int(planned > 1 or in_flight or settler.holds_back)

    async def look(self, *, accepted_now: bool, others_left: bool) -> tuple[Failed, ...]:
        """Look at the failed requests: send again, divide or refuse them; return those that are refused for good.

        Args:
            accepted_now: See `judge`.
            others_left: See `judge`.

        Raises:
            CredentialsRefusedError: The tenant forbids everything that is sent.
            TenantLostError: The tenant does not even answer a question.
        """
        self.due = False
        known = await asyncio.to_thread(self._ledger.requests.failures, self._run)
        failed = known.failed
        if self._waves is not None:
            failed = tuple(one for one in failed if one.request.number in self._waves.open)
        if self._before is None:
            self._before = max((one.last for one in failed), default=0)
        verdicts = judge(
            failed,
            accepted=known.accepted,
            accepted_now=accepted_now,
            others_left=others_left,
            before=self._before,
            needed=known.needed,
        )
        by_verdict = {wanted: [one for one in failed if verdicts[one.request.number] is wanted] for wanted in Verdict}
        if forbidden := by_verdict[Verdict.STOP]:
            raise CredentialsRefusedError(
                f"The tenant does not let this client submit: {forbidden[-1].reason}.",
                next_step=f"{self._tenant.explain_forbidden()} Then run the same command again.",
            )
        if by_verdict[Verdict.TAKE_APART] and not others_left:
            await self._tenant.prove()
        refused = tuple([one for one in by_verdict[Verdict.TAKE_APART] if not await self._take_apart(one)])
        again = by_verdict[Verdict.SEND_NEXT]
        self._again = frozenset(one.request.number for one in again)
        self.first |= self._again
        self._insisting = frozenset(one.request.number for one in again if one.is_suspect(known.needed))
        self.held = frozenset(one.request.number for one in by_verdict[Verdict.HOLD_BACK])
        return refused

    async def _take_apart(self, failed: Failed) -> bool:
        """Divide a request, or send it without company from now on; False if it is refused."""
        request = failed.request
        parts: tuple[Part, ...] = ()
        if not failed.in_company:
            if failed.forbidden:
                self._history.refused(request, failed.reason)
                parts = divide(request, failed.reason, self._history)
            else:
                parts = blocks(request)
        numbers = await asyncio.to_thread(
            self._ledger.requests.take_apart, failed, parts, self._clock.now(), self._process
        )
        self.first |= set(numbers)
        if self._waves is not None:
            self._waves.add(numbers)
        self._taken_apart.add(request.number)
        if failed.in_company:
            return True
        self._tell(TakenApart(request=request, reason=failed.words, parts=len(parts)))
        return bool(parts)
