"""A saved plan is looked at, signed, and applied: exactly that, or less with a reason, and never anything else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import Rate
from batch.credentials.ssh_signatures import in_words
from batch.plan.saved import SAVED_COLUMNS
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
from tests.ssh_keys import allow, certify, new_key, requires_ssh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

ROWS = [grant(person, thing, comment="for the team") for person in range(1, 5) for thing in range(1, 4)]
PROGRAM = (sys.executable, "-m", "batch")
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
    assert "belongs to another ledger" in ended.err
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


def test_a_saved_plan_numbers_the_requests_that_are_sent_where_several_share_one(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    # Two people who get different things: two products, which v1 sends in one request.
    rows = [grant(person, thing) for person in range(1, 5) for thing in range(1, 4) if person != thing]
    save(program, tenant, write_rows(path, rows), saved, "--api", "v1")
    shown = program("show", saved, "--detail", "--json").json
    numbers = {change["request"] for change in shown["changes"]}
    ended = program("submit", saved, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, rows))
    assert numbers == set(range(1, ended.json["http"]["posts_now"] + 1))


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


def test_show_says_whether_a_file_is_the_input_that_was_planned_and_which_lines_differ(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    save(program, tenant, path, saved)
    same = program("show", saved, "--input", path)
    assert (same.code, same.out.splitlines()[-1]) == (0, f"{path} has all 12 rows of the plan, as they were planned.")
    edited = [dict(row) for row in ROWS]
    edited[2]["comment"] = "somebody else wrote this"
    other = write_rows(tmp_path / "other.csv", [*edited[3:], *edited[:3], grant(99, 1)])
    shown = program("show", saved, "--input", other)
    assert shown.code == 3
    assert f"{other} is not the input that was planned:" in shown.out
    assert "  line 4 is not there as it was planned" in shown.out
    assert "  2 rows more than when it was planned, or changed since" in shown.out
    assert "  11 rows of the plan in another line than before" in shown.out
    compared = program("show", saved, "--input", other, "--json").json["input"]
    assert (compared["is_same"], [line for _, line in compared["changed"]], compared["moved"]) == (False, [4], 11)
    assert program("show", saved, "--json").json["input"] is None


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
    assert ended.json["error"]["exit_code"] == 2
    assert "require_plan" in ended.json["error"]["message"]
    assert f"access-batch plan {path} --save FILE" in ended.json["error"]["next_step"]
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


@pytest.mark.parametrize("option", [("--plan-age", "7d"), ("--all-or-nothing",)])
def test_an_option_about_saved_plans_is_refused_beside_an_input(
    option: tuple[str, ...], program: Program, tenant: RunningSandbox, path: Path
) -> None:
    ended = program("submit", path, "--yes", *option, env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert f"{option[0]} is about a saved plan" in ended.err


def test_above_the_threshold_a_yes_does_not_do_and_the_name_does(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, name = environment(tenant), tenant.base_url.removeprefix("http://")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    ended = program("submit", path, "--yes", "--confirm-above", "11", env=env)
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "12 changes are more than the 11 of --confirm-above. The tenant's name must be typed" in ended.err
    assert f"--confirm {name}" in ended.err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert program("submit", path, "--yes", "--confirm-above", "11", env=env).code == 130
    assert accepted(tenant) == {}
    monkeypatch.setattr(sys, "stdin", Terminal(f"{name}\n"))
    assert program("submit", path, "--confirm-above", "11", env=env).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_revokes_beyond_their_share_of_the_holders_are_not_sent(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
        asked = program("submit", path, env=env)
        assert asked.code == 130
        assert "2 revokes (from up to 50 % of an item's holders)" in asked.err
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
@pytest.mark.parametrize(("expired", "did"), [("ben", "approved"), ("anna", "planned")])
def test_a_signature_whose_key_has_expired_names_its_person_and_what_to_do(
    expired: str, did: str, program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    keys = {name: new_key(tmp_path / name) for name in ("anna", "ben")}
    people = {f"{name}@acme.com": key for name, key in keys.items()}
    allowed = allow(tmp_path, people)
    write_config(TEAM.format(number=1, allowed=allowed))
    team, name = ("--profile", "team"), tenant.base_url.removeprefix("http://")
    save(program, tenant, path, saved, *team, "--signing-key", keys["anna"])
    approve = ("approve", saved, *team, "--signing-key", keys["ben"], "--confirm", name)
    assert program(*approve, env=environment(tenant)).code == 0
    time.sleep(1.1)
    ends = f'valid-before="{datetime.now(UTC):%Y%m%d%H%M%S}Z"'
    lines = [
        f"{line.replace(' ', f' {ends} ', 1) if expired in line else line}" for line in allowed.read_text().splitlines()
    ]
    allowed.write_text("".join(f"{line}\n" for line in lines))
    time.sleep(1.1)
    ended = program("submit", saved, *team, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert f"{expired}@acme.com {did} it on 20" in ended.err
    assert "with a key that has expired in the file of allowed signers since" in ended.err
    assert f"access-batch plan {path} --save FILE" in ended.err
    assert f"INVALID: {expired}@acme.com, whose key has expired since" in program("show", saved, *team).out


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


def resealed(saved: Path, change: Callable[[list[Any]], object], *, every: bool = False) -> None:
    """Changes the first change of a plan, by hand, and computes the file's last line anew."""
    lines = saved.read_bytes().split(b"\n")
    for number in range(2, len(lines) - 2 if every else 3):
        row = json.loads(lines[number])
        change(row)
        lines[number] = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
    before = b"\n".join(lines[:-2]) + b"\n"
    saved.write_bytes(before + b"sha256 " + hashlib.sha256(before).hexdigest().encode() + b"\n")


