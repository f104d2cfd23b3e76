"""The result of an import, for people and for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.report.summary import describe_heads
from batch.status.adopt import AdoptionOutcome
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.status.adopt import NotAdoptable


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary:
    """The result of an import; `outcomes` and `not_adoptable` add up to `read`.

    Attributes:
        run: Id of the run that imported changes belong to; empty if the list has no rows.
        tenant: The tenant's name in the ledger.
        read: Rows of the status list.
        outcomes: Number of adopted rows by outcome.
        not_adoptable: Number of other rows by reason.
        head: The run's newest event, as `ledger verify --head` takes it; empty without a run.
        elapsed: Seconds.
    """

    run: str
    tenant: str
    read: int
    outcomes: Mapping[AdoptionOutcome, int]
    not_adoptable: Mapping[NotAdoptable, int]
    head: str
    elapsed: float

    @property
    def exit_code(self) -> int:
        """0; 3 if rows can't be adopted, or belong to requests that are not settled."""
        return 3 if sum(self.not_adoptable.values()) or self.outcomes.get(AdoptionOutcome.UNSETTLED) else 0


def import_as_json(summary: ImportSummary) -> dict[str, Any]:
    """An import for scripts; `rows` adds up to `read`."""
    return {
        "run": summary.run,
        "tenant": summary.tenant,
        "rows": {
            "read": summary.read,
            **{outcome.value: summary.outcomes.get(outcome, 0) for outcome in AdoptionOutcome},
            "not_understood": sum(summary.not_adoptable.values()),
        },
        "not_understood": {reason.name.lower(): number for reason, number in summary.not_adoptable.items() if number},
        "head": summary.head or None,
        "elapsed_s": round(summary.elapsed, 1),
    }


def describe_import(summary: ImportSummary) -> Iterator[str]:
    """An import for people."""
    outcomes = summary.outcomes
    imported, updated, unchanged = (
        outcomes.get(outcome, 0)
        for outcome in (AdoptionOutcome.IMPORTED, AdoptionOutcome.UPDATED, AdoptionOutcome.UNCHANGED)
    )
    yield (
        f"{count(summary.read, 'row')} read from the status list of {summary.tenant}: "
        f"{imported:,} imported, {updated:,} updated, {unchanged:,} unchanged."
    )
    if known := outcomes.get(AdoptionOutcome.KNOWN):
        yield f"{count(known, 'row')} not imported: the ledger has the same changes, and its record takes precedence."
    if unsettled := outcomes.get(AdoptionOutcome.UNSETTLED):
        yield f"{count(unsettled, 'row')} of requests that are not settled yet: submit their input again first."
    for reason, number in summary.not_adoptable.items():
        if number:
            yield f"{count(number, 'row')} not imported, because {reason}."
    yield from describe_heads({summary.run: summary.head})
