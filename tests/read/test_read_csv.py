"""Single CSV files: delimiters, quotes, ragged and blank lines, line numbers."""

from __future__ import annotations

import polars as pl
import pytest

from batch.errors import BrokenPromiseError
from batch.read.records import Record
from tests.read.read_helpers import HEADER, cells, lines, read_bytes, read_text, refusal, rejections


def test_every_cell_stays_the_text_it_was() -> None:
    table = read_text(f"{HEADER}\n0012,1e5, ROLE ,NaN!\n,true,NA,2027-01-01\n")
    assert cells(table) == [("0012", "1e5", " ROLE ", "NaN!"), (None, "true", "NA", "2027-01-01")]
    assert set(table.rows.drop("_line").dtypes) == {pl.String()}
    assert table.rows["_line"].dtype == pl.Int64
    assert table.rows["_file"].to_list() == ["in.csv", "in.csv"]
    assert table.notices == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", [True, False])
def test_delimiters_and_line_ends_are_found(delimiter: str, newline: str, end: bool) -> None:  # noqa: FBT001 - a parameter
    text = newline.join(["identity_id,item_type,item_id", "1,ROLE,2", "3,ROLE,4"]).replace(",", delimiter)
    table = read_text(text + newline * end)
    assert cells(table) == [("1", "ROLE", "2"), ("3", "ROLE", "4")]
    assert lines(table) == [2, 3]


def test_mixed_line_ends_are_read() -> None:
    assert cells(read_text(f"{HEADER}\r\n1,ROLE,2,a\n3,ROLE,4,b\r\n")) == [
        ("1", "ROLE", "2", "a"),
        ("3", "ROLE", "4", "b"),
    ]


def test_the_known_columns_determine_the_delimiter() -> None:
    table = read_text('identity_id;item_type;item_id;"a,b,c,d,e,f"\n1;ROLE;2;x,y\n')
    assert cells(table) == [("1", "ROLE", "2", "x,y")]
    assert table.columns[3].name == "a,b,c,d,e,f"


def test_the_separator_hint_of_spreadsheets_is_obeyed() -> None:
    table = read_text("sep=;\nidentity_id;item_type;item_id\n1;ROLE;2\n")
    assert cells(table) == [("1", "ROLE", "2")]
    assert lines(table) == [3]


def test_quoted_cells_may_contain_delimiters_quotes_and_newlines() -> None:
    table = read_text(f'{HEADER}\r\n1,ROLE,2,"a, ""b""\r\nc\nd"\r\n"3","ROLE","",""\r\n')
    assert cells(table) == [("1", "ROLE", "2", 'a, "b"\r\nc\nd'), ("3", "ROLE", None, None)]
    assert lines(table) == [2, 5]
    assert table.rejected.height == 0


def test_a_header_may_span_lines_and_follow_blank_ones() -> None:
    table = read_text('\n,,,\nidentity_id,item_type,item_id,"my\ncolumn"\n1,ROLE,2,x\n')
    assert lines(table) == [5]
    assert table.columns[3].name == "my\ncolumn"


def test_blank_lines_are_skipped_but_counted_as_lines() -> None:
    table = read_text(f"{HEADER}\n\n1,ROLE,2,a\n   \n,,,\n, ,\n3,ROLE,4,b\n\n")
    assert lines(table) == [3, 7]
    assert table.rejected.height == 0
    assert table.notices == ("in.csv: skipped 2 empty lines, first line 5.",)


def test_blank_lines_inside_quotes_belong_to_the_cell() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,"a\n\n,,,\nb"\n3,ROLE,4,\n')
    assert cells(table) == [("1", "ROLE", "2", "a\n\n,,,\nb"), ("3", "ROLE", "4", None)]
    assert lines(table) == [2, 6]


def test_ragged_lines_are_rejected_whole() -> None:
    table = read_text(f"{HEADER}\n1,ROLE\n3,ROLE,4,b\n5,ROLE,6,c,d\r\nalone\n")
    assert cells(table) == [("3", "ROLE", "4", "b")]
    assert rejections(table) == [(2, "ragged_line"), (4, "ragged_line"), (5, "ragged_line")]
    assert table.rejected["_raw"].to_list() == ["1,ROLE", "5,ROLE,6,c,d", "alone"]
    assert table.rejected["_message"].to_list() == [
        "The row has 2 fields, but the header has 4.",
        "The row has 5 fields, but the header has 4.",
        "The row has 1 field, but the header has 4.",
    ]


def test_empty_cells_beyond_the_header_are_left_out() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,a,,\n3,ROLE,4,b\n5,ROLE,6,c, ,""\n')
    assert cells(table) == [("1", "ROLE", "2", "a"), ("3", "ROLE", "4", "b"), ("5", "ROLE", "6", "c")]
    assert table.notices == ("in.csv: left out empty cells after the header's last column in 2 rows, first line 2.",)


