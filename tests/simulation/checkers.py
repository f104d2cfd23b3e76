"""What must hold in every history, computed from the tenant's books and not from the product's code."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.simulation.options import Options
    from tests.simulation.tenant import Accepted, Pair


def submitted_twice(books: Iterable[Accepted]) -> list[str]:
    """Pairs that the tenant has more than once."""
    times = Counter(one.pair for one in books)
    return [f"{pair} was submitted {count} times" for pair, count in sorted(times.items()) if count > 1]


def unreported(books: Iterable[Accepted], reported: set[Pair], code: int) -> list[str]:
    """Pairs that the tenant has more than once and that `audit` does not report, or reports wrongly."""
    times = Counter(one.pair for one in books)
    twice = {pair for pair, count in times.items() if count > 1}
    problems = [f"audit does not report {pair}, submitted {times[pair]} times" for pair in sorted(twice - reported)]
    problems += [f"audit reports {pair}, submitted {times[pair]} times" for pair in sorted(reported - twice)]
    if twice and code != 3:
        problems.append(f"audit ends with {code}, and there are doubles")
    return problems


def missing(books: Iterable[Accepted], wanted: Iterable[Pair], refused: Iterable[Pair] = ()) -> list[str]:
    """Pairs that a process reported as submitted and that the tenant does not have."""
    there = {one.pair for one in books}
    return [f"{pair} is missing" for pair in sorted(set(wanted) - there - set(refused))]


def unwanted(books: Iterable[Accepted], wanted: Iterable[Pair]) -> list[str]:
    """Pairs that the tenant has and nobody wanted."""
    return [f"{pair} was never wanted" for pair in sorted({one.pair for one in books} - set(wanted))]


def too_fast(counted: Sequence[float], rate: tuple[int, float]) -> list[str]:
    """Windows in which the tenant counted more calls than it permits."""
    most, seconds = rate
    times = sorted(counted)
    return [
        f"{most + 1} calls within {times[n + most] - times[n]:.3f} s from {times[n]:.3f}"
        for n in range(len(times) - most)
        if times[n + most] - times[n] < seconds
    ][:1]


def ledger_disagrees(changes: Iterable[tuple[Pair, str]], books: Iterable[Accepted], *, forgets: bool) -> list[str]:
    """Changes whose state in the ledger contradicts the tenant's books.

    Args:
        changes: Of each change in the ledger its pair and its request's state.
        books: The tenant's.
        forgets: Whether the ledger was put back to an earlier state; then it may not know everything.
    """
    there = {one.pair for one in books}
    known: dict[Pair, set[str]] = {}
    for pair, state in changes:
        known.setdefault(pair, set()).add(state)
    problems = []
    for pair, found in sorted(known.items()):
        if "ACCEPTED" in found and pair not in there:
            problems.append(f"{pair} is ACCEPTED in the ledger and not at the tenant")
        if pair in there and found <= {"PLANNED", "REFUSED", "SPLIT"}:
            problems.append(f"{pair} is at the tenant and {sorted(found)} in the ledger")
    if not forgets:
        problems += [f"{pair} is at the tenant and not in the ledger" for pair in sorted(there - set(known))]
    return problems


def may_stay_open(options: Options, books: Sequence[Accepted]) -> bool:
    """Whether nothing can be a control for good: the tenant's rows can't be recognised, or it has none of ours."""
    forgets = bool({"restore", "lose_wal"} & options.faults)
    if not options.sends_date and {"freeze", "other_machine"} <= options.faults:
        # Without the tenant's clock nobody knows when a silent process's token has expired.
        return True
    undated = options.oddness in {"undated", "epoch"}
    return nothing_is_recognised(options) or undated or (forgets and not books)


def nothing_is_recognised(options: Options) -> bool:
    """Whether the tenant's list hides our ids from every row."""
    return options.oddness in {"null", "replaced"}
