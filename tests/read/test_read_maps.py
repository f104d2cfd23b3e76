"""Column maps: their syntax, their effect on a file, and their effect on its digest."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.errors import UsageError
from batch.read import KNOWN_COLUMNS, Interpretation, LoadedInputs, Table, load_inputs, make_interpretation, read_loaded
from batch.read.columns import bare_name
from batch.read.inputs import Content
from batch.validate.prepare import prepare, rfc3339
from batch.validate.rows import validate
from tests.plan.changes import hex_id
from tests.read.read_helpers import cells, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "User Name,Kind,Role,Why\nanna,ROLE,Auditor,new\n"
MAPS = ("user name=identity", "KIND=item_type", "Role=item")


def read(text: str | bytes, interpretation: Interpretation, name: str = "in.csv") -> Table:
    data = text if isinstance(text, bytes) else text.encode()
    return read_loaded(LoadedInputs((Content(name, data),), "digest", interpretation))


def required(*maps: str) -> Interpretation:
    """Maps from command-line flags."""
    return make_interpretation(maps=maps, maps_required=True)


def optional(*maps: str) -> Interpretation:
    """Maps from the config file."""
    return make_interpretation(maps=maps)


def test_their_columns_are_read_as_ours_and_keep_their_headers() -> None:
    table = read("\ufeff user name ,KIND,Role,Why\nanna,ROLE,Auditor,new\n", required(*MAPS))
    assert cells(table) == [("anna", "ROLE", "Auditor", "new")]
    assert [(column.name, column.header) for column in table.columns] == [
        ("identity", " user name "),
        ("item_type", "KIND"),
        ("item", "Role"),
        ("Why", "Why"),
    ]


def test_a_column_can_become_metadata_and_columns_can_change_places() -> None:
    table = read(
        "identity,item,item_type,a=b,Ticket\nAuditor,anna,ROLE,why,T-1\n",
        required("identity=item", "item=identity", "a=b=comment", "ticket=metadata.ticket=no"),
    )
    assert table.rows.drop("_file", "_line").row(0, named=True) == {
        "item": "Auditor",
        "identity": "anna",
        "item_type": "ROLE",
        "comment": "why",
        "metadata.ticket=no": "T-1",
    }


def test_parquet_columns_are_mapped_alike() -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"User Name": ["anna"], "Kind": ["ROLE"], "Role": [["a", "b"]]}).write_parquet(buffer)
    assert cells(read(buffer.getvalue(), required(*MAPS), "in.parquet")) == [("anna", "ROLE", "a|b")]


def test_mapped_names_help_to_find_the_delimiter() -> None:
    table = read("User, Name;Kind;Role\nanna;ROLE;x\n", required("User, Name=identity", "Kind=item_type", "Role=item"))
    assert cells(table) == [("anna", "ROLE", "x")]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["Roll=item"], "no column `Roll` to read as `item`. Its columns are `User Name`, `Kind`"),
        (["Why=item", "Role=item"], "two columns for `item`"),
    ],
)
def test_a_required_map_without_a_column_is_refused(maps: list[str], message: str) -> None:
    assert message in refusal(lambda: read(TEXT, required(*MAPS[:2], *maps))).message


@pytest.mark.parametrize("kind", [required, optional])
def test_a_map_to_a_present_column_is_refused_with_its_name(kind: Callable[[str], Interpretation]) -> None:
    error = refusal(lambda: read("identity,item_type,item,Role\na,ROLE,x,y\n", kind("Role=item")))
    assert "two columns for `item`: column 3 (`item`) and column 4 (`Role`)" in error.message
    assert "--map Role=item" in error.next_step


def test_a_map_that_matches_two_columns_is_refused() -> None:
    assert (
        "2 columns `Role`"
        in refusal(lambda: read("identity,item_type,Role,ROLE\na,b,c,d\n", required("Role=item"))).message
    )


def test_an_optional_map_without_a_column_changes_nothing() -> None:
    text = "identity_id,item_type,item_id\n1,ROLE,2\n"
    assert read(text, optional(*MAPS)).rows.equals(read(text, optional()).rows)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["Role"], "'Role' is not a mapping"),
        (["=item"], "'=item' is not a mapping"),
        ([""], "'' is not a mapping"),
        (["Role=itm"], "not a column of access-batch (did you mean 'item'?)"),
        (["Role=metadata."], "not a column of access-batch"),
        (["Role=_line"], "not a column of access-batch"),
        (["_line=item"], "access-batch itself writes"),
        (["Role=item", " role =item_id"], "mapped twice, to `item` and to `item_id`"),
    ],
)
def test_a_malformed_map_is_refused(maps: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_interpretation(maps=maps)
    assert message in caught.value.message
    assert caught.value.next_step


def test_a_map_to_an_unknown_column_lists_our_columns() -> None:
    with pytest.raises(UsageError) as caught:
        make_interpretation(maps=["Role=x"])
    assert all(name in caught.value.next_step for name in (*KNOWN_COLUMNS, "metadata.KEY"))


HEADERS = st.text(max_size=10).map(bare_name).filter(lambda name: bool(name) and not name.startswith("_"))
OURS = st.sampled_from(KNOWN_COLUMNS) | st.just("metadata.key")


@given(HEADERS, OURS)
def test_a_map_reads_back_as_it_is_written(theirs: str, ours: str) -> None:
    (one,) = make_interpretation(maps=[f"{theirs}={ours}"]).maps
    assert (one.theirs, one.ours, one.text) == (theirs, ours, f"{theirs}={ours}")


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "in.csv"
    file.write_text(TEXT)
    return str(file)


def test_the_same_bytes_with_another_interpretation_are_another_input(path: str) -> None:
    interpretations = [
        make_interpretation(),
        required(*MAPS),
        required("User Name=identity_id", *MAPS[1:]),
        make_interpretation(date_format="us"),
        make_interpretation(date_format="eu"),
        make_interpretation(time_zone="Europe/Berlin"),
        make_interpretation(date_format="us", time_zone="Europe/Berlin"),
        make_interpretation(comment="why"),
        make_interpretation(comment="else"),
        make_interpretation(maps=MAPS, comment="why"),
    ]
    assert len({load_inputs([path], interpretation=one).digest for one in interpretations}) == len(interpretations)


def test_equal_interpretations_give_the_same_input(path: str) -> None:
    def digest(interpretation: Interpretation) -> str:
        return load_inputs([path], interpretation=interpretation).digest

    assert (
        digest(required(*MAPS))
        == digest(optional(*reversed(MAPS)))
        == digest(optional("USER NAME =identity", *MAPS[1:]))
    )
    assert digest(make_interpretation(date_format="us")) == digest(
        make_interpretation(date_format="%m/%d/%Y[ %H:%M:%S[ %Z]]")
    )
    assert digest(make_interpretation(comment=" why ")) == digest(make_interpretation(comment="why"))
    assert digest(optional("Somebody=identity")) == digest(make_interpretation()) == load_inputs([path]).digest


def test_a_required_map_without_a_column_is_refused_before_parsing(path: str) -> None:
    assert "no column `Roll`" in refusal(lambda: load_inputs([path], interpretation=required("Roll=item"))).message


@pytest.mark.parametrize("name", ["empty.csv", "bad.parquet"])
def test_a_bad_file_with_maps_is_reported_when_it_is_parsed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PAR1" if name == "bad.parquet" else b"\n")
    loaded = load_inputs([str(tmp_path / name)], interpretation=required(*MAPS))
    assert name in refusal(lambda: read_loaded(loaded)).message


def test_the_default_comment_fills_rows_without_one() -> None:
    text = "identity_id,item_type,item_id,comment\n1,ROLE,2,own\n1,ROLE,3, \n1,ROLE,4,\n"
    table = read(text, make_interpretation(comment="all"))
    assert table.rows["comment"].to_list() == ["own", "all", "all"]
    assert table.originals["comment"].to_list() == ["own", " ", None]
    assert (
        read("identity_id,item_type,item_id\n1,ROLE,2\n", make_interpretation(comment="all")).rows["comment"].item()
        == "all"
    )


@pytest.mark.parametrize(
    ("text", "date_format", "sent"),
    [
        ("identity,item_type,item,remove_date\na,ROLE,b,2027-01-31T09:00\n", "", "2027-01-31T08:00:00Z"),
        ("identity,item_type,item,remove_date\na,ROLE,b,46418.375\n", "excel", "2027-01-31T08:00:00Z"),
        ("operation,identityName,roles,sunset\nAddRole,a,b,1/31/2027\n", "", "2027-01-30T23:00:00Z"),
        ("operation,identityName,roles,sunset\nAddRole,a,b,31.1.2027\n", "eu", "2027-01-30T23:00:00Z"),
    ],
)
def test_the_time_zone_holds_for_every_kind_of_file(text: str, date_format: str, sent: str) -> None:
    table = read(text, make_interpretation(date_format=date_format, time_zone="Europe/Berlin"))
    (date,) = prepare(table.rows).select(rfc3339(pl.col("remove_date"))).collect().to_series()
    assert date == sent


def test_dates_of_a_parquet_file_get_the_time_zone_too() -> None:
    frame = pl.DataFrame({"identity": ["a"], "item_type": ["ROLE"], "item": ["b"]})
    frame = frame.with_columns(remove_date=pl.lit(datetime(2027, 1, 31, 9)))  # noqa: DTZ001 - without a zone
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    interpretation = make_interpretation(time_zone="Europe/Berlin")
    table = read_loaded(LoadedInputs((Content("in.parquet", buffer.getvalue()),), "digest", interpretation))
    (date,) = prepare(table.rows).select(rfc3339(pl.col("remove_date"))).collect().to_series()
    assert date == "2027-01-31T08:00:00Z"


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="'Berlin' is not a time zone") as caught:
        make_interpretation(time_zone="Berlin")
    assert "Europe/Berlin" in caught.value.next_step


def test_a_blank_comment_is_refused() -> None:
    with pytest.raises(UsageError, match="--comment is blank"):
        make_interpretation(comment="  ")


@pytest.mark.parametrize("marks", ["_run", "_line,_rule,_message"])
@pytest.mark.parametrize(
    ("date_format", "written", "sent"),
    [
        ("us", "2027-06-07T00:00:00Z", "2027-06-07T00:00:00Z"),
        ("us", "2027-06-07T09:30:00.250Z", "2027-06-07T09:30:00.250Z"),
        # Whoever corrects a file may write dates as usual.
        ("eu", "07.06.2027", "2027-06-06T22:00:00Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2027-06-07T00:00:00Z", "2027-06-07T00:00:00Z"),
        # Nobody knows which of both it is.
        ("%Y-%d-%mT%H:%M:%S%z", "2027-06-07T00:00:00Z", None),
        ("%Y-%d-%m", "2027-06-07", "2027-07-05T22:00:00Z"),
    ],
)
def test_dates_that_we_wrote_into_a_result_file_are_read_as_we_wrote_them(
    marks: str, date_format: str, written: str, sent: str | None
) -> None:
    ours = "operation,identity_id,item_type,item_id,comment,start_date,remove_date"
    text = f"{ours},{marks}\nGRANT,{hex_id(1)},ROLE,{hex_id(2)},why,,{written}{',' * len(marks.split(','))}\n"
    table = read(text, make_interpretation(date_format=date_format, time_zone="Europe/Berlin"), "failed.csv")
    validated = validate(table.rows, dialect=DIALECTS["v2025"], now=datetime(2026, 11, 23, tzinfo=UTC))
    assert validated.changes.get_column("remove_date").to_list() == ([sent] if sent else [])
    for message in validated.rejected.get_column("message"):
        assert message == (
            f"remove_date '{written}' has two meanings: ISO 8601 as access-batch wrote it, and {date_format}; "
            "leave out --date-format, or write the date otherwise"
        )
    foreign = read(text.replace(marks, marks.replace("_", "x")), make_interpretation(date_format="us"))
    assert foreign.rows.get_column("_dates").to_list() == ["us"]
