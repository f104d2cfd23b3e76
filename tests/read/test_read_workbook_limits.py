"""A small workbook that says it is large, or unpacks to any size, is refused before the library reads it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import InputFileError
from batch.read import LIMITS, Limits
from batch.read.workbook_parts import checked_sheet
from batch.read.workbook_scan import DamagedError
from tests.read.read_helpers import refusal
from tests.read.workbooks import HEADER, ROW, read_workbook, with_part, workbook

_SHEET = "xl/worksheets/sheet1.xml"
_TEXTS = "xl/sharedStrings.xml"
_GOOD = workbook(HEADER, ROW)
_SMALL = replace(LIMITS, size=400_000, cells=20_000, rows=500, columns=50, row=10_000)


def with_rows(rows: str) -> bytes:
    return with_part(_GOOD, _SHEET, lambda text: text.replace("</sheetData>", f"{rows}</sheetData>"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (with_rows(" " * 100_001), "more than 100,000 bytes once it is unpacked, a quarter of the limit."),
        (with_part(_GOOD, "xl/styles.xml", lambda text: text + " " * 100_001), "takes more than 100,000 bytes"),
        (with_part(_GOOD, _TEXTS, lambda text: text + " " * 100_001), "takes more than 100,000 bytes"),
        (with_part(_GOOD, "xl/workbook.xml", lambda text: text + " " * 100_001), "takes more than 100,000 bytes"),
        (with_rows("<c/>" * 1001), "in.xlsx has more than 1,000 cells and texts, the limit."),
        (with_part(_GOOD, _TEXTS, lambda text: text.replace("</sst>", "<si/>" * 1001 + "</sst>")), "cells and texts"),
        (with_part(_GOOD, _TEXTS, lambda text: text.replace('uniqueCount="12"', 'uniqueCount="4000000000"')), "texts"),
        (with_rows('<row r="600"><c r="A600"><v>1</v></c></row>'), "in.xlsx has more than 500 rows, the limit."),
        (with_rows('<row r="3"><c r="XFD3"><v>1</v></c></row>'), "in.xlsx has more than 50 columns, the limit."),
        (with_rows('<row r="300"><c r="AA300"><v>1</v></c></row>'), "in.xlsx spans more than 2,000 cells, the limit."),
        (
            workbook(HEADER, *[[*ROW[:4], "x" * 2000, None]] * 60),
            "in.xlsx holds more than 100,000 characters, a quarter of the limit.",
        ),
        (workbook(HEADER, [*ROW[:4], "x" * 9000, "y" * 2000]), "A row of in.xlsx is longer than 10,000 bytes"),
    ],
)  # fmt: skip
def test_a_workbook_that_is_too_large_is_refused_by_the_name_of_its_limit(data: bytes, message: str) -> None:
    assert len(data) < 20_000
    error = refusal(lambda: read_workbook(data, limits=_SMALL))
    assert message in error.message
    assert "--max-input" in error.next_step


def test_a_sheet_that_lies_about_its_dimensions_is_read() -> None:
    data = with_part(_GOOD, _SHEET, lambda text: text.replace('ref="A1:F2"', 'ref="A1:XFD1048576"'))
    assert read_workbook(data, limits=_SMALL).rows.height == 1


def test_other_parts_and_sheets_do_not_count() -> None:
    data = with_part(_GOOD, "xl/media/image1.png", lambda _: " " * 1_000_000)
    assert read_workbook(data, limits=_SMALL).rows.height == 1
    data = workbook(sheets={"A": [HEADER, ROW], "B": [["x" * 900]] * 300})
    assert read_workbook(data, limits=_SMALL, sheet="A").rows.height == 1


def test_a_workbook_with_parts_without_number_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(10_001):
            file.writestr(f"{number}", "")
    assert "more than 10,000 parts" in refusal(lambda: read_workbook(buffer.getvalue())).message


def test_a_part_that_unpacks_to_more_than_it_says_is_cut_off_where_it_says() -> None:
    # The size stands in the part's own header and in the list of all parts.
    size = len(zipfile.ZipFile(io.BytesIO(_GOOD)).read(_SHEET))
    data = _GOOD.replace(size.to_bytes(4, "little"), (size - 30).to_bytes(4, "little"))
    assert "is not a readable workbook" in refusal(lambda: read_workbook(data)).message


@pytest.mark.parametrize(
    "part", ['<?xml version="1.0" encoding="cp037"?><a/>', "<a", "", '<?xml version="1.0"?><!DOCTYPE a><a/>']
)
def test_a_part_in_another_form_is_refused(part: str) -> None:
    error = refusal(lambda: read_workbook(with_part(_GOOD, "xl/workbook.xml", lambda _: part)))
    assert "is not a readable workbook" in error.message


@given(st.data())
def test_damaged_workbooks_end_in_a_refusal_or_in_rows(data: st.DataObject) -> None:
    whole = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert_refused_or_read(bytes(whole))


@given(st.data(), st.sampled_from([_SHEET, _TEXTS, "xl/workbook.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"]))
def test_damaged_parts_end_in_a_refusal_or_in_rows(data: st.DataObject, part: str) -> None:
    def damage(text: str) -> str:
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.sampled_from(["<", ">", '"', "9", "-", "s", "&#0;", "</c>", "<v>7</v>", ' r="B2"', ""]))
        return text[:at] + piece + text[at + data.draw(st.integers(0, 9)) :]

    assert_refused_or_read(with_part(_GOOD, part, damage))


def assert_refused_or_read(data: bytes) -> None:

    try:
        assert read_workbook(data, limits=_SMALL).rows.height < 3
    except InputFileError:
        return


def test_the_check_alone_refuses_what_is_no_workbook() -> None:
    with pytest.raises(DamagedError):
        checked_sheet(b"PK\x03\x04rest", "in.xlsx", "", Limits())
