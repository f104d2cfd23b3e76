"""The summary: the JSON that scripts depend on, and the exit code."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.dedupe.row_class import SetAside
from batch.model import EMPTY_TALLY, RowClass, Run, StatusGroup, Tally, TrackSummary
from batch.names.resolve import NameCounts
from batch.report.runs import describe_rest, describe_run, list_runs, run_as_json
from batch.report.summary import Summary, count_states
from batch.report.track import describe_existing, describe_track, exit_code, resubmission, track_as_json
from batch.states import State
from batch.status.findings import Warned

if TYPE_CHECKING:
    from collections.abc import Mapping

# As documented for `submit --json` and `plan --json`, with later additions such as `names`, `checked` and `tracked`.
DOCUMENTED = """
{"run": "…", "tenant": "…", "dry_run": false,
 "rows": {"read": 0, "rejected": 0, "duplicate_in_input": 0, "conflict_in_input": 0, "already_submitted": 0,
          "already_held": 0, "not_held": 0, "held_back": 0, "submitted": 0},
 "left_out": 0,
 "changes": {"planned": 0, "accepted": 0, "refused": 0, "unconfirmed": 0, "unsent": 0},
 "requests": {"planned": 0, "lower_bound": 0, "accepted": 0, "refused": 0, "unconfirmed": 0, "unsent": 0},
 "http": {"posts": 0, "throttled": 0, "retried": 0, "posts_now": 0},
 "names": {"looked_up": 0, "calls": 0, "found": 0, "unknown": 0, "ambiguous": 0},
 "tracked": null, "checked": null, "requester": null, "access_request_config": null, "triggers": null,
 "approvals": null, "warnings": [], "plan": null, "waves": null,
 "files": {"rejected": null, "refused": null, "unsent": null, "failed": null, "results": null, "report": null,
           "plan": null, "page": null},
 "head": null, "elapsed_s": 0.0}
