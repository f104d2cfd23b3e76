"""Accounts are compared as their systems compare them; what can't be told apart is not different."""

from __future__ import annotations

import pytest

from batch.api.account_key import account_key, is_account, native_word, row_key, uuid_word, words_of, written
from batch.api.accounts import chosen_account, grant_selection, is_selected, named_account, row_accounts

OURS = account_key({"id": "acct1", "uuid": uuid_word("{FAB-1}"), "native": native_word("CN=Anna, OU=Staff")})


@pytest.mark.parametrize(
    ("uuid", "account", "same"),
    [
        ("", "cn=anna,ou=STAFF", True),
        ("", "CN=Anna,   OU=Staff", True),
        ("", "ACCT-1", True),
        ("fab1", "", True),
        ("fab1", "CN=Somebody", True),
        ("", "CN=Somebody", False),
        ("other", "", False),
    ],
)
def test_a_row_is_of_an_account_by_any_word_in_any_spelling(uuid: str, account: str, *, same: bool) -> None:
    assert is_account(OURS, row_key(uuid, account)) is same


@pytest.mark.parametrize(
    ("key", "uuid", "account"),
    [
        (account_key({"native": "cn=anna"}), "", "acct9"),
        (account_key({"native": "cn=anna"}), "fab1", ""),
        (account_key({"id": "acct1"}), "", "CN=Anna"),
        ("as an older version has written it", "", "CN=Anna"),
    ],
)
def test_without_a_word_of_one_kind_nobody_knows(key: str, uuid: str, account: str) -> None:
    assert is_account(key, row_key(uuid, account)) is None
    assert is_selected(key, row_accounts([{"accountUuid": uuid, "accountId": account}])) is None


def test_a_row_that_names_no_account_tells_nothing() -> None:
    assert row_key("", " ") == ""
    assert is_selected(OURS, row_accounts([{"name": "anna"}, 7])) is None


def test_a_row_names_an_account_by_what_its_request_names_if_that_is_too_long_for_a_key() -> None:
    native = f"CN={'lorem ipsum,' * 25}"
    key = account_key({"native": native_word(native)})
    both = grant_selection([("s1", "", "CN=Else"), ("s2", "", native)])
    assert (named_account(key, both), chosen_account(both, key)) == (native, (native, "s2"))
    assert named_account(account_key({"id": "acct1", "native": native_word(native)}), both) == "acct1"


def test_of_several_sources_a_row_names_that_of_its_own_account() -> None:
    both = grant_selection([("s1", "", "CN=Else"), ("s2", "", "CN=Anna, OU=Staff")])
    assert chosen_account(both, OURS) == ("CN=Anna, OU=Staff", "s2")
    assert chosen_account(both) == ("CN=Else", "s1")


def test_a_long_word_is_kept_by_its_hash_and_a_row_can_name_every_key() -> None:
    assert len(account_key({"native": "x" * 1_000})) < 200
    assert [written(one) for one in (OURS, account_key({"native": "cn=anna"}), "old", "")] == [
        *("acct1", "cn=anna"),
        *("old", ""),
    ]
    assert words_of("[]") == words_of("7") == {}
