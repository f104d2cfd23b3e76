"""What the tenant's states mean for a change, for one state or for columns of them."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


class TenantOutcome(StrEnum):
    """What became of a change at the tenant."""

    OPEN = "open"
    """Not finished: it waits for an approver or a connector, and may still end in any way."""
    PROVISIONED = "provisioned"
    REJECTED = "rejected"
    """An approver rejected it."""
    CANCELLED = "cancelled"
    """Somebody cancelled it."""
    DUPLICATE = "duplicate"
    """The tenant cancelled it because the same was held or requested already."""
    FAILED = "failed"
    """It was approved but could not be provisioned, or not in full."""


EXISTING: Final = "EXISTING_REQUEST"
"""Our own state beside the vendor's: the answer to a submit listed the change under `existingRequests`."""

EXISTING_SAID: Final = "the tenant answered that this was requested already"
"""The comment on such a change begins with this, also once its state is known."""

TENANT_OUTCOMES: Final[Mapping[str, TenantOutcome]] = MappingProxyType(
    {
        EXISTING: TenantOutcome.OPEN,
        "EXECUTING": TenantOutcome.OPEN,
        "PROVISIONING_VERIFICATION_PENDING": TenantOutcome.OPEN,
        "REQUEST_COMPLETED": TenantOutcome.PROVISIONED,
        "REJECTED": TenantOutcome.REJECTED,
        "CANCELLED": TenantOutcome.CANCELLED,
        "TERMINATED": TenantOutcome.FAILED,
        "PROVISIONING_FAILED": TenantOutcome.FAILED,
        "NOT_ALL_ITEMS_PROVISIONED": TenantOutcome.FAILED,
        "ERROR": TenantOutcome.FAILED,
    }
)
"""Outcome of each `state` of the status list (`RequestedItemStatusRequestState` of the vendor's OpenAPI documents).

The vendor may add states at any time: an unknown one counts as open."""

DUPLICATE: Final = "duplicate"
"""If the comment of a cancellation contains this word, the tenant itself cancelled."""

PARTLY_PROVISIONED: Final = "NOT_ALL_ITEMS_PROVISIONED"
"""The failed state in which something may have been granted."""

RESUBMITTABLE: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.FAILED)
"""What `--resubmit` accepts. A duplicate is left out, because the tenant had the same already."""

WITHOUT_EFFECT: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.DUPLICATE)
"""Outcomes that changed nothing at the tenant."""

OUTCOME_WORDS: Final[Mapping[TenantOutcome, str]] = MappingProxyType(
    {
        TenantOutcome.OPEN: "in progress",
        TenantOutcome.PROVISIONED: "provisioned",
        TenantOutcome.REJECTED: "rejected",
        TenantOutcome.CANCELLED: "cancelled",
        TenantOutcome.DUPLICATE: "cancelled by the tenant as a duplicate",
        TenantOutcome.FAILED: "failed",
    }
)
"""Each outcome as users read it."""


def tenant_outcome(state: str, comment: str = "") -> TenantOutcome:
    """The outcome of one state.

    Args:
        state: The vendor's name.
        comment: The comment beside it; it tells a duplicate from a cancellation.
    """
    outcome = TENANT_OUTCOMES.get(state, TenantOutcome.OPEN)
    is_duplicate = outcome is TenantOutcome.CANCELLED and DUPLICATE in comment.lower()
    return TenantOutcome.DUPLICATE if is_duplicate else outcome


def outcome_column(state: pl.Expr, comment: pl.Expr) -> pl.Expr:
    """`tenant_outcome` for columns: the outcome's value, or null if there is no state.

    Args:
        state: The vendor's name; null or empty if the tenant has not listed the change.
        comment: The comment beside it, or null.
    """
    import polars as pl  # noqa: PLC0415 - --help imports this module, and can do without polars

    outcome = state.replace_strict(
        {name: outcome.value for name, outcome in TENANT_OUTCOMES.items()},
        default=pl.lit(TenantOutcome.OPEN.value),
        return_dtype=pl.String,
    )
    is_duplicate = comment.fill_null("").str.to_lowercase().str.contains(DUPLICATE, literal=True)
    return (
        pl.when(state.fill_null("") == "")
        .then(pl.lit(None, dtype=pl.String))
        .when((outcome == TenantOutcome.CANCELLED.value) & is_duplicate)
        .then(pl.lit(TenantOutcome.DUPLICATE.value))
        .otherwise(outcome)
    )


def is_existing(state: str, comment: str) -> bool:
    """Whether a state belongs to a request older than ours: our own submit created nothing."""
    return state == EXISTING or comment.startswith(EXISTING_SAID)
