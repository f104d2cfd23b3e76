"""A person with several accounts on a source gets access on the one that the row names, and on no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Rate
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.sandbox.tenant_rules import Effect, Rule
from tests.end_to_end.accounts import World, on_accounts, submit
from tests.end_to_end.program import accepted, environment, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.program import Program


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    rate = Rate(requests=5000, seconds=1)
    with running_sandbox(SandboxSettings(rate=rate, visibility_delay=0.0, people=20)) as sandbox:
        yield sandbox


def role_on(sandbox: RunningSandbox, world: World) -> str:
    """The id of a role that gives accounts on the source, and that the first person has on the first account."""
    role = sandbox.tenant.known.directory.of_type(ItemType.ROLE)[0]
    sandbox.tenant.known.change_item(role.id, gives=world.item.sources[:1])
    sandbox.tenant.hold(world.several.id, ItemType.ROLE, role.id, account=world.accounts[0].native_identity)
    return role.id


def test_access_is_requested_once_on_each_named_account(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    first, second = world.accounts
    known = tenant.tenant.known
    (only,) = (one for one in known.accounts(known.described(world.single.id)) if one.source.id == first.source.id)
    rows = [
        world.row(world.several, first.name),
        world.row(world.several, second.native_identity),
        world.row(world.single, only.name.upper()),
    ]
    path = write_rows(tmp_path / "a.csv", rows)
    ended = submit(program, tenant, path, "--api", "v1")
    assert ended.code == 0, ended.err
    assert ended.json["rows"]["submitted"] == 3
    assert on_accounts(tenant) == {
        (world.several.id, first.native_identity): 1,
        (world.several.id, second.native_identity): 1,
        (world.single.id, only.native_identity): 1,
    }
    again = submit(program, tenant, write_rows(tmp_path / "b.csv", rows[:2]), "--api", "v1")
    assert again.json["rows"]["already_submitted"] == 2
    unnamed = submit(program, tenant, write_rows(tmp_path / "c.csv", [world.row(world.several)]), "--api", "v1")
    assert unnamed.json["rows"]["held_back"] == 1, "it may be about any of the accounts"
    assert sum(on_accounts(tenant).values()) == 3


@pytest.mark.parametrize("account", ["", "somebody else's"])
def test_a_row_that_names_none_of_several_accounts_is_rejected_with_the_candidates(
    program: Program, tenant: RunningSandbox, tmp_path: Path, account: str
) -> None:
    world = World(tenant)
    rows = [world.row(world.several, account), world.row(world.single)]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", rows), "--api", "v1", "--out", str(tmp_path / "out"))
    assert (ended.code, ended.json["rows"]["rejected"], ended.json["rows"]["submitted"]) == (3, 1, 1)
    assert [person for _, person, *_ in accepted(tenant)] == [world.single.id]
    (rejected,) = read_rows(tmp_path / "out" / "rejected.csv")
    assert rejected["_rule"] == "account_found"
    assert all(one.name in rejected["_message"] for one in world.accounts)


@pytest.mark.parametrize("api", ["v1", "v2024", "v2025", "v2026"])
def test_access_is_revoked_on_the_named_account_only(
    program: Program, tenant: RunningSandbox, tmp_path: Path, api: str
) -> None:
    world = World(tenant)
    for account in world.accounts:
        tenant.tenant.hold(world.several.id, ItemType.ENTITLEMENT, world.item.id, account=account.native_identity)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, world.accounts[1].name, operation="REVOKE")])
    ended = submit(program, tenant, path, "--api", api)
    assert ended.code == 0, ended.err
    assert on_accounts(tenant) == {(world.several.id, world.accounts[1].native_identity): 1}


def test_a_version_that_cannot_name_an_account_says_which_can(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, world.accounts[0].name)])
    ended = submit(program, tenant, path, "--api", "v2026", "--out", str(tmp_path / "out"))
    assert ended.code == 3
    assert "--api v1" in read_rows(tmp_path / "out" / "rejected.csv")[0]["_message"]
    assert accepted(tenant) == {}


def test_an_interrupted_run_continues_with_the_accounts_that_it_was_planned_with(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, world.accounts[1].name)])
    tenant.tenant.known.change_person(world.several.id, accounts=world.accounts)
    first = submit(program, tenant, path, "--api", "v1")
    assert first.code == 0, first.err
    # Whatever the account is called by now.
    tenant.tenant.known.change_person(world.several.id, accounts=world.accounts[:1])
    again = submit(program, tenant, path, "--api", "v1")
    assert again.code == 0, again.err
    assert on_accounts(tenant) == {(world.several.id, world.accounts[1].native_identity): 1}


def test_a_pending_request_for_another_account_holds_nothing_back(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    first, second = world.accounts
    selection = [{"sourceId": first.source.id, "accounts": [{"nativeIdentity": first.native_identity}]}]
    tenant.tenant.request_by_other(
        datetime.now(UTC),
        identity=world.several.id,
        item_type=ItemType.ENTITLEMENT,
        item_id=world.item.id,
        accountSelection=selection,
    )
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, one.name) for one in world.accounts])
    ended = submit(program, tenant, path, "--api", "v1")
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["already_submitted"]) == (1, 1), ended.err
    assert on_accounts(tenant) == {(world.several.id, second.native_identity): 1}


def test_a_blocked_choice_rejects_the_row_that_makes_it_and_lets_the_other_through(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    source = world.item.sources[0]
    profile = next(
        one for one in tenant.tenant.known.directory.of_type(ItemType.ACCESS_PROFILE) if source in one.sources
    )
    tenant.tenant.hold(world.several.id, ItemType.ACCESS_PROFILE, profile.id, account=world.accounts[0].native_identity)
    row = world.row(world.several) | {"item_type": "ACCESS_PROFILE", "item_id": profile.id, "remove_date": "2099-01-31"}
    named = write_rows(tmp_path / "named.csv", [row | {"account": world.accounts[1].name}])
    ended = submit(program, tenant, named, "--api", "v1")
    (rejected,) = read_rows(tmp_path / "named.results" / "rejected.csv")
    assert (ended.code, tenant.tenant.audit.posts) == (3, 0)
    assert "(ACCESS_PROFILE_ALREADY_ASSIGNED_TO_AN_ACCOUNT): leave the row's account empty" in rejected["_message"]
    plain = submit(program, tenant, write_rows(tmp_path / "plain.csv", [row]), "--api", "v1")
    assert plain.json["rows"]["submitted"] == 1, plain.err
    (request,) = tenant.tenant.audit.accepted
    assert "accountSelection" not in str(request.body)


@pytest.mark.parametrize("api", ["v1", "v2026"])
def test_a_tenant_that_needs_no_choice_gets_the_row_without_one(program: Program, tmp_path: Path, api: str) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        people=20,
        effects={Rule.ACCOUNT_CHOICE: Effect.IGNORED},
    )
    with running_sandbox(settings) as sandbox:
        world = World(sandbox)
        ended = submit(program, sandbox, write_rows(tmp_path / "a.csv", [world.row(world.several)]), "--api", api)
        assert (ended.code, ended.json["rows"]["submitted"]) == (0, 1), ended.err
        assert on_accounts(sandbox) == {(world.several.id, ""): 1}


@pytest.mark.parametrize("api", ["v1", "v2024"])
def test_a_role_is_revoked_on_the_named_account_only(
    program: Program, tenant: RunningSandbox, tmp_path: Path, api: str
) -> None:
    world = World(tenant)
    role = tenant.tenant.known.directory.of_type(ItemType.ROLE)[0]
    tenant.tenant.known.change_item(role.id, gives=world.item.sources[:1])
    for account in world.accounts:
        tenant.tenant.hold(world.several.id, ItemType.ROLE, role.id, account=account.native_identity)
    row = world.row(world.several, operation="REVOKE") | {"item_type": "ROLE", "item_id": role.id}
    path = write_rows(tmp_path / "a.csv", [row | {"account": world.accounts[1].name}])
    ended = submit(program, tenant, path, "--api", api)
    assert ended.code == 0, ended.err
    assert on_accounts(tenant) == {(world.several.id, world.accounts[1].native_identity): 1}
    other = write_rows(tmp_path / "b.csv", [row | {"account": world.accounts[1].native_identity}])
    assert submit(program, tenant, other, "--api", api).json["rows"]["already_submitted"] == 1
    assert sum(on_accounts(tenant).values()) == 1


def test_a_role_that_is_not_assigned_on_the_named_account_is_not_revoked(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    role = tenant.tenant.known.directory.of_type(ItemType.ROLE)[0]
    tenant.tenant.known.change_item(role.id, gives=world.item.sources[:1])
    tenant.tenant.hold(world.several.id, ItemType.ROLE, role.id, account=world.accounts[0].native_identity)
    row = world.row(world.several, world.accounts[1].name, operation="REVOKE")
    path = write_rows(tmp_path / "a.csv", [row | {"item_type": "ROLE", "item_id": role.id}])
    ended = submit(program, tenant, path, "--api", "v1")
    (rejected,) = read_rows(tmp_path / "a.results" / "rejected.csv")
    assert (ended.code, rejected["_rule"], tenant.tenant.audit.posts) == (3, "account_found", 0)
    assert f"but on {world.accounts[0].name}; correct or leave out the row" in rejected["_message"]


@pytest.mark.parametrize("when", ["auto", "always"])
def test_role_assignments_that_cannot_be_read_are_told_of_or_stop_everything(
    program: Program, tenant: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    world = World(tenant)
    role = role_on(tenant, world)
    monkeypatch.setattr(tenant.tenant, "role_assignments", lambda *_, **__: None)
    by_role = {"item_type": "ROLE", "item_id": role}
    rows = [
        world.row(world.several, world.accounts[0].name, operation="REVOKE") | by_role,
        world.row(world.single, operation="EXTEND") | by_role | {"remove_date": "2030-01-01"},
        world.row(world.single),
    ]
    path = write_rows(tmp_path / "a.csv", [{"remove_date": ""} | row for row in rows])
    ended = submit(program, tenant, path, "--api", "v1", "--check-tenant", when)
    is_required = when == "always"
    assert (ended.code, tenant.tenant.audit.posts) == ((4, 0) if is_required else (3, 1))
    told = ["The tenant does not tell on which accounts some roles are (its answer can't be read)."]
    told += [] if is_required else ["The tenant does not tell the end dates of some roles (its answer can't be read)."]
    for sentence in told:
        assert ended.err.count(sentence) == 1


@pytest.mark.parametrize("when", ["auto", "always"])
def test_a_token_that_may_not_read_role_assignments_is_told_the_scope(
    program: Program, tmp_path: Path, when: str
) -> None:
    of_requests = ("idn:access-request:manage", "idn:access-request-status:read", "idn:access-request-approvals:read")
    scopes = (
        *of_requests,
        "idn:access-request:create",
        "sp:search:read",
        "idn:role-unchecked:read",
        "idn:entitlement:read",
    )
    with running_sandbox(
        SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, people=20, scopes=scopes)
    ) as sandbox:
        world = World(sandbox)
        row = world.row(world.several, world.accounts[0].name, operation="REVOKE")
        row |= {"item_type": "ROLE", "item_id": role_on(sandbox, world)}
        path = write_rows(tmp_path / "a.csv", [row, world.row(world.single)])
        ended = submit(program, sandbox, path, "--api", "v2026", "--check-tenant", when)
        assert (ended.code, sandbox.tenant.audit.posts) == ((2, 0) if when == "always" else (3, 1))
    (line,) = (line for line in ended.err.splitlines() if "on which accounts some roles are" in line)
    assert line.endswith("): that takes the scope idn:identity:read.")


@pytest.mark.parametrize(
    "more", [("--api", "v1", "--check-tenant", "never"), ("--api", "beta"), ("--api", "v3"), ("--api", "v1")]
)
def test_a_named_account_is_never_dropped_even_if_the_same_command_runs_again(
    program: Program, tenant: RunningSandbox, tmp_path: Path, more: tuple[str, ...]
) -> None:
    world = World(tenant)
    long = world.accounts[1].name + "x" * 1_200
    named = world.row(world.several, long if more == ("--api", "v1") else world.accounts[1].name)
    path = write_rows(tmp_path / "a.csv", [named, world.row(world.single)])
    for _ in range(2):
        ended = submit(program, tenant, path, *more)
        assert (ended.code, ended.json["rows"]["rejected"]) == (3, 1), ended.err
        assert [person for _, person, *_ in accepted(tenant)] == [world.single.id]


def test_a_second_account_that_appears_later_is_no_change_that_was_submitted_before(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    known.change_person(world.several.id, accounts=world.accounts[:1])
    first = submit(program, tenant, write_rows(tmp_path / "a.csv", [world.row(world.several)]), "--api", "v1")
    assert first.json["rows"]["submitted"] == 1, first.err
    known.change_person(world.several.id, accounts=world.accounts)
    row = world.row(world.several, world.accounts[1].name)
    again = submit(program, tenant, write_rows(tmp_path / "b.csv", [row]), "--api", "v1", "--max-age", "0")
    assert (again.code, again.json["rows"]["held_back"]) == (3, 1), again.err
    (unsent,) = read_rows(tmp_path / "b.results" / "unsent.csv")
    assert unsent["_message"].startswith(
        f"run {first.json['run']} has submitted this without naming an account (accept"
    )
    assert unsent["_message"].endswith("if it is for another one, request this row's in the tenant")


def test_who_has_another_only_account_now_is_held_back_and_told_of_the_one_before(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    for account, name in zip(world.accounts, ("a.csv", "b.csv"), strict=True):
        known.change_person(world.several.id, accounts=(account,))
        path = write_rows(tmp_path / name, [world.row(world.several, account.name)])
        ended = submit(program, tenant, path, "--api", "v1", "--max-age", "0")
    assert (ended.code, ended.json["rows"]["held_back"]) == (3, 1), ended.err
    (row,) = read_rows(tmp_path / "b.results" / "unsent.csv")
    assert f"has submitted this for the account {world.accounts[0].native_identity} (accepted" in row["_message"]
    assert row["_message"].endswith("and this row may mean the same one; if not, request it in the tenant")
    assert tenant.tenant.audit.posts == 1


def test_the_same_only_account_in_another_spelling_has_its_access_already(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known, first = World(tenant), tenant.tenant.known, World(tenant).accounts[0]
    for native, name in (("CN=Jos\u00e9,OU=x", "a.csv"), ("cn=Jose\u0301, OU=X", "b.csv")):
        known.change_person(world.several.id, accounts=(replace(first, native_identity=native, uuid=""),))
        path = write_rows(tmp_path / name, [world.row(world.several, first.name) | {"comment": name}])
        ended = submit(program, tenant, path, "--api", "v1", "--max-age", "0")
    assert (ended.code, ended.json["rows"]["already_submitted"]) == (0, 1), ended.err
    assert tenant.tenant.audit.posts == 1


def test_an_earlier_change_that_could_not_say_its_only_account_may_be_of_another_one(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    for account, name, api in zip(world.accounts, ("a.csv", "b.csv"), ("v2025", "v1"), strict=True):
        known.change_person(world.several.id, accounts=(account,))
        path = write_rows(tmp_path / name, [world.row(world.several, account.name)])
        ended = submit(program, tenant, path, "--api", api, "--max-age", "0")
    assert ended.json["rows"]["already_submitted"] == 1, ended.err
    (row,) = read_rows(tmp_path / "b.results" / "results.csv")
    assert row["_reason"].endswith(
        "; both are for the person's only account: if that is another one by now, request this in the tenant"
    )
    assert tenant.tenant.audit.posts == 1


def test_one_item_that_needs_a_choice_rejects_no_other_that_needs_none(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    source = world.item.sources[0]
    profile = next(
        one for one in tenant.tenant.known.directory.of_type(ItemType.ACCESS_PROFILE) if source in one.sources
    )
    # The tenant lets nobody choose for the access profile, and needs a choice for the entitlement.
    tenant.tenant.hold(world.several.id, ItemType.ACCESS_PROFILE, profile.id, account=world.accounts[0].native_identity)
    other = {"item_type": "ACCESS_PROFILE", "item_id": profile.id, "remove_date": "2099-01-31"}
    rows = [world.row(world.several) | {"remove_date": ""}, world.row(world.several) | other]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", rows), "--api", "v1")
    (rejected,) = read_rows(tmp_path / "a.results" / "rejected.csv")
    assert (ended.json["rows"]["submitted"], rejected["item_id"]) == (1, world.item.id), ended.err


@pytest.mark.parametrize("api", ["v2024", "v2026"])
def test_a_version_that_cannot_name_an_account_leaves_the_choice_to_the_tenant_and_says_so(
    program: Program, tenant: RunningSandbox, tmp_path: Path, api: str
) -> None:
    world = World(tenant)
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", [world.row(world.several)]), "--api", api)
    assert "1 change is for people with several accounts and names none: the tenant chooses" in ended.err
    assert tenant.tenant.audit.posts == 1


def test_a_row_without_an_account_can_be_sent_all_the_same(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world = World(tenant)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several), world.row(world.several, "nobody's")])
    ended = submit(program, tenant, path, "--api", "v1", "--ignore", "account_found")
    assert ended.json["rows"]["rejected"] == 1, ended.err
    assert tenant.tenant.audit.posts >= 1


@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize(("api", "operation"), [("v1", "GRANT"), ("v1", "REVOKE"), ("v2025", "REVOKE")])
def test_a_saved_plan_carries_the_only_account_that_its_row_names(
    program: Program, tenant: RunningSandbox, tmp_path: Path, api: str, operation: str, *, is_replaced: bool
) -> None:
    world, known = World(tenant), tenant.tenant.known
    first, second = world.accounts
    known.change_person(world.several.id, accounts=(first,))
    if operation == "REVOKE":
        tenant.tenant.hold(world.several.id, ItemType.ENTITLEMENT, world.item.id, account=first.native_identity)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, first.name, operation=operation)])
    saved = tmp_path / "p.plan"
    planned = program("plan", path, "--api", api, "--save", saved, env=environment(tenant))
    assert planned.code == 0, planned.err
    known.change_person(world.several.id, accounts=(second,) if is_replaced else (first, second))
    ended = submit(program, tenant, saved, "--max-age", "0")
    assert "names none" not in ended.err
    bodies = [str(one.body) for one in tenant.tenant.audit.accepted]
    assert all(first.native_identity in body and second.native_identity not in body for body in bodies)
    assert len(bodies) == 1 or (is_replaced and operation == "REVOKE"), ended.err


def test_the_next_wave_leaves_out_what_names_an_only_account_that_it_cannot_say_and_that_is_so_no_more(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    first, second = world.accounts
    known.change_person(world.several.id, accounts=(first,))
    (only,) = (one for one in known.accounts(known.described(world.single.id)) if one.source.id == first.source.id)
    rows = [world.row(world.single, only.name), world.row(world.several, first.name) | {"comment": "later"}]
    path = write_rows(tmp_path / "a.csv", rows)
    waiting = submit(program, tenant, path, "--api", "v2025", "--wave", "1/day")
    assert (waiting.code, tenant.tenant.audit.posts) == (4, 1), waiting.err
    sent = {person for person, _ in on_accounts(tenant)}
    for person, accounts in ((world.several, (first, second)), (world.single, (only, second))):
        known.change_person(person.id, accounts=accounts)
    ended = submit(program, tenant, path, "--api", "v2025", "--wave", "2/hour")
    assert tenant.tenant.audit.posts == 1, ended.err
    assert "1 change of this wave is not to be sent" in ended.err
    assert "there are several accounts on" in ended.err
    assert {person for person, _ in on_accounts(tenant)} == sent


def test_a_saved_plan_that_cannot_say_an_only_account_leaves_out_what_names_it_if_it_is_so_no_more(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    known.change_person(world.several.id, accounts=world.accounts[:1])
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, world.accounts[0].name)])
    saved = tmp_path / "p.plan"
    planned = program("plan", path, "--api", "v2025", "--save", saved, env=environment(tenant))
    assert planned.code == 0, planned.err
    known.change_person(world.several.id, accounts=world.accounts)
    ended = submit(program, tenant, saved, "--max-age", "0")
    assert "1 change of" in ended.err
    assert "there are several accounts on" in ended.err
    assert tenant.tenant.audit.posts == 0


def test_rows_that_repeat_each_other_go_with_the_only_account_that_one_of_them_names(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    world, known = World(tenant), tenant.tenant.known
    known.change_person(world.several.id, accounts=world.accounts[:1])
    rows = [world.row(world.several), world.row(world.several, world.accounts[0].name)]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", rows), "--api", "v1")
    assert ended.code == 0, ended.err
    assert on_accounts(tenant) == {(world.several.id, world.accounts[0].native_identity): 1}
