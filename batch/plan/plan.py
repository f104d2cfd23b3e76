"""From changes to the fewest legal requests; the result does not depend on the order of the changes.

A request is a full product. If the API version lists items per identity, several requests may share a body.
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
        changes: The changes in their order, each with `request` (from 0, in the order of sending).
        requests: How many requests there are.
        lower_bound: A number of bodies that every plan of these changes needs.
        envelopes: Which requests share a body: `request`, and `number`, the first request of the body. The requests of
            a body are consecutive; a request with a body of its own is not here.
    """

    changes: pl.DataFrame
    requests: int
    lower_bound: int
    envelopes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ENVELOPE_SCHEMA))

    @property
    def bodies(self) -> int:
        """How many bodies to send."""
        return self.requests - self.envelopes.height + self.envelopes.get_column("number").n_unique()


NO_PLAN: Final = Plan(changes=pl.DataFrame(schema={"operation": pl.String}), requests=0, lower_bound=0)
"""The plan of no changes."""


def plan(changes: pl.DataFrame, limits: Limits, effort: Effort = Effort.NORMAL, *, nested: bool = False) -> Plan:
    """Packs changes into requests, all grants before all revokes.

    Changes for several accounts of one identity on one item's source go into different bodies.

    Args:
        changes: validate's CHANGE_COLUMNS and any others; no two changes of one identity, item and account.
        limits: Limits of one request.
        effort: How hard to look for fewer requests.
        nested: Whether a body may list items per identity.
    """
    if changes.is_empty():
        return Plan(changes=changes.with_columns(pl.lit(0, dtype=pl.Int64).alias("request")), requests=0, lower_bound=0)
    is_revoke = changes.get_column("operation") == Operation.REVOKE.value
    revokes = is_revoke.to_numpy()
    request = np.empty(changes.height, np.int64)
    request[~revokes], bound, envelope = _grants_apart(changes.filter(~is_revoke), limits, effort, nested=nested)
    granting = int(request[~revokes].max(initial=-1)) + 1
    request[revokes] = _revokes(changes.filter(is_revoke), limits) + granting
    requests = int(request.max()) + 1
    return Plan(
        changes=changes.with_columns(pl.Series("request", request)),
        requests=requests,
        lower_bound=bound + requests - granting,
        envelopes=envelope,
    )


def _grants_apart(
    grants: pl.DataFrame, limits: Limits, effort: Effort, *, nested: bool
) -> tuple[Numbers, int, pl.DataFrame]:
    """As `_grants`, for people who get one item on several accounts, each in another body."""
    ranks = ranks_among_accounts(grants)
    if not ranks.any():
        return _grants(grants, limits, effort, nested=nested)
    request, bound, envelopes = np.empty(grants.height, np.int64), 0, []
    for rank in range(int(ranks.max()) + 1):
        first = int(request[ranks < rank].max(initial=-1)) + 1
        some, needed, shared = _grants(grants.filter(pl.Series(ranks == rank)), limits, effort, nested=nested)
        request[ranks == rank] = some + first
        envelopes.append(shared.with_columns(pl.all() + first))
        # No plan of all changes needs fewer bodies than these alone.
        bound = max(bound, needed)
    return request, bound, pl.concat(envelopes)


def ranks_among_accounts(changes: pl.DataFrame) -> Numbers:
    """For each change how many before it are of the same identity and item, and so for other accounts."""
    if not (changes.get_column("account") != "").any():
        return np.zeros(changes.height, np.int64)
    keys = changes.select("identity_id", "item_type", "item_id", account=pl.col("account").rank("dense"))
    ranks = keys.select(pl.col("account").rank("ordinal").over("identity_id", "item_type", "item_id") - 1)
    return ranks.to_series().cast(pl.Int64).to_numpy()


