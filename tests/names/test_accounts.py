"""Which of a person's several accounts a row means: ambiguity is never guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from batch.names.accounts import NO_CHOICE, Account, Assignment, ItemAccounts, SourceAccounts, Wanted, choose, chosen

if TYPE_CHECKING:
    from batch.names.meaning import NameMeaning

USUAL = Account(native="CN=Anna,OU=Staff", name="anna", id="acc1", uuid="{1}")
ADMIN = Account(native="CN=Anna,OU=Admins", name="anna-adm", id="acc2")
TWIN = Account(native="CN=Anna,OU=Old", name="Anna", id="acc3")
OTHER = Account(native="100", name="anna", id="acc4")


def on(source: str, *accounts: Account) -> SourceAccounts:
    return SourceAccounts(id=f"id-{source}", name=source, accounts=accounts)


def offered(*sources: SourceAccounts, blocked: str = "", needless: bool = False) -> ItemAccounts:
    return ItemAccounts(sources=sources, blocked=blocked, needless=needless)


AD = on("AD", USUAL, ADMIN)


def wanted(account: str = "", source: str = "", *, operation: str = "GRANT", item_type: str = "ROLE") -> Wanted:
    return Wanted("anna", item_type, "r1", operation, account, source)


@pytest.mark.parametrize("account", ["anna", "ANNA ", "cn=anna,ou=staff", "acc1", "{1}"])
def test_an_account_is_known_by_its_name_its_native_identity_or_its_id_in_any_case(account: str) -> None:
    key, selection = chosen(choose(wanted(account), offered(AD), nested=True))
    assert key == "acc1"
    assert json.loads(selection) == {
        "accountSelection": [
            {"sourceId": "id-AD", "accounts": [{"accountUuid": "{1}", "nativeIdentity": "CN=Anna,OU=Staff"}]}
        ]
    }


@pytest.mark.parametrize(
    ("one", "accounts"),
    [
        (wanted("anna"), offered(on("AD", USUAL))),
        (wanted("somebody else's"), offered(on("AD", USUAL), on("HR", OTHER))),
        (wanted(), offered()),
        (wanted(), offered(AD, blocked="ACCESS_PROFILE_ALREADY_ASSIGNED_TO_AN_ACCOUNT")),
        (wanted(), offered(AD, needless=True)),
        (wanted(operation="REVOKE"), offered(AD)),
    ],
    ids=[
        "one account",
        "one on each of two sources",
        "no source",
        "blocked",
        "needless",
        "a revoke that can't name one",
    ],
)
def test_nothing_is_chosen_where_there_is_nothing_to_choose(one: Wanted, accounts: ItemAccounts) -> None:
    assert choose(one, accounts, nested=True) == NO_CHOICE
    assert chosen(NO_CHOICE) == ("", "")


@pytest.mark.parametrize(
    ("one", "accounts", "problem"),
    [
        (
            wanted(),
            offered(AD),
            (
                "there are several accounts on AD: anna (CN=Anna,OU=Staff); anna-adm (CN=Anna,OU=Admins); "
                "name it in the column account"
            ),
        ),
        (
            wanted("bob"),
            offered(AD),
            (
                "'bob' is none of the accounts on AD: anna (CN=Anna,OU=Staff); anna-adm (CN=Anna,OU=Admins); "
                "name it in the column account"
            ),
        ),
        (
            wanted("anna"),
            offered(on("AD", USUAL, TWIN)),
            (
                "'anna' may be any of several accounts on AD: anna (CN=Anna,OU=Staff); Anna (CN=Anna,OU=Old); "
                "name it in the column account"
            ),
        ),
        (
            wanted("anna"),
            offered(AD, on("SAP", OTHER, TWIN)),
            "there are several accounts on each of AD; SAP: a row can choose on one source only",
        ),
        (
            wanted("anna", "SAP"),
            offered(AD),
            "there are several accounts on AD, and the source is 'SAP': correct it, or clear it",
        ),
        (
            wanted("anna"),
            offered(AD, blocked="ASSIGNED"),
            "the tenant lets nobody choose an account for it (ASSIGNED): clear it",
        ),
        (
            wanted("anna", operation="REVOKE", item_type="ACCESS_PROFILE"),
            offered(AD),
            "a revoke of the access profile can't name an account: clear it",
        ),
    ],
)
def test_a_row_whose_account_is_not_certain_is_rejected_with_the_candidates(
    one: Wanted, accounts: ItemAccounts, problem: str
) -> None:
    assert choose(one, accounts, nested=True).problem == problem


def test_a_version_that_cannot_choose_says_which_can() -> None:
    assert choose(wanted("anna"), offered(AD), nested=False).problem.endswith("; only --api v1 can choose one")


def test_the_only_accounts_on_other_sources_travel_with_the_choice() -> None:
    _, selection = chosen(choose(wanted("anna-adm", "ad"), offered(on("HR", OTHER), AD), nested=True))
    travels: dict[str, Any] = json.loads(selection)
    assert [(one["sourceId"], one["accounts"][0]["nativeIdentity"]) for one in travels["accountSelection"]] == [
        ("id-AD", "CN=Anna,OU=Admins"),
        ("id-HR", "100"),
    ]


def test_a_revoke_of_an_entitlement_names_the_native_identity() -> None:
    one = wanted("anna-adm", operation="REVOKE", item_type="ENTITLEMENT")
    assert chosen(choose(one, offered(AD), nested=True)) == ("acc2", '{"nativeIdentity":"CN=Anna,OU=Admins"}')


def test_an_account_without_an_id_is_known_by_its_native_identity() -> None:
    plain = Account(native="100")
    assert chosen(choose(wanted("100"), offered(on("HR", plain, USUAL)), nested=True))[0] == "100"
    assert plain.description == "100"


@pytest.mark.parametrize("nested", [True, False])
def test_in_every_version_a_row_that_names_an_account_is_told_why_nobody_may(*, nested: bool) -> None:
    found = choose(wanted("anna"), offered(AD, blocked="ASSIGNED"), nested=nested)
    assert found.problem == "the tenant lets nobody choose an account for it (ASSIGNED): clear it"


def test_a_choice_that_the_tenant_does_not_need_is_made_all_the_same_if_the_row_makes_it() -> None:
    assert chosen(choose(wanted("anna-adm"), offered(AD, needless=True), nested=True))[0] == "acc2"
    assert choose(wanted("bob"), offered(AD, needless=True), nested=True).problem.startswith("'bob' is none of")


def test_that_a_grant_needs_no_choice_says_nothing_of_a_revoke() -> None:
    revoke = wanted(operation="REVOKE", item_type="ENTITLEMENT")
    assert choose(revoke, offered(AD, needless=True), nested=True).problem.startswith("there are several accounts")


ON_USUAL = Assignment(id="as1", accounts=frozenset({("idad", "cn=anna,ou=staff")}), words=("anna",))
ON_ADMIN = Assignment(id="as2", accounts=frozenset({("idad", "cn=anna,ou=admins")}), words=("anna-adm",))
ELSEWHERE = Assignment(id="as3", accounts=frozenset({("idsap", "cn=anna,ou=admins")}), words=("anna in SAP",))


def role_revoke(assignments: list[Assignment] | str, *, nested: bool = True) -> NameMeaning:
    return choose(wanted("anna-adm", operation="REVOKE"), offered(AD), nested=nested, assignments=assignments)


@pytest.mark.parametrize("nested", [True, False])
def test_a_revoke_of_a_role_names_the_assignment_on_the_account(*, nested: bool) -> None:
    found = role_revoke([ON_USUAL, ON_ADMIN, ELSEWHERE], nested=nested)
    assert chosen(found) == ("acc2", '{"assignmentId":"as2"}')
    by_uuid = Assignment(id="as4", accounts=frozenset({("idad", "{1}")}))
    one = wanted("anna", operation="REVOKE")
    assert chosen(choose(one, offered(AD), nested=nested, assignments=[by_uuid])) == ("acc1", '{"assignmentId":"as4"}')


@pytest.mark.parametrize(
    ("assignments", "problem"),
    [
        (
            [ON_USUAL, ELSEWHERE],
            (
                "the role is not assigned on anna-adm (CN=Anna,OU=Admins), but on anna; anna in SAP; "
                "correct or leave out the row"
            ),
        ),
        (
            [],
            "the role is not assigned on anna-adm (CN=Anna,OU=Admins), but on no account; correct or leave out the row",
        ),
        (
            [ON_ADMIN, replace(ON_ADMIN, id="as9")],
            ("the role is assigned several times on anna-adm (CN=Anna,OU=Admins): as2; as9; revoke one in the tenant"),
        ),
        ("no right", "the tenant does not tell on which account the role is assigned (no right): clear the account"),
    ],
)
def test_a_revoke_of_a_role_whose_assignment_is_not_certain_is_rejected(
    assignments: list[Assignment] | str, problem: str
) -> None:
    assert role_revoke(assignments).problem == problem


def test_a_revoke_of_an_entitlement_may_name_its_account_in_every_version_that_tells_them() -> None:
    one = wanted("anna-adm", operation="REVOKE", item_type="ENTITLEMENT")
    assert chosen(choose(one, offered(AD), nested=False)) == ("acc2", '{"nativeIdentity":"CN=Anna,OU=Admins"}')
