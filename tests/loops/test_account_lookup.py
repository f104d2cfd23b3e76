"""The tenant is asked for accounts only where there may be several, and its answers are kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.ledger.cache import Cached
from batch.loops.accounts import MOST_ASSIGNMENTS, AccountLookup
from batch.model import Clock
from batch.names.accounts import NO_CHOICE, Account, Assignment, ItemAccounts, SourceAccounts, Wanted, chosen
from batch.names.meaning import NameOutcome
from batch.tenant.holdings import IndexedPerson
from batch.tenant.reading import ForbiddenError
from tests.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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

    def __init__(self, *, forbids: bool = False) -> None:
        self.asked: list[Any] = []
        self._forbids = forbids

    @property
    def calls(self) -> int:
        return len(self.asked)

    async def people(self, people: Sequence[str], _items: object) -> Mapping[str, IndexedPerson]:
        self.asked.append(("index", *people))
        crowded = {"anna": frozenset({"s1"})}
        return {person: IndexedPerson(held=None, crowded=crowded.get(person, frozenset())) for person in people}

    async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
        if self._forbids:
            raise ForbiddenError("no right to it")
        self.asked.append(("accounts", person, *items))
        return dict.fromkeys(items, TWO)

    async def assignments(self, person: str, role: str) -> tuple[Assignment, ...] | None:
        self.asked.append(("assignments", person, role))
        if role == "secret":
            raise ForbiddenError("no right to it")
        return None if role == "odd" else (Assignment(id=f"{role} on b", accounts=frozenset({("s1", "b")})),)

    async def sources(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(("sources", item_type.value, *ids))
        return {id_: "s1" if id_.startswith("on-s1") else "s2" for id_ in ids}


def lookup(tenant: Tenant, memory: Memory, *, has_choices: bool = True, nested: bool = True) -> AccountLookup:
    return AccountLookup(
        index=tenant,
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


def test_only_people_with_several_accounts_on_the_items_source_are_asked_about() -> None:
    tenant, one = Tenant(), profile("anna", "on-s1", "b")
    others = [profile("bob", "on-s1", "b"), profile("anna", "elsewhere", "b")]
    found = asyncio.run(lookup(tenant, Memory()).meanings([one, *others]))
    assert chosen(found[one])[0] == "2"
    assert [found[other] for other in others] == [NO_CHOICE, NO_CHOICE]
    assert tenant.asked == [
        ("index", "anna", "bob"),
        ("sources", "ACCESS_PROFILE", "elsewhere", "on-s1"),
        ("accounts", "anna", ("ACCESS_PROFILE", "on-s1")),
    ]


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


@pytest.mark.parametrize(("account", "asks"), [("a", True), ("", False)])
def test_a_role_whose_sources_are_unknown_is_asked_about_only_if_the_row_names_an_account(
    account: str,
    asks: bool,  # noqa: FBT001
) -> None:
    tenant = Tenant()
    asyncio.run(lookup(tenant, Memory()).meanings([profile("anna", "r1", account, kind="ROLE")], {"anna": {"s1"}}))
    assert bool(tenant.asked) == asks


def test_without_the_right_to_ask_everything_goes_as_it_always_has() -> None:
    asked = lookup(Tenant(forbids=True), Memory())
    one = profile("anna", "on-s1", "a")
    assert asyncio.run(asked.meanings([one])) == {one: NO_CHOICE}
    assert asked.closed == "no right to it"


def test_in_a_version_that_does_not_tell_accounts_only_rows_that_name_one_are_rejected() -> None:
    named, unnamed = profile("anna", "on-s1", "a"), profile("anna", "on-s1")
    found = asyncio.run(lookup(Tenant(), Memory(), has_choices=False, nested=False).meanings([named, unnamed]))
    assert found[named].outcome is NameOutcome.UNKNOWN
    assert "--api v1" in found[named].problem
    assert found[unnamed] == NO_CHOICE


@pytest.mark.parametrize("said", [replace(TWO, blocked="ASSIGNED"), replace(TWO, needless=True), TWO])
def test_answers_that_were_kept_say_all_that_the_tenant_said(said: ItemAccounts) -> None:
    class Saying(Tenant):
        async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
            await super().of(person, items)
            return dict.fromkeys(items, said)

    tenant, memory, one = Saying(), Memory(), profile("anna", "on-s1")
    first, again = (asyncio.run(lookup(tenant, memory).meanings([one])) for _ in range(2))
    assert first == again
    assert (first[one] == NO_CHOICE) == (said != TWO)
    assert [asked[0] for asked in tenant.asked].count("accounts") == 1
    # An older version has kept less.
    memory.kept = {key: value[:2] if isinstance(value, list) else value for key, value in memory.kept.items()}
    older = asyncio.run(lookup(tenant, memory).meanings([one]))[one]
    assert (older == NO_CHOICE) == bool(said.blocked)


def revoke(role: str, account: str = "b", person: str = "anna") -> Wanted:
    return Wanted(person, "ROLE", role, "REVOKE", account)


def test_only_revokes_of_roles_that_name_an_account_are_asked_for_their_assignment() -> None:
    tenant, one = Tenant(), revoke("r1")
    others = [revoke("r2", ""), revoke("r3", person="bob"), replace_operation(one)]
    found = asyncio.run(lookup(tenant, Memory(), nested=False).meanings([one, *others]))
    assert [asked for asked in tenant.asked if asked[0] == "assignments"] == [("assignments", "anna", "r1")]
    assert chosen(found[one]) == ("2", '{"assignmentId":"r1 on b"}')
    assert found[others[0]] == found[others[1]] == NO_CHOICE


def replace_operation(one: Wanted) -> Wanted:
    return one._replace(operation="GRANT")


def test_a_role_whose_assignments_are_not_told_is_rejected_alone() -> None:
    wanted = [revoke("secret"), revoke("odd"), revoke("r1")]
    found = asyncio.run((one := lookup(Tenant(), Memory())).meanings(wanted))
    assert one.closed == ""
    assert "(no right to it): clear the account" in found[wanted[0]].problem
    assert "(its answer can't be read): clear the account" in found[wanted[1]].problem
    assert found[wanted[2]].outcome is NameOutcome.FOUND


def test_at_most_so_many_roles_are_asked_for_their_assignments() -> None:
    tenant, wanted = Tenant(), [revoke(f"r{n:03}") for n in range(MOST_ASSIGNMENTS + 1)]
    found = asyncio.run(lookup(tenant, Memory()).meanings(wanted))
    assert sum(asked[0] == "assignments" for asked in tenant.asked) == MOST_ASSIGNMENTS == 200
    assert [one.item for one in wanted if found[one].problem] == ["r200"]
    assert "only 200 such roles are looked up at a time" in found[wanted[-1]].problem
