"""Settling against tenants that help, and tenants that don't."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch.answers.events import tell_each
from batch.api.dialects import ITEM_ID_KEY, PAGE_LIMIT, REQUEST_ID_KEY, ItemType, Operation
from batch.errors import StoppedError, TenantLostError
from batch.loops.settle import Settler
from batch.model import Doubt, Request, RequestItem, StatusRow
from batch.status.evidence import Settlement, by_request, found_pairs, judge, parts_by_arrival
from batch.tenant.status import ListingForbiddenError, Page, Query
from tests.clocks import wall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.ledger.store import Ledger

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NO_OFFSET = timedelta()


def request(number: int = 1, recipients: int = 2, items: int = 3) -> Request:
    """A grant of some items to some people."""
    return Request(
        number=number,
        run="run",
        operation=Operation.GRANT,
        recipients=tuple(f"person {number}.{n}" for n in range(recipients)),
        items=tuple(RequestItem(type=ItemType.ROLE, id=f"item {n}") for n in range(items)),
        attempts=1,
    )


def doubt(of: Request, *, ago: float = 3600.0) -> Doubt:
    """A doubt about a request that was sent so many seconds ago."""
    when = NOW - timedelta(seconds=ago)
    return Doubt(request=of, first_attempt=when, ended=when)


def rows_of(of: Request) -> list[StatusRow]:
    """What a tenant lists of a request that arrived."""
    return [
        StatusRow(
            identity=identity,
            item=item.id,
            request_type="GRANT_ACCESS",
            created=NOW,
            metadata={REQUEST_ID_KEY: of.id, ITEM_ID_KEY: item.id},
        )
        for identity in of.recipients
        for item in of.items
    ]


def test_all_rows_prove_arrival_and_none_prove_absence_only_after_the_wait() -> None:
    asked = doubt(request())
    found = found_pairs(asked, by_request(rows_of(asked.request)), NO_OFFSET)
    assert judge(asked, found, waited=False) is Settlement.FOUND
    assert judge(asked, frozenset(), waited=False) is Settlement.OPEN
    assert judge(asked, frozenset(), waited=True) is Settlement.NOT_FOUND
    assert judge(asked, list(found)[:2], waited=False) is Settlement.OPEN
    assert judge(asked, list(found)[:2], waited=True) is Settlement.PARTLY


def test_rows_of_another_request_prove_nothing() -> None:
    asked = doubt(request())
    others = [replace(row, metadata={REQUEST_ID_KEY: "run-2"}) for row in rows_of(asked.request)]
    assert not found_pairs(asked, by_request(others), NO_OFFSET)


def test_where_the_id_of_a_row_is_not_the_items_the_metadata_says_which_item_it_is() -> None:
    asked = doubt(request())
    rows = [replace(row, item="the access request's id") for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), NO_OFFSET)) == 6


@pytest.mark.parametrize("metadata", [None, {}])
def test_without_any_metadata_identity_item_operation_and_time_decide(metadata: dict[str, str] | None) -> None:
    asked = doubt(request(), ago=60)
    rows = [replace(row, metadata=metadata) for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), NO_OFFSET)) == 6
    assert not found_pairs(asked, by_request([replace(row, request_type="REVOKE_ACCESS") for row in rows]), NO_OFFSET)
    assert not found_pairs(
        asked, by_request([replace(row, created=NOW - timedelta(hours=1)) for row in rows]), NO_OFFSET
    )
    assert not found_pairs(asked, by_request([replace(row, created=None) for row in rows]), NO_OFFSET)


def test_the_window_follows_the_tenants_clock_and_not_ours() -> None:
    asked = doubt(request(), ago=60)
    rows = [replace(row, metadata=None, created=NOW - timedelta(hours=1)) for row in rows_of(asked.request)]
    assert len(found_pairs(asked, by_request(rows), timedelta(hours=-1))) == 6


def test_a_partly_arrived_request_is_divided_without_loss_or_addition() -> None:
    asked = request(recipients=3, items=3)
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


class FakeListing:
    """A tenant's list, with what it forbids and how often it was asked."""

    def __init__(
        self,
        rows: Sequence[StatusRow],
        *,
        others: bool = True,
        own: bool = True,
        own_rows: Sequence[StatusRow] | None = None,
        error: StoppedError | None = None,
    ) -> None:
        self._rows = list(rows)
        self._own_rows = list(rows if own_rows is None else own_rows)
        self._others = others
        self._own = own
        self._error = error
        self.asked: list[str] = []

    async def clock_offset(self) -> timedelta:
        return timedelta()

    async def page(self, query: Query, offset: int) -> Page:
        self.asked.append(query.requested_for or "me")
        if self._error:
            raise self._error
        if not (self._others if query.requested_for else self._own):
            raise ListingForbiddenError("must be the current user")
        rows = [row for row in self._rows if row.identity == query.requested_for]
        chosen = rows if query.requested_for else self._own_rows
        part = chosen[offset : offset + PAGE_LIMIT]
        return Page(rows=tuple(part), read=len(part), total=len(chosen), more=offset + len(part) < len(chosen))


