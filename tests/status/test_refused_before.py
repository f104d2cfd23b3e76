"""A likely finding is certain once this tenant has refused such a change, and not if it has accepted one since."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.status.findings import TenantFacts, findings
from batch.status.refused_before import Experience, Refusal, subjects, with_experience
from batch.status.tenant_facts import KNOWN, ItemFacts, PersonFacts
from batch.text import instant
from batch.validate.tenant_rules import REFUSAL_WORDS, TENANT_RULES
from tests.status.test_findings import changes

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SUBJECT = ("GRANT", "ROLE", "r1")
NEEDS_AN_END = ItemFacts(listed=True, end_date_required=True)


def refusal(words: str = "The access item r1 needs a removeDate.", **fields: Any) -> Refusal:
    usual = {"subject": SUBJECT, "identity": "anna", "comment": "", "remove_date": "", "at": "2026-11-02T09:00:00Z"}
    return Refusal(words=words, **usual | fields)


def found_in(
    experience: Experience,
    *,
    item: ItemFacts = NEEDS_AN_END,
    person: PersonFacts = KNOWN,
    read: datetime = NOW + timedelta(days=9),
    name: str = "",
    **cells: str,
) -> list[tuple[str, bool, str]]:
    """The findings about one change: rule, whether it is certain, message."""
    fresh = changes(cells)
    facts = TenantFacts(items={("ROLE", cells.get("item_id", "r1")): item}, people={"anna": person})
    found = findings(fresh, facts, now=NOW)
    certain = with_experience(found, fresh, experience, read=read, names={("ROLE", "r1"): name})
    return list(certain.select("rule", "certain", "message").rows())


def test_a_refusal_makes_a_finding_certain_and_is_quoted_with_its_date() -> None:
    assert found_in(Experience()) == [
        ("end_date_required", False, "the role needs an end date, and none is given; give a remove_date")
    ]
    assert found_in(Experience(refusals=[refusal()])) == [
        (
            "end_date_required",
            True,
            (
                "the role needs an end date, and none is given; give a remove_date; on 2026-11-02 the tenant refused "
                "this: 'The access item r1 needs a removeDate.'"
            ),
        )
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "ben"},
        {"words": "removeDate is in the wrong format"},
        {"words": "A removeDate is required for this identity."},
        {"words": "A removeDate and a comment are required."},
        {"subject": ("REVOKE", "ROLE", "r1")},
        {"subject": ("GRANT", "ROLE", "r2")},
        {"subject": ("GRANT", "ENTITLEMENT", "r1")},
        {"words": "The identity was not found."},
        # It had an end date, so it was refused for another reason.
        {"words": "removeDate must lie in the future.", "remove_date": "2026-01-01T00:00:00Z"},
    ],
)
def test_a_refusal_of_something_else_proves_nothing(other: dict[str, Any]) -> None:
    ((_, certain, message),) = found_in(Experience(refusals=[refusal(**other)]))
    assert not certain
    assert "refused" not in message


def test_an_answer_from_before_the_refusal_makes_nothing_certain() -> None:
    refused = datetime(2026, 11, 2, 9, tzinfo=UTC)
    experience = Experience(refusals=[refusal(at=instant(refused))])
    for read, certain in ((refused, False), (refused + timedelta(seconds=1), True)):
        assert [one for _, one, _ in found_in(experience, read=read)] == [certain]
    inactive = Experience(refusals=[refusal("The identity is inactive.", at=instant(refused))])
    for lag, certain in ((timedelta(hours=1), False), (timedelta(hours=25), True)):
        person = PersonFacts(listed=True, inactive=True)
        found = found_in(inactive, item=ItemFacts(), person=person, read=refused + lag)
        assert [one for _, one, _ in found] == [certain]


def test_the_name_of_an_item_is_none_of_the_tenants_words() -> None:
    item = ItemFacts(listed=True, form_required=True, name="Custom Form Admins")
    for words, certain in (("Custom Form Admins is not found", False), ("Custom Form Admins: form is missing", True)):
        found = found_in(Experience(refusals=[refusal(words)]), item=item, name="Custom Form Admins")
        assert [one for _, one, _ in found] == [certain]


def test_ids_are_compared_without_case_and_hyphens() -> None:
    found = found_in(Experience(refusals=[refusal(subject=("GRANT", "ROLE", "abc1"))]), item_id="ABC-1")
    assert [certain for _, certain, _ in found] == [True]


def test_a_refusal_for_a_persons_sake_counts_for_that_person_only() -> None:
    inactive = PersonFacts(listed=True, inactive=True)
    words = "The identity is inactive."
    for identity, certain in (("ben", False), ("anna", True)):
        experience = Experience(refusals=[refusal(words, identity=identity)])
        found = found_in(experience, item=ItemFacts(), person=inactive)
        assert [(rule, is_certain) for rule, is_certain, _ in found] == [("person_inactive", certain)]


@pytest.mark.parametrize(("person", "is_certain"), [("anna", True), ("ben", False)])
@pytest.mark.parametrize("kind", ["ROLE", "ENTITLEMENT"])
def test_that_access_cannot_be_revoked_is_certain_only_of_a_person_for_whom_the_tenant_said_so(
    kind: str, person: str, *, is_certain: bool
) -> None:
    fresh = changes({"operation": "REVOKE", "comment": "left", "item_type": kind})
    found = findings(fresh, TenantFacts(irrevocable={"anna": [(kind, "r1")]}), now=NOW)
    assert found.get_column("certain").to_list() == [False]
    words = "Access that is given by a birthright role can't be revoked."
    said = refusal(words, subject=("REVOKE", kind, "r1"), identity=person, comment="left")
    after = with_experience(found, fresh, Experience(refusals=[said]), read=NOW)
    assert after.get_column("certain").to_list() == [is_certain]


def test_a_longest_duration_is_certain_only_if_the_refused_change_had_an_end_or_none_alike() -> None:
    item = ItemFacts(listed=True, longest_hours=24)
    words = "The maximum duration is one day."
    end = "2027-06-30T00:00:00Z"
    for refused, wanted, certain in (("", "", True), (end, end, True), ("", end, False), (end, "", False)):
        experience = Experience(refusals=[refusal(words, remove_date=refused)])
        found = found_in(experience, item=item, remove_date=wanted)
        assert [(rule, is_certain) for rule, is_certain, _ in found] == [("end_date_too_late", certain)]


MOMENTS = st.integers(0, 5).map(lambda day: instant(NOW - timedelta(days=day)))


@given(refused=st.lists(MOMENTS), accepted=st.none() | MOMENTS)
def test_nothing_is_certain_once_the_tenant_has_accepted_such_a_change(
    refused: list[str], accepted: str | None
) -> None:
    experience = Experience(
        refusals=[refusal(at=at) for at in refused], accepted={} if accepted is None else {SUBJECT: accepted}
    )
    ((_, certain, message),) = found_in(experience)
    since = [at for at in refused if accepted is None or at > accepted]
    assert certain == bool(since)
    assert not since or f"; on {max(since)[:10]} the tenant" in message


def test_only_the_newest_telling_refusal_is_quoted_on_one_line() -> None:
    experience = Experience(
        refusals=[
            refusal("comment needed\x1b[31m", at="2026-11-03T09:00:00Z"),
            refusal("end date\nneeded \u202e!", at="2026-11-02T09:00:00Z"),
            refusal("end date needed", at="2026-11-01T09:00:00Z"),
        ]
    )
    ((_, certain, message),) = found_in(experience)
    assert certain
    assert "on 2026-11-02 " in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("item_disabled", "The access item r1 is disabled."),
        ("item_not_requestable", "The access item r1 can't be requested."),
        ("item_not_requestable", "Role is not requestable"),
        ("end_date_required", "removeDate is required"),
        ("end_date_required", "An end date must be given"),
        ("end_date_too_late", "The access item r1 can't be held that long."),
        ("comment_required", "Comment is required."),
        ("form_required", "formInstanceId is missing"),
        ("reauthorization_required", "Re-authentication needed"),
        ("person_inactive", "Identity is INACTIVE"),
        ("person_protected", "The identity ben is protected."),
    ],
)
def test_the_words_of_a_refusal_name_one_rule(rule: str, words: str) -> None:
    assert [name for name in REFUSAL_WORDS if _matches(name, words)] == [rule]


@pytest.mark.parametrize(
    "words",
    [
        "The information on the platform is malformed, in the form of a list.",
        "The name is too long.",
        "A request may hold a maximum of 25 items.",
        "Bad item.",
        "",
    ],
)
def test_other_words_name_none(words: str) -> None:
    assert not any(_matches(name, words) for name in REFUSAL_WORDS)


def _matches(rule: str, words: str) -> bool:
    return re.search(REFUSAL_WORDS[rule], words, re.IGNORECASE) is not None


def test_only_rules_of_which_a_refusal_can_tell_are_asked_about() -> None:
    assert set(REFUSAL_WORDS) < set(TENANT_RULES)
    fresh = changes({}, {"item_id": "r2"})
    facts = TenantFacts(items={("ROLE", "r1"): NEEDS_AN_END, ("ROLE", "r2"): ItemFacts(listed=False)}, people={})
    assert subjects(findings(fresh, facts, now=NOW), fresh) == [SUBJECT]
    assert subjects(pl.DataFrame(schema=findings(fresh, facts, now=NOW).schema), fresh) == []
