"""The sandbox and the oracle are asked the same 2,000 random questions, and must agree on every one."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, ItemType
from batch.sandbox.configuration import RequestConfiguration
from batch.sandbox.directory import Account, Known, Source
from batch.sandbox.item_rules import Duration, RequestRules, TimeUnit
from batch.sandbox.tenant import SimulatedTenant
from batch.sandbox.tenant_rules import Effect, Rule
from tests.sandbox import oracle
from tests.sandbox.calls import NOW, shown, text_of
from tests.sandbox.questions import SOURCES, question_of, world_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORLDS, QUESTIONS_EACH = 100, 20

WORDS = {
    "unknown field": "unknown field",
    "request type": "requestType must be one of",
    "metadata": "clientMetadata of",
    "shape": r"must be an array\.|must hold non-empty strings|identityId must be",
    "nested and flat": "must be absent beside",
    "nested revoke": r"requestedForWithRequestedItems must be absent when",
    "number of people": "identities, not",
    "number of items": r"items(?: in total)?, not",
    "machine": "identityType",
    "one person": "exactly one identity",
    "twice": "an identity twice",
    "one entitlement": "at most 1 entitlement|must hold nothing else",
    "item type": r"\.type must be",
    "item id": r"\.id must be",
    "empty comment": "comment must be a non-empty",
    "comment of a revoke": "comment is required",
    "date": "must be a date and time",
    "past": "must lie in the future",
    "start of a revoke": "startDate must be absent",
    "end of an entitlement": "removeDate is not supported",
    "end before start": "must lie after startDate",
    "empty account": "(?:assignmentId|nativeIdentity) must be a non-empty",
    "account of a grant": "must be absent unless access is revoked",
    "account of another type": "is for items of type",
    "selection": "accountSelection must be",
    "empty form": "formInstanceId must be a non-empty",
    "form of a revoke": "formInstanceId must be absent",
    Rule.UNKNOWN_PERSON: "The identity .* was not found",
    Rule.UNKNOWN_ITEM: "The access item .* was not found",
    Rule.NOT_REQUESTABLE: "The access item .* can't be requested",
    Rule.DISABLED_ITEM: "is disabled",
    Rule.ENTITLEMENTS_BARRED: "Entitlements such as",
    Rule.NOT_FOR_OTHERS: "can't make this request for the identity",
    Rule.SELF_REVOKE: "can't revoke your own access",
    Rule.INACTIVE_PERSON: "is inactive",
    Rule.PROTECTED_PERSON: "is protected",
    Rule.END_DATE_REQUIRED: "needs a removeDate",
    Rule.END_DATE_TOO_LATE: "can't be held that long",
    Rule.COMMENT_REQUIRED: "needs a comment",
    Rule.FORM_REQUIRED: "needs a completed form",
    Rule.REAUTHORIZATION_REQUIRED: "needs a reauthorization",
    Rule.NOT_REVOCABLE: "is given by a role",
    Rule.LATER_END_DATE: "has an earlier removeDate",
    Rule.ACCOUNT_UNKNOWN: "has no such account",
    Rule.ACCOUNT_BLOCKED: "No account can be chosen",
    Rule.ACCOUNT_CHOICE: "has several accounts",
}
"""How the sandbox words each rule of the oracle."""

BODY_RULES = [name for name in WORDS if name not in set(Rule)]


@dataclass(frozen=True)
class Verdict:
    """What became of a request: the rule that refused it, or what became of each change (a rule, or empty)."""

    refused_for: str = ""
    came_to: tuple[str, ...] = ()


def rule_in(text: str) -> str:
    """The one rule that a text of the sandbox means."""
    found = [name for name, words in WORDS.items() if re.search(words, text)]
    assert len(found) == 1, (text, found)
    return str(found[0])


def tenant_of(world: oracle.World, effects: Mapping[Rule, Effect]) -> SimulatedTenant:
    """A sandbox that is in the state of a world. Tells the world the ids of its assignments."""
    known = Known(identities=set(world.people), items=set(world.items))
    sources = {name: Source(id=name, name=name) for name in SOURCES}
    for identity, person in world.people.items():
        accounts = tuple(
            Account(id=native, source=sources[source], name=native, native_identity=native)
            for source, natives in person.accounts.items()
            for native in natives
        )
        known.change_person(
            identity,
            manager=person.manager,
            inactive=person.inactive,
            protected=person.protected,
            accounts=accounts,
        )
    for item_id, item in world.items.items():
        longest = None if item.longest is None else Duration(value=item.longest[0], unit=TimeUnit(item.longest[1]))
        rules = RequestRules(
            require_end_date=item.needs_end,
            longest=longest,
            comments_required=item.needs_comment,
            form="form" if item.needs_form else None,
            reauthorization_required=item.needs_login,
        )
        known.change_item(item_id, requestable=item.requestable, enabled=item.enabled, request=rules)
        if item.type == "ROLE":
            known.change_item(item_id, gives=tuple(sources[name] for name in item.sources))
        else:
            known.change_item(item_id, source=sources[item.sources[0]])
    configuration = RequestConfiguration(
        anyone_for_anyone=world.anyone_for_anyone,
        manager_for_reports=world.managers_for_reports,
        entitlements=world.entitlements_allowed,
    )
    tenant = SimulatedTenant(
        known=known,
        effects=effects,
        configuration=configuration,
        is_admin=world.is_admin,
        cancels_duplicates=False,
    )
    for (identity, item_id), held in world.held.items():
        kind = ItemType(world.items[item_id].type)
        tenant.hold(identity, kind, item_id, until=held.until, revocable=not held.given)
        for assignment in tenant.role_assignments(identity, NOW, role=item_id):
            held.assignment = str(assignment["id"])
    return tenant


def answer_of(tenant: SimulatedTenant, api: str, body: dict[str, Any], deaf_to: str = "") -> Verdict:
    """The sandbox's verdict. With `deaf_to`, one rule of bodies is as good as switched off."""
    before = len(shown(tenant, NOW))
    answer = tenant.submit(body, NOW, DIALECTS[api])
    if answer.status == 400:
        rule = rule_in(text_of(answer))
        return Verdict() if rule == deaf_to else Verdict(refused_for=rule)
    assert answer.status == 202
    return Verdict(came_to=tuple(_came_to(row) for row in shown(tenant, NOW)[before:]))


