"""What `doctor` reports: one check for each aspect of the settings, the ledger and the tenant.

A check is a warning if submitting may still work, and a failure if submitting will not work, or not correctly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from batch.answers.outcome import is_an_edges
from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES
from batch.api.token_claims import lacks_scope, token_needed, why_unfit
from batch.errors import ASK_THE_EDGE
from batch.text import count, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, timedelta

    from batch.api.dialects import Dialect, Rate
    from batch.api.token_claims import TokenClaims
    from batch.ledger.health import Health
    from batch.model import Answer

MOST_SKEW: Final = 30.0
"""Seconds by which our clock and the tenant's may differ: our clock judges the dates of an input."""

SHOWN: Final = 5
"""Runs, faults, scopes or headers that a message lists."""

FOUND_WRONG: Final = 3
"""The exit code if a check failed, as for `ledger verify`."""

_MOST_TEXT: Final = 100
_WIDTH: Final = 13
_MARGIN: Final = " " * (6 + _WIDTH)
_LIMIT_HEADERS: Final = ("ratelimit", "x-ratelimit", "x-rate-limit", "retry-after")
"""Prefixes of headers about a limit. The vendor documents only the last one; gateways may add the others."""


class CheckResult(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorCheck:
    """One check.

    Attributes:
        name: What was checked.
        result: The result.
        message: What was found, for people.
        to_do: What to do about it; empty if nothing.
        facts: More keys of the JSON, beside the list of checks.
    """

    name: str
    result: CheckResult
    message: str
    to_do: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _ok(name: str, message: str) -> DoctorCheck:
    return DoctorCheck(name=name, result=CheckResult.OK, message=message)


def warning(name: str, message: str, to_do: str) -> DoctorCheck:
    """A check that leaves a doubt."""
    return DoctorCheck(name=name, result=CheckResult.WARN, message=message, to_do=to_do)


def failure(name: str, message: str, to_do: str) -> DoctorCheck:
    """A check that failed."""
    return DoctorCheck(name=name, result=CheckResult.FAIL, message=message, to_do=to_do)


def check_ledger(health: Health, notices: Sequence[str]) -> tuple[DoctorCheck, ...]:
    """The ledger and its runs.

    Args:
        health: The ledger's state.
        notices: What was done to open it.
    """
    if health.faults:
        listed = "; ".join(on_one_line(fault, most=_MOST_TEXT) for fault in health.faults[:SHOWN])
        return (
            failure(
                "ledger",
                f"{health.where} is damaged: {listed}.",
                "Submit nothing with it. Move it away, and put its newest sound backup in its place (`access-batch "
                "ledger verify` checks it): requests sent since then are looked up at the tenant first.",
            ),
        )
    size = health.server if health.size is None else _bytes(health.size)
    facts = (f"version {health.version}", size, count(health.runs, "run"))
    opened = ". ".join(notices) if notices else health.where
    return (
        _ok("ledger", f"{opened} ({', '.join(filter(None, facts))})"),
        _check_runs(health),
    )


def check_month(month: str, calls: int, most: int | None) -> DoctorCheck:
    """The calls of this month.

    Args:
        month: Such as 2026-11.
        calls: Of this client, as far as the ledger knows.
        most: How many there may be in a month; None for any number.
    """
    facts = {"month": {"month": month, "calls": calls, "monthly_calls": most}}
    said = f"The ledger has counted {count(calls, 'call')} of this client in {month}"
    if most is None:
        return DoctorCheck(name="month", result=CheckResult.OK, message=f"{said}; no budget is set.", facts=facts)
    said = f"{said}, of {most:,} that it may make; calls of other programs are unknown."
    if calls < most:
        return DoctorCheck(name="month", result=CheckResult.OK, message=said, facts=facts)
    to_do = (
        "No more calls are made in this month, unless the contract allows them: --monthly-calls N raises the budget."
    )
    return DoctorCheck(name="month", result=CheckResult.FAIL, message=said, to_do=to_do, facts=facts)


def _check_runs(health: Health) -> DoctorCheck:
    if not health.unfinished:
        return _ok("runs", "Every run is finished; no request is unconfirmed.")
    more = len(health.unfinished) - SHOWN
    listed = ", ".join((*health.unfinished[-SHOWN:], *([f"and {more} older"] if more > 0 else ())))
    doubt = f" {count(health.in_doubt, 'request')} may or may not have reached the tenant." if health.in_doubt else ""
    settles = " after settling its unconfirmed requests" if health.in_doubt else ""
    return warning(
        "runs",
        f"{count(len(health.unfinished), 'run')} unfinished: {listed}.{doubt}",
        f"Unless a process is working on it, the same submit command continues a run{settles}; `access-batch runs` "
        "lists all runs.",
    )


def check_tenant(name: str, source: str) -> DoctorCheck:
    """The tenant, and the source of its name."""
    return _ok("tenant", f"{name}, from {source}." if source else f"{name}.")


def check_credentials(client_id: str, source: str, notices: Sequence[str]) -> DoctorCheck:
    """The client, the source of its credentials, and doubts about the sources."""
    client = f"client {client_id} from {source}"
    if doubts := [notice for notice in notices if client not in notice]:
        return warning(
            "credentials",
            f"{_sentence(client)} {' '.join(doubts)}",
            "Keep the secret private: `access-batch login` stores it in the system keyring, or name a file that only "
            "you can read with --client-secret-file.",
        )
    return _ok("credentials", _sentence(client))


def check_token(claims: TokenClaims, dialect: Dialect) -> tuple[DoctorCheck, ...]:
    """The token, its user, the user's level, and the token's scope."""
    if unfit := why_unfit(claims):
        return (_check_issued(claims), failure("user", unfit, token_needed(dialect)))
    return (_check_issued(claims), _check_user(claims), _check_authorities(claims), _check_scope(claims, dialect))


def _check_issued(claims: TokenClaims) -> DoctorCheck:
    lifetime = "of unknown lifetime" if claims.expires_in is None else f"valid for {claims.expires_in:g} s"
    if not claims.readable:
        return warning(
            "token",
            f"The tenant issues a token {lifetime}, but its content can't be read.",
            "Nothing to do if submitting works: the first request shows whether its user may submit.",
        )
    return _ok("token", f"The tenant issues a token {lifetime}.")


def _check_user(claims: TokenClaims) -> DoctorCheck:
    if claims.user:
        return _ok("user", f"{claims.user}, who will be the requester.")
    return warning(
        "user",
        "The token does not name its user.",
        "Make sure that it is a personal access token: the token of an API client may not submit.",
    )


def _check_authorities(claims: TokenClaims) -> DoctorCheck:
    if ADMIN_LEVEL in claims.authorities:
        return _ok("authorities", f"{', '.join(claims.authorities[:SHOWN])}.")
    others = (
        "other users may request only some access for others, may revoke none of it, and see only their own requests."
    )
    if not claims.authorities:
        return warning(
            "authorities",
            "The token does not show its user's level.",
            f"Make sure that the level is {ADMIN_LEVEL}: {others}",
        )
    return warning(
        "authorities",
        f"The user's level is {', '.join(claims.authorities[:SHOWN])}, not {ADMIN_LEVEL}.",
        f"Have a user with the level {ADMIN_LEVEL} make the token: {others}",
    )


def _check_scope(claims: TokenClaims, dialect: Dialect) -> DoctorCheck:
    needed = f"{dialect.submit_scopes[0]} and {dialect.status_scopes[0]} (or {ALL_SCOPES})"
    if claims.scopes is None:
        return warning("scope", "The token does not show its scope.", f"Make sure that it has {needed}.")
    if lacks_scope(claims, dialect.submit_scopes):
        listed = ", ".join(claims.scopes[:SHOWN])
        return failure("scope", f"The token may not submit: it has only {listed}.", token_needed(dialect))
    if lacks_scope(claims, dialect.status_scopes):
        return warning(
            "scope",
            f"The token may submit, but lacks {dialect.status_scopes[0]}: unconfirmed requests can't be settled.",
            f"Make a token with {needed}.",
        )
    if losses := [(scopes[0], loss) for scopes, loss in _useful(dialect) if lacks_scope(claims, scopes)]:
        missing = " and ".join(scope for scope, _ in losses)
        return warning(
            "scope",
            f"The token may submit, but lacks {missing}: {'; '.join(loss for _, loss in losses)}.",
            f"Make a token with {' and '.join((*dialect.submit_scopes[:1], *dialect.status_scopes[:1], missing))} "
            f"(or {ALL_SCOPES}).",
        )
    enough = {ALL_SCOPES, *dialect.submit_scopes, *dialect.status_scopes, *dialect.pending_approvals_scopes}
    return _ok("scope", f"{', '.join(name for name in claims.scopes if name in enough)}.")


def _useful(dialect: Dialect) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Scopes without which something is left out, and what."""
    return (
        (
            dialect.pending_approvals_scopes,
            "the precheck does not see what waits for an approver, and tracking not who forwarded it",
        ),
    )


def check_status_list(answer: Answer, dialect: Dialect) -> DoctorCheck:
    """Whether the token may read the status list.

    Args:
        answer: To a query for one row of our own, which changes nothing.
        dialect: In use.
    """
    if answer.status == 200:  # noqa: PLR2004 - HTTP
        return _ok("status list", f"{dialect.paths.status} answers.")
    reason = f": {answer.text.rstrip('.')}" if answer.text else ""
    message = f"{dialect.paths.status} answered {answer.status}{reason}."
    if is_an_edges(answer):
        return failure("status list", message, f"This is not the API's answer. {ASK_THE_EDGE}")
    if answer.status == 403:  # noqa: PLR2004 - HTTP
        return failure(
            "status list",
            message,
            f"Give the token the scope {dialect.status_scopes[0]} or {ALL_SCOPES}: without it, unconfirmed requests "
            "can't be settled.",
        )
    return failure("status list", message, "Check --api: the tenant does not understand this version's list.")


def check_clock(ahead: timedelta | None, database_ahead: timedelta | None = None) -> DoctorCheck:
    """How far clocks differ.

    Args:
        ahead: What the tenant's clock is ahead of the one that is used; None if its answers carry no time.
        database_ahead: What the clock of the ledger's database is ahead of this machine's, if that one is used.
    """
    ours, this = ("This machine's", "") if database_ahead is None else ("The database's", _apart(database_ahead))
    if ahead is None:
        return warning(
            "clock",
            f"The tenant's answers carry no time.{this}",
            f"Make sure that {ours[0].lower()}{ours[1:]} clock is right.",
        )
    if abs(ahead.total_seconds()) <= MOST_SKEW:
        return _ok("clock", f"{ours} clock agrees with the tenant's.{this}")
    seconds = ahead.total_seconds()
    return warning(
        "clock",
        f"{ours} clock is {abs(seconds):,.0f} s {'behind' if seconds > 0 else 'ahead of'} the tenant's.{this}",
        "Synchronise it with a time server: the dates of an input are checked against it.",
    )


def _apart(ahead: timedelta) -> str:
    seconds = ahead.total_seconds()
    if abs(seconds) <= MOST_SKEW:
        return " This machine's clock agrees with the database's."
    return (
        f" This machine's clock is {abs(seconds):,.0f} s {'behind' if seconds > 0 else 'ahead of'} the database's, "
        "which is used in its place."
    )


def check_limit(rate: Rate, dialect: Dialect, headers: Mapping[str, str], allowed: int | None = None) -> DoctorCheck:
    """The rate limit in use, and the tenant's headers about it.

    Args:
        rate: The limit in use.
        dialect: Has the documented limit.
        headers: Of an answer, names in any case.
        allowed: Requests of a window that may be used at present; None for all.
    """
    limits = [
        f"{name}: {on_one_line(value, most=_MOST_TEXT)}"
        for name, value in headers.items()
        if name.lower().startswith(_LIMIT_HEADERS)
    ]
    sent = f"The tenant sends {'; '.join(limits[:SHOWN])}." if limits else "The tenant sends no limit headers."
    kept = f"At most {rate.requests} requests per {rate.seconds:g} s"
    documented = dialect.rate
    if rate.requests * documented.seconds > documented.requests * rate.seconds:
        return warning(
            "rate limit",
            f"{kept}, above the documented {documented.requests} per {documented.seconds:g} s. {sent}",
            "Leave out --rate, unless the vendor has raised this tenant's limit.",
        )
    if allowed is not None:
        return warning(
            "rate limit",
            f"{kept}; at present only {allowed}, because the tenant recently answered 429. {sent}",
            "Nothing: the pace climbs back by itself. If it happens again, find out what else uses this client.",
        )
    return _ok("rate limit", f"{kept}. {sent}")


def check_version(dialect: Dialect, notice: str, today: date) -> DoctorCheck:
    """The API version, and its end if one is announced.

    Args:
        dialect: In use.
        notice: What the tenant's headers announce about its end; empty if nothing.
        today: The current date.
    """
    ends = dialect.support_ends
    planned = f"; the vendor supports it until {ends:%Y-%m}, and it stops in {dialect.stops}" if ends else ""
    if notice or (ends and today >= ends):
        return warning(
            "API version",
            f"{dialect.name}{planned}.{' ' + notice if notice else ''}",
            "Plan the move to another version, and rehearse it: `--api v1 --sandbox`."
            if ends
            else "Update access-batch: a later release may support the next version.",
        )
    return _ok("API version", f"{dialect.name}{planned}.")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - SI
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def describe_checks(checks: Iterable[DoctorCheck]) -> Iterator[str]:
    """For people: one line for each check as soon as it is made, one for what to do, and a last line."""
    results = []
    for check in checks:
        results.append(check.result)
        message = check.message.replace("\n", f"\n{_MARGIN}")
        yield f"{check.result:<4}  {check.name:<{_WIDTH}}{message}"
        if check.to_do:
            yield f"{_MARGIN}→ {check.to_do}"
    failures = results.count(CheckResult.FAIL)
    warnings = count(results.count(CheckResult.WARN), "warning")
    yield f"{count(failures, 'check')} failed, {warnings}." if failures else f"Ready to submit, {warnings}."


def checks_as_json(checks: Iterable[DoctorCheck]) -> dict[str, Any]:
    """The checks for scripts."""
    made = list(checks)
    listed = [
        {"check": check.name, "verdict": check.result.value, "said": check.message, "to_do": check.to_do}
        for check in made
    ]
    results = [check.result for check in made]
    counted = {result.value: results.count(result) for result in CheckResult}
    return {"checks": listed, **counted, **{name: fact for check in made for name, fact in check.facts.items()}}


def doctor_exit_code(checks: Iterable[DoctorCheck]) -> int:
    """0 if no check failed."""
    return FOUND_WRONG if any(check.result is CheckResult.FAIL for check in checks) else 0
