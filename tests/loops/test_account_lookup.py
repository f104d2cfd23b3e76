"""The tenant is asked for accounts only where there may be several, and its answers are kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.errors import TenantLostError
from batch.ledger.cache import Cached
from batch.loops.accounts import MOST_ALONE, MOST_ASSIGNMENTS, AccountLookup
from batch.model import Clock
from batch.names.accounts import NO_CHOICE, Account, Assignment, ItemAccounts, SourceAccounts, Wanted, chosen
from batch.names.meaning import NameOutcome
from batch.tenant.reading import ForbiddenError, RefusedError
from tests.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.api.dialects import ItemType
    from batch.status.in_progress import Item

TWO = ItemAccounts(
    sources=(SourceAccounts(id="s1", name="AD", accounts=(Account(native="a", id="1"), Account(native="b", id="2"))),)
)


class Memory:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:  # noqa: ARG002
        return {key: Cached(value=self.kept[kind, key], at=NOW) for key in keys if (kind, key) in self.kept}

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:  # noqa: ARG002
        self.kept |= {(kind, key): value for key, value in values.items()}


class Tenant:
    """A tenant in which only anna has several accounts, all on the source s1, and which counts its questions."""

    def __init__(
        self, *, forbids: bool = False, loses: bool = False, refuses: Collection[tuple[str, str]] = ()
    ) -> None:
        self.asked: list[Any] = []
        self._refuses = refuses
        self._forbids = forbids
        self._loses = loses

    @property
    def calls(self) -> int:
        return len(self.asked)

    async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
        if self._forbids:
            raise ForbiddenError("no right to it")
        self.asked.append(("accounts", person, *items))
        if self._loses:
            raise TenantLostError("The accounts can't be read: HTML.", next_step="Later.")
        if any((person, item) in self._refuses for _, item in items):
            raise RefusedError("inactive")
        return dict.fromkeys(items, TWO)

    async def assignments(self, person: str, role: str) -> tuple[Assignment, ...] | None:
        self.asked.append(("assignments", person, role))
        if role == "secret":
            raise ForbiddenError("no right to it")
        return None if role == "odd" else (Assignment(id=f"{role} on b", accounts=frozenset({("s1", "b", "")})),)

    async def sources(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(("sources", item_type.value, *ids))
        return {id_: "s1" if id_.startswith("on-s1") else "s2" for id_ in ids}


def lookup(tenant: Tenant, memory: Memory, *, has_choices: bool = True, nested: bool = True) -> AccountLookup:
    return AccountLookup(
        choices=tenant,
        memory=memory,
        tenant="t",
        since=NOW - timedelta(hours=1),
        clock=Clock(now=lambda: NOW, monotonic=lambda: 0.0),
        width=4,
        has_choices=has_choices,
        nested=nested,
    )


def profile(person: str, item: str, account: str = "", *, kind: str = "ACCESS_PROFILE") -> Wanted:
    return Wanted(person, kind, item, "GRANT", account)


def test_whoever_is_named_with_an_account_is_asked_about() -> None:
    tenant, one, other = Tenant(), profile("anna", "on-s1", "b"), profile("bob", "on-s1", "nobody's")
    found = asyncio.run(lookup(tenant, Memory()).meanings([one, other]))
    assert chosen(found[one])[1]
    assert found[other].problem.startswith("'nobody's' is none of the accounts")
    item = ("ACCESS_PROFILE", "on-s1")
    assert tenant.asked == [("accounts", "anna", item), ("accounts", "bob", item)]


def test_without_an_account_only_people_with_several_on_the_items_source_are_asked_about() -> None:
    tenant, wanted = Tenant(), [profile("anna", "on-s1"), profile("anna", "elsewhere"), profile("bob", "on-s1")]
    asked = lookup(tenant, Memory())
    assert set(asyncio.run(asked.meanings(wanted, {"anna": {"s1"}})).values()) == {NO_CHOICE}
    assert asked.left_to_tenant == {wanted[0]}
    assert [one for one in tenant.asked if one[0] == "accounts"] == [("accounts", "anna", ("ACCESS_PROFILE", "on-s1"))]


def test_recent_answers_are_not_asked_for_again() -> None:
    memory, tenant, one = Memory(), Tenant(), profile("anna", "on-s1", "b")
    first = asyncio.run(lookup(Tenant(), memory).meanings([one], {"anna": {"s1"}}))
    assert asyncio.run(lookup(tenant, memory).meanings([one], {"anna": {"s1"}})) == first
    assert tenant.asked == []


def test_a_person_with_many_items_is_asked_about_25_at_a_time() -> None:
    tenant = Tenant()
    wanted = [profile("anna", f"on-s1-{n:02}", "a") for n in range(26)]
    asyncio.run(lookup(tenant, Memory()).meanings(wanted, {"anna": {"s1"}}))
    assert [len(one) - 2 for one in tenant.asked if one[0] == "accounts"] == [25, 1]


def test_a_role_may_be_on_any_source_and_is_asked_about_unless_it_is_revoked_without_an_account() -> None:
    tenant, grant = Tenant(), profile("anna", "r1", kind="ROLE")
    asyncio.run(lookup(tenant, Memory()).meanings([grant, revoke("r2", "")], {"anna": {"s1"}}))
    assert tenant.asked == [("accounts", "anna", ("ROLE", "r1"))]


def test_without_the_right_to_ask_only_rows_that_name_no_account_go_as_they_always_have() -> None:
    asked = lookup(Tenant(forbids=True), Memory())
    one, other = profile("anna", "on-s1", "a"), profile("anna", "on-s1")
    found = asyncio.run(asked.meanings([one, other], {"anna": {"s1"}}))
    assert "(no right to it): leave the row's account empty, and the tenant chooses" in found[one].problem
    assert found[other] == NO_CHOICE
    assert asked.left_to_tenant == {other}
    assert asked.closed == "no right to it"


def test_what_the_tenant_refuses_for_one_person_or_item_affects_no_other() -> None:
    tenant = Tenant(refuses={("bob", "on-s1"), ("bob", "ons1"), ("anna", "odd")})
    wanted = [profile(person, item, "b") for person, item in (("anna", "on-s1"), ("anna", "odd"), ("bob", "on-s1"))]
    found = asyncio.run(lookup(tenant, Memory()).meanings(wanted))
    assert [bool(found[one].problem) for one in wanted] == [False, True, True]
    assert "(inactive)" in found[wanted[1]].problem


def test_ids_are_asked_for_as_tenants_write_them_if_they_are_not_known_otherwise() -> None:
    tenant, one = Tenant(refuses={("AN-NA", "on-s1")}), profile("AN-NA", "on-s1", "b")
    found = asyncio.run(lookup(tenant, Memory()).meanings([one]))
    assert chosen(found[one])[1]
    assert [asked[1] for asked in tenant.asked] == ["AN-NA", "anna"]


def test_in_a_version_that_does_not_tell_accounts_only_rows_that_name_one_are_rejected() -> None:
    named, unnamed = profile("anna", "on-s1", "a"), profile("anna", "on-s1")
    found = asyncio.run(lookup(Tenant(), Memory(), has_choices=False, nested=False).meanings([named, unnamed]))
    assert found[named].outcome is NameOutcome.UNKNOWN
    why = "this API version can't grant on a chosen account: give --api v1, or leave the row's account empty, and "
    assert found[named].problem == f"{why}the tenant chooses"
    assert found[unnamed] == NO_CHOICE


@pytest.mark.parametrize("said", [replace(TWO, blocked="ASSIGNED"), replace(TWO, required=True), TWO])
def test_answers_that_were_kept_say_all_that_the_tenant_said(said: ItemAccounts) -> None:
    class Saying(Tenant):
        async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
            await super().of(person, items)
            return dict.fromkeys(items, said)

    tenant, memory, one = Saying(), Memory(), profile("anna", "on-s1")
    first, again = (asyncio.run(lookup(tenant, memory).meanings([one], {"anna": {"s1"}})) for _ in range(2))
    assert first == again
    assert (first[one] == NO_CHOICE) != said.required
    assert [asked[0] for asked in tenant.asked].count("accounts") == 1


class Needing(Tenant):
    """A tenant that needs a choice for some items, and says so of all that are asked about together."""

    def __init__(self, *needing: str) -> None:
        super().__init__()
        self._needing = needing

    async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
        await super().of(person, items)
        needs = any(item in self._needing for _, item in items)
        return dict.fromkeys(items, replace(TWO, required=needs and (len(items) == 1 or None)))

    @property
    def alone(self) -> list[str]:
        return sorted(asked[2][1] for asked in self.asked if asked[0] == "accounts" and len(asked) == 3)


def test_which_of_several_items_needs_a_choice_is_asked_of_each_alone() -> None:
    tenant, memory, wanted = Needing("on-s1-b"), Memory(), [profile("anna", f"on-s1-{one}") for one in "abc"]
    for _ in range(2):
        asked = lookup(tenant, memory)
        found = asyncio.run(asked.meanings(wanted, {"anna": {"s1"}}))
        assert [found[one] == NO_CHOICE for one in wanted] == [True, False, True]
        assert asked.left_to_tenant == {wanted[0], wanted[2]}
        assert tenant.alone == ["on-s1-a", "on-s1-b", "on-s1-c"], "and not again"


def test_nothing_is_asked_alone_if_no_item_needs_a_choice_or_the_row_makes_one() -> None:
    calm, tenant = Needing(), Needing("on-s1-b")
    asyncio.run(lookup(calm, Memory()).meanings([profile("anna", f"on-s1-{one}") for one in "ab"], {"anna": {"s1"}}))
    asyncio.run(lookup(tenant, Memory()).meanings([profile("anna", f"on-s1-{one}", "b") for one in "ab"]))
    assert (calm.alone, tenant.alone) == ([], [])


def test_so_many_items_are_asked_about_alone_and_the_tenant_chooses_for_the_others() -> None:
    tenant = Needing("on-s1-00")
    wanted = [profile(f"p{n}", f"on-s1-{item:02}") for n in range(25) for item in range(25)]
    asked = lookup(tenant, Memory())
    found = asyncio.run(asked.meanings(wanted, {one.identity: {"s1"} for one in wanted}))
    assert len(tenant.alone) == MOST_ALONE == 500
    assert sum(one != NO_CHOICE for one in found.values()) == 20
    assert len(asked.left_to_tenant) == len(wanted) - 20
    assert asked.about == asked.calls - len([one for one in tenant.asked if one[0] == "sources"])


def test_rows_beyond_the_most_questions_are_asked_about_by_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.loops.accounts.MOST_QUESTIONS", 3)
    rows, memory, sent = [profile(f"p{n}", "on-s1", "b") for n in range(8)], Memory(), 0
    for left in (5, 2, 0):
        found = asyncio.run(lookup(Tenant(), memory).meanings(rows))
        rejected = [one for one in rows if found[one].problem]
        assert all("submit rejected.csv as it is, and this one gets its turn" in found[one].problem for one in rejected)
        assert len(rejected) == left
        sent, rows = sent + len(rows) - left, rejected
    assert sent == 8


def revoke(role: str, account: str = "b", person: str = "anna") -> Wanted:
    return Wanted(person, "ROLE", role, "REVOKE", account)


def test_only_revokes_of_roles_that_name_an_account_are_asked_for_their_assignment() -> None:
    tenant, one = Tenant(), revoke("r1")
    others = [revoke("r2", ""), replace_operation(one)]
    found = asyncio.run(lookup(tenant, Memory(), nested=False).meanings([one, *others]))
    assert [asked for asked in tenant.asked if asked[0] == "assignments"] == [("assignments", "anna", "r1")]
    assert chosen(found[one])[1] == '{"assignmentId":"r1 on b","on":"b"}'
    assert found[others[0]] == NO_CHOICE


def replace_operation(one: Wanted) -> Wanted:
    return one._replace(operation="GRANT")


def test_a_role_whose_assignments_are_not_told_is_rejected_alone() -> None:
    wanted = [revoke("secret"), revoke("odd"), revoke("r1")]
    found = asyncio.run((one := lookup(Tenant(), Memory())).meanings(wanted))
    assert one.closed == ""
    assert "(no right to it): leave the row's account empty, and" in found[wanted[0]].problem
    assert "(its answer can't be read): leave the row's account empty, and" in found[wanted[1]].problem
    assert found[wanted[2]].outcome is NameOutcome.FOUND


def test_at_most_so_many_roles_are_asked_for_their_assignments() -> None:
    tenant, wanted = Tenant(), [revoke(f"r{n:03}") for n in range(MOST_ASSIGNMENTS + 1)]
    found = asyncio.run(lookup(tenant, Memory()).meanings(wanted))
    assert sum(asked[0] == "assignments" for asked in tenant.asked) == MOST_ASSIGNMENTS == 200
    assert [one.item for one in wanted if found[one].problem] == ["r200"]
    assert (
        "one command looks up 200 at most; submit rejected.csv as it is, and this one gets its turn"
        in found[wanted[-1]].problem
    )


def test_an_answer_that_cannot_be_read_rejects_what_names_an_account_and_stops_nothing_else() -> None:
    tenant = Tenant(loses=True)
    asked, named = lookup(tenant, Memory()), [profile(f"p{n}", "on-s1", "b") for n in range(300)]
    found = asyncio.run(asked.meanings([*named, profile("anna", "on-s1")], {"anna": {"s1"}}))
    assert all("(the accounts can't be read: HTML)" in found[one].problem for one in named)
    assert found[profile("anna", "on-s1")] == NO_CHOICE
    assert len(asked.left_to_tenant) == 1
    assert len([one for one in tenant.asked if one[0] == "accounts"]) <= 4, "then nobody else is asked about"
