"""Permits that are given ahead: what happens while an attempt waits to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.answers.outcome import backoff
from batch.states import Event
from tests.ledger.ledger_helpers import ACCEPTED
from tests.loops.send_stage import FakePermit, OpenTurnstile, Stage, always

if TYPE_CHECKING:
    from collections.abc import Callable


class WaitingPermit(FakePermit):
    """Something happens while its call waits to leave."""

    def __init__(self, number: int, happens: Callable[[WaitingPermit], None]) -> None:
        super().__init__(number)
        self._happens = happens

    async def due(self) -> bool:
        self._happens(self)
        return True


class Ahead(OpenTurnstile):
    """Gives permits ahead."""

    def __init__(self, happens: Callable[[WaitingPermit], None]) -> None:
        super().__init__()
        self._happens = happens

    async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> list[FakePermit]:
        given = await super().wait(most=most, to_come=to_come, ahead=ahead)
        waiting = [WaitingPermit(number, self._happens) for number in range(len(given))]
        self.permits[-len(given) :] = waiting
        # A silence is over before permits are given again.
        self.quiet = False
        return [*waiting]


async def test_what_waits_to_leave_is_planned_again_if_a_silence_begins_and_says_nothing_of_the_tenant(
    five: Stage,
) -> None:
    def happens(_permit: WaitingPermit) -> None:
        # During the second and the third wait.
        pace.quiet = len(pace.permits) in {2, 3}

    tenant, pace = always(ACCEPTED), Ahead(happens)
    await five.submitter(tenant, pace=pace).submit(1)
    assert five.states() == {"ACCEPTED": 5}
    assert len(tenant.posts) == 5
    assert [permit.ends[0] for permit in pace.permits].count("unused") == 2
    assert pace.holds == []
    assert five.witness.decisions.count((2, Event.NOT_PROCESSED.value)) == 2


async def test_what_waits_to_leave_is_not_sent_after_a_stop(five: Stage) -> None:
    def happens(_permit: WaitingPermit) -> None:
        if len(pace.permits) > 1:
            submitter.stop()

    tenant, pace = always(ACCEPTED), Ahead(happens)
    submitter = five.submitter(tenant, pace=pace)
    await submitter.submit(3)
    assert len(tenant.posts) == 1
    assert five.states() == {"ACCEPTED": 1, "PLANNED": 4}
    assert {permit.ends[0] for permit in pace.permits[1:]} == {"unused"}


async def test_attempts_that_are_held_up_together_are_one_failure(five: Stage) -> None:
    def happens(permit: WaitingPermit) -> None:
        permit.is_old = 1 < len(pace.permits) <= 4

    tenant, pace = always(ACCEPTED), Ahead(happens)
    await five.submitter(tenant, pace=pace).submit(3)
    assert five.states() == {"ACCEPTED": 5}
    assert len(tenant.posts) == 5
    assert pace.holds == [backoff(0, 1.0)] * 3


async def test_a_permit_that_is_too_old_is_not_used(five: Stage) -> None:
    def happens(permit: WaitingPermit) -> None:
        permit.is_old = len(pace.permits) == 2

    tenant, pace = always(ACCEPTED), Ahead(happens)
    await five.submitter(tenant, pace=pace).submit(1)
    assert five.states() == {"ACCEPTED": 5}
    assert len(tenant.posts) == 5
    assert len(pace.permits) == 6
    assert len(five.witness.decisions) == 6
