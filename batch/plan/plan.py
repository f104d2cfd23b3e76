"""From changes to the fewest legal requests; the result does not depend on the order of the changes.

A request is a full product. Where the API version lets each identity have items of its own, several may travel in one
body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.model import Effort

if TYPE_CHECKING:
    from batch.api.dialects import Limits
    from batch.plan.pairs import Flags, Numbers


ENVELOPE_SCHEMA: Final = {"request": pl.Int64, "number": pl.Int64}
"""Columns of Plan.envelopes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Requests, before they have numbers in a ledger.

    Attributes:
        changes: The changes in their order, each with `request` (from 0, the order of sending).
        requests: How many there are.
        lower_bound: A number of bodies that no plan of these changes can go below.
        envelopes: Which requests travel in one body: `request`, and `number`, that of the first one of the body. They
            stand next to each other; a request that travels alone is not here.
    """

    changes: pl.DataFrame
    requests: int
    lower_bound: int
    envelopes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ENVELOPE_SCHEMA))

    @property
    def bodies(self) -> int:
        """How many bodies are to be sent."""
        return self.requests - self.envelopes.height + self.envelopes.get_column("number").n_unique()


NO_PLAN: Final = Plan(changes=pl.DataFrame(schema={"operation": pl.String}), requests=0, lower_bound=0)
"""Of nothing."""


def plan(changes: pl.DataFrame, limits: Limits, effort: Effort = Effort.NORMAL, *, nested: bool = False) -> Plan:
    """Packs changes into requests, all grants before all revokes.

    Args:
        changes: Validate's CHANGE_COLUMNS and any others; no two lines of one identity and item.
        limits: What one request may hold.
        effort: How hard to look for fewer requests.
        nested: Whether a body may give each identity its own items.
    """
    if changes.is_empty():
        return Plan(changes=changes.with_columns(pl.lit(0, dtype=pl.Int64).alias("request")), requests=0, lower_bound=0)
    is_revoke = changes.get_column("operation") == Operation.REVOKE.value
    revokes = is_revoke.to_numpy()
    request = np.empty(changes.height, np.int64)
    request[~revokes], bound, envelope = _grants(changes.filter(~is_revoke), limits, effort, nested=nested)
    granting = int(request[~revokes].max(initial=-1)) + 1
    request[revokes] = _revokes(changes.filter(is_revoke), limits) + granting
    requests = int(request.max()) + 1
    return Plan(
        changes=changes.with_columns(pl.Series("request", request)),
        requests=requests,
        lower_bound=bound + requests - granting,
        envelopes=envelope,
    )


def _grants(grants: pl.DataFrame, limits: Limits, effort: Effort, *, nested: bool) -> tuple[Numbers, int, pl.DataFrame]:
    """The request of each grant, a lower bound on the bodies, and which requests travel in one."""
    if grants.is_empty():
        return np.empty(0, np.int64), 0, pl.DataFrame(schema=ENVELOPE_SCHEMA)
    # numpy alone is loaded by reading too; scipy is for planning only.
    from batch.plan.bound import grant_bound  # noqa: PLC0415
    from batch.plan.envelopes import put_together  # noqa: PLC0415
    from batch.plan.grants import pack_grants  # noqa: PLC0415
    from batch.plan.pairs import make_pairs, number_item_specs, number_people  # noqa: PLC0415

    who, what = number_people(grants), number_item_specs(grants)
    order = np.lexsort((what, who))
    pairs = make_pairs(who[order], what[order], people=int(who.max()) + 1, item_specs=int(what.max()) + 1)
    packed, first = pack_grants(pairs, limits, effort), np.empty(0, np.int64)
    if nested:
        packed, first = put_together(pairs, packed, limits)
    request = np.empty(grants.height, np.int64)
    request[order] = packed
    together = np.flatnonzero(first >= 0)
    envelopes = pl.DataFrame({"request": together, "number": first[together]}, schema=ENVELOPE_SCHEMA)
    return request, grant_bound(pairs, limits, nested=nested), envelopes


def _revokes(revokes: pl.DataFrame, limits: Limits) -> Numbers:
    """The request of each revoke."""
    from batch.plan.pairs import number_item_specs, number_people  # noqa: PLC0415

    is_entitlement = (revokes.get_column("item_type") == ItemType.ENTITLEMENT.value).to_numpy()
    return pack_revokes(number_people(revokes), number_item_specs(revokes), is_entitlement, limits)


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
