"""Headers: canonical names, and refused headers."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.read import KNOWN_COLUMNS, RESERVED_COLUMNS, LoadedInputs, make_interpretation, read_loaded
from batch.read.columns import ITEM_TYPES, OPERATIONS, as_word, canonical_name
from batch.read.inputs import Content
from batch.text import defused
from tests.read.read_helpers import HEADER, cells, read_text, refusal


def test_known_names_are_recognised_in_any_case_and_spacing() -> None:
    table = read_text('\ufeff Identity_ID ,"ITEM_TYPE", item_id\t,Metadata. Ticket No,Cost Centre,\n1,ROLE,2,T-1,x,y\n')
    assert [(column.name, column.header) for column in table.columns] == [
        ("identity_id", " Identity_ID "),
        ("item_type", "ITEM_TYPE"),
        ("item_id", " item_id\t"),
        ("metadata.Ticket No", "Metadata. Ticket No"),
        ("Cost Centre", "Cost Centre"),
        ("column_6", ""),
    ]
    assert table.rows.columns == ["_file", "_line", *(column.name for column in table.columns)]


@given(st.text(max_size=20), st.integers(1, 99))
def test_a_canonical_name_is_its_own_canonical_name(header: str, position: int) -> None:
    name = canonical_name(header, position)
    assert name
    assert canonical_name(name, position) == name


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("identity_id,item_type,item_id,comment, COMMENT", "column 4 (`comment`) and column 5 (` COMMENT`)"),
        ("identity_id,item_type,item_id,x,x", "column 4 (`x`) and column 5 (`x`)"),
        ("identity_id,item_type,item_id,column_5,", "column 4 (`column_5`) and column 5 (``)"),
        ("identity_id,item_type,item_id,metadata.a,METADATA.a", "`metadata.a`"),
    ],
)
def test_two_columns_of_one_name_are_refused(header: str, named: str) -> None:
    assert named in refusal(lambda: read_text(header + "\n1,ROLE,2,,\n")).message


def test_metadata_keys_keep_their_case_and_need_a_name() -> None:
    assert read_text("identity_id,item_type,item_id,metadata.a,metadata.A\n1,ROLE,2,3,4\n").rows.width == 7
    assert (
        "without a key" in refusal(lambda: read_text("identity_id,item_type,item_id,metadata. \n1,ROLE,2,3\n")).message
    )


def test_missing_columns_are_named_with_the_columns_found_and_the_nearest() -> None:
    error = refusal(lambda: read_text("identitee,type,comment\n1,2,3\n"))
    assert error.message == (
        "in.csv has no column `identity_id` or `identity`, `item_type`, `item_id` or `item`. "
        "Its columns are `identitee`, `type`, `comment`."
    )
    assert error.next_step == (
        "Nothing was sent. Add the columns, or map yours: "
        "`--map 'identitee=identity' --map 'type=item_type' --map 'YOUR COLUMN=item'`."
    )


def test_a_column_by_another_name_is_suggested_for_the_map() -> None:
    error = refusal(lambda: read_text("Nr;Benutzer;item_type;item\n7;anna;ROLE;Clerk\n"))
    assert error.next_step == "Nothing was sent. Add the column, or map yours: `--map 'Benutzer=identity'`."
    error = refusal(lambda: read_text("User,Kind,Access,Action,Why\nanna,ROLE,Clerk,REVOKE,left\n"))
    assert error.next_step.endswith("--map 'Access=item' --map 'Action=operation' --map 'Why=comment'`.")


@pytest.mark.parametrize("word", ["", "Add", " GRANT_ACCESS ", "hinzufügen"])
def test_a_notice_says_that_every_row_grants_if_another_column_may_be_the_operation(word: str) -> None:
    table = read_text(f"identity,item_type,item,Action\nanna,ROLE,Clerk,{word}\n")
    (notice,) = table.notices
    assert notice == (
        "in.csv has no column `operation`, so every row is a GRANT. If column `Action` says otherwise, "
        "add --map 'Action=operation'."
    )
    assert read_text("identity,item_type,item,operation,Action\nanna,ROLE,Clerk,grant,remove\n").notices == ()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Action", ["add", "remove"]),
        ("aktion", ["", "Entziehen"]),
        ("op", ["D", "D"]),
        ("Owner;Op", ["x;grant", "x;-"]),
        ("Request Type", ["", "REVOKE_ACCESS"]),
        ("Opertion", ["grant", "revoke"]),
        ("Was", ["add", "Remove"]),
        ("^*$;Was", ["x;", "y; revoke "]),
    ],
)
def test_a_file_is_refused_if_a_column_that_is_not_read_may_say_that_rows_are_no_grants(
    header: str, words: list[str]
) -> None:
    text = "".join(f"anna;ROLE;Clerk;{word}\n" for word in words)
    error = refusal(lambda: read_text(f"identity;item_type;item;{header}\n{text}"))
    name, line = header.rsplit(";", maxsplit=1)[-1], 2 if words[0] == "D" else 3
    word = words[line - 2].split(";")[-1].strip()
    assert error.message == (
        f"in.csv has no column `operation`, so every row would be a GRANT, but column `{name}` has '{word}' in line "
        f"{line}."
    )
    assert error.next_step == (
        "Nothing was sent. If that column is the operation, write GRANT or REVOKE into it and add --map "
        f"'{name}=operation'. If it is something else, add --map '{name}=metadata.{name.lower()}', which sends it "
        "along."
    )
    maps = make_interpretation(maps=[f"{name}=metadata.{name.lower()}"])
    loaded = LoadedInputs((Content("in.csv", f"identity;item_type;item;{header}\n{text}".encode()),), "d", maps)
    assert not any("GRANT" in notice for notice in read_loaded(loaded).notices)


def test_an_empty_operation_beside_a_column_that_may_be_it_is_refused_too() -> None:
    text = "identity;item_type;item;operation;Action\nanna;ROLE;Clerk;;add\nbob;ROLE;Clerk; ;remove\n"
    error = refusal(lambda: read_text(text))
    assert error.message == (
        "In in.csv, column `operation` is empty, so every row would be a GRANT, but column `Action` has 'remove' in "
        "line 3."
    )
    assert error.next_step.startswith("Nothing was sent. If that column is the operation, remove the empty one, write")
    assert read_text(text.replace("remove", "")).notices == ()
    assert read_text(text.replace(";;add", ";GRANT;add")).notices == ()
    ours = text.replace("Action\n", "Action;_line;_rule;_message\n").replace("add\n", "add;2;;\n")
    assert read_text(ours.replace("remove\n", "remove;3;;\n")).rows.height == 2, "the other rows may have had one"


def test_a_column_of_other_words_is_not_taken_for_the_operation() -> None:
    for word in ("Sales", "add", "remove it from the list"):
        assert read_text(f"identity,item_type,item,Team\nanna,ROLE,Clerk,{word}\nbob,ROLE,Clerk,Ops\n").notices == ()
    one = make_interpretation(where=["Action=add"])
    data = b"identity,item_type,item,Action\nanna,ROLE,Clerk,add\nbob,ROLE,Clerk,remove\n"
    (notice,) = read_loaded(LoadedInputs((Content("in.csv", data),), "d", one)).notices
    assert "so every row is a GRANT" in notice, "the other row is not taken"


def test_a_file_without_any_known_column_explains_the_header() -> None:
    assert "--map 'YOUR COLUMN=identity'" in refusal(lambda: read_text("a;b\n1;2\n")).next_step
    many = ",".join(f"x{number}" for number in range(40))
    assert refusal(lambda: read_text(f"{many}\n1\n")).message.endswith("`x29` and 10 more.")


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("removeDate", "remove_date"),
        ("Remove Date", "remove_date"),
        ("start-date", "start_date"),
        ("OPERATION:", "operation"),
        ('"Remove\nDate"', "remove_date"),
    ],
)
def test_a_column_of_ours_in_another_spelling_is_read_with_a_notice(header: str, ours: str) -> None:
    table = read_text(f"identity_id,item_type,item_id,{header}\n1,ROLE,2,x\n")
    assert table.rows[ours].to_list() == ["x"]
    shown = header.strip('"').replace("\n", " ")
    assert table.notices == (f"in.csv: read `{shown}` as `{ours}`.",)


def test_two_spellings_of_one_column_are_refused() -> None:
    text = "identity_id,item_type,item_id,remove_date,removeDate\n1,ROLE,2,,2027-01-31\n"
    assert "two columns for `remove_date`" in refusal(lambda: read_text(text)).message


def test_the_apis_own_names_are_read_with_a_notice() -> None:
    table = read_text("requestedFor,requestType,type,id,removeDate,comment\n1,GRANT_ACCESS,ROLE,2,2027-01-31,c\n")
    assert table.rows.columns[2:] == ["identity_id", "operation", "item_type", "item_id", "remove_date", "comment"]
    (notice,) = table.notices
    assert notice == (
        "in.csv: read `requestedFor` as `identity_id`, `requestType` as `operation`, `type` as `item_type`, "
        "`id` as `item_id`, `removeDate` as `remove_date`."
    )


@pytest.mark.parametrize(
    "header",
    ["id,type,comment", "identity,type,id", "requestedFor,id,item", "requestedFor,item_type,kind"],
)
def test_an_id_or_a_type_alone_is_nobodys(header: str) -> None:
    assert "has no column" in refusal(lambda: read_text(f"{header}\n1,2,3\n")).message


def test_the_apis_ids_are_read_beside_names_too_so_that_they_can_be_compared() -> None:
    table = read_text("requestedFor,identity,type,id,item\n1,anna,ROLE,2,Clerk\n")
    assert table.rows.columns[2:] == ["identity_id", "identity", "item_type", "item_id", "item"]


def test_a_number_of_an_item_is_not_the_item() -> None:
    table = read_text(f"{HEADER},Item #\n1,ROLE,2,a,7\n")
    assert table.rows.columns[-1] == "Item #"


def test_the_users_map_counts_more_than_the_apis_name() -> None:
    interpretation = make_interpretation(maps=["requestedFor=identity", "id=metadata.id"])
    text = "requestedFor,type,id,item,item_type\nanna,x,7,Clerk,ROLE\n"
    table = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest", interpretation))
    assert table.rows.columns[2:] == ["identity", "type", "metadata.id", "item", "item_type"]


def test_a_nearly_known_column_gets_a_notice() -> None:
    table = read_text("identity_id,item_type,item_id,comments\n1,ROLE,2,x\n")
    assert "did you mean `comment`? Then add --map 'comments=comment'" in table.notices[0]


@pytest.mark.parametrize("name", sorted(RESERVED_COLUMNS))
def test_names_of_our_own_columns_are_refused(name: str) -> None:
    assert f"`{name}`" in refusal(lambda: read_text(f"{HEADER},{name.upper()}\n1,ROLE,2,a,b\n")).message


@given(
    st.lists(
        st.text(alphabet="x=+-@'\",\n\r\t |;\0\ufeff\u200b\uff1d", max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_our_own_rejected_file_is_read_back_unchanged(comments: list[str]) -> None:
    frame = pl.DataFrame({"identity_id": "-1", "item_type": "ROLE", "item_id": "2", "=x": "+", "comment": comments})
    written = frame.select(
        pl.lit("a.csv").alias("_file"),
        pl.lit(7).alias("_line"),
        defused(pl.all()),
        pl.lit("r").alias("_rule"),
        pl.lit("m").alias("_message"),
    ).rename({"=x": "'=x"})
    table = read_text(written.write_csv(quote_style="always"))
    assert cells(table) == [("-1", "ROLE", "2", "+", comment or None) for comment in comments]
    assert table.columns[3].name == "=x"
    assert "is a result file of access-batch" in table.notices[0]
    assert "`_file`, `_line`, `_rule`, `_message`" in table.notices[0]


def test_there_are_twelve_known_columns() -> None:
    assert len(set(KNOWN_COLUMNS)) == 12


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Account", "account"), ("Account Name", "account"), ("source_name", "source"), ("Source ID", "source")],
)
def test_usual_names_of_accounts_and_their_sources_are_read(written: str, meant: str) -> None:
    assert canonical_name(written, 1) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GRANT_ACCESS", "GRANT"),
        (" revoke access", "REVOKE"),
        ("Access Profile", "ACCESS_PROFILE"),
        ("access-profile", "ACCESS_PROFILE"),
        ("Group", "GROUP"),
    ],
)
def test_the_apis_words_and_usual_spellings_of_operations_and_item_types_are_read(written: str, meant: str) -> None:
    words = {**OPERATIONS, **ITEM_TYPES}
    assert pl.select(as_word(pl.lit(written), words)).item() == meant


@pytest.mark.parametrize(
    ("comment", "notice"),
    [
        ("'=1+1", "in.csv: 1 cell has an apostrophe before a formula's sign (`'=1+1` in column `comment` on line 3)"),
        ("see:\n'- b", "(`see: '- b` in column `comment` on line 3)"),
        ("'tis fine, isn't it? 'a' - 'b'", ""),
        ("=1+1", ""),
    ],
)
def test_apostrophes_of_a_result_file_without_its_columns_are_sent_with_a_notice(comment: str, notice: str) -> None:
    text = f'identity_id,item_type,item_id,comment\na,ROLE,b,"it\'s"\na,ROLE,b,"{comment}"\n'
    found = read_text(text)
    assert found.rows["comment"].to_list() == ["it's", comment]
    said = [one for one in found.notices if "apostrophe" in one]
    assert bool(said) is bool(notice)
    for one in said:
        assert notice in one
        assert one.endswith("its columns `_line`, `_rule` and `_message`. Here they are sent as they are.")


def test_a_result_file_that_lost_some_of_its_columns_is_not_read_without_them() -> None:
    error = refusal(lambda: read_text("identity_id,item_type,item_id,comment,_line\na,ROLE,b,'=1+1,2\n"))
    assert error.message == "in.csv has columns named like those of our result files: `_line`."
    assert error.next_step == (
        "Nothing was sent. If it was a result file, such as rejected.csv, put back those of its columns `_line`, "
        "`_rule` and `_message` that are missing; their cells may be empty. Only then are the apostrophes removed "
        "that protect cells from being read as formulas. If it is another file, rename the columns. `plan.csv`, "
        "`results.csv` and `tracked.csv` can't be submitted."
    )
    whole = read_text("identity_id,item_type,item_id,comment,_line,_rule,_message\na,ROLE,b,'=1+1,2,,\n")
    assert whole.rows["comment"].to_list() == ["=1+1"]


@pytest.mark.parametrize("header", ["nativeIdentity", "Native Identity", "Account Name"])
def test_the_apis_names_of_an_account_are_read_as_ours_with_a_notice(header: str) -> None:
    table = read_text(f"identity_id,item_type,item_id,{header}\n1,ROLE,2,anna\n")
    assert table.rows.get_column("account").to_list() == ["anna"]
    assert f"`{header}` as `account`" in " ".join(table.notices)


@pytest.mark.parametrize("header", ["acct", "AD Account", "Account_ID"])
def test_a_column_that_may_hold_accounts_is_said_to_have_no_effect(header: str) -> None:
    text = f"identity_id;item_type;item_id;{header}\n{'a' * 32};ROLE;{'b' * 32};anna\n"
    hint = f"(did you mean `account`? Then add --map '{header}=account')."
    assert read_text(text).notices == (
        f"in.csv: column `{header}` has no effect and is only copied to the result files {hint}",
    )
    assert read_text(text.replace(header, f"account;{header}").replace("anna", "anna;anna")).notices == ()
