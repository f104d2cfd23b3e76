"""Whole runs against a tenant in trouble, in virtual time: a real ledger, a real pace, a scripted tenant."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from batch.answers.events import AttemptEnded
from batch.api.dialects import Rate
from batch.errors import TenantLostError
from batch.ledger.calls import RateKey
from batch.ledger.process import Process
from batch.loops.send import Submitter
from batch.loops.settle import Settler
from batch.model import Answer, Failure, Form
from batch.states import Event
from batch.tenant.pace import Pace
from tests.builders import our_row
from tests.clocks import VIRTUAL
from tests.fakes import FakeStatusList
from tests.ledger.ledger_helpers import ACCEPTED, singles, write
from tests.tenant.open_calls import Events
from tests.tenant.virtual_time import now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.plan.body import Body

# Time is virtual here, and a database server has a clock of its own.
pytestmark = pytest.mark.sqlite_only

RATE = Rate(requests=100, seconds=10.0)
REFUSED_CONNECTION = Answer(failure=Failure.NEVER_CONNECTED, text="ConnectError: refused")


class StrictTenant:
    """Counts calls in a sliding window, and refuses those beyond the limit; each violation costs more than the last.

    Args:
        limit: Calls in any ten seconds, as a function of the time.
        penalties: Seconds of `Retry-After` for the first, second … violation.
        outage: What is answered instead, at a time; None for business as usual.
    """

    def __init__(
        self,
        limit: Callable[[float], int],
        *,
        penalties: tuple[float, ...] = (),
        outage: Callable[[float], Answer | None] = lambda _: None,
    ) -> None:
        self._limit = limit
        self._penalties = list(penalties)
        self._outage = outage
        self._random = Random(5)  # noqa: S311 - repeatable
        self._closed_until = 0.0
        self._counted: list[float] = []
        self.accepted: Counter[str] = Counter()
        self.listing = FakeStatusList()
        self.arrivals: list[float] = []
        self.violations: list[float] = []
        self.impatient: list[float] = []

    async def token(self, *, other_than: str = "") -> str:
        return f"token other than {other_than}"

    def token_expires(self, _token: str) -> datetime | None:
        return None

    async def prove(self) -> None:
        pass

    def explain_forbidden(self) -> str:
        return "Nothing is forbidden here."

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        assert token
        await asyncio.sleep(self._random.uniform(0, 0.02))
        on_sent()
        await asyncio.sleep(self._random.uniform(0, 0.05))
        moment = now()
        self.arrivals.append(moment)
        answer = self._outage(moment) or self._throttled(moment) or ACCEPTED
        if answer is ACCEPTED:
            self.accepted.update(identity for request in body.requests for identity in request.recipients)
            self.listing.rows += [
                our_row(request.id, identity, item.id)
                for request in body.requests
                for identity in request.recipients
                for item in request.items
            ]
        await asyncio.sleep(self._random.uniform(0.02, 0.4))
        return answer

    def _throttled(self, moment: float) -> Answer | None:
        if moment < self._closed_until:
            self.impatient.append(moment)
            return Answer(status=429, retry_after=self._closed_until - moment, form=Form.API)
        recent = [one for one in self._counted if one > moment - 10]
        if len(recent) < self._limit(moment):
            self._counted.append(moment)
            return None
        penalty = self._penalties.pop(0) if self._penalties else 10.0
        self._closed_until = moment + penalty
        self.violations.append(moment)
        return Answer(status=429, retry_after=penalty, form=Form.API)


class Notes(Events):
    """The events of sending."""

    @property
    def undecided(self) -> int:
        ends = [event.decision.event for event in self if isinstance(event, AttemptEnded)]
        return ends.count(Event.UNDECIDED)


async def send(ledger: Ledger, run: Run, tenant: StrictTenant, notes: Notes, *, give_up_after: float = 600.0) -> None:
    """Sends a run as `submit` does."""
    process = Process.current()
    ledger.runs.hold(run, process, VIRTUAL.now())
    calls = ledger.calls(
        RateKey(tenant=run.tenant, client="client", dialect="beta"), rate=RATE, process=process, clock=VIRTUAL
    )
    pace = Pace(RATE, calls, tell=notes.append, clock=VIRTUAL)
    settler = Settler(
        ledger=ledger,
        listing=tenant.listing,
        settle_after=60,
        process=process,
        clock=VIRTUAL,
        tell=notes.append,
    )
    jitter = Random(3)  # noqa: S311 - repeatable
    submitter = Submitter(
        run,
        ledger=ledger,
        tenant=tenant,
        settler=settler,
        pace=pace,
        tell=notes.append,
        process=process,
        clock=VIRTUAL,
        jitter=jitter.random,
        give_up_after=give_up_after,
    )
    try:
        await submitter.submit(10)
    finally:
        await pace.aclose()


def all_once(count: int) -> dict[str, int]:
    return {f"i{number:03}": 1 for number in range(count)}


@pytest.mark.thorough
def test_a_tenant_with_the_configured_limit_never_answers_429(ledger: Ledger) -> None:
    run, tenant, notes = write(ledger, *singles(600)), StrictTenant(lambda _: 100), Notes()
    run_in_virtual_time(send(ledger, run, tenant, notes))
    assert tenant.accepted == all_once(600)
    assert tenant.violations == []
    assert 599 / (tenant.arrivals[-1] - tenant.arrivals[0]) >= 0.965 * 10


@pytest.mark.thorough
def test_a_limit_that_is_halved_while_we_send_costs_one_violation_at_a_time(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(900)), Notes()
    tenant = StrictTenant(lambda moment: 100 if moment < 1030 else 50, penalties=(60.0,))
    run_in_virtual_time(send(ledger, run, tenant, notes))
    assert tenant.accepted == all_once(900)
    assert all(after - before > 120 for before, after in itertools.pairwise(tenant.violations))
    assert [moment for moment in tenant.impatient if moment > tenant.violations[0] + 1] == []
    assert notes.allowed[0] == 50


@pytest.mark.thorough
def test_the_growing_silence_after_each_of_three_violations_is_kept_in_full(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(250)), Notes()
    closing = iter([1080.0, 1400.0])
    turn: float | None = 1005.0

    def limit(moment: float) -> int:
        nonlocal turn
        if turn is not None and moment >= turn:
            turn = next(closing, None)
            return 0
        return 100

    tenant = StrictTenant(limit, penalties=(60.0, 300.0, 1200.0))
    run_in_virtual_time(send(ledger, run, tenant, notes))
    assert tenant.accepted == all_once(250)
    assert len(tenant.violations) == 3
    for violation, penalty in zip(tenant.violations, (60.0, 300.0, 1200.0), strict=True):
        # Requests that were already on their way arrive within a moment; after that, silence.
        late = [moment for moment in tenant.arrivals if violation + 1 < moment < violation + penalty]
        assert late == []
    assert [round(seconds) for seconds, reason in notes.waits if "429" in reason] == [60, 300, 1200]


@pytest.mark.thorough
def test_a_run_backs_off_from_five_minutes_of_refused_connections_and_completes(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(150)), Notes()
    tenant = StrictTenant(lambda _: 100, outage=lambda moment: REFUSED_CONNECTION if 1010 <= moment < 1310 else None)
    run_in_virtual_time(send(ledger, run, tenant, notes))
    assert tenant.accepted == all_once(150)
    attempts = [moment for moment in tenant.arrivals if 1012 <= moment < 1310]
    assert len(attempts) < 20
    assert max(after - before for before, after in itertools.pairwise(attempts)) < 62
    assert not notes.undecided


@pytest.mark.thorough
def test_five_minutes_of_errors_leave_few_requests_unconfirmed_and_all_are_settled(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(150)), Notes()
    tenant = StrictTenant(lambda _: 100, outage=lambda moment: Answer(status=502) if 1010 <= moment < 1310 else None)
    run_in_virtual_time(send(ledger, run, tenant, notes))
    assert tenant.accepted == all_once(150)
    assert 0 < notes.undecided < 30


@pytest.mark.thorough
def test_a_long_outage_stops_the_run_and_a_later_process_completes_it(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(150)), Notes()
    tenant = StrictTenant(lambda _: 100, outage=lambda moment: REFUSED_CONNECTION if 1010 <= moment < 5000 else None)

    async def program() -> float:
        with pytest.raises(TenantLostError, match="refused") as caught:
            await send(ledger, run, tenant, notes)
        assert caught.value.exit_code == 4
        given_up = now()
        await asyncio.sleep(5000)
        await send(ledger, run, tenant, notes)
        return given_up

    assert 1600 <= run_in_virtual_time(program()) <= 1690
    assert tenant.accepted == all_once(150)


def test_silence_that_the_tenant_asked_for_does_not_count_as_an_outage(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(5)), Notes()
    struck = iter([Answer(status=429, retry_after=1200.0, form=Form.API), REFUSED_CONNECTION])
    tenant = StrictTenant(lambda _: 100, outage=lambda _: next(struck, None))
    run_in_virtual_time(send(ledger, run, tenant, notes, give_up_after=300.0))
    assert tenant.accepted == all_once(5)


@pytest.mark.thorough
@pytest.mark.parametrize("asked", [0.0, 1.0])
def test_a_tenant_that_turns_every_call_away_for_a_moment_is_lost_in_the_end(asked: float, ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(5)), Notes()
    answer = Answer(status=429, retry_after=asked, form=Form.API)
    tenant = StrictTenant(lambda _: 100, outage=lambda moment: answer if moment < 9000 else None)

    async def program() -> float:
        with pytest.raises(TenantLostError, match="429"):
            await send(ledger, run, tenant, notes, give_up_after=300.0)
        return now()

    assert 1300 <= run_in_virtual_time(program()) <= 1400


@pytest.mark.thorough
def test_a_tenant_that_turns_calls_away_for_a_moment_and_then_works_is_not_lost(ledger: Ledger) -> None:
    run, notes = write(ledger, *singles(30)), Notes()
    answer = Answer(status=429, retry_after=0.0, form=Form.API)
    tenant = StrictTenant(lambda _: 100, outage=lambda moment: answer if moment % 100 < 90 else None)
    run_in_virtual_time(send(ledger, run, tenant, notes, give_up_after=300.0))
    assert tenant.accepted == all_once(30)
