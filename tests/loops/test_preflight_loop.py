"""The preflight asks about each item once, in few calls, and asks again only for what was missing or is too old."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.answers.events import tell_each
from batch.api.dialects import DIALECTS, PAGE_LIMIT
from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.loops.precheck import Precheck
from batch.loops.precheck_scope import PrecheckScope
from batch.loops.preflight import MOST_CONFIGURATIONS, MOST_PEOPLE, Preflight, meanwhile
from batch.status.cheapest_list import ListChoice, calls_left, searches
from batch.status.tenant_facts import ItemFacts, PersonFacts
from batch.tenant.approvals import ApprovalList
from batch.tenant.facts import IDS_PER_CALL, FactLists
from batch.tenant.holdings import SearchIndex
from batch.tenant.reading import ForbiddenError, RefusedError
from batch.tenant.status import StatusList
from tests.clocks import VIRTUAL, at
from tests.tenant.fake_tenant import NOW, FakeMemory
from tests.tenant.open_calls import Reply, with_reader
from tests.tenant.virtual_time import now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from batch.api.dialects import ItemType
    from batch.loops.preflight import Asked
    from batch.tenant.reading import Reader

SHOWN = ItemFacts(listed=True)
GONE = ItemFacts(listed=False)
NEEDS_AN_END = ItemFacts(listed=True, end_date_required=True)


class FakeFacts:
    """Says that items and people exist, except for those whose ids begin with x."""

    def __init__(self, refuses: Mapping[str, type[Exception]] | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.portions: list[int] = []
        self._refuses = refuses or {}

    @property
    def calls(self) -> int:
        return self.asked.total()

    async def items(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, ItemFacts]:
        self._ask(item_type, ids)
        return {one: GONE if one.startswith("x") else SHOWN for one in ids}

    async def people(self, ids: Sequence[str]) -> Mapping[str, PersonFacts]:
        self._ask("PEOPLE", ids)
        return {one: PersonFacts(listed=not one.startswith("x")) for one in ids}

    async def configuration(self, entitlement: str) -> ItemFacts | None:
        self._ask("CONFIGURATIONS", [entitlement])
        return None if entitlement.startswith("n") else NEEDS_AN_END

    def _ask(self, subject: str, ids: Sequence[str]) -> None:
        self.asked[subject] += 1
        self.portions.append(len(ids))
        if subject in self._refuses:
            raise self._refuses[subject](f"no {subject.lower()}")


def preflight(
    facts: FakeFacts, memory: FakeMemory | None = None, *, later: float = 0, max_age: float = 300
) -> Preflight:
    now = NOW + timedelta(seconds=later)
    return Preflight(
        facts=facts,
        memory=memory or FakeMemory(),
        tenant="https://tenant",
        since=now - timedelta(seconds=max_age),
        clock=at(now),
    )


def ask(
    one: Preflight, items: Mapping[str, Sequence[str]], people: Sequence[str] = (), entitlements: Sequence[str] = ()
) -> Asked:
    return asyncio.run(one.ask(items, people, entitlements))


def test_many_items_take_few_calls_which_are_known_before() -> None:
    items = {"ROLE": [f"r{n}" for n in range(120)], "ENTITLEMENT": ["e1"]}
    facts = FakeFacts()
    one = preflight(facts)
    assert one.calls_needed(items) == 4
    said = ask(one, items)
    assert facts.portions == [IDS_PER_CALL, IDS_PER_CALL, 120 - 2 * IDS_PER_CALL, 1]
    assert one.calls == 4
    assert len(said.items) == 121
    assert said.items["ENTITLEMENT", "e1"] == SHOWN
    assert one.oldest == NOW


def test_the_same_items_are_not_asked_about_again_until_the_answers_are_too_old() -> None:
    memory, items = FakeMemory(), {"ROLE": ["r1", "r2"], "ACCESS_PROFILE": ["p1"]}
    first = ask(preflight(FakeFacts(), memory), items, ["anna"])
    again = preflight(FakeFacts(), memory, later=299)
    assert again.calls_needed(items) == 0
    assert ask(again, items, ["anna"]) == first
    assert (again.calls, again.oldest) == (0, NOW)
    late = preflight(FakeFacts(), memory, later=301)
    assert late.calls_needed(items) == 2
    ask(late, items)
    assert late.calls == 2


def test_what_was_missing_is_asked_for_again_since_it_may_exist_by_now() -> None:
    memory = FakeMemory()
    for _ in range(2):
        facts = FakeFacts()
        said = ask(preflight(facts, memory), {"ROLE": ["r1", "x2"]}, ["anna", "xaver"])
        assert said.items == {("ROLE", "r1"): SHOWN, ("ROLE", "x2"): GONE}
        assert said.people["xaver"].listed is False
    assert facts.portions == [1, 1]


@pytest.mark.parametrize("error", [ForbiddenError, RefusedError, TenantLostError])
def test_a_list_that_the_tenant_refuses_is_left_out_and_asked_no_more(error: type[Exception]) -> None:
    facts = FakeFacts({"ROLE": error, "PEOPLE": error})
    one = preflight(facts)
    said = ask(one, {"ROLE": [f"r{n}" for n in range(120)], "ENTITLEMENT": ["e1"]}, ["anna"])
    assert said.items == {("ENTITLEMENT", "e1"): SHOWN}
    assert said.people == {}
    forbidden = error is ForbiddenError
    assert one.closed == {
        "ROLE": Unshown(why="no role", forbidden=forbidden),
        "PEOPLE": Unshown(why="no people", forbidden=forbidden),
    }
    assert facts.asked == Counter(ROLE=1, ENTITLEMENT=1, PEOPLE=1)


def test_a_file_of_another_tenants_people_does_not_ask_about_all_of_them() -> None:
    facts = FakeFacts()
    said = ask(preflight(facts), {}, [f"x{n}" for n in range(20_000)])
    assert facts.calls == 20
    assert len(said.people) == MOST_PEOPLE


def test_entitlements_are_asked_for_their_own_configuration_and_not_again() -> None:
    memory, items = FakeMemory(), {"ROLE": ["r1"], "ENTITLEMENT": ["e1", "e2", "x3", "n4"]}
    wanted = ["x3", "n4", "e2"]
    first = preflight(FakeFacts(), memory)
    assert first.calls_needed(items, wanted) == 2 + 3
    said = ask(first, items, entitlements=wanted)
    assert said.items == {
        ("ROLE", "r1"): SHOWN,
        ("ENTITLEMENT", "e1"): SHOWN,
        ("ENTITLEMENT", "e2"): NEEDS_AN_END,
        # The tenant does not list it, so it is not asked for.
        ("ENTITLEMENT", "x3"): GONE,
        ("ENTITLEMENT", "n4"): SHOWN,
    }
    assert first.calls == 2 + 2
    again = preflight(FakeFacts(), memory, later=299)
    assert ask(again, items, entitlements=["e2"]).items["ENTITLEMENT", "e2"] == NEEDS_AN_END
    assert again.oldest == NOW


def test_at_most_so_many_entitlements_are_asked_for_their_configuration() -> None:
    ids = [f"e{n:03}" for n in range(MOST_CONFIGURATIONS + 50)]
    facts = FakeFacts()
    one = preflight(facts)
    assert one.calls_needed({}, ids) == MOST_CONFIGURATIONS == 200
    said = ask(one, {"ENTITLEMENT": ids}, entitlements=ids)
    assert facts.asked["CONFIGURATIONS"] == MOST_CONFIGURATIONS
    assert [said.items["ENTITLEMENT", name] == NEEDS_AN_END for name in ids] == [True] * 200 + [False] * 50


@pytest.mark.parametrize("error", [ForbiddenError, RefusedError, TenantLostError])
def test_configurations_that_the_tenant_refuses_are_left_out_with_one_reason(error: type[Exception]) -> None:
    ids = [f"e{n}" for n in range(100)]
    facts = FakeFacts({"CONFIGURATIONS": error})
    one = preflight(facts)
    said = ask(one, {"ENTITLEMENT": ids}, entitlements=ids)
    assert said.items["ENTITLEMENT", "e1"] == SHOWN
    forbidden = error is ForbiddenError
    assert one.closed == {"CONFIGURATIONS": Unshown(why="no configurations", forbidden=forbidden)}
    assert facts.asked["CONFIGURATIONS"] <= 10


def test_a_tenant_whose_entitlements_have_no_configuration_is_not_asked_for_all_of_them() -> None:
    ids = [f"n{n}" for n in range(100)]
    facts = FakeFacts()
    one = preflight(facts)
    ask(one, {"ENTITLEMENT": ids}, entitlements=ids)
    assert facts.asked["CONFIGURATIONS"] == 20
    assert one.closed == {}


def test_a_list_of_entitlements_that_is_refused_is_reason_enough_not_to_ask_for_each() -> None:
    facts = FakeFacts({"ENTITLEMENT": ForbiddenError})
    one = preflight(facts)
    ask(one, {"ENTITLEMENT": ["e1"]}, entitlements=["e1"])
    assert (one.closed, facts.calls) == ({"ENTITLEMENT": Unshown(why="no entitlement", forbidden=True)}, 1)


@pytest.mark.parametrize("fails", [False, True])
def test_how_far_the_questions_have_come_is_told_until_they_end(*, fails: bool) -> None:
    told: list[float] = []

    async def program() -> None:
        async with meanwhile(lambda: told.append(now()), every=10):
            await asyncio.sleep(35)
            if fails:
                raise ForbiddenError("no")

    async def everything() -> float:
        began = now()
        with contextlib.suppress(ForbiddenError):
            await program()
        await asyncio.sleep(60)
        return began

    began = run_in_virtual_time(everything())
    assert [round(moment - began) for moment in told] == [10, 20, 30]


# 120,000 changes of 20,000 people and 300 items, which may all be entitlements: no other kind takes more calls.

PEOPLE = [f"{n:032x}" for n in range(20_000)]
ITEMS = {
    "ROLE": [f"a{n:031x}" for n in range(100)],
    "ACCESS_PROFILE": [f"b{n:031x}" for n in range(100)],
    "ENTITLEMENT": [f"c{n:031x}" for n in range(100)],
}
ENTITLEMENTS = {"ENTITLEMENT": [f"c{n:031x}" for n in range(300)]}
IN_PROGRESS = 30_000


# An item that its list does not show is asked for again as other tools may spell it, which is not known before.
@pytest.mark.parametrize(("items", "own"), [(ITEMS, 2 * 9 + 100), (ENTITLEMENTS, 2 * 7 + 200)])
def test_the_questions_about_a_large_input_are_planned_with_at_most_600_calls(
    items: dict[str, list[str]], own: int
) -> None:
    pages = IN_PROGRESS / PAGE_LIMIT
    planned = calls_left(ListChoice.EVERYBODY, len(PEOPLE), pages, seen=False) + searches(len(PEOPLE))
    assert planned == 121 + 80
    assert preflight(FakeFacts()).calls_needed(items, items["ENTITLEMENT"]) == own
    # Pending approvals may take as many as the status list.
    assert planned + pages + own <= 600


class LargeTenant:
    """A tenant with much in progress, whose lists show every item and person that is asked for."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def answer(self, request: httpx.Request) -> Reply:
        name = request.url.path.split("/")[-1 if request.url.path.endswith("-config") else 1]
        self.calls[name] += 1
        params = request.url.params
        if name == "access-request-status":
            offset = int(params["offset"])
            rows: list[dict[str, Any]] = [
                {
                    "id": ITEMS["ROLE"][0],
                    "type": "ROLE",
                    "state": "EXECUTING",
                    "requestType": "GRANT_ACCESS",
                    "requestedFor": {"id": f"f{n:031x}"},
                    "created": "2026-11-26T11:00:00Z",
                }
                for n in range(offset, min(offset + PAGE_LIMIT, IN_PROGRESS))
            ]
            return 200, rows, {"X-Total-Count": str(IN_PROGRESS), "Date": "Thu, 26 Nov 2026 12:00:00 GMT"}
        if name == "access-request-approvals":
            offset = int(params["offset"])
            rows = [
                {
                    "id": f"{n:032x}",
                    "accessRequestId": f"9{n:031x}",
                    "requestedFor": {"id": f"f{n:031x}"},
                    "requestedObject": {"id": ITEMS["ROLE"][0], "type": "ROLE"},
                    "requestType": "GRANT_ACCESS",
                }
                for n in range(offset, min(offset + PAGE_LIMIT, IN_PROGRESS))
            ]
            return 200, rows, {"X-Total-Count": str(IN_PROGRESS)}
        if name == "search":
            asked = re.findall(r'"([^"]*)"', json.loads(request.content)["query"]["query"])
            return 200, [{"id": one, "access": [], "accessCount": 0, "inactive": False} for one in asked], {}
        if name == "entitlement-request-config":
            return 200, {"accessRequestConfig": {"requireEndDate": True}}, {}
        asked = re.findall(r'"([^"]*)"', params["filters"])
        return 200, [{"id": one, "enabled": True} for one in asked], {"X-Total-Count": str(len(asked))}


