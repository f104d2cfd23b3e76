"""Reading compared with other implementations: Python's `csv`, and a reader by character for any text."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.errors import InputFileError
from tests.read.read_helpers import cells, lines, read_bytes, read_text

_NAMES = ["identity_id", "item_type", "item_id", "comment", "More"]


class _Style(NamedTuple):
    delimiter: str
    newline: str
    quoting: int
    encoding: str


_STYLES = st.builds(
    _Style,
    delimiter=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
)
_CELL = st.one_of(
    st.sampled_from(["", "x", "5", '"', "\n", "\r\n"]), st.text(alphabet='ab,;|\t" \n\ré€\0\ufeff=', max_size=6)
)


def _writable(cell: str, style: _Style) -> str:
    """The cell without line ends that Python's writer leaves unquoted."""
    if style.newline == "\r":
        return cell.replace("\r", "").replace("\n", "")
    if style.newline == "\n" and style.quoting == csv.QUOTE_MINIMAL:
        return cell.replace("\r", "")
    return cell


@given(rows=st.lists(st.lists(_CELL, min_size=5, max_size=5), min_size=1, max_size=8), style=_STYLES)
def test_files_of_pythons_writer_are_read_with_their_cells_and_lines(rows: list[list[str]], style: _Style) -> None:
    rows = [["id", *(_writable(cell, style) for cell in row[1:])] for row in rows]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=style.delimiter, lineterminator=style.newline, quoting=style.quoting)  # type: ignore[arg-type]
    writer.writerow(_NAMES)
    starts = []
    for row in rows:
        starts.append(out.getvalue().count("\r" if style.newline == "\r" else "\n") + 1)
        writer.writerow(row)
    table = read_bytes(out.getvalue().encode(style.encoding))
    assert table.rejected.height == 0
    assert cells(table) == [tuple(cell or None for cell in row) for row in rows]
    assert lines(table) == starts


class _Expected(NamedTuple):
    line: int
    last: int
    cells: tuple[str, ...] | None


def _reference(text: str, delimiter: str, width: int) -> list[_Expected]:
    """The same grammar, one character at a time, regardless of speed."""
    records = []
    position, line = 0, 1
    while position < len(text):
        first, found, bad, more = line, [], False, True
        while more:
            cell = ""
            if text[position : position + 1] == '"':
                position += 1
                while position < len(text) and (text[position] != '"' or text[position + 1 : position + 2] == '"'):
                    position += 2 if text[position] == '"' else 1
                    cell += text[position - 1]
                line += cell.count("\n")
                bad = bad or position >= len(text)
                position += 1
                tail = ""
                while position < len(text) and text[position] not in (delimiter, "\n"):
                    tail += text[position]
                    position += 1
                is_line_end = tail == "\r" and text[position : position + 1] != delimiter
                bad = bad or not (tail == "" or is_line_end)
            else:
                while position < len(text) and text[position] not in (delimiter, "\n"):
                    cell += text[position]
                    position += 1
                if text[position : position + 1] != delimiter:
                    cell = cell.removesuffix("\r")
                bad = bad or '"' in cell
            found.append(cell)
            more = text[position : position + 1] == delimiter
            position += 1
        is_blank = not bad and first == line and not "".join(found).strip()
        if not is_blank:
            is_good = not bad and len(found) >= width and not "".join(found[width:]).strip()
            records.append(_Expected(first, line, tuple(found[:width]) if is_good else None))
        line += 1
    return records


@given(body=st.text(alphabet='a," \n\r\n\n"', max_size=40))
@example(body='"')
@example(body='a,b,"\n"')
@example(body=',,""\r\n"a"\r,b,c\n')
@example(body='"a"b,"\n",c\n')
def test_any_text_is_parsed_by_the_grammar(body: str) -> None:
    # A last column without a name does not change the header's width.
    text = "identity_id,item_type,item_id\n" + body
    expected = _reference(text, ",", 3)[1:]
    try:
        table = read_text(text)
    except InputFileError:
        assert not expected
        return
    assert cells(table) == [tuple(cell or None for cell in record.cells) for record in expected if record.cells]
    assert lines(table) == [record.line for record in expected if record.cells]
    assert table.rejected["_line"].to_list() == [record.line for record in expected if not record.cells]
    physical = text.removesuffix("\n").split("\n")
    for raw, record in zip(table.rejected["_raw"], (record for record in expected if not record.cells), strict=True):
        assert raw == "\n".join(physical[record.line - 1 : record.last]).removesuffix("\r")


@given(
    count=st.integers(2, 8),
    damage=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(['"', ",", '""', ";", "\r", '"\n', "\0"])), max_size=6
    ),
)
def test_no_row_without_line_breaks_contains_text_of_another_line(count: int, damage: list[tuple[int, str]]) -> None:
    body = "".join(f"{number},{number},{number}\n" for number in range(count))
    for position, inserted in damage:
        body = body[: position % len(body)] + inserted + body[position % len(body) :]
    text = "identity_id,item_type,item_id\n" + body
    physical = text.split("\n")
    try:
        table = read_text(text)
    except InputFileError:
        return
    for line, row in zip(lines(table), cells(table), strict=True):
        held = [cell for cell in row if cell]
        if not any("\n" in cell for cell in held):
            assert all(cell.replace('"', "") in physical[line - 1].replace('"', "") for cell in held)


@pytest.mark.thorough
@given(
    start=st.sampled_from(
        [
            b"",
            b"identity_id,item_type,item_id\n",
            b"PAR1",
            b"\xff\xfe",
            b"\xfe\xff",
            b"\xef\xbb\xbf",
            b"sep=;\n",
            b"\x1f\x8b",
        ]
    ),
    rest=st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode)),
    name=st.sampled_from(["in.csv", "in.parquet"]),
)
@example(start=b"identity_id,item_type,item_id\n", rest=b"\n\x00\n\r\x00,,\n\xc3", name="in.csv")
def test_arbitrary_bytes_raise_nothing_but_an_input_file_error(start: bytes, rest: bytes, name: str) -> None:
    outcome: str | int
    try:
        table = read_bytes(start + rest, name)
        outcome = table.rows.height + table.rejected.height
    except InputFileError as error:
        outcome = error.next_step
    assert outcome
