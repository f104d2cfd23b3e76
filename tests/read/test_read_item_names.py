"""The names of items in one cell: no name is lost, cut or joined to another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ItemType
from batch.read.item_names import EntitlementName, entitlement_name, join_items, split_items, with_bars
from tests.read.read_helpers import read_text

# Mostly the risky characters: separators and backslashes, in runs.
NAMES = st.text(st.sampled_from("ab|\\ "), max_size=8).map(str.strip) | st.text(max_size=8).map(str.strip)
FILLED = NAMES.filter(bool)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("Auditor", ("Auditor",)),
        ("Auditor|Clerk", ("Auditor", "Clerk")),
        (" Auditor | Clerk ", ("Auditor", "Clerk")),
        (r"Either\|Or|Clerk", ("Either|Or", "Clerk")),
        (r"DOMAIN\group", (r"DOMAIN\group",)),
        (r"ends in \\|Clerk", ("ends in \\", "Clerk")),
        ("Auditor||Clerk", ("Auditor", "", "Clerk")),
        ("Auditor|", ("Auditor", "")),
    ],
)
@pytest.mark.parametrize("item_type", [ItemType.ROLE, ItemType.ACCESS_PROFILE])
def test_a_bar_separates_roles_and_access_profiles(item_type: str, cell: str, names: tuple[str, ...]) -> None:
    assert split_items(item_type, cell) == names


@pytest.mark.parametrize(
    ("cell", "entitlements"),
    [
        ("AD|memberOf|CN=Users", [("AD", "memberOf", "CN=Users")]),
        ("AD|Domain Users", [("AD", "", "Domain Users")]),
        (" AD | memberOf | CN=Users || SAP|T-1 ", [("AD", "memberOf", "CN=Users"), ("SAP", "", "T-1")]),
        (r"AD|role|read\|write||AD|x", [("AD", "role", "read|write"), ("AD", "", "x")]),
        (r"AD|path|C:\\||AD|x", [("AD", "path", "C:\\"), ("AD", "", "x")]),
    ],
)
def test_two_bars_separate_entitlements(cell: str, entitlements: list[tuple[str, str, str]]) -> None:
    found = [entitlement_name(text) for text in split_items("ENTITLEMENT", cell)]
    assert found == [EntitlementName(source=s, attribute=a, value=v) for s, a, v in entitlements]


@pytest.mark.parametrize("text", ["AD", "", "AD|a|b|c", "AD|", "|a", "AD| |b", "AD|a|"])
def test_text_with_other_parts_is_no_entitlement(text: str) -> None:
    assert entitlement_name(text) is None


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_joined_names_split_into_the_same_names(names: list[str]) -> None:
    assert split_items("ROLE", join_items("ROLE", names)) == tuple(names)


@given(st.lists(st.builds(EntitlementName, source=FILLED, attribute=NAMES, value=FILLED), min_size=1, max_size=4))
def test_joined_entitlements_split_into_the_same_entitlements(names: list[EntitlementName]) -> None:
    cell = join_items("ENTITLEMENT", [name.text for name in names])
    assert [entitlement_name(text) for text in split_items("ENTITLEMENT", cell)] == names


@pytest.mark.parametrize(
    ("cell", "ours"),
    [
        ("AD|g|x;AD|g|y", "AD|g|x||AD|g|y"),
        (" AD|g|x ; SAP|r|y ;HR|p|z", "AD|g|x||SAP|r|y||HR|p|z"),
        (r"AD|g|a\|b;AD|g|y||SAP|T", r"AD|g|a\|b||AD|g|y||SAP|T"),
        ("AD|g|x;y", None),
        ("AD|x;AD|y", None),
        ("AD|g|x;y;AD|g|z", None),
        ("AD|g|x;AD|y", None),
        ("AD|g|x;", None),
        ("AD|g|x;;AD|g|y", None),
    ],
)
def test_semicolons_separate_entitlements_only_if_nothing_else_can_be_meant(cell: str, ours: str | None) -> None:
    assert with_bars(cell) == ours


def test_the_entitlements_of_the_editor_extension_are_read_with_a_notice() -> None:
    table = read_text(
        "identity,item_type,item\nanna,Entitlement,AD|g|x;AD|g|y\nanna,ROLE,AD|g|x;AD|g|y\nbob,ENTITLEMENT,AD|g|x;y\n"
    )
    assert table.rows["item"].to_list() == ["AD|g|x||AD|g|y", "AD|g|x;AD|g|y", "AD|g|x;y"]
    assert table.originals["item"][0] == "AD|g|x;AD|g|y"
    assert table.notices == ("in.csv: `;` separates the entitlements of 1 row, first line 2.",)