DATED = "identity_id,item_type,item_id,comment,remove_date,note"


def test_optional_cells_that_are_missing_at_the_end_are_empty() -> None:
    table = read_text(f"{DATED}\n1,ROLE,2\n3,ROLE,4,b,2027-01-31,n\n5,ROLE,6,c\n7,ROLE,8,,2027-01-31\n")
    assert cells(table) == [
        ("1", "ROLE", "2", None, None, None),
        ("3", "ROLE", "4", "b", "2027-01-31", "n"),
        ("5", "ROLE", "6", "c", None, None),
        ("7", "ROLE", "8", None, "2027-01-31", None),
    ]
    assert table.notices == (
        "in.csv: 3 rows with fewer cells than the header, first line 2: those missing at the end count as empty.",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{DATED}\n1,ROLE\n",
        f"{DATED}\n1,ROLE,2,2027-01-31\n",
        f"{DATED}\n1,ROLE,2,31.1.2027\n",
        f"{DATED}\n1,ROLE,2,46053\n",
        f"{DATED}\n1,ROLE,2,x,,2027-01-31,\n",
        f"{DATED}\n1,ROLE,2,cut o",
        "identity_id,item_type,item_id,operation\n1,ROLE,2\n",
        "operation,identityName,roles\nAddRole,x\nAddRole,y,Clerk\n",
    ],
)
def test_a_row_is_not_completed_if_a_cell_may_be_lost_or_shifted(text: str) -> None:
    assert rejections(read_text(text)) == [(2, "ragged_line")]


def test_a_bar_may_separate_cells() -> None:
    table = read_text('identity_id|item_type|item|comment\n1|ROLE|"a|b"|c\n||| \n2|ROLE|d|\n')
    assert cells(table) == [("1", "ROLE", "a|b", "c"), ("2", "ROLE", "d", None)]
    assert lines(table) == [2, 4]
    assert cells(read_text("sep=|\nidentity|item_type|item\n1|ROLE|a,b\n")) == [("1", "ROLE", "a,b")]


def test_comments_above_the_header_are_skipped_but_counted_as_lines() -> None:
    table = read_text(f"# Exported by A, B and C\n\n#\n{HEADER}\n1,ROLE,2,x\n")
    assert lines(table) == [5]
    assert table.notices == ("in.csv: skipped 2 comment lines above the header, first line 1.",)
    numbered = read_text(f"#,{HEADER}\n7,1,ROLE,2,x\n")
    assert numbered.rows.columns[2] == "#"
    assert numbered.notices == ()


@pytest.mark.parametrize(
    ("text", "message", "step"),
    [
        (f"Access requests, Q1\n{HEADER}\n1,ROLE,2,x\n", "in line 1: line 2 looks like the header", "Delete line 1."),
        (f'\n"My item"\nof a "b"\n\n{HEADER}\n', "in lines 2-4: line 5 looks like", "Delete lines 2-4."),
        ("Title\noperation;roles;identityName\nAddRole;a;b\n", "in line 1: line 2", "Delete line 1."),
        ("Title;;\nrequestedFor;type;id\n1;ROLE;2\n", "in line 1: line 2", "Delete line 1."),
        ("Joiners, Q4\nPerson;Kind;Thing\na;ROLE;b\n", "in line 1: line 2", "Delete line 1."),
    ],
)
def test_a_title_above_the_header_is_named(text: str, message: str, step: str) -> None:
    error = refusal(lambda: read_text(text))
    assert message in error.message
    assert error.next_step == f"Nothing was sent. {step}"


def test_a_stray_quote_rejects_its_own_line_only() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,5" pipe\n3,ROLE,4,"b" c\n5,ROLE,6, "d"\n7,ROLE,8,e\n')
    assert cells(table) == [("7", "ROLE", "8", "e")]
    assert rejections(table) == [(2, "malformed_quotes"), (3, "malformed_quotes"), (4, "malformed_quotes")]


def test_a_stray_quote_before_an_open_cell_rejects_all_lines_of_the_record() -> None:
    table = read_text(f'{HEADER}\n1",ROLE,2,"a\n9,ROLE,9,z\nb"\n7,ROLE,8,e\n')
    assert cells(table) == [("7", "ROLE", "8", "e")]
    assert rejections(table) == [(2, "malformed_quotes")]
    assert "lines 2-4" in table.rejected["_message"][0]


def test_an_unclosed_quote_rejects_the_lines_that_it_covers_once() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,a\n3,ROLE,4,"b\n5,ROLE,6,c\n')
    assert cells(table) == [("1", "ROLE", "2", "a")]
    assert rejections(table) == [(3, "malformed_quotes")]
    assert table.rejected["_message"][0] == "A quote that opens a cell is never closed: lines 3-4 were not read."
    assert table.rejected["_raw"][0] == '3,ROLE,4,"b\n5,ROLE,6,c'


