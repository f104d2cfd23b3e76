"""The precheck finds everything in progress and held, in few calls, and asks nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.answers.events import tell_each
from batch.errors import TenantLostError
from batch.loops.compare import OtherRun, other_runs
from batch.loops.precheck import Precheck
from batch.loops.precheck_scope import PrecheckScope
from batch.status.tenant_facts import KNOWN, PersonFacts
from batch.tenant.paging import open_pages
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.status import Page, Query
from tests.clocks import at
from tests.tenant.fake_tenant import NOW, FakeApprovals, FakeMemory, FakeTenant, approval, row

if TYPE_CHECKING:
    from batch.api.status_row import StatusRow
    from batch.status.in_progress import Item, TenantView

R1: Item = ("ROLE", "r1")
R2: Item = ("ROLE", "r2")


def precheck(tenant: FakeTenant, memory: FakeMemory | None = None, **more: Any) -> Precheck:
    usual: dict[str, Any] = {
        "approvals": FakeApprovals(),
        "administration": True,
        "sees_all": True,
        "since": NOW,
        "clock": at(NOW),
        "tell": tell_each(),
    }
    return Precheck(
        listing=tenant,
        holdings=tenant,
        memory=memory or FakeMemory(),
        tenant="https://tenant",
        myself="me",
        width=5,
        **{**usual, **more},
    )


def ask(
    one: Precheck, people: list[str], *, holders: list[str] | None = None, items: tuple[Item, ...] = (R1,)
) -> TenantView:
    question = PrecheckScope(people=people, holders=people if holders is None else holders, items=frozenset(items))
    return asyncio.run(one.ask(question))


def persons(number: int) -> list[str]:
    return [f"p{n:06}" for n in range(number)]


def test_20000_people_take_at_most_400_calls_despite_much_in_progress_for_others() -> None:
    people = persons(20_000)
    rows = [row(f"p{n:06}", "r1") for n in range(0, 60_000, 2)]
    tenant = FakeTenant(rows=rows, access={one: {R1} for one in people[:100]})
    approvals = FakeApprovals(rows=[approval(f"p{n:06}", "r1", access_request="a1") for n in range(0, 60_000, 2)])
    costs: list[Any] = []
    one = precheck(tenant, approvals=approvals, tell=costs.append)
    said = ask(one, people)
    assert sum(tenant.calls.values()) + sum(approvals.calls.values()) == one.calls <= 400
    assert (tenant.calls, approvals.calls) == (Counter(everybody=121, search=80), Counter(all=121))
    assert [cost.calls for cost in costs] == [one.calls - 2], "said once, after the first page of each list"
    assert {row.approver for rows in said.in_progress.values() for row in rows} == {"Ann"}
    assert all(len(found) <= 1 for found in said.in_progress.values()), "in both lists, and yet one"
    assert {person for person, found in said.in_progress.items() if found} == set(people[::2])
    assert {person for person, found in said.held.items() if found} == set(people[:100])
    assert (one.closed_list, one.closed_index) == ("", "")


def test_few_people_are_asked_about_one_by_one_if_much_is_in_progress() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(5_000)])
    said = ask(precheck(tenant), ["p000001", "p000002", "nobody"], holders=[])
    assert tenant.calls == Counter(everybody=1, each=3)
    assert {person: len(found) for person, found in said.in_progress.items()} == {
        "p000001": 1,
        "p000002": 1,
        "nobody": 0,
    }


def test_only_people_in_the_input_are_searched_for() -> None:
    tenant = FakeTenant(access={"a": {R1, R2}, "b": set()})
    said = ask(precheck(tenant), ["a", "b", "c"], holders=["a", "c"])
    assert tenant.calls["search"] == 1
    assert {person: list(items) for person, items in said.held.items()} == {"a": [R1]}


@pytest.mark.parametrize(
    ("refuses", "calls"),
    [
        ({"everybody"}, {"everybody": 1, "administration": 1}),
        ({"everybody", "administration"}, {"everybody": 1, "administration": 1, "each": 2}),
    ],
)
def test_if_one_list_is_refused_another_is_read(refuses: set[str], calls: dict[str, int]) -> None:
    tenant = FakeTenant(rows=[row("a", "r1")], refuses=refuses)
    one = precheck(tenant)
    said = ask(one, ["a", "b"], holders=[])
    assert tenant.calls == Counter(calls)
    assert len(said.in_progress["a"]) == 1
    assert one.closed_list == ""


def test_a_user_who_sees_only_their_own_requests_does_not_make_others_look_free() -> None:
    # To such a user the list of everybody shows the own requests, which are none.
    tenant = FakeTenant(refuses={"each", "administration"})
    one = precheck(tenant, sees_all=False)
    assert ask(one, ["me", "you"], holders=[]).in_progress == {}
    assert one.closed_list == "each is not allowed"
    assert tenant.calls == Counter(each=1, administration=1)


def test_an_unknown_users_rights_are_tried_first() -> None:
    tenant = FakeTenant(rows=[row("you", "r1")])
    said = ask(precheck(tenant, sees_all=False), ["me", "you"], holders=[])
    assert len(said.in_progress["you"]) == 1
    assert tenant.calls == Counter(each=1, everybody=1)


def test_a_dialect_without_the_administration_list_never_asks_for_it() -> None:
    tenant = FakeTenant(refuses={"everybody", "each"})
    one = precheck(tenant, administration=False)
    ask(one, ["a", "b"], holders=[])
    assert tenant.calls["administration"] == 0
    assert one.closed_list == "everybody is not allowed"


def test_if_every_list_is_refused_holdings_are_still_asked_for() -> None:
    tenant = FakeTenant(refuses={"everybody", "administration", "each"}, access={"a": {R1}})
    one = precheck(tenant)
    said = ask(one, ["a", "b"])
    assert said.in_progress == {}
    assert list(said.held["a"]) == [R1]
    assert one.closed_list
    assert not one.closed_index


def test_holdings_are_unknown_if_searching_is_forbidden() -> None:
    one = precheck(FakeTenant(refuses={"search"}))
    said = ask(one, persons(1_000))
    assert said.held == {}
    assert one.closed_index == "search is not allowed"


def test_a_list_without_a_count_is_not_trusted() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(300)], counts=False)
    said = ask(precheck(tenant), persons(3), holders=[])
    assert tenant.calls == Counter(everybody=1, each=3)
    assert all(len(found) == 1 for found in said.in_progress.values())


def test_cached_answers_are_reused_until_they_are_too_old() -> None:
    memory, people = FakeMemory(), persons(600)
    tenant = FakeTenant(rows=[row("p000007", "r1")], access={"p000003": {R1}})
    first = ask(precheck(tenant, memory), people)
    asked = sum(tenant.calls.values()) + 1
    again = precheck(tenant, memory, since=NOW - timedelta(seconds=60), clock=at(NOW + timedelta(seconds=60)))
    assert ask(again, people) == first
    assert (sum(tenant.calls.values()) + 1, again.calls, again.oldest) == (asked, 0, NOW)
    late = precheck(tenant, memory, since=NOW + timedelta(seconds=1), clock=at(NOW + timedelta(seconds=60)))
    anew = ask(late, people)
    assert (anew.in_progress, anew.held) == (first.in_progress, first.held)
    assert (anew.indexed, first.indexed) == (NOW + timedelta(seconds=60), NOW)
    assert late.calls == asked
    assert late.oldest == NOW + timedelta(seconds=60)


def test_only_people_and_items_without_a_cached_answer_are_asked_about() -> None:
    memory = FakeMemory()
    tenant = FakeTenant(rows=[row("b", "r1")], access={"a": {R1, R2}, "b": {R2}})
    ask(precheck(tenant, memory), ["a"])
    tenant.calls.clear()
    said = ask(precheck(tenant, memory), ["a", "b"])
    assert tenant.calls == Counter(each=1, search=1)
    assert len(said.in_progress["b"]) == 1
    tenant.calls.clear()
    other = ask(precheck(tenant, memory), ["a", "b"], items=(R1, R2))
    assert tenant.calls == Counter(search=1)
    assert {person: sorted(items) for person, items in other.held.items()} == {"a": [R1, R2], "b": [R2]}


def test_a_refusal_is_not_cached() -> None:
    memory, tenant = FakeMemory(), FakeTenant(rows=[row("a", "r1")], refuses={"each", "everybody", "administration"})
    ask(precheck(tenant, memory), ["a"], holders=[])
    tenant.refuses.clear()
    assert len(ask(precheck(tenant, memory), ["a"], holders=[]).in_progress["a"]) == 1


def test_a_list_of_unknown_length_that_is_the_only_one_is_refused_and_no_cost_is_announced() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(300)], counts=False)
    tenant.refuses |= {"each", "administration"}
    costs: list[Any] = []
    one = precheck(tenant, tell=costs.append)
    assert ask(one, persons(3), holders=[]).in_progress == {}
    assert one.closed_list
    assert all(cost.calls < 1_000 for cost in costs)


# What waits for an approver.


def test_what_only_the_pending_approvals_show_is_in_progress_too() -> None:
    approvals = FakeApprovals(rows=[approval("a", "r1", who="Ann Approver"), approval("x", "r1")])
    one = precheck(FakeTenant(), approvals=approvals)
    said = ask(one, ["a", "b"], holders=[])
    (found,) = said.in_progress["a"]
    assert (found.item, found.approver, found.waits_since) == ("r1", "Ann Approver", "2026-11-26")
    assert (said.in_progress["b"], set(said.in_progress)) == ([], {"a", "b"})
    assert approvals.calls == Counter(people=1)


def test_without_the_status_list_the_pending_approvals_count_and_are_not_cached() -> None:
    tenant, memory = FakeTenant(refuses={"each", "everybody", "administration"}), FakeMemory()
    approvals = FakeApprovals(rows=[approval("a", "r1")])
    for times in (1, 2):
        one = precheck(tenant, memory, approvals=approvals)
        assert len(ask(one, ["a"], holders=[]).in_progress["a"]) == 1
        assert (bool(one.closed_list), one.closed_approvals, approvals.calls["people"]) == (True, "", times)


def test_a_tenant_that_forbids_the_pending_approvals_is_asked_once_and_its_status_list_is_cached() -> None:
    tenant, memory = FakeTenant(rows=[row("a", "r1")]), FakeMemory()
    approvals = FakeApprovals(refuses=dict.fromkeys(("people", "all"), ForbiddenError))
    for times in (1, 2):
        one = precheck(tenant, memory, approvals=approvals)
        assert len(ask(one, [*persons(60), "a"], holders=[]).in_progress["a"]) == 1
        assert (one.closed_approvals, one.closed_list) == ("all: no", "")
        assert (approvals.calls, tenant.calls) == (Counter(all=times), Counter(everybody=1))
    approvals.refuses = {}
    anew = precheck(tenant, memory, approvals=approvals)
    ask(anew, ["a"], holders=[])
    assert anew.calls == 2, "an answer of one list is none of both"


def test_an_older_tenant_that_wants_an_approvers_id_is_asked_in_both_ways_before_it_is_left_out() -> None:
    approvals = FakeApprovals(refuses=dict.fromkeys(("people", "all"), RefusedError))
    one = precheck(FakeTenant(rows=[row("a", "r1")]), approvals=approvals)
    assert len(ask(one, ["a"], holders=[]).in_progress["a"]) == 1
    assert (one.closed_approvals, approvals.calls) == ("people: no", Counter(people=1, all=1))


@pytest.mark.parametrize(
    ("refused", "people", "calls"),
    [("people", 3, {"people": 1, "all": 3}), ("all", 120, {"all": 1, "people": 3})],
)
def test_if_one_way_to_the_pending_approvals_is_refused_the_other_is_taken(
    refused: str, people: int, calls: dict[str, int]
) -> None:
    approvals = FakeApprovals(rows=[approval(one, "r1") for one in persons(300)], refuses={refused: RefusedError})
    one = precheck(FakeTenant(), approvals=approvals)
    said = ask(one, persons(people), holders=[])
    assert all(len(found) == 1 for found in said.in_progress.values())
    assert (approvals.calls, one.closed_approvals) == (Counter(calls), "")


def test_a_whole_list_of_pending_approvals_that_does_not_say_its_length_is_asked_for_by_people() -> None:
    approvals = FakeApprovals(rows=[approval(one, "r1") for one in persons(300)], counts=False)
    said = ask(precheck(FakeTenant(), approvals=approvals), persons(120), holders=[])
    assert all(len(found) == 1 for found in said.in_progress.values())
    assert approvals.calls == Counter(all=1, people=3)


def test_cached_answers_of_both_lists_are_reused() -> None:
    memory, approvals = FakeMemory(), FakeApprovals(rows=[approval("a", "r1")])
    first = ask(precheck(FakeTenant(), memory, approvals=approvals), ["a"])
    again = precheck(FakeTenant(), memory, approvals=approvals)
    assert ask(again, ["a"]).in_progress == first.in_progress
    assert again.calls == 0


@pytest.mark.parametrize("closed_list", [False, True])
def test_pending_approvals_that_cannot_be_read_are_left_out_if_the_status_list_shows_what_is_in_progress(
    *, closed_list: bool
) -> None:
    approvals = FakeApprovals(refuses=dict.fromkeys(("all", "people"), TenantLostError))
    lists = {"everybody", "administration", "each"} if closed_list else set()
    one = precheck(FakeTenant(rows=[row("a", "r1")], refuses=lists), approvals=approvals)
    if closed_list:
        with pytest.raises(TenantLostError):
            ask(one, ["a"], holders=[])
        return
    said = ask(one, ["a"], holders=[])
    assert len(said.in_progress["a"]) == 1
    assert one.closed_approvals
    assert approvals.calls.total() == 1


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
def test_rows_that_stay_in_the_list_are_never_missed_while_others_come_and_go(
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
    except RefusedError:
        # Rows came after others had vanished: the list is refused rather than read in part.
        return
    assert before & {one.identity for one in tenant.rows} <= found


def test_a_list_that_ends_early_is_refused() -> None:
    tenant = FakeTenant(rows=[row(person, "r1") for person in persons(1_000)])

    async def page_at(offset: int) -> Page:
        page = await tenant.page(Query(everybody=True, executing=True), offset)
        return page if offset < 500 else Page(rows=(), read=0, total=None, more=False)

    async def program() -> list[Page]:
        return [page async for page in open_pages(page_at, await page_at(0))]

    with pytest.raises(RefusedError, match="ends after 500 of 1000 rows"):
        asyncio.run(program())


@pytest.mark.parametrize("total", [600, 900])
def test_a_list_that_repeats_its_pages_or_promises_more_is_refused(total: int) -> None:
    rows = tuple(row(person, "r1") for person in persons(250))

    async def page_at(offset: int) -> Page:
        if total == 600:
            return Page(rows=rows, read=250, total=total, more=offset < 500)
        return Page(rows=rows[: max(0, 600 - offset)], read=min(250, max(0, 600 - offset)), total=total, more=False)

    async def program() -> list[Page]:
        first = Page(rows=rows, read=250, total=total, more=True)
        return [page async for page in open_pages(page_at, first)]

    with pytest.raises(RefusedError, match="same rows" if total == 600 else "ends after"):
        asyncio.run(program())


def test_an_empty_list_that_counts_rows_is_refused() -> None:
    async def program() -> list[Page]:
        first: Page = Page(rows=(), read=0, total=5, more=False)
        return [page async for page in open_pages(lambda _offset: asyncio.sleep(0, first), first)]

    with pytest.raises(RefusedError, match="ends after 0 of 5 rows"):
        asyncio.run(program())


def test_ids_that_the_tenant_spells_otherwise_are_found_and_its_own_user_is_nobody_else() -> None:
    tenant = FakeTenant(rows=[row("a-B", "r1")], access={})
    said = ask(precheck(tenant), ["AB", "cd"], holders=[])
    assert {person: len(rows) for person, rows in said.in_progress.items()} == {"AB": 1, "cd": 0}


def revokes_of(*people: str) -> PrecheckScope:
    return PrecheckScope(
        people=people, holders=people, items=frozenset({R1, R2}), revokes={person: [R1] for person in people}
    )


def asked_to_revoke(tenant: FakeTenant, *people: str, memory: FakeMemory | None = None) -> TenantView:
    return asyncio.run(precheck(tenant, memory).ask(revokes_of(*people)))


def test_only_the_lists_of_people_who_do_not_hold_what_they_shall_lose_are_read_for_late_grants() -> None:
    late, early = row("c", "r1", state="REQUEST_COMPLETED"), row("b", "r1", state="REQUEST_COMPLETED")
    early = replace(early, created=NOW - timedelta(days=9), since=NOW - timedelta(days=8))
    tenant = FakeTenant(access={"a": {R1}, "b": {R2}, "c": set()}, finished=[early, late])
    found = asked_to_revoke(tenant, "a", "b", "c", "unknown")
    assert found.granted == {"b": frozenset(), "c": frozenset({"r1"})}
    assert found.indexed == NOW
    assert tenant.calls["history"] == 2


@pytest.mark.parametrize("read", [1, 2])
def test_a_list_of_a_person_that_was_not_read_in_full_proves_nothing(read: int) -> None:
    class Cut(FakeTenant):
        async def page(self, query: Query, offset: int) -> Page:
            page = await super().page(query, offset)
            return replace(page, read=read, total=2) if query.requested_for and not query.executing else page

    tenant = Cut(access={"a": set()}, finished=[row("a", "r2", state="REQUEST_COMPLETED")])
    assert asked_to_revoke(tenant, "a").granted == {}


def test_late_grants_are_unknown_if_the_lists_are_forbidden() -> None:
    access: dict[str, set[Item]] = {"a": set()}
    for refused in ({"history"}, {"each", "everybody", "administration"}):
        assert asked_to_revoke(FakeTenant(access=access, refuses=refused), "a").granted == {}


def test_late_grants_are_asked_for_once_as_long_as_the_answer_is_newer_than_the_indexs() -> None:
    late = row("a", "r1", state="REQUEST_COMPLETED")
    tenant, memory = FakeTenant(access={"a": set()}, finished=[late]), FakeMemory()
    for _ in range(2):
        assert asked_to_revoke(tenant, "a", memory=memory).granted == {"a": frozenset({"r1"})}
    assert (tenant.calls["search"], tenant.calls["history"]) == (1, 1)
    later = precheck(tenant, memory, clock=at(NOW + timedelta(seconds=301)), since=NOW + timedelta(seconds=1))
    asyncio.run(later.ask(revokes_of("a")))
    assert (tenant.calls["search"], tenant.calls["history"]) == (2, 2)


def test_an_answer_about_late_grants_does_not_count_for_an_older_answer_of_the_index() -> None:
    tenant, memory = FakeTenant(access={"a": set(), "b": set()}), FakeMemory()
    asked_to_revoke(tenant, "b", memory=memory)
    hour_later = {"clock": at(NOW + timedelta(hours=1))}
    asyncio.run(precheck(tenant, memory, **hour_later).ask(revokes_of("a")))
    asyncio.run(precheck(tenant, memory, **hour_later).ask(revokes_of("a", "b")))
    assert (tenant.calls["search"], tenant.calls["history"]) == (2, 3), "a's own list was read from an hour later on"


@pytest.mark.thorough
@pytest.mark.parametrize("is_thorough", [False, True])
def test_revokes_of_20000_people_that_the_index_does_not_show_take_at_most_400_calls_unless_all_must_be_checked(
    *, is_thorough: bool
) -> None:
    people, memory = persons(20_000), FakeMemory()
    tenant = FakeTenant(access={one: set() for one in people})
    costs: list[Any] = []
    one = precheck(tenant, memory, tell=costs.append, is_thorough=is_thorough)
    found = asyncio.run(one.ask(revokes_of(*people)))
    made = tenant.calls.total() + 1
    assert len(found.granted) + len(found.unchecked) == len(people)
    assert (len(found.unchecked) == 0) is is_thorough
    assert one.calls == made
    assert (made <= 400) is not is_thorough
    assert costs[-1].calls + 2 >= made, "said before, after the first page of each list"
    again = precheck(tenant, memory, is_thorough=is_thorough)
    asyncio.run(again.ask(revokes_of(*people[: len(found.granted)])))
    assert again.calls == 0


def test_lists_of_several_pages_count_with_their_pages_and_are_said_before() -> None:
    people = persons(10)
    old = [
        replace(
            row(one, "r2", state="REQUEST_COMPLETED"), created=NOW - timedelta(days=9), since=NOW - timedelta(days=9)
        )
        for one in people
        for _ in range(300)
    ]
    tenant = FakeTenant(access={one: set() for one in people}, finished=old)
    costs: list[Any] = []
    one = precheck(tenant, tell=costs.append)
    assert asyncio.run(one.ask(revokes_of(*people))).granted == dict.fromkeys(people, frozenset())
    assert tenant.calls["history"] == 20
    assert (costs[0].calls, costs[-1].calls >= 19) == (11, True)


@pytest.mark.thorough
@pytest.mark.parametrize("is_thorough", [False, True])
def test_pending_approvals_that_can_only_be_asked_for_by_people_take_no_more_calls_than_the_precheck_may(
    *, is_thorough: bool
) -> None:
    people = persons(20_000)
    approvals = FakeApprovals(rows=[approval(one, "r1") for one in people], refuses={"all": RefusedError})
    costs: list[Any] = []
    one = precheck(FakeTenant(), approvals=approvals, tell=costs.append, is_thorough=is_thorough)
    ask(one, people)
    assert approvals.calls == (Counter(all=1, people=400) if is_thorough else Counter(all=1))
    assert (one.closed_approvals == "all: no; asking for these identities takes 400 calls") is not is_thorough
    assert len(costs) == 1
    assert costs[-1].calls + 3 >= one.calls


def test_a_sweep_of_the_pending_approvals_that_breaks_off_is_not_followed_by_more_calls_than_are_said() -> None:
    class Broken(FakeApprovals):
        async def page(self, query: Any, offset: int) -> Page:
            if self.calls["all"] == 60:
                raise RefusedError("its list ends early")
            return await super().page(query, offset)

    people = persons(20_000)
    approvals = Broken(rows=[approval(one, "r1") for one in people for _ in range(2)])
    costs: list[Any] = []
    one = precheck(FakeTenant(), approvals=approvals, tell=costs.append)
    ask(one, people)
    assert one.closed_approvals == "its list ends early; asking for these identities takes 400 calls"
    assert approvals.calls == Counter(all=60)
    assert costs[-1].calls + 2 >= one.calls


def test_many_approvals_of_a_portion_of_people_count_with_their_pages() -> None:
    people = persons(200)
    approvals = FakeApprovals(
        rows=[approval(one, f"r{n}") for one in people for n in range(30)], refuses={"all": RefusedError}
    )
    costs: list[Any] = []
    one = precheck(FakeTenant(), approvals=approvals, tell=costs.append)
    ask(one, people, holders=[])
    assert approvals.calls["people"] == 4 * 7
    assert costs[-1].calls >= 4 * 7 - 1


def test_the_index_says_of_people_what_they_are_and_what_no_request_can_revoke_also_the_second_time() -> None:
    leaver = PersonFacts(listed=True, inactive=True, lifecycle="terminated")
    tenant = FakeTenant(access={"a": {R1, R2}, "b": {R1}}, unrevocable={"a": {R2}}, facts={"a": leaver})
    memory = FakeMemory()
    for _ in range(2):
        said = ask(precheck(tenant, memory), ["a", "b", "c"], items=(R1, R2))
        assert said.people == {"a": leaver, "b": KNOWN, "c": PersonFacts(listed=False)}
        assert said.unrevocable == {"a": frozenset({R2})}
    assert tenant.calls["search"] == 1


class OwnList:
    """The list of the token's user, newest row first, in pages of two rows."""

    def __init__(self, *rows: StatusRow) -> None:
        self.rows = rows
        self.pages = 0

    async def page(self, query: Query, offset: int) -> Page:
        assert query == Query(newest_first=True)
        self.pages += 1
        found = self.rows[offset : offset + 2]
        return Page(rows=found, read=len(found), total=len(self.rows), more=offset + 2 < len(self.rows))

    async def clock_offset(self) -> timedelta:
        return timedelta()


