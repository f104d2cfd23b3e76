"""The commands around the main job, as scripts and people use them."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType
from tests.end_to_end.program import (
    Terminal,
    accepted,
    environment,
    grant,
    identity,
    item,
    once,
    pair_of,
    start,
    write_rows,
)
from tests.ledger.ledger_helpers import rows
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

ROOT = Path(__file__).resolve().parents[2]
CHANGES_THE_LEDGER = {
    "submit": ("submit", "{input}", "--yes"),
    "track": ("track", "{run}", "--track-for", "0"),
    "audit": ("audit", "{run}"),
    "settle": ("settle", "{run}"),
    "settle by hand": ("settle", "{run}", "--arrived"),
    "cancel": ("cancel", "{run}", "--yes"),
    "discard": ("discard", "{run}"),
    "ledger import": ("ledger", "import", "--everybody"),
}
"""Each command that may add events to a run's chain, as it is typed."""
OTHERS = {
    *(
        "validate",
        "plan",
        "show",
        "approve",
        "status",
        "runs",
        "report",
        "login",
        "logout",
        "doctor",
        "sandbox",
        "help",
    ),
    *("evidence pack", "evidence verify"),
    *("ledger verify", "ledger backup", "ledger export", "ledger move"),
}
"""The other commands: they read, or have no run."""
NEWEST = (
    "SELECT event.number, event.hash FROM event JOIN run ON run.number = event.run WHERE run.id = ?"
    " ORDER BY event.number DESC LIMIT 1"
)
KEYS = {
    "run": None,
    "tenant": None,
    "dry_run": None,
    "rows": {
        "read",
        "rejected",
        "duplicate_in_input",
        "conflict_in_input",
        "already_submitted",
        "already_held",
        "held_back",
        "submitted",
    },
    "changes": {"planned", "accepted", "refused", "unconfirmed", "unsent"},
    "requests": {"planned", "lower_bound", "accepted", "refused", "unconfirmed", "unsent"},
    "http": {"posts", "throttled", "retried"},
    "files": {"rejected", "results", "report"},
    "elapsed_s": None,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", [grant(person, thing) for person in range(3) for thing in range(2)])


def test_the_json_has_every_promised_key(program: Program, tenant: RunningSandbox, path: Path) -> None:
    documents = [
        program("plan", path, "--json").json,
        program("submit", path, "--yes", "--json", env=environment(tenant)).json,
    ]
    for document in documents:
        for key, inner in KEYS.items():
            assert inner is None or inner <= set(document[key])
        rows = dict(document["rows"])
        assert rows.pop("read") == sum(rows.values())


@pytest.mark.parametrize(("command", "name"), [("validate", "rejected.csv"), ("submit", "results.csv")])
def test_no_result_file_replaces_an_input(
    program: Program, tenant: RunningSandbox, tmp_path: Path, command: str, name: str
) -> None:
    rows = [grant(1, 1), {**grant(2, 2), "item_id": "bad"}]
    path = write_rows(tmp_path / name, rows)
    before = path.read_bytes()
    yes = ["--yes"] if command == "submit" else []
    ended = program(command, path, "--out", tmp_path, *yes, env=environment(tenant))
    assert ended.code == 2
    assert "would overwrite" in ended.err
    assert path.read_bytes() == before
    assert accepted(tenant) == {}


def test_the_results_of_a_glob_go_beside_its_first_file(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    for name in ("b.csv", "a.csv"):
        write_rows(tmp_path / name, [grant(len(name), ord(name[0]))])
    ended = program("submit", f"{tmp_path}/*.csv", "--yes", env=environment(tenant))
    assert ended.code == 0
    assert (tmp_path / "a.results" / "results.csv").exists()


def test_a_file_whose_name_is_not_text_is_refused(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "inv\udcff.csv"
    path.write_text("x", encoding="utf-8")
    ended = program("validate", path)
    assert ended.code == 2
    assert "not text" in ended.err


def test_a_rate_above_the_documented_limit_is_reported(program: Program, tenant: RunningSandbox, path: Path) -> None:
    above = program("submit", path, "--yes", env=environment(tenant))
    assert "above the documented 100 per 10 s" in above.err
    below = program("submit", path, "--yes", "--rate", "50/5", env=environment(tenant))
    assert "documented" not in below.err


def test_options_can_be_set_in_the_environment(program: Program, path: Path) -> None:
    ended = program("plan", path, env={"ACCESS_BATCH_JSON": "1", "ACCESS_BATCH_QUIET": "1"})
    assert ended.json["dry_run"] is True
    assert ended.err == ""
    assert "no profile 'x'" in program("plan", path, env={"ACCESS_BATCH_PROFILE": "x"}).err


def test_a_plan_needs_no_tenant_and_leaves_nothing_behind(program: Program, path: Path, tmp_path: Path) -> None:
    ended = program("plan", path, "--json")
    assert ended.code == 0
    assert ended.json["changes"]["unsent"] == 6
    assert ended.json["requests"]["planned"] == ended.json["requests"]["lower_bound"] == 1
    assert ended.json["dry_run"] is True
    assert list(tmp_path.iterdir()) == [path]


def test_a_plan_leaves_out_changes_that_the_ledger_has(program: Program, tenant: RunningSandbox, path: Path) -> None:
    program("submit", path, "--yes", env=environment(tenant))
    ended = program("plan", path, env=environment(tenant))
    assert "Nothing to send" in ended.out


def test_validate_writes_the_rejected_rows_and_touches_no_ledger(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(1, 1), {**grant(2, 2), "item_type": "GROUP"}])
    ended = program("validate", path)
    assert ended.code == 3
    assert "1 row could be submitted" in ended.out
    assert (tmp_path / "a.results" / "rejected.csv").exists()
    assert not (tmp_path / "data").exists()


def test_validate_contacts_no_tenant(program: Program, path: Path) -> None:
    assert program("validate", path, env={"SAIL_BASE_URL": "http://tenant.example.com"}).code == 0


def test_status_and_runs_show_the_progress_of_a_run(program: Program, tenant: RunningSandbox, path: Path) -> None:
    assert program("status").code == 2
    assert program("runs").code == 2
    run = program("submit", path, "--yes", "--json", env=environment(tenant)).json["run"]
    assert "6 planned, 6 accepted" in program("status").out
    assert program("status", run[:4], "--json").json["changes"]["accepted"] == 6
    assert run in program("runs").out
    assert [run_shown["run"] for run_shown in program("runs", "--json").json["runs"]] == [run]
    assert program("status", "nonsense").code == 2


@pytest.mark.thorough
def test_discarded_changes_are_forgotten_and_can_be_submitted_again(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    run = program("submit", path, "--yes", "--json", "--check-tenant", "never", env=wrong).json["run"]
    assert "1 request discarded" in program("discard", run).out
    other = write_rows(path.with_name("b.csv"), [grant(0, 0)])
    assert program("submit", other, "--yes", "--json", env=environment(tenant)).json["changes"]["accepted"] == 1
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert accepted(tenant) == once(pair_of(grant(person, thing)) for person in range(3) for thing in range(2))


def test_submit_does_nothing_without_a_terminal_and_without_yes(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    ended = program("submit", path, env=environment(tenant))
    assert ended.code == 2
    assert "--yes" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.parametrize(("typed", "code", "sent"), [("y\n", 0, 6), ("n\n", 130, 0), ("\n", 130, 0), ("", 130, 0)])
def test_a_run_at_a_terminal_starts_only_after_a_yes(
    program: Program,
    tenant: RunningSandbox,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
    sent: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ended = program("submit", path, env=environment(tenant))
    assert f"Submit 6 grants in 1 request to {tenant.base_url}?" in ended.err
    assert ended.code == code
    assert len(accepted(tenant)) == sent


def test_a_run_can_read_standard_input(
    program: Program, tenant: RunningSandbox, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    ended = program("submit", "-", "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert ended.json["rows"]["submitted"] == 6
    assert (tmp_path / "stdin.results" / "results.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "nowhere.csv", "--yes"], "does not exist"),
        (["submit", "{path}", "--yes", "--rate", "5"], "N/SECONDS"),
        (["submit", "{path}", "--yes", "--api", "v9"], "no API version"),
        (["submit", "{path}", "--yes", "--base-url", "http://tenant.example.com"], "plain http"),
        (["submit", "{path}", "--yes", "--out", "{path}"], "--out"),
        (["submit", "{path}", "--yes", "--ledger", "nonsense://x"], "of the kind 'nonsense'"),
        (["submit", "{path}", "--yes", "--profile", "x"], "no profile"),
        (["submit", "{path}", "--yes", "--log-file", "{path}"], "holds something else"),
        (["submit", "{path}", "--yes", "--log-file", "nowhere/log"], "nowhere/log can't be appended to"),
        (["submit", "{path}", "--yes", "-q", "-v"], "exclude each other"),
        (["submit"], "Missing argument"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_usage_exits_with_2_and_sends_nothing(
    program: Program, tenant: RunningSandbox, path: Path, arguments: list[str], message: str
) -> None:
    ended = program(*(argument.replace("{path}", str(path)) for argument in arguments), env=environment(tenant))
    assert ended.code == 2
    assert message in ended.err
    assert ended.out == ""
    assert tenant.tenant.audit.posts == 0


def test_an_error_names_the_missing_setting(program: Program, tenant: RunningSandbox, path: Path) -> None:
    for name, message in (
        ("SAIL_BASE_URL", "Looked at: --base-url and SAIL_BASE_URL"),
        ("SAIL_CLIENT_ID", "SAIL_CLIENT_ID is not set"),
        ("SAIL_CLIENT_SECRET", "SAIL_CLIENT_SECRET is not set"),
    ):
        env = {key: value for key, value in environment(tenant).items() if key != name}
        ended = program("submit", path, "--yes", env=env)
        assert ended.code == 2
        assert message in ended.err


def test_the_sandbox_never_uses_a_real_ledger(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "real.db"
    program("submit", path, "--yes", "--ledger", ledger, env=environment(tenant))
    ended = program("submit", path, "--yes", "--ledger", ledger, "--sandbox")
    assert ended.code == 2
    assert "never share a ledger" in ended.err


def test_the_sandbox_command_shows_how_to_connect_a_client(tmp_path: Path, path: Path, program: Program) -> None:
    process = start("sandbox", "--port", "0", "--rate", "5000/1", env={})
    try:
        assert process.stdout
        url = process.stdout.readline().split()[4].rstrip(".")
        exported = dict(word.split("=", 1) for word in process.stdout.readline().split()[1:])
        assert exported["SAIL_BASE_URL"] == url
        ended = program("submit", path, "--yes", "--json", env={**exported, "ACCESS_BATCH_RATE": "5000/1"})
        assert ended.code == 0
        assert (tmp_path / "a.results" / "results.csv").exists()
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


def test_the_wheel_contains_its_migrations(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder  # noqa: PLC0415 - slow, and only this test needs it

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    assert "batch/ledger/migrations/env.py" in names
    assert any(name.startswith("batch/ledger/migrations/versions/0001") for name in names)
    assert not any(name.startswith("tests") for name in names)


def test_the_version_is_shown(program: Program) -> None:
    assert program("--version").out.startswith("access-batch ")
    assert json.dumps(program("--version").code) == "0"


def test_track_for_is_refused_without_wait(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "in.csv", [grant(1, 1)])
    ended = program("submit", path, "--sandbox", "--yes", "--track-for", "5")
    assert ended.code == 2
    assert "--track-for limits --wait" in ended.err


def test_each_command_that_may_change_the_ledger_is_known() -> None:
    every = {line for line in (ROOT / "tests/cli/options.txt").read_text("utf-8").splitlines() if line[0] != " "}
    assert every == CHANGES_THE_LEDGER.keys() - {"settle by hand"} | OTHERS


def test_the_summary_of_each_command_that_may_change_the_ledger_ends_with_the_runs_head(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.db"
    env = {**environment(tenant), "ACCESS_BATCH_LEDGER": str(ledger)}
    tenant.tenant.request_by_other(datetime.now(UTC), identity=identity(9), item_type=ItemType.ROLE, item_id=item(9))
    run = ""
    for name, words in CHANGES_THE_LEDGER.items():
        shown = program(*(word.format(input=path, run=run) for word in words), env=env)
        ids = [one for (one,) in rows(ledger, "SELECT id FROM run ORDER BY number")]
        assert len(ids) == (2 if name == "ledger import" else 1)
        run = ids[-1]
        ((number, hashed),) = rows(ledger, NEWEST, run)
        assert [line for line in shown.out.splitlines() if "head" in line] == [f"  head: {number}:{hashed[:16]}"], name


def test_the_json_of_an_import_and_of_an_audit_has_the_heads(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.db"
    env = {**environment(tenant), "ACCESS_BATCH_LEDGER": str(ledger)}
    runs = [
        program("submit", one, "--yes", "--json", env=env).json
        for one in (path, write_rows(tmp_path / "b.csv", [grant(8, 8)]))
    ]
    assert program("audit", "--json", env=env).json["heads"] == {run["run"]: run["head"] for run in runs}
    assert [f"  head of run {run['run']}: {run['head']}" for run in runs] == program("audit", env=env).out.splitlines()[
        -2:
    ]
    assert program("ledger", "import", "--json", env=env).json["head"] is None
