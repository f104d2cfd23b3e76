"""Settling: from which lists, in which order and when a request that may or may not have arrived is settled."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.answers.events import tell_each
from batch.api.dialects import PAGE_LIMIT, REQUEST_ID_KEY
from batch.errors import TenantLostError
from batch.ledger.process import Process
from batch.loops.lists import likely_delay
from batch.loops.open_doubt import OpenDoubt, Time
from batch.loops.settle import Settler
from batch.model import Clock, Doubt, Request
from batch.status.compare import pair_keys
from batch.status.control import Witness
from batch.status.evidence import Why
from batch.status.matching import request_id
from batch.text import RequestId
from tests.builders import our_row, request
from tests.clocks import VIRTUAL
from tests.fakes import FakeStatusList
from tests.tenant.virtual_time import now as virtual_now
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from batch.api.status_row import StatusRow
    from batch.ledger.store import Ledger
    from batch.tenant.status import Page, Query

SETTLE_AFTER = 60.0
EVERYTHING = 4 * SETTLE_AFTER
"""Seconds after which a body that arrived is listed as far as it will be."""


def tenant_now() -> datetime:
    return datetime.fromtimestamp(virtual_now(), UTC)


def doubt(of: Request, **known: Any) -> Doubt:
    """A doubt about a request whose attempt has just ended."""
    when = datetime.fromtimestamp(1000, UTC)
    return Doubt(request=of, first_attempt=when, ended=when, claimed=known.pop("claimed", of.number), **known)


def rows_of(of: Request, **fields: Any) -> list[StatusRow]:
    """What a tenant lists of a request that arrived."""
    usual = {"created": datetime.fromtimestamp(1000, UTC), **fields}
    return [our_row(of.id, identity, item.id, **usual) for identity in of.recipients for item in of.items]


def others_rows(query: Query) -> str:
    """What a tenant answers that shows nobody's list but the user's own."""
    return "must be the current user" if query.requested_for or query.everybody else ""


def own_rows(query: Query) -> str:
    """What a tenant answers that does not show the user's own list."""
    return "" if query.requested_for or query.everybody else "must be the current user"


def people_asked_for(listing: FakeStatusList) -> list[str]:
    return [query.requested_for or ("everybody" if query.everybody else "me") for query in listing.asked]


