"""Sentences over columns."""

from __future__ import annotations

import polars as pl
import pytest

from batch.text import phrase
from tests.plan.changes import in_odd_chunks


def test_each_pair_of_braces_takes_a_value_in_turn() -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "n": [1, 2]})
    message = frame.select(phrase("{} of {}.", pl.col("a"), pl.col("n"))).to_series()
    assert message.to_list() == ["x of 1.", "y of 2."]


def test_braces_in_a_value_are_not_replaced() -> None:
    frame = pl.DataFrame({"a": ["{}"], "b": ["x"]})
    assert frame.select(phrase("{}{}", pl.col("a"), pl.col("b"))).item() == "{}x"


def test_a_null_value_makes_the_sentence_null() -> None:
    frame = pl.DataFrame({"a": ["x", None]})
    assert frame.select(phrase("<{}>", pl.col("a"))).to_series().to_list() == ["<x>", None]


def test_a_column_with_an_empty_first_chunk_is_phrased_too() -> None:
    frame = in_odd_chunks(pl.DataFrame({"a": ["x", None, "z"]}))
    assert frame.select(phrase("<{}>", pl.col("a"))).to_series().to_list() == ["<x>", None, "<z>"]


def test_an_empty_column_has_no_sentences() -> None:
    frame = pl.DataFrame(schema={"a": pl.String})
    assert frame.select(phrase("<{}>", pl.col("a"))).to_series().to_list() == []


@pytest.mark.parametrize("template", ["no place", "{} and {}"])
def test_the_number_of_values_must_match_the_places(template: str) -> None:
    with pytest.raises(ValueError, match="zip"):
        phrase(template, pl.col("a"))