"""

NO_ROWS = dict.fromkeys(RowClass, 0)


def tally(**changes: int) -> Tally:
    by_state: dict[str, int] = {State[name]: number for name, number in changes.items()}
    return dataclasses.replace(EMPTY_TALLY, changes=by_state, requests=by_state)


def summary(
    *, rows: Mapping[RowClass, int] | None = None, tally: Tally = EMPTY_TALLY, dry_run: bool = False, **others: Any
) -> Summary:
    given = {
        "run": "r1", "tenant": "sandbox", "lower_bound": 0, "posts_now": 0, "files": {}, "elapsed": 0.0,
        "set_aside": 0, **others,
    }  # fmt: skip
    return Summary(rows=NO_ROWS | dict(rows or {}), tally=tally, dry_run=dry_run, **given)


def shape(value: Any) -> Any:
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def test_the_json_has_exactly_the_documented_keys() -> None:
    made = json.loads(json.dumps(summary().as_json()))
    assert shape(made) == shape(json.loads(DOCUMENTED))


def test_every_number_of_the_json_has_its_own_key() -> None:
    rows = {row_class: 10 + position for position, row_class in enumerate(RowClass)}
    by_state: dict[str, int] = {
        State.PLANNED: 1, State.SENDING: 2, State.ACCEPTED: 4, State.REFUSED: 8, State.UNCONFIRMED: 16,
        State.SPLIT: 32, State.DISCARDED: 64,
    }  # fmt: skip
    changed = Tally(
        requests=by_state, changes={state: 100 * n for state, n in by_state.items()}, grants=5, revokes=6, posts=21,
        throttled=22, retried=23,
    )  # fmt: skip
    made = summary(
        rows=rows,
        tally=changed,
        lower_bound=3,
        posts_now=20,
        files={"rejected": "out/rejected.csv"},
        elapsed=1.23456,
        names=NameCounts(calls=9, found=405, unknown=4, ambiguous=3),
        left_out=7,
        warned=(Warned(rule="form_required", lines={"a.csv": (3, 8), "b.csv": (3,)}, kinds=frozenset({"ROLE"})),),
    ).as_json()
    assert made == {
        "run": "r1",
        "tenant": "sandbox",
        "dry_run": False,
        "rows": {
            "read": sum(range(10, 18)),
            "rejected": 10,
            "duplicate_in_input": 11,
            "conflict_in_input": 12,
            "already_submitted": 13,
            "already_held": 14,
            "not_held": 15,
            "held_back": 16,
            "submitted": 17,
        },
        "left_out": 7,
        "changes": {"planned": 3100, "accepted": 400, "refused": 800, "unconfirmed": 1800, "unsent": 100},
        "requests": {"planned": 31, "accepted": 4, "refused": 8, "unconfirmed": 18, "unsent": 1, "lower_bound": 3},
        "http": {"posts": 21, "throttled": 22, "retried": 23, "posts_now": 20},
        "names": {"looked_up": 412, "calls": 9, "found": 405, "unknown": 4, "ambiguous": 3},
        "warnings": [
            {"rule": "form_required", "file": "a.csv", "count": 2, "lines": [3, 8]},
            {"rule": "form_required", "file": "b.csv", "count": 1, "lines": [3]},
        ],
        "tracked": None,
        "checked": None,
        "requester": None,
        "access_request_config": None,
        "triggers": None,
        "approvals": None,
        "plan": None,
        "waves": None,
        "files": {
            "rejected": "out/rejected.csv",
            "refused": None,
            "unsent": None,
            "failed": None,
            "results": None,
            "report": None,
            "plan": None,
            "page": None,
        },
        "head": None,
        "elapsed_s": 1.235,
    }


def test_a_change_that_was_submitted_again_counts_once_in_the_json() -> None:
    made = summary(tally=tally(ACCEPTED=2540), changes={State.ACCEPTED: 2400}).as_json()
    assert (made["changes"]["planned"], made["changes"]["accepted"]) == (2400, 2400)


def test_the_states_add_up_to_the_planned_changes() -> None:
    counts = count_states({state.value: 2**position for position, state in enumerate(State)})
    planned = counts.pop("planned")
    assert planned == sum(counts.values())


def test_split_and_discarded_requests_are_not_counted() -> None:
    assert set(count_states({State.SPLIT: 5, State.DISCARDED: 7}).values()) == {0}


FINE = {RowClass.SUBMITTED: 1, RowClass.ALREADY_SUBMITTED: 1, RowClass.NOT_HELD: 1, RowClass.DUPLICATE_IN_INPUT: 1}


@pytest.mark.parametrize(
    ("rows", "changes", "dry_run", "code"),
    [
        ({}, {}, False, 0),
        (FINE, {"ACCEPTED": 3}, False, 0),
        (FINE, {"ACCEPTED": 3, "SPLIT": 2, "DISCARDED": 1}, False, 0),
        ({RowClass.REJECTED: 1}, {"ACCEPTED": 3}, False, 3),
        (FINE, {"ACCEPTED": 3, "REFUSED": 1}, False, 3),
        (FINE, {"PLANNED": 1}, False, 4),
        (FINE, {"UNCONFIRMED": 1}, False, 4),
        (FINE, {"SENDING": 1}, False, 4),
        ({RowClass.REJECTED: 1}, {"REFUSED": 1, "UNCONFIRMED": 1}, False, 4),
        (FINE, {"PLANNED": 5}, True, 0),
        (FINE, {"UNCONFIRMED": 5}, True, 0),
        ({RowClass.REJECTED: 1}, {"PLANNED": 5}, True, 3),
    ],
)
def test_the_exit_code_follows_the_documented_table(
    rows: dict[RowClass, int],
    changes: dict[str, int],
    dry_run: bool,  # noqa: FBT001 - a table
    code: int,
) -> None:
    assert summary(rows=rows, tally=tally(**changes), dry_run=dry_run).exit_code == code


def test_a_refused_change_whose_rows_are_already_submitted_makes_no_exit_code_3() -> None:
    made = summary(rows=FINE, tally=tally(ACCEPTED=2, REFUSED=1), dry_run=False)
    assert dataclasses.replace(made, changes={State.ACCEPTED: 2}).exit_code == 0


@pytest.mark.parametrize("dry_run", [False, True])
def test_one_change_set_aside_sets_exit_code_3(*, dry_run: bool) -> None:
    assert summary(rows=FINE, tally=tally(ACCEPTED=3), dry_run=dry_run, set_aside=SetAside(held_back=1)).exit_code == 3


RUN = Run(
    id="r1",
    tenant="https://acme.api.example",
    input_digest="d",
    inputs=("a.csv", "b.csv"),
    dialect="beta",
    started_at=datetime(2026, 11, 23, 15, 45, tzinfo=UTC),
    lower_bound=3,
)
NOT_LISTED = TrackSummary(reported=(), silent=2000)
TALLY = Tally(
    requests={State.ACCEPTED: 4, State.SPLIT: 1},
    changes={State.ACCEPTED: 2000, State.PLANNED: 1},
    grants=1,
    revokes=0,
    posts=1200,
    throttled=2,
    retried=1,
)


def test_a_run_has_the_keys_of_the_summary() -> None:
    made = run_as_json(RUN, TALLY, NOT_LISTED)
    documented = json.loads(DOCUMENTED)
    assert made["requests"].keys() == documented["requests"].keys()
    assert made["changes"].keys() == documented["changes"].keys()
    assert made["http"] == {"posts": 1200, "throttled": 2, "retried": 1}
    assert (made["requests"]["planned"], made["requests"]["lower_bound"], made["changes"]["unsent"]) == (4, 3, 1)
    assert (made["run"], made["tenant"], made["api"]) == ("r1", "https://acme.api.example", "beta")
    assert (made["inputs"], made["started_at"]) == (["a.csv", "b.csv"], "2026-11-23T15:45:00+00:00")
    assert json.loads(json.dumps(made)) == made


def test_a_run_is_described_in_lines() -> None:
    assert list(describe_run(RUN, TALLY, NOT_LISTED)) == [
        "Run r1, started 2026-11-23 15:45 UTC, to https://acme.api.example (beta)",
        "  input: a.csv, b.csv",
        "  changes: 2,001 planned, 2,000 accepted, 0 refused, 0 unconfirmed, 1 unsent",
        "  requests: 4 planned, 4 accepted, 0 refused, 0 unconfirmed, 0 unsent",
        "  attempts: 1,200, including 1 repeated and 2 throttled",
    ]


def test_the_rest_of_a_run_comes_with_the_commands_to_type_next() -> None:
    left = dataclasses.replace(TALLY, changes={State.PLANNED: 2, State.UNCONFIRMED: 1, State.REFUSED: 1})
    assert list(describe_rest(RUN, left)) == [
        "2 changes not sent: submit the same input again, or `access-batch discard r1`.",
        "1 change unconfirmed: submit the same input again, or `access-batch settle r1`.",
        "1 change refused: results.csv has the reasons. To send it again, submit the same input again.",
    ]
    assert list(describe_rest(RUN, dataclasses.replace(TALLY, changes={State.ACCEPTED: 5}))) == []


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({State.ACCEPTED: 5}, "all sent"),
        ({State.ACCEPTED: 5, State.REFUSED: 1}, "1 refused"),
        ({State.PLANNED: 1999, State.UNCONFIRMED: 1}, "1,999 to send, 1 unconfirmed"),
        ({State.SENDING: 1}, "1 unconfirmed"),
    ],
)
def test_a_listed_run_shows_its_open_changes(changes: dict[str, int], state: str) -> None:
    (line,) = list_runs([(RUN, dataclasses.replace(TALLY, changes=changes), NOT_LISTED)])
    accepted = changes.get(State.ACCEPTED, 0)
    assert line.split("  ")[0] == "r1"
    assert (
        f" {accepted} of {Counter(changes).total():,} accepted  {state}  https://acme.api.example  a.csv, b.csv" in line
    )


def test_a_ledger_without_runs_says_so() -> None:
    assert list(list_runs([])) == ["The ledger has no runs."]


def group(state: str, changes: int = 1, who: str = "", words: str = "", since: str = "") -> StatusGroup:
    return StatusGroup(state=state, who=who, said=words, since=since, changes=changes)


SAID = TrackSummary(
    reported=(
        group("REQUEST_COMPLETED", 40),
        group("EXECUTING", 2, "Ann", since="2026-03-02"),
        group("EXECUTING", 3, "Ann", "soon", since="2026-03-01"),
        group("EXECUTING", 4, "Bob"),
        group("EXECUTING", 1),
        group("NEW_STATE", 2),
        group("EXISTING_REQUEST", 5),
        group("REJECTED", 6, "Ann", "no need"),
        group("CANCELLED", 1, "Cy"),
        group("CANCELLED", 2, words="Duplicate request"),
        group("ERROR", 1, words="no account"),
    ),
    silent=7,
)


def test_outcomes_are_described_with_approvers_and_comments() -> None:
    assert list(describe_track(SAID)) == [
        "74 accepted changes at the tenant:",
        "  provisioned: 40",
        "  awaiting approval: 9",
        "    5 of Ann since 2026-03-01",
        "    4 of Bob",
        "  requested already by others: 5",
        "  in progress: 3",
        "    2 in the state NEW_STATE, which this version does not know",
        "  rejected: 6",
        "    6 by Ann: no need",
        "  cancelled: 1",
        "    1 by Cy",
        "  cancelled by the tenant as a duplicate: 2",
        "  failed: 1",
        "    1: no account",
        "  no report yet: 7",
    ]


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (0, "8 changes were rejected or cancelled or failed. To submit them again: "),
        (7, "8 changes were rejected or cancelled or failed. To submit the 1 that no other run has requested since: "),
        (8, "8 changes were rejected or cancelled or failed. Another run has requested them since."),
    ],
)
def test_changes_that_another_run_has_submitted_again_need_no_command(since: int, words: str) -> None:
    command = "the same input with --resubmit rejected,cancelled,failed"
    (said,) = resubmission(dataclasses.replace(SAID, requested_since=since))
    assert said == (words + command if words.endswith(": ") else words)


def test_changes_are_counted_by_outcome_and_by_the_vendors_state() -> None:
    made = track_as_json(SAID)
    assert made == {
        "open": 17, "provisioned": 40, "rejected": 6, "cancelled": 1, "duplicate": 2, "failed": 1, "not_visible": 7,
        "submitted_twice": 0, "looked_at": None,
        "states": {
            "CANCELLED": 3, "ERROR": 1, "EXECUTING": 10, "EXISTING_REQUEST": 5, "NEW_STATE": 2, "REJECTED": 6,
            "REQUEST_COMPLETED": 40,
        },
    }  # fmt: skip
    assert sum(made["states"].values()) + made["not_visible"] == 74


def test_the_largest_of_many_groups_are_shown_and_the_rest_counted() -> None:
    many = tuple(group("REJECTED", number, f"approver {number:02}") for number in range(1, 15))
    lines = list(describe_track(TrackSummary(reported=many, silent=0)))
    assert lines[1:3] == ["  rejected: 105", "    14 by approver 14"]
    assert lines[-1].startswith("    … and 10 more")
    assert len(lines) == 13


@pytest.mark.parametrize(
    ("state", "words", "code"),
    [
        ("REQUEST_COMPLETED", "", 0),
        ("CANCELLED", "a duplicate", 0),
        ("CANCELLED", "", 3),
        ("REJECTED", "", 3),
        ("NOT_ALL_ITEMS_PROVISIONED", "", 3),
        ("EXECUTING", "", 4),
        ("NEW_STATE", "", 4),
        ("EXISTING_REQUEST", "", 4),
    ],
)
def test_the_exit_code_of_a_tracked_run_shows_its_worst_outcome(state: str, words: str, code: int) -> None:
    done = group("REQUEST_COMPLETED")
    tracked = TrackSummary(reported=(done, group(state, words=words)), silent=0)
    assert exit_code(tracked) == code
    assert exit_code(TrackSummary(reported=(done,), silent=1)) == 4
    finished = dataclasses.replace(summary(rows=FINE, tally=tally(ACCEPTED=3)), tracked=tracked, was_tracked=True)
    assert finished.exit_code == code
    assert dataclasses.replace(finished, was_tracked=False).exit_code == 0, (
        "outcomes count only if the command tracked the run"
    )
    assert dataclasses.replace(finished, set_aside=SetAside(contradictory=2)).exit_code == max(code, 3)


def test_runs_show_outcomes_once_any_is_known() -> None:
    assert "  no report yet: 7" in list(describe_run(RUN, TALLY, SAID))
    assert run_as_json(RUN, TALLY, SAID)["tracked"]["rejected"] == 6
    (line,) = list_runs([(RUN, TALLY, SAID)])
    assert "; at the tenant 17 in progress, 40 provisioned, 6 rejected, 1 cancelled, 2 cancelled by the tenant" in line
    assert "1 failed, 7 without a report yet" in line


def test_runs_and_status_say_when_track_last_looked_and_what_it_did_not_find() -> None:
    looked = dataclasses.replace(SAID, looked_at="2026-11-28T10:00:59Z")
    for found in (looked, dataclasses.replace(NOT_LISTED, looked_at=looked.looked_at)):
        lines = list(describe_run(RUN, TALLY, found))
        total = sum(group.changes for group in found.reported) + found.silent
        assert f"{total:,} accepted changes at the tenant (last looked at 2026-11-28 10:00 UTC):" in lines
        assert f"  not in the tenant's list yet: {found.silent:,}" in lines
        assert run_as_json(RUN, TALLY, found)["tracked"]["looked_at"] == looked.looked_at
        (line,) = list_runs([(RUN, TALLY, found)])
        assert f"{found.silent:,} not in the tenant's list yet (last looked at 2026-11-28 10:00 UTC)" in line
    assert "last looked" not in "\n".join(describe_track(looked, looked=True)), "it has looked just now"


@pytest.mark.parametrize(("number", "words"), [(1, "1 change was"), (2, "2 changes were")])
def test_changes_that_others_had_requested_are_reported_after_sending(number: int, words: str) -> None:
    tracked = TrackSummary(reported=(group("EXISTING_REQUEST", number), group("EXECUTING")), silent=0)
    assert list(describe_existing(tracked)) == [f"The tenant answered that {words} requested already by others."]
    assert list(describe_existing(NOT_LISTED)) == []
