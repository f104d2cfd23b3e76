"""Each check of `doctor`: its result, and what to do unless it is ok."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS, Rate
from batch.api.token_claims import TokenClaims
from batch.ledger.health import Health
from batch.model import Answer, Form
from batch.report.doctor_checks import (
    CheckResult,
    DoctorCheck,
    check_clock,
    check_credentials,
    check_ledger,
    check_limit,
    check_status_list,
    check_tenant,
    check_token,
    check_version,
    checks_as_json,
    describe_checks,
    doctor_exit_code,
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
    *check_ledger(SOUND, ()),
    check_tenant("https://acme.example", "the environment"),
    check_credentials("c1", "a file", ["Using the credentials of client c1 from a file."]),
    *check_token(ADMIN, BETA),
    check_status_list(LISTED_OK, BETA),
    check_clock(timedelta(seconds=2)),
    check_limit(Rate(), BETA, {}),
    check_version(BETA, "", date(2026, 3, 1)),
]


def results(checks: tuple[DoctorCheck, ...]) -> dict[str, str]:
    return {one.name: one.result.value for one in checks}


def test_without_problems_every_check_is_ok_and_there_is_nothing_to_do() -> None:
    assert {check.result for check in GOOD} == {CheckResult.OK}
    assert not any(check.to_do for check in GOOD)
    assert doctor_exit_code(GOOD) == 0


def test_the_chosen_source_is_named() -> None:
    assert check_tenant("https://acme.example", "a login").message == "https://acme.example, from a login."
    assert check_credentials("c1", "the keyring", ()).message == "Client c1 from the keyring."


def test_a_doubt_about_a_source_is_a_warning() -> None:
    check = check_credentials("c1", "a file", ["Using the credentials of client c1 from a file.", "All may read it."])
    assert check.result is CheckResult.WARN
    assert check.message == "Client c1 from a file. All may read it."
    assert "access-batch login" in check.to_do


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        (TokenClaims(readable=True, authorities=("API",)), {"token": "ok", "user": "fail"}),
        (replace(ADMIN, scopes=("idn:x:read",)), {"scope": "fail"}),
        (replace(ADMIN, scopes=("idn:access-request:create",)), {"scope": "warn"}),
        (replace(ADMIN, scopes=("idn:access-request:create", "idn:access-request-status:read")), {"scope": "warn"}),
        (
            replace(
                ADMIN,
                scopes=(
                    "idn:access-request:create",
                    "idn:access-request-status:read",
                    "idn:access-request-approvals:read",
                ),
            ),
            {"scope": "ok"},
        ),
        (replace(ADMIN, scopes=None), {"scope": "warn"}),
        (replace(ADMIN, authorities=("HELPDESK",)), {"authorities": "warn"}),
        (replace(ADMIN, authorities=()), {"authorities": "warn"}),
        (TokenClaims(), {"token": "warn", "user": "warn", "authorities": "warn", "scope": "warn"}),
        (TokenClaims(user_id="2c91"), {"token": "warn", "user": "ok"}),
        (replace(ADMIN, expires_in=None), {"token": "ok"}),
    ],
)
def test_a_token_is_judged_by_its_claims(claims: TokenClaims, found: dict[str, str]) -> None:
    checks = check_token(claims, BETA)
    assert results(checks).items() >= found.items()
    assert all(bool(one.to_do) == (one.result is not CheckResult.OK) for one in checks)


def test_a_scope_without_which_something_is_left_out_is_named_with_what_that_is() -> None:
    claims = replace(ADMIN, scopes=("idn:access-request:create", "idn:access-request-status:read"))
    (check,) = [one for one in check_token(claims, BETA) if one.name == "scope"]
    assert "lacks idn:access-request-approvals:read: the precheck does not see what waits" in check.message
    assert (
        "idn:access-request:create and idn:access-request-status:read and idn:access-request-approvals" in check.to_do
    )


@pytest.mark.parametrize(
    ("status", "result", "to_do"),
    [(200, "ok", ""), (403, "fail", "idn:access-request-status:read"), (400, "fail", "--api")],
)
def test_the_status_list_must_answer(status: int, result: str, to_do: str) -> None:
    check = check_status_list(Answer(status=status, text="Because.", form=Form.API), BETA)
    assert check.result == result
    assert to_do in check.to_do


def test_a_firewall_before_the_status_list_is_not_blamed_on_the_token() -> None:
    check = check_status_list(Answer(status=403, text="Access denied", form=Form.PAGE), BETA)
    assert check.result == "fail"
    assert "firewall" in check.to_do
    assert "scope" not in check.to_do


@pytest.mark.parametrize(
    ("ahead", "result", "message"),
    [
        (timedelta(seconds=30), "ok", "agrees"),
        (timedelta(seconds=-30), "ok", "agrees"),
        (timedelta(seconds=31), "warn", "31 s behind"),
        (timedelta(hours=-1), "warn", "3,600 s ahead of"),
        (None, "warn", "no time"),
    ],
)
def test_a_clock_that_is_far_off_is_a_warning(ahead: timedelta | None, result: str, message: str) -> None:
    check = check_clock(ahead)
    assert check.result == result
    assert message in check.message


@pytest.mark.parametrize(
    ("ahead", "database_ahead", "result", "message"),
    [
        (
            timedelta(0),
            timedelta(0),
            "ok",
            "tenant's. This machine's clock agrees with the database's.",
        ),
        (
            timedelta(0),
            timedelta(hours=2),
            "ok",
            "7,200 s behind the database's, which is used in its place",
        ),
        (timedelta(hours=2), timedelta(0), "warn", "The database's clock is 7,200 s behind the tenant's."),
        (None, timedelta(hours=-2), "warn", "This machine's clock is 7,200 s ahead of the database's"),
    ],
)
def test_the_clock_of_a_shared_database_is_compared_with_the_tenants_and_with_ours(
    ahead: timedelta | None, database_ahead: timedelta, result: str, message: str
) -> None:
    check = check_clock(ahead, database_ahead)
    assert check.result == result
    assert message in check.message


def test_the_limit_is_shown_with_the_tenants_headers_about_it() -> None:
    headers = {"X-RateLimit-Limit": "100", "ratelimit-remaining": "9\n9", "content-type": "x"}
    check = check_limit(Rate(), BETA, headers)
    assert check.result is CheckResult.OK
    assert "X-RateLimit-Limit: 100; ratelimit-remaining: 9 9." in check.message
    assert "content-type" not in check.message


def test_a_pace_above_the_documented_limit_is_a_warning() -> None:
    assert check_limit(Rate(requests=101), BETA, {}).result is CheckResult.WARN
    assert check_limit(Rate(requests=10, seconds=1), BETA, {}).result is CheckResult.OK


def test_a_reduced_pace_is_a_warning() -> None:
    check = check_limit(Rate(), BETA, {}, allowed=50)
    assert check.result is CheckResult.WARN
    assert "at present only 50" in check.message


@pytest.mark.parametrize(
    ("dialect", "notice", "today", "result"),
    [
        (BETA, "", date(2028, 3, 31), "ok"),
        (BETA, "", date(2028, 4, 1), "warn"),
        (BETA, "It ends.", date(2026, 1, 1), "warn"),
        (V1, "", date(2040, 1, 1), "ok"),
        (V1, "It ends.", date(2026, 1, 1), "warn"),
    ],
)
def test_a_version_whose_end_has_come_or_is_announced_is_a_warning(
    dialect: object, notice: str, today: date, result: str
) -> None:
    assert isinstance(dialect, type(BETA))
    check = check_version(dialect, notice, today)
    assert check.result == result
    assert notice in check.message
    assert ("--api v1" in check.to_do) == (result == "warn" and dialect is BETA)


def test_a_damaged_ledger_is_one_failure() -> None:
    (check,) = check_ledger(replace(SOUND, faults=("*** in main ***\nPage 21",)), ())
    assert check.result is CheckResult.FAIL
    assert "*** in main *** Page 21" in check.message


def test_the_newest_unfinished_runs_are_named() -> None:
    runs = tuple(f"run-{number}" for number in range(8))
    ledger, found = check_ledger(replace(SOUND, runs=9, unfinished=runs, in_doubt=3), ())
    assert ledger.result is CheckResult.OK
    assert found.result is CheckResult.WARN
    assert (
        "8 runs unfinished: run-3, run-4, run-5, run-6, run-7, and 3 older. 3 requests may or may not" in found.message
    )
    assert "after settling" in found.to_do
    (_, single) = check_ledger(replace(SOUND, unfinished=("run-1",)), ())
    assert "1 run unfinished: run-1." in single.message
    assert "may not" not in single.message


@pytest.mark.parametrize(
    ("size", "message"),
    [(None, "version 0003, 2 runs"), (999, "999 bytes"), (123_456, "123 kB"), (5_000_000, "5 MB"), (12e9, "12.0 GB")],
)
def test_a_ledgers_size_is_readable(size: int | None, message: str) -> None:
    assert message in check_ledger(replace(SOUND, size=size), ())[0].message


def test_the_ledgers_opening_notices_are_shown() -> None:
    assert check_ledger(SOUND, ("A new ledger was created: /l.db",))[0].message.startswith("A new ledger")


def test_people_see_a_line_for_each_check_and_below_it_what_to_do() -> None:
    lines = list(describe_checks([GOOD[2], check_clock(None)]))
    assert lines == [
        "ok    tenant       https://acme.example, from the environment.",
        "warn  clock        The tenant's answers carry no time.",
        "                   → Make sure that this machine's clock is right.",
        "Ready to submit, 1 warning.",
    ]


CHECKS = st.lists(
    st.builds(
        DoctorCheck, name=st.just("x"), result=st.sampled_from(CheckResult), message=st.just("y"), to_do=st.just("z")
    )
)


@given(CHECKS)
def test_only_failures_set_the_exit_code_and_scripts_see_what_people_see(checks: list[DoctorCheck]) -> None:
    document = checks_as_json(checks)
    failures = sum(check.result is CheckResult.FAIL for check in checks)
    assert (doctor_exit_code(checks) == 0) == (failures == 0) == (document["fail"] == 0)
    assert document["ok"] + document["warn"] + document["fail"] == len(document["checks"]) == len(checks)
    assert list(describe_checks(checks))[-1].startswith(f"{failures}" if failures else "Ready")
