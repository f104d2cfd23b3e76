"""The rules that depend on people, items, accounts and on what is held: each broken alone, with each effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.sandbox.configuration import RequestConfiguration
from batch.sandbox.directory import Account, Known, Source, made_up_account
from batch.sandbox.item_rules import Duration, RequestRules
from batch.sandbox.lifecycle import Handling
from batch.sandbox.tenant import REQUESTER_ID, SimulatedTenant
from batch.sandbox.tenant_rules import DEFAULT_EFFECTS, Effect, Rule
from tests.sandbox.calls import NOW, grant, later, revoke, shown, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOURCE = Source(id="s1", name="Active Directory")
SOON, LATE = "2026-03-10T00:00:00Z", "2026-09-10T00:00:00Z"
V1 = DIALECTS["v1"]


def accounts_of(known: Known, identity: str, count: int = 2) -> tuple[Account, ...]:
    return tuple(made_up_account(known.described(identity), SOURCE, number) for number in range(count))


def crowded(tenant: SimulatedTenant) -> None:
    tenant.known.change_person("i1", accounts=accounts_of(tenant.known, "i1"))
    tenant.known.change_item("r1", gives=(SOURCE,))
    tenant.known.change_item("e1", source=SOURCE)
    tenant.known.change_item("p1", source=SOURCE)


def held_by_role(tenant: SimulatedTenant) -> None:
    tenant.hold("i1", ItemType.ROLE, "r1", revocable=False)


def held_until_soon(tenant: SimulatedTenant) -> None:
    tenant.hold("i1", ItemType.ROLE, "r1", until=datetime.fromisoformat(SOON))


def person(**fields: Any) -> Callable[[SimulatedTenant], None]:
    return lambda tenant: tenant.known.change_person("i1", **fields)


def item(**fields: Any) -> Callable[[SimulatedTenant], None]:
    return lambda tenant: tenant.known.change_item("r1", **fields)


def rules(**fields: Any) -> Callable[[SimulatedTenant], None]:
    return item(request=RequestRules(**fields))


def nested(identity: str = "i1", **fields: Any) -> dict[str, Any]:
    wanted = {"type": "ENTITLEMENT", "id": "e1"} | fields
    return {"requestedForWithRequestedItems": [{"identityId": identity, "requestedItems": [wanted]}]}


def selection(native_identity: str, source: str = "s1") -> list[dict[str, Any]]:
    return [{"sourceId": source, "accounts": [{"nativeIdentity": native_identity}]}]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A change that breaks one rule, and one beside it that breaks none."""

    rule: Rule
    prepare: Callable[[SimulatedTenant], None]
    broken: Mapping[str, Any]
    kept: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