def asked_everything(tenant: LargeTenant, memory: FakeMemory, items: dict[str, list[str]]) -> tuple[int, int]:
    """All questions about the large input: the calls that the precheck and the preflight count."""
    dialect = DIALECTS["v1"]
    scope = PrecheckScope(
        people=PEOPLE, holders=PEOPLE, items=frozenset((kind, one) for kind, ids in items.items() for one in ids)
    )

    async def use(reader: Reader) -> tuple[int, int]:
        usual: dict[str, Any] = {"memory": memory, "tenant": "https://tenant", "since": NOW, "clock": at(NOW)}
        precheck = Precheck(
            listing=StatusList(reader, dialect, clock=VIRTUAL.now),
            approvals=ApprovalList(reader, dialect),
            holdings=SearchIndex(reader, dialect),
            administration=True,
            sees_all=True,
            myself="",
            width=20,
            tell=tell_each(),
            **usual,
        )
        flight = Preflight(facts=FactLists(reader, dialect), **usual)
        tenant_view = await precheck.ask(scope)
        unlisted = [one for one, facts in tenant_view.people.items() if not facts.listed]
        said = await flight.ask(items, unlisted, items["ENTITLEMENT"])
        assert len(said.items) == 300
        assert len(tenant_view.people) == len(PEOPLE)
        return precheck.calls, flight.calls

    return with_reader(tenant.answer, use)


@pytest.mark.thorough
@pytest.mark.parametrize(("items", "own"), [(ITEMS, 9 + 100), (ENTITLEMENTS, 7 + 200)])
def test_the_questions_about_a_large_input_take_at_most_600_calls_and_none_the_second_time(
    items: dict[str, list[str]], own: int
) -> None:
    tenant, memory = LargeTenant(), FakeMemory()
    precheck, flight = asked_everything(tenant, memory, items)
    assert precheck + flight == tenant.calls.total() <= 600
    assert flight == own
    assert tenant.calls["search"] == 80
    assert asked_everything(tenant, memory, items) == (0, 0)
