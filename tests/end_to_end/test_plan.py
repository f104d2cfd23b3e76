"""A plan can be read by others: in names, by item, person and department, on a page and in a file."""

from __future__ import annotations

import csv
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Rate
from batch.sandbox.faults import Fault
from batch.sandbox.item_rules import Approver, ApproverType, RequestRules
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Terminal, accepted, environment, grant, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

COMPANY = make_directory(20, seed=0)
ANNA, BEN = COMPANY.people[5:7]
CLERK, AUDITOR = COMPANY.of_type(ItemType.ROLE)[:2]
STEPS = RequestRules(approvers=(Approver(type=ApproverType.OWNER), Approver(type=ApproverType.MANAGER)))


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        people=20,
        seed=0,
        visibility_delay=0.0,
        item_changes={CLERK.id: {"request": STEPS}},
    )
    with running_sandbox(settings) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    def row(identity: str, item: str, **more: str) -> dict[str, str]:
        return {
            "operation": "GRANT", "identity_id": identity, "item_type": "ROLE", "item_id": item, "remove_date": "",
            "team": "Sales", **more,
        }  # fmt: skip

    return write_rows(
        tmp_path / "in.csv",
        [
            row(ANNA.id, CLERK.id, remove_date="2030-01-31"),
            row(BEN.id, CLERK.id, team="Legal"),
            row(BEN.id, AUDITOR.id, team="Legal"),
            row(BEN.id, AUDITOR.id),
            row("f" * 31, AUDITOR.id),
        ],
    )


def test_a_plan_of_ids_is_shown_in_the_tenants_names(program: Program, path: Path, sandbox: RunningSandbox) -> None:
    ended = program("plan", path, "--by", "team", env=environment(sandbox))
    assert accepted(sandbox) == {}
    assert ended.code == 3
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[0] == f"The plan: 3 grants for 2 people at {sandbox.base_url}."
    assert f"role {CLERK.name} 2 2 2030-01-31; 1 none {CLERK.owner.display_name}" in lines
    assert lines[lines.index("by team grants people") + 1 :][:2] == ["Legal 2 1", "Sales 1 1"]
    assert f"{BEN.display_name} 2 {ANNA.display_name} 1" in lines
    assert "managers of the people 2" in lines
    assert [line for line in lines if line.startswith("1 rejected: identity_id_shape, such as: ")]
    assert "1 repeated: repeats line …" in lines
    assert lines[-1] == "Nothing was sent."


def test_the_json_has_the_plan(program: Program, path: Path, sandbox: RunningSandbox) -> None:
    made = program("plan", path, "--by", "team", "--json", env=environment(sandbox)).json
    plan = made["plan"]
    assert plan["operations"] == {"GRANT": 3}
    assert plan["rows"] == {name: number for name, number in made["rows"].items() if name != "read"}
    assert {one["name"]: one["operations"] for one in plan["items"]} == {
        CLERK.name: {"GRANT": 2},
        AUDITOR.name: {"GRANT": 1},
    }
    assert {one["value"]: one["people"] for one in plan["by"]["groups"]} == {"Legal": 1, "Sales": 1}
    assert plan["calls"]["sending"] == made["requests"]["unsent"]
    assert plan["calls"]["checking"] == made["checked"]["calls"]
    assert "changes" not in plan
    assert plan["approvals"]["by_approver"][0]["steps"] == 2
    detailed = program("plan", path, "--detail", "--json", env=environment(sandbox)).json["plan"]
    assert [one["class"] for one in detailed["changes"]] == [
        *["submitted"] * 3,
        "duplicate_in_input",
        "rejected",
    ]


