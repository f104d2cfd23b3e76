"""The main job over HTTP: the tenant's records match the rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.program import (
    accepted,
    environment,
    grant,
    identity,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

SAMPLES = Path(__file__).resolve().parents[2] / "sample_csvs"
MISTAKES = {102, 702, 1202, 1502, 1802, 3115, 3116}
"""Lines of onboarding.csv that must not be submitted; its generator puts mistakes there."""


@pytest.fixture
def onboarding(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "onboarding.csv", tmp_path))


def test_the_tenant_accepts_exactly_the_changes_of_the_valid_sample_rows(
    program: Program, tenant: RunningSandbox, onboarding: Path
) -> None:
    ended = program("submit", onboarding, "--yes", "--json", env=environment(tenant))
    rows = enumerate(read_rows(onboarding), start=2)
    wanted = once(pair_of(row) for line, row in rows if line not in MISTAKES)
    # Of 3,108 changes, only those that differ: a failure must show them, and what the command said.
    assert accepted(tenant).items() ^ wanted.items() == set(), ended
    assert tenant.tenant.audit.refused == 0
    assert ended.code == 3
    assert ended.json["rows"] == {
        "read": 3115,
        "rejected": 4,
        "duplicate_in_input": 1,
        "conflict_in_input": 2,
        "already_submitted": 0,
        "already_held": 0,
        "not_held": 0,
        "held_back": 0,
        "submitted": 3108,
    }
    assert ended.json["http"]["posts"] == tenant.tenant.audit.posts == ended.json["requests"]["accepted"]
    assert ended.json["requests"]["lower_bound"] <= ended.json["requests"]["planned"] < 150


def test_the_same_command_sends_nothing_the_second_time_and_reports_it(
    program: Program, tenant: RunningSandbox, onboarding: Path
) -> None:
    first = program("submit", onboarding, "--yes", "--json", env=environment(tenant))
    posts = tenant.tenant.audit.posts
    second = program("submit", onboarding, "--yes", "--json", env=environment(tenant))
    third = program("submit", onboarding, "--yes", env=environment(tenant))
    assert tenant.tenant.audit.posts == posts
    assert second.json["http"]["posts_now"] == 0
    for key in ("run", "rows", "changes", "requests"):
        assert second.json[key] == first.json[key]
    assert "Nothing to send" in third.out


def test_other_files_with_the_same_changes_send_nothing(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    rows = [grant(person, thing) for person in range(4) for thing in range(3)]
    program("submit", write_rows(tmp_path / "a.csv", rows), "--yes", env=environment(tenant))
    shuffled = write_rows(tmp_path / "b.csv", [*reversed(rows), grant(9, 9)])
    again = program("submit", shuffled, "--yes", "--json", env=environment(tenant))
    assert accepted(tenant) == once(pair_of(row) for row in [*rows, grant(9, 9)])
    assert again.json["rows"]["already_submitted"] == 12
    assert again.json["rows"]["submitted"] == 1
    results = read_rows(tmp_path / "b.results" / "results.csv")
    assert {row["_class"] for row in results[:12]} == {"already_submitted"}
    assert all("accepted in run" in row["_reason"] for row in results[:12])


def test_a_revoke_is_held_back_while_its_grant_is_in_progress(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    wanted = grant(1, 1)
    program("submit", write_rows(tmp_path / "a.csv", [wanted]), "--yes", env=environment(tenant))
    revoke = write_rows(tmp_path / "b.csv", [{**wanted, "operation": "REVOKE", "comment": "leaves"}])
    ended = program("submit", revoke, "--yes", "--json", env=environment(tenant))
    assert ended.code == 3
    assert ended.json["rows"]["held_back"] == 1
    assert accepted(tenant) == once([pair_of(wanted)])


def test_the_result_files_show_the_outcome_of_every_row(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    good, bad = grant(1, 1, ticket="=T-1"), grant(2, 2, ticket="-2")
    bad["item_id"] = "0012"
    path = write_rows(tmp_path / "wanted.csv", [good, bad, good])
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    results = read_rows(tmp_path / "wanted.results" / "results.csv")
    assert [row["_class"] for row in results] == ["submitted", "rejected", "duplicate_in_input"]
    assert [row["_line"] for row in results] == ["2", "3", "4"]
    assert results[0]["_state"] == "ACCEPTED"
    assert results[0]["_request"].startswith(ended.json["run"])
    assert results[0]["ticket"] == "'=T-1"
    assert results[2]["_reason"].startswith("repeats line 2")
    (rejected,) = read_rows(tmp_path / "wanted.results" / "rejected.csv")
    assert rejected["item_id"] == "0012"
    assert rejected["ticket"] == "'-2"
    assert rejected["_rule"] == "item_id_shape"
    assert ended.json["files"]["rejected"] == str(tmp_path / "wanted.results" / "rejected.csv")


def test_the_file_of_rejected_rows_can_be_corrected_and_submitted(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    bad = grant(2, 2, ticket="-2")
    bad["item_id"] = "0012"
    path = write_rows(tmp_path / "wanted.csv", [bad])
    program("submit", path, "--yes", env=environment(tenant))
    rejected = tmp_path / "wanted.results" / "rejected.csv"
    rejected.write_text(rejected.read_text(encoding="utf-8").replace("0012", item(2)), encoding="utf-8")
    ended = program("submit", rejected, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert accepted(tenant) == once([pair_of(grant(2, 2))])
    (row,) = read_rows(tmp_path / "wanted.results" / "rejected.results" / "results.csv")
    assert row["ticket"] == "'-2"


def test_several_items_in_a_cell_are_several_changes_of_one_row(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    row = grant(1, 1)
    row["item_id"] = f"{item(1)} | {item(2)}|{item(1)}"
    ended = program("submit", write_rows(tmp_path / "a.csv", [row]), "--yes", "--json", env=environment(tenant))
    assert accepted(tenant) == once([pair_of(grant(1, 1)), pair_of(grant(1, 2))])
    assert ended.json["rows"]["read"] == ended.json["rows"]["submitted"] == 1
    assert ended.json["changes"]["accepted"] == 2


@pytest.mark.thorough
def test_a_single_unknown_identity_does_not_stop_the_others(program: Program, tmp_path: Path) -> None:
    from batch.api.dialects import Rate  # noqa: PLC0415 - this test alone needs a tenant that knows its people
    from batch.sandbox.server import running_sandbox  # noqa: PLC0415 - as above
    from batch.sandbox.settings import SandboxSettings  # noqa: PLC0415 - as above

    rows = [grant(person, thing) for person in range(10) for thing in range(5)]
    known = frozenset(identity(person) for person in range(10) if person != 6)
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), identities=known)
    with running_sandbox(settings) as sandbox:
        path = write_rows(tmp_path / "a.csv", rows)
        ended = program("submit", path, "--yes", "--json", env=environment(sandbox))
        assert accepted(sandbox) == once(pair_of(row) for row in rows if row["identity_id"] != identity(6))
        assert ended.code == 3
        assert ended.json["changes"] == {"planned": 50, "accepted": 45, "refused": 5, "unconfirmed": 0, "unsent": 0}
        results = read_rows(tmp_path / "a.results" / "results.csv")
        refused = [row for row in results if row["_state"] == "REFUSED"]
        assert {row["identity_id"] for row in refused} == {identity(6)}
        assert all("tracking id" in row["_reason"] for row in refused)
        back = tmp_path / "a.results" / "refused.csv"
        assert ended.json["files"]["refused"] == str(back)
        assert all("tracking id" in row["_message"] for row in read_rows(back))
        corrected = back.with_name("corrected.csv")
        corrected.write_text(back.read_text("utf-8").replace(identity(6), identity(7)), "utf-8")
        repeated = program("submit", corrected, "--yes", "--json", env=environment(sandbox))
        assert (repeated.code, repeated.json["rows"]["already_submitted"]) == (0, 5)
        again = program("submit", path, "--yes", env=environment(sandbox))
        assert again.out.endswith(f"correct these rows, then: access-batch submit {back}\n")
        again = program("submit", path, "--yes", "--json", env=environment(sandbox))
        assert again.json["changes"]["refused"] == 5
        assert again.json["http"]["posts_now"] > 0
        assert max(accepted(sandbox).values()) == 1
