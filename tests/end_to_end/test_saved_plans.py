"""A saved plan is looked at, signed, and applied: exactly that, or less with a reason, and never anything else."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.credentials.places import write_config
from tests.end_to_end.program import (
    Terminal,
    accepted,
    environment,
    grant,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)
from tests.ssh_keys import allow, new_key, requires_ssh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

ROWS = [grant(person, thing, comment="for the team") for person in range(1, 5) for thing in range(1, 4)]
TEAM = '[profile.team]\napprovals_required = {number}\nallowed_signers = "{allowed}"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "wanted.csv", ROWS)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "load.plan"


@pytest.fixture
def other_tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)) as sandbox:
        yield sandbox


def save(program: Program, tenant: RunningSandbox, path: Path, saved: Path, *more: str | Path) -> Ended:
    ended = program("plan", path, "--save", saved, *more, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == {}
    return ended


def test_what_was_saved_is_sent_and_the_input_is_not_needed_any_more(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    planned = save(program, tenant, path, saved, "--json").json
    path.unlink()
    ended = program("submit", saved, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    assert ended.json["requests"]["accepted"] == planned["requests"]["planned"]
    again = program("submit", saved, "--yes", "--json", env=environment(tenant))
    assert (again.code, again.json["http"]["posts_now"]) == (0, 0)
    assert "moved" not in again.err
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_the_result_file_has_the_lines_of_the_input(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    ended = program("submit", saved, "--yes", "--json", env=environment(tenant))
    rows = read_rows(
        saved.with_name(ended.json["files"]["results"].rpartition("/")[2])
        if False
        else saved.parent / "load.results" / "results.csv"
    )
    assert [(row["_line"], row["_class"], row["comment"]) for row in rows] == [
        (str(number + 2), "submitted", "for the team") for number in range(len(ROWS))
    ]


def test_a_plan_with_a_changed_byte_is_refused(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    data = saved.read_bytes()
    saved.write_bytes(data.replace(item(1).encode(), item(9).encode(), 1))
    ended = program("submit", saved, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "is not as it was saved" in ended.err


def test_a_plan_is_not_applied_with_another_ledger_or_at_another_tenant(
    program: Program, tenant: RunningSandbox, other_tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    save(program, tenant, path, saved)
    ended = program("submit", saved, "--yes", "--ledger", tmp_path / "other.db", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "another ledger" in ended.err
    ended = program("submit", saved, "--yes", env=environment(other_tenant))
    assert (ended.code, accepted(other_tenant)) == (2, {})
    assert f"is for {tenant.base_url.removeprefix('http://')}" in ended.err


def test_an_old_plan_is_refused_unless_it_has_begun(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    ended = program("submit", saved, "--yes", "--plan-age", "0.001", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "--plan-age" in ended.err
    assert program("submit", saved, "--yes", env=environment(tenant)).code == 0
    assert program("submit", saved, "--yes", "--plan-age", "0.001", env=environment(tenant)).code == 0


def test_what_moved_since_is_left_out_and_named(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    save(program, tenant, path, saved)
    first = write_rows(tmp_path / "first.csv", ROWS[:2])
    assert program("submit", first, "--yes", env=environment(tenant)).code == 0
    ended = program("submit", saved, "--yes", "--all-or-nothing", env=environment(tenant))
    assert ended.code == 2
    assert accepted(tenant) == once(map(pair_of, ROWS[:2]))
    ended = program("submit", saved, "--yes", env=environment(tenant))
    assert ended.code == 0
    assert "2 changes of" in ended.err
    for row in ROWS[:2]:
        assert f"grant of ROLE {row['item_id']} for {row['identity_id']}: already_submitted" in ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))


@pytest.mark.parametrize("option", [("--comment", "x"), ("--api", "v3"), ("--effort", "fast"), ("--strict",)])
def test_an_option_that_would_change_a_plan_is_refused(
    option: tuple[str, ...], program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    ended = program("submit", saved, *option, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert f"{option[0]} can't change a saved plan" in ended.err


def test_a_plan_and_an_input_are_not_mixed(program: Program, tenant: RunningSandbox, path: Path, saved: Path) -> None:
    save(program, tenant, path, saved)
    ended = program("submit", path, saved, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})


def test_a_file_with_an_approved_plan_is_not_overwritten(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    before = saved.read_bytes()
    assert program("plan", path, "--save", saved, env=environment(tenant)).code == 2
    assert saved.read_bytes() == before


def test_only_plans_are_sent_if_the_profile_says_so(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    write_config("require_plan = true\n")
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert ended.json["dry_run"] is True
    assert f"access-batch plan {path} --save FILE" in ended.err
    save(program, tenant, path, saved)
    assert program("submit", saved, "--yes", env=environment(tenant)).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_a_profiles_guards_hold_for_its_tenant_without_its_name(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    guards = "require_plan = true\nmax_changes = 5\n"
    write_config(f'[profile.other]\nbase_url = "https://other.example"\n{guards}')
    assert program("submit", path, "--yes", env=environment(tenant)).code == 0
    write_config(f'[profile.here]\nbase_url = "{tenant.base_url}"\n{guards}')
    again = write_rows(path.with_name("more.csv"), [grant(person, 7) for person in range(1, 8)])
    ended = program("submit", again, "--yes", env=environment(tenant))
    assert ended.code == 2
    assert "Only saved plans are sent here" in ended.err
    assert "max_changes allows 5" in ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    write_config(f'[profile.here]\nbase_url = "{tenant.base_url}"\nmax_changes = "few"\n')
    ended = program("submit", again, "--yes", env=environment(tenant))
    assert ended.code == 2
    assert "The guard max_changes of the profile 'here' can't be read" in ended.err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--max-changes", "11"), "12 changes; max_changes allows 11"),
        (("--max-per-person", "2"), "3 changes for the person"),
    ],
)
def test_a_plan_beyond_the_guards_is_neither_saved_nor_sent(
    option: tuple[str, str], said: str, program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    for command in (("submit", path, "--yes"), ("plan", path, "--save", saved)):
        ended = program(*command, *option, env=environment(tenant))
        assert (ended.code, accepted(tenant), saved.exists()) == (2, {}, False)
        assert said in ended.err
    ended = program("plan", path, *option, env=environment(tenant))
    assert ended.code == 0
    assert "`submit` would refuse this" in ended.err
    assert program("status", env=environment(tenant)).code == 2


def test_above_the_threshold_a_yes_does_not_do_and_the_name_does(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, name = environment(tenant), tenant.base_url.removeprefix("http://")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    ended = program("submit", path, "--yes", "--confirm-above", "11", env=env)
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "12 changes are more than --confirm-above 11 allows" in ended.err
    assert f"--confirm {name}" in ended.err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert program("submit", path, "--yes", "--confirm-above", "11", env=env).code == 130
    assert accepted(tenant) == {}
    monkeypatch.setattr(sys, "stdin", Terminal(f"{name}\n"))
    assert program("submit", path, "--confirm-above", "11", env=env).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_revokes_beyond_their_share_of_the_holders_are_not_sent(program: Program, tmp_path: Path) -> None:
    given = [grant(person, 1) for person in range(1, 5)]
    taken = [{**row, "operation": "REVOKE", "comment": "left"} for row in given[:2]]
    granted, path = write_rows(tmp_path / "given.csv", given), write_rows(tmp_path / "taken.csv", taken)
    at_once = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, approval_seconds=0.0, provisioning_seconds=0.0
    )
    with running_sandbox(at_once) as tenant:
        env = environment(tenant)
        assert program("submit", granted, "--yes", "--wait", env=env).code == 0
        ended = program("submit", path, "--yes", "--max-revoke-share", "49", env=env)
        assert ended.code == 2
        assert "from 2 of 4 holders (50 %)" in ended.err
        assert accepted(tenant) == once(map(pair_of, given))
        assert program("submit", path, "--yes", "--max-revoke-share", "50%", env=env).code == 0
        assert accepted(tenant) == once(map(pair_of, [*given, *taken]))


@requires_ssh
def test_a_plan_is_sent_once_another_person_has_approved_it(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    write_config(TEAM.format(number=1, allowed=allow(tmp_path, {"anna@acme.com": anna, "ben@acme.com": ben})))
    team = ("--profile", "team")
    name = tenant.base_url.removeprefix("http://")
    ended = program("plan", path, "--save", saved, *team, env=environment(tenant))
    assert (ended.code, saved.exists()) == (2, False)
    save(program, tenant, path, saved, *team, "--signing-key", anna)
    ended = program("submit", saved, *team, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "0 approvals, and 1 must be there" in ended.err
    ended = program("approve", saved, *team, "--signing-key", anna, "--confirm", name, env=environment(tenant))
    assert ended.code == 2
    assert "anna@acme.com has planned or approved it already" in ended.err
    ended = program("approve", saved, *team, "--signing-key", ben, "--confirm", "other", env=environment(tenant))
    assert ended.code == 2
    ended = program("approve", saved, *team, "--signing-key", ben, "--confirm", name, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert "Approved by ben@acme.com" in ended.out
    shown = program("show", saved, *team, env=environment(tenant))
    assert "anna@acme.com" in shown.out
    assert "ben@acme.com" in shown.out
    ended = program("approve", saved, *team, "--signing-key", ben, "--confirm", name, env=environment(tenant))
    assert ended.code == 2
    assert program("submit", saved, *team, "--yes", env=environment(tenant)).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


@requires_ssh
def test_a_stranger_does_not_approve_and_two_approvals_need_two_people(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    keys = {name: new_key(tmp_path / name) for name in ("anna", "ben", "carla", "eve")}
    known = {f"{name}@acme.com": key for name, key in keys.items() if name != "eve"}
    write_config(TEAM.format(number=2, allowed=allow(tmp_path, known)))
    name = tenant.base_url.removeprefix("http://")
    team = ("--profile", "team")
    save(program, tenant, path, saved, *team, "--signing-key", keys["anna"])
    codes = [
        program("approve", saved, *team, "--signing-key", keys[who], "--confirm", name, env=environment(tenant)).code
        for who in ("eve", "ben", "ben")
    ]
    assert codes == [2, 0, 2]
    assert program("submit", saved, *team, "--yes", env=environment(tenant)).code == 2
    assert accepted(tenant) == {}
    program("approve", saved, *team, "--signing-key", keys["carla"], "--confirm", name, env=environment(tenant))
    assert program("submit", saved, *team, "--yes", env=environment(tenant)).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))
