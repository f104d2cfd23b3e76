"""Importing a status list into a ledger, with interruptions and with earlier content in the ledger."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from batch.commands.import_ import ImportReader, read_into
from batch.commands.screen import Screen
from batch.dedupe.classify import classify
from batch.errors import CredentialsRefusedError, LedgerChangedError, RunHeldError, TenantLostError
from batch.status.adopt import AdoptionOutcome, NotAdoptable
from batch.status.in_progress import TenantView, tenant_verdicts
from batch.tenant.status import Page, Query
from tests.builders import NOW, change, status_row
from tests.clocks import runtime
from tests.fakes import FakeStatusList
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    ME,
    REFUSED,
    TENANT,
    Place,
    a_process,
    alter,
    claim,
    open_ledger,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.api.status_row import StatusRow
    from batch.ledger.store import Ledger
    from batch.model import Answer

QUIET = Screen(console=Console(stderr=True), quiet=True)
EVERYTHING = (
    "SELECT operation, identity_id, item_type, item_id, start_date, remove_date, state, state_at, tenant_state, "
    "tenant_who, tenant_said FROM changes ORDER BY 1, 2, 3, 4, 5, 6, 8"
)


def row(number: int, **fields: Any) -> StatusRow:
    """A row of the list; ten consecutive numbers are one access request for one identity."""
    numbered: dict[str, Any] = {
        "created": NOW + timedelta(seconds=number), "access_request": f"a{number // 10}", "activity": f"x{number}",
    }  # fmt: skip
    return status_row(**{"identity": f"i{number // 10}", "item": f"r{number % 10}"} | numbered | fields)


def status_list(rows: Sequence[StatusRow | None], *, lost_after: int = 1_000_000) -> FakeStatusList:
    """A list of the user's own requests; listing everybody's requests is forbidden."""
    return FakeStatusList(rows, forbids=lambda query: "not yours" if query.everybody else "", lost_after=lost_after)


def import_list(
    ledger: Ledger, listing: FakeStatusList, query: Query | None = None, *, tenant: str = TENANT
) -> ImportReader:
    with ImportReader(ledger, tenant, "beta", QUIET, runtime()) as reader:
        asyncio.run(read_into(reader, listing, query or Query()))
    return reader


def test_a_continued_import_stores_the_same_as_an_uninterrupted_import(tmp_path: Path) -> None:
    listed = [row(number) for number in range(2_345)]
    listed += [row(number, access_request=f"b{number}", state="REJECTED", said="no") for number in range(500)]
    whole, broken = tmp_path / "whole.db", tmp_path / "broken.db"
    with open_ledger(whole) as ledger:
        assert import_list(ledger, status_list(listed)).outcomes[AdoptionOutcome.IMPORTED] == 2_845
    with open_ledger(broken) as ledger:
        for lost_after in (1_250, 2_250):
            with pytest.raises(TenantLostError):
                import_list(ledger, status_list(listed, lost_after=lost_after))
        assert 0 < len(rows(broken, EVERYTHING)) < 2_845
        import_list(ledger, status_list(listed))
        assert ledger.verify() == ()
    assert rows(broken, EVERYTHING) == rows(whole, EVERYTHING)
    assert rows(whole, "SELECT count(*) FROM recipient JOIN request_item USING (request)") == [(2_845,)]


def test_the_dates_by_which_imported_requests_are_ordered_are_sealed(path: Place) -> None:
    with open_ledger(path) as ledger:
        import_list(ledger, status_list([row(number) for number in range(2)]))
        ledger.plans.check_all()
        alter(path, "UPDATE request SET state_at = '2030-01-01T00:00:00.000Z' WHERE number = 1")
        with pytest.raises(LedgerChangedError, match="the tenant's report on request 1 was changed"):
            ledger.plans.check_all()
        assert ledger.verify() != ()


def test_rows_that_cannot_be_imported_are_counted_and_the_counts_add_up(path: Place) -> None:
    listed = [row(0), None, row(1, item="a0"), row(2, item_type="SOURCE"), row(3, state="CANCELLED")]
    with open_ledger(path) as ledger:
        reader = import_list(ledger, status_list(listed))
        assert ledger.verify() == ()
    not_adoptable = {reason: number for reason, number in reader.not_adoptable.items() if number}
    assert not_adoptable == {NotAdoptable.NO_IDENTITY: 1, NotAdoptable.NO_ITEM: 1, NotAdoptable.ODD_TYPE: 1}
    assert reader.read == sum(reader.outcomes.values()) + sum(not_adoptable.values())
    assert rows(path, "SELECT item_id, tenant_state FROM changes ORDER BY 1") == [
        ("r0", "EXECUTING"),
        ("r3", "CANCELLED"),
    ]


def test_an_import_keeps_dates_and_operations_apart(path: Place) -> None:
    listed = [
        row(0),
        row(1, remove_date="2027-01-31T00:00:00.000Z"),
        row(2, request_type="REVOKE_ACCESS"),
        row(3, remove_date="2027-01-31T00:00:00Z"),
    ]
    with open_ledger(path) as ledger:
        import_list(ledger, status_list(listed))
    assert rows(path, "SELECT request, operation, item_id, remove_date FROM changes ORDER BY 3") == [
        (1, "GRANT", "r0", ""),
        (2, "GRANT", "r1", "2027-01-31T00:00:00Z"),
        (3, "REVOKE", "r2", ""),
        (2, "GRANT", "r3", "2027-01-31T00:00:00Z"),
    ]


def test_a_forbidden_list_leaves_no_trace(path: Place) -> None:
    with open_ledger(path) as ledger, pytest.raises(CredentialsRefusedError, match="not yours"):
        import_list(ledger, status_list([row(0)]), Query(everybody=True))
    assert rows(path, "SELECT count(*) FROM run") == [(0,)]


def test_two_processes_cannot_import_at_once(path: Place) -> None:
    with open_ledger(path) as ledger:
        run = ledger.imported.begin(TENANT, "beta", NOW)
        with ImportReader(ledger, TENANT, "beta", QUIET, runtime()) as reader:
            asyncio.run(read_into(reader, status_list([row(0)]), Query()))
            with pytest.raises(RunHeldError):
                ledger.imported.take(run, a_process(), [], NOW)


def test_a_late_import_of_an_older_revoke_makes_no_repeat_of_a_newer_revoke(path: Place) -> None:
    done = {"identity": "i1", "item": "r1", "state": "REQUEST_COMPLETED"}
    granted = row(5, **done)
    revoked_before = row(1, **done, access_request="before", request_type="REVOKE_ACCESS")
    with open_ledger(path) as ledger:
        import_list(ledger, status_list([granted]))
        import_list(ledger, status_list([revoked_before]))
        run = write(ledger, [change(granted.identity, "r1", operation="REVOKE", comment="c")], digest="another")
        record(ledger, claim(ledger, run), ACCEPTED)
        assert ledger.verify() == ()


def test_verify_finds_a_request_that_was_never_sent_or_imported(path: Place) -> None:
    with open_ledger(path) as ledger:
        import_list(ledger, status_list([row(0)]))
        assert ledger.verify() == ()
        write(ledger, [change("i9", "r9")], digest="another")
        alter(path, "UPDATE request SET state = 'ACCEPTED', attempts = 1 WHERE run <> 1")
        assert any("its events lead to PLANNED" in finding for finding in ledger.verify())


KEYS = [("i1", "r1"), ("i1", "r2"), ("i2", "r1")]
INTENTIONS = [("GRANT", ""), ("GRANT", "2027-01-31T00:00:00Z"), ("REVOKE", "")]
HISTORY = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(INTENTIONS), st.sampled_from([ACCEPTED, REFUSED, FAILED, None])),
    max_size=4,
)
LISTED = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(INTENTIONS),
        st.sampled_from(["EXECUTING", "REQUEST_COMPLETED", "REJECTED", "CANCELLED", "ERROR"]),
        st.integers(0, 3),
    ),
    max_size=6,
)


@pytest.mark.thorough
def test_an_import_never_makes_a_skipped_change_new_again(path: Place) -> None:
    numbers = itertools.count()
    with open_ledger(path) as ledger:

        @settings(max_examples=12)
        @given(HISTORY, LISTED)
        def check(history: list[Any], listed: list[Any]) -> None:
            # Each example has a tenant of its own, so the examples do not affect each other.
            tenant = f"https://tenant{next(numbers)}.example"
            for number, (key, intention, answer) in enumerate(history):
                submit_change(ledger, tenant, f"{tenant} {number}", change_of(key, intention), answer)
            before = classes(ledger, tenant)
            import_list(
                ledger, status_list([row_of(number, *entry) for number, entry in enumerate(listed)]), tenant=tenant
            )
            after = classes(ledger, tenant)
            assert [new for old, new in zip(before, after, strict=True) if old != "submitted"] == [
                old for old in before if old != "submitted"
            ]

        check()
        # These histories submit the same change repeatedly, as no real submit does; verify reports only that.
        assert [finding for finding in ledger.verify() if not finding.endswith(" again")] == []


def change_of(key: tuple[str, str], intention: tuple[str, str]) -> dict[str, str]:
    return change(*key, operation=intention[0], remove_date=intention[1])


def submit_change(ledger: Ledger, tenant: str, digest: str, wanted: dict[str, str], answer: Answer | None) -> None:
    """Writes a run of one change; the change stays planned if there is no answer."""
    run = write(ledger, [wanted], digest=digest, tenant=tenant)
    if answer is not None:
        record(ledger, claim(ledger, run), answer)
    ledger.runs.release(run, ME, NOW)


def row_of(number: int, key: tuple[str, str], intention: tuple[str, str], state: str, request: int) -> StatusRow:
    """A row of somebody's request."""
    return row(
        number,
        identity=key[0],
        item=key[1],
        access_request=f"{key[0]} {request}",
        state=state,
        remove_date=intention[1],
        request_type=f"{intention[0]}_ACCESS",
    )


