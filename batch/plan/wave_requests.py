"""Requests of waves: which go first, how large ones are divided, and how their changes have ended."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from batch.api.tenant_outcome import TenantOutcome, tenant_outcome
from batch.plan.waves import Ends
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

WRONG: Final = (TenantOutcome.REJECTED, TenantOutcome.FAILED)
"""The ends of a change that are not tolerated."""


def ends_of(requests: Iterable[tuple[str, int, Sequence[tuple[str, str, int]]]]) -> Ends:
    """How the changes of requests have ended.

    Args:
        requests: Of each its state and number of changes; and the tenant's reports on them: the vendor's state, the
            comment, and of how many changes.
    """
    total = ended = wrong = 0
    for state, changes, reports in requests:
        if state == State.SPLIT:
            # Its parts have its changes.
            continue
        total += changes
        if state in {State.REFUSED, State.DISCARDED}:
            ended += changes
            wrong += changes if state == State.REFUSED else 0
        elif state == State.ACCEPTED:
            for vendors, said, number in reports:
                outcome = tenant_outcome(vendors, said)
                ended += number if outcome is not TenantOutcome.OPEN else 0
                wrong += number if outcome in WRONG else 0
    return Ends(changes=total, ended=ended, wrong=wrong)


def choose_canary(requests: Mapping[int, tuple[int, frozenset[int]]], most: int) -> frozenset[int]:
    """The requests that cover the most items: each adds as many as possible, with as few changes as possible.

    Args:
        requests: By number, how many changes a request has, and its items.
        most: How many requests to choose.
    """
    covered: set[int] = set()
    chosen: set[int] = set()
    # What a request adds only gets less, so that only the first of the queue has to be looked at again.
    queue = [(-len(items), changes, number) for number, (changes, items) in requests.items()]
    heapq.heapify(queue)
    while queue and len(chosen) < most:
        added, changes, number = heapq.heappop(queue)
        now = -len(requests[number][1] - covered)
        if now != added:
            heapq.heappush(queue, (now, changes, number))
            continue
        chosen.add(number)
        covered |= requests[number][1]
    return frozenset(chosen)


def blocks(recipients: int, items: int, most: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Divides a product into products of at most `most` changes: positions of their recipients and items."""
    wide = min(items, most)
    high = max(1, most // wide)
    for person in range(0, recipients, high):
        for item in range(0, items, wide):
            people = tuple(range(person, min(person + high, recipients)))
            yield people, tuple(range(item, min(item + wide, items)))
