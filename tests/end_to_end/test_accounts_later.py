"""What is sent later, or comes back in a file and is submitted again, is for the account that the row has named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Rate
from batch.sandbox.directory import made_up_account
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.accounts import World, on_accounts, submit
from tests.end_to_end.program import environment, fork, read_rows, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.directory import Account, Person
    from tests.end_to_end.program import Program

PEOPLE = 5


def sandbox(latency: float = 0.0) -> SandboxSettings:
    rate = Rate(requests=5000, seconds=1)
    return SandboxSettings(rate=rate, latency=(latency, latency), visibility_delay=0.0, people=20)


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(sandbox()) as running:
        yield running


@pytest.fixture
def slow_tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(sandbox(latency=0.3)) as running:
        yield running


def only_accounts(world: World, tenant: RunningSandbox, operation: str) -> dict[str, tuple[Person, Account, Account]]:
    """Some people who have one account on the item's source each, and another one that they have not got yet."""
    known, source = tenant.tenant.known, world.item.sources[0]
    found = {}
    for person in known.directory.people[3 : 3 + PEOPLE]:
        first, second = made_up_account(person, source), made_up_account(person, source, 2)
        known.change_person(person.id, accounts=(first,))
        if operation == "REVOKE":
            tenant.tenant.hold(person.id, ItemType.ENTITLEMENT, world.item.id, account=first.native_identity)
        found[person.id] = person, first, second
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize(("api", "operation"), [("v1", "GRANT"), ("v2025", "REVOKE")])
def test_a_killed_run_that_continues_is_for_the_accounts_that_its_rows_have_named(
    program: Program, slow_tenant: RunningSandbox, tmp_path: Path, api: str, operation: str, *, is_replaced: bool
) -> None:
    world, audit = World(slow_tenant), slow_tenant.tenant.audit
    people = only_accounts(world, slow_tenant, operation)
    rows = [
        world.row(person, first.name, operation=operation) | {"comment": f"why {number}"}
        for number, (person, first, _) in enumerate(people.values())
    ]
    path = write_rows(tmp_path / "a.csv", rows)
    process = fork("submit", path, "--yes", "--api", api, "--concurrency", "1", env=environment(slow_tenant))
    wait_until(lambda: audit.accepted, process)
    process.kill()
    process.communicate(timeout=LIMIT)
    assert audit.posts < PEOPLE
    for id_, (_, first, second) in people.items():
        slow_tenant.tenant.known.change_person(id_, accounts=(second,) if is_replaced else (first, second))
    ended = submit(program, slow_tenant, path, "--api", api, "--max-age", "0", "--settle-after", "1")
    assert "names none" not in ended.err
    bodies = [str(one.body) for one in audit.accepted]
    for id_, (_, first, second) in people.items():
        assert all(first.native_identity in body for body in bodies if id_ in body)
        assert not any(second.native_identity in body for body in bodies)
    if not is_replaced:
        assert on_accounts(slow_tenant) == {(id_, first.native_identity): 1 for id_, (_, first, _) in people.items()}


def named(world: World, tenant: RunningSandbox, kind: str) -> Account:
    """The account that a row shall name; with others beside it, unless it is the only one."""
    first, second = world.accounts
    if kind == "long":
        # All that tells it apart is longer than what the ledger keeps of it.
        native = f"CN={'lorem ipsum,' * 25}OU=x"
        first = replace(first, id="", uuid="", native_identity=native)
    tenant.tenant.known.change_person(world.several.id, accounts=(first,) if kind == "only" else (first, second))
    return first


@pytest.mark.parametrize("kind", ["only", "several", "long"])
def test_a_grant_is_undone_on_the_account_that_its_row_has_named(
    program: Program, tenant: RunningSandbox, tmp_path: Path, kind: str
) -> None:
    world = World(tenant)
    account = named(world, tenant, kind)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, account.name)])
    run = submit(program, tenant, path, "--api", "v1").json["run"]
    tenant.tenant.conclude("REQUEST_COMPLETED", identity=world.several.id)
    program("cancel", run, "--yes", "--api", "v1", env=environment(tenant))
    tenant.tenant.known.change_person(world.several.id, accounts=(account, world.accounts[1]))
    tenant.tenant.hold(world.several.id, ItemType.ENTITLEMENT, world.item.id, account=account.native_identity)
    undone = submit(program, tenant, tmp_path / "a.results" / "undo.csv", "--api", "v1", "--max-age", "0")
    assert undone.code == 0, undone.err
    revoke = tenant.tenant.audit.accepted[-1].body
    assert isinstance(revoke["requestedItems"], list)
    assert [item["nativeIdentity"] for item in revoke["requestedItems"]] == [account.native_identity]


@pytest.mark.parametrize("kind", ["only", "several", "long"])
def test_what_was_rejected_is_submitted_again_for_the_account_that_its_row_has_named(
    program: Program, tenant: RunningSandbox, tmp_path: Path, kind: str
) -> None:
    world = World(tenant)
    account = named(world, tenant, kind)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, account.name)])
    submit(program, tenant, path, "--api", "v1")
    tenant.tenant.conclude("REJECTED", identity=world.several.id)
    out = tmp_path / "out"
    program("track", "--track-for", "0", "--api", "v1", "--out", out, env=environment(tenant))
    again = submit(program, tenant, out / "failed.csv", "--api", "v1", "--max-age", "0", "--resubmit", "rejected")
    assert again.code == 0, again.err
    assert on_accounts(tenant) == {(world.several.id, account.native_identity): 2}


@pytest.mark.parametrize("kind", ["only", "several", "long"])
def test_the_rows_of_a_plan_are_submitted_for_the_accounts_that_they_have_named(
    program: Program, tenant: RunningSandbox, tmp_path: Path, kind: str
) -> None:
    world = World(tenant)
    account = named(world, tenant, kind)
    path = write_rows(tmp_path / "a.csv", [world.row(world.several, account.name)])
    program("plan", path, "--api", "v1", "--out", tmp_path / "out", env=environment(tenant))
    (row,) = read_rows(tmp_path / "out" / "plan.csv")
    tenant.tenant.known.change_person(world.several.id, accounts=(account, world.accounts[1]))
    copied = write_rows(tmp_path / "b.csv", [world.row(world.several, row["account"])])
    ended = submit(program, tenant, copied, "--api", "v1", "--max-age", "0")
    assert ended.code == 0, ended.err
    assert on_accounts(tenant) == {(world.several.id, account.native_identity): 1}
