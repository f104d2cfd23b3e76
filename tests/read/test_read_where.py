"""`--where` takes only some rows; the others are no part of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.errors import UsageError
from batch.model import IdentityBy
from batch.read import LoadedInputs, Table, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.validate.digest import input_digest
from tests.read.read_helpers import refusal
from tests.read.workbooks import workbook

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT = """identity,item_type,item,Department,a=b
ann,ROLE,x, Finance ,1
bob,ROLE,x,finance,2
cid,ROLE,x,,3
dan,ROLE,x,"Finance, Legal",4
eve,ROLE,x,HR,=5
"""


def read_where(*where: str, texts: Sequence[str] = (_TEXT,), maps: Sequence[str] = ()) -> Table:
    contents = tuple(Content(f"{number}.csv", text.encode()) for number, text in enumerate(texts))
    return read_loaded(LoadedInputs(contents, "", make_interpretation(where=where, maps=maps)))


def people(table: Table) -> str:
    assert table.rows.height == table.originals.height
    return " ".join(table.rows["identity"])


@pytest.mark.parametrize(
    ("where", "taken"),
    [
        (["Department=Finance"], "ann"),
        (["department = Finance "], "ann"),
        (["Department!=Finance"], "bob cid dan eve"),
        (["Department="], "cid"),
        (["Department!="], "ann bob dan eve"),
        (["Department~Finance"], "ann dan"),
        (["Department~Finance", "identity!=ann"], "dan"),
        (["Department=Finance, Legal"], "dan"),
        (["item=x"], "ann bob cid dan eve"),
        (["Department~."], ""),
        (["identity~a", "identity~n", "item_type=ROLE"], "ann dan"),
        (["A=B=2"], "bob"),
        (["a=b = =5 "], "eve"),
        (["a=b!=1"], "bob cid dan eve"),
        (["a=b~="], "eve"),
    ],
)
def test_only_rows_that_meet_every_condition_are_taken(where: list[str], taken: str) -> None:
    if not taken:
        assert refusal(lambda: read_where(*where))
        return
    table = read_where(*where)
    assert people(table) == taken
    assert table.left_out == 5 - table.rows.height


def test_a_mapped_column_has_both_names() -> None:
    for column in ("Department", "metadata.team"):
        assert people(read_where(f"{column}=HR", maps=["department=metadata.team"])) == "eve"


def test_rows_are_compared_as_they_are_written() -> None:
    iiq = "operation,identityName,roles,sunset\nAddRole,ann,R,1/31/2099\nRemoveRole,bob,R,\n"
    table = read_where("operation=AddRole", texts=[iiq])
    assert table.rows["identity"].to_list() == ["ann"]
    assert table.originals.height == 1


def test_rows_that_are_left_out_are_no_part_of_the_input() -> None:
    alone = read_where(texts=["identity,item_type,item\nann,ROLE,x\n"])
    assert input_digest(read_where("Department=Finance"), IdentityBy.AUTO) == input_digest(alone, IdentityBy.AUTO)
    # By the bytes alone, this would be a run of an older version with all rows.
    parts = {
        make_interpretation(where=where).digest_part([()]) for where in ([], ["Department=HR"], ["Department!=HR"])
    }
    assert len(parts) == 3


def test_records_that_cannot_be_read_stay_since_they_cannot_be_compared() -> None:
    table = read_where("Department=HR", texts=[f"{_TEXT}ragged\n"])
    assert people(table) == "eve"
    assert table.rejected["_line"].to_list() == [7]


def test_each_of_several_files_needs_the_column_but_not_a_row() -> None:
    other = "identity,item_type,item,Department\nzoe,ROLE,x,HR\n"
    assert people(read_where("Department=Finance", texts=[_TEXT, other])) == "ann"
    assert people(read_where("Department=HR", texts=[_TEXT, other])) == "eve zoe"
    error = refusal(lambda: read_where("Department=HR", texts=[_TEXT, "identity,item_type,item\nzoe,ROLE,x\n"]))
    assert (
        error.message
        == "1.csv has no column `Department`, which --where names. Its columns are `identity`, `item_type`, `item`."
    )


def test_a_condition_that_no_row_meets_is_refused_with_the_values_there_are() -> None:
    error = refusal(lambda: read_where("Department=FINANCE"))
    assert error.message == "No row has Department=FINANCE, so --where takes none."
    assert error.next_step == (
        "Nothing was sent. Correct it; upper and lower case differ. Values of `Department` are 'Finance', 'finance', "
        "'Finance, Legal', 'HR'."
    )
    error = refusal(lambda: read_where("Department=HR", "identity=ann"))
    assert error.message == "No row has Department=HR and identity=ann, so --where takes none."


@pytest.mark.parametrize("where", ["", "Department", "=Finance", " !=x", "~"])
def test_a_condition_in_another_form_is_refused(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_interpretation(where=[where])
    assert "--where" in caught.value.message
    assert "--where 'Department=Finance'" in caught.value.next_step


def test_workbooks_are_compared_by_the_text_of_their_cells() -> None:
    data = workbook(("identity", "item_type", "item", "Level"), ("ann", "ROLE", "x", 3), ("bob", "ROLE", "x", "03"))
    loaded = LoadedInputs((Content("in.xlsx", data),), "", make_interpretation(where=["level=3"]))
    assert people(read_loaded(loaded)) == "ann"
