"""What must hold in every history, computed from the tenant's books and not from the product's code."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tests.simulation.options import Options
    from tests.simulation.tenant import Accepted, Pair, SimulatedTenant


def submitted_twice(books: Iterable[Accepted], restored: Sequence[float] = (), *, dated: bool = True) -> list[str]:
    """Pairs that the tenant has more than once.

    Args:
        books: The tenant's.
        restored: When a ledger of several machines was put back. A machine that does not know it can't see what another
            one had sent by then, and the list did not show: the README says so.
        dated: Whether anybody knows the tenant's clock. If not, such a machine can't tell which rows are new.
    """
    by_pair: dict[Pair, list[Accepted]] = {}
    for one in sorted(books, key=lambda accepted: accepted.sent_at):
        by_pair.setdefault(one.pair, []).append(one)
    return [
        f"{pair} was submitted {len(times)} times"
        for pair, times in sorted(by_pair.items())
        if not all(
            one.machine != later.machine
            and any(one.sent_at <= at < later.sent_at and (at < one.visible_at or not dated) for at in restored)
            for one, later in combinations(times, 2)
        )
    ]


def untrue(found: Iterable[str], books: Iterable[Accepted], held: Collection[Pair]) -> list[str]:
    """What `verify` finds, without the changes that it rightly calls submitted again.

    The books have nothing of those that were held already.
    """
    times = Counter(one.pair for one in books)
    pairs = [*held, *(pair for pair, count in times.items() if count > 1)]
    twice = {f"it submits {item} for {identity} again" for identity, item in pairs}
    return [one for one in found if one.partition(": ")[2].lower().replace("-", "") not in twice]


def wrong_operation(books: Iterable[Accepted], revoked: Collection[Pair]) -> list[str]:
    """Pairs that were granted instead of revoked, or the other way round."""
    wrong = {one.pair for one in books if (one.operation == "REVOKE_ACCESS") != (one.pair in revoked)}
    return [f"the wrong was done with {pair}" for pair in sorted(wrong)]


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


def too_fast(counted: Sequence[float], rate: tuple[int, float], restored: Iterable[float] = ()) -> list[str]:
    """Windows in which the tenant counted more calls than it permits.

    A ledger that was put back within a window has forgotten that window's calls.
    """
    most, seconds = rate
    times = sorted(counted)
    return [
        f"{most + 1} calls within {times[n + most] - times[n]:.3f} s from {times[n]:.3f}"
        for n in range(len(times) - most)
        if times[n + most] - times[n] < seconds
        and not any(times[n] <= moment <= times[n + most] for moment in restored)
    ][:1]


def miscounted(counted: int, at_tenant: int, begun: int, *, abrupt: int, most: int, processes: int) -> list[str]:
    """A ledger's count of all calls that is lower than the tenant's, or higher than what was lost can explain.

    Args:
        counted: By the ledger.
        at_tenant: By the tenant.
        begun: Calls that processes began to make, those that were lost on the way among them.
        abrupt: How many processes were killed or interrupted: permits that they held are counted.
        most: Permits that a process holds at most.
        processes: How many processes there were: each may have dropped a call at its end.
    """
    if counted < at_tenant:
        return [f"the ledger has counted {counted} calls, and the tenant {at_tenant}"]
    if counted > begun + abrupt * most + 2 * processes:
        return [f"the ledger has counted {counted} calls, and only {begun} were begun; {abrupt} processes were ended"]
    return []


def too_many(
    sent: Iterable[tuple[float, set[Pair]]], most: int, seconds: float, restored: Iterable[float] = ()
) -> list[str]:
    """Periods with more changes than a wave may have, each counted once.

    A ledger that was put back within a period has forgotten what was sent in it.
    """
    times = sorted(sent, key=lambda one: one[0])
    for n, (begun, _) in enumerate(times):
        within = [(at, pairs) for at, pairs in times[n:] if at - begun < seconds]
        found = {pair for _, pairs in within for pair in pairs}
        if len(found) > most and not any(begun <= moment <= within[-1][0] for moment in restored):
            return [f"{len(found)} changes within {within[-1][0] - begun:.0f} s from {begun:.3f}"]
    return []


def ledger_disagrees(
    changes: Iterable[tuple[Pair, str]],
    books: Iterable[Accepted],
    held: Collection[Pair],
    *,
    forgets: bool,
    stays_stale: bool,
) -> list[str]:
    """Changes whose state in the ledger contradicts the tenant's books.

    Args:
        changes: Of each change in the ledger its pair and its request's state.
        books: The tenant's.
        held: Pairs for which the tenant creates nothing.
        forgets: Whether the ledger was put back to an earlier state; then it may not know everything.
        stays_stale: Whether it may have forgotten for good, as the tenant hides our ids; then nothing is sent from it.
    """
    there = {one.pair for one in books}
    known: dict[Pair, set[str]] = {}
    for pair, state in changes:
        known.setdefault(pair, set()).add(state)
    problems = []
    for pair, found in sorted(known.items()):
        if "ACCEPTED" in found and pair not in there and pair not in held:
            problems.append(f"{pair} is ACCEPTED in the ledger and not at the tenant")
        if not stays_stale and pair in there and found <= {"PLANNED", "REFUSED", "SPLIT"}:
            problems.append(f"{pair} is at the tenant and {sorted(found)} in the ledger")
    if not forgets:
        problems += [f"{pair} is at the tenant and not in the ledger" for pair in sorted(there - set(known))]
    return problems


def may_stay_open(options: Options, tenant: SimulatedTenant) -> bool:
    """Whether some doubt may lack a control for longer than a history lasts, or for good."""
    if {"403", "500"} & set(tenant.poison.values()):
        # Each failure is a doubt that needs a control, and up to 20 failures show that it is not by chance.
        return True
    may_be_silent = bool({"freeze", "kill"} & options.faults) or options.forgets
    if not options.sends_date and "other_machine" in options.faults and may_be_silent:
        # Another machine's process is only silent, and without the tenant's clock nobody knows when its token expires.
        return True
    forgets = options.forgets
    undated = options.oddness in {"undated", "epoch"}
    # If a part of a body is listed, all of it counts as arrived. A ledger that was put back does not know that a body
    # was refused, and that its requests were sent alone.
    divided = forgets and "nested" in options.faults and bool(tenant.poison)
    # The list never shows these; one that a machine has seen accepted last proves for ever that nothing is current.
    unseen = forgets and tenant.hides
    return nothing_is_recognised(options) or undated or divided or unseen or (forgets and not tenant.books)


def may_not_follow(options: Options) -> bool:
    """Whether nobody may learn how requests have ended: then their opposites are held back, and the reason says so."""
    return bool(options.oddness) or not options.sends_date or "wall" in options.faults


def nothing_is_recognised(options: Options) -> bool:
    """Whether the tenant's list hides our ids from every row."""
    return options.oddness in {"null", "replaced"}
