"""What doctor makes of what was seen: each check's verdict, and what to do wherever it is not well."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS, Rate
from batch.api.token_claims import TokenClaims
from batch.ledger.health import Health
from batch.model import Answer
from batch.report.doctor_checks import (
    CheckResult,
    DoctorCheck,
    about_clock,
    about_credentials,
    about_ledger,
    about_limit,
    about_status_list,
    about_tenant,
    about_token,
    about_version,
    checks_as_json,
    describe_checks,
    exit_code,
)

BETA, V1 = DIALECTS["beta"], DIALECTS["v1"]
SOUND = Health(where="/l.db", version="0003", size=123_456, runs=2)
ADMIN = TokenClaims(
    readable=True,
    user_id="2c91",
    user_name="ada",
    authorities=("ORG_ADMIN",),
    scopes=("sp:scopes:all",),
    expires_in=749.0,
)
LISTED_OK = Answer(status=200)
GOOD = [
    *about_ledger(SOUND, ()),
    about_tenant("https://acme.example", "the environment"),
    about_credentials("c1", "a file", ["Using the credentials of client c1 from a file."]),
    *about_token(ADMIN, BETA),
    about_status_list(LISTED_OK, BETA),
    about_clock(timedelta(seconds=2)),
    about_limit(Rate(), BETA, {}),
    about_version(BETA, "", date(2026, 3, 1)),
]


def verdicts(findings: tuple[DoctorCheck, ...]) -> dict[str, str]:
    return {one.check: one.verdict.value for one in findings}


def test_where_all_is_well_every_check_is_ok_and_nothing_is_to_be_done() -> None:
    assert {finding.verdict for finding in GOOD} == {CheckResult.OK}
    assert not any(finding.to_do for finding in GOOD)
    assert exit_code(GOOD) == 0


def test_the_source_that_has_won_is_named() -> None:
    assert about_tenant("https://acme.example", "a login").said == "https://acme.example, from a login."
    assert about_credentials("c1", "the keyring", ()).said == "Client c1 from the keyring."


def test_what_is_doubtful_about_a_source_is_a_warning() -> None:
    finding = about_credentials("c1", "a file", ["Using the credentials of client c1 from a file.", "All may read it."])
    assert finding.verdict is CheckResult.WARN
    assert finding.said == "Client c1 from a file. All may read it."
    assert "access-batch login" in finding.to_do


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        (TokenClaims(readable=True, authorities=("API",)), {"token": "ok", "user": "fail"}),
        (replace(ADMIN, scopes=("idn:x:read",)), {"scope": "fail"}),
        (replace(ADMIN, scopes=("idn:access-request:create",)), {"scope": "warn"}),
        (replace(ADMIN, scopes=("idn:access-request:create", "idn:access-request-status:read")), {"scope": "ok"}),
        (replace(ADMIN, scopes=None), {"scope": "warn"}),
        (replace(ADMIN, authorities=("HELPDESK",)), {"authorities": "warn"}),
        (replace(ADMIN, authorities=()), {"authorities": "warn"}),
        (TokenClaims(), {"token": "warn", "user": "warn", "authorities": "warn", "scope": "warn"}),
        (TokenClaims(user_id="2c91"), {"token": "warn", "user": "ok"}),
        (replace(ADMIN, expires_in=None), {"token": "ok"}),
    ],
)
def test_a_token_is_judged_by_what_it_says(claims: TokenClaims, found: dict[str, str]) -> None:
    findings = about_token(claims, BETA)
    assert verdicts(findings).items() >= found.items()
    assert all(bool(one.to_do) == (one.verdict is not CheckResult.OK) for one in findings)


@pytest.mark.parametrize(
    ("status", "verdict", "to_do"),
    [(200, "ok", ""), (403, "fail", "idn:access-request-status:read"), (400, "fail", "--api")],
)
def test_the_status_list_has_to_answer(status: int, verdict: str, to_do: str) -> None:
    finding = about_status_list(Answer(status=status, text="Because."), BETA)
    assert finding.verdict == verdict
    assert to_do in finding.to_do


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        (timedelta(seconds=30), "ok", "agrees"),
        (timedelta(seconds=-30), "ok", "agrees"),
        (timedelta(seconds=31), "warn", "31 s behind"),
        (timedelta(hours=-1), "warn", "3,600 s ahead of"),
        (None, "warn", "does not tell the time"),
    ],
)
def test_a_clock_that_is_far_off_is_told(ahead: timedelta | None, verdict: str, said: str) -> None:
    finding = about_clock(ahead)
    assert finding.verdict == verdict
    assert said in finding.said


def test_the_limit_is_shown_with_what_the_tenants_headers_say_of_it() -> None:
    headers = {"X-RateLimit-Limit": "100", "ratelimit-remaining": "9\n9", "content-type": "x"}
    finding = about_limit(Rate(), BETA, headers)
    assert finding.verdict is CheckResult.OK
    assert "X-RateLimit-Limit: 100; ratelimit-remaining: 9 9." in finding.said
    assert "content-type" not in finding.said


def test_a_pace_above_the_documented_limit_is_a_warning() -> None:
    assert about_limit(Rate(requests=101), BETA, {}).verdict is CheckResult.WARN
    assert about_limit(Rate(requests=10, seconds=1), BETA, {}).verdict is CheckResult.OK


def test_a_pace_that_is_slowed_down_at_present_is_a_warning() -> None:
    finding = about_limit(Rate(), BETA, {}, allowed=50)
    assert finding.verdict is CheckResult.WARN
    assert "at present only 50" in finding.said


@pytest.mark.parametrize(
    ("dialect", "notice", "today", "verdict"),
    [
        (BETA, "", date(2028, 3, 31), "ok"),
        (BETA, "", date(2028, 4, 1), "warn"),
        (BETA, "It ends.", date(2026, 1, 1), "warn"),
        (V1, "", date(2040, 1, 1), "ok"),
        (V1, "It ends.", date(2026, 1, 1), "warn"),
    ],
)
def test_a_version_whose_end_has_come_or_is_announced_is_a_warning(
    dialect: object, notice: str, today: date, verdict: str
) -> None:
    assert isinstance(dialect, type(BETA))
    finding = about_version(dialect, notice, today)
    assert finding.verdict == verdict
    assert notice in finding.said
    assert ("--api v1" in finding.to_do) == (verdict == "warn" and dialect is BETA)


def test_a_damaged_ledger_is_one_failure() -> None:
    (finding,) = about_ledger(replace(SOUND, faults=("*** in main ***\nPage 21",)), ())
    assert finding.verdict is CheckResult.FAIL
    assert "*** in main *** Page 21" in finding.said


def test_runs_that_are_unfinished_are_named_the_newest_of_many() -> None:
    runs = tuple(f"run-{number}" for number in range(8))
    ledger, found = about_ledger(replace(SOUND, runs=9, unfinished=runs, in_doubt=3), ())
    assert ledger.verdict is CheckResult.OK
    assert found.verdict is CheckResult.WARN
    assert "8 runs unfinished: run-3, run-4, run-5, run-6, run-7, and 3 older. 3 requests may or may not" in found.said
    assert "finds out what became" in found.to_do
    (_, single) = about_ledger(replace(SOUND, unfinished=("run-1",)), ())
    assert "1 run unfinished: run-1." in single.said
    assert "may not" not in single.said


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "version 0003, 2 runs"), (999, "999 bytes"), (123_456, "123 kB"), (5_000_000, "5 MB"), (12e9, "12.0 GB")],
)
def test_a_ledgers_size_is_readable(size: int | None, said: str) -> None:
    assert said in about_ledger(replace(SOUND, size=size), ())[0].said


def test_what_was_done_to_open_the_ledger_is_told() -> None:
    assert about_ledger(SOUND, ("A new ledger was created: /l.db",))[0].said.startswith("A new ledger")


def test_people_see_a_line_a_check_and_what_to_do_below_it() -> None:
    lines = list(describe_checks([GOOD[2], about_clock(None)]))
    assert lines == [
        "ok    tenant       https://acme.example, from the environment.",
        "warn  clock        The tenant does not tell the time.",
        "                   → Make sure that this machine's clock is right.",
        "Ready to submit, 1 warning.",
    ]


FINDINGS = st.lists(
    st.builds(
        DoctorCheck, check=st.just("x"), verdict=st.sampled_from(CheckResult), said=st.just("y"), to_do=st.just("z")
    )
)


@given(FINDINGS)
def test_only_failures_make_an_exit_code_and_scripts_see_what_people_see(findings: list[DoctorCheck]) -> None:
    document = checks_as_json(findings)
    failures = sum(finding.verdict is CheckResult.FAIL for finding in findings)
    assert (exit_code(findings) == 0) == (failures == 0) == (document["fail"] == 0)
    assert document["ok"] + document["warn"] + document["fail"] == len(document["checks"]) == len(findings)
    assert list(describe_checks(findings))[-1].startswith(f"{failures}" if failures else "Ready")
