"""What `doctor` found, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.checkup import Verdict
from batch.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.checkup import Finding

FOUND_WRONG: Final = 3
"""The exit code where a check failed, as that of `ledger verify`."""

_WIDTH: Final = 13
_MARGIN: Final = " " * (6 + _WIDTH)


def describe_findings(findings: Iterable[Finding]) -> Iterator[str]:
    """One line a check, each as soon as it is found, another for what to do, and what it comes to."""
    seen = []
    for finding in findings:
        seen.append(finding.verdict)
        said = finding.said.replace("\n", f"\n{_MARGIN}")
        yield f"{finding.verdict:<4}  {finding.check:<{_WIDTH}}{said}"
        if finding.to_do:
            yield f"{_MARGIN}→ {finding.to_do}"
    failures = seen.count(Verdict.FAIL)
    warned = count(seen.count(Verdict.WARN), "warning")
    yield f"{count(failures, 'check')} failed, {warned}." if failures else f"Ready to submit, {warned}."


def findings_as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings for scripts."""
    checks = [
        {"check": one.check, "verdict": one.verdict.value, "said": one.said, "to_do": one.to_do} for one in findings
    ]
    verdicts = [check["verdict"] for check in checks]
    return {"checks": checks, **{verdict.value: verdicts.count(verdict.value) for verdict in Verdict}}


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where no check failed."""
    return FOUND_WRONG if any(finding.verdict is Verdict.FAIL for finding in findings) else 0
