"""Every row has one class, and the classes add up to the rows."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.dedupe.row_class import STRONGEST_FIRST, count_rows
from batch.errors import BrokenPromiseError
from batch.model import RowClass


def rejected(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"row": rows}, schema={"row": pl.UInt32})


def changes(*classes: tuple[int, RowClass]) -> pl.DataFrame:
    return pl.DataFrame(
        [(row, row_class.value) for row, row_class in classes],
        schema={"row": pl.UInt32, "class": pl.String},
        orient="row",
    )


def test_every_class_is_ranked_once() -> None:
    assert sorted(STRONGEST_FIRST) == sorted(RowClass)


def test_classes_without_rows_count_zero() -> None:
    counts = count_rows(3, rejected(1), changes((0, RowClass.SUBMITTED), (2, RowClass.HELD_BACK)))
    assert counts == dict.fromkeys(RowClass, 0) | {
        RowClass.REJECTED: 1, RowClass.SUBMITTED: 1, RowClass.HELD_BACK: 1,
    }  # fmt: skip
    assert list(counts) == list(RowClass)


def test_no_rows_have_no_classes() -> None:
    assert set(count_rows(0, rejected(), changes()).values()) == {0}


@pytest.mark.parametrize("stronger", range(1, len(STRONGEST_FIRST) - 1))
def test_a_row_with_several_items_takes_the_strongest_of_their_classes(stronger: int) -> None:
    strong, weak = STRONGEST_FIRST[stronger], STRONGEST_FIRST[stronger + 1]
    counts = count_rows(1, rejected(), changes((0, weak), (0, strong), (0, weak)))
    assert Counter(counts) == Counter({row_class: int(row_class is strong) for row_class in RowClass})


@pytest.mark.parametrize(
    ("read", "bad", "found"),
    [
        (2, rejected(), changes((0, RowClass.SUBMITTED))),
        (1, rejected(0), changes((0, RowClass.SUBMITTED))),
        (0, rejected(), changes((0, RowClass.SUBMITTED))),
        (2, rejected(0, 0), changes()),
        (3, rejected(1), changes((0, RowClass.SUBMITTED))),
    ],
    ids=["a row without class", "a row with two", "a row nobody read", "rejected twice", "the last row lost"],
)
def test_classes_that_do_not_add_up_stop_everything(read: int, bad: pl.DataFrame, found: pl.DataFrame) -> None:
    with pytest.raises(BrokenPromiseError, match=f"{read} rows were read"):
        count_rows(read, bad, found)


def test_a_row_counted_twice_does_not_hide_a_lost_row() -> None:
    with pytest.raises(BrokenPromiseError):
        count_rows(2, rejected(0), changes((0, RowClass.SUBMITTED)))


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.lists(st.sampled_from(STRONGEST_FIRST[1:]), min_size=1, max_size=4)), max_size=12)
)
def test_the_classes_of_any_rows_add_up(rows: list[list[RowClass] | None]) -> None:
    found = changes(*((row, one) for row, classes in enumerate(rows) for one in classes or []))
    counts = count_rows(len(rows), rejected(*(row for row, classes in enumerate(rows) if classes is None)), found)
    expected = Counter(min(classes, key=STRONGEST_FIRST.index) if classes else RowClass.REJECTED for classes in rows)
    assert +Counter(counts) == expected