FIRST, SECOND = (account.native_identity for account in accounts_of(Known(), "i1"))
SELF_ONLY = RequestConfiguration(anyone_for_anyone=False, manager_for_reports=False)
CASES = [
    Case(rule=Rule.NOT_REQUESTABLE, prepare=item(requestable=False), broken=grant(), kept=grant(items=("r2",))),
    Case(rule=Rule.DISABLED_ITEM, prepare=item(enabled=False), broken=grant(), kept=grant(items=("r2",))),
    Case(
        rule=Rule.ENTITLEMENTS_BARRED,
        prepare=item(),
        broken=grant(type="ENTITLEMENT"),
        kept=grant(),
        options={"configuration": RequestConfiguration(entitlements=False)},
    ),
    Case(
        rule=Rule.NOT_FOR_OTHERS,
        prepare=item(),
        broken=grant(),
        kept=grant(REQUESTER_ID),
        options={"configuration": SELF_ONLY, "is_admin": False},
    ),
    Case(
        rule=Rule.NOT_FOR_OTHERS,
        prepare=person(manager=REQUESTER_ID),
        broken=grant(),
        kept=revoke(),
        options={"configuration": SELF_ONLY, "is_admin": False},
    ),
    Case(
        rule=Rule.NOT_FOR_OTHERS,
        prepare=lambda tenant: tenant.known.change_person("i2", manager=REQUESTER_ID),
        broken=revoke(),
        kept=revoke("i2"),
        options={"is_admin": False},
    ),
    Case(rule=Rule.SELF_REVOKE, prepare=item(), broken=revoke(REQUESTER_ID), kept=grant(REQUESTER_ID)),
    Case(rule=Rule.INACTIVE_PERSON, prepare=person(inactive=True), broken=grant(), kept=revoke()),
    Case(rule=Rule.PROTECTED_PERSON, prepare=person(protected=True), broken=grant(), kept=grant("i2")),
    Case(
        rule=Rule.END_DATE_REQUIRED, prepare=rules(require_end_date=True), broken=grant(), kept=grant(removeDate=LATE)
    ),
    Case(
        rule=Rule.END_DATE_TOO_LATE,
        prepare=rules(longest=Duration(value=30)),
        broken=grant(removeDate=LATE),
        kept=grant(removeDate=SOON),
    ),
    Case(rule=Rule.END_DATE_TOO_LATE, prepare=rules(longest=Duration(value=30)), broken=grant(), kept=revoke()),
    Case(
        rule=Rule.END_DATE_TOO_LATE,
        prepare=rules(longest=Duration(value=30)),
        broken=grant(removeDate=LATE, startDate=SOON),
        kept=grant(removeDate=LATE, startDate="2026-08-12T00:00:00Z"),
    ),
    Case(rule=Rule.COMMENT_REQUIRED, prepare=rules(comments_required=True), broken=grant(), kept=grant(comment="why")),
    Case(
        rule=Rule.COMMENT_REQUIRED,
        prepare=rules(comments_required=True),
        broken=grant(comment=" "),
        kept=grant(comment="why"),
    ),
    Case(rule=Rule.FORM_REQUIRED, prepare=rules(form="f"), broken=grant(), kept=grant(formInstanceId="done")),
    Case(
        rule=Rule.REAUTHORIZATION_REQUIRED, prepare=rules(reauthorization_required=True), broken=grant(), kept=revoke()
    ),
    Case(rule=Rule.NOT_REVOCABLE, prepare=held_by_role, broken=revoke(), kept=revoke("i2")),
    Case(
        rule=Rule.LATER_END_DATE,
        prepare=held_until_soon,
        broken=revoke(removeDate=SOON),
        kept=revoke(removeDate="2026-03-09T23:59:59Z"),
    ),
    Case(rule=Rule.ACCOUNT_CHOICE, prepare=crowded, broken=nested(), kept=nested(accountSelection=selection(SECOND))),
    Case(rule=Rule.ACCOUNT_CHOICE, prepare=crowded, broken=grant(type="ENTITLEMENT", items=("e1",)), kept=nested("i2")),
    Case(rule=Rule.ACCOUNT_CHOICE, prepare=crowded, broken=grant(), kept=grant("i2")),
    Case(
        rule=Rule.ACCOUNT_CHOICE,
        prepare=crowded,
        broken=revoke(item="e1", type="ENTITLEMENT"),
        kept=revoke(item="e1", type="ENTITLEMENT", nativeIdentity=FIRST),
    ),
    Case(rule=Rule.ACCOUNT_CHOICE, prepare=crowded, broken=revoke(), kept=revoke(item="p1", type="ACCESS_PROFILE")),
    Case(
        rule=Rule.ACCOUNT_UNKNOWN,
        prepare=crowded,
        broken=nested(accountSelection=selection("nobody")),
        kept=nested(accountSelection=selection(FIRST)),
    ),
    Case(
        rule=Rule.ACCOUNT_UNKNOWN,
        prepare=crowded,
        broken=revoke(assignmentId="ghost"),
        kept=revoke(item="p1", type="ACCESS_PROFILE"),
    ),
]


def tenant_with(case: Case, effect: Effect) -> SimulatedTenant:
    tenant = SimulatedTenant(effects={case.rule: effect}, handling=Handling(approval_seconds=1), **case.options)
    case.prepare(tenant)
    return tenant


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_refuses_the_whole_request_if_the_tenant_says_so(case: Case) -> None:
    tenant = tenant_with(case, Effect.REFUSED)
    assert tenant.submit(case.kept, NOW, V1).status == 202
    assert text_of(tenant.submit(case.broken, NOW, V1))
    assert len(tenant.audit.accepted) == 1


