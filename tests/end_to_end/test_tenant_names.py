"""A tenant is known by its tokens: nothing is submitted twice, by whichever address it is reached."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings, TokenKind
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows
from tests.ledger.ledger_helpers import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.program import Program

RATE = Rate(requests=5000, seconds=1)
WANTED = [grant(person, 10 * person + thing) for person in range(6) for thing in range(4)]
UNCHECKED = ("--yes", "--json", "--check-tenant", "never")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", WANTED)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@contextmanager
def sandbox(tenant_id: str = "", *, port: int = 0, kind: TokenKind = TokenKind.USER) -> Iterator[RunningSandbox]:
    settings = SandboxSettings(rate=RATE, visibility_delay=0.0, tenant_id=tenant_id, token_kind=kind)
    with running_sandbox(settings, port=port) as running:
        yield running


def by_other_name(tenant: RunningSandbox) -> Mapping[str, str]:
    return {**environment(tenant), "SAIL_BASE_URL": tenant.base_url.replace("127.0.0.1", "localhost")}


def port_of(tenant: RunningSandbox) -> int:
    return int(tenant.base_url.rpartition(":")[2])


def test_changes_submitted_by_one_address_are_not_submitted_by_another(
    program: Program, path: Path, ledger: Path
) -> None:
    with sandbox() as tenant:
        first = program("submit", path, *UNCHECKED, "--ledger", ledger, env=environment(tenant))
        tenant.tenant.conclude("REQUEST_COMPLETED")
        second = program("submit", path, *UNCHECKED, "--ledger", ledger, env=by_other_name(tenant))
        assert accepted(tenant) == once(map(pair_of, WANTED))
    assert (first.code, second.code) == (0, 0), second.err
    assert second.json["run"] == first.json["run"]
    offline = program("plan", path, "--json", "--ledger", ledger, env=by_other_name(tenant))
    assert (offline.code, offline.json["run"]) == (0, first.json["run"])
    assert offline.json["requests"]["accepted"] == first.json["requests"]["accepted"]


def test_two_tenants_of_an_old_ledger_are_joined_once_their_tokens_prove_that_they_are_one(
    program: Program, path: Path, ledger: Path, tmp_path: Path
) -> None:
    other = write_rows(tmp_path / "b.csv", [grant(9, 9), *WANTED[:2]])
    with sandbox(kind=TokenKind.OPAQUE) as tenant:
        program("submit", path, *UNCHECKED, "--ledger", ledger, env=environment(tenant))
        program("submit", other, *UNCHECKED, "--ledger", ledger, env=by_other_name(tenant))
        before = accepted(tenant)
    assert rows(ledger, "SELECT token_name FROM tenant") == [(None,), (None,)]
    with sandbox(port=port_of(tenant)) as again:
        new = write_rows(tmp_path / "c.csv", [grant(7, 7)])
        unrelated = program("submit", new, *UNCHECKED, "--ledger", ledger, env=environment(again))
        refused = program("submit", other, *UNCHECKED, "--ledger", ledger, env=environment(again))
        assert accepted(again) == {pair_of(grant(7, 7)): 1}, "nothing that the other address may have sent"
        program("doctor", "--ledger", ledger, env=by_other_name(again))
        one = program("submit", other, *UNCHECKED, "--ledger", ledger, env=environment(again))
        two = program("submit", path, *UNCHECKED, "--ledger", ledger, env=by_other_name(again))
        assert accepted(again) == {pair_of(grant(7, 7)): 1}
    assert (unrelated.code, refused.code, one.code, two.code) == (0, 2, 0, 0), two.err
    assert f"`access-batch doctor --base-url {by_other_name(tenant)['SAIL_BASE_URL']} --ledger {ledger}`" in refused.err
    assert rows(ledger, "SELECT count(*) FROM tenant") == [(1,)]
    assert rows(ledger, "SELECT count(*) FROM run") == [(4,)]
    assert list(before.values()).count(2) == 2
    found = program("ledger", "verify", "--ledger", ledger)
    # Before the upgrade two changes were submitted twice, and that is all that is wrong.
    assert len(found.out.splitlines()) == 2
    assert all(line.endswith("again") for line in found.out.splitlines())


def test_an_address_that_reaches_another_tenant_than_before_is_refused(
    program: Program, path: Path, ledger: Path, tmp_path: Path
) -> None:
    other = write_rows(tmp_path / "b.csv", [grant(9, 9)])
    with sandbox("tenant-1") as tenant:
        program("submit", path, *UNCHECKED, "--ledger", ledger, env=environment(tenant))
    with sandbox("tenant-2", port=port_of(tenant)) as stranger:
        ended = program("submit", other, *UNCHECKED, "--ledger", ledger, env=environment(stranger))
        assert accepted(stranger) == {}
    assert ended.code == 2
    assert "named the tenant tenant-1 until now, but today's token names tenant-2" in ended.err


def test_tokens_that_name_no_tenant_leave_the_address_as_its_name(program: Program, path: Path, ledger: Path) -> None:
    with sandbox(kind=TokenKind.OPAQUE) as tenant:
        assert program("submit", path, *UNCHECKED, "--ledger", ledger, env=environment(tenant)).code == 0
        assert program("submit", path, *UNCHECKED, "--ledger", ledger, env=environment(tenant)).code == 0
        assert accepted(tenant) == once(map(pair_of, WANTED))
    assert rows(ledger, "SELECT name, token_name FROM tenant") == [(tenant.base_url, None)]


def test_a_tenant_whose_tokens_named_none_is_bound_by_a_token_of_its_own_address(
    program: Program, path: Path, ledger: Path
) -> None:
    unchecked = ("--check-tenant", "never", "--yes", "--ledger", ledger)
    with sandbox(kind=TokenKind.OPAQUE) as tenant:
        assert program("submit", path, *unchecked, env=environment(tenant)).code == 0
    with sandbox(port=port_of(tenant)) as tenant:
        assert program("submit", path, *unchecked, env=environment(tenant)).code == 0
        assert rows(ledger, "SELECT token_name FROM tenant") == [(None,)], "no call was needed"
        program("track", "--track-for", "0", "--ledger", ledger, env=environment(tenant))
    ((name,),) = rows(ledger, "SELECT token_name FROM tenant")
    assert name == f"sandbox-on-port-{port_of(tenant)}"
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