def _grants(grants: pl.DataFrame, limits: Limits, effort: Effort, *, nested: bool) -> tuple[Numbers, int, pl.DataFrame]:
    """The request of each grant, a lower bound on the bodies, and the envelopes."""
    if grants.is_empty():
        return np.empty(0, np.int64), 0, pl.DataFrame(schema=ENVELOPE_SCHEMA)
    # Only planning needs scipy: import it here, so that other commands start faster.
    from batch.plan.bound import grant_bound  # noqa: PLC0415
    from batch.plan.envelopes import share_bodies  # noqa: PLC0415
    from batch.plan.grants import join_alike, pack_grants  # noqa: PLC0415
    from batch.plan.moves import improve_by_moves  # noqa: PLC0415
    from batch.plan.pairs import make_pairs, number_item_specs, number_people  # noqa: PLC0415
    from batch.plan.price_bound import price_bound  # noqa: PLC0415

    who, what = number_people(grants), number_item_specs(grants)
    order = np.lexsort((what, who))
    pairs = make_pairs(who[order], what[order], people=int(who.max()) + 1, item_specs=int(what.max()) + 1)
    packings = [pack_grants(pairs, limits, effort)]
    if effort is Effort.THOROUGH:
        packings.append(join_alike(pairs, improve_by_moves(pairs, packings[0], limits), limits))
    alone = np.empty(0, np.int64)
    packed, first = min((share_bodies(pairs, one, limits) if nested else (one, alone) for one in packings), key=_bodies)
    request = np.empty(grants.height, np.int64)
    request[order] = packed
    together = np.flatnonzero(first >= 0)
    envelopes = pl.DataFrame({"request": together, "number": first[together]}, schema=ENVELOPE_SCHEMA)
    bound = grant_bound(pairs, limits, nested=nested)
    if effort is Effort.THOROUGH and not nested:
        bound = max(bound, price_bound(pairs, limits))
    return request, bound, envelopes


def _bodies(packing: tuple[Numbers, Numbers]) -> int:
    """How many bodies a packing needs: the request of each pair, and the first request of each request's envelope."""
    request, first = packing
    shared = first[first >= 0]
    return int(request.max()) + 1 - len(shared) + len(np.unique(shared))


def _revokes(revokes: pl.DataFrame, limits: Limits) -> Numbers:
    """The request of each revoke."""
    from batch.plan.pairs import number_item_specs, number_people  # noqa: PLC0415

    is_entitlement = (revokes.get_column("item_type") == ItemType.ENTITLEMENT.value).to_numpy()
    who, what = number_people(revokes), number_item_specs(revokes)
    ranks = ranks_among_accounts(revokes)
    return pack_revokes(who, what, is_entitlement, limits, several=ranks if ranks.any() else None)


def pack_revokes(
    who: Numbers, what: Numbers, is_entitlement: Flags, limits: Limits, *, several: Numbers | None = None
) -> Numbers:
    """Places each person's roles and access profiles together, and entitlements separately.

    Args:
        who: Each revoke's person.
        what: Its item spec.
        is_entitlement: Whether its item is an entitlement.
        limits: Limits of one request.
        several: From `ranks_among_accounts` if a person loses one item on several accounts, each in another request.

    Returns:
        The number of each revoke's request, from 0 without gaps; requests of entitlements come last.
    """
    order = np.lexsort((what, who, is_entitlement))
    most = np.where(is_entitlement[order], limits.revoke_entitlements, limits.revoke_items)
    same = np.diff(who[order], prepend=-1) == 0
    same[1:] &= is_entitlement[order][1:] == is_entitlement[order][:-1]
    starts = np.flatnonzero(~same)
    within = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    request = np.empty(len(order), np.int64)
    if several is None:
        request[order] = np.cumsum(within % most == 0) - 1
    else:
        # Item specs of one item follow each other, so dealing them out in turn separates them.
        groups, group = np.diff(starts, append=len(order)), np.cumsum(~same) - 1
        needed = np.maximum(-(-groups // most[starts]), np.maximum.reduceat(several[order], starts) + 1)
        request[order] = (np.cumsum(needed) - needed)[group] + within % needed[group]
    return request