def classes(ledger: Ledger, tenant: str) -> list[str]:
    """The class that each intention of each key would have in a new input."""
    found: list[str] = []
    for intention in INTENTIONS:
        wanted = pl.DataFrame([change_of(key, intention) for key in KEYS]).with_columns(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            pl.lit("in.csv").alias("file"),
            pl.lit(2).alias("line"),
        )
        known = ledger.plans.known(tenant, wanted)
        found += classify(wanted, known.changes, run="new").get_column("class").to_list()
    return found


REVOKED: dict[str, Any] = {"request_type": "REVOKE_ACCESS", "state": "REQUEST_COMPLETED"}
GRANTED: dict[str, Any] = {"state": "REQUEST_COMPLETED"}


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [(REVOKED, GRANTED, "already_submitted"), (GRANTED, REVOKED, "submitted")],
)
def test_the_latest_request_counts_whatever_the_order_of_the_imports(
    older: dict[str, Any], newer: dict[str, Any], expected: str, path: Place
) -> None:
    first = row(10, access_request="first", **older)
    last = row(10, access_request="last", created=NOW + timedelta(days=90), **newer)
    with open_ledger(path) as ledger:
        # First with --since, then without.
        import_list(ledger, status_list([last]))
        import_list(ledger, status_list([first, last]))
        wanted = pl.DataFrame([change("i1", "r0")]).with_columns(row=pl.lit(0), file=pl.lit("a"), line=pl.lit(2))
        known = ledger.plans.known(TENANT, wanted.select("identity_id", "item_type", "item_id"))
        assert known.changes.height == 2
        assert classify(wanted, known.changes, run="a")["class"].to_list() == [expected]
        tenant_view = TenantView(held={"i1": [("ROLE", "r0")]})
        verdicts = tenant_verdicts(wanted, known.changes, tenant_view)
        assert verdicts.height == (expected == "already_submitted"), (
            "a revoked item is not held, even if the search index lags"
        )


def test_a_grant_after_an_imported_revoke_repeats_nothing(path: Place) -> None:
    """As after a ledger was put back: the revoke was lost, and imported."""
    with open_ledger(path) as ledger:
        record(ledger, claim(ledger, write(ledger, [change("i0", "r0")], digest="1")), ACCEPTED)
        later = [
            row(0, request_type="REVOKE_ACCESS", created=NOW + timedelta(hours=2), access_request="b2"),
            row(0, created=NOW + timedelta(hours=1), access_request="b1"),
        ]
        with ImportReader(ledger, TENANT, "beta", QUIET, runtime(), beside_runs=True) as reader:
            reader.add(Page(rows=tuple(later), read=2, total=None, more=False))
            reader.flush()
        assert ledger.verify() == ()
        record(ledger, claim(ledger, write(ledger, [change("i0", "r0")], digest="2")), ACCEPTED)
        assert ledger.verify() == (), "the newest of the imported ones was a revoke"
        record(ledger, claim(ledger, write(ledger, [change("i0", "r0")], digest="3")), ACCEPTED)
        assert [fault.partition(": ")[2] for fault in ledger.verify()] == ["it submits r0 for i0 again"]