async def settle(
    listing: FakeListing, *doubts: Doubt, settle_after: float = 60.0, clock: Callable[[], datetime] = lambda: NOW
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


async def test_what_is_found_is_accepted_and_what_is_not_is_sent_again() -> None:
    here, on_sent = request(1), request(2)
    settled, _ = await settle(FakeListing(rows_of(here)), doubt(here), doubt(on_sent))
    assert settled == {1: True, 2: False}


async def test_absence_is_only_believed_from_the_list_of_each_recipient() -> None:
    # An earlier attempt may have been made with another user's token: the own list does not have it.
    earlier = request(1)
    listing = FakeListing(rows_of(earlier), own_rows=[])
    settled, _ = await settle(listing, doubt(earlier))
    assert settled == {1: True}
    assert set(listing.asked) == {"me", *earlier.recipients}


async def test_what_arrived_in_part_is_divided() -> None:
    partly = request(1)
    settled, _ = await settle(FakeListing(rows_of(partly)[:2]), doubt(partly))
    assert settled == {1: 3}


async def test_many_doubts_are_settled_by_one_list_instead_of_one_for_each_identity() -> None:
    requests = [request(n, recipients=10, items=1) for n in range(30)]
    listing = FakeListing([row for one in requests for row in rows_of(one)])
    settled, _ = await settle(listing, *map(doubt, requests))
    assert settled == dict.fromkeys(range(30), True)
    assert listing.asked == ["me", "me"]


async def test_few_doubts_are_not_settled_by_a_list_that_is_longer_than_theirs() -> None:
    asked = request(1, recipients=1)
    noise = [replace(rows_of(asked)[0], metadata={REQUEST_ID_KEY: "other"}, identity="other")] * (PAGE_LIMIT * 4)
    listing = FakeListing(rows_of(asked), own_rows=noise)
    settled, _ = await settle(listing, doubt(asked))
    assert settled == {1: True}
    assert listing.asked == ["me", *asked.recipients]


async def test_where_others_requests_may_not_be_listed_what_is_found_is_settled_and_the_rest_left_to_a_human() -> None:
    here, on_sent = request(1), request(2)
    settled, settler = await settle(FakeListing(rows_of(here), others=False), doubt(here), doubt(on_sent))
    assert settled == {1: True}
    assert settler.forbidden == "must be the current user"
    settler.add([doubt(on_sent)])
    assert not settler.open


async def test_where_nothing_may_be_listed_everything_is_left_to_a_human() -> None:
    settled, settler = await settle(FakeListing([], others=False, own=False), doubt(request(1)), doubt(request(2)))
    assert settled == {}
    assert settler.forbidden


async def test_where_the_own_list_is_forbidden_the_recipients_lists_do() -> None:
    here = request(1)
    settled, _ = await settle(FakeListing(rows_of(here), own=False), doubt(here))
    assert settled == {1: True}


async def test_a_list_that_can_not_be_had_ends_settling_with_the_reason() -> None:
    settled, settler = await settle(FakeListing([], error=TenantLostError("gone")), doubt(request(1)))
    assert settled == {}
    assert isinstance(settler.error, TenantLostError)


async def test_a_bug_while_settling_leaves_nobody_waiting() -> None:
    class Broken(FakeListing):
        async def clock_offset(self) -> timedelta:
            raise ZeroDivisionError

    _, settler = await settle(Broken([]), doubt(request(1)))
    assert not settler.open


async def test_nothing_is_concluded_from_absence_before_the_wait_is_over() -> None:
    wait = timedelta(milliseconds=50)
    began = datetime.now(UTC)
    asked = Doubt(request=request(1), first_attempt=began, ended=began)
    settled, _ = await settle(
        FakeListing([]), asked, settle_after=wait.total_seconds(), clock=lambda: datetime.now(UTC)
    )
    assert settled == {1: False}
    assert datetime.now(UTC) >= began + wait
