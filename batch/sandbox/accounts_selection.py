"""The accounts that a request may choose from, and the assignments of roles.

Source: the operations `loadAccountSelections` and `getRoleAssignments` of the vendor's documents. The first takes the
body of a request and says for each person and item which accounts there are, whether a choice is needed, and whether
it is blocked. The second gives the ids by which a revoke names one of several assignments of a role; it says on which
account an assignment lies only if the role is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.sandbox.holdings import assignment_id
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from batch.sandbox.directory import AccessItem, Account, Known, Person, Source
    from batch.sandbox.holdings import AccountKey, Holding, ItemKey

ALREADY_ASSIGNED: Final = "ACCESS_PROFILE_ALREADY_ASSIGNED_TO_AN_ACCOUNT"
"""Why a choice is blocked: an access profile that is held stays on its account."""


def accounts_on(known: Known, person: Person, source: Source) -> tuple[Account, ...]:
    """A person's accounts on one source."""
    return tuple(account for account in known.accounts(person) if account.source.id == source.id)


def crowded_sources(known: Known, person: Person, item: AccessItem) -> tuple[Source, ...]:
    """The sources of an item on which a person has several accounts."""
    if person.accounts is None:
        return ()  # One account on each source: nothing to look up, which matters in large loads.
    return tuple(source for source in item.sources if len(accounts_on(known, person, source)) > 1)


def is_blocked(item: AccessItem, held: Collection[ItemKey]) -> bool:
    """Whether no account may be chosen for an item."""
    return item.type is ItemType.ACCESS_PROFILE and (item.type, item.id) in held


def selections(
    known: Known,
    asked: Iterable[tuple[str, Iterable[tuple[ItemType, str]]]],
    held: Mapping[str, Collection[ItemKey]],
    *,
    needs_choice: bool = True,
) -> dict[str, object]:
    """The body of the answer.

    Args:
        known: People, items and accounts.
        asked: Each identity with its items.
        held: The access of each identity.
        needs_choice: Whether a request must choose where there are several accounts.
    """
    identities = [
        _of_identity(known, identity, items, held[identity], needs_choice=needs_choice) for identity, items in asked
    ]
    return {"identities": identities}


def _of_identity(
    known: Known, identity: str, keys: Iterable[tuple[ItemType, str]], held: Collection[ItemKey], *, needs_choice: bool
) -> dict[str, object]:
    person, items = known.described(identity), [known.item(item_id, item_type) for item_type, item_id in keys]
    return {
        "type": "IDENTITY",
        "id": identity,
        "name": person.display_name,
        "accountsSelectionRequired": needs_choice
        and any(crowded_sources(known, person, item) for item in items if not is_blocked(item, held)),
        "requestedItems": [_of_item(known, person, item, blocked=is_blocked(item, held)) for item in items],
    }


def _of_item(known: Known, person: Person, item: AccessItem, *, blocked: bool) -> dict[str, object]:
    return {
        "type": item.type,
        "id": item.id,
        "name": item.name,
        "description": "",
        "accountsSelectionBlocked": blocked,
        "accountsSelectionBlockedReason": ALREADY_ASSIGNED if blocked else None,
        "sources": [
            {
                "type": "SOURCE",
                "id": source.id,
                "name": source.name,
                "accounts": [_account(account) for account in accounts_on(known, person, source)],
            }
            for source in item.sources
        ],
    }


def _account(account: Account) -> dict[str, object]:
    return {
        "nativeIdentity": account.native_identity,
        "type": "ACCOUNT",
        "id": account.id,
        "name": account.name,
        **({"uuid": account.uuid} if account.uuid else {}),
    }


def role_assignments(
    known: Known, identity: str, held: Mapping[AccountKey, Holding], *, role: str = ""
) -> list[dict[str, object]]:
    """The assignments of a person's roles.

    Args:
        known: People and items.
        identity: The person.
        held: What the person holds, on each account.
        role: Only assignments of this role, in full; empty for all.
    """
    return [
        _assignment(known, identity, key, holding, in_full=bool(role))
        for key, holding in held.items()
        if key[0][0] is ItemType.ROLE and role in {"", key[0][1]}
    ]


def _assignment(known: Known, identity: str, key: AccountKey, holding: Holding, *, in_full: bool) -> dict[str, object]:
    (item_type, item_id), account = key
    item = known.item(item_id, item_type)
    assignment: dict[str, object] = {
        "id": assignment_id(identity, key),
        "role": {"type": "ROLE", "id": item_id, "name": item.name},
        "addedDate": instant(holding.since),
        "startDate": None,
        "removeDate": None if holding.until is None else instant(holding.until),
    }
    if not in_full:
        return assignment
    person = known.described(identity)
    accounts = [one for source in item.sources for one in accounts_on(known, person, source)]
    return assignment | {
        "comments": None,
        "assignmentSource": "Access Request",
        "assignedDimensions": [],
        "accountTargets": [
            {
                "source": {"type": "SOURCE", "id": one.source.id, "name": one.source.name},
                "accountInfo": {
                    "nativeIdentity": one.native_identity,
                    "displayName": one.name,
                    "uuid": one.uuid or None,
                },
            }
            for one in accounts
            if account in {one.native_identity, one.uuid}
        ],
    }
