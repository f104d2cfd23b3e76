"""After the 202: `track` finds and reports the state of each change, which decides what may be submitted again."""

from __future__ import annotations

import json
import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ItemType
from batch.sandbox.faults import Fault
from batch.sandbox.lifecycle import Reference
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import (
    accepted,
    environment,
    fork,
    grant,
    identity,
    item,
    pair_of,
    read_rows,
    write_rows,
)
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

PEOPLE = range(4)
ROWS = [grant(person, 1) for person in PEOPLE]
REVOKES = [{**row, "operation": "REVOKE", "comment": "leaver"} for row in ROWS]
ONCE = ("--track-for", "0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


class Work:
    """The program with one tenant."""

    def __init__(self, program: Program, tenant: RunningSandbox) -> None:
        self._program = program
        self.tenant = tenant

    def __call__(self, *arguments: str | Path) -> Ended:
        return self._program(*arguments, env=environment(self.tenant))

    def submit(self, path: Path, *more: str | Path) -> Ended:
        return self("submit", path, "--yes", "--json", *more)

    def track(self, *more: str | Path) -> Ended:
        return self("track", "--json", *ONCE, *more)

    def conclude(self, *states: str) -> None:
        """Puts the changes of one person after the other into these states."""
        for person, state in enumerate(states):
            assert self.tenant.tenant.conclude(state, identity=identity(person)) >= 1


@pytest.fixture
def work(program: Program, tenant: RunningSandbox) -> Work:
    return Work(program, tenant)


def counted(ended: Ended) -> dict[str, int]:
    """The counts of tracked changes in the JSON, without zeros."""
    return {name: number for name, number in ended.json["tracked"].items() if isinstance(number, int) and number}


def test_track_reports_the_tenants_own_state_of_each_change(work: Work, path: Path, tmp_path: Path) -> None:
    work.submit(path)
    work.conclude("REQUEST_COMPLETED", "REJECTED", "PROVISIONING_FAILED")
    ended = work.track("--out", tmp_path / "out")
    assert ended.code == 4
    assert counted(ended) == {"provisioned": 1, "rejected": 1, "failed": 1, "open": 1}
    states = {"EXECUTING": 1, "PROVISIONING_FAILED": 1, "REJECTED": 1, "REQUEST_COMPLETED": 1}
    assert ended.json["tracked"]["states"] == states
    listed = {
        row["identity_id"]: (row["standing"], row["state"]) for row in read_rows(tmp_path / "out" / "tracked.csv")
    }
    failed = tmp_path / "out" / "failed.csv"
    assert ended.json["files"] == {"tracked": str(tmp_path / "out" / "tracked.csv"), "failed": str(failed)}
    assert [row["identity_id"] for row in read_rows(failed)] == [identity(1), identity(2)]
    assert listed == {
        identity(0): ("provisioned", "REQUEST_COMPLETED"),
        identity(1): ("rejected", "REJECTED"),
        identity(2): ("failed", "PROVISIONING_FAILED"),
        identity(3): ("open", "EXECUTING"),
    }


@pytest.mark.parametrize("api", ["beta", "v1"])
def test_track_names_whom_changes_wait_for_and_who_forwarded_them(
    api: str, work: Work, path: Path, tmp_path: Path
) -> None:
    work.submit(path, "--api", api)
    bo = Reference(id="bo", name="Bo")
    assert work.tenant.tenant.forward(bo, now=datetime.now(UTC), identity=identity(0)) == 1
    work.conclude("EXECUTING", "REQUEST_COMPLETED")
    ended = work("track", *ONCE, "--api", api, "--out", tmp_path / "out")
    assert "    1 of Bo (forwarded by Alex Approver) since " in ended.out
    assert "    2 of Alex Approver since " in ended.out
    who = {row["identity_id"]: row["who"] for row in read_rows(tmp_path / "out" / "tracked.csv")}
    assert who[identity(0)] == "Bo (forwarded by Alex Approver)"
    before = work.tenant.tenant.audit.calls["pending_approvals"]
    first, second = (work.track("--api", api).json["head"] for _ in range(2))
    assert first == second, "nothing is new, so nothing is written"
    assert work.tenant.tenant.audit.calls["pending_approvals"] == before + 2


def test_a_missing_right_to_the_pending_approvals_does_not_break_tracking(program: Program, path: Path) -> None:
    scopes = ("idn:access-request:create", "idn:access-request-status:read")
    with running_sandbox(SandboxSettings(visibility_delay=0.0, scopes=scopes)) as tenant:
        work = Work(program, tenant)
        work.submit(path)
        ended = work("track", *ONCE)
    assert ended.code == 4
    assert "  awaiting approval: 4" in ended.out
    assert "    4 of Alex Approver since " in ended.out
    assert ended.err.count("idn:access-request-approvals:read") == 1


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["REQUEST_COMPLETED"] * 4, 0),
        (["REQUEST_COMPLETED"] * 3 + ["REJECTED"], 3),
        (["REJECTED"] * 3, 4),
        (["REQUEST_COMPLETED"] * 3 + ["BRAND_NEW_STATE"], 4),
    ],
)
def test_the_exit_code_shows_whether_changes_succeeded_failed_or_are_open(
    states: list[str], code: int, work: Work, path: Path
) -> None:
    work.submit(path)
    work.conclude(*states)
    assert work.track().code == code
    assert work("status", "--json").json["tracked"]["open"] == (code == 4)