@dataclass
class FakeLedger:
    """Takes down the verdicts, and has the accepted requests that a test gives it; its parts are all itself."""

    settled: dict[int, bool | int] = field(default_factory=dict)
    held: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    accepted: list[Witness] = field(default_factory=list)
    claims: int = 100
    times: dict[int, datetime] = field(default_factory=dict)
    ripe_after: dict[int, float] = field(default_factory=dict)
    delay: float = 0.0
    lost: set[int] = field(default_factory=set)
    elsewhere: int | None = 0
    reported: dict[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def requests(self) -> FakeLedger:
        return self

    @property
    def gaps(self) -> FakeLedger:
        return self

    def known(self, rows: Iterable[StatusRow]) -> frozenset[RequestId]:
        names = (RequestId.read(request_id(row)) for row in rows)
        return frozenset(name for name in names if name is not None and name.number not in self.lost)

    @property
    def doubts(self) -> FakeLedger:
        return self

    def settle(
        self,
        settled: Request,
        *,
        arrived: bool,
        now: datetime,
        process: Process,
        parts: Sequence[object] = (),
        access_requests: Sequence[str] = (),
        held: Sequence[tuple[int, int]] = (),
    ) -> None:
        assert now.tzinfo
        assert process == Process.current()
        assert not isinstance(access_requests, str)
        self.settled[settled.number] = len(parts) or arrived
        self.held[settled.number] = list(held)

    def tracked(self, rows: Iterable[StatusRow]) -> Mapping[tuple[str, str, str], frozenset[int]]:
        keys = {(row.access_request, *pair_keys(row)) for row in rows}
        return {key: frozenset({number}) for key, number in self.reported.items() if key in keys}

    def take_lost(self, of: Request, rows: Sequence[StatusRow], now: datetime, process: Process) -> int | None:
        assert now.tzinfo
        assert process == Process.current()
        assert {row.identity for row in rows} <= {*of.recipients}
        if self.elsewhere:
            self.settled[of.number] = self.elsewhere
        return self.elsewhere

    def keep_time(self, requests: Iterable[Request], tenant_time: datetime) -> None:
        self.times.update({one.number: tenant_time for one in requests})

    def ripen(self, requests: Iterable[Request]) -> int:
        self.ripe_after.update({one.number: virtual_now() - 1000 for one in requests})
        return self.claims

    def witnesses(self, _doubts: Sequence[Doubt]) -> tuple[Witness, ...]:
        return tuple(self.accepted)

    def listing_delay(self, _run: str, _now: datetime) -> float:
        return self.delay

    def keep_listing_delay(self, _run: str, seconds: float, _now: datetime) -> None:
        self.delay = max(self.delay, seconds)

    def accept(self, of: Request, *, held: Collection[tuple[int, int]] = ()) -> Request:
        """Accepts a request as the next claim."""
        self.claims += 1
        self.accepted.append(Witness(request=of, sent=of.id, claimed=self.claims, held=frozenset(held)))
        return of

    def as_ledger(self) -> Ledger:
        """For the type checker."""
        ledger: Any = self
        return ledger  # type: ignore[no-any-return]


class FakeHoldings:
    """A search index in which some people hold some items."""

    def __init__(self, held: Mapping[str, Collection[tuple[str, str]]]) -> None:
        self._held = held

    async def of(
        self, people: Sequence[str], items: Collection[tuple[str, str]]
    ) -> Mapping[str, frozenset[tuple[str, str]]]:
        return {one: frozenset(self._held.get(one, ())) & frozenset(items) for one in people}


class Stage:
    """A settler with its ledger and its tenant, in virtual time."""

    def __init__(
        self,
        listing: FakeStatusList,
        *,
        ledger: FakeLedger | None = None,
        held: Mapping[str, Collection[tuple[str, str]]] | None = None,
        clock: Clock = VIRTUAL,
    ) -> None:
        self.listing = listing
        self.ledger = ledger or FakeLedger()
        self.settler = Settler(
            ledger=self.ledger.as_ledger(),
            listing=listing,
            settle_after=SETTLE_AFTER,
            process=Process.current(),
            clock=clock,
            tell=tell_each(),
            holdings=FakeHoldings(held) if held is not None else None,
        )

    async def until_stuck(self) -> None:
        """Lets it settle until no verdict comes any more without another request."""
        task = asyncio.create_task(self.settler.run())
        while self.settler.open and not self.settler.stuck:
            await self.settler.news().wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def until_ripe(self) -> None:
        """Lets it settle until nothing has to be held back."""
        while self.settler.holds_back:
            await self.settler.news().wait()


def settle(listing: FakeStatusList, *doubts: Doubt, **more: Any) -> Stage:
    """Settles as far as possible, without any request that is sent meanwhile."""
    stage = Stage(listing, **more)

    async def all_of_it() -> None:
        stage.settler.add(doubts)
        await stage.until_stuck()

    run_in_virtual_time(all_of_it())
    return stage


def settle_with_control(
    listing: FakeStatusList, *doubts: Doubt, control: Request, lag: float = 0.0, **more: Any
) -> Stage:
    """Settles, and sends a request once nothing is held back; its rows are listed after some lag."""
    stage = Stage(listing, **more)

    async def all_of_it() -> None:
        stage.settler.add(doubts)
        settling = asyncio.create_task(stage.until_stuck())
        await stage.until_ripe()
        stage.ledger.accept(control)
        stage.settler.accepted()
        await asyncio.sleep(lag)
        stage.listing.rows += rows_of(control)
        await settling

    run_in_virtual_time(all_of_it())
    return stage


# Finding.


def test_a_request_that_is_listed_is_found_at_the_first_look() -> None:
    arrived = request(1, 2, 3)
    stage = settle(FakeStatusList(rows_of(arrived)), doubt(arrived))
    assert stage.ledger.settled == {1: True}
    assert people_asked_for(stage.listing) == ["me"]
    assert not stage.settler.unconfirmed


def test_many_doubts_are_found_in_one_list() -> None:
    requests = [request(n, 10) for n in range(30)]
    stage = settle(FakeStatusList([row for one in requests for row in rows_of(one)]), *map(doubt, requests))
    assert stage.ledger.settled == dict.fromkeys(range(30), True)
    assert people_asked_for(stage.listing) == ["me", "me"]


def test_a_few_doubts_are_found_in_the_recipients_lists_if_the_users_own_is_longer() -> None:
    asked = request(1, 1, 3)
    noise = [replace(rows_of(asked)[0], metadata={REQUEST_ID_KEY: "other-1"}, identity="other")] * (PAGE_LIMIT * 4)
    stage = settle(FakeStatusList([*noise, *rows_of(asked)]), doubt(asked))
    assert stage.ledger.settled == {1: True}
    assert people_asked_for(stage.listing) == ["me", *asked.recipients]


def test_the_recipients_lists_show_requests_of_another_user() -> None:
    # An earlier attempt may have been made with another user's token: the own list does not have it.
    earlier = request(1, 2, 3)
    stage = settle(FakeStatusList(rows_of(earlier), is_mine=lambda _row: False), doubt(earlier))
    assert stage.ledger.settled == {1: True}


def test_the_recipients_lists_are_enough_if_the_users_own_is_forbidden() -> None:
    here = request(1, 2, 3)
    stage = settle(FakeStatusList(rows_of(here), forbids=own_rows), doubt(here))
    assert stage.ledger.settled == {1: True}


# Absence.


def test_time_alone_never_proves_absence() -> None:
    stage = settle(FakeStatusList(clock=tenant_now), doubt(request(1)))
    assert stage.ledger.settled == {}
    assert stage.settler.unconfirmed == {1: Why.NO_CONTROL}


def test_a_listed_request_that_was_accepted_later_proves_absence() -> None:
    stage = settle_with_control(FakeStatusList(clock=tenant_now), doubt(request(1)), control=request(2))
    assert stage.ledger.settled == {1: False}


def test_a_request_that_is_accepted_while_the_list_is_read_is_a_control_too() -> None:
    control = request(2)

    class Busy(FakeStatusList):
        async def page(self, query: Query, offset: int) -> Page:
            page = await super().page(query, offset)
            if query.everybody and not stage.ledger.accepted:
                stage.ledger.accept(control)
                stage.settler.accepted()
            return page

    listing = Busy(rows_of(control), clock=tenant_now)
    stage = Stage(listing)

    async def all_of_it() -> None:
        stage.settler.add([doubt(request(1))])
        await stage.until_stuck()

    run_in_virtual_time(all_of_it())
    assert stage.ledger.settled == {1: False}


def test_one_control_settles_all_doubts() -> None:
    doubts = [doubt(request(n)) for n in range(1, 6)]
    stage = settle_with_control(FakeStatusList(rows_of(request(3))), *doubts, control=request(9))
    assert stage.ledger.settled == {1: False, 2: False, 3: True, 4: False, 5: False}


def test_the_list_may_lag_for_longer_than_the_wait() -> None:
    asked = request(1)
    listing = FakeStatusList(clock=tenant_now)
    stage = Stage(listing)

    async def both_come_late() -> None:
        stage.settler.add([doubt(asked)])
        settling = asyncio.create_task(stage.until_stuck())
        await stage.until_ripe()
        control = stage.ledger.accept(request(2))
        stage.settler.accepted()
        await asyncio.sleep(5 * SETTLE_AFTER)
        listing.rows += rows_of(asked)
        await asyncio.sleep(0)
        listing.rows += rows_of(control)
        await settling

    run_in_virtual_time(both_come_late())
    assert stage.ledger.settled == {1: True}
    assert stage.ledger.delay >= 4 * SETTLE_AFTER


def test_a_long_pause_between_two_readings_is_not_taken_for_a_slow_list() -> None:
    stage = settle_with_control(FakeStatusList(), doubt(request(1)), control=request(2), lag=1.0)
    assert stage.ledger.settled == {1: False}
    assert stage.ledger.delay <= 3.0


def test_a_control_that_turns_out_to_be_held_in_part_is_not_taken_for_a_slow_list() -> None:
    control = request(2, 1, 2)
    (person,), (held, listed) = control.recipients, control.items
    rows = rows_of(replace(control, items=(listed,)))
    stage = Stage(FakeStatusList(), held={person: [(held.type.value, held.id)]})

    async def all_of_it() -> None:
        stage.settler.add([doubt(request(1))])
        settling = asyncio.create_task(stage.until_stuck())
        await stage.until_ripe()
        stage.ledger.accept(control)
        stage.listing.rows += rows
        stage.settler.accepted()
        await settling

    run_in_virtual_time(all_of_it())
    assert stage.ledger.settled == {1: False}
    assert stage.ledger.delay == 0.0


def test_a_list_is_as_late_as_the_readings_show_unless_the_next_one_came_much_later() -> None:
    assert likely_delay(4.0, 6.0) == 6.0
    assert likely_delay(4.0, 600.0) == 9.0


def test_a_control_is_claimed_after_the_wait_and_absence_is_read_after_another() -> None:
    read_at: list[float] = []

    def clock() -> datetime:
        read_at.append(virtual_now() - 1000)
        return tenant_now()

    stage = settle_with_control(FakeStatusList(clock=clock), doubt(request(1)), control=request(2))
    assert stage.ledger.ripe_after[1] >= SETTLE_AFTER
    assert read_at[-1] >= 2 * SETTLE_AFTER
    assert stage.ledger.settled == {1: False}


def test_the_second_wait_ends_before_the_lists_are_read_however_long_reading_takes() -> None:
    asked, ledger = request(1, 2), FakeLedger(delay=100.0)

    class Slow(FakeStatusList):
        slow_at = math.inf

        async def page(self, query: Query, offset: int) -> Page:
            page = await super().page(query, offset)
            if query.requested_for == asked.recipients[1] and virtual_now() >= self.slow_at:
                self.slow_at = math.inf
                await asyncio.sleep(100)
            return page

    listing = Slow(clock=tenant_now)
    stage = Stage(listing, ledger=ledger)

    async def a_row_comes_while_the_list_is_read() -> None:
        stage.settler.add([doubt(asked)])
        settling = asyncio.create_task(stage.until_stuck())
        await stage.until_ripe()
        listing.rows += rows_of(stage.ledger.accept(request(2)))
        stage.settler.accepted()
        listing.slow_at = virtual_now() + 230
        await asyncio.sleep(290)
        listing.rows += rows_of(asked)
        await settling

    run_in_virtual_time(a_row_comes_while_the_list_is_read())
    assert listing.slow_at == math.inf
    assert stage.ledger.settled == {1: True}


def test_a_tenant_whose_list_was_late_gets_three_times_as_long() -> None:
    ledger = FakeLedger(delay=100.0)
    stage = settle_with_control(FakeStatusList(), doubt(request(1)), control=request(2), ledger=ledger)
    assert stage.ledger.ripe_after[1] >= 300.0
    assert stage.ledger.settled == {1: False}


def test_a_control_that_is_never_listed_proves_nothing_and_is_not_awaited_for_ever() -> None:
    stage = settle_with_control(FakeStatusList(), doubt(request(1)), control=request(2), lag=1e6)
    assert stage.ledger.settled == {}
    assert stage.settler.unconfirmed == {1: Why.CONTROL_UNLISTED}


def test_rows_of_anybody_that_came_later_stand_in_for_a_control_if_an_earlier_request_is_listed() -> None:
    earlier, ledger = request(7), FakeLedger()
    listing = FakeStatusList(rows_of(earlier), clock=tenant_now)
    later = our_row("ffffffffffff-1", "somebody", "x", created=datetime.fromtimestamp(1000 + 2 * SETTLE_AFTER, UTC))
    listing.rows.append(later)
    assert settle(listing, doubt(request(1)), ledger=ledger).settler.unconfirmed == {1: Why.UNRECOGNISED}
    ledger = FakeLedger(claims=0)
    ledger.accept(earlier)
    ledger.claims = 100
    assert settle(listing, doubt(request(1)), ledger=ledger).ledger.settled == {1: False}


def test_a_control_needs_no_row_for_access_that_the_tenant_shows_as_held() -> None:
    control = request(2, 1, 2)
    ledger, person = FakeLedger(), control.recipients[0]
    ledger.accept(control)
    listing = FakeStatusList(rows_of(control)[:1])
    held = {person: [("ROLE", control.items[1].id)]}
    asked = doubt(request(1), ripe=100)
    assert settle(listing, asked, ledger=ledger, held={}).ledger.settled == {}
    assert settle(listing, asked, ledger=ledger, held=held).ledger.settled == {1: False}


# Bodies that arrived in part.


def test_a_request_that_arrived_in_part_is_divided_and_its_rest_stays_unconfirmed() -> None:
    partly = request(1, 2, 3)
    stage = settle(FakeStatusList(rows_of(partly)[:2]), doubt(partly))
    assert stage.ledger.settled == {1: 3}
    assert stage.settler.unconfirmed == {1: Why.INCOMPLETE}


def test_the_rest_has_arrived_if_it_is_held() -> None:
    partly = request(1, 1, 2)
    held = {partly.recipients[0]: [("ROLE", partly.items[1].id)]}
    stage = settle(FakeStatusList(rows_of(partly)[:1]), doubt(partly), held=held)
    assert stage.ledger.settled == {1: True}
    assert stage.ledger.held == {1: [(0, 1)]}


def test_the_rest_of_dated_grants_stays_unconfirmed_though_the_access_is_held_until_some_date() -> None:
    plain = request(1, 1, 2)
    partly = replace(plain, items=tuple(replace(item, remove_date="2031-01-31T00:00:00Z") for item in plain.items))
    held = {partly.recipients[0]: [("ROLE", partly.items[1].id)]}
    stage = settle(FakeStatusList(rows_of(partly)[:1]), doubt(partly), held=held)
    assert stage.ledger.held == {1: []}
    assert stage.settler.unconfirmed == {1: Why.INCOMPLETE}


def test_a_request_whose_body_arrived_is_never_sent_again() -> None:
    one, other = request(1), request(2)
    stage = settle_with_control(
        FakeStatusList(rows_of(one)), doubt(one, claimed=5), doubt(other, claimed=5), control=request(3)
    )
    assert stage.ledger.settled == {1: True}
    assert stage.settler.unconfirmed == {2: Why.INCOMPLETE}


@pytest.mark.parametrize(
    ("elsewhere", "settled", "unconfirmed"),
    [
        pytest.param(2, {1: 2}, {}, id="all of it"),
        pytest.param(1, {1: 1}, {1: Why.TIME}, id="a part"),
        pytest.param(0, {1: False}, {}, id="nothing: it was undone, or has other dates"),
        pytest.param(None, {}, {1: Why.RESEMBLING}, id="changes of other requests"),
    ],
)
def test_what_arrived_in_a_request_that_the_ledger_has_lost_is_not_sent_again(
    elsewhere: int | None, settled: Mapping[int, object], unconfirmed: Mapping[int, Why]
) -> None:
    asked = request(1, 2)
    ledger = FakeLedger(lost={99}, elsewhere=elsewhere)
    listing = FakeStatusList(rows_of(replace(asked, number=99)), clock=tenant_now)
    stage = settle_with_control(listing, doubt(asked), control=request(2), ledger=ledger)
    assert stage.ledger.settled == settled
    assert stage.settler.unconfirmed == unconfirmed


def test_an_undated_row_of_a_lost_request_may_be_old_and_is_no_arrival() -> None:
    asked = request(1, 2)
    listing = FakeStatusList(rows_of(replace(asked, number=99), created=None), clock=tenant_now)
    stage = settle_with_control(listing, doubt(asked), control=request(2), ledger=FakeLedger(lost={99}, elsewhere=2))
    assert stage.settler.unconfirmed == {1: Why.RESEMBLING}


def test_a_row_without_our_id_on_which_the_tenant_reported_for_an_earlier_request_is_not_this_ones() -> None:
    asked = request(1)
    rows = rows_of(asked, metadata=None, access_request="AR1")
    for earlier, settled in ((1, {1: True}), (9, {})):
        ledger = FakeLedger(reported={("AR1", *pair_keys(rows[0])): earlier})
        assert settle(FakeStatusList(rows, clock=tenant_now), doubt(asked), ledger=ledger).ledger.settled == settled


# Rights and failures.


def test_without_the_lists_of_others_only_found_requests_are_settled() -> None:
    arrived, absent = request(1, 2, 3), request(2, 2, 3)
    stage = settle(FakeStatusList(rows_of(arrived), forbids=others_rows), doubt(arrived), doubt(absent))
    assert stage.ledger.settled == {1: True}
    assert stage.settler.forbidden == "must be the current user"
    assert stage.settler.unconfirmed == {2: Why.FORBIDDEN}


def test_without_any_list_nothing_is_settled() -> None:
    stage = settle(
        FakeStatusList(forbids=lambda _query: "must be the current user"),
        doubt(request(1, 2, 3)),
        doubt(request(2, 2, 3)),
    )
    assert stage.ledger.settled == {}
    assert stage.settler.unconfirmed == {1: Why.FORBIDDEN, 2: Why.FORBIDDEN}


def test_one_list_that_cant_be_read_leaves_the_other_requests() -> None:
    first, second = request(1), request(2)
    listing = FakeStatusList(
        rows_of(first), forbids=lambda query: own_rows(query) or "odd" * (query.requested_for in second.recipients)
    )
    stage = settle(listing, doubt(first), doubt(second))
    assert stage.ledger.settled == {1: True}
    assert stage.settler.unconfirmed == {2: Why.FORBIDDEN}


def test_a_lost_tenant_ends_settling_with_the_reason() -> None:
    stage = settle(FakeStatusList(lost_after=0), doubt(request(1, 2, 3)))
    assert stage.ledger.settled == {}
    assert isinstance(stage.settler.error, TenantLostError)


def test_a_bug_in_settling_leaves_nothing_open() -> None:
    class Broken(FakeStatusList):
        async def clock_offset(self) -> timedelta:
            raise ZeroDivisionError

    stage = settle(Broken([]), doubt(request(1, 2, 3)))
    assert not stage.settler.open


# Clocks.


def test_our_wall_clock_may_jump_at_any_moment() -> None:
    jumps = itertools.cycle([timedelta(days=2), timedelta(), timedelta(hours=-1), timedelta(seconds=120)])
    clock = replace(VIRTUAL, now=lambda: tenant_now() + next(jumps))
    asked = request(1)
    stage = settle_with_control(FakeStatusList(clock=tenant_now), doubt(asked), control=request(2), clock=clock)
    assert stage.ledger.ripe_after[1] >= SETTLE_AFTER
    assert stage.ledger.settled == {1: False}


def test_a_tenant_without_a_clock_gets_the_wait_by_ours() -> None:
    stage = settle_with_control(FakeStatusList(), doubt(request(1)), control=request(2))
    assert stage.ledger.ripe_after[1] >= SETTLE_AFTER
    assert stage.ledger.settled == {1: False}


def test_a_tenant_whose_clock_stands_still_never_proves_absence_and_nothing_hangs() -> None:
    stage = settle(FakeStatusList(clock=lambda: datetime.fromtimestamp(1000, UTC)), doubt(request(1)))
    assert stage.ledger.settled == {}
    assert stage.settler.unconfirmed == {1: Why.CLOCK}


def test_a_new_process_counts_on_the_tenants_clock() -> None:
    known = {"tenant_time": datetime.fromtimestamp(1000 - 3 * SETTLE_AFTER, UTC)}
    stage = settle_with_control(FakeStatusList(clock=tenant_now), doubt(request(1), **known), control=request(2))
    assert stage.ledger.ripe_after[1] < 2
    assert stage.ledger.settled == {1: False}


def test_a_token_that_may_still_be_used_is_waited_out() -> None:
    fence = datetime.fromtimestamp(1000 + 300, UTC)
    stage = settle_with_control(FakeStatusList(clock=tenant_now), doubt(request(1), fence=fence), control=request(2))
    assert stage.ledger.ripe_after[1] >= 300 + SETTLE_AFTER
    assert stage.ledger.settled == {1: False}


def test_a_token_that_is_valid_for_long_is_left_to_a_later_process() -> None:
    fence = datetime.fromtimestamp(1000 + 7200, UTC)
    stage = settle(FakeStatusList(clock=tenant_now), doubt(request(1), fence=fence))
    assert stage.settler.unconfirmed == {1: Why.FENCED}
    assert not stage.settler.open


def test_without_a_clock_of_the_tenant_a_token_is_valid_for_ever() -> None:
    stage = settle(FakeStatusList(), doubt(request(1), fence=datetime.fromtimestamp(1000, UTC)))
    assert stage.settler.unconfirmed == {1: Why.FENCED}


# What a reading tells, and costs.


def test_a_clock_that_was_read_before_a_doubt_began_is_not_kept_for_it() -> None:
    told: list[datetime | None] = [datetime.fromtimestamp(1000, UTC)]
    first, second = request(1), request(2)
    stage = Stage(FakeStatusList(clock=lambda: told[0]))

    async def one_after_the_other() -> None:
        stage.settler.add([doubt(first)])
        settling = asyncio.create_task(stage.settler.run())
        await asyncio.sleep(SETTLE_AFTER / 2)
        told[0] = None
        stage.settler.add([doubt(second)])
        await asyncio.sleep(SETTLE_AFTER)
        settling.cancel()

    run_in_virtual_time(one_after_the_other())
    assert set(stage.ledger.times) == {1}


@pytest.mark.parametrize(("cost", "next_look"), [(0.0, 20.0), (1.0, 20.0), (30.0, 130.0), (500.0, 600.0)])
def test_lists_that_take_long_to_read_are_read_less_often_but_when_the_wait_is_over(
    cost: float, next_look: float
) -> None:
    one = OpenDoubt(doubt=doubt(request(1)), began=0.0, witnessed=True, next_look=0.0, ripe_at=0.0)
    one.look_again(Time(now=10.0, wait=600.0, server_time=None), pending=False, accepted_meanwhile=False, cost=cost)
    assert one.next_look == next_look
