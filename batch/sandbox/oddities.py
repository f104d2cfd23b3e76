"""Makes a made-up directory as awkward as a real one: one item or person in so many breaks one rule of each kind.

The same directory always gets the same oddities, by the position of its people and items.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.sandbox.directory import made_up_account
from batch.sandbox.item_rules import Approver, ApproverType, Duration, RequestRules, TimeUnit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.sandbox.directory import Directory, ItemFields, Known

FORM: Final = "5a4d0b0c5e7f4a1cb0c500000000f0f0"
"""Id of the form that some items need."""

GROUP: Final = "5a4d0b0c5e7f4a1cb0c500000000aaaa"
"""Id of the governance group that approves some items."""

_ITEMS_EVERY: Final = 20
_PEOPLE_EVERY: Final = 25

_ITEM_ODDITIES: Final[Mapping[int, ItemFields]] = {
    1: {"enabled": False},
    3: {"request": RequestRules(require_end_date=True)},
    5: {"request": RequestRules(longest=Duration(value=90))},
    7: {"request": RequestRules(comments_required=True)},
    9: {"request": RequestRules(form=FORM)},
    11: {"request": RequestRules(reauthorization_required=True)},
    13: {
        "request": RequestRules(
            require_end_date=True,
            longest=Duration(value=6, unit=TimeUnit.MONTHS),
            approvers=(
                Approver(type=ApproverType.MANAGER),
                Approver(type=ApproverType.GOVERNANCE_GROUP, id=GROUP),
            ),
        )
    },
    15: {"request": RequestRules(approvers=())},
    17: {"requestable": False},
}
"""What is odd about the items at these positions, of each group of `_ITEMS_EVERY`."""


def with_birthright(directory: Directory) -> Directory:
    """A directory in which every fourth person holds everything by a role or a lifecycle state."""
    some = {person.id for person in directory.people[3::4]}
    return replace(directory, birthright=frozenset(access for access in directory.held if access[0] in some))


def make_odd(known: Known) -> None:
    """Change some people and items of a tenant's directory."""
    directory = known.directory
    for item_type in ItemType:
        for position, item in enumerate(directory.of_type(item_type)):
            fields = _ITEM_ODDITIES.get(position % _ITEMS_EVERY)
            if fields is not None and not (item_type is ItemType.ENTITLEMENT and "enabled" in fields):
                known.change_item(item.id, **fields)
    for position, person in enumerate(directory.people):
        match position % _PEOPLE_EVERY:
            case 2:
                known.change_person(person.id, inactive=True, lifecycle_state="terminated", status="DEACTIVATED")
            case 6:
                known.change_person(person.id, protected=True)
            case 10:
                source = directory.sources[position % len(directory.sources)]
                second = made_up_account(person, source, 2)
                known.change_person(person.id, accounts=(*known.accounts(person), second))
