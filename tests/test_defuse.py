"""Cells written for spreadsheets can't run as formulas there, and can be restored."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.text import defused, restored

_CELLS = st.one_of(st.text(), st.text(alphabet="'=+-@\t\r\na "), st.none())


@given(st.lists(_CELLS))
def test_restoring_defused_cells_gives_the_same_cells(cells: list[str | None]) -> None:
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    assert frame.select(restored(defused(pl.col("cell"))))["cell"].to_list() == cells


@given(st.lists(_CELLS))
def test_no_defused_cell_starts_like_a_formula(cells: list[str | None]) -> None:
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    for cell in frame.select(defused(pl.col("cell")))["cell"].drop_nulls():
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("cell", "safe"),
    [("=1+1", "'=1+1"), ("'=1", "''=1"), ("-5", "'-5"), ("O'Neil", "O'Neil"), ("'quoted'", "'quoted'"), ("", "")],
)
def test_only_what_could_start_a_formula_gets_an_apostrophe(cell: str, safe: str) -> None:
    assert pl.select(defused(pl.lit(cell))).item() == safe