def test_an_unknown_state_is_kept_and_counts_as_open(work: Work, path: Path) -> None:
    work.submit(path)
    work.conclude(*["BRAND_NEW_STATE"] * 4)
    assert work.track().json["tracked"]["states"] == {"BRAND_NEW_STATE": 4}
    shown = work("status")
    assert "    4 in the state BRAND_NEW_STATE, which this version does not know" in shown.out.splitlines()
    work.conclude(*["REQUEST_COMPLETED"] * 4)
    assert work.track().code == 0


def test_the_file_that_track_names_last_submits_again_what_came_to_nothing(
    work: Work, path: Path, tmp_path: Path
) -> None:
    work.submit(path)
    work.conclude("REQUEST_COMPLETED", "REJECTED", "CANCELLED", "PROVISIONING_FAILED")
    last = work("track", *ONCE, "--out", tmp_path).out.splitlines()[-1]
    told, command = last.split(" To submit them again: access-batch submit ")
    assert told == "3 changes were rejected or cancelled or failed."
    file, *options = shlex.split(command)
    again = work.submit(Path(file), *options)
    assert (again.code, again.json["rows"]["submitted"]) == (0, 3)
    times = {person: accepted(work.tenant)[pair_of(grant(person, 1))] for person in PEOPLE}
    assert times == {0: 1, 1: 2, 2: 2, 3: 2}
    refused = work("track", again.json["run"], *ONCE, "--out", tmp_path)
    assert (refused.code, "failed.csv would overwrite the input" in refused.err) == (2, True)


def test_track_prints_the_next_command_for_open_and_failed_changes(work: Work, path: Path) -> None:
    run = work.submit(path).json["run"]
    look_again = f"To look again: access-batch track {run}\n"
    work.conclude("REJECTED", "PROVISIONING_FAILED")
    ended = work("track", *ONCE)
    assert ended.code == 4
    assert look_again in ended.out
    again = "2 changes were rejected or failed. To submit them again: "
    again += "the same input with --resubmit rejected,failed\n"
    assert again in ended.out
    assert again in work("submit", path, "--yes").out
    assert ended.err == "2 changes still open.\n"
    work.conclude(*["REQUEST_COMPLETED"] * 4)
    ended = work("track", *ONCE)
    assert (ended.code, look_again in ended.out) == (0, False)
    assert "--resubmit" not in ended.out


def test_a_run_that_was_not_sent_never_counts_as_successful(work: Work, path: Path) -> None:
    work.tenant.faults.add(*[Fault.UNAUTHORIZED_401] * 2)
    assert work.submit(path, "--check-tenant", "never").code == 4
    ended = work("track", *ONCE)
    assert ended.code == 4
    assert "4 changes not sent: submit the same input again, or `access-batch discard" in ended.out
    assert "Of 0 accepted" not in ended.out


