"""What people read about a tenant before anything is sent to it: nothing that the tenant does not say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch.api.dialects import DIALECTS, Rate
from batch.api.tenant_settings import (
    AccessRequestConfig,
    Requester,
    Subscription,
    TenantSettings,
    Unshown,
)
from batch.report.tenant_settings import check_settings, describe_cautions, describe_settings, describe_unshown
from batch.status.approvals_ahead import ApprovalsAhead

BETA = DIALECTS["beta"]
PRE = "idn:access-request-pre-approval"
GATE = Subscription(trigger=PRE, name="Gate")
ROUTER = Subscription(trigger="idn:access-request-dynamic-approver", filtered=True)
ADA = Requester(id="a1", name="ada", levels=("ORG_ADMIN",))
BOB = Requester(id="b1", levels=("USER",))
OPEN = AccessRequestConfig(for_anyone=True, for_reports=True, external_approvals=False, auto_approval=False)
SETTINGS = TenantSettings(requester=ADA, config=OPEN, subscriptions=())
AHEAD = ApprovalsAhead(changes=6, unknown=6)
FAST, SLOW = Rate(), Rate(requests=1, seconds=5)
NO_CONFIG = "The tenant does not show its configuration of access requests"
HIDDEN = Unshown(why="Forbidden.", forbidden=True)


def told(
    settings: TenantSettings = SETTINGS, ahead: ApprovalsAhead = AHEAD, rate: Rate = FAST, requests: int = 31
) -> str:
    return "\n".join(describe_settings(settings, ahead, rate, requests))


def test_a_plan_names_the_requester_and_what_the_tenant_allows() -> None:
    assert told().splitlines()[:2] == [
        "Requester: ada (a1), ORG_ADMIN.",
        "The tenant's configuration: Everybody may request access for themselves and for others.",
    ]


@pytest.mark.parametrize(
    ("requester", "ahead", "line"),
    [
        (BOB, AHEAD, "Requester: b1, USER."),
        (Requester(id="a1", name="ada"), AHEAD, "Requester: ada (a1)."),
        (ADA, replace(AHEAD, for_requester=1), "Requester: ada (a1), ORG_ADMIN; 1 change is to their own access."),
        (
            ADA,
            replace(AHEAD, for_requester=6),
            "Requester: ada (a1), ORG_ADMIN; all 6 changes are to their own access.",
        ),
    ],
)
def test_the_requester_is_shown_as_far_as_known(requester: Requester, ahead: ApprovalsAhead, line: str) -> None:
    assert told(replace(SETTINGS, requester=requester), ahead).splitlines()[0] == line


def test_an_unknown_requester_is_not_shown() -> None:
    assert "Requester" not in told(replace(SETTINGS, requester=Requester()))


@pytest.mark.parametrize(
    ("config", "sentences"),
    [
        (AccessRequestConfig(), []),
        (AccessRequestConfig(external_approvals=False, auto_approval=False, reauthorization=False), []),
        (AccessRequestConfig(for_reports=True), []),
        (
            AccessRequestConfig(for_anyone=False, for_reports=True),
            ["themselves, and managers for their direct reports; anything else takes an administrator."],
        ),
        (AccessRequestConfig(for_anyone=False), ["themselves; anything else takes an administrator."]),
        (AccessRequestConfig(entitlements=False), ["Entitlements can't be requested."]),
        (
            AccessRequestConfig(external_approvals=True, auto_approval=True, reauthorization=True),
            ["An external system decides", "approved at once", "reauthorization"],
        ),
    ],
)
def test_a_configuration_is_told_by_what_it_says_and_not_by_what_it_leaves_out(
    config: AccessRequestConfig, sentences: list[str]
) -> None:
    text = told(replace(SETTINGS, config=config))
    assert ("configuration" in text) == bool(sentences)
    assert all(sentence in text for sentence in sentences)


@pytest.mark.parametrize(
    ("config", "mine", "caution"),
    [
        (AccessRequestConfig(external_approvals=True), 6, "6 changes: … administrators may request them."),
        (AccessRequestConfig(for_anyone=False), 5, "1 change: … administrators may request them."),
        (
            AccessRequestConfig(for_anyone=False, for_reports=True),
            0,
            "6 changes: … administrators may request them, or the person's manager.",
        ),
        (AccessRequestConfig(for_anyone=False), 6, ""),
        (AccessRequestConfig(for_anyone=True), 0, ""),
        (AccessRequestConfig(), 0, ""),
        (HIDDEN, 0, ""),
    ],
)
def test_who_is_no_administrator_is_warned_of_what_only_administrators_may_request(
    config: AccessRequestConfig | Unshown, mine: int, caution: str
) -> None:
    ahead = replace(AHEAD, for_requester=mine)
    for requester in (BOB, ADA, Requester(id="b1")):
        settings = replace(SETTINGS, requester=requester, config=config)
        for lines in (describe_settings(settings, ahead, FAST, 1), describe_cautions(settings, ahead, FAST, 1)):
            found = [line for line in lines if "may refuse" in line]
            assert bool(found) == (bool(caution) and requester is BOB)
            assert all(part in line for line in found for part in caution.split(" … "))


@pytest.mark.parametrize(
    ("subscriptions", "rate", "parts"),
    [
        (
            (GATE,),
            FAST,
            [
                "1 event trigger waits for an answer about access requests: Access Request Submitted (Gate).",
                "1 to 2 access requests per 10 s: consider --rate 2/10, with which 31 requests take at least 3 min.",
            ],
        ),
        ((GATE,), SLOW, ["per 10 s, which your --rate keeps to."]),
        (
            (GATE, ROUTER),
            FAST,
            [
                "2 event triggers wait for an answer about access requests: ",
                ": Access Request Submitted (Gate); Access Request Dynamic Approval, for some of them.",
            ],
        ),
    ],
)
def test_a_waiting_trigger_comes_with_the_rate_to_use(
    subscriptions: tuple[Subscription, ...], rate: Rate, parts: list[str]
) -> None:
    text = told(replace(SETTINGS, subscriptions=subscriptions), rate=rate)
    assert all(part in text for part in parts)


def test_without_a_waiting_trigger_no_rate_is_proposed() -> None:
    assert "--rate" not in told()
    assert "trigger" not in told()


END = "Packing saves requests, not approvals. Which of them send an e-mail depends on the tenant's templates."
FREE = "without approval"
STEPS = "in as many steps as the tenant has set for the item, if any"


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        (ApprovalsAhead(changes=6, unknown=6), f"6 changes to approve each {STEPS}. "),
        (ApprovalsAhead(changes=1, unknown=1), f"1 change to approve {STEPS}. "),
        (ApprovalsAhead(changes=6, known=9), "6 changes to approve in 9 steps. "),
        (
            ApprovalsAhead(changes=4, known=1, unneeded=1, unknown=2),
            f"1 change to approve in 1 step; 2 other changes to approve each {STEPS}; 1 change {FREE}. ",
        ),
        (ApprovalsAhead(changes=6, unneeded=6), f"6 changes {FREE}. "),
    ],
)
def test_the_approvals_are_counted_as_far_as_known(ahead: ApprovalsAhead, line: str) -> None:
    assert told(ahead=ahead).splitlines()[-1] == f"Approvals: {line}{END}"


@pytest.mark.parametrize(
    ("auto", "end"),
    [
        (True, "the tenant is set to approve such a change at once."),
        (False, "the tenant passes that on to an administrator."),
        (None, "the tenant passes that on to an administrator, or approves at once if it is set so."),
    ],
)
def test_the_requesters_own_approvals_go_where_the_tenant_sends_them(*, auto: bool | None, end: str) -> None:
    ahead = ApprovalsAhead(changes=6, known=6, by_requester=2)
    last = told(replace(SETTINGS, config=replace(OPEN, auto_approval=auto)), ahead).splitlines()[-1]
    assert last == f"In at least 2 steps the requester would decide, as the item's owner: {end}"


def test_what_the_tenant_does_not_show_is_told_with_the_scope_to_add() -> None:
    hidden = replace(SETTINGS, config=HIDDEN, subscriptions=Unshown(why="no such path"))
    assert list(describe_unshown(hidden, BETA)) == [
        f"{NO_CONFIG} (Forbidden): that takes the scope idn:access-request-config:read.",
        "The tenant does not show whether event triggers wait for answers about access requests (no such path).",
    ]
    assert not list(describe_unshown(SETTINGS, BETA))
    assert "configuration" not in told(hidden)


@pytest.mark.parametrize(
    ("settings", "config", "triggers"),
    [
        (SETTINGS, "ok", "ok"),
        (replace(SETTINGS, config=AccessRequestConfig()), "ok", "ok"),
        (replace(SETTINGS, config=HIDDEN, subscriptions=HIDDEN), "warn", "warn"),
        (replace(SETTINGS, subscriptions=(GATE,)), "ok", "warn"),
        (replace(SETTINGS, requester=BOB), "ok", "ok"),
        (replace(SETTINGS, requester=BOB, config=AccessRequestConfig(for_anyone=False)), "warn", "ok"),
        (replace(SETTINGS, requester=Requester(), config=AccessRequestConfig(for_anyone=False)), "ok", "ok"),
        (replace(SETTINGS, requester=BOB, config=AccessRequestConfig(external_approvals=True)), "warn", "ok"),
        (replace(SETTINGS, config=AccessRequestConfig(external_approvals=True)), "ok", "ok"),
        (replace(SETTINGS, config=AccessRequestConfig(entitlements=False)), "warn", "ok"),
    ],
)
def test_doctor_warns_of_what_may_go_wrong(settings: TenantSettings, config: str, triggers: str) -> None:
    checks = check_settings(settings, FAST, BETA)
    assert [check.result for check in checks] == [config, triggers]
    assert all(bool(check.to_do) == (check.result == "warn") for check in checks)
    assert all(check.message for check in checks)
    assert checks[0].facts == settings.as_json()


def test_doctor_names_the_missing_scopes() -> None:
    checks = check_settings(replace(SETTINGS, config=HIDDEN, subscriptions=HIDDEN), FAST, BETA)
    assert "idn:access-request-config:read" in checks[0].to_do
    assert "sp:trigger-service-subscriptions:read" in checks[1].to_do


def test_a_slow_enough_rate_satisfies_doctor() -> None:
    slow = check_settings(replace(SETTINGS, subscriptions=(GATE,)), Rate(requests=2, seconds=10), BETA)
    assert slow[1].result == "ok"
    assert not slow[1].to_do


def test_scripts_get_null_for_what_is_not_shown() -> None:
    assert replace(SETTINGS, config=HIDDEN, subscriptions=HIDDEN).as_json() == {
        "requester": {"id": "a1", "name": "ada", "levels": ("ORG_ADMIN",)},
        "access_request_config": None,
        "triggers": None,
    }
    shown = replace(SETTINGS, subscriptions=(GATE,)).as_json()
    assert shown["triggers"] == {"waiting": [{"trigger": PRE, "name": "Gate", "filtered": False}], "rate": "2/10"}
    assert shown["access_request_config"]["for_anyone"] is True
    assert SETTINGS.as_json()["triggers"] == {"waiting": [], "rate": None}
