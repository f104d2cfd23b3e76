"""Kits: the item specs of requests of several people, and who else wants all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array

from batch.plan.pairs import alike, distinct, make_pairs, spans

if TYPE_CHECKING:
    from batch.plan.pairs import Numbers, Pairs

_MOST_OFFERS: Final = 25
"""Most kits that one person is offered, besides those that the person has."""

_SLICE: Final = 200_000
"""Offers to look at together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kits:
    """Sets of at least two item specs; several people have each in a request.

    Attributes:
        item_specs: What the kits hold, kit by kit.
        starts: Start of each kit, and behind the last start the end.
        of_request: The kit of each request; -1 if it has only one person or only one item spec.
    """

    item_specs: Numbers
    starts: Numbers
    of_request: Numbers

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Offers:
    """Kits that people may have, because they want everything in them.

    Attributes:
        who: The person of each offer, ascending.
        kit: The kit of each offer, ascending for each person.
        of_who: Start of each person's offers, and behind the last start their end.
        within: Offer by offer, which of the person's pairs it holds, counted from the person's first.
        starts: Start of each offer in `within`, and behind the last start the end.
    """

    who: Numbers
    kit: Numbers
    of_who: Numbers
    within: Numbers
    starts: Numbers


def kits_of(pairs: Pairs, request: Numbers) -> Kits:
    """The kits of a plan's requests."""
    requests, item_specs = int(request.max()) + 1, pairs.item_specs
    cells = distinct(request * item_specs + pairs.what)
    sides = make_pairs(cells // item_specs, cells % item_specs, people=requests, item_specs=item_specs)
    width = np.diff(sides.of_who)
    several = (width > 1) & (np.bincount(request, minlength=requests) > width)
    first = alike(sides, np.ones(len(cells), bool))
    kits = distinct(first[several])
    return Kits(
        item_specs=sides.what[spans(sides.of_who[kits], width[kits])],
        starts=np.append(0, np.cumsum(width[kits])),
        of_request=np.where(several, np.searchsorted(kits, first), -1),
    )


def offers_of(pairs: Pairs, kits: Kits, taken: Numbers) -> Offers:
    """Offers people the kits that they want all of, the largest first if there are too many.

    Args:
        pairs: All pairs.
        kits: All kits, at least one.
        taken: The kits that people have, ascending: the person's number times the number of kits, plus the kit's.
    """
    count, size = len(kits), np.diff(kits.starts)
    wants = csr_array((np.ones(len(pairs.who), np.int32), pairs.what, pairs.of_who), (pairs.people, pairs.item_specs))
    held = csr_array((np.ones(len(kits.item_specs), np.int32), kits.item_specs, kits.starts), (count, pairs.item_specs))
    holding = held.T.tocsr()
    found, step = [], max(1, _SLICE // count)
    for start in range(0, pairs.people, step):
        shared = csr_array(wants[start : start + step] @ holding)
        person = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
        whole = shared.data == size[shared.indices]
        found.append(_most_useful((person[whole] + start) * count + shared.indices[whole], size, taken))
    who, kit = np.divmod(np.concatenate(found), count)
    wanted = np.repeat(who, size[kit]) * pairs.item_specs + kits.item_specs[spans(kits.starts[kit], size[kit])]
    return Offers(
        who=who,
        kit=kit,
        of_who=np.searchsorted(who, np.arange(pairs.people + 1)),
        within=np.searchsorted(pairs.keys(), wanted) - np.repeat(pairs.of_who[who], size[kit]),
        starts=np.append(0, np.cumsum(size[kit])),
    )


def _most_useful(offers: Numbers, size: Numbers, taken: Numbers) -> Numbers:
    """Of some offers, numbered as those that are taken, each person's taken and largest ones, ascending."""
    who, kit = np.divmod(offers, len(size))
    other = ~np.isin(offers, taken)
    order = np.lexsort((kit, -size[kit], other, who))
    place = np.arange(len(order)) - np.searchsorted(who[order], who[order])
    kept: Numbers = np.sort(offers[order[(place < _MOST_OFFERS) | ~other[order]]])
    return kept
