"""Settling: what the tenant's lists prove about a request that may or may not have arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch.answers.events import tell_each
from batch.api.dialects import PAGE_LIMIT, REQUEST_ID_KEY
from batch.errors import TenantLostError
from batch.loops.settle import Settler
from batch.model import Doubt, Request, StatusRow
from batch.status.evidence import Settlement, by_request, found_pairs, judge, parts_by_arrival
from tests.builders import our_row, request
from tests.clocks import wall
from tests.fakes import FakeStatusList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.ledger.store import Ledger
    from batch.tenant.status import Query

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NO_OFFSET = timedelta()


def doubt(of: Request, *, ago: float = 3600.0) -> Doubt:
    """A doubt about a request that was sent so many seconds ago."""
    when = NOW - timedelta(seconds=ago)
    return Doubt(request=of, first_attempt=when, ended=when)


def rows_of(of: Request) -> list[StatusRow]:
    """What a tenant lists of a request that arrived."""
    return [
        our_row(of.id, identity, item.id, created=NOW, access_request="", item_type="")
        for identity in of.recipients
        for item in of.items
    ]


def test_all_rows_prove_arrival_and_no_rows_prove_absence_only_after_the_wait() -> None:
    asked = doubt(request(1, 2, 3))
    found = found_pairs(asked, by_request(rows_of(asked.request)), NO_OFFSET)
    assert judge(asked, found, waited=False) is Settlement.FOUND
    assert judge(asked, frozenset(), waited=False) is Settlement.OPEN
    assert judge(asked, frozenset(), waited=True) is Settlement.NOT_FOUND
    assert judge(asked, list(found)[:2], waited=False) is Settlement.OPEN
    assert judge(asked, list(found)[:2], waited=True) is Settlement.PARTLY


def test_rows_of_another_request_prove_nothing() -> None:
    asked = doubt(request(1, 2, 3))
    others = [replace(row, metadata={REQUEST_ID_KEY: "run-2"}) for row in rows_of(asked.request)]
    assert not found_pairs(asked, by_request(others), NO_OFFSET)


def test_the_metadata_names_the_item_if_the_id_of_a_row_is_another() -> None:
    asked = doubt(request(1, 2, 3))
    rows = [replace(row, item="the access request's id") for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), NO_OFFSET)) == 6


@pytest.mark.parametrize("metadata", [None, {}])
def test_without_any_metadata_identity_item_operation_and_time_decide(metadata: dict[str, str] | None) -> None:
    asked = doubt(request(1, 2, 3), ago=60)
    rows = [replace(row, metadata=metadata) for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), NO_OFFSET)) == 6
    assert not found_pairs(asked, by_request([replace(row, request_type="REVOKE_ACCESS") for row in rows]), NO_OFFSET)
    assert not found_pairs(
        asked, by_request([replace(row, created=NOW - timedelta(hours=1)) for row in rows]), NO_OFFSET
    )
    assert not found_pairs(asked, by_request([replace(row, created=None) for row in rows]), NO_OFFSET)


def test_the_time_window_is_by_the_tenants_clock() -> None:
    asked = doubt(request(1, 2, 3), ago=60)
    rows = [replace(row, metadata=None, created=NOW - timedelta(hours=1)) for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), timedelta(hours=-1))) == 6


def test_a_partly_arrived_request_is_divided_without_loss_or_addition() -> None:
    asked = request(1, 3, 3)
    first, second, third = asked.recipients
    found = frozenset({(first, "item 0"), (second, "item 0"), (third, "item 0"), (third, "item 1"), (third, "item 2")})
    parts = parts_by_arrival(asked, found)
    pairs = [
        (asked.recipients[r], asked.items[i].id, part.arrived)
        for part in parts
        for r in part.recipients
        for i in part.items
    ]
    assert {(identity, item) for identity, item, arrived in pairs if arrived} == found
    assert len(pairs) == len({pair[:2] for pair in pairs}) == 9
    assert len(parts) == 3


def others_rows(query: Query) -> str:
    """What a tenant answers that shows nobody's list but the user's own."""
    return "must be the current user" if query.requested_for else ""


def own_rows(query: Query) -> str:
    """What a tenant answers that does not show the user's own list."""
    return "" if query.requested_for else "must be the current user"


def people_asked_for(listing: FakeStatusList) -> list[str]:
    return [query.requested_for or "me" for query in listing.asked]


class FakeRequests:
    """Takes down the verdicts."""

    def __init__(self) -> None:
        self.settled: dict[int, bool | int] = {}
        self.access_requests: dict[int, list[str]] = {}

    def settle(
        self,
        settled: Request,
        *,
        arrived: bool,
        now: datetime,
        parts: Sequence[object] = (),
        access_requests: Sequence[str] = (),
    ) -> None:
        assert now.tzinfo
        self.access_requests[settled.number] = list(access_requests)
        self.settled[settled.number] = len(parts) or arrived


