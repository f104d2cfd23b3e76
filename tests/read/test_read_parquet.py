"""Parquet files: every type becomes the text that a CSV file would hold, or is refused."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.read import LoadedInputs, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.validate.prepare import prepare
from tests.read.read_helpers import cells, lines, read_bytes, read_frame, read_text, refusal, rejections

if TYPE_CHECKING:
    from collections.abc import Sequence


def _frame(**columns: Any) -> pl.DataFrame:
    columns = {name: values if isinstance(values, pl.Series) else pl.Series(values) for name, values in columns.items()}
    height = max(len(values) for values in columns.values())
    given_names = set(columns)
    defaults = {"identity_id": "1", "item_type": "ROLE", "item_id": "2"}
    return pl.DataFrame({name: [text] * height for name, text in defaults.items() if name not in given_names} | columns)


def _column(frame: pl.DataFrame, name: str) -> list[str | None]:
    table = read_frame(frame)
    assert table.rows.schema[name] == pl.String()
    return table.rows[name].to_list()


def test_strings_are_kept_and_rows_are_numbered_from_one() -> None:
    table = read_frame(
        pl.DataFrame({"Identity_ID ": ["0012", ""], "item_type": ["ROLE"] * 2, "item_id": ["a|b", None]})
    )
    assert cells(table) == [("0012", "ROLE", "a|b"), (None, "ROLE", None)]
    assert lines(table) == [1, 2]
    assert table.columns[0].header == "Identity_ID "


_NOON = dt.datetime(2027, 1, 2, 12, 0, 0, 500000)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pl.Series([dt.date(2027, 1, 2), None]), ["2027-01-02", None]),
        (pl.Series([_NOON]), ["2027-01-02T12:00:00.500"]),
        (pl.Series([_NOON.replace(microsecond=0, tzinfo=ZoneInfo("Europe/Paris"))]), ["2027-01-02T11:00:00Z"]),
        (pl.Series([20270102, None]), ["20270102", None]),
        (pl.Series([1.5]), ["1.5"]),
        (pl.Series([True]), ["true"]),
        (pl.Series(["x", ""], dtype=pl.Categorical), ["x", None]),
        (pl.Series(["x"], dtype=pl.Enum(["x"])), ["x"]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_typed_columns_become_text(values: pl.Series, text: list[str | None]) -> None:
    assert _column(_frame(remove_date=values), "remove_date") == text


@pytest.mark.parametrize("values", [pl.Series([1.0]), pl.Series([Decimal("1.5")])])
@pytest.mark.parametrize("name", ["identity_id", "item_id", "identity", "item"])
def test_ids_with_fractions_are_refused(name: str, values: pl.Series) -> None:
    assert f"`{name}` of in.parquet holds" in refusal(lambda: read_frame(_frame(**{name: values}))).message


def test_whole_numbers_are_ids() -> None:
    assert _column(_frame(item_id=pl.Series([12345678901234567890123], dtype=pl.Decimal(38, 0))), "item_id") == [
        "12345678901234567890123"
    ]


@pytest.mark.parametrize("kind", [pl.List(pl.String), pl.List(pl.Categorical), pl.Array(pl.String, 2)])
def test_lists_of_items_are_joined(kind: Any) -> None:
    assert _column(_frame(item_id=pl.Series([["a", "b"], None], dtype=kind)), "item_id") == ["a|b", None]


def test_an_empty_list_of_items_is_an_empty_cell() -> None:
    assert _column(_frame(item_id=pl.Series([[], ["a"]])), "item_id") == [None, "a"]


def test_ambiguous_list_members_reject_their_row() -> None:
    frame = _frame(
        item_id=pl.Series([["a"], ["a|b"], ["a", None], ["a", " "], ["b"]]), start_date=[dt.date(2027, 1, 1)] * 5
    )
    table = read_frame(frame)
    assert lines(table) == [1, 5]
    assert rejections(table) == [(line, "list_item_unreadable") for line in (2, 3, 4)]
    assert json.loads(table.rejected["_raw"][0])["item_id"] == ["a|b"]


@given(
    st.lists(st.lists(st.one_of(st.none(), st.text(alphabet="a| ", max_size=2)), max_size=3), min_size=1, max_size=6)
)
def test_joined_lists_split_into_the_same_members(lists: Sequence[list[str | None]]) -> None:
    table = read_frame(_frame(item_id=pl.Series(lists, dtype=pl.List(pl.String))))
    assert table.rows.height + table.rejected.height == len(lists)
    for line, joined in table.rows.select("_line", "item_id").rows():
        assert (joined.split("|") if joined else []) == lists[line - 1]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([{"a": 1}]),
        pl.Series([b"x"]),
        pl.Series([["a"]]),
        pl.Series([dt.timedelta(1)]),
        pl.Series([dt.time(1)]),
    ],
)
@pytest.mark.parametrize("name", ["comment", "metadata.x", "identity_id"])
def test_types_without_a_text_form_are_refused_in_known_columns(name: str, values: pl.Series) -> None:
    assert f"`{name}` of in.parquet holds" in refusal(lambda: read_frame(_frame(**{name: values}))).message


def test_lists_of_names_are_joined_without_splitting_a_name() -> None:
    frame = pl.DataFrame(
        {
            "identity": ["anna"] * 4,
            "item_type": ["ROLE", "entitlement ", "ROLE", "ROLE"],
            "item": [["Either|Or", " Clerk "], ["AD|memberOf|x", "AD|y"], [], ["a", " "]],
        }
    )
    table = read_frame(frame)
    assert table.rows["item"].to_list() == [r"Either\|Or|Clerk", "AD|memberOf|x||AD|y", None]
    assert rejections(table) == [(4, "list_item_unreadable")]
    assert read_frame(frame.drop("item_type").with_columns(operation=pl.lit("AddRole"))).rows["item"][0] == (
        r"Either\|Or|Clerk"
    )


def test_typed_dates_are_read_whatever_the_form_of_other_dates() -> None:
    buffer = io.BytesIO()
    _frame(remove_date=[dt.date(2027, 1, 31)]).write_parquet(buffer)
    text = b"identity_id,item_type,item_id,remove_date\n1,ROLE,2,1/31/2027\n"
    contents = (Content("a.parquet", buffer.getvalue()), Content("b.csv", text))
    rows = read_loaded(LoadedInputs(contents, "digest", make_interpretation(date_format="us"))).rows
    assert rows["_dates"].to_list() == ["iso", "us"]
    assert prepare(rows).collect()["remove_date"].dt.date().to_list() == [dt.date(2027, 1, 31)] * 2


@pytest.mark.parametrize("values", [pl.Series([[1.5]]), pl.Series([{"a": 1}]), pl.Series([[["a"]]])])
def test_only_lists_of_text_are_items(values: pl.Series) -> None:
    assert "`item_id` of in.parquet holds" in refusal(lambda: read_frame(_frame(item_id=values))).message


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pl.Series([{"a": [1, None]}, None]), ['{"a": [1, null]}', None]),
        (pl.Series([["é"], []]), ['["é"]', "[]"]),
        (pl.Series([b"\xff", None]), ['"ff"', None]),
        (pl.Series([dt.timedelta(1)]), ['"1 day, 0:00:00"']),
    ],
)
def test_unknown_columns_of_such_types_become_json(values: pl.Series, text: list[str | None]) -> None:
    assert _column(_frame(extra=values), "extra") == text


def test_a_result_file_kept_as_parquet_is_recognised() -> None:
    table = read_frame(_frame(comment=["'=1"], _line=[3], _rule=["r"], _message=["m"]))
    assert table.rows["comment"].to_list() == ["=1"]
    assert table.rows.columns == ["_file", "_line", "identity_id", "item_type", "item_id", "comment"]


def test_parquet_is_recognised_by_its_content() -> None:
    buffer = io.BytesIO()
    _frame(comment=["x"]).write_parquet(buffer)
    assert read_bytes(buffer.getvalue(), "really.csv").rows.height == 1


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1 nonsense PAR1", b"identity_id,item_type,item_id\n1,ROLE,2\n"])
def test_damaged_parquet_is_refused(data: bytes) -> None:
    assert "is not a readable Parquet file" in refusal(lambda: read_bytes(data, "in.pq")).message


def test_parquet_without_rows_or_columns_is_refused() -> None:
    assert "no rows" in refusal(lambda: read_frame(_frame(comment=["x"]).clear())).message
    assert "`identity_id`" in refusal(lambda: read_frame(pl.DataFrame({"a": [1]}))).message


def test_an_interruption_is_not_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pl, "read_parquet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_frame(_frame(comment=[1]))


def test_the_same_rows_as_csv_and_as_parquet_are_the_same() -> None:
    text = "identity_id,item_type,item_id,comment\n0012,ROLE,1e5,\nx,y,z, w \n"
    frame = pl.read_csv(text.encode(), infer_schema=False)
    assert cells(read_frame(frame)) == cells(read_text(text))
