"""What `doctor` finds: from what was seen of the settings, the ledger and the tenant to one finding for each check.

A finding is a warning where submitting may still work, and a failure where it will not, or not as it should.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES
from batch.api.token_claims import lacks_scope, token_needed, why_unfit
from batch.text import count, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, timedelta

    from batch.api.dialects import Dialect, Rate
    from batch.api.token_claims import TokenClaims
    from batch.ledger.health import Health
    from batch.model import Answer

MOST_SKEW: Final = 30.0
"""Seconds by which our clock and the tenant's may differ: dates in an input are judged by ours."""

SHOWN: Final = 5
"""Runs or faults that are named one by one."""

_MOST_TEXT: Final = 100
_LIMIT_HEADERS: Final = ("ratelimit", "x-ratelimit", "x-rate-limit", "retry-after")
"""How headers begin that tell of a limit. The vendor documents only the last one; gateways may add the others."""


class CheckResult(StrEnum):
    """How a check has ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorCheck:
    """One check.

    Attributes:
        check: What was checked.
        verdict: How it ended.
        said: What was found, for people.
        to_do: What to do about it; empty where all is well.
    """

    check: str
    verdict: CheckResult
    said: str
    to_do: str = ""


def _ok(check: str, said: str) -> DoctorCheck:
    return DoctorCheck(check=check, verdict=CheckResult.OK, said=said)


def warned(check: str, said: str, to_do: str) -> DoctorCheck:
    """A check that leaves a doubt."""
    return DoctorCheck(check=check, verdict=CheckResult.WARN, said=said, to_do=to_do)


def failed(check: str, said: str, to_do: str) -> DoctorCheck:
    """A check that failed."""
    return DoctorCheck(check=check, verdict=CheckResult.FAIL, said=said, to_do=to_do)


def about_ledger(health: Health, notices: Sequence[str]) -> tuple[DoctorCheck, ...]:
    """The ledger and the runs in it.

    Args:
        health: What it looks like.
        notices: What was done to open it.
    """
    if health.faults:
        listed = "; ".join(on_one_line(fault, most=_MOST_TEXT) for fault in health.faults[:SHOWN])
        return (
            failed(
                "ledger",
                f"{health.where} is damaged: {listed}.",
                "Submit nothing with it. Copy it away, restore a backup, and prove that one sound with "
                "`access-batch ledger verify`.",
            ),
        )
    size = "" if health.size is None else f", {_bytes(health.size)}"
    opened = ". ".join(notices) if notices else health.where
    return (
        _ok("ledger", f"{opened} (version {health.version}{size}, {count(health.runs, 'run')})"),
        _about_runs(health),
    )


def _about_runs(health: Health) -> DoctorCheck:
    if not health.unfinished:
        return _ok("runs", "None is unfinished, and no request is in doubt.")
    more = len(health.unfinished) - SHOWN
    listed = ", ".join((*health.unfinished[-SHOWN:], *([f"and {more} older"] if more > 0 else ())))
    doubt = f" {count(health.in_doubt, 'request')} may or may not have reached the tenant." if health.in_doubt else ""
    settled = ", which first finds out what became of what is in doubt" if health.in_doubt else ""
    return warned(
        "runs",
        f"{count(len(health.unfinished), 'run')} unfinished: {listed}.{doubt}",
        f"Where no process is at work on it, the same submit command continues a run{settled}; `access-batch runs` "
        "lists them.",
    )


def about_tenant(name: str, source: str) -> DoctorCheck:
    """Which tenant is asked, and which source names it."""
    return _ok("tenant", f"{name}, from {source}." if source else f"{name}.")


def about_credentials(client_id: str, source: str, notices: Sequence[str]) -> DoctorCheck:
    """Which client we are, which source has won, and what is to be known of the sources."""
    said = f"client {client_id} from {source}"
    if doubts := [notice for notice in notices if said not in notice]:
        return warned(
            "credentials",
            f"{_sentence(said)} {' '.join(doubts)}",
            "Keep the secret where only you can read it: `access-batch login` stores it in the system keyring, or name "
            "a file of yours with --client-secret-file.",
        )
    return _ok("credentials", _sentence(said))


def about_token(claims: TokenClaims, dialect: Dialect) -> tuple[DoctorCheck, ...]:
    """The token, its user, what the user may do, and the token's scope."""
    if unfit := why_unfit(claims):
        return (_issued(claims), failed("user", unfit, token_needed(dialect)))
    return (_issued(claims), _about_user(claims), _about_authorities(claims), _about_scope(claims, dialect))


