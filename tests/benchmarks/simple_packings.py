"""Simple packings to compare the planner with."""

from __future__ import annotations

from typing import Final

import polars as pl

from batch.api.dialects import ItemType, Limits, Operation
from batch.validate.rows import CHANGE_COLUMNS

LIMITS: Final = Limits()
_ITEM_SPEC: Final = [name for name in CHANGE_COLUMNS if name != "identity_id"]

ONE_CHANGE: Final = "one change per request"
ONE_IDENTITY: Final = "one identity at a time"
IDENTICAL_SETS: Final = "identical sets together"


def simple_packings(changes: pl.DataFrame) -> dict[str, int]:
    """The number of requests of each simple packing."""
    is_grant = pl.col("operation") == Operation.GRANT.value
    grants, revokes = changes.filter(is_grant), _revoke_requests(changes.filter(~is_grant))
    sets = (
        grants.with_columns(pl.struct(_ITEM_SPEC).rank("dense").alias("item_spec"))
        .group_by("identity_id")
        .agg(pl.col("item_spec").sort(), pl.len().alias("items"))
    )
    groups = sets.group_by("item_spec").agg(pl.len().alias("people"), pl.col("items").first())
    items = _parts("items", LIMITS.items)
    return {
        ONE_CHANGE: changes.height,
        ONE_IDENTITY: int(sets.select(items.sum()).item()) + revokes,
        IDENTICAL_SETS: int(groups.select((_parts("people", LIMITS.recipients) * items).sum()).item()) + revokes,
    }


def _revoke_requests(revokes: pl.DataFrame) -> int:
    """Revokes leave no choice: one identity per request, each entitlement alone."""
    is_entitlement = pl.col("item_type") == ItemType.ENTITLEMENT.value
    others = revokes.filter(~is_entitlement).group_by("identity_id").agg(pl.len().alias("items"))
    return revokes.filter(is_entitlement).height + int(
        others.select(_parts("items", LIMITS.revoke_items).sum()).item() or 0
    )


def _parts(name: str, most: int) -> pl.Expr:
    """The number of parts of at most `most`."""
    return (pl.col(name) + most - 1) // most
