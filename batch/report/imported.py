"""What an import has done, as people and scripts see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.status.adopt import Fate
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.status.adopt import Puzzle


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeded:
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
    fates: Mapping[Fate, int]
    puzzles: Mapping[Puzzle, int]
    elapsed: float

    @property
    def exit_code(self) -> int:
        """0; 3 where rows can't be understood, or are of requests that are still to be settled."""
        return 3 if sum(self.puzzles.values()) or self.fates.get(Fate.UNSETTLED) else 0


def seeded_as_json(seeded: Seeded) -> dict[str, Any]:
    """An import for scripts; `rows` adds up to `read`."""
    return {
        "run": seeded.run,
        "tenant": seeded.tenant,
        "rows": {
            "read": seeded.read,
            **{fate.value: seeded.fates.get(fate, 0) for fate in Fate},
            "not_understood": sum(seeded.puzzles.values()),
        },
        "not_understood": {puzzle.name.lower(): number for puzzle, number in seeded.puzzles.items() if number},
        "elapsed_s": round(seeded.elapsed, 1),
    }


def describe_seeded(seeded: Seeded) -> Iterator[str]:
    """An import for people."""
    fates = seeded.fates
    yield (
        f"{count(seeded.read, 'row')} read from the status list of {seeded.tenant}: "
        f"{fates.get(Fate.IMPORTED, 0):,} imported, {fates.get(Fate.UPDATED, 0):,} updated, "
        f"{fates.get(Fate.UNCHANGED, 0):,} known as they are."
    )
    if known := fates.get(Fate.KNOWN):
        yield f"{count(known, 'row')} not imported: runs of this ledger have the same, and their word counts."
    if unsettled := fates.get(Fate.UNSETTLED):
        yield f"{count(unsettled, 'row')} of requests that are not settled yet: submit their input again first."
    for puzzle, number in seeded.puzzles.items():
        if number:
            yield f"{count(number, 'row')} can't be understood, as {puzzle}: nothing is known of what they are about."