def _came_to(row: dict[str, Any]) -> str:
    match row["state"]:
        case "CANCELLED":
            return rule_in(row["cancelledRequestDetails"]["comment"])
        case "ERROR":
            return rule_in(row["errorMessages"][0][0]["text"])
    return ""


def disagreement(
    world: oracle.World, api: str, body: dict[str, Any], effects: Mapping[Rule, Effect], said: Verdict
) -> str:
    """How the sandbox's verdict differs from the oracle's; empty if it does not."""
    faults = oracle.body_faults(body, api, NOW)
    if faults:
        return "" if said.refused_for in faults else f"the oracle refuses for {faults}"
    changes = oracle.change_faults(world, body, NOW)
    refused = {fault for broken in changes for fault in broken if effects[Rule(fault)] is Effect.REFUSED}
    if refused:
        first = next(rule for rule in Rule if rule in refused)
        return "" if said.refused_for == first else f"the oracle refuses for {first}"
    if said.refused_for or len(said.came_to) != len(changes):
        return f"the oracle accepts {len(changes)} changes"
    for broken, came_to in zip(changes, said.came_to, strict=True):
        nothing = {fault for fault in broken if effects[Rule(fault)] in {Effect.CANCELLED, Effect.ERROR}}
        if came_to not in nothing and (came_to or nothing):
            return f"the oracle finds {nothing or 'nothing wrong'}"
    return ""


def effects_of(random: Random) -> dict[Rule, Effect]:
    return {rule: random.choice(tuple(Effect)) for rule in Rule}


def interviews(seed: int, worlds: int = WORLDS) -> Iterator[tuple[Random, oracle.World, dict[Rule, Effect]]]:
    for number in range(worlds):
        random = Random(f"{seed} {number}")  # noqa: S311 - questions must be repeatable, nothing is secret here
        yield random, world_of(random), effects_of(random)


