"""Batch files of IdentityIQ become grants and revokes."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from batch.api.dialects import DIALECTS
from batch.read import LoadedInputs, Table, make_interpretation, read_loaded
from batch.read.identityiq import PROBLEMS
from batch.read.inputs import Content
from batch.report.files import write_result_files
from batch.validate.prepare import prepare
from batch.validate.rows import validate
from tests.plan.changes import NOW
from tests.read.read_helpers import read_frame, read_text, refusal

OURS = ("operation", "identity", "item_type", "item")


def meant(text: str) -> list[dict[str, str | None]]:
    """Our columns of the rows, as meant."""
    return read_text(text).rows.select(OURS).to_dicts()


def problems(text: str) -> list[str | None]:
    return read_text(text).rows["_row_problem"].to_list()


def row(operation: str, identity: str, item_type: str, item: str | None) -> dict[str, str | None]:
    return dict(zip(OURS, (operation, identity, item_type, item), strict=True))


def test_roles_are_granted_and_revoked() -> None:
    assert meant(
        "operation, roles, identityName\nAddRole, Helpdesk Associate, 122\nREMOVEROLE, Clerk | Auditor, anna\n"
    ) == [row("GRANT", "122", "ROLE", "Helpdesk Associate"), row("REVOKE", "anna", "ROLE", "Clerk | Auditor")]


def test_entitlements_are_one_item_for_each_value() -> None:
    assert meant(
        "operation,application,attributeName,attributeValue,identityname\n"
        'AddEntitlement,AD,memberOf,"CN=a,DC=x| CN=b",anna\nremoveEntitlement,A|B,group,c,anna\n'
    ) == [
        row("GRANT", "anna", "ENTITLEMENT", "AD|memberOf|CN=a,DC=x||AD|memberOf|CN=b"),
        row("REVOKE", "anna", "ENTITLEMENT", r"A\|B|group|c"),
    ]


def test_a_backslash_before_a_bar_stays_a_backslash() -> None:
    assert meant("operation,roles,identityName\nAddRole,A\\|B,anna\n") == [row("GRANT", "anna", "ROLE", r"A\\|B")]


def test_each_row_is_read_by_its_own_operation() -> None:
    table = read_text(
        "operation,roles,identityName,identity_id,item_type,item_id,remove_date,sunset\n"
        "AddRole,Clerk,anna,,,,,1/31/2027\n"
        "GRANT,,,p1,ROLE,r1,2027-01-31,\n"
    )
    assert table.rows.select(*OURS, "identity_id", "item_id", "remove_date", "_dates").rows() == [
        ("GRANT", "anna", "ROLE", "Clerk", None, None, "1/31/2027", "us"),
        ("GRANT", None, "ROLE", None, "p1", "r1", "2027-01-31", None),
    ]
    assert prepare(table.rows).collect()["remove_date"].dt.date().to_list() == [date(2027, 1, 31)] * 2


def test_sunrise_and_sunset_are_dates_of_the_american_form() -> None:
    rows = read_text(
        "operation,roles,identityName,sunrise,sunset\nAddRole,Clerk,anna,2/1/2027,02/22/2222 22:22:22 GMT+02:00\n"
    ).rows
    prepared = prepare(rows).collect()
    assert prepared.select(pl.col("start_date", "remove_date").dt.to_string("iso:strict")).row(0) == (
        "2027-02-01T00:00:00.000000+00:00",
        "2222-02-22T20:22:22.000000+00:00",
    )


def test_another_form_of_dates_can_be_given() -> None:
    text = "operation,roles,identityName,sunset\nAddRole,Clerk,anna,31.1.2027\n"
    interpretation = make_interpretation(date_format="eu")
    rows = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest", interpretation)).rows
    assert prepare(rows).collect()["remove_date"].dt.date().item() == date(2027, 1, 31)


def test_typed_dates_need_no_form() -> None:
    frame = {"operation": ["AddRole"], "roles": ["Clerk"], "identityName": ["anna"], "sunset": [date(2027, 1, 31)]}
    assert prepare(read_frame(pl.DataFrame(frame)).rows).collect()["remove_date"].dt.date().item() == date(2027, 1, 31)
    assert read_frame(pl.DataFrame({**frame, "sunrise": [""]})).rows["_dates"].item() == "iso"
    mixed = pl.DataFrame({**frame, "sunrise": ["1/2/2027"]})
    assert "`sunset` holds dates but column `sunrise` holds text" in refusal(lambda: read_frame(mixed)).message


def test_comments_are_kept_and_the_default_fills_blanks() -> None:
    text = "operation,roles,identityName,Comments\nRemoveRole,Clerk,anna,left\nRemoveRole,Clerk,bob,\n"
    interpretation = make_interpretation(comment="quarter")
    rows = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest", interpretation)).rows
    assert rows["comment"].to_list() == ["left", "quarter"]


def test_a_notice_explains_how_the_file_is_read() -> None:
    notices = read_text("operation,roles,identityName\nAddRole,Clerk,anna\n").notices
    assert len(notices) == 1
    assert "in.csv is a batch file of IdentityIQ" in notices[0]
    assert "month/day/year" in notices[0]


@pytest.mark.parametrize(("comment", "notices"), [("", 1), ("left", 0)])
def test_a_notice_names_the_option_for_revokes_without_a_comment(comment: str, notices: int) -> None:
    text = f"operation,roles,identityName,comments\nRemoveRole,Clerk,anna,{comment}\nAddRole,Clerk,bob,\n"
    assert sum("--comment" in notice for notice in read_text(text).notices) == notices
    loaded = LoadedInputs((Content("in.csv", text.encode()),), "digest", make_interpretation(comment="quarter"))
    assert not any("--comment" in notice for notice in read_loaded(loaded).notices)


def test_a_notice_says_that_an_account_beside_the_identity_has_no_effect() -> None:
    header = "operation,application,attributeName,attributeValue,nativeIdentity,identityName\n"
    table = read_text(f"{header}AddEntitlement,AD,memberOf,x,cn=anna,anna\n")
    assert table.rows["_row_problem"].item() is None
    assert "nativeIdentity is read as account" in table.notices[1]
    assert len(read_text(f"{header}AddEntitlement,AD,memberOf,x,cn=anna,\n").notices) == 1


@pytest.mark.parametrize(
    "word",
    ["CreateIdentity", "modifyidentity", "CreateAccount", "DeleteAccount", "EnableAccount", "DisableAccount",
     "UnlockAccount", "ChangePassword"],
)  # fmt: skip
def test_an_unsupported_operation_rejects_its_row_with_one_message(word: str) -> None:
    table = read_text(f"operation,name,email\n{word},anna,a@example.com\n")
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=NOW)
    assert validated.changes.is_empty()
    assert validated.rejected["rule"].to_list() == ["operation_possible"]
    assert word.upper() in validated.rejected["message"].item()


def test_unreadable_rows_name_their_problem() -> None:
    header = "operation,application,attributeName,attributeValue,nativeIdentity,identityName,item_type,roles\n"
    rows = (
        "AddEntitlement,AD,memberOf,x,cn=anna,,,",
        "AddEntitlement,AD,,x,,anna,,",
        "AddEntitlement,AD,memberOf,x||y,,anna,,",
        "AddRole,,,,,anna,ENTITLEMENT,Clerk",
        "AddRole,,,,,anna, role ,Clerk",
        "ChangePassword,,,,,anna,,",
    )
    found = problems(header + "\n".join(rows) + "\n")
    assert found == ["account", "entitlement", "entitlement", "item_type", None, "operation"]
    assert {one for one in found if one} == set(PROBLEMS)
    table = read_text(header + "\n".join(rows) + "\n")
    rejected = validate(table.rows, dialect=DIALECTS["beta"], now=NOW).rejected
    assert rejected["rule"].to_list()[:4] == [
        "identity_not_account", "entitlement_whole", "entitlement_whole", "operation_fits_item_type",
    ]  # fmt: skip


def test_columns_mapped_to_ours_replace_missing_columns_of_identityiq() -> None:
    interpretation = make_interpretation(maps=["User=identity", "What=item"])
    text = "operation,User,What\nAddRole,anna,Clerk\nRemoveEntitlement,anna,AD|memberOf|x\n"
    rows = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest", interpretation)).rows
    assert rows.select(OURS).to_dicts() == [
        row("GRANT", "anna", "ROLE", "Clerk"),
        row("REVOKE", "anna", "ENTITLEMENT", "AD|memberOf|x"),
    ]
    assert rows["_row_problem"].to_list() == [None, None]


def test_a_file_without_such_operations_still_needs_our_columns() -> None:
    assert "no column `identity_id`" in refusal(lambda: read_text("operation,roles,identityName\nGRANT,x,y\n")).message


def test_two_columns_of_one_name_are_refused() -> None:
    text = "operation,roles,Roles,identityName\nAddRole,a,b,anna\n"
    assert "two columns for `roles`" in refusal(lambda: read_text(text)).message


def test_a_column_of_ours_in_another_spelling_is_read_here_too() -> None:
    table = read_text("operation,roles,identityName,removeDate\nAddRole,a,anna,1/31/2027\n")
    assert table.rows["remove_date"].to_list() == ["1/31/2027"]
    assert "in.csv: read `removeDate` as `remove_date`." in table.notices


def test_rejected_rows_are_written_as_the_same_kind_of_file(tmp_path: Path) -> None:
    text = "operation,roles,identityName,sunset\nAddRole,Clerk,=anna,1/31/2027\nChangePassword,,bob,\n"

    def rejected_of(table: Table) -> bytes:
        everything = pl.DataFrame({"row": range(table.rows.height)}, schema={"row": pl.UInt32})
        about = everything.with_columns(rule=pl.lit("r"), message=pl.lit("m"))
        path = write_result_files(tmp_path, table, about, None, complain=pytest.fail)["rejected"]
        assert path
        return Path(path).read_bytes()

    first = read_text(text)
    written = rejected_of(first)
    assert written.decode().splitlines()[:2] == [
        '"operation","roles","identityName","sunset","_line","_rule","_message"',
        '"AddRole","Clerk","\'=anna","1/31/2027","2","r","m"',
    ]
    again = read_loaded(LoadedInputs((Content("rejected.csv", written),), "digest"))
    assert again.rows.drop("_file").equals(first.rows.drop("_file"))
    assert rejected_of(again) == written


def test_two_files_of_different_kinds_are_read_together() -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"identity_id": ["1"], "item_type": ["ROLE"], "item_id": ["2"]}).write_parquet(buffer)
    foreign = b"operation,roles,identityName\nAddRole,Clerk,anna\n"
    table = read_loaded(LoadedInputs((Content("a.csv", foreign), Content("b.parquet", buffer.getvalue())), "digest"))
    assert table.rows.select("operation", "identity", "identity_id", "_dates").rows() == [
        ("GRANT", "anna", None, "us"),
        (None, None, "1", None),
    ]
    assert table.originals["operation"].to_list() == ["AddRole", None]