def ours(run: str, number: int, hours_ago: float) -> StatusRow:
    created = NOW - timedelta(hours=hours_ago)
    return row("a", "r1", created=created, metadata={"accessBatchRequest": f"{run}-{number}-abcdefghij".upper()})


def test_the_runs_of_other_ledgers_are_found_in_the_users_own_list() -> None:
    one, two = "0a1b2c3d4e5f", "5f4e3d2c1b0a"
    listing = OwnList(row("a", "r1"), ours(one, 2, 1), ours(two, 1, 2), ours(one, 1, 3), row("b", "r1"))
    found = asyncio.run(other_runs(listing, lambda: {two}))
    assert found == (OtherRun(id=one, first=NOW - timedelta(hours=3), last=NOW - timedelta(hours=1), changes=2),)
    assert asyncio.run(other_runs(listing, lambda: {one, two})) == ()
    long = OwnList(*(row("a", f"r{n}") for n in range(20)), ours(one, 1, 9))
    assert (asyncio.run(other_runs(long, tuple)), long.pages) == ((), 4)


def test_a_run_that_another_process_begins_while_the_list_is_read_is_not_another_ledgers() -> None:
    listing = OwnList(*(row("a", f"r{n}") for n in range(3)), ours("0a1b2c3d4e5f", 1, 0))
    # It is in the ledger before it can be in the list.
    assert asyncio.run(other_runs(listing, lambda: {"0a1b2c3d4e5f"} if listing.pages else set())) == ()
