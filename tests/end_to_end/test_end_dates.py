"""End dates of access that people hold are set, extended, shortened and removed, and never removed by an empty cell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, grant, identity, item, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

SPRING, SUMMER, AUTUMN = "2031-03-31T00:00:00Z", "2031-06-30T00:00:00Z", "2031-09-30T00:00:00Z"
NEVER = ""


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    """A tenant that needs no approvals and provisions at once."""
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, approval_seconds=0.0, provisioning_seconds=0.0
    )
    with running_sandbox(settings) as sandbox:
        yield sandbox


def hold(sandbox: RunningSandbox, person: int, until: str, kind: ItemType = ItemType.ROLE) -> None:
    end = datetime.fromisoformat(until) if until else None
    sandbox.tenant.hold(identity(person), kind, item(1), until=end)


def end(sandbox: RunningSandbox, person: int, kind: ItemType = ItemType.ROLE) -> str | None:
    """The end date at the tenant; empty for none, None if the item is not held."""
    holding = sandbox.tenant.held(identity(person), datetime.now(UTC)).get((kind, item(1)))
    return None if holding is None else f"{holding.until:%Y-%m-%dT%H:%M:%SZ}" if holding.until else NEVER


def extend(person: int, date: str, **more: str) -> dict[str, str]:
    return grant(person, 1, remove_date=date) | {"operation": "EXTEND"} | more


def submit(program: Program, sandbox: RunningSandbox, path: Path, *more: str | Path) -> Ended:
    return program("submit", path, "--yes", "--json", *more, env=environment(sandbox))


def classes(tmp_path: Path, name: str = "a") -> list[str]:
    return [row["_class"] for row in read_rows(tmp_path / f"{name}.results" / "results.csv")]


def test_an_end_date_is_set_extended_shortened_and_removed(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    for person, date in enumerate([NEVER, SUMMER, SUMMER, SUMMER]):
        hold(tenant, person, date)
    rows = [extend(0, SUMMER), extend(1, "2031-09-30"), extend(2, SPRING), extend(3, "None")]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", rows))
    assert ended.code == 0, ended.err
    assert [end(tenant, person) for person in range(4)] == [SUMMER, AUTUMN, SPRING, NEVER]
    assert classes(tmp_path) == ["submitted"] * 4
    assert f"1 row removes the end date of access, which then lasts: {SUMMER} (line 5)." in ended.err
    assert tenant.tenant.audit.refused == 0


@pytest.mark.parametrize("present", [SUMMER, NEVER])
def test_the_date_that_is_there_already_needs_no_request(
    program: Program, tenant: RunningSandbox, tmp_path: Path, present: str
) -> None:
    hold(tenant, 1, present)
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", [extend(1, present or "none")]))
    assert (ended.code, ended.json["rows"]["already_held"], accepted(tenant)) == (0, 1, {})
    assert "removes the end date" not in ended.err
    reason = read_rows(tmp_path / "a.results" / "results.csv")[0]["_reason"]
    ends = f"until {SUMMER}" if present else "without an end date"
    assert reason == f"held {ends} already, by the tenant's role assignments"


@pytest.mark.parametrize("options", [(), ("--check-tenant", "never")])
def test_access_that_the_tenant_does_not_show_is_not_granted_by_an_extend(
    program: Program, tenant: RunningSandbox, tmp_path: Path, options: tuple[str, ...]
) -> None:
    hold(tenant, 2, SUMMER)
    tenant.tenant.hold(identity(1), ItemType.ROLE, item(7))
    rows = [extend(1, SUMMER), *([] if options else [extend(2, AUTUMN)]), extend(3, SUMMER)]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", rows), *options)
    assert (ended.code, ended.json["rows"]["rejected"], ended.json["rows"]["submitted"]) == (3, 2, len(rows) - 2)
    assert [end(tenant, person) for person in (1, 2, 3)] == [None, SUMMER if options else AUTUMN, None]
    back = read_rows(tmp_path / "a.results" / "rejected.csv")
    assert [(row["operation"], row["_rule"]) for row in back] == [("EXTEND", "extend_not_held")] * 2
    assert "write GRANT if that is meant" in back[0]["_message"]


def test_whoever_knows_that_access_is_held_can_extend_it_without_being_shown_it(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    hold(tenant, 1, SPRING)
    path = write_rows(tmp_path / "a.csv", [extend(1, SUMMER)])
    ended = submit(program, tenant, path, "--check-tenant", "never", "--ignore", "extend_not_held")
    assert (ended.code, end(tenant, 1)) == (0, SUMMER)


def test_an_extend_without_a_date_and_none_without_extend_are_rejected(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    hold(tenant, 1, SUMMER)
    rows = [extend(1, ""), grant(1, 1, remove_date="none"), extend(2, SUMMER, start_date=SPRING)]
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", [{"start_date": "", **row} for row in rows]))
    assert (ended.code, ended.json["rows"]["rejected"], accepted(tenant)) == (3, 3, {})
    messages = [row["_message"] for row in read_rows(tmp_path / "a.results" / "rejected.csv")]
    assert messages[0] == "an EXTEND changes an end date: give a remove_date, or the word none"
    assert messages[1].startswith("only an EXTEND can have the remove_date 'none'")
    assert "clear start_date" in messages[2]
    assert end(tenant, 1) == SUMMER


@pytest.mark.parametrize("options", [(), ("--check-tenant", "never")])
def test_a_grant_without_a_date_never_removes_an_end_date(
    program: Program, tenant: RunningSandbox, tmp_path: Path, options: tuple[str, ...]
) -> None:
    dated = write_rows(tmp_path / "dated.csv", [grant(1, 1, remove_date=SUMMER)])
    assert submit(program, tenant, dated).code == 0
    assert program("track", env=environment(tenant)).code == 0
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", [grant(1, 1)]), *options)
    assert (ended.code, ended.json["rows"]["held_back"]) == (3, 1)
    assert "would remove that end date" in read_rows(tmp_path / "a.results" / "results.csv")[0]["_reason"]
    assert end(tenant, 1) == SUMMER


def test_a_grant_without_a_date_of_what_somebody_else_gave_until_a_date_is_held_already(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    hold(tenant, 1, SUMMER)
    ended = submit(program, tenant, write_rows(tmp_path / "a.csv", [grant(1, 1)]))
    assert (ended.code, ended.json["rows"]["already_held"], end(tenant, 1)) == (0, 1, SUMMER)


@pytest.mark.thorough
def test_each_new_date_is_a_new_intention_and_the_same_date_is_none(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    found = []
    for number, (row, told) in enumerate(
        [
            (grant(1, 1, remove_date=SPRING), SPRING),
            (extend(1, SUMMER), SUMMER),
            (extend(1, SUMMER, comment="again"), SUMMER),
            (extend(1, "none"), NEVER),
            (extend(1, "NONE", comment="again"), NEVER),
            (extend(1, SPRING), SPRING),
        ]
    ):
        ended = submit(program, tenant, write_rows(tmp_path / f"{number}.csv", [row]))
        found.append((ended.code, *classes(tmp_path, str(number)), end(tenant, 1) == told))
        program("track", env=environment(tenant))
    assert found == [
        (0, "submitted", True),
        (0, "submitted", True),
        (0, "already_submitted", True),
        (0, "submitted", True),
        (0, "already_submitted", True),
        (0, "submitted", True),
    ]


def test_while_one_date_waits_for_approval_another_is_held_back(program: Program, tmp_path: Path) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
    with running_sandbox(settings) as sandbox:
        hold(sandbox, 1, SPRING)
        first = submit(program, sandbox, write_rows(tmp_path / "a.csv", [extend(1, "none")]))
        second = submit(program, sandbox, write_rows(tmp_path / "b.csv", [extend(1, SUMMER)]))
        other = submit(
            program, sandbox, write_rows(tmp_path / "c.csv", [extend(1, "none")]), "--ledger", tmp_path / "other.db",
            "--new-ledger",
        )  # fmt: skip
        assert sum(accepted(sandbox).values()) == 1
    assert (first.code, second.code, classes(tmp_path, "b")) == (0, 3, ["held_back"])
    assert (
        "a grant without an end date of it in progress"
        in read_rows(tmp_path / "b.results" / "results.csv")[0]["_reason"]
    )
    assert (other.code, classes(tmp_path, "c")) == (0, ["already_submitted"])


def test_extends_are_packed_like_grants_and_the_calls_for_their_dates_are_told(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    for person in range(30):
        hold(tenant, person, SPRING)
    path = write_rows(tmp_path / "a.csv", [extend(person, SUMMER) for person in range(30)])
    planned = program("plan", path, "--json", env=environment(tenant))
    assert planned.json["requests"]["planned"] == 3
    assert "Asking the tenant which changes are in progress, held or against its rules: " in planned.err
    assert planned.json["plan"]["operations"] == {"EXTEND": 30}
    assert submit(program, tenant, path).code == 0
    assert {end(tenant, person) for person in range(30)} == {SUMMER}


def test_what_no_list_tells_is_said_in_one_line(program: Program, tmp_path: Path) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, approval_seconds=0.0, provisioning_seconds=0.0
    )
    with running_sandbox(settings) as sandbox:
        for person in (1, 2):
            hold(sandbox, person, SPRING, ItemType.ACCESS_PROFILE)
        rows = [extend(1, SUMMER, item_type="ACCESS_PROFILE"), extend(2, "none", item_type="ACCESS_PROFILE")]
        ended = submit(program, sandbox, write_rows(tmp_path / "a.csv", rows))
        ends = [end(sandbox, person, ItemType.ACCESS_PROFILE) for person in (1, 2)]
    assert (ended.code, ends) == (0, [SUMMER, NEVER])
    assert "2 EXTENDs of access profiles and entitlements: no list of the tenant tells their present" in ended.err
    assert "a date that the tenant does not tell (line 3)" in ended.err


def test_a_saved_plan_extends_and_checks_again_before_it_is_applied(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    for person in (1, 2, 3):
        hold(tenant, person, SPRING)
    path = write_rows(tmp_path / "a.csv", [extend(1, SUMMER), extend(2, "none"), extend(3, AUTUMN)])
    saved = tmp_path / "load.plan"
    assert program("plan", path, "--save", saved, env=environment(tenant)).code == 0
    shown = program("show", saved, "--detail")
    assert "3 extends for 3 people" in shown.out
    assert " without an end date: request " in shown.out
    assert f"removes the end date of access, which then lasts: {SPRING} (line 3)." in shown.out
    tenant.tenant.request_by_other(
        datetime.now(UTC), identity=identity(3), item_type=ItemType.ROLE, item_id=item(1), removeDate=AUTUMN
    )
    ended = submit(program, tenant, saved, "--max-age", "0")
    assert ended.code == 0, ended.err
    assert [end(tenant, person) for person in (1, 2, 3)] == [SUMMER, NEVER, AUTUMN]
    assert sum(accepted(tenant).values()) == 2
    assert "extend of ROLE" in ended.err


def test_undoing_an_extend_does_not_take_the_access_away(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    hold(tenant, 1, SPRING)
    hold(tenant, 2, SPRING)
    path = write_rows(tmp_path / "a.csv", [extend(1, SUMMER), extend(2, "none"), grant(3, 1)])
    run = submit(program, tenant, path).json["run"]
    ended = program("cancel", run, "--yes", env=environment(tenant))
    undo = read_rows(tmp_path / "a.results" / "undo.csv")
    assert [(row["operation"], row["identity_id"]) for row in undo] == [("REVOKE", identity(3))]
    assert "2 changes only set another end date: undo.csv leaves the access to the people" in ended.out
    assert submit(program, tenant, tmp_path / "a.results" / "undo.csv").code == 0
    assert [end(tenant, person) for person in (1, 2)] == [SUMMER, NEVER]


@pytest.mark.parametrize("date", ["2031-06-30", "none"])
def test_a_failed_extend_comes_back_as_an_input(program: Program, tmp_path: Path, date: str) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        approval_seconds=0.0,
        provisioning_seconds=0.0,
        rejected=1.0,
    )
    with running_sandbox(settings) as sandbox:
        hold(sandbox, 1, SPRING)
        submit(program, sandbox, write_rows(tmp_path / "a.csv", [extend(1, date)]))
        program("track", "--out", tmp_path / "out", env=environment(sandbox))
        (failed,) = read_rows(tmp_path / "out" / "failed.csv")
        again = submit(program, sandbox, tmp_path / "out" / "failed.csv", "--resubmit", "rejected")
        assert (again.code, again.json["rows"]["submitted"], end(sandbox, 1)) == (0, 1, SPRING)
    assert (failed["operation"], failed["remove_date"][:10]) == ("EXTEND", date)


def operations(path: Path) -> list[tuple[str, str]]:
    return sorted((row["operation"], row["remove_date"][:10]) for row in read_rows(path))


def test_every_operation_comes_back_as_it_was_written_in_each_file_of_rows_to_submit_again(
    program: Program, tmp_path: Path
) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        approval_seconds=0.0,
        provisioning_seconds=0.0,
        rejected=1.0,
    )
    revoke = grant(4, 1, comment="left", remove_date="") | {"operation": "REVOKE"}
    rows = [grant(1, 1, remove_date=SUMMER), extend(2, SUMMER), extend(3, "none"), revoke]
    written = [("EXTEND", SUMMER[:10]), ("EXTEND", "none"), ("GRANT", SUMMER[:10]), ("REVOKE", "")]
    with running_sandbox(settings) as sandbox:
        for person in (2, 3, 4):
            hold(sandbox, person, SPRING)
        bad = write_rows(tmp_path / "bad.csv", [row | {"item_id": "?"} for row in rows])
        assert submit(program, sandbox, bad).code == 3
        assert operations(tmp_path / "bad.results" / "rejected.csv") == written
        other = [row | {"operation": "REVOKE", "comment": "x", "remove_date": ""} for row in rows[:3]]
        both = write_rows(tmp_path / "both.csv", [*rows[:3], *other])
        assert submit(program, sandbox, both).code == 3
        found = operations(tmp_path / "both.results" / "unsent.csv")
        assert [one for one in found if one[0] != "REVOKE"] == written[:3]
        path = write_rows(tmp_path / "a.csv", rows)
        assert submit(program, sandbox, path).code == 0
        assert program("track", "--out", tmp_path / "out", env=environment(sandbox)).code == 3
        submit(program, sandbox, path)
    assert operations(tmp_path / "a.results" / "failed.csv") == written
    assert operations(tmp_path / "out" / "failed.csv") == written
    assert operations(tmp_path / "out" / "tracked.csv") == written
