"""One input has one digest, however it is written; another input has another."""

from __future__ import annotations

import io

import polars as pl
import pytest

from batch.model import IdentityBy
from batch.read import LoadedInputs, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.validate.digest import input_digest

A, B, C, ITEM = ("0a" * 16, "0b" * 16, "0c" * 16, "1d" * 16)
HEADER = "operation,identity_id,item_type,item_id,comment,remove_date,metadata.b,metadata.a"
ROWS = [
    f"GRANT,{A},ROLE,{ITEM},why,2030-01-01T00:00:00Z,2,1",
    f'REVOKE,{B},ROLE,{ITEM},"with, ""quotes"" ü",,,x',
    f"GRANT,{C},ROLE,{ITEM}|{A},,tomorrow,,",
]


def digest(*lines: str, end: str = "\n", encoding: str = "utf-8", by: IdentityBy = IdentityBy.AUTO) -> str:
    return digest_of(end.join(lines).encode(encoding), by=by)


def digest_of(data: bytes, *, name: str = "a.csv", by: IdentityBy = IdentityBy.AUTO) -> str:
    return input_digest(read_loaded(LoadedInputs((Content(name, data),), "")), by)


EXPECTED = digest(HEADER, *ROWS)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(digest(HEADER, *ROWS, end="\r\n"), id="line endings"),
        pytest.param(digest(HEADER, "", *ROWS, "", ""), id="blank lines"),
        pytest.param(digest(HEADER, *ROWS[::-1], ROWS[0]), id="order and repeats"),
        pytest.param(digest(HEADER, *ROWS, encoding="utf-16"), id="encoding"),
        pytest.param(digest(HEADER + ",note", *(f"{row},n{n}" for n, row in enumerate(ROWS))), id="a column of notes"),
        *(
            pytest.param(digest(f"{HEADER},{name}", *(f"{row}," for row in ROWS)), id=f"a column named {name}")
            for name in ("*", "^.*$", "^c.*$", "{}")
        ),
        pytest.param(digest(HEADER, ROWS[0].replace("GRANT", '"grant "'), *ROWS[1:]), id="quotes, case and blanks"),
        pytest.param(
            digest(HEADER, ROWS[0].replace(A, A.upper()), ROWS[1], ROWS[2].replace("|", " | ")), id="spelling of ids"
        ),
        pytest.param(
            digest(HEADER, ROWS[0].replace("2030-01-01T00:00:00Z", "2030-01-01T01:00:00+01:00"), *ROWS[1:]), id="zone"
        ),
    ],
)
def test_the_same_rows_are_the_same_input_however_they_are_written(written: str) -> None:
    assert written == EXPECTED


def test_the_order_of_columns_and_the_kind_of_file_make_no_other_input() -> None:
    table = pl.read_csv(io.BytesIO("\n".join([HEADER, *ROWS]).encode()), infer_schema=False)
    turned = table.select(reversed(table.columns))
    assert digest_of(turned.write_csv().encode()) == EXPECTED
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    assert digest_of(parquet.getvalue(), name="a.parquet") == EXPECTED


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(ROWS[:2], id="a row less"),
        pytest.param([*ROWS, ROWS[0].replace(A, C)], id="a row more"),
        pytest.param([ROWS[0].replace("GRANT", "REVOKE"), *ROWS[1:]], id="operation"),
        pytest.param([ROWS[0].replace("ROLE", "ENTITLEMENT"), *ROWS[1:]], id="type"),
        pytest.param([ROWS[0].replace(ITEM, B), *ROWS[1:]], id="item"),
        pytest.param([ROWS[0].replace("why", "because"), *ROWS[1:]], id="comment"),
        pytest.param([ROWS[0].replace("2030", "2031"), *ROWS[1:]], id="date"),
        pytest.param([*ROWS[:2], ROWS[2].replace("tomorrow", "someday")], id="text that is no date"),
        pytest.param([ROWS[0].replace(",2,1", ",1,2"), *ROWS[1:]], id="metadata"),
        pytest.param([*ROWS, "too,few"], id="a record that can't be parsed"),
    ],
)
def test_other_rows_are_another_input(rows: list[str]) -> None:
    assert digest(HEADER, *rows) != EXPECTED


def test_a_cell_that_contains_separators_is_not_taken_for_several() -> None:
    one = digest("identity_id,item_type,item_id,comment", f"{A},ROLE,{ITEM},x\x1f\x1e{B}")
    other = digest("identity_id,item_type,item_id,comment", f"{A},ROLE,{ITEM},x", f"{B},ROLE,{ITEM},")
    assert one != other


def test_names_count_with_their_kind_and_ids_as_ids_in_either_column() -> None:
    names = ("identity,item_type,item", "Anna,ROLE,Clerk")
    assert digest(*names) == digest(*names) != digest(*names, by=IdentityBy.ALIAS)
    assert digest(*names) != digest(names[0], "Bob,ROLE,Clerk") != digest(names[0], "Bob,ROLE,Guard")
    ids = digest("identity,item_type,item", f"{A},ROLE,{ITEM}")
    assert ids == digest("identity_id,item_type,item_id", f"{A.upper()},ROLE,{ITEM}")


def test_options_count_by_what_they_make_of_the_rows() -> None:
    text = "identity_id,item_type,item_id,comment"
    written = Content("a.csv", f"{text}\n{A},ROLE,{ITEM},why\n".encode())
    blank = Content("a.csv", f"{text}\n{A},ROLE,{ITEM},\n".encode())
    by_option = read_loaded(LoadedInputs((blank,), "", make_interpretation(comment="why")))
    in_file = read_loaded(LoadedInputs((written,), ""))
    assert input_digest(by_option, IdentityBy.AUTO) == input_digest(in_file, IdentityBy.AUTO)
