"""Each person is asked about once, recent answers are reused, and a tenant that forbids the question is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.loops.end_dates import UNREADABLE, EndDates
from batch.model import Clock
from batch.tenant.reading import ForbiddenError, RefusedError
from tests.builders import NOW
from tests.loops.test_account_lookup import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLOCK = Clock(now=lambda: NOW, monotonic=lambda: 0.0)


class Tenant:
    """Tells that everybody has the role r1 until a date; not of carla, and refuses the question for dan."""

    def __init__(self, *, forbids: bool = False, loses: bool = False) -> None:
        self.asked: list[str] = []
        self._forbids = forbids
        self._loses = loses

    async def role_ends(self, person: str) -> Mapping[str, Sequence[str]] | None:
        self.asked.append(person)
        if self._forbids:
            raise ForbiddenError("403: no")
        if self._loses:
            raise TenantLostError("The tenant's list of role assignments can't be read: 502.")
        if person == "dan":
            raise RefusedError("404: who?")
        return None if person == "carla" else {"r1": [f"{person}'s date"]}


def end_dates(tenant: Tenant, memory: Memory) -> EndDates:
    return EndDates(tenant, memory=memory, tenant="t", since=NOW, clock=CLOCK, width=1)


def test_each_person_takes_one_call_and_recent_answers_none() -> None:
    tenant, memory = Tenant(), Memory()
    first = end_dates(tenant, memory)
    assert first.calls_needed(["anna", "ben"]) == 2
    told = asyncio.run(first.ask(["anna", "ben"]))
    assert told == {"anna": {"r1": ["anna's date"]}, "ben": {"r1": ["ben's date"]}}
    again = end_dates(tenant, memory)
    assert again.calls_needed(["anna", "ben", "eve"]) == 1
    assert asyncio.run(again.ask(["anna", "ben"])) == told
    assert (tenant.asked, again.closed) == (["anna", "ben"], None)


def test_what_is_not_told_of_one_person_is_told_of_others() -> None:
    tenant, memory = Tenant(), Memory()
    asked = end_dates(tenant, memory)
    assert [*asyncio.run(asked.ask(["carla", "dan", "eve"]))] == ["eve"]
    assert asked.closed == Unshown(why="404: who?")
    assert end_dates(tenant, memory).calls_needed(["carla", "dan", "eve"]) == 2


def test_a_tenant_that_forbids_the_question_is_not_asked_again() -> None:
    tenant = Tenant(forbids=True)
    asked = end_dates(tenant, Memory())
    assert asyncio.run(asked.ask(["anna", "ben", "eve"])) == {}
    assert (tenant.asked, asked.closed) == (["anna"], Unshown(why="403: no", forbidden=True))


def test_an_answer_that_cannot_be_read_is_told_of_and_a_lost_tenant_is_not_asked_again() -> None:
    asked = end_dates(Tenant(), Memory())
    assert asyncio.run(asked.ask(["carla"])) == {}
    assert asked.closed == Unshown(why=UNREADABLE)
    tenant = Tenant(loses=True)
    asked = end_dates(tenant, Memory())
    assert asyncio.run(asked.ask(["anna", "ben"])) == {}
    assert (tenant.asked, asked.closed) == (
        ["anna"],
        Unshown(why="its list of role assignments can't be read: 502"),
    )


def test_no_more_people_are_asked_about_than_calls_are_left_and_cached_ones_take_none() -> None:
    tenant, memory = Tenant(), Memory()
    asyncio.run(end_dates(tenant, memory).ask(["eve"]))
    asked = end_dates(tenant, memory)
    assert [*asyncio.run(asked.ask(["eve", "anna", "ben", "ida"], most=2))] == ["eve", "anna", "ben"]
    assert (tenant.asked, asked.left_out) == (["eve", "anna", "ben"], 1)
