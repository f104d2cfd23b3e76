"""Accounts that a request may choose from (`POST …/access-requests/accounts-selection`).

Source: the operation `loadAccountSelections` of the vendor's documents. It takes the body of a request and says for
each person and item which accounts there are, whether a choice is needed, and whether it is blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from batch.sandbox.directory import AccessItem, Account, Known, Person, Source
    from batch.sandbox.holdings import ItemKey

ALREADY_ASSIGNED: Final = "ACCESS_PROFILE_ALREADY_ASSIGNED_TO_AN_ACCOUNT"
"""Why a choice is blocked: an access profile that is held stays on its account."""


def accounts_on(known: Known, person: Person, source: Source) -> tuple[Account, ...]:
    """A person's accounts on one source."""
    return tuple(account for account in known.accounts(person) if account.source.id == source.id)


def crowded_sources(known: Known, person: Person, item: AccessItem) -> tuple[Source, ...]:
    """The sources of an item on which a person has several accounts."""
    return tuple(source for source in item.sources if len(accounts_on(known, person, source)) > 1)


def is_blocked(item: AccessItem, held: Collection[ItemKey]) -> bool:
    """Whether no account may be chosen for an item."""
    return item.type is ItemType.ACCESS_PROFILE and (item.type, item.id) in held


def selections(
    known: Known, asked: Iterable[tuple[str, Iterable[tuple[ItemType, str]]]], held: Mapping[str, Collection[ItemKey]]
) -> dict[str, object]:
    """The body of the answer.

    Args:
        known: People, items and accounts.
        asked: Each identity with its items.
        held: The access of each identity.
    """
    return {"identities": [_of_identity(known, identity, items, held[identity]) for identity, items in asked]}


def _of_identity(
    known: Known, identity: str, keys: Iterable[tuple[ItemType, str]], held: Collection[ItemKey]
) -> dict[str, object]:
    person, items = known.described(identity), [known.item(item_id, item_type) for item_type, item_id in keys]
    return {
        "type": "IDENTITY",
        "id": identity,
        "name": person.display_name,
        "accountsSelectionRequired": any(
            crowded_sources(known, person, item) for item in items if not is_blocked(item, held)
        ),
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
