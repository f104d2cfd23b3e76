"""A second lower bound on grant requests: prices of pairs, and for each person the dearest request they could be in.

Give each pair a price. If no request that a person can be in costs more than some amount, divide that person's prices
by it: then the prices in any request add up to at most one, because each of its people divides by at least what the
request costs. So there are at least as many requests as all divided prices add up to.

Three kinds of pairs have a price. An item spec that fewer people want than fill a request costs one for the person that
a maximum matching gives it. For people without such an item spec, a pair costs a tenth (if ten people share a request)
if not too many want the item spec, and so does the rarest of their other item specs, the marker of what they are.

A request is limited by the rarest of its item specs that not too many want, the anchor: its people are among the
anchor's. Either it has no other such item spec, or all of its people share a second one. And only one marker can be
paid in it: all of its people want its rarest marker, so whoever has a rarer one does not have it paid here. What people
might pay in each of these cases is counted for all people of an anchor together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from batch.plan.pairs import distinct, make_pairs, spans

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs

Amounts: TypeAlias = npt.NDArray[np.float64]

_MOST_HOLDERS: Final = 20
"""Most people of an anchor, in full requests."""

_MOST_ANCHORS: Final = 20_000
"""Anchors to look at: some seconds. With more there is no bound."""

_MOST_CELLS: Final = 100_000_000
"""Cells of people and markers to hold in memory. With more there is no bound."""

_ROUNDING: Final = 1e-6


def price_bound(pairs: Pairs, limits: Limits, *, most_holders: int | None = None) -> int:
    """A lower bound on the requests for all pairs if each is a full product; 0 if it would take too long.

    Args:
        pairs: All pairs, at least one.
        limits: What one request may hold.
        most_holders: Most people of an anchor, at least as many as fill a request; None for the usual number.
    """
    most = _MOST_HOLDERS * limits.recipients if most_holders is None else max(most_holders, limits.recipients)
    holders = np.diff(pairs.of_what)
    # The rarest first.
    rank = np.empty(pairs.item_specs, np.int64)
    rank[np.argsort(holders, kind="stable")] = np.arange(pairs.item_specs)
    matched, paid = _matching(pairs, limits)
    is_small = (holders <= most)[pairs.what]
    price = np.where(
        is_small & (holders >= limits.recipients)[pairs.what] & ~matched[pairs.who], 1 / limits.recipients, 0
    )
    price[paid] = 1
    marker = _markers(pairs, rank, ~is_small & ~matched[pairs.who])
    has_price = np.bincount(pairs.what, weights=price, minlength=pairs.item_specs) > 0
    small = np.flatnonzero(is_small & has_price[pairs.what])
    anchors = distinct(rank[pairs.what[small]])
    kinds = distinct(marker[marker >= 0])
    if len(anchors) > _MOST_ANCHORS or len(kinds) * pairs.people > _MOST_CELLS:
        return 0
    order = small[np.lexsort((rank[pairs.what[small]], pairs.who[small]))]
    number = np.searchsorted(anchors, rank[pairs.what[order]])
    search = _Search(
        pairs=make_pairs(pairs.who[order], number, people=pairs.people, item_specs=len(anchors)),
        price=price[order],
        marker=np.where(marker >= 0, np.searchsorted(kinds, marker), -1),
        wants=_wants(pairs, rank, kinds),
        full=limits.recipients,
    )
    dearest = search.dearest()
    total = (price / dearest[pairs.who]).sum() + (1 / dearest[marker >= 0]).sum() / limits.recipients
    return int(np.ceil(total - _ROUNDING))


def _matching(pairs: Pairs, limits: Limits) -> tuple[Flags, Flags]:
    """Who is matched to an item spec of few people, and the matched pairs."""
    rare = (np.diff(pairs.of_what) < limits.recipients)[pairs.what]
    who, what = pairs.who[rare], pairs.what[rare]
    edges = csr_array((np.ones(len(who), np.int8), (who, what)), shape=(pairs.people, pairs.item_specs))
    match = maximum_bipartite_matching(edges, perm_type="column").astype(np.int64)
    return match >= 0, rare & (match[pairs.who] == pairs.what)


def _markers(pairs: Pairs, rank: Numbers, among: Flags) -> Numbers:
    """For each person the rank of the rarest item spec among the given pairs; -1 if there is none."""
    marker = np.full(pairs.people, pairs.item_specs)
    np.minimum.at(marker, pairs.who[among], rank[pairs.what[among]])
    return np.where(marker < pairs.item_specs, marker, -1)


def _wants(pairs: Pairs, rank: Numbers, kinds: Numbers) -> Flags:
    """For each person and marker whether the person wants it."""
    wants = np.zeros((pairs.people, len(kinds)), bool)
    chosen = np.isin(rank[pairs.what], kinds)
    wants[pairs.who[chosen], np.searchsorted(kinds, rank[pairs.what[chosen]])] = True
    return wants


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """The dearest requests.

    Attributes:
        pairs: Of people and anchors, which are numbered from the rarest.
        price: Of each of these pairs.
        marker: For each person the number of the marker that costs something; -1 if there is none.
        wants: For each person and marker whether the person wants it.
        full: People who fill a request.
    """

    pairs: Pairs
    price: Amounts
    marker: Numbers
    wants: Flags
    full: int

    def dearest(self) -> Amounts:
        """For each person at least what the dearest request costs that the person can be in."""
        # A request of one person costs all that the person pays; one without an anchor only a marker of each person.
        own = np.bincount(self.pairs.who, weights=self.price, minlength=self.pairs.people)
        dearest: Amounts = np.maximum(own + (self.marker >= 0) / self.full, 1)
        for anchor in range(self.pairs.item_specs):
            holders = self.pairs.holders(anchor)
            people = self.pairs.who[holders]
            kinds = distinct(self.marker[people])
            wants = self.wants[people][:, kinds[kinds >= 0]]
            pays = (self.marker[people][:, None] == kinds[kinds >= 0]) / self.full
            most = np.maximum(
                self._alone(self.price[holders], wants, pays), self._together(anchor, people, wants, pays)
            )
            dearest[people] = np.maximum(dearest[people], most)
        return dearest

    def _alone(self, price: Amounts, wants: Flags, pays: Amounts) -> Amounts:
        """For each person of an anchor the most that requests with no further anchor cost."""
        with_marker = self._sum_of_largest(np.where(wants, price[:, None] + pays, 0), 0)
        most: Amounts = np.maximum(
            self._sum_of_largest(price, 0), np.where(wants, with_marker, 0).max(axis=1, initial=0)
        )
        return most

    def _together(self, anchor: int, people: Numbers, wants: Flags, pays: Amounts) -> Amounts:
        """The same for requests of several people with a further anchor, which is less rare."""
        count, amount = self._shared(anchor, people)
        several = count > 1
        amount = np.where(several, amount, 0)
        # What others share with a person limits the person's own part, too.
        np.fill_diagonal(amount, 0)
        np.fill_diagonal(amount, amount.max(axis=0))
        limit = self.full * (amount.max(axis=1) + 1 / self.full)
        with_marker = np.minimum(amount @ wants + several @ pays, limit[:, None])
        with_marker = np.where(wants & several.diagonal()[:, None], with_marker, 0)
        most: Amounts = np.maximum(self._sum_of_largest(amount, 1), with_marker.max(axis=1, initial=0))
        return most

    def _shared(self, anchor: int, people: Numbers) -> tuple[Amounts, Amounts]:
        """How many anchors, from this one on, each two people share, and what they cost the second of the two."""
        starts = self.pairs.of_who[people]
        lengths = self.pairs.of_who[people + 1] - starts
        positions = spans(starts, lengths)
        person = np.repeat(np.arange(len(people)), lengths)
        kept = self.pairs.what[positions] >= anchor
        positions, person = positions[kept], person[kept]
        what, price = self.pairs.what[positions], self.price[positions]
        different, column, holders = np.unique(what, return_inverse=True, return_counts=True)
        common = np.flatnonzero(holders > 1)
        index = np.full(len(different), -1)
        index[common] = np.arange(len(common))
        column = index[column]
        wanted, prices = np.zeros((len(people), len(common))), np.zeros((len(people), len(common)))
        shared = column >= 0
        wanted[person[shared], column[shared]] = 1
        prices[person[shared], column[shared]] = price[shared]
        count, amount = wanted @ wanted.T, wanted @ prices.T
        np.fill_diagonal(count, np.bincount(person, minlength=len(people)))
        return count, amount

    def _sum_of_largest(self, amounts: Amounts, axis: int) -> Amounts:
        """The sum of as many of the largest amounts as people fill a request."""
        length = amounts.shape[axis]
        if length > self.full:
            amounts = np.partition(amounts, length - self.full, axis=axis)
            amounts = np.take(amounts, np.arange(length - self.full, length), axis=axis)
        total: Amounts = amounts.sum(axis=axis)
        return total