def _issued(claims: TokenClaims) -> DoctorCheck:
    lives = "it does not say for how long" if claims.expires_in is None else f"good for {claims.expires_in:g} s"
    if not claims.readable:
        return warned(
            "token",
            f"The tenant gives one out, {lives}; it can't be looked into.",
            "Nothing, where submitting works: whether its user may submit shows with the first request.",
        )
    return _ok("token", f"The tenant gives one out, {lives}.")


def _about_user(claims: TokenClaims) -> DoctorCheck:
    if claims.user:
        return _ok("user", f"{claims.user}.")
    return warned(
        "user",
        "The token does not name the user behind it.",
        "Make sure that it is a personal access token: an API client's may not submit.",
    )


def _about_authorities(claims: TokenClaims) -> DoctorCheck:
    if ADMIN_LEVEL in claims.authorities:
        return _ok("authorities", f"{', '.join(claims.authorities[:SHOWN])}.")
    others = (
        "others may request only some access for others, revoke nothing of theirs, and see only their own requests."
    )
    if not claims.authorities:
        return warned(
            "authorities", "The token does not tell its user's level.", f"Make sure that it is {ADMIN_LEVEL}: {others}"
        )
    return warned(
        "authorities",
        f"The user's level is {', '.join(claims.authorities[:SHOWN])}, and not {ADMIN_LEVEL}.",
        f"Have a user of the level {ADMIN_LEVEL} make the token: {others}",
    )


def _about_scope(claims: TokenClaims, dialect: Dialect) -> DoctorCheck:
    wanted = f"{dialect.submit_scopes[0]} and {dialect.status_scopes[0]} (or {ALL_SCOPES})"
    if claims.scopes is None:
        return warned(
            "scope",
            "The token does not say its scope in words.",
            f"Make sure that it was given {wanted}.",
        )
    if lacks_scope(claims, dialect.submit_scopes):
        listed = ", ".join(claims.scopes[:SHOWN])
        return failed("scope", f"The token may not submit: it has only {listed}.", token_needed(dialect))
    if lacks_scope(claims, dialect.status_scopes):
        return warned(
            "scope",
            f"The token may submit, but lacks {dialect.status_scopes[0]}: unconfirmed requests can't be looked for.",
            f"Make a token with {wanted}.",
        )
    enough = {ALL_SCOPES, *dialect.submit_scopes, *dialect.status_scopes}
    return _ok("scope", f"{', '.join(name for name in claims.scopes if name in enough)}.")


def about_status_list(answer: Answer, dialect: Dialect) -> DoctorCheck:
    """Whether we may ask what became of requests; asking for one row of our own changes nothing."""
    if answer.status == 200:  # noqa: PLR2004 - HTTP
        return _ok("status list", f"{dialect.paths.status} answers.")
    said = f"{dialect.paths.status} answered {answer.status}{': ' + answer.text.rstrip('.') if answer.text else ''}."
    if answer.status == 403:  # noqa: PLR2004 - HTTP
        return failed(
            "status list",
            said,
            f"Without it nothing unconfirmed can be looked for. Give the token the scope {dialect.status_scopes[0]} or "
            f"{ALL_SCOPES}.",
        )
    return failed("status list", said, "Check --api: the tenant does not understand this version's list.")


