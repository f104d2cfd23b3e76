"""What the ledger tells of a tenant's refusals: those of one change alone, and what was accepted since."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.answers.outcome import Then, decide
from batch.answers.shared_bodies import for_each
from batch.ledger.answered import Answered
from batch.model import Answer, Form
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, ME, TENANT, claim, record, write

if TYPE_CHECKING:
    from batch.ledger.store import Ledger

ITEM = ("GRANT", "ROLE", "r1")
NEEDS_AN_END = Answer(status=400, text="r1 needs a removeDate (of any kind).", tracking_id="t-1", form=Form.API)
LATER = NOW + timedelta(days=1)


def test_a_change_that_was_refused_alone_is_told_with_the_tenants_words(ledger: Ledger) -> None:
    run = write(ledger, [change("Anna-1", "R1", comment="why", remove_date="2027-01-31T00:00:00Z")])
    record(ledger, claim(ledger, run), NEEDS_AN_END, now=LATER)
    (refused,) = ledger.plans.experience(TENANT, [ITEM]).refusals
    assert (refused.subject, refused.identity, refused.comment) == (ITEM, "anna1", "why")
    assert (refused.remove_date, refused.words) == ("2027-01-31T00:00:00Z", NEEDS_AN_END.text)
    assert refused.at.startswith(f"{LATER:%Y-%m-%d}")
    for other in (("REVOKE", "ROLE", "r1"), ("GRANT", "ROLE", "r2"), ("GRANT", "ENTITLEMENT", "r1")):
        assert ledger.plans.experience(TENANT, [other]).refusals == ()
    assert ledger.plans.experience("https://another.example", [ITEM]).refusals == ()
    # The same input is planned again: the refused request is replaced.
    write(ledger, [change("Anna-1", "R1")])
    assert len(ledger.plans.experience(TENANT, [ITEM]).refusals) == 1


def test_a_whole_request_that_was_refused_proves_nothing(ledger: Ledger) -> None:
    run = write(ledger, [change("anna", "r1"), change("ben", "r1")])
    record(ledger, claim(ledger, run), NEEDS_AN_END)
    assert ledger.plans.experience(TENANT, [ITEM]).refusals == ()


def test_a_refusal_of_a_shared_body_proves_nothing(ledger: Ledger) -> None:
    run = write(ledger, [change("anna", "r1")], [change("ben", "r1")], together=[(0, 1)])
    ledger.runs.hold(run, ME, NOW)
    (body,) = ledger.requests.claim(run, NOW, ME)
    decisions = for_each(body.requests, decide(NEEDS_AN_END), NEEDS_AN_END.text)
    ledger.requests.record(
        *(
            Answered(
                request=one,
                answer=NEEDS_AN_END,
                decision=decision,
                at=NOW,
                alone=decision.then is Then.SEND_ALONE,
            )
            for one, decision in zip(body.requests, decisions, strict=True)
        ),
        process=ME,
    )
    assert ledger.plans.experience(TENANT, [ITEM]).refusals == ()


@pytest.mark.parametrize("answer", [ACCEPTED, FAILED])
def test_what_was_accepted_or_may_have_been_is_told_beside_the_refusals(ledger: Ledger, answer: Answer) -> None:
    run = write(ledger, [change("anna", "r1")], [change("ben", "R-1")])
    record(ledger, claim(ledger, run), NEEDS_AN_END)
    assert ledger.plans.experience(TENANT, [ITEM]).accepted == {}
    record(ledger, claim(ledger, run), answer, now=LATER)
    experience = ledger.plans.experience(TENANT, [ITEM])
    assert experience.accepted[ITEM] > experience.refusals[0].at


@pytest.mark.parametrize("answer", [Answer(status=403, text="removeDate", form=Form.API), FAILED])
def test_an_answer_that_is_no_refusal_of_the_body_proves_nothing(ledger: Ledger, answer: Answer) -> None:
    run = write(ledger, [change("anna", "r1")])
    record(ledger, claim(ledger, run), answer)
    assert ledger.plans.experience(TENANT, [ITEM]).refusals == ()
