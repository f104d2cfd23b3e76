"""Who needs a request of their own whatever the rest does: people with wishes that too few others share.

A wish of fewer people than fill a request costs one, either as the wish's own request or as its people's own. To choose
so that every such wish is served and the fewest requests are needed is a minimum vertex cover, which in a graph of two
sides a maximum matching gives exactly (Kőnig's theorem). Of all minimum covers the one with the most people is taken,
as everything else that a person wants then comes along for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from batch.plan.pairs import alike_item_specs

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers, Pairs


def who_stands_alone(pairs: Pairs, limits: Limits) -> Flags:
    """Of each person whether to give them a request of their own for all that they want, before anything else."""
    rare = pairs.count_by_wish(np.ones(len(pairs.who), bool)) < limits.recipients
    wanted = np.diff(pairs.of_who)
    # A wish that somebody holds who wants more than a request takes is served wish by wish.
    heavy = np.zeros(pairs.item_specs, bool)
    heavy[pairs.what[(wanted > limits.items)[pairs.who]]] = True
    edge = (rare & ~heavy)[pairs.what]
    # Wishes of exactly the same people fit into one request.
    edge &= (alike_item_specs(pairs, edge) == np.arange(pairs.item_specs))[pairs.what]
    return _people_of_least_cover(pairs.who[edge], pairs.what[edge], pairs)


def _people_of_least_cover(who: Numbers, what: Numbers, pairs: Pairs) -> Flags:
    edges = csr_array((np.ones(len(who), np.int8), (who, what)), shape=(pairs.people, pairs.item_specs))
    match_of_person = maximum_bipartite_matching(edges, perm_type="column").astype(np.int64)
    matched = match_of_person >= 0
    match_of_wish = np.full(pairs.item_specs, -1)
    match_of_wish[match_of_person[matched]] = np.flatnonzero(matched)
    wanting = np.zeros(pairs.people, bool)
    wanting[who] = True
    # Whoever is reached from an unmatched person, by any edge and back by matched ones, can do without.
    spared = wanting & ~matched
    newly = spared.copy()
    while newly.any():
        back = match_of_wish[what[newly[who]]]
        reached = np.zeros(pairs.people, bool)
        reached[back[back >= 0]] = True
        newly = reached & ~spared
        spared |= newly
    return matched & ~spared
