"""The tenant's rules: which changes break each, what that means for their rows, and that silence breaks none."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.dedupe.classify import TENANT_VERDICTS
from batch.status.findings import (
    BREAKS,
    FINDINGS,
    TenantFacts,
    Warned,
    entitlements_to_ask,
    findings,
    items_to_ask,
    people_to_ask,
    rejections,
    rule_and_message,
    warnings,
)
from batch.status.tenant_facts import KNOWN, ItemFacts, PersonFacts
from batch.validate.tenant_rules import TENANT_RULES, About

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SHOWN = ItemFacts(listed=True)


def changes(*some: dict[str, Any]) -> pl.DataFrame:
    usual = {
        "operation": "GRANT",
        "identity_id": "anna",
        "item_type": "ROLE",
        "item_id": "r1",
        "comment": "",
        "start_date": "",
        "remove_date": "",
        "account": "",
        "file": "a.csv",
    }
    rows = [{**usual, "row": n, "line": n + 2, **one} for n, one in enumerate(some)]
    return pl.DataFrame(rows, schema_overrides={"row": pl.UInt32})


def broken(
    cells: dict[str, str],
    *,
    item: ItemFacts = SHOWN,
    person: PersonFacts = KNOWN,
    pairs: dict[str, Any] | None = None,
    ignored: tuple[str, ...] = (),
) -> list[str]:
    """The rules that one change breaks."""
    wanted = changes(cells)
    kind = (wanted.item(0, "item_type"), "r1")
    facts = TenantFacts(items={kind: item}, people={"anna": person}, **(pairs or {}))
    return findings(wanted, facts, now=NOW, ignored=ignored).get_column("rule").to_list()


REVOKE = {"operation": "REVOKE", "comment": "left"}
PAIR = {"anna": [("ROLE", "r1")]}
ROLES = frozenset({"ROLE"})

# rule, what the tenant says, cells of the row
BROKEN: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("item_unlisted", {"item": ItemFacts(listed=False)}, {}),
    ("item_unlisted", {"item": ItemFacts(listed=False)}, REVOKE),
    ("item_disabled", {"item": ItemFacts(enabled=False)}, {}),
    ("item_not_requestable", {"item": ItemFacts(requestable=False)}, {}),
    ("end_date_required", {"item": ItemFacts(end_date_required=True)}, {}),
    ("end_date_required", {"item": ItemFacts(end_date_required=True, longest_hours=24)}, {}),
    ("end_date_too_late", {"item": ItemFacts(longest_hours=24)}, {"remove_date": "2026-11-30T12:00:01Z"}),
    (
        "end_date_too_late",
        {"item": ItemFacts(longest_hours=24)},
        {"start_date": "2026-12-24T00:00:00.500Z", "remove_date": "2026-12-25T00:00:02Z"},
    ),
    ("end_date_too_late", {"item": ItemFacts(longest_hours=24)}, {}),
    ("comment_required", {"item": ItemFacts(comment_required=True)}, {}),
    ("form_required", {"item": ItemFacts(form_required=True)}, {}),
    ("reauthorization_required", {"item": ItemFacts(reauthorization_required=True)}, {}),
    ("person_unlisted", {"person": PersonFacts(listed=False)}, {}),
    ("person_inactive", {"person": PersonFacts(inactive=True)}, {}),
    ("person_protected", {"person": PersonFacts(protected=True)}, {}),
    ("held_by_membership", {"pairs": {"irrevocable": PAIR}}, REVOKE),
    (
        "held_indirectly",
        {"pairs": {"irrevocable": {"anna": [("ENTITLEMENT", "r1")]}}},
        {**REVOKE, "item_type": "ENTITLEMENT"},
    ),
    ("extend_not_held", {"pairs": {"unheld": PAIR}}, {"remove_date": "2027-01-31T00:00:00Z"}),
]


@pytest.mark.parametrize(("rule", "said", "cells"), BROKEN)
def test_a_change_that_breaks_a_rule_is_found(rule: str, said: dict[str, Any], cells: dict[str, str]) -> None:
    assert broken(cells, **said) == [rule]
    assert broken(cells, **said, ignored=(rule,)) == []


KEPT: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"item": ItemFacts(end_date_required=True)}, {"remove_date": "2027-01-31T00:00:00Z"}),
    ({"item": ItemFacts(longest_hours=24)}, {"remove_date": "2026-11-30T12:00:00Z"}),
    (
        {"item": ItemFacts(longest_hours=24)},
        {"start_date": "2026-12-24T00:00:00Z", "remove_date": "2026-12-25T00:00:00Z"},
    ),
    ({"item": ItemFacts(comment_required=True)}, {"comment": "new hire"}),
    ({"pairs": {"irrevocable": PAIR}}, {}),
    ({"pairs": {"irrevocable": {"anna": [("ROLE", "r2")], "ben": [("ROLE", "r1")]}}}, REVOKE),
    ({"pairs": {"irrevocable": PAIR}}, {**REVOKE, "item_type": "ACCESS_PROFILE"}),
]


@pytest.mark.parametrize(("said", "cells"), KEPT)
def test_a_change_that_keeps_the_rules_is_not_found(said: dict[str, Any], cells: dict[str, str]) -> None:
    assert broken(cells, **said) == []


def test_leavers_lose_their_access_although_they_are_inactive_and_their_items_out_of_use() -> None:
    gone = PersonFacts(listed=False, inactive=True, protected=True)
    item = ItemFacts(
        enabled=False,
        requestable=False,
        end_date_required=True,
        longest_hours=0,
        comment_required=True,
        form_required=True,
        reauthorization_required=True,
    )
    assert broken(REVOKE, item=item, person=gone) == []


def test_every_rule_has_a_condition_and_a_remedy() -> None:
    assert list(BREAKS) == list(TENANT_RULES)
    assert {rule for rule, _, _ in BROKEN} == set(TENANT_RULES)
    for rule in TENANT_RULES.values():
        assert rule.problem
        assert rule.remedy
        assert "{}" not in rule.problem or rule.about is not About.PERSON
        assert ": " not in rule.problem


flags = st.sampled_from([None, True, False])


@given(
    item=st.builds(
        ItemFacts, **{one.name: flags for one in fields(ItemFacts) if one.name not in {"longest_hours", "approvers"}}
    ),
    person=st.builds(PersonFacts, listed=flags, inactive=flags, protected=flags),
    operation=st.sampled_from(["GRANT", "REVOKE"]),
    pairs=st.sampled_from([{}, PAIR]),
)
def test_silence_breaks_no_rule_and_what_the_tenant_shows_alone_rejects_no_row(
    item: ItemFacts, person: PersonFacts, operation: str, pairs: dict[str, Any]
) -> None:
    wanted = changes({"operation": operation, "comment": "c"})
    silent = TenantFacts(items={("ROLE", "r1"): ItemFacts()}, people={"anna": PersonFacts()})
    assert findings(wanted, silent, now=NOW).is_empty()
    assert findings(wanted, TenantFacts(), now=NOW).is_empty()
    facts = TenantFacts(items={("ROLE", "r1"): item}, people={"anna": person}, irrevocable=pairs)
    found = findings(wanted, facts, now=NOW)
    assert rejections(found, strict=False).is_empty()
    assert rejections(found, strict=True).height == bool(set(found.get_column("rule")) - {"person_unlisted"})


def certain(found: pl.DataFrame, rule: str) -> pl.DataFrame:
    """The findings, of which this tenant has refused before what breaks a rule."""
    return found.with_columns(certain=pl.col("rule") == rule)


def test_a_rejected_change_names_its_rules_and_what_to_do() -> None:
    profile = ("ACCESS_PROFILE", "r1")
    facts = TenantFacts(items={profile: ItemFacts(listed=False)}, irrevocable={"anna": [profile]})
    cells = {"item_type": "ACCESS_PROFILE", **REVOKE}
    found = certain(findings(changes(cells, {"identity_id": "ben"}), facts, now=NOW), "held_by_membership")
    assert found.schema == FINDINGS
    rejected = rejections(found, strict=False)
    assert rejected.schema == TENANT_VERDICTS
    membership = (
        "the tenant does not show this access profile as revocable, so a role or a lifecycle state may give it; if so, "
        "change that in the tenant"
    )
    assert rejected.rows() == [("anna", *profile, "", "rejected", f"held_by_membership: {membership}")]
    both = rejections(found, strict=True)
    unlisted = "the tenant lists no access profile with this id; check item_type and item_id"
    rule, message = both.select(*rule_and_message(pl.col("tenant_reason"))).row(0)
    assert (rule, message) == ("item_unlisted; held_by_membership", f"{unlisted}; {membership}")


def test_warnings_count_rows_by_rule_and_file_and_leave_rejected_rows_out() -> None:
    facts = TenantFacts(
        items={
            ("ROLE", "r1"): ItemFacts(requestable=False, end_date_required=True),
            ("ROLE", "r2"): SHOWN,
            ("ROLE", "r3"): ItemFacts(listed=False),
        },
        irrevocable={"ben": [("ROLE", "r3")]},
    )
    wanted = changes(
        {},
        {"identity_id": "ben", "item_id": "r3", **REVOKE},
        {"item_id": "r2"},
        {"file": "b.csv", "remove_date": "2027-01-31"},
    )
    found = certain(findings(wanted, facts, now=NOW), "held_by_membership")
    rejected = rejections(found, strict=False)
    assert rejected.get_column("identity_id").to_list() == ["ben"]
    assert warnings(found, rejected) == (
        Warned(rule="item_not_requestable", lines={"a.csv": (2,), "b.csv": (5,)}, kinds=ROLES),
        Warned(rule="end_date_required", lines={"a.csv": (2,)}, kinds=ROLES),
    )
    assert [one.rows for one in warnings(found, rejected)] == [2, 1]
    assert warnings(found, rejections(found, strict=True)) == ()


def test_strict_rejects_nobody_whom_lists_lack_since_the_index_lags_and_the_other_list_may_be_closed() -> None:
    found = findings(changes({}), TenantFacts(people={"anna": PersonFacts(listed=False)}), now=NOW)
    rejected = rejections(found, strict=True)
    assert rejected.is_empty()
    assert [one.rule for one in warnings(found, rejected)] == ["person_unlisted"]


def test_a_row_with_several_items_counts_once() -> None:
    facts = TenantFacts(items={("ROLE", name): ItemFacts(requestable=False) for name in ("r1", "r2")})
    found = findings(changes({}, {"item_id": "r2", "row": 0, "line": 2}), facts, now=NOW)
    assert [one.lines for one in warnings(found, rejections(found, strict=False))] == [{"a.csv": (2,)}]


def test_each_item_is_asked_once_and_only_people_who_get_something_and_are_not_in_the_index() -> None:
    wanted = changes(
        {"item_id": "r2"},
        {"item_id": "r1"},
        {"item_id": "r1", "identity_id": "ben"},
        {"item_type": "ENTITLEMENT", "identity_id": "carl", **REVOKE},
        {"identity_id": "dora"},
    )
    assert items_to_ask(wanted) == {ItemType.ENTITLEMENT: ["r1"], ItemType.ROLE: ["r1", "r2"]}
    missing = PersonFacts(listed=False)
    assert people_to_ask(wanted, {"anna": KNOWN, "ben": missing, "carl": missing}) == ["ben"]


@pytest.mark.parametrize(
    "facts", [ItemFacts(), ItemFacts(approvers=("OWNER", "MANAGER"), revoke_approvers=(), owner="o1"), SHOWN]
)
def test_facts_of_items_survive_being_cached(facts: ItemFacts) -> None:
    assert ItemFacts.from_list(facts.as_list()) == facts


def test_facts_of_people_survive_being_cached() -> None:
    facts = PersonFacts(listed=True, inactive=False, lifecycle="on leave", name="Anna")
    assert PersonFacts.from_list(facts.as_list()) == facts


def test_the_entitlements_that_are_granted_most_often_are_asked_for_their_configuration_first() -> None:
    often = {"item_type": "ENTITLEMENT", "item_id": "e2"}
    wanted = changes(
        {"item_type": "ENTITLEMENT", "item_id": "e1"},
        *[often] * 2,
        {"item_type": "ENTITLEMENT", "item_id": "e3", "operation": "REVOKE"},
        {"item_type": "ENTITLEMENT", "item_id": "e0"},
        {"item_type": "ROLE", "item_id": "r1"},
    )
    assert entitlements_to_ask(wanted) == ["e2", "e0", "e1"]


def test_a_configuration_adds_to_what_the_list_says_and_takes_nothing_away() -> None:
    listed = ItemFacts(listed=True, requestable=False, owner="o1", name="Clerk", comment_required=True)
    rules = ItemFacts(listed=True, end_date_required=True, comment_required=False)
    assert listed.with_rules(rules) == ItemFacts(
        listed=True,
        requestable=False,
        owner="o1",
        name="Clerk",
        end_date_required=True,
        comment_required=False,
    )


def test_facts_that_an_older_version_has_cached_lack_the_names() -> None:
    assert ItemFacts.from_list(SHOWN.as_list()[:-2]) == SHOWN
    assert PersonFacts.from_list([True, None, None, "on leave"]) == PersonFacts(listed=True, lifecycle="on leave")
