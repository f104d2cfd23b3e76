"""Asking the tenant what is in progress and held: everything is found, with few calls, and nothing is asked twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.events import tell_each
from batch.loops.precheck import Precheck, PrecheckScope
from batch.tenant.status import ListingForbiddenError, Page, Query, open_pages
from tests.clocks import at
from tests.tenant.fake_tenant import NOW, FakeMemory, FakeTenant, row

if TYPE_CHECKING:
    from batch.model import StatusRow
    from batch.status.in_progress import Item, TenantView

R1: Item = ("ROLE", "r1")
R2: Item = ("ROLE", "r2")


def inquiry(tenant: FakeTenant, memory: FakeMemory | None = None, **more: Any) -> Precheck:
    usual: dict[str, Any] = {"administration": True, "sees_all": True, "since": NOW, "clock": at(NOW)}
    return Precheck(
        listing=tenant,
        holdings=tenant,
        memory=memory or FakeMemory(),
        tenant="https://tenant",
        myself="me",
        width=5,
        tell=tell_each(),
        **{**usual, **more},
    )


def ask(
    one: Precheck, people: list[str], *, holders: list[str] | None = None, items: tuple[Item, ...] = (R1,)
) -> TenantView:
    question = PrecheckScope(people=people, holders=people if holders is None else holders, items=frozenset(items))
    return asyncio.run(one.ask(question))


def persons(number: int) -> list[str]:
    return [f"p{n:06}" for n in range(number)]


def test_20000_people_take_at_most_400_calls_however_much_is_in_progress_for_others() -> None:
    people = persons(20_000)
    rows = [row(f"p{n:06}", "r1") for n in range(0, 60_000, 2)]
    tenant = FakeTenant(rows=rows, access={one: {R1} for one in people[:100]})
    one = inquiry(tenant)
    said = ask(one, people)
    assert sum(tenant.calls.values()) == one.calls <= 400
    assert tenant.calls == Counter(everybody=121, search=80)
    assert {person for person, found in said.in_progress.items() if found} == set(people[::2])
    assert {person for person, found in said.held.items() if found} == set(people[:100])
    assert (one.closed_list, one.closed_index) == ("", "")


def test_few_people_are_asked_about_one_by_one_where_much_is_in_progress() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(5_000)])
    said = ask(inquiry(tenant), ["p000001", "p000002", "nobody"], holders=[])
    assert tenant.calls == Counter(everybody=1, each=3)
    assert {person: len(found) for person, found in said.in_progress.items()} == {
        "p000001": 1,
        "p000002": 1,
        "nobody": 0,
    }


def test_only_who_is_wanted_something_for_is_searched_for() -> None:
    tenant = FakeTenant(access={"a": {R1, R2}, "b": set()})
    said = ask(inquiry(tenant), ["a", "b", "c"], holders=["a", "c"])
    assert tenant.calls["search"] == 1
    assert {person: list(items) for person, items in said.held.items()} == {"a": [R1]}


@pytest.mark.parametrize(
    ("refuses", "calls"),
    [
        ({"everybody"}, {"everybody": 1, "administration": 1}),
        ({"everybody", "administration"}, {"everybody": 1, "administration": 1, "each": 2}),
    ],
)
def test_what_one_list_refuses_another_may_tell(refuses: set[str], calls: dict[str, int]) -> None:
    tenant = FakeTenant(rows=[row("a", "r1")], refuses=refuses)
    one = inquiry(tenant)
    said = ask(one, ["a", "b"], holders=[])
    assert tenant.calls == Counter(calls)
    assert len(said.in_progress["a"]) == 1
    assert one.closed_list == ""


def test_a_user_who_sees_the_own_requests_only_is_not_taken_for_one_to_whom_nothing_is_in_progress() -> None:
    # To such a user the list of everybody shows the own requests, which are none.
    tenant = FakeTenant(refuses={"each", "administration"})
    one = inquiry(tenant, sees_all=False)
    assert ask(one, ["me", "you"], holders=[]).in_progress == {}
    assert one.closed_list == "each is not allowed"
    assert tenant.calls == Counter(each=1, administration=1)


def test_a_user_of_whom_nothing_is_known_is_tried_out_first() -> None:
    tenant = FakeTenant(rows=[row("you", "r1")])
    said = ask(inquiry(tenant, sees_all=False), ["me", "you"], holders=[])
    assert len(said.in_progress["you"]) == 1
    assert tenant.calls == Counter(each=1, everybody=1)


def test_without_an_administration_list_none_is_asked() -> None:
    tenant = FakeTenant(refuses={"everybody", "each"})
    one = inquiry(tenant, administration=False)
    ask(one, ["a", "b"], holders=[])
    assert tenant.calls["administration"] == 0
    assert one.closed_list == "everybody is not allowed"


def test_what_no_list_tells_is_not_known_and_the_rest_is_asked_all_the_same() -> None:
    tenant = FakeTenant(refuses={"everybody", "administration", "each"}, access={"a": {R1}})
    one = inquiry(tenant)
    said = ask(one, ["a", "b"])
    assert said.in_progress == {}
    assert list(said.held["a"]) == [R1]
    assert one.closed_list
    assert not one.closed_index


def test_what_may_not_be_searched_is_not_known() -> None:
    one = inquiry(FakeTenant(refuses={"search"}))
    said = ask(one, persons(1_000))
    assert said.held == {}
    assert one.closed_index == "search is not allowed"


def test_a_list_that_does_not_say_how_long_it_is_is_not_relied_on() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(300)], counts=False)
    said = ask(inquiry(tenant), persons(3), holders=[])
    assert tenant.calls == Counter(everybody=1, each=3)
    assert all(len(found) == 1 for found in said.in_progress.values())


def test_what_was_said_a_while_ago_is_not_asked_again_until_it_is_too_old() -> None:
    memory, people = FakeMemory(), persons(600)
    tenant = FakeTenant(rows=[row("p000007", "r1")], access={"p000003": {R1}})
    first = ask(inquiry(tenant, memory), people)
    asked = sum(tenant.calls.values())
    again = inquiry(tenant, memory, since=NOW - timedelta(seconds=60), clock=at(NOW + timedelta(seconds=60)))
    assert ask(again, people) == first
    assert (sum(tenant.calls.values()), again.calls, again.oldest) == (asked, 0, NOW)
    late = inquiry(tenant, memory, since=NOW + timedelta(seconds=1), clock=at(NOW + timedelta(seconds=60)))
    assert ask(late, people) == first
    assert late.calls == asked
    assert late.oldest == NOW + timedelta(seconds=60)


def test_what_was_said_of_some_people_or_other_items_leaves_the_rest_to_be_asked() -> None:
    memory = FakeMemory()
    tenant = FakeTenant(rows=[row("b", "r1")], access={"a": {R1, R2}, "b": {R2}})
    ask(inquiry(tenant, memory), ["a"])
    tenant.calls.clear()
    said = ask(inquiry(tenant, memory), ["a", "b"])
    assert tenant.calls == Counter(each=1, search=1)
    assert len(said.in_progress["b"]) == 1
    tenant.calls.clear()
    other = ask(inquiry(tenant, memory), ["a", "b"], items=(R1, R2))
    assert tenant.calls == Counter(search=1)
    assert {person: sorted(items) for person, items in other.held.items()} == {"a": [R1, R2], "b": [R2]}


def test_a_refusal_is_not_remembered() -> None:
    memory, tenant = FakeMemory(), FakeTenant(rows=[row("a", "r1")], refuses={"each", "everybody", "administration"})
    ask(inquiry(tenant, memory), ["a"], holders=[])
    tenant.refuses.clear()
    assert len(ask(inquiry(tenant, memory), ["a"], holders=[]).in_progress["a"]) == 1


# A list whose rows vanish while it is read.


def read(tenant: FakeTenant) -> list[StatusRow]:
    async def program() -> list[StatusRow]:
        query = Query(everybody=True, executing=True)

        async def page_at(offset: int) -> Page:
            return await tenant.page(query, offset)

        first = await page_at(0)
        return [one async for page in open_pages(page_at, first) for one in page.rows]

    return asyncio.run(program())


@given(st.integers(0, 1_500), st.lists(st.tuples(st.integers(0, 1_499), st.integers(0, 400)), max_size=10))
def test_what_stays_in_the_list_is_never_missed_whatever_vanishes_and_comes_meanwhile(
    length: int, changes: list[tuple[int, int]]
) -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(length)])
    before = {one.identity for one in tenant.rows}
    coming = iter(changes)

    def change() -> None:
        start, number = next(coming, (0, 0))
        del tenant.rows[start : start + number]
        tenant.rows += [row(f"new {len(before)}", "r1")] * (start % 3)

    tenant.meanwhile = change
    try:
        found = {one.identity for one in read(tenant)}
    except ListingForbiddenError:
        # Rows came after others had vanished: the list is refused rather than read in part.
        return
    assert before & {one.identity for one in tenant.rows} <= found


def test_a_list_that_breaks_off_is_not_taken_for_whole() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(1_000)])

    async def page_at(offset: int) -> Page:
        page = await tenant.page(Query(everybody=True, executing=True), offset)
        return page if offset < 500 else Page(rows=(), read=0, total=None, more=False)

    async def program() -> list[Page]:
        return [page async for page in open_pages(page_at, await page_at(0))]

    with pytest.raises(ListingForbiddenError, match="ends after 500 of 1000 rows"):
        asyncio.run(program())