def test_track_does_not_ask_about_changes_that_have_ended(work: Work, path: Path) -> None:
    work.submit(path)
    work.conclude(*["REQUEST_COMPLETED"] * 4)
    assert work.track().code == 0
    work.conclude(*["EXECUTING"] * 4)
    assert work.track().code == 0, "a final state is not looked up again"


def test_submit_with_wait_returns_after_every_change_has_ended(work: Work, path: Path) -> None:
    process = fork("submit", path, "--yes", "--json", "--wait", env=environment(work.tenant))
    wait_until(lambda: sum(accepted(work.tenant).values()) == 4, process)
    work.conclude("REQUEST_COMPLETED", "REQUEST_COMPLETED", "REQUEST_COMPLETED", "REJECTED")
    out, err = process.communicate(timeout=LIMIT)
    summary = json.loads(out)
    assert process.returncode == 3, err
    assert (summary["tracked"]["provisioned"], summary["tracked"]["rejected"]) == (3, 1)
    again = work.submit(path, "--wait")
    assert (again.code, again.json["http"]["posts_now"], counted(again)) == (3, 0, {"provisioned": 3, "rejected": 1})


def test_submit_with_a_time_limit_reports_open_changes(work: Work, path: Path) -> None:
    ended = work.submit(path, "--wait", *ONCE)
    assert (ended.code, counted(ended)) == (4, {"open": 4})
    assert work.submit(path).code == 0, "open changes do not count without --wait"


def test_the_results_of_a_later_submit_show_the_tenants_state_of_each_row(
    work: Work, path: Path, tmp_path: Path
) -> None:
    first = read_rows(tmp_path / "a.results" / "results.csv") if work.submit(path).code == 0 else []
    assert "_tenant_state" not in first[0]
    work.conclude("REQUEST_COMPLETED", "REJECTED")
    work.track()
    work.submit(path)
    results = tmp_path / "a.results" / "results.csv"
    assert [row["_tenant_state"] for row in read_rows(results)] == [
        "REQUEST_COMPLETED", "REJECTED", "EXECUTING", "EXECUTING",
    ]  # fmt: skip
    assert {row["_state"] for row in read_rows(results)} == {"ACCEPTED"}
    failed = results.with_name("failed.csv").read_bytes()
    ended = work.track("--out", results.parent)
    assert ended.json["files"]["failed"] == str(results.with_name(f"failed-{ended.json['run']}.csv"))
    assert results.with_name("failed.csv").read_bytes() == failed, "it has the rows in their own form"
    assert [row["_line"] for row in read_rows(results.with_name("tracked.csv"))] == ["2", "3", "4", "5"]


@pytest.mark.thorough
def test_resubmit_sends_a_rejected_change_again_exactly_once(work: Work, path: Path) -> None:
    work.submit(path)
    work.conclude("REQUEST_COMPLETED", "REJECTED", "CANCELLED")
    work.track()
    assert work.submit(path, "--resubmit", "failed").json["http"]["posts_now"] == 0
    planned = work("plan", path, "--json", "--resubmit", "rejected")
    assert planned.json["changes"]["unsent"] == 1
    for _ in range(3):
        assert work.submit(path, "--resubmit", "rejected").code == 0
    counts = dict.fromkeys(map(pair_of, ROWS), 1) | {pair_of(ROWS[1]): 2}
    assert accepted(work.tenant) == counts
    assert counted(work.track()) == {"provisioned": 1, "cancelled": 1, "open": 2}
    assert work("ledger", "verify").code == 0
    # The change is submitted a third time only after the tenant has rejected it again.
    work.conclude("REQUEST_COMPLETED", "REJECTED")
    work.track()
    for _ in range(2):
        work.submit(path, "--resubmit", "rejected,cancelled")
    assert accepted(work.tenant) == counts | {pair_of(ROWS[1]): 3, pair_of(ROWS[2]): 2}
    for command in (("submit", path, "--yes", "--json"), ("status", "--json"), ("track", "--offline", "--json")):
        assert work(*command).json["changes"] == {
            "planned": 4, "accepted": 4, "refused": 0, "unconfirmed": 0, "unsent": 0,
        }  # fmt: skip