def put(**values: object) -> Callable[[list[Any]], None]:
    places = {name: place for place, name in enumerate(SAVED_COLUMNS)}

    def change(row: list[Any]) -> None:
        for name, value in values.items():
            row[places[name]] = value

    return change


SELECTION = {"accountSelection": [{"sourceId": "s", "accounts": [{"nativeIdentity": "CN=a"}]}]}


@pytest.mark.parametrize(
    "values",
    [
        {"item_type": "role"},
        {"operation": "revoke"},
        {"operation": "REVOKE", "comment": ""},
        {"identity_id": "x; y"},
        {"metadata": '{"a":' * 3000},
        {"metadata": '{"a":{"b":"c"}}'},
        {"metadata": '{"accessBatchItem":"x"}'},
        {"remove_date": "2020-01-01T00:00:00Z"},
        {"remove_date": "soon"},
        {"request": 9_223_372_036_854_775_807},
        {"request": -1},
        {"selection": json.dumps(SELECTION)},
        {"account": "acc1"},
        {"account": "acc1", "selection": '{"id":"deadbeef"}'},
        {"account": "acc1", "selection": json.dumps(SELECTION | {"removeDate": "2031-12-31T00:00:00Z"})},
        {"account": "acc1", "selection": json.dumps(SELECTION | {"id": "deadbeef"}, separators=(",", ":"))},
        {"item_id": "f" * 32},
    ],
    ids=str,
)
def test_a_plan_made_by_hand_is_refused_whatever_it_says_and_however_it_is_sealed(
    values: dict[str, object], program: Program, tenant: RunningSandbox, path: Path, saved: Path
) -> None:
    save(program, tenant, path, saved)
    resealed(saved, put(**values))
    for command in (("submit", saved, "--yes"), ("show", saved)):
        ended = program(*command, env=environment(tenant) if command[0] == "submit" else {})
        assert ended.code == 2, ended.err
        assert "was not made by access-batch" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.thorough
def test_a_plan_begins_anew_after_it_was_discarded(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    env = environment(tenant)
    save(program, tenant, path, saved)
    waiting = program("submit", saved, "--yes", "--wave", "3/day", "--json", env=env)
    assert waiting.code == 4
    assert program("discard", waiting.json["run"], env=env).code == 0
    sent = accepted(tenant)
    left = [row for row in ROWS if pair_of(row) not in sent]
    other = write_rows(tmp_path / "other.csv", left[:1])
    assert program("submit", other, "--yes", env=env).code == 0
    assert program("submit", saved, "--yes", "--plan-age", "0.001", env=env).code == 2
    assert program("submit", saved, "--yes", "--all-or-nothing", env=env).code == 2
    assert accepted(tenant) == sent | {pair_of(left[0]): 1}
    ended = program("submit", saved, "--yes", env=env)
    assert f"grant of ROLE {left[0]['item_id']} for {left[0]['identity_id']}: already_submitted" in ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_guards_hold_at_every_address_of_the_tenant(program: Program, path: Path, tmp_path: Path) -> None:
    named = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, tenant_id="t1")
    with running_sandbox(named) as tenant:
        other = tenant.base_url.replace("127.0.0.1", "localhost")
        first = write_rows(tmp_path / "first.csv", [grant(30, 1)])
        assert program("submit", first, "--yes", env=environment(tenant)).code == 0
        write_config(f'[profile.here]\nbase_url = "{tenant.base_url}"\nmax_changes = 5\n')
        ended = program("submit", path, "--yes", env=environment(tenant) | {"SAIL_BASE_URL": other})
        assert ended.code == 2, ended.err
        assert "max_changes allows 5" in ended.err