@pytest.mark.parametrize("effect", [Effect.CANCELLED, Effect.ERROR])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_can_let_a_change_come_to_nothing_after_a_202(case: Case, effect: Effect) -> None:
    tenant = tenant_with(case, effect)
    assert tenant.submit(case.broken, NOW, V1).status == 202
    (row,) = shown(tenant, later(2))
    assert (row["state"], row["approvalDetails"]) == (effect.upper(), [])
    cause = (
        row["cancelledRequestDetails"]["comment"] if effect is Effect.CANCELLED else row["errorMessages"][0][0]["text"]
    )
    assert cause == text_of(tenant_with(case, Effect.REFUSED).submit(case.broken, NOW, V1))
    assert "duplicate" not in cause


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_can_be_ignored(case: Case) -> None:
    tenant = tenant_with(case, Effect.IGNORED)
    assert tenant.submit(case.broken, NOW, V1).status == 202
    assert shown(tenant, later(2))[0]["state"] == "EXECUTING"


def test_every_rule_has_a_case_or_is_tested_elsewhere() -> None:
    elsewhere = {Rule.UNKNOWN_PERSON, Rule.UNKNOWN_ITEM, Rule.ACCOUNT_BLOCKED}
    assert {case.rule for case in CASES} | elsewhere == set(Rule) == set(DEFAULT_EFFECTS)


def test_only_what_is_documented_or_reported_to_be_refused_is_refused_by_default() -> None:
    assert {rule for rule, effect in DEFAULT_EFFECTS.items() if effect is Effect.REFUSED} == {
        Rule.UNKNOWN_PERSON,
        Rule.UNKNOWN_ITEM,
        Rule.NOT_REQUESTABLE,
        Rule.NOT_FOR_OTHERS,
        Rule.SELF_REVOKE,
        Rule.NOT_REVOCABLE,
        Rule.LATER_END_DATE,
    }


def test_no_account_can_be_chosen_for_an_access_profile_that_is_held() -> None:
    tenant = SimulatedTenant(effects={Rule.ACCOUNT_BLOCKED: Effect.REFUSED, Rule.ACCOUNT_CHOICE: Effect.REFUSED})
    crowded(tenant)
    tenant.hold("i1", ItemType.ACCESS_PROFILE, "p1")
    profile = {"type": "ACCESS_PROFILE", "id": "p1"}
    assert "No account" in text_of(tenant.submit(nested(**profile, accountSelection=selection(FIRST)), NOW, V1))
    assert tenant.submit(nested(**profile), NOW, V1).status == 202


def test_a_rule_concerns_only_the_changes_that_break_it() -> None:
    tenant = SimulatedTenant()
    tenant.known.change_person("i1", inactive=True)
    tenant.submit(grant("i1", "i2"), NOW)
    assert [(row["requestedFor"]["id"], row["state"]) for row in shown(tenant, NOW)] == [
        ("i1", "ERROR"),
        ("i2", "EXECUTING"),
    ]
    assert tenant.held("i1", later(9)) == {}


def test_a_refusal_names_the_first_rule_whichever_change_breaks_it() -> None:
    tenant = SimulatedTenant(effects=dict.fromkeys(Rule, Effect.REFUSED))
    tenant.known.change_person("i1", inactive=True)
    tenant.known.change_item("r2", enabled=False)
    assert "r2 is disabled" in text_of(tenant.submit(grant("i1", items=("r1", "r2")), NOW))


def test_the_same_item_on_two_accounts_is_no_duplicate() -> None:
    tenant = SimulatedTenant(handling=Handling(approval_seconds=1, provisioning_seconds=1))
    crowded(tenant)
    for account in (FIRST, SECOND, FIRST):
        tenant.submit(nested(accountSelection=selection(account)), NOW, V1)
    assert [row["state"] for row in shown(tenant, later(9))] == ["REQUEST_COMPLETED", "REQUEST_COMPLETED", "CANCELLED"]
    changes = tenant.audit.change_counts()
    assert {(change.account, times) for change, times in changes.items()} == {(FIRST, 2), (SECOND, 1)}
    tenant.submit(revoke(item="e1", type="ENTITLEMENT", nativeIdentity=FIRST), later(10), V1)
    assert set(tenant.held("i1", later(20))) == {(ItemType.ENTITLEMENT, "e1")}
    tenant.submit(revoke(item="e1", type="ENTITLEMENT", nativeIdentity=SECOND), later(20), V1)
    assert tenant.held("i1", later(30)) == {}
