"""What the tenant shows sets changes aside, row by row of the table, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import INDEX_LAG
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA, TENANT_VERDICTS, apply_tenant_view, classify
from batch.dedupe.overlap import KEY
from batch.model import RowClass
from batch.states import State
from batch.status.in_progress import (
    InProgress,
    TenantView,
    count_unclear,
    granted_since,
    not_held,
    open_rows,
    tenant_verdicts,
)
from tests.builders import change, status_row
from tests.dedupe.test_classify import earlier, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.api.status_row import StatusRow

SINCE = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
END = "2027-01-31T00:00:00Z"
Verdict = tuple[str, str]
"""Class and reason."""


def row(identity: str = "anna", item: str = "r1", **fields: Any) -> StatusRow:
    """Paula asks for a role."""
    paulas = {"created": SINCE, "item_name": f"name of {item}", "requester": "Paula Lee"}
    return status_row(identity, item, **paulas | fields)


def tenant_view(rows: Sequence[StatusRow] = (), held: Sequence[tuple[str, str, str]] = ()) -> TenantView:
    listed: dict[str, list[InProgress]] = {}
    for one in open_rows(rows):
        listed.setdefault(one.identity, []).append(one)
    holdings: dict[str, set[tuple[str, str]]] = {}
    for identity, kind, item in held:
        holdings.setdefault(identity, set()).add((kind, item))
    return TenantView(in_progress=listed, held=holdings)


def verdicts(
    view: TenantView, *changes: dict[str, Any], known: Sequence[dict[str, Any]] = ()
) -> dict[tuple[str, ...], Verdict]:
    """Class and reason of each change that is set aside, by its key."""
    wanted = frame(*changes).select(*KEY, *INTENTION)
    found = tenant_verdicts(wanted, pl.DataFrame(list(known), schema=KNOWN_SCHEMA), view)
    assert found.schema == pl.Schema(TENANT_VERDICTS)
    return {tuple(key): (row_class, reason) for *key, row_class, reason in found.rows()}


def verdict(view: TenantView, wanted: dict[str, Any], *known: dict[str, Any]) -> Verdict | None:
    return next(iter(verdicts(view, wanted, known=known).values()), None)


def test_a_change_that_somebody_requested_already_is_not_requested_again() -> None:
    assert verdict(tenant_view([row()]), change("anna", "r1")) == (
        RowClass.ALREADY_SUBMITTED,
        "requested by Paula Lee since 2026-11-20T10:15:00Z, in progress",
    )


def test_dates_are_compared_as_instants_however_the_tenant_writes_them() -> None:
    wanted = change("anna", "r1", remove_date=END)
    for same in ("2027-01-31T00:00:00.000Z", "2027-01-31T01:00:00+01:00", END):
        assert verdict(tenant_view([row(remove_date=same)]), wanted) == (
            RowClass.ALREADY_SUBMITTED,
            "requested by Paula Lee since 2026-11-20T10:15:00Z, in progress",
        )


def test_the_word_for_no_end_date_is_the_same_as_a_request_without_one() -> None:
    removing = change("anna", "r1", remove_date="none")
    assert verdict(tenant_view([row()]), removing) == (
        RowClass.ALREADY_SUBMITTED,
        "requested by Paula Lee since 2026-11-20T10:15:00Z, in progress",
    )
    assert verdict(tenant_view(held=[("anna", "ROLE", "r1")]), removing) is None
    lasting = earlier(State.ACCEPTED, identity="anna", item="r1", remove_date="none")
    found = verdict(tenant_view(held=[("anna", "ROLE", "r1")]), change("anna", "r1"), lasting)
    assert found is not None
    assert found[0] == RowClass.ALREADY_HELD


@pytest.mark.parametrize(
    ("shown", "wanted", "reason"),
    [
        ({"request_type": "REVOKE_ACCESS"}, {}, "a revoke of it is in progress"),
        ({}, {"operation": "REVOKE"}, "a grant of it is in progress"),
        ({"remove_date": "2027-02-01T00:00:00Z"}, {"remove_date": END}, "until 2027-02-01T00:00:00Z of it is in prog"),
        ({}, {"remove_date": END}, "a grant of it is in progress"),
        ({"remove_date": "some day"}, {}, "a grant until some day of it is in progress"),
        ({"start_date": END}, {}, f"a grant from {END} of it is in progress"),
        ({"request_type": ""}, {}, "a request of an unknown kind for it is in progress"),
        ({"request_type": "MODIFY_ACCESS"}, {}, "a request of an unknown kind for it is in progress"),
    ],
)
def test_other_dates_and_opposite_or_unknown_operations_hold_a_change_back(
    shown: dict[str, str], wanted: dict[str, str], reason: str
) -> None:
    found = verdict(tenant_view([row(**shown)]), change("anna", "r1", **wanted))
    assert found is not None
    assert found[0] == RowClass.HELD_BACK
    assert found[1].startswith("in_progress_conflict: requested by Paula Lee since 2026-11-20T10:15:00Z, ")
    assert reason in found[1]
    assert found[1].endswith(" is in progress; when it has ended, run the same command again")


def test_one_conflicting_request_among_several_holds_a_change_back() -> None:
    found = verdict(tenant_view([row(), row(request_type="REVOKE_ACCESS", requester="Otto")]), change("anna", "r1"))
    assert found is not None
    assert found[0] == RowClass.HELD_BACK
    assert "by Otto since" in found[1]


def test_an_unknown_requester_or_time_is_left_out_of_the_reason() -> None:
    found = verdict(tenant_view([row(requester="", created=None)]), change("anna", "r1"))
    assert found == (RowClass.ALREADY_SUBMITTED, "requested by somebody, in progress")


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "bob"},
        {"item": "r2"},
        {"item_type": "ENTITLEMENT"},
        {"state": "REQUEST_COMPLETED"},
        {"state": "CANCELLED"},
    ],
)
def test_rows_of_another_key_and_finished_rows_set_nothing_aside(other: dict[str, str]) -> None:
    assert verdict(tenant_view([row(**other)]), change("anna", "r1")) is None


def test_a_row_without_a_type_of_item_is_matched_by_its_id() -> None:
    assert verdict(tenant_view([row(item_type="")]), change("anna", "r1")) is not None


def test_the_items_id_in_our_metadata_overrides_the_lists_own() -> None:
    ours = {"accessBatchItem": "r1", "accessBatchRequest": "run-1"}
    view = tenant_view([row(item="an id of a request", metadata=ours)])
    assert verdict(view, change("anna", "r1")) is not None
    assert count_unclear(view, frame(change("anna", "r1"))) == 0


@pytest.mark.parametrize(
    "rows",
    [
        [row(item="")],
        [row(item="a1")],
        [row(item="x1")],
        # An id that changes with each request of the same role is no item's id.
        [row(item="x", item_name="Buyer"), row("bob", item="y", item_name="Buyer", access_request="another")],
        # An id with the names of two items is no item's id.
        [row(item="x", item_name="one"), row("bob", item="x", item_name="two")],
        [row(item="x"), row(item="y", metadata={"accessBatchItem": "r9"})],
    ],
)
def test_rows_that_may_or_may_not_be_of_a_wanted_item_are_counted(rows: list[StatusRow]) -> None:
    unclear = [one for one in rows if one.metadata is None]
    view = tenant_view(rows)
    assert count_unclear(view, frame(change("anna", "r1"))) == len(unclear)
    assert verdict(view, change("anna", "r1")) is None


def test_rows_of_an_item_created_anew_under_an_old_name_are_clear() -> None:
    rows = [row(item="x", item_name="Buyer"), row("bob", item="y", item_name="Buyer", access_request="another")]
    rows += [row("eve", item="y", item_name="Buyer", access_request="a third")]
    assert count_unclear(tenant_view(rows), frame(change("anna", "r1"))) == 0


def test_rows_of_other_items_are_clear() -> None:
    assert count_unclear(tenant_view([row(item="r7"), row(item="r8")]), frame(change("anna", "r1"))) == 0


HELD = ("anna", "ROLE", "r1")


def test_an_item_that_is_held_already_is_not_requested() -> None:
    assert verdict(tenant_view(held=[HELD]), change("anna", "r1")) == (
        RowClass.ALREADY_HELD,
        "held already, by the tenant's search index",
    )


@pytest.mark.parametrize(
    "wanted",
    [
        change("anna", "r1", remove_date=END),
        change("anna", "r1", start_date=END),
        change("anna", "r1", operation="REVOKE"),
        change("anna", "r2"),
        change("bob", "r1"),
        change("anna", "r1", item_type="ENTITLEMENT"),
    ],
)
def test_a_held_item_sets_aside_only_a_plain_grant_of_it(wanted: dict[str, Any]) -> None:
    assert verdict(tenant_view(held=[HELD]), wanted) is None


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ([earlier(State.ACCEPTED, identity="anna", item="r1", operation="REVOKE")], False),
        ([earlier(State.REFUSED, identity="anna", item="r1", operation="REVOKE")], True),
        ([earlier(State.ACCEPTED, identity="anna", item="r1")], True),
        # The index shows no end date, and a grant without one would remove it.
        ([earlier(State.ACCEPTED, identity="anna", item="r1", remove_date=END)], False),
        # Only one of two changes of a request has an end date.
        (
            [
                earlier(State.ACCEPTED, identity="anna", item="r1", remove_date=END),
                earlier(State.ACCEPTED, identity="anna", item="r9"),
            ],
            False,
        ),
        (
            [
                earlier(State.ACCEPTED, identity="anna", item="r1", operation="REVOKE", request=1),
                earlier(State.ACCEPTED, identity="anna", item="r1", request=2),
            ],
            True,
        ),
        ([earlier(State.ACCEPTED, identity="bob", item="r1", operation="REVOKE")], True),
    ],
)
def test_the_ledger_overrides_an_index_that_may_lag(known: list[dict[str, Any]], *, counts: bool) -> None:
    found = verdict(tenant_view(held=[HELD]), change("anna", "r1"), *known)
    assert (found is not None) is counts


def test_a_request_in_progress_overrides_a_held_item() -> None:
    view = tenant_view([row(request_type="REVOKE_ACCESS")], held=[HELD])
    found = verdicts(view, change("anna", "r1"))
    assert [row_class for row_class, _ in found.values()] == [RowClass.HELD_BACK]


def test_an_empty_answer_sets_nothing_aside() -> None:
    assert verdicts(TenantView(), change("anna", "r1"), change("bob", "r1")) == {}


def test_rows_in_progress_survive_being_kept_as_json() -> None:
    (one,) = open_rows([row(remove_date=END)])
    assert InProgress.from_list(one.as_list()) == one


# Applying it.


def classes(changes: pl.DataFrame) -> list[tuple[str, str, bool]]:
    return changes.select("class", "reason", "fresh").rows()


def test_only_the_first_change_of_a_key_is_set_aside_and_all_columns_stay() -> None:
    changes = classify(
        frame(change("anna", "r1"), change("anna", "r1"), change("bob", "r1")),
        pl.DataFrame(schema=KNOWN_SCHEMA),
        run="this",
    )
    set_aside = pl.DataFrame([("anna", "ROLE", "r1", "", "already_held", "why")], schema=TENANT_VERDICTS, orient="row")
    applied = apply_tenant_view(changes, set_aside)
    assert applied.columns == changes.columns
    assert classes(applied) == [
        ("already_held", "why", False),
        ("duplicate_in_input", "repeats line 2 of in.csv", False),
        ("submitted", "", True),
    ]


def test_changes_that_the_run_itself_requested_are_not_set_aside() -> None:
    known = pl.DataFrame([earlier(State.ACCEPTED, run="this", identity="anna", item="r1")], schema=KNOWN_SCHEMA)
    changes = classify(frame(change("anna", "r1")), known, run="this")
    set_aside = pl.DataFrame([("anna", "ROLE", "r1", "", "already_held", "why")], schema=TENANT_VERDICTS, orient="row")
    assert classes(apply_tenant_view(changes, set_aside)) == [("submitted", "", False)]


SOME = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(st.tuples(SOME, SOME, st.sampled_from(["GRANT", "REVOKE"])), max_size=8),
    st.lists(st.tuples(SOME, SOME, st.sampled_from(["GRANT_ACCESS", "REVOKE_ACCESS", ""])), max_size=8),
    st.lists(st.tuples(SOME, SOME), max_size=8),
)
def test_every_change_gets_at_most_one_verdict_and_only_if_the_tenant_shows_its_key(
    wanted: list[tuple[str, str, str]], rows: list[tuple[str, str, str]], held: list[tuple[str, str]]
) -> None:
    changes = frame(*(change(person, item, operation=operation) for person, item, operation in wanted))
    fresh = classify(changes, pl.DataFrame(schema=KNOWN_SCHEMA), run="this").filter("fresh")
    view = tenant_view(
        [row(person, item, request_type=kind) for person, item, kind in rows],
        [(person, "ROLE", item) for person, item in held],
    )
    found = tenant_verdicts(fresh, pl.DataFrame(schema=KNOWN_SCHEMA), view)
    assert not found.select(KEY).is_duplicated().any()
    shown = {(person, item) for person, item, _ in rows} | set(held)
    assert {(person, item) for person, _, item, _ in found.select(KEY).rows()} <= shown
    assert {(person, item) for person, item, _ in rows} & set(fresh.select("identity_id", "item_id").rows()) <= {
        (person, item) for person, _, item, _ in found.select(KEY).rows()
    }


INDEXED = datetime(2026, 11, 26, 12, tzinfo=UTC)
LATELY = datetime(2026, 11, 26, 9, tzinfo=UTC)
LONG_AGO = datetime(2026, 11, 20, 9, tzinfo=UTC)
REVOKE = change("anna", "r1", operation="REVOKE")


def unheld(*rows: StatusRow, known_list: bool = True) -> TenantView:
    """Anna holds nothing, by the index of today, and her list has these rows."""
    granted = {"anna": granted_since(rows, INDEXED - INDEX_LAG)} if known_list else {}
    return TenantView(held={"anna": frozenset()}, granted=granted, indexed=INDEXED)


NOT_HELD = (RowClass.NOT_HELD, "not held, by the tenant's search index")


def test_a_revoke_of_access_that_is_not_held_is_not_requested() -> None:
    assert verdict(unheld(), REVOKE) == NOT_HELD
    assert verdict(unheld(), change("anna", "r1")) is None
    assert verdict(tenant_view(held=[HELD]), REVOKE) is None
    assert verdict(TenantView(granted={"anna": frozenset()}, indexed=INDEXED), REVOKE) is None, "not in the index"
    assert verdict(unheld(known_list=False), REVOKE) is None, "nobody knows of late grants"


@pytest.mark.parametrize(
    ("granted", "sent"),
    [
        ({"created": LONG_AGO, "since": LATELY}, True),
        ({"created": LONG_AGO, "since": None}, False),
        ({"created": LATELY}, True),
        ({"created": None, "since": None}, True),
        ({"created": LATELY, "state": "REJECTED"}, False),
        ({"created": LATELY, "state": "NOT_ALL_ITEMS_PROVISIONED"}, True),
        ({"created": LATELY, "state": "CANCELLED", "said": "duplicate of another request"}, True),
        ({"created": LATELY, "request_type": "REVOKE_ACCESS"}, False),
        ({"created": LATELY, "request_type": ""}, True),
        ({"created": LATELY, "item": "r2"}, False),
        ({"created": LATELY, "item": "x", "access_request": "x"}, True),
        ({"created": LONG_AGO, "start_date": "2026-12-01T00:00:00Z"}, True),
    ],
)
def test_a_grant_that_the_index_may_not_show_yet_has_the_revoke_sent(granted: dict[str, Any], *, sent: bool) -> None:
    listed = row(**{"state": "REQUEST_COMPLETED", "since": granted.get("created"), **granted})
    assert (verdict(unheld(listed), REVOKE) is None) == sent
    assert not_held(frame(REVOKE), pl.DataFrame(schema=KNOWN_SCHEMA), unheld(listed)).get_column("proven").all() != sent


@pytest.mark.parametrize(
    ("granted", "sent"),
    [
        ({"tenant_since": "2026-11-26T09:00:00.000Z"}, True),
        ({"tenant_since": ""}, True),
        ({"tenant_since": "2026-11-20T09:00:00.000Z"}, False),
        ({"tenant_since": "2026-11-20T09:00:00.000Z", "at": "2026-11-26T09:00:00.000Z"}, True),
        ({"tenant_since": "2026-11-20T09:00:00.000Z", "start_date": "2026-12-01T00:00:00Z"}, True),
        ({"tenant_since": "2026-11-26T09:00:00.000Z", "operation": "REVOKE"}, False),
        ({"tenant_since": "2026-11-26T09:00:00.000Z", "tenant_state": "REJECTED"}, False),
        ({"state": State.REFUSED}, False),
    ],
)
def test_a_late_grant_in_the_ledger_has_the_revoke_sent(granted: dict[str, Any], *, sent: bool) -> None:
    usual = {"at": "2026-11-20T08:00:00.000Z", "tenant_state": "REQUEST_COMPLETED"}
    known = {**earlier(State.ACCEPTED), **usual, **granted}
    assert (verdict(unheld(), REVOKE, known) is None) == sent


def test_a_revoke_in_progress_is_not_called_needless() -> None:
    view = tenant_view([row(request_type="REVOKE_ACCESS")])
    both = replace(view, held={"anna": frozenset()}, granted={"anna": frozenset()}, indexed=INDEXED)
    found = verdict(both, REVOKE)
    assert found is not None
    assert found[0] == RowClass.ALREADY_SUBMITTED
