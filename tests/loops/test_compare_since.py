"""How far back a comparison reads the tenant's list."""

from __future__ import annotations

from datetime import timedelta

import pytest

from batch.ledger.gaps import LedgerAge
from batch.loops.compare import read_since
from tests.builders import NOW

SENT = NOW - timedelta(hours=1)
BEHIND = timedelta(hours=-2)


@pytest.mark.parametrize("stale", [False, True])
def test_what_was_sent_after_the_newest_answer_is_read_by_the_tenants_clock(*, stale: bool) -> None:
    age = LedgerAge(answered=SENT, since=NOW + timedelta(days=4))
    assert read_since(age, BEHIND, NOW, stale=stale) < SENT


def test_a_clock_that_was_ahead_for_some_hours_when_the_ledger_was_made_hides_nothing() -> None:
    assert read_since(LedgerAge(since=SENT + timedelta(minutes=50)), timedelta(), NOW, stale=True) < SENT
    assert read_since(LedgerAge(since=NOW + timedelta(hours=3)), BEHIND, NOW, stale=True) < SENT + BEHIND


@pytest.mark.parametrize("age", [LedgerAge(since=NOW + timedelta(days=4)), LedgerAge()])
def test_a_stale_ledger_that_does_not_know_its_age_reads_everything(age: LedgerAge) -> None:
    assert read_since(age, timedelta(), NOW, stale=True) < NOW - timedelta(days=3650)


def test_a_new_ledger_takes_no_request_for_its_own_that_somebody_made_before() -> None:
    assert read_since(LedgerAge(), timedelta(), NOW, stale=False) > NOW - timedelta(minutes=10)
