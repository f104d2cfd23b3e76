"""What people read on the terminal, word for word where it matters."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from batch.api.dialects import DIALECTS, Rate
from batch.dedupe.row_class import SetAside, changes_set_aside
from batch.model import EMPTY_TALLY, RowClass, Tally
from batch.names.resolve import NameCounts
from batch.pipeline import Classified, classify_input
from batch.plan.guards import RevokeShare
from batch.read import LoadedInputs, read_loaded
from batch.read.inputs import Content
from batch.report.screen import (
    describe_input,
    describe_names,
    describe_outcome,
    describe_platform,
    describe_sandbox,
    describe_verdict,
    duration,
    question,
)
from batch.report.summary import Summary
from batch.states import State
from batch.text import count
from batch.validate.rows import validate
from tests.plan.changes import RUN, hex_id

RATE = Rate()
NOTHING = "Nothing to send: no row of the input needs a request now."
HEADER = "operation,identity_id,item_type,item_id,comment\n"


def line(person: int = 1, item: str = hex_id(0xA), operation: str = "GRANT", comment: str = "") -> str:
    return f"{operation},{hex_id(person)},ROLE,{item},{comment}\n"


def classified(*files: tuple[str, str]) -> Classified:
    contents = tuple(Content(name, (HEADER + text).encode()) for name, text in files)
    table = read_loaded(LoadedInputs(contents, "digest"))
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC))
    return classify_input(table, validated, plans=None, tenant="t", run=RUN)


def said(*files: tuple[str, str]) -> list[str]:
    return list(describe_input(classified(*files)))


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (2, "row", "2 rows"),
        (12345, "change", "12,345 changes"),
    ],
)
def test_a_number_and_its_noun_agree(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.1, "1 s"),
        (8, "8 s"),
        (119, "119 s"),
        (119.5, "2 min"),
        (120, "2 min"),
        (121, "3 min"),
        (180, "3 min"),
        (7140, "119 min"),
        (7141, "2 h 0 min"),
        (9900, "2 h 45 min"),
        (90000, "25 h 0 min"),
    ],
)
def test_a_length_of_time_is_rounded_up(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_flawless_input_is_described_in_one_line() -> None:
    assert said(("in.csv", line())) == ["Read 1 row from in.csv."]
    assert said(("-", line() + line(2))) == ["Read 2 rows from standard input."]


def test_faulty_rows_are_shown_with_line_and_reason_in_the_inputs_order() -> None:
    text = (
        line(operation="ADD")
        + "ragged\n"
        + line(2)
        + line(2)
        + line(3)
        + line(3, operation="REVOKE", comment="x")
        + line(4, "x")
    )
    assert said(("in.csv", text)) == [
        "Read 7 rows from in.csv.",
        "3 rows rejected, with the rules broken:",
        "  line 2: operation_known: operation 'ADD' is unknown: write GRANT, REVOKE or EXTEND",
        "  line 3: ragged_line: The row has 1 field, but the header has 5.",
        "  line 8: item_id_shape: item_id 'x' is not an id: give 32 hex digits or a UUID",
        "2 rows set aside because the input contradicts itself:",
        "  line 6: both granted and revoked in lines 6, 7: keep only one of them",
        "  line 7: both granted and revoked in lines 6, 7: keep only one of them",
        "1 row skipped because an earlier line is the same:",
        "  line 5: repeats line 4 of in.csv",
    ]


def test_with_several_files_the_file_is_named_with_the_line() -> None:
    assert said(("a.csv", line(1)), ("b.csv", line(2) + line(1))) == [
        "Read 3 rows from a.csv, b.csv.",
        "1 row skipped because an earlier line is the same:",
        "  b.csv, line 3: repeats line 2 of a.csv",
    ]


@pytest.mark.parametrize(
    ("bad", "last"), [(10, "  line 11: "), (11, "  … and 1 more, in"), (1012, "  … and 1,002 more, in")]
)
def test_of_many_bad_rows_ten_are_shown(bad: int, last: str) -> None:
    lines = said(("in.csv", line(item="x") * bad))
    assert lines[1] == f"{bad:,} rows rejected, with the rules broken:"
    assert lines[2].startswith("  line 2: ")
    assert lines[11].startswith("  line 11: ")
    assert lines[-1].startswith(last)
    assert len(lines) == 2 + min(bad, 11)


def test_a_plan_which_writes_no_file_says_where_the_other_rows_are_listed() -> None:
    bad = classified(("in.csv", line(item="x") * 11 + line() * 13))
    said = list(describe_input(bad, listed=()))
    more = [one for one in said if "…" in one]
    assert more == [f"  … and {number} more; `submit` lists all in results.csv" for number in (1, 2)]
    more = [one for one in describe_input(bad, listed=[RowClass.REJECTED]) if "…" in one]
    assert more == ["  … and 1 more, in the result files", "  … and 2 more; `submit` lists all in results.csv"]


def test_single_items_of_rows_that_are_otherwise_submitted_are_shown_as_such() -> None:
    items = f"{hex_id(0xA)}|{hex_id(0xB)}|{hex_id(0xB)}"
    assert said(("in.csv", line() + line(item=items) + line())) == [
        "Read 3 rows from in.csv.",
        "1 row and single items of 1 row skipped because an earlier line is the same:",
        f"  line 3 (item {hex_id(0xA)}): repeats line 2 of in.csv",
        f"  line 3 (item {hex_id(0xB)}): repeats line 3 of in.csv",
        "  line 4: repeats line 2 of in.csv",
    ]


@pytest.mark.parametrize(
    ("row_class", "header"),
    [
        (RowClass.HELD_BACK, "1 row held back:"),
        (RowClass.ALREADY_SUBMITTED, "1 row skipped as submitted before:"),
        (RowClass.ALREADY_HELD, "1 row skipped as held already:"),
        (RowClass.NOT_HELD, "1 row skipped because the access is not held:"),
    ],
)
def test_rows_set_aside_by_the_ledger_or_the_tenant_are_shown_with_the_reason(row_class: RowClass, header: str) -> None:
    made = classified(("in.csv", line()))
    changes = made.changes.with_columns(pl.lit(row_class.value).alias("class"), pl.lit("so it is").alias("reason"))
    known = dataclasses.replace(made, changes=changes, rows=dict.fromkeys(RowClass, 0) | {row_class: 1})
    assert list(describe_input(known))[1:] == [header, "  line 2: so it is"]


def tally(unsent: int, grants: int, revokes: int) -> Tally:
    return dataclasses.replace(EMPTY_TALLY, requests={State.PLANNED: unsent}, grants=grants, revokes=revokes)


@pytest.mark.parametrize(
    ("asked", "rate", "text"),
    [
        (tally(1, 1, 0), RATE, "Submit 1 grant in 1 request to acme?"),
        (
            tally(2, 3000, 1),
            RATE,
            (
                "Submit 1 revoke (share of the holders unknown) and 3,000 grants in 2 requests to acme? "
                "It takes at least 1 s at 100 requests per 10 s."
            ),
        ),
        (
            tally(1001, 0, 5000),
            Rate(requests=50, seconds=2.5),
            (
                "Submit 5,000 revokes (share of the holders unknown) in 1,001 requests to acme? "
                "It takes at least 50 s at 50 requests per 2.5 s."
            ),
        ),
    ],
)
def test_the_question_before_sending_names_the_amount_the_tenant_and_the_duration(
    asked: Tally, rate: Rate, text: str
) -> None:
    assert question(asked, "acme", rate) == text


@pytest.mark.parametrize(
    ("share", "whose"),
    [
        (RevokeShare(percent=12.4, items=3, of=3), "from up to 12 % of an item's holders"),
        (RevokeShare(percent=100, items=20, of=31), "from up to 100 % of the holders of the 20 most revoked items"),
    ],
)
def test_the_question_names_the_share_of_the_holders_who_lose_an_item(share: RevokeShare, whose: str) -> None:
    assert question(tally(1, 0, 7), "acme", RATE, share) == f"Submit 7 revokes ({whose}) in 1 request to acme?"


def summary(*, dry_run: bool = False, rows: dict[RowClass, int] | None = None, **others: Any) -> Summary:
    given = {
        "run": "r1",
        "lower_bound": 1,
        "posts_now": 0,
        "set_aside": SetAside(),
        "files": {},
        "tally": EMPTY_TALLY,
        **others,
    }
    return Summary(tenant="acme", dry_run=dry_run, rows=dict.fromkeys(RowClass, 0) | (rows or {}), elapsed=0.0, **given)


def counted(**states: int) -> Tally:
    by_state: dict[str, int] = {State[name]: number for name, number in states.items()}
    return dataclasses.replace(EMPTY_TALLY, requests=dict.fromkeys(by_state, 1), changes=by_state)


def test_a_dry_run_shows_what_a_run_would_do_and_nothing_else() -> None:
    planned = dataclasses.replace(EMPTY_TALLY, requests={State.PLANNED: 1}, changes={State.PLANNED: 2000})
    assert list(describe_outcome(summary(dry_run=True, tally=planned), "again")) == [
        "2,000 changes in 1 request.",
        "Nothing was sent.",
    ]
    assert list(describe_outcome(summary(dry_run=True), "again")) == [
        "Nothing to send.",
        "Nothing was sent.",
    ]


def test_a_complete_run_shows_what_was_accepted_and_where_the_files_are() -> None:
    files = {"rejected": None, "results": "out/results.csv"}
    made = summary(tally=counted(ACCEPTED=12), posts_now=1, files=files)
    assert list(describe_outcome(made, "again")) == [
        "Run r1: of 12 changes in 1 request, 12 accepted, 0 refused, 0 unconfirmed, 0 not sent.",
        "  results: out/results.csv",
    ]


def test_a_run_with_nothing_left_shows_that_there_is_nothing_to_send() -> None:
    lines = list(describe_outcome(summary(tally=counted(ACCEPTED=1)), "again"))
    assert lines[0] == NOTHING
    assert lines[1].startswith("Run r1: of 1 change in 1 request, 1 accepted")
    assert list(describe_outcome(summary(run=""), "again")) == [NOTHING]


def test_an_open_run_shows_how_to_continue() -> None:
    lines = list(describe_outcome(summary(tally=counted(PLANNED=2)), "access-batch submit in.csv"))
    assert lines[0] == "Nothing was sent."
    assert lines[-1] == "To continue: access-batch submit in.csv"


def test_unconfirmed_changes_are_explained() -> None:
    lines = list(describe_outcome(summary(tally=counted(SENDING=1, UNCONFIRMED=2), posts_now=3), "again"))
    assert "3 unconfirmed" in lines[0]
    assert "never sends them again blindly" in lines[-1]


def test_advice_on_unconfirmed_changes_is_left_to_the_error_that_gives_it() -> None:
    made = summary(tally=counted(UNCONFIRMED=2), waiting=1)
    assert list(describe_outcome(made, "again"))[-1] == (
        "1 change of this input may have arrived from another run: the same command looks for it, too."
    )
    assert list(describe_outcome(made, "again", is_advised=True)) == [
        "Nothing was sent.",
        "Run r1: of 2 changes in 1 request, 0 accepted, 0 refused, 2 unconfirmed, 0 not sent.",
    ]


def test_the_user_is_asked_to_correct_and_submit_rejected_rows() -> None:
    made = summary(rows={RowClass.REJECTED: 1}, files={"rejected": "in.results/rejected.csv"})
    assert list(describe_outcome(made, "again"))[-1] == (
        "Correct the rejected rows, then: access-batch submit in.results/rejected.csv"
    )
    assert list(describe_outcome(made, "again", reading=["--map", "User=identity"]))[-1] == (
        "Correct the rejected rows, then: access-batch submit in.results/rejected.csv --map User=identity"
    )
    made = summary(rows={RowClass.REJECTED: 1}, files=dict.fromkeys(("rejected", "results"), "in.results/results.xlsx"))
    assert list(describe_outcome(made, "again"))[-1] == (
        "Correct the rejected rows, then: access-batch submit in.results/results.xlsx --sheet rejected"
    )


def test_each_file_of_rows_to_submit_again_comes_with_its_command() -> None:
    files = {name: f"my in/{name}.csv" for name in ("rejected", "refused", "unsent", "failed")}
    made = summary(tally=counted(ACCEPTED=1, REFUSED=1), files=files, set_aside=SetAside(held_back=1))
    assert list(describe_outcome(made, "again"))[-4:] == [
        (
            "Rejected, cancelled or failed at the tenant; to submit these rows again: "
            "access-batch submit 'my in/failed.csv' --resubmit rejected,cancelled,failed"
        ),
        (
            "Held back, each for the reason in its _message; when that is dealt with: "
            "access-batch submit 'my in/unsent.csv'"
        ),
        "Refused by the tenant; correct these rows, then: access-batch submit 'my in/refused.csv'",
        "Correct the rejected rows, then: access-batch submit 'my in/rejected.csv'",
    ]


@pytest.mark.parametrize(
    ("aside", "advice"),
    [
        (
            SetAside(contradictory=2, contradictions=("both granted and revoked in lines 4, 9",)),
            ["Both granted and revoked in lines 4, 9: keep only one of them in unsent.csv; then: "],
        ),
        (
            SetAside(contradictory=3, contradictions=("wanted with and without an account in lines 4, 5, 9",)),
            [
                (
                    "Wanted with and without an account in lines 4, 5, 9: keep those that name one, or one that names "
                    "none, in unsent.csv; then: "
                )
            ],
        ),
        (
            SetAside(held_back=3, contradictory=8, contradictions=("a in lines 2, 3", "b in lines 4, 5", "c", "d")),
            [
                (
                    "A in lines 2, 3; b in lines 4, 5; c; and 1 more: keep only one of the rows that contradict each "
                    "other in unsent.csv, whose other rows are held back, each for the reason in its _message; then: "
                )
            ],
        ),
        (SetAside(), []),
    ],
    ids=[
        "contradictory",
        "with and without an account",
        "contradictory and held back",
        "only stopped before their turn",
    ],
)
def test_rows_that_were_not_sent_come_with_what_to_do_about_each_of_their_classes(
    aside: SetAside, advice: list[str]
) -> None:
    made = summary(tally=counted(ACCEPTED=1), files={"unsent": "in/unsent.csv"}, set_aside=aside)
    assert list(describe_outcome(made, "again"))[3:] == [f"{one}access-batch submit in/unsent.csv" for one in advice]


def test_contradictions_are_counted_and_named_once_for_each_group_of_lines() -> None:
    made = classified(("in.csv", line() + line(operation="REVOKE", comment="x") + line(2)))
    assert changes_set_aside(made.changes) == SetAside(
        contradictory=2, contradictions=("both granted and revoked in lines 2, 3",)
    )


def test_a_change_that_was_submitted_twice_counts_once() -> None:
    made = summary(tally=counted(ACCEPTED=2540), changes={State.ACCEPTED: 2400}, posts_now=1)
    assert next(iter(describe_outcome(made, "again"))).startswith("Run r1: of 2,400 changes in ")


def test_the_verdict_of_a_validation_counts_the_good_rows() -> None:
    assert list(describe_verdict(summary(rows={RowClass.SUBMITTED: 1}))) == ["1 row could be submitted."]
    assert list(describe_verdict(summary(files={"rejected": "out/rejected.csv"}))) == [
        "0 rows could be submitted.",
        "  rejected: out/rejected.csv",
        "Correct the rejected rows, then: access-batch submit out/rejected.csv",
    ]


def test_a_sandbox_shows_how_to_point_a_client_at_it() -> None:
    text = "\n".join(describe_sandbox("http://127.0.0.1:1", "id", "word", "ticket"))
    assert "export SAIL_BASE_URL=http://127.0.0.1:1 SAIL_CLIENT_ID=id SAIL_CLIENT_SECRET=word" in text
    assert "curl --header 'Authorization: Bearer ticket' http://127.0.0.1:1/sandbox/audit" in text


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (NameCounts(calls=2, found=3, unknown=1), "4 names looked up in 2 calls: 3 found, 1 unknown, 0 ambiguous."),
        (NameCounts(found=1, remembered=1), "1 name known from before: 1 found, 0 unknown, 0 ambiguous."),
        (
            NameCounts(calls=1, found=20, unknown=4, remembered=22),
            "24 names (22 known from before, 2 looked up in 1 call): 20 found, 4 unknown, 0 ambiguous.",
        ),
    ],
)
def test_cached_names_are_not_reported_as_looked_up(names: NameCounts, line: str) -> None:
    assert list(describe_names(names)) == [line]


def test_only_a_system_where_connections_may_not_abort_is_told_so() -> None:
    assert [*describe_platform("linux"), *describe_platform("darwin")] == []
    (notice,) = describe_platform("win32")
    assert "use Linux, macOS, or Windows through WSL 2" in notice
