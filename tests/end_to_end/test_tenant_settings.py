"""Before anything is sent, people see whose requests they will be, what the tenant allows, and who has to answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import DIALECTS, ItemType, Rate
from batch.sandbox.configuration import RequestConfiguration, TriggerSubscription
from batch.sandbox.item_rules import Approver, ApproverType, RequestRules
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Terminal, accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Ended, Program

FAST = Rate(requests=5000, seconds=1)
ROWS = [grant(person, 1) for person in range(4)]
PRE = "idn:access-request-pre-approval"
GATE = TriggerSubscription(id="s1", name="Gate", trigger_id=PRE, trigger_name="Access Request Submitted")
TOLD = TriggerSubscription(
    id="s2", name="Told", trigger_id="idn:access-request-post-approval", trigger_name="Access Request Decision"
)
BUSY = SandboxSettings(
    rate=FAST,
    visibility_delay=0.0,
    configuration=RequestConfiguration(anyone_for_anyone=False, approvals_external=True),
    trigger_subscriptions=(GATE, TOLD),
)
SUBMIT_ONLY = SandboxSettings(
    rate=FAST,
    visibility_delay=0.0,
    scopes=("idn:access-request:create", "idn:access-request-status:read", "sp:search:read"),
)
CALLS = ("access_request_config", "trigger_subscriptions")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


def lines_about_the_tenant(ended: Ended) -> list[str]:
    words = ("Requester: ", "The tenant's configuration: ", "1 event trigger ", "Approvals: ")
    return [line for line in ended.err.splitlines() if line.startswith(words)]


def test_a_plan_says_what_holds_for_the_whole_tenant(program: Program, path: Path) -> None:
    with running_sandbox(BUSY) as sandbox:
        ended = program("plan", path, "--json", env=environment(sandbox))
        again = program("plan", path, "--json", env=environment(sandbox))
        assert [sandbox.tenant.audit.calls[name] for name in CALLS] == [1, 2], "the second plan reuses the answers"
        assert sandbox.tenant.audit.posts == 0
    requester, configuration, trigger, approvals = lines_about_the_tenant(ended)
    assert requester.startswith("Requester: sandbox.admin (")
    assert requester.endswith("), ORG_ADMIN.")
    assert "An external system decides on requests, so only administrators may make them." in configuration
    assert "Everybody" not in configuration
    assert "Access Request Submitted (Gate)" in trigger
    assert "consider --rate 2/10" in trigger
    assert "4 changes to approve" in approvals
    told = ended.json
    assert told["requester"]["name"] == "sandbox.admin"
    assert (told["access_request_config"]["for_anyone"], told["access_request_config"]["external_approvals"]) == (
        False,
        True,
    )
    assert told["triggers"] == {"waiting": [{"trigger": PRE, "name": "Gate", "filtered": False}], "rate": "2/10"}
    assert told["approvals"]["changes"] == 4
    assert {name: again.json[name] for name in ("requester", "access_request_config", "triggers")} == {
        name: told[name] for name in ("requester", "access_request_config", "triggers")
    }


@pytest.mark.parametrize("api", DIALECTS)
def test_every_version_of_the_api_tells(api: str, program: Program, path: Path) -> None:
    with running_sandbox(BUSY) as sandbox:
        ended = program("plan", path, "--json", "--api", api, env=environment(sandbox))
    assert len(lines_about_the_tenant(ended)) == 4
    assert ended.json["access_request_config"]["for_reports"] is True


def test_the_question_comes_after_what_holds_for_the_tenant_and_a_no_sends_nothing(
    program: Program, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(BUSY) as sandbox:
        monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
        declined = program("submit", path, env=environment(sandbox))
        assert accepted(sandbox) == {}
    assert declined.code == 130
    assert len(lines_about_the_tenant(declined)) == 4
    assert declined.err.index("Approvals: ") < declined.err.index("[y/N]")


def test_the_steps_of_approval_are_those_of_the_items(program: Program, tmp_path: Path) -> None:
    directory = make_directory(20, seed=0)
    roles, people = directory.of_type(ItemType.ROLE), directory.people
    two = RequestRules(approvers=(Approver(type=ApproverType.OWNER), Approver(type=ApproverType.MANAGER)))
    settings = SandboxSettings(
        rate=FAST,
        people=20,
        seed=0,
        item_changes={roles[0].id: {"request": two}, roles[1].id: {"request": RequestRules(approvers=())}},
    )
    rows = [
        {"operation": "GRANT", "identity_id": person.id, "item_type": "ROLE", "item_id": role.id}
        for person, role in ((people[5], roles[0]), (people[6], roles[0]), (people[5], roles[1]))
    ]
    with running_sandbox(settings) as sandbox:
        ended = program("plan", write_rows(tmp_path / "b.csv", rows), "--json", env=environment(sandbox))
    assert "Approvals: 2 changes to approve in 4 steps; 1 change without approval." in ended.err
    approvals = ended.json["approvals"]
    assert (approvals["known"], approvals["unneeded"], approvals["unknown"]) == (4, 1, 0)


def test_a_waiting_trigger_changes_nothing_by_itself(program: Program, path: Path) -> None:
    with running_sandbox(BUSY) as sandbox:
        ended = program("submit", path, "--yes", "--json", env=environment(sandbox))
        assert accepted(sandbox) == once(map(pair_of, ROWS))
    assert ended.code == 0
    assert ended.json["triggers"]["rate"] == "2/10"
    assert ended.json["approvals"]["changes"] == 4


def test_a_missing_scope_is_named_and_stops_nobody(program: Program, path: Path) -> None:
    with running_sandbox(SUBMIT_ONLY) as sandbox:
        ended = program("submit", path, "--yes", "--json", env=environment(sandbox))
        assert accepted(sandbox) == once(map(pair_of, ROWS))
    assert ended.code == 0
    assert "that takes the scope idn:access-request-config:read" in ended.err
    assert "that takes the scope sp:trigger-service-subscriptions:read" in ended.err
    assert (ended.json["access_request_config"], ended.json["triggers"]) == (None, None)


def test_whoever_requires_the_tenants_answers_gets_them_or_nothing_is_sent(program: Program, path: Path) -> None:
    with running_sandbox(SUBMIT_ONLY) as sandbox:
        ended = program("submit", path, "--yes", "--check-tenant", "always", env=environment(sandbox))
        assert accepted(sandbox) == {}
    assert ended.code == 2
    assert "idn:access-request-config:read" in ended.err
    assert "Nothing was sent." in ended.err


def test_an_offline_plan_asks_nothing(program: Program, path: Path) -> None:
    with running_sandbox(BUSY) as sandbox:
        ended = program("plan", path, "--json", "--check-tenant", "never", env=environment(sandbox))
        assert [sandbox.tenant.audit.calls[name] for name in CALLS] == [0, 0]
    assert lines_about_the_tenant(ended) == []
    assert (ended.json["requester"], ended.json["approvals"]) == (None, None)


def test_doctor_says_the_same(program: Program) -> None:
    with running_sandbox(BUSY) as sandbox:
        fast = program("doctor", "--json", env=environment(sandbox))
        slow = program("doctor", "--json", "--rate", "20/100", env=environment(sandbox))
        asked = sandbox.tenant.audit.calls["access_request_config"]
        silent = program("doctor", "--json", env={**environment(sandbox), "ACCESS_BATCH_CHECK_TENANT": "never"})
        assert sandbox.tenant.audit.calls["access_request_config"] == asked == 2, "doctor looks at what is now"
    found = {check["check"]: check for check in fast.json["checks"]}
    assert "An external system decides" in found["config"]["said"]
    assert found["triggers"]["verdict"] == "warn"
    assert "--rate 2/10" in found["triggers"]["to_do"]
    assert fast.json["triggers"]["waiting"][0]["name"] == "Gate"
    assert {check["check"]: check["verdict"] for check in slow.json["checks"]}["triggers"] == "ok"
    assert "config" not in {check["check"] for check in silent.json["checks"]}
    assert fast.code == slow.code == silent.code == 0