def test_another_input_skips_rejected_changes_with_a_reason_unless_resubmit_names_them(
    work: Work, path: Path, tmp_path: Path
) -> None:
    work.submit(path)
    work.conclude(*["REJECTED"] * 2)
    work.track()
    other = write_rows(tmp_path / "b.csv", [{**row, "comment": "T-1"} for row in ROWS])
    assert work.submit(other).json["rows"]["already_submitted"] == 4
    reasons = [row["_reason"] for row in read_rows(tmp_path / "b.results" / "results.csv")]
    assert "rejected" in reasons[0]
    assert reasons[0].endswith("; submit it again with --resubmit rejected")
    assert "in progress" in reasons[3]
    for _ in range(2):
        work.submit(other, "--resubmit", "rejected")
    assert sorted(accepted(work.tenant).values()) == [1, 1, 2, 2]


def test_a_provisioned_grant_can_be_revoked_and_then_granted_again(work: Work, path: Path, tmp_path: Path) -> None:
    work.submit(path)
    revokes = write_rows(tmp_path / "revokes.csv", REVOKES)
    assert work.submit(revokes).json["rows"]["held_back"] == 4, "a grant in progress is in the way"
    work.conclude("REQUEST_COMPLETED", "REQUEST_COMPLETED", "REJECTED")
    assert work.track().code == 4
    ended = work.submit(revokes)
    rows = ended.json["rows"]
    assert (rows["submitted"], rows["not_held"], rows["held_back"]) == (2, 1, 1), "the rejected one was never held"
    assert {pair[1] for pair in accepted(work.tenant) if pair[0] == "REVOKE"} == {identity(n) for n in (0, 1)}
    work.conclude(*["REQUEST_COMPLETED"] * 2)
    work.track()
    again = write_rows(tmp_path / "again.csv", [{**row, "comment": "again"} for row in ROWS])
    ended = work.submit(again)
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["already_submitted"]) == (2, 2)


def test_track_stops_waiting_for_a_change_that_the_tenant_never_lists(program: Program, path: Path) -> None:
    with running_sandbox(SandboxSettings(visibility_delay=3600.0)) as tenant:
        work = Work(program, tenant)
        work.submit(path)
        ended = work("track", "--settle-after", "0")
        assert ended.code == 4
        assert "  not in the tenant's list yet: 4" in ended.out.splitlines()
        for command in (("track", "--offline"), ("status",)):
            out = work(*command).out
            assert "  not in the tenant's list yet: 4" in out.splitlines()
            assert "4 accepted changes at the tenant (last looked at 20" in out


def test_track_reports_that_the_client_may_not_list_requests(program: Program, path: Path) -> None:
    scopes = ("idn:access-request:manage",)
    with running_sandbox(SandboxSettings(visibility_delay=0.0, scopes=scopes)) as tenant:
        work = Work(program, tenant)
        work.submit(path)
        ended = work.track()
    assert ended.code == 4
    assert "does not let this client list its requests" in ended.err
    assert counted(ended) == {"not_visible": 4}


def test_track_refuses_a_run_of_another_tenant_and_a_ledger_without_runs(
    work: Work, program: Program, path: Path
) -> None:
    assert work.track().code == 2
    run = work.submit(path).json["run"]
    with running_sandbox(SandboxSettings()) as other:
        elsewhere = Work(program, other)
        assert elsewhere.track().code == 2, "this tenant has no run"
        ended = elsewhere.track(run[:6])
    assert (ended.code, "was submitted to" in ended.err) == (2, True)


