"""Every rule of the input schema: rows that break it, rows that keep it, and its message."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from batch.api.dialects import DIALECTS
from batch.read.date_forms import date_form
from batch.validate.prepare import prepare
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS, validate
from batch.validate.rules import rules, schema
from tests.plan.changes import (
    GOOD_ROW,
    IDENTITY,
    ITEM,
    NOW,
    OTHER_IDENTITY,
    OTHER_ITEM,
    broken_rules,
    in_odd_chunks,
    judged,
    only_change,
    rows,
)

FUTURE = "2027-01-31"
PAST = "2026-01-31"
REVOKE: dict[str, str | None] = {"operation": "REVOKE", "comment": "leaver"}
LONG = "no identity has 'anna' as " + "this or that or " * 20 + "another"

# rule, API version, cells that break it and nothing else, and a part of the message
BROKEN: list[tuple[str, str, dict[str, str | None], str]] = [
    ("operation_known", "beta", {"operation": "ADD"}, "'ADD' is unknown: write GRANT, REVOKE or EXTEND"),
    ("operation_known", "beta", {"operation": "MODIFY_ACCESS"}, "'MODIFY_ACCESS' is unknown"),
    ("operation_possible", "beta", {"_row_problem": "operation", "operation": "CreateIdentity"}, "access-batch can't"),
    ("operation_fits_item_type", "beta", {"_row_problem": "item_type"}, "the operation is for ROLEs"),
    ("identity_not_account", "beta", {"_row_problem": "account", "identity_id": None}, "give identityName"),
    ("entitlement_whole", "beta", {"_row_problem": "entitlement", "item_id": None}, "give application, attributeName"),
    ("cell_readable", "beta", {"_row_problem": "column `item` holds an error", "item_id": None}, "holds an error"),
    ("identity_id_present", "beta", {"identity_id": None}, "give identity_id or identity"),
    ("identity_id_present", "beta", {"identity_id": "  "}, "give identity_id or identity"),
    ("identity_id_shape", "beta", {"identity_id": "0012"}, "identity_id '0012' is not an id"),
    ("identity_id_shape", "beta", {"identity_id": IDENTITY + "0"}, "32 hex digits"),
    (
        "identity_id_shape",
        "beta",
        {"identity_id": "0\n1\u00a0\u200b2"},
        r"identity_id '0\n1\u00a0\u200b2' is not an id",
    ),
    ("identity_id_shape", "beta", {"identity_id": IDENTITY[:-1] + "g"}, "is not an id"),
    ("identity_id_shape", "beta", {"identity_id": f"{IDENTITY}|{IDENTITY}"}, "is not an id"),
    ("identity_id_shape", "beta", {"identity_id": OTHER_IDENTITY.replace("-", "", 1)}, "is not an id"),
    ("identity_found", "beta", {"identity_id": None, "_identity_problem": LONG}, LONG),
    ("item_found", "beta", {"item_id": None, "_item_problem": LONG}, LONG),
    ("identity_agrees", "beta", {"_identity_conflict": LONG}, LONG),
    ("item_agrees", "beta", {"_item_conflict": LONG}, LONG),
    ("item_type_present", "beta", {"item_type": ""}, "item_type is missing"),
    ("item_type_known", "beta", {"item_type": "GROUP"}, "'GROUP' is unknown: write ROLE, ACCESS_PROFILE or"),
    ("item_id_present", "beta", {"item_id": ""}, "give item_id or item"),
    ("item_id_shape", "beta", {"item_id": "1e5"}, "item_id '1e5' is not an id"),
    ("item_id_shape", "beta", {"item_id": f"{ITEM}|"}, "is not an id"),
    ("item_id_shape", "beta", {"item_id": f"| {ITEM}"}, "is not an id"),
    ("item_id_shape", "beta", {"item_id": f"{ITEM}||{OTHER_ITEM}"}, "is not an id"),
    ("item_id_shape", "beta", {"item_id": f"{ITEM}| |{OTHER_ITEM}"}, "is not an id"),
    ("item_id_shape", "beta", {"item_id": f"{ITEM}|x"}, "is not an id"),
    ("item_id_shape", "beta", {"item_id": f"{ITEM} {OTHER_ITEM}"}, "is not an id"),
    ("ticket_given", "beta", {"_ticket_problem": "the ticket is missing"}, "the ticket is missing"),
    ("revoke_has_comment", "beta", {"operation": "REVOKE"}, "a revoke needs a comment"),
    ("revoke_has_comment", "v1", {"operation": "revoke", "comment": " "}, "a revoke needs a comment"),
    ("revoke_comment_says_why", "beta", {"operation": "REVOKE", "comment": "N/A"}, "and 'N/A' says nothing: say why"),
    ("start_date_readable", "v2025", {"start_date": "soon"}, "start_date 'soon' is not a date: write 2027-01-31 or"),
    ("remove_date_readable", "beta", {"remove_date": "31.01.2027"}, "remove_date '31.01.2027' is not a date"),
    ("extend_has_remove_date", "beta", {"operation": "EXTEND"}, "give a remove_date, or the word none"),
    ("extend_has_remove_date", "beta", {"operation": "extend", "remove_date": " "}, "give a remove_date"),
    ("extend_removes_remove_date", "beta", {"remove_date": "none"}, "only an EXTEND can have the remove_date 'none'"),
    ("extend_removes_remove_date", "beta", {**REVOKE, "remove_date": "None"}, "write EXTEND to remove an end date"),
    (
        "extend_has_no_start_date",
        "v2025",
        {"operation": "EXTEND", "start_date": FUTURE, "remove_date": "2027-02-28"},
        "clear start_date",
    ),
    ("start_date_has_zone", "v2025", {"start_date": "2027-01-31T09:00"}, "has a time without a zone: add Z or"),
    ("remove_date_has_zone", "beta", {"remove_date": "2027-01-31 09:00:00"}, "has a time without a zone"),
    (
        "start_date_on_clock",
        "v2025",
        {"_dates": "iso\x1fEurope/Berlin", "start_date": "2027-03-28T02:30"},
        "is a time that the clocks in Europe/Berlin skip: write another time",
    ),
    (
        "remove_date_on_clock",
        "beta",
        {"_dates": "iso\x1fEurope/Berlin", "remove_date": "2027-10-31T02:30"},
        "is a time that the clocks in Europe/Berlin show twice",
    ),
    ("start_date_in_future", "v2025", {"start_date": PAST}, f"start_date '{PAST}' is not in the future"),
    ("remove_date_in_future", "beta", {"remove_date": PAST}, f"remove_date '{PAST}' is not in the future"),
    ("remove_date_in_future", "beta", {"remove_date": "2026-11-23T12:00:00Z"}, "is not in the future"),
    ("start_before_remove", "v2025", {"start_date": FUTURE, "remove_date": FUTURE}, "is not after start_date"),
    ("start_before_remove", "v1", {"start_date": FUTURE, "remove_date": "2027-01-30"}, "is not after"),
    ("start_date_supported", "beta", {"start_date": FUTURE}, "this API version has no start_date"),
    ("start_date_not_on_revoke", "v2025", {**REVOKE, "start_date": FUTURE}, "a revoke can't have a start_date"),
    ("remove_date_not_on_entitlement", "beta", {"item_type": "ENTITLEMENT", "remove_date": FUTURE}, "an entitlement"),
    ("comment_printable", "beta", {"comment": "bell\a"}, "comment contains control characters"),
    ("comment_printable", "beta", {"comment": "\x7fdelete"}, "comment contains control characters"),
    ("comment_printable", "beta", {"comment": "next\x85line"}, "comment contains control characters"),
    ("metadata_printable", "beta", {"metadata.ticket": "nul\0"}, "metadata contains control characters"),
    ("metadata_key_free", "beta", {"metadata.accessBatchRequest": "mine"}, "access-batch reserves"),
    ("metadata_key_free", "beta", {"metadata.accessBatchItem": "mine"}, "access-batch reserves"),
]


@pytest.mark.parametrize(("rule", "api", "cells", "message"), BROKEN)
def test_a_row_that_breaks_one_rule_is_rejected_with_its_name(
    rule: str, api: str, cells: dict[str, str | None], message: str
) -> None:
    validated = judged(cells, api=api)
    assert validated.changes.is_empty()
    assert validated.rejected.get_column("rule").to_list() == [rule]
    assert message in validated.rejected.get_column("message").item()


def test_an_example_above_breaks_every_rule_of_the_schema() -> None:
    assert {rule for rule, *_ in BROKEN} == set(rules(DIALECTS["beta"], NOW))


@pytest.mark.parametrize("api", DIALECTS)
def test_every_rule_has_exactly_one_message(api: str) -> None:
    declared = rules(DIALECTS[api], NOW)
    input_row = schema(declared)
    _, failure = input_row.filter(prepare(rows({})).collect())
    named = {name for name in failure.details().columns if name not in input_row.column_names()}
    assert named == {*declared} | {name for name in named if "|" in name}
    assert {name for name in named if "|" in name} <= {
        f"{column}|nullability"
        for column in ("row", "metadata_control", "metadata_reserved", "start_date_zoneless", "remove_date_zoneless")
    }, "a rule of a column's own could reject a row without a message"
    assert all(rule.message.count("{}") == len(rule.shown) for rule in declared.values())


@pytest.mark.parametrize(
    ("api", "cells"),
    [
        ("beta", {}),
        ("beta", {"operation": " grant "}),
        ("beta", {"operation": "Revoke", "comment": "left"}),
        ("beta", {"operation": "revoke-access", "comment": "left"}),
        ("beta", {"item_type": "\taccess_Profile "}),
        ("beta", {"item_type": "entitlement"}),
        ("beta", {"item_type": "Access Profile"}),
        ("beta", {"item_type": "accessProfile\u200b"}),
        ("beta", {"operation": "GRANT_ACCESS"}),
        ("beta", {"identity_id": OTHER_IDENTITY}),
        ("beta", {"identity_id": f" {IDENTITY}\n"}),
        ("beta", {"comment": 'two lines\r\nand a\ttab, «quotes» " and 🎉'}),
        ("beta", {"remove_date": FUTURE}),
        ("beta", {"item_type": "ACCESS_PROFILE", "remove_date": FUTURE}),
        ("beta", {**REVOKE, "remove_date": FUTURE}),
        ("beta", {"comment": "N/A"}),
        ("beta", {"start_date": "  "}),
        ("v2025", {"start_date": FUTURE, "remove_date": "2027-02-01"}),
        ("v2025", {"item_type": "ENTITLEMENT", "remove_date": FUTURE}),
        ("v2025", {"start_date": FUTURE}),
        ("beta", {"metadata.accessBatchRequest": ""}),
        ("beta", {"metadata.ticket": '"accessBatchRequest":'}),
        ("beta", {"metadata.accessBatchRequests": "mine"}),
        ("beta", {'metadata.my"accessBatchRequest': "mine"}),
    ],
)
def test_a_good_row_breaks_no_rule(api: str, cells: dict[str, str | None]) -> None:
    validated = judged(cells, api=api)
    assert validated.rejected.rows() == []
    assert validated.changes.height == 1


def test_a_revoke_whose_comment_says_nothing_is_rejected_however_it_says_that() -> None:
    nothing = [
        "NULL",
        "#N/A",
        "-",
        ".",
        "n/a",
        "na",
        "None",
        " null ",
        "...",
        "\u2013 \u2013",
        "?",
        "#REF!",
        "N. A.",
        "=",
        "_",
    ]
    something = ["N/A today", "1", "left.", "Null, A.", "\u96e2", "Nil Smith"]
    validated = judged(*({**REVOKE, "comment": text} for text in (*nothing, *something)))
    assert validated.changes.get_column("comment").to_list() == something
    assert set(validated.rejected.get_column("rule")) == {"revoke_comment_says_why"}


def test_a_metadata_key_with_a_control_character_is_never_sent() -> None:
    assert judged({"metadata.tick\aet": "T-1"}).changes.is_empty()


def test_later_api_versions_allow_start_dates_and_remove_dates_of_entitlements() -> None:
    ended = {"item_type": "ENTITLEMENT", "remove_date": FUTURE}
    started = {"start_date": FUTURE}
    assert [api for api in DIALECTS if broken_rules(api, **ended)] == ["beta"]
    assert [api for api in DIALECTS if broken_rules(api, **started)] == ["beta"]


def test_a_row_that_breaks_several_rules_names_each_with_its_message() -> None:
    cells: dict[str, str | None] = {
        "operation": "revoke",
        "identity_id": "joe",
        "item_type": "entitlement",
        "item_id": "",
        "start_date": "soon",
        "remove_date": PAST,
        "metadata.k": "\x01",
    }
    (_, rule, message) = judged(cells).rejected.row(0)
    broken = rule.split("; ")
    assert set(broken) == {
        "identity_id_shape",
        "item_id_present",
        "revoke_has_comment",
        "start_date_readable",
        "start_date_supported",
        "start_date_not_on_revoke",
        "remove_date_in_future",
        "remove_date_not_on_entitlement",
        "metadata_printable",
    }
    sentences = [rules(DIALECTS["beta"], NOW)[name].message for name in broken]
    shown = iter(["joe", "soon", date_form("iso").example, PAST])
    assert message == "; ".join(text.format(*(next(shown) for _ in range(text.count("{}")))) for text in sentences)


def test_the_apis_words_are_sent_as_ours() -> None:
    change = only_change(operation="REVOKE_ACCESS", item_type="access profile", comment="left")
    assert (change["operation"], change["item_type"]) == ("REVOKE", "ACCESS_PROFILE")


def test_a_cell_with_braces_is_shown_as_it_is() -> None:
    assert "identity_id '{}' is not an id" in judged({"identity_id": "{}"}).rejected.get_column("message").item()


def test_bad_rows_do_not_stop_good_rows_and_both_keep_their_positions() -> None:
    validated = judged({}, {"item_type": "GROUP"}, {"item_id": OTHER_ITEM}, {"identity_id": "x"}, {})
    assert validated.changes.get_column("row").to_list() == [0, 2, 4]
    assert validated.rejected.select("row", "rule").rows() == [(1, "item_type_known"), (3, "identity_id_shape")]


def test_all_good_rows_leave_no_rejected_ones() -> None:
    validated = judged({}, {}, {})
    assert (validated.changes.height, validated.rejected.height) == (3, 0)
    assert validated.rejected.columns == ["row", "rule", "message"]


def test_all_bad_rows_leave_no_changes() -> None:
    validated = judged({"item_id": "x"}, {"item_id": "y"})
    assert (validated.changes.height, validated.rejected.height) == (0, 2)
    assert validated.changes.columns == ["row", *CHANGE_COLUMNS, EXTENDS]


def test_an_empty_frame_gives_neither_changes_nor_rejected_rows() -> None:
    validated = validate(rows(), dialect=DIALECTS["beta"], now=NOW)
    assert (validated.changes.height, validated.rejected.height) == (0, 0)
    assert validated.changes.columns == ["row", *CHANGE_COLUMNS, EXTENDS]
    assert validated.rejected.columns == ["row", "rule", "message"]


def test_without_optional_columns_the_operation_is_a_grant() -> None:
    validated = validate(pl.DataFrame([GOOD_ROW]), dialect=DIALECTS["beta"], now=NOW)
    assert validated.changes.to_dicts() == [
        {
            "row": 0,
            "operation": "GRANT",
            "identity_id": IDENTITY,
            "item_type": "ROLE",
            "item_id": ITEM,
            "comment": "",
            "start_date": "",
            "remove_date": "",
            "metadata": "",
            "account": "",
            "selection": "",
            "extends": False,
        }
    ]


@pytest.mark.parametrize(
    ("cells", "date"),
    [
        ({"operation": "EXTEND", "remove_date": FUTURE}, "2027-01-31T00:00:00Z"),
        ({"operation": "extend access", "remove_date": " NONE "}, "none"),
        ({"operation": "Extend", "remove_date": "none", "item_type": "ENTITLEMENT"}, "none"),
    ],
)
def test_an_extend_is_a_grant_with_the_new_end_date_or_the_word_for_none(cells: dict[str, str], date: str) -> None:
    change = only_change(**cells)
    wanted: dict[str, Any] = {"operation": "GRANT", "remove_date": date, "extends": True}
    assert {name: change[name] for name in wanted} == wanted


def test_without_id_columns_every_row_is_rejected_for_each_of_them() -> None:
    nothing = pl.DataFrame({"comment": ["a", "b"]})
    validated = validate(nothing, dialect=DIALECTS["beta"], now=NOW)
    assert (
        validated.rejected.get_column("rule").to_list()
        == ["identity_id_present; item_type_present; item_id_present"] * 2
    )


def test_a_blank_operation_is_a_grant() -> None:
    assert only_change(operation="  ")["operation"] == "GRANT"


def test_unknown_columns_have_no_effect() -> None:
    assert only_change(department="\a", row="7", metadata="x") == only_change()


def test_operation_and_type_become_canonical_while_ids_keep_their_letter_case() -> None:
    mixed = "2C9180857182305e0171993735622948"
    change = only_change(
        operation=" revoke",
        item_type=" Access_profile",
        identity_id=f" {OTHER_IDENTITY} ",
        item_id=mixed,
        comment=" c ",
    )
    assert (change["operation"], change["item_type"], change["comment"]) == ("REVOKE", "ACCESS_PROFILE", "c")
    assert (change["identity_id"], change["item_id"]) == (OTHER_IDENTITY, mixed)


@pytest.mark.parametrize("separator", ["|", " | ", "\t|\n", "|  "])
def test_items_separated_by_a_bar_become_one_change_each_in_order(separator: str) -> None:
    cell = separator.join([OTHER_ITEM, ITEM, OTHER_ITEM])
    validated = judged({"item_id": cell, "comment": "joiner"}, {"item_id": ITEM})
    assert validated.changes.select("row", "item_id", "comment").rows() == [
        (0, OTHER_ITEM, "joiner"),
        (0, ITEM, "joiner"),
        (0, OTHER_ITEM, "joiner"),
        (1, ITEM, ""),
    ]


def test_an_empty_first_chunk_does_not_change_validation() -> None:
    frame = rows(
        {"item_id": f"{ITEM}|{OTHER_ITEM}", "remove_date": FUTURE, "metadata.k": "v"},
        {"operation": "ADD", "identity_id": "{}", "remove_date": "soon"},
        {"operation": "revoke"},
        {"start_date": "2027-01-31T09:00"},
    )
    whole = validate(frame, dialect=DIALECTS["beta"], now=NOW)
    odd = validate(in_odd_chunks(frame), dialect=DIALECTS["beta"], now=NOW)
    assert odd.changes.equals(whole.changes)
    assert odd.rejected.equals(whole.rejected)
    assert (whole.changes.height, whole.rejected.height) == (2, 3)


def test_different_bad_rows_are_each_rejected_by_their_own_rule() -> None:
    beta = [(rule, cells) for rule, api, cells, _ in BROKEN if api == "beta"]
    validated = judged(*(cells for _, cells in beta), {})
    assert validated.rejected.get_column("rule").to_list() == [rule for rule, _ in beta]
    assert validated.changes.get_column("row").to_list() == [len(beta)]
