"""How many approvals a plan asks for: one for each change and step of its item's approval, however it is packed."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import Operation
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from batch.status.in_progress import Item

OWN_STEPS: Final = frozenset({"OWNER", "ENTITLEMENT_OWNER"})
"""Steps of which the item's owner decides, as roles, access profiles and entitlements name them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemApproval:
    """Who approves requests for an item.

    Attributes:
        grant: The kinds of approver of a grant, one for each step; None if the tenant does not show them.
        revoke: The same of a revoke.
        owner: Id of the item's owner; empty if the tenant does not show it.
    """

    grant: tuple[str, ...] | None = None
    revoke: tuple[str, ...] | None = None
    owner: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalsAhead:
    """What a plan asks of approvers.

    Attributes:
        changes: All changes of the plan.
        known: Approvals that the changes need whose steps are known.
        unneeded: Changes that need no approval.
        unknown: Changes whose steps are not known.
        by_requester: Approvals that the requester must give as the owner of the item.
        for_requester: Changes of the requester's own access.
    """

    changes: int = 0
    known: int = 0
    unneeded: int = 0
    unknown: int = 0
    by_requester: int = 0
    for_requester: int = 0


def approvals_ahead(
    changes: pl.DataFrame,
    requester: str,
    items: Mapping[Item, ItemApproval] = MappingProxyType({}),
) -> ApprovalsAhead:
    """What a plan asks of approvers.

    Args:
        changes: With `operation`, `identity_id`, `item_type` and `item_id`.
        requester: Id of the requester; empty if unknown.
        items: Who approves requests for the items, as far as the tenant shows it.
    """
    if changes.is_empty():
        return ApprovalsAhead()
    myself = key_of(requester)
    by_key = {(kind, key_of(item)): approval for (kind, item), approval in items.items()}
    known = unneeded = unknown = by_requester = 0
    counted = changes.group_by("operation", "item_type", "item_id").len()
    for operation, kind, item, number in counted.rows():
        approval = by_key.get((kind, key_of(item)), _UNSHOWN)
        steps = approval.grant if operation == Operation.GRANT.value else approval.revoke
        if steps is None:
            unknown += number
            continue
        known += number * len(steps)
        unneeded += number * (not steps)
        if myself and key_of(approval.owner) == myself:
            by_requester += number * sum(step in OWN_STEPS for step in steps)
    people = changes.group_by("identity_id").len()
    mine = sum(number for identity, number in people.rows() if key_of(identity) == myself) if myself else 0
    return ApprovalsAhead(
        changes=changes.height,
        known=known,
        unneeded=unneeded,
        unknown=unknown,
        by_requester=by_requester,
        for_requester=mine,
    )


_UNSHOWN: Final = ItemApproval()
