"""Each person is asked about once, recent answers are reused, and a tenant that forbids the question is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batch.loops.end_dates import EndDates
from batch.model import Clock
from batch.tenant.reading import ForbiddenError, RefusedError
from tests.builders import NOW
from tests.loops.test_account_lookup import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLOCK = Clock(now=lambda: NOW, monotonic=lambda: 0.0)


class Tenant:
    """Tells that everybody has the role r1 until a date; not of carla, and refuses the question for dan."""

    def __init__(self, *, forbids: bool = False) -> None:
        self.asked: list[str] = []
        self._forbids = forbids

    async def role_ends(self, person: str) -> Mapping[str, Sequence[str]] | None:
        self.asked.append(person)
        if self._forbids:
            raise ForbiddenError("403: no")
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
    assert (tenant.asked, again.closed) == (["anna", "ben"], "")


def test_what_is_not_told_of_one_person_is_told_of_others() -> None:
    tenant, memory = Tenant(), Memory()
    asked = end_dates(tenant, memory)
    assert [*asyncio.run(asked.ask(["carla", "dan", "eve"]))] == ["eve"]
    assert asked.closed == "404: who?"
    assert end_dates(tenant, memory).calls_needed(["carla", "dan", "eve"]) == 2


def test_a_tenant_that_forbids_the_question_is_not_asked_again() -> None:
    tenant = Tenant(forbids=True)
    asked = end_dates(tenant, Memory())
    assert asyncio.run(asked.ask(["anna", "ben", "eve"])) == {}
    assert (tenant.asked, asked.closed) == (["anna"], "403: no")
