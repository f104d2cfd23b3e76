"""What an import has done, as people and scripts see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.status.adopt import AdoptionOutcome
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.status.adopt import NotAdoptable


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary:
    """What an import has done; the fates and puzzles add up to the rows read.

    Attributes:
        run: Id of the run that imported changes belong to; empty where the list has no rows.
        tenant: The tenant's name in the ledger.
        read: Rows of the list.
        fates: How many came to what.
        puzzles: How many can't be understood, by why.
        elapsed: Seconds.
    """

    run: str
    tenant: str
    read: int
    outcomes: Mapping[AdoptionOutcome, int]
    not_adoptable: Mapping[NotAdoptable, int]
    elapsed: float

    @property
    def exit_code(self) -> int:
        """0; 3 where rows can't be understood, or are of requests that are still to be settled."""
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
        "elapsed_s": round(summary.elapsed, 1),
    }


def describe_import(summary: ImportSummary) -> Iterator[str]:
    """An import for people."""
    outcomes = summary.outcomes
    yield (
        f"{count(summary.read, 'row')} read from the status list of {summary.tenant}: "
        f"{outcomes.get(AdoptionOutcome.IMPORTED, 0):,} imported, "
        f"{outcomes.get(AdoptionOutcome.UPDATED, 0):,} updated, "
        f"{outcomes.get(AdoptionOutcome.UNCHANGED, 0):,} known as they are."
    )
    if known := outcomes.get(AdoptionOutcome.KNOWN):
        yield f"{count(known, 'row')} not imported: runs of this ledger have the same, and their word counts."
    if unsettled := outcomes.get(AdoptionOutcome.UNSETTLED):
        yield f"{count(unsettled, 'row')} of requests that are not settled yet: submit their input again first."
    for reason, number in summary.not_adoptable.items():
        if number:
            yield f"{count(number, 'row')} can't be understood, as {reason}: nothing is known of what they are about."