class FakeLedger:
    def __init__(self) -> None:
        self.requests = FakeRequests()


async def settle(
    listing: FakeStatusList, *doubts: Doubt, settle_after: float = 60.0, clock: Callable[[], datetime] = lambda: NOW
) -> tuple[dict[int, bool | int], Settler]:
    """Settles until nothing is open."""
    import asyncio  # noqa: PLC0415 - for this helper alone

    ledger = FakeLedger()
    settler = Settler(
        ledger=_as_ledger(ledger), listing=listing, settle_after=settle_after, clock=wall(clock), tell=tell_each()
    )
    settler.add(doubts)
    task = asyncio.create_task(settler.run())
    while settler.open:
        await settler.news()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return ledger.requests.settled, settler


def _as_ledger(fake: FakeLedger) -> Ledger:
    return fake  # type: ignore[return-value]


async def test_found_requests_are_accepted_and_absent_ones_sent_again() -> None:
    arrived, absent = request(1, 2, 3), request(2, 2, 3)
    settled, _ = await settle(FakeStatusList(rows_of(arrived)), doubt(arrived), doubt(absent))
    assert settled == {1: True, 2: False}


async def test_only_the_list_of_each_recipient_proves_absence() -> None:
    # An earlier attempt may have been made with another user's token: the own list does not have it.
    earlier = request(1, 2, 3)
    listing = FakeStatusList(rows_of(earlier), is_mine=lambda _row: False)
    settled, _ = await settle(listing, doubt(earlier))
    assert settled == {1: True}
    assert set(people_asked_for(listing)) == {"me", *earlier.recipients}


async def test_a_request_that_arrived_in_part_is_divided() -> None:
    partly = request(1, 2, 3)
    settled, _ = await settle(FakeStatusList(rows_of(partly)[:2]), doubt(partly))
    assert settled == {1: 3}


async def test_many_doubts_are_settled_by_one_list() -> None:
    requests = [request(n, 10) for n in range(30)]
    listing = FakeStatusList([row for one in requests for row in rows_of(one)])
    settled, _ = await settle(listing, *map(doubt, requests))
    assert settled == dict.fromkeys(range(30), True)
    assert people_asked_for(listing) == ["me", "me"]


async def test_a_few_doubts_are_settled_by_the_recipients_lists_if_the_users_own_is_longer() -> None:
    asked = request(1, 1, 3)
    noise = [replace(rows_of(asked)[0], metadata={REQUEST_ID_KEY: "other"}, identity="other")] * (PAGE_LIMIT * 4)
    listing = FakeStatusList([*noise, *rows_of(asked)])
    settled, _ = await settle(listing, doubt(asked))
    assert settled == {1: True}
    assert people_asked_for(listing) == ["me", *asked.recipients]


async def test_without_the_lists_of_others_only_found_requests_are_settled() -> None:
    arrived, absent = request(1, 2, 3), request(2, 2, 3)
    settled, settler = await settle(
        FakeStatusList(rows_of(arrived), forbids=others_rows), doubt(arrived), doubt(absent)
    )
    assert settled == {1: True}
    assert settler.forbidden == "must be the current user"
    settler.add([doubt(absent)])
    assert not settler.open


async def test_without_any_list_nothing_is_settled() -> None:
    settled, settler = await settle(
        FakeStatusList(forbids=lambda _query: "must be the current user"),
        doubt(request(1, 2, 3)),
        doubt(request(2, 2, 3)),
    )
    assert settled == {}
    assert settler.forbidden


async def test_the_recipients_lists_are_enough_if_the_users_own_is_forbidden() -> None:
    here = request(1, 2, 3)
    settled, _ = await settle(FakeStatusList(rows_of(here), forbids=own_rows), doubt(here))
    assert settled == {1: True}


async def test_a_lost_tenant_ends_settling_with_the_reason() -> None:
    settled, settler = await settle(FakeStatusList(lost_after=0), doubt(request(1, 2, 3)))
    assert settled == {}
    assert isinstance(settler.error, TenantLostError)


async def test_a_bug_in_settling_leaves_nothing_open() -> None:
    class Broken(FakeStatusList):
        async def clock_offset(self) -> timedelta:
            raise ZeroDivisionError

    _, settler = await settle(Broken([]), doubt(request(1, 2, 3)))
    assert not settler.open


async def test_absence_proves_nothing_before_the_wait_is_over() -> None:
    wait = timedelta(milliseconds=50)
    began = datetime.now(UTC)
    asked = Doubt(request=request(1, 2, 3), first_attempt=began, ended=began)
    settled, _ = await settle(
        FakeStatusList(), asked, settle_after=wait.total_seconds(), clock=lambda: datetime.now(UTC)
    )
    assert settled == {1: False}
    assert datetime.now(UTC) >= began + wait
