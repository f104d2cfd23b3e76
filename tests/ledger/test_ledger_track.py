"""The ledger keeps the tenant's reports on changes and its answers about people and items."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.builders import NOW, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    TENANT,
    Place,
    change_status,
    claim,
    open_ledger,
    plan_of,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger


def test_a_later_report_on_a_change_replaces_the_earlier_report(path: Place) -> None:
    with open_ledger(path) as ledger:
        run = write(ledger, product(["i1", "i2"], ["r1"]))
        request = claim(ledger, run)
        record(ledger, request, ACCEPTED)
        assert ledger.tracks.of_run(run).get_column("state").to_list() == [None, None]
        ledger.tracks.write(run, [change_status(1, "i1", "EXECUTING", who="Ann", access_request="a1")], NOW)
        ledger.tracks.write(run, [change_status(1, "i1", "REJECTED", who="Ann", said="no", access_request="a1")], NOW)
        tracked = ledger.tracks.of_run(run).sort("identity_id")
    assert tracked.select("identity_id", "state", "who", "said", "access_request").rows() == [
        ("i1", "REJECTED", "Ann", "no", "a1"),
        ("i2", None, None, None, None),
    ]
    assert rows(path, "SELECT identity_id, tenant_state, tenant_who FROM changes ORDER BY 1") == [
        ("i1", "REJECTED", "Ann"),
        ("i2", None, None),
    ]


def test_only_accepted_changes_can_be_tracked(path: Place) -> None:
    with open_ledger(path) as ledger:
        run = write(ledger, product(["i1"], ["r1"]), product(["i2"], ["r1"]))
        record(ledger, claim(ledger, run), ACCEPTED)
        assert ledger.tracks.of_run(run).get_column("identity_id").to_list() == ["i1"]


def test_known_changes_include_the_tenants_report_on_each_change(path: Place) -> None:
    with open_ledger(path) as ledger:
        run = write(ledger, product(["i1", "i2"], ["r1", "r2"]))
        record(ledger, claim(ledger, run), ACCEPTED)
        wanted = plan_of(product(["i1", "i2"], ["r1", "r2"])).changes
        before = ledger.plans.known(TENANT, wanted).changes
        assert before.select("tenant_state", "tenant_who", "tenant_comment", "tenant_since").unique().rows() == [
            ("", "", "", "")
        ]
        rejected = change_status(1, "i1", "REJECTED", who="Ann", said="no", since="2026-03-02T00:00:00Z")
        ledger.tracks.write(run, [rejected, change_status(1, "i2", "EXECUTING")], NOW)
        known = ledger.plans.known(TENANT, wanted).changes.sort("identity_id", "item_id")
    assert known.select(
        "identity_id", "item_id", "tenant_state", "tenant_who", "tenant_comment", "tenant_since"
    ).rows() == [
        ("i1", "r1", "REJECTED", "Ann", "no", "2026-03-02T00:00:00Z"),
        ("i1", "r2", "", "", "", ""),
        ("i2", "r1", "EXECUTING", "", "", ""),
        ("i2", "r2", "", "", "", ""),
    ]


def test_the_summary_shows_the_time_of_the_latest_submission_of_a_change(path: Place) -> None:
    with open_ledger(path) as ledger:
        run = write(ledger, product(["i1"], ["r1"]))
        record(ledger, claim(ledger, run), ACCEPTED)
        ledger.tracks.write(run, [change_status(1, "i1", "REJECTED", since="2026-03-02T00:00:00Z")], NOW)
        run = write(ledger, product(["i1"], ["r1"]))
        record(ledger, claim(ledger, run), ACCEPTED)
        ledger.tracks.write(run, [change_status(2, "i1", "REJECTED", since="2026-03-03T00:00:00Z")], NOW)
        reported = ledger.tracks.summary(run).reported
    assert [(group.changes, group.since) for group in reported] == [(1, "2026-03-03T00:00:00Z")]


@pytest.mark.parametrize(("state", "sound"), [("REJECTED", True), ("ERROR", True), ("REQUEST_COMPLETED", False)])
def test_only_a_change_that_was_rejected_or_failed_may_be_submitted_twice(
    path: Place, state: str, *, sound: bool
) -> None:
    with open_ledger(path) as ledger:
        for _ in range(2):
            run = write(ledger, product(["i1"], ["r1"]))
            record(ledger, claim(ledger, run), ACCEPTED)
        assert ledger.verify() == ("request 2: it submits r1 for i1 again",)
        ledger.tracks.write(run, [change_status(1, "i1", state)], NOW)
        assert (ledger.verify() == ()) is sound


def test_the_cache_keeps_answers_until_they_are_too_old_or_replaced(ledger: Ledger) -> None:
    later = NOW + timedelta(hours=1)
    ledger.cache.put(TENANT, "held", {"i1": ["r1"], "i2": []}, at=NOW)
    ledger.cache.put(TENANT, "held", {"i2": ["r2"]}, at=later)
    found = ledger.cache.get(TENANT, "held", ["i1", "i2", "i3"], since=NOW)
    assert {key: (cached.value, cached.at) for key, cached in found.items()} == {
        "i1": (["r1"], NOW),
        "i2": (["r2"], later),
    }
    assert set(ledger.cache.get(TENANT, "held", ["i1", "i2"], since=later)) == {"i2"}
    assert ledger.cache.get(TENANT, "name", ["i1"], since=NOW) == {}
    assert ledger.cache.get("https://another.example", "held", ["i1"], since=NOW) == {}
