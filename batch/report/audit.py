"""The result of an audit, for people and for scripts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.names.known import NO_KNOWN_NAMES, KnownNames
from batch.report.summary import describe_heads
from batch.status.audit import Mismatch
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.status.audit import AuditFinding

SHOWN: Final = 20
"""Findings of one kind that are shown to people; the JSON has all."""

_WORDS: Final = {
    Mismatch.TWICE: "submitted twice",
    Mismatch.NOT_LISTED: "accepted more than an hour ago, but not listed",
    Mismatch.UNKNOWN: "listed but unknown to the ledger",
    Mismatch.DIFFERENT: "in another state in the list than in the ledger",
}

_IMPORT: Final = (
    "To record these changes in the ledger, so that they are not submitted again: access-batch ledger import"
)
_NEXT_STEPS: Final = {
    Mismatch.TWICE: (
        "If a change was submitted twice, look at its access requests in the tenant, and cancel the surplus one there "
        "unless it is approved already."
    ),
    Mismatch.NOT_LISTED: (
        "If a change is not listed, look for it in the tenant, and request it there if it is missing: the ledger "
        "counts it as submitted, and does not send it again."
    ),
    Mismatch.UNKNOWN: _IMPORT,
    Mismatch.DIFFERENT: _IMPORT,
    Mismatch.CHANGED: (
        "If somebody has changed the ledger, its part of the comparison proves nothing: `access-batch ledger verify` "
        "lists all differences. Put the newest sound backup in the ledger's place."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSummary:
    """The result of an audit.

    Attributes:
        tenant: The tenant's name in the ledger.
        runs: Ids of the audited runs.
        changes: Changes that the ledger has as accepted.
        listed: Changes of the ledger that the list shows.
        not_listed_yet: Changes that were accepted less than an hour ago and that the list does not show.
        in_doubt: Unconfirmed changes.
        doubtful_runs: Ids of the runs that have such changes.
        elsewhere: Rows of runs that this ledger does not have.
        closed_index: Why the tenant does not show what is held; empty if it does, or if there was no need to ask.
        closed_list: Why the tenant does not show what others requested; empty if it does.
        findings: Where the two disagree.
        heads: The newest event of each run by its id, as `ledger verify --head` takes it.
        elapsed: Seconds.
        names: The names that the runs' inputs had in place of ids.
    """

    tenant: str
    runs: tuple[str, ...]
    changes: int
    listed: int
    not_listed_yet: int
    in_doubt: int
    doubtful_runs: tuple[str, ...]
    elsewhere: int
    closed_index: str
    closed_list: str
    findings: tuple[AuditFinding, ...]
    heads: Mapping[str, str]
    elapsed: float
    names: KnownNames = NO_KNOWN_NAMES

    @property
    def exit_code(self) -> int:
        """3 if there is anything to report, else 0."""
        return 3 if self.findings else 0


def audit_as_json(summary: AuditSummary) -> dict[str, Any]:
    """An audit for scripts."""
    counts = Counter(finding.kind for finding in summary.findings)
    return {
        "tenant": summary.tenant,
        "runs": list(summary.runs),
        "accepted": summary.changes,
        "listed": summary.listed,
        "not_listed_yet": summary.not_listed_yet,
        "unconfirmed": summary.in_doubt,
        "of_other_ledgers": summary.elsewhere,
        **{kind.value: counts[kind] for kind in Mismatch},
        "findings": [
            {
                "kind": finding.kind.value,
                "request": finding.request,
                "identity_id": finding.identity,
                "item_type": finding.item_type,
                "item_id": finding.item,
                "identity_name": summary.names.identity(finding.identity),
                "item_name": summary.names.item(finding.item_type, finding.item),
                "said": finding.said,
            }
            for finding in summary.findings
        ],
        "heads": dict(summary.heads),
        "elapsed_s": round(summary.elapsed, 3),
    }


def describe_audit(summary: AuditSummary) -> Iterator[str]:
    """An audit for people."""
    yield (
        f"{count(summary.changes, 'accepted change')} of {count(len(summary.runs), 'run')} compared with the status "
        f"list of {summary.tenant}, which shows {summary.listed:,}."
    )
    if not summary.findings:
        is_all = not (summary.not_listed_yet or summary.in_doubt)
        yield (
            "Ledger and list agree: nothing was submitted twice, and nothing is missing."
            if is_all
            else "So far, ledger and list agree: nothing was submitted twice."
        )
    yield from _describe_findings(summary)
    if recent := summary.not_listed_yet:
        is_not = "is not" if recent == 1 else "are not"
        yield f"{count(recent, 'change')} accepted less than an hour ago {is_not} listed yet: audit again in an hour."
    if summary.in_doubt:
        commands = ", ".join(f"access-batch settle {run}" for run in summary.doubtful_runs)
        yield f"{count(summary.in_doubt, 'change')} may or may not have arrived. To find out: {commands}"
    if summary.closed_list:
        yield f"The tenant shows only the requests of this user ({summary.closed_list}): others are not compared."
    if summary.closed_index:
        yield (
            f"The tenant does not show which access is held ({summary.closed_index}), so a change may be reported as "
            "not listed although the access is held."
        )
    if summary.elsewhere:
        yield f"{count(summary.elsewhere, 'row')} of runs that this ledger does not have are not compared."
    yield from describe_heads(summary.heads)


def _describe_findings(summary: AuditSummary) -> Iterator[str]:
    """The findings, and what to do about them."""
    advice = dict.fromkeys(_NEXT_STEPS[finding.kind] for finding in summary.findings)
    for kind in Mismatch:
        found = [finding for finding in summary.findings if finding.kind is kind]
        if kind is Mismatch.CHANGED:
            yield from (one.said for one in found[:SHOWN])
        elif found:
            yield f"{count(len(found), 'change')} {_WORDS[kind]}:"
            for one in found[:SHOWN]:
                pair = summary.names.pair_in_words(one.identity, one.item_type, one.item)
                yield f"  {one.request}: {pair}: {one.said}"
        if len(found) > SHOWN:
            yield f"  … and {len(found) - SHOWN:,} more: --json lists all"
    yield from advice
