"""A change without an account may be about any account of its person: it is never submitted beside another one."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from batch.dedupe.classify import KNOWN_SCHEMA, classify
from batch.dedupe.overlap import not_overlapping, overlapping
from batch.states import State
from tests.builders import change

A, B = '{"native":"a"}', '{"native":"b"}'


def frame(*changes: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(changes)).with_columns(
        row=pl.int_range(pl.len(), dtype=pl.UInt32), file=pl.lit("in.csv"), line=pl.int_range(pl.len()) + 2
    )


def earlier(account: str, *, run: str = "other", state: State = State.ACCEPTED, **others: str) -> dict[str, Any]:
    known = {**dict.fromkeys(KNOWN_SCHEMA, ""), **change(account=account, **others)}
    return {**{name: known[name] for name in KNOWN_SCHEMA}, "run": run, "request": 1, "state": state.value, "at": "t"}


def classes(wanted: pl.DataFrame, *known: dict[str, Any]) -> list[str]:
    found = classify(wanted, pl.DataFrame(list(known), schema=KNOWN_SCHEMA), run="this")
    return found.get_column("class").to_list()


def test_two_accounts_of_one_person_are_two_changes() -> None:
    assert classes(frame(change(account=A), change(account=B), change(account=A))) == [
        "submitted", "submitted", "duplicate_in_input",
    ]  # fmt: skip


def test_a_row_without_an_account_beside_one_with_an_account_contradicts_it() -> None:
    wanted = frame(change(account=A), change(), change(account=B), change("bob"))
    found = classify(wanted, pl.DataFrame(schema=KNOWN_SCHEMA), run="this")
    assert found.get_column("class").to_list() == [*["conflict_in_input"] * 3, "submitted"]
    assert found.get_column("reason")[0] == (
        "wanted with and without an account in lines 2, 3, 4: keep those that name one, or one that names none"
    )


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        (A, A, "already_submitted"),
        (A, B, "submitted"),
        (A, "", "held_back"),
        ("", A, "held_back"),
        ('{"id":"1","native":"a"}', A, "already_submitted"),
        ('{"id":"1","native":"x"}', '{"id":"1","native":"a"}', "already_submitted"),
        ('{"native":"x","uuid":"u"}', '{"native":"a","uuid":"u"}', "already_submitted"),
        ('{"id":"1"}', A, "held_back"),
        ('{"name":"n","native":"x"}', '{"name":"n","native":"a"}', "held_back"),
        ("as an older version has written it", A, "held_back"),
        ("", "", "already_submitted"),
    ],
)
def test_what_may_be_the_same_account_is_not_submitted_and_only_the_same_is_called_submitted(
    wanted: str, known: str, expected: str
) -> None:
    assert classes(frame(change(account=wanted)), earlier(known)) == [expected]


@pytest.mark.parametrize(("known", "expected"), [(A, "held_back"), (B, "submitted"), ("", "held_back")])
def test_the_opposite_in_progress_holds_back_only_what_may_be_the_same_account(known: str, expected: str) -> None:
    assert classes(frame(change(account=A)), earlier(known, operation="REVOKE")) == [expected]


@pytest.mark.parametrize(
    ("accounts", "others", "expected"),
    [
        ([A, B], [A], [A]),
        ([A, B, ""], [A], [A, ""]),
        ([A, B, ""], [""], [A, B, ""]),
        ([""], [A, B], [""]),
        ([A], [], []),
    ],
)
def test_lines_that_overlap_are_found_in_their_order(
    accounts: list[str], others: list[str], expected: list[str]
) -> None:
    lines = frame(*(change(account=account) for account in accounts))
    wanted = frame(*(change(account=account) for account in others), change("bob"))
    assert overlapping(lines, wanted).get_column("account").to_list() == expected
    rest = not_overlapping(lines, wanted).get_column("account").to_list()
    assert sorted(rest + expected) == sorted(accounts)
