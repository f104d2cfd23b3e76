"""A number of requests below which no plan of some grants can go.

Give each pair a share, so that the shares of no possible request add up to more than one: then there are at least as
many requests as all shares together. A pair's share is one over the size of the largest request that it could be part
of. How large that is at most follows from how many others share how much with its person. To look at that for all
wishes would cost too much, so wishes of very many people get no share; which leaves the bound valid, only lower.

Where identities may have their own items in one body, any pair may be in a body of as many pairs as that has items at
most, and no share is greater than one over that. So the shares of such a body add up to one at most, too. What persons
and wishes need holds for it as it stands: it has no more identities, and no more different wishes, than a full product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

WORK: Final = (5, 60)
"""How many meetings of two people in a wish are looked at for each pair, on average: once few, as the rarest wishes
alone may give more, and once many."""

MOST_WORK: Final = 30_000_000
"""Meetings that are looked at in all: about a second."""

_SLICE: Final = 2_000_000
"""Meetings that are held in memory at once."""


def grant_bound(pairs: Pairs, limits: Limits, *, nested: bool = False) -> int:
    """A lower bound on the bodies for all pairs.

    The greatest of these: what each person needs, ten of whom may share a request; what each wish needs, 25 of which
    may; and the sum of all pairs' shares.

    Args:
        pairs: All pairs.
        limits: What one body may hold.
        nested: Whether a body may also give each identity its own items.
    """
    if not len(pairs.who):
        return 0
    by_person = -(-np.diff(pairs.of_who) // limits.items)
    by_wish = -(-np.diff(pairs.of_what) // limits.recipients)
    least = limits.items if nested else 1
    return max(
        -(-int(by_person.sum()) // limits.recipients),
        -(-int(by_wish.sum()) // limits.items),
        *(int(np.ceil(_shares(pairs, _rarest(pairs, work), limits, least) - _ROUNDING)) for work in WORK),
    )


_ROUNDING: Final = 1e-6


def _rarest(pairs: Pairs, work: int) -> Flags:
    """The pairs of the rarest wishes, as far as so much work for each pair goes."""
    holders = np.diff(pairs.of_what)
    order = np.argsort(holders, kind="stable")
    within = np.cumsum(holders[order] ** 2) <= min(work * len(pairs.who), MOST_WORK)
    rare = np.zeros(pairs.item_specs, bool)
    rare[order[within]] = True
    return rare[pairs.what]


def _shares(pairs: Pairs, looked_at: Flags, limits: Limits, least: int) -> float:
    """The sum of all shares of the pairs that are looked at, each at most one over `least`."""
    who, what = pairs.who[looked_at], pairs.what[looked_at]
    wants = csr_array((np.ones(len(who), np.int32), (who, what)), shape=(pairs.people, pairs.item_specs))
    wanted_by = wants.T.tocsr()
    holders = np.diff(wanted_by.indptr).astype(np.int64)
    meetings = np.cumsum(np.bincount(who, weights=holders[what], minlength=pairs.people))
    total, start = 0.0, 0
    while start < pairs.people:
        before = meetings[start - 1] if start else 0.0
        end = max(start + 1, int(np.searchsorted(meetings, before + _SLICE, side="right")))
        part = wants[start:end]
        max_overlap = _company_by_size(csr_array(part @ wanted_by), end - start, limits)
        total += _shares_of(part, max_overlap, holders, limits, least)
        start = end
    return total


def _company_by_size(shared: csr_array, people: int, limits: Limits) -> Numbers:
    """How many people share at least t wishes with each person, that person included, for t from 1 up to the limit."""
    person = np.repeat(np.arange(people), np.diff(shared.indptr))
    size = np.minimum(shared.data, limits.items)
    exactly = np.bincount(person * (limits.items + 1) + size, minlength=people * (limits.items + 1))
    at_least = np.cumsum(exactly.reshape(people, limits.items + 1)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(at_least[:, 1:], limits.recipients)


def _shares_of(part: csr_array, max_overlap: Numbers, holders: Numbers, limits: Limits, least: int) -> float:
    """The shares of some people's pairs: one over t wishes times as many people as share t, at the best t."""
    person = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    item_specs = np.arange(1, limits.items + 1)
    total = 0.0
    for most in range(1, limits.recipients + 1):
        alike = np.minimum(holders[part.indices], limits.recipients) == most
        largest = np.maximum((np.minimum(max_overlap, most) * item_specs).max(axis=1), least)
        total += float((1 / largest[person[alike]]).sum())
    return total
