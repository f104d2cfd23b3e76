"""A run in a real ledger and a scripted tenant, shared by the tests of the send loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from batch.answers.events import AttemptEnded, AttemptStarted, TakenApart, Waiting
from batch.ledger.process import Process
from batch.loops.send import Submitter
from batch.loops.settle import Settler
from batch.model import Answer, Clock, Failure, Form, Request, Run
from tests.builders import NOW
from tests.clocks import wall
from tests.fakes import FakeClock, FakeStatusList
from tests.ledger.ledger_helpers import ACCEPTED, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from batch.answers.events import RunEvent
    from batch.ledger.store import Ledger
    from batch.loops.ports import Turnstile
    from batch.plan.body import Body
    from batch.tenant.client import Tenant


UNAUTHORIZED = Answer(status=401, text="JWT is expired", form=Form.API)
FORBIDDEN = Answer(status=403, text="Forbidden.", form=Form.API)
NEVER_CONNECTED = Answer(failure=Failure.NEVER_CONNECTED, text="ConnectError: refused")
BROKEN = Answer(failure=Failure.BROKEN, text="ReadTimeout: ReadTimeout")
FIVE = {(f"i{number:03}", "r1"): 1 for number in range(5)}
"""How often the tenant has accepted each change of a run of five."""


class ScriptedTenant:
    """Gives scripted answers and counts the changes that it accepts."""

    def __init__(self, answer: Callable[[Request, str], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._tokens = 1
        self.proofs = 0
        self.posts: list[tuple[int, str]] = []
        self.bodies: list[tuple[int, ...]] = []
        self.accepted: Counter[tuple[str, str]] = Counter()

    async def token(self, *, other_than: str = "") -> str:
        if other_than == self._token():
            self._tokens += 1
        return self._token()

    def token_expires(self, _token: str) -> datetime | None:
        return None

    async def prove(self) -> None:
        self.proofs += 1

    def explain_forbidden(self) -> str:
        return "Missing: everything."

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        first = body.requests[0]
        self.posts.append((first.number, token))
        self.bodies.append(tuple(request.number for request in body.requests))
        on_sent()
        answer = await self._answer(first, token)
        if answer.status == 202:
            self.accepted.update(
                (identity, item.id)
                for request in body.requests
                for identity in request.recipients
                for item in request.items
            )
        return answer

    def _token(self) -> str:
        return f"token-{self._tokens}"


class FakePermit:
    """Records how it was used."""

    def __init__(self, number: int) -> None:
        self.given_at = float(number)
        self.is_old = False
        self.ends: list[str] = []

    async def due(self) -> bool:
        return False

    def on_sent(self) -> None:
        self.ends.append("gone")

    def on_answer(self, answer: Answer) -> None:
        assert answer.status or answer.failure

    def unused(self) -> None:
        self.ends.append("unused")


class OpenTurnstile:
    """Lets everything through at once and records each call."""

    def __init__(self) -> None:
        self.quiet = False
        self.silenced = 0.0
        self.permits: list[FakePermit] = []
        self.to_come: list[int] = []
        self.pauses: list[tuple[float, float, bool]] = []
        self.holds: list[float] = []
        self.reported: list[tuple[float, str]] = []

    async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> list[FakePermit]:
        assert ahead, "a claim takes its time"
        await asyncio.sleep(0)
        self.to_come.append(to_come)
        new = [FakePermit(len(self.permits) + number) for number in range(most)]
        self.permits += new
        return new

    async def pause(self, seconds: float, *, permitted_at: float = 0.0, violated: bool = False) -> None:
        self.pauses.append((seconds, permitted_at, violated))

    def hold(self, seconds: float) -> None:
        self.holds.append(seconds)

    def report_wait(self, seconds: float, reason: str) -> None:
        self.reported.append((seconds, reason))


class EventRecorder:
    """Records the events of a run."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.decisions: list[tuple[int, str]] = []
        self.parts: list[int] = []
        self.taken_apart: list[int] = []
        self.waits: list[tuple[float, str]] = []

    def tell(self, event: RunEvent) -> None:
        match event:
            case AttemptStarted(request=request):
                self.begun.append(request.number)
            case AttemptEnded(request=request, answer=answer, decision=decision):
                assert answer.status is not None or decision.reason
                assert event.seconds >= 0
                self.decisions.append((request.number, decision.event.value))
                self.parts.append(event.parts)
            case TakenApart(parts=parts):
                self.taken_apart.append(parts)
            case Waiting(seconds=seconds, reason=reason):
                self.waits.append((seconds, reason))
            case _:
                raise AssertionError(event)


class Stage:
    """A run in a real ledger, with everything that a Submitter needs."""

    def __init__(self, ledger: Ledger, path: Place, run: Run) -> None:
        self.ledger, self.path, self.run = ledger, path, run
        self.pace = OpenTurnstile()
        self.witness = EventRecorder()

    def submitter(
        self,
        tenant: ScriptedTenant | Tenant,
        *,
        pace: Turnstile | None = None,
        clock: Clock | None = None,
        give_up_after: float = 600.0,
    ) -> Submitter:
        self.ledger.runs.hold(self.run, Process.current(), NOW)
        return Submitter(
            self.run,
            ledger=self.ledger,
            tenant=tenant,
            settler=Settler(
                ledger=self.ledger,
                listing=FakeStatusList(forbids=lambda _query: "nobody may see it"),
                settle_after=0,
                process=Process.current(),
                clock=wall(FakeClock()),
                tell=self.witness.tell,
            ),
            pace=pace or self.pace,
            tell=self.witness.tell,
            process=Process.current(),
            clock=clock or wall(FakeClock()),
            jitter=lambda: 1.0,
            give_up_after=give_up_after,
        )

    def states(self) -> dict[str, int]:
        return dict(self.ledger.runs.tally(self.run).requests)


def always(answer: Answer) -> ScriptedTenant:
    async def reply(_request: Request, _token: str) -> Answer:
        return answer

    return ScriptedTenant(reply)


def in_turn(*answers: Answer) -> ScriptedTenant:
    """Gives these answers in turn, then accepts."""
    left = list(answers)

    async def reply(_request: Request, _token: str) -> Answer:
        return left.pop(0) if left else ACCEPTED

    return ScriptedTenant(reply)