def test_the_files_of_a_plan_are_written_where_the_command_says(
    program: Program, path: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    folder = tmp_path / "board"
    ended = program("plan", path, "--out", folder, env=environment(sandbox))
    assert f"  plan: {folder / 'plan.csv'}" in ended.out
    assert f"  page: {folder / 'plan.html'}" in ended.out
    assert sorted(one.name for one in folder.iterdir()) == ["plan.csv", "plan.html"]
    assert {stat.S_IMODE(one.stat().st_mode) & 0o077 for one in folder.iterdir()} == {0}
    page = (folder / "plan.html").read_text("utf-8")
    assert ANNA.display_name in page
    assert "Requests are made by" in page
    with (folder / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["_line"] for row in rows] == ["2", "3", "4", "5", "6"]
    assert rows[0]["_identity_name"] == ANNA.display_name


def test_the_file_of_a_plan_is_no_input(program: Program, path: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    program("plan", path, "--out", tmp_path / "board", env=environment(sandbox))
    ended = program("submit", tmp_path / "board" / "plan.csv", "--yes", env=environment(sandbox))
    assert ended.code == 2
    assert "plan.csv is the list of a plan, for people to read" in ended.err
    assert "Submit the input that was planned" in ended.err
    assert accepted(sandbox) == {}


def test_without_out_a_plan_writes_nothing(program: Program, path: Path, tmp_path: Path) -> None:
    assert program("plan", path, "--check-tenant", "never").code == 3
    assert [one.name for one in tmp_path.iterdir() if one.is_dir() and "result" in one.name] == []


def test_a_wrong_column_is_refused_before_anybody_is_asked(
    program: Program, path: Path, sandbox: RunningSandbox
) -> None:
    ended = program("plan", path, "--by", "departement", env=environment(sandbox))
    assert (ended.code, ended.out) == (2, "")
    assert "no column `departement`, which --by names. Its columns are `operation`" in ended.err
    assert sum(sandbox.tenant.audit.calls.values()) == 0


def test_files_of_a_plan_never_replace_its_input(program: Program, path: Path, tmp_path: Path) -> None:
    named = path.rename(tmp_path / "plan.csv")
    before = named.read_bytes()
    ended = program("plan", named, "--out", tmp_path, "--check-tenant", "never")
    assert ended.code == 2
    assert "would overwrite the input" in ended.err
    assert named.read_bytes() == before


def test_a_plan_of_names_is_shown_in_the_inputs_names(
    program: Program, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    rows = [
        {"operation": "GRANT", "identity": ANNA.email, "item_type": "ROLE", "item": f"{CLERK.name}|{AUDITOR.name}"},
        {"operation": "GRANT", "identity": BEN.alias, "item_type": "ROLE", "item": CLERK.name},
    ]
    out = program("plan", write_rows(tmp_path / "in.csv", rows), env=environment(sandbox)).out
    for words in (f"role {CLERK.name} ", f"role {AUDITOR.name} ", ANNA.email, BEN.alias, "3 grants for 2 people"):
        assert words in out
    assert ANNA.id not in out


def test_a_run_that_was_planned_and_not_sent_is_shown_as_it_will_be_sent(
    program: Program, path: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = program("plan", path, "--json", env=environment(sandbox)).json
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal("n\n"))
        assert program("submit", path, env=environment(sandbox)).code == 130
    after = program("plan", path, "--json", "--detail", env=environment(sandbox)).json
    assert accepted(sandbox) == {}
    for key in ("operations", "people", "rows"):
        assert after["plan"][key] == before["plan"][key]
    assert after["plan"]["calls"]["sending"] == before["plan"]["calls"]["sending"] == after["requests"]["unsent"]
    requests = {one["request"] for one in after["plan"]["changes"]} - {None}
    assert requests == set(range(1, after["requests"]["unsent"] + 1))
    assert program("submit", path, "--yes", env=environment(sandbox)).code == 3
    done = program("plan", path, "--json", env=environment(sandbox)).json["plan"]
    assert (done["operations"], done["calls"]["sending"]) == ({}, 0)
    assert {"class": "submitted", "rule": "", "reason": "sent by this run already", "changes": 3} in done["skipped"]


def test_a_plan_that_was_made_without_asking_says_so_wherever_it_is_read(
    program: Program, path: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    words = "Did not ask the tenant which changes are in progress or held"
    asked = program("plan", path, "--check-tenant", "never", "--quiet", "--out", tmp_path, env=environment(sandbox))
    assert asked.err == ""
    assert words in asked.out
    assert words in (tmp_path / "plan.html").read_text("utf-8")
    loud = program("plan", path, "--check-tenant", "never", env=environment(sandbox))
    assert (words in loud.err, words in loud.out) == (True, False)


def test_what_the_tenant_may_refuse_is_a_warning_of_the_plan(
    program: Program, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    item = COMPANY.of_type(ItemType.ACCESS_PROFILE)[0]
    sandbox.tenant.known.change_item(item.id, requestable=False)
    row = {"operation": "GRANT", "identity_id": ANNA.id, "item_type": "ACCESS_PROFILE", "item_id": item.id}
    made = program("plan", write_rows(tmp_path / "in.csv", [row]), "--json", env=environment(sandbox)).json
    (warning,) = made["plan"]["warnings"]
    assert "(item_not_requestable)" in warning


def test_the_time_of_a_plan_is_that_at_the_present_pace_which_the_tenant_has_lowered(
    program: Program, tmp_path: Path
) -> None:
    first = write_rows(tmp_path / "first.csv", [grant(person, person, comment=str(person)) for person in range(30)])
    second = write_rows(tmp_path / "second.csv", [grant(200, 1)])
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)) as sandbox:
        env = environment(sandbox)
        before = program("plan", second, "--json", env=env).json["plan"]["calls"]["rate"]
        sandbox.faults.add(Fault.THROTTLED_429)
        ended = program("submit", first, "--yes", "--json", env=env)
        assert ended.json["http"]["throttled"] == 1
        after = program("plan", second, "--json", "--max-age", "0", env=env).json["plan"]["calls"]["rate"]
    assert before == "5000/1"
    assert int(after.split("/")[0]) < 5000


def test_a_guard_that_stops_a_plan_of_names_names_the_person(
    program: Program, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    rows = [{"identity": ANNA.alias, "item_type": "ROLE", "item": role.name} for role in (CLERK, AUDITOR)]
    wanted = write_rows(tmp_path / "named.csv", rows)
    for command in (("plan", wanted), ("submit", wanted, "--yes")):
        ended = program(*command, "--max-per-person", "1", env=environment(sandbox))
        assert f"2 changes for the person {ANNA.alias} ({ANNA.id})" in ended.err
    assert accepted(sandbox) == {}


def test_no_character_of_plan_csv_hides_or_reorders_others(
    program: Program, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    wanted = write_rows(tmp_path / "odd.csv", [grant(1, 1, comment="for \u202eeht")])
    program("plan", wanted, "--out", tmp_path / "board", env=environment(sandbox))
    written = (tmp_path / "board" / "plan.csv").read_text("utf-8")
    assert "for \\u202eeht" in written
