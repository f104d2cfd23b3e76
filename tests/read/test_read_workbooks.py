"""Excel workbooks: text stays text, and a cell that may not be what somebody typed is never used silently."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.api.dialects import dialect_named
from batch.read import load_inputs, make_interpretation, read_loaded
from batch.read.workbook_scan import column_name
from batch.validate.rows import validate
from tests.read.read_helpers import cells, lines, read_bytes, refusal
from tests.read.workbooks import HEADER, ROW, read_workbook, with_error, with_part, workbook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.read import LoadedInputs, Table

_SHEET = "xl/worksheets/sheet1.xml"


def changed(column: str, value: Any) -> list[Any]:
    """A good row but for one cell."""
    return [value if name == column else cell for name, cell in zip(HEADER, ROW, strict=True)]


def rejected(table: Table) -> list[tuple[str, str]]:
    """The rules and messages by which rows are rejected, apart from names that nobody has looked up."""
    found_out = [pl.lit("0" * 32).alias(name) for name in ("identity_id", "item_id")]
    rows = table.rows.drop("identity", "item").with_columns(found_out)
    found = validate(rows, dialect=dialect_named("v2026"), now=datetime(2026, 1, 1, tzinfo=UTC)).rejected
    return found.select("rule", "message").rows()


def test_a_workbook_is_read_as_a_csv_file_would_be() -> None:
    table = read_workbook(workbook(HEADER, ROW, ("bob", "ROLE", "00123", None, "line 1\nline 2 ", None)))
    assert cells(table) == [ROW, ("bob", "ROLE", "00123", None, "line 1\nline 2 ", None)]
    assert lines(table) == [2, 3]
    assert table.notices == ()
    assert [column.header for column in table.columns] == list(HEADER)


def test_a_workbook_is_known_by_its_content() -> None:
    assert cells(read_workbook(workbook(HEADER, ROW), "renamed.csv")) == [ROW]
    assert cells(read_bytes(",".join(HEADER).encode() + b"\n" + ",".join(ROW).encode(), "in.xlsx")) == [ROW]


def test_empty_rows_and_columns_around_the_table_are_left_out() -> None:
    moved: list[Sequence[Any]] = [[None] * 3, [None, None, *HEADER, None], [None, None, *ROW]]
    moved += [[None, " "], [None, None, *ROW], [None]]
    table = read_workbook(workbook(*moved))
    assert cells(table) == [ROW, ROW]
    assert lines(table) == [3, 5]


def test_dates_are_dates_and_numbers_are_as_they_show() -> None:
    half_past_nine = datetime(2099, 1, 31, 9, 30)  # noqa: DTZ001 - spreadsheets know no zones
    rows: list[list[Any]] = [changed("remove_date", date(2099, 1, 31)), changed("remove_date", half_past_nine)]
    table = read_workbook(workbook(HEADER, *rows, changed("comment", 1234), changed("Department", 0.1)))
    assert table.rows["remove_date"].to_list() == ["2099-01-31", "2099-01-31T09:30:00", "2099-01-31", "2099-01-31"]
    assert table.rows["comment"].to_list() == ["new", "new", "1234", "new"]
    assert table.rows["Department"].to_list() == ["Finance", "Finance", "Finance", "0.1"]
    assert [rule for rule, _ in rejected(table)] == ["remove_date_has_zone"]
    # Whatever the form of dates that are text, a date is a date.
    assert rejected(read_workbook(workbook(HEADER, rows[0]), date_format="us")) == []


def test_dates_of_strict_workbooks_are_dates() -> None:
    texts = ["2099-01-31T00:00:00", "2099-01-31", "2099-01-31T09:30:00.000"]
    data = workbook([*HEADER[:3], "remove_date"], *([*ROW[:3], number] for number in (9001, 9002, 9003)))

    def written(text: str, number: int = 9001) -> str:
        text = re.sub(rf'<c r="(\w+)"([^>]*)><v>{number}</v>', rf'<c r="\1" t="d"><v>{texts[number - 9001]}</v>', text)
        return text if number == 9003 else written(text, number + 1)

    table = read_workbook(with_part(data, _SHEET, written), date_format="us")
    assert table.rows["remove_date"].to_list() == ["2099-01-31", "2099-01-31", "2099-01-31T09:30:00"]
    assert [rule for rule, _ in rejected(table)] == ["remove_date_has_zone"]
    data = workbook(HEADER, changed("item", 9001))
    ((_, message),) = rejected(read_workbook(with_part(data, _SHEET, written)))
    assert "holds a date or time" in message, "a name is no date there either"


def test_days_since_1904_are_read_as_such() -> None:
    data = workbook(HEADER, changed("remove_date", date(2099, 1, 31)))
    data = with_part(data, "xl/workbook.xml", lambda text: text.replace("<workbookPr ", '<workbookPr date1904="1" '))
    assert read_workbook(data).rows["remove_date"].to_list() == ["2103-02-02"]
    data = workbook(HEADER, changed("remove_date", 72716))
    assert rejected(read_workbook(data, date_format="excel")) == []
    data = with_part(data, "xl/workbook.xml", lambda text: text.replace("<workbookPr ", '<workbookPr date1904="1" '))
    ((_, message),) = rejected(read_workbook(data, date_format="excel"))
    assert "counts its days from 1904" in message


@pytest.mark.parametrize("value", ["31/01/2099", 72716, time(9, 30)])
@pytest.mark.parametrize("date_format", ["", "eu"])
def test_a_date_beside_a_text_that_the_spreadsheet_made_no_date_is_refused(value: Any, date_format: str) -> None:
    data = workbook(HEADER, ROW, changed("remove_date", date(2099, 1, 2)), changed("remove_date", value))
    error = refusal(lambda: read_workbook(data, date_format=date_format))
    assert "`remove_date` holds a date in row 3 but" in error.message
    assert "in row 4" in error.message


@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("identity", (123, "00000"), "holds the number 123 but shows it otherwise, perhaps with zeros"),
        ("identity", 12345678901234567890, "holds the number 1.23457e+19, which has lost digits"),
        ("item", 1e15, "lost digits"),
        ("item", 2.5, "lost digits or is rounded"),
        ("item", date(2026, 1, 2), "holds a date or time, which the spreadsheet may have made from other text"),
        ("item", time(1, 2), "holds a date or time"),
        ("item", True, "holds TRUE or FALSE"),
        ("comment", 12345678901234567890, "lost digits"),
        ("identity", "error", "holds an error, such as #N/A"),
        ("remove_date", "error", "holds an error"),
        ("comment", "error", "holds an error"),
    ],
)
def test_a_cell_that_has_lost_what_somebody_typed_rejects_its_row(column: str, value: Any, part: str) -> None:
    data = workbook(HEADER, ROW, changed(column, value), ROW)
    if value == "error":
        data = with_error(data, f"{'ABCDEF'[HEADER.index(column)]}3")
    table = read_workbook(data)
    ((rule, message),) = rejected(table)
    assert rule == "cell_readable"
    assert f"column `{column}` " in message
    assert part in message
    # In the result file the row is as it was.
    assert lines(table)[1] == 3


def test_a_ticket_that_is_sent_is_no_number_that_shows_otherwise() -> None:
    data = workbook([*HEADER, "ticket"], [*ROW, (12345, "0000000")], [*ROW, "0012345"])
    ((rule, message),) = rejected(read_workbook(data, comment="[{ticket}]"))
    assert (rule, "column `ticket` holds the number 12345 but shows it otherwise" in message) == ("cell_readable", True)
    assert rejected(read_workbook(data)) == []


def test_an_error_that_the_library_does_not_know_is_named_by_its_cell() -> None:
    data = with_part(with_error(workbook(HEADER, ROW), "E2"), _SHEET, lambda text: text.replace("#N/A", "#SPILL!"))
    error = refusal(lambda: read_workbook(data))
    assert error.message == "The sheet 'Sheet1' of in.xlsx has cells with errors: E2."


def test_a_text_that_is_no_date_at_all_rejects_its_row_alone() -> None:
    rows = [changed("remove_date", cell) for cell in (date(2099, 1, 31), "TBD", "2099-02-01")]
    ((rule, message),) = rejected(read_workbook(workbook(HEADER, *rows), date_format="us"))
    assert rule == "remove_date_readable"
    assert "'TBD'" in message


def test_what_a_cell_of_another_column_has_lost_does_not_matter() -> None:
    table = read_workbook(workbook(HEADER, changed("Department", 12345678901234567890), changed("Department", True)))
    assert rejected(table) == []
    assert table.rows["Department"].to_list() == ["1.234567890123457e+19", "TRUE"]


def test_a_number_that_shows_as_it_is_names_somebody_with_a_notice() -> None:
    rows = [changed("identity", 4711), changed("identity", (4712, "0")), changed("identity", (4713, "@"))]
    table = read_workbook(workbook(HEADER, ROW, *rows))
    assert table.rows["identity"].to_list() == ["ann", "4711", "4712", "4713"]
    assert rejected(table) == []
    (notice,) = table.notices
    assert notice.startswith("in.xlsx: column `identity` holds 3 numbers, the first in row 3: 4711.")
    assert "begin with zeros" in notice


def test_a_number_of_another_column_that_shows_otherwise_is_read_with_a_notice() -> None:
    table = read_workbook(workbook(HEADER, changed("comment", 12), changed("comment", (0.25, "0 %"))))
    assert table.rows["comment"].to_list() == ["12", "0.25"]
    (notice,) = table.notices
    assert notice.startswith(
        "in.xlsx: column `comment` holds 1 number, the first in row 3: 0.25. The spreadsheet shows something else: "
    )


def test_the_columns_of_identityiq_are_looked_at_as_ours() -> None:
    header = ("operation", "identityName", "roles", "sunset")
    ends = date(2099, 1, 31)
    data = workbook(header, ("AddRole", "ann", "R", ends), ("AddRole", (7, "000"), "R", ends), ("AddRole", 8, "R"))
    table = read_workbook(data)
    assert table.rows["remove_date"].to_list()[:2] == ["2099-01-31", "2099-01-31"]
    assert "shows it otherwise" in table.rows["_row_problem"].to_list()[1]


def test_the_values_of_formulas_are_read_with_a_notice() -> None:
    def formulas(_: object, sheet: Any) -> None:
        sheet.write_formula("C2", '="Payroll"&" Reader"', None, "Payroll Reader")
        sheet.write_formula("E2", '=""', None, "")
        sheet.write_formula("C3", "=C2", None, "Payroll Reader")

    data = workbook(HEADER, ROW, ROW, extra=formulas)
    # As a spreadsheet saves an empty text.
    data = with_part(data, _SHEET, lambda text: text.replace('<c r="E2">', '<c r="E2" t="str">'))
    table = read_workbook(data)
    assert table.rows["item"].to_list() == ["Payroll Reader", "Payroll Reader"]
    assert rejected(table) == []
    assert table.notices == (
        "in.xlsx: 3 cells hold formulas, such as C2. Their values are read as they were last saved.",
    )
    # Programs that write formulas do not calculate them.
    unsaved = with_part(data, _SHEET, lambda text: text.replace("<f>C2</f><v>Payroll Reader</v>", "<f>C2</f>"))
    unsaved = with_part(unsaved, _SHEET, lambda text: text.replace('<c r="C3" t="str">', '<c r="C3">'))
    ((_, message),) = rejected(read_workbook(unsaved))
    assert message == (
        "column `item` holds a formula whose value is not saved: open and save the file in a spreadsheet"
    )


def test_a_value_below_no_header_gives_a_notice() -> None:
    table = read_workbook(workbook([*HEADER, "", ""], ROW, [*ROW, None, "stray"]))
    (notice,) = table.notices
    assert notice == (
        f"in.xlsx: column {column_name(len(HEADER) + 1)} has no header, but 1 cell with a value, the first in row 3. "
        "Nothing of it is sent. Check that no row is shifted."
    )


def test_merged_cells_are_refused_unless_they_stand_above_the_header() -> None:
    error = refusal(
        lambda: read_workbook(workbook(HEADER, ROW, ROW, extra=lambda _, sheet: sheet.merge_range("C2:C3", "Payroll")))
    )
    assert error.message == (
        "The sheet 'Sheet1' of in.xlsx has merged cells, and only the first cell of each area holds a value: C2:C3."
    )
    assert "Unmerge" in error.next_step


@pytest.mark.parametrize("header", [HEADER, [name.upper()[::-1] for name in HEADER]])
@pytest.mark.parametrize(("above", "rows"), [(1, "row 1"), (2, "rows 1 to 2")])
def test_a_title_above_the_header_is_refused_by_the_rows_to_delete(above: int, rows: str, header: list[str]) -> None:
    data = workbook(*[["Joiners of January"], ["Made by", "me"]][:above], header, ROW)
    error = refusal(lambda: read_workbook(data))
    assert error.message == (
        f"The sheet 'Sheet1' of in.xlsx has something above its header, which row {above + 1} seems to be."
    )
    assert error.next_step == f"Nothing was sent. Delete {rows}."


def test_a_sheet_without_our_columns_is_refused_as_a_csv_file_is() -> None:
    error = refusal(lambda: read_workbook(workbook(["Name", "Role"], ["ann", "x"])))
    assert "has no column `identity_id` or `identity`" in error.message
    assert cells(read_workbook(workbook(["Who", "item_type", "item"], ["ann", "ROLE", "x"]), maps=["who=identity"]))
    assert "no rows" in refusal(lambda: read_workbook(workbook(HEADER))).message
    assert "is empty" in refusal(lambda: read_workbook(workbook([None]))).message


_SHEETS: dict[str, list[Sequence[Any]]] = {"Joiners": [HEADER, ROW], "Leavers": [HEADER, changed("identity", "bob")]}


def test_one_of_several_sheets_is_chosen_by_its_name() -> None:
    data = workbook(sheets=_SHEETS)
    error = refusal(lambda: read_workbook(data))
    assert error.message == "in.xlsx has several sheets: 'Joiners', 'Leavers'."
    assert "--sheet 'Joiners'" in error.next_step
    assert cells(read_workbook(data, sheet="Joiners")) == [ROW]
    assert read_workbook(data, sheet="LEAVERS").rows["identity"].to_list() == ["bob"]
    error = refusal(lambda: read_workbook(data, sheet="Movers"))
    assert error.message == "in.xlsx has no sheet 'Movers'. Its sheets are 'Joiners', 'Leavers'."


def test_hidden_sheets_are_skipped_with_a_notice_unless_they_are_named() -> None:
    data = workbook(sheets=_SHEETS, extra=lambda _, __, leavers: leavers.hide())
    table = read_workbook(data)
    assert cells(table) == [ROW]
    assert table.notices == ("in.xlsx: the sheet 'Joiners' is read, and its hidden sheets are not: 'Leavers'.",)
    assert read_workbook(data, sheet="Leavers").rows["identity"].to_list() == ["bob"]


def test_hidden_rows_are_read_with_a_notice() -> None:
    def hide(_: object, sheet: Any) -> None:
        for row in (1, 9):
            sheet.set_row(row, None, None, {"hidden": True})

    data = workbook(HEADER, ROW, ROW, extra=hide)
    table = read_workbook(data)
    assert cells(table) == [ROW, ROW]
    assert table.notices == (
        "in.xlsx: 1 row is hidden, perhaps by a filter, and read like the others. --where takes only some rows.",
    )


def test_texts_survive_as_they_are() -> None:
    odd = ["'=1+1", "_x0041_ \x01 \x0b", " both ", "\r\n", "+1", "Zoë 😀", "00123"]
    rows = [changed("comment", None) for _ in odd]
    data = workbook(
        HEADER, *rows, extra=lambda _, sheet: [sheet.write_string(n, 4, text) for n, text in enumerate(odd, 1)]
    )
    assert read_workbook(data).rows["comment"].to_list() == odd


def test_a_workbook_whose_names_have_prefixes_and_no_positions_is_read() -> None:
    # As some libraries write them.
    def written(row: Sequence[str]) -> str:
        return "".join(f'<x:c t="inlineStr"><x:is>\n<x:t>{cell}</x:t></x:is></x:c>' for cell in row)

    rows = "\n".join(f"<x:row>{written(row)}</x:row>" for row in (HEADER, ROW))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    text = f'<x:worksheet xmlns:x="{main}"><x:sheetData>{rows}</x:sheetData></x:worksheet>'
    assert cells(read_workbook(with_part(workbook(HEADER, ROW), _SHEET, lambda _: text))) == [ROW]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "in.xlsx is not a readable workbook: it can't be unpacked"),
        (lambda data: data.replace(b"xl/workbook.xml", b"xl/workbook.bin"), "a binary Excel workbook"),
        (lambda _: b"PK\x03\x04", "in.xlsx is not a readable workbook: it can't be unpacked"),
        (lambda data: with_part(data, _SHEET, lambda text: text[:-20]), "a part of it is damaged"),
        (
            lambda data: with_part(data, _SHEET, lambda text: f'<!DOCTYPE x [<!ENTITY a "b">]>{text[55:]}'),
            "a part of it defines entities",
        ),
        (lambda data: with_part(data, "XL/workbook.xml", lambda _: "<a/>"), "two parts of one name"),
        (lambda data: with_part(data, "xl/_rels/workbook.xml.rels", lambda _: "<a/>"), "its parts contradict"),
        (
            lambda data: with_part(data, _SHEET, lambda text: text.replace('r="A2"', 'r="AAAA2"')),
            "beyond the edges of a sheet",
        ),
        (lambda data: with_part(data, _SHEET, lambda text: text.replace("<v>0</v>", "<v>999</v>")), "contradict"),
        (lambda data: with_part(data, _SHEET, lambda text: text.replace("<v>0</v>", "<v> 0</v>")), "none of the texts"),
        (lambda data: with_part(data, _SHEET, lambda text: text.replace("<v>7</v>", "<v> </v>")), "none of the texts"),
        (lambda data: with_part(data, _SHEET, lambda text: text.replace("<v>7</v>", "<v>-7</v>")), "none of the texts"),
    ],
)  # fmt: skip
def test_a_damaged_workbook_is_refused(change: Any, message: str) -> None:
    assert message in refusal(lambda: read_workbook(change(workbook(HEADER, ROW)))).message


def test_an_archive_of_another_kind_is_named_by_its_kind() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.csv", "x")
    assert "a ZIP archive, not a workbook" in refusal(lambda: read_bytes(buffer.getvalue())).message


def test_a_map_that_fits_no_column_of_a_workbook_is_refused_before_it_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    path.write_bytes(workbook(["Who", "item_type", "item"], ["ann", "ROLE", "x"]))

    def load(their: str) -> LoadedInputs:
        return load_inputs(
            [str(path)], interpretation=make_interpretation(maps=[f"{their}=identity"], maps_required=True)
        )

    assert "has no column `User` to read as `identity`" in refusal(lambda: load("User")).message
    assert read_loaded(load("who")).rows["identity"].to_list() == ["ann"]


def test_our_own_file_that_a_spreadsheet_has_saved_as_a_workbook_comes_back() -> None:
    header = (*HEADER, "_line", "_rule", "_message")
    table = read_workbook(workbook(header, (*changed("comment", "'=1+1"), 2, "identity_found", "no such person")))
    assert cells(table) == [tuple(changed("comment", "=1+1"))]
    assert "is a result file of access-batch" in table.notices[0]
