"""Which of a person's several accounts a row means: ambiguity is never guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.account_key import words_of
from batch.api.accounts import chosen_account, selected_fields
from batch.names.accounts import (
    CLEAR,
    NO_CHOICE,
    Account,
    Assignment,
    ItemAccounts,
    SourceAccounts,
    Wanted,
    choose,
    chosen,
    once_each,
)

if TYPE_CHECKING:
    from batch.names.meaning import NameMeaning

USUAL = Account(native="CN=Anna,OU=Staff", name="anna", id="acc1", uuid="{1}")
ADMIN = Account(native="CN=Anna,OU=Admins", name="anna-adm", id="acc2")
TWIN = Account(native="CN=Anna,OU=Old", name="Anna", id="acc3")
OTHER = Account(native="100", name="anna", id="acc4")


def on(source: str, *accounts: Account) -> SourceAccounts:
    return SourceAccounts(id=f"id-{source}", name=source, accounts=accounts)


def offered(*sources: SourceAccounts, blocked: str = "", required: bool = True) -> ItemAccounts:
    return ItemAccounts(sources=sources, blocked=blocked, required=required)


AD = on("AD", USUAL, ADMIN)


def wanted(account: str = "", source: str = "", *, operation: str = "GRANT", item_type: str = "ROLE") -> Wanted:
    return Wanted("anna", item_type, "r1", operation, account, source)


@pytest.mark.parametrize("account", ["anna", "ANNA ", "cn=anna,ou=staff", "acc1", "{1}"])
def test_an_account_is_known_by_its_name_its_native_identity_or_its_id_in_any_case(account: str) -> None:
    key, selection = chosen(choose(wanted(account), offered(AD), nested=True))
    assert words_of(key) == {"id": "acc1", "uuid": "1", "native": "cn=anna,ou=staff"}
    assert json.loads(selection) == {
        "accountSelection": [
            {"sourceId": "id-AD", "accounts": [{"accountUuid": "{1}", "nativeIdentity": "CN=Anna,OU=Staff"}]}
        ]
    }


@pytest.mark.parametrize(
    ("one", "accounts"),
    [
        (wanted(), offered()),
        (wanted(), offered(AD, blocked="ACCESS_PROFILE_ALREADY_ASSIGNED_TO_AN_ACCOUNT")),
        (wanted(), offered(AD, required=False)),
        (wanted(operation="REVOKE"), offered(AD)),
    ],
    ids=[
        "no source",
        "blocked",
        "not required",
        "a revoke that can't name one",
    ],
)
def test_nothing_is_chosen_where_there_is_nothing_to_choose(one: Wanted, accounts: ItemAccounts) -> None:
    assert choose(one, accounts, nested=True) == NO_CHOICE


@pytest.mark.parametrize(
    ("one", "accounts"),
    [
        (wanted("anna"), offered(on("AD", USUAL))),
        (wanted("anna"), offered(on("AD", USUAL), on("HR", OTHER))),
        (wanted("ANNA", "ad"), offered(on("AD", USUAL))),
        (wanted("anna", "AD"), offered(on("", USUAL))),
        (wanted("anna", operation="REVOKE", item_type="ENTITLEMENT"), offered(on("AD", USUAL), blocked="HELD")),
    ],
    ids=["one", "one on each of two sources", "on the named source", "on a source without a name", "a revoke"],
)
def test_an_only_account_that_a_row_names_travels_and_is_no_part_of_the_key(
    one: Wanted, accounts: ItemAccounts
) -> None:
    key, selection = chosen(choose(one, accounts, nested=True))
    assert key == ""
    assert chosen_account(selection)[0] == USUAL.native


@pytest.mark.parametrize(
    ("one", "accounts", "nested"),
    [
        (wanted("anna"), offered(on("AD", USUAL)), False),
        (wanted("anna"), offered(on("AD", USUAL), blocked="HELD"), True),
        (wanted("anna", operation="REVOKE", item_type="ACCESS_PROFILE"), offered(on("AD", USUAL)), True),
    ],
    ids=["flat", "blocked", "revoke of an access profile"],
)
def test_an_only_account_that_no_request_can_name_needs_no_choice(
    one: Wanted, accounts: ItemAccounts, *, nested: bool
) -> None:
    assert choose(one, accounts, nested=nested) == NO_CHOICE


def test_what_looks_the_same_is_the_same_account() -> None:
    composed, decomposed = "Jos\u00e9 P\u00e9rez", "Jose\u0301 Pe\u0301rez"
    for written, told in (
        (composed, decomposed),
        (decomposed, composed),
        ("anna", "anna "),
        ("Ann Lee", "Ann\u00a0Lee"),
    ):
        by_name, by_native = Account(native="1", name=told), Account(native=told)
        for account in (by_name, by_native):
            _, selection = chosen(choose(wanted(written), offered(on("AD", account, ADMIN)), nested=True))
            assert chosen_account(selection)[0] == account.native


def test_an_account_that_cannot_be_read_rejects_only_the_rows_that_may_mean_it() -> None:
    odd = on("AD", USUAL, Account(native="", name="odd", id="acc9"))
    assert chosen(choose(wanted("anna"), offered(odd), nested=True))[1]
    assert choose(wanted("odd"), offered(odd), nested=True).problem.startswith(
        "the tenant does not tell the native identity of odd"
    )
    twins = on("AD", USUAL, Account(native="", name="anna"))
    assert "may be any of several accounts" in choose(wanted("anna"), offered(twins), nested=True).problem


def test_an_only_account_needs_no_proof_of_its_assignment_unless_it_is_on_another() -> None:
    one, only = wanted("anna", operation="REVOKE"), offered(on("AD", USUAL))
    for known in ("no right", [], [ON_USUAL, replace(ON_USUAL, id="as9")], [replace(ON_USUAL, accounts=frozenset())]):
        assert choose(one, only, nested=True, assignments=known) == NO_CHOICE
    assert chosen(choose(one, only, nested=True, assignments=[ON_USUAL])) == (
        "",
        '{"assignmentId":"as1","on":"CN=Anna,OU=Staff"}',
    )
    assert "but on anna-adm" in choose(one, only, nested=True, assignments=[ON_ADMIN]).problem


def test_an_assignment_is_not_on_an_account_whose_native_identity_is_the_uuid_of_another() -> None:
    crossed = replace(ON_USUAL, accounts=frozenset({("idad", "cn=anna,ou=staff", "cn=anna,ou=admins")}))
    assert role_revoke([crossed]).problem.startswith("the role is not assigned on anna-adm")
    assert chosen(NO_CHOICE) == ("", "")


@pytest.mark.parametrize(
    ("one", "accounts", "problem"),
    [
        (
            wanted(),
            offered(AD),
            (
                "there are several accounts on AD: anna (CN=Anna,OU=Staff); anna-adm (CN=Anna,OU=Admins); "
                "name it in the row"
            ),
        ),
        (
            wanted("bob"),
            offered(AD),
            (
                "'bob' is none of the accounts on AD: anna (CN=Anna,OU=Staff); anna-adm (CN=Anna,OU=Admins); "
                "name it in the row, or leave the row's account empty, and the tenant chooses"
            ),
        ),
        (
            wanted("anna"),
            offered(on("AD", USUAL, TWIN)),
            (
                "'anna' may be any of several accounts on AD: anna (CN=Anna,OU=Staff); Anna (CN=Anna,OU=Old); "
                "name it in the row, or leave the row's account empty, and the tenant chooses"
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
            "the accounts are on AD, not on 'SAP': correct or clear the source",
        ),
        (
            wanted("bob"),
            offered(on("AD", USUAL)),
            (
                "'bob' is none of the accounts on AD: anna (CN=Anna,OU=Staff); name it in the row, or leave the row's "
                "account empty, and the tenant chooses"
            ),
        ),
        (
            wanted("anna", "SAP"),
            offered(AD, on("SAP", USUAL)),
            (
                "there is nothing to choose on SAP, but there are several accounts on AD: name one of those, or leave "
                "the row's account empty, and the tenant chooses"
            ),
        ),
        (
            wanted("anna", "SAP"),
            offered(on("AD", USUAL)),
            "the accounts are on AD, not on 'SAP': correct or clear the source",
        ),
        (
            wanted("anna"),
            offered(),
            "the tenant offers no account of this person: leave the row's account empty, and the tenant chooses",
        ),
        (
            wanted("anna"),
            offered(on("AD")),
            "the tenant offers no account of this person: leave the row's account empty, and the tenant chooses",
        ),
        (
            wanted("anna"),
            offered(AD, blocked="ASSIGNED"),
            f"the tenant lets nobody choose an account for it (ASSIGNED): {CLEAR}",
        ),
        (
            wanted("anna", operation="REVOKE", item_type="ACCESS_PROFILE"),
            offered(AD),
            f"a revoke of the access profile can't name an account: {CLEAR}",
        ),
    ],
)
def test_a_row_whose_account_is_not_certain_is_rejected_with_the_candidates(
    one: Wanted, accounts: ItemAccounts, problem: str
) -> None:
    assert choose(one, accounts, nested=True).problem == problem


def test_a_version_that_cannot_choose_says_which_can() -> None:
    found = choose(wanted("anna"), offered(AD), nested=False)
    assert (
        ", and this API version can't grant on a chosen account: give --api v1, or leave the row's account empty"
        in found.problem
    )


def test_the_only_accounts_on_other_sources_travel_with_the_choice() -> None:
    _, selection = chosen(choose(wanted("anna-adm", "ad"), offered(on("HR", OTHER), AD), nested=True))
    travels: dict[str, Any] = json.loads(selection)
    assert [(one["sourceId"], one["accounts"][0]["nativeIdentity"]) for one in travels["accountSelection"]] == [
        ("id-AD", "CN=Anna,OU=Admins"),
        ("id-HR", "100"),
    ]


def test_a_revoke_of_an_entitlement_names_the_native_identity() -> None:
    one = wanted("anna-adm", operation="REVOKE", item_type="ENTITLEMENT")
    key, selection = chosen(choose(one, offered(AD), nested=True))
    assert (words_of(key)["id"], selection) == ("acc2", '{"nativeIdentity":"CN=Anna,OU=Admins"}')


def test_an_account_without_an_id_is_known_by_its_native_identity() -> None:
    plain = Account(native="100")
    assert words_of(chosen(choose(wanted("100"), offered(on("HR", plain, USUAL)), nested=True))[0]) == {"native": "100"}
    assert plain.description == "100"


@pytest.mark.parametrize("nested", [True, False])
def test_in_every_version_a_row_that_names_an_account_is_told_why_nobody_may(*, nested: bool) -> None:
    found = choose(wanted("anna"), offered(AD, blocked="ASSIGNED"), nested=nested)
    assert found.problem.startswith(
        "the tenant lets nobody choose an account for it (ASSIGNED): leave the row's account"
    )


def test_a_choice_that_the_tenant_does_not_need_is_made_all_the_same_if_the_row_makes_it() -> None:
    assert chosen(choose(wanted("anna-adm"), offered(AD, required=False), nested=True))[1]
    assert choose(wanted("bob"), offered(AD, required=False), nested=True).problem.startswith("'bob' is none of")


@pytest.mark.parametrize(
    ("operation", "nested", "required", "is_rejected"),
    [
        ("GRANT", True, True, True),
        ("GRANT", True, False, False),
        ("GRANT", False, True, False),
        ("REVOKE", False, True, True),
        ("REVOKE", True, False, False),
    ],
)
def test_a_row_without_an_account_is_rejected_only_if_one_is_required_and_can_be_named(
    operation: str, *, nested: bool, required: bool, is_rejected: bool
) -> None:
    one = wanted(operation=operation, item_type="ENTITLEMENT")
    assert bool(choose(one, offered(AD, required=required), nested=nested).problem) == is_rejected


ON_USUAL = Assignment(id="as1", accounts=frozenset({("idad", "cn=anna,ou=staff", "1")}), words=("anna",))
ON_ADMIN = Assignment(id="as2", accounts=frozenset({("idad", "cn=anna,ou=admins", "")}), words=("anna-adm",))
ELSEWHERE = Assignment(id="as3", accounts=frozenset({("idsap", "cn=anna,ou=admins", "")}), words=("anna in SAP",))


def role_revoke(assignments: list[Assignment] | str, *, nested: bool = True) -> NameMeaning:
    return choose(wanted("anna-adm", operation="REVOKE"), offered(AD), nested=nested, assignments=assignments)


@pytest.mark.parametrize("nested", [True, False])
def test_a_revoke_of_a_role_names_the_assignment_on_the_account(*, nested: bool) -> None:
    found = role_revoke([ON_USUAL, ON_ADMIN, ELSEWHERE], nested=nested)
    assert words_of(chosen(found)[0])["id"] == "acc2"
    assert chosen(found)[1] == '{"assignmentId":"as2","on":"CN=Anna,OU=Admins"}'
    by_uuid = Assignment(id="as4", accounts=frozenset({("idad", "cn=moved", "1")}))
    one = wanted("anna", operation="REVOKE")
    _, selection = chosen(choose(one, offered(AD), nested=nested, assignments=[by_uuid]))
    assert selected_fields(selection) == {"assignmentId": "as4"}


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
            (
                "the role is not assigned on anna-adm (CN=Anna,OU=Admins), nor on any other account; "
                "correct or leave out the row"
            ),
        ),
        (
            [ON_ADMIN, replace(ON_ADMIN, id="as9")],
            ("the role is assigned several times on anna-adm (CN=Anna,OU=Admins): as2; as9; revoke one in the tenant"),
        ),
        (
            [replace(ON_ADMIN, accounts=ON_ADMIN.accounts | ON_USUAL.accounts, words=("anna-adm", "anna"))],
            (
                "the role's assignment as2 is on several accounts (anna-adm; anna), and a request would revoke it on "
                "all of them: revoke it in the tenant, or leave out the row"
            ),
        ),
        (
            "no right",
            f"it is not known on which account the role is assigned (no right): {CLEAR}",
        ),
    ],
)
def test_a_revoke_of_a_role_whose_assignment_is_not_certain_is_rejected(
    assignments: list[Assignment] | str, problem: str
) -> None:
    assert role_revoke(assignments).problem == problem


def test_a_revoke_of_an_entitlement_may_name_its_account_in_every_version_that_tells_them() -> None:
    one = wanted("anna-adm", operation="REVOKE", item_type="ENTITLEMENT")
    key, selection = chosen(choose(one, offered(AD), nested=False))
    assert (words_of(key)["id"], selection) == ("acc2", '{"nativeIdentity":"CN=Anna,OU=Admins"}')


def test_accounts_and_sources_that_the_tenant_repeats_count_once() -> None:
    again = replace(USUAL, name="anna again", id="ACC-1")
    (once,) = once_each([on("AD", USUAL, again), on("AD", USUAL), on("AD", ADMIN)])
    assert [one.native for one in once.accounts] == [USUAL.native, ADMIN.native]


def test_accounts_with_one_id_are_told_apart_by_their_native_identities() -> None:
    twin = replace(ADMIN, id=USUAL.id)
    source = on("AD", USUAL, twin)
    assert [words_of(source.key(one)) for one in source.accounts] == [
        {"native": "cn=anna,ou=staff", "uuid": "1"},
        {"native": "cn=anna,ou=admins", "name": "anna-adm"},
    ]