def test_approvals_that_are_required_need_a_plan(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    write_config(f'approvals_required = 1\nallowed_signers = "{tmp_path}/signers"\n')
    ended = program("submit", path, "--yes", env=environment(tenant))
    assert (ended.code, accepted(tenant)) == (2, {})
    assert "Only saved plans are sent here" in ended.err


@requires_ssh
def test_one_key_is_one_person_even_with_a_certificate(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    anna, authority = new_key(tmp_path / "anna"), new_key(tmp_path / "authority")
    allowed = allow(tmp_path, {"anna@acme.com": anna})
    with allowed.open("a") as file:
        file.write(f"*@acme.com cert-authority {authority.with_suffix('.pub').read_text()}")
    write_config(TEAM.format(number=1, allowed=allowed))
    save(program, tenant, path, saved, "--profile", "team", "--signing-key", anna)
    certificate = certify(anna, authority, "audrey@acme.com")
    name = tenant.base_url.removeprefix("http://")
    ended = program(
        *("approve", saved, "--profile", "team", "--signing-key", certificate, "--confirm", name),
        env=environment(tenant),
    )
    assert ended.code == 2, ended.out
    assert "same key" in ended.err


@requires_ssh
@pytest.mark.parametrize(
    ("planner", "approver", "is_another"),
    [
        ("anna@acme.com", "*@acme.com", False),
        ("anna@acme.com,root@acme.com", "root@acme.com", False),
        ("!ben@acme.com,*@acme.com", "!anna@acme.com,*@acme.com", False),
        ("anna@acme.com", "!anna@acme.com,*@acme.com", True),
        ("anna@acme.com,a.n@acme.com", "ben@acme.com", True),
    ],
)
def test_an_approver_whose_principals_may_be_the_planners_is_no_second_person(
    program: Program,
    tenant: RunningSandbox,
    path: Path,
    saved: Path,
    tmp_path: Path,
    planner: str,
    approver: str,
    *,
    is_another: bool,
) -> None:
    mine, theirs = new_key(tmp_path / "mine"), new_key(tmp_path / "theirs")
    write_config(TEAM.format(number=1, allowed=allow(tmp_path, {planner: mine, approver: theirs})))
    team = ("--profile", "team")
    save(program, tenant, path, saved, *team, "--signing-key", mine)
    name = tenant.base_url.removeprefix("http://")
    ended = program("approve", saved, *team, "--signing-key", theirs, "--confirm", name, env=environment(tenant))
    assert (ended.code == 0) is is_another, ended.err
    assert (f"Approved by {in_words([approver])}." in ended.out) is is_another
    ended = program("submit", saved, *team, "--yes", env=environment(tenant))
    assert (ended.code == 0) is is_another
    assert accepted(tenant) == (once(map(pair_of, ROWS)) if is_another else {})


@pytest.mark.thorough
@requires_ssh
def test_an_approval_given_meanwhile_is_kept(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: new_key(tmp_path / name) for name in ("anna", "ben", "carl")}
    allowed = allow(tmp_path, {f"{name}@acme.com": key for name, key in keys.items()})
    write_config(TEAM.format(number=2, allowed=allowed))
    team, env = ("--profile", "team"), environment(tenant)
    save(program, tenant, path, saved, *team, "--signing-key", keys["anna"])
    name = tenant.base_url.removeprefix("http://")

    class Slow(Terminal):
        """Somebody who thinks about it while a colleague approves."""

        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            del size
            monkeypatch.setattr(sys, "stdin", Terminal(f"{name}\n"))
            done = subprocess.run(
                [*PROGRAM, "approve", saved, *team, "--signing-key", keys["ben"], "--confirm", name],
                env={**os.environ, **env}, capture_output=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return f"{name}\n"

    monkeypatch.setattr(sys, "stdin", Slow(""))
    ended = program("approve", saved, *team, "--signing-key", keys["carl"], env=env)
    assert ended.code == 0, ended.err
    shown = program("show", saved, *team).out
    assert "ben@acme.com" in shown
    assert "carl@acme.com" in shown
    assert program("submit", saved, *team, "--yes", env=env).code == 0


@requires_ssh
def test_a_plan_behind_a_link_is_approved_where_it_stands(
    program: Program, tenant: RunningSandbox, path: Path, saved: Path, tmp_path: Path
) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    write_config(TEAM.format(number=1, allowed=allow(tmp_path, {"anna@acme.com": anna, "ben@acme.com": ben})))
    save(program, tenant, path, saved, "--profile", "team", "--signing-key", anna)
    link = tmp_path / "link.plan"
    link.symlink_to(saved)
    name = tenant.base_url.removeprefix("http://")
    ended = program("approve", link, "--profile", "team", "--signing-key", ben, "--confirm", name)
    assert ended.code == 0, ended.err
    assert link.is_symlink()
    assert "ben@acme.com" in program("show", saved, "--profile", "team").out
