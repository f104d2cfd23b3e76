"""The precheck keeps changes that are already in progress or held at the tenant from being requested again."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ItemType, Operation, Rate
from batch.sandbox.faults import Fault
from batch.sandbox.lifecycle import Reference
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import (
    accepted,
    environment,
    fork,
    grant,
    identity,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)  # fmt: skip
from tests.ledger.ledger_helpers import alter
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Ended, Program

FAST = Rate(requests=5000, seconds=1)
ROWS = [grant(person, 1) for person in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


def request_by_somebody(sandbox: RunningSandbox, person: int, thing: int = 1, **more: Any) -> None:
    """Somebody else requests a role for a person at the tenant."""
    sandbox.tenant.request_by_other(
        datetime.now(UTC), identity=identity(person), item_type=ItemType.ROLE, item_id=item(thing), **more
    )


def hold(sandbox: RunningSandbox, person: int, thing: int = 1) -> None:
    sandbox.tenant.hold(identity(person), ItemType.ROLE, item(thing))


def submit(program: Program, sandbox: RunningSandbox, path: Path, *more: str) -> Ended:
    return program("submit", path, "--yes", "--json", *more, env=environment(sandbox))


def precheck_calls(sandbox: RunningSandbox) -> int:
    """How many calls of the precheck the tenant has received, of a new ledger's look, and of the comparison."""
    calls = sandbox.tenant.audit.calls
    lists = ("status", "administration", "pending_approvals", "search", "roles")
    return sum(calls[name] for name in lists)


def result_of(path: Path, person: int) -> tuple[str, str]:
    """Class and reason of a person's row in the result file."""
    (found,) = [
        row
        for row in read_rows(path.with_name(f"{path.stem}.results") / "results.csv")
        if row["identity_id"] == identity(person)
    ]
    return found["_class"], found["_reason"]