def about_clock(ahead: timedelta | None) -> DoctorCheck:
    """How far the tenant's clock is ahead of ours; None where it does not tell the time."""
    if ahead is None:
        return warned("clock", "The tenant does not tell the time.", "Make sure that this machine's clock is right.")
    seconds = ahead.total_seconds()
    if abs(seconds) <= MOST_SKEW:
        return _ok("clock", "This machine's clock agrees with the tenant's.")
    return warned(
        "clock",
        f"This machine's clock is {abs(seconds):,.0f} s {'behind' if seconds > 0 else 'ahead of'} the tenant's.",
        "Set it by a time server: dates in an input are judged by it.",
    )


def about_limit(rate: Rate, dialect: Dialect, headers: Mapping[str, str], allowed: int | None = None) -> DoctorCheck:
    """The rate limit that is kept, and what the tenant says of it.

    Args:
        rate: To be kept.
        dialect: Which has the documented limit.
        headers: Of an answer, names in any case.
        allowed: Requests of a window that are used at present; None for all.
    """
    told = [
        f"{name}: {on_one_line(value, most=_MOST_TEXT)}"
        for name, value in headers.items()
        if name.lower().startswith(_LIMIT_HEADERS)
    ]
    says = f"The tenant says {'; '.join(told[:SHOWN])}." if told else "The tenant sends no limit headers."
    kept = f"{rate.requests} requests per {rate.seconds:g} s are kept"
    documented = dialect.rate
    if rate.requests * documented.seconds > documented.requests * rate.seconds:
        return warned(
            "rate limit",
            f"{kept}, above the documented {documented.requests} per {documented.seconds:g} s. {says}",
            "Leave --rate away, unless the vendor has raised this tenant's limit.",
        )
    if allowed is not None:
        return warned(
            "rate limit",
            f"{kept}; at present only {allowed}, as the tenant has answered 429 of late. {says}",
            "Nothing: it climbs back by itself. If it happens again, see what else uses this client.",
        )
    return _ok("rate limit", f"{kept}. {says}")


def about_version(dialect: Dialect, notice: str, today: date) -> DoctorCheck:
    """The API version and its end, where one is announced.

    Args:
        dialect: In use.
        notice: What the tenant's headers say of its end; empty where they don't.
        today: This day.
    """
    ends = dialect.support_ends
    planned = f"; the vendor supports it until {ends:%Y-%m}, and it stops in {dialect.stops}" if ends else ""
    if notice or (ends and today >= ends):
        return warned(
            "API version",
            f"{dialect.name}{planned}.{' ' + notice if notice else ''}",
            "Plan the move to another version, and rehearse it: `--api v1 --sandbox`."
            if ends
            else "Update access-batch: a later one may know what comes after this version.",
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


FOUND_WRONG: Final = 3
"""The exit code where a check failed, as that of `ledger verify`."""

_WIDTH: Final = 13
_MARGIN: Final = " " * (6 + _WIDTH)


def describe_checks(findings: Iterable[DoctorCheck]) -> Iterator[str]:
    """One line a check, each as soon as it is found, another for what to do, and what it comes to."""
    seen = []
    for finding in findings:
        seen.append(finding.verdict)
        said = finding.said.replace("\n", f"\n{_MARGIN}")
        yield f"{finding.verdict:<4}  {finding.check:<{_WIDTH}}{said}"
        if finding.to_do:
            yield f"{_MARGIN}→ {finding.to_do}"
    failures = seen.count(CheckResult.FAIL)
    warned = count(seen.count(CheckResult.WARN), "warning")
    yield f"{count(failures, 'check')} failed, {warned}." if failures else f"Ready to submit, {warned}."


def checks_as_json(findings: Iterable[DoctorCheck]) -> dict[str, Any]:
    """The findings for scripts."""
    checks = [
        {"check": one.check, "verdict": one.verdict.value, "said": one.said, "to_do": one.to_do} for one in findings
    ]
    verdicts = [check["verdict"] for check in checks]
    return {"checks": checks, **{verdict.value: verdicts.count(verdict.value) for verdict in CheckResult}}


def exit_code(findings: Iterable[DoctorCheck]) -> int:
    """0 where no check failed."""
    return FOUND_WRONG if any(finding.verdict is CheckResult.FAIL for finding in findings) else 0
