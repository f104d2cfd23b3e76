"""Cells written for spreadsheets can't run as formulas there, and can be restored."""

from __future__ import annotations

import csv
import io
import re
import unicodedata

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.text import defused, restored

_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_UNSEEN = " \xa0\u3000\0\x01\x7f\ufeff\u200b\u2060\u00ad\u202e\v\x85\u2028\u3164\ufe0f"
_QUOTE = '"'
_SEPARATORS = ",;|\t\r\n"
_CELLS = st.one_of(st.text(), st.text(alphabet="'a" + _SIGNS + _SEPARATORS + _UNSEEN + _QUOTE), st.none())


def as_written(cells: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"cell": cells}, schema={"cell": pl.String}).select(defused(pl.col("cell")))


def may_run(cell: str) -> bool:
    """Whether a spreadsheet could find a formula, whatever it takes for the end of a cell."""
    for part in re.split(f"[{_SEPARATORS}]", cell):
        seen = (one for one in part if one not in _UNSEEN + _QUOTE and unicodedata.category(one)[0] not in "CZ")
        if next(seen, "a") in _SIGNS:
            return True
    return cell.startswith(("\t", "\r", "\n"))


@given(st.lists(_CELLS))
def test_restoring_defused_cells_gives_the_same_cells(cells: list[str | None]) -> None:
    written = as_written(cells)
    assert written.select(restored(pl.col("cell")))["cell"].to_list() == cells
    # Also what was defused already, which other programs may have done.
    assert as_written(written["cell"].to_list()).select(restored(pl.col("cell"))).equals(written)


@given(st.lists(_CELLS))
def test_nothing_in_a_defused_cell_starts_like_a_formula(cells: list[str | None]) -> None:
    assert not any(map(may_run, as_written(cells)["cell"].drop_nulls()))


@given(st.text(alphabet="'ax=" + _QUOTE + _SEPARATORS), st.sampled_from(",;|\t"))
@example('x;"=HYPERLINK(A1)&";y', ";")
@example('x\t"=1+1', "\t")
def test_a_file_that_is_read_with_another_separator_has_no_formula(cell: str, separator: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow(["first", *as_written([cell])["cell"]])
    file.seek(0)
    found = [one for row in csv.reader(file, delimiter=separator) for one in row]
    assert not [one for one in found if one.startswith("=")]


@given(st.lists(_CELLS))
def test_only_what_could_start_a_formula_is_changed(cells: list[str | None]) -> None:
    for cell, written in zip(cells, as_written(cells)["cell"], strict=True):
        if cell is not None and written != cell:
            assert not set(cell).isdisjoint(_SIGNS + "\t\r\n")


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("'=1", "''=1"),
        ("-5", "'-5"),
        ("\n=1", "'\n'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\0=1", "'\0=1"),
        ("x;=HYPERLINK(0)", "x;'=HYPERLINK(0)"),
        ("x\t\ufeff @SUM(0)", "x\t'\ufeff @SUM(0)"),
        ("a|-b,+c", "a|'-b,'+c"),
        ('x;"=HYPERLINK(0)&";y', 'x;\'"=HYPERLINK(0)&";y'),
        ('x;"y" = z', 'x;"y" = z'),
        ("O'Neil", "O'Neil"),
        ("'quoted'", "'quoted'"),
        ("a-b = c; d", "a-b = c; d"),
        ("2027-01-31T09:00:00+01:00", "2027-01-31T09:00:00+01:00"),
        ("", ""),
    ],
)
def test_only_what_could_start_a_formula_gets_an_apostrophe(cell: str, safe: str) -> None:
    assert pl.select(defused(pl.lit(cell))).item() == safe


@pytest.mark.parametrize(
    ("written", "cell"),
    [("'=1", "=1"), ("''=1", "'=1"), ("'\tx", "\tx"), ("'\r-", "\r-"), ("x;=1", "x;=1"), ("'a", "'a")],
)
def test_files_of_older_versions_are_restored(written: str, cell: str) -> None:
    assert pl.select(restored(pl.lit(written))).item() == cell
