"""A lower bound: the number of requests that every plan of some grants needs.

Give each pair a share such that the shares in any possible request add up to at most one. Then there are at least as
many requests as all shares add up to. A pair's share is one over the size of the largest request that it could be part
of; that size is limited by how many people share how many item specs with its person. Counting this for all item specs
would cost too much, so item specs of very many people get no share: the bound stays valid, only lower.

If a body may list items per identity, any pair may be in a body with as many pairs as a body may hold items, and no
share is greater than one over that number. So the shares of such a body add up to at most one, too. The needs of people
and of item specs hold unchanged: such a body has no more identities and no more item specs than a full product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

WORK: Final = (5, 60)
"""Average number of encounters of two people at an item spec to count for each pair: tried with few, because the rarest
item specs alone may give a higher bound, and with many."""

MOST_WORK: Final = 30_000_000
"""Encounters to count in all: about a second."""

_SLICE: Final = 2_000_000
"""Encounters to hold in memory at once."""


def grant_bound(pairs: Pairs, limits: Limits, *, nested: bool = False) -> int:
    """A lower bound on the bodies for all pairs.

    It is the greatest of three: what each person needs, if ten people share a request; what each item spec needs, if 25
    share one; and the sum of all shares.

    Args:
        pairs: All pairs.
        limits: What one body may hold.
        nested: Whether a body may also list items per identity.
    """
    if not len(pairs.who):
        return 0
    by_person = -(-np.diff(pairs.of_who) // limits.items)
    by_item_spec = -(-np.diff(pairs.of_what) // limits.recipients)
    least = limits.items if nested else 1
    return max(
        -(-int(by_person.sum()) // limits.recipients),
        -(-int(by_item_spec.sum()) // limits.items),
        *(int(np.ceil(_shares(pairs, _rarest(pairs, work), limits, least) - _ROUNDING)) for work in WORK),
    )


_ROUNDING: Final = 1e-6


def _rarest(pairs: Pairs, work: int) -> Flags:
    """The pairs of the rarest item specs, as many as the work for each pair allows."""
    holders = np.diff(pairs.of_what)
    order = np.argsort(holders, kind="stable")
    within = np.cumsum(holders[order] ** 2) <= min(work * len(pairs.who), MOST_WORK)
    rare = np.zeros(pairs.item_specs, bool)
    rare[order[within]] = True
    return rare[pairs.what]


def _shares(pairs: Pairs, counted: Flags, limits: Limits, least: int) -> float:
    """The sum of the shares of the counted pairs, each at most one over `least`."""
    who, what = pairs.who[counted], pairs.what[counted]
    wants = csr_array((np.ones(len(who), np.int32), (who, what)), shape=(pairs.people, pairs.item_specs))
    wanted_by = wants.T.tocsr()
    holders = np.diff(wanted_by.indptr).astype(np.int64)
    encounters = np.cumsum(np.bincount(who, weights=holders[what], minlength=pairs.people))
    total, start = 0.0, 0
    while start < pairs.people:
        before = encounters[start - 1] if start else 0.0
        end = max(start + 1, int(np.searchsorted(encounters, before + _SLICE, side="right")))
        part = wants[start:end]
        sharing = _people_by_overlap(csr_array(part @ wanted_by), end - start, limits)
        total += _shares_of(part, sharing, holders, limits, least)
        start = end
    return total


def _people_by_overlap(shared: csr_array, people: int, limits: Limits) -> Numbers:
    """For each person how many people, that one included, share at least t item specs, for t from 1 up to the limit."""
    person = np.repeat(np.arange(people), np.diff(shared.indptr))
    size = np.minimum(shared.data, limits.items)
    exactly = np.bincount(person * (limits.items + 1) + size, minlength=people * (limits.items + 1))
    at_least = np.cumsum(exactly.reshape(people, limits.items + 1)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(at_least[:, 1:], limits.recipients)


def _shares_of(part: csr_array, sharing: Numbers, holders: Numbers, limits: Limits, least: int) -> float:
    """The shares of some people's pairs: one over t times the people who share t item specs, at the best t."""
    person = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    overlap = np.arange(1, limits.items + 1)
    total = 0.0
    for most in range(1, limits.recipients + 1):
        alike = np.minimum(holders[part.indices], limits.recipients) == most
        largest = np.maximum((np.minimum(sharing, most) * overlap).max(axis=1), least)
        total += float((1 / largest[person[alike]]).sum())
    return total
