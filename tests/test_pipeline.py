"""From an input to a checked plan, and from its requests back to the input's changes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from batch.api.dialects import DIALECTS
from batch.dedupe.classify import KNOWN_SCHEMA
from batch.model import EMPTY_TALLY, RowClass
from batch.pipeline import (
    Classified,
    as_if_planned,
    classify_input,
    failed_elsewhere,
    latest_states,
    plan_fresh,
    with_outcomes,
)
from batch.plan import NO_PLAN
from batch.read import LoadedInputs, Table, read_loaded
from batch.read.inputs import Content
from batch.states import State
from batch.validate.rows import validate
from tests.plan.changes import RUN, hex_id

ITEM = hex_id(0xA)
BETA = DIALECTS["beta"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def table(text: str) -> Table:
    return read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest"))


def classified(*people: int, operation: str = "GRANT") -> Classified:
    lines = [f"{operation},{hex_id(person)},ROLE,{ITEM},why" for person in people]
    read = table("\n".join(["operation,identity_id,item_type,item_id,comment", *lines]))
    return classify_input(read, validate(read.rows, dialect=BETA, now=NOW), plans=None, tenant="t", run=RUN)


def test_a_column_of_names_beside_the_ids_does_no_harm() -> None:
    read = table(f"identity,identity_id,item_type,item_id,item\nAnna,{hex_id(1)},ROLE,{ITEM},Clerk\n")
    assert validate(read.rows, dialect=BETA, now=NOW).changes.height == 1


def test_without_a_ledger_nothing_is_known() -> None:
    made = classified(1, 2, 2)
    assert (made.known.height, made.upto) == (0, "")
    assert made.known.schema == pl.Schema(KNOWN_SCHEMA)
    assert (made.rows[RowClass.SUBMITTED], made.rows[RowClass.DUPLICATE_IN_INPUT]) == (2, 1)


def test_a_dry_run_adds_its_plan_to_the_tally_of_the_run() -> None:
    so_far = dataclasses.replace(
        EMPTY_TALLY,
        requests={State.ACCEPTED: 1, State.PLANNED: 1},
        changes={State.ACCEPTED: 5, State.PLANNED: 2},
        grants=2,
        posts=1,
    )
    grants = as_if_planned(so_far, plan_fresh(classified(1, 2), BETA))
    assert grants.requests == {State.ACCEPTED: 1, State.PLANNED: 2}
    assert grants.changes == {State.ACCEPTED: 5, State.PLANNED: 4}
    assert (grants.grants, grants.revokes, grants.posts) == (4, 0, 1)
    revokes = as_if_planned(so_far, plan_fresh(classified(1, 2, operation="REVOKE"), BETA))
    assert revokes.requests[State.PLANNED] == 3
    assert (revokes.grants, revokes.revokes) == (2, 2)
    assert so_far.changes == {State.ACCEPTED: 5, State.PLANNED: 2}, "the tally itself stays as it is"


def test_an_empty_plan_changes_no_count() -> None:
    made = as_if_planned(EMPTY_TALLY, NO_PLAN)
    assert (made.requests, made.changes, made.grants, made.revokes) == ({State.PLANNED: 0}, {State.PLANNED: 0}, 0, 0)


def known(person: int, state: State, request: int, run: str = RUN) -> dict[str, Any]:
    return {
        "identity_id": hex_id(person), "item_type": "ROLE", "item_id": ITEM, "account": "", "operation": "GRANT",
        "start_date": "", "remove_date": "", "state": state.value, "run": run, "request": request, "at": "t",
        "tenant_state": "", "tenant_who": "", "tenant_comment": "", "tenant_since": "",
    }  # fmt: skip


IDS = {number: f"{RUN}-{number}-tag" for number in range(1, 9)}


def outcomes(made: Classified, *lines: dict[str, Any], reasons: dict[int, str] | None = None) -> list[tuple[Any, ...]]:
    remembered = dataclasses.replace(made, known=pl.DataFrame(list(lines), schema=KNOWN_SCHEMA))
    found = with_outcomes(remembered, run=RUN, reasons=reasons or {}, ids=IDS)
    assert found.height == made.changes.height
    return found.select("request_id", "state", "reason").rows()


def test_each_submitted_change_shows_its_request_its_state_and_the_tenants_comment() -> None:
    lines = [known(1, State.ACCEPTED, 4), known(2, State.REFUSED, 5)]
    assert outcomes(classified(1, 2, 2), *lines, reasons={5: "not found"}) == [
        ("this-4-tag", "ACCEPTED", ""),
        ("this-5-tag", "REFUSED", "not found"),
        (None, None, "repeats line 3 of in.csv"),
    ]


def test_a_split_request_is_replaced_by_its_parts() -> None:
    lines = [known(1, State.SPLIT, 4), known(1, State.ACCEPTED, 6), known(1, State.REFUSED, 5)]
    assert outcomes(classified(1), *lines) == [("this-6-tag", "ACCEPTED", "")]


@pytest.mark.parametrize("state", [State.SPLIT, State.DISCARDED])
def test_a_change_without_a_live_request_shows_none(state: State) -> None:
    assert outcomes(classified(1), known(1, state, 4), reasons={4: "old"}) == [(None, None, "")]


@pytest.mark.parametrize(
    ("request_number", "state", "tenant_state", "again"),
    [
        (5, State.ACCEPTED, "", True),
        (5, State.UNCONFIRMED, "", True),
        (5, State.ACCEPTED, "REQUEST_COMPLETED", True),
        (5, State.ACCEPTED, "REJECTED", False),
        (5, State.REFUSED, "", False),
        (5, State.PLANNED, "", False),
        (3, State.ACCEPTED, "", False),
    ],
)
def test_a_failed_change_that_another_run_has_requested_since_needs_no_way_back(
    request_number: int, state: State, tenant_state: str, *, again: bool
) -> None:
    own = known(1, State.ACCEPTED, 4) | {"tenant_state": "REJECTED"}
    other = known(1, state, request_number, run="other") | {"tenant_state": tenant_state}
    made = dataclasses.replace(classified(1, 2), known=pl.DataFrame([own, other], schema=KNOWN_SCHEMA))
    found = with_outcomes(made, run=RUN, reasons={}, ids=IDS)
    assert found.get_column("tenant_state").to_list() == ["REJECTED", None]
    assert found.get_column("elsewhere").to_list() == [again, False]
    assert failed_elsewhere(found) == again


def test_a_refused_change_that_another_run_has_submitted_since_no_longer_counts_as_refused() -> None:
    refused = known(1, State.REFUSED, 4)
    lines = pl.DataFrame([refused, known(1, State.ACCEPTED, 5, run="other")], schema=KNOWN_SCHEMA)
    before = dataclasses.replace(classified(1), known=pl.DataFrame([refused], schema=KNOWN_SCHEMA))
    made = before.changes.with_columns(pl.lit(RowClass.ALREADY_SUBMITTED.value).alias("class"))
    assert latest_states(before, RUN) == {"REFUSED": 1}
    assert latest_states(dataclasses.replace(before, known=lines, changes=made), RUN) == {}


def test_requests_of_other_runs_are_not_shown() -> None:
    assert outcomes(classified(1), known(1, State.REFUSED, 4, run="other")) == [(None, None, "")]
