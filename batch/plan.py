"""From changes to the fewest legal requests.

A grant request is a full product of identities and items, so it is only built where every pair of the product is
wanted: here, from identities that want exactly the same items. The result does not depend on the order of the changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.dialects import ItemType, Operation

if TYPE_CHECKING:
    from batch.dialects import Limits

WISH: Final = ("operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata")
"""What a request says of one item: changes share a request's item only where all of these agree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Requests, before they have numbers in a ledger.

    Attributes:
        changes: The changes, each with `request` (from 0, the order of sending).
        requests: How many there are.
        lower_bound: A number of requests that no plan of these changes can go below.
    """

    changes: pl.DataFrame
    requests: int
    lower_bound: int


NO_PLAN: Final = Plan(changes=pl.DataFrame(schema={"operation": pl.String}), requests=0, lower_bound=0)
"""Of nothing."""


def plan(changes: pl.DataFrame, limits: Limits) -> Plan:
    """Packs changes into requests.

    Args:
        changes: Validate's CHANGE_COLUMNS and any others; no two lines of one identity and item.
        limits: What one request may hold.
    """
    if changes.is_empty():
        return Plan(changes=changes.with_columns(pl.lit(0, dtype=pl.Int64).alias("request")), requests=0, lower_bound=0)
    coded = _coded(changes)
    is_grant = pl.col("operation") == Operation.GRANT.value
    grants, revokes = coded.filter(is_grant), coded.filter(~is_grant)
    packed = pl.concat([_pack_grants(grants, limits), _pack_revokes(revokes, limits)])
    requests = packed.select(_PLACE).unique().sort(_PLACE).with_row_index("request")
    numbered = (
        packed.join(requests, on=_PLACE, how="left")
        .with_columns(pl.col("request").cast(pl.Int64))
        .sort("request", "_identity", "_wish")
    )
    exact_revokes = numbered.filter(~is_grant).get_column("request").n_unique()
    return Plan(
        changes=numbered.drop("_identity", "_wish", *_PLACE),
        requests=requests.height,
        lower_bound=_grant_bound(grants, limits) + exact_revokes,
    )


_PLACE: Final = ["_part", "_group", "_slice", "_chunk"]
"""Where a change goes: grants before revokes, then its group, then which identities and which items of that group."""


def _coded(changes: pl.DataFrame) -> pl.DataFrame:
    """Adds `_identity` and `_wish`, whole numbers in the order of the text they stand for."""
    identities = changes.select("identity_id").unique().sort("identity_id").with_row_index("_identity")
    wishes = changes.select(WISH).unique().sort(WISH).with_row_index("_wish")
    return changes.join(identities, on="identity_id", how="left").join(wishes, on=WISH, how="left")


def _pack_grants(grants: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Groups identities that want exactly the same, and cuts each group to the limits."""
    wanted = grants.sort("_wish").group_by("_identity").agg("_wish")
    groups = wanted.with_columns(pl.col("_identity").min().over("_wish").alias("_group")).select(
        "_identity",
        "_group",
        (_position("_identity", within="_group") // limits.recipients).alias("_slice"),
    )
    return (
        grants.join(groups, on="_identity", how="left")
        .with_columns(
            pl.lit(0).alias("_part"),
            (_position("_wish", within="_identity") // limits.items).alias("_chunk"),
        )
        .select(*grants.columns, *_PLACE)
    )


def _pack_revokes(revokes: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """One identity each: its roles and access profiles together, its entitlements apart."""
    is_entitlement = pl.col("item_type") == ItemType.ENTITLEMENT.value
    together = revokes.filter(~is_entitlement).with_columns(
        pl.lit(1).alias("_part"), pl.lit(limits.revoke_items).alias("_most")
    )
    apart = revokes.filter(is_entitlement).with_columns(
        pl.lit(2).alias("_part"), pl.lit(limits.revoke_entitlements).alias("_most")
    )
    return (
        pl.concat([together, apart])
        .with_columns(
            pl.col("_identity").alias("_group"),
            pl.lit(0, dtype=pl.UInt32).alias("_slice"),
            (_position("_wish", within=("_part", "_identity")) // pl.col("_most")).cast(pl.UInt32).alias("_chunk"),
        )
        .select(*revokes.columns, *_PLACE)
    )


def _position(name: str, *, within: str | tuple[str, ...]) -> pl.Expr:
    """Position from 0 of each value in ascending order within its group."""
    return pl.col(name).rank("ordinal").over(within) - 1


def _grant_bound(grants: pl.DataFrame, limits: Limits) -> int:
    """A lower bound on grant requests.

    An identity that wants n items stands in at least n / items requests, and a request has at most `recipients`
    identities; likewise the other way round for each item.
    """
    per_identity: int = grants.group_by("_identity").len().select(_ceil("len", limits.items).sum()).item()
    per_wish: int = grants.group_by("_wish").len().select(_ceil("len", limits.recipients).sum()).item()
    return max(-(-per_identity // limits.recipients), -(-per_wish // limits.items))


def _ceil(name: str, divisor: int) -> pl.Expr:
    return (pl.col(name) + divisor - 1) // divisor
