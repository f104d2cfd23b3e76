"""From changes to the fewest legal requests; the result does not depend on the order of the changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from batch.dialects import ItemType, Operation
from batch.model import Effort

if TYPE_CHECKING:
    from batch.dialects import Limits
    from batch.plan.pairs import Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Requests, before they have numbers in a ledger.

    Attributes:
        changes: The changes in their order, each with `request` (from 0, the order of sending).
        requests: How many there are.
        lower_bound: A number of requests that no plan of these changes can go below.
    """

    changes: pl.DataFrame
    requests: int
    lower_bound: int


NO_PLAN: Final = Plan(changes=pl.DataFrame(schema={"operation": pl.String}), requests=0, lower_bound=0)
"""Of nothing."""


def plan(changes: pl.DataFrame, limits: Limits, effort: Effort = Effort.NORMAL) -> Plan:
    """Packs changes into requests, all grants before all revokes.

    Args:
        changes: Validate's CHANGE_COLUMNS and any others; no two lines of one identity and item.
        limits: What one request may hold.
        effort: How hard to look for fewer requests.
    """
    if changes.is_empty():
        return Plan(changes=changes.with_columns(pl.lit(0, dtype=pl.Int64).alias("request")), requests=0, lower_bound=0)
    is_revoke = changes.get_column("operation") == Operation.REVOKE.value
    revokes = is_revoke.to_numpy()
    request = np.empty(changes.height, np.int64)
    request[~revokes], bound = _grants(changes.filter(~is_revoke), limits, effort)
    granting = int(request[~revokes].max(initial=-1)) + 1
    request[revokes] = _revokes(changes.filter(is_revoke), limits) + granting
    requests = int(request.max()) + 1
    return Plan(
        changes=changes.with_columns(pl.Series("request", request)),
        requests=requests,
        lower_bound=bound + requests - granting,
    )


def _grants(grants: pl.DataFrame, limits: Limits, effort: Effort) -> tuple[Numbers, int]:
    """The request of each grant, and a lower bound on how many there are."""
    if grants.is_empty():
        return np.empty(0, np.int64), 0
    # numpy alone is loaded by reading too; scipy is for planning only.
    from batch.plan.bound import grant_bound  # noqa: PLC0415
    from batch.plan.grants import pack_grants  # noqa: PLC0415
    from batch.plan.numbering import number_people, number_wishes  # noqa: PLC0415
    from batch.plan.pairs import make_pairs  # noqa: PLC0415

    who, what = number_people(grants), number_wishes(grants)
    order = np.lexsort((what, who))
    pairs = make_pairs(who[order], what[order], people=int(who.max()) + 1, wishes=int(what.max()) + 1)
    request = np.empty(grants.height, np.int64)
    request[order] = pack_grants(pairs, limits, effort)
    return request, grant_bound(pairs, limits)


def _revokes(revokes: pl.DataFrame, limits: Limits) -> Numbers:
    """The request of each revoke."""
    from batch.plan.numbering import number_people, number_wishes  # noqa: PLC0415
    from batch.plan.revokes import pack_revokes  # noqa: PLC0415

    is_entitlement = (revokes.get_column("item_type") == ItemType.ENTITLEMENT.value).to_numpy()
    return pack_revokes(number_people(revokes), number_wishes(revokes), is_entitlement, limits)