def test_the_sandbox_and_the_oracle_agree_on_2000_questions() -> None:
    asked, outcomes = 0, Counter[str]()
    for random, world, effects in interviews(17):
        tenant = tenant_of(world, effects)
        for _ in range(QUESTIONS_EACH):
            api, body = question_of(random, world)
            said = answer_of(tenant, api, body)
            assert not disagreement(world, api, body, effects, said), (api, json.dumps(body), said)
            outcomes.update([f"refused: {said.refused_for}"] if said.refused_for else said.came_to)
            asked += 1
    assert asked == 2000
    assert {rule for rule in WORDS if not outcomes[f"refused: {rule}"]} == set(), outcomes
    assert {rule for rule in Rule if not outcomes[rule]} <= {Rule.UNKNOWN_PERSON, Rule.UNKNOWN_ITEM}, outcomes
    assert outcomes[""] > 200


def test_the_sandbox_shows_the_rules_of_each_entitlement_as_the_oracle_does() -> None:
    compared = 0
    for random, world, effects in interviews(17):
        tenant, api = tenant_of(world, effects), random.choice(tuple(DIALECTS))
        for item_id, item in world.items.items():
            answer = tenant.entitlement_configuration(item_id, DIALECTS[api])
            if item.type == "ENTITLEMENT":
                assert answer is not None
                assert answer.body == oracle.entitlement_config(item, api)
                compared += 1
        assert tenant.entitlement_configuration("ghost", DIALECTS[api]) is None
    assert compared == 400


def test_the_sandbox_offers_the_accounts_that_the_oracle_does() -> None:
    said = Counter[bool]()
    for random, world, effects in interviews(17):
        tenant = tenant_of(world, effects | {Rule.ACCOUNT_CHOICE: Effect.REFUSED})
        for person in world.people:
            chosen = random.sample(sorted(world.items), 3)
            items = [{"type": world.items[name].type, "id": name} for name in chosen]
            body = {"requestedFor": [person], "requestedItems": items}
            answer = tenant.select_accounts(body, NOW, DIALECTS["v1"])
            assert isinstance(answer.body, dict)
            (identity,) = answer.body["identities"]
            offers = [
                (
                    item["accountsSelectionBlocked"],
                    [
                        (source["id"], [account["nativeIdentity"] for account in source["accounts"]])
                        for source in item["sources"]
                    ],
                )
                for item in identity["requestedItems"]
            ]
            needed = identity["accountsSelectionRequired"]
            assert (needed, offers) == oracle.accounts_offered(world, person, chosen)
            said.update([needed, *(blocked for blocked, _ in offers)])
    assert min(said[True], said[False]) > 100


@pytest.mark.parametrize("rule", Rule)
def test_the_comparison_fails_if_one_rule_of_the_tenant_is_switched_off(rule: Rule) -> None:
    assert finds_disagreement({rule: Effect.IGNORED})


@pytest.mark.parametrize("rule", BODY_RULES)
def test_the_comparison_fails_if_one_rule_of_bodies_is_switched_off(rule: str) -> None:
    assert finds_disagreement({}, deaf_to=rule)


def test_the_comparison_fails_if_a_rule_is_too_strict() -> None:
    for random, world, _ in interviews(17):
        strict, effects = tenant_of(world, {}), dict.fromkeys(Rule, Effect.REFUSED)
        for identity in world.people:
            strict.known.change_person(identity, protected=True)
        for _ in range(QUESTIONS_EACH):
            api, body = question_of(random, world)
            if disagreement(world, api, body, effects, answer_of(strict, api, body)):
                return
    pytest.fail("Nobody noticed.")


def finds_disagreement(off: Mapping[Rule, Effect], deaf_to: str = "") -> bool:
    """Whether the questions find out what a sandbox with something switched off does wrong."""
    effects = dict.fromkeys(Rule, Effect.REFUSED)
    for random, world, _ in interviews(17):
        tenant = tenant_of(world, effects | dict(off))
        for _ in range(QUESTIONS_EACH):
            api, body = question_of(random, world)
            if disagreement(world, api, body, effects, answer_of(tenant, api, body, deaf_to)):
                return True
    return False