def test_an_unclosed_quote_on_the_last_line_names_that_line() -> None:
    table = read_text(f'{HEADER}\n3,ROLE,4,"b')
    assert table.rejected["_message"][0] == "A quote that opens a cell is never closed: line 2 was not read."


def test_a_ragged_row_over_several_lines_names_them() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,"a\nb",c\n7,ROLE,8,e\n')
    assert lines(table) == [4]
    assert table.rejected["_message"].to_list() == ["The row has 5 fields, but the header has 4 (lines 2-3)."]


def test_a_cell_that_covers_apparent_rows_gets_a_notice() -> None:
    table = read_text(f'{HEADER}\n1,ROLE,2,"a\n3,ROLE,4,"\n5,ROLE,6,"a\n7,ROLE,8,"\n')
    assert table.rows.height == 2
    assert "line 2 covers lines that look like rows of their own (1 more such cell)" in table.notices[0]
    breaks = 'identity,item_type,item,comment\n"Ada\nByron",ROLE,a,b\nada,"RO\nLE","a\n\nb","c, d\ne, f"\n'
    assert read_text(breaks).notices == (), "a line break in a name is no missing quote"


def test_nul_characters_are_kept_for_validation() -> None:
    assert cells(read_text(f"{HEADER}\n1\0,ROLE,2,\0\n")) == [("1\0", "ROLE", "2", "\0")]


def test_a_byte_order_mark_inside_the_file_belongs_to_its_cell() -> None:
    assert cells(read_text(f"{HEADER}\n\ufeff1,ROLE,2,a\n")) == [("\ufeff1", "ROLE", "2", "a")]
    assert cells(read_text(f"{HEADER}\n\ufeff1,ROLE,2,a\n\n")) == [("\ufeff1", "ROLE", "2", "a")]


def test_very_wide_and_very_long_rows_are_read() -> None:
    extra = [f"c{number}" for number in range(600)]
    head = ",".join(["identity_id", "item_type", "item_id", *extra])
    row = ",".join(["1", "ROLE", "2", *extra])
    table = read_text(f"{head}\n{row}\n\n{row}\n1,ROLE\n")
    assert lines(table) == [2, 4]
    assert rejections(table) == [(5, "ragged_line")]
    long = "x" * 3_000_000
    assert cells(read_text(f'{HEADER}\n1,ROLE,2,{long}\n3,ROLE,4,"{long}\n"\n')) == [
        ("1", "ROLE", "2", long),
        ("3", "ROLE", "4", long + "\n"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n", b" , ,\n", b"\xef\xbb\xbf", b"\xff\xfe", b"sep=,\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    assert refusal(lambda: read_bytes(data)).message == "in.csv is empty."


@pytest.mark.parametrize("rest", ["", "\n", "\n\n,,,\n"])
def test_a_header_without_rows_is_refused(rest: str) -> None:
    assert refusal(lambda: read_text(HEADER + rest)).message == "in.csv has a header but no rows."


@pytest.mark.parametrize("head", ['identity_id,"item_type', 'identity"_id,item_type'])
def test_a_header_with_malformed_quotes_is_refused(head: str) -> None:
    assert "(line 2) has a stray or unclosed quote" in refusal(lambda: read_text(f"\n{head}\n1,2\n")).message


def test_a_parser_that_loses_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    read = pl.read_csv
    monkeypatch.setattr(pl, "read_csv", lambda *args, **kwargs: read(*args, **kwargs).head(1))
    with pytest.raises(BrokenPromiseError):
        read_text(f"{HEADER}\n1,ROLE,2,a\n3,ROLE,4,b\n")


def test_a_different_count_of_lines_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    read = pl.read_lines
    monkeypatch.setattr(pl, "read_lines", lambda text: read(text).head(2))
    with pytest.raises(BrokenPromiseError):
        read_text(f"{HEADER}\n\n3,ROLE,4,b\n")


def test_a_line_that_is_in_two_records_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [Record(1, 1, (), "ragged_line", "…")] * 2
    monkeypatch.setattr("batch.read.csv_table.records_at", lambda *_, **__: twice)
    with pytest.raises(BrokenPromiseError):
        read_text(f"{HEADER}\n1\n")


def test_grants_whose_comments_say_nothing_get_a_notice() -> None:
    table = read_text(
        f"{HEADER},operation\ni,ROLE,r,N/A,\ni,ROLE,s,real,\ni,ROLE,t,-,grant\ni,ROLE,u,NULL,revoke\ni,ROLE,v, ,\n"
    )
    assert table.notices == (
        "in.csv: 2 grants have comments that say nothing: 'N/A' on line 2. Such comments are sent as they are.",
    )
    assert read_text(f"{HEADER}\ni,ROLE,r,left\n").notices == ()