def test_ctrl_c_ends_tracking_and_keeps_the_findings(work: Work, path: Path) -> None:
    work.submit(path)
    work.conclude("REQUEST_COMPLETED")
    process = fork("track", "--json", env=environment(work.tenant))
    wait_until(lambda: "3 changes still open" in process.errors(), process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert json.loads(out)["tracked"]["provisioned"] == 1
    assert work("status", "--json").json["tracked"]["open"] == 3


def test_a_killed_track_loses_nothing_and_the_next_track_continues(work: Work, path: Path) -> None:
    work.submit(path)
    work.conclude("REQUEST_COMPLETED", "REJECTED")
    process = fork("track", env=environment(work.tenant))
    wait_until(lambda: "2 changes still open" in process.errors(), process)
    process.kill()
    process.communicate()
    assert work("status", "--json").json["tracked"]["states"] == {
        "EXECUTING": 2, "REJECTED": 1, "REQUEST_COMPLETED": 1,
    }  # fmt: skip
    work.conclude("REQUEST_COMPLETED", "REJECTED", "REQUEST_COMPLETED", "REQUEST_COMPLETED")
    assert counted(work.track()) == {"provisioned": 3, "rejected": 1}


def test_the_log_records_tracked_states_and_quiet_prints_nothing(work: Work, path: Path, tmp_path: Path) -> None:
    run = work.submit(path).json["run"]
    work.conclude("REJECTED", "REJECTED")
    ended = work.track("--log-file", tmp_path / "log", "-q")
    assert ended.err == ""
    events: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    moved = [event for event in events if event["event"] == "tracked"]
    assert sum(event["changes"] for event in moved) == 4
    assert {(event["state"], event["run"]) for event in moved} == {("REJECTED", run), ("EXECUTING", run)}
    assert all(event["request"].startswith(f"{run}-") for event in moved)
    assert identity(0) not in (tmp_path / "log").read_text()


def test_runs_shows_the_open_changes_of_each_run(work: Work, path: Path, tmp_path: Path) -> None:
    work.submit(path)
    second = work.submit(write_rows(tmp_path / "b.csv", [grant(9, 2)])).json["run"]
    assert work.track().json["run"] == second, "the newest run if none is named"
    first, other = work("runs").out.splitlines()
    assert "at the tenant" not in first
    assert "all sent; at the tenant 1 in progress" in other
    assert item(2) not in other


def test_a_change_that_the_tenant_reports_as_already_requested_is_tracked(program: Program, path: Path) -> None:
    settings = SandboxSettings(visibility_delay=0.0, tracking_response=True)
    with running_sandbox(settings) as tenant:
        work = Work(program, tenant)
        for person in range(4):
            tenant.tenant.request_by_other(
                datetime.now(UTC), identity=identity(person), item_type=ItemType.ROLE, item_id=item(1)
            )
        ended = work("submit", path, "--yes", "--check-tenant", "never")
        assert "The tenant answered that 4 changes were requested already by others." in ended.out.splitlines()
        assert work("status", "--json").json["tracked"]["states"] == {"EXISTING_REQUEST": 4}
        work.conclude(*["REQUEST_COMPLETED"] * 4)
        assert work.track().code == 0


def test_a_continued_run_still_shows_its_held_back_change_as_not_submitted(work: Work, tmp_path: Path) -> None:
    work.submit(write_rows(tmp_path / "one.csv", ROWS[:1]))
    revokes = write_rows(tmp_path / "revokes.csv", REVOKES[:2])
    work.tenant.tenant.hold(identity(1), ItemType.ROLE, item(1))
    work.tenant.faults.add(Fault.FORBIDDEN_403)
    stopped = work.submit(revokes, "--check-tenant", "never")
    assert stopped.code == 4
    assert (stopped.json["rows"]["submitted"], stopped.json["rows"]["held_back"]) == (1, 1)
    work.conclude("REQUEST_COMPLETED")
    first, *_ = [run["run"] for run in json.loads(work("runs", "--json").out)["runs"] if run["requests"]["accepted"]]
    work.track(first)
    ended = work.submit(revokes, "--check-tenant", "never")
    assert pair_of(REVOKES[0]) not in accepted(work.tenant)
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["held_back"]) == (1, 1)
    assert ended.code == 3
    again = work.submit(revokes, "--check-tenant", "never")
    assert again.json["rows"]["submitted"] == 2
    assert accepted(work.tenant)[pair_of(REVOKES[0])] == 1
