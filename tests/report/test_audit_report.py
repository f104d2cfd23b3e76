"""What people read of an audit."""

from __future__ import annotations

from dataclasses import replace

from batch.names.known import KnownNames
from batch.report.audit import AuditSummary, audit_as_json, describe_audit
from batch.status.audit import AuditFinding, Mismatch

CLEAN = AuditSummary(
    tenant="acme",
    runs=("r1",),
    changes=3,
    listed=3,
    not_listed_yet=0,
    in_doubt=0,
    doubtful_runs=(),
    elsewhere=0,
    closed_index="",
    closed_list="",
    findings=(),
    heads={},
    elapsed=0.1,
)
FINDING = AuditFinding(
    kind=Mismatch.UNKNOWN, request="r1-1-aa", identity="I-1", item_type="ROLE", item="R-1", said="access request q1"
)
IMPORT = "To record these changes in the ledger, so that they are not submitted again: access-batch ledger import"


def test_a_clean_audit_says_that_nothing_is_missing() -> None:
    assert list(describe_audit(CLEAN)) == [
        "3 accepted changes of 1 run compared with the status list of acme, which shows 3.",
        "Ledger and list agree: nothing was submitted twice, and nothing is missing.",
    ]


def test_an_audit_claims_nothing_about_changes_that_are_not_listed_yet() -> None:
    summary = replace(CLEAN, listed=2, not_listed_yet=1)
    assert list(describe_audit(summary))[1:] == [
        "So far, ledger and list agree: nothing was submitted twice.",
        "1 change accepted less than an hour ago is not listed yet: audit again in an hour.",
    ]
    several = list(describe_audit(replace(CLEAN, not_listed_yet=13)))
    assert several[-1] == "13 changes accepted less than an hour ago are not listed yet: audit again in an hour."
    assert (audit_as_json(summary)["not_listed_yet"], summary.exit_code) == (1, 0)


def test_an_audit_names_unconfirmed_changes_and_the_commands_that_settle_them() -> None:
    lines = list(describe_audit(replace(CLEAN, in_doubt=2, doubtful_runs=("r1", "r2"))))
    assert lines[1:] == [
        "So far, ledger and list agree: nothing was submitted twice.",
        "2 changes may or may not have arrived. To find out: access-batch settle r1, access-batch settle r2",
    ]


def test_a_finding_shows_the_names_that_the_input_had_beside_the_ids() -> None:
    names = KnownNames.of_meanings([("identity by alias", "ada", "i1"), ("role by name", "Payroll", "r1")])
    summary = replace(CLEAN, findings=(FINDING, replace(FINDING, item_type="")), names=names)
    lines = [line for line in describe_audit(summary) if line.startswith("  r1-1")]
    assert lines == [
        "  r1-1-aa: ROLE Payroll (R-1) for ada (I-1): access request q1",
        "  r1-1-aa: item R-1 for ada (I-1): access request q1",
    ]
    assert audit_as_json(summary)["findings"][0]["item_name"] == "Payroll"


def test_each_kind_of_finding_has_a_next_step_and_none_is_said_twice() -> None:
    unknown, different = FINDING, replace(FINDING, kind=Mismatch.DIFFERENT)
    lines = list(describe_audit(replace(CLEAN, findings=(unknown, different))))
    assert lines[1:] == [
        "1 change listed but unknown to the ledger:",
        "  r1-1-aa: ROLE R-1 for I-1: access request q1",
        "1 change in another state in the list than in the ledger:",
        "  r1-1-aa: ROLE R-1 for I-1: access request q1",
        IMPORT,
    ]
    for kind in (Mismatch.TWICE, Mismatch.NOT_LISTED):
        *_, last = describe_audit(replace(CLEAN, findings=(replace(FINDING, kind=kind),)))
        assert "in the tenant" in last
