"""The summary: the JSON that scripts depend on, and the exit code."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.model import EMPTY_TALLY, RowClass, Run, Tally
from batch.report.runs import describe_run, list_runs, run_as_json
from batch.report.summary import Summary, progress
from batch.resolve import NameCounts
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

# As documented for `submit --json` and `plan --json`, and what was added: `http.posts_now` and `names`.
DOCUMENTED = """
{"run": "…", "tenant": "…", "dry_run": false,
 "rows": {"read": 0, "rejected": 0, "duplicate_in_input": 0, "conflict_in_input": 0, "already_submitted": 0,
          "already_held": 0, "held_back": 0, "submitted": 0},
 "changes": {"planned": 0, "accepted": 0, "refused": 0, "unconfirmed": 0, "unsent": 0},
 "requests": {"planned": 0, "lower_bound": 0, "accepted": 0, "refused": 0, "unconfirmed": 0, "unsent": 0},
 "http": {"posts": 0, "throttled": 0, "retried": 0, "posts_now": 0},
 "names": {"looked_up": 0, "calls": 0, "found": 0, "unknown": 0, "ambiguous": 0},
 "files": {"rejected": null, "results": null, "report": null}, "elapsed_s": 0.0}
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


def test_every_number_of_the_json_stands_under_its_own_key() -> None:
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
    ).as_json()
    assert made == {
        "run": "r1",
        "tenant": "sandbox",
        "dry_run": False,
        "rows": {
            "read": sum(range(10, 17)),
            "rejected": 10,
            "duplicate_in_input": 11,
            "conflict_in_input": 12,
            "already_submitted": 13,
            "already_held": 14,
            "held_back": 15,
            "submitted": 16,
        },
        "changes": {"planned": 3100, "accepted": 400, "refused": 800, "unconfirmed": 1800, "unsent": 100},
        "requests": {"planned": 31, "accepted": 4, "refused": 8, "unconfirmed": 18, "unsent": 1, "lower_bound": 3},
        "http": {"posts": 21, "throttled": 22, "retried": 23, "posts_now": 20},
        "names": {"looked_up": 412, "calls": 9, "found": 405, "unknown": 4, "ambiguous": 3},
        "files": {"rejected": "out/rejected.csv", "results": None, "report": None},
        "elapsed_s": 1.235,
    }


def test_what_is_planned_adds_up_from_what_became_of_it() -> None:
    counts = progress({state.value: 2**position for position, state in enumerate(State)})
    planned = counts.pop("planned")
    assert planned == sum(counts.values())


def test_split_and_discarded_requests_are_not_counted() -> None:
    assert set(progress({State.SPLIT: 5, State.DISCARDED: 7}).values()) == {0}


FINE = {RowClass.SUBMITTED: 1, RowClass.ALREADY_SUBMITTED: 1, RowClass.ALREADY_HELD: 1, RowClass.DUPLICATE_IN_INPUT: 1}


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
def test_the_exit_code_says_how_it_ended(
    rows: dict[RowClass, int],
    changes: dict[str, int],
    dry_run: bool,  # noqa: FBT001 - a table
    code: int,
) -> None:
    assert summary(rows=rows, tally=tally(**changes), dry_run=dry_run).exit_code == code


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_single_item_that_is_set_aside_is_not_everything_asked_for(*, dry_run: bool) -> None:
    assert summary(rows=FINE, tally=tally(ACCEPTED=3), dry_run=dry_run, set_aside=1).exit_code == 3


RUN = Run(
    id="r1",
    tenant="https://acme.api.example",
    input_digest="d",
    inputs=("a.csv", "b.csv"),
    dialect="beta",
    started_at=datetime(2026, 11, 23, 15, 45, tzinfo=UTC),
    lower_bound=3,
)
TALLY = Tally(
    requests={State.ACCEPTED: 4, State.SPLIT: 1},
    changes={State.ACCEPTED: 2000, State.PLANNED: 1},
    grants=1,
    revokes=0,
    posts=1200,
    throttled=2,
    retried=1,
)


def test_a_run_speaks_the_words_of_the_summary() -> None:
    made = run_as_json(RUN, TALLY)
    documented = json.loads(DOCUMENTED)
    assert made["requests"].keys() == documented["requests"].keys()
    assert made["changes"].keys() == documented["changes"].keys()
    assert made["http"] == {"posts": 1200, "throttled": 2, "retried": 1}
    assert (made["requests"]["planned"], made["requests"]["lower_bound"], made["changes"]["unsent"]) == (4, 3, 1)
    assert (made["run"], made["tenant"], made["api"]) == ("r1", "https://acme.api.example", "beta")
    assert (made["inputs"], made["started_at"]) == (["a.csv", "b.csv"], "2026-11-23T15:45:00+00:00")
    assert json.loads(json.dumps(made)) == made


def test_a_run_is_described_in_lines() -> None:
    assert list(describe_run(RUN, TALLY)) == [
        "Run r1, begun 2026-11-23 15:45 UTC, to https://acme.api.example (beta)",
        "  input: a.csv, b.csv",
        "  changes: 2,001 planned, 2,000 accepted, 0 refused, 0 unconfirmed, 1 unsent",
        "  requests: 4 planned, 4 accepted, 0 refused, 0 unconfirmed, 0 unsent",
        "  attempts: 1,200, of these 1 repeated and 2 throttled",
    ]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({State.ACCEPTED: 5}, "complete"),
        ({State.ACCEPTED: 5, State.REFUSED: 1}, "1 refused"),
        ({State.PLANNED: 1999, State.UNCONFIRMED: 1}, "1,999 to send, 1 unconfirmed"),
        ({State.SENDING: 1}, "1 unconfirmed"),
    ],
)
def test_a_listed_run_says_how_much_of_it_is_left(changes: dict[str, int], state: str) -> None:
    (line,) = list_runs([(RUN, dataclasses.replace(TALLY, changes=changes))])
    accepted = changes.get(State.ACCEPTED, 0)
    assert line.split("  ")[0] == "r1"
    assert (
        f" {accepted} of {Counter(changes).total():,} accepted  {state}  https://acme.api.example  a.csv, b.csv" in line
    )


def test_a_ledger_without_runs_says_so() -> None:
    assert list(list_runs([])) == ["The ledger has no runs."]