def test_the_precheck_skips_changes_in_progress_and_held_items_and_gives_the_reason(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    request_by_somebody(tenant, 0)
    hold(tenant, 1)
    ended = submit(program, tenant, path)
    assert ended.code == 0
    rows = ended.json["rows"]
    assert (rows["already_submitted"], rows["already_held"], rows["submitted"]) == (1, 1, 2)
    assert sum(rows.values()) == 2 * rows["read"]
    checked = ended.json["checked"]
    assert (checked["in_progress"], checked["held"], checked["unclear"]) == (1, 1, 0)
    # The look for other ledgers, the configuration and two triggers count; that the ledger is compared does not.
    assert checked["calls"] - 3 == precheck_calls(tenant) - 1 == 5
    assert accepted(tenant) == once(pair_of(row) for row in ROWS[2:])
    row_class, reason = result_of(path, 0)
    assert row_class == "already_submitted"
    assert reason.startswith("requested by ")
    assert ", waits for " in reason
    assert reason.endswith(f" since {datetime.now(UTC):%Y-%m-%d}")
    assert result_of(path, 1) == ("already_held", "held already, by the tenant's search index")
    # On a slow machine, the message also gives the age of the answers.
    assert "Asked the tenant in 8 calls" in ended.err
    assert "1 change is already in progress and 1 change is already held." in ended.err


def test_an_opposite_request_in_progress_holds_a_change_back(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    request_by_somebody(tenant, 0, operation=Operation.REVOKE)
    ended = submit(program, tenant, path)
    assert ended.code == 3
    assert ended.json["rows"]["held_back"] == 1
    row_class, reason = result_of(path, 0)
    assert row_class == "held_back"
    assert reason.startswith("in_progress_conflict: requested by ")
    assert accepted(tenant) == once(pair_of(row) for row in ROWS[1:])


def test_a_grant_with_other_dates_is_another_change(program: Program, tenant: RunningSandbox, tmp_path: Path) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    ends = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    path = write_rows(tmp_path / "a.csv", [grant(person, 1, remove_date=ends) for person in range(3)])
    request_by_somebody(tenant, 0, removeDate=f"{end:%Y-%m-%dT%H:%M:%S.000Z}")
    request_by_somebody(tenant, 1)
    hold(tenant, 2)
    ended = submit(program, tenant, path, "--api", "v2025")
    assert [result_of(path, person)[0] for person in range(3)] == ["already_submitted", "held_back", "submitted"]
    assert set(accepted(tenant)) == {pair_of(grant(2, 1))}
    assert ended.code == 3


def test_a_revoke_is_submitted_only_if_the_access_is_held_or_may_have_been_granted_lately(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    hold(tenant, 0)
    request_by_somebody(tenant, 1)
    tenant.tenant.conclude("PROVISIONING_FAILED")
    revokes = [{**grant(person, 1), "operation": "REVOKE", "comment": "leaver"} for person in range(3)]
    path = write_rows(tmp_path / "a.csv", revokes)
    ended = submit(program, tenant, path)
    assert [result_of(path, person)[0] for person in range(3)] == ["submitted", "submitted", "not_held"], ended.err
    assert ended.code == 0
    rows, checked = ended.json["rows"], ended.json["checked"]
    assert (rows["submitted"], rows["not_held"], checked["not_held"], checked["unsure"]) == (2, 1, 1, 1)
    assert "The search index does not show the access of 1 revoke. It is sent all the same" in ended.err
    assert len(accepted(tenant)) == 2


def test_the_precheck_does_not_ask_about_changes_in_the_ledger(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    submit(program, tenant, path)
    before = precheck_calls(tenant)
    ended = submit(program, tenant, path, "--max-age", "0")
    assert ended.code == 0
    assert ended.json["checked"] is None
    assert precheck_calls(tenant) == before


NOT_ADMIN = SandboxSettings(
    rate=FAST,
    visibility_delay=0.0,
    lists_others=False,
    authorities=(),
    scopes=("idn:access-request:create", "idn:access-request-status:read"),
)


def test_a_run_continues_without_a_forbidden_precheck_and_names_the_missing_rights(
    program: Program, path: Path
) -> None:
    with running_sandbox(NOT_ADMIN) as sandbox:
        request_by_somebody(sandbox, 0)
        ended = submit(program, sandbox, path)
        assert ended.code == 0
        assert accepted(sandbox) == once(map(pair_of, ROWS))
    assert (ended.json["checked"]["in_progress"], ended.json["checked"]["held"]) == (None, None)
    assert "As it says" not in ended.err
    assert "The tenant does not show which changes of others are in progress" in ended.err
    assert "ORG_ADMIN and the scope idn:access-request-status:read or idn:access-request-administration:r" in ended.err
    assert ended.err.count("The tenant does not show which changes wait for whose approval") == 1
    assert "idn:access-request-approvals:read" in ended.err
    assert "The tenant does not show which access is held already" in ended.err
    assert "sp:search:read" in ended.err


def test_a_required_precheck_that_is_forbidden_stops_the_run_before_sending(program: Program, path: Path) -> None:
    with running_sandbox(NOT_ADMIN) as sandbox:
        ended = submit(program, sandbox, path, "--check-tenant", "always")
        assert ended.code == 2
        assert sandbox.tenant.audit.posts == 0
    assert "sp:search:read" in ended.err
    assert "--check-tenant auto continues without it" in ended.err
    assert "no runs" in program("runs").out


def test_the_precheck_uses_the_administration_list_if_the_status_list_is_forbidden(
    program: Program, path: Path
) -> None:
    settings = SandboxSettings(
        rate=FAST,
        visibility_delay=0.0,
        scopes=(
            "idn:access-request:create",
            "idn:access-request-administration:read",
            "idn:access-request-approvals:read",
            "sp:search:read",
            "idn:access-request-config:read",
            "sp:trigger-service-subscriptions:read",
            "idn:role-unchecked:read",
        ),
    )
    with running_sandbox(settings) as sandbox:
        request_by_somebody(sandbox, 0)
        ended = submit(program, sandbox, path, "--check-tenant", "always")
        assert sandbox.tenant.audit.calls["administration"] == 1
        assert accepted(sandbox) == once(pair_of(row) for row in ROWS[1:])
    assert ended.code == 0


def test_what_waits_for_an_approver_is_not_submitted_again_even_if_the_status_list_is_forbidden(
    program: Program, path: Path
) -> None:
    scopes = ("idn:access-request:manage", "idn:access-request-approvals:read", "sp:search:read")
    with running_sandbox(SandboxSettings(rate=FAST, visibility_delay=0.0, scopes=scopes)) as sandbox:
        request_by_somebody(sandbox, 0)
        request_by_somebody(sandbox, 1, operation=Operation.REVOKE)
        sandbox.tenant.forward(Reference(id="bo", name="Bo"), now=datetime.now(UTC), identity=identity(0))
        ended = submit(program, sandbox, path, "--api", "v2025")
        assert accepted(sandbox) == once(map(pair_of, ROWS[2:])), ended.err
    assert ended.code == 3
    row_class, reason = result_of(path, 0)
    assert row_class == "already_submitted"
    assert ", waits for Bo (forwarded by " in reason
    row_class, reason = result_of(path, 1)
    assert row_class == "held_back"
    assert ", a revoke of it waits for " in reason


def test_an_older_tenant_that_wants_an_approvers_id_is_left_out_with_a_notice_or_stops_the_run(
    program: Program, path: Path
) -> None:
    settings = SandboxSettings(rate=FAST, visibility_delay=0.0, approvals_need_owner=True)
    with running_sandbox(settings) as sandbox:
        request_by_somebody(sandbox, 0)
        stopped = submit(program, sandbox, path, "--check-tenant", "always")
        assert (stopped.code, sandbox.tenant.audit.posts) == (2, 0)
        ended = submit(program, sandbox, path)
        assert accepted(sandbox) == once(map(pair_of, ROWS[1:]))
    assert ended.code == 0
    for one in (stopped, ended):
        assert "which changes wait for whose approval (owner-id is required)" in one.err


def test_the_precheck_can_be_switched_off(program: Program, tenant: RunningSandbox, path: Path) -> None:
    hold(tenant, 1)
    ended = submit(program, tenant, path, "--check-tenant", "never")
    assert ended.json["checked"] is None
    assert precheck_calls(tenant) == 2, "the ledger is new, and is compared with the tenant"
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_the_precheck_reuses_answers_until_they_are_too_old(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    for person in range(4):
        request_by_somebody(tenant, person)
    assert submit(program, tenant, path).json["rows"]["already_submitted"] == 4
    before = precheck_calls(tenant)
    tenant.tenant.conclude("REJECTED")
    again = submit(program, tenant, path)
    assert again.json["rows"]["already_submitted"] == 4
    assert again.json["checked"]["calls"] == 1
    assert again.json["checked"]["age_s"] > 0
    assert "Asked the tenant in 1 call" in again.err
    assert precheck_calls(tenant) == before + 1, "the ledger is still new"
    anew = submit(program, tenant, path, "--max-age", "0")
    assert anew.json["rows"]["submitted"] == 4
    assert precheck_calls(tenant) > before
    assert accepted(tenant) == once(map(pair_of, ROWS))


@pytest.mark.thorough
def test_the_precheck_discards_answers_about_a_change_that_has_ended_since(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    first = submit(program, tenant, path).json["run"]
    # The cache now shows every change of the first run as in progress.
    submit(program, tenant, write_rows(tmp_path / "b.csv", [grant(person, 2) for person in range(4)]), "--max-age", "0")
    tenant.tenant.conclude("REJECTED", identity=identity(0), item_id=item(1))
    tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(1), item_id=item(1))
    program("track", first, "--track-for", "0", env=environment(tenant))
    again = submit(program, tenant, path, "--resubmit", "rejected")
    assert accepted(tenant)[pair_of(ROWS[0])] == 2, again.err
    undo = [{**ROWS[1], "operation": "REVOKE", "comment": "undo"}]
    assert submit(program, tenant, write_rows(tmp_path / "undo.csv", undo)).json["rows"]["submitted"] == 1


@pytest.mark.thorough
def test_a_continued_run_sets_aside_the_same_changes_as_its_plan(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    request_by_somebody(tenant, 0)
    hold(tenant, 1)
    tenant.faults.add(Fault.FORBIDDEN_403)
    ledger = path.with_name("ledger.db")
    stopped = submit(program, tenant, path, "--ledger", str(ledger))
    assert stopped.code == 4
    assert accepted(tenant) == {}
    alter(ledger, "DELETE FROM cached")
    before = precheck_calls(tenant)
    tenant.tenant.conclude("REJECTED")
    ended = submit(program, tenant, path, "--max-age", "0", "--ledger", str(ledger))
    assert ended.code == 0
    assert ended.json["rows"] == stopped.json["rows"]
    assert ended.json["checked"]["in_progress"] == ended.json["checked"]["held"] == 1
    assert precheck_calls(tenant) == before + 1, "only the ledger is compared with the tenant"
    assert accepted(tenant) == once(pair_of(row) for row in ROWS[2:])
    # The run is complete now, so the same command asks the tenant again.
    anew = submit(program, tenant, path, "--max-age", "0", "--ledger", str(ledger))
    assert anew.json["rows"]["already_held"] == 1
    assert anew.json["rows"]["submitted"] == 3
    assert accepted(tenant) == once(pair_of(row) for row in (ROWS[0], *ROWS[2:]))


def test_a_failed_precheck_stops_the_run_before_sending(program: Program, tenant: RunningSandbox, path: Path) -> None:
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    ended = program("submit", path, "--yes", env=wrong)
    assert ended.code == 4
    assert "refuses the client" in ended.err
    assert "no runs" in program("runs").out
    assert submit(program, tenant, path).code == 0
    assert accepted(tenant) == once(map(pair_of, ROWS))


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_an_interrupted_precheck_sends_nothing(number: signal.Signals, path: Path) -> None:
    with running_sandbox(SandboxSettings(rate=FAST, latency=(3600.0, 3600.0))) as sandbox:
        process = fork("submit", path, "--yes", env=environment(sandbox))
        wait_until(lambda: sandbox.tenant.audit.calls["status"], process)
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        assert err.endswith("Interrupted during the precheck: nothing was sent.\n")
        assert sandbox.tenant.audit.posts == 0


def test_a_plan_asks_what_submit_asks_and_says_what_it_could_not_check(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    hold(tenant, 1)
    ended = program("plan", path, "--json", env=environment(tenant))
    assert "Not checked" not in ended.err
    assert ended.json["rows"]["already_held"] == 1
    assert ended.json["changes"]["unsent"] == 3
    assert ended.json["checked"]["held"] == 1
    assert "no runs" in program("runs").out
    assert tenant.tenant.audit.posts == 0
    before = precheck_calls(tenant)
    offline = program("plan", path, "--json", "--check-tenant", "never", env=environment(tenant))
    assert "Did not ask the tenant which changes are in progress or held (--check-tenant never)" in offline.err
    assert offline.json["changes"]["unsent"] == 4
    unknown = program("plan", path, env={"SAIL_BASE_URL": tenant.base_url})
    assert (unknown.code, "there are no credentials for it" in unknown.err) == (0, True)
    assert "No tenant is given, so this plan may hold" in program("plan", path).err
    assert program("plan", path, "--check-tenant", "always").code == 2
    assert precheck_calls(tenant) == before


@pytest.mark.thorough
def test_a_new_ledger_stops_if_another_one_has_submitted_to_the_tenant(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    first = submit(program, tenant, path, "--ledger", str(tmp_path / "first.db"))
    new = ("--ledger", str(tmp_path / "new.db"))
    other = write_rows(tmp_path / "b.csv", [grant(person, 2) for person in range(2)])
    for words in (("submit", other, "--yes"), ("submit", other, "--yes", "--check-tenant", "never"), ("plan", other)):
        stopped = program(*words, *new, env=environment(tenant))
        assert stopped.code == 2
        assert f"run {first.json['run']} (4 changes, {datetime.now(UTC):%Y-%m}" in stopped.err
        for choice in ("--ledger", "access-batch ledger import", "--new-ledger"):
            assert choice in stopped.err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    assert submit(program, tenant, other, *new, "--new-ledger").json["rows"]["submitted"] == 2
    assert submit(program, tenant, path, *new).code == 0, "the ledger is new no more"
    imported = ("--ledger", str(tmp_path / "imported.db"))
    assert program("ledger", "import", *imported, env=environment(tenant)).code == 0
    assert submit(program, tenant, path, *imported).json["rows"]["already_submitted"] == 4


def test_commands_that_begin_no_run_do_not_make_a_ledger(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    typo = tmp_path / "typo.db"
    for words in ("runs", "status", "track", "audit", "settle x", "cancel x --yes", "discard x", "ledger verify"):
        ended = program(*words.split(), "--ledger", typo, env=environment(tenant))
        assert (ended.code, f"There is no ledger at {typo}." in ended.err) == (2, True), words
    assert not typo.exists()


def test_the_precheck_asks_the_embedded_sandbox_like_any_tenant(program: Program, path: Path) -> None:
    ended = program("submit", path, "--yes", "--json", "--sandbox", env={"ACCESS_BATCH_RATE": "5000/1"})
    assert ended.code == 0
    assert ended.json["checked"]["calls"] == 7
    assert ended.json["rows"]["submitted"] == 4
