"""What the tenant's states amount to, over columns, and in words."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import DUPLICATE, TENANT_OUTCOMES, TenantOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

RESUBMITTED: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.FAILED)
"""What `--resubmit` can name. A duplicate is not among them: the tenant had the same already."""

WITHOUT_EFFECT: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.DUPLICATE)
"""Whatever stood before such an end still stands after it."""

ENDED: Final[Mapping[TenantOutcome, str]] = MappingProxyType(
    {
        TenantOutcome.OPEN: "in progress",
        TenantOutcome.PROVISIONED: "provisioned",
        TenantOutcome.REJECTED: "rejected",
        TenantOutcome.CANCELLED: "cancelled",
        TenantOutcome.DUPLICATE: "cancelled by the tenant as a duplicate",
        TenantOutcome.FAILED: "failed",
    }
)
"""What became of a change, in words."""


def outcome_column(state: pl.Expr, said: pl.Expr) -> pl.Expr:
    """`dialects.standing` over columns: a TenantOutcome's value for each state; null where there is no state.

    Args:
        state: The vendor's name; null or empty where the tenant has said nothing.
        said: The comment beside it.
    """
    found = state.replace_strict(
        {name: standing.value for name, standing in TENANT_OUTCOMES.items()},
        default=pl.lit(TenantOutcome.OPEN.value),
        return_dtype=pl.String,
    )
    is_duplicate = said.fill_null("").str.to_lowercase().str.contains(DUPLICATE, literal=True)
    return (
        pl.when(state.fill_null("") == "")
        .then(pl.lit(None, dtype=pl.String))
        .when((found == TenantOutcome.CANCELLED.value) & is_duplicate)
        .then(pl.lit(TenantOutcome.DUPLICATE.value))
        .otherwise(found)
    )
