"""Revokes: each has one person, so that the fewest requests can be counted off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from batch.dialects import Limits
    from batch.plan.pairs import Flags, Numbers


def pack_revokes(who: Numbers, what: Numbers, is_entitlement: Flags, limits: Limits) -> Numbers:
    """Places each person's roles and access profiles together, and the entitlements apart.

    Args:
        who: Each revoke's person.
        what: Its wish.
        is_entitlement: Whether it is of an entitlement.
        limits: What one request may hold.

    Returns:
        The number of each revoke's request, from 0 without gaps; those of entitlements come last.
    """
    order = np.lexsort((what, who, is_entitlement))
    most = np.where(is_entitlement[order], limits.revoke_entitlements, limits.revoke_items)
    same = np.diff(who[order], prepend=-1) == 0
    same[1:] &= is_entitlement[order][1:] == is_entitlement[order][:-1]
    starts = np.flatnonzero(~same)
    within = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    request = np.empty(len(order), np.int64)
    request[order] = np.cumsum(within % most == 0) - 1
    return request
