"""How many approvals a plan asks for: one for each change and step of its item's approval, however it is packed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import Operation
from batch.status.tenant_facts import ItemFacts
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from batch.status.in_progress import Item

OWNER: Final = "OWNER"
OWN_STEPS: Final = frozenset({OWNER, "ALL_OWNERS", "ENTITLEMENT_OWNER"})
"""Steps in which the item's owner decides, as roles, access profiles and entitlements name them."""

UNKNOWN: Final = ItemFacts()
"""What is known of an item of which the tenant says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Awaited:
    """Who has to decide: a person, or a kind of approvers of whom more is not known.

    Attributes:
        kind: The vendor's word for the step, such as `MANAGER`; `OWNER` for every owner of items.
        steps: How many decisions.
        owner: Id of the owner; empty for other kinds, and if it is not known.
        name: The owner's name, likewise.
    """

    kind: str
    steps: int
    owner: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalsAhead:
    """What a plan asks of approvers.

    Attributes:
        changes: All changes of the plan.
        known: Approval steps of the changes whose steps are known.
        unneeded: Changes that need no approval.
        unknown: Changes whose steps are not known.
        by_requester: Those of them in which the requester would decide, as the owner of the item.
        for_requester: Changes of the requester's own access.
        by_approver: Who decides in the known steps, the busiest first.
    """

    changes: int = 0
    known: int = 0
    unneeded: int = 0
    unknown: int = 0
    by_requester: int = 0
    for_requester: int = 0
    by_approver: tuple[Awaited, ...] = ()


def approvals_ahead(
    changes: pl.DataFrame,
    requester: str,
    items: Mapping[Item, ItemFacts] = MappingProxyType({}),
) -> ApprovalsAhead:
    """What a plan asks of approvers.

    Args:
        changes: With `operation`, `identity_id`, `item_type` and `item_id`.
        requester: Id of the requester; empty if unknown.
        items: What the tenant says of the items.
    """
    if changes.is_empty():
        return ApprovalsAhead()
    myself = key_of(requester)
    by_key = {(kind, key_of(item)): facts for (kind, item), facts in items.items()}
    known = unneeded = unknown = by_requester = 0
    awaited: Counter[tuple[str, str]] = Counter()
    names: dict[str, str] = {}
    counted = changes.group_by("operation", "item_type", "item_id").len()
    for operation, kind, item, number in counted.rows():
        facts = by_key.get((kind, key_of(item)), UNKNOWN)
        steps = facts.revoke_approvers if operation == Operation.REVOKE.value else facts.approvers
        if steps is None:
            unknown += number
            continue
        known += number * len(steps)
        unneeded += number * (not steps)
        owner = key_of(facts.owner or "")
        names[owner] = facts.owner_name or names.get(owner) or facts.owner or ""
        for step in steps:
            awaited[(OWNER, owner) if step in OWN_STEPS else (step, "")] += number
        if myself and owner == myself:
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
        by_approver=tuple(
            Awaited(kind=kind, steps=steps, owner=owner, name=names[owner] if owner else "")
            for (kind, owner), steps in sorted(awaited.items(), key=lambda one: (-one[1], one[0]))
        ),
    )
