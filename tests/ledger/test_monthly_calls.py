"""The ledger counts each client's calls by months, and permits no more of them than the budget has."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.errors import BudgetSpentError
from batch.ledger.budget import month_ends
from batch.ledger.calls import RateKey
from batch.model import Clock
from tests.ledger.ledger_helpers import ME, TENANT, a_process, rows
from tests.ledger.test_ledger_tenants import NAME, OTHER, bind

if TYPE_CHECKING:
    from batch.ledger.calls import Calls
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from tests.ledger.ledger_helpers import Place

RATE = Rate(requests=1000, seconds=1)


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
        self.clock = Clock(now=lambda: self.now, monotonic=time.monotonic, boot="one")


@pytest.fixture
def wall() -> Wall:
    return Wall()


def calls_of(
    ledger: Ledger,
    wall: Wall,
    *,
    monthly: int | None = None,
    process: Process = ME,
    tenant: str = TENANT,
    client: str = "c",
    dialect: str = "beta",
) -> Calls:
    key = RateKey(tenant=tenant, client=client, dialect=dialect)
    return ledger.calls(key, rate=RATE, process=process, clock=wall.clock, monthly=monthly)


def counted(ledger: Ledger, wall: Wall, *, tenant: str = TENANT, client: str = "c") -> int:
    return ledger.month_count(tenant, client, wall.now).calls


def test_every_permit_counts_for_its_client_and_month_whatever_the_api_version(ledger: Ledger, wall: Wall) -> None:
    calls_of(ledger, wall).permit(wanted=3, counted={})
    calls_of(ledger, wall, dialect="v3").permit(wanted=2, counted={})
    calls_of(ledger, wall, client="another").permit(wanted=1, counted={})
    assert (counted(ledger, wall), counted(ledger, wall, client="another")) == (5, 1)
    assert counted(ledger, wall, tenant=OTHER) == 0


def test_what_is_given_back_is_not_counted_and_only_once(ledger: Ledger, wall: Wall) -> None:
    calls = calls_of(ledger, wall)
    first, second, third = calls.permit(wanted=3, counted={}).numbers
    calls.permit(wanted=0, counted={first: None, second: None, third: 0.5})
    assert counted(ledger, wall) == 1
    # A report that was lost with its connection comes again.
    calls.permit(wanted=0, counted={first: None, second: None})
    assert counted(ledger, wall) == 1


def test_the_permits_of_a_dead_process_stay_counted(ledger: Ledger, wall: Wall) -> None:
    calls_of(ledger, wall, process=a_process(2)).permit(wanted=4, counted={})
    calls_of(ledger, wall).permit(wanted=1, counted={})
    assert counted(ledger, wall) == 5


def test_no_call_is_permitted_beyond_the_budget_of_all_processes(ledger: Ledger, wall: Wall) -> None:
    given = [calls_of(ledger, wall, monthly=5, process=a_process(n)).permit(wanted=3, counted={}) for n in (1, 2)]
    assert [len(one.numbers) for one in given] == [3, 2]
    with pytest.raises(BudgetSpentError, match="counted 5 calls of this client in 2026-11") as caught:
        calls_of(ledger, wall, monthly=5).permit(wanted=1, counted={})
    assert "2026-12-01 00:00 UTC" in caught.value.next_step
    assert "--monthly-calls" in caught.value.next_step
    assert caught.value.exit_code == 4
    assert len(calls_of(ledger, wall, monthly=6).permit(wanted=3, counted={}).numbers) == 1


def test_what_is_reported_with_a_refused_question_is_recorded(ledger: Ledger, wall: Wall) -> None:
    calls = calls_of(ledger, wall, monthly=2)
    first, second = calls.permit(wanted=2, counted={}).numbers
    with pytest.raises(BudgetSpentError):
        calls.permit(wanted=1, counted={first: 0.5})
    assert len(calls.permit(wanted=1, counted={second: None}).numbers) == 1


def test_a_month_begins_with_nothing_and_leaves_the_one_before_as_it_is(
    ledger: Ledger, wall: Wall, path: Place
) -> None:
    calls = calls_of(ledger, wall, monthly=2)
    old, _ = calls.permit(wanted=2, counted={}).numbers
    wall.now = datetime(2026, 12, 1, tzinfo=UTC)
    (new,) = calls.permit(wanted=1, counted={}).numbers
    # An old permit may have been meant for the month before.
    calls.permit(wanted=0, counted={old: None, new: None})
    found = rows(path, "SELECT month, calls FROM monthly_calls ORDER BY month")
    assert found == [("2026-11", 2), ("2026-12", 0)]


def test_the_months_of_two_addresses_of_one_tenant_count_together(ledger: Ledger, wall: Wall) -> None:
    for tenant in (TENANT, OTHER):
        calls_of(ledger, wall, tenant=tenant).permit(wanted=3, counted={})
    calls_of(ledger, wall, tenant=OTHER, client="another").permit(wanted=2, counted={})
    for tenant in (TENANT, OTHER):
        bind(ledger, tenant, *NAME)
    assert [counted(ledger, wall, tenant=tenant) for tenant in (TENANT, OTHER)] == [6, 6]
    assert counted(ledger, wall, client="another") == 2


def test_the_last_month_of_a_year_ends_with_the_year() -> None:
    assert month_ends("2026-12") == "2027-01-01 00:00 UTC"
