"""What a plan says of itself adds up, and shows names in place of ids wherever one is known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.dedupe.classify import KNOWN_SCHEMA, TENANT_VERDICTS
from batch.errors import UsageError
from batch.model import RowClass
from batch.names.known import KnownNames
from batch.pipeline import plan_fresh, with_tenant_verdicts
from batch.plan import NO_PLAN
from batch.report.plan_count import EMPTY, MOST_PEOPLE, plan_view, tracking_calls, view_again
from batch.report.plan_rows import PLAN_ROWS, SENT, UNCONFIRMED, column_named, plan_rows
from batch.report.plan_view import Cost, Counted, PlanAbout, Skipped
from batch.states import State
from batch.status.approvals_ahead import ApprovalsAhead, Awaited
from batch.status.tenant_facts import ItemFacts, PersonFacts
from batch.text import HIDDEN
from tests.plan.changes import RUN, hex_id
from tests.report.plans import BETA, ROLE, classified, line, view

ROWS = st.lists(
    st.one_of(
        st.builds(
            line,
            st.integers(1, 30),
            st.integers(100, 104),
            st.sampled_from(["GRANT", "REVOKE", "Grant"]),
            st.sampled_from(["", "2030-01-01", "2031-06-30", "1999-01-01"]),
            st.sampled_from(["Sales", " Sales", "", "HR"]),
        ),
        st.sampled_from(["GRANT,nobody,ROLE,x,,,HR", "ragged", '"unclosed']),
    ),
    min_size=1,
    max_size=60,
)


@pytest.mark.thorough
@given(ROWS)
def test_every_table_adds_up_to_the_changes_and_every_row_has_one_class(rows: list[str]) -> None:
    made = view(*rows, by="department")
    planned = made.planned.height
    assert made.all.total == planned == sum(one.counted.total for one in made.items)
    assert planned == sum(one.counted.total for one in made.groups)
    rest = made.planned.filter(~pl.col("identity_id").is_in([one.identity_id for one in made.people])).height
    assert planned == rest + sum(one.counted.total for one in made.people)
    assert made.lines.height == planned + sum(one.changes for one in made.skipped)
    read = sum(made.rows.values())
    rejected = made.rows[RowClass.REJECTED]
    assert rejected == sum(one.changes for one in made.skipped if one.row_class == RowClass.REJECTED)
    # Each of these rows has one item, so rows and changes are the same.
    assert made.lines.height == read
    assert made.rows[RowClass.SUBMITTED] == planned
    assert made.planned.get_column("request").n_unique() == made.cost.requests


@pytest.mark.thorough
@given(ROWS)
def test_a_person_or_item_that_is_named_has_at_least_as_many_changes_as_the_next(rows: list[str]) -> None:
    made = view(*rows)
    for lines in (made.items, made.people):
        totals = [one.counted.total for one in lines]
        assert totals == sorted(totals, reverse=True)
    assert len(made.people) == min(MOST_PEOPLE, made.all.people)
    assert json.loads(json.dumps(made.as_json(detail=True)))["operations"] == dict(made.all.changes)


@pytest.mark.thorough
@given(ROWS, st.sampled_from(["", "department"]))
def test_a_view_that_was_written_down_is_the_same_again(rows: list[str], by: str) -> None:
    approvals = ApprovalsAhead(
        changes=3, known=2, by_approver=(Awaited(kind="OWNER", steps=2, owner="o", name="Olga"),)
    )
    made = view(*rows, by=by, approvals=approvals if by else None, warnings=["Mind the gap."])
    assert view_again(json.loads(json.dumps(made.as_json())), made.lines) == made


def test_end_dates_are_those_of_grants() -> None:
    made = view(
        line(1, end="2030-05-01"), line(2, end="2030-01-01"), line(3), line(4, operation="REVOKE"), line(5, 0xB)
    )
    assert made.all == Counted(
        changes={"REVOKE": 1, "GRANT": 4},
        people=5,
        first_end="2030-01-01T00:00:00Z",
        last_end="2030-05-01T00:00:00Z",
        endless=2,
    )
    assert list(made.all.changes) == ["REVOKE", "GRANT"], "revokes come first"
    assert [one.counted.endless for one in made.items] == [1, 1]


def test_names_are_the_inputs_or_the_tenants_and_what_was_hidden_is_no_name() -> None:
    names = KnownNames(people={hex_id(1): "anna@acme.example"}, items={})
    facts = {
        "items": {("ROLE", ROLE.upper()): ItemFacts(name="Clerk", owner="o1", owner_name="Olga")},
        "people": {
            hex_id(1): PersonFacts(name="Anna Lee"),
            hex_id(2): PersonFacts(name="Ben"),
            hex_id(3): PersonFacts(name=HIDDEN),
        },
    }
    made = view(line(1), line(2), line(3), line(3, 0xB), names=names, facts=facts)
    assert {one.identity_id: one.name for one in made.people} == {
        hex_id(1): "anna@acme.example",
        hex_id(2): "Ben",
        hex_id(3): "",
    }
    assert [(one.name, one.owner) for one in made.items] == [("Clerk", "Olga"), ("", "")]


def test_an_owner_without_a_name_is_shown_by_the_id() -> None:
    made = view(line(1), facts={"items": {("ROLE", ROLE): ItemFacts(owner="o1")}})
    assert made.items[0].owner == "o1"


def test_the_changes_are_counted_by_the_users_own_column() -> None:
    made = view(
        line(1), line(2, department=" Sales "), line(3, department=""), line(4, department="HR"), by="Department"
    )
    assert [(one.value, one.counted.total) for one in made.groups] == [("Sales", 2), (EMPTY, 1), ("HR", 1)]
    assert made.about.by == "department"
    assert view(line(1)).groups == ()


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    table = classified(line(1)).table
    with pytest.raises(UsageError, match="no column `dept`") as refused:
        column_named(table, "dept")
    assert "`item_id`, `comment`, `remove_date`, `department`." in refused.value.message
    assert column_named(table, "DEPARTMENT ").header == "department"
    with pytest.raises(UsageError):
        column_named(table, " ")


def test_many_columns_are_not_all_named() -> None:
    header = ",".join(["identity_id", "item_type", "item_id", *(f"c{n}" for n in range(60))])
    table = classified(f"{hex_id(1)},ROLE,{ROLE}{',' * 60}", header=header).table
    with pytest.raises(UsageError, match="and 33 more"):
        column_named(table, "dept")


def test_reasons_that_differ_in_lines_and_times_are_one_reason() -> None:
    made = view(line(1), line(2), line(1), line(2), line(3), line(3, operation="REVOKE"), "GRANT,x,ROLE,y,,,")
    assert made.skipped == (
        Skipped(
            row_class="rejected",
            rule="identity_id_shape; item_id_shape",
            reason=made.skipped[0].reason,
            changes=1,
        ),
        Skipped(row_class="duplicate_in_input", rule="", reason="repeats line …", changes=2),
        Skipped(
            row_class="conflict_in_input",
            rule="",
            reason="both granted and revoked in lines …: keep only one of them",
            changes=2,
        ),
    )
    assert "identity_id 'x' is not an id" in made.skipped[0].reason


def test_reasons_of_the_tenant_and_the_ledger_are_counted_without_their_times() -> None:
    verdicts = pl.DataFrame(
        [
            (hex_id(person), "ROLE", ROLE, "", RowClass.HELD_BACK.value, f"waits for Ann Lee since 2026-11-0{person}")
            for person in (1, 2)
        ],
        schema=TENANT_VERDICTS,
        orient="row",
    )
    made = with_tenant_verdicts(classified(line(1), line(2), line(3)), verdicts)
    lines = plan_rows(made, plan_fresh(made, BETA))
    cost = Cost(requests=1, lower_bound=1, checking=0, tracking=1, rate=BETA.rate)
    shown = plan_view(lines, rows={}, cost=cost, about=PlanAbout())
    assert shown.skipped == (Skipped(row_class="held_back", rule="", reason="waits for Ann Lee", changes=2),)


def test_requests_that_share_a_body_have_one_number() -> None:
    dialect = DIALECTS["v1"]
    made = classified(*(line(person, item, end=f"203{person}-01-01") for person in (1, 2) for item in (0xA, 0xB)))
    plan = plan_fresh(made, dialect)
    assert (plan.requests, plan.bodies) == (2, 1)
    assert plan_rows(made, plan).get_column("request").to_list() == [1] * 4


def test_a_rejected_row_shows_what_it_says_in_place_of_names() -> None:
    made = view(line(1), "Grant,jane.doe,ROLE,Clerk,,,HR", "ragged", by="department")
    lines = made.lines.select("line", "class", "person", "item", "group", "request").rows()
    assert lines == [
        (2, "submitted", "", "", "Sales", 1),
        (3, "rejected", "jane.doe", "Clerk", "HR", None),
        (4, "rejected", "", "", "", None),
    ]
    assert made.lines.schema == pl.Schema(PLAN_ROWS)


def known(person: int, state: State, request: int, run: str = RUN) -> dict[str, Any]:
    return {
        "identity_id": hex_id(person), "item_type": "ROLE", "item_id": ROLE, "account": "", "operation": "GRANT",
        "start_date": "", "remove_date": "", "state": state.value, "run": run, "request": request, "at": "t",
        "tenant_state": "", "tenant_who": "", "tenant_comment": "", "tenant_since": "",
    }  # fmt: skip


def test_a_run_that_continues_shows_what_it_has_still_to_send() -> None:
    made = classified(line(1), line(2), line(3), line(4), line(2))
    lines = pl.DataFrame(
        [known(1, State.ACCEPTED, 4), known(2, State.PLANNED, 9), known(3, State.UNCONFIRMED, 5)], schema=KNOWN_SCHEMA
    )
    is_known = pl.col("line") < 5
    changes = made.changes.with_columns(
        own_request=pl.when(is_known).then(pl.col("line") + 1), fresh=pl.col("fresh") & ~is_known
    )
    continued = dataclasses.replace(made, known=lines, changes=changes)
    rows = plan_rows(continued, plan_fresh(continued, BETA))
    assert rows.select("line", "request", "reason").rows() == [
        (2, None, SENT),
        (3, 1, ""),
        (4, None, UNCONFIRMED),
        (5, 2, ""),
        (6, None, "repeats line 3 of in.csv"),
    ]
    assert plan_rows(continued, NO_PLAN).get_column("request").to_list() == [None, 1, None, None, None]


def test_a_look_takes_a_call_for_each_page() -> None:
    assert [tracking_calls(number) for number in (0, 1, 250, 251, 100_000)] == [0, 1, 1, 2, 400]
